"""The plain recurrence, one row and one step at a time, and its gradients by the chain rule as written in SPEC.md."""

import numpy as np


def forward(x_TI, w_ih_HI, w_hh_HH, b_H, relu):
    """States h_1..h_T and pre-activations a_1..a_T of one row, (T, H) each."""
    h = np.zeros(b_H.size, x_TI.dtype)
    states, pre = [], []
    for x in x_TI:
        a = w_ih_HI @ x + w_hh_HH @ h + b_H
        h = np.maximum(a, 0) if relu else np.tanh(a)
        pre.append(a)
        states.append(h)
    return np.array(states).reshape(-1, b_H.size), np.array(pre).reshape(-1, b_H.size)


def backward(dh_TH, x_TI, h_TH, a_TH, w_ih_HI, w_hh_HH, relu):
    """(dx_TI, dW_ih, dW_hh, db) from the gradient of every state."""
    dx, dw_ih, dw_hh, db = (
        np.zeros_like(x_TI),
        np.zeros_like(w_ih_HI),
        np.zeros_like(w_hh_HH),
        np.zeros(w_hh_HH.shape[0]),
    )
    carry = np.zeros(w_hh_HH.shape[0])
    for t in reversed(range(len(x_TI))):
        dh = dh_TH[t] + carry
        da = dh * ((a_TH[t] > 0) if relu else 1.0 / np.cosh(a_TH[t]) ** 2)
        before = h_TH[t - 1] if t > 0 else np.zeros_like(da)
        dw_ih += np.outer(da, x_TI[t])
        dw_hh += np.outer(da, before)
        db += da
        dx[t] = w_ih_HI.T @ da
        carry = w_hh_HH.T @ da
    return dx, dw_ih, dw_hh, db


def loss(logits_C, y, head):
    """Loss of one row in nats."""
    if head == "binary":
        p = 1.0 / (1.0 + np.exp(-logits_C[0]))
        return -np.log(p if y == 1 else 1.0 - p)
    return np.log(np.exp(logits_C).sum()) - logits_C[y]


def sigmoid(z):
    return 1.0 / (1.0 + np.exp(-z))


def lstm_forward(x_TI, w_ih_GI, w_hh_GH, b_G):
    """States and cells of one row, (T, H) each; gates in the order i, f, g, o."""
    size = w_hh_GH.shape[1]
    h, c, states, cells = np.zeros(size), np.zeros(size), [], []
    for x in x_TI:
        i, f, g, o = np.split(w_ih_GI @ x + w_hh_GH @ h + b_G, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        states.append(h)
        cells.append(c)
    return np.array(states).reshape(-1, size), np.array(cells).reshape(-1, size)


def gru_forward(x_TI, w_ih_GI, w_hh_GH, b_G, b_hn_H, before):
    """States of one row, (T, H); gates in the order r, z, n, the reset gate after or before the product."""
    size = w_hh_GH.shape[1]
    h, states = np.zeros(size), []
    w_hr, w_hz, w_hn = np.split(w_hh_GH, 3)
    for x in x_TI:
        x_r, x_z, x_n = np.split(w_ih_GI @ x + b_G, 3)
        r, z = sigmoid(x_r + w_hr @ h), sigmoid(x_z + w_hz @ h)
        n = np.tanh(x_n + w_hn @ (r * h) + b_hn_H) if before else np.tanh(x_n + r * (w_hn @ h + b_hn_H))
        h = (1 - z) * n + z * h
        states.append(h)
    return np.array(states).reshape(-1, size)


def row_forward(cell, x_TI, params, suffix):
    """States of one row by any cell; `params` maps torch's names (with bias_hn for GRU) to arrays."""
    w_ih, w_hh, b = (params[f"rnn.{name}_{suffix}"] for name in ("weight_ih", "weight_hh", "bias"))
    if cell == "lstm":
        return lstm_forward(x_TI, w_ih, w_hh, b)[0]
    if cell.startswith("gru"):
        return gru_forward(x_TI, w_ih, w_hh, b, params[f"rnn.bias_hn_{suffix}"], cell == "gru_before")
    return forward(x_TI, w_ih, w_hh, b, cell == "relu")[0]


def stack_forward(cell, x_TI, params, layers, bidirectional):
    """Outputs of the last layer of a stack, (T, H x directions)."""
    for layer in range(layers):
        ways = [row_forward(cell, x_TI, params, f"l{layer}")]
        if bidirectional:
            ways.append(row_forward(cell, x_TI[::-1], params, f"l{layer}_reverse")[::-1])
        x_TI = np.concatenate(ways, axis=1)
    return x_TI


def pool(h_TO, how, h_size, query_O):
    """One vector for a row."""
    if len(h_TO) == 0:
        return np.zeros(h_TO.shape[1])
    if how == "last":
        return np.concatenate([h_TO[-1, :h_size], h_TO[0, h_size:]])
    if how == "attention":
        p = np.exp(h_TO @ query_O)
        return (p / p.sum()) @ h_TO
    return h_TO.mean(axis=0) if how == "mean" else h_TO.max(axis=0)
