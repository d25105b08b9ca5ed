"""Jacobians of a step against torch.autograd, where torch is installed."""

import numpy as np
import pytest

from rnncli.inspection.local import state_jacobian
from rnncli.inspection.rollout import roll_out
from tests.inspection.factory import made

torch = pytest.importorskip("torch")
TORCH_CELLS = {"rnn": "RNNCell", "relu": "RNNCell", "lstm": "LSTMCell", "gru": "GRUCell"}


@pytest.mark.parametrize("cell", TORCH_CELLS)
def test_jacobians_are_those_of_torch(cell):
    network, data, targets = made(cell, hidden=6)
    chain = roll_out(network, data, targets).chains[0]
    more = {"nonlinearity": "relu" if cell == "relu" else "tanh"} if cell in ("rnn", "relu") else {}
    step = getattr(torch.nn, TORCH_CELLS[cell])(chain.x_NI.shape[1], chain.hidden, dtype=torch.float64, **more)
    bias_hh = np.zeros(chain.w_hh_GH.shape[0])
    if cell == "gru":
        bias_hh[-chain.hidden :] = network.dense["rnn.bias_hn_l0"]
    with torch.no_grad():
        for parameter, values in (
            (step.weight_ih, chain.w_ih_GI), (step.weight_hh, chain.w_hh_GH), (step.bias_ih, network.dense["rnn.bias_l0"]),
            (step.bias_hh, bias_hh),
        ):  # fmt: skip
            parameter.copy_(torch.from_numpy(np.array(values)))
    for n in (0, 2, 5, 12):
        x = torch.from_numpy(chain.x_NI[n])
        h = chain.h_before_NH[n]
        c = np.zeros_like(h)
        if cell == "lstm" and chain.h_before_NH[n].any():
            c = chain.c_NH[n - 1]

        def moved(s, x=x):
            if cell == "lstm":
                h_after, c_after = step(x[None], (s[None, : chain.hidden], s[None, chain.hidden :]))
                return torch.cat([h_after[0], c_after[0]])
            return step(x[None], s[None])[0]

        state = np.concatenate([h, c]) if cell == "lstm" else h
        expected = torch.autograd.functional.jacobian(moved, torch.from_numpy(state)).numpy()
        np.testing.assert_allclose(state_jacobian(chain.local, chain.w_hh_GH, n), expected, atol=1e-9, rtol=0)
