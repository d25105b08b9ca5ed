"""ONNX graphs run as the models do; classifiers that torch trained predict as torch does."""

import itertools
import json

import numpy as np
import pytest

from rnncli.data.tokenise import Tokenizer
from rnncli.data.vocab import Vocabulary
from rnncli.errors import ArtifactError, RnncliError, UsageError
from rnncli.pipelines import export, import_torch, predict, train_classifier, train_lm, train_regressor, train_tagger
from rnncli.rnn.cells import CELLS
from rnncli.rnn.classifier import Classifier
from rnncli.rnn.network import Network
from rnncli.rnn.packing import Sequences, pack
from rnncli.rnn.spec import NetworkSpec

V, E, H, C = 9, 4, 6, 3
LENGTHS = np.array([7, 1, 4, 7, 2])


def make(cell, head, layers, bidirectional, pooling, **more):
    fields = {"vocabulary": V, "embedding_dim": E, "hidden_size": H, "classes": 2 if head == "binary" else C} | more
    spec = NetworkSpec(cell=cell, head=head, layers=layers, bidirectional=bidirectional, pooling=pooling, **fields)
    network = Network(spec)
    network.initialise("orthogonal", 4)
    random = np.random.default_rng(2)
    network.dense.flat += (0.2 * random.normal(size=network.dense.flat.size)).astype(np.float32)
    for table in network.tables.values():
        table *= 8
    return network


def run_both(network, lengths=LENGTHS):
    """Logits of this project and of onnxruntime for random rows; those of tokens in the order of the rows."""
    onnxruntime = pytest.importorskip("onnxruntime")
    spec, random = network.spec, np.random.default_rng(3)
    longest, rows = int(lengths.max()), len(lengths)
    arrays = export.arrays_of(
        Classifier(network, Vocabulary(["<unk>"], np.zeros(1, np.int64), True), Tokenizer("words"), [])
    )
    session = onnxruntime.InferenceSession(export.build_model(arrays).SerializeToString())
    feeds, values, features, ids = {"lengths": lengths.astype(np.int64)}, None, None, None
    if spec.inputs:
        feeds["x"] = random.normal(size=(rows, longest, spec.inputs)).astype(np.float32)
        values = feeds["x"].reshape(-1, spec.inputs)
    else:
        feeds["token_ids"] = random.integers(0, spec.vocabulary, (rows, longest))
        ids = feeds["token_ids"].reshape(-1).astype(np.int32)
    if spec.features:
        feeds["features"] = random.integers(0, spec.feature_rows, (rows, longest, spec.features))
        features = feeds["features"].reshape(-1, spec.features).astype(np.int32)
    batch = pack(Sequences(np.arange(rows) * longest, lengths.astype(np.int64), ids, features, values), np.arange(rows))
    mine = network.logits(network.forward(batch).read_MO, batch)
    theirs, probabilities = session.run(None, feeds)
    if spec.each:
        at = batch.position_N
        theirs, probabilities = theirs.reshape(-1, theirs.shape[2])[at], probabilities.reshape(-1, theirs.shape[2])[at]
    else:
        theirs, probabilities = theirs[batch.rows_B], probabilities[batch.rows_B]
    return mine, theirs, probabilities


@pytest.mark.parametrize("pooling", ["last", "mean", "max", "attention", "each"])
@pytest.mark.parametrize(("layers", "bidirectional"), list(itertools.product((1, 2), (False, True))))
@pytest.mark.parametrize("cell", CELLS)
def test_onnxruntime_gives_the_same_logits_at_several_lengths(cell, layers, bidirectional, pooling):
    network = make(cell, "multiclass", layers, bidirectional, pooling)
    mine, theirs, probabilities = run_both(network)
    np.testing.assert_allclose(theirs, mine, atol=1e-5)
    np.testing.assert_allclose(probabilities, network.head.probabilities(mine), atol=1e-5)


@pytest.mark.parametrize("head", ["binary", "multilabel", "regression"])
@pytest.mark.parametrize(
    "more", [{}, {"features": 2, "feature_rows": 5, "feature_dim": 3}, {"inputs": 2, "vocabulary": 0}]
)
def test_every_head_and_input(head, more):
    network = make("lstm", head, 1, True, "mean", **more)
    mine, theirs, probabilities = run_both(network)
    np.testing.assert_allclose(theirs, mine, atol=1e-5)
    np.testing.assert_allclose(probabilities, network.head.probabilities(mine), atol=1e-5)


