"""Lessons without data: small networks whose gradients are known exactly, measured by the instrument as any other.

Each input is chosen so that the network is driven through the pre-activations that the lesson needs: x_t = a_t - W h_{t-1}.
No number is written down here; all of them are computed when the lesson is asked for.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from rnncli import rng
from rnncli.inspection import sections
from rnncli.inspection.jacobians import product_norms, weight_report
from rnncli.inspection.lag_collector import ChainLags
from rnncli.inspection.lag_matrix import WalkSettings, walk
from rnncli.inspection.lag_statistics import LEVELS, crossing, lag_curve
from rnncli.inspection.local import Array
from rnncli.inspection.lyapunov import spectrum
from rnncli.inspection.rollout import Rollout, roll_out
from rnncli.rnn.network import Network, NetworkSpec
from rnncli.rnn.packing import Sequences

SEED = 1
FLAT = 1.0  # a pre-activation at which ReLU has slope 1: the network is linear
DEEP = 20.0  # a pre-activation at which tanh has slope 2e-17


class Step(NamedTuple):
    """Something to read, and numbers that belong to it by name."""

    text: str
    numbers: dict[str, float]


@dataclass(frozen=True)
class Demo:
    """A lesson. The answer comes after the reader has predicted it."""

    title: str
    question: str
    answer: Step
    steps: list[Step] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """The lesson as a JSON object."""
        return {
            "title": self.title,
            "steps": [step._asdict() for step in self.steps],
            "question": self.question,
            "answer": self.answer._asdict(),
        }


def orthogonal() -> Demo:
    """O1 and O2: lengths stay; a factor of .9 or 1.1 a step does not."""
    steps, size = 101, 16
    q = _orthogonal(size)
    curves = {g: _curve(_linear(g * q, steps)) for g in (1.0, 0.9, 1.1)}
    flat = _linear(q, steps)
    signs = np.sign(_normals(2, steps * size)).reshape(steps, size)
    squashed = _driven("rnn", q, signs * 0.5)
    report = weight_report(q)
    return Demo(
        "A matrix that keeps every length",
        f"Now the same matrix times 0.9. How much of the gradient is left {steps - 1} steps back, and after how many steps"
        " is half of it gone? And times 1.1?",
        Step(
            "A factor a step becomes a power: 0.9^l and 1.1^l, whatever the directions. Half is gone after ln 2 / -ln 0.9"
            " steps. And with tanh, where every unit sits at |a| = 0.5, even the matrix that keeps every length loses: D"
            " shortens, W cannot make up for it. An orthogonal start is good as long as units are not squashed.",
            {
                f"0.9 Q, ratio at lag {steps - 1}": _at(curves[0.9], steps - 1),
                "0.9 Q, half-life in steps": _half_life(curves[0.9]),
                f"1.1 Q, ratio at lag {steps - 1}": _at(curves[1.1], steps - 1),
                "Q with tanh at |a| = 0.5, ratio at lag 10": _at(_curve(squashed), 10),
                f"the same, lag {steps - 1}": _at(_curve(squashed), steps - 1),
            },
        ),
        [
            Step(
                f"A network of {size} ReLU units that are all active, so that it is linear: h_t = Q h_(t-1) + x_t. Q is"
                " orthogonal, Q^T Q = I: it turns a vector and keeps its length. All its singular values are 1.",
                {"sigma_max": report.sigma_max, "sigma_min": report.sigma_min, "spectral radius": report.rho},
            ),
            Step(
                f"The loss is read off after {steps} steps. Its gradient walks back, dL/dh_(t-1) = Q^T dL/dh_t; its size"
                " relative to the read-out:",
                _ratios(_curve(flat), (1, 10, steps - 1)),
            ),
        ],
    )


def delay_line() -> Demo:
    """A nilpotent shift, whose eigenvalues are all 0, and Jordan's block (O4)."""
    size, steps = 8, 12
    shift = np.eye(size, k=-1)
    line = _linear(shift, steps, read=np.eye(size)[-1])
    jordan = np.array([[0.9, 1.0], [0.0, 0.9]])
    report = weight_report(jordan)
    block = _linear(jordan, 60)
    lags = list(range(60))
    norms = np.exp(product_norms(block.chains[0], block.offsets, [0], lags).spectral_LR[:, 0])
    peak, below = int(norms.argmax()), 1 + int(np.flatnonzero(norms[1:] < 1)[0])
    return Demo(
        "Eigenvalues that say nothing about the next ten steps",
        "Now W = [[0.9, 1], [0, 0.9]]: both eigenvalues are 0.9. How large can a gradient be 10 steps back, compared with"
        f" its size at the read-out: {report.rho**10:.2g} times (0.9^10), as large, or larger?",
        Step(
            "Larger. Powers of such a matrix grow first and shrink only in the long run, for its two eigenvectors are one"
            f" and the same: it is not normal. The peak comes at lag {peak}, and not before lag {below} does every"
            " gradient shrink. The spectral radius speaks of the end of this story only.",
            {
                "spectral radius": report.rho,
                "sigma_max": report.sigma_max,
                "Henrici's distance from normality": report.henrici,
                "0.9^10": report.rho**10,
                "largest ratio at lag 10": float(norms[10]),
                "largest ratio at all": float(norms[peak]),
                "at lag": float(peak),
                "below 1 from lag": float(below),
            },
        ),
        [
            Step(
                f"A delay line: {size} linear units, each hands its number to the next one, h_t[j] = h_(t-1)[j-1]. W has"
                " ones below the diagonal and zeros elsewhere. All of its eigenvalues are 0; by the rule often taught"
                " (eigenvalues below 1: the gradient vanishes) nothing should come back at all.",
                {
                    "spectral radius": weight_report(shift).rho,
                    "sigma_max": weight_report(shift).sigma_max,
                },
            ),
            Step(
                "The loss reads the last unit. The gradient walks back through the line:",
                _ratios(_curve(line), (1, 2, size - 2, size - 1, size)),
            ),
            Step(
                f"Not a bit is lost for {size - 1} steps; then the line is at its end and the gradient is exactly 0."
                " Eigenvalues 0 mean that W^l is 0 in the end, no more.",
                {},
            ),
        ],
    )


