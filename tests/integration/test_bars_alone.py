"""Runs that have klines and no trades: strategies on bars, their guards, and the proof of causality."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import backtest_node
from runtime.backtest import RunResult, run_backtest
from runtime.catalog import Catalog
from runtime.errors import ConfigurationError
from runtime.run_folder import read_decisions
from runtime.run_plan import plan_run
from runtime.run_request import RunRequest
from runtime.settings import BacktestSettings, Settings, StrategySettings
from runtime.sweeps.findings import Findings
from runtime.sweeps.lookahead import prove
from strategies.bar_signal import Candle
from strategies.example import ExampleConfig, ExampleStrategy
from strategies.guards import TradeResult
from strategies.registry import StrategySpec
from strategies.signal import Signal
from strategies.trade_manager.record import Decision
from tests.integration.test_confluence_run import BAR_NS, EASY, MIDNIGHT, instrument_of, walk

COINS = ("BTCUSDT", "ADAUSDT")
NAMES = tuple(f"{coin}-PERP.BINANCE" for coin in COINS)
BARS = "5-MINUTE-LAST-EXTERNAL"
SPEC = StrategySpec("leaky", "1", "Peeks.", f"{__name__}:LeakyStrategy", f"{__name__}:LeakyConfig")


class LeakyConfig(ExampleConfig, frozen=True, kw_only=True):
    """Settings of a strategy that reads the catalog by itself.

    Parameters
    ----------
    catalog
        Folder of the catalog.
    """

    catalog: str = ""


class LeakyStrategy(ExampleStrategy):
    """Trades a signal only if the next bar closes in its favour: one bar of look-ahead."""

    def on_prepared(self) -> None:
        """Read all closes before the first bar."""
        self.later: dict[int, int] = {}
        for bars in Catalog(self.config.catalog).read_bars(self.config.bar_type):
            moves = zip(bars.ts_close_ns[:-1], bars.close_ticks[:-1], bars.close_ticks[1:], strict=True)
            self.later |= {int(ts_ns): int(after - before) for ts_ns, before, after in moves}

    def signal_at(self, candle: Candle) -> Signal | None:
        """Look at the next bar."""
        signal = super().signal_at(candle)
        move = self.later.get(candle.close_ns, 0)
        return signal if signal is not None and move * signal.direction > 0 else None


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Store klines of two coins, as perpetuals and as spot pairs, and no trades."""
    catalog = Catalog(tmp_path_factory.mktemp("klines") / "catalog", create=True)
    for number, coin in enumerate(COINS):
        catalog.write_bars(instrument_of(coin), "5m", walk(number))
        catalog.write_bars(instrument_of(coin, "spot"), "5m", walk(number))
    return catalog


def request_of(
    catalog: Catalog, runs: Path, strategy: str, names: Sequence[str] = NAMES, /, **parameters: Any
) -> RunRequest:
    """Make a request for a run on bars."""
    entry = StrategySettings(strategy=strategy, parameters=parameters)
    settings = Settings(backtest=BacktestSettings(runs=str(runs)), strategies=(entry,))
    return RunRequest(settings=settings, source="config.yaml", catalog=catalog.path, instruments=tuple(names))


def run(catalog: Catalog, runs: Path, strategy: str, /, **parameters: Any) -> RunResult:
    """Run a strategy."""
    return run_backtest(plan_run(request_of(catalog, runs, strategy, **parameters)))


def decisions_of(result: RunResult, *kinds: str) -> list[Decision]:
    """Read the decisions of some kinds, in order of the records."""
    found = [one for kind in kinds for one in read_decisions(result.folder.path, Decision, kind)]
    return sorted(found, key=lambda one: one.ts_ns)


@pytest.mark.parametrize("strategy", ["breakout", "example"])
def test_a_strategy_on_bars_needs_no_trades(catalog: Catalog, tmp_path: Path, strategy: str) -> None:
    """With external bars and a catalog without trades the bars are replayed, each once."""
    result = run(catalog, tmp_path, strategy, bar_type=BARS)
    assert result.plan.on_bars
    assert result.plan.ticks == 2 * 600 == result.counters["bars"]
    assert len(result.trades) > 5
    first = next(iter(result.trades))
    assert first.entry_ts_ns % 300_000_000_000 == 50_000_000, "the latency after a close"