@pytest.mark.parametrize("tied", [False, True])
def test_wide_softmax(tied):
    network = make("gru", "multiclass", 1, False, "each", classes=2100, vocabulary=2100, embedding_dim=H, tied=tied)
    mine, theirs, _ = run_both(network)
    np.testing.assert_allclose(theirs, mine, atol=1e-5)


@pytest.mark.parametrize("pooling", ["mean", "max", "attention"])
def test_a_row_without_tokens(pooling):
    network = make("gru", "multiclass", 1, True, pooling)
    mine, theirs, _ = run_both(network, np.array([3, 0, 5]))
    np.testing.assert_allclose(theirs, mine, atol=1e-5)


def test_a_graph_that_differs_is_not_delivered(tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    write_model(tmp_path)
    monkeypatch.setattr("rnncli.artifacts.onnx_graph.GATE_ORDER", {"RNN": (0,), "LSTM": (0, 1, 2, 3), "GRU": (0, 1, 2)})
    with pytest.raises(RnncliError, match="differs from the model"):
        export.run(tmp_path / "run", tmp_path / "m.onnx")
    assert not (tmp_path / "m.onnx").exists()


def write_model(tmp_path):
    lines = ["label\ttext", *(f"{'ab'[i % 2]}\t{'x' if i % 2 else 'y'} z" for i in range(40))]
    (tmp_path / "t.tsv").write_text("\n".join(lines) + "\n")
    from rnncli.config.rnn import ClassifierConfig

    recipe = {
        "data": {"train": tmp_path / "t.tsv"},
        "embeddings": {"dim": 4},
        "model": {"cell": "lstm", "hidden_size": 5},
    }
    train_classifier.run(ClassifierConfig.model_validate(recipe | {"training": {"epochs": 1}}), tmp_path / "run")


def test_export_is_repeatable_checked_and_says_what_it_knows(tmp_path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    write_model(tmp_path)
    first = export.run(tmp_path / "run", tmp_path / "a.onnx")
    second = export.run(tmp_path / "run", tmp_path / "b.onnx")
    assert first.sha256 == second.sha256
    assert first.largest_difference < 1e-5
    about = {p.key: p.value for p in onnx.load(tmp_path / "a.onnx").metadata_props}
    assert json.loads(about["labels"]) == ["a", "b"]
    assert set(json.loads(about["vocabulary"])) == {"<unk>", "x", "y", "z"}
    with pytest.raises(UsageError, match="exists already"):
        export.run(tmp_path / "run", tmp_path / "a.onnx")
    with pytest.raises(UsageError, match="there is no folder"):
        export.run(tmp_path / "run", tmp_path / "no" / "a.onnx")


def test_a_forecaster_in_onnx_takes_and_gives_numbers_of_the_data(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    from test_train_regressor import SERIES, forecast

    from rnncli.data.forecast import read_table

    for anchor in ("none", "last", "season"):
        train_regressor.run(forecast(anchor=anchor), tmp_path / anchor)
        assert export.run(tmp_path / anchor, tmp_path / f"{anchor}.onnx").largest_difference < 1e-5
        session = onnxruntime.InferenceSession(tmp_path / f"{anchor}.onnx")
        table = read_table(SERIES, ["value", "driver"])[1]
        feeds = {"x": table[None, -24:].astype(np.float32), "lengths": np.array([24])}
        foretold = session.run(["predictions"], feeds)[0][0]
        mine = [row["value"] for row in predict.run(tmp_path / anchor, iter(SERIES.read_text().splitlines()))]
        np.testing.assert_allclose(foretold, mine, atol=1e-4)


def test_taggers_and_language_models_can_be_exported(tmp_path):
    pytest.importorskip("onnxruntime")
    from test_train_sequences import language, tagger

    train_tagger.run(tagger(training={"epochs": 1}), tmp_path / "t")
    train_lm.run(language(training={"epochs": 1}), tmp_path / "l")
    for name in "tl":
        assert export.run(tmp_path / name, tmp_path / f"{name}.onnx").largest_difference < 1e-5


WORDS = ["<pad>", "red", "<unk>", "green", "blue"]


def torch_model(torch, kind, layers, bidirectional, outputs, **more):
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.look_up = torch.nn.Embedding(len(WORDS), 6)
            self.encoder = kind(6, 5, num_layers=layers, bidirectional=bidirectional, batch_first=True, **more)
            self.out = torch.nn.Linear(5 * (2 if bidirectional else 1), outputs)

        def forward(self, ids):
            h = self.encoder(self.look_up(ids))[0][0]
            last = torch.cat([h[-1, :5], h[0, 5:]])
            return self.out(last)

    torch.manual_seed(3)
    return Model()


@pytest.mark.parametrize(("layers", "bidirectional"), [(1, False), (2, True)])
@pytest.mark.parametrize("cell", ["rnn", "relu", "lstm", "gru"])
@pytest.mark.parametrize("outputs", [1, 3])
def test_torch_weights_predict_as_in_torch(tmp_path, cell, layers, bidirectional, outputs):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    kind = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}.get(cell, torch.nn.RNN)
    model = torch_model(
        torch, kind, layers, bidirectional, outputs, **({"nonlinearity": "relu"} if cell == "relu" else {})
    )
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    (tmp_path / "v.txt").write_text("\n".join(WORDS) + "\n")
    labels = ["no", "yes"] if outputs == 1 else ["a", "b", "c"]
    (tmp_path / "l.txt").write_text("\n".join(labels) + "\n")
    source = import_torch.TorchModel(
        tmp_path / "w.safetensors",
        tmp_path / "v.txt",
        tmp_path / "l.txt",
        "relu" if cell == "relu" else "auto",
        tokenizer="whitespace",
    )
    result = import_torch.run(source, tmp_path / "run")
    assert (result.cell, result.layers, result.bidirectional) == (cell, layers, bidirectional)
    texts = ["red", "green blue red never seen", "blue <pad> green"]
    for text, row in zip(texts, predict.run(tmp_path / "run", iter(texts)), strict=True):
        ids = [WORDS.index(w) if w in WORDS else 2 for w in text.split()]
        with torch.no_grad():
            logits = model(torch.tensor([ids]))
        if outputs == 1:
            p = torch.sigmoid(logits)[0].item()
            expected = [1 - p, p]
        else:
            expected = torch.softmax(logits, 0).tolist()
        np.testing.assert_allclose([row["probabilities"][label] for label in labels], expected, atol=1e-5)


def save(tmp_path, tensors, words=("<unk>", "a"), labels=("x", "y")):
    from safetensors.numpy import save_file

    save_file({k: np.ascontiguousarray(v, np.float32) for k, v in tensors.items()}, tmp_path / "w.safetensors")
    (tmp_path / "v.txt").write_text("\n".join(words) + "\n")
    (tmp_path / "l.txt").write_text("\n".join(labels) + "\n")
    return import_torch.TorchModel(tmp_path / "w.safetensors", tmp_path / "v.txt", tmp_path / "l.txt")


def rnn_tensors():
    return {
        "e.weight": np.ones((2, 3)), "r.weight_ih_l0": np.ones((4, 3)), "r.weight_hh_l0": np.ones((4, 4)),
        "r.bias_ih_l0": np.ones(4), "r.bias_hh_l0": np.ones(4), "h.weight": np.ones((1, 4)), "h.bias": np.ones(1),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "more", "message"),
    [
        (lambda t: t.pop("e.weight"), {}, "cannot tell the embedding"),
        (lambda t: t.pop("h.bias"), {}, "cannot tell the head"),
        (lambda t: t.pop("r.weight_hh_l0"), {}, "0 recurrent modules"),
        (lambda t: t.pop("r.bias_hh_l0"), {}, "lacks"),
        (lambda t: (t.pop("r.bias_hh_l0"), t.pop("r.bias_ih_l0")), {}, "has no biases"),
        (lambda t: t.update({"r.weight_hh_l0": np.ones((8, 4))}), {}, "is not that of a cell"),
        (lambda t: None, {"words": ("<unk>", "a", "b")}, "3 tokens, but e.weight has 2 rows"),
        (lambda t: None, {"words": ("a", "b")}, "0 lines with <unk>"),
        (lambda t: None, {"labels": ("x", "y", "z")}, "3 labels for 1 outputs"),
    ],
)
def test_what_does_not_fit_is_one_sentence_and_writes_nothing(tmp_path, change, more, message):
    tensors = rnn_tensors()
    change(tensors)
    with pytest.raises(ArtifactError, match=message):
        import_torch.run(save(tmp_path, tensors, **more), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_pickle_is_refused_with_the_way_out(tmp_path):
    source = save(tmp_path, rnn_tensors())
    (tmp_path / "w.safetensors").write_bytes(b"PK\x03\x04 not a safetensors file at all, as torch.save writes it")
    with pytest.raises(ArtifactError, match="save it without pickle"):
        import_torch.run(source, tmp_path / "run")
