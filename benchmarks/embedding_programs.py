"""What benchmarks/embeddings.py lets run against each other: every program trains on the same words and settings."""

import argparse
import json
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

TEXT, STORE = "corpus.txt", "words.json"


@dataclass
class Trained:
    """Vectors in the order of the vocabulary, and what the program measured of itself."""

    vectors_VE: Any
    seconds: float  # of training alone
    amount: float  # words, or cells, that were trained on in that time
    extra: dict[str, float] = field(default_factory=dict)


def prepare(arguments: argparse.Namespace, folder: Path) -> None:
    """Write ids, offsets, counts, the vocabulary and the peers' text file into `folder`."""
    from rnncli.data.idstore import build_id_store
    from rnncli.data.tokenise import Tokenizer

    limits = (arguments.min_count, arguments.max_vocab or None)
    store = build_id_store([arguments.corpus], Tokenizer("words", True), *limits, False, None)
    for name, array in (("ids", store.ids), ("offsets", store.offsets), ("counts", store.vocab.counts)):
        np.save(folder / f"{name}.npy", np.asarray(array))
    (folder / STORE).write_text(json.dumps(store.vocab.tokens), encoding="utf-8")
    tokens = np.array(store.vocab.tokens, dtype=object)
    with (folder / TEXT).open("w", encoding="utf-8") as file:
        for start, end in zip(store.offsets[:-1], store.offsets[1:], strict=True):
            file.write(" ".join(tokens[store.ids[start:end]]) + "\n")


def words_of(folder: Path) -> list[str]:
    """The vocabulary that every program has."""
    words: list[str] = json.loads((folder / STORE).read_text(encoding="utf-8"))
    return words


def _config(arguments: argparse.Namespace, **changes: Any) -> Any:
    from rnncli.config.embeddings import EmbeddingsConfig

    keys = ("algorithm", "loss", "dim", "window", "negative", "epochs", "threads", "seed", "lr")
    given = {key: getattr(arguments, key) for key in keys}
    if arguments.maxn:
        given["subwords"] = {"minn": arguments.minn, "maxn": arguments.maxn, "bucket": arguments.bucket}
    return EmbeddingsConfig.model_validate(given | {"corpus": {"paths": [str(arguments.corpus)]}} | changes)


def _rnncli(arguments: argparse.Namespace, folder: Path, **changes: Any) -> Trained:
    from rnncli.data.idfiles import release, scratch_folder
    from rnncli.data.vocab import Vocabulary
    from rnncli.embeddings.algorithms import make_run, trained_model
    from rnncli.embeddings.training import Lines, TrainState, train
    from rnncli.events import Event, Progressed

    config = _config(arguments, **changes)
    ids, offsets = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("ids", "offsets"))
    vocab = Vocabulary(words_of(folder), np.load(folder / "counts.npy"), has_unknown=False)

    def heard(event: Event) -> None:
        if isinstance(event, Progressed):
            release(ids, offsets)

    with scratch_folder() as scratch:
        started = time.perf_counter()
        run = make_run(config, Lines(np.asarray(ids), np.asarray(offsets)), vocab, {}, scratch, heard)
        before = time.perf_counter() - started
        state = train(run, config.epochs, TrainState(0, {}), heard)
    parameters = sum(tensor.nbytes for tensor in state.tensors.values())
    amount = run.total * config.epochs
    del run  # its copy of the vectors
    extra = {"loss": state.losses[-1], "prepare_seconds": before, "parameters_MiB": parameters / 2**20}
    return Trained(trained_model(config, vocab, state.tensors).vectors_VE, state.seconds, amount, extra)


def deterministic(arguments: argparse.Namespace, folder: Path) -> Trained:
    """rnncli as it is by default."""
    return _rnncli(arguments, folder)


def hogwild(arguments: argparse.Namespace, folder: Path) -> Trained:
    """rnncli without locks."""
    return _rnncli(arguments, folder, mode="hogwild")


