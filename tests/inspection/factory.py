"""Networks, linear chains and probes that the tests of the instrument share."""

from types import SimpleNamespace

import numpy as np

from rnncli.inspection.lag_matrix import WalkSettings, walk
from rnncli.inspection.local import simple_derivatives
from rnncli.inspection.probe import Probe
from rnncli.inspection.rollout import Chain, Rollout
from rnncli.rnn.cells import LayerPlace
from rnncli.rnn.network import Network, NetworkSpec
from rnncli.rnn.packing import Sequences

CELLS = ["rnn", "relu", "lstm", "gru", "gru_before"]
LENGTHS = (7, 4, 9, 1)


def made(cell, layers=1, bidirectional=False, pooling="each", seed=3, hidden=5):
    """A float64 network whose every token is another word, its probe rows and targets."""
    tokens = sum(LENGTHS)
    spec = NetworkSpec(cell, "multiclass", tokens, 4, hidden, 3, 0.0, layers, bidirectional, pooling)
    network = Network(spec, np.float64)
    network.initialise("uniform", seed)
    rng = np.random.default_rng(seed)
    network.dense.flat += 0.3 * rng.normal(size=network.dense.flat.size)
    network.embedding_VE[:] = rng.normal(size=network.embedding_VE.shape)
    ids = rng.permutation(tokens).astype(np.int32)
    data = Sequences.of_texts(ids, np.append(0, np.cumsum(LENGTHS)).astype(np.int64))
    targets = rng.integers(0, 3, tokens if pooling == "each" else len(LENGTHS)).astype(np.int32)
    return network, data, targets


def orthogonal(n, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(n, n)))[0]


def linear(w_HH, lengths=(100,), each=False, derivative=None, direct=None, seed=1):
    """A rollout of a plain cell written down by hand: h' = g(W h), g' as given (1: linear), and random dL/dh.

    There is a loss at every step (`each`) or at the last one of each row.
    """
    size = w_HH.shape[0]
    rng = np.random.default_rng(seed)
    offsets = np.append(0, np.cumsum(lengths)).astype(np.int64)
    n = int(offsets[-1])
    local = simple_derivatives(
        np.ones((n, size)) if derivative is None else np.broadcast_to(derivative, (n, size)).copy()
    )
    h = rng.normal(size=(n, size))
    before = np.vstack([np.zeros(size), h[:-1]])
    before[offsets[:-1]] = 0.0
    if direct is None:
        direct = rng.normal(size=(n, size))
    direct_NO = np.broadcast_to(direct, (n, size)).copy()
    if not each:
        last = np.zeros(n, bool)
        last[offsets[1:] - 1] = True
        direct_NO[~last] = 0.0
    none = {"W_hh": np.zeros((size, size)), "W_ih": np.zeros((size, 2)), "b": np.zeros(size)}
    chain = Chain(
        LayerPlace(0, False), "rnn", h, h, before, before, rng.normal(size=(n, 2)), local,
        np.ascontiguousarray(w_HH, np.float64), rng.normal(size=(size, 2)), None, none,
    )  # fmt: skip
    network = SimpleNamespace(spec=SimpleNamespace(each=each))
    return Rollout(
        network, offsets, np.arange(len(lengths)), np.empty(0, np.int32), [[chain]], direct_NO, np.arange(n), None,
        np.zeros(len(lengths)), np.empty((0, 0)), np.zeros(len(lengths), np.int64),
    )  # fmt: skip


def lags_of(rollout, **settings):
    """What the walk says of the only chain."""
    return walk(rollout, WalkSettings(**settings))[0]


def driven(cell, w_hh, steps, kick=1.0, seed=0, rows=1, w_ih=None, bias=None, classes=2):
    """A network of one number a step with the given W_hh, and rows that are kicked once and then read zeros.

    Returns (network, data, targets); there is one loss, at the end of each row.
    """
    size = w_hh.shape[1]
    spec = NetworkSpec(cell, "multiclass", 0, 0, size, classes, inputs=1)
    network = Network(spec, np.float64)
    network.initialise("uniform", seed)
    rng = np.random.default_rng(seed)
    network.dense["rnn.weight_hh_l0"][:] = w_hh
    network.dense["rnn.weight_ih_l0"][:] = rng.normal(size=(w_hh.shape[0], 1)) if w_ih is None else w_ih
    network.dense["rnn.bias_l0"][:] = 0.0 if bias is None else bias
    values = np.zeros((rows, steps, 1))
    values[:, 0, 0] = kick * (1.0 + 0.1 * np.arange(rows))
    lengths = np.full(rows, steps, np.int64)
    data = Sequences(np.arange(rows, dtype=np.int64) * steps, lengths, values=values.reshape(-1, 1))
    return network, data, (np.arange(rows) % classes).astype(np.int32)


def texts(n, length, vocabulary, seed=0, classes=2, each=False, spread=0):
    """Rows of random words (lengths from length - spread to length) and random labels."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(length - spread, length + 1, n)
    offsets = np.append(0, np.cumsum(lengths)).astype(np.int64)
    ids = rng.integers(0, vocabulary, offsets[-1]).astype(np.int32)
    targets = rng.integers(0, classes, offsets[-1] if each else n).astype(np.int32)
    return Sequences.of_texts(ids, offsets), targets


def probe_for(network, data, targets, task="classifier", **more):
    return Probe(network, data, targets, task, **more)
