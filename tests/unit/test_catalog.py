"""The catalog: Nautilus' files written and read as integer columns."""

import itertools
import json
import os
import shutil
import subprocess
import sys
from dataclasses import fields
from decimal import Decimal
from pathlib import Path

import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nautilus_trader.model.data import Bar, BarType, TradeTick
from nautilus_trader.model.enums import AggressorSide
from nautilus_trader.model.identifiers import TradeId
from nautilus_trader.persistence.catalog import ParquetDataCatalog

from runtime.arrow_schema import concatenate, decode_words, encode_words
from runtime.catalog import BarColumns, Catalog, TradeColumns
from runtime.catalog_files import file_name
from runtime.catalog_slots import Slot
from runtime.errors import ConfigurationError, DataError
from runtime.instruments import make_instrument
from runtime.manifest import SourceEntry, read_entries
from runtime.nautilus_catalog import nautilus_catalog

ROOT = Path(__file__).resolve().parents[2]
DAY = 86_400_000_000_000
START = 1_773_792_000_000_000_000  # 2026-03-18 00:00 UTC
XRP = make_instrument("binance", "spot", "XRPUSDT", Decimal("0.0001"), Decimal("0.1"))
ETH_LINEAR = make_instrument("bybit", "linear", "ETHUSDT", Decimal("0.05"), Decimal("0.01"))


def trades(
    ids: list[int], *, step_ns: int = 1_000_000, start_ns: int = START, ticks: int = 15_000
) -> TradeColumns:
    """Make trades whose content follows from their id, so that the same id is the same trade."""
    number = np.array(ids, dtype=np.int64)
    return TradeColumns(
        ts_ns=start_ns + number * step_ns,
        price_ticks=ticks + number % 7,
        size_lots=1 + number % 50_000,
        is_buyer=number % 3 == 0,
        trade_id=number,
    )


def assert_equal(left: TradeColumns | BarColumns, right: TradeColumns | BarColumns) -> None:
    """Compare all columns."""
    for field in fields(left):
        np.testing.assert_array_equal(getattr(left, field.name), getattr(right, field.name), field.name)


def files_of(folder: Path) -> dict[str, bytes]:
    """Read every file of a catalog except the locks."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".lock"
    }


@given(
    units=st.lists(st.integers(0, 2**62), min_size=1, max_size=20),
    decimals=st.integers(0, 16),
    step=st.sampled_from([1, 5, 25]),
)
def test_words_are_exact_128_bit_integers(units: list[int], decimals: int, step: int) -> None:
    """A unit times its scale is stored in both words, and read back exactly."""
    scale = step * 10 ** (16 - decimals)
    words = encode_words(np.array(units), scale)
    assert [int.from_bytes(word.as_py(), "little") for word in words] == [unit * scale for unit in units]
    assert decode_words(words, scale, "the size").tolist() == units


def test_a_value_between_two_increments_is_refused() -> None:
    """Reading with a coarser increment than the data has is an error, not a rounding."""
    words = encode_words(np.array([3, 4, 5]), 10**12)
    with pytest.raises(DataError, match="price of row 2 is no multiple"):
        decode_words(words[0:3].slice(0), 3 * 10**12, "the price")


def test_slices_of_a_column_are_decoded_from_their_own_offset() -> None:
    """Arrow slices share the buffer of the whole column."""
    words = encode_words(np.arange(10), 10**15)
    assert decode_words(words.slice(3, 4), 10**15, "the size").tolist() == [3, 4, 5, 6]


@pytest.mark.parametrize("instrument", [XRP, ETH_LINEAR], ids=["decimal tick", "tick of 0.05"])
def test_written_files_equal_those_of_nautilus(tmp_path: Path, instrument: object) -> None:
    """Schema, file name, values and objects are the same as through Nautilus' own write_data."""
    rows = trades(
        [1, 2, 3, 900_000, 900_001]
    )  # sizes on both sides of 1,844.67, where the low word overflows
    Catalog(tmp_path / "ours", create=True).write_trades(instrument, rows)
    ticks = [
        TradeTick(
            instrument.id,
            instrument.make_price(price * Decimal(str(instrument.price_increment))),
            instrument.make_qty(size * Decimal(str(instrument.size_increment))),
            AggressorSide.BUYER if buyer else AggressorSide.SELLER,
            TradeId(str(number)),
            ts,
            ts,
        )
        for ts, price, size, buyer, number in zip(
            *(getattr(rows, field.name).tolist() for field in fields(rows)), strict=True
        )
    ]
    theirs = ParquetDataCatalog(str(tmp_path / "theirs"))
    theirs.write_data([instrument])
    theirs.write_data(ticks)
    ours = sorted(path.relative_to(tmp_path / "ours") for path in (tmp_path / "ours").rglob("*.parquet"))
    assert ours == sorted(
        path.relative_to(tmp_path / "theirs") for path in (tmp_path / "theirs").rglob("*.parquet")
    )
    for name in ours:
        left, right = pq.read_table(tmp_path / "ours" / name), pq.read_table(tmp_path / "theirs" / name)
        assert left.schema.equals(right.schema, check_metadata=True)
        assert left.equals(right)
    read = ParquetDataCatalog(str(tmp_path / "ours")).trade_ticks(instrument_ids=[str(instrument.id)])
    assert [TradeTick.to_dict(tick) for tick in read] == [TradeTick.to_dict(tick) for tick in ticks]


