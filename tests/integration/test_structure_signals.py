"""Structure signals of klines: from the catalog, bar by bar, watched in an engine, and what is refused."""

import csv
import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig
from nautilus_trader.model.currencies import USDT
from nautilus_trader.model.data import Bar, BarType
from nautilus_trader.model.enums import AccountType, OmsType
from nautilus_trader.model.identifiers import Venue
from nautilus_trader.model.objects import Money

import download_data
from indicators.engine import StructureEngine
from indicators.events import EventKind, Scope
from indicators.structure_config import StructureConfig
from runtime import structure_series
from runtime.arrow_schema import BarColumns
from runtime.catalog import Catalog
from runtime.data_commands.structure import SeriesReport, bars_of, bring_up_to_date
from runtime.errors import ConfigurationError, DataError
from runtime.instruments import make_instrument
from runtime.intervals import bar_type_text, interval_nanos
from runtime.structure_series import DEFAULT_KINDS, SCHEMA, kinds_of, open_series, read_structure
from runtime.structure_watch import StructureWatch, StructureWatchConfig, bar_row

XRP = "XRPUSDT.BINANCE"
# Ten days before the end of a month, so that a series has two files.
START = 1_769_000_400_000_000_000
BARS = 4_000
TICK = Decimal("0.0001")
INSTRUMENT = make_instrument("binance", "spot", "XRPUSDT", TICK, Decimal("0.1"))


def walk(count: int = BARS, interval: str = "5m", seed: int = 3) -> BarColumns:
    """Make a random walk with wicks."""
    rng = np.random.default_rng(seed)
    close = 20_000 + np.cumsum(rng.integers(-20, 21, count))
    opens_at = np.r_[20_000, close[:-1]]
    step = interval_nanos(interval)
    ts_open_ns = START // step * step + np.arange(count) * step
    return BarColumns(
        ts_open_ns,
        ts_open_ns + step,
        opens_at,
        np.maximum(opens_at, close) + rng.integers(0, 21, count),
        np.minimum(opens_at, close) - rng.integers(0, 21, count),
        close,
        rng.integers(1, 1_000, count),
    )


def catalog_with(folder: Path, bars: BarColumns, interval: str = "5m") -> Catalog:
    """Store bars of XRPUSDT."""
    catalog = Catalog(folder, create=True)
    catalog.write_bars(INSTRUMENT, interval, bars)
    return catalog


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Catalog, Path]:
    """Store a walk and its signals in two timeframes."""
    folder = tmp_path_factory.mktemp("structure")
    catalog, root = catalog_with(folder / "catalog", walk()), folder / "structure"
    for timeframe in ("5m", "15m"):
        assert bring_up_to_date(catalog, root, XRP, timeframe).status == "made"
    return catalog, root


def test_rows_are_those_of_the_engine(whole: tuple[Catalog, Path]) -> None:
    """Every event of the kinds asked for, each with when it became known and what it speaks of."""
    catalog, root = whole
    bars = bars_of(catalog, XRP, "15m")
    columns = [np.ascontiguousarray(bars[name]) for name in bars.dtype.names or ()]
    engine = StructureEngine(StructureConfig(tick_size=float(TICK)))
    events, _ = engine.scan(*columns, np.full(len(bars), np.nan))
    kinds = {EventKind.BOS, EventKind.CHOCH, EventKind.FVG, EventKind.SWEEP_EXTREME, EventKind.SWEEP_SWING}
    expected = [
        (
            EventKind(event["kind"]).name,
            int(event["direction"]),
            Scope(event["scope"]).name,
            int(event["known_ts_ns"]),
            int(event["known_seq"]),
            int(event["origin_ts_ns"]),
            int(event["origin_seq"]),
            *(float(event[name]) for name in ("low", "high", "level")),
            int(event["event_id"]),
            int(event["ref_id"]),
        )
        for event in events
        if event["kind"] in kinds
    ]
    table = read_structure(root, XRP, "15m")
    assert table.schema == SCHEMA
    found = [tuple(as_plain(column)) for column in table.itercolumns()]
    rows = list(zip(*found[2:], strict=True))
    assert rows == expected
    assert {row[0] for row in rows} == {kind.name for kind in kinds}
    assert set(found[0]) == {XRP}
    assert set(found[1]) == {"15m"}
    assert len(list((root / XRP / "15m").glob("*.parquet"))) == 2, "one file a month"


