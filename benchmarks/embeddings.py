"""Word vectors beside gensim: speed, memory and quality on one corpus, every program in a process of its own.

    python benchmarks/embeddings.py CORPUS [--epochs 5] [--dim 100] [--wordsim FILE] [--rounds 3] [--json FILE]

CORPUS is text, one sentence or paragraph a line (plain or compressed). It is cut into words once; every program gets the
same words, the same vocabulary, window, negatives, sub-sampling and epochs, and two threads (--threads). words/s counts
corpus tokens inside the vocabulary by the seconds of training alone (no reading, no compiling). The programs take turns,
--rounds times, because the ratio on a shared machine is steadier than the figures. gensim reads its corpus from a file
(corpus_file), its fastest way; without gensim its rows are left out. WordSim-353 is a file of `word1 TAB word2 TAB score`.
"""

import argparse
import importlib.util
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

PROGRAMS = ("deterministic", "hogwild", "gensim")
PREPARE = "prepare"


def prepare(arguments: argparse.Namespace, folder: Path) -> None:
    """Write ids, offsets, counts, the vocabulary and gensim's text file into `folder`."""
    from rnncli.data.idstore import build_id_store
    from rnncli.data.tokenise import Tokenizer

    store = build_id_store([arguments.corpus], Tokenizer("words", True), arguments.min_count, None, False, None)
    for name, array in (("ids", store.ids), ("offsets", store.offsets), ("counts", store.vocab.counts)):
        np.save(folder / f"{name}.npy", np.asarray(array))
    (folder / "words.json").write_text(json.dumps(store.vocab.tokens), encoding="utf-8")
    tokens = np.array(store.vocab.tokens, dtype=object)
    with (folder / "corpus.txt").open("w", encoding="utf-8") as file:
        for start, end in zip(store.offsets[:-1], store.offsets[1:], strict=True):
            file.write(" ".join(tokens[store.ids[start:end]]) + "\n")


def train_rnncli(arguments: argparse.Namespace, folder: Path) -> tuple[float, Any]:
    """(seconds of training, vectors (V, E))."""
    from rnncli.config.embeddings import CorpusConfig, EmbeddingsConfig
    from rnncli.embeddings.train_word2vec import train_word2vec
    from rnncli.embeddings.training import Lines

    config = EmbeddingsConfig(
        corpus=CorpusConfig(paths=[arguments.corpus]),
        mode=arguments.program,
        algorithm=arguments.algorithm,
        lr=arguments.lr,
        dim=arguments.dim,
        window=arguments.window,
        negative=arguments.negative,
        epochs=arguments.epochs,
        threads=arguments.threads,
        seed=arguments.seed,
    )
    ids, offsets, counts = (np.load(folder / f"{name}.npy") for name in ("ids", "offsets", "counts"))
    state = train_word2vec(Lines(ids, offsets), counts, config)
    return state.seconds, state.tensors["inputs"]


