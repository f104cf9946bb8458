"""Keeps the memory of a long run flat: libraries hold on to freed blocks unless they are told not to."""

import ctypes
import gc
import sys
from typing import Any, Final

import pyarrow as pa

M_MMAP_THRESHOLD: Final = -3  # of malloc.h
LARGE_BLOCK_BYTES: Final = 128 * 1024


def spare_memory() -> None:
    """Prefer little memory over the last bit of speed, for this process.

    Without it a week of trades peaks about 100 MB higher, and the more the longer the history: glibc raises
    the size from which it returns blocks to the system each time one is freed, and Arrow's pool keeps
    blocks per thread.
    """
    pa.set_memory_pool(pa.system_memory_pool())
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    mallopt = _c_function("mallopt")
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK_BYTES)


def release_memory() -> None:
    """Give memory that is no longer used back to the system, so that stages of a run do not add up."""
    gc.collect()
    pa.default_memory_pool().release_unused()
    malloc_trim = _c_function("malloc_trim")
    if malloc_trim is not None:
        malloc_trim(0)


def _c_function(name: str) -> Any:
    """Return a function of glibc, None elsewhere: other C libraries do not have these."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
