"""Archive formats: what a file says, and what is wrong with it."""

import argparse
import csv
import gzip
import io
import zipfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nautilus_trader.model.instruments import CurrencyPair
from nautilus_trader.persistence.catalog import ParquetDataCatalog

from runtime.arrow_schema import concatenate
from runtime.catalog import Catalog, TradeColumns
from runtime.data_commands.options import positive_decimal
from runtime.download import text_files
from runtime.download.increments import DecimalsSeen, whole_units
from runtime.download.records import BadRows
from runtime.errors import ConfigurationError, DataError
from runtime.importer import ImportRequest, import_files, ordering
from runtime.instruments import increment_text, make_instrument

T_MS = 1_710_000_000_123  # 2024-03-09
T_US = 1_773_792_000_123_456  # 2026-03-18

# Each format: venue, market, kind, header, row of (id, time, price, qty, taker bought).
SPOT_TRADES = ("binance", "spot", "trades", "", "{id},{price},{qty},12.5,{us},{Maker},True")
FORMATS = {
    "Binance spot trades, microseconds": SPOT_TRADES,
    "Binance spot trades, milliseconds": (*SPOT_TRADES[:4], "{id},{price},{qty},12.5,{ms},{Maker},True"),
    "Binance futures trades": (
        "binance", "usdm", "trades", "id,price,qty,quote_qty,time,is_buyer_maker",
        "{id},{price},{qty},12.5,{ms},{maker}",
    ),
    "Binance futures trades of old, no header": (
        "binance", "usdm", "trades", "", "{id},{price},{qty},12.5,{ms},{maker}",
    ),
    "Binance spot aggTrades": (
        "binance", "spot", "aggtrades", "", "{id},{price},{qty},1,2,{us},{Maker},True",
    ),
    "Binance futures aggTrades": (
        "binance", "usdm", "aggtrades",
        "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker",
        "{id},{price},{qty},1,2,{ms},{maker}",
    ),
    "Bybit linear trades": (
        "bybit", "linear", "trades",
        "timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue,homeNotional,foreignNotional",
        "{s},XRPUSDT,{Side},{qty},{price},PlusTick,0a-{id},1,1,1",
    ),
    "Bybit spot trades": (
        "bybit", "spot", "trades", "id,timestamp,price,volume,side", "{id},{ms},{price},{qty},{side}",
    ),
    "Bybit spot trades with RPI": (
        "bybit", "spot", "trades", "id,timestamp,price,volume,side,rpi", "{id},{ms},{price},{qty},{side},0",
    ),
    "Bybit spot trades of a month, a header that lacks the last column": (
        "bybit", "spot", "trades", "id,timestamp,price,volume,side", "{id},{ms},{price},{qty},{side},0",
    ),
    "tidy trades": (
        "binance", "spot", "trades", "ts_ns,price,qty,buyer_maker,trade_id",
        "{ns},{price},{qty},{maker},{id}",
    ),
}  # fmt: skip
TRADES = [(100, 0, 1.5225, 3.5, True), (101, 0, 1.5226, 6.6, False), (104, 7, 1.5224, 2000.1, True)]


def row(template: str, number: int, wait: int, price: float, qty: float, bought: bool) -> str:
    """Write one trade in a format."""
    return template.format(
        id=number, price=price, qty=qty, us=T_US + wait * 1000, ms=T_MS + wait, ns=(T_MS + wait) * 1_000_000,
        s=f"{(T_MS + wait) / 1000:.4f}", maker=str(not bought).lower(), Maker=not bought,
        side="buy" if bought else "sell", Side="Buy" if bought else "Sell",
    )  # fmt: skip


def text(name: str, trades: list[Any] = TRADES) -> str:
    """Write a whole file of a format."""
    header, template = FORMATS[name][3:]
    return "\n".join([*([header] if header else []), *(row(template, *trade) for trade in trades), ""])


def request(
    path: Path | list[Path], name: str = "Binance spot trades, microseconds", **changes: Any
) -> ImportRequest:
    """Ask for the import of files of a format."""
    venue, market, kind = FORMATS[name][:3]
    files = (path,) if isinstance(path, Path) else tuple(path)
    fields = {"files": files, "venue": venue, "market": market, "symbol": "XRPUSDT", "kind": kind, **changes}
    return ImportRequest(**fields)


def write(path: Path, content: str) -> Path:
    """Write text as plain, gzip or zip file by its name."""
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(content.encode()))
    elif path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("inner.csv", content)
    else:
        path.write_text(content)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".zip"])
