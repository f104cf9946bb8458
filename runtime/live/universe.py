"""Which coins a running node may enter today: the rule of backtests, by what it knows of the days before.

A day's universe is made of the turnover of whole days before it, so it changes at midnight, with the bars
that close then: they belong to the day that ends. See `runtime.run_universe` and docs/how-to/universe.md.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
from nautilus_trader.model.identifiers import InstrumentId

from runtime.catalog import Catalog
from runtime.intervals import interval_of_bar_type
from runtime.membership import (
    DAY_NS,
    DailyTurnover,
    MembershipRule,
    daily_turnover,
    earliest_klines,
    members_of_next_day,
)
from runtime.universe_settings import DEFAULT_TOP, UniverseSettings
from strategies.close_bars import Levels
from strategies.confluence_config import bar_type_of
from strategies.universe_rule import UniverseDays, days_table

# Signals of yesterday's last bars may still be decided.
DAYS_TOLD: Final = 2
NEVER: Final = -1

type Stored = Callable[[date], set[str] | None]
"""Members of a day where a stored universe has its month, else None."""


class LiveUniverse:
    """The turnover of coins by day, and who belongs to a day by it.

    Parameters
    ----------
    settings
        The rule.
    names
        Nautilus ids of the strategy's coins.
    known
        Sums of the catalog, None without one.
    stored
        Looks into the universe beside the catalog.
    """

    def __init__(
        self,
        settings: UniverseSettings,
        names: Iterable[str],
        known: DailyTurnover | None = None,
        stored: Stored = lambda _day: None,
    ) -> None:
        self._names = tuple(sorted(names))
        self._settings = settings
        self._stored = stored
        self._rule = MembershipRule(
            settings.top or DEFAULT_TOP, settings.min_turnover, settings.min_listed_days, settings.rank_days
        )
        self.is_enforced = settings.is_enforced(len(self._names))
        self._sums: dict[str, dict[int, float]] = {name: {} for name in self._names}
        self._last_ns = dict.fromkeys(self._names, NEVER)
        self._whole: dict[str, frozenset[int]] = dict.fromkeys(self._names, frozenset())
        self._unknown_from: dict[str, int] = {}
        self._catalog_day: int | None = None
        self._members: dict[int, frozenset[str]] = {}
        if known is not None:
            self._take_known(known)

    def _take_known(self, known: DailyTurnover) -> None:
        self._catalog_day = known.catalog_day
        for name, row in zip(known.names, known.turnover.tolist(), strict=True):
            days = {known.first_day + offset: amount for offset, amount in enumerate(row) if amount}
            if not days:
                continue
            # The last day of a catalog may be cut: what the node is shown of it is whole.
            self._unknown_from[name] = last = max(days)
            self._sums[name] = {day: amount for day, amount in days.items() if day < last}
            self._whole[name] = frozenset(self._sums[name])

    def wanted_from_ns(self, now_ns: int) -> int:
        """Return since when bars must be shown, so that no day of those ranked is a hole; UNIX nanoseconds.

        A day that the catalog has whole need not be shown. What lies before a coin's first day there was no
        trading; its last day there may be cut, and all from it on is unknown until it is shown.
        """
        today = now_ns // DAY_NS
        first = today - self._settings.rank_days
        unknown = (self._unknown_from.get(name, first) for name in self._names)
        return min(max(first, min(unknown, default=first)), today) * DAY_NS

    def add(self, name: str, levels: Levels) -> None:
        """Take a closed bar, each once and in order: the rest changes nothing."""
        close_ns, _open, _high, _low, close, volume = levels
        if name not in self._last_ns or close_ns <= self._last_ns[name]:
            return
        self._last_ns[name] = close_ns
        day = (close_ns - 1) // DAY_NS
        if day not in self._whole[name]:  # else the catalog has all of it
            self._sums[name][day] = self._sums[name].get(day, 0.0) + close * volume

    def renew(self, name: str, bars: Iterable[Levels]) -> None:
        """Take all bars of a coin again, oldest first: some had been missing."""
        whole = self._whole[name]
        self._sums[name] = {day: amount for day, amount in self._sums[name].items() if day in whole}
        self._last_ns[name] = NEVER
        for levels in bars:
            self.add(name, levels)

    def table(self, ts_ns: int) -> UniverseDays:
        """Return the table of a moment's day (UNIX nanoseconds), and of the one before where it is known."""
        day = ts_ns // DAY_NS
        self._members[day] = self._members_of(day)
        days = [one for one in sorted(self._members) if day - DAYS_TOLD < one <= day]
        self._members = {one: self._members[one] for one in days}
        told = {
            name: [name in self._members.get(one, ()) for one in range(days[0], day + 1)]
            for name in self._names
        }
        return days_table(_date(days[0]), told, enforced=self.is_enforced)

    def _members_of(self, day: int) -> frozenset[str]:
        stored = self._stored(_date(day))
        if stored is not None:
            return frozenset(stored) & frozenset(self._names)
        daily = self._daily(day)
        flags = members_of_next_day(daily, self._rule).tolist()
        return frozenset(name for name, is_member in zip(daily.names, flags, strict=True) if is_member)

    def _daily(self, end_day: int) -> DailyTurnover:
        """Return the sums of the days before a day."""
        first = min((min(sums) for sums in self._sums.values() if sums), default=end_day)
        turnover = np.zeros((len(self._names), max(end_day - first, 0)))
        for row, name in zip(turnover, self._names, strict=True):
            for day, amount in self._sums[name].items():
                if day < end_day:
                    row[day - first] = amount
        return DailyTurnover(
            self._names, first, turnover, first if self._catalog_day is None else self._catalog_day
        )


