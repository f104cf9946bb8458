"""A run of more than twenty coins: the universe of each day refuses entries, or says what it would refuse."""

import csv
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import backtest_node
from runtime.arrow_schema import BarColumns
from runtime.catalog import Catalog
from runtime.instruments import make_instrument
from runtime.run_plan import plan_run
from runtime.run_request import RunRequest
from runtime.run_universe import RunUniverse
from runtime.settings import Settings, StrategySettings
from runtime.universe import SymbolMonth, Universe, UniverseMonth, write_universe
from runtime.universe_settings import UniverseSettings
from strategies.universe_rule import PATIENCE_BARS
from ui.reports.universe import universe_lines

BAR_NS = 300_000_000_000
DAY_BARS = 288
MIDNIGHT = 1_773_792_000_000_000_000
COINS = [f"C{letter}USDT" for letter in "ABCDEFGHIJKLMNOPQRSTU"]
POOR, YOUNG, DEAD = COINS[:5], COINS[5], COINS[6]
BARS = 372
NAMES = [f"{coin}-PERP.BINANCE" for coin in COINS]
SETTINGS = {
    "htf_secs": 900,
    "htf_warm_up_bars": 5,
    "min_confidence": 45,
    "record_from": 45,
    "correlation_sides": "any",
    "max_correlation": 1,
    "max_positions": 8,
}
UNIVERSE = {"min_listed_days": 1, "min_turnover": 10_000_000}


def walk(seed: int) -> BarColumns:
    """Make the bars of a random walk; those of poor coins turn over a hundredth of the others'."""
    random = np.random.default_rng(seed)
    close = 10_000 + np.cumsum(random.integers(-40, 41, BARS))
    open_ = np.concatenate([[10_000], close[:-1]])
    open_ns = MIDNIGHT + BAR_NS * np.arange(BARS)
    return BarColumns(
        ts_open_ns=open_ns,
        ts_close_ns=open_ns + BAR_NS,
        open_ticks=open_,
        high_ticks=np.maximum(open_, close) + random.integers(0, 25, BARS),
        low_ticks=np.minimum(open_, close) - random.integers(0, 25, BARS),
        close_ticks=close,
        volume_lots=random.integers(10**6, 9 * 10**6, BARS) // (100 if seed < len(POOR) else 1),
    )


@pytest.fixture(scope="module")
def catalog_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Store 21 coins: five are poor, one begins on the second day, one ends on the first."""
    path = tmp_path_factory.mktemp("many")
    catalog = Catalog(path, create=True)
    for seed, coin in enumerate(COINS):
        bars = walk(seed)
        if coin == YOUNG:
            bars = bars[slice(DAY_BARS + 20, None)]
        if coin == DEAD:
            bars = bars[slice(0, DAY_BARS - 20)]
        instrument = make_instrument("binance", "usdm", coin, Decimal("0.01"), Decimal("0.001"))
        catalog.write_bars(instrument, "5m", bars)
    return path


type Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(catalog_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Give a function that runs the command and returns its summary."""

    def run(*words: str, universe: dict[str, Any] = UNIVERSE) -> dict[str, Any]:
        config = tmp_path / "config.yaml"
        content = {
            "backtest": {"runs": str(tmp_path / "runs"), "balance": 1_000_000, "charts": 0},
            "universe": universe,
            "strategies": [{"strategy": "confluence", **SETTINGS}],
        }
        config.write_text(yaml.safe_dump(content))
        code = backtest_node.main(
            ["run", "--config", str(config), "--catalog", str(catalog_path), "--json", *words]
        )
        out, err = capsys.readouterr()
        assert code == 0, err
        summary: dict[str, Any] = json.loads(out)
        return summary

    return run


def signals_of(summary: dict[str, Any]) -> list[dict[str, str]]:
    """Read the signals of a run."""
    with (Path(summary["run_dir"]) / "signals.csv").open() as file:
        return [row for row in csv.DictReader(file) if row["kind"].startswith("signal")]


def day_of(row: dict[str, str]) -> int:
    """Return on which day of the run a signal was given: 0 or 1."""
    return (int(row["ts_ns"]) - MIDNIGHT) // (DAY_BARS * BAR_NS)