def train_gensim(arguments: argparse.Namespace, folder: Path) -> tuple[float, Any]:
    """(seconds of training, vectors (V, E))."""
    from gensim.models import Word2Vec

    text = str(folder / "corpus.txt")
    model = Word2Vec(
        vector_size=arguments.dim,
        window=arguments.window,
        negative=arguments.negative,
        sg=int(arguments.algorithm == "skipgram"),
        sample=1e-3,
        min_count=1,  # the file holds the vocabulary's words only
        workers=arguments.threads,
        epochs=arguments.epochs,
        alpha=arguments.lr,
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
    words = json.loads((folder / "words.json").read_text(encoding="utf-8"))
    return seconds, np.stack([model.wv[word] for word in words])


def ranks(values: Any) -> Any:
    """Ranks (n,) from 1, equal values sharing their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return ((ends - counts + 1 + ends) / 2.0)[inverse]


def spearman(vectors_VE: Any, words: list[str], path: Path) -> tuple[float, int]:
    """(rank correlation of cosine and human score, pairs inside the vocabulary)."""
    row = {word: i for i, word in enumerate(words)}
    unit = vectors_VE / np.maximum(np.linalg.norm(vectors_VE, axis=1, keepdims=True), 1e-12)
    human, cosine = [], []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("#") or not line.strip():
            continue
        first, second, score = line.lower().split("\t")[:3]
        if first in row and second in row:
            human.append(float(score))
            cosine.append(float(unit[row[first]] @ unit[row[second]]))
    return float(np.corrcoef(ranks(np.array(human)), ranks(np.array(cosine)))[0, 1]), len(human)


def run_one(arguments: argparse.Namespace, folder: Path) -> None:
    """Train with one program and print what was measured as JSON."""
    train = train_gensim if arguments.program == "gensim" else train_rnncli
    seconds, vectors_VE = train(arguments, folder)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0  # Linux counts in KiB
    tokens = len(np.load(folder / "ids.npy", mmap_mode="r"))
    row = {"words_per_second": tokens * arguments.epochs / seconds, "seconds": seconds, "peak_MiB": peak}
    if arguments.wordsim:
        words = json.loads((folder / "words.json").read_text(encoding="utf-8"))
        row["spearman"], row["pairs"] = spearman(vectors_VE, words, arguments.wordsim)
    print(json.dumps(row))


def measure(arguments: argparse.Namespace, folder: Path) -> dict[str, list[dict[str, float]]]:
    """Rows of every program, which take turns; a program that cannot be imported has none.

    The corpus is prepared by a process of its own too: Linux counts a parent's memory in its children's peak.
    """
    command = [sys.executable, __file__, *sys.argv[1:], "--folder", str(folder), "--program"]
    subprocess.run([*command, PREPARE], check=True)
    have_gensim = importlib.util.find_spec("gensim") is not None
    rows: dict[str, list[dict[str, float]]] = {program: [] for program in PROGRAMS}
    for seed in range(1, arguments.rounds + 1):
        for program in PROGRAMS:
            if program == "gensim" and not have_gensim:
                continue
            done = subprocess.run(
                [*command, program, "--seed", str(seed)], check=True, stdout=subprocess.PIPE, text=True
            )
            rows[program].append(json.loads(done.stdout.splitlines()[-1]))
    return rows


def print_table(rows: dict[str, list[dict[str, float]]]) -> None:
    """Medians over the rounds as a Markdown table; the last column is the median of the ratios of the same round."""
    print(
        "| program | words/s | peak memory, MiB | WordSim-353 (each seed) | speed against gensim |\n|---|---|---|---|---|"
    )
    for program, runs in rows.items():
        if not runs:
            continue
        speed = statistics.median(run["words_per_second"] for run in runs)
        peak = statistics.median(run["peak_MiB"] for run in runs)
        quality = " ".join(f"{run['spearman']:.3f}" for run in runs if "spearman" in run) or "-"
        pairs = zip(runs, rows["gensim"], strict=False)
        ratios = [run["words_per_second"] / peer["words_per_second"] for run, peer in pairs]
        ratio = f"{statistics.median(ratios):.2f}" if ratios else "-"
        print(f"| {program} | {speed / 1e3:,.0f} k | {peak:,.0f} | {quality} | {ratio} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--wordsim", type=Path)
    parser.add_argument("--json", type=Path)
    for name, default in (("epochs", 5), ("dim", 100), ("window", 5), ("negative", 5), ("threads", 2), ("rounds", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--min-count", type=int, default=5)
    parser.add_argument("--algorithm", choices=("skipgram", "cbow"), default="skipgram")
    parser.add_argument("--lr", type=float, default=0.025)
    parser.add_argument("--program", choices=(PREPARE, *PROGRAMS), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=1, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.program == PREPARE:
        prepare(arguments, arguments.folder)
        return
    if arguments.program:
        run_one(arguments, arguments.folder)
        return
    with tempfile.TemporaryDirectory() as name:
        rows = measure(arguments, Path(name))
    print_table(rows)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
