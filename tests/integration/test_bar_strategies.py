"""Strategies on closed bars in a real engine: signals become trades or say why not."""

import json
import sys
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import backtest_node
import strategies
from runtime.catalog import Catalog
from runtime.instruments import make_instrument
from runtime.sample import SampleRequest, tape_of
from strategies.bar_signal import Candle
from strategies.bar_strategy import BarStrategy, BarStrategyConfig
from strategies.breakout import BreakoutConfig, BreakoutStrategy
from strategies.example import ExampleConfig, ExampleStrategy
from strategies.signal import Signal
from strategies.trade_manager.record import ClosedTrade, Decision
from tests.integration.bar_harness import BAR_NS, LATENCY_NS, Row, run_bars
from tests.integration.engine_harness import START_NS, AccountName, instrument_of

D = Decimal
ROOT = Path(__file__).resolve().parents[2]
ETH = "ETHUSDT.BINANCE"
EXTERNAL = "5-MINUTE-LAST-EXTERNAL"
# Range 1.49 to 1.51, ATR 0.02; then a close at 1.515: the stop is one ATR away, the target two.
QUIET: list[Row] = [(1.50, 1.51, 1.49, 1.50)] * 4
BREAK: Row = (1.50, 1.52, 1.50, 1.515)
RULES: dict[str, Any] = {
    "range_bars": 3,
    "atr_bars": 2,
    "stop_atr": 1.0,
    "target_atr": 2.0,
    "trend_ema_bars": 0,
    "min_volume_ratio": 0.0,
    "cooldown_bars": 0,
}


def mirrored(rows: Sequence[Row]) -> list[Row]:
    """Return bars turned over at 1.50."""
    turned = [[round(3.0 - price, 4) for price in row] for row in rows]
    return [(opened, low, high, close) for opened, high, low, close in turned]


def kept(strategy: BarStrategy) -> tuple[list[Decision], list[ClosedTrade]]:
    """Return lists that fill with what a strategy publishes once it runs."""
    decisions: list[Decision] = []
    trades: list[ClosedTrade] = []
    start = strategy.on_start

    def on_start() -> None:
        strategy.msgbus.subscribe(topic="decisions.*", handler=decisions.append)
        strategy.msgbus.subscribe(topic="trades.*", handler=trades.append)
        start()

    strategy.on_start = on_start
    return decisions, trades


def broken_out(
    rows: Sequence[Row], account: AccountName = "margin", **settings: Any
) -> tuple[BreakoutStrategy, list[Decision], list[ClosedTrade]]:
    """Run the breakout strategy over hand-made bars."""
    instrument = instrument_of(account)
    config = BreakoutConfig(instrument_id=instrument.id, bar_type=EXTERNAL, **{**RULES, **settings})
    strategy = BreakoutStrategy(config)
    decisions, trades = kept(strategy)
    run_bars(rows, strategy, instrument, account=account)
    assert not strategy.is_halted
    assert strategy.counters["illegal_transitions"] == 0
    return strategy, decisions, trades


def signals_of(decisions: Sequence[Decision]) -> list[tuple[str, str, str]]:
    """Return kind, side and reason of the decisions about signals."""
    return [(one.kind, one.side, one.reason) for one in decisions if one.kind.startswith("signal")]


