"""Saved states: a head of format version, configuration, layout and checksum in front of the raw state.

The bucket builder's checkpoints are a format of their own (``packet_builder/builder.py``): buckets borrow
nothing from the indicators but the compiler wrapper.
"""

import hashlib
import zlib
from functools import cache
from typing import Any

import numpy as np

MAGIC = b"SMCSTATE"
VERSION = 2
VERSION_END = len(MAGIC) + 4
DIGEST_END = VERSION_END + 32
LAYOUT_END = DIGEST_END + 32
HEAD_BYTES = LAYOUT_END + 4


def _head(config_digest: bytes, layout: np.dtype[Any]) -> bytes:
    return MAGIC + VERSION.to_bytes(4, "little") + config_digest + _layout_digest(layout)


@cache  # 12 ms for the engine's state, which a watcher saves on every bar
def _layout_digest(layout: np.dtype[Any]) -> bytes:
    # repr of a dtype names every field, type and offset.
    return hashlib.sha256(repr(layout).encode()).digest()


def _checksum(record: bytes) -> bytes:
    return zlib.crc32(record).to_bytes(4, "little")


def pack(state: np.ndarray[Any, Any], config_digest: bytes) -> bytes:
    """Return the state as bytes; `config_digest` is the 32-byte hash of the parameters."""
    record = state.tobytes()
    return _head(config_digest, state.dtype) + _checksum(record) + record


def unpack(data: bytes, layout: np.dtype[Any], config_digest: bytes, rows: int = 1) -> np.ndarray[Any, Any]:
    """Return the state that `pack` saved, shape (rows,).

    Raises
    ------
    ValueError
        If the bytes are no saved state, or of another version, other parameters or another layout, or if
        any byte was lost or changed since.
    """
    if len(data) < HEAD_BYTES or data[: len(MAGIC)] != MAGIC:
        raise ValueError(f"not a saved state: {len(data)} bytes that start with {data[: len(MAGIC)]!r}")
    head = _head(config_digest, layout)
    if data[:VERSION_END] != head[:VERSION_END]:
        version = int.from_bytes(data[len(MAGIC) : VERSION_END], "little")
        raise ValueError(f"saved state has version {version}, this program reads {VERSION}: warm up again")
    if data[VERSION_END:DIGEST_END] != config_digest:
        raise ValueError(
            "saved state belongs to other parameters: restore it with the config it was saved with"
        )
    if data[:LAYOUT_END] != head:
        raise ValueError("saved state has another memory layout: warm up again")
    record = data[HEAD_BYTES:]
    if len(record) != rows * layout.itemsize:
        raise ValueError(
            f"saved state is damaged: {len(record)} bytes instead of {rows * layout.itemsize}; warm up again"
        )
    if data[LAYOUT_END:HEAD_BYTES] != _checksum(record):
        raise ValueError("saved state is damaged: its checksum does not fit; warm up again")
    # Not a copy of the array: that would leave the padding between its fields to chance.
    return np.frombuffer(bytearray(record), dtype=layout)
