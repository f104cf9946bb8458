"""The manifest beside a catalog: what lies in it, where it came from, and what is missing.

``<catalog>/manifest.json`` describes each series (an instrument's trades, or its bars of one interval):
its Parquet files with their rows, spans and id gaps, and the source files with their SHA-256.
The Parquet files are the truth; a lost manifest is rebuilt from them, without the sources.
"""

import itertools
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from runtime.cli import NANOS_PER_SECOND, format_ns
from runtime.errors import DataError

MANIFEST_NAME: Final = "manifest.json"
MANIFEST_VERSION: Final = 1
NO_IDS: Final = "no ids"

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
        for before, after in itertools.pairwise(files):
            absent = 0
            if after.first_id is not None and before.last_id is not None:
                absent = after.first_id - before.last_id - 1
            missing += absent
            gaps += absent > 0
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
            "files": len(files),
        }


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """All series of one catalog, by key."""

    version: int = MANIFEST_VERSION
    series: dict[str, SeriesEntry] = {}

    def with_series(self, entry: SeriesEntry) -> "Manifest":
        """Return a manifest in which `entry` replaces the series of the same key."""
        series = {**self.series, entry.key: entry}
        return Manifest(version=self.version, series=dict(sorted(series.items())))


def series_key(instrument: str, kind: str, interval: str | None) -> str:
    """Return the manifest's name of a series, such as ``XRPUSDT.BINANCE trades``."""
    return " ".join(word for word in (instrument, kind, interval) if word)


def merge_sources(known: Iterable[SourceEntry], added: Iterable[SourceEntry]) -> tuple[SourceEntry, ...]:
    """Return the known sources followed by those whose SHA-256 is new."""
    by_digest = {source.sha256: source for source in known}
    for source in added:
        by_digest.setdefault(source.sha256, source)
    return tuple(by_digest.values())


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of the catalog in `folder`; an absent one is empty.

    Raises
    ------
    DataError
        When the file is damaged or was written by a newer version.
    """
    path = folder / MANIFEST_NAME
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError:
        return Manifest()
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: damaged manifest ({error}); delete it, the next command rebuilds it"
        ) from error
    if manifest.version != MANIFEST_VERSION:
        raise DataError(f"{path}: manifest version {manifest.version}, this program reads {MANIFEST_VERSION}")
    return manifest


def encode_manifest(manifest: Manifest) -> bytes:
    """Return the manifest as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"


def replace_file(path: Path, content: bytes) -> None:
    """Write `content` to `path` so that a crash leaves either the old or the new file, never half of one."""
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)
