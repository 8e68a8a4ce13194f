"""The allocator of the C library, set to what training does: large pieces, freed and taken again at each update."""

from __future__ import annotations

import ctypes
import sys

# Of glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
MOST = 2**31 - 1


def keep_freed_memory() -> None:
    """Have the process keep what it frees: the kernel need not clear the same pages again for each tensor.

    Done by glibc alone; elsewhere nothing is changed.
    """
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "mallopt"):
        library.mallopt(M_MMAP_MAX, 0)  # all from the heap, which stays
        library.mallopt(M_TRIM_THRESHOLD, MOST)
