"""Backtests over scored columns equal those that bring every bar as an event, record by record."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from indicators.confluence.explain import FACTORS
from runtime.backtest import RunResult, run_backtest
from runtime.catalog import Catalog
from runtime.column_feed import last_place, next_place
from runtime.importer import ImportRequest, import_files
from runtime.instruments import make_instrument
from runtime.run_columns import run_columns
from runtime.run_plan import plan_run
from runtime.run_request import RunRequest
from runtime.run_summary import summary_of
from runtime.settings import BacktestSettings, FundingSettings, Settings, StrategySettings
from runtime.universe_settings import UniverseSettings
from tests.integration.test_confluence_run import COINS, EASY, NAMES, instrument_of, tapes
from ui.protocol import SNAP, Message, decode
from ui.recording import RECORDING_FILE, Recording
from ui.reports.metrics import summarise

SPOT = tuple(f"{coin}.BINANCE" for coin in COINS[:2])
FILES = ("events.jsonl", "signals.csv", "trades.csv", "equity.csv")
GUARDS = {
    "stop_cooldown_mins": 30,
    "max_daily_loss_pct": 1.5,
    "max_drawdown_pct": 4,
    "drawdown_pause_mins": 240,
    "loss_streak_count": 3,
}
# Sections of the settings besides the strategy's, by case.
SECTIONS: dict[str, dict[str, Any]] = {
    "the universe of the day": {
        "universe": UniverseSettings(mode="on", top=2, rank_days=1, min_listed_days=0, min_turnover=0)
    },
    "constant funding": {
        "funding": FundingSettings(source="constant", rate_pct=Decimal("0.01"), interval_hours=1)
    },
}
FIFTEEN = {"ltf_secs": 900, "mtf_secs": 1800, "min_confidence": 25, "record_from": 20}
CASES: dict[str, tuple[Sequence[str], dict[str, Any], dict[str, Any]]] = {
    "as it comes": (NAMES, {}, {}),
    "hybrid entries, any correlation": (
        NAMES,
        {"entry": "hybrid", "hybrid_better_pct": 0.15, "correlation_sides": "any", "max_correlation": 0.3},
        {},
    ),
    "guards, no correlation": (NAMES, {"correlation_sides": "off", "rules": "s1", **GUARDS}, {}),
    "turnover and thresholds of single coins": (
        NAMES,
        {"min_turnover": 1e8},
        {NAMES[0]: {"min_confidence": 55, "min_turnover": 0.0}, NAMES[3]: {"htf_secs": 14_400}},
    ),
    "rounds that wait longer than a bar": (NAMES, {"bar_wait_ms": 600_000, "max_positions": 3}, {}),
    "thresholds below what is recorded": (
        NAMES,
        {"record_from": 90, "min_confidence": 45},
        {NAMES[1]: {"min_confidence": 30}},
    ),
    "the universe of the day": (NAMES, {}, {}),
    "constant funding": (NAMES, {"rules": "off"}, {}),
    "bars of fifteen minutes": (NAMES, FIFTEEN, {}),
    "spot": (SPOT, {"entry": "hybrid", **GUARDS}, {}),
}


def drawn(seed: int) -> tuple[Sequence[str], dict[str, Any], dict[str, Any]]:
    """Draw settings by chance."""
    chance = random.Random(seed)
    parameters = {
        "entry": chance.choice(["market", "hybrid"]),
        "correlation_sides": chance.choice(["off", "same", "any"]),
        "max_correlation": chance.choice([0.1, 0.5, 0.9]),
        "correlation_bars": chance.choice([24, 60]),
        "correlation_min_bars": chance.choice([12, 24]),
        "rules": chance.choice(["s0", "s1"]),
        "record_from": chance.choice([0, 25, 45]),
        "min_confidence": chance.choice([30, 45]),
        "max_positions": chance.choice([1, 2, 4]),
        "bar_wait_ms": chance.choice([1, 2000, 310_000]),
        "stop_atr": chance.choice([0.7, 1.0, 1.5]),
        **(GUARDS if chance.random() < 0.5 else {}),
    }
    return chance.sample(NAMES, chance.choice([2, 3, 4])), parameters, {}


DRAWN = {f"drawn {seed}": drawn(seed) for seed in range(8)}
SLOW = (
    "as it comes",
    "constant funding",
    "bars of fifteen minutes",
    "guards, no correlation",
    "turnover and thresholds of single coins",
    *DRAWN,
)
CASES |= DRAWN


@pytest.fixture(scope="module")
def catalog_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Store coins with a gap, a late beginning and an early end, two of them also as spot pairs."""
    path = tmp_path_factory.mktemp("klines")
    catalog = Catalog(path, create=True)
    for coin, bars in tapes().items():
        catalog.write_bars(instrument_of(coin), "5m", bars)
    for coin in COINS[:2]:
        catalog.write_bars(instrument_of(coin, "spot"), "5m", tapes()[coin])
    return path


