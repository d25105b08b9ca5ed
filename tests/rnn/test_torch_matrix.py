"""Whole networks in float32 against PyTorch: every cell x head x depth x direction x pooling, outputs and gradients."""

import itertools

import numpy as np
import pytest
from gradcheck import relative_error

from rnncli.rnn.network import Network
from rnncli.rnn.packing import Sequences, pack
from rnncli.rnn.spec import NetworkSpec
from rnncli.rnn.torch_layout import torch_tensors

torch = pytest.importorskip("torch")

V, E, H, C = 11, 5, 8, 3
LENGTHS = [9, 7, 7, 4, 1]
HEADS = ("binary", "multiclass", "multilabel", "regression")
POOLINGS = ("last", "mean", "max", "attention")
WAYS = [*itertools.product(HEADS, POOLINGS), ("multiclass", "each")]


def torch_peer(network):
    """The torch.nn module that holds the parameters of the recurrent layers."""
    tensors = torch_tensors(network.dense)
    spec = network.spec
    kind = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}.get(spec.cell, torch.nn.RNN)
    more = {"nonlinearity": "relu"} if spec.cell == "relu" else {}
    peer = kind(E, H, num_layers=spec.layers, bidirectional=spec.bidirectional, **more)
    peer.load_state_dict(
        {k.removeprefix("rnn."): torch.from_numpy(v.copy()) for k, v in tensors.items() if k.startswith("rnn.")}
    )
    return peer


def torch_pool(h_TO, how, query):
    if how == "last":
        return torch.cat([h_TO[-1, :H], h_TO[0, H:]])
    if how == "attention":
        return torch.softmax(h_TO @ query, dim=0) @ h_TO
    return h_TO.mean(dim=0) if how == "mean" else h_TO.max(dim=0).values


def torch_loss(head, logits, y):
    functional = torch.nn.functional
    if head == "regression":
        return functional.mse_loss(logits, y, reduction="none").mean(1)
    if head == "multilabel":
        return functional.binary_cross_entropy_with_logits(logits, y, reduction="none").sum(1)
    if head == "binary":
        return functional.binary_cross_entropy_with_logits(logits[:, 0], y.float(), reduction="none")
    return functional.cross_entropy(logits, y.long(), reduction="none")


@pytest.mark.parametrize(("head", "pooling"), WAYS)
@pytest.mark.parametrize(("layers", "bidirectional"), list(itertools.product((1, 2), (False, True))))
@pytest.mark.parametrize("cell", ["rnn", "relu", "lstm", "gru"])
def test_outputs_and_gradients_match_torch(cell, layers, bidirectional, head, pooling):
    random = np.random.default_rng(1)
    spec = NetworkSpec(cell, head, V, E, H, 2 if head == "binary" else C, 0.0, layers, bidirectional, pooling)
    network = Network(spec)
    network.initialise("orthogonal", 2)
    network.dense.flat += (0.1 * random.normal(size=network.dense.flat.size)).astype(np.float32)
    for name in network.dense:  # where torch has two biases, the second is zero and its gradient the first one's
        if "bias_hn" in name:
            network.dense[name][:] = 0.05
    network.embedding_VE *= 10
    starts = np.append(0, np.cumsum(LENGTHS))[:-1]
    ids = random.integers(0, V, sum(LENGTHS)).astype(np.int32)
    data = Sequences(starts, np.array(LENGTHS), ids)
    terms = ids.size if spec.each else len(LENGTHS)
    if head in ("multilabel", "regression"):
        targets = random.integers(0, 2, (terms, C)).astype(np.float32)
    else:
        targets = random.integers(0, spec.classes, terms).astype(np.int32)
    batch = pack(data, np.arange(len(LENGTHS)), 2)
    at = batch.position_N if spec.each else batch.rows_B
    out = network.forward(batch)
    mine = network.gradients(batch, targets[at])

    peer = torch_peer(network)
    embedding = torch.from_numpy(network.embedding_VE.copy()).requires_grad_()
    own = {
        name: torch.from_numpy(network.dense[name].copy()).requires_grad_()
        for name in network.dense
        if not name.startswith("rnn.")
    }
    read = []
    for start, length in zip(starts, LENGTHS, strict=True):
        h_TO = peer(embedding[torch.from_numpy(ids[start : start + length].astype(np.int64))])[0]
        read.append(h_TO if spec.each else torch_pool(h_TO, pooling, own.get("pooling.query"))[None])
    logits = torch.cat(read) @ own["head.weight"].T + own["head.bias"]
    loss = torch_loss(head, logits, torch.from_numpy(targets))
    loss.mean().backward()

    np.testing.assert_allclose(out.logits_MC, logits.detach().numpy()[at], atol=1e-5)
    np.testing.assert_allclose(mine.loss_M, loss.detach().numpy()[at], atol=1e-5)
    whole = np.zeros_like(network.embedding_VE)
    whole[mine.sparse["embedding"].rows_U] = mine.sparse["embedding"].values_UE
    assert relative_error(whole, embedding.grad.numpy()) < 1e-4
    theirs = {name: values.grad.numpy() for name, values in own.items()}
    for name, parameter in peer.named_parameters():
        theirs[f"rnn.{name}".replace("bias_ih", "bias")] = parameter.grad.numpy()
        if "bias_hh" in name:
            theirs[f"rnn.{name.replace('bias_hh', 'bias_hn')}"] = parameter.grad.numpy()[-H:]
    for name, slot in network.dense.slots.items():
        own_part = mine.dense_P[slot.offset : slot.offset + slot.size].reshape(slot.shape)
        assert relative_error(own_part, theirs[name]) < 1e-4, name