@pytest.mark.parametrize("side", ["long", "short"])
@pytest.mark.parametrize(
    ("after", "reason", "exit_price"),
    [
        ([(1.516, 1.56, 1.51, 1.555), (1.555,) * 4], "target", "1.5550"),
        ([(1.516, 1.52, 1.49, 1.50), (1.50,) * 4], "stop", "1.4950"),
        ([(1.516, 1.56, 1.49, 1.50), (1.50,) * 4], "stop", "1.4950"),
    ],
)
def test_a_breakout_is_traded(side: str, after: list[Row], reason: str, exit_price: str) -> None:
    """In at the next open, out at target or stop, the stop first where a bar holds both."""
    rows = [*QUIET, BREAK, *after]
    strategy, decisions, (trade,) = broken_out(rows if side == "long" else mirrored(rows))

    def of_side(price: str) -> Decimal:
        return D(price) if side == "long" else 3 - D(price)

    assert trade.side == side
    assert D(trade.entry_price) == of_side("1.516")
    assert (D(trade.stop_price), D(trade.target_price)) == (of_side("1.4950"), of_side("1.5550"))
    assert (trade.exit_reason, D(trade.exit_price)) == (reason, of_side(exit_price))
    assert trade.entry_ts_ns == START_NS + 5 * BAR_NS + LATENCY_NS, "after the close that broke the range"
    # 10,000 at 1 % risk over a stop distance of 0.02 is 5,000; half of the equity is 3,300.3 at 1.515.
    assert D(trade.qty) == (D("3300.3") if side == "long" else D("3367.0"))
    (signal,) = [one for one in decisions if one.kind == "signal_taken"]
    assert signal.ts_ns == START_NS + 5 * BAR_NS
    assert D(signal.price) == of_side("1.515")
    assert D(signal.qty) == D(trade.qty)
    assert signal.detail["confidence"] == pytest.approx(0.25)
    assert strategy.counters["signals_taken"] == strategy.counters["entries_filled"] == 1


def test_the_stop_moves_at_the_close_of_a_bar() -> None:
    """With management `s0`: at the entry from 30 % of the way, and that is why it ends there."""
    rows = [*QUIET, BREAK, (1.515, 1.535, 1.51, 1.53), (1.53, 1.53, 1.50, 1.51), (1.51,) * 4]
    for bars in (rows, mirrored(rows)):
        _strategy, _decisions, (trade,) = broken_out(bars, management="s0")
        assert trade.exit_reason == "break_even"
        assert D(trade.exit_price) == D(trade.entry_price)


MORE: list[Row] = [(1.515, 1.53, 1.51, 1.525), (1.525,) * 4]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"side": "short"}, [("signal_skipped", "long", "side")] * 2),
        ({"min_reward_risk": 2.5}, [("signal_skipped", "long", "reward_risk")] * 2),
        ({"trade_from_ns": START_NS + 100 * BAR_NS}, [("signal_skipped", "long", "warm_up")] * 2),
        ({"max_notional_pct": 0.01}, [("signal_skipped", "long", "min_notional")] * 2),
        ({}, [("signal_taken", "long", ""), ("signal_skipped", "long", "in_position")]),
        ({"cooldown_bars": 1}, [("signal_taken", "long", "")]),
    ],
)
def test_every_signal_is_recorded(settings: dict[str, Any], expected: list[tuple[str, str, str]]) -> None:
    """Taken, or with the reason why not."""
    strategy, decisions, _trades = broken_out([*QUIET, BREAK, *MORE], **settings)
    assert signals_of(decisions) == expected
    assert strategy.counters["signals"] == len(expected)


def test_spot_is_long_only() -> None:
    """A short on a cash account is a skip; nothing is sent."""
    _strategy, decisions, _trades = broken_out(mirrored([*QUIET, BREAK]), account="cash")
    assert signals_of(decisions) == [("signal_skipped", "short", "side")]
    assert not [one for one in decisions if one.kind == "entry_submitted"]


class Liar(BarStrategy):
    """Answers with a signal of another bar or instrument."""

    def __init__(self, config: BarStrategyConfig, change: dict[str, Any]) -> None:
        super().__init__(config, "LIE")
        self.change = change

    def signal_at(self, candle: Candle) -> Signal:
        fields = {"instrument_id": candle.instrument_id, "ts_ns": candle.close_ns} | self.change
        return Signal(
            side="long",
            entry=D("1.5"),
            stop=D("1.4"),
            target=D("1.7"),
            confidence=fields.pop("confidence", 0.5),
            **fields,
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ts_ns": START_NS}, "answers the bar of XRPUSDT-PERP.BINANCE that closed at"),
        ({"instrument_id": ETH}, f"signal of {ETH}"),
        ({"confidence": 90}, "confidence 90 is not between 0 and 1"),
    ],
)
def test_a_signal_that_breaks_the_contract_ends_the_run(change: dict[str, Any], message: str) -> None:
    """It is a bug of the strategy, and trading on would hide it."""
    instrument = instrument_of("margin")
    strategy = Liar(BarStrategyConfig(instrument_id=instrument.id, bar_type=EXTERNAL), change)
    with pytest.raises(ValueError, match=message):
        run_bars([*QUIET, BREAK], strategy, instrument)


