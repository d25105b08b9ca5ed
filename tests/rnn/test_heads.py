"""Every head, with a loss a row and a loss a token: the twin, central differences, torch, a row's independence."""

import itertools

import numpy as np
import pytest
from reference import rnn as reference

from rnncli.inspection.gradient_check import check_gradients
from rnncli.kernels.wide_softmax import TILE
from rnncli.rnn.cells import CELLS
from rnncli.rnn.network import Network
from rnncli.rnn.packing import Sequences, pack
from rnncli.rnn.spec import WIDE, NetworkSpec

V, E, H, C = 5, 2, 3, 3
LENGTHS = [5, 0, 3, 1, 4]
DEPTHS = list(itertools.product((1, 2), (False, True)))


def make(head="multiclass", pooling="last", cell="rnn", dtype=np.float64, lengths=LENGTHS, hidden=H, **more):
    """A network, sequences, the targets of every row or token, and all rows packed."""
    random = np.random.default_rng(7)
    fields = {"vocabulary": V, "embedding_dim": E, "hidden_size": hidden, "classes": C, "pooling": pooling} | more
    spec = NetworkSpec(cell=cell, head=head, **fields)
    network = Network(spec, dtype)
    network.initialise("orthogonal", 3)
    network.dense.flat += (0.2 * random.normal(size=network.dense.flat.size)).astype(dtype)
    for table in network.tables.values():
        table *= 8.0
    n = sum(lengths)
    starts = np.append(0, np.cumsum(lengths))[:-1].astype(np.int64)
    ids = None if spec.inputs else random.integers(0, spec.vocabulary, n).astype(np.int32)
    features = random.integers(0, spec.feature_rows, (n, spec.features)).astype(np.int32) if spec.features else None
    values = random.normal(size=(n, spec.inputs)).astype(np.float32) if spec.inputs else None
    data = Sequences(starts, np.array(lengths), ids, features, values)
    terms = n if spec.each else len(lengths)
    if head == "multilabel":
        targets = random.integers(0, 2, (terms, C)).astype(np.float32)
    elif head == "regression":
        targets = random.normal(size=(terms, C)).astype(np.float32)
    else:
        targets = random.integers(0, spec.outputs, terms).astype(np.int32)
    batch = pack(data, np.arange(len(lengths)), 3)
    return network, data, targets[batch.position_N if spec.each else batch.rows_B], batch


def assert_gradients(network, batch, targets):
    result = check_gradients(network, batch, targets, 1e-6)
    assert result.passed, [(row.name, row.relative_error) for row in result.parameters]
    names = {f"{name}.weight" for name in network.tables} | set(network.dense)
    assert {row.name for row in result.parameters} == names
    assert np.mean([row.checked > 0 for row in result.parameters]) > 0.5


@pytest.mark.parametrize("head", ["multilabel", "regression"])
@pytest.mark.parametrize("pooling", ["last", "mean", "max", "attention"])
@pytest.mark.parametrize(("layers", "bidirectional"), DEPTHS)
@pytest.mark.parametrize("cell", CELLS)
def test_gradients_of_row_heads(cell, layers, bidirectional, pooling, head):
    network, _, targets, batch = make(head, pooling, cell, layers=layers, bidirectional=bidirectional)
    assert_gradients(network, batch, targets)


@pytest.mark.parametrize(("layers", "bidirectional"), DEPTHS)
@pytest.mark.parametrize("cell", CELLS)
def test_gradients_of_a_loss_at_every_token(cell, layers, bidirectional):
    network, _, targets, batch = make("multiclass", "each", cell, layers=layers, bidirectional=bidirectional)
    assert_gradients(network, batch, targets)


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("tied", [False, True])
def test_gradients_of_a_softmax_in_tiles(cell, tied):
    words = 4 * TILE + 30  # five tiles, the last one of another width
    assert words > WIDE
    network, _, targets, batch = make(
        "multiclass", "each", cell, classes=words, vocabulary=words, embedding_dim=H, tied=tied, layers=2
    )
    for table in network.tables.values():
        table /= 4.0
    assert_gradients(network, batch, targets)


@pytest.mark.parametrize("pooling", ["last", "each"])
@pytest.mark.parametrize("more", [{"features": 2, "feature_rows": 7, "feature_dim": 2}, {"inputs": 2, "vocabulary": 0}])
def test_gradients_with_features_and_with_numbers_as_inputs(pooling, more):
    network, _, targets, batch = make("multiclass", pooling, "lstm", **more)
    assert network.spec.input_size == (E + 4 if "features" in more else 2)
    assert_gradients(network, batch, targets)