def test_bars_equal_those_of_nautilus(tmp_path: Path) -> None:
    """A bar's ts_event is its close: open time plus interval."""
    opens = START + np.arange(4) * 300_000_000_000
    bars = BarColumns(
        opens, opens + 300_000_000_000, *(np.array([10, 11, 12, 13]) + k for k in (2, 9, 0, 5)), np.arange(4)
    )
    Catalog(tmp_path / "ours", create=True).write_bars(XRP, "5m", bars)
    bar_type = BarType.from_str("XRPUSDT.BINANCE-5-MINUTE-LAST-EXTERNAL")

    def price(ticks: int) -> object:
        return XRP.make_price(Decimal(int(ticks)) / 10_000)

    objects = [
        Bar(
            bar_type, price(o), price(h), price(low), price(c), XRP.make_qty(Decimal(int(v)) / 10), ts, ts
        )
        for o, h, low, c, v, ts in zip(
            bars.open_ticks, bars.high_ticks, bars.low_ticks, bars.close_ticks, bars.volume_lots,
            bars.ts_close_ns.tolist(),
            strict=True,
        )
    ]  # fmt: skip
    theirs = ParquetDataCatalog(str(tmp_path / "theirs"))
    theirs.write_data(objects)
    (mine,), (other,) = ((tmp_path / who / "data" / "bar").rglob("*.parquet") for who in ("ours", "theirs"))
    assert mine.name == other.name
    assert pq.read_table(mine).equals(pq.read_table(other))
    assert pq.read_schema(mine).equals(pq.read_schema(other), check_metadata=True)
    assert_equal(next(Catalog(tmp_path / "ours").read_bars(str(bar_type))), bars)


def test_reading_gives_back_what_was_written(tmp_path: Path) -> None:
    """All columns survive, over several days and row groups."""
    rows = trades(list(range(150_000)), step_ns=1_500_000_000)
    Catalog(tmp_path, create=True).write_trades(XRP, rows)
    blocks = list(Catalog(tmp_path).read_trades("XRPUSDT.BINANCE"))
    assert max(map(len, blocks)) <= 65_536
    assert len(list((tmp_path / "data/trade_tick/XRPUSDT.BINANCE").iterdir())) == 3
    assert_equal(Catalog(tmp_path).read_trades_all("XRPUSDT.BINANCE"), rows)


def test_time_range_is_inclusive_like_that_of_nautilus(tmp_path: Path) -> None:
    """The same range gives the same trades as Nautilus' query."""
    rows = trades(list(range(1000)))
    Catalog(tmp_path, create=True).write_trades(XRP, rows)
    start, end = int(rows.ts_ns[100]), int(rows.ts_ns[899])
    ours = Catalog(tmp_path).read_trades_all("XRPUSDT.BINANCE", start, end)
    theirs = ParquetDataCatalog(str(tmp_path)).trade_ticks(["XRPUSDT.BINANCE"], start=start, end=end)
    assert ours.trade_id.tolist() == [int(str(tick.trade_id)) for tick in theirs] == list(range(100, 900))
    assert len(Catalog(tmp_path).read_trades_all("XRPUSDT.BINANCE", end + DAY)) == 0


