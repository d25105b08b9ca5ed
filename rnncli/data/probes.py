"""Synthetic tasks whose answer is known: a row is a pure function of (seed, its number)."""

import numpy as np
from numpy.typing import NDArray

from rnncli import rng
from rnncli.data.labelled import LabelledIds
from rnncli.data.numeric import NumericRows


def _draws(seed: int, part: int, first: int, n: int, each: int) -> NDArray[np.float64]:
    """Uniform numbers (n, each) of the rows first .. first + n - 1."""
    key = rng.key(seed, rng.Stream.PROBE, part=part)
    return rng.uniforms(key, n * each, start=first * each).reshape(n, each)


def adding(seed: int, n: int, length: int, first: int = 0) -> NumericRows:
    """The adding problem (Hochreiter & Schmidhuber 1997, in the form of Le, Jaitly & Hinton 2015).

    Each step has a number drawn from [0, 1) and a mark, which is 1 at one step of the first half and one of the second;
    wanted is the sum of the two marked numbers. Guessing 1 always has the mean squared error 1/6. length >= 2.
    """
    u = _draws(seed, 1, first, n, length + 2)
    half = length // 2
    one = np.floor(u[:, length] * half).astype(np.int64)
    two = half + np.floor(u[:, length + 1] * (length - half)).astype(np.int64)
    values = np.zeros((n, length, 2), np.float32)
    values[:, :, 0] = u[:, :length]
    rows = np.arange(n)
    values[rows, one, 1] = values[rows, two, 1] = 1.0
    wanted = values[rows, one, 0] + values[rows, two, 0]
    lengths = np.full(n, length, np.int64)
    return NumericRows(values.reshape(-1, 2), np.cumsum(lengths) - lengths, lengths, wanted.reshape(-1, 1))


def recall(
    seed: int, n: int, delay: int, classes: int = 4, distractors: int = 8, first: int = 0
) -> tuple[LabelledIds, list[str]]:
    """Delayed recall: a class token, then `delay` tokens drawn at random; the label is the class. Also the token names."""
    u = _draws(seed, 2, first, n, delay + 1)
    ids = np.empty((n, delay + 1), np.int32)
    ids[:, 0] = np.floor(u[:, 0] * classes)
    ids[:, 1:] = classes + np.floor(u[:, 1:] * distractors)
    names = [f"class{c}" for c in range(classes)] + [f"noise{d}" for d in range(distractors)]
    offsets = np.arange(n + 1, dtype=np.int64) * (delay + 1)
    return LabelledIds(ids.reshape(-1), offsets, ids[:, 0].copy()), names


def copy_memory(
    seed: int, n: int, delay: int, symbols: int = 8, length: int = 10, first: int = 0
) -> tuple[LabelledIds, list[str]]:
    """Copy memory (Hochreiter & Schmidhuber 1997; Arjovsky, Shah & Bengio 2016): labels at every step.

    `length` symbols, delay - 1 blanks, a delimiter, `length` blanks; wanted are blanks, and the symbols after the delimiter.
    delay >= 1. Without memory the best loss is length ln(symbols) / (delay + 2 length) nats a step. Also the token names.
    """
    u = _draws(seed, 3, first, n, length)
    blank, delimiter, steps = symbols, symbols + 1, delay + 2 * length
    drawn = np.floor(u * symbols).astype(np.int32)
    ids, labels = np.full((n, steps), blank, np.int32), np.full((n, steps), blank, np.int32)
    ids[:, :length] = drawn
    ids[:, length + delay - 1] = delimiter
    labels[:, length + delay :] = drawn
    names = [f"symbol{s}" for s in range(symbols)] + ["blank", "delimiter"]
    return LabelledIds(ids.reshape(-1), np.arange(n + 1, dtype=np.int64) * steps, labels.reshape(-1)), names


def copy_memory_loss(delay: int, symbols: int = 8, length: int = 10) -> float:
    """The best mean loss without memory, nats a step (Arjovsky, Shah & Bengio 2016)."""
    return length * float(np.log(symbols)) / (delay + 2 * length)
