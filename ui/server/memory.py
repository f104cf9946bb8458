"""Keeps the memory of a server with many threads flat."""

import ctypes
import sys
from typing import Final

# Of malloc.h.
M_MMAP_THRESHOLD: Final = -3
M_ARENA_MAX: Final = -8
ARENAS: Final = 2
LARGE_BLOCK_BYTES: Final = 128 * 1024


def limit_arenas() -> None:
    """Let all threads share two of the C library's arenas, and return large blocks to the system at once.

    By itself it gives each thread one, up to eight for each core, and each keeps the most that it ever held:
    every browser has a thread, and sometimes a snapshot of some megabytes. Other C libraries do neither.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_ARENA_MAX, ARENAS)
        mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK_BYTES)
