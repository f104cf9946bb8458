"""The manifest beside a catalog: what lies in it, where it came from, and what is missing.

``<catalog>/manifest/<slot>.json`` describes one series (an instrument's trades, or its bars of one interval):
its Parquet files with their rows, spans and id gaps, and the source files with their SHA-256. One file per
series, because a market's history has tens of thousands of sources: a write rewrites those of its own series.
``manifest.json`` only says so. In version 1 it held all series; such a catalog is read as it is, and
split by the next write.

The Parquet files are the truth; a lost manifest is rebuilt from them, without the sources.
"""

import itertools
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from runtime.cli import NANOS_PER_SECOND, format_ns
from runtime.errors import DataError

MANIFEST_NAME: Final = "manifest.json"
MANIFEST_FOLDER: Final = "manifest"
MANIFEST_VERSION: Final = 2
FIRST_VERSION: Final = 1
NO_IDS: Final = "no ids"
# The name of rows that came by REST. Their venue may still correct them: its archive has the last word.
REST_NAME: Final = "-rest.csv"

type Kind = Literal["trades", "aggtrades", "klines"]


class FileEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One Parquet file of a series.

    Parameters
    ----------
    path
        Relative to the catalog, with forward slashes.
    rows
        Number of records, > 0.
    first_ns, last_ns
        ``ts_init`` of its first and last record, UNIX nanoseconds UTC.
    first_id, last_id
        Trade ids, or bar numbers (open time / interval); None when the trades have no ids.
    missing_ids, id_gaps
        Ids absent between the file's first and last, and in how many stretches; None without ids.
    longest_gap_ns
        Longest time over which ids are missing; without ids the longest time without a trade.
    longest_gap_ids
        Most ids missing in a row; None without ids, and in entries that an older program wrote.
    """

    path: str
    rows: int
    first_ns: int
    last_ns: int
    first_id: int | None
    last_id: int | None
    missing_ids: int | None
    id_gaps: int | None
    longest_gap_ns: int
    longest_gap_ids: int | None = None


class SourceEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One file that was imported, or one synthetic tape: name, SHA-256 and what was found in it.

    Parameters
    ----------
    name, sha256
        Of the file.
    rows, bad_rows, duplicates
        Good rows, rows that were refused or skipped, and rows that were there already.
    first_ns, last_ns
        Earliest and latest time, UNIX nanoseconds; of klines the close.
    first_id, last_id
        Lowest and highest trade id; None without ids and for klines.
    missing_ids, id_gaps
        Ids absent between them, in how many stretches; None without ids.
    url_path
        Path at the venue's archive that it was downloaded from; None for a local file.
    imported_ns
        When, UNIX nanoseconds; None for a synthetic tape.
    """

    name: str
    sha256: str
    rows: int
    bad_rows: int = 0
    duplicates: int = 0
    first_ns: int | None = None
    last_ns: int | None = None
    first_id: int | None = None
    last_id: int | None = None
    missing_ids: int | None = None
    id_gaps: int | None = None
    url_path: str | None = None
    imported_ns: int | None = None

    @property
    def is_rest(self) -> bool:
        """Whether its rows came through a venue's REST interface."""
        return self.name.endswith(REST_NAME)

    @property
    def is_from_venue(self) -> bool:
        """Whether it was fetched from the venue, not from this disk."""
        return self.is_rest or self.url_path is not None


class SeriesEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One instrument's records of one kind. `synthetic` says that no market ever traded them."""

    instrument: str
    kind: Kind
    interval: str | None = None
    synthetic: bool = False
    note: str = ""
    files: tuple[FileEntry, ...] = ()
    sources: tuple[SourceEntry, ...] = ()

    @property
    def key(self) -> str:
        """Name of the series in the manifest."""
        return series_key(self.instrument, self.kind, self.interval)

    def summary(self) -> dict[str, Any]:
        """Return the row of ``download_data.py list --json``, gaps between its files included."""
        files = self.files
        with_ids = all(file.first_id is not None for file in files)
        missing = sum(file.missing_ids or 0 for file in files)
        gaps = sum(file.id_gaps or 0 for file in files)
        longest_ns = max(file.longest_gap_ns for file in files)
        most_ids = max(file.longest_gap_ids or 0 for file in files)
        knows_ids = all(file.longest_gap_ids is not None for file in files)
        for before, after in itertools.pairwise(files):
            absent = 0
            if after.first_id is not None and before.last_id is not None:
                absent = after.first_id - before.last_id - 1
            missing += absent
            gaps += absent > 0
            most_ids = max(most_ids, absent)
            if absent > 0 or not with_ids:
                longest_ns = max(longest_ns, after.first_ns - before.last_ns)
        return {
            "instrument": self.instrument,
            "kind": self.kind,
            "interval": self.interval,
            "rows": sum(file.rows for file in files),
            "first": format_ns(files[0].first_ns),
            "last": format_ns(files[-1].last_ns),
            "missing_ids": missing if with_ids else NO_IDS,
            "id_gaps": gaps if with_ids else None,
            "longest_gap_s": longest_ns / NANOS_PER_SECOND,
            "longest_gap_ids": most_ids if knows_ids else None,
            "files": len(files),
        }


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """All series of one catalog, by key."""

    version: int = MANIFEST_VERSION
    series: dict[str, SeriesEntry] = {}


