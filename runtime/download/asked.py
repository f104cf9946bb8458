"""What was asked of the archives, remembered beside the catalog: `verify` and `repair` hold it to that.

``<catalog>/downloads.json`` lists each series with the days it was wanted for.
"""

import fcntl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Final

import msgspec

from runtime.download.archive_file import DAY, SeriesRequest
from runtime.errors import ConfigurationError, DataError
from runtime.manifest import replace_file

ASKED_NAME: Final = "downloads.json"
DOWNLOADS: Final = ".downloads"
LOCK: Final = ".lock"


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """All that was asked for, and by label the first and last day that the venue's listing had.

    The last day of a series that still goes on is ``date.max``.
    """

    requests: list[SeriesRequest] = []
    published: dict[str, tuple[date, date]] = {}


def read_asked(catalog: Path) -> Asked:
    """Return what was asked for so far.

    Raises
    ------
    DataError
        When the file is damaged.
    """
    path = catalog / ASKED_NAME
    try:
        return msgspec.json.decode(path.read_bytes(), type=Asked)
    except FileNotFoundError:
        return Asked()
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: damaged ({error}); delete it and download again") from error


def add_asked(catalog: Path, requests: Iterable[SeriesRequest]) -> None:
    """Remember requests; overlapping and adjoining days of a series become one entry."""
    asked = read_asked(catalog)
    known = asked.requests
    for request in requests:
        known = merged(known, request)
    known = sorted(known, key=lambda request: (request.label, request.first))
    _write(catalog, msgspec.structs.replace(asked, requests=known))


def add_published(catalog: Path, label: str, first: date, last: date) -> None:
    """Remember between which days the venue's listing had files of a series."""
    asked = read_asked(catalog)
    _write(catalog, msgspec.structs.replace(asked, published=asked.published | {label: (first, last)}))


def _write(catalog: Path, asked: Asked) -> None:
    replace_file(catalog / ASKED_NAME, msgspec.json.format(msgspec.json.encode(asked), indent=2) + b"\n")


def merged(known: list[SeriesRequest], new: SeriesRequest) -> list[SeriesRequest]:
    """Return the known requests with a new one, joined with those that it overlaps or adjoins."""
    others = []
    for old in known:
        if old.label == new.label and old.first <= new.last + DAY and new.first <= old.last + DAY:
            new = replace(new, first=min(old.first, new.first), last=max(old.last, new.last))
        else:
            others.append(old)
    return [*others, new]


@contextmanager
def downloads_folder(catalog: Path) -> Iterator[Path]:
    """Give the folder of unfinished files, for one download command at a time.

    Raises
    ------
    ConfigurationError
        While another one runs.
    """
    folder = catalog / DOWNLOADS
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError(
                f"{catalog}: another download into this catalog is running, wait for it"
            ) from None
        yield folder
