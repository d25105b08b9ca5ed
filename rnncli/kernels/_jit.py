"""The only place that imports numba: decorators, fast-math flags, the disk cache, the thread policy.

Fast-math is ORDERED, never numba's bare `fastmath=True` (it would let the compiler assume that NaN cannot happen, and
divergence checks could vanish): products may be contracted to fused multiply-adds, but sums keep the order they are
written in, so a row's result cannot depend on how many rows share the call. Every loop without a reduction vectorises.
"""

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

ORDERED = {"nsz", "arcp", "contract"}


def _cache_folder() -> Path | None:
    """A writable folder named by the content of every kernel source, or None.

    numba does not notice a changed callee in another file, so the sources name the folder.
    """
    here = Path(__file__).parent
    digest = hashlib.sha256()
    for source in [*sorted(here.glob("*.py")), here.parent / "rng.py"]:
        digest.update(source.read_bytes())
    name = digest.hexdigest()[:16]
    xdg = os.environ.get("XDG_CACHE_HOME")
    home = Path(xdg) if xdg else Path.home() / ".cache"
    for base in (home, Path(tempfile.gettempdir()) / f"rnncli-{os.getuid() if hasattr(os, 'getuid') else 'user'}"):
        folder = base / "rnncli" / "numba" / name
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError:
            continue
        if os.access(folder, os.W_OK) and _is_ours(folder):
            return folder
    return None


def _is_ours(folder: Path) -> bool:
    """The cache holds machine code: never load it from a folder that somebody else owns."""
    return not hasattr(os, "getuid") or folder.stat().st_uid == os.getuid()


if "NUMBA_CACHE_DIR" not in os.environ:
    _folder = _cache_folder()
    if _folder is not None:
        os.environ["NUMBA_CACHE_DIR"] = str(_folder)
# omp was the steadiest of the three layers where it was measured; the others follow where it is missing.
os.environ.setdefault("NUMBA_THREADING_LAYER_PRIORITY", "omp tbb workqueue")
# A thread that waits spins for microseconds, not milliseconds: where others use the cores too, long spinning takes
# them from the very thread that is waited for (a third of the speed was left of skip-gram rounds on a busy machine).
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
_wanted = os.environ.get("RNNCLI_THREADS", "")
if _wanted.isdigit() and "NUMBA_NUM_THREADS" not in os.environ:
    os.environ["NUMBA_NUM_THREADS"] = str(max(int(_wanted), os.cpu_count() or 1))

import numba  # noqa: E402  # after the environment is set
from llvmlite import binding as llvm_binding  # noqa: E402
from numba.core import cgutils  # noqa: E402
from numba.core import event as numba_event  # noqa: E402
from numba.cpython.unsafe.numbers import trailing_zeros as trailing_zeros  # noqa: E402  # kernels take it from here
from numba.extending import intrinsic, models, overload, register_model  # noqa: E402

# Thirty-two registers of sixteen lanes (AVX-512); elsewhere wide tiles would spill.
HAS_WIDE_REGISTERS = bool(llvm_binding.get_host_cpu_features().get("avx512f", False))
CACHE_FOLDER: str | None = os.environ.get("NUMBA_CACHE_DIR")
prange = numba.prange


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a sequential kernel whose sums keep their order."""
    return numba.njit(cache=CACHE_FOLDER is not None, fastmath=ORDERED, error_model="numpy", nogil=True)(function)


def inline_kernel(function: Callable[..., Any]) -> Any:
    """Compile a small scalar function that is always inlined into its caller."""
    return numba.njit(forceinline=True, fastmath=ORDERED, error_model="numpy")(function)


def parallel_kernel(function: Callable[..., Any]) -> Any:
    """Compile a kernel whose `prange` loop runs over shards; the shards, not the threads, decide the result."""
    return numba.njit(cache=CACHE_FOLDER is not None, fastmath=ORDERED, error_model="numpy", parallel=True, nogil=True)(
        function
    )


def by_precision(single: Callable[..., Any], double: Callable[..., Any]) -> Any:
    """A scalar function of one float that takes the path of its precision: fast in float32, exact in float64."""
    single_jit, double_jit = inline_kernel(single), inline_kernel(double)

    def choose(x: Any) -> Any:
        return single(x) if getattr(x, "dtype", None) == "float32" else double(x)

    @overload(choose, strict=False, jit_options={"forceinline": True, "fastmath": ORDERED})
    def _choose(x):
        return (lambda x: single_jit(x)) if x == numba.float32 else (lambda x: double_jit(x))

    return choose


def by_element_type(single: Callable[..., Any], other: Callable[..., Any]) -> Any:
    """A kernel that takes the path of its first array's element type: `single` for float32, else `other`."""

    def choose(first: Any, *rest: Any) -> Any:
        return single(first, *rest) if first.dtype == "float32" else other(first, *rest)

    @overload(choose, strict=False, jit_options={"forceinline": True})
    def _choose(first, *rest):
        chosen = single if first.dtype == numba.float32 else other
        return lambda first, *rest: chosen(first, *rest)

    return choose


class LanesType(numba.types.Type):  # type: ignore[misc]
    """Sixteen float32 numbers in registers: a value of compiled code only, see kernels/lanes.py."""

    def __init__(self) -> None:
        super().__init__(name="float32x16")


LANES = LanesType()
NOTHING = numba.types.none
SINGLE = numba.float32
LANES_LLVM = cgutils.ir.VectorType(cgutils.ir.FloatType(), 16)
llvm = cgutils.ir
emits = intrinsic  # a function of compiled code that is given by the LLVM instructions it stands for


@register_model(LanesType)
class _LanesModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, fe_type: Any) -> None:
        super().__init__(manager, fe_type, LANES_LLVM)


def element_pointer(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    """LLVM pointer to element `index` of a contiguous array of one axis."""
    return builder.gep(context.make_array(array_type)(context, builder, array).data, [index])


def set_threads(n: int) -> int:
    """Let kernels use `n` threads (0: all cores); returns the number in force. Results do not depend on it."""
    available: int = numba.config.NUMBA_NUM_THREADS
    chosen = available if n <= 0 else min(n, available)
    numba.set_num_threads(chosen)
    return chosen


def threading_layer() -> str:
    """The layer that runs parallel kernels; known after the first of them ran."""
    try:
        return str(numba.threading_layer())
    except ValueError:
        return "not started"


class _CompileListener(numba_event.Listener):  # type: ignore[misc]
    def __init__(self, notify: Callable[[str], None]) -> None:
        self.notify = notify

    def on_start(self, event: Any) -> None:
        self.notify(event.data["dispatcher"].__name__)

    def on_end(self, event: Any) -> None:
        pass


def on_compile(notify: Callable[[str], None]) -> None:
    """Call `notify(kernel name)` whenever a kernel is compiled rather than loaded from the cache."""
    numba_event.register("numba:compile", _CompileListener(notify))
