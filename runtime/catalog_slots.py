"""Writing one series of a catalog: its lock, its staging folder, and the moves that put it into place.

A *slot* is what one writer at a time may change: an instrument's trades, or its bars of one interval. Slots
share nothing but the instrument definitions, so that several processes write different ones at once.

A write is prepared in ``.work/<slot>.staging``, described in ``.work/<slot>.pending.json``, then moved into
place, the slot's manifest last. Killed at any point, the next command finds either nothing done or finishes
the moves.
"""

import fcntl
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

import msgspec
from nautilus_trader.model.instruments import Instrument

from runtime.errors import ConfigurationError
from runtime.manifest import SeriesEntry, replace_file, sync, write_entry
from runtime.nautilus_catalog import nautilus_catalog

WORK: Final = ".work"
STAGING_SUFFIX: Final = ".staging"
PENDING_SUFFIX: Final = ".pending.json"
# A commit is a few renames; a lock that is held longer than this is not about to be released.
LONGEST_COMMIT_SECS: Final = 30.0
POLL_SECS: Final = 0.01


class _Pending(msgspec.Struct, frozen=True):
    """The moves of one write, stored before the first of them is made."""

    moves: tuple[tuple[str, str], ...]
    removals: tuple[str, ...]
    entry: SeriesEntry


class Slot:
    """The place of one series in a catalog.

    Parameters
    ----------
    catalog
        The catalog's folder.
    name
        From :func:`runtime.manifest.slot_name`.
    """

    def __init__(self, catalog: Path, name: str) -> None:
        self._catalog = catalog
        self.name = name
        self.staging = catalog / WORK / f"{name}{STAGING_SUFFIX}"
        self._pending = catalog / WORK / f"{name}{PENDING_SUFFIX}"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep every other writer of this slot out, after finishing what a killed one has begun.

        Raises
        ------
        ConfigurationError
            When another process writes to it.
        """
        with _lock_file(self._catalog, self.name) as stream:
            if not _try_lock(stream):
                raise ConfigurationError(
                    f"{self._catalog}: another command is writing to {self.name}, wait for it"
                )
            self._finish()
            yield

    def fresh_staging(self) -> Path:
        """Return the empty folder in which files are prepared."""
        self.discard_staging()
        self.staging.mkdir()
        return self.staging

    def discard_staging(self) -> None:
        """Forget what was prepared."""
        shutil.rmtree(self.staging, ignore_errors=True)

    def commit(self, moves: Sequence[tuple[Path, str]], removals: Sequence[str], entry: SeriesEntry) -> None:
        """Put prepared files into place.

        Parameters
        ----------
        moves
            Prepared file, and its path in the catalog.
        removals
            Paths of files that are no longer part of the series.
        entry
            The series as it is afterwards.
        """
        # A manifest must not outlive its files in a power loss.
        for source, _ in moves:
            sync(source)
        relative = tuple((source.relative_to(self._catalog).as_posix(), target) for source, target in moves)
        replace_file(self._pending, msgspec.json.encode(_Pending(relative, tuple(removals), entry)))
        self._finish()

    def settle(self) -> None:
        """Finish the moves of a killed writer, or wait until a living one has made them."""
        deadline = time.monotonic() + LONGEST_COMMIT_SECS
        while self._pending.exists():
            with _lock_file(self._catalog, self.name) as stream:
                if _try_lock(stream):
                    self._finish()
                    return
            if time.monotonic() > deadline:
                raise ConfigurationError(
                    f"{self._catalog}: another command is writing to {self.name}, wait for it"
                )
            time.sleep(POLL_SECS)

    def _finish(self) -> None:
        """Make (or finish after a crash) the moves that are pending; each step may be repeated."""
        if self._pending.exists():
            pending = msgspec.json.decode(self._pending.read_bytes(), type=_Pending)
            make_moves(self._catalog, pending.moves, pending.removals)
            for folder in {(self._catalog / target).parent for _, target in pending.moves}:
                sync(folder)
            write_entry(self._catalog, pending.entry)
            self._pending.unlink()
        self.discard_staging()


def make_moves(catalog: Path, moves: Sequence[tuple[str, str]], removals: Sequence[str]) -> None:
    """Remove and move files inside a catalog; a step that was made before does nothing."""
    targets = {target for _, target in moves}
    for removal in removals:
        if removal not in targets:
            (catalog / removal).unlink(missing_ok=True)
    for source, target in moves:
        (catalog / target).parent.mkdir(parents=True, exist_ok=True)
        if (catalog / source).exists():
            (catalog / source).replace(catalog / target)


def settle_all(catalog: Path) -> None:
    """Bring every slot with pending moves to rest, so that the files can be read."""
    for path in sorted((catalog / WORK).glob(f"*{PENDING_SUFFIX}")):
        Slot(catalog, path.name.removesuffix(PENDING_SUFFIX)).settle()


def store_definition(catalog: Path, staging: Path, instrument: Instrument) -> None:
    """Put the definition of an instrument into place; the caller holds the :func:`common_lock`."""
    definitions = staging / "instruments"
    nautilus_catalog(definitions).write_data([instrument])
    for path in definitions.rglob("*.parquet"):
        target = catalog / path.relative_to(definitions)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.replace(target)
    shutil.rmtree(definitions)


@contextmanager
def common_lock(catalog: Path) -> Iterator[None]:
    """Keep other processes from what the slots share (instrument definitions); waits for its turn."""
    with _lock_file(catalog, "common") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


@contextmanager
def increments_lock(catalog: Path, instrument_id: str, *, exclusive: bool) -> Iterator[None]:
    """Keep the increments of an instrument from changing, or, `exclusive`, everybody else from counting.

    Who writes rows of the instrument shares it, who settles or refines its increments has it alone; waits
    for its turn. It is taken before the lock of any slot.
    """
    with _lock_file(catalog, f"{instrument_id}.increments") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
        yield


@contextmanager
def _lock_file(catalog: Path, name: str) -> Iterator[IO[str]]:
    folder = catalog / WORK
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.lock").open("w") as stream:
        yield stream


def _try_lock(stream: IO[str]) -> bool:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
