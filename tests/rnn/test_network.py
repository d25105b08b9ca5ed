"""The whole network: gradients of every parameter, dropout, batches that do not matter, torch's numbers."""

import numpy as np
import pytest
from gradcheck import central_differences, relative_error
from reference import rnn as reference

from rnncli.rnn.network import Network, NetworkSpec
from rnncli.rnn.packing import pack_batch

V = 9


def make_network(cell, head, dtype=np.float64, dropout=0.0, hidden=6):
    network = Network(NetworkSpec(cell, head, V, 4, hidden, 2 if head == "binary" else 3, dropout), dtype)
    network.initialise("orthogonal", 3)
    network.embedding_VE *= 8.0
    network.dense["rnn.bias_l0"][:] = 0.1
    return network


def make_data(lengths, classes, seed=0):
    rng = np.random.default_rng(seed)
    offsets = np.append(0, np.cumsum(lengths)).astype(np.int64)
    return (
        rng.integers(0, V, offsets[-1]).astype(np.int32),
        offsets,
        rng.integers(0, classes, len(lengths)).astype(np.int32),
    )


@pytest.mark.parametrize("head", ["binary", "multiclass"])
@pytest.mark.parametrize("cell", ["rnn", "relu"])
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_every_gradient_matches_central_differences(cell, head, dropout):
    network = make_network(cell, head, dropout=dropout)
    ids, offsets, labels = make_data([5, 0, 3, 7, 1, 4, 2], network.spec.classes)
    batch = pack_batch(ids, offsets, np.arange(7), shard_rows=3)
    y = labels[batch.rows_B]
    key = np.uint64(5) if dropout else None
    gradients = network.gradients(batch, y, key)

    def loss():
        return float(network.gradients(batch, y, key).loss_M.mean())

    assert relative_error(gradients.dense_P, central_differences(loss, network.dense.flat)) < 1e-6
    full = np.zeros_like(network.embedding_VE)
    full[gradients.sparse["embedding"].rows_U] = gradients.sparse["embedding"].values_UE
    assert relative_error(full, central_differences(loss, network.embedding_VE)) < 1e-6


@pytest.mark.parametrize("head", ["binary", "multiclass"])
@pytest.mark.parametrize("cell", ["rnn", "relu"])
def test_loss_matches_the_numpy_twin(cell, head):
    network = make_network(cell, head)
    ids, offsets, labels = make_data([5, 0, 3, 7], network.spec.classes)
    batch = pack_batch(ids, offsets, np.arange(4))
    d = network.dense
    losses = network.loss(batch, labels[batch.rows_B])
    for b, row in enumerate(batch.rows_B):
        x = network.embedding_VE[ids[offsets[row] : offsets[row + 1]]]
        h, _ = reference.forward(x, d["rnn.weight_ih_l0"], d["rnn.weight_hh_l0"], d["rnn.bias_l0"], cell == "relu")
        last = h[-1] if len(h) else np.zeros(6)
        expected = reference.loss(d["head.weight"] @ last + d["head.bias"], labels[row], head)
        assert losses[b] == pytest.approx(expected, rel=1e-12)


def test_a_row_alone_gives_the_same_logits_bitwise():
    network = make_network("rnn", "multiclass", np.float32, hidden=37)
    lengths = [5, 0, 3, 7, 1, 4, 2, 12, 9, 9, 3, 30, 1, 8, 8, 2, 6, 5, 21, 3]
    ids, offsets, _ = make_data(lengths, 3)
    together = pack_batch(ids, offsets, np.arange(len(lengths)))
    logits = network.forward(together).logits_MC
    for b, row in enumerate(together.rows_B):
        alone = network.forward(pack_batch(ids, offsets, np.array([row]))).logits_MC
        np.testing.assert_array_equal(alone[0], logits[b])


def test_dropout_keeps_the_expected_share_and_is_off_without_a_key():
    network = make_network("rnn", "binary", np.float32, dropout=0.25)
    ids, offsets, _ = make_data([200] * 8, 2)
    batch = pack_batch(ids, offsets, np.arange(8))
    plain, dropped = network.forward(batch).x_NI, network.forward(batch, np.uint64(9)).x_NI
    np.testing.assert_array_equal(plain, network.embedding_VE[batch.ids_N])
    zero = dropped == 0
    assert abs(zero.mean() - 0.25) < 0.02
    np.testing.assert_allclose(dropped[~zero], plain[~zero] / 0.75, rtol=1e-6)
    again = network.forward(batch, np.uint64(9)).x_NI
    np.testing.assert_array_equal(dropped, again)
    assert not np.array_equal(dropped, network.forward(batch, np.uint64(10)).x_NI)