class UniverseWatch:
    """Shows bars to a universe, those of before first, and tells its strategy who may be entered.

    Parameters
    ----------
    universe
        The rule and its sums.
    strategy
        Told with `take_universe`, whenever the table is another.
    """

    def __init__(self, universe: LiveUniverse, strategy: Any) -> None:
        self.universe = universe
        self._strategy = strategy
        self._early: list[tuple[str, Levels]] | None = []
        self._told: UniverseDays | None = None
        self._told_day = NEVER

    def show(self, bars: Mapping[str, Levels]) -> None:
        """Take the bars of a close time of before."""
        for name, levels in bars.items():
            self.universe.add(name, levels)

    def begin(self, now_ns: int) -> None:
        """Take the live bars that came meanwhile, and tell; UNIX nanoseconds."""
        early, self._early = self._early or [], None
        for name, levels in early:
            self.universe.add(name, levels)
        self._tell(now_ns)

    def renew(self, name: str, bars: Iterable[Levels], now_ns: int) -> None:
        """Take all bars of a coin again that were missing before, and tell; UNIX nanoseconds."""
        self.universe.renew(name, bars)
        self._tell(now_ns)

    def take(self, name: str, levels: Levels) -> None:
        """Take a live bar, before the strategy decides about it."""
        if self._early is not None:
            self._early.append((name, levels))
            return
        self.universe.add(name, levels)
        close_ns = levels[0]
        # Bars that close at midnight come one after the other: each belongs to the day that ends.
        if close_ns % DAY_NS == 0 or close_ns // DAY_NS != self._told_day:
            self._tell(close_ns)

    def _tell(self, ts_ns: int) -> None:
        self._told_day = ts_ns // DAY_NS
        table = self.universe.table(ts_ns)
        if table != self._told:
            self._told = table
            self._strategy.take_universe(table)


def _date(day: int) -> date:
    return date(1970, 1, 1) + timedelta(days=day)


def known_turnover(path: Path, names: Iterable[str], bar_secs: int, end_day: int) -> DailyTurnover | None:
    """Return the turnover by day of coins out of a catalog, None where it has no klines of one of them.

    Raises
    ------
    DataError
        When a file is damaged.
    """
    if not path.is_dir():
        return None
    catalog = Catalog(path)
    series: dict[str, tuple[Catalog, str]] = {}
    for name in names:
        bar_type = str(bar_type_of(InstrumentId.from_str(name), bar_secs))
        if catalog.find_series(name, "klines", interval_of_bar_type(bar_type)) is None:
            return None
        series[name] = catalog, bar_type
    earliest = earliest_klines(catalog)
    day = None if earliest is None else (earliest[0] - 1) // DAY_NS
    return daily_turnover(series, end_day, day)


def make_universe(
    settings: UniverseSettings, strategy: Any, catalog: Path, now_ns: int
) -> LiveUniverse | None:
    """Return the universe of a strategy's coins, None where the rule says nothing of so few.

    Parameters
    ----------
    settings
        Section `universe`.
    strategy
        With `coins` and `config.ltf_secs`.
    catalog
        Folder of the catalog; a stored universe lies in it.
    now_ns
        UNIX nanoseconds.

    Raises
    ------
    DataError
        When catalog or stored universe are damaged.
    """
    names = sorted(strategy.coins)
    if not settings.is_reported(len(names)) or not hasattr(strategy, "take_universe"):
        return None
    known = known_turnover(catalog, names, strategy.config.ltf_secs, now_ns // DAY_NS)
    return LiveUniverse(settings, names, known, stored_members(settings, catalog, strategy))


def stored_members(settings: UniverseSettings, catalog: Path, strategy: Any) -> Stored:
    """Return what looks into the universe that lies beside a catalog."""
    from runtime.run_universe import stored_of_month

    instrument = next(iter(strategy.coins.values())).instrument

    def members(day: date) -> set[str] | None:
        if instrument is None or not catalog.is_dir():
            return None
        return stored_of_month(Catalog(catalog), instrument, settings, day.replace(day=1))

    return members


__all__ = ["LiveUniverse", "Stored", "UniverseWatch", "known_turnover", "make_universe", "stored_members"]
