"""Linear read-out and the losses on it, forward and backward in one pass.

Dimension key: B rows, N tokens, S shards, H hidden, C outputs (1 for binary).

    z = W_hy h + b_y
    binary       p = sigmoid(z),  L = -[y log p + (1-y) log(1-p)],  dL/dz = p - y
    multiclass   p = softmax(z),  L = -log p_y,                     dL/dz = p - onehot(y)
    multilabel   binary for each label by itself, L their sum
    regression   L = sum_c (z_c - y_c)^2 / C,                       dL/dz = 2 (z - y) / C
(Bishop 2006, "Pattern Recognition and Machine Learning", eq. 4.90 and 4.108.)
"""

import math

from rnncli.kernels import scalar
from rnncli.kernels._jit import kernel, parallel_kernel, prange
from rnncli.kernels.matmul import add_product, add_product_of_transpose
from rnncli.kernels.sequence import copy_row

_sigmoid, _exp, _softplus = scalar.sigmoid, scalar.exp, scalar.softplus


@kernel
def linear(logits_BC, h_BH, w_t_HC, b_C):
    """logits = h W^T + b; w_t_HC is the transposed weight."""
    for b in range(logits_BC.shape[0]):
        copy_row(logits_BC[b], b_C)
    add_product(logits_BC, h_BH, w_t_HC)


@kernel
def linear_backward(dh_BH, dw_CH, db_C, dlogits_BC, h_BH, w_CH):
    """dh = dlogits W (written); dW += dlogits^T h, db += sum dlogits (accumulated)."""
    dh_BH[:] = 0
    add_product(dh_BH, dlogits_BC, w_CH)
    add_product_of_transpose(dw_CH, dlogits_BC, h_BH)
    for b in range(dlogits_BC.shape[0]):
        for c in range(db_C.size):
            db_C[c] += dlogits_BC[b, c]


@kernel
def binary_loss(loss_B, dlogits_BC, logits_BC, y_B, scale_B, smoothing):
    """Sigmoid cross-entropy with the targets q = (1 - smoothing) y + smoothing / 2.

    Shapes   loss_B (B,) float64 out, nats; dlogits (B, 1) out = scale (p - q); y_B int32 in {0, 1}; scale_B (B,): the
             share of each row in the mean that is differentiated.
    """
    for b in range(y_B.size):
        z = logits_BC[b, 0]
        q = smoothing / 2
        if y_B[b] == 1:
            q += 1 - smoothing
        loss_B[b] = q * _softplus(-z) + (1 - q) * _softplus(z)
        dlogits_BC[b, 0] = scale_B[b] * (_sigmoid(z) - q)


@kernel
def multiclass_loss(loss_B, dlogits_BC, logits_BC, y_B, scale_B, smoothing):
    """Softmax cross-entropy with the targets q_c = (1 - smoothing) [c = y] + smoothing / C (Szegedy et al. 2016).

    Shapes   loss_B (B,) float64 out, nats; dlogits (B, C) out = scale (p - q); y_B (B,) int32; scale_B as binary_loss.
    """
    classes = logits_BC.shape[1]
    other = smoothing / logits_BC.dtype.type(classes)
    for b in range(y_B.size):
        top = logits_BC[b, 0]
        for c in range(1, classes):
            top = max(top, logits_BC[b, c])
        total = 0.0
        for c in range(classes):
            dlogits_BC[b, c] = _exp(logits_BC[b, c] - top)
            total += dlogits_BC[b, c]
        loss_B[b] = math.log(total) - (1 - smoothing) * (logits_BC[b, y_B[b]] - top)
        if smoothing > 0:
            for c in range(classes):
                loss_B[b] -= other * (logits_BC[b, c] - top)
        for c in range(classes):
            dlogits_BC[b, c] = scale_B[b] * (dlogits_BC[b, c] / total - other)
        dlogits_BC[b, y_B[b]] -= scale_B[b] * (1 - smoothing)


@kernel
def multilabel_loss(loss_B, dlogits_BC, logits_BC, y_BC, scale_B, smoothing):
    """Sigmoid cross-entropy of every label, summed; targets q as in binary_loss.

    Shapes   loss_B (B,) float64 out, nats; dlogits (B, C) out = scale (p - q); y_BC (B, C) of 0 and 1.
    """
    for b in range(y_BC.shape[0]):
        loss_B[b] = 0.0
        for c in range(y_BC.shape[1]):
            z = logits_BC[b, c]
            q = (1 - smoothing) * y_BC[b, c] + smoothing / 2
            loss_B[b] += q * _softplus(-z) + (1 - q) * _softplus(z)
            dlogits_BC[b, c] = scale_B[b] * (_sigmoid(z) - q)


@kernel
def squared_loss(loss_B, dlogits_BC, logits_BC, y_BC, scale_B, smoothing):
    """Mean squared error over the outputs of a row; `smoothing` has no meaning here.

    Shapes   loss_B (B,) float64 out, squared units of y; dlogits (B, C) out = scale 2 (z - y) / C; y_BC (B, C).
    """
    share = logits_BC.dtype.type(1) / logits_BC.dtype.type(y_BC.shape[1])
    for b in range(y_BC.shape[0]):
        loss_B[b] = 0.0
        for c in range(y_BC.shape[1]):
            error = logits_BC[b, c] - y_BC[b, c]
            loss_B[b] += error * error * share
            dlogits_BC[b, c] = scale_B[b] * 2 * share * error


@parallel_kernel
def linear_steps(logits_NC, h_NH, w_t_HC, b_C, tokens_S):
    """`linear` at every token, a shard at a time; tokens_S (S + 1,) the shards' bounds."""
    for s in prange(tokens_S.size - 1):
        n0, n1 = tokens_S[s], tokens_S[s + 1]
        linear(logits_NC[n0:n1], h_NH[n0:n1], w_t_HC, b_C)


@parallel_kernel
def multiclass_loss_steps(loss_N, dlogits_NC, logits_NC, y_N, scale_N, smoothing, tokens_S):
    """`multiclass_loss` at every token, a shard at a time."""
    for s in prange(tokens_S.size - 1):
        n0, n1 = tokens_S[s], tokens_S[s + 1]
        multiclass_loss(loss_N[n0:n1], dlogits_NC[n0:n1], logits_NC[n0:n1], y_N[n0:n1], scale_N[n0:n1], smoothing)


@parallel_kernel
def linear_steps_backward(dh_NH, dflat_SP, weight_at, bias_at, dlogits_NC, h_NH, w_CH, tokens_S):
    """`linear_backward` at every token; each shard adds into its own row of dflat_SP (S, P).

    weight_at, bias_at   where the weight (C, H) and the bias (C,) lie in a row.
    """
    c_size, h_size = w_CH.shape
    for s in prange(tokens_S.size - 1):
        n0, n1 = tokens_S[s], tokens_S[s + 1]
        dw_CH = dflat_SP[s, weight_at : weight_at + c_size * h_size].reshape((c_size, h_size))
        db_C = dflat_SP[s, bias_at : bias_at + c_size]
        linear_backward(dh_NH[n0:n1], dw_CH, db_C, dlogits_NC[n0:n1], h_NH[n0:n1], w_CH)
