"""Linear read-out and the losses on it, forward and backward in one pass.

Dimension key: B rows, H hidden, C outputs (1 for binary).

    z = W_hy h + b_y
    binary       p = sigmoid(z),  L = -[y log p + (1-y) log(1-p)],  dL/dz = p - y
    multiclass   p = softmax(z),  L = -log p_y,                     dL/dz = p - onehot(y)
(Bishop 2006, "Pattern Recognition and Machine Learning", eq. 4.90 and 4.108.)
"""

import math

from rnncli.kernels import scalar
from rnncli.kernels._jit import kernel
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
def binary_loss(loss_B, dlogits_BC, logits_BC, y_B, scale):
    """Sigmoid cross-entropy. loss_B (B,) float64 out, nats; dlogits (B, 1) out = scale (p - y); y_B int32 in {0, 1}."""
    for b in range(y_B.size):
        z = logits_BC[b, 0]
        loss_B[b] = _softplus(-z) if y_B[b] == 1 else _softplus(z)
        dlogits_BC[b, 0] = scale * (_sigmoid(z) - y_B[b])


@kernel
def multiclass_loss(loss_B, dlogits_BC, logits_BC, y_B, scale):
    """Softmax cross-entropy. loss_B (B,) float64 out, nats; dlogits (B, C) out = scale (p - onehot(y)); y_B int32."""
    for b in range(y_B.size):
        top = logits_BC[b, 0]
        for c in range(1, logits_BC.shape[1]):
            top = max(top, logits_BC[b, c])
        total = 0.0
        for c in range(logits_BC.shape[1]):
            dlogits_BC[b, c] = _exp(logits_BC[b, c] - top)
            total += dlogits_BC[b, c]
        loss_B[b] = math.log(total) - (logits_BC[b, y_B[b]] - top)
        for c in range(logits_BC.shape[1]):
            dlogits_BC[b, c] = scale * (dlogits_BC[b, c] / total)
        dlogits_BC[b, y_B[b]] -= scale