class _Index(msgspec.Struct, frozen=True, kw_only=True):
    """What `manifest.json` says since version 2: where the series are."""

    version: int = MANIFEST_VERSION
    folder: str = MANIFEST_FOLDER


def series_key(instrument: str, kind: str, interval: str | None) -> str:
    """Return the manifest's name of a series, such as ``XRPUSDT.BINANCE trades``."""
    return " ".join(word for word in (instrument, kind, interval) if word)


def slot_name(instrument: str, kind: str, interval: str | None) -> str:
    """Return the file name of what one writer at a time may change.

    Trades and aggregates of an instrument share one, because Nautilus keeps both in the same folder.

    Examples
    --------
    >>> slot_name("BTCUSDT.BINANCE", "klines", "5m"), slot_name("BTCUSDT.BINANCE", "aggtrades", None)
    ('BTCUSDT.BINANCE.klines.5m', 'BTCUSDT.BINANCE.trades')
    """
    words = (instrument, "trades" if kind == "aggtrades" else kind, interval)
    return ".".join(word for word in words if word)


def merge_sources(known: Iterable[SourceEntry], added: Iterable[SourceEntry]) -> tuple[SourceEntry, ...]:
    """Return the known sources followed by those whose SHA-256 is new.

    A source that was imported from this disk learns its url path when the same file is downloaded.
    """
    by_digest = {source.sha256: source for source in known}
    for source in added:
        known_one = by_digest.setdefault(source.sha256, source)
        if known_one.url_path is None and source.url_path is not None:
            by_digest[source.sha256] = msgspec.structs.replace(known_one, url_path=source.url_path)
    return tuple(by_digest.values())


def is_provisional(
    sources: Iterable[SourceEntry], keys: NDArray[np.int64], *, by_id: bool
) -> NDArray[np.bool_]:
    """Tell which stored rows came by REST and from no file since, shape (n,).

    Parameters
    ----------
    sources
        Of the series.
    keys
        Trade ids, or times as the sources have them (of klines the close), shape (n,).
    by_id
        Which of the two.
    """
    is_rest, is_settled = np.zeros(len(keys), dtype=np.bool_), np.zeros(len(keys), dtype=np.bool_)
    for source in sources:
        first, last = (source.first_id, source.last_id) if by_id else (source.first_ns, source.last_ns)
        if first is not None and last is not None:
            inside = (keys >= first) & (keys <= last)
            if source.is_rest:
                is_rest |= inside
            else:
                is_settled |= inside
    return is_rest & ~is_settled


def read_entries(catalog: Path) -> dict[str, SeriesEntry]:
    """Read the entries of all series of a catalog, by slot.

    Raises
    ------
    DataError
        When a file is damaged or was written by a newer version.
    """
    found = {slot_name_of(entry): entry for entry in read_first_version(catalog).series.values()}
    for path in sorted((catalog / MANIFEST_FOLDER).glob("*.json")):
        entry = _decode(path, SeriesEntry)
        if entry is not None:
            found[path.stem] = entry
    return found


def read_entry(catalog: Path, slot: str) -> SeriesEntry | None:
    """Read the entry of one slot, None where nothing is known; raises as :func:`read_entries`."""
    entry = _decode(catalog / MANIFEST_FOLDER / f"{slot}.json", SeriesEntry)
    if entry is not None:
        return entry
    old = read_first_version(catalog).series.values()
    return next((known for known in old if slot_name_of(known) == slot), None)


def slot_name_of(entry: SeriesEntry) -> str:
    """Return the slot of a series."""
    return slot_name(entry.instrument, entry.kind, entry.interval)


def write_entry(catalog: Path, entry: SeriesEntry) -> None:
    """Store the entry of a slot."""
    folder = catalog / MANIFEST_FOLDER
    folder.mkdir(exist_ok=True)
    replace_file(folder / f"{slot_name_of(entry)}.json", _encode(entry))


def read_first_version(catalog: Path) -> Manifest:
    """Read what `manifest.json` holds in a catalog of version 1; empty in one of today.

    Raises
    ------
    DataError
        When the file is damaged or was written by a newer version.
    """
    path = catalog / MANIFEST_NAME
    manifest = _decode(path, Manifest) or Manifest()
    if manifest.version not in (FIRST_VERSION, MANIFEST_VERSION):
        raise DataError(
            f"{path}: manifest version {manifest.version}, this program reads {FIRST_VERSION} and "
            f"{MANIFEST_VERSION}"
        )
    return manifest


def split_first_version(catalog: Path) -> None:
    """Bring `manifest.json` to today's version, its series into files of their own; may be repeated.

    The caller holds the lock of what the slots share.
    """
    path = catalog / MANIFEST_NAME
    old = read_first_version(catalog)
    if path.exists() and old.version == MANIFEST_VERSION:
        return
    for entry in old.series.values():
        if not (catalog / MANIFEST_FOLDER / f"{slot_name_of(entry)}.json").exists():
            write_entry(catalog, entry)
    replace_file(path, _encode(_Index()))


def _decode[T](path: Path, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: damaged manifest ({error}); delete it, the next command rebuilds it"
        ) from error


def _encode(value: SeriesEntry | _Index) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


def replace_file(path: Path, content: bytes) -> None:
    """Write `content` to `path` so that a crash leaves either the old or the new file, never half of one."""
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)


def sync(path: Path) -> None:
    """Wait until a file's content, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
