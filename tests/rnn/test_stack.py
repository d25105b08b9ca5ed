"""Every cell, depth, direction and pooling: the NumPy twin, central differences, torch, and a row's independence."""

import itertools

import numpy as np
import pytest
from gradcheck import relative_error
from reference import rnn as reference

from rnncli.inspection.gradient_check import check_gradients
from rnncli.params import ParamStore
from rnncli.rnn.cells import CELLS
from rnncli.rnn.network import Network, NetworkSpec
from rnncli.rnn.packing import pack_batch
from rnncli.rnn.stack import Stack, StackSpec
from rnncli.rnn.torch_layout import take_torch_tensors, torch_tensors

V, E, H = 5, 2, 3
POOLINGS = ("last", "mean", "max", "attention")
DEPTHS = list(itertools.product((1, 2), (False, True)))
LENGTHS = [5, 0, 3, 1, 4]


def make_network(cell, layers, bidirectional, pooling, head="multiclass", dtype=np.float64, hidden=H, dropout=0.0):
    classes = 2 if head == "binary" else 3
    spec = NetworkSpec(cell, head, V, E, hidden, classes, dropout, layers, bidirectional, pooling)
    network = Network(spec, dtype)
    network.initialise("orthogonal", 3)
    network.embedding_VE *= 8.0
    random = np.random.default_rng(5)
    network.dense.flat += 0.2 * random.normal(size=network.dense.flat.size)  # biases and the query, too
    return network


def make_data(lengths=LENGTHS, classes=3, shard_rows=3, seed=0):
    random = np.random.default_rng(seed)
    offsets = np.append(0, np.cumsum(lengths)).astype(np.int64)
    ids = random.integers(0, V, offsets[-1]).astype(np.int32)
    labels = random.integers(0, classes, len(lengths)).astype(np.int32)
    return ids, offsets, labels, pack_batch(ids, offsets, np.arange(len(lengths)), shard_rows)


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize(("layers", "bidirectional"), DEPTHS)
@pytest.mark.parametrize("cell", CELLS)
def test_logits_are_those_of_the_numpy_twin(cell, layers, bidirectional, pooling):
    network = make_network(cell, layers, bidirectional, pooling)
    ids, offsets, _, batch = make_data()
    logits = network.forward(batch).logits_MC
    d = {name: network.dense[name] for name in network.dense}
    for b, row in enumerate(batch.rows_B):
        x = network.embedding_VE[ids[offsets[row] : offsets[row + 1]]]
        h = reference.stack_forward(cell, x, d, layers, bidirectional)
        pooled = reference.pool(h, pooling, H, d.get("pooling.query"))
        np.testing.assert_allclose(logits[b], d["head.weight"] @ pooled + d["head.bias"], atol=1e-12)


@pytest.mark.parametrize("head", ["binary", "multiclass"])
@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize(("layers", "bidirectional"), DEPTHS)
@pytest.mark.parametrize("cell", CELLS)
def test_gradients_match_central_differences(cell, layers, bidirectional, pooling, head):
    network = make_network(cell, layers, bidirectional, pooling, head)
    _, _, labels, batch = make_data(classes=network.spec.classes)
    result = check_gradients(network, batch, labels[batch.rows_B], 1e-6)
    assert result.passed, [(row.name, row.relative_error) for row in result.parameters]
    assert {row.name for row in result.parameters} == {"embedding.weight", *network.dense}
    checked = [row.checked > 0 for row in result.parameters]  # near a corner there is nothing to compare
    assert all(checked) or ((cell == "relu" or pooling == "max") and np.mean(checked) > 0.5)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_gradients_with_dropout_match_central_differences(cell):
    network = make_network(cell, 2, True, "mean", dropout=0.4)
    _, _, labels, batch = make_data()
    key, y = np.uint64(9), labels[batch.rows_B]
    gradients = network.gradients(batch, y, key)
    direction = np.random.default_rng(1).normal(size=network.dense.flat.size)
    kept, step, values = network.dense.flat.copy(), 1e-4, []
    for sign in (1.0, -1.0):
        network.dense.flat[:] = kept + sign * step * direction
        values.append(network.gradients(batch, y, key).loss_M.mean())
    numeric = (values[0] - values[1]) / (2 * step)
    assert float(gradients.dense_P @ direction) == pytest.approx(numeric, rel=1e-6)
    network.dense.flat[:] = kept
    assert not np.allclose(network.forward(batch).logits_MC, network.forward(batch, key).logits_MC)


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("cell", CELLS)
def test_a_row_alone_gives_the_same_bits_as_in_a_batch(cell, pooling):
    network = make_network(cell, 2, True, pooling, dtype=np.float32, hidden=37)
    lengths = [5, 0, 3, 7, 1, 4, 2, 12, 9, 9, 3, 30, 1, 8, 8, 2, 6, 5, 21, 3]
    ids, offsets, _, together = make_data(lengths, shard_rows=16)
    logits = network.forward(together).logits_MC
    for b, row in enumerate(together.rows_B):
        alone = network.forward(pack_batch(ids, offsets, np.array([row]))).logits_MC
        np.testing.assert_array_equal(alone[0], logits[b])


