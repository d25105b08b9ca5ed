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
