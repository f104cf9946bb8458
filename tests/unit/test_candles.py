"""The candle store: downloaded where there is a download, else derived, never filled, never ahead."""

from dataclasses import fields
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.arrow_schema import BarColumns
from runtime.candles import CandleStore
from runtime.catalog import Catalog
from runtime.errors import ConfigurationError
from runtime.instruments import make_instrument
from runtime.intervals import interval_nanos
from runtime.timeframes import derive

START = 1_767_225_600_000_000_000  # 2026-01-01 00:00 UTC, a Thursday
HOUR = 3_600_000_000_000
XRP = make_instrument("binance", "spot", "XRPUSDT", Decimal("0.0001"), Decimal("0.1"))
ID = "XRPUSDT.BINANCE"


def bars_of(numbers: list[int] | np.ndarray, interval: str = "5m", start_ns: int = START) -> BarColumns:
    """Make bars whose content follows from their number, so that the same number is the same bar."""
    number = np.asarray(numbers, dtype=np.int64)
    opens = start_ns + number * interval_nanos(interval)
    open_ticks, close_ticks = 10_000 + number * 7 % 100, 10_000 + number * 13 % 100
    return BarColumns(
        opens,
        opens + interval_nanos(interval),
        open_ticks,
        np.maximum(open_ticks, close_ticks) + number % 5,
        np.minimum(open_ticks, close_ticks) - number % 3,
        close_ticks,
        number % 11,
    )


def assert_same(left: BarColumns, right: BarColumns) -> None:
    """Compare all columns."""
    for field in fields(left):
        np.testing.assert_array_equal(getattr(left, field.name), getattr(right, field.name), field.name)


