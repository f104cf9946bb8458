"""What was asked of the archives, remembered beside the catalog: `verify` and `repair` hold it to that.

``<catalog>/downloads.json`` lists each series with the days it was wanted for.
"""

import fcntl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec

from runtime.download.archive_file import DAY, SeriesRequest
from runtime.errors import ConfigurationError, DataError
from runtime.manifest import replace_file

ASKED_NAME: Final = "downloads.json"
DOWNLOADS: Final = ".downloads"
LOCK: Final = ".lock"


def read_asked(catalog: Path) -> list[SeriesRequest]:
    """Return what was asked for so far, [] if nothing was.

    Raises
    ------
    DataError
        When the file is damaged.
    """
    path = catalog / ASKED_NAME
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[SeriesRequest])
    except FileNotFoundError:
        return []
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: damaged ({error}); delete it and download again") from error


def add_asked(catalog: Path, requests: Iterable[SeriesRequest]) -> None:
    """Remember requests; overlapping and adjoining days of a series become one entry."""
    known = read_asked(catalog)
    for request in requests:
        known = _merged(known, request)
    content = msgspec.json.format(
        msgspec.json.encode(sorted(known, key=lambda one: (one.label, one.first))), indent=2
    )
    replace_file(catalog / ASKED_NAME, content + b"\n")


def _merged(known: list[SeriesRequest], new: SeriesRequest) -> list[SeriesRequest]:
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