@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_trades(tmp_path: Path, name: str, suffix: str) -> None:
    """Prices, sizes, sides, times and ids are those of the file, whatever its form."""
    report = import_files(request(write(tmp_path / f"a{suffix}", text(name)), name), tmp_path / "catalog")
    instrument = str(report.instrument.id)
    ticks = ParquetDataCatalog(str(tmp_path / "catalog")).trade_ticks([instrument])
    assert [(float(tick.price), float(tick.size), tick.aggressor_side.name == "BUYER") for tick in ticks] == [
        trade[2:] for trade in TRADES
    ]
    start = T_US * 1_000 if "micro" in name or name == "Binance spot aggTrades" else T_MS * 1_000_000
    assert [tick.ts_event for tick in ticks] == [start, start, start + 7_000_000]
    stored = Catalog(tmp_path / "catalog").read_trades_all(instrument)
    has_ids = FORMATS[name][0] == "binance"
    assert stored.trade_id.tolist() == ([100, 101, 104] if has_ids else [-1, -1, -1])
    series = report.as_json()["series"]
    assert (series["missing_ids"], series["id_gaps"]) == ((2, 1) if has_ids else ("no ids", None))
    assert report.inferred == ("tick_size", "lot_size")


@given(
    cells=st.lists(
        st.tuples(st.integers(0, 10**12), st.floats(1e-4, 1e6), st.floats(1e-4, 1e6), st.booleans()),
        min_size=1,
        max_size=30,
    ),
    name=st.sampled_from(sorted(FORMATS)),
)
def test_the_fast_and_the_careful_way_agree(
    tmp_path_factory: pytest.TempPathFactory, cells: list[Any], name: str
) -> None:
    """Both parsers read the same rows from a good file."""
    trades = [
        (number, at, round(price, 4), round(qty, 4), buy)
        for at, (number, price, qty, buy) in enumerate(cells)
    ]
    path = write(tmp_path_factory.mktemp("ways") / "a.csv", text(name, trades))
    columns = text_files.first_line(path, *FORMATS[name][:3])
    bad = BadRows()
    (fast,) = text_files._fast(path, columns, "XRPUSDT")
    (careful,) = text_files._careful(path, columns, "XRPUSDT", bad, skip_lines=0)
    assert bad.count == 0
    for field in ("ts_ns", "price", "qty", "is_buyer", "trade_id", "line"):
        np.testing.assert_array_equal(getattr(fast, field), getattr(careful, field), field)


