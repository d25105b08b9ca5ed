"""A tiny labelled task that a recurrent net learns in seconds: is the first marker word good or bad?"""

from pathlib import Path

import numpy as np
import pytest


def write_task(path: Path, rows: int, seed: int) -> Path:
    """A TSV file of `rows` texts, label = the first of the words good/bad in it."""
    rng = np.random.default_rng(seed)
    lines = ["label\ttext"]
    for _ in range(rows):
        words = list(rng.choice(["the", "film", "was", "and", "so"], size=rng.integers(1, 9)))
        label = str(rng.choice(["good", "bad"]))
        words.insert(int(rng.integers(0, len(words) + 1)), label)
        lines.append(f"{label}\t{' '.join(words)}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with train.tsv, valid.tsv, test.tsv and recipe.yaml."""
    folder = tmp_path_factory.mktemp("task")
    for i, (name, rows) in enumerate((("train", 300), ("valid", 80), ("test", 80))):
        write_task(folder / f"{name}.tsv", rows, i)
    (folder / "recipe.yaml").write_text(
        f"data: {{train: {folder}/train.tsv, valid: {folder}/valid.tsv, test: {folder}/test.tsv}}\n"
        "embeddings: {dim: 12}\nmodel: {hidden_size: 20, dropout: 0.1}\n"
        "training: {epochs: 4, batch_size: 40, lr: 5e-3, patience: 0}\n",
        encoding="utf-8",
    )
    return folder
