"""Word vectors beside other programs: speed, memory and quality on one corpus, every program in a process of its own.

    python benchmarks/embeddings.py CORPUS [--algorithm skipgram|cbow|glove] [--epochs 5] [--dim 100 ...] [--max-vocab 0 ...]
        [--similarity FILE ...] [--analogy FILE] [--rounds 3] [--programs NAME ...] [--json FILE]

CORPUS is text, one sentence or paragraph a line (plain or compressed). It is cut into words once; every program gets the
same words, vocabulary, window, negatives, sub-sampling, epochs and threads. Speed counts corpus words inside the
vocabulary (glove: cells of the co-occurrence matrix) by the seconds of training alone. Programs take turns, each round with
another seed, because ratios taken side by side are steadier than figures. gensim, fastText, word2vec and GloVe's programs
are left out where they are not installed. Several --dim or --max-vocab give a block of rows each.
"""

import argparse
import itertools
import json
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import embedding_programs as programs

PREPARE = "prepare"
Row = dict[str, Any]


def evaluated(arguments: argparse.Namespace, words: list[str], vectors_VE: Any) -> Row:
    """Scores with their 95 % bootstrap intervals, by file name."""
    import numpy as np

    from rnncli.data.tokenise import Tokenizer
    from rnncli.data.vocab import Vocabulary
    from rnncli.data.wordquestions import read_analogies, read_word_pairs
    from rnncli.embeddings.evaluate import analogy_answers, analogy_result, pair_cosines, similarity_result
    from rnncli.embeddings.model import EmbeddingModel
    from rnncli.embeddings.resampling import Bootstrap

    counts = np.arange(len(words), 0, -1)
    model = EmbeddingModel(vectors_VE.astype(np.float32), Vocabulary(words, counts, False), Tokenizer("words"))
    scores: Row = {}
    for path in arguments.similarity:
        found = similarity_result(pair_cosines(model, read_word_pairs(path)), "skip", Bootstrap())
        scores[path.stem] = [found.spearman, *(found.interval or [])]
    for path in arguments.analogy:
        answers = analogy_result(analogy_answers(model, read_analogies(path)), "skip", Bootstrap())
        scores[path.stem] = [answers.accuracy, *(answers.interval or [])]
    return scores


def run_one(arguments: argparse.Namespace, folder: Path) -> None:
    """Train with one program and print what was measured as JSON."""
    trained = programs.programs_for(arguments)[arguments.program](arguments, folder)
    usage = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    row = {
        "per_second": trained.amount / trained.seconds,
        "seconds": trained.seconds,
        "peak_MiB": usage / 1024.0,  # Linux counts in KiB
        **trained.extra,
    }
    print(json.dumps(row | {"scores": evaluated(arguments, programs.words_of(folder), trained.vectors_VE)}))


def measure(arguments: argparse.Namespace, settings: list[str], folder: Path) -> dict[str, list[Row]]:
    """Rows of every program, which take turns.

    The corpus is prepared by a process of its own too: Linux counts a parent's memory in its children's peak.
    """
    command = [sys.executable, __file__, *sys.argv[1:], *settings, "--folder", str(folder), "--program"]
    subprocess.run([*command, PREPARE], check=True)
    chosen = [n for n in programs.programs_for(arguments) if not arguments.programs or n in arguments.programs]
    rows: dict[str, list[Row]] = {name: [] for name in chosen}
    for seed in range(1, arguments.rounds + 1):
        for name in chosen:
            done = subprocess.run([*command, name, "--seed", str(seed)], check=True, stdout=subprocess.PIPE, text=True)
            rows[name].append(json.loads(done.stdout.splitlines()[-1]))
            print(f"{name}, round {seed}: {rows[name][-1]['seconds']:.1f} s", file=sys.stderr)
    return rows


def print_table(title: str, rows: dict[str, list[Row]], unit: str) -> None:
    """Medians over the rounds; speeds against each peer are medians of the ratios of the same round."""
    own = ("deterministic", "hogwild")
    peers = [name for name, runs in rows.items() if runs and name not in own]
    names = sorted({name for runs in rows.values() for run in runs for name in run["scores"]})
    header = [title, f"{unit}/s", *(f"x {peer}" for peer in peers), "peak MiB", "loss", *names]
    print("| " + " | ".join(header) + " |\n|" + "---|" * len(header))
    for program, runs in rows.items():
        cells = [program, f"{statistics.median(run['per_second'] for run in runs) / 1e6:.2f} M"]
        for peer in peers:
            ratios = [a["per_second"] / b["per_second"] for a, b in zip(runs, rows[peer], strict=True)]
            cells.append(f"{statistics.median(ratios):.2f}")
        cells.append(f"{statistics.median(run['peak_MiB'] for run in runs):.0f}")
        losses = [run["loss"] for run in runs if "loss" in run]
        cells.append(f"{statistics.median(losses):.4f}" if losses else "-")
        for name in names:
            low, high = min(run["scores"][name][1] for run in runs), max(run["scores"][name][2] for run in runs)
            each = " ".join(f"{run['scores'][name][0]:.3f}" for run in runs)
            cells.append(f"{each} [{low:.3f}, {high:.3f}]")
        print("| " + " | ".join(cells) + " |")
    print()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--similarity", type=Path, action="append", default=[])
    parser.add_argument("--analogy", type=Path, action="append", default=[])
    parser.add_argument("--json", type=Path)
    for name, default in (("epochs", 5), ("window", 5), ("negative", 5), ("threads", 2), ("rounds", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    for name, default in (("min-count", 5), ("minn", 3), ("maxn", 0), ("bucket", 200_000), ("seed", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--dim", dest="dims", type=int, nargs="+", default=[100])
    parser.add_argument("--max-vocab", dest="vocabularies", type=int, nargs="+", default=[0], help="0: no limit")
    parser.add_argument("--algorithm", choices=("skipgram", "cbow", "glove"), default="skipgram")
    parser.add_argument("--loss", choices=("ns", "hs"), default="ns")
    parser.add_argument("--lr", type=float)
    parser.add_argument("--programs", nargs="+", help="only these")
    parser.add_argument("--program", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.program:
        arguments.dim, arguments.max_vocab = arguments.dims[0], arguments.vocabularies[0]
        if arguments.program == PREPARE:
            programs.prepare(arguments, arguments.folder)
        else:
            run_one(arguments, arguments.folder)
        return
    unit = "cells" if arguments.algorithm == "glove" else "words"
    results = []
    for dim, vocabulary in itertools.product(arguments.dims, arguments.vocabularies):
        with tempfile.TemporaryDirectory() as name:
            rows = measure(arguments, ["--dim", str(dim), "--max-vocab", str(vocabulary)], Path(name))
        title = f"d {dim}" + (f", V {vocabulary}" if vocabulary else "")
        print_table(title, rows, unit)
        results.append({"dim": dim, "max_vocab": vocabulary, "programs": rows})
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