def plain_loop(arguments: argparse.Namespace, folder: Path) -> Trained:
    """GloVe as a plain numba loop over all cells in shuffled order, one thread; the same start and the same counts."""
    import numba

    from rnncli.data.idfiles import scratch_folder
    from rnncli.embeddings.count import Counting, count_cooccurrences
    from rnncli.embeddings.train_glove import initial_tensors
    from rnncli.events import ignore

    @numba.njit(fastmath=True)  # type: ignore[untyped-decorator]
    def epoch(rows, columns, logs, weights, order, w, v, s, t, rate):  # type: ignore[no-untyped-def]
        cost = 0.0
        dim = w.shape[1] - 1
        for k in order:
            i, j = rows[k], columns[k]
            dot = np.float32(0.0)
            for d in range(dim):
                dot += w[i, d] * v[j, d]
            error = dot + w[i, dim] + v[j, dim] - logs[k]
            cost += weights[k] * error * error
            step = rate * weights[k] * error
            for d in range(dim):
                g, h = step * v[j, d], step * w[i, d]
                w[i, d] -= g / np.sqrt(s[i, d])
                v[j, d] -= h / np.sqrt(t[j, d])
                s[i, d] += g * g
                t[j, d] += h * h
            w[i, dim] -= step / np.sqrt(s[i, dim])
            v[j, dim] -= step / np.sqrt(t[j, dim])
            s[i, dim] += step * step
            t[j, dim] += step * step
        return cost

    ids, offsets, counts = (np.load(folder / f"{name}.npy") for name in ("ids", "offsets", "counts"))
    with scratch_folder() as scratch:
        what = Counting(arguments.window, True, True, 1 << 28)
        matrix = count_cooccurrences(ids, offsets, len(counts), what, arguments.seed, scratch, ignore)
        reader = matrix.reader()
        reader.read(np.array([[0, matrix.cells]]))
    tiles = matrix.tile_starts
    sizes = np.diff(tiles, axis=1)
    first_rows = np.repeat(np.broadcast_to(matrix.row_bounds[:-1, None], sizes.shape).ravel(), sizes.ravel())
    first_columns = np.repeat(np.broadcast_to(matrix.column_bounds[None, :-1], sizes.shape).ravel(), sizes.ravel())
    cells, values = reader.cells[: matrix.cells], reader.values[: matrix.cells]
    rows, columns = (first_rows + (cells >> 16)).astype(np.int32), (first_columns + (cells & 0xFFFF)).astype(np.int32)
    logs, weights = np.log(values), np.minimum(1.0, (values / 100.0) ** 0.75).astype(np.float32)
    tensors = initial_tensors(len(counts), arguments.dim, arguments.seed)
    state = [tensors[name] for name in ("words", "contexts", "words.squares", "contexts.squares")]
    random = np.random.default_rng(arguments.seed)
    epoch(rows, columns, logs, weights, np.zeros(0, np.int64), *state, np.float32(0.05))
    seconds, cost = 0.0, 0.0
    for _ in range(arguments.epochs):
        order = random.permutation(matrix.cells)
        started = time.perf_counter()
        cost = epoch(rows, columns, logs, weights, order, *state, np.float32(0.05))
        seconds += time.perf_counter() - started
    vectors = (state[0] + state[1])[:, :-1]
    return Trained(vectors, seconds, matrix.cells * arguments.epochs, {"loss": cost / matrix.cells})


def gensim(arguments: argparse.Namespace, folder: Path) -> Trained:
    """gensim's Word2Vec reading its corpus from a file, its fastest way."""
    from gensim.models import Word2Vec

    text = str(folder / TEXT)
    model = Word2Vec(
        vector_size=arguments.dim,
        window=arguments.window,
        negative=arguments.negative if arguments.loss == "ns" else 0,
        hs=int(arguments.loss == "hs"),
        sg=int(arguments.algorithm == "skipgram"),
        sample=1e-3,
        min_count=1,  # the file holds the vocabulary's words only
        workers=arguments.threads,
        epochs=arguments.epochs,
        alpha=arguments.lr or 0.025,
        seed=arguments.seed,
    )
    model.build_vocab(corpus_file=text)
    started = time.perf_counter()
    model.train(
        corpus_file=text,
        total_words=model.corpus_total_words,
        total_examples=model.corpus_count,
        epochs=arguments.epochs,
    )
    seconds = time.perf_counter() - started
    return Trained(np.stack([model.wv[word] for word in words_of(folder)]), seconds, _words(arguments, folder))


def fasttext(arguments: argparse.Namespace, folder: Path) -> Trained:
    """fastText's own program, by its Python package; its time includes reading the text once to count words."""
    import fasttext as package

    started = time.perf_counter()
    model = package.train_unsupervised(
        str(folder / TEXT),
        model="skipgram" if arguments.algorithm == "skipgram" else "cbow",
        dim=arguments.dim,
        ws=arguments.window,
        neg=arguments.negative,
        epoch=arguments.epochs,
        lr=arguments.lr or 0.025,
        loss=arguments.loss,
        t=1e-3,
        minCount=1,
        minn=arguments.minn if arguments.maxn else 0,
        maxn=arguments.maxn,
        bucket=arguments.bucket,
        thread=arguments.threads,
        verbose=0,
    )
    seconds = time.perf_counter() - started
    vectors = np.stack([model.get_word_vector(word) for word in words_of(folder)])
    return Trained(vectors, seconds, _words(arguments, folder))