def test_the_example_follows_closes_in_a_row() -> None:
    """Both sides; flat closes are no row."""
    rising: list[Row] = [(price, price + 0.01, price - 0.01, price + 0.005) for price in (1.50, 1.505, 1.51)]
    rows = [(1.50, 1.51, 1.49, 1.50)] * 14 + rising
    for bars, side in ((rows, "long"), (mirrored(rows), "short")):
        instrument = instrument_of("margin")
        strategy = ExampleStrategy(ExampleConfig(instrument_id=instrument.id, bar_type=EXTERNAL))
        decisions, _trades = kept(strategy)
        run_bars(bars, strategy, instrument)
        assert signals_of(decisions) == [("signal_taken", side, "")]
        assert [one.ts_ns for one in decisions if one.kind == "signal_taken"] == [START_NS + 17 * BAR_NS]


@pytest.fixture(scope="module")
def tape_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Store the beginning of the sample's tape: trades alone, as the sample has."""
    path = tmp_path_factory.mktemp("bars") / "catalog"
    instrument = make_instrument("binance", "spot", "ETHUSDT", D("0.01"), D("0.0001"))
    Catalog(path, create=True).write_trades(instrument, tape_of(SampleRequest(days=1), "ETHUSDT")[:60_000])
    return path


@pytest.fixture
def copied(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """Copy the example into the package as a reader would, and replace its names."""
    text = (ROOT / "strategies" / "example.py").read_text()
    assert len(text.splitlines()) < 60
    folder = tmp_path / "dropped"
    folder.mkdir()
    (folder / "copied_made_up.py").write_text(
        text.replace("strategies.example:", "strategies.copied_made_up:").replace('"example"', '"copied"')
    )
    monkeypatch.setattr(strategies, "__path__", [*strategies.__path__, str(folder)])
    yield "copied"
    sys.modules.pop("strategies.copied_made_up", None)
    vars(strategies).pop("copied_made_up", None)


def test_a_copy_of_the_example_appears_and_runs(
    copied: str,
    tape_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """On trades, through the command line; the decisions are those of the original."""
    monkeypatch.chdir(tmp_path)
    assert backtest_node.main(["strategies", "--json"]) == 0
    assert copied in [one["name"] for one in json.loads(capsys.readouterr().out)]
    summaries = []
    for name in ("example", copied):
        settings = "--set closes=2 --set bar_type=1-MINUTE-LAST-INTERNAL"
        words = f"run --catalog {tape_path} --strategy {name} {settings}"
        assert backtest_node.main([*words.split(), "--json"]) == 0
        summaries.append(json.loads(capsys.readouterr().out))
    first, second = summaries
    assert first["counters"]["signals"] > 5
    assert first["positions_closed"] > 0
    assert first["counters"]["signals_skipped_side"] > 0
    assert second["counters"] == first["counters"]
    assert second["pnl"] == first["pnl"]


def test_bars_made_of_trades_know_no_future(
    tape_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The proof of the command line passes for a breakout on bars that the engine makes of trades."""
    monkeypatch.chdir(tmp_path)
    words = (
        f"lookahead --catalog {tape_path} --strategy breakout --set bar_type=1-MINUTE-LAST-INTERNAL --json"
    )
    assert backtest_node.main([*words.split(), "--set", "min_volume_ratio=0"]) == 0
    findings = json.loads(capsys.readouterr().out)
    assert findings["differences"] == 0
    assert findings["compared"]["decision"] > 10