def counterexample() -> Demo:
    """O6: a spectral radius below 1 and a saturated unit, and the gradient explodes."""
    steps = 61
    w = np.array([[1.2, -1.0], [1.0, -1.2]])
    report = weight_report(w)
    free = _driven("rnn", w, np.zeros((steps, 2)), read=np.array([1.0, 0.0]))
    stuck = _driven("rnn", w, np.tile([0.0, DEEP], (steps, 1)), read=np.array([1.0, 0.0]))
    chain = stuck.chains[0]
    slopes = chain.local.alpha_NG[-1]
    exponent = float(spectrum(chain, stuck.offsets, 1, SEED).values_K[0])
    radius = weight_report(slopes[:, None] * w).rho
    return Demo(
        "Saturation that makes a gradient explode",
        "Now the second unit is driven into saturation: tanh' is next to 0 there, and no gradient passes through it. Does"
        " the gradient get smaller still?",
        Step(
            "It explodes. The two units held each other in check; with the second one silent, D_t W = diag(1, 0) W has the"
            f" eigenvalue {radius:.4g}, although those of W are below 1 and tanh' never exceeds 1. Squashing shortens every"
            " vector it meets, and yet a product with squashing in it can grow where the one without does not.",
            {
                "tanh' of unit 1": float(slopes[0]),
                "tanh' of unit 2": float(slopes[1]),
                "spectral radius of D W": radius,
                **_ratios(_curve(stuck), (1, 10, steps - 1)),
                "Lyapunov exponent, nats a step": exponent,
                "e to its power": float(np.exp(exponent)),
            },
        ),
        [
            Step(
                "Two tanh units, W = [[1.2, -1], [1, -1.2]]. The size of both eigenvalues is below 1, and neither unit is"
                " squashed (a_t = 0, tanh' = 1):",
                {"spectral radius": report.rho, "sigma_max": report.sigma_max, "sigma_min": report.sigma_min},
            ),
            Step("As the rule says, the gradient fades in the end:", _ratios(_curve(free), (1, 2, 10, steps - 1))),
        ],
    )


