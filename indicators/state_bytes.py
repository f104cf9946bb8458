"""Saved states: a head of format version, configuration and layout in front of the raw state."""

import hashlib
from typing import Any

import numpy as np

MAGIC = b"SMCSTATE"
VERSION = 1
HEAD_BYTES = len(MAGIC) + 4 + 32 + 32


def _head(config_digest: bytes, layout: np.dtype[Any]) -> bytes:
    # repr of a dtype names every field, type and offset.
    return (
        MAGIC + VERSION.to_bytes(4, "little") + config_digest + hashlib.sha256(repr(layout).encode()).digest()
    )


def pack(state: np.ndarray[Any, Any], config_digest: bytes) -> bytes:
    """Return the state as bytes; `config_digest` is the 32-byte hash of the parameters."""
    return _head(config_digest, state.dtype) + state.tobytes()


def unpack(data: bytes, layout: np.dtype[Any], config_digest: bytes, rows: int = 1) -> np.ndarray[Any, Any]:
    """Return the state that `pack` saved, shape (rows,).

    Raises
    ------
    ValueError
        If the bytes are no saved state, or of another version, other parameters or another layout.
    """
    size = HEAD_BYTES + rows * layout.itemsize
    if len(data) != size or data[: len(MAGIC)] != MAGIC:
        raise ValueError(f"not a saved state of this kind: {len(data)} bytes, want {size}")
    head = _head(config_digest, layout)
    version_end = len(MAGIC) + 4
    if data[:version_end] != head[:version_end]:
        version = int.from_bytes(data[len(MAGIC) : version_end], "little")
        raise ValueError(f"saved state has version {version}, this program reads {VERSION}: warm up again")
    if data[version_end : version_end + 32] != config_digest:
        raise ValueError(
            "saved state belongs to other parameters: restore it with the config it was saved with"
        )
    if data[:HEAD_BYTES] != head:
        raise ValueError("saved state has another memory layout: warm up again")
    return np.frombuffer(data[HEAD_BYTES:], dtype=layout).copy()