def as_plain(column: pa.ChunkedArray) -> list[Any]:
    """Return the values of a column, times as UNIX nanoseconds."""
    is_time = pa.types.is_timestamp(column.type)
    values: list[Any] = (pc.cast(column, pa.int64()) if is_time else column).to_pylist()
    return values


@pytest.mark.parametrize("timeframe", ["5m", "15m"])
def test_nothing_is_known_before_its_time(
    whole: tuple[Catalog, Path], tmp_path: Path, timeframe: str
) -> None:
    """A catalog that ends earlier gives the rows that were known by then, and no others."""
    _catalog, root = whole
    table = read_structure(root, XRP, timeframe)
    assert pc.all(pc.less_equal(table["origin_at"], table["known_at"])).as_py()
    for cut in (50, 1_000, 2_501):
        bars = walk()[np.arange(cut)]
        prefix = catalog_with(tmp_path / f"catalog-{cut}", bars)
        out = tmp_path / f"out-{cut}"
        bring_up_to_date(prefix, out, XRP, timeframe)
        last = pa.scalar(int(bars.ts_close_ns[-1]), pa.timestamp("ns", tz="UTC"))
        known = table.filter(pc.less_equal(table["known_at"], last))
        assert read_structure(out, XRP, timeframe).equals(known)


def bytes_of(folder: Path) -> dict[str, bytes]:
    """Return the signals of a series as written, and its state."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_pieces_leave_the_bytes_of_the_whole(whole: tuple[Catalog, Path], tmp_path: Path) -> None:
    """However a catalog grows; a run over nothing new changes nothing."""
    catalog, root = whole
    statuses = []
    for count in (7, 8, 1_500, 1_500, BARS):
        growing = catalog_with(tmp_path / "catalog", walk()[np.arange(count)])
        report = bring_up_to_date(growing, tmp_path / "out", XRP, "5m")
        statuses.append(report.status)
        assert report.bars == count
    assert statuses == ["made", "continued", "continued", "current", "continued"]
    assert read_structure(tmp_path / "out", XRP, "5m").equals(read_structure(root, XRP, "5m"))
    state = (root / XRP / "5m" / structure_series.STATE_FILE).read_bytes()
    assert (tmp_path / "out" / XRP / "5m" / structure_series.STATE_FILE).read_bytes() == state
    del catalog


def test_long_series_are_read_in_pieces(
    whole: tuple[Catalog, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The length of a piece changes nothing."""
    catalog, root = whole
    monkeypatch.setattr(structure_series, "PIECE_BARS", 333)
    bring_up_to_date(catalog, tmp_path, XRP, "5m")
    assert bytes_of(tmp_path / XRP / "5m") == bytes_of(root / XRP / "5m")


def nautilus_bars(bars: BarColumns, interval: str) -> list[Bar]:
    """Return the bars as Nautilus objects."""
    bar_type = BarType.from_str(bar_type_text(XRP, interval))
    prices = (bars.open_ticks, bars.high_ticks, bars.low_ticks, bars.close_ticks)
    rows = zip(*prices, bars.volume_lots, bars.ts_close_ns, strict=True)
    return [
        Bar(
            bar_type,
            *(INSTRUMENT.make_price(int(ticks) * TICK) for ticks in row[:4]),
            INSTRUMENT.make_qty(int(row[4]) * Decimal("0.1")),
            int(row[5]),
            int(row[5]),
        )
        for row in rows
    ]


def watch(root: Path, bars: Sequence[Bar], **settings: Any) -> StructureWatch:
    """Run the watching actor in a backtest engine over bars."""
    config = BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True), run_analysis=False)
    engine = BacktestEngine(config)
    engine.add_venue(Venue("BINANCE"), OmsType.NETTING, AccountType.CASH, [Money(1, USDT)])
    engine.add_instrument(INSTRUMENT)
    types = tuple(dict.fromkeys(str(bar.bar_type) for bar in bars))
    actor = StructureWatch(StructureWatchConfig(folder=str(root), bar_types=types, **settings))
    engine.add_actor(actor)
    engine.add_data(list(bars))
    engine.run()
    engine.dispose()
    return actor