@pytest.mark.parametrize("cell", CELLS)
def test_a_head_at_every_token_reads_the_twins_states(cell):
    network, data, targets, batch = make("multiclass", "each", cell, layers=2, bidirectional=True)
    d = {name: network.dense[name] for name in network.dense}
    logits, losses = network.forward(batch).logits_MC, network.loss(batch, targets)
    for row in range(data.n):
        x = network.embedding_VE[data.ids[data.starts[row] : data.starts[row] + data.lengths[row]]]
        h = reference.stack_forward(cell, x, d, 2, True)
        for t in range(len(h)):
            at = int(np.flatnonzero(batch.position_N == data.starts[row] + t)[0])
            expected = d["head.weight"] @ h[t] + d["head.bias"]
            np.testing.assert_allclose(logits[at], expected, atol=1e-12)
            assert losses[at] == pytest.approx(reference.loss(expected, targets[at], "multiclass"), rel=1e-12)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_tiles_give_what_one_softmax_gives(smoothing):
    words = 4 * TILE + 30
    network, _, targets, batch = make("multiclass", "each", "gru", classes=words)
    weights = np.random.default_rng(0).uniform(0.5, 2.0, targets.size)
    got = network.gradients(batch, targets, weights_M=weights, smoothing=smoothing)
    h = network.forward(batch).run.h_NO
    w, b = network.tables["output"], network.dense["head.bias"]
    z = h @ w.T + b
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    q = np.full(p.shape, smoothing / words)
    q[np.arange(targets.size), targets] += 1 - smoothing
    np.testing.assert_allclose(got.loss_M, -(q * np.log(p)).sum(axis=1), rtol=1e-12)
    dz = (p - q) * (weights / weights.sum())[:, None]
    np.testing.assert_allclose(got.full["output"], dz.T @ h, atol=1e-15)
    slot = network.dense.slots["head.bias"]
    np.testing.assert_allclose(got.dense_P[slot.offset : slot.offset + slot.size], dz.sum(axis=0), atol=1e-15)
    np.testing.assert_allclose(network.head_backward(dz), dz @ w, atol=1e-15)


@pytest.mark.parametrize("head", ["multiclass", "multilabel", "regression"])
def test_losses_and_gradients_match_torch(head):
    torch = pytest.importorskip("torch")
    network, _, targets, batch = make(head, "last", "gru")
    out = network.forward(batch)
    logits = torch.from_numpy(out.logits_MC.copy()).requires_grad_()
    y = torch.from_numpy(targets.astype(np.int64 if head == "multiclass" else np.float64))
    each = {
        "multiclass": lambda: torch.nn.functional.cross_entropy(logits, y, reduction="none"),
        "multilabel": lambda: torch.nn.functional.binary_cross_entropy_with_logits(logits, y, reduction="none").sum(1),
        "regression": lambda: torch.nn.functional.mse_loss(logits, y, reduction="none").mean(1),
    }[head]()
    each.sum().backward()
    losses, dlogits = network.losses(out.logits_MC, targets)
    np.testing.assert_allclose(losses, each.detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(dlogits, logits.grad.numpy(), atol=1e-14)


@pytest.mark.parametrize("classes", [C, WIDE + 40])
def test_a_token_has_the_same_loss_alone_as_in_a_batch(classes):
    lengths = [5, 0, 3, 7, 1, 4, 2, 12, 9, 9, 3, 30, 1, 8, 8, 2, 6, 5, 21, 3]
    network, data, targets, batch = make(
        "multiclass", "each", "lstm", np.float32, lengths, 37, classes=classes, bidirectional=True
    )
    together = network.loss(batch, targets)
    by_position = np.empty(targets.size, np.int32)
    by_position[batch.position_N] = targets
    for row in range(data.n):
        alone = pack(data, np.array([row]))
        own = network.loss(alone, by_position[alone.position_N])
        at = np.concatenate([np.flatnonzero(batch.position_N == p) for p in alone.position_N] or [[]]).astype(int)
        np.testing.assert_array_equal(own, together[at])


def test_a_batch_without_tokens_has_no_losses():
    network, _, targets, batch = make("multiclass", "each", "lstm", lengths=[0, 0])
    assert network.loss(batch, targets).size == 0
    assert not network.gradients(batch, targets).dense_P.any()
