"""What an import is asked to do, and what it reports."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from nautilus_trader.model.instruments import Instrument

from runtime.catalog import WriteReport
from runtime.cli import format_ns
from runtime.download.records import BadRows
from runtime.errors import DataError
from runtime.instruments import increment_text
from runtime.manifest import NO_IDS, Kind, SourceEntry


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """What the user asks for; the fields are the options of ``download_data.py import``.

    `url_paths` says for downloaded files, by name, where at the venue's archive they come from. `definition`
    is the venue's own instrument, for a catalog that has none yet.
    """

    files: tuple[Path, ...]
    venue: str
    market: str
    symbol: str
    kind: Kind
    interval: str | None = None
    tick_size: Decimal | None = None
    lot_size: Decimal | None = None
    skip_bad_rows: bool = False
    url_paths: Mapping[str, str] = field(default_factory=dict)
    definition: Instrument | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the staged rows of one import."""

    duplicates: int
    time_steps_back: int
    write: WriteReport
    sources: tuple[SourceEntry, ...]


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What was done; :meth:`as_json` is the object that ``--json`` prints.

    `inferred` names the increments that only the files told, `refined` says which became finer, and why.
    """

    instrument: Instrument
    inferred: tuple[str, ...]
    rows_read: int
    bad: BadRows
    outcome: Outcome
    refined: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return counts, increments, the sources and the series as it is now."""
        return {
            "instrument": str(self.instrument.id),
            "kind": self.outcome.write.series.kind,
            "interval": self.outcome.write.series.interval,
            "tick_size": increment_text(self.instrument.price_increment),
            "lot_size": increment_text(self.instrument.size_increment),
            "inferred": list(self.inferred),
            "refined": list(self.refined),
            "rows_read": self.rows_read,
            "rows_added": self.outcome.write.added,
            "duplicates": self.outcome.duplicates,
            "bad_rows": self.bad.count,
            "bad_row_examples": self.bad.examples,
            "time_steps_back": self.outcome.time_steps_back,
            "sources": [
                {
                    "name": source.name,
                    "sha256": source.sha256,
                    "rows": source.rows,
                    "bad_rows": source.bad_rows,
                    "duplicates": source.duplicates,
                    "first": None if source.first_ns is None else format_ns(source.first_ns),
                    "last": None if source.last_ns is None else format_ns(source.last_ns),
                    "missing_ids": NO_IDS if source.missing_ids is None else source.missing_ids,
                    "id_gaps": source.id_gaps,
                }
                for source in self.outcome.sources
            ],
            "series": self.outcome.write.series.summary(),
        }


def refuse_if_bad(bad: BadRows, request: ImportRequest) -> None:
    """Raise DataError for bad rows, unless the user wants them skipped."""
    if not bad.count or request.skip_bad_rows:
        return
    rows, files = f"{bad.count} bad row{'s' * (bad.count > 1)}", len(bad.by_file)
    raise DataError(
        f"{rows} in {files} file{'s' * (files > 1)}, first {bad.examples[0]}; "
        "nothing was imported: repair the file or say --on-bad-rows skip"
    )
