"""Point-in-time membership: which coins belonged to the universe of a day, by what was known before it.

Turnover is summed by UTC day from a catalog's own klines. The rule for a day reads the days before it and
nothing else, so a turnover of tomorrow cannot choose the coins of today.
"""

import hashlib
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from runtime.catalog import Catalog
from runtime.catalog_files import BAR_FOLDER
from runtime.catalog_tables import tables_of_folder
from runtime.run_bars import DERIVED

DAY_NS: Final = 86_400_000_000_000
# Nautilus stores a price as a signed number of 16 bytes, in units of 1e-16.
WORD: Final = 2.0**64
UNITS: Final = 1e16
TURNOVER: Final = "turnover"
COLUMNS: Final = ("ts_event", "close", "volume", "ts_init")


@dataclass(frozen=True, slots=True)
class MembershipRule:
    """What a coin must have been to belong to a day, see `runtime.universe_settings`."""

    top: int
    min_turnover: float
    min_listed_days: int
    rank_days: int


@dataclass(frozen=True, slots=True, eq=False)
class DailyTurnover:
    """Turnover of coins by UTC day.

    Parameters
    ----------
    names
        Nautilus instrument ids, sorted.
    first_day
        Days since 1970 of the first column.
    turnover
        float64, shape (len(names), days), quote currency, of close times volume of each kline; 0 where
        nothing traded.
    catalog_day
        Day on which the klines of the catalog begin, those of other coins included (days since 1970).
    """

    names: tuple[str, ...]
    first_day: int
    turnover: NDArray[np.float64]
    catalog_day: int

    @property
    def end_day(self) -> int:
        """The day after the last column."""
        return self.first_day + len(self.turnover.T)

    def until(self, day: int) -> "DailyTurnover":
        """Return what was known at the beginning of a day (days since 1970)."""
        known = self.turnover[:, : max(day - self.first_day, 0)]
        return DailyTurnover(self.names, self.first_day, known, self.catalog_day)


def members_of_days(daily: DailyTurnover, rule: MembershipRule) -> NDArray[np.bool_]:
    """Return who belongs to which day.

    Column ``d`` is made of the turnover of columns before ``d`` alone. To belong, a coin must have traded on
    the day before, be listed long enough, reach the least turnover on an average of the last `rank_days`, and
    be among the `top` of those that do; equal ones are told apart by name.

    A coin is as old as its first day in the catalog, whichever coins are asked about with it. One that is
    there from the catalog's own first day on was listed then or earlier, nobody knows when: it is never too
    young. In a catalog whose coins begin on different days, only those of the earliest day have that.

    Parameters
    ----------
    daily
        Turnover of n coins on m days.
    rule
        The rule.

    Returns
    -------
    ndarray
        bool, shape (n, m + 1): the last column is the day after the last turnover.
    """
    coins, days = daily.turnover.shape
    members = np.zeros((coins, days + 1), dtype=np.bool_)
    for day in range(1, days + 1):
        members[:, day] = _members_at(daily, rule, day)
    return members


def members_of_next_day(daily: DailyTurnover, rule: MembershipRule) -> NDArray[np.bool_]:
    """Return the last column of `members_of_days` alone, bool of shape (n,): what a running node asks for."""
    days = daily.turnover.shape[1]
    return _members_at(daily, rule, days) if days else np.zeros(len(daily.names), dtype=np.bool_)


def _members_at(daily: DailyTurnover, rule: MembershipRule, day: int) -> NDArray[np.bool_]:
    turnover = daily.turnover[:, :day]
    traded = turnover > 0
    first = np.where(traded.any(axis=1), traded.argmax(axis=1), day)
    is_of_the_beginning = first + daily.first_day <= daily.catalog_day
    names = np.argsort(np.argsort(np.array(daily.names, dtype=object)))
    window = turnover[:, max(day - rule.rank_days, 0) :]
    average = window.sum(axis=1) / window.shape[1]
    is_listed = is_of_the_beginning | (day - first >= rule.min_listed_days)
    fits = traded[:, -1] & is_listed & (average >= rule.min_turnover)
    ranked = np.lexsort((names, -average))
    members: NDArray[np.bool_] = np.zeros(len(daily.names), dtype=np.bool_)
    members[ranked[fits[ranked]][: rule.top]] = True
    return members


