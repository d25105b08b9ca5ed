"""Choices drawn one after another from one named sequence of rnncli.rng."""

from collections.abc import Sequence
from typing import TypeVar

from rnncli import rng

T = TypeVar("T")
BLOCK = 4096


class Dice:
    """A reader of one counter-based sequence; `part` names the file it is for, so that no file disturbs another."""

    def __init__(self, seed: int, part: int) -> None:
        self._key = rng.key(seed, rng.Stream.SAMPLE_DATA, part=part)
        self._position = 0
        self._block: list[int] = []

    def integer(self, n: int) -> int:
        """A number from 0 .. n-1."""
        place = self._position % BLOCK
        if place == 0:
            self._block = rng.uint64s(self._key, BLOCK, start=self._position).tolist()
        self._position += 1
        return self._block[place] % n

    def pick(self, items: Sequence[T]) -> T:
        """One of the items."""
        return items[self.integer(len(items))]

    def pick_other(self, items: Sequence[T], taken: T) -> T:
        """One of the items that is not `taken`."""
        return self.pick([item for item in items if item != taken])

    def chance(self, percent: int) -> bool:
        """True in `percent` of a hundred cases."""
        return self.integer(100) < percent

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """The items in a random order (Fisher & Yates)."""
        out = list(items)
        for i in range(len(out) - 1, 0, -1):
            j = self.integer(i + 1)
            out[i], out[j] = out[j], out[i]
        return out
