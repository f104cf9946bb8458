"""Confluence over several made-up coins through the real engine: what is decided, and on what it depends."""

import csv
import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nautilus_trader.model.data import Bar, BarType
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.model.instruments import Instrument
from sqlalchemy import select, text

from runtime.arrow_schema import BarColumns
from runtime.backtest import RunResult, run_backtest
from runtime.catalog import Catalog
from runtime.errors import ConfigurationError
from runtime.instruments import make_instrument
from runtime.journal.database import open_engine
from runtime.journal.models import SessionEnding, SignalRow, TradeRow
from runtime.journal.verify import verify
from runtime.run_folder import read_decisions
from runtime.run_plan import plan_run
from runtime.run_request import RunRequest
from runtime.run_summary import summary_of
from runtime.settings import BacktestSettings, JournalSettings, Settings, StrategySettings
from strategies.confluence import ConfluenceConfig, ConfluenceStrategy
from strategies.trade_manager.record import Decision
from strategies.trade_manager.skips import SkipReason
from tests.integration.bar_harness import run_engine
from ui.reports.metrics import summarise
from ui.reports.signals import signal_figures, signal_lines

BAR_NS = 300_000_000_000
MIDNIGHT = 1_773_792_000_000_000_000
COINS = ("BTCUSDT", "ADAUSDT", "LTCUSDT", "XRPUSDT")
NAMES = tuple(f"{coin}-PERP.BINANCE" for coin in COINS)
BARS = 600
# Short timeframes and a low threshold: a few days of a random walk give many signals.
QUICK = {"htf_secs": 3600, "htf_warm_up_bars": 5, "min_confidence": 35, "record_from": 25}
EASY = {**QUICK, "correlation_bars": 48, "correlation_min_bars": 24}


def walk(seed: int, count: int = BARS) -> BarColumns:
    """Make the bars of a random walk with a tick of 0.01 and a lot of 0.001."""
    random = np.random.default_rng(seed)
    close = 10_000 + np.cumsum(random.integers(-40, 41, count))
    open_ = np.concatenate([[10_000], close[:-1]])
    open_ns = MIDNIGHT + BAR_NS * np.arange(count)
    return BarColumns(
        ts_open_ns=open_ns,
        ts_close_ns=open_ns + BAR_NS,
        open_ticks=open_,
        high_ticks=np.maximum(open_, close) + random.integers(0, 25, count),
        low_ticks=np.minimum(open_, close) - random.integers(0, 25, count),
        close_ticks=close,
        volume_lots=random.integers(100_000, 9_000_000, count),
    )


def instrument_of(coin: str, market: str = "usdm") -> Instrument:
    """Return a coin's instrument."""
    return make_instrument("binance", market, coin, Decimal("0.01"), Decimal("0.001"))


def tapes() -> dict[str, BarColumns]:
    """Return the bars of all coins; one has a gap, one begins later and one ends earlier."""
    bars = {coin: walk(number) for number, coin in enumerate(COINS)}
    is_there = np.ones(BARS, dtype=np.bool_)
    is_there[200:204] = False
    bars["ADAUSDT"] = bars["ADAUSDT"][is_there]
    bars["LTCUSDT"] = bars["LTCUSDT"][slice(100, None)]
    bars["XRPUSDT"] = bars["XRPUSDT"][slice(0, BARS - 100)]
    return bars


