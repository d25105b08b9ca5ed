"""Text from a language model, token by token: temperature, top-k and top-p (nucleus) sampling, repeatable."""

import codecs
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rnncli import rng
from rnncli.data.running import END_OF_LINE
from rnncli.kernels import losses
from rnncli.rnn.language import LanguageModel
from rnncli.rnn.packing import Sequences, pack


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen."""

    temperature: float = 1.0  # logits are divided by it; 0 takes the likeliest token
    top_k: int = 0  # only the k likeliest tokens, 0 for all
    top_p: float = 1.0  # only the likeliest tokens that together have this probability (Holtzman et al. 2020)
    seed: int = 1
    unknown: bool = False  # whether the unknown token may be chosen


def choose(logits_V: NDArray[np.float64], how: Sampling, draw: float) -> int:
    """The token that a uniform number `draw` in [0, 1) stands for.

    Tokens are ordered by probability, equal ones by number; first top-k, then top-p of what is left, which keeps the
    token that crosses the bound.
    """
    z = np.array(logits_V, np.float64)
    if not how.unknown and z.size > 1:
        z[0] = -np.inf
    if how.temperature == 0.0:
        return int(z.argmax())
    order = np.argsort(-z, kind="stable")
    if how.top_k > 0:
        order = order[: how.top_k]
    scaled = (z[order] - z[order[0]]) / how.temperature
    p = np.exp(scaled)
    p /= p.sum()
    if how.top_p < 1.0:
        keep = int(np.searchsorted(np.cumsum(p), how.top_p)) + 1
        order, p = order[:keep], p[:keep] / p[:keep].sum()
    return int(order[min(int(np.searchsorted(np.cumsum(p), draw, side="right")), order.size - 1)])


def generate(model: LanguageModel, prompt: str, length: int, how: Sampling) -> Iterator[int]:
    """Ids of up to `length` tokens that go on from the prompt; the state is that after an end of line and the prompt.

    The same model, prompt and settings give the same tokens, at any thread count.
    """
    network = model.network
    reads = np.append(np.int32(model.end_of_line), encode_prompt(model, prompt)).astype(np.int32)
    weight_t = np.ascontiguousarray(network.readout.weight(network.dense, network.tables).T)
    bias, start = network.dense["head.bias"], None
    logits_1V = np.empty((1, weight_t.shape[1]), network.dtype)
    draws = rng.uniforms(rng.key(how.seed, rng.Stream.GENERATE), length)
    for position in range(length):
        batch = pack(Sequences(np.zeros(1, np.int64), np.array([reads.size]), reads), np.zeros(1, np.int64))
        out = network.forward(batch, None, start, keep=False)
        losses.linear(logits_1V, out.read_MO[-1:], weight_t, bias)
        token = choose(logits_1V[0], how, float(draws[position]))
        yield token
        start = network.stack.states_at(out.run, batch.last_B, start)
        reads = np.array([token], np.int32)


def encode_prompt(model: LanguageModel, prompt: str) -> NDArray[np.int32]:
    """The ids of a prompt, an end of line for each of its line ends."""
    pieces: list[NDArray[np.int32]] = []
    for number, line in enumerate(prompt.split("\n")):
        if number:
            pieces.append(np.array([model.end_of_line], np.int32))
        pieces.append(model.vocab.encode(model.tokenizer.split([line]).tokens))
    return np.concatenate(pieces)


@dataclass
class Writer:
    """Tokens -> text as it comes: words are set apart by a space, characters and bytes stand side by side."""

    model: LanguageModel
    at_line_start: bool
    _decoder: codecs.IncrementalDecoder = field(
        default_factory=lambda: codecs.getincrementaldecoder("utf-8")(errors="replace"), repr=False
    )

    def text_of(self, token: int) -> str:
        """What this token adds."""
        word = self.model.vocab.tokens[token]
        if self.model.tokenizer.name == "bytes":
            return self._decoder.decode(b"\n" if word == END_OF_LINE else bytes.fromhex(word))
        if word == END_OF_LINE or self.model.tokenizer.name == "chars":
            self.at_line_start = word == END_OF_LINE
            return word
        space = "" if self.at_line_start else " "
        self.at_line_start = False
        return space + word