def test_the_watcher_goes_on_where_the_catalog_ended(whole: tuple[Catalog, Path], tmp_path: Path) -> None:
    """Bar by bar, stopped and started again, repeated bars left out: the same rows as in one pass."""
    _catalog, root = whole
    prefix = catalog_with(tmp_path / "catalog", walk()[np.arange(3_900)])
    out = tmp_path / "out"
    bring_up_to_date(prefix, out, XRP, "5m")
    live = nautilus_bars(walk(), "5m")
    assert watch(out, live[3_880:3_950]).bars_ignored == 20
    assert watch(out, live[3_950:]).bars_ignored == 0
    assert read_structure(out, XRP, "5m").equals(read_structure(root, XRP, "5m"))
    assert bring_up_to_date(prefix, out, XRP, "5m").status == "ahead", "what was watched is not thrown away"
    grown = catalog_with(tmp_path / "catalog", walk())
    assert bring_up_to_date(grown, out, XRP, "5m").status == "current"


def test_the_watcher_starts_from_nothing(tmp_path: Path) -> None:
    """With the kinds of its settings; a gap is counted and nothing is filled in."""
    live = nautilus_bars(walk(100), "5m")
    actor = watch(tmp_path, [*live[:60], *live[63:]], kinds=("SWEEP",))
    (series,) = actor.series.values()
    assert (series.bars, series.missing_bars) == (97, 3)
    kinds = read_structure(tmp_path, XRP, "5m")["kind"].to_pylist()
    assert {kind.partition("_")[0] for kind in kinds} == {"SWEEP"}


def test_a_live_bar_is_the_bar_of_the_catalog(whole: tuple[Catalog, Path]) -> None:
    """Bit by bit."""
    catalog, _root = whole
    stored = bars_of(catalog, XRP, "5m")
    for at, bar in enumerate(nautilus_bars(walk()[np.arange(300)], "5m")):
        assert bar_row(bar, interval_nanos("5m")).tobytes() == stored[at : at + 1].tobytes()


def test_a_crash_between_rows_and_state_is_mended(whole: tuple[Catalog, Path], tmp_path: Path) -> None:
    """Rows that the state does not know of are dropped and found again."""
    catalog, root = whole
    early = catalog_with(tmp_path / "catalog", walk()[np.arange(2_000)])
    bring_up_to_date(early, tmp_path / "out", XRP, "5m")
    folder = tmp_path / "out" / XRP / "5m"
    state = (folder / structure_series.STATE_FILE).read_bytes()
    bring_up_to_date(catalog, tmp_path / "out", XRP, "5m")
    (folder / structure_series.STATE_FILE).write_bytes(state)
    assert bring_up_to_date(catalog, tmp_path / "out", XRP, "5m").new_rows > 0
    assert read_structure(tmp_path / "out", XRP, "5m").equals(read_structure(root, XRP, "5m"))
    (folder / structure_series.STATE_FILE).unlink()
    assert bring_up_to_date(early, tmp_path / "out", XRP, "5m").status == "made"
    assert len(list(folder.glob("*.parquet"))) == 1


def test_changed_bars_make_a_series_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], whole: tuple[Catalog, Path]
) -> None:
    """Continuing on other bars than those behind the state would mix two histories."""
    catalog, root = whole
    other = catalog_with(tmp_path / "catalog", walk(2_000, seed=4))
    bring_up_to_date(other, tmp_path / "out", XRP, "5m")
    assert bring_up_to_date(catalog, tmp_path / "out", XRP, "5m").status == "remade"
    assert "stored bars are not those of the catalog" in capsys.readouterr().err
    assert read_structure(tmp_path / "out", XRP, "5m").equals(read_structure(root, XRP, "5m"))


