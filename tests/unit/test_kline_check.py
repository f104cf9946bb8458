"""Klines against trades: equal where both are whole, and every contradiction is named."""

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import download_data
from runtime.arrow_schema import BarColumns, TradeColumns
from runtime.catalog import Catalog
from runtime.instruments import make_instrument
from runtime.intervals import interval_nanos
from runtime.kline_check import check_klines, compare_klines_with_trades

START = 1_773_792_000_000_000_000  # 2026-03-18 00:00 UTC
MINUTE = 60_000_000_000
XRP = make_instrument("binance", "spot", "XRPUSDT", Decimal("0.0001"), Decimal("0.1"))
ID = "XRPUSDT.BINANCE"


def tape(count: int = 4_000, seed: int = 1) -> TradeColumns:
    """Make trades over about two hours, none between minute 50 and 60."""
    rng = np.random.default_rng(seed)
    ts_ns = START + np.sort(rng.integers(0, 120 * MINUTE, count))
    ts_ns = ts_ns[(ts_ns < START + 50 * MINUTE) | (ts_ns >= START + 60 * MINUTE)]
    return TradeColumns(
        ts_ns,
        15_000 + np.cumsum(rng.integers(-2, 3, len(ts_ns))),
        rng.integers(1, 50, len(ts_ns)),
        rng.random(len(ts_ns)) < 0.5,
        1_000 + np.arange(len(ts_ns)),
    )


def klines(trades: TradeColumns, interval: str = "5m") -> BarColumns:
    """Make klines as a venue does, with pandas: flat ones without volume where nothing was traded."""
    step_ns = interval_nanos(interval)
    frame = pd.DataFrame(
        {"price": trades.price_ticks, "size": trades.size_lots}, index=pd.to_datetime(trades.ts_ns, unit="ns")
    )
    groups = frame.resample(f"{step_ns // MINUTE}min")
    bars = groups["price"].ohlc()
    bars["close"] = bars["close"].ffill()
    bars = bars.apply(lambda column: column.fillna(bars["close"])).astype(np.int64)
    opens = bars.index.as_unit("ns").asi8
    columns = (bars[name].to_numpy() for name in ("open", "high", "low", "close"))
    return BarColumns(opens, opens + step_ns, *columns, groups["size"].sum().to_numpy())


def changed(bars: BarColumns, column: str, row: int, by: int) -> BarColumns:
    """Change one value."""
    values = getattr(bars, column).copy()
    values[row] += by
    return replace(bars, **{column: values})


def catalog_of(folder: Path, trades: TradeColumns, bars: BarColumns, interval: str = "5m") -> Catalog:
    """Store both."""
    catalog = Catalog(folder, create=True)
    catalog.write_trades(XRP, trades)
    catalog.write_bars(XRP, interval, bars)
    return catalog


def test_klines_of_the_same_trades_agree(tmp_path: Path) -> None:
    """All whole intervals are checked; the first and the last are not whole."""
    trades = tape()
    check = check_klines(catalog_of(tmp_path, trades, klines(trades)), ID, "5m")
    assert (check.checked, check.tainted, check.differences) == (22, 0, [])


@pytest.mark.parametrize(
    ("column", "what", "unit"),
    [("high_ticks", "high", 1e-4), ("close_ticks", "close", 1e-4), ("volume_lots", "volume", 0.1)],
)
def test_a_changed_value_is_named(tmp_path: Path, column: str, what: str, unit: float) -> None:
    """With its interval and both values."""
    trades = tape()
    bars = klines(trades)
    (found,) = compare_klines_with_trades(catalog_of(tmp_path, trades, changed(bars, column, 7, 3)), ID, "5m")
    assert (found.instrument, found.interval, found.what) == (ID, "5m", what)
    assert found.open_ns == START + 35 * MINUTE
    true_value = int(getattr(bars, column)[7])
    assert found.in_trades == pytest.approx(true_value * unit)
    assert found.in_kline == pytest.approx((true_value + 3) * unit)


