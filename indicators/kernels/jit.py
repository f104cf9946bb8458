"""The one place where kernels are compiled: a typed wrapper of ``numba.njit`` and its cache policy.

Numba stamps a cached kernel with its own source file only, so a kernel that calls an edited one in
another file would go on running the old machine code. The cache therefore lives in a directory named
after a digest of *every* kernel source, the numba version and the CPU: any edit starts a new one.
"""

import hashlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

import llvmlite.binding as llvm
import numba

ROOT = Path(__file__).resolve().parents[2]
KERNEL_FOLDERS = ("indicators/kernels", "packet_builder/kernels", "ml/kernels")


def kernel_digest() -> str:
    """Return 16 hex digits that change with any kernel source, numba, Python or the CPU model."""
    digest = hashlib.sha256()
    for folder in KERNEL_FOLDERS:
        for path in sorted((ROOT / folder).glob("*.py")):
            digest.update(path.relative_to(ROOT).as_posix().encode())
            digest.update(path.read_bytes())
    digest.update(f"{numba.__version__} {sys.version_info[:3]} {llvm.get_host_cpu_name()}".encode())
    return digest.hexdigest()[:16]


def cache_folder() -> Path:
    """Return the folder of compiled kernels: ``var/numba/<digest>``, or in the user's cache if read-only."""
    preferred = ROOT / "var"
    base = (
        preferred
        if os.access(preferred if preferred.exists() else ROOT, os.W_OK)
        else Path.home() / ".cache" / "smcbot"
    )
    return base / "numba" / kernel_digest()


# The environment variable is read once when numba is imported, which may have happened before us.
setattr(numba.config, "CACHE_DIR", str(cache_folder()))  # noqa: B010 - the module is filled at run time


def kernel[**P, R](function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function to machine code on its first call, keeping its static type.

    NumPy error model (division by zero gives inf or NaN, as in the arrays), no fastmath: NaN means
    "not defined yet" all over this code base, and the same bits must come out on every machine.
    ``NUMBA_DISABLE_JIT=1`` runs the bucket kernels as plain Python (a parity test does); the structure
    kernels use pointers that only compiled code has, their plain Python is ``tests/naive_structure.py``.
    """
    compiled: Callable[P, R] = numba.njit(cache=True, error_model="numpy", fastmath=False)(function)
    return compiled


def inline_kernel[**P, R](function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function as `kernel` does, and put its code into every compiled caller.

    For what runs on every bar. Numba hands the flag on to what such a function calls, so a whole step of the
    structure engine becomes one piece of machine code, which takes a fifth less time than with calls.
    """
    compiled: Callable[P, R] = numba.njit(cache=True, error_model="numpy", fastmath=False, forceinline=True)(
        function
    )
    return compiled
