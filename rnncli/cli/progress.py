"""Events of a run on standard error: a bar on a terminal, lines elsewhere, JSON lines for machines, or silence."""

import json
import math
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import Any

from rnncli.events import (
    CheckpointSaved,
    EpochDone,
    Event,
    Note,
    OnEvent,
    PhaseStarted,
    Progressed,
    ignore,
)

SECONDS_BETWEEN_UPDATES = 0.2


@contextmanager
def show_progress(mode: str = "auto", quiet: bool = False, verbose: bool = False) -> Iterator[OnEvent]:
    """Give the listener a run talks to.

    `auto` and `bar` draw a bar on a terminal and write one line per epoch and note elsewhere; `jsonl` writes every
    event as a JSON line; `none` writes notes only; `quiet` writes nothing. `verbose` adds phases and checkpoints to
    the lines.
    """
    if quiet:
        yield ignore
    elif mode == "jsonl":
        yield _JsonLines().hear
    elif mode == "none":
        yield lambda event: _write(f"note: {event.text}") if isinstance(event, Note) else None
    elif sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        bar = _Bar(verbose)
        try:
            yield bar.hear
        finally:
            bar.close()
    else:
        yield _Lines(verbose, _write).hear


def announce_compiling(on_event: OnEvent, verbose: bool = False) -> None:
    """Tell once when numba compiles kernels instead of loading them; call it after importing a pipeline.

    Does nothing when the kernels were not imported. `verbose` names every kernel.
    """
    jit = sys.modules.get("rnncli.kernels._jit")
    if jit is None:
        return
    told = False

    def tell(name: str) -> None:
        nonlocal told
        if not told:
            on_event(Note("compiling kernels, once per version (up to a minute); `rnncli warmup` does it ahead"))
        told = True
        if verbose:
            on_event(Note(f"compiling {name}"))

    jit.on_compile(tell)


def _write(line: str) -> None:
    with suppress(OSError):  # a listener that hung up must not stop a training run
        sys.stderr.write(line + "\n")
        sys.stderr.flush()


def _number(value: float) -> str:
    """Four significant digits; whole and large numbers in full."""
    in_full = abs(value) < 1e15 and (float(value).is_integer() or abs(value) >= 1000)
    return f"{value:,.0f}" if in_full else f"{value:.4g}"


def _epoch_line(event: EpochDone) -> str:
    metrics = "  ".join(f"{name} {_number(value)}" for name, value in event.metrics.items())
    return f"epoch {event.epoch}  {metrics}{'  (best so far)' if event.best else ''}"


class _Lines:
    """One line per epoch and note; with `verbose` also per phase and checkpoint."""

    def __init__(self, verbose: bool, write: Callable[[str], None]) -> None:
        self.verbose = verbose
        self.write = write

    def hear(self, event: Event) -> None:
        if isinstance(event, EpochDone):
            self.write(_epoch_line(event))
        elif isinstance(event, Note):
            self.write(f"note: {event.text}")
        elif isinstance(event, PhaseStarted) and self.verbose:
            self.write(event.phase + (f": {_number(event.total)} {event.unit}" if event.total else ""))
        elif isinstance(event, CheckpointSaved) and self.verbose:
            self.write(f"checkpoint {event.path} (epoch {event.epoch})")


class _JsonLines:
    """Every event as one JSON object: `event` (its name), `seconds` since the start, and its fields.

    Progress comes at most every fifth of a second; numbers that are not finite become null.
    """

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.total = 0
        self.last = -math.inf

    def hear(self, event: Event) -> None:
        now = time.monotonic()
        if isinstance(event, PhaseStarted):
            self.total, self.last = event.total, -math.inf
        if isinstance(event, Progressed):
            if now - self.last < SECONDS_BETWEEN_UPDATES and event.done != self.total:
                return
            self.last = now
        name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(event).__name__).lower()
        record = {"event": name, "seconds": round(now - self.started, 3), **asdict(event)}
        _write(json.dumps(_finite(record), allow_nan=False))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


class _Bar:
    """A bar with rate, loss and time left; epochs and notes are lines above it. Needs a terminal on standard error."""

    def __init__(self, verbose: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        self.console = Console(stderr=True, highlight=False)
        self.progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[rate]}", markup=False),
            TextColumn("{task.fields[loss]}", markup=False),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
            refresh_per_second=5,
        )
        self.lines = _Lines(verbose, self._line)
        self.task: TaskID | None = None
        self.unit = ""
        self.started = self.last = 0.0

    def _line(self, text: str) -> None:
        self.console.print(text, markup=False, soft_wrap=True)

    def hear(self, event: Event) -> None:
        if isinstance(event, PhaseStarted):
            self._phase(event)
        elif isinstance(event, Progressed):
            self._progressed(event)
        self.lines.hear(event)

    def _phase(self, event: PhaseStarted) -> None:
        if self.task is not None:
            self.progress.remove_task(self.task)
        self.progress.start()
        self.task = self.progress.add_task(event.phase, total=event.total or None, rate="", loss="")
        self.unit = event.unit
        self.total = event.total
        self.started, self.last = time.monotonic(), 0.0

    def _progressed(self, event: Progressed) -> None:
        now = time.monotonic()
        if self.task is None or (now - self.last < SECONDS_BETWEEN_UPDATES and event.done != self.total):
            return
        self.last = now
        rate = event.done / max(now - self.started, 1e-9)
        loss = "" if event.loss is None else f"loss {event.loss:.4f}"
        self.progress.update(self.task, completed=event.done, rate=f"{_number(rate)} {self.unit}/s", loss=loss)

    def close(self) -> None:
        self.progress.stop()