def test_by_default_only_members_are_entered(run: Run) -> None:
    """Nobody on the first day, then those that traded enough the day before; the reason is recorded."""
    summary = run()
    universe, survival = summary["universe"], summary["survivorship"]
    assert (universe["mode"], universe["enforced"], universe["coins"]) == ("auto", True, 21)
    rows = signals_of(summary)
    refused = [row for row in rows if row["reason"] == "not_in_universe"]
    assert universe["signals_refused"] == len(refused) > 0
    out = {f"{coin}-PERP.BINANCE" for coin in [*POOR, YOUNG]}
    for row in rows:
        # The coin that ended had traded on the first day, nothing else was known when the second began.
        is_member = day_of(row) == 1 and row["instrument_id"] not in out
        assert json.loads(row["detail"])["in_universe"] == int(is_member)
        assert row["reason"] != "not_in_universe" or not is_member
        if row["kind"] == "signal_taken":
            assert is_member
    assert summary["signals"]["taken"] > 0
    assert survival["began_after_start"] == [f"{YOUNG}-PERP.BINANCE"]
    assert survival["ended_before_end"] == [f"{DEAD}-PERP.BINANCE"]
    assert survival["never_members"] == sorted(out)
    assert survival["absent_from_catalog"] is None
    assert survival["outside"]["positions_closed"] == 0
    assert survival["in_universe"]["positions_closed"] == summary["positions_closed"]
    assert summary["counters"]["rounds_incomplete"] == 2 * PATIENCE_BARS, "then nobody waits for the two"
    stored = yaml.safe_load((Path(summary["run_dir"]) / "config.effective.yaml").read_text())
    days = stored["strategies"][0]["symbols"]["*"]["universe_days"]
    assert days["first_day"] == datetime.fromtimestamp(MIDNIGHT // 10**9, UTC).date().isoformat()
    assert {name for name, row in days["coins"].items() if row[1] == "1"} == set(NAMES) - out


def test_switched_off_the_report_says_what_it_did(run: Run) -> None:
    """The trades that membership would have refused have figures of their own; both groups are all."""
    summary = run("--universe", "off")
    assert summary["universe"]["enforced"] is False
    assert summary["universe"]["signals_refused"] == 0
    inside, outside = summary["survivorship"]["in_universe"], summary["survivorship"]["outside"]
    assert outside["positions_closed"] > 0 < inside["positions_closed"]
    assert inside["positions_closed"] + outside["positions_closed"] == summary["positions_closed"]
    assert inside["pnl"] + outside["pnl"] == pytest.approx(summary["pnl"])
    lines = dict(universe_lines(summary))
    assert lines["would have been refused"].startswith(f"{outside['positions_closed']} trades")
    assert lines["not in the catalog"].startswith("unknown")


def universe_of(catalog_path: Path, names: Sequence[str], **settings: Any) -> RunUniverse | None:
    """Return what a run over these coins is told."""
    entry = StrategySettings(strategy="confluence", parameters=SETTINGS)
    told = Settings(universe=UniverseSettings(**{**UNIVERSE, **settings}), strategies=(entry,))
    request = RunRequest(settings=told, source="config.yaml", catalog=catalog_path, instruments=tuple(names))
    return plan_run(request).universe


def test_few_coins_have_no_universe_unless_asked(catalog_path: Path) -> None:
    """Twenty coins were chosen by hand; `on` holds for any number, `off` for a few says nothing."""
    assert universe_of(catalog_path, NAMES[:20]) is None
    assert universe_of(catalog_path, NAMES[:20], mode="off") is None
    asked = universe_of(catalog_path, NAMES[:3], mode="on")
    assert asked is not None
    assert asked.days.enforced
    assert asked.facts["never_members"] == NAMES[:3]


def test_a_stored_universe_decides_and_tells_who_is_absent(catalog_path: Path) -> None:
    """The month before is what ranks; members that the catalog never held are counted and named."""
    symbols = [*COINS[7:12], "GONEUSDT", "NEVERUSDT"]
    month = UniverseMonth(
        month="2026-02",
        symbols=tuple(
            SymbolMonth(
                symbol=symbol, turnover=1e9 - n, days=28, last_day="2026-02-28", first_month="2025-01"
            )
            for n, symbol in enumerate(symbols)
        ),
    )
    write_universe(catalog_path, Universe(venue="binance", market="usdm", top=6, months={"2026-02": month}))
    try:
        universe = universe_of(catalog_path, ())
    finally:
        (catalog_path / "universe" / "binance-usdm.json").unlink()
    assert universe is not None
    assert universe.facts["absent_from_catalog"] == {
        "listed": 7,
        "listed_absent": 2,
        "members": 6,
        "members_absent": 1,
        "names": ["GONEUSDT-PERP.BINANCE"],
    }
    members = {f"{coin}-PERP.BINANCE" for coin in COINS[7:12]}
    assert {name for name, days in universe.days.coins.items() if "1" in days} == members
    assert all(universe.days.coins[name] == "111" for name in members)
    assert (universe.facts["top"], universe.facts["members_mean"]) == (6, 5)
