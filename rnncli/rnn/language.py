"""Learning to foretell the next token of running text, and a trained language model."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli import rng
from rnncli.config.sequences import LanguageTrainingConfig
from rnncli.data.running import END_OF_LINE, RunningIds
from rnncli.data.tokenise import Tokenizer
from rnncli.data.vocab import Vocabulary
from rnncli.results import LanguageResult
from rnncli.rnn.network import Network
from rnncli.rnn.packing import PackedBatch, Sequences, pack
from rnncli.rnn.stored import (
    Tensors,
    complete,
    network_meta,
    network_tensors,
    stored_network,
    stored_vocabulary,
    text_tensors,
)
from rnncli.rnn.task import Score, Step
from rnncli.rnn.truncation import states_after, window_steps, windows

EVALUATION_STREAMS = 16  # pieces that held-out text is read in, side by side
EVALUATION_STEPS = 128  # tokens of a piece at a time; does not change the result


def streams(n: int, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Starts and lengths (count,) of pieces of n tokens that differ by one at most."""
    bounds = n * np.arange(count + 1, dtype=np.int64) // count
    return bounds[:-1], np.diff(bounds)


def shifted(data: RunningIds) -> NDArray[np.int32]:
    """What is read where each token is foretold: the token before it, the end of a line before the first."""
    return np.append(np.int32(data.end_of_line), data.ids[:-1]).astype(np.int32)


def evaluate_language(
    network: Network, data: RunningIds, unit: str, pieces: int = EVALUATION_STREAMS
) -> LanguageResult:
    """Mean loss of every token given all before it in its piece of the text, dropout off.

    The text is cut into `pieces` pieces of like length; a piece begins without a past, which costs a little.
    """
    starts, lengths = streams(data.ids.size, min(pieces, max(1, data.ids.size)))
    sequences = Sequences(starts, lengths, shifted(data))
    loss, states = 0.0, None
    for window in windows(int(lengths.max()), EVALUATION_STEPS, EVALUATION_STEPS):
        part = window.of(sequences)
        batch = pack(part, np.arange(part.n))
        start = None if states is None else [state[batch.rows_B] for state in states]
        out = network.forward(batch, None, start, keep=False)
        loss += float(network.losses_of(out, batch, data.ids[batch.position_N]).sum())
        ends = states_after(network, out.run, batch, part, window.count, start)
        states = [np.empty_like(end) for end in ends]
        for state, end in zip(states, ends, strict=True):
            state[batch.rows_B] = end
    mean = loss / data.ids.size
    return LanguageResult(
        tokens=int(data.ids.size),
        unknown_share=data.unknown_share,
        loss=mean,
        perplexity=math.exp(min(mean, 700.0)),
        bits_per_token=mean / math.log(2.0),
        bits_per_character=loss / math.log(2.0) / data.characters if data.characters else None,
        unit=unit,
    )


@dataclass
class LanguageTask:
    """Pieces of a text side by side, states carried from window to window; see rnn/task.py."""

    train: RunningIds
    valid: RunningIds
    config: LanguageTrainingConfig
    seed: int
    token_unit: str
    unit: str = field(default="tokens", init=False)

    @property
    def total(self) -> int:
        return int(self.train.ids.size)

    def steps(self, network: Network, epoch: int) -> tuple[int, Iterator[Step]]:
        """One batch a window; each epoch reads the text from another place on, round its end."""
        n = self.train.ids.size
        back = self.config.bptt_steps
        stride = min(self.config.bptt_stride or back, back)
        first = int(rng.uint64s(rng.key(self.seed, rng.Stream.ORDER, epoch), 1)[0] % np.uint64(n)) if epoch > 1 else 0
        reads, targets = np.roll(shifted(self.train), -first), np.roll(self.train.ids, -first)
        starts, lengths = streams(n, min(self.config.batch_size, n))
        count = len(list(windows(int(lengths.max()), back, stride)))
        return count, self._steps(network, epoch, Sequences(starts, lengths, reads), targets, back, stride)

    def _steps(
        self, network: Network, epoch: int, data: Sequences, targets: NDArray[np.int32], back: int, stride: int
    ) -> Iterator[Step]:
        def term(batch: PackedBatch) -> tuple[NDArray[np.int32], None]:
            return targets[batch.position_N], None

        def key(window: int) -> np.uint64:
            return rng.key(self.seed, rng.Stream.DROPOUT, epoch, window)

        def fresh(window: int) -> NDArray[np.bool_]:
            draws = rng.uniforms(rng.key(self.seed, rng.Stream.WINDOW, epoch, window), data.n)
            return draws < self.config.fresh_share

        for part in window_steps(network, data, back, stride, term, key, self.config.label_smoothing, fresh):
            yield Step(part.gradients, part.weight, part.tokens, part.tokens)

    def evaluate(self, network: Network) -> Score:
        """The lowest loss is the best."""
        result = evaluate_language(network, self.valid, self.token_unit)
        return Score({"loss": result.loss, "perplexity": result.perplexity}, (-result.loss,), result)


@dataclass(frozen=True)
class LanguageModel:
    """Everything that generating and measuring need."""

    network: Network
    vocab: Vocabulary
    tokenizer: Tokenizer

    kind = "language-model"

    @property
    def end_of_line(self) -> int:
        """The id of the token that ends a line."""
        return self.vocab.ids[END_OF_LINE]

    def to_tensors(self) -> dict[str, NDArray[Any]]:
        """Named tensors of the model file."""
        return network_tensors(self.network) | text_tensors(self.vocab, None)

    def to_meta(self) -> dict[str, Any]:
        """What the tensors do not say."""
        return network_meta(self.network) | {"tokenizer": self.tokenizer.to_json()}

    @classmethod
    @complete
    def from_stored(cls, tensors: Tensors, meta: dict[str, Any]) -> "LanguageModel":
        """The inverse of to_tensors and to_meta; ArtifactError where they do not fit together."""
        return cls(stored_network(tensors, meta), stored_vocabulary(tensors), Tokenizer.from_json(meta["tokenizer"]))
