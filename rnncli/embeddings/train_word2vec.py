"""Skip-gram and CBOW training: rounds of shards -> kernels; tells how far it is."""

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from rnncli import rng
from rnncli.config.embeddings import EmbeddingsConfig
from rnncli.embeddings.layout import aligned_rows, padded
from rnncli.embeddings.sampling import alias_table, huffman_tree, keep_thresholds, noise_probabilities
from rnncli.embeddings.training import Lines, Tensors, TrainState, train
from rnncli.errors import CorpusError
from rnncli.events import OnEvent, Progressed, ignore
from rnncli.kernels._jit import set_threads
from rnncli.kernels.subwords import most_parts
from rnncli.kernels.word2vec_draws import Corpus, Keys, Subwords
from rnncli.kernels.word2vec_rounds import Layout, new_rounds, run_rounds, start_epoch

SHARDS = 4  # of deterministic rounds: part of the result, so never the number of threads
TOKENS_PER_SHARD = 250  # of a round: more lose quality (2000: .230 of analogies against .238), fewer gain nothing
ROUNDS_OF_SMALL_CORPUS = 64  # a small corpus is cut finer, so that words still meet often
SMALLEST_ROUND = 50
LOWEST_RATE = 1e-4  # of the initial learning rate
SECONDS_BETWEEN_EVENTS = 0.2
NO_PATHS, NO_CODES = np.zeros((0, 0), np.int32), np.zeros(0, np.int64)

Counts = NDArray[np.int64]


def initial_tensors(words: int, dim: int, seed: int, ngrams: int = 0) -> Tensors:
    """Inputs (words + ngrams, d) uniform in (-0.5 / d, 0.5 / d), outputs zero, as word2vec.c."""
    inputs = np.empty((words + ngrams, dim), np.float32)
    key = rng.key(seed, rng.Stream.INIT)
    for row in range(0, words + ngrams, 4096):  # in parts: draws are made in float64
        part = inputs[row : row + 4096]
        part[:] = ((rng.uniforms(key, part.size, row * dim) - 0.5) / dim).reshape(part.shape)
    return {"inputs": inputs, "outputs": np.zeros((words, dim), np.float32)}


def train_word2vec(
    lines: Lines,
    counts: Counts,
    config: EmbeddingsConfig,
    on_event: OnEvent = ignore,
    start: TrainState | None = None,
    on_epoch: Callable[[TrainState], None] = lambda state: None,
    subwords: Subwords | None = None,
) -> TrainState:
    """Train on `lines`; counts (V,) are those of the vocabulary, `subwords` the parts of its words.

    The rest as embeddings.training.train.
    """
    ngrams = config.subwords.bucket if subwords is not None else 0
    state = start or TrainState(0, initial_tensors(len(counts), config.dim, config.seed, ngrams))
    return train(Word2vecRun(lines, counts, config, state.tensors, subwords), config.epochs, state, on_event, on_epoch)