def by_pandas(bars: BarColumns, interval: str) -> BarColumns:
    """Resample with pandas: complete bars only, weeks from Monday."""
    rule = {"m": "min", "h": "h", "d": "D"}.get(interval[-1])
    frame = pd.DataFrame(
        {field.name: getattr(bars, field.name) for field in fields(bars)},
        index=pd.to_datetime(bars.ts_open_ns, unit="ns"),
    )
    resampled = frame.resample(f"{interval[:-1]}{rule}" if rule else "W-MON", closed="left", label="left")
    joined = resampled.agg(
        {"ts_open_ns": "count", "open_ticks": "first", "high_ticks": "max", "low_ticks": "min",
         "close_ticks": "last", "volume_lots": "sum"}
    )  # fmt: skip
    base_ns = int(bars.ts_close_ns[0] - bars.ts_open_ns[0])
    whole = joined[joined["ts_open_ns"] == interval_nanos(interval) // base_ns]
    opens = whole.index.as_unit("ns").asi8
    columns = (whole[name].to_numpy().astype(np.int64) for name in whole.columns[1:])
    return BarColumns(opens, opens + interval_nanos(interval), *columns)


@given(
    present=st.lists(st.booleans(), min_size=1, max_size=400),
    offset=st.integers(0, 50),
    interval=st.sampled_from(["15m", "30m", "1h", "4h"]),
)
def test_derived_bars_are_those_of_pandas(present: list[bool], offset: int, interval: str) -> None:
    """Open, high, low, close and volume, at the same boundaries; every other closed bar is named."""
    numbers = np.flatnonzero(present) + offset
    base = bars_of(numbers)
    as_of_ns = int(base.ts_close_ns[-1]) if len(base) else START
    found = derive(base, "5m", interval, as_of_ns)
    if not len(base):
        assert len(found.bars) == len(found.incomplete_open_ns) == 0
        return
    assert_same(found.bars, by_pandas(base, interval))
    step_ns = interval_nanos(interval)
    first_ns = int(base.ts_open_ns[0]) // step_ns * step_ns
    closed = np.arange(first_ns, as_of_ns - step_ns + 1, step_ns)
    assert sorted([*found.bars.ts_open_ns, *found.incomplete_open_ns]) == closed.tolist()


@given(
    present=st.lists(st.booleans(), min_size=30, max_size=300),
    cut=st.integers(1, 300),
    interval=st.sampled_from(["15m", "1h"]),
)
def test_later_bars_change_nothing_that_was_known(present: list[bool], cut: int, interval: str) -> None:
    """What is derived from a prefix is the prefix of what is derived from all (no look-ahead)."""
    base = bars_of(np.flatnonzero([*present, True]))
    as_of_ns = START + cut * interval_nanos("5m")
    known = derive(base[base.ts_close_ns <= as_of_ns], "5m", interval, as_of_ns)
    later = derive(base, "5m", interval, START + 400 * interval_nanos("5m"))
    step_ns = interval_nanos(interval)
    assert_same(known.bars, later.bars[later.bars.ts_close_ns <= as_of_ns])
    incomplete = later.incomplete_open_ns
    np.testing.assert_array_equal(known.incomplete_open_ns, incomplete[incomplete + step_ns <= as_of_ns])


def test_a_bar_with_no_base_bar_at_all_is_named() -> None:
    """Two hours without a single 5m bar, in the middle and up to the time of asking."""
    base = bars_of([*range(12), *range(36, 48)])
    found = derive(base, "5m", "1h", START + 6 * HOUR)
    assert ((found.bars.ts_open_ns - START) // HOUR).tolist() == [0, 3]
    assert ((found.incomplete_open_ns - START) // HOUR).tolist() == [1, 2, 4, 5]
    known = derive(base[:12], "5m", "1h", START + 2 * HOUR)
    assert ((known.incomplete_open_ns - START) // HOUR).tolist() == [1]


def test_weeks_begin_on_monday() -> None:
    """2026-01-05 is the first Monday of the year; the days before it are no whole week."""
    found = derive(bars_of(np.arange(20), "1d"), "1d", "1w", START + 20 * 24 * HOUR)
    assert pd.to_datetime(found.bars.ts_open_ns).strftime("%a %d").tolist() == ["Mon 05", "Mon 12"]
    assert pd.to_datetime(found.incomplete_open_ns).strftime("%a %d").tolist() == ["Mon 29"]


def catalog_with(folder: Path, **series: BarColumns) -> Catalog:
    """Store series by interval; ``h1`` means ``1h``."""
    catalog = Catalog(folder, create=True)
    for name, bars in series.items():
        catalog.write_bars(XRP, f"{name[1:]}{name[0]}", bars)
    return catalog


def test_a_downloaded_interval_wins_where_it_reaches(tmp_path: Path) -> None:
    """Elsewhere bars are derived from the coarsest stored interval that divides it, and say so."""
    base = bars_of(np.arange(12 * 10))
    downloaded = derive(base, "5m", "1h", START + 10 * HOUR).bars[4:7]
    store = CandleStore(catalog_with(tmp_path, m5=base, h1=downloaded))
    candles = store.read(ID, "1h")
    assert_same(candles.bars, derive(base, "5m", "1h", START + 10 * HOUR).bars)
    assert candles.is_derived.tolist() == [True] * 4 + [False] * 3 + [True] * 3
    assert store.stored_intervals(ID) == ("5m", "1h")
    assert store.intervals(ID) == ("5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "1w")


def test_a_bar_that_the_coarser_source_begins_too_late_for_comes_from_the_finer(tmp_path: Path) -> None:
    """1h begins in the middle of a 4h bar of which the 5m bars are all there."""
    base = bars_of(np.arange(12 * 12))
    hours = derive(base, "5m", "1h", START + 12 * HOUR).bars[2:]
    candles = CandleStore(catalog_with(tmp_path, m5=base, h1=hours)).read(ID, "4h")
    assert_same(candles.bars, derive(base, "5m", "4h", START + 12 * HOUR).bars)
    assert len(candles.incomplete_open_ns) == 0


@pytest.fixture(scope="module")
def two_sources(tmp_path_factory: pytest.TempPathFactory) -> CandleStore:
    """Read 5m bars with holes, and downloaded hours for a part of them, keeping nothing in memory."""
    numbers = np.flatnonzero(np.random.default_rng(5).random(12 * 30) < 0.97)
    numbers = numbers[(numbers // 12 != 23) & (numbers // 12 != 24)]  # two hours of which there is nothing
    hours = derive(bars_of(np.arange(12 * 30)), "5m", "1h", START + 30 * HOUR).bars[6:20]
    catalog = catalog_with(tmp_path_factory.mktemp("candles"), m5=bars_of(numbers), h1=hours)
    return CandleStore(catalog, max_bytes=0)


@given(data=st.data())
def test_a_read_up_to_a_time_is_the_prefix_of_the_whole(
    two_sources: CandleStore, data: st.DataObject
) -> None:
    """Over two sources with holes, whatever the range: no bar depends on what came later."""
    store = two_sources
    interval = data.draw(st.sampled_from(["5m", "15m", "1h", "4h"]))
    start, end = sorted(data.draw(st.tuples(st.integers(0, 30 * 12), st.integers(0, 30 * 12))))
    start_ns, end_ns = (START + number * interval_nanos("5m") for number in (start, end))
    whole, part = store.read(ID, interval), store.read(ID, interval, start_ns, end_ns)
    closes = whole.bars.ts_close_ns
    rows = (closes >= start_ns) & (closes <= end_ns)
    assert_same(part.bars, whole.bars[rows])
    assert part.is_derived.tolist() == whole.is_derived[rows].tolist()
    named_closes = whole.incomplete_open_ns + interval_nanos(interval)
    is_asked = (named_closes >= start_ns) & (named_closes <= end_ns)
    np.testing.assert_array_equal(part.incomplete_open_ns, whole.incomplete_open_ns[is_asked])


@pytest.mark.parametrize("interval", ["15m", "1h", "4h", "1d", "1w"])
def test_real_klines_derive_to_what_pandas_makes_of_them(
    shared_data: Path, tmp_path: Path, interval: str
) -> None:
    """Half a year of 5m bars with an outage: equal where complete, and the outage's bars are named."""
    table = pq.read_table(shared_data / "klines_5m" / "ADAUSDT.parquet")
    opens = table["ts_open_ns"].to_numpy()
    ticks = [
        np.rint(table[name].to_numpy() * 1e4).astype(np.int64) for name in ("open", "high", "low", "close")
    ]
    volume = np.rint(table["volume"].to_numpy() * 10).astype(np.int64)
    base = BarColumns(opens, opens + interval_nanos("5m"), *ticks, volume)
    candles = CandleStore(catalog_with(tmp_path, m5=base)).read(ID, interval)
    assert_same(candles.bars, by_pandas(base, interval))
    assert candles.is_derived.all()
    assert len(candles.incomplete_open_ns) > 0


def test_memory_is_bounded_and_forgets_in_time(tmp_path: Path) -> None:
    """The least recently used goes first; what is too old is read again; the arrays cannot be changed."""
    now = [0.0]
    catalog = catalog_with(tmp_path, m5=bars_of(np.arange(240)))
    size = CandleStore(catalog).read(ID, "5m").nbytes
    store = CandleStore(catalog, max_bytes=size + size // 2, max_age_secs=10, clock=lambda: now[0])
    first = store.read(ID, "5m")
    assert store.read(ID, "5m") is first
    hours = store.read(ID, "1h")
    assert store.cached_bytes == first.nbytes + hours.nbytes
    store.read(ID, "5m")
    store.read(ID, "15m")
    store.read(ID, "30m")  # over the bound: the hours go, they were used before the others
    assert store.cached_bytes <= size + size // 2
    assert store.read(ID, "5m") is first
    assert store.read(ID, "1h") is not hours
    catalog.write_bars(XRP, "5m", bars_of([240]))
    assert store.read(ID, "5m") is first
    now[0] = 10.0
    assert len(store.read(ID, "5m")) == 241
    with pytest.raises(ValueError, match="read-only"):
        first.bars.open_ticks[0] = 1
    tiny = CandleStore(catalog, max_bytes=1)
    assert len(tiny.read(ID, "5m")) == 241
    assert tiny.cached_bytes == 0


def test_what_cannot_be_derived_says_what_is_stored(tmp_path: Path) -> None:
    """5m bars are not made of hours."""
    store = CandleStore(catalog_with(tmp_path, h1=bars_of(np.arange(5), "1h")))
    with pytest.raises(ConfigurationError, match=r"no 5m bars of XRPUSDT.BINANCE .*\(stored: 1h\)"):
        store.read(ID, "5m")
    with pytest.raises(ConfigurationError, match="interval 7m: use one of"):
        store.read(ID, "7m")
    with pytest.raises(ConfigurationError, match="stored: none"):
        store.read("ADAUSDT.BINANCE", "5m")