BAD_LINES = {
    "not a number": ("102,abc,1.0,1,{t},True,True", "price 'abc' is not a number"),
    "NaN price": ("102,nan,1.0,1,{t},True,True", "price is not a positive number"),
    "infinite quantity": ("102,1.5,inf,1,{t},True,True", "quantity is not a positive number"),
    "zero price": ("102,0,1.0,1,{t},True,True", "price is not a positive number"),
    "negative quantity": ("102,1.5,-1,1,{t},True,True", "quantity is not a positive number"),
    "missing field": ("102,1.5,1.0,1,{t},True", "6 fields instead of 7"),
    "unknown flag": ("102,1.5,1.0,1,{t},maybe,True", "flag 'maybe' is neither true nor false"),
    "id with a letter": ("1O2,1.5,1.0,1,{t},True,True", "trade id '1O2' is not a number"),
    "time of another century": ("102,1.5,1.0,1,9{t},True,True", "time is not between 2009 and 2100"),
    "known id, other price": ("100,1.7,3.5,1,{t},False,True", "trade id 100 comes again with other content"),
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_bad_rows_are_named_by_file_and_line(tmp_path: Path, name: str) -> None:
    """Refused as a whole by default; with the flag everything else is imported and the row counted."""
    line, reason = BAD_LINES[name]
    lines = text("Binance spot trades, microseconds").splitlines()
    lines.insert(2, line.format(t=T_US))
    path = write(tmp_path / "day.csv", "\n".join(lines) + "\n")
    with pytest.raises(DataError) as refused:
        import_files(request(path), tmp_path / "catalog")
    assert str(refused.value).startswith("1 bad row in 1 file, first day.csv:3: ")
    assert reason in str(refused.value)
    assert Catalog(tmp_path / "catalog").series() == []
    report = import_files(request(path, skip_bad_rows=True), tmp_path / "catalog")
    assert (report.bad.count, report.rows_read, report.outcome.write.added) == (1, 4, 3)
    assert report.bad.examples[0].startswith("day.csv:3: ")


def test_a_bad_row_far_into_a_large_file_is_found_once(tmp_path: Path) -> None:
    """The careful way starts where the fast one gave up; no row is lost or read twice."""
    trades = [(number, number, 1.5, 2.0, True) for number in range(130_000)]
    lines = text("Binance spot trades, microseconds", trades).splitlines()
    lines[120_000] = "x" + lines[120_000]
    path = write(tmp_path / "day.csv.gz", "\n".join(lines))
    report = import_files(request(path, skip_bad_rows=True), tmp_path / "catalog")
    assert report.bad.examples == ["day.csv.gz:120001: trade id 'x120000' is not a number"]
    stored = Catalog(tmp_path / "catalog").read_trades_all("XRPUSDT.BINANCE")
    assert stored.trade_id.tolist() == [number for number in range(130_000) if number != 120_000]


def test_blank_lines_and_windows_line_ends_are_no_fault(tmp_path: Path) -> None:
    """Editors and spreadsheets leave them."""
    content = "\ufeff" + text("Bybit spot trades").replace("\n", "\r\n") + "\r\n\r\n"
    report = import_files(
        request(write(tmp_path / "a.csv", content), "Bybit spot trades"), tmp_path / "catalog"
    )
    assert (report.outcome.write.added, report.bad.count) == (3, 0)


@pytest.mark.parametrize("blank", ["\n", "\r\n", "\n  \n\t\n", "\ufeff\n"])
@pytest.mark.parametrize("name", ["Bybit spot trades", "Binance spot trades, milliseconds"])
def test_blank_lines_before_the_first_are_no_fault(tmp_path: Path, name: str, blank: str) -> None:
    """Neither before a header nor before the first row, and a bad row further down keeps its line number."""
    content = blank + text(name)
    report = import_files(request(write(tmp_path / "a.csv", content), name), tmp_path / "catalog")
    assert (report.outcome.write.added, report.bad.count) == (3, 0)

    path = write(tmp_path / "b.csv", content + "rubbish\n")
    report = import_files(request(path, name, skip_bad_rows=True), tmp_path / "other")
    fields = FORMATS[name][4].count(",") + 1
    line = content.count("\n") + 1
    assert report.bad.examples == [f"b.csv:{line}: 1 fields instead of {fields}"]


DAMAGED = {
    "empty.csv": b"",
    "blank.csv": b"\n\n",
    "short.csv.gz": gzip.compress(text("Binance spot trades, microseconds").encode() * 50)[:60],
    "broken.zip": b"PK\x03\x04 this is not a zip archive",
    "broken.parquet": b"PAR1 this is not a Parquet file",
    "notes.txt": b"Dear diary,\ntoday I bought a coin.\n",
    "picture.csv": bytes(range(256)) * 4,
    "header.csv": b"id,price,qty,quote_qty,time,is_buyer_maker,is_best_match\n",
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_and_foreign_files_are_one_line(tmp_path: Path, name: str) -> None:
    """No traceback, no partial import: the file is named."""
    path = tmp_path / name
    path.write_bytes(DAMAGED[name])
    with pytest.raises(DataError, match=name.replace(".", r"\.")) as error:
        import_files(request(path), tmp_path / "catalog")
    assert "\n" not in str(error.value)


def test_wrong_kind_says_what_it_looks_like(tmp_path: Path) -> None:
    """The usual mistake: aggTrades given as trades, or futures as spot."""
    path = write(tmp_path / "a.csv", text("Binance spot aggTrades"))
    with pytest.raises(
        ConfigurationError, match="looks like Binance spot aggTrades, not binance spot trades"
    ):
        import_files(request(path), tmp_path / "catalog")
    path = write(tmp_path / "b.csv", text("Binance futures trades"))
    with pytest.raises(ConfigurationError, match="looks like Binance futures trades"):
        import_files(request(path), tmp_path / "catalog")


def test_a_bybit_file_of_another_symbol_is_refused(tmp_path: Path) -> None:
    """Its rows name their symbol."""
    path = write(tmp_path / "a.csv", text("Bybit linear trades"))
    with pytest.raises(DataError, match="symbol XRPUSDT instead of ETHUSDT"):
        import_files(request(path, "Bybit linear trades", symbol="ETHUSDT"), tmp_path / "catalog")


def test_order_is_by_id_and_never_by_time(tmp_path: Path) -> None:
    """Shuffled files come out in id order, also where the time steps back."""
    trades = [(3, 9, 1.5, 1.0, True), (1, 5, 1.6, 1.0, True), (4, 8, 1.8, 1.0, True), (2, 7, 1.7, 1.0, False)]
    path = write(tmp_path / "a.csv", text("Binance spot trades, microseconds", trades))
    report = import_files(request(path), tmp_path / "catalog")
    stored = Catalog(tmp_path / "catalog").read_trades_all("XRPUSDT.BINANCE")
    assert stored.trade_id.tolist() == [1, 2, 3, 4]
    assert (stored.ts_ns - T_US * 1000).tolist() == [5_000_000, 7_000_000, 9_000_000, 9_000_000]
    assert report.outcome.time_steps_back == 1


def test_bybit_archives_that_start_with_the_newest_trade_are_turned_round(tmp_path: Path) -> None:
    """Within one millisecond the newest-first file is reversed too."""
    trades = [(1, 9, 1.3, 1.0, True), (1, 5, 1.2, 1.0, True), (1, 5, 1.1, 1.0, True)]
    path = write(tmp_path / "a.csv", text("Bybit spot trades", trades))
    import_files(request(path, "Bybit spot trades"), tmp_path / "catalog")
    stored = Catalog(tmp_path / "catalog").read_trades_all("XRPUSDT-SPOT.BYBIT")
    assert stored.price_ticks.tolist() == [11, 12, 13]


def test_overlapping_files_give_each_trade_once(tmp_path: Path) -> None:
    """Two files that share trades, given in the wrong order, and one of them twice."""
    day = [(number, number * 1000, 1.5, 2.5, True) for number in range(50)]
    name = "Binance spot trades, microseconds"
    late = write(tmp_path / "late.csv", text(name, day[20:]))
    early = write(tmp_path / "early.csv", text(name, day[:30]))
    report = import_files(request([late, early, late]), tmp_path / "catalog")
    assert (report.outcome.write.added, report.outcome.duplicates) == (50, 10)
    again = import_files(request([early]), tmp_path / "catalog")
    assert (again.outcome.write.added, again.outcome.duplicates) == (0, 30)
    entry = Catalog(tmp_path / "catalog").manifest.series["XRPUSDT.BINANCE trades"]
    assert [source.name for source in entry.sources] == ["late.csv", "early.csv"]


def tidy(path: Path, **columns: Any) -> Path:
    """Write a tidy Parquet file of three trades with some columns changed."""
    table = {
        "ts_ns": [T_MS * 1_000_000] * 3,
        "price": [1.5225, 1.5226, 1.5224],
        "qty": [3.5, 6.6, 2000.1],
        "buyer_maker": [False, True, False],
        "trade_id": pa.array([100, 101, 104], pa.int64()),
    }
    pq.write_table(pa.table({**table, **columns}), path)
    return path


def test_tidy_parquet_with_and_without_ids(tmp_path: Path) -> None:
    """A trade_id that is null throughout means that the venue has none."""
    report = import_files(request(tidy(tmp_path / "a.parquet")), tmp_path / "one")
    assert report.as_json()["series"]["missing_ids"] == 2
    path = tidy(tmp_path / "b.parquet", trade_id=pa.array([None] * 3, pa.int64()))
    report = import_files(request(path, "Bybit linear trades"), tmp_path / "two")
    assert report.as_json()["series"]["missing_ids"] == "no ids"
    path = tidy(tmp_path / "c.parquet", trade_id=pa.array([1, None, 3], pa.int64()))
    with pytest.raises(DataError, match=r"c\.parquet:2: trade_id is missing"):
        import_files(request(path), tmp_path / "three")


def test_tidy_parquet_without_a_column_is_refused(tmp_path: Path) -> None:
    """The columns it has are shown."""
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"ts_ns": [1], "price": [1.0]}), path)
    with pytest.raises(DataError, match=r"a\.parquet: columns of no known archive format: ts_ns, price"):
        import_files(request(path), tmp_path / "catalog")


