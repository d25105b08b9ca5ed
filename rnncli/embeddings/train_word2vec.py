"""Skip-gram training: epochs -> rounds -> kernels; tells how far it is, and can go on after any epoch."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rnncli import rng
from rnncli.config.embeddings import EmbeddingsConfig
from rnncli.embeddings.sampling import alias_table, huffman_tree, keep_thresholds, noise_probabilities
from rnncli.errors import CorpusError, DivergedError
from rnncli.events import EpochDone, OnEvent, PhaseStarted, Progressed
from rnncli.kernels._jit import set_threads
from rnncli.kernels.lanes import WIDTH
from rnncli.kernels.word2vec_rounds import Corpus, Keys, Layout, new_rounds, run_rounds, start_epoch

SHARDS = 4  # of deterministic rounds: part of the result, so never the number of threads
TOKENS_PER_SHARD = 2000  # of a round; more lose quality, fewer lose time (DESIGN: measured)
ROUNDS_OF_SMALL_CORPUS = 64  # a small corpus is cut finer, so that words still meet often
SMALLEST_ROUND = 50
LOWEST_RATE = 1e-4  # of the initial learning rate
SECONDS_BETWEEN_EVENTS = 0.2
NO_PATHS, NO_CODES = np.zeros((0, 0), np.int32), np.zeros(0, np.int64)
LINE_FLOATS = 16  # a cache line


@dataclass(frozen=True, eq=False)
class TrainState:
    """Everything needed to go on after `epoch` passes."""

    epoch: int
    vectors_VE: NDArray[np.float32]  # input vectors: the result
    outputs_VE: NDArray[np.float32]  # output vectors
    losses: list[float] = field(default_factory=list)  # mean loss per pair of centre and context, nats, each epoch
    seconds: float = 0.0  # spent training


def initial_state(words: int, dim: int, seed: int) -> TrainState:
    """Inputs uniform in (-0.5 / d, 0.5 / d), outputs zero, as word2vec.c."""
    vectors = np.empty((words, dim), np.float32)
    key = rng.key(seed, rng.Stream.INIT)
    for row in range(0, words, 4096):  # in parts: draws are made in float64
        part = vectors[row : row + 4096]
        part[:] = ((rng.uniforms(key, part.size, row * dim) - 0.5) / dim).reshape(part.shape)
    return TrainState(0, vectors, np.zeros((words, dim), np.float32))


def train_skipgram(
    ids: NDArray[np.int32],
    offsets: NDArray[np.int64],
    counts: NDArray[np.int64],
    config: EmbeddingsConfig,
    on_event: OnEvent,
    start: TrainState | None = None,
    on_epoch: Callable[[TrainState], None] = lambda state: None,
) -> TrainState:
    """Train word vectors on lines ids[offsets[i] : offsets[i + 1]]; counts (V,) are those of the vocabulary.

    `start` goes on from a state that `on_epoch` was given; in deterministic mode the end is the same, byte for byte.
    Raises CorpusError when there is nothing to train on, DivergedError when vectors become non-finite.
    """
    tokens, words = len(ids), len(counts)
    if tokens == 0 or words == 0:
        raise CorpusError("no token of the corpus is in the vocabulary; lower corpus.min_count or give more text")
    if words < 2 and config.loss == "hs":
        raise CorpusError("a tree needs two words at least; lower corpus.min_count, give more text, or take loss: ns")
    state = start if start is not None else initial_state(words, config.dim, config.seed)
    run = _Run(ids, offsets, counts, config, state)
    on_event(PhaseStarted("training", tokens * config.epochs, "tokens"))
    for epoch in range(state.epoch, config.epochs):
        started = time.perf_counter()
        loss = run.epoch(epoch, on_event)
        vectors, outputs = run.vectors()
        seconds = state.seconds + time.perf_counter() - started
        if not (math.isfinite(loss) and np.isfinite(vectors).all() and np.isfinite(outputs).all()):
            raise DivergedError(f"word vectors became non-finite in epoch {epoch + 1}; lower lr (it is {config.lr})")
        state = TrainState(epoch + 1, vectors, outputs, [*state.losses, loss], seconds)
        on_event(EpochDone(state.epoch, {"loss": loss}))
        on_epoch(state)
    return state


class _Run:
    """The arrays of one training run, laid out as the kernels want them."""

    def __init__(
        self,
        ids: NDArray[np.int32],
        offsets: NDArray[np.int64],
        counts: NDArray[np.int64],
        config: EmbeddingsConfig,
        state: TrainState,
    ) -> None:
        self.config, self.tokens, self.words = config, len(ids), len(counts)
        self.merging = config.mode == "deterministic"
        threads = set_threads(config.threads)
        shards = SHARDS if self.merging else threads
        size = TOKENS_PER_SHARD
        if self.merging:
            size = min(size, max(SMALLEST_ROUND, self.tokens // (SHARDS * ROUNDS_OF_SMALL_CORPUS)))
        kept = size + 2 * config.window
        paths, codes = huffman_tree(counts) if config.loss == "hs" else (NO_PATHS, NO_CODES)
        width = paths.shape[1] if config.loss == "hs" else 1 + config.negative
        private = 1 + (min(kept * width, self.words) if self.merging else 0)
        dim = -(-config.dim // WIDTH) * WIDTH
        bounds = np.linspace(0, self.tokens, shards + 1).astype(np.int64)
        self.layout = Layout(bounds, size, config.window, dim, self.words, private, config.algorithm == "cbow")
        self.n_rounds = -(-int(np.diff(bounds).max()) // size)
        alias, odds = alias_table(noise_probabilities(counts))
        self.corpus = Corpus(
            np.asarray(ids), np.asarray(offsets), keep_thresholds(counts, config.sample), alias, odds, paths, codes
        )  # fmt: skip
        self.rounds = new_rounds(shards, size, config.window, width, self.words, self.merging)
        self.scales = np.append(np.float32(0.0), np.arange(1, shards + 1, dtype=np.float32) ** np.float32(-0.5))
        self.matrices = _matrices(state, self.words + shards * private, dim)
        self._call(self._keys(0), 0, np.zeros(0, np.float32))  # compiles, or loads from the cache

    def epoch(self, epoch: int, on_event: OnEvent) -> float:
        """One pass over the corpus; returns the mean loss per pair."""
        start_epoch(self.rounds)
        keys = self._keys(epoch)
        at_once = 1
        first = 0
        while first < self.n_rounds:
            started = time.perf_counter()
            last = min(first + at_once, self.n_rounds)
            done = np.arange(first, last) * float(self.layout.size * (len(self.layout.bounds) - 1))
            progress = (epoch + done / self.tokens) / self.config.epochs
            self._call(keys, first, (self.config.lr * np.maximum(1.0 - progress, LOWEST_RATE)).astype(np.float32))
            first = last
            loss, pairs = self.rounds.loss[:, 0].sum(), self.rounds.loss[:, 1].sum()
            if first < self.n_rounds:
                trained = epoch * self.tokens + int(first / self.n_rounds * self.tokens)
                on_event(Progressed(trained, float(loss / max(pairs, 1.0)), epoch + 1))
            seconds = max(time.perf_counter() - started, 1e-6)
            at_once = max(1, min(2 * at_once, int(at_once * SECONDS_BETWEEN_EVENTS / seconds)))
        on_event(Progressed((epoch + 1) * self.tokens, float(loss / max(pairs, 1.0)), epoch + 1))
        return float(loss / max(pairs, 1.0))

    def vectors(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Copies of the input and output vectors, (V, E) each."""
        dim, size = self.layout.dim, self.words * self.layout.dim
        x, y = (rows[:size].reshape(self.words, dim)[:, : self.config.dim].copy() for rows in self.matrices)
        return x, y

    def _keys(self, epoch: int) -> Keys:
        streams = (rng.Stream.SUBSAMPLE, rng.Stream.WINDOW, rng.Stream.NEGATIVE)
        return Keys(*(rng.key(self.config.seed, stream, epoch) for stream in streams))

    def _call(self, keys: Keys, first: int, rates: NDArray[np.float32]) -> None:
        shared = (self.matrices, self.rounds, self.corpus, keys, self.layout)
        run_rounds(*shared, self.scales, first, first + len(rates), rates, self.merging)


def _matrices(state: TrainState, rows: int, dim: int) -> NDArray[np.float32]:
    """Inputs and outputs, (2, rows * dim), rows on cache lines of their own; the first ones hold those of `state`."""
    raw = np.zeros(2 * rows * dim + LINE_FLOATS, np.float32)
    skip = (-raw.ctypes.data // 4) % LINE_FLOATS
    matrices = raw[skip : skip + 2 * rows * dim].reshape(2, -1)
    for flat, values_VE in zip(matrices, (state.vectors_VE, state.outputs_VE), strict=True):
        n, width = values_VE.shape
        flat[: n * dim].reshape(n, dim)[:, :width] = values_VE
    return matrices
