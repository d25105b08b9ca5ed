"""All trainable numbers of a model in one flat vector, with a table of names.

One vector makes the optimiser, clipping, checkpoints and gradient checks single loops; the named views make
the kernels readable.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

FloatArray = NDArray[Any]


@dataclass(frozen=True)
class ParamSlot:
    """Where one named parameter lies in the flat vector."""

    name: str
    offset: int
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))


class ParamStore:
    """A flat vector of floats and the named arrays that are views of it.

    >>> store = ParamStore({"weight": (2, 3), "bias": (2,)})
    >>> store["bias"][:] = 1.0
    >>> float(store.flat.sum())
    2.0
    """

    def __init__(self, shapes: dict[str, tuple[int, ...]], dtype: DTypeLike = np.float32) -> None:
        self.slots: dict[str, ParamSlot] = {}
        offset = 0
        for name, shape in shapes.items():
            self.slots[name] = ParamSlot(name, offset, shape)
            offset += self.slots[name].size
        self.flat: FloatArray = np.zeros(offset, dtype=dtype)

    def __getitem__(self, name: str) -> FloatArray:
        slot = self.slots[name]
        return self.flat[slot.offset : slot.offset + slot.size].reshape(slot.shape)

    def __iter__(self) -> Iterator[str]:
        return iter(self.slots)

    def __len__(self) -> int:
        return len(self.slots)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: slot.shape for name, slot in self.slots.items()}

    def zeros_like(self) -> "ParamStore":
        """A store of the same layout and dtype, all zero (gradients, optimiser moments)."""
        return ParamStore(self.shapes, self.flat.dtype)

    def astype(self, dtype: DTypeLike) -> "ParamStore":
        """A copy in another precision (float64 for gradient checks)."""
        copy = ParamStore(self.shapes, dtype)
        copy.flat[:] = self.flat
        return copy