def test_bars_made_of_trades_need_trades(catalog: Catalog, tmp_path: Path) -> None:
    """The default bars come from trades; without any the error names the setting."""
    with pytest.raises(ConfigurationError, match=r"no trades.*--set bar_type=5-MINUTE-LAST-EXTERNAL"):
        plan_run(request_of(catalog, tmp_path, "breakout"))


def test_coins_of_a_cash_account_count_at_the_last_close(catalog: Catalog, tmp_path: Path) -> None:
    """While a coin is held, equity is not what is left of the money: no false drawdown."""
    names = tuple(f"{coin}.BINANCE" for coin in COINS)
    request = request_of(
        catalog, tmp_path, "example", names, bar_type=BARS, max_drawdown_pct=40.0, max_notional_pct=45.0,
        risk_per_trade_pct=100.0,
    )  # fmt: skip
    result = run_backtest(plan_run(request))
    assert any(trade.side == "long" for trade in result.trades)
    assert decisions_of(result, "pause_began") == []


def test_a_stop_of_one_instrument_pauses_the_others(catalog: Catalog, tmp_path: Path) -> None:
    """Scope `all` is of the account: nobody enters within the minutes after anybody's stop."""
    result = run(
        catalog, tmp_path, "example", bar_type=BARS, stop_cooldown_mins=60.0, stop_cooldown_scope="all"
    )
    stops_ns = [one.exit_ts_ns for one in result.trades if one.exit_reason == "stop"]
    entries = decisions_of(result, "entry_submitted")
    assert len(stops_ns) > 3
    assert {one.instrument_id for one in entries} == set(NAMES)
    minute_ns = 60_000_000_000
    assert not [
        (one.instrument_id, one.ts_ns)
        for one in entries
        for stop_ns in stops_ns
        if stop_ns < one.ts_ns < stop_ns + 60 * minute_ns
    ]
    skipped = decisions_of(result, "signal_skipped")
    assert {one.instrument_id for one in skipped if one.reason == "cooldown"} == set(NAMES)
    began = decisions_of(result, "pause_began")
    ended = decisions_of(result, "pause_ended")
    assert {one.instrument_id for one in began} == set(NAMES)
    assert 0 <= len(began) - len(ended) <= len(NAMES)


def test_a_restart_goes_on_with_the_pauses() -> None:
    """What a strategy saves is what the next one starts with."""
    config = ExampleConfig(
        instrument_id=instrument_of("BTCUSDT").id,
        bar_type=BARS,
        loss_streak_count=1,
        loss_streak_pause_mins=5,
    )
    first, second = ExampleStrategy(config), ExampleStrategy(config)
    first.guards.on_trade(TradeResult(0, NAMES[1], "stop", -1.0, -1.0))
    assert second.guards.blocked(NAMES[0], 1) is None
    second.on_load(first.on_save())
    skip = second.guards.blocked(NAMES[0], 1)
    assert skip is not None
    assert skip.reason == "loss_streak"


def findings_of(request: RunRequest, bars: int) -> Findings:
    """Run the whole proof over the first bars."""
    return prove(plan_run(replace(request, end_ns=MIDNIGHT + bars * BAR_NS)), lambda _amount: None)


def test_honest_strategies_pass(catalog: Catalog, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Decisions and orders of each prefix are those of the whole; the command prints one object."""
    findings = findings_of(request_of(catalog, tmp_path, "confluence", **EASY), 300)
    assert (findings.differences, findings.first) == (0, None)
    assert findings.compared["decision"] > 50
    assert findings.compared["order"] > 50
    words = ["lookahead", "--strategy", "breakout", "--catalog", str(catalog.path), "--json"]
    words += ["--instrument", NAMES[0], "--set", f"bar_type={BARS}", "--set", "stop_cooldown_mins=30"]
    words += ["--end", "2026-03-19"]
    assert backtest_node.main(words) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["differences"], printed["first"]) == (0, None)
    assert printed["checked"] > 100


def test_a_strategy_that_peeks_one_bar_ahead_fails(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A strategy that reads the next bar from the catalog is caught: a prefix does not hold it."""
    monkeypatch.setattr("runtime.run_plan.discover", lambda: {"leaky": SPEC})
    parameters = {"bar_type": BARS, "catalog": str(catalog.path)}
    findings = findings_of(request_of(catalog, tmp_path, "leaky", **parameters), 150)
    assert findings.differences > 0
    assert findings.first is not None
    assert "with all data" in findings.first
