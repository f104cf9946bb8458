"""One file that holds a state: written whole or not at all, read only when every byte is right."""

import hashlib
import os
from pathlib import Path
from typing import Final

from runtime.errors import DataError

MAGIC: Final = b"SMCLIVE1"
HEAD_BYTES: Final = len(MAGIC) + 32


def write_checkpoint(path: Path, payload: bytes) -> None:
    """Replace the file by this payload, with its digest in front; an interrupted write leaves the old one.

    Raises
    ------
    OSError
        When the disk refuses.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    passing = path.with_name(f"{path.name}.new")
    with passing.open("wb") as file:
        file.write(MAGIC + hashlib.sha256(payload).digest() + payload)
        file.flush()
        os.fsync(file.fileno())
    passing.replace(path)


def read_checkpoint(path: Path) -> bytes | None:
    """Return the payload, None where there is no file.

    Raises
    ------
    DataError
        When the file is none of ours or damaged.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    if len(data) < HEAD_BYTES or data[: len(MAGIC)] != MAGIC:
        raise DataError(f"{path}: not a checkpoint of this version; delete it, history is read instead")
    payload = data[HEAD_BYTES:]
    if hashlib.sha256(payload).digest() != data[len(MAGIC) : HEAD_BYTES]:
        raise DataError(f"{path}: damaged, its digest does not fit; delete it, history is read instead")
    return payload


__all__ = ["read_checkpoint", "write_checkpoint"]