def test_a_range_does_not_open_the_files_of_other_days(tmp_path: Path) -> None:
    """Their names say what they span; a damaged day does not keep one from reading another."""
    rows = trades(list(range(48)), step_ns=DAY // 16)
    Catalog(tmp_path, create=True).write_trades(XRP, rows)
    first, *_ = sorted((tmp_path / "data/trade_tick/XRPUSDT.BINANCE").iterdir())
    first.write_bytes(b"damaged")
    catalog = Catalog(tmp_path)
    found = catalog.read_trades_all("XRPUSDT.BINANCE", START + DAY, START + 2 * DAY - 1)
    assert found.trade_id.tolist() == list(range(16, 32))
    with pytest.raises(DataError, match="damaged Parquet file"):
        catalog.read_trades_all("XRPUSDT.BINANCE", START + DAY // 2, START + DAY)


def test_init_time_is_the_running_maximum_in_id_order(tmp_path: Path) -> None:
    """A time that steps back keeps its ts_event and gets the maximum so far as ts_init."""
    rows = trades([1, 2, 3, 4])
    ts_ns = rows.ts_ns.copy()
    ts_ns[2] = ts_ns[0]
    stepped = TradeColumns(ts_ns, rows.price_ticks, rows.size_lots, rows.is_buyer, rows.trade_id)
    Catalog(tmp_path, create=True).write_trades(XRP, stepped)
    ticks = ParquetDataCatalog(str(tmp_path)).trade_ticks(["XRPUSDT.BINANCE"])
    assert [tick.ts_event for tick in ticks] == ts_ns.tolist()
    assert [tick.ts_init for tick in ticks] == np.maximum.accumulate(ts_ns).tolist()


def test_writing_again_changes_no_byte(tmp_path: Path) -> None:
    """An import is idempotent: duplicates are counted and the files stay."""
    catalog = Catalog(tmp_path, create=True)
    source = SourceEntry(name="a.csv", sha256="00", rows=100)
    catalog.write_trades(XRP, trades(list(range(100))), sources=[source])
    before = files_of(tmp_path)
    report = Catalog(tmp_path).write_trades(XRP, trades(list(range(100))), sources=[source])
    assert (report.added, report.duplicates, report.conflicts) == (0, 100, ())
    assert files_of(tmp_path) == before


@settings(max_examples=40)  # each writes files, and waits for the disk
@given(cuts=st.lists(st.sets(st.integers(0, 60), min_size=1), min_size=1, max_size=5))
def test_any_order_of_overlapping_writes_gives_the_union(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[set[int]]
) -> None:
    """Whatever parts arrive in whatever order, the catalog holds each id once, in order."""
    folder = tmp_path_factory.mktemp("union")
    step = DAY // 16  # so that 61 ids span four days
    for part in cuts:
        Catalog(folder, create=True).write_trades(XRP, trades(sorted(part), step_ns=step))
    union = sorted(set().union(*cuts))
    assert_equal(Catalog(folder).read_trades_all("XRPUSDT.BINANCE"), trades(union, step_ns=step))
    (row,) = Catalog(folder).series()
    gaps = np.diff(union)
    assert row["rows"] == len(union)
    assert row["missing_ids"] == int((gaps - 1).sum())
    assert row["id_gaps"] == int((gaps > 1).sum())
    longest_ns = max((int(gap) * step for gap in gaps if gap > 1), default=0)
    assert row["longest_gap_s"] == pytest.approx(longest_ns / 1e9)
    intervals = sorted(path.name.split("_") for path in folder.rglob("trade_tick/**/*.parquet"))
    assert all(early[1].removesuffix(".parquet") < late[0] for early, late in itertools.pairwise(intervals))


def test_an_id_with_other_content_is_reported_and_nothing_written(tmp_path: Path) -> None:
    """A contradiction names its rows; the stored trade stays unless told to skip the new one."""
    catalog = Catalog(tmp_path, create=True)
    catalog.write_trades(XRP, trades(list(range(10))))
    before = files_of(tmp_path)
    wrong = trades([5, 6, 20], ticks=20_000)
    assert catalog.write_trades(XRP, wrong).conflicts == (0, 1)
    assert files_of(tmp_path) == before
    assert catalog.write_trades(XRP, wrong, skip_conflicts=True).added == 1
    stored = catalog.read_trades_all("XRPUSDT.BINANCE")
    assert stored.trade_id.tolist() == [*range(10), 20]
    assert stored.price_ticks[5] == trades([5]).price_ticks[0]


def no_ids(rows: TradeColumns) -> TradeColumns:
    """Take the ids away."""
    return TradeColumns(rows.ts_ns, rows.price_ticks, rows.size_lots, rows.is_buyer, np.full(len(rows), -1))


def test_trades_without_ids_get_deterministic_strings_and_read_as_minus_one(tmp_path: Path) -> None:
    """The string is the time and the trade's number within it; several share a time."""
    rows = no_ids(trades([1, 1, 1, 2]))
    catalog = Catalog(tmp_path, create=True)
    catalog.write_trades(ETH_LINEAR, rows)
    at = START + 1_000_000
    ticks = ParquetDataCatalog(str(tmp_path)).trade_ticks(["ETHUSDT-LINEAR.BYBIT"])
    assert [str(tick.trade_id) for tick in ticks] == [
        f"t{at}-0",
        f"t{at}-1",
        f"t{at}-2",
        f"t{at + 1_000_000}-0",
    ]
    assert_equal(catalog.read_trades_all("ETHUSDT-LINEAR.BYBIT"), rows)
    assert catalog.series()[0]["missing_ids"] == "no ids"
    again = catalog.write_trades(ETH_LINEAR, no_ids(trades([1, 1, 1, 2, 3])))
    assert (again.added, again.duplicates) == (1, 4)


def test_other_increments_are_refused(tmp_path: Path) -> None:
    """Trades counted in another tick would be read at a wrong price."""
    catalog = Catalog(tmp_path, create=True)
    catalog.write_trades(XRP, trades([1]))
    finer = make_instrument("binance", "spot", "XRPUSDT", Decimal("0.00001"), Decimal("0.1"))
    with pytest.raises(
        ConfigurationError, match=r"price_increment 0\.0001, not 0\.00001: say --tick-size 0.0001"
    ):
        catalog.write_trades(finer, trades([2]))


def test_trades_and_aggregates_do_not_mix(tmp_path: Path) -> None:
    """Aggregates are the same trades under other ids."""
    catalog = Catalog(tmp_path, create=True)
    catalog.write_trades(XRP, trades([1]))
    with pytest.raises(ConfigurationError, match="holds trades, aggtrades are the same trades again"):
        catalog.write_trades(XRP, trades([2]), kind="aggtrades")


@pytest.mark.parametrize("step", range(1, 8))
def test_a_kill_at_any_moment_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Stopped before the n-th move, the next command finds the old state or finishes the new one."""
    Catalog(tmp_path, create=True).write_trades(XRP, trades(list(range(0, 60, 2)), step_ns=DAY // 16))
    old = Catalog(tmp_path).read_trades_all("XRPUSDT.BINANCE")
    calls = iter(range(1, 100))

    class Killed(BaseException):
        """Stands for SIGKILL: no handler of the program runs it."""

    def counted(name: str) -> None:
        original = getattr(Path, name)

        def maybe(self: Path, *args: object, **kwargs: object) -> object:
            if next(calls) == step:
                raise Killed
            return original(self, *args, **kwargs)

        monkeypatch.setattr(Path, name, maybe)

    for name in ("replace", "unlink"):
        counted(name)
    with pytest.raises(Killed):
        Catalog(tmp_path).write_trades(XRP, trades(list(range(1, 61, 2)), step_ns=DAY // 16))
    monkeypatch.undo()
    found = Catalog(tmp_path).read_trades_all("XRPUSDT.BINANCE")
    union = trades(list(range(60)), step_ns=DAY // 16)
    assert len(found) in (len(old), len(union))
    assert_equal(found, old if len(found) == len(old) else union)
    Catalog(tmp_path).write_trades(XRP, trades(list(range(1, 61, 2)), step_ns=DAY // 16))
    assert_equal(Catalog(tmp_path).read_trades_all("XRPUSDT.BINANCE"), union)
    assert {path.suffix for path in (tmp_path / ".work").iterdir()} == {".lock"}


def test_a_lost_manifest_is_rebuilt_from_the_files(tmp_path: Path) -> None:
    """The Parquet files are the truth; also those that Nautilus wrote itself are listed."""
    Catalog(tmp_path, create=True).write_trades(XRP, trades([1, 2, 5, 9]))
    before = Catalog(tmp_path).series()
    (tmp_path / "manifest" / "XRPUSDT.BINANCE.trades.json").unlink()
    assert Catalog(tmp_path).series() == before


@pytest.mark.parametrize("name", ["manifest.json", "manifest/XRPUSDT.BINANCE.trades.json"])
def test_a_damaged_manifest_is_one_clear_error(tmp_path: Path, name: str) -> None:
    """It says which file, and that deleting it is safe."""
    Catalog(tmp_path, create=True).write_trades(XRP, trades([1]))
    before = Catalog(tmp_path).series()
    (tmp_path / name).write_text('{"version": 1, "ser')
    with pytest.raises(DataError, match=r"\.json: damaged manifest .* delete it"):
        Catalog(tmp_path).series()
    (tmp_path / name).unlink()
    assert Catalog(tmp_path).series() == before


def to_first_version(folder: Path) -> None:
    """Bring a catalog to the layout of version 1: one manifest, its own lock."""
    entries = {entry.key: entry for entry in read_entries(folder).values()}
    (folder / "manifest.json").write_bytes(msgspec.json.encode({"version": 1, "series": entries}))
    for hidden in ("manifest", ".work"):
        shutil.rmtree(folder / hidden)
    (folder / ".lock").touch()


def test_a_catalog_of_version_1_is_read_and_split_by_the_next_write(tmp_path: Path) -> None:
    """Nothing is lost: series, sources, notes. Reading alone changes nothing."""
    source = SourceEntry(name="a.csv", sha256="00", rows=4)
    Catalog(tmp_path, create=True).write_trades(XRP, trades([1, 2, 5, 9]), sources=[source], note="mine")
    Catalog(tmp_path).write_trades(ETH_LINEAR, no_ids(trades([1, 2])))
    before = Catalog(tmp_path).manifest
    to_first_version(tmp_path)
    old = files_of(tmp_path)
    assert Catalog(tmp_path).manifest.series == before.series
    assert (
        Catalog(tmp_path).find_series("XRPUSDT.BINANCE", "trades") == before.series["XRPUSDT.BINANCE trades"]
    )
    assert files_of(tmp_path) == old
    Catalog(tmp_path).write_trades(XRP, trades([10]))
    assert json.loads((tmp_path / "manifest.json").read_text()) == {"version": 2, "folder": "manifest"}
    assert sorted(path.name for path in (tmp_path / "manifest").iterdir()) == [
        "ETHUSDT-LINEAR.BYBIT.trades.json", "XRPUSDT.BINANCE.trades.json",
    ]  # fmt: skip
    after = Catalog(tmp_path).manifest.series
    assert after["ETHUSDT-LINEAR.BYBIT trades"] == before.series["ETHUSDT-LINEAR.BYBIT trades"]
    assert after["XRPUSDT.BINANCE trades"].sources == (source,)
    assert after["XRPUSDT.BINANCE trades"].summary()["rows"] == 5


def test_a_write_that_version_1_left_pending_is_finished(tmp_path: Path) -> None:
    """The moves of its `.pending.json` are made before anything is read."""
    Catalog(tmp_path, create=True).write_trades(XRP, trades([1, 2, 3]))
    (file,) = Catalog(tmp_path).find_series("XRPUSDT.BINANCE", "trades").files
    entries = {entry.key: entry for entry in read_entries(tmp_path).values()}
    to_first_version(tmp_path)
    (tmp_path / "manifest.json").unlink()
    (tmp_path / ".staging").mkdir()
    (tmp_path / file.path).replace(tmp_path / ".staging" / "x.parquet")
    pending = {
        "moves": [[".staging/x.parquet", file.path]], "removals": [],
        "manifest": {"version": 1, "series": entries},
    }  # fmt: skip
    (tmp_path / ".pending.json").write_bytes(msgspec.json.encode(pending))
    assert Catalog(tmp_path).read_trades_all("XRPUSDT.BINANCE").trade_id.tolist() == [1, 2, 3]
    assert not (tmp_path / ".pending.json").exists()
    assert not (tmp_path / ".staging").exists()


def test_a_newer_manifest_is_refused(tmp_path: Path) -> None:
    """A program that does not know it would lose what it says."""
    (tmp_path / "manifest.json").write_text('{"version": 3}')
    with pytest.raises(DataError, match="manifest version 3, this program reads 1 and 2"):
        Catalog(tmp_path).series()


def test_bars_lie_in_one_file_per_year(tmp_path: Path) -> None:
    """A new month rewrites its own year only, and the catalog reads as one series."""
    new_year = 1_767_225_600_000_000_000  # 2026-01-01
    opens = new_year + np.arange(-400, 400) * 3_600_000_000_000
    columns = (np.arange(len(opens)) + 100 for _ in range(5))
    bars = BarColumns(opens, opens + 3_600_000_000_000, *columns)
    catalog = Catalog(tmp_path, create=True)
    catalog.write_bars(XRP, "1h", bars[:600])
    first, second = catalog.find_series("XRPUSDT.BINANCE", "klines", "1h").files
    assert (first.rows, second.rows) == (400, 200)
    catalog.write_bars(XRP, "1h", bars[600:])
    after = catalog.find_series("XRPUSDT.BINANCE", "klines", "1h").files
    assert (after[0], after[1].rows) == (first, 400)
    assert_equal(concatenate(list(catalog.read_bars("XRPUSDT.BINANCE-1-HOUR-LAST-EXTERNAL"))), bars)
    assert catalog.series()[0]["missing_ids"] == 0


WRITER = """
import sys
from decimal import Decimal
from pathlib import Path
import numpy as np
from runtime.catalog import Catalog, TradeColumns
from runtime.instruments import make_instrument

folder, symbol, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
instrument = make_instrument("binance", "spot", symbol, Decimal("0.0001"), Decimal("0.1"))
Catalog(folder, create=True)
print("ready", flush=True)
sys.stdin.readline()
for number in range(rounds):
    ids = np.arange(number * 100, number * 100 + 100)
    columns = (1_773_792_000_000_000_000 + ids * 60_000_000_000, 15_000 + ids % 7, 1 + ids % 50_000)
    Catalog(folder).write_trades(instrument, TradeColumns(*columns, ids % 3 == 0, ids))
    print(number, flush=True)
"""


def writer(folder: Path, symbol: str, rounds: int) -> "subprocess.Popen[str]":
    """Start a process that appends `rounds` blocks of 100 trades to a symbol, once it is told to go."""
    command = [sys.executable, "-c", WRITER, str(folder), symbol, str(rounds)]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_two_processes_write_two_series_at_once_and_one_is_killed(tmp_path: Path) -> None:
    """Neither waits for the other; SIGKILL leaves whole blocks, and the other series complete."""
    processes = {
        symbol: writer(tmp_path, symbol, rounds) for symbol, rounds in (("XRPUSDT", 12), ("ADAUSDT", 999))
    }
    for process in processes.values():
        process.stdin.write("go\n")
        process.stdin.flush()
    for _ in range(3):
        processes["ADAUSDT"].stdout.readline()
    processes["ADAUSDT"].kill()
    written = 3 + len(processes["ADAUSDT"].stdout.readlines())
    assert processes["XRPUSDT"].wait(60) == 0
    processes["ADAUSDT"].wait()
    catalog = Catalog(tmp_path)
    assert catalog.read_trades_all("XRPUSDT.BINANCE").trade_id.tolist() == list(range(1_200))
    left = catalog.read_trades_all("ADAUSDT.BINANCE").trade_id
    assert left.tolist() == list(range(len(left)))
    assert len(left) in (written * 100, written * 100 + 100)  # the last block may have been in place already
    assert {row["instrument"]: row["rows"] for row in catalog.series()} == {
        "ADAUSDT.BINANCE": len(left), "XRPUSDT.BINANCE": 1_200,
    }  # fmt: skip
    ada = make_instrument("binance", "spot", "ADAUSDT", Decimal("0.0001"), Decimal("0.1"))
    later = trades(list(range(200_000, 200_100)), step_ns=60_000_000_000)
    assert catalog.write_trades(ada, later).added == 100


def test_a_damaged_parquet_file_is_one_clear_error(tmp_path: Path) -> None:
    """A file cut short is named."""
    Catalog(tmp_path, create=True).write_trades(XRP, trades(list(range(100))))
    (path,) = (tmp_path / "data/trade_tick").rglob("*.parquet")
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(DataError, match="damaged Parquet file"):
        Catalog(tmp_path).read_trades_all("XRPUSDT.BINANCE")


def test_a_second_writer_is_told_to_wait(tmp_path: Path) -> None:
    """Two imports of one series at once would overwrite each other; another series is free."""
    catalog = Catalog(tmp_path, create=True)
    with Slot(tmp_path, "XRPUSDT.BINANCE.trades").locked():
        with pytest.raises(ConfigurationError, match="another command is writing to XRPUSDT"):
            catalog.write_trades(XRP, trades([1]))
        assert catalog.write_trades(ETH_LINEAR, trades([1])).added == 1


def test_missing_catalog_and_unknown_instrument_say_what_to_do(tmp_path: Path) -> None:
    """Both are usage errors."""
    with pytest.raises(
        ConfigurationError, match=r"no such catalog; make one with `download_data\.py import`"
    ):
        Catalog(tmp_path / "absent")
    Catalog(tmp_path, create=True).write_trades(XRP, trades([1]))
    with pytest.raises(ConfigurationError, match=r"no instrument DOGEUSDT.BINANCE, it holds XRPUSDT.BINANCE"):
        Catalog(tmp_path).read_trades_all("DOGEUSDT.BINANCE")


def test_unordered_trades_are_refused(tmp_path: Path) -> None:
    """Sorting is the importer's work; the catalog only checks."""
    with pytest.raises(ValueError, match="ids must increase"):
        Catalog(tmp_path, create=True).write_trades(XRP, trades([2, 1]))


def test_file_names_are_those_of_nautilus() -> None:
    """Colons and dots of the ISO stamp become dashes."""
    assert file_name(START, START + 1) == (
        "2026-03-18T00-00-00-000000000Z_2026-03-18T00-00-00-000000001Z.parquet"
    )


def test_import_of_real_trades_round_trips(tmp_path: Path, shared_data: Path) -> None:
    """A real recording with sizes above 1,844.67 comes back to the last lot."""
    table = pq.read_table(shared_data / "trades" / "binance-spot_XRPUSDT_2026-03-21.parquet")
    size = np.rint(table["qty"].to_numpy() * 10).astype(np.int64)
    assert size.max() > 18_446
    rows = TradeColumns(
        table["ts_ns"].to_numpy(),
        np.rint(table["price"].to_numpy() * 1e4).astype(np.int64),
        size,
        ~table["buyer_maker"].to_numpy(),
        table["trade_id"].to_numpy(),
    )
    Catalog(tmp_path, create=True).write_trades(XRP, rows)
    assert_equal(Catalog(tmp_path).read_trades_all("XRPUSDT.BINANCE"), rows)


def test_files_are_on_the_disk_before_their_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power loss leaves no manifest that names a file whose content, or name, was still in memory."""
    synced: list[int] = []
    fsync = os.fsync

    def noting(descriptor: int) -> None:
        fsync(descriptor)
        synced.append(os.fstat(descriptor).st_ino)

    monkeypatch.setattr(os, "fsync", noting)
    Catalog(tmp_path, create=True).write_trades(XRP, trades([1, 2, 3]))
    (file,) = (tmp_path / "data" / "trade_tick").rglob("*.parquet")
    (manifest,) = (path for path in tmp_path.rglob("*.json") if b"first_id" in path.read_bytes())
    order = [synced.index(path.stat().st_ino) for path in (file, file.parent, manifest)]
    assert order == sorted(order)


def test_a_relative_folder_is_that_of_the_working_folder_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two catalogs called "catalog" in two working folders of one process: each is read as itself."""
    for instrument in (XRP, ETH_LINEAR):
        home = tmp_path / instrument.id.symbol.value
        home.mkdir()
        monkeypatch.chdir(home)
        Catalog("catalog", create=True).write_trades(instrument, trades(list(range(1, 50))))
        assert [one.id for one in Catalog("catalog").instruments()] == [instrument.id]
        assert len(nautilus_catalog("catalog").trade_ticks()) == 49
