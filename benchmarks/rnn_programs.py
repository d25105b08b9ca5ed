"""What benchmarks/rnn.py lets run against each other; each function returns seconds of a training step and of inference."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

V = int(
    os.environ.get("RNN_VOCABULARY", "20000")
)  # PyTorch and JAX update every row of the embedding, as they are written
SECONDS = 1.5  # each figure is the best of the repetitions that fit
EPOCH_DIM, EPOCH_HIDDEN, EPOCH_BATCH = 100, 128, 32
PREDICT_BATCH = 128
BUCKET = 32  # lengths that JAX pads to


def best(function: Callable[[], Any]) -> float:
    """Shortest time of one call, in seconds."""
    for _ in range(3):
        function()
    shortest, until = float("inf"), time.perf_counter() + SECONDS
    while time.perf_counter() < until:
        started = time.perf_counter()
        function()
        shortest = min(shortest, time.perf_counter() - started)
    return shortest


def data(b: int, length: int) -> tuple[Any, Any]:
    """Token ids (B, L) and labels (B,)."""
    random = np.random.default_rng(0)
    return random.integers(0, V, (b, length)), random.integers(0, 2, b)


def _network(cell: str, vocabulary: int, d: int, h: int, threads: int) -> tuple[Any, Any]:
    from rnncli.config.rnn import TrainingConfig
    from rnncli.kernels._jit import set_threads
    from rnncli.memory import keep_freed
    from rnncli.rnn.network import Network, NetworkSpec
    from rnncli.rnn.optimiser import Optimiser

    set_threads(threads)
    keep_freed()  # as rnn.training.fit
    network = Network(NetworkSpec(cell, "binary", vocabulary, d, h, 2))
    network.initialise("orthogonal", 1)
    return network, Optimiser(TrainingConfig(clip_norm=0), network, True)


def rnncli_step(cell: str, b: int, d: int, h: int, length: int, threads: int) -> dict[str, float]:
    """This project, packing of the batch included."""
    from rnncli.rnn.packing import pack_batch

    network, optimiser = _network(cell, V, d, h, threads)
    ids, labels = data(b, length)
    flat, offsets = ids.astype(np.int32).ravel(), np.arange(0, b * length + 1, length)

    def step() -> None:
        batch = pack_batch(flat, offsets, np.arange(b))
        optimiser.step(network, network.gradients(batch, labels[batch.rows_B].astype(np.int32)))

    return {
        "train": best(step),
        "infer": best(lambda: network.forward(pack_batch(flat, offsets, np.arange(b)), keep=False)),
    }


def _torch_model(cell: str, vocabulary: int, d: int, h: int, threads: int) -> Any:
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    kind = {"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[cell]

    class Model(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.embedding = torch.nn.Embedding(vocabulary, d, sparse=False)
            self.rnn, self.head = kind(d, h, batch_first=True), torch.nn.Linear(h, 1)

        def forward(self, ids: Any, lengths: Any = None) -> Any:
            x = self.embedding(ids)
            if lengths is not None:
                x = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True)
            last = self.rnn(x)[1]
            return self.head(last[0][-1] if cell == "lstm" else last[-1])[:, 0]

    return Model()


def torch_step(cell: str, b: int, d: int, h: int, length: int, threads: int) -> dict[str, float]:
    """PyTorch, eager."""
    import torch

    model = _torch_model(cell, V, d, h, threads)
    rule = torch.optim.Adam(model.parameters())
    ids, labels = data(b, length)
    ids_t, labels_t = torch.from_numpy(ids), torch.from_numpy(labels.astype(np.float32))
    loss_of = torch.nn.BCEWithLogitsLoss()

    def step() -> None:
        rule.zero_grad()
        loss_of(model(ids_t), labels_t).backward()
        rule.step()

    def infer() -> None:
        with torch.no_grad():
            model(ids_t)

    return {"train": best(step), "infer": best(infer)}


def _jax_functions(cell: str, vocabulary: int, d: int, h: int) -> tuple[Any, Any, Any]:
    import jax
    import jax.numpy as jnp

    gates = {"rnn": 1, "lstm": 4, "gru": 3}[cell]
    random = np.random.default_rng(0)

    def make(*shape: int) -> Any:
        return jnp.asarray(random.uniform(-0.1, 0.1, shape).astype(np.float32))

    params = {
        "e": make(vocabulary, d), "wx": make(d, gates * h), "wh": make(h, gates * h), "b": make(gates * h),
        "bn": make(h), "w": make(h), "c": jnp.float32(0.0),
    }  # fmt: skip

    def cell_step(p: Any, state: Any, a: Any) -> Any:
        hidden, memory = state
        if cell == "rnn":
            return jnp.tanh(a + hidden @ p["wh"]), memory
        if cell == "lstm":
            i, f, g, o = jnp.split(a + hidden @ p["wh"], 4, axis=1)
            memory = jax.nn.sigmoid(f) * memory + jax.nn.sigmoid(i) * jnp.tanh(g)
            return jax.nn.sigmoid(o) * jnp.tanh(memory), memory
        x_r, x_z, x_n = jnp.split(a, 3, axis=1)
        h_r, h_z, h_n = jnp.split(hidden @ p["wh"], 3, axis=1)
        r, z = jax.nn.sigmoid(x_r + h_r), jax.nn.sigmoid(x_z + h_z)
        n = jnp.tanh(x_n + r * (h_n + p["bn"]))
        return (1 - z) * n + z * hidden, memory

    def logits(p: Any, ids: Any, lengths: Any) -> Any:
        a = jnp.swapaxes(p["e"][ids] @ p["wx"] + p["b"], 0, 1)
        zero = jnp.zeros((ids.shape[0], h), jnp.float32)

        def body(state: Any, item: Any) -> Any:
            t, a_t = item
            new = cell_step(p, state, a_t)
            there = (t < lengths)[:, None]
            return tuple(jnp.where(there, n, o) for n, o in zip(new, state, strict=True)), None

        (last, _), _ = jax.lax.scan(body, (zero, zero), (jnp.arange(ids.shape[1]), a))
        return last @ p["w"] + p["c"]

    def loss(p: Any, ids: Any, lengths: Any, labels: Any) -> Any:
        z = logits(p, ids, lengths)
        return jnp.mean(jnp.logaddexp(0.0, z) - labels * z)

    def step(p: Any, m: Any, v: Any, t: Any, ids: Any, lengths: Any, labels: Any) -> Any:
        g = jax.grad(loss)(p, ids, lengths, labels)
        m = jax.tree.map(lambda a, b: 0.9 * a + 0.1 * b, m, g)
        v = jax.tree.map(lambda a, b: 0.999 * a + 0.001 * b * b, v, g)
        rate = 1e-3 * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        return jax.tree.map(lambda a, b, c: a - rate * b / (jnp.sqrt(c) + 1e-8), p, m, v), m, v

    return params, jax.jit(step, donate_argnums=(0, 1, 2)), jax.jit(logits)


def jax_step(cell: str, b: int, d: int, h: int, length: int, threads: int) -> dict[str, float]:
    """JAX, jit and scan."""
    os.environ["XLA_FLAGS"] = f"--xla_cpu_multi_thread_eigen={'true' if threads > 1 else 'false'}"
    import jax
    import jax.numpy as jnp

    params, step, logits = _jax_functions(cell, V, d, h)
    ids, labels = data(b, length)
    ids_j, labels_j, lengths = jnp.asarray(ids), jnp.asarray(labels.astype(np.float32)), jnp.full(b, length)
    state = [params, jax.tree.map(jnp.zeros_like, params), jax.tree.map(jnp.zeros_like, params)]

    def train() -> None:
        state[:] = step(*state, 5.0, ids_j, lengths, labels_j)
        jax.block_until_ready(state)

    seconds = best(train)
    return {"train": seconds, "infer": best(lambda: jax.block_until_ready(logits(state[0], ids_j, lengths)))}


def _texts(path: Path) -> tuple[Any, Any, Any, int]:
    """Flat ids, offsets, labels and vocabulary size of a labelled file, as train-classifier reads it."""
    from rnncli.data.labelled import build_label_list, build_vocabulary, encode_labelled
    from rnncli.data.readers import read_labelled
    from rnncli.data.tokenise import Tokenizer

    texts = read_labelled(path)
    labels = build_label_list(texts.labels)
    tokenizer = Tokenizer("words", True)
    vocab, _ = build_vocabulary(texts.texts, tokenizer, 2, None, None)
    encoded = encode_labelled(texts, tokenizer, vocab, {label: i for i, label in enumerate(labels)}, None)
    return encoded.ids, encoded.offsets, encoded.labels, len(vocab)


def _batches(offsets: Any) -> list[Any]:
    from rnncli.data.batching import epoch_batches

    return epoch_batches(np.diff(offsets), EPOCH_BATCH, 1, 1)


def rnncli_epoch(cell: str, path: Path, threads: int) -> dict[str, float]:
    """One epoch, a first batch trained before the clock starts; and all rows labelled, from their ids."""
    from rnncli.rnn.packing import Sequences, pack_batch
    from rnncli.rnn.predict import predict_logits

    ids, offsets, labels, vocabulary = _texts(path)
    network, optimiser = _network(cell, vocabulary, EPOCH_DIM, EPOCH_HIDDEN, threads)
    batches = _batches(offsets)

    def train(rows: Any) -> None:
        batch = pack_batch(ids, offsets, rows)
        optimiser.step(network, network.gradients(batch, labels[batch.rows_B]))

    def infer() -> None:
        predict_logits(network, Sequences.of_texts(ids, offsets))

    train(batches[0])
    started = time.perf_counter()
    for rows in batches:
        train(rows)
    return {"train": time.perf_counter() - started, "infer": best(infer)}


def _padded(ids: Any, offsets: Any, rows: Any, width: int) -> tuple[Any, Any]:
    lengths = offsets[rows + 1] - offsets[rows]
    padded = np.zeros((len(rows), width), np.int64)
    for i, row in enumerate(rows):
        padded[i, : lengths[i]] = ids[offsets[row] : offsets[row + 1]]
    return padded, lengths


def torch_epoch(cell: str, path: Path, threads: int) -> dict[str, float]:
    """PyTorch with packed sequences and the same batches, sorted by length; padding is made before the clock starts."""
    import torch

    ids, offsets, labels, vocabulary = _texts(path)
    model = _torch_model(cell, vocabulary, EPOCH_DIM, EPOCH_HIDDEN, threads)
    model.embedding = torch.nn.Embedding(vocabulary, EPOCH_DIM, sparse=True)
    rest = [p for name, p in model.named_parameters() if not name.startswith("embedding")]
    rules = [torch.optim.Adam(rest), torch.optim.SparseAdam(list(model.embedding.parameters()))]
    loss_of = torch.nn.BCEWithLogitsLoss()
    prepared = []
    for rows in _batches(offsets):
        padded, lengths = _padded(ids, offsets, rows, int((offsets[rows + 1] - offsets[rows]).max()))
        target = torch.from_numpy((labels[rows] > 0).astype(np.float32))
        prepared.append((torch.from_numpy(padded), torch.from_numpy(lengths.copy()), target))

    def train(item: Any) -> None:
        for rule in rules:
            rule.zero_grad()
        loss_of(model(item[0], item[1]), item[2]).backward()
        for rule in rules:
            rule.step()

    order = np.argsort(-np.diff(offsets), kind="stable")
    shown = []
    for start in range(0, len(order), PREDICT_BATCH):
        rows = order[start : start + PREDICT_BATCH]
        rows = rows[offsets[rows + 1] > offsets[rows]]  # it cannot pack empty rows
        padded, lengths = _padded(ids, offsets, rows, int((offsets[rows + 1] - offsets[rows]).max()))
        shown.append((torch.from_numpy(padded), torch.from_numpy(lengths.copy())))

    def infer() -> None:
        with torch.no_grad():
            for item in shown:
                model(*item)

    train(prepared[0])
    started = time.perf_counter()
    for item in prepared:
        train(item)
    return {"train": time.perf_counter() - started, "infer": best(infer)}


def jax_epoch(cell: str, path: Path, threads: int) -> dict[str, float]:
    """JAX with batches padded to multiples of BUCKET steps; every shape is compiled before the clock starts."""
    import jax
    import jax.numpy as jnp

    ids, offsets, labels, vocabulary = _texts(path)
    params, step, _ = _jax_functions(cell, vocabulary, EPOCH_DIM, EPOCH_HIDDEN)
    prepared = []
    for rows in _batches(offsets):
        longest = int((offsets[rows + 1] - offsets[rows]).max())
        padded, lengths = _padded(ids, offsets, rows, -(-longest // BUCKET) * BUCKET)
        target = jnp.asarray((labels[rows] > 0).astype(np.float32))
        prepared.append((jnp.asarray(padded), jnp.asarray(lengths), target))
    state = [params, jax.tree.map(jnp.zeros_like, params), jax.tree.map(jnp.zeros_like, params)]
    for item in {item[0].shape: item for item in prepared}.values():
        state = list(step(*state, 5.0, *item))
    jax.block_until_ready(state)
    started = time.perf_counter()
    for item in prepared:
        state = list(step(*state, 5.0, *item))
    jax.block_until_ready(state)
    return {"train": time.perf_counter() - started}


def peak_gflops(threads: int) -> float:
    """Fused multiply-adds of all threads on registers, GFLOP/s: what no product can exceed."""
    from rnncli.kernels._jit import parallel_kernel, prange, set_threads
    from rnncli.kernels.lanes import WIDTH, add, fma, load, store

    set_threads(threads)
    steps = 1 << 20

    @parallel_kernel
    def spin(x, n, shards):  # type: ignore[no-untyped-def]
        for s in prange(shards):
            at = s * 16 * WIDTH
            m, c = load(x, at), load(x, at + WIDTH)
            a0, a1, a2, a3, a4, a5 = m, m, m, m, m, m
            a6, a7, a8, a9, b0, b1 = m, m, m, m, m, m
            for _ in range(n):
                a0, a1, a2, a3 = fma(a0, m, c), fma(a1, m, c), fma(a2, m, c), fma(a3, m, c)
                a4, a5, a6, a7 = fma(a4, m, c), fma(a5, m, c), fma(a6, m, c), fma(a7, m, c)
                a8, a9, b0, b1 = fma(a8, m, c), fma(a9, m, c), fma(b0, m, c), fma(b1, m, c)
            total = add(add(add(a0, a1), add(a2, a3)), add(add(a4, a5), add(a6, a7)))
            store(x, at, add(total, add(add(a8, a9), add(b0, b1))))

    x = np.full(threads * 16 * WIDTH, 0.5, np.float32)
    seconds = best(lambda: spin(x, steps, threads))
    return threads * steps * 12 * WIDTH * 2 / seconds / 1e9


Step = Callable[[str, int, int, int, int, int], dict[str, float]]
STEPS: dict[str, Step] = {"rnncli": rnncli_step, "torch": torch_step, "jax": jax_step}
EPOCHS: dict[str, Callable[[str, Path, int], dict[str, float]]] = {
    "rnncli": rnncli_epoch,
    "torch": torch_epoch,
    "jax": jax_epoch,
}
