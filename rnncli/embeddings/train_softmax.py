"""Exact softmax training of skip-gram and CBOW, for vocabularies whose every word can be scored at each step."""

import numpy as np
from numpy.typing import NDArray

from rnncli import rng
from rnncli.config.embeddings import EmbeddingsConfig
from rnncli.embeddings.layout import padded
from rnncli.embeddings.sampling import keep_thresholds
from rnncli.embeddings.train_word2vec import LOWEST_RATE
from rnncli.embeddings.training import Lines, Tensors
from rnncli.errors import ConfigError, CorpusError
from rnncli.events import OnEvent, Progressed, ignore
from rnncli.kernels._jit import set_threads
from rnncli.kernels.word2vec_draws import FIRST, LAST, N_WORDS, Corpus, Keys, draw_words
from rnncli.kernels.word2vec_softmax import train_span

BATCH = 32  # predictions that see the same vectors: part of the result; 64 gain a sixth of speed and diverge sooner
SHARD_WORDS = 256  # of the vocabulary: part of the result
TOKENS_OF_SPAN = 1000
LARGEST_VOCABULARY = 50_000  # where an epoch of ten million words takes days


class SoftmaxRun:
    """The arrays of one training run. Tensors: inputs and outputs, (V, d) each.

    The loss is the mean per prediction, in nats. CorpusError when there is nothing to train on, ConfigError when the
    vocabulary is too large.
    """

    unit = "tokens"

    def __init__(self, lines: Lines, counts: NDArray[np.int64], config: EmbeddingsConfig, tensors: Tensors) -> None:
        words = len(counts)
        if words > LARGEST_VOCABULARY:
            raise ConfigError(
                f"loss: softmax scores every word at each step; {words:,} words are too many (at most"
                f" {LARGEST_VOCABULARY:,}): set corpus.max_vocab, or take loss: ns or hs"
            )
        self.config = config
        self.trained, self.held_out = lines.held_out(config.valid_fraction)
        if words == 0 or self.trained.tokens == 0:
            raise CorpusError("nothing to train on; lower corpus.min_count or valid_fraction, or give more text")
        self.total = self.trained.tokens
        set_threads(config.threads)
        width = padded(config.dim)
        self.x_VE, self.y_VE = np.zeros((words, width), np.float32), np.zeros((words, width), np.float32)
        self.x_VE[:, : config.dim], self.y_VE[:, : config.dim] = tensors["inputs"], tensors["outputs"]
        self.bounds = np.append(np.arange(0, words, SHARD_WORDS), words).astype(np.int64)
        self.keep = keep_thresholds(counts, config.sample)
        shape = (len(self.bounds) - 1, BATCH)
        self.space = (
            *(np.zeros(s, np.float32) for s in ((width, BATCH), (BATCH, width), (words, BATCH), shape, shape)),
            np.zeros((*shape, width), np.float32),
        )

    def epoch(self, epoch: int, on_event: OnEvent) -> float:
        """One pass over the corpus; returns the mean loss per prediction."""
        return self._pass(self.trained, self._keys(epoch), epoch, on_event)

    def valid_loss(self) -> float | None:
        """The mean loss on the lines held out, with the same draws after every epoch."""
        return self._pass(self.held_out, self._keys(0, part=1), None, ignore) if self.held_out.tokens else None

    def tensors(self) -> Tensors:
        """Copies of the input and output vectors."""
        dim = self.config.dim
        return {"inputs": self.x_VE[:, :dim].copy(), "outputs": self.y_VE[:, :dim].copy()}

    def _keys(self, epoch: int, part: int = 0) -> Keys:
        streams = (rng.Stream.SUBSAMPLE, rng.Stream.WINDOW, rng.Stream.NEGATIVE)
        return Keys(*(rng.key(self.config.seed, stream, epoch, part) for stream in streams))

    def _pass(self, lines: Lines, keys: Keys, epoch: int | None, on_event: OnEvent) -> float:
        """All lines, a span at a time; without an epoch nothing moves."""
        config, cbow = self.config, self.config.algorithm == "cbow"
        room = TOKENS_OF_SPAN + 2 * config.window
        words, low, high = (np.zeros(room, np.int32) for _ in range(3))
        sizes, positions = np.zeros(16, np.int64), np.zeros(room, np.int64)
        none = np.zeros(0, np.int64)
        corpus = Corpus(
            np.asarray(lines.ids), np.asarray(lines.offsets), self.keep, none.astype(np.int32), none.astype(np.uint32),
            np.zeros((0, 0), np.int32), none,
        )  # fmt: skip
        begin, end = int(lines.offsets[0]), int(lines.offsets[-1])
        loss, predictions = 0.0, 0
        for start in range(begin, end, TOKENS_OF_SPAN):
            stop = min(start + TOKENS_OF_SPAN, end)
            draw_words(words, low, high, sizes, positions, corpus, keys, start, stop, config.window)
            rate = 0.0
            if epoch is not None:
                progress = (epoch + (start - begin) / self.total) / config.epochs
                rate = config.rate * max(1.0 - progress, LOWEST_RATE)
            n, first, last = sizes[N_WORDS], sizes[FIRST], sizes[LAST]
            more, made = train_span(
                self.x_VE,
                self.y_VE,
                words[:n],
                low,
                high,
                first,
                last,
                cbow,
                np.float32(rate),
                self.bounds,
                *self.space,
            )
            loss, predictions = loss + more, predictions + made
            on_event(Progressed((epoch or 0) * self.total + stop - begin, loss / max(predictions, 1), (epoch or 0) + 1))
        return loss / max(predictions, 1)
