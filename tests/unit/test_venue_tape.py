"""Tapes for the local exchange: what is read, how times move, what klines come out of it again."""

import asyncio
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.venue_simulator.binance_spot import BinanceSpot
from tests.venue_simulator.core import Account, Market, Trade
from tests.venue_simulator.history import TradeHistory
from tests.venue_simulator.kline_tape import trades_of_klines
from tests.venue_simulator.klines import KlineFeed
from tests.venue_simulator.tape import Series, load, make_series
from tests.venue_simulator.tape_runner import TapeRunner
from tests.venue_simulator.venue import Venue

T0 = 1_700_000_100_000_000_000  # a multiple of five minutes
MINUTE_NS = 60_000_000_000


def trades_file(folder: Path, prices: list[float], step_ns: int = 1_000_000_000) -> Path:
    """Write a file of trades as they are recorded: one per step, ids from 7."""
    rows = len(prices)
    table = pa.table(
        {
            "ts_ns": [T0 + row * step_ns for row in range(rows)],
            "price": prices,
            "qty": [0.5 + row for row in range(rows)],
            "buyer_maker": [row % 2 == 1 for row in range(rows)],
            "trade_id": list(range(7, 7 + rows)),
        }
    )
    path = folder / "binance-spot_XRPUSDT_2026-03-17.parquet"
    pq.write_table(table, path)
    return path


def venue_of(series: Series) -> Venue:
    """Make a venue where the tape's symbol trades."""
    account = Account.with_balances({"USDT": 1000})
    return Venue(BinanceSpot, BinanceSpot.make_markets(series.terms), [account], 0.0)


def test_trades_file_becomes_ticks_and_lots(tmp_path: Path) -> None:
    """Increments come from the numbers, the symbol from the name, and the buyer is who was no maker."""
    (series,) = load(str(trades_file(tmp_path, [1.5039, 1.5041, 1.504])))
    terms = series.terms
    assert (terms.symbol, terms.base, terms.quote) == ("XRPUSDT", "XRP", "USDT")
    assert (terms.tick, terms.lot, terms.first_price) == (
        Decimal("0.0001"),
        Decimal("0.1"),
        Decimal("1.5039"),
    )
    assert series.price_ticks.tolist() == [15039, 15041, 15040]
    assert series.size_lots.tolist() == [5, 15, 25]
    assert series.is_buyer.tolist() == [True, False, True]
    assert series.trade_id.tolist() == [7, 8, 9]


def test_span_cuts_a_tape(tmp_path: Path) -> None:
    """First time inclusive, end exclusive; a folder is all its files; nothing in the span is an error."""
    path = trades_file(tmp_path, [1.0, 2.0, 3.0, 4.0])
    second = 1_000_000_000
    (series,) = load(str(tmp_path), (T0 + second, T0 + 3 * second))
    assert series.trade_id.tolist() == [8, 9]
    with pytest.raises(SystemExit, match="no trade in the span"):
        load(str(path), (0, T0))


@pytest.mark.parametrize("name", ["nowhere.parquet", "nowhere:XRPUSDT.BINANCE", "sampel"])
def test_unknown_tape_says_what_there_is(name: str) -> None:
    """A typing error ends in one line."""
    with pytest.raises(SystemExit, match="neither `sample`, nor"):
        load(name)


def test_recorded_trades_load(shared_data: Path) -> None:
    """Real files keep their ids, and their times never step back."""
    (series,) = load(str(shared_data / "trades/binance-spot_XRPUSDT_2026-03-21.parquet"))
    assert (series.terms.tick, series.terms.lot) == (Decimal("0.0001"), Decimal("0.1"))
    assert np.all(np.diff(series.ts_ns) >= 0)
    assert np.all(np.diff(series.trade_id) >= 1)


BARS: dict[str, list[float]] = {
    "open": [10.0, 11.0, 9.5, 9.5],
    "high": [12.0, 11.5, 9.5, 10.0],
    "low": [9.0, 9.0, 9.5, 9.5],
    "close": [11.0, 9.5, 9.5, 10.0],
    "volume": [4.03, 0.04, 0.0, 7.5],
}