@pytest.mark.parametrize("shard_rows", [1, 2, 5, 100])
def test_packing_holds_every_token_once_and_finds_last_steps(shard_rows):
    lengths = [3, 0, 5, 1, 1, 0, 4]
    offsets = np.append(0, np.cumsum(lengths)).astype(np.int64)
    ids = np.arange(offsets[-1], dtype=np.int32)
    batch = pack_batch(ids, offsets, np.arange(7), shard_rows)
    assert sorted(batch.ids_N) == list(ids)
    np.testing.assert_array_equal(batch.ids_N, ids[batch.position_N])
    for b, row in enumerate(batch.rows_B):
        last = -1 if lengths[row] == 0 else ids[offsets[row + 1] - 1]
        assert (batch.ids_N[batch.last_B[b]] if batch.last_B[b] >= 0 else -1) == last
    for s in range(batch.shards):
        own = batch.lengths_B[batch.rows_S[s] : batch.rows_S[s + 1]]
        assert (np.diff(own) <= 0).all()
        assert own.sum() == batch.tokens_S[s + 1] - batch.tokens_S[s]


def test_one_training_step_matches_torch():
    """Embedding, RNN, head, cross-entropy and clipped SGD against autograd, float32."""
    torch = pytest.importorskip("torch")
    from rnncli.config.rnn import TrainingConfig
    from rnncli.rnn.optimiser import Optimiser

    network = make_network("rnn", "multiclass", np.float32)
    lengths = [5, 2, 3, 7, 1]
    ids, offsets, labels = make_data(lengths, 3)
    embedding = torch.nn.Embedding(V, 4)
    rnn, head = torch.nn.RNN(4, 6, batch_first=True), torch.nn.Linear(6, 3)
    parameters = [*embedding.parameters(), *rnn.parameters(), *head.parameters()]
    d = network.dense
    with torch.no_grad():
        embedding.weight.copy_(torch.from_numpy(network.embedding_VE))
        for name, peer in (("weight_ih_l0", rnn.weight_ih_l0), ("weight_hh_l0", rnn.weight_hh_l0)):
            peer.copy_(torch.from_numpy(d[f"rnn.{name}"]))
        rnn.bias_ih_l0.copy_(torch.from_numpy(d["rnn.bias_l0"]))
        rnn.bias_hh_l0.zero_()
        rnn.bias_hh_l0.requires_grad_(False)
        head.weight.copy_(torch.from_numpy(d["head.weight"]))
        head.bias.copy_(torch.from_numpy(d["head.bias"]))
    rows = [torch.from_numpy(ids[offsets[r] : offsets[r + 1]].astype(np.int64)) for r in range(5)]
    logits = torch.stack([head(rnn(embedding(row)[None])[1][0, 0]) for row in rows])
    loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels.astype(np.int64)))
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_([p for p in parameters if p.grad is not None], 0.1)
    with torch.no_grad():
        for p in parameters:
            if p.grad is not None:
                p -= 0.5 * p.grad

    batch = pack_batch(ids, offsets, np.arange(5))
    gradients = network.gradients(batch, labels[batch.rows_B])
    ours = Optimiser(TrainingConfig(optimizer="sgd", lr=0.5, clip_norm=0.1), network, True).step(network, gradients)
    assert gradients.loss_M.mean() == pytest.approx(loss.item(), rel=1e-5)
    assert ours == pytest.approx(norm.item(), rel=1e-5)
    np.testing.assert_allclose(network.embedding_VE, embedding.weight.detach().numpy(), atol=1e-5)
    np.testing.assert_allclose(d["rnn.weight_hh_l0"], rnn.weight_hh_l0.detach().numpy(), atol=1e-5)
    np.testing.assert_allclose(d["head.weight"], head.weight.detach().numpy(), atol=1e-5)
