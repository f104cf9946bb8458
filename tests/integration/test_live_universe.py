"""The universe of a running node is that of a backtest of the same bars, day by day."""

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nautilus_trader.model.instruments import Instrument

from runtime.arrow_schema import BarColumns
from runtime.catalog import Catalog
from runtime.instruments import make_instrument
from runtime.live.universe import LiveUniverse, UniverseWatch, known_turnover
from runtime.membership import DAY_NS, MembershipRule, daily_turnover, earliest_klines, members_of_days
from runtime.universe_settings import UniverseSettings
from strategies.close_bars import Levels
from strategies.confluence_config import bar_type_of
from strategies.universe_rule import UniverseDays, UniverseGate

HOUR_NS = DAY_NS // 24
FIRST_DAY, DAYS = 20_000, 12
COINS = [f"C{number:02}USDT" for number in range(24)]
RULE = UniverseSettings(top=8, min_turnover=3_000_000.0, min_listed_days=3, rank_days=4)
YOUNG, DEAD = COINS[3], COINS[5]


def instrument_of(coin: str) -> Instrument:
    """Return a perpetual."""
    return make_instrument("binance", "usdm", coin, Decimal("0.01"), Decimal("0.001"))


def columns_of(seed: int) -> BarColumns:
    """Return the hours of a coin, whose turnover is another every day."""
    random = np.random.default_rng(seed)
    close = 10_000 + np.cumsum(random.integers(-40, 41, 24 * DAYS))
    open_ns = FIRST_DAY * DAY_NS + HOUR_NS * np.arange(24 * DAYS)
    by_day = np.repeat(random.integers(1, 40, DAYS), 24)
    return BarColumns(open_ns, open_ns + HOUR_NS, close, close, close, close, by_day * 100_000)


@pytest.fixture(scope="module")
def bars() -> dict[str, BarColumns]:
    """Return the bars of all coins: one begins on the sixth day, one ends on the eighth."""
    found = {coin: columns_of(seed) for seed, coin in enumerate(COINS)}
    found[YOUNG] = found[YOUNG][slice(24 * 5 + 7, None)]
    found[DEAD] = found[DEAD][slice(0, 24 * 7 + 9)]
    return found


def stored(folder: Path, bars: dict[str, BarColumns], until_ns: int) -> Catalog:
    """Return a catalog of the bars that close by a time."""
    catalog = Catalog(folder, create=True)
    for coin, columns in bars.items():
        kept = columns[np.flatnonzero(columns.ts_close_ns <= until_ns)]
        if len(kept):
            catalog.write_bars(instrument_of(coin), "1h", kept)
    return catalog


def history(catalog: Catalog) -> dict[int, set[str]]:
    """Return the members of each day, as a backtest of the catalog has them."""
    ids = [str(instrument_of(coin).id) for coin in COINS]
    series = {
        name: (catalog, str(bar_type_of(instrument_of(coin).id, 3600)))
        for name, coin in zip(ids, COINS, strict=True)
    }
    begin = earliest_klines(catalog)
    assert begin is not None
    daily = daily_turnover(series, FIRST_DAY + DAYS, (begin[0] - 1) // DAY_NS)
    assert RULE.top is not None
    rule = MembershipRule(RULE.top, RULE.min_turnover, RULE.min_listed_days, RULE.rank_days)
    table = members_of_days(daily, rule)
    return {
        daily.first_day + day: {name for name, row in zip(daily.names, table, strict=True) if row[day]}
        for day in range(table.shape[1])
    }


def by_close(
    bars: dict[str, BarColumns], shuffle: np.random.Generator
) -> list[tuple[int, list[tuple[str, Levels]]]]:
    """Return the bars of each close time, in no order."""
    found: dict[int, list[tuple[str, Levels]]] = {}
    for coin, columns in bars.items():
        name = str(instrument_of(coin).id)
        for close_ns, close, lots in zip(
            columns.ts_close_ns.tolist(),
            columns.close_ticks.tolist(),
            columns.volume_lots.tolist(),
            strict=True,
        ):
            price = close / 100
            found.setdefault(close_ns, []).append((name, (close_ns, price, price, price, price, lots / 1000)))
    for rows in found.values():
        shuffle.shuffle(rows)
    return sorted(found.items())


class Told:
    """A strategy that keeps the gate."""

    def __init__(self) -> None:
        self.gate = UniverseGate(None)
        self.calls = 0

    def take_universe(self, days: UniverseDays) -> None:
        """Take who may be entered."""
        self.gate.replace(days)
        self.calls += 1


# Day until which there is a catalog, day of the start (noon, both), first day that must be shown (midnight).
STARTS = {
    "no catalog": (None, 4, 0),
    "a catalog of all before": (6, 6, 5),
    "a catalog that lacks a coin": (4, 7, 3),
    "a catalog that ended long before": (6, 9, 6),
    "a catalog that ended before all that is ranked": (6, 11, 7),
}


@pytest.mark.parametrize(("catalog_day", "start_day", "from_day"), STARTS.values(), ids=STARTS.keys())
def test_live_is_history(
    bars: dict[str, BarColumns], tmp_path: Path, catalog_day: int | None, start_day: int, from_day: int
) -> None:
    """At every close time from the start on, whatever the bars' order and whatever is known from where.

    The bars of before are those that the universe asks for, and not one more.
    """
    noon_ns = FIRST_DAY * DAY_NS + 12 * HOUR_NS
    names = [str(instrument_of(coin).id) for coin in COINS]
    known = None
    if catalog_day is not None:
        stored(tmp_path / "part", bars, noon_ns + catalog_day * DAY_NS)
        known = known_turnover(tmp_path / "part", names, 3600, FIRST_DAY + start_day)
        assert (known is None) == (catalog_day < 5)  # the young coin is in no catalog of before
    expected = history(stored(tmp_path / "whole", bars, 1 << 62))
    told = Told()
    watch = UniverseWatch(LiveUniverse(RULE, names, known), told)
    start_ns = noon_ns + start_day * DAY_NS
    from_ns = watch.universe.wanted_from_ns(start_ns)
    assert from_ns == (FIRST_DAY + from_day) * DAY_NS
    early: list[tuple[str, Levels]] = []
    is_live, changes = False, set()
    for close_ns, rows in by_close(bars, np.random.default_rng(1)):
        if close_ns <= from_ns:
            continue
        if close_ns <= start_ns:
            if close_ns > start_ns - 2 * HOUR_NS:
                early += rows  # they come live while the others are read
                for name, levels in rows:
                    watch.take(name, levels)
            watch.show(dict(rows))
            continue
        if not is_live:
            watch.begin(start_ns)
            is_live = True
        for name, levels in rows:
            watch.take(name, levels)
        day = close_ns // DAY_NS
        found = {name for name in names if told.gate.holds(name, close_ns)}
        assert found == expected[day], date.fromordinal(719_163 + day)
        changes.add(frozenset(found))
    assert len(changes) >= min(4, DAYS - start_day)
    assert {len(one) for one in changes} <= set(range(1, 9))
    assert early


def test_few_coins_are_marked_and_refused_by_nobody(tmp_path: Path) -> None:
    """As in a backtest: what was chosen by hand is meant."""
    few: Any = LiveUniverse(UniverseSettings(), ["A", "B"])
    many = LiveUniverse(UniverseSettings(), [f"N{n}" for n in range(21)])
    assert (few.is_enforced, many.is_enforced) == (False, True)
    assert not few.table(FIRST_DAY * DAY_NS).enforced
    assert known_turnover(tmp_path / "none", ["A-PERP.BINANCE"], 3600, FIRST_DAY) is None
