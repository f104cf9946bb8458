"""What a download did and what is still missing, per series."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from runtime.download.archive_file import DAY, SeriesRequest


@dataclass(slots=True)
class SeriesReport:
    """The outcome of one series.

    Parameters
    ----------
    request
        What was asked.
    files_planned
        Files that had to be fetched; a month that is published by day counts its days.
    files_fetched, size_bytes
        Whole files that came in, checksums verified, and their length.
    rows_added, duplicates
        Rows written, and rows that were there already.
    replaced
        Stored rows that had come by REST and gave way to other content from the venue.
    from_rest
        Rows of the tail that came through the REST interface.
    not_published
        Latest days that the archive does not have yet.
    before_first, after_last
        Days before the archive's first or after its last file of this symbol, by its own listing.
    missing
        Days that should be there and are not.
    failures
        What went wrong, one line each.
    warnings
        What a person should know.
    """

    request: SeriesRequest
    files_planned: int = 0
    files_fetched: int = 0
    size_bytes: int = 0
    rows_added: int = 0
    duplicates: int = 0
    replaced: int = 0
    from_rest: int = 0
    not_published: list[date] = field(default_factory=list)
    before_first: list[date] = field(default_factory=list)
    after_last: list[date] = field(default_factory=list)
    missing: list[date] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        """Whether everything that the venue has published is in the catalog."""
        return not self.missing and not self.failures

    def as_json(self) -> dict[str, Any]:
        """Return the object that ``--json`` prints for this series; days are ISO dates or ``a..b``."""
        request = self.request
        return {
            "venue": request.venue,
            "market": request.market,
            "symbol": request.symbol,
            "kind": request.kind,
            "interval": request.interval,
            "first_day": request.first.isoformat(),
            "last_day": request.last.isoformat(),
            "files_planned": self.files_planned,
            "files_fetched": self.files_fetched,
            "bytes": self.size_bytes,
            "rows_added": self.rows_added,
            "duplicates": self.duplicates,
            "rows_replaced": self.replaced,
            "rows_from_rest": self.from_rest,
            "not_published": spans(self.not_published),
            "before_first": spans(self.before_first),
            "after_last": spans(self.after_last),
            "missing": spans(self.missing),
            "failures": self.failures,
            "complete": self.is_complete,
        }

    def line(self) -> str:
        """Return the outcome in words."""
        files = f"{self.files_fetched} of {self.files_planned} files"
        parts = [f"{self.request.label}: {files}, {self.rows_added:,} rows added"]
        for days, words in (
            (self.missing, "MISSING in the archive"),
            (self.not_published, "not yet published"),
            (self.before_first, "before the first file"),
            (self.after_last, "after the last file"),
        ):
            if days:
                parts.append(f"{words}: {', '.join(spans(days))}")
        if self.replaced:
            parts.append(f"{self.replaced:,} earlier rows by REST were other and are REPLACED")
        if self.from_rest:
            parts.append(f"{self.from_rest:,} rows by REST")
        return "; ".join(parts)


def spans(days: Iterable[date]) -> list[str]:
    """Write days as ISO dates, neighbours as ``first..last``.

    Examples
    --------
    >>> spans([date(2024, 1, 1), date(2024, 1, 2), date(2024, 1, 5)])
    ['2024-01-01..2024-01-02', '2024-01-05']
    """
    found: list[tuple[date, date]] = []
    for day in sorted(days):
        if found and day == found[-1][1] + DAY:
            found[-1] = (found[-1][0], day)
        else:
            found.append((day, day))
    return [low.isoformat() if low == high else f"{low}..{high}" for low, high in found]
