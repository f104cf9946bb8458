"""Catalogs of version 1, one manifest and one pending write for all series, brought to today's layout."""

import shutil
from pathlib import Path
from typing import Final

import msgspec

from runtime.catalog_slots import common_lock, make_moves
from runtime.manifest import (
    FIRST_VERSION,
    MANIFEST_NAME,
    Manifest,
    read_first_version,
    replace_file,
    split_first_version,
)

OLD_STAGING: Final = ".staging"
OLD_PENDING: Final = ".pending.json"
OLD_LOCK: Final = ".lock"


class _OldPending(msgspec.Struct, frozen=True):
    moves: tuple[tuple[str, str], ...]
    removals: tuple[str, ...]
    manifest: Manifest


def finish_old_write(catalog: Path) -> None:
    """Finish the moves that a killed program of version 1 has begun."""
    path = catalog / OLD_PENDING
    if not path.exists():
        return
    with common_lock(catalog):
        if path.exists():  # another process may have been first
            pending = msgspec.json.decode(path.read_bytes(), type=_OldPending)
            make_moves(catalog, pending.moves, pending.removals)
            replace_file(catalog / MANIFEST_NAME, msgspec.json.encode(pending.manifest))
            path.unlink()
        shutil.rmtree(catalog / OLD_STAGING, ignore_errors=True)


def migrate(catalog: Path) -> None:
    """Give a catalog today's layout before the first write to it; does nothing where it has that.

    Raises
    ------
    DataError
        When the manifest is damaged.
    """
    is_old = read_first_version(catalog).version == FIRST_VERSION
    if (catalog / MANIFEST_NAME).exists() and not is_old:
        return
    with common_lock(catalog):
        split_first_version(catalog)
        (catalog / OLD_LOCK).unlink(missing_ok=True)
