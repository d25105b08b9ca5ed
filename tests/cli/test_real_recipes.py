"""The recipes for real data run where the data is, and reach what they are for."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def train(command, config, output, data, *settings):
    """Run a training recipe of configs/ with its data paths turned to `data`; returns its JSON result."""
    from rnncli.config.load import read_config_file

    tree = read_config_file(ROOT / "configs" / config)[0]
    section = tree["data"] if "data" in tree else tree["corpus"]
    name = "data" if "data" in tree else "corpus"
    moved = []
    for key in ("train", "valid", "test", "paths"):
        if section.get(key):
            value = section[key][0] if key == "paths" else section[key]
            moved.append(f"{name}.{key}={data / Path(value).relative_to('../shared/data')}")
    sets = [word for setting in (*moved, *settings) for word in ("--set", setting)]
    arguments = [command, "-c", str(ROOT / "configs" / config), "-o", str(output), "--json", "-q", *sets]
    done = subprocess.run(
        [sys.executable, "-m", "rnncli", *arguments], capture_output=True, text=True, env=dict(os.environ), timeout=300
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_trec(real_data, tmp_path):
    result = train("train-classifier", "trec.yaml", tmp_path / "run", real_data, "data.test=", "embeddings.path=")
    assert result["valid"]["accuracy"] >= 0.82


def test_sst2_without_pretrained_vectors(real_data, tmp_path):
    settings = ("embeddings.path=", "training.epochs=3", "data.test=")
    result = train("train-classifier", "sst2.yaml", tmp_path / "run", real_data, *settings)
    assert result["valid"]["accuracy"] >= 0.65


@pytest.mark.slow
def test_trec_with_vectors_of_wikipedia(real_data, tmp_path):
    train("train-embeddings", "enwiki_vectors.yaml", tmp_path / "vectors", real_data)
    settings = (f"embeddings.path={tmp_path}/vectors", "data.test=")
    result = train("train-classifier", "trec.yaml", tmp_path / "run", real_data, *settings)
    assert result["valid"]["accuracy"] >= 0.88


@pytest.mark.slow
def test_sst2_with_vectors_of_film_reviews(real_data, tmp_path):
    vectors = train("train-embeddings", "imdb_vectors.yaml", tmp_path / "vectors", real_data)
    assert vectors["words"] > 40_000
    settings = (f"embeddings.path={tmp_path}/vectors", "data.test=")
    result = train("train-classifier", "sst2.yaml", tmp_path / "run", real_data, *settings)
    assert result["valid"]["accuracy"] >= 0.81
