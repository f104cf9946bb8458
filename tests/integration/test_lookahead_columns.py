"""The proof of causality over what is computed before a run: scores, membership, funding, derived bars."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from runtime.arrow_schema import BarColumns
from runtime.catalog import Catalog
from runtime.column_feed import ColumnFeed
from runtime.download.venue_rows import FundingRate
from runtime.funding import read_funding, write_funding
from runtime.membership import DailyTurnover, MembershipRule, earliest_klines
from runtime.run_plan import RunPlan, plan_run
from runtime.run_request import RunRequest
from runtime.settings import BacktestSettings, FundingSettings, Settings, StrategySettings
from runtime.sweeps.findings import Findings
from runtime.sweeps.lookahead import fresh_cuts, prove
from runtime.sweeps.truncated import truncated
from runtime.universe import SymbolMonth, Universe, UniverseMonth, read_universe, write_universe
from runtime.universe_settings import UniverseSettings
from strategies.close_bars import CoinBar, scored_bar
from tests.integration.test_confluence_run import BAR_NS, EASY, MIDNIGHT, instrument_of, walk

COINS = ("BTCUSDT", "ADAUSDT", "LTCUSDT")
NAMES = tuple(f"{coin}-PERP.BINANCE" for coin in COINS)
BARS = 600
DAY_BARS = 288
HOUR_NS = 12 * BAR_NS
CONSTANT = FundingSettings(source="constant", rate_pct=Decimal("0.01"), interval_hours=1)
ON = UniverseSettings(mode="on", top=2, min_turnover=0, min_listed_days=0, rank_days=1)
ALL = UniverseSettings(mode="off")


def busy(number: int) -> BarColumns:
    """Make bars of a coin that every third day is quiet, until it turns over the most of all in an hour."""
    bars = walk(number, BARS)
    is_quiet = np.arange(BARS) // DAY_BARS % len(COINS) == number
    is_late = np.arange(BARS) % DAY_BARS >= DAY_BARS - 12
    scale = np.where(is_late, 100_000, 100)
    return replace(bars, volume_lots=np.where(is_quiet, bars.volume_lots * scale // 1000, bars.volume_lots))


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Store three coins, two of which are always in a universe of two."""
    catalog = Catalog(tmp_path_factory.mktemp("klines") / "catalog", create=True)
    for number, coin in enumerate(COINS):
        catalog.write_bars(instrument_of(coin), "5m", busy(number))
    return catalog


def plan_of(
    catalog: Catalog, runs: Path, universe: UniverseSettings = ON, bars: int = BARS, **backtest: Any
) -> RunPlan:
    """Plan a run of confluence over the first bars."""
    entry = StrategySettings(strategy="confluence", parameters=EASY)
    settings = Settings(
        backtest=BacktestSettings(runs=str(runs), **{"funding": CONSTANT} | backtest),
        universe=universe,
        strategies=(entry,),
    )
    request = RunRequest(settings=settings, source="config.yaml", catalog=catalog.path, instruments=NAMES)
    return plan_run(replace(request, end_ns=MIDNIGHT + bars * BAR_NS + 1))


def findings_of(plan: RunPlan) -> Findings:
    """Run the whole proof."""
    return prove(plan, lambda _amount: None)


@pytest.mark.parametrize("feed", ["columns", pytest.param("events", marks=pytest.mark.slow)])
def test_an_honest_run_passes(catalog: Catalog, tmp_path: Path, feed: str) -> None:
    """With a universe and funding, over columns and over events: not one difference among many records."""
    findings = findings_of(plan_of(catalog, tmp_path, bar_feed=feed))
    assert (findings.differences, findings.first, findings.feed) == (0, None, feed)
    kinds = ["decision", "order", "trade", "funding", "membership"]
    for kind in [*kinds, "scored bar", "score row"] if feed == "columns" else kinds:
        assert findings.compared[kind] > 5, kind
    assert len(findings.fresh_ns) >= 3
    assert findings.summary()["feed"] == feed
    assert len(list(tmp_path.iterdir())) == 0, "scratch files are gone"


def next_bars(self: ColumnFeed, place: int) -> dict[str, CoinBar]:
    """Show the rows of the next close time: what `ColumnFeed.kept` would do if it were off by one."""
    columns = self._columns
    found = {}
    for one in range(*np.searchsorted(columns.kept_at, (place + 1, place + 2)).tolist()):
        number = int(columns.kept_of[one])
        row = columns.rows[number][columns.kept_row[one]].copy()
        found[self.names[number]] = scored_bar(self._levels(number, place), row)
    return found


