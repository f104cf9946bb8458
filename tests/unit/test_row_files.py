"""Files of REST rows: continued behind the last complete row, whatever an end in the middle left."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runtime.download.row_files import RowSpan, write_rows
from runtime.errors import DataError, VenueError

# Keys 5, 10, ... 45; the time of a row is a hundred times its key.
KEYS = range(5, 50, 5)
SPAN = RowSpan(5, 5000, 2)
WHOLE = "".join(f"{key},1.5,{key * 100}\n" for key in KEYS)


class Venue:
    """Gives pages of two rows from a key on; `error` comes instead of the page after `good` pages."""

    def __init__(self, good: int = 99, error: Exception | None = None) -> None:
        self.asked: list[int] = []
        self.good, self.error = good, error

    async def pages(self, from_key: int) -> AsyncIterator[list[tuple[int, str, int]]]:
        """Yield pages."""
        keys = [key for key in KEYS if key >= from_key]
        for at in range(0, len(keys), 2):
            if self.error is not None and at // 2 >= self.good:
                raise self.error
            self.asked.append(keys[at])
            yield [(key, "1.5", key * 100) for key in keys[at : at + 2]]


def write(folder: Path, venue: Venue, span: RowSpan = SPAN) -> str | None:
    """Write a file; return its text."""
    pages: list[int] = []
    file = asyncio.run(write_rows(folder / "tail.csv", span, venue.pages, pages.append))
    assert len(pages) == len(venue.asked)
    return None if file is None else file.path.read_text()


def test_an_error_keeps_the_pages_before_it(tmp_path: Path) -> None:
    """A venue that goes away in the middle is asked for the rest only, nothing has its name yet."""
    with pytest.raises(VenueError):
        write(tmp_path, Venue(2, VenueError("gone")))
    assert [path.name for path in tmp_path.iterdir()] == ["tail.csv.part"]
    venue = Venue()
    assert write(tmp_path, venue) == WHOLE
    assert venue.asked == [25, 35, 45]
    assert [path.name for path in tmp_path.iterdir()] == ["tail.csv"]


LEFT = {
    "half a row": ("25,1.", 25),
    "a row without its end": ("25,1.5,2500", 25),
    "a row that lacks a column": ("25,1.5\n", 25),
    "zeros after a power loss": ("\0\0\0\0", 25),
    "a key that goes back": ("10,1.5,1000\n", 25),
    "a time that is none": ("25,1.5,x\n", 25),
    "whole rows": ("25,1.5,2500\n", 30),
}


@pytest.mark.parametrize("name", LEFT)
def test_what_a_kill_left_is_cut_to_whole_rows(tmp_path: Path, name: str) -> None:
    """The next page is asked for behind the last row that is complete and in order."""
    text, first = LEFT[name]
    (tmp_path / "tail.csv.part").write_text(WHOLE[: WHOLE.index("25,")] + text)
    venue = Venue()
    assert write(tmp_path, venue) == WHOLE
    assert venue.asked[0] == first


def test_rows_that_are_not_wanted_are_left_out(tmp_path: Path) -> None:
    """An earlier run may have asked from another id or for a longer time."""
    (tmp_path / "tail.csv.part").write_text(WHOLE)
    venue = Venue(0, VenueError("gone"))
    with pytest.raises(VenueError):
        write(tmp_path, venue, RowSpan(5, 2000, 2))
    assert (tmp_path / "tail.csv.part").read_text() == WHOLE[: WHOLE.index("20,")]
    venue = Venue()
    write(tmp_path, venue, RowSpan(10, 5000, 2))
    assert venue.asked[0] == 10


def test_a_whole_file_that_was_not_imported_goes_on(tmp_path: Path) -> None:
    """Killed between the last page and the import: no page is asked for again."""
    assert write(tmp_path, Venue()) == WHOLE
    venue = Venue()
    assert write(tmp_path, venue) == WHOLE
    assert venue.asked == []


def test_disorder_keeps_nothing(tmp_path: Path) -> None:
    """A venue that contradicts itself is asked for everything again."""
    with pytest.raises(DataError):
        write(tmp_path, Venue(2, DataError("out of order")))
    assert list(tmp_path.iterdir()) == []


def test_no_rows_make_no_file(tmp_path: Path) -> None:
    """Neither an empty tail nor an error before the first page leaves anything."""
    assert write(tmp_path, Venue(), RowSpan(50, None, 2)) is None
    with pytest.raises(VenueError):
        write(tmp_path, Venue(0, VenueError("gone")))
    assert list(tmp_path.iterdir()) == []