def word2vec_c(arguments: argparse.Namespace, folder: Path) -> Trained:
    """The program `word2vec` of Mikolov et al., where it is on the path."""
    output = folder / "word2vec.txt"
    options = {
        "train": folder / TEXT, "output": output, "size": arguments.dim, "window": arguments.window, "sample": "1e-3",
        "negative": arguments.negative if arguments.loss == "ns" else 0, "hs": int(arguments.loss == "hs"),
        "cbow": int(arguments.algorithm == "cbow"), "threads": arguments.threads, "iter": arguments.epochs,
        "min-count": 1, "alpha": arguments.lr or 0.025, "binary": 0,
    }  # fmt: skip
    started = time.perf_counter()
    command = ["word2vec", *(part for key, value in options.items() for part in (f"-{key}", str(value)))]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - started
    return Trained(_read_text(output, folder), seconds, _words(arguments, folder))


def stanford_glove(arguments: argparse.Namespace, folder: Path) -> Trained:
    """The programs vocab_count, cooccur, shuffle and glove of Pennington et al., where they are on the path."""
    text, vocab, pairs, shuffled = (folder / name for name in (TEXT, "vocab.txt", "pairs.bin", "shuffled.bin"))

    def piped(command: list[str], source: Path, target: Path) -> None:
        with source.open("rb") as given, target.open("wb") as taken:
            subprocess.run(command, check=True, stdin=given, stdout=taken, stderr=subprocess.DEVNULL)

    piped(["vocab_count", "-min-count", "1"], text, vocab)
    started = time.perf_counter()
    piped(["cooccur", "-window-size", str(arguments.window), "-vocab-file", str(vocab)], text, pairs)
    piped(["shuffle"], pairs, shuffled)
    before = time.perf_counter() - started
    options = {
        "input-file": shuffled, "vocab-file": vocab, "save-file": folder / "glove", "vector-size": arguments.dim,
        "threads": arguments.threads, "iter": arguments.epochs, "x-max": 100, "alpha": 0.75, "eta": 0.05, "binary": 0,
    }  # fmt: skip
    started = time.perf_counter()
    command = ["glove", *(part for key, value in options.items() for part in (f"-{key}", str(value)))]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    seconds = time.perf_counter() - started
    cells = shuffled.stat().st_size / 16 * arguments.epochs
    return Trained(_read_text(folder / "glove.txt", folder), seconds, cells, {"prepare_seconds": before})


def _words(arguments: argparse.Namespace, folder: Path) -> float:
    return len(np.load(folder / "ids.npy", mmap_mode="r")) * float(arguments.epochs)


def _read_text(path: Path, folder: Path) -> Any:
    """Vectors of a text file, in the order of the vocabulary; a word without a line gets zeros."""
    rows = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        word, *numbers = line.rstrip().split(" ")
        if len(numbers) > 1:
            rows[word] = np.array(numbers, np.float32)
    dim = len(next(iter(rows.values())))
    return np.stack([rows.get(word, np.zeros(dim, np.float32)) for word in words_of(folder)])


Program = Callable[[argparse.Namespace, Path], Trained]
WORD2VEC: dict[str, Program] = {
    "deterministic": deterministic,
    "hogwild": hogwild,
    "gensim": gensim,
    "fasttext": fasttext,
    "word2vec.c": word2vec_c,
}
GLOVE: dict[str, Program] = {
    "deterministic": deterministic,
    "plain loop": plain_loop,
    "stanford": stanford_glove,
}


def programs_for(arguments: argparse.Namespace) -> dict[str, Program]:
    """The programs that can train what is asked for and are there."""
    if arguments.algorithm == "glove":
        return {n: p for n, p in GLOVE.items() if n != "stanford" or shutil.which("cooccur")}
    there = {
        "deterministic": True,
        "hogwild": True,
        "gensim": find_spec("gensim") is not None and not arguments.maxn,
        "fasttext": find_spec("fasttext") is not None,
        "word2vec.c": shutil.which("word2vec") is not None and not arguments.maxn,
    }
    return {name: program for name, program in WORD2VEC.items() if there[name]}