type Both = Callable[..., tuple[RunResult, RunResult]]


@pytest.fixture
def both(tmp_path: Path) -> Both:
    """Give a function that runs the strategy over columns and over events."""

    def run(
        catalog: Path,
        names: Sequence[str],
        parameters: Mapping[str, Any],
        symbols: Mapping[str, Any],
        universe: UniverseSettings | None = None,
        funding: FundingSettings | None = None,
    ) -> tuple[RunResult, RunResult]:
        entry = StrategySettings(strategy="confluence", parameters=dict(parameters), symbols=dict(symbols))
        results = []
        for feed in ("columns", "events"):
            backtest = BacktestSettings(
                runs=str(tmp_path / feed), bar_feed=feed, funding=funding or FundingSettings()
            )
            settings = Settings(
                backtest=backtest, strategies=(entry,), universe=universe or UniverseSettings()
            )
            request = RunRequest(
                settings=settings, source="config.yaml", catalog=catalog, instruments=tuple(names)
            )
            results.append(run_backtest(plan_run(request)))
        columns, events = results
        assert (columns.bar_feed, events.bar_feed) == ("columns", "events")
        return columns, events

    return run


def require_equal(columns: RunResult, events: RunResult) -> None:
    """Compare every decision, order, fill, closed trade, mark and counter of two runs."""
    for name in FILES:
        assert (columns.folder.path / name).read_bytes() == (events.folder.path / name).read_bytes(), name
    assert columns.folder.decision_sha256 == events.folder.decision_sha256
    assert columns.counters == events.counters
    assert list(columns.trades) == list(events.trades)
    assert list(columns.marks) == list(events.marks)
    assert columns.final_balance == events.final_balance
    assert columns.open_positions == events.open_positions


@pytest.mark.parametrize(
    "case", [pytest.param(one, marks=pytest.mark.slow if one in SLOW else ()) for one in CASES]
)
def test_made_up_coins(catalog_path: Path, both: Both, case: str) -> None:
    """Gaps, late and early coins, and settings of every kind: the same run, byte by byte."""
    names, parameters, symbols = CASES[case]
    columns, events = both(catalog_path, names, {**EASY, **parameters}, symbols, **SECTIONS.get(case, {}))
    require_equal(columns, events)
    assert columns.counters["signals_taken"] > 3
    if len(names) > 2:
        assert columns.counters["rounds_incomplete"] > 0
    assert not list((columns.folder.path.parent).glob(".columns-*"))
    figures = summarise(columns.trades, columns.marks, columns.starting_balance)
    summary = summary_of(columns, figures)
    assert summary["bar_feed"] == "columns"
    assert summary["ticks"] == columns.counters["bars"]


def test_recordings_hold_every_bar_with_its_factors(catalog_path: Path, both: Both) -> None:
    """A replay shows the klines of both feeds, alike, each from its close on; signals have what made them."""
    runs = both(catalog_path, NAMES, EASY, {})
    columns, events = (told_by(one) for one in runs)
    bars = [one for one in columns if one.kind == "bar"]
    assert sorted(map(plain, bars)) == sorted(plain(one) for one in events if one.kind == "bar")
    assert len(bars) == runs[0].counters["bars"]
    assert all(one.ts_ns == (one.payload.t + 300_000) * 1_000_000 for one in bars)
    assert any(sum(one.payload.factors.values()) >= EASY["min_confidence"] for one in bars)
    for one in bars:
        scores = one.payload.score_long, one.payload.score_short
        assert min(100.0, sum(one.payload.factors.values())) == max(scores)
    signals = [one.payload for one in columns if one.kind == "sig" and one.payload.skip != "no_stop_distance"]
    assert signals
    for signal in signals:
        assert set(signal.factors) == set(FACTORS)
        assert min(100.0, sum(signal.factors.values())) == pytest.approx(100 * signal.confidence)
    times = [one.ts_ns for one in columns]
    assert times == sorted(times)