def textbook() -> Demo:
    """The founding rule against driven tanh networks: C3 (the sum over losses hides the decay) and two that cancel."""
    size, steps, rows, words = 64, 60, 16, 32
    network, data, targets = _untrained(size, steps, rows, words)
    rollout = roll_out(network, data, targets)
    lags = _walk(rollout)
    curve = lag_curve(lags.log_norm_LA).p50_L
    total = sections.total_adjoint(rollout, lags, size)["norm_log10"]
    radius = weight_report(rollout.chains[0].w_hh_GH).rho
    gain = 6.0
    w = gain * _orthogonal(size)
    level = float(np.arccosh(np.sqrt(gain)))  # sech^2(a) = 1 / gain
    signs = np.where(_normals(3, steps * size) >= 0, 1.0, -1.0).reshape(steps, size)
    cancels = _driven("rnn", w, signs * level)
    first, weights = sections.mean_gain(_walk(cancels), steps - 1)
    chain = cancels.chains[0]
    return Demo(
        "The textbook rule against networks that read something",
        f"Another network, {size} tanh units at work: its spectral radius is {weight_report(w).rho:.3g}, and at every step"
        ' every unit is saturated beyond |h| = 0.9. By the first half of the rule its gradient explodes, by "saturated'
        ' units block the gradient" it vanishes. Which one?',
        Step(
            f"Neither: the two cancel. W lengthens {gain:g} times, tanh' shortens to 1/{gain:g}, the product keeps every"
            " length. Only the product along the data decides; the spectral radius and saturation by themselves say"
            " nothing. Networks that have learned to remember can look like this.",
            {
                "spectral radius": weight_report(w).rho,
                "smallest |h|": float(np.abs(chain.h_NH).min()),
                "squashing, nats a step": first,
                "weights, nats a step": weights,
                **_ratios(_curve(cancels), (1, 10, steps - 1)),
                "Lyapunov exponent, nats a step": float(spectrum(chain, cancels.offsets, 1, SEED).values_K[0]),
            },
        ),
        [
            Step(
                'The rule: "eigenvalues of W below 1: the gradient vanishes, above 1: it explodes". An untrained network of'
                f" {size} tanh units reads {rows} texts of {steps} words and has a loss at every step, as language models"
                " do. First what most tools show, the gradient of the sum of all losses by the state of each step:",
                {"spectral radius": radius}
                | {f"|dL/dh|, {k} steps from the end": _power10(total[k]) for k in (0, steps // 2, steps - 1)},
            ),
            Step(
                "That looks healthy. But each step is refilled by its own loss. Each loss by itself, followed back:",
                _ratios(curve, (1, 5, 10, 30, steps - 1)) | {"half-life in steps": _half_life(curve)},
            ),
            Step(
                "So it does vanish, and the sum hid it. The rule has the direction right here; by its number there would be"
                " far more left:",
                {f"rho^{steps - 1}": radius ** (steps - 1)},
            ),
        ],
    )


DEMOS: dict[str, Callable[[], Demo]] = {
    "orthogonal": orthogonal,
    "delay-line": delay_line,
    "counterexample": counterexample,
    "textbook": textbook,
}


def _driven(cell: str, w_HH: Array, a_TH: Array, read: Array | None = None) -> Rollout:
    """One row of a network with these recurrent weights that runs through the pre-activations a_TH (T, H).

    The loss, of two classes, is read off at the last step along `read` (H,).
    """
    steps, size = a_TH.shape
    network = Network(NetworkSpec(cell, "binary", 0, 0, size, 2, inputs=size), np.float64)
    network.dense["rnn.weight_hh_l0"][:] = w_HH
    network.dense["rnn.weight_ih_l0"][:] = np.eye(size)
    network.dense["head.weight"][:] = _normals(4, size) if read is None else read
    h_TH = np.tanh(a_TH) if cell == "rnn" else np.maximum(a_TH, 0.0)
    x_TH = a_TH.copy()
    x_TH[1:] -= h_TH[:-1] @ w_HH.T
    whole = np.array([steps], np.int64)
    data = Sequences(np.zeros(1, np.int64), whole, values=x_TH)
    return roll_out(network, data, np.zeros(1, np.int32))


def _linear(w_HH: Array, steps: int, read: Array | None = None) -> Rollout:
    """The same with slope 1 everywhere."""
    return _driven("relu", w_HH, np.full((steps, w_HH.shape[0]), FLAT), read)


def _untrained(size: int, steps: int, rows: int, words: int) -> tuple[Network, Sequences, Any]:
    """A tagger's first values, torch's: uniform in +-1/sqrt(H), on random words and labels."""
    spec = NetworkSpec("rnn", "multiclass", words, size, size, words, pooling="each")
    network = Network(spec, np.float64)
    bound = 1.0 / np.sqrt(size)
    network.dense.flat[:] = bound * (2.0 * _uniforms(5, network.dense.flat.size) - 1.0)
    network.embedding_VE[:] = _normals(6, words * size).reshape(words, size)
    ids = (_uniforms(7, rows * steps) * words).astype(np.int32)
    offsets = np.arange(rows + 1, dtype=np.int64) * steps
    return network, Sequences.of_texts(ids, offsets), np.roll(ids, -1)


def _walk(rollout: Rollout) -> ChainLags:
    return walk(rollout, WalkSettings(sums=False))[0]


def _curve(rollout: Rollout) -> Array:
    """log R(l), median over losses."""
    return lag_curve(_walk(rollout).log_norm_LA).p50_L


def _at(curve_L: Array, lag: int) -> float:
    return float(np.exp(curve_L[lag]))


def _ratios(curve_L: Array, lags: tuple[int, ...]) -> dict[str, float]:
    return {f"ratio at lag {lag}": _at(curve_L, lag) for lag in lags}


def _half_life(curve_L: Array) -> float:
    half = crossing(curve_L, LEVELS["half"])
    assert half is not None  # of curves that fall
    return half


def _power10(log10: float | None) -> float:
    return 0.0 if log10 is None else float(10.0**log10)


def _orthogonal(size: int) -> Array:
    return np.asarray(np.linalg.qr(_normals(1, size * size).reshape(size, size))[0])


def _normals(part: int, n: int) -> Array:
    return np.asarray(rng.normals(rng.key(SEED, rng.Stream.PROBE, part=9000 + part), n), np.float64)


def _uniforms(part: int, n: int) -> Array:
    return np.asarray(rng.uniforms(rng.key(SEED, rng.Stream.PROBE, part=9000 + part), n), np.float64)