KLINE_ROWS = [(0, 1.5, 1.75, 1.25, 1.5, 10.5), (1, 1.5, 1.5, 1.5, 1.5, 0.0), (4, 1.5, 2.0, 1.5, 1.75, 3.0)]
BINANCE_KLINES = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,"
    "taker_buy_volume,taker_buy_quote_volume,ignore"
)
BYBIT_KLINES = "startTime,openPrice,highPrice,lowPrice,closePrice,volume,turnover"
KLINE_FORMATS = {
    "Binance spot": ("binance", "spot", "", "{us},{ohlcv},{us_end},1,1,1,1,0"),
    "Binance futures": ("binance", "usdm", BINANCE_KLINES, "{ms},{ohlcv},{ms_end},1,1,1,1,0"),
    "Bybit REST": (
        "bybit",
        "linear",
        "startTime,openPrice,highPrice,lowPrice,closePrice,volume,turnover",
        "{ms},{ohlcv},1",
    ),
    "Bybit no header": ("bybit", "linear", "", "{ms},{ohlcv},1"),
    "Bybit MetaTrader": ("bybit", "linear", "", "{text},{ohlcv}"),
    "tidy": ("binance", "spot", "ts_open_ns,open,high,low,close,volume", "{ns},{ohlcv}"),
}


