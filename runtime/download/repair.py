"""Putting right what `verify` found: what is damaged is forgotten, then everything asked for is fetched."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import msgspec

from runtime.catalog import Catalog
from runtime.catalog_slots import Slot
from runtime.download.archive_file import SeriesRequest, stamped_days
from runtime.download.asked import add_asked, downloads_folder, merged, read_asked
from runtime.download.job import download
from runtime.download.report import SeriesReport
from runtime.download.series import kept_path
from runtime.download.verify import SeriesFindings, key_of, overlapping_files, venue_market_of
from runtime.manifest import SeriesEntry, SourceEntry, slot_name_of
from runtime.settings import Settings


@dataclass(slots=True)
class Repair:
    """What was put right: forgotten files, downloads; what only the user has, or needs another command."""

    forgotten_files: list[str] = field(default_factory=list)
    downloads: list[SeriesReport] = field(default_factory=list)
    import_again: list[str] = field(default_factory=list)
    by_hand: list[str] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        """Whether nothing is left to do."""
        return not (self.import_again or self.by_hand) and all(
            report.is_complete for report in self.downloads
        )


def repair(folder: Path, settings: Settings, findings: Mapping[str, SeriesFindings], today: date) -> Repair:
    """Forget what is damaged and fetch it, and what is missing, again.

    Parameters
    ----------
    folder
        The catalog.
    settings
        Hosts and limits.
    findings
        Of :func:`runtime.download.verify.verify`.
    today
        The current UTC day.

    Raises
    ------
    ConfigurationError
        When another command writes to the catalog.
    VenueError
        When a host is unreachable or refuses.
    """
    done = Repair()
    series = Catalog(folder).manifest.series
    requests: list[SeriesRequest] = []
    unsound = {key: found for key, found in findings.items() if not found.is_sound}
    if unsound:
        # One command at a time changes `downloads.json`; `download` takes the lock itself.
        with downloads_folder(folder):
            for key, found in unsound.items():
                if key.endswith(" funding"):
                    done.by_hand += found.bad_files.values()
                    continue
                if found.bad_files or found.bad_sources:
                    requests += _forget(folder, series[key], found, done)
                requests += [request for request in read_asked(folder).requests if key_of(request) == key]
    if requests:
        done.downloads = download(_joined(requests), folder, settings, today=today)
    return done


def _forget(folder: Path, entry: SeriesEntry, found: SeriesFindings, done: Repair) -> list[SeriesRequest]:
    """Take damaged files and all sources of their rows out of the manifest; return what to fetch."""
    files = {file for file in entry.files if file.path in found.bad_files}
    sources = [source for source in entry.sources if source.sha256 in found.bad_sources]
    for source in sources:
        # Other content under known ids would contradict what is stored: the old rows must go first.
        files |= set(overlapping_files(entry.files, source))
    sources += [
        source
        for source in entry.sources
        if source not in sources and any(True for _ in overlapping_files(files, source))
    ]
    # The tail by REST is asked for again with the rest of the request.
    lost = [one for one in sources if one.url_path is None and not one.is_rest]
    done.import_again += [f"{entry.key}: {source.name}" for source in lost]
    done.forgotten_files += sorted(file.path for file in files)
    again = [_request_of(folder, entry, source) for source in sources if source.url_path is not None]
    # Before anything is taken out: a repair that is killed in between finds these days missing.
    add_asked(folder, again)
    _drop(folder, entry, {file.path for file in files}, {source.sha256 for source in sources})
    return again


def _drop(folder: Path, entry: SeriesEntry, paths: set[str], digests: set[str]) -> None:
    slot = Slot(folder, slot_name_of(entry))
    with slot.locked():
        remaining = msgspec.structs.replace(
            entry,
            files=tuple(file for file in entry.files if file.path not in paths),
            sources=tuple(source for source in entry.sources if source.sha256 not in digests),
        )
        slot.commit([], sorted(paths), remaining)


def _request_of(folder: Path, entry: SeriesEntry, source: SourceEntry) -> SeriesRequest:
    assert source.url_path is not None
    venue, market, symbol = venue_market_of(entry.instrument)
    kept_path(folder, venue, source.url_path).unlink(missing_ok=True)
    days = list(stamped_days(source.url_path))
    return SeriesRequest(venue, market, symbol, entry.kind, entry.interval, days[0], days[-1])


def _joined(requests: list[SeriesRequest]) -> list[SeriesRequest]:
    """Make one request per series of those that overlap or adjoin."""
    joined: list[SeriesRequest] = []
    for request in requests:
        joined = merged(joined, request)
    return joined