def test_missing_klines_and_volume_without_trades_are_named(tmp_path: Path) -> None:
    """A hole in the klines where trades are, and a volume where none are."""
    trades = tape()
    bars = changed(klines(trades), "volume_lots", 10, 5)  # minute 50: nothing was traded
    bars = bars[np.delete(np.arange(len(bars)), 3)]
    first, second = compare_klines_with_trades(catalog_of(tmp_path, trades, bars), ID, "5m")
    assert (first.what, first.open_ns, first.in_kline) == ("kline is missing", START + 15 * MINUTE, None)
    assert (second.what, second.open_ns, second.in_trades) == ("no trades", START + 50 * MINUTE, None)
    assert second.in_kline == pytest.approx(0.5)
    assert first.words().startswith("2026-03-18T00:15:00Z: the kline is missing, trades of ")
    assert second.words() == ("2026-03-18T00:50:00Z: the kline has a volume of 0.5, but there are no trades")


def test_verify_names_what_contradicts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One warning per difference, and how many klines were compared; the files themselves are sound."""
    trades = tape()
    bars = klines(trades)
    catalog_of(tmp_path / "sound", trades, bars)
    assert download_data.main(["verify", "--catalog", str(tmp_path / "sound"), "--json"]) == 0
    found = {row["series"]: row for row in json.loads(capsys.readouterr().out)["series"]}
    assert found[f"{ID} klines 5m"]["checked_against_trades"] == 22
    catalog_of(tmp_path / "wrong", trades, changed(bars, "high_ticks", 7, 3))
    assert download_data.main(["verify", "--catalog", str(tmp_path / "wrong"), "--json"]) == 0
    captured = capsys.readouterr()
    assert f"warning: {ID} klines 5m: 2026-03-18T00:35:00Z: high is " in captured.err
    found = {row["series"]: row for row in json.loads(captured.out)["series"]}
    assert found[f"{ID} klines 5m"]["differences"] == 1


def test_an_interval_with_missing_ids_is_not_judged(tmp_path: Path) -> None:
    """What the missing trades were is not known; the intervals beside the gap are checked."""
    trades = tape()
    minute = (trades.ts_ns - START) // MINUTE
    holed = trades[(minute < 31) | (minute >= 34)]
    check = check_klines(catalog_of(tmp_path, holed, klines(trades)), ID, "5m")
    assert (check.checked, check.tainted, check.differences) == (21, 1, [])


def test_times_that_step_back_over_a_boundary_keep_their_interval(tmp_path: Path) -> None:
    """The exchange's time decides, not the running maximum; the order is that of the ids."""
    trades = tape()
    ts_ns = trades.ts_ns.copy()
    row = int(np.searchsorted(ts_ns, START + 40 * MINUTE))
    ts_ns[row + 1] = START + 40 * MINUTE - 1  # after the first trade of the next interval
    stepped = replace(trades, ts_ns=ts_ns)
    order = np.argsort(ts_ns, kind="stable")
    bars = klines(stepped[order])
    assert compare_klines_with_trades(catalog_of(tmp_path, stepped, bars), ID, "5m") == []


def test_without_one_of_the_two_there_is_nothing_to_compare(tmp_path: Path) -> None:
    """No series of the interval, or of trades."""
    trades = tape()
    catalog = catalog_of(tmp_path, trades, klines(trades))
    assert check_klines(catalog, ID, "1h").checked == 0
    assert check_klines(catalog, "ADAUSDT.BINANCE", "5m").checked == 0


def test_klines_of_a_real_recording_agree(tmp_path: Path, shared_data: Path) -> None:
    """A day of XRPUSDT with gaps: many intervals are tainted, the others equal those of pandas."""
    table = pq.read_table(shared_data / "trades" / "binance-spot_XRPUSDT_2026-03-21.parquet")
    trades = TradeColumns(
        table["ts_ns"].to_numpy(),
        np.rint(table["price"].to_numpy() * 1e4).astype(np.int64),
        np.rint(table["qty"].to_numpy() * 10).astype(np.int64),
        ~table["buyer_maker"].to_numpy(),
        table["trade_id"].to_numpy(),
    )
    check = check_klines(catalog_of(tmp_path, trades, klines(trades, "1m"), "1m"), ID, "1m")
    assert check.differences == []
    assert check.checked > 100
    assert check.tainted > 10
