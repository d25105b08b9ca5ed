"""rnncli info: what is listed adds up, for every kind of model."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from rnncli.artifacts.bundle import ModelFile, save_model
from rnncli.cli.app import app
from rnncli.data.tokenise import Tokenizer
from rnncli.data.vocab import Vocabulary
from rnncli.errors import ArtifactError, UsageError
from rnncli.pipelines import info
from rnncli.rnn.classifier import Classifier
from rnncli.rnn.network import Network, NetworkSpec


@pytest.fixture
def model(tmp_path: Path) -> Path:
    network = Network(NetworkSpec("lstm", "multiclass", 5, 4, 6, 3, 0.0, 2, True, "attention"))
    network.initialise("orthogonal", 1)
    vocab = Vocabulary(["<unk>", "a", "b", "c", "d"], np.arange(5), has_unknown=True)
    classifier = Classifier(network, vocab, Tokenizer("words"), ["x", "y", "z"])
    meta = classifier.to_meta() | {"config": {"embeddings": {"trainable": False}}}
    save_model(tmp_path / "model.safetensors", ModelFile("classifier", classifier.to_tensors(), meta))
    return tmp_path


def test_numbers_add_up(model):
    result = info.run(model, 50)
    assert (
        result.total == sum(np.prod(row.shape) for row in result.parameters) == sum(r.count for r in result.parameters)
    )
    lstm = 2 * (24 * (4 + 6 + 1) + 24 * (12 + 6 + 1))
    assert result.total == 5 * 4 + lstm + 12 + 3 * 12 + 3
    assert result.trainable == result.total - 20  # the embedding is frozen
    assert result.cost.recurrence_flops == 50 * 4 * 2 * 4 * 36
    assert result.cost.attention_flops == 4 * 50**2 * 6
    crossing = result.cost.crossing_length
    assert 4 * 2 * 4 * 36 * crossing == pytest.approx(4 * crossing**2 * 6)


def test_the_command_prints_a_table_or_json(model):
    runner = CliRunner()
    text = runner.invoke(app, ["info", str(model)]).stdout
    assert "rnn.weight_hh_l1_reverse" in text
    assert "24 x 6" in text
    assert "not trained: h_0" in text
    assert "self-attention" in text
    parsed = json.loads(runner.invoke(app, ["info", str(model), "--json", "--length", "7"]).stdout)
    assert parsed["cost"]["length"] == 7
    assert parsed["kind"] == "classifier"


def test_word_vectors_and_bad_files(tmp_path):
    from rnncli.embeddings.model import EmbeddingModel

    vocab = Vocabulary(["a", "b"], np.array([2, 1]), has_unknown=False)
    vectors = EmbeddingModel(np.zeros((2, 3), np.float32), vocab, Tokenizer("words"), np.ones((2, 3), np.float32))
    save_model(tmp_path / "v.safetensors", ModelFile("embeddings", vectors.to_tensors(), vectors.to_meta()))
    result = info.run(tmp_path / "v.safetensors")
    assert {row.name for row in result.parameters} == {"vectors", "outputs"}
    assert (result.total, result.cost) == (12, None)
    with pytest.raises(UsageError):
        info.run(tmp_path / "missing")
    (tmp_path / "bad.safetensors").write_bytes(b"x" * 100)
    with pytest.raises(ArtifactError):
        info.run(tmp_path / "bad.safetensors")
