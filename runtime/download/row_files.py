"""Pages of REST rows into a file that outlives a kill: what came in is not asked for again.

A file grows as ``<name>.part``, page by page, and gets its name when its last page is there. A later run
continues behind its last complete row.
"""

import asyncio
import csv
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.download.transfer import PART_SUFFIX
from runtime.download.venue_rows import TailFile
from runtime.errors import DataError

type Rows = Sequence[Sequence[Any]]


@dataclass(frozen=True, slots=True)
class RowSpan:
    """Which rows a file holds: their first column, the key, is a whole number that increases.

    Parameters
    ----------
    first_key
        No row has a smaller key.
    end_ms
        Every row is before this time, UNIX milliseconds; None: no limit.
    time_column
        Where a row has its time, UNIX milliseconds.
    """

    first_key: int
    end_ms: int | None = None
    time_column: int = 0


@dataclass(frozen=True, slots=True)
class KeptRows:
    """What of an unfinished file can be used: rows, their bytes, and the key that follows."""

    rows: int
    size_bytes: int
    next_key: int


async def write_rows(
    path: Path,
    span: RowSpan,
    pages: Callable[[int], AsyncIterator[Rows]],
    note_page: Callable[[int], None] | None = None,
) -> TailFile | None:
    """Write pages of rows as CSV without a header; None, and no file, when there are none.

    Parameters
    ----------
    path
        Of the file; it has that name only when its last page is there.
    span
        Which rows belong into it.
    pages
        Gives the pages from a key on.
    note_page
        Is told the rows of each page when it is on the disk.

    Raises
    ------
    DataError
        When a page is out of order: nothing is kept. After any other error a later call continues.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}{PART_SUFFIX}")
    if path.exists():  # whole, but not imported: its end may be later by now
        path.replace(part)
    kept = await asyncio.to_thread(kept_rows, part, span)
    rows = kept.rows
    try:
        with part.open("a", newline="", encoding="ascii") as stream:
            stream.truncate(kept.size_bytes)
            writer = csv.writer(stream, lineterminator="\n")
            async for page in pages(kept.next_key):
                writer.writerows(page)
                stream.flush()
                rows += len(page)
                if note_page is not None:
                    note_page(len(page))
    except DataError:
        rows = 0
        raise
    finally:
        if not rows:
            part.unlink()
    if not rows:
        return None
    part.replace(path)
    return TailFile(path, rows)


def kept_rows(part: Path, span: RowSpan) -> KeptRows:
    """Return how much of an unfinished file holds: up to a row that is cut, out of order or not wanted."""
    rows = size_bytes = columns = 0
    next_key = span.first_key
    if not part.exists():
        return KeptRows(rows, size_bytes, next_key)
    with part.open("rb") as stream:
        for line in stream:
            cells = line.removesuffix(b"\n").split(b",")
            columns = columns or len(cells)
            if not line.endswith(b"\n") or len(cells) != columns or not cells[0].isdigit():
                break
            time_ms = cells[span.time_column]
            if int(cells[0]) < next_key or not time_ms.isdigit():
                break
            if span.end_ms is not None and int(time_ms) >= span.end_ms:
                break
            rows, size_bytes, next_key = rows + 1, size_bytes + len(line), int(cells[0]) + 1
    return KeptRows(rows, size_bytes, next_key)