def told_by(run: RunResult) -> list[Message]:
    """Return what a recording holds, without the snapshots at the beginning of its blocks."""
    recording = Recording(run.folder.path / RECORDING_FILE)
    frames = (one for number in range(len(recording.blocks)) for one in recording.frames(number))
    return [decode(frame) for _seq, _ts_ns, kind, frame in frames if kind != SNAP]


def plain(message: Message) -> bytes:
    """Return a message's payload as what can be compared and sorted."""
    return msgspec.json.encode(message.payload, order="deterministic")


def test_real_klines(shared_data: Path, tmp_path: Path, both: Both) -> None:
    """Real coins as perpetuals, one with a hole, one that ends early, one that begins late."""
    whole = tmp_path / "whole"
    catalog = Catalog(tmp_path / "catalog", create=True)
    names = []
    for number, coin in enumerate(("BTCUSDT", "ADAUSDT", "SOLUSDT", "LUNAUSDT")):
        request = ImportRequest(
            files=(shared_data / "klines_5m" / f"{coin}.parquet",),
            venue="binance",
            market="spot",
            symbol=coin,
            kind="klines",
            interval="5m",
        )
        import_files(request, whole)
        source = Catalog(whole)
        spot = source.instrument(f"{coin}.BINANCE")
        bars = next(iter(source.read_bars(f"{coin}.BINANCE-5-MINUTE-LAST-EXTERNAL")))[slice(0, 2_400)]
        places = np.arange(len(bars))
        kept = [places >= 0, (places < 900) | (places >= 950), places < 2_000, places >= 300][number]
        perpetual = make_instrument(
            "binance",
            "usdm",
            coin,
            Decimal(str(spot.price_increment)),
            Decimal(str(spot.size_increment)),
        )
        catalog.write_bars(perpetual, "5m", bars[kept])
        names.append(perpetual.id.value)
    easy = {"htf_secs": 3600, "htf_warm_up_bars": 20, "min_confidence": 55, "record_from": 40}
    columns, events = both(tmp_path / "catalog", names, easy, {})
    require_equal(columns, events)
    assert len(columns.trades) > 5


def test_bars_that_cannot_be_scored_come_as_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bar off its grid is passed over one by one, so such a catalog has no columns."""
    catalog = Catalog(tmp_path / "catalog", create=True)
    for coin, bars in tapes().items():
        catalog.write_bars(instrument_of(coin), "5m", bars)
    entry = StrategySettings(strategy="confluence", parameters=EASY)
    settings = Settings(backtest=BacktestSettings(runs=str(tmp_path)), strategies=(entry,))
    request = RunRequest(settings=settings, source="config.yaml", catalog=tmp_path / "catalog")
    plan = plan_run(request)
    assert run_columns(plan) is not None
    read_bars = Catalog.read_bars

    def shifted(self: Catalog, *arguments: Any) -> Any:
        for bars in read_bars(self, *arguments):
            late_ns = np.where(np.arange(len(bars)) > 7, 1_000, 0)
            yield replace(bars, ts_open_ns=bars.ts_open_ns + late_ns, ts_close_ns=bars.ts_close_ns + late_ns)

    monkeypatch.setattr(Catalog, "read_bars", shifted)
    assert run_columns(plan) is None
    assert not list(tmp_path.glob(".columns-*"))


def test_places_around_holes() -> None:
    """The nearest bars before and after a place are found over holes longer than one block."""
    column = np.zeros(9_000, np.int64)
    column[[3, 4, 8_000]] = 1
    assert [last_place(column, place) for place in (2, 3, 4, 7_999, 8_000, 20_000)] == [
        -1,
        3,
        4,
        4,
        8_000,
        8_000,
    ]
    assert [next_place(column, place) for place in (-5, 3, 5, 8_000, 8_001)] == [3, 3, 8_000, 8_000, -1]