@pytest.fixture(scope="module")
def catalog_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Store the coins as perpetuals, and two of them as spot pairs."""
    path = tmp_path_factory.mktemp("klines")
    catalog = Catalog(path, create=True)
    for coin, bars in tapes().items():
        catalog.write_bars(instrument_of(coin), "5m", bars)
    for coin in COINS[:2]:
        catalog.write_bars(instrument_of(coin, "spot"), "5m", tapes()[coin])
    return path


type Run = Callable[..., RunResult]


@pytest.fixture(scope="module")
def run(catalog_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Give a function that runs the strategy."""
    runs = tmp_path_factory.mktemp("runs")
    journal = JournalSettings(url=f"sqlite:///{runs}/journal.sqlite", spool=f"{runs}/spool")

    def run(
        names: Sequence[str] = NAMES,
        parameters: dict[str, Any] = EASY,
        symbols: dict[str, Any] | None = None,
        **backtest: Any,
    ) -> RunResult:
        entry = StrategySettings(strategy="confluence", parameters=parameters, symbols=symbols or {})
        settings = Settings(
            backtest=BacktestSettings(runs=str(runs), **backtest), strategies=(entry,), journal=journal
        )
        request = RunRequest(
            settings=settings, source="config.yaml", catalog=catalog_path, instruments=tuple(names)
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv("SMCBOT_JOURNAL_URL")  # these runs are journaled
            return run_backtest(plan_run(request))

    return run


@pytest.fixture(scope="module")
def result(run: Run) -> RunResult:
    """Run all coins once with the quick settings."""
    return run()


def rows_of(result: RunResult) -> list[dict[str, str]]:
    """Read the signals of a run."""
    with (result.folder.path / "signals.csv").open() as file:
        return [row for row in csv.DictReader(file) if row["kind"].startswith("signal")]


def test_every_signal_is_on_record_and_the_account_adds_up(result: RunResult) -> None:
    """Taken signals have a size, skipped ones a known reason; profits and fees are the account's."""
    rows = rows_of(result)
    assert len(rows) == result.counters["signals"] > 50
    taken = [row for row in rows if row["kind"] == "signal_taken"]
    skipped = [row for row in rows if row["kind"] == "signal_skipped"]
    assert len(taken) == result.counters["signals_taken"] > 10
    assert all(row["reason"] in set(SkipReason) for row in skipped)
    assert all(Decimal(row["qty"]) > 0 and not row["reason"] for row in taken)
    assert {"below_threshold", "in_position", "max_positions"} <= {row["reason"] for row in skipped}
    assert result.counters["bars"] == result.plan.ticks
    assert result.counters["illegal_transitions"] == 0
    profits = sum((Decimal(trade.pnl) for trade in result.trades), Decimal(0))
    taker = instrument_of(COINS[0]).taker_fee
    for held in result.open_positions:
        entry_fee = Decimal(held["quantity"]) * Decimal(held["entry_price"]) * taker
        profits += Decimal(held["unrealized_pnl"]) - entry_fee
    assert abs(result.final_balance - 10_000 - profits) < Decimal("0.0001")


def test_no_more_positions_than_allowed(result: RunResult) -> None:
    """At most two trades overlap, and never two in one coin."""
    trades = result.trades
    for trade in trades:
        others = [
            one
            for one in trades
            if one.entry_ts_ns <= trade.entry_ts_ns < one.exit_ts_ns and one is not trade
        ]
        assert len(others) <= 1
        assert trade.instrument_id not in {one.instrument_id for one in others}


def test_chunks_change_nothing(run: Run, result: RunResult) -> None:
    """The smallest chunks give the hash of one large one."""
    assert run(chunk_size=1).folder.decision_sha256 == result.folder.decision_sha256


def test_summary_has_the_groups(result: RunResult) -> None:
    """By score, factor and hour: each group's trades add up to all, and the terminal says them."""
    taken = read_decisions(result.folder.path, Decision, "signal_taken")
    figures = summarise(result.trades, result.marks, result.starting_balance)
    figures |= signal_figures(result.trades, taken, result.counters)
    summary = summary_of(result, figures)
    json.dumps(summary)
    count = len(result.trades)
    for key in ("by_confidence", "by_hour", "by_symbol", "by_exit_reason"):
        assert sum(one["positions_closed"] for one in summary[key].values()) == count
    for one in summary["by_factor"].values():
        assert one["with"]["positions_closed"] + one["without"]["positions_closed"] == count
    assert set(summary["by_factor"]) == {"htf", "sweep", "order_block", "fvg", "rsi", "structure"}
    assert sum(summary["signals"]["skipped"].values()) + summary["signals"]["taken"] == len(rows_of(result))
    assert summary["data"] == "bars"
    assert dict(signal_lines(summary))["signals"].endswith(f"{len(taken)} taken")


def test_settings_of_single_coins(run: Run) -> None:
    """A threshold of one coin keeps it out, the others trade; an unknown key is refused."""
    kept_out = run(NAMES[:2], symbols={NAMES[0]: {"min_confidence": 100, "category": "large"}})
    assert {trade.instrument_id for trade in kept_out.trades} == {NAMES[1]}
    with pytest.raises(ConfigurationError, match="min_confidance"):
        run(symbols={NAMES[0]: {"min_confidance": 100}})


def test_spot_is_long_only(run: Run) -> None:
    """Short signals of a cash account are skipped by side; coins are bought and sold again."""
    result = run([f"{coin}.BINANCE" for coin in COINS[:2]], EASY)
    assert {trade.side for trade in result.trades} == {"long"}
    shorts = [row for row in rows_of(result) if row["side"] == "short"]
    assert {row["reason"] for row in shorts} <= {"side", "below_threshold"}
    assert "side" in {row["reason"] for row in shorts}
    assert result.counters["illegal_transitions"] == 0


def test_hybrid_entries_wait_for_a_better_price(run: Run) -> None:
    """Limits fill, are taken back, or become market orders; all are accounted for."""
    hybrid = run(parameters={**EASY, "hybrid_better_pct": 0.15, "entry": "hybrid"})
    counters = hybrid.counters
    assert counters["entries_to_market"] > 0
    assert counters["entries_cancelled"] > 0
    # The rest of an entry that filled in part is cancelled, too.
    assert counters["entries_submitted"] <= counters["entries_filled"] + counters["entries_cancelled"]
    assert counters["entries_filled"] == counters["positions_closed"] + counters["positions_open_at_stop"]
    assert counters["illegal_transitions"] == 0


class Watched(ConfluenceStrategy):
    """Keeps what it publishes."""

    def on_start(self) -> None:
        """Listen to itself."""
        self.published: list[Any] = []
        self.msgbus.subscribe(topic="decisions.*", handler=self.published.append)
        self.msgbus.subscribe(topic="trades.*", handler=self.published.append)
        super().on_start()


def bars_in_order(shuffle_seed: int | None) -> list[Bar]:
    """Return all coins' bars by time, those of one close time in the order of names or shuffled."""
    found = []
    for coin, columns in tapes().items():
        instrument = instrument_of(coin)
        bar_type = BarType.from_str(f"{instrument.id}-5-MINUTE-LAST-EXTERNAL")
        prices = zip(
            columns.open_ticks, columns.high_ticks, columns.low_ticks, columns.close_ticks, strict=True
        )
        for row, volume, ts_ns in zip(prices, columns.volume_lots, columns.ts_close_ns, strict=True):
            made = [instrument.make_price(price / 100) for price in row]
            found.append(Bar(bar_type, *made, instrument.make_qty(volume / 1000), int(ts_ns), int(ts_ns)))
    found.sort(key=lambda bar: bar.ts_event)
    if shuffle_seed is None:
        return found
    random = np.random.default_rng(shuffle_seed)
    ordered: list[Bar] = []
    for _ts_ns, group in groupby(found, key=lambda bar: bar.ts_event):
        bars = list(group)
        ordered += [bars[index] for index in random.permutation(len(bars))]
    return ordered


def decided(shuffle_seed: int | None) -> list[Any]:
    """Run the strategy on bars in one order of arrival; return everything it published."""
    config = ConfluenceConfig(instrument_ids=tuple(InstrumentId.from_str(name) for name in NAMES), **EASY)
    strategy = Watched(config)
    run_engine([bars_in_order(shuffle_seed)], [strategy], [instrument_of(coin) for coin in COINS])
    return strategy.published


def test_order_of_arrival_changes_nothing() -> None:
    """Bars of one close time in a shuffled order: the same decisions and trades, one by one."""
    first = decided(None)
    assert len(first) > 100
    assert decided(1) == first


def test_the_journal_holds_what_the_run_did(result: RunResult) -> None:
    """Trades, signals and final balance in SQL are those of the run, to the last unit; the chain is sound."""
    engine = open_engine(result.plan.request.settings.journal.url, read_only=True)
    with engine.connect() as connection:
        trades = connection.execute(
            select(TradeRow.__table__).where(TradeRow.session_id == result.run_id).order_by(TradeRow.seq)
        ).all()
        signals = connection.execute(
            select(SignalRow.__table__).where(SignalRow.session_id == result.run_id)
        ).all()
        balance = connection.scalar(
            select(SessionEnding.final_balance).where(SessionEnding.session_id == result.run_id)
        )
        by_confidence = connection.execute(
            text("SELECT trades FROM win_rate_by_confidence WHERE session_id = :name"),
            {"name": result.run_id},
        ).all()
        outcomes = connection.execute(text("SELECT * FROM signal_outcomes")).all()
        ended = connection.scalar(text("SELECT COUNT(*) FROM decisions WHERE kind = 'signal_outcome'"))
    assert len(outcomes) == ended > 0
    assert {row.outcome for row in outcomes} >= {"target", "stop"}
    told = [row for row in signals if "context_change_1h_pct" in row.detail]
    assert told
    for row in told:
        assert row.btc_change_1h_pct == row.detail["context_change_1h_pct"]
        assert row.btc_price > 0
    assert [(row.setup_id, row.pnl, row.fees, row.qty, row.exit_reason) for row in trades] == [
        (one.setup_id, Decimal(one.pnl), Decimal(one.fees), Decimal(one.qty), one.exit_reason)
        for one in result.trades
    ]
    assert len(signals) == result.counters["signals"]
    assert sum(row.is_taken for row in signals) == result.counters["signals_taken"]
    assert balance == result.final_balance
    assert sum(row.trades for row in by_confidence) == len(result.trades)
    assert verify(engine, result.run_id)[0].findings == []
    engine.dispose()


@pytest.mark.parametrize("feed", ["columns", "events"])
def test_signals_know_the_market(run: Run, feed: str) -> None:
    """Bitcoin's price, its change and volatility of the hour are those of its bars on both feeds."""
    found = run(bar_feed=feed)
    closes = tapes()["BTCUSDT"].close_ticks / 100
    engine = open_engine(found.plan.request.settings.journal.url, read_only=True)
    with engine.connect() as connection:
        signals = connection.execute(
            select(SignalRow.__table__).where(SignalRow.session_id == found.run_id)
        ).all()
    engine.dispose()
    assert len(signals) > 50
    for row in signals:
        last = (row.ts_ns - MIDNIGHT) // BAR_NS - 1
        hour = closes[last - 12 : last + 1]
        assert float(row.btc_price) == pytest.approx(hour[-1])
        assert row.btc_change_1h_pct == pytest.approx((hour[-1] / hour[0] - 1) * 100)
        assert row.market_volatility_pct == pytest.approx(np.sqrt(np.sum(np.diff(np.log(hour)) ** 2)) * 100)
