"""`rnncli doctor`: is this installation sound, and what does it run on?"""

import os
import platform
import sys
import time
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from rnncli import __version__
from rnncli.cli.options import JsonOpt
from rnncli.cli.render import print_json, print_table
from rnncli.errors import CheckFailedError

PACKAGES = ("numpy", "numba", "llvmlite", "pyarrow", "safetensors", "pydantic", "pyyaml", "typer", "rich")


@dataclass(frozen=True)
class Finding:
    """One line of the report; `status` is `ok`, `warn` (works, but worse than it could), `fail`, or `info`."""

    name: str
    status: str
    value: str


def doctor(json: JsonOpt = False) -> None:
    """Check this installation.

    Versions, processor, threads, the kernel cache, and a compiled kernel against NumPy. Ends with 3 when a check
    fails.

    \b
    Examples:
      rnncli doctor
      rnncli doctor --json > doctor.json
    """
    findings = [*_machine(), *_packages()]
    try:
        findings += _kernels()
    except Exception as error:
        # Whatever breaks here is the finding, not a reason to stop before the report.
        findings.append(Finding("kernel", "fail", f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"))
    if json:
        print_json({"rnncli": __version__, "checks": [asdict(finding) for finding in findings]})
    else:
        print_table("", ("check", "status", "value"), [(f.name, f.status, f.value) for f in findings])
    failed = [finding.name for finding in findings if finding.status == "fail"]
    if failed:
        raise CheckFailedError(f"{len(failed)} of {len(findings)} checks failed: {', '.join(failed)}")


def _machine() -> list[Finding]:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    settings = [f"{name}={os.environ[name]}" for name in sorted(os.environ) if name.startswith(("RNNCLI_", "NUMBA_"))]
    new_enough = sys.version_info >= (3, 11)
    return [
        Finding("rnncli", "ok", __version__),
        Finding("python", "ok" if new_enough else "fail", platform.python_version()),
        Finding("platform", "info", platform.platform()),
        Finding("processor", "info", _processor()),
        Finding("cores", "info", f"{usable} usable of {os.cpu_count()}"),
        Finding("environment", "info", " ".join(settings) or "no RNNCLI_ or NUMBA_ variables"),
    ]


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _packages() -> list[Finding]:
    findings = []
    for package in PACKAGES:
        try:
            findings.append(Finding(package, "ok", metadata.version(package)))
        except metadata.PackageNotFoundError:
            findings.append(Finding(package, "fail", "not installed; install rnncli again"))
    return findings


def _kernels() -> list[Finding]:
    """Compile a parallel kernel, compare it with NumPy, and look at what that needed."""
    import numpy as np

    from rnncli.kernels import _jit

    # An explicit cache folder of the user's may not be writable; ours was chosen because it is.
    folder = _jit.CACHE_FOLDER
    if folder is None:
        cache = Finding(
            "kernel cache", "warn", "no writable folder: kernels compile at every start; set XDG_CACHE_HOME"
        )
    elif os.access(folder, os.W_OK):
        cache = Finding("kernel cache", "ok", f"{folder} (writable)")
    else:
        cache = Finding("kernel cache", "warn", f"{folder} (not writable)")

    started = time.perf_counter()
    kernel = _row_dots_kernel()
    a_MK = np.linspace(-1, 1, 64 * 33, dtype=np.float32).reshape(64, 33)
    b_K = np.linspace(1, 2, 33, dtype=np.float32)
    out = np.zeros(64, dtype=np.float32)
    kernel(out, a_MK, b_K)
    seconds = time.perf_counter() - started
    error = float(np.max(np.abs(out - a_MK.astype(np.float64) @ b_K.astype(np.float64))))
    right = error < 1e-4
    return [
        cache,
        Finding("threading layer", "info", f"{_jit.threading_layer()}, {_jit.set_threads(0)} threads"),
        Finding(
            "kernel", "ok" if right else "fail", f"largest error {error:.1e} against NumPy, ready in {seconds:.1f} s"
        ),
    ]


def _row_dots_kernel() -> Any:
    """out[i] = sum_k a[i, k] b[k], rows in parallel: the smallest kernel that needs the compiler and the threads."""
    from rnncli.kernels import _jit

    prange = _jit.prange

    def row_dots(out: Any, a_MK: Any, b_K: Any) -> None:
        for i in prange(out.shape[0]):
            total = 0.0
            for k in range(b_K.shape[0]):
                total += a_MK[i, k] * b_K[k]
            out[i] = total

    return _jit.parallel_kernel(row_dots)
