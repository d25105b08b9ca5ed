"""Training steps of language models for benchmarks/rnn.py --language: this project and PyTorch, the same shapes."""

from typing import Any

import numpy as np
from rnn_programs import best

# words: as configs/wikitext2.yaml; characters: as configs/tinyshakespeare.yaml
SHAPES = {
    "words": {"v": 33_278, "e": 200, "h": 200, "layers": 2, "b": 20, "t": 35, "tied": True, "rule": "sgd"},
    "characters": {"v": 66, "e": 64, "h": 512, "layers": 1, "b": 64, "t": 100, "tied": False, "rule": "adam"},
}


def _tokens(shape: dict[str, Any]) -> tuple[Any, Any]:
    random = np.random.default_rng(0)
    return random.integers(0, shape["v"], (shape["b"], shape["t"])), random.integers(
        0, shape["v"], (shape["b"], shape["t"])
    )


def rnncli_step(name: str, threads: int) -> dict[str, float]:
    """This project: a window of B x T tokens, states carried."""
    from rnncli.config.rnn import TrainingConfig
    from rnncli.kernels._jit import set_threads
    from rnncli.rnn.network import Network
    from rnncli.rnn.optimiser import Optimiser
    from rnncli.rnn.packing import Sequences, pack
    from rnncli.rnn.spec import NetworkSpec

    s = SHAPES[name]
    set_threads(threads)
    spec = NetworkSpec(
        "lstm", "multiclass", s["v"], s["e"], s["h"], s["v"], layers=s["layers"], pooling="each", tied=s["tied"]
    )
    network = Network(spec)
    network.initialise("uniform", 1)
    optimiser = Optimiser(TrainingConfig(optimizer=s["rule"], clip_norm=0.25), network, True)
    reads, targets = _tokens(s)
    starts = np.arange(s["b"]) * s["t"]
    data = Sequences(starts, np.full(s["b"], s["t"]), reads.astype(np.int32).reshape(-1))
    y = targets.astype(np.int32).reshape(-1)
    state: list[Any] = [None]

    def step() -> None:
        batch = pack(data, np.arange(s["b"]))
        out = network.forward(batch, None, state[0])
        optimiser.step(network, network.backward(out, batch, y[batch.position_N]))
        state[0] = network.stack.states_at(out.run, batch.last_B, state[0])

    return {"train": best(step)}


def torch_step(name: str, threads: int) -> dict[str, float]:
    """PyTorch, eager: nn.Embedding, nn.LSTM, nn.Linear, clip_grad_norm_, SGD or Adam."""
    import torch

    s = SHAPES[name]
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    embedding = torch.nn.Embedding(s["v"], s["e"])
    rnn = torch.nn.LSTM(s["e"], s["h"], num_layers=s["layers"])
    head = torch.nn.Linear(s["h"], s["v"])
    if s["tied"]:
        head.weight = embedding.weight
    parameters = list({id(p): p for module in (embedding, rnn, head) for p in module.parameters()}.values())
    rule = torch.optim.SGD(parameters, lr=1.0) if s["rule"] == "sgd" else torch.optim.Adam(parameters)
    reads, targets = (torch.from_numpy(np.ascontiguousarray(x.T)) for x in _tokens(s))
    state: list[Any] = [None]

    def step() -> None:
        rule.zero_grad()
        h, last = rnn(embedding(reads), state[0])
        torch.nn.functional.cross_entropy(head(h).reshape(-1, s["v"]), targets.reshape(-1)).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 0.25)
        rule.step()
        state[0] = tuple(part.detach() for part in last)

    return {"train": best(step)}


STEPS = {"rnncli": rnncli_step, "torch": torch_step}
