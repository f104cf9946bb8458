"""A run through the real engine, with a strategy whose life can be checked with a pencil."""

import csv
import dataclasses
import hashlib
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from nautilus_trader.backtest.node import BacktestNode

from packet_builder.builder import VolumeBucketBuilder
from runtime.arrow_schema import BarColumns
from runtime.backtest import RunResult, run_backtest
from runtime.bucket_windows import BUCKETS_AFTER, BUCKETS_BEFORE, bucket_config, trade_windows
from runtime.catalog import Catalog, TradeColumns
from runtime.cli import format_ns
from runtime.errors import ConfigurationError, DataError
from runtime.instruments import make_instrument
from runtime.nodes import Node
from runtime.run_bars import DERIVED
from runtime.run_plan import plan_run
from runtime.run_request import RunRequest
from runtime.run_summary import summary_of
from runtime.settings import BacktestSettings, FeeSettings, FillSettings, Settings
from tests.integration import tiny_strategy
from ui.reports.metrics import summarise

SECOND = 1_000_000_000
DAY = 86_400 * SECOND
MIDNIGHT = 1_773_792_000 * SECOND  # 2026-03-18
XRP, ETH = "XRPUSDT.BINANCE", "ETHUSDT.BINANCE"


def tape(count: int, seed: int, start_ns: int = MIDNIGHT) -> TradeColumns:
    """Make trades, several per timestamp, on whole seconds so that two tapes share their times."""
    random = np.random.default_rng(seed)
    ts_ns = start_ns + np.sort(random.integers(0, count // 3, count)) * SECOND
    return TradeColumns(
        ts_ns=ts_ns,
        price_ticks=15_000 + np.cumsum(random.integers(-3, 4, count)),
        size_lots=random.integers(50, 900, count),
        is_buyer=random.random(count) < 0.5,
        trade_id=np.arange(1000, 1000 + count),
    )


def write(catalog: Catalog, symbol: str, trades: TradeColumns, market: str = "spot") -> None:
    """Store trades of a symbol with a tick of 0.0001 and a lot of 0.1."""
    instrument = make_instrument("binance", market, symbol, Decimal("0.0001"), Decimal("0.1"))
    catalog.write_trades(instrument, trades)


@pytest.fixture(scope="module")
def catalog_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Store two spot symbols that share timestamps, and a perpetual."""
    path = tmp_path_factory.mktemp("catalog")
    catalog = Catalog(path, create=True)
    write(catalog, "XRPUSDT", tape(3_000, 1))
    write(catalog, "ETHUSDT", tape(3_000, 2))
    write(catalog, "XRPUSDT", tape(3_000, 1), market="usdm")
    return path


type Run = Callable[..., tuple[RunResult, dict[str, Any]]]


@pytest.fixture
def run(catalog_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Give a function that runs the tiny strategy and returns its result and summary."""
    monkeypatch.setattr("runtime.run_plan.discover", lambda: {"tiny": tiny_strategy.SPEC})

    def run(
        *instruments: str,
        catalog: Path = catalog_path,
        start: int | None = None,
        end: int | None = None,
        parameters: dict[str, str] | None = None,
        **backtest: Any,
    ) -> tuple[RunResult, dict[str, Any]]:
        settings = Settings(backtest=BacktestSettings(runs=str(tmp_path / "runs"), **backtest))
        request = RunRequest(
            settings=settings,
            source="config.yaml",
            catalog=catalog,
            strategy="tiny",
            start_ns=start,
            end_ns=end,
            instruments=instruments or (XRP,),
            command_line=parameters or {},
        )
        result = run_backtest(plan_run(request))
        return result, summary_of(result, summarise(result.trades, result.marks, result.starting_balance))

    return run


def events(result: RunResult) -> list[dict[str, Any]]:
    """Read the event log of a run."""
    return [json.loads(line) for line in (result.folder.path / "events.jsonl").read_text().splitlines()]


def test_profit_and_account_agree(run: Run) -> None:
    """Starting balance plus profits is the final equity, base fees and dust included."""
    end = MIDNIGHT + 960 * SECOND  # between a sale and the next purchase
    result, summary = run(end=end)
    assert len(result.trades) > 10
    profits = sum((Decimal(trade.pnl) for trade in result.trades), Decimal(0))
    # Dust is valued at each exit's price there and at the last price in the account.
    last = (
        Decimal(str(summary["open_positions"][0]["last_price"])) if summary["open_positions"] else Decimal(0)
    )
    moved = sum(
        (Decimal(trade.dust_qty) * (last - Decimal(trade.exit_price)) for trade in result.trades), Decimal(0)
    )
    assert not any(Decimal(one["quantity"]) > 5 for one in summary["open_positions"])  # dust only
    assert abs(result.final_balance - (10_000 + profits + moved)) < Decimal("0.00001")


@pytest.mark.parametrize("instruments", [(XRP,), (XRP, ETH)])
def test_hash_does_not_depend_on_the_chunk_size(run: Run, instruments: tuple[str, ...]) -> None:
    """Chunks of 7, 500 and all trades give one hash, also with two instruments at equal times."""
    runs = [run(*instruments, chunk_size=size) for size in (7, 500, "all")]
    hashes = {summary["decision_sha256"] for _result, summary in runs}
    assert len(hashes) == 1
    assert all(summary["positions_closed"] > 10 * len(instruments) for _result, summary in runs)
    log = (runs[0][0].folder.path / "events.jsonl").read_bytes()
    assert hashlib.sha256(log).hexdigest() in hashes


def test_hash_does_not_depend_on_the_order_of_instruments(run: Run) -> None:
    """Instruments are sorted before anything happens."""
    assert run(XRP, ETH)[1]["decision_sha256"] == run(ETH, XRP)[1]["decision_sha256"]


def test_hash_changes_with_one_price(run: Run, tmp_path: Path) -> None:
    """One trade, one tick higher, at the moment of a purchase: another hash."""
    hashes = []
    for name, ticks in (("same", 0), ("changed", 1)):
        trades = tape(3_000, 1)
        trades.price_ticks[199] += ticks
        write(Catalog(tmp_path / name, create=True), "XRPUSDT", trades)
        hashes.append(run(catalog=tmp_path / name)[1]["decision_sha256"])
    assert hashes[0] == run()[1]["decision_sha256"]
    assert hashes[0] != hashes[1]


def test_event_log_holds_decisions_orders_and_trades_in_order(run: Run) -> None:
    """Each entry is decided, sent 50 ms before it can fill, and every record has its time."""
    result, _summary = run()
    log = events(result)
    assert {line["record"] for line in log} == {"decision", "order", "trade"}
    first = [line for line in log if line["record"] == "order"][:4]
    assert [line["event"] for line in first] == [
        "OrderInitialized",
        "OrderSubmitted",
        "OrderAccepted",
        "OrderFilled",
    ]
    assert first[3]["ts_ns"] >= first[0]["ts_ns"] + 50_000_000
    assert first[3]["commission"].endswith(" XRP")
    assert first[0]["side"] == "BUY"
    assert not any("uuid" in key or key == "event_id" for line in log for key in line)


def test_market_orders_are_acknowledged_before_they_fill(run: Run) -> None:
    """The venue takes a market order in before filling it, so that a used-up print cannot lose it."""
    result, _summary = run()
    accepted: set[str] = set()
    filled = 0
    for line in events(result):
        if line.get("event") == "OrderAccepted":
            accepted.add(line["client_order_id"])
        elif line.get("event") == "OrderFilled":
            assert line["client_order_id"] in accepted
            filled += 1
    assert filled > 10


@pytest.mark.parametrize("counter", ["trades_dropped", "trades_refused"])
def test_lost_trades_fail_the_run(run: Run, monkeypatch: pytest.MonkeyPatch, counter: str) -> None:
    """A strategy that lost trades says so when it stops, and the run is no result."""

    def on_stop(strategy: tiny_strategy.TinyStrategy) -> None:
        strategy.counters[counter] = 3

    monkeypatch.setattr(tiny_strategy.TinyStrategy, "on_stop", on_stop)
    with pytest.raises(DataError, match=r": 3 trades c.*import the source again"):
        run()


def test_files_of_the_run(run: Run) -> None:
    """The tables hold as many rows as the summary says."""
    result, summary = run()
    rows = {
        name: list(csv.DictReader((result.folder.path / name).open()))
        for name in ("trades.csv", "signals.csv", "equity.csv")
    }
    assert len(rows["trades.csv"]) == summary["positions_closed"]
    assert len(rows["signals.csv"]) == summary["zones"]
    assert Decimal(rows["equity.csv"][-1]["equity"]) == result.final_balance
    assert (result.folder.path / "config.effective.yaml").read_text().count("bucket_usd") == 1


def test_ticks_and_summary_fields(run: Run) -> None:
    """Every field that scripts rely on is there, and plain JSON."""
    _result, summary = run(XRP, ETH)
    assert summary["ticks"] == 6_000
    assert summary["instruments"] == [ETH, XRP]
    for name in (
        "run_id",
        "strategy",
        "instruments",
        "start",
        "end",
        "ticks",
        "buckets",
        "zones",
        "entries_submitted",
        "entries_filled",
        "entries_cancelled_by_model",
        "positions_closed",
        "win_rate",
        "profit_factor",
        "expectancy_r",
        "pnl",
        "fees",
        "max_drawdown_pct",
        "sharpe",
        "final_balance",
        "total_return_pct",
        "decision_sha256",
        "engine_ticks_per_s",
        "wall_s",
        "peak_rss_mb",
        "run_dir",
        "fills",
        "zones_skipped",
        "without_tainted",
        "open_positions",
    ):
        assert name in summary, name
    json.dumps(summary, allow_nan=False)


@pytest.mark.parametrize("start", [MIDNIGHT, MIDNIGHT + 150 * SECOND])
def test_start_warms_up_for_a_whole_day_without_entries(run: Run, tmp_path: Path, start: int) -> None:
    """Data begins at 00:00 UTC of the day before, entries at the start; earlier days are left out."""
    catalog = Catalog(tmp_path / "days", create=True)
    for day in range(3):
        trades = tape(900, 1 + day, MIDNIGHT + (day - 2) * DAY)
        write(catalog, "XRPUSDT", dataclasses.replace(trades, trade_id=trades.trade_id + 900 * day))
    result, summary = run(catalog=tmp_path / "days", start=start)
    assert summary["ticks"] == 1_800
    assert summary["data_from"].startswith("2026-03-17T00:00:0")
    assert summary["start"] == format_ns(start)
    assert summary["entries_submitted"] > 0
    assert all(line["ts_ns"] >= start for line in events(result) if line["record"] != "trade")
    assert all(trade.entry_ts_ns >= start for trade in result.trades)
    assert all(ts_ns >= start for ts_ns, _equity in result.marks)


def test_end_is_not_included(run: Run) -> None:
    """A trade at the end time belongs to the next run."""
    end = MIDNIGHT + 500 * SECOND
    expected = int((tape(3_000, 1).ts_ns < end).sum())
    _result, summary = run(end=end)
    assert summary["ticks"] == expected


def test_fees_of_the_settings_reach_account_and_strategy(run: Run) -> None:
    """An overridden rate is charged, named in the summary, and free of charge costs nothing."""
    result, summary = run(fees=FeeSettings(taker=Decimal("0.002")))
    assert summary["fills"]["fees"][XRP] == {"maker": "0.001", "taker": "0.002"}
    fill = next(line for line in events(result) if line.get("event") == "OrderFilled")
    assert Decimal(fill["commission"].split()[0]) == Decimal(fill["last_qty"]) * Decimal("0.002")
    assert run(fees=FeeSettings(maker=Decimal(0), taker=Decimal(0)))[1]["fees"] == 0.0


def test_slippage_worsens_every_market_order(run: Run) -> None:
    """Three ticks: a purchase costs at least 0.0003 more than the last print, in one fill."""
    plain, slipped = (run(fills=FillSettings(slippage_ticks=ticks, latency_ms=0))[0] for ticks in (0, 3))
    fills = [
        [line for line in events(result) if line.get("event") == "OrderFilled"] for result in (plain, slipped)
    ]
    last_print = Decimal(int(tape(3_000, 1).price_ticks[99])) / 10_000
    assert Decimal(fills[0][0]["last_px"]) == last_print
    assert Decimal(fills[1][0]["last_px"]) >= last_print + Decimal("0.0003")
    orders = [line["client_order_id"] for line in fills[1]]
    assert len(orders) == len(set(orders))
    assert slipped.final_balance < plain.final_balance


def test_open_position_at_the_end_is_named_and_valued(run: Run) -> None:
    """What is never sold stays in the balance at the last price, and is no closed trade."""
    result, summary = run(parameters={"hold": "5000", "every": "1000"})
    assert summary["positions_closed"] == 0
    (position,) = summary["open_positions"]
    assert position["side"] == "long"
    quantity, last = Decimal(position["quantity"]), Decimal(position["last_price"])
    assert Decimal(position["value"]) == quantity * last
    assert last == Decimal(int(tape(3_000, 1).price_ticks[-1])) / 10_000
    bought = [line for line in events(result) if line.get("event") == "OrderFilled"]
    spent = sum((Decimal(line["last_px"]) * Decimal(line["last_qty"]) for line in bought), Decimal(0))
    coins = sum(
        (Decimal(line["last_qty"]) - Decimal(line["commission"].split()[0]) for line in bought), Decimal(0)
    )
    assert result.final_balance == 10_000 - spent + coins * last
    assert quantity == coins


def test_spot_position_at_the_end_is_what_the_account_holds(run: Run) -> None:
    """Fees leave odd coins behind; the report counts those of the account, if there is a lot to sell."""
    result, summary = run()
    fills = [line for line in events(result) if line.get("event") == "OrderFilled"]
    coins = Decimal(0)
    for line in fills:
        bought = line["order_side"] == "BUY"
        coins += Decimal(line["last_qty"]) * (1 if bought else -1)
        coins -= Decimal(line["commission"].split()[0]) if bought else 0
    (position,) = summary["open_positions"]
    assert Decimal(position["quantity"]) == coins >= Decimal("0.1")
    free = run(fees=FeeSettings(maker=Decimal(0), taker=Decimal(0)), end=MIDNIGHT + 960 * SECOND)[1]
    assert free["open_positions"] == []


def test_perpetuals_trade_on_margin_and_pay_in_quote(run: Run) -> None:
    """A perpetual gets a margin account, and fees leave the position whole."""
    result, summary = run("XRPUSDT-PERP.BINANCE")
    assert summary["fills"]["account"] == "MARGIN, leverage 10"
    fill = next(line for line in events(result) if line.get("event") == "OrderFilled")
    assert fill["commission"].endswith(" USDT")
    profits = sum((Decimal(trade.pnl) for trade in result.trades), Decimal(0))
    unrealized = sum((Decimal(one["unrealized_pnl"]) for one in result.open_positions), Decimal(0))
    open_fees = result.final_balance - result.starting_balance - profits - unrealized
    assert -Decimal("0.02") < open_fees < Decimal("0.000001")


def test_spot_and_perpetuals_of_a_venue_do_not_mix(run: Run) -> None:
    """One venue has one account in the simulation."""
    with pytest.raises(ConfigurationError, match="spot and perpetuals in one run"):
        run(XRP, "XRPUSDT-PERP.BINANCE")


def write_candles(catalog: Catalog, first: int, stop: int) -> None:
    """Store 5-minute bars, numbered from the one that opens at midnight."""
    step = 300 * SECOND
    opens = MIDNIGHT + np.arange(first, stop) * step
    price = np.full(len(opens), 15_000)
    fields = dict.fromkeys(("open_ticks", "high_ticks", "low_ticks", "close_ticks"), price)
    catalog.write_bars(
        make_instrument("binance", "spot", "XRPUSDT", Decimal("0.0001"), Decimal("0.1")),
        "5m",
        BarColumns(ts_open_ns=opens, ts_close_ns=opens + step, volume_lots=np.full(len(opens), 10), **fields),
    )


def test_external_bars_of_a_setting_are_loaded(run: Run, tmp_path: Path) -> None:
    """Klines named by a parameter reach the strategy; missing ones are refused before the run."""
    bar_type = f"{XRP}-5-MINUTE-LAST-EXTERNAL"
    with pytest.raises(ConfigurationError, match="has no bars"):
        run(parameters={"htf_bar_type": bar_type})
    catalog = Catalog(tmp_path / "bars", create=True)
    write(catalog, "XRPUSDT", tape(3_000, 1))
    write_candles(catalog, -10, 2)
    _result, summary = run(catalog=tmp_path / "bars", parameters={"htf_bar_type": bar_type})
    assert summary["counters"]["bars"] == 12
    assert summary["ticks"] == 3_000


def test_bars_of_a_timeframe_that_is_not_stored_are_derived(run: Run, tmp_path: Path) -> None:
    """A run gets whole 15-minute bars of the stored 5-minute ones, and more once there are more of them."""
    catalog = Catalog(tmp_path / "bars", create=True)
    write(catalog, "XRPUSDT", tape(3_000, 1))
    write_candles(catalog, -10, 2)
    parameters = {"htf_bar_type": f"{XRP}-15-MINUTE-LAST-EXTERNAL"}
    _result, summary = run(catalog=catalog.path, parameters=parameters)
    assert summary["counters"]["bars"] == 3  # 23:15, 23:30 and 23:45; two parts are not whole
    assert summary["ticks"] == 3_000
    _result, again = run(catalog=catalog.path, parameters=parameters)
    assert again["decision_sha256"] == summary["decision_sha256"]
    made = list((catalog.path / DERIVED).iterdir())
    assert len(made) == 1

    write_candles(catalog, -12, -10)
    _result, summary = run(catalog=catalog.path, parameters=parameters)
    assert summary["counters"]["bars"] == 4
    assert len(list((catalog.path / DERIVED).iterdir())) == 2


@pytest.fixture(scope="module")
def three_days(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Store three days of two symbols that share timestamps, one file per day and symbol."""
    path = tmp_path_factory.mktemp("days")
    catalog = Catalog(path, create=True)
    for symbol, seed in (("XRPUSDT", 1), ("ETHUSDT", 2)):
        for day in range(3):
            trades = tape(600, seed + day, MIDNIGHT + day * DAY)
            write(catalog, symbol, dataclasses.replace(trades, trade_id=trades.trade_id + 600 * day))
    return path


def test_day_windows_stream_what_nautilus_streams(
    run: Run, three_days: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Streaming by day gives the hash of Nautilus' own loop over all files."""
    ours = run(catalog=three_days, chunk_size=250)[1]
    monkeypatch.setattr(Node, "_run_streaming", BacktestNode._run_streaming)
    theirs = run(catalog=three_days, chunk_size=250)[1]
    assert ours["ticks"] == 1_800
    assert ours["decision_sha256"] == theirs["decision_sha256"]
    assert ours["positions_closed"] == theirs["positions_closed"] > 10


def test_chunks_across_days_and_instruments_change_nothing(run: Run, three_days: Path) -> None:
    """Several files per instrument and ties between instruments: one hash for every chunk size."""
    summaries = [run(XRP, ETH, catalog=three_days, chunk_size=size)[1] for size in (7, 250, 599, "all")]
    assert summaries[0]["positions_closed"] > 20
    assert len({summary["decision_sha256"] for summary in summaries}) == 1


def test_buckets_of_the_report_are_those_of_the_whole_history(run: Run) -> None:
    """Rebuilt block by block and cut out, they have the bits of one pass over all trades."""
    result, _summary = run(parameters={"bucket_usd": "100"})
    plan = result.plan
    trades = plan.catalog.read_trades_all(XRP)
    config = bucket_config(plan.strategies[0].config, plan.instruments[0])
    whole = VolumeBucketBuilder(config).scan(
        trades.ts_ns, trades.price_ticks, trades.size_lots, trades.is_buyer, trades.trade_id
    )
    changed = [
        msgspec.structs.replace(trade, entry_bucket_seq=seq, exit_bucket_seq=seq + 5)
        for trade, seq in zip(result.trades, range(0, len(whole), 70), strict=False)
    ]
    drawn = list(trade_windows(plan, changed, 4))
    assert [number for number, _trade, _rows in drawn] == [
        1,
        *(1 + index * (len(changed) - 1) // 3 for index in (1, 2)),
        len(changed),
    ]
    for _number, trade, rows in drawn:
        first = max(trade.entry_bucket_seq - BUCKETS_BEFORE, 0)
        expected = whole[first : trade.exit_bucket_seq + BUCKETS_AFTER + 1]
        assert rows.tobytes() == expected.tobytes()