class _Pass:
    """One set of lines, cut into shards and rounds."""

    def __init__(self, lines: Lines, shards: int, layout: Layout, corpus: Corpus, width: int, parts: int) -> None:
        self.tokens = lines.tokens
        bounds = int(lines.offsets[0]) + np.linspace(0, self.tokens, shards + 1).astype(np.int64)
        self.layout = layout._replace(bounds=bounds)
        self.corpus = corpus._replace(ids=np.asarray(lines.ids), offsets=np.asarray(lines.offsets))
        self.n_rounds = -(-int(np.diff(bounds).max()) // layout.size)
        self.rounds = new_rounds(shards, layout, width, parts, merging=layout.private_outputs > 1)


class Word2vecRun:
    """The arrays of one training run, laid out as the kernels want them.

    Tensors: inputs (V, d), with sub-words (V + bucket, d), and outputs (V, d). The loss is the mean per pair of centre
    and context (CBOW: per centre), in nats. Raises CorpusError when there is nothing to train on.
    """

    unit = "tokens"

    def __init__(
        self,
        lines: Lines,
        counts: Counts,
        config: EmbeddingsConfig,
        tensors: Tensors,
        subwords: Subwords | None = None,
    ) -> None:
        self.config, self.words, self.subwords = config, len(counts), subwords
        if lines.tokens == 0 or self.words == 0:
            raise CorpusError("no token of the corpus is in the vocabulary; lower corpus.min_count or give more text")
        if self.words < 2 and config.loss == "hs":
            raise CorpusError(
                "a tree needs two words at least; lower corpus.min_count, give more text, or take loss: ns"
            )
        trained, held_out = lines.held_out(config.valid_fraction)
        if trained.tokens == 0:
            raise CorpusError("valid_fraction holds the whole corpus out; lower it")
        self.total = trained.tokens
        self.merging = config.mode == "deterministic"
        threads = set_threads(config.threads)
        shards = SHARDS if self.merging else threads
        size = TOKENS_PER_SHARD
        if self.merging:
            size = min(size, max(SMALLEST_ROUND, self.total // (SHARDS * ROUNDS_OF_SMALL_CORPUS)))
        paths, codes = huffman_tree(counts) if config.loss == "hs" else (NO_PATHS, NO_CODES)
        width = paths.shape[1] if config.loss == "hs" else 1 + config.negative
        kept = size + 2 * config.window
        parts = (
            0
            if subwords is None
            else most_parts(lines.ids, subwords.starts, *lines.offsets[[0, -1]], size, config.window)
        )
        shared = (len(tensors["inputs"]), self.words)
        uses = (kept if subwords is None else parts, kept * width)
        private = [1 + (min(n, rows) if self.merging else 0) for n, rows in zip(uses, shared, strict=True)]
        dim = padded(config.dim)
        none = np.zeros(0, np.int64)
        cbow = config.algorithm == "cbow"
        layout = Layout(none, size, config.window, dim, shared[0], shared[1], private[0], private[1], cbow)
        alias, odds = alias_table(noise_probabilities(counts))
        keep = keep_thresholds(counts, config.sample)
        corpus = Corpus(lines.ids, lines.offsets, keep, alias, odds, paths, codes)
        self.trained = _Pass(trained, shards, layout, corpus, width, parts)
        self.held_out = _Pass(held_out, shards, layout, corpus, width, parts) if held_out.tokens else None
        self.scales = np.append(np.float32(0.0), np.arange(1, shards + 1, dtype=np.float32) ** np.float32(-0.5))
        self.matrices = (
            _matrix(tensors["inputs"], shared[0] + shards * private[0], dim),
            _matrix(tensors["outputs"], shared[1] + shards * private[1], dim),
        )
        self._call(self.trained, self._keys(0), 0, np.zeros(0, np.float32))  # compiles, or loads from the cache

    def epoch(self, epoch: int, on_event: OnEvent) -> float:
        """One pass over the corpus; returns the mean loss per pair."""
        lowest, epochs, size = LOWEST_RATE, self.config.epochs, self.trained.layout.size
        per_round = float(size * (len(self.trained.layout.bounds) - 1))

        def rates(first: int, last: int) -> NDArray[np.float32]:
            progress = (epoch + np.arange(first, last) * per_round / self.total) / epochs
            return (self.config.rate * np.maximum(1.0 - progress, lowest)).astype(np.float32)

        def told(share: float, loss: float) -> None:
            on_event(Progressed(epoch * self.total + int(share * self.total), loss, epoch + 1))

        return self._go(self.trained, self._keys(epoch), rates, told)

    def valid_loss(self) -> float | None:
        """The mean loss on the lines held out, with the same draws after every epoch."""
        if self.held_out is None:
            return None
        still = lambda first, last: np.zeros(last - first, np.float32)  # noqa: E731  # a rate of 0 moves nothing
        return self._go(self.held_out, self._keys(0, part=1), still, lambda share, loss: None)

    def tensors(self) -> Tensors:
        """Copies of the input and output vectors."""
        layout = self.trained.layout
        x, y = (
            rows[: n * layout.dim].reshape(n, layout.dim)[:, : self.config.dim].copy()
            for rows, n in zip(self.matrices, (layout.inputs, layout.outputs), strict=True)
        )
        return {"inputs": x, "outputs": y}

    def _go(
        self,
        what: _Pass,
        keys: Keys,
        rates: Callable[[int, int], NDArray[np.float32]],
        told: Callable[[float, float], None],
    ) -> float:
        """All rounds of a pass, a few at a time so that `told` hears about the share done; returns the mean loss."""
        start_epoch(what.rounds)
        at_once, first, mean = 1, 0, 0.0
        while first < what.n_rounds:
            started = time.perf_counter()
            last = min(first + at_once, what.n_rounds)
            self._call(what, keys, first, rates(first, last))
            first = last
            loss, pairs = what.rounds.loss[:, 0].sum(), what.rounds.loss[:, 1].sum()
            mean = float(loss / max(pairs, 1.0))
            told(first / what.n_rounds, mean)
            seconds = max(time.perf_counter() - started, 1e-6)
            at_once = max(1, min(2 * at_once, int(at_once * SECONDS_BETWEEN_EVENTS / seconds)))
        return mean

    def _keys(self, epoch: int, part: int = 0) -> Keys:
        streams = (rng.Stream.SUBSAMPLE, rng.Stream.WINDOW, rng.Stream.NEGATIVE)
        return Keys(*(rng.key(self.config.seed, stream, epoch, part) for stream in streams))

    def _call(self, what: _Pass, keys: Keys, first: int, rates: NDArray[np.float32]) -> None:
        shared = (self.matrices, what.rounds, what.corpus, self.subwords, keys, what.layout)
        run_rounds(*shared, self.scales, first, first + len(rates), rates, self.merging)


def _matrix(values_VE: NDArray[np.float32], rows: int, dim: int) -> NDArray[np.float32]:
    """Rows of `dim` floats one after the other, on cache lines of their own; the first ones hold `values_VE`."""
    flat = aligned_rows(rows, dim)
    n, width = values_VE.shape
    flat[: n * dim].reshape(n, dim)[:, :width] = values_VE
    return flat
