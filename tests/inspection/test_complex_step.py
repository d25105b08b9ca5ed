"""O21: training gradients against the complex step, on a twin of the network written down in plain NumPy.

f(x + 1e-30 i) / 1e-30 is f'(x) without any cancellation, so that the two must agree to the last digits.
"""

import numpy as np
import pytest
from factory import CELLS

from rnncli.rnn.network import Network, NetworkSpec
from rnncli.rnn.packing import Sequences, pack

STEP = 1e-30
LENGTHS = (4, 1, 3)
V, E, H, C = 6, 3, 4, 3


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def tanh(a):
    """np.tanh of complex numbers is as exact, but this says what is meant."""
    t = np.tanh(a.real)
    return t + 1j * a.imag / np.cosh(a.real) ** 2


def run(cell, x_TI, params, name):
    """States of one layer and direction."""
    w_ih, w, b = (params[f"rnn.{kind}_{name}"] for kind in ("weight_ih", "weight_hh", "bias"))
    h = c = np.zeros(w.shape[1], complex)
    states = []
    for x in x_TI:
        wx = w_ih @ x + b
        if cell in ("rnn", "relu"):
            a = wx + w @ h
            h = tanh(a) if cell == "rnn" else np.where(a.real > 0, a, 0)
        elif cell == "lstm":
            i, f, g, o = np.split(wx + w @ h, 4)
            c = sigmoid(f) * c + sigmoid(i) * tanh(g)
            h = sigmoid(o) * tanh(c)
        else:
            b_hn, size = params[f"rnn.bias_hn_{name}"], h.size
            x_r, x_z, x_n = np.split(wx, 3)
            r, z = sigmoid(x_r + w[:size] @ h), sigmoid(x_z + w[size : 2 * size] @ h)
            w_n = w[2 * size :]
            inner = r * (w_n @ h + b_hn) if cell == "gru" else w_n @ (r * h) + b_hn
            h = z * h + (1 - z) * tanh(x_n + inner)
        states.append(h)
    return np.array(states)


def pooled(h_TO, how, params):
    if how == "last":
        return np.concatenate([h_TO[-1, :H], h_TO[0, H:]])
    if how == "attention":
        weight = np.exp(h_TO @ params["pooling.query"])
        return weight / weight.sum() @ h_TO
    return h_TO.mean(axis=0) if how == "mean" else np.take_along_axis(h_TO, h_TO.real.argmax(axis=0)[None], 0)[0]


def term(z, y, head):
    if head == "regression":
        return ((z - y) ** 2).mean()
    if head == "binary":
        return np.log(1 + np.exp(-z[0] if y == 1 else z[0]))
    if head == "multilabel":
        return sum(np.log(1 + np.exp(-v if w else v)) for v, w in zip(z, y, strict=True))
    return np.log(np.exp(z).sum()) - z[y]


def loss(spec, params, ids, targets):
    """Mean loss over rows, or over all tokens."""
    losses, at = [], 0
    for row, length in enumerate(LENGTHS):
        x = params["embedding"][ids[at : at + length]]
        for layer in range(spec.layers):
            ways = [run(spec.cell, x, params, f"l{layer}")]
            if spec.bidirectional:
                ways.append(run(spec.cell, x[::-1], params, f"l{layer}_reverse")[::-1])
            x = np.concatenate(ways, axis=1)
        read = x if spec.each else [pooled(x, spec.pooling, params)]
        wanted = targets[at : at + length] if spec.each else [targets[row]]
        weight = params["embedding"] if spec.tied else params.get("output", params.get("head.weight"))
        losses += [term(weight @ h + params["head.bias"], y, spec.head) for h, y in zip(read, wanted, strict=True)]
        at += length
    return sum(losses) / len(losses)


def compared(spec, seed=0):
    """The largest |difference| over the largest element of each block's gradient."""
    rng = np.random.default_rng(seed)
    network = Network(spec, np.float64)
    network.initialise("orthogonal", 1)
    network.dense.flat += 0.2 * rng.normal(size=network.dense.flat.size)
    for table in network.tables.values():
        table[:] = rng.normal(size=table.shape)
    ids = rng.integers(0, V, sum(LENGTHS)).astype(np.int32)
    terms = sum(LENGTHS) if spec.each else len(LENGTHS)
    targets = rng.integers(0, spec.classes, terms).astype(np.int32)
    if spec.head == "regression":
        targets = rng.normal(size=(terms, spec.classes))
    elif spec.head == "multilabel":
        targets = rng.integers(0, 2, (terms, spec.classes)).astype(np.float64)
    data = Sequences.of_texts(ids, np.append(0, np.cumsum(LENGTHS)).astype(np.int64))
    batch = pack(data, np.arange(data.n), 2)
    got = network.gradients(batch, targets[batch.position_N] if spec.each else targets[batch.rows_B])
    params = {name: network.dense[name].astype(complex) for name in network.dense.slots}
    params |= {name: table.astype(complex) for name, table in network.tables.items()}
    worst = 0.0
    for name, values in params.items():
        exact = np.empty(values.shape)
        for at in np.ndindex(values.shape):
            kept = values[at]
            values[at] = kept + 1j * STEP
            exact[at] = loss(spec, params, ids, targets).imag / STEP
            values[at] = kept
        if name in network.tables:
            whole = np.array(got.full[name]) if name in got.full else np.zeros(values.shape)
            if name in got.sparse:
                whole[got.sparse[name].rows_U] += got.sparse[name].values_UE
        else:
            slot = network.dense.slots[name]
            whole = got.dense_P[slot.offset : slot.offset + slot.size].reshape(slot.shape)
        worst = max(worst, np.abs(whole - exact).max() / max(np.abs(exact).max(), 1e-300))
    return worst


@pytest.mark.parametrize("head", ["binary", "multiclass", "multilabel", "regression"])
@pytest.mark.parametrize("cell", CELLS)
def test_every_cell_and_head(cell, head):
    assert compared(NetworkSpec(cell, head, V, E, H, 2 if head == "binary" else C)) < 1e-12


@pytest.mark.parametrize("pooling", ["mean", "max", "attention", "each"])
@pytest.mark.parametrize("cell", CELLS)
def test_two_layers_in_both_directions(cell, pooling):
    assert compared(NetworkSpec(cell, "multiclass", V, E, H, C, 0.0, 2, True, pooling)) < 1e-12


@pytest.mark.parametrize("cell", ["rnn", "lstm"])
def test_a_language_model_whose_output_is_its_embedding(cell):
    assert compared(NetworkSpec(cell, "multiclass", V, H, H, V, 0.0, 2, False, "each", tied=True)) < 1e-12
