"""`rnncli warmup`: compile every kernel now, so that no run has to wait for it."""

import sys
import time
from importlib import import_module
from typing import Any

from rnncli.cli.options import JsonOpt, QuietOpt
from rnncli.cli.progress import announce_compiling, show_progress
from rnncli.cli.render import print_json, print_table

# (what it is for, module whose warmup() calls its kernels with the types the pipelines use)
PARTS = (
    ("networks", "rnncli.rnn.warmup"),
    ("word vectors", "rnncli.embeddings.warmup"),
    ("gradients", "rnncli.inspection.warmup"),
)


def warmup(json: JsonOpt = False, quiet: QuietOpt = False) -> None:
    """Compile every kernel now, into the cache.

    For instance while a container image is built, so that no run waits for it.

    \b
    Examples:
      rnncli warmup
      XDG_CACHE_HOME=/opt/cache rnncli warmup --json
    """
    rows = []
    with show_progress(quiet=quiet) as on_event:
        for i, (part, module) in enumerate(PARTS):
            started = time.perf_counter()
            warm = import_module(module).warmup
            if i == 0:
                announce_compiling(on_event)
            compiled, loaded = _counts()
            warm()
            after = _counts()
            seconds = round(time.perf_counter() - started, 2)
            rows.append((part, seconds, after[0] - compiled, after[1] - loaded))
    if json:
        keys = ("part", "seconds", "compiled", "loaded")
        print_json({"cache": _cache_folder(), "parts": [dict(zip(keys, row, strict=True)) for row in rows]})
    else:
        print_table("", ("part", "seconds", "kernels compiled", "kernels loaded"), rows)


def _cache_folder() -> str | None:
    from rnncli.kernels import _jit

    return _jit.CACHE_FOLDER


def _counts() -> tuple[int, int]:
    """Kernels compiled and kernels loaded from the cache so far, by numba's own statistics.

    Scalar functions are compiled into the kernels that call them, have no file in the cache, and do not count.
    """
    kernels: dict[int, Any] = {}
    for name, module in list(sys.modules.items()):
        if name.startswith("rnncli."):
            kernels |= {id(thing): thing for thing in vars(module).values() if hasattr(thing, "stats")}
    stats = [kernel.stats for kernel in kernels.values()]
    cached = [one for one in stats if _cache_folder() is None or one.cache_path is not None]
    return tuple(sum(sum(getattr(one, field).values()) for one in cached) for field in ("cache_misses", "cache_hits"))  # type: ignore[return-value]
