"""Bars that a venue was asked for at a start, kept for the next one: a file per instrument and length of bar.

Weeks of bars of a hundred coins take minutes within a venue's limits, and closed bars do not change. A file
names the source of its bars: those of a testnet or a local exchange are no history of the real market.
"""

from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from runtime.errors import DataError
from strategies.close_bars import Levels

COLUMNS: Final = ("close_secs", "open", "high", "low", "close", "volume")
NANOS: Final = 1_000_000_000
SOURCE: Final = b"source"  # in the metadata of a file


class KeptBars:
    """The files of one node.

    Parameters
    ----------
    folder
        Where they are; None keeps nothing.
    source_of
        Names where the bars of an instrument come from: environment and host.
    """

    def __init__(self, folder: Path | None, source_of: Callable[[str], str] = lambda _name: "") -> None:
        self._folder, self._source_of = folder, source_of

    def read(self, name: str, bar_secs: int) -> list[Levels]:
        """Return the bars that are kept of an instrument, oldest first; none of those of another source.

        Raises
        ------
        DataError
            When the file is damaged; it is not there any more then.
        """
        file = self._file(name, bar_secs)
        if file is None or not file.exists():
            return []
        try:
            table = pq.read_table(file, columns=list(COLUMNS))
            if (table.schema.metadata or {}).get(SOURCE) != self._source_of(name).encode():
                return []
            rows = zip(*(table.column(one).to_pylist() for one in COLUMNS), strict=True)
            return [(round(secs) * NANOS, *levels) for secs, *levels in rows]
        except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
            file.unlink(missing_ok=True)
            raise DataError(f"{file}: {error}: the bars are asked for again") from error

    def write(self, name: str, bar_secs: int, bars: "array[float]") -> None:
        """Keep the bars of an instrument in the place of those that were kept.

        Parameters
        ----------
        name, bar_secs
            Whose.
        bars
            `COLUMNS` of one bar after the other, oldest first.

        Raises
        ------
        OSError
            When they cannot be stored; what was kept before still is.
        """
        file = self._file(name, bar_secs)
        if file is None or not bars:
            return
        columns = np.frombuffer(bars).reshape(-1, len(COLUMNS)).T
        file.parent.mkdir(parents=True, exist_ok=True)
        new = file.with_suffix(".new")
        source = {SOURCE: self._source_of(name).encode()}
        pq.write_table(
            pa.table(dict(zip(COLUMNS, columns, strict=True)), metadata=source), new, compression="zstd"
        )
        new.replace(file)

    def _file(self, name: str, bar_secs: int) -> Path | None:
        return None if self._folder is None else self._folder / f"{name}-{bar_secs}s.parquet"


def following(bars: list[Levels], close_ns: int, bar_ns: int) -> Iterator[Levels]:
    """Yield the bars that follow a close time without a hole, UNIX nanoseconds.

    Examples
    --------
    >>> kept = [(n, 1.0, 1.0, 1.0, 1.0, 1.0) for n in (10, 20, 30, 50)]
    >>> [one[0] for one in following(kept, 10, 10)], [one[0] for one in following(kept, 30, 10)]
    ([20, 30], [])
    """
    for levels in bars:
        if levels[0] == close_ns + bar_ns:
            close_ns = levels[0]
            yield levels


__all__ = ["COLUMNS", "KeptBars", "following"]