def test_the_reverse_order_is_its_own_inverse_and_stays_inside_rows():
    ids, offsets, _, batch = make_data(shard_rows=2)
    reverse = batch.reverse_N
    np.testing.assert_array_equal(reverse[reverse], np.arange(len(ids)))
    for r, length in enumerate(LENGTHS):
        for t in range(length):
            packed = np.flatnonzero(batch.position_N == offsets[r] + t)[0]
            assert batch.position_N[reverse[packed]] == offsets[r + 1] - 1 - t


@pytest.mark.parametrize("cell", CELLS)
def test_initial_values(cell):
    network = Network(NetworkSpec(cell, "multiclass", V, 20, 16, 3, 0.0, 2, True))
    network.initialise("orthogonal", 1)
    for name in network.dense:
        if "weight_hh" in name:
            for block in np.split(network.dense[name].astype(np.float64), network.stack.cell.gates):
                np.testing.assert_allclose(block @ block.T, np.eye(16), atol=1e-5)
        elif "bias" in name and cell == "lstm" and "head" not in name:
            np.testing.assert_array_equal(network.dense[name], np.repeat([0, 1, 0, 0], 16))
    blocks = [network.dense[n] for n in network.dense if "weight_hh" in n]
    parts = [part for block in blocks for part in np.split(block, network.stack.cell.gates)]
    for a, b in itertools.combinations(parts, 2):
        assert not np.array_equal(a, b)


@pytest.mark.parametrize(("layers", "bidirectional"), DEPTHS)
@pytest.mark.parametrize("cell", ["rnn", "relu", "lstm", "gru"])
def test_forward_and_gradients_match_torch(cell, layers, bidirectional):
    torch = pytest.importorskip("torch")
    kinds = {"rnn": torch.nn.RNN, "relu": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}
    more = {"nonlinearity": "relu"} if cell == "relu" else {}
    torch.manual_seed(0)
    peer = kinds[cell](5, 10, num_layers=layers, bidirectional=bidirectional, batch_first=True, **more)
    stack = Stack(StackSpec(cell, 5, 10, layers, bidirectional))
    params = ParamStore(stack.shapes())
    take_torch_tensors(params, {f"rnn.{k}": v.detach().numpy() for k, v in peer.state_dict().items()})
    lengths = [9, 7, 7, 4, 1]
    _, offsets, _, batch = make_data(lengths, shard_rows=2)
    random = np.random.default_rng(2)
    x_all = random.normal(size=(offsets[-1], 5)).astype(np.float32)
    dh_all = random.normal(size=(offsets[-1], stack.spec.output_size)).astype(np.float32)
    rows = [slice(a, b) for a, b in itertools.pairwise(offsets)]
    x_t = torch.from_numpy(x_all).requires_grad_()
    packed = torch.nn.utils.rnn.pack_sequence([x_t[row] for row in rows])
    out, _ = torch.nn.utils.rnn.pad_packed_sequence(peer(packed)[0], batch_first=True)
    theirs = torch.cat([out[r, :n] for r, n in enumerate(lengths)])
    theirs.backward(torch.from_numpy(dh_all))

    order, where = batch.position_N, np.argsort(batch.position_N)
    run = stack.forward(params, np.ascontiguousarray(x_all[order]), batch)
    np.testing.assert_allclose(run.h_NO[where], theirs.detach().numpy(), atol=1e-5)
    dflat_SP = np.zeros((batch.shards, params.flat.size), np.float32)
    dx = stack.backward(dflat_SP, params, np.ascontiguousarray(dh_all[order]), run, batch)
    assert relative_error(dx[where], x_t.grad.numpy()) < 1e-4
    grads = params.zeros_like()
    grads.flat[:] = dflat_SP.sum(axis=0)
    for place in stack.places:
        for name in ("weight_ih", "weight_hh"):
            expected = getattr(peer, f"{name}_{place.suffix}").grad.numpy()
            assert relative_error(grads[f"rnn.{name}_{place.suffix}"], expected) < 1e-4
        expected = getattr(peer, f"bias_ih_{place.suffix}").grad.numpy()
        assert relative_error(grads[f"rnn.bias_{place.suffix}"], expected) < 1e-4


@pytest.mark.parametrize("cell", CELLS)
def test_parameters_survive_the_way_through_torchs_names(cell):
    network = make_network(cell, 2, True, "attention", dtype=np.float32)
    again = network.dense.zeros_like()
    take_torch_tensors(again, torch_tensors(network.dense))
    np.testing.assert_array_equal(again.flat, network.dense.flat)