def damage(path: Path) -> None:
    """Cut a file in half."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


REFUSALS: dict[str, tuple[Callable[[Path], Any], type[Exception], str]] = {
    "other kinds": (
        lambda out: open_series(out, XRP, "5m", TICK, kinds_of(["BOS"])),
        ConfigurationError,
        "is stored with kinds BOS, CHOCH, FVG, SWEEP_EXTREME, SWEEP_SWING, not BOS: use --rebuild",
    ),
    "another tick": (
        lambda out: open_series(out, XRP, "5m", Decimal("0.001")),
        ConfigurationError,
        "is stored with a tick of 0.0001, not 0.001",
    ),
    "a damaged state": (
        lambda out: [damage(out / XRP / "5m" / "state.bin"), open_series(out, XRP, "5m", TICK)],
        DataError,
        "state.bin: is damaged",
    ),
    "a damaged table": (
        lambda out: [damage(next((out / XRP / "5m").glob("*.parquet"))), read_structure(out, XRP, "5m")],
        DataError,
        "parquet: cannot be read",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refused_in_one_line(case: str, tmp_path: Path) -> None:
    """And how to put it right."""
    act, kind, message = REFUSALS[case]
    bring_up_to_date(catalog_with(tmp_path / "catalog", walk(300)), tmp_path / "out", XRP, "5m")
    with pytest.raises(kind, match=message) as caught:
        act(tmp_path / "out")
    assert "--rebuild" in str(caught.value)


def command(*words: str | Path) -> int:
    """Run download_data.py in this process."""
    return download_data.main(["structure", *map(str, words)])


def test_the_command_writes_parquet_and_csv(
    whole: tuple[Catalog, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All timeframes in one CSV; the second run finds nothing new; a rebuild may change the kinds."""
    catalog, root = whole
    monkeypatch.chdir(tmp_path)
    words = ("--catalog", catalog.path, "--timeframe", "15m", "--timeframe", "1h", "--out", "out", "--json")
    assert command(*words, "--csv", "all.csv") == 0
    reports = json.loads(capsys.readouterr().out)["series"]
    assert [one["status"] for one in reports] == ["made", "made"]
    assert list(reports[0]) == list(SeriesReport.__slots__)
    table = read_structure(Path("out"), XRP, "15m")
    assert table.equals(read_structure(root, XRP, "15m"))
    with Path("all.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(one["rows"] for one in reports)
    assert {row["timeframe"] for row in rows} == {"15m", "1h"}
    assert list(rows[0]) == SCHEMA.names
    first = table.slice(0, 1).to_pylist()[0]
    assert rows[0]["known_at"] == first["known_at"].strftime("%Y-%m-%dT%H:%M:%SZ")
    assert (rows[0]["kind"], float(rows[0]["low"])) == (first["kind"], first["low"])

    assert command(*words) == 0
    assert [one["status"] for one in json.loads(capsys.readouterr().out)["series"]] == ["current"] * 2
    assert command(*words, "--kind", "bos") == 2
    assert "use --rebuild" in capsys.readouterr().err
    assert command(*words, "--kind", "bos", "--rebuild") == 0
    assert [one["status"] for one in json.loads(capsys.readouterr().out)["series"]] == ["remade"] * 2
    assert set(read_structure(Path("out"), XRP, "1h")["kind"].to_pylist()) == {"BOS"}


def test_reading_by_kind_and_time(whole: tuple[Catalog, Path]) -> None:
    """From a time on, included; of a series that is not there, nothing."""
    _catalog, root = whole
    table = read_structure(root, XRP, "5m")
    from_ns = as_plain(table["known_at"])[len(table) // 2]
    found = read_structure(root, XRP, "5m", kinds=kinds_of(["sweep"]), from_ns=from_ns)
    times, kinds = as_plain(found["known_at"]), set(found["kind"].to_pylist())
    assert min(times) >= from_ns
    assert kinds == {"SWEEP_EXTREME", "SWEEP_SWING"}
    assert len(read_structure(root, XRP, "4h")) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--kind", "GAP"), "kind GAP: use BOS, CHOCH, FVG, SWEEP, ALL"),
        (("--instrument", "ETHUSDT.BINANCE"), "no klines of ETHUSDT.BINANCE; it has XRPUSDT.BINANCE"),
        (("--timeframe", "1m"), "no 1m bars of XRPUSDT.BINANCE and none to derive them from"),
    ],
)
def test_misuse_is_exit_code_2(
    words: tuple[str, str],
    message: str,
    whole: tuple[Catalog, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With what there is instead."""
    assert command("--catalog", whole[0].path, "--out", tmp_path, *words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err


def test_families_are_the_kinds_they_say() -> None:
    """Words in any case; ALL is everything."""
    assert kinds_of(DEFAULT_KINDS) == ("BOS", "CHOCH", "FVG", "SWEEP_EXTREME", "SWEEP_SWING")
    assert kinds_of(["fvg_filled", "all"]) == tuple(sorted(EventKind.__members__))
