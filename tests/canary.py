"""A secret that must never be written: the tests put it into the environment and search what they made."""

import mmap
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

CANARY: Final = "canary-7f3a9c51e0d24b88-must-never-be-written"
# A long text may lie on two pages of a database: at least one half of the canary is whole then.
HALVES: Final = (b"canary-7f3a9c51e0d24b88", b"-must-never-be-written")
# Variables of the kinds that a node has, each with the canary in its value. Nothing reads them in a test:
# they are secret by their names alone. Addresses of channels belong to the tests of channels.
CANARY_VARIABLES: Final = {
    "BINANCE_API_KEY": f"key-{CANARY}",
    "BINANCE_API_SECRET": CANARY,
    "BYBIT_API_SECRET": f"{CANARY}/+=",
    "TRADING_DATABASE_URL": f"postgresql://bot:{CANARY}@127.0.0.1:1/none",
}
# Columns of numbers: nothing that a program says ends up there, and they are most of the bytes.
NOT_SEARCHED: Final = frozenset({".parquet", ".npy", ".npz", ".nbi", ".nbc"})


def files_with_canary(folder: Path) -> list[Path]:
    """Return the files below a folder that hold the canary, gzipped ones unpacked, sorted."""
    return sorted(path for path in _files(folder) if path.suffix not in NOT_SEARCHED and holds_canary(path))


def holds_canary(path: Path) -> bool:
    """Say whether a file holds the canary, or a half of it; a file that is gone does not."""
    try:
        with path.open("rb") as file:
            if path.suffix == ".gz":
                return any(half in unpacked(file.read()) for half in HALVES)
            if path.stat().st_size == 0:
                return False
            # Mapped, not read: the size of a file costs time, never memory.
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                return any(content.find(half) >= 0 for half in HALVES)
    except (FileNotFoundError, PermissionError):
        return False


def unpacked(content: bytes) -> bytes:
    """Return what a gzip file holds; of a damaged or cut one as much as can be read."""
    found, rest = bytearray(), content
    while rest:
        part = zlib.decompressobj(wbits=31)
        try:
            found += part.decompress(rest)
        except zlib.error:  # no gzip at all, or damaged here: its bytes as they are
            return bytes(found) + rest
        rest = part.unused_data
    return bytes(found)


def _files(folder: Path) -> Iterator[Path]:
    for parent, _folders, names in folder.walk():
        for name in names:
            path = parent / name
            if path.is_file() and not path.is_symlink():
                yield path