@pytest.mark.parametrize("name", KLINE_FORMATS)
def test_klines_become_bars_stamped_at_their_close(tmp_path: Path, name: str) -> None:
    """ts_event is open time plus interval; absent bars are counted."""
    venue, market, header, template = KLINE_FORMATS[name]
    start = 1_773_792_000  # a full hour
    lines = [header] if header else []
    for number, *values in KLINE_ROWS:
        at = start + number * 300
        stamp = np.datetime64(at, "s").item().strftime("%Y.%m.%d %H:%M")
        ohlcv = ",".join(map(str, values))
        ends = {"us_end": (at + 300) * 10**6 - 1, "ms_end": (at + 300) * 1000 - 1}
        lines.append(
            template.format(us=at * 10**6, ms=at * 1000, ns=at * 10**9, text=stamp, ohlcv=ohlcv, **ends)
        )
    path = write(tmp_path / "k.csv", "\n".join(lines))
    report = import_files(
        ImportRequest((path,), venue, market, "XRPUSDT", "klines", interval="5m"), tmp_path / "catalog"
    )
    bars = ParquetDataCatalog(str(tmp_path / "catalog")).bars()
    assert [(bar.ts_event - start * 10**9) // (300 * 10**9) for bar in bars] == [1, 2, 5]
    assert [
        tuple(float(x) for x in (bar.open, bar.high, bar.low, bar.close, bar.volume)) for bar in bars
    ] == [tuple(values) for _, *values in KLINE_ROWS]
    assert str(bars[0].bar_type) == f"{report.instrument.id}-5-MINUTE-LAST-EXTERNAL"
    series = report.as_json()["series"]
    assert (series["interval"], series["rows"], series["missing_ids"], series["id_gaps"]) == ("5m", 3, 2, 1)


def test_klines_of_another_interval_are_refused(tmp_path: Path) -> None:
    """Hourly opens are multiples of 5 minutes, 5-minute opens are not hours."""
    content = "\n".join(f"{1_773_792_000_000 + k * 300_000},1,1,1,1,1,0,1,1,1,1,0" for k in (1, 2))
    path = write(tmp_path / "k.csv", content)
    with pytest.raises(ConfigurationError, match="no open time is a multiple of 1h: check --interval"):
        import_files(
            ImportRequest((path,), "binance", "spot", "XRPUSDT", "klines", "1h"), tmp_path / "catalog"
        )


def test_kline_rules(tmp_path: Path) -> None:
    """A close above the high is a bad row; the same kline twice is a duplicate."""
    good, bad = (
        "1773792000000,1,2,1,2,1,1773792299999,1,1,1,1,0",
        "1773792300000,1,2,1,3,1,1773792599999,1,1,1,1,0",
    )
    path = write(tmp_path / "k.csv", "\n".join([good, bad, good]))
    ask = ImportRequest((path,), "binance", "spot", "XRPUSDT", "klines", "5m")
    with pytest.raises(DataError, match=r"k\.csv:2: open or close lies outside low and high"):
        import_files(ask, tmp_path / "catalog")
    ask = ImportRequest((path,), "binance", "spot", "XRPUSDT", "klines", "5m", skip_bad_rows=True)
    report = import_files(ask, tmp_path / "catalog")
    assert (report.outcome.write.added, report.outcome.duplicates, report.bad.count) == (1, 1, 1)


def test_spot_instrument_has_the_decimals_of_live_ticks(tmp_path: Path) -> None:
    """Binance spot sends eight decimals whatever the tick; the tick itself stays (decision 0004)."""
    path = write(tmp_path / "a.csv", text("Binance spot trades, microseconds"))
    instrument = import_files(request(path, tick_size=Decimal("0.0001")), tmp_path / "catalog").instrument
    assert (instrument.price_precision, instrument.size_precision) == (8, 8)
    assert instrument.price_increment.as_decimal() == Decimal("0.0001")
    assert str(instrument.make_price(1.52256)) == "1.52260000"


def test_catalog_with_fewer_decimals_takes_more_data(tmp_path: Path) -> None:
    """The stored definition of an older version wins, and its trades and the new ones read alike."""
    instrument = make_instrument("binance", "spot", "XRPUSDT", Decimal("0.0001"), Decimal("0.1"))
    short = CurrencyPair.from_dict(
        {
            **CurrencyPair.to_dict(instrument),
            "price_precision": 4,
            "size_precision": 1,
            "price_increment": "0.0001",
            "size_increment": "0.1",
        }
    )
    one = np.ones(1, dtype=np.int64)
    old = TradeColumns(one * 10**18, one * 5, one, one > 0, one)
    Catalog(tmp_path / "catalog", create=True).write_trades(short, old)
    path = write(tmp_path / "a.csv", text("Binance spot trades, microseconds"))
    report = import_files(request(path), tmp_path / "catalog")
    assert report.instrument.price_precision == 4
    ticks = Catalog(tmp_path / "catalog").read_trades_all("XRPUSDT.BINANCE").price_ticks
    assert ticks.tolist()[0] == 5
    assert len(ticks) == report.outcome.write.added + 1


def test_prices_off_the_given_grid_are_named(tmp_path: Path) -> None:
    """A wrong --tick-size must not round prices."""
    path = write(tmp_path / "a.csv", text("Binance spot trades, microseconds"))
    with pytest.raises(
        ConfigurationError, match=r"a\.csv:1: price 1\.5225 is no multiple of 0\.001: give a finer --tick"
    ):
        import_files(request(path, tick_size=Decimal("0.001")), tmp_path / "catalog")
    report = import_files(request(path, tick_size=Decimal("0.00005")), tmp_path / "catalog")
    assert (increment_text(report.instrument.price_increment), report.inferred) == (
        "0.00005",
        ("lot_size",),
    )
    with pytest.raises(
        ConfigurationError, match=r"price_increment 0\.00005, not 0\.0001: say --tick-size 0\.00005"
    ):
        import_files(request(path, tick_size=Decimal("0.0001")), tmp_path / "catalog")


@given(
    units=st.lists(st.integers(1, 10**9), min_size=1, max_size=20),
    decimals=st.integers(0, 8),
    per_step=st.sampled_from([1, 5, 25]),
)
def test_floats_are_counted_exactly(units: list[int], decimals: int, per_step: int) -> None:
    """The float64 of a decimal is turned back into the integer it was written from."""
    step = Decimal(per_step).scaleb(-decimals)
    values = np.array([float(unit * step) for unit in units])
    counted, is_on_grid = whole_units(values, step)
    assert is_on_grid.all()
    assert counted.tolist() == units
    seen = DecimalsSeen()
    seen.add(values)
    inferred, is_on_grid = whole_units(values, seen.increment)
    assert is_on_grid.all()
    assert [unit * seen.increment for unit in inferred.tolist()] == [unit * step for unit in units]


def test_a_zip_of_two_files_is_refused(tmp_path: Path) -> None:
    """Which one is meant cannot be known."""
    path = tmp_path / "two.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("a.csv", "b.csv"):
            archive.writestr(name, "1")
    with pytest.raises(DataError, match=r"two\.zip: holds 2 files"):
        import_files(request(path), tmp_path / "catalog")


def test_usage_errors_name_the_option(tmp_path: Path) -> None:
    """Each wrong argument is one ConfigurationError."""
    path = write(tmp_path / "a.csv", text("Binance spot trades, microseconds"))
    for changes, message in {
        "klines without interval": ({"kind": "klines"}, "--kind klines needs --interval"),
        "trades with interval": ({"interval": "5m"}, "--kind trades has no --interval"),
        "unknown market": (
            {"market": "linear"},
            "--market linear: binance has no such market, use spot or usdm",
        ),
        "no symbol": ({"symbol": "xrp"}, "--symbol xrp: expected base and quote"),
        "no file": ({"files": (tmp_path / "absent.csv",)}, "absent.csv: no such file"),
    }.values():
        with pytest.raises(ConfigurationError, match=message):
            import_files(request(path, **changes), tmp_path / "catalog")


def test_csv_writers_that_quote_are_read(tmp_path: Path) -> None:
    """Quoted fields are plain CSV."""
    stream = io.StringIO()
    writer = csv.writer(stream, quoting=csv.QUOTE_ALL)
    writer.writerows(line.split(",") for line in text("Binance spot trades, microseconds").splitlines())
    report = import_files(request(write(tmp_path / "a.csv", stream.getvalue())), tmp_path / "catalog")
    assert report.outcome.write.added == 3


@pytest.mark.parametrize(
    ("file", "venue", "market", "symbol", "instrument"),
    [
        ("binance-usdm_BTCUSDT_2024-08-08", "binance", "usdm", "BTCUSDT", "BTCUSDT-PERP.BINANCE"),
        ("binance-spot_ETHUSDT_2024-08-08", "binance", "spot", "ETHUSDT", "ETHUSDT.BINANCE"),
        ("bybit-linear_ETHUSDT_2025-11-18", "bybit", "linear", "ETHUSDT", "ETHUSDT-LINEAR.BYBIT"),
    ],
)
def test_real_recordings_import_with_all_rows(
    tmp_path: Path, shared_data: Path, file: str, venue: str, market: str, symbol: str, instrument: str
) -> None:
    """Every row of the recording is in the catalog, with its price and side."""
    path = shared_data / "trades" / f"{file}.parquet"
    report = import_files(ImportRequest((path,), venue, market, symbol, "trades"), tmp_path / "catalog")
    table = pq.read_table(path)
    ticks = ParquetDataCatalog(str(tmp_path / "catalog")).trade_ticks([instrument])
    assert str(report.instrument.id) == instrument
    assert [float(str(tick.price)) for tick in ticks] == table["price"].to_pylist()
    assert [float(str(tick.size)) for tick in ticks] == table["qty"].to_pylist()
    assert [tick.aggressor_side.name == "SELLER" for tick in ticks] == table["buyer_maker"].to_pylist()


def test_real_klines_import(tmp_path: Path, shared_data: Path) -> None:
    """Half a year of 5-minute klines: every row, prices exact."""
    path = shared_data / "klines_5m" / "ADAUSDT.parquet"
    ask = ImportRequest((path,), "binance", "spot", "ADAUSDT", "klines", interval="5m")
    report = import_files(ask, tmp_path / "catalog")
    table = pq.read_table(path)
    # One block a year.
    bars = concatenate(
        list(Catalog(tmp_path / "catalog").read_bars("ADAUSDT.BINANCE-5-MINUTE-LAST-EXTERNAL"))
    )
    tick = float(report.instrument.price_increment)
    assert len(bars) == table.num_rows
    np.testing.assert_allclose(bars.close_ticks * tick, table["close"].to_numpy(), rtol=1e-12)


SPOT_NAME = "Binance spot trades, microseconds"


# --- files that are not what the options say ---------------------------------------------------------
def kline(at_ms: int, minutes: int, unit: int = 1) -> str:
    """Write one flat Binance kline that opens at `at_ms`; `unit` is how many units a millisecond has."""
    return f"{at_ms * unit},1,1,1,1,1,{(at_ms + minutes * 60_000) * unit - 1},1,1,1,1,0"


def kline_request(path: Path, venue: str, interval: str, **changes: Any) -> ImportRequest:
    """Ask for the import of klines of XRPUSDT, spot."""
    return ImportRequest((path,), venue, "spot", "XRPUSDT", "klines", interval, **changes)


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("unit", [1, 1000], ids=["ms", "us"])
def test_klines_of_a_coarser_interval_are_refused_by_their_close(
    tmp_path: Path, count: int, unit: int
) -> None:
    """A 5-minute kline known after one minute would tell the future."""
    lines = [kline(1_773_792_000_000 + k * 300_000, 5, unit) for k in range(count)]
    path = write(tmp_path / "k.csv", "\n".join(lines))
    with pytest.raises(ConfigurationError, match=r"k\.csv: .*300 s.*not 1m: check --interval"):
        import_files(kline_request(path, "binance", "1m"), tmp_path / "catalog")
    report = import_files(kline_request(path, "binance", "5m"), tmp_path / "catalog")
    assert report.outcome.write.added == count


def test_klines_of_a_coarser_interval_are_refused_by_their_steps(tmp_path: Path) -> None:
    """Formats without a close time show it by the smallest step between opens, in every file."""
    lines = [f"{1_773_792_000_000 + k * 300_000},1,1,1,1,1,1" for k in (0, 1, 3)]
    path = write(tmp_path / "k.csv", "\n".join(lines))
    with pytest.raises(ConfigurationError, match=r"k\.csv: .*300 s.*not 1m: check --interval"):
        import_files(kline_request(path, "bybit", "1m"), tmp_path / "catalog")
    assert import_files(kline_request(path, "bybit", "5m"), tmp_path / "catalog").outcome.write.added == 3


def test_sparse_klines_whose_close_times_are_right_are_taken(tmp_path: Path) -> None:
    """Missing klines between all others do not make the interval longer."""
    lines = [kline(1_773_792_000_000 + k * 600_000, 5) for k in range(3)]
    path = write(tmp_path / "k.csv", "\n".join(lines))
    report = import_files(kline_request(path, "binance", "5m"), tmp_path / "catalog")
    assert report.as_json()["series"]["missing_ids"] == 2


def test_one_kline_with_another_close_time_is_a_bad_row(tmp_path: Path) -> None:
    """The venue's own klines around an outage are cut short."""
    lines = [kline(1_773_792_000_000 + k * 300_000, 3 if k == 2 else 5) for k in range(5)]
    path = write(tmp_path / "k.csv", "\n".join(lines))
    with pytest.raises(DataError, match=r"k\.csv:3: close time does not end the interval 5m"):
        import_files(kline_request(path, "binance", "5m"), tmp_path / "catalog")
    report = import_files(kline_request(path, "binance", "5m", skip_bad_rows=True), tmp_path / "catalog")
    assert (report.outcome.write.added, report.bad.count) == (4, 1)


# Times that, times the unit of the first row and modulo 2**64, are plausible again.
WRAPPED_US = T_US + 2**61


@pytest.mark.parametrize("time", [str(WRAPPED_US), "9" * 18, "nan", "1e300", "9999-01-01"])
@pytest.mark.parametrize("name", ["Binance spot trades, microseconds", "Bybit linear trades"])
def test_times_in_mixed_units_are_bad_rows(tmp_path: Path, name: str, time: str) -> None:
    """A time that would overflow is no time of this century."""
    good = text(name).splitlines()
    odd = good[-1].replace(str(T_US + 7000), time).replace(f"{(T_MS + 7) / 1000:.4f}", time)
    assert odd != good[-1]
    path = write(tmp_path / "a.csv", "\n".join([*good, odd.replace("104,", "105,", 1)]))
    with pytest.raises(DataError, match=rf"a\.csv:{len(good) + 1}: time "):
        import_files(request(path, name), tmp_path / "catalog")


def test_times_in_mixed_units_are_bad_rows_in_parquet(tmp_path: Path) -> None:
    """Microseconds first, then a number that wraps to a plausible time."""
    path = tidy(tmp_path / "a.parquet", ts_ns=[T_US, T_US, WRAPPED_US])
    with pytest.raises(DataError, match=r"a\.parquet:3: time is not between 2009 and 2100"):
        import_files(request(path), tmp_path / "catalog")


def test_the_symbol_in_a_file_name_is_compared(tmp_path: Path) -> None:
    """Binance's archives begin with the symbol, and their rows do not name it."""
    path = write(tmp_path / "ETHUSDT-trades-2026-03-18.csv", text("Binance spot trades, microseconds"))
    with pytest.raises(ConfigurationError, match=r"ETHUSDT-trades-2026-03-18\.csv: .*ETHUSDT.*XRPUSDT"):
        import_files(request(path), tmp_path / "catalog")
    path = path.rename(tmp_path / "XRPUSDT-trades-2026-03-18.csv")
    assert import_files(request(path), tmp_path / "catalog").outcome.write.added == 3


def test_the_most_specific_format_decides(tmp_path: Path) -> None:
    """The header of spot trades holds all words of that of futures trades."""
    header = "id,price,qty,quote_qty,time,is_buyer_maker,is_best_match\n"
    path = write(tmp_path / "a.csv", header + text("Binance spot trades, milliseconds"))
    with pytest.raises(ConfigurationError, match="looks like Binance spot trades, not binance usdm trades"):
        import_files(request(path, market="usdm"), tmp_path / "catalog")
    assert import_files(request(path), tmp_path / "catalog").outcome.write.added == 3


def test_overlapping_files_without_ids_give_each_trade_once(tmp_path: Path) -> None:
    """Given together or one after the other: the same trades. Equal rows of one file are all kept."""
    name = "Bybit spot trades"
    day = [(number, number // 2, 1.5, 2.5, True) for number in range(50)]
    files = [
        write(tmp_path / "early.csv", text(name, day[:30])),
        write(tmp_path / "late.csv", text(name, day[20:])),
    ]
    together = import_files(request(files, name), tmp_path / "together")
    assert (together.outcome.write.added, together.outcome.duplicates) == (50, 10)
    assert [source.duplicates for source in together.outcome.sources] == [0, 10]
    for path in files:
        import_files(request(path, name), tmp_path / "apart")
    apart, both = (
        Catalog(tmp_path / folder).read_trades_all("XRPUSDT-SPOT.BYBIT") for folder in ("apart", "together")
    )
    assert apart.ts_ns.tolist() == both.ts_ns.tolist()
    assert len(both) == 50


def test_prices_too_large_for_the_tick_are_named(tmp_path: Path) -> None:
    """A count of ticks that int64 cannot hold is no rounding error."""
    path = write(tmp_path / "a.csv", text(SPOT_NAME, [(1, 0, 1e12, 1.0, True)]))
    with pytest.raises(ConfigurationError, match=r"price 1e\+12 is too large for .*--tick-size"):
        import_files(request(path, tick_size=Decimal("1e-10")), tmp_path / "catalog")


@pytest.mark.parametrize("text_", ["1e-20", "1e17", "0.00000000000000001", "0", "nan", "x"])
def test_increments_that_no_instrument_can_have_are_refused(text_: str) -> None:
    """The option says so, before any file is read."""
    with pytest.raises(argparse.ArgumentTypeError, match="is not a number"):
        positive_decimal(text_)
    assert positive_decimal("0.0001") == Decimal("0.0001")


def test_parquet_with_a_symbol_column(tmp_path: Path) -> None:
    """It is compared as text; a row of another symbol is bad."""
    report = import_files(request(tidy(tmp_path / "a.parquet", symbol=["XRPUSDT"] * 3)), tmp_path / "catalog")
    assert report.outcome.write.added == 3
    path = tidy(tmp_path / "b.parquet", symbol=["XRPUSDT", "ETHUSDT", "XRPUSDT"])
    with pytest.raises(DataError, match=r"b\.parquet:2: symbol ETHUSDT instead of XRPUSDT"):
        import_files(request(path), tmp_path / "catalog")


def test_ids_that_go_against_the_times_of_stored_trades_are_refused(tmp_path: Path) -> None:
    """Lower ids with times hours later would move every stored trade to one time."""
    hour = 3_600_000
    import_files(request(write(tmp_path / "a.csv", text(SPOT_NAME))), tmp_path / "catalog")
    before = (tmp_path / "catalog" / "manifest.json").read_bytes()
    path = write(tmp_path / "b.csv", text(SPOT_NAME, [(5, 2 * hour, 1.5, 1.0, True)]))
    with pytest.raises(DataError, match=r"XRPUSDT\.BINANCE: .*ids.*times.*more than 1 hour"):
        import_files(request(path), tmp_path / "catalog")
    assert (tmp_path / "catalog" / "manifest.json").read_bytes() == before
    path = write(tmp_path / "c.csv", text(SPOT_NAME, [(5, hour // 2, 1.5, 1.0, True)]))
    assert import_files(request(path), tmp_path / "catalog").outcome.write.added == 1


def test_a_shuffled_archive_is_sorted_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many parts the ids are dealt out to: each trade once, repeats counted in their own file."""
    monkeypatch.setattr(ordering, "PART_ROWS", 64)
    numbers = np.random.default_rng(3).permutation(np.r_[np.arange(1_000, 2_000), np.arange(1_500, 1_600)])
    name = "Binance spot trades, microseconds"
    trades = [(number, number, 1.5 + number % 7 / 100, 2.5, True) for number in numbers.tolist()]
    files = [
        write(tmp_path / "a.csv", text(name, trades[:700])),
        write(tmp_path / "b.csv", text(name, trades[700:])),
    ]
    outcome = import_files(request(files), tmp_path / "catalog").outcome
    stored = Catalog(tmp_path / "catalog").read_trades_all("XRPUSDT.BINANCE")
    assert stored.trade_id.tolist() == list(range(1_000, 2_000))
    assert (outcome.write.added, outcome.duplicates) == (1_000, 100)
    within = [len(part) - len(np.unique(part)) for part in (numbers[:700], numbers[700:])]
    across = len(np.intersect1d(numbers[:700], numbers[700:]))
    assert [source.duplicates for source in outcome.sources] == [within[0], within[1] + across]


def test_a_conflict_in_a_shuffled_archive_names_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first row of an id stays; the later one is the bad one, whichever part it is in."""
    monkeypatch.setattr(ordering, "PART_ROWS", 8)
    trades = [(number, number, 1.5, 2.5, True) for number in range(100, 0, -1)]
    trades.append((50, 50, 1.6, 2.5, True))
    path = write(tmp_path / "day.csv", text("Binance spot trades, microseconds", trades))
    with pytest.raises(DataError, match=r"first day\.csv:101: trade id 50 comes again with other content"):
        import_files(request(path), tmp_path / "catalog")