# --- turnover from klines ----------------------------------------------------------------------------------
def earliest_klines(catalog: Catalog) -> tuple[int, str, str] | None:
    """Return the first close of a catalog's klines (UNIX nanoseconds), and whose it is.

    The instrument and the interval follow; None where there are no klines.
    """
    found = [
        (entry.files[0].first_ns, entry.instrument, entry.interval or "")
        for entry in catalog.manifest.series.values()
        if entry.kind == "klines" and entry.files
    ]
    return min(found, default=None)


def daily_turnover(
    series: Mapping[str, tuple[Catalog, str]], end_day: int, catalog_day: int | None = None
) -> DailyTurnover:
    """Sum the turnover of coins by UTC day, those that are not over by `end_day` left out.

    The sums are kept below ``<catalog>/.derived`` under a fingerprint of the files they come from, so that
    a second run does not read them again.

    Parameters
    ----------
    series
        Instrument id -> catalog and type of its bars.
    end_day
        Days since 1970; later days are not told.
    catalog_day
        Day on which the catalog's klines begin; None for that of the earliest of these coins.

    Raises
    ------
    DataError
        When a file is damaged.
    """
    names = tuple(sorted(series))
    sums = [_turnover_of(*series[name]) for name in names]
    first = min((begin for begin, days in sums if len(days)), default=end_day)
    turnover = np.zeros((len(names), max(end_day - first, 0)))
    for row, (begin, days) in zip(turnover, sums, strict=True):
        kept = days[: max(end_day - begin, 0)]
        row[begin - first : begin - first + len(kept)] = kept
    return DailyTurnover(names, first, turnover, first if catalog_day is None else catalog_day)


def _turnover_of(catalog: Catalog, bar_type: str) -> tuple[int, NDArray[np.float64]]:
    """Return the first day of a series and its turnover by day, from the cache if it is there."""
    folder = catalog.path / BAR_FOLDER / bar_type
    kept = catalog.path / DERIVED / f"{TURNOVER}-{bar_type}-{_fingerprint(folder)}.npy"
    try:
        stored = np.load(kept, allow_pickle=False)
        return int(stored[0]), stored[1:]
    except (OSError, ValueError, EOFError, IndexError):
        begin, days = _summed(folder)
    _keep(kept, np.concatenate([[float(begin)], days]))
    return begin, days


def _summed(folder: Path) -> tuple[int, NDArray[np.float64]]:
    parts: dict[int, float] = {}
    for table in tables_of_folder(folder, None, None, COLUMNS):
        close_ns = table.column("ts_event").to_numpy().view(np.int64)
        amounts = _floats(table.column("close")) * _floats(table.column("volume"))
        # A bar that closes at midnight belongs to the day that ends then.
        days = (close_ns - 1) // DAY_NS
        begin = int(days[0])
        for offset, amount in enumerate(np.bincount(days - begin, weights=amounts).tolist()):
            parts[begin + offset] = parts.get(begin + offset, 0.0) + amount
    if not parts:
        return 0, np.zeros(0)
    first = min(parts)
    days_out = np.zeros(max(parts) - first + 1)
    for day, amount in parts.items():
        days_out[day - first] = amount
    return first, days_out


def _floats(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """Return Nautilus' numbers of 16 bytes as the floats next to them, shape (n,)."""
    parts = []
    for chunk in column.chunks:
        words = np.frombuffer(chunk.buffers()[1], dtype="<u8").reshape(-1, 2)
        words = words[chunk.offset : chunk.offset + len(chunk)]
        high = words[:, 1].view(np.int64).astype(np.float64)
        parts.append((high * WORD + words[:, 0].astype(np.float64)) / UNITS)
    return np.concatenate(parts) if parts else np.zeros(0)


def _fingerprint(folder: Path) -> str:
    files = sorted(folder.glob("*.parquet"))
    found: Iterable[str] = (f"{one.name} {one.stat().st_size} {one.stat().st_mtime_ns}" for one in files)
    return hashlib.sha256("\n".join(found).encode()).hexdigest()[:16]


def _keep(path: Path, content: NDArray[np.float64]) -> None:
    """Store a series' sums whole or not at all; a catalog that cannot be written to has no cache."""
    try:
        path.parent.mkdir(exist_ok=True)
        for old in path.parent.glob(f"{path.name.rpartition('-')[0]}-*.npy"):
            old.unlink(missing_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".new", delete=False) as file:
            np.save(file, content)
        Path(file.name).replace(path)
    except OSError:
        return


__all__ = ["DailyTurnover", "MembershipRule", "daily_turnover", "earliest_klines", "members_of_days"]
