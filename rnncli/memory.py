"""How the C library treats memory that is freed."""

import ctypes
import sys

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
KEPT = 1 << 30  # bytes
OLD_LIMIT = 1 << 25  # the most that older releases take


def keep_freed() -> None:
    """Keep up to 1 GiB of freed memory for what is asked for next, where the C library is glibc; else do nothing.

    By itself it hands large arrays back at once, and the system zeroes their pages again at the next step of training, which
    wants as many: a fifth of a step of 512 units. The peak of memory stays what it is.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return
    mallopt(TRIM_THRESHOLD, KEPT)
    if not mallopt(MMAP_THRESHOLD, KEPT):
        mallopt(MMAP_THRESHOLD, OLD_LIMIT)
