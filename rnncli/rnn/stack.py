"""Layers and directions of one cell over a packed batch: forward, and back through all of them.

Dimension key: N tokens, S shards, I input, H hidden, O = H x directions, P dense parameters.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli.kernels import sequence
from rnncli.params import ParamStore
from rnncli.rnn.cells import CELLS, LayerPlace
from rnncli.rnn.init import Start
from rnncli.rnn.packing import PackedBatch

Array = NDArray[Any]
Drop = Callable[[Array, int], None]  # (values or their gradient in place, number of the place)
PREFIX = "rnn."


@dataclass(frozen=True)
class StackSpec:
    """What decides the shapes and the equations of the recurrent layers."""

    cell: str
    input_size: int
    hidden_size: int
    layers: int = 1
    bidirectional: bool = False

    @property
    def directions(self) -> int:
        return 2 if self.bidirectional else 1

    @property
    def output_size(self) -> int:
        return self.hidden_size * self.directions


@dataclass
class LayerRun:
    """What one layer leaves behind: its input, and a cache for each direction (the reverse one in reversed order)."""

    x_NI: Array
    caches: list[Any] = field(default_factory=list)


@dataclass
class StackRun:
    """What a forward pass leaves behind."""

    layers: list[LayerRun]
    h_NO: Array  # outputs of the last layer


class Stack:
    """The recurrent layers of a network; their parameters lie in its ParamStore under `rnn.`."""

    def __init__(self, spec: StackSpec) -> None:
        self.spec = spec
        self.cell = CELLS[spec.cell]
        reverses = (False, True) if spec.bidirectional else (False,)
        self.places = [LayerPlace(layer, reverse) for layer in range(spec.layers) for reverse in reverses]

    def input_size(self, layer: int) -> int:
        """Width of what a layer reads."""
        return self.spec.input_size if layer == 0 else self.spec.output_size

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Parameter shapes, in order."""
        shapes: dict[str, tuple[int, ...]] = {}
        for place in self.places:
            own = self.cell.shapes(place.suffix, self.input_size(place.layer), self.spec.hidden_size)
            shapes |= {f"{PREFIX}{name}": shape for name, shape in own.items()}
        return shapes

    def initialise(self, params: ParamStore, start: Start, seed: int) -> None:
        """First values, as `start` says."""
        for number, place in enumerate(self.places):
            part = 1 if number == 0 else 100 + 2 * number  # 3 and 4 are the head's and the embedding's
            sizes = (self.input_size(place.layer), self.spec.hidden_size)
            for name, values in self.cell.initial(place.suffix, start, seed, part, *sizes).items():
                params[f"{PREFIX}{name}"][:] = values

    def forward(
        self,
        params: ParamStore,
        x_NI: Array,
        batch: PackedBatch,
        drop: Drop | None = None,
        start: list[Array] | None = None,
        keep: bool = True,
    ) -> StackRun:
        """Run all layers; `drop` is called on what goes from one layer to the next; without `keep` there is no way back.

        `start` holds, for each layer, the state (B, states H) that its rows begin with; None begins with zeros.
        """
        none_BK = np.empty((0, self.cell.states * self.spec.hidden_size), x_NI.dtype)
        runs = []
        for layer in range(self.spec.layers):
            run = LayerRun(x_NI)
            for place in self._of(layer):
                x = self._turned(x_NI, batch) if place.reverse else x_NI
                cache = self.cell.cache(len(x), batch.lengths_B.size, self.spec.hidden_size, x.dtype, keep)
                self.cell.forward(
                    cache, x, params.flat, self._offset(params, place), batch.lengths_B, batch.rows_S, batch.tokens_S,
                    none_BK if start is None else start[layer], self.cell.variant,
                )  # fmt: skip
                run.caches.append(cache)
            x_NI = self._joined(run, batch)
            if drop is not None and layer + 1 < self.spec.layers:
                x_NI = x_NI.copy() if not self.spec.bidirectional else x_NI  # the cache keeps what was computed
                drop(x_NI, layer)
            runs.append(run)
        return StackRun(runs, x_NI)

    def states_at(self, run: StackRun, at_B: NDArray[np.int64], start: list[Array] | None = None) -> list[Array]:
        """The states (B, states H) of each layer's forward direction after the packed tokens at_B.

        Where at_B is -1, for a row without tokens, it is what the row began with.
        """
        found = [self.cell.states_at(layer.caches[0], at_B) for layer in run.layers]
        if start is None:
            return found
        there = at_B[:, None] >= 0
        return [np.where(there, end, begun) for end, begun in zip(found, start, strict=True)]

    def backward(
        self,
        dflat_SP: Array,
        params: ParamStore,
        dh_NO: Array,
        run: StackRun,
        batch: PackedBatch,
        drop: Drop | None = None,
    ) -> Array:
        """dL/dx (N, I) from dL/dh (N, O), which is overwritten; parameter gradients are added into dflat_SP."""
        for layer in reversed(range(self.spec.layers)):
            layer_run = run.layers[layer]
            if drop is not None and layer + 1 < self.spec.layers:
                drop(dh_NO, layer)
            dx_NI = np.empty_like(layer_run.x_NI)
            for number, place in enumerate(self._of(layer)):
                x, dh, dx = layer_run.x_NI, dh_NO, dx_NI
                if self.spec.bidirectional:
                    dh = np.empty((len(dh_NO), self.spec.hidden_size), dh_NO.dtype)
                    sequence.take_columns(dh, dh_NO, number * self.spec.hidden_size, self._order(batch, place))
                if place.reverse:
                    x, dx = self._turned(x, batch), np.empty_like(dx_NI)
                self.cell.backward(
                    dx, dflat_SP, dh, layer_run.caches[number], x, params.flat, self._offset(params, place),
                    batch.lengths_B, batch.rows_S, batch.tokens_S, self.cell.variant,
                )  # fmt: skip
                if place.reverse:
                    sequence.add_turned(dx_NI, dx, batch.reverse_N)
            dh_NO = dx_NI
        return dh_NO

    def _of(self, layer: int) -> list[LayerPlace]:
        return [place for place in self.places if place.layer == layer]

    def _offset(self, params: ParamStore, place: LayerPlace) -> int:
        return params.slots[f"{PREFIX}weight_ih_{place.suffix}"].offset

    def _order(self, batch: PackedBatch, place: LayerPlace) -> NDArray[np.int64]:
        return batch.reverse_N if place.reverse else batch.identity_N

    def _turned(self, x_NI: Array, batch: PackedBatch) -> Array:
        """Every row's tokens in reversed order."""
        turned = np.empty_like(x_NI)
        sequence.take_columns(turned, x_NI, 0, batch.reverse_N)
        return turned

    def _joined(self, run: LayerRun, batch: PackedBatch) -> Array:
        """Outputs (N, O) of a layer: the directions side by side."""
        if not self.spec.bidirectional:
            h_NO: Array = run.caches[0].h_NH
            return h_NO
        h_NO = np.empty((len(run.x_NI), self.spec.output_size), run.x_NI.dtype)
        for number, order in enumerate((batch.identity_N, batch.reverse_N)):
            sequence.put_columns(h_NO, run.caches[number].h_NH, number * self.spec.hidden_size, order)
        return h_NO
