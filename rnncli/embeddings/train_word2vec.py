"""Skip-gram training: epochs of rounds, each round S shards of T corpus tokens.

The number of shards and the tokens of a round are constants: they are part of the result, threads are not. A shard trains
on private copies of the rows it touches; after the round the changes are merged in shard order. All noise words of a
shard and round come from one pool, so the private rows stay in the cache of one core.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rnncli import rng
from rnncli.config.embeddings import EmbeddingsConfig
from rnncli.embeddings.sampling import alias_table, keep_thresholds, noise_distribution
from rnncli.errors import DivergedError
from rnncli.events import EpochDone, OnEvent, PhaseStarted, Progressed
from rnncli.kernels import word2vec

SHARDS = 4
TOKENS = 1000  # corpus tokens a shard takes per round
POOL = 768  # noise words a shard draws per round
HOGWILD_TOKENS, HOGWILD_POOL = 2000, 4000  # without merging, rounds only decide how often progress is reported
PADS = word2vec.BLOCK  # zero rows at the end of each matrix, which the kernel uses where a row is missing
LANES = 16  # rows are padded to whole vectors of 16 float32
MERGE_PARTS = 8  # independent pieces of the merge
SHRINKAGE = 1.0  # of the way to its optimum a row goes per use, in units of the learning rate; see kernels merge_round
LOWEST_LR = 1e-4  # of the initial rate, as word2vec
REPORT_SECONDS = 0.2


@dataclass
class TrainState:
    """Everything that an exact resume needs."""

    epoch: int
    vectors_VE: NDArray[np.float32]
    outputs_VE: NDArray[np.float32]
    losses: list[float] = field(default_factory=list)  # mean per pair of each epoch, nats
    seconds: float = 0.0  # time in training so far


def initial_state(vocabulary: int, dim: int, seed: int) -> TrainState:
    """Vectors uniform in +-0.5 / dim, outputs zero, as word2vec."""
    uniforms = rng.uniforms(rng.key(seed, rng.Stream.INIT), vocabulary * dim)
    vectors = ((uniforms - 0.5) / dim).astype(np.float32).reshape(vocabulary, dim)
    return TrainState(0, vectors, np.zeros((vocabulary, dim), np.float32))


def train_skipgram(
    ids: NDArray[np.int32],
    offsets: NDArray[np.int64],
    counts: NDArray[np.int64],
    config: EmbeddingsConfig,
    on_event: OnEvent,
    start: TrainState | None = None,
    on_epoch: Callable[[TrainState], None] = lambda state: None,
) -> TrainState:
    """Train from `start` (or from the first values) to config.epochs; calls `on_epoch` after each.

    Shapes   ids (N,) corpus tokens; offsets (lines + 1,) int64, windows stay inside a line; counts (V,) int64.
    Raises   DivergedError when a vector became infinite or NaN.
    """
    state = start if start is not None else initial_state(counts.size, config.dim, config.seed)
    trainer = _Trainer(ids, offsets, counts, config, state)
    while state.epoch < config.epochs:
        started = time.perf_counter()
        loss = trainer.epoch(state.epoch + 1, on_event)
        state.epoch += 1
        state.losses.append(loss)
        state.seconds += time.perf_counter() - started
        state.vectors_VE, state.outputs_VE = trainer.matrices()
        if not (np.isfinite(loss) and np.isfinite(state.vectors_VE).all()):
            raise DivergedError(f"training diverged in epoch {state.epoch}: loss {loss:g}; lower lr")
        on_epoch(state)
        on_event(EpochDone(state.epoch, {"loss": loss}))
    return state


class _Trainer:
    """The padded matrices and the buffers of a round."""

    def __init__(
        self,
        ids: NDArray[np.int32],
        offsets: NDArray[np.int64],
        counts: NDArray[np.int64],
        config: EmbeddingsConfig,
        state: TrainState,
    ) -> None:
        v, d = state.vectors_VE.shape
        width = -(-d // LANES) * LANES
        self.ids, self.offsets, self.config, self.dim = ids, offsets, config, d
        self.private = config.mode == "deterministic"
        self.in_VD = np.zeros((v + PADS, width), np.float32)
        self.out_VD = np.zeros((v + PADS, width), np.float32)
        self.in_VD[:v, :d], self.out_VD[:v, :d] = state.vectors_VE, state.outputs_VE
        self.keep_V = keep_thresholds(counts, config.sample)
        self.alias_V, self.threshold_V = alias_table(noise_distribution(counts))
        self.tokens, pool = (TOKENS, POOL) if self.private else (HOGWILD_TOKENS, HOGWILD_POOL)
        t = self.tokens + 2 * config.window
        self.words = np.empty((SHARDS, t), np.int32)
        self.positions = np.empty((SHARDS, t), np.int64)
        self.lines = np.empty((SHARDS, t), np.int32)
        self.pool = np.empty((SHARDS, pool), np.int32)
        in_rows, out_rows = (min(v, n) if self.private else 0 for n in (t, self.tokens + pool))
        self.in_SMD = np.zeros((SHARDS, in_rows + PADS, width), np.float32)
        self.out_SMD = np.zeros((SHARDS, out_rows + PADS, width), np.float32)
        self.slots_in = np.full((SHARDS, v if self.private else 0), -1, np.int32)
        self.slots_out = np.full_like(self.slots_in, -1)
        self.touched_in = np.empty((SHARDS, in_rows), np.int32)
        self.touched_out = np.empty((SHARDS, out_rows), np.int32)
        self.uses_in = np.empty((SHARDS, in_rows), np.float32)
        self.uses_out = np.empty((SHARDS, out_rows), np.float32)
        self.sizes = np.zeros((SHARDS, 2), np.int64)

    def epoch(self, epoch: int, on_event: OnEvent) -> float:
        """One pass over the corpus; returns the mean loss per pair."""
        config, n = self.config, self.ids.size
        streams = (rng.Stream.SUBSAMPLE, rng.Stream.NEGATIVE, rng.Stream.WINDOW, rng.Stream.NEGATIVE)
        keys = np.array([rng.key(config.seed, stream, epoch, part) for part, stream in enumerate(streams)], np.uint64)
        loss_S, pairs_S = np.zeros(SHARDS), np.zeros(SHARDS, np.int64)
        on_event(PhaseStarted(f"epoch {epoch}", n, "words"))
        reported = time.perf_counter()
        for start in range(0, n, SHARDS * self.tokens):
            lr_S = self._rates((epoch - 1) * n + start + self.tokens * np.arange(SHARDS), config.epochs * n)
            word2vec.train_round(
                self.in_VD, self.out_VD, self.in_SMD, self.out_SMD, self.slots_in, self.slots_out, self.touched_in,
                self.touched_out, self.uses_in, self.uses_out, self.sizes, self.words, self.positions, self.lines, self.pool, loss_S, pairs_S,
                self.ids, self.offsets, start, self.tokens, self.keep_V, self.alias_V, self.threshold_V,
                config.window, config.negative, lr_S, keys, self.private,
            )  # fmt: skip
            if self.private:
                word2vec.merge_round(
                    self.in_VD, self.out_VD, self.in_SMD, self.out_SMD, self.slots_in, self.slots_out, self.touched_in,
                    self.touched_out, self.uses_in, self.uses_out, self.sizes, SHRINKAGE * float(lr_S[0]), MERGE_PARTS,
                )  # fmt: skip
            if time.perf_counter() - reported > REPORT_SECONDS:
                reported = time.perf_counter()
                on_event(Progressed(min(n, start + SHARDS * self.tokens), self._mean(loss_S, pairs_S), epoch))
        on_event(Progressed(n, self._mean(loss_S, pairs_S), epoch))
        return self._mean(loss_S, pairs_S)

    def _rates(self, done_S: NDArray[np.int64], total: int) -> NDArray[np.float32]:
        """Learning rate of each shard: falls linearly with the corpus tokens done."""
        return (self.config.lr * np.maximum(1.0 - done_S / total, LOWEST_LR)).astype(np.float32)

    @staticmethod
    def _mean(loss_S: NDArray[np.float64], pairs_S: NDArray[np.int64]) -> float:
        return float(loss_S.sum() / max(1, int(pairs_S.sum())))

    def matrices(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Vectors and outputs (V, E) without the padding."""
        return (
            np.ascontiguousarray(self.in_VD[:-PADS, : self.dim]),
            np.ascontiguousarray(self.out_VD[:-PADS, : self.dim]),
        )
