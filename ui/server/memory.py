"""Keeps the memory of a server with many threads flat."""

import ctypes
import sys
import time
from typing import Final

# Of malloc.h.
M_MMAP_THRESHOLD: Final = -3
M_ARENA_MAX: Final = -8
ARENAS: Final = 2
LARGE_BLOCK_BYTES: Final = 128 * 1024
TRIM_SECS: Final = 30.0


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


class Trimmer:
    """Gives what nobody uses back to the system, from time to time.

    Frames of fifty browsers come and go in all sizes; the C library keeps the holes between what stays, and
    they grow for as long as the server runs.
    """

    def __init__(self) -> None:
        libc = ctypes.CDLL(None) if sys.platform == "linux" else None
        self._trim = getattr(libc, "malloc_trim", None)
        self._next_s = time.monotonic() + TRIM_SECS

    def tick(self) -> bool:
        """Do so if it is time; tell whether it was."""
        if self._trim is None or time.monotonic() < self._next_s:
            return False
        self._next_s = time.monotonic() + TRIM_SECS
        self._trim(0)
        return True


__all__ = ["Trimmer", "limit_arenas"]