def kline_columns() -> dict[str, Any]:
    """Return four bars of five minutes; nothing trades in the third."""
    opens = np.array([T0 + row * 5 * MINUTE_NS for row in range(4)])
    return {"ts_open_ns": opens} | {name: np.array(values) for name, values in BARS.items()}


def test_klines_come_back_out_of_their_trades() -> None:
    """Four trades per bar give the bar back: open, high, low, close and volume, and a flat one between."""
    series = trades_of_klines("XRPUSDT", kline_columns())
    history = TradeHistory(BinanceSpot.make_markets(series.terms)[0])
    history.extend(series.trades(0, len(series), series.ts_ns))
    bars = history.klines(300_000, None, None, 10)
    tick, lot = series.terms.tick, series.terms.lot
    for row, bar in enumerate(bars):
        prices = [float(ticks * tick) for ticks in (bar.open, bar.high, bar.low, bar.close)]
        assert prices == [BARS[name][row] for name in ("open", "high", "low", "close")]
        assert float(bar.lots * lot) == BARS["volume"][row]
    assert (len(series), series.interval_ns) == (12, 5 * MINUTE_NS)


def test_stream_and_rest_make_the_same_klines() -> None:
    """The feed that trades update equals the history that REST reads, bar by bar."""
    series = trades_of_klines("XRPUSDT", kline_columns())
    trades = series.trades(0, len(series), series.ts_ns)
    history = TradeHistory(BinanceSpot.make_markets(series.terms)[0])
    history.extend(trades[:2])
    feed = KlineFeed(history, 60_000, trades[1].ts_ns // 1_000_000)
    history.extend(trades[2:])
    feed.update(trades[2:])
    closed = feed.take_closed(trades[-1].ts_ns // 1_000_000)
    rest = history.klines(60_000, closed[0].open_ms, None, 100)
    assert [*closed, feed.current] == rest


def test_feed_takes_a_burst_like_single_trades() -> None:
    """A batch over several bars gives what its trades give one by one."""
    market = Market("XRPUSDT", "XRP", "USDT")
    trades = [Trade(row, 100 + row % 7, 1 + row % 3, row % 2 == 0, row * 400_000_000) for row in range(1, 40)]
    once, singly = (KlineFeed(TradeHistory(market), 1000, 0) for _ in range(2))
    once.update(trades)
    for trade in trades:
        singly.update([trade])
    assert once.current == singly.current
    assert once.take_closed(0) == singly.take_closed(0) != []


def test_history_answers_by_id_and_time() -> None:
    """From an id inclusive, from a time inclusive to another exclusive, or the newest ones."""
    history = TradeHistory(Market("XRPUSDT", "XRP", "USDT"))
    history.extend(Trade(row, 100, 1, True, row * 10) for row in range(1, 6))
    assert [trade.trade_id for trade in history.from_id(3, 2)] == [3, 4]
    assert [trade.trade_id for trade in history.between(20, 40, 9)] == [2, 3]
    assert [trade.trade_id for trade in history.between(None, 40, 2)] == [2, 3]
    assert [trade.trade_id for trade in history.last(2)] == [4, 5]
    assert (history.from_id(9, 5), len(history)) == ([], 5)


def test_klines_go_on_while_nothing_trades() -> None:
    """Asked for the present, history gives flat bars after the last trade."""
    history = TradeHistory(Market("XRPUSDT", "XRP", "USDT"))
    history.extend([Trade(1, 100, 1, True, T0)])
    bars = history.klines(60_000, None, None, 9, T0 // 1_000_000 + 150_000)
    assert [(bar.close, bar.trades) for bar in bars] == [(100, 1), (100, 0), (100, 0)]


def test_wait_keeps_klines_on_their_boundaries() -> None:
    """A kline tape that is held and moved still trades at the quarters of the clock's five minutes."""
    rows = 12
    columns: dict[str, Any] = {name: np.full(rows, 10.0) for name in BARS} | {
        "ts_open_ns": np.array([T0 + row * 5 * MINUTE_NS for row in range(rows)])
    }
    series = trades_of_klines("XRPUSDT", columns)
    venue = venue_of(series)

    async def run() -> None:
        tape = TapeRunner([series], [venue], 1, 1200)
        tape.load_history()
        tape.start()
        await asyncio.sleep(0.02)
        tape.pause()
        tape.seek(1800)
        tape.start()
        await asyncio.sleep(0.02)
        tape.pause()

    asyncio.run(run())
    quarters = {0, 75_000_000_000, 150_000_000_000, 299_999_000_000}
    assert {trade.ts_ns % (5 * MINUTE_NS) for trade in venue.histories["XRPUSDT"].last(100)} == quarters


def play_tape(series: Series, speed: float, history_secs: float, until: int) -> tuple[Venue, int]:
    """Play a tape until so many trades are known; return the venue and when it began."""
    venue = venue_of(series)

    async def run() -> int:
        tape = TapeRunner([series], [venue], speed, history_secs)
        tape.load_history()
        began_ns = time.time_ns()
        tape.start()
        while len(venue.histories["XRPUSDT"]) < until:
            await asyncio.sleep(0.005)
        tape.pause()
        return began_ns

    return venue, asyncio.run(run())


def test_tape_is_moved_and_compressed(tmp_path: Path) -> None:
    """At speed 100 a second lasts ten milliseconds; the past lies before now, the rest after; ids stay."""
    (series,) = load(str(trades_file(tmp_path, [1.0 + row / 10 for row in range(20)])))
    venue, began_ns = play_tape(series, speed=100, history_secs=10, until=20)
    trades = venue.histories["XRPUSDT"].last(20)
    assert [trade.trade_id for trade in trades] == list(range(7, 27))
    steps = np.diff([trade.ts_ns for trade in trades])
    assert np.all(np.abs(np.delete(steps, 9) - 10_000_000) < 1000)  # between past and present lies the start
    assert trades[9].ts_ns < began_ns <= trades[10].ts_ns + 1_000_000
    assert venue.exchange.last_price("XRPUSDT") == venue.exchange.markets["XRPUSDT"].price_of(29)


def test_kline_tape_closes_on_the_clocks_boundaries() -> None:
    """At speed 1 the bars of a kline tape lie on the wall clock's five minutes."""
    columns = {
        name: np.concatenate([values, values + 0]) if name != "ts_open_ns" else values
        for name, values in kline_columns().items()
    }
    columns["ts_open_ns"] = np.array([T0 + row * 5 * MINUTE_NS for row in range(8)])
    series = trades_of_klines("XRPUSDT", columns)
    venue, began_ns = play_tape(series, speed=1, history_secs=600, until=3)
    first = venue.histories["XRPUSDT"][0]
    assert first.ts_ns % (5 * MINUTE_NS) == 0
    assert 0 <= began_ns - venue.histories["XRPUSDT"].last(1)[0].ts_ns < 11 * MINUTE_NS


def test_market_with_another_tick_gets_rounded_prices(tmp_path: Path) -> None:
    """After an instrument change the tape goes on, on the new grid."""
    (series,) = load(str(trades_file(tmp_path, [1.5039, 1.5041, 1.5044])))
    venue = venue_of(series)
    venue.exchange.change_market("XRPUSDT", tick=Decimal("0.001"))

    async def run() -> None:
        tape = TapeRunner([series], [venue], 1000)
        tape.load_history()
        tape.start()
        while len(venue.histories["XRPUSDT"]) < 3:
            await asyncio.sleep(0.005)

    asyncio.run(run())
    assert [trade.price_ticks for trade in venue.histories["XRPUSDT"].last(3)] == [1504] * 3


def test_series_without_ids_is_numbered() -> None:
    """A tape whose venue published no ids gets its own, from 1."""
    columns = (
        np.array([T0, T0 - 5]),
        np.array([10, 11]),
        np.array([1, 2]),
        np.array([True, False]),
        np.empty(0),
    )
    series = make_series("XRPUSDT", Decimal("0.1"), Decimal(1), columns, has_ids=False)
    assert (series.trade_id.tolist(), series.ts_ns.tolist()) == ([1, 2], [T0, T0])
