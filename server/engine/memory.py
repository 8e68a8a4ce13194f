"""Memory settings of a process in its steady state: rare garbage collection, no trimming.

Python searches all objects for cycles from time to time: with hundreds of streams that takes tens of
milliseconds, in which no stream is answered, although streams leave few cycles behind. glibc returns
the memory of every large array to the kernel when it is freed, and the kernel has to clear it before it
is used again. For the arrays of an engine's step that was a third of the step (256 channels of the
bundled model: 70 us per channel with it, 48 without, AMD EPYC, 2026-11-21).
"""

from __future__ import annotations

import ctypes
import gc

# Thresholds of the three generations: a full collection comes once in some minutes at most.
COLLECTIONS = (10_000, 20, 1_000)

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
NEVER = 1 << 30


def settle() -> None:
    """Collect once, exempt what exists from later collections, and collect rarely."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTIONS)


def keep_memory() -> bool:
    """Return free memory to the kernel now, and keep what is freed from now on.

    Returns:
        Whether the C library is glibc; others are left as they are.
    """
    library = ctypes.CDLL(None)
    if not (hasattr(library, "mallopt") and hasattr(library, "malloc_trim")):
        return False
    library.malloc_trim(0)
    return bool(library.mallopt(M_TRIM_THRESHOLD, NEVER)) and bool(
        library.mallopt(M_MMAP_THRESHOLD, NEVER)
    )