def test_rows_of_the_next_close_are_found(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A feed that shows a row one close time early is caught, though the columns are sound."""
    monkeypatch.setattr(ColumnFeed, "kept", next_bars)
    findings = findings_of(plan_of(catalog, tmp_path, ALL, 240))
    assert findings.differences > 0
    assert "with all data" in (findings.first or "")


def of_the_day_itself(days: int) -> Callable[[DailyTurnover, MembershipRule], NDArray[np.bool_]]:
    """Return a rule of membership by the turnover of the day and of those after it."""

    def members(daily: DailyTurnover, rule: MembershipRule) -> NDArray[np.bool_]:
        coins, count = daily.turnover.shape
        out = np.zeros((coins, count + 1), np.bool_)
        for day in range(count):
            total = daily.turnover[:, day : day + days].sum(axis=1)
            out[np.argsort(-total)[: rule.top], day] = True
        return out

    return members


@pytest.mark.parametrize("days", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_membership_by_a_turnover_to_come_is_found(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    """A universe made of the turnover of the same or of the next day is caught."""
    monkeypatch.setattr("runtime.run_universe.members_of_days", of_the_day_itself(days))
    findings = findings_of(plan_of(catalog, tmp_path))
    assert findings.differences > 0
    assert "universe of the prefix" in (findings.first or "")


def test_a_cut_catalog_has_what_was_known(tmp_path: Path) -> None:
    """Klines, rates and months of a universe up to the cut, and the day on which the catalog began."""
    whole = Catalog(tmp_path / "whole", create=True)
    for number, coin in enumerate(COINS):
        whole.write_bars(instrument_of(coin), "5m", walk(number))
    older = walk(9)[slice(0, 60)]
    older = replace(
        older, ts_open_ns=older.ts_open_ns - 400 * BAR_NS, ts_close_ns=older.ts_close_ns - 400 * BAR_NS
    )
    whole.write_bars(instrument_of("OLDUSDT"), "5m", older)
    stamps = [MIDNIGHT + hour * HOUR_NS + 5_000_000 for hour in range(40)]
    write_funding(whole.path, NAMES[0], [FundingRate(one, Decimal("0.0001"), 60) for one in stamps])
    listed = SymbolMonth(symbol=COINS[0], turnover=1.0, days=28, last_day="2026-02-28", first_month="2026-01")
    months = {one: UniverseMonth(month=one, symbols=(listed,)) for one in ("2026-01", "2026-02", "2026-03")}
    write_universe(whole.path, Universe(venue="binance", market="usdm", top=9, months=months))
    last_ns = MIDNIGHT + 30 * HOUR_NS
    source = FundingSettings(source="catalog")
    plan = plan_of(whole, tmp_path / "runs", ALL, funding=source)
    prefix = truncated(plan, last_ns, tmp_path / "prefix")
    assert prefix.ticks == 3 * 360
    assert prefix.last_ts_ns == last_ns
    assert prefix.funding.module is not None
    assert prefix.funding.module["catalog"] == str(tmp_path / "prefix")
    assert len(read_funding(prefix.catalog.path, NAMES[0])) == 31, "that of the cut, 5 ms late, included"
    stored = read_universe(prefix.catalog.path, "binance", "usdm")
    assert stored is not None
    assert list(stored.months) == ["2026-01", "2026-02"]
    assert earliest_klines(prefix.catalog) == earliest_klines(whole)
    assert [one.id.value for one in prefix.instruments] == sorted(NAMES)


@pytest.mark.parametrize(
    ("entries", "begun", "expected"),
    [([], 0, 4), ([50], 0, 4), (list(range(10, 90)), 0, 4), (list(range(10, 90)), 95, 4), ([], 99, 1)],
)
def test_prefixes_end_at_entries_where_there_are_any(entries: list[int], begun: int, expected: int) -> None:
    """After the beginning of every coin, at data times; without entries evenly spread."""
    cuts = fresh_cuts(np.arange(100, dtype=np.int64), entries, begun, 4)
    assert len(cuts) == expected
    assert cuts == sorted(set(cuts))
    assert min(cuts) >= begun
    if len(entries) > 4 and begun == 0:
        assert set(cuts) <= set(entries)
