"""Many symbols in one pass over a catalog: the rows of the engine, in order, whoever computes them."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nautilus_trader.model.objects import Price

from indicators.confluence.config import ConfluenceConfig
from indicators.confluence.engine import ConfluenceEngine
from indicators.confluence.signals import signal_sides
from runtime.arrow_schema import BarColumns
from runtime.catalog import Catalog
from runtime.confluence_scan import SCORE_EDGES, SymbolRows, exact_floats, scan_symbols
from runtime.errors import ConfigurationError
from runtime.instruments import decimals_of, make_instrument
from tests.bars import Columns, random_ticks
from tests.confluence_checks import SMALL, STEP_NS, with_gaps

TICK = Decimal("0.1")
SYMBOLS = ("ADAUSDT", "BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT")


def chart_of(symbol: str) -> Columns:
    """Make the bars of one symbol, in ticks and lots, with gaps."""
    seed = SYMBOLS.index(symbol)
    return with_gaps(random_ticks(seed, 700, step_ns=STEP_NS), seed, share=0.005)


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write five-minute bars of five symbols."""
    made = Catalog(tmp_path_factory.mktemp("confluence") / "catalog", create=True)
    for symbol in SYMBOLS:
        instrument = make_instrument("binance", "spot", symbol, TICK, Decimal("0.5"))
        chart = chart_of(symbol)
        columns = (column.astype(np.int64) for column in chart[2:7])
        made.write_bars(instrument, "5m", BarColumns(chart.ts_open_ns, chart.ts_close_ns, *columns))
    return made.path


def configs(**changes: Any) -> dict[str, ConfluenceConfig]:
    """Return the small parameters for each symbol; the tick size is left to the catalog."""
    return {f"{symbol}.BINANCE": replace(SMALL, **changes) for symbol in SYMBOLS}


def as_bytes(found: list[SymbolRows]) -> list[bytes]:
    """Return everything that is told, in order."""
    return [
        b"".join((one.instrument_id.encode(), one.rows.tobytes(), one.score_counts.tobytes()))
        for one in found
    ]


def test_rows_are_those_of_the_engine_bar_by_bar(catalog: Path) -> None:
    """Prices as the nearest floats to their decimals, which is what a live strategy feeds."""
    for one in scan_symbols(catalog, configs(), workers=1):
        engine = ConfluenceEngine(SMALL.with_tick_size(0.1))
        for bar, row in zip(chart_of(one.instrument_id[:7]).bars(), one.rows, strict=True):
            prices = [Price(round(price) / 10, 1).as_double() for price in bar[2:6]]
            live = [round(price, 1) for price in prices]
            assert engine.update(*bar[:2], *live, bar.volume * 0.5).tobytes() == row.tobytes()


def test_results_come_in_order_and_do_not_depend_on_the_workers(catalog: Path) -> None:
    """One process or two, each symbol on its own or all of them."""
    alone = as_bytes(list(scan_symbols(catalog, configs(), workers=1)))
    assert as_bytes(list(scan_symbols(catalog, configs(), workers=2))) == alone
    backwards = dict(reversed(configs().items()))
    assert as_bytes(list(scan_symbols(catalog, backwards, workers=1))) == alone[::-1]


def test_only_rows_that_reach_the_smallest_score_are_kept(catalog: Path) -> None:
    """Every signal at that score is among them; the counts are of all bars."""
    whole = list(scan_symbols(catalog, configs(), workers=1))
    kept = list(scan_symbols(catalog, configs(), min_score=50.0, workers=1))
    for every, some in zip(whole, kept, strict=True):
        rows = every.rows
        wanted = (rows["score_long"] >= 50.0) | (rows["score_short"] >= 50.0)
        assert some.rows.tobytes() == rows[wanted].tobytes()
        assert 0 < len(some.rows) < len(rows) == some.bars
        assert np.count_nonzero(signal_sides(some.rows, 50.0)) == np.count_nonzero(signal_sides(rows, 50.0))
        ready = rows[rows["is_ready"] == 1]
        assert some.score_counts.tolist() == every.score_counts.tolist()
        assert some.score_counts.sum(axis=1).tolist() == [some.ready, some.ready] == [len(ready)] * 2
        at = SCORE_EDGES.index(50)
        assert some.score_counts[0, at:].sum() == (ready["score_long"] >= 50).sum()


def test_a_range_of_time_begins_a_new_stream(catalog: Path) -> None:
    """Rows up to the end are those of the bars in the range."""
    chart = chart_of("BTCUSDT")
    first, last = int(chart.ts_close_ns[100]), int(chart.ts_close_ns[400])
    config = {"BTCUSDT.BINANCE": SMALL}
    (one,) = scan_symbols(catalog, config, start_ns=first, end_ns=last, workers=1)
    assert one.rows["ts_close_ns"].tolist() == chart.ts_close_ns[100:401].tolist()
    assert one.rows["seq"][0] == 0


def test_coarser_lower_timeframes_are_derived(catalog: Path) -> None:
    """Fifteen-minute bars from the stored five-minute ones."""
    config = replace(SMALL, ltf_secs=900, mtf_secs=900, htf_secs=3600)
    (one,) = scan_symbols(catalog, {"BTCUSDT.BINANCE": config}, workers=1)
    assert set(np.diff(one.rows["ts_close_ns"]) % (900 * 10**9)) == {0}
    assert 150 < one.bars < 240


@pytest.mark.parametrize(
    ("name", "changes", "workers", "message"),
    [
        ("DOGEUSDT.BINANCE", {}, 1, "DOGEUSDT.BINANCE"),
        ("BTCUSDT.BINANCE", {"ltf_secs": 60, "mtf_secs": 300}, 1, "no 1m bars of BTCUSDT.BINANCE"),
        ("BTCUSDT.BINANCE", {}, 0, "workers must be >= 1"),
    ],
)
def test_what_cannot_be_scored_is_refused(
    catalog: Path, name: str, changes: dict[str, Any], workers: int, message: str
) -> None:
    """An unknown symbol, an interval that is not there, no worker."""
    with pytest.raises(ConfigurationError, match=message):
        list(scan_symbols(catalog, {name: replace(SMALL, **changes)}, workers=workers))


def test_a_worker_names_what_it_refuses(catalog: Path) -> None:
    """The error of a worker process is the error of the call."""
    wanted = configs() | {"BTCUSDT.BINANCE": replace(SMALL, ltf_secs=60, mtf_secs=300)}
    with pytest.raises(ConfigurationError, match="no 1m bars of BTCUSDT"):
        list(scan_symbols(catalog, wanted, workers=2))


@pytest.mark.parametrize("increment", ["0.1", "0.00000001", "0.05", "0.25", "1", "5", "10", "0.0007"])
def test_floats_are_the_nearest_to_the_decimals(increment: str) -> None:
    """As `float` reads the text, and as Nautilus' price rounded to its decimals."""
    step = Decimal(increment)
    units = np.random.default_rng(1).integers(1, 10**8, 500)
    floats = exact_floats(units, step)
    assert floats.tolist() == [float(int(unit) * step) for unit in units]
    decimals = decimals_of(step)
    for value in floats.tolist():
        assert round(Price(value, decimals).as_double(), decimals) == value
