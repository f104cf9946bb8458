"""The kernel joins bars to higher ones exactly as the candle store does; the bias is that of `HtfBias`."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from indicators.bias import HtfBias
from indicators.confluence.config import phase_secs
from indicators.confluence.engine import ConfluenceEngine
from runtime.arrow_schema import BarColumns
from runtime.confluence_scan import interval_of
from runtime.errors import ConfigurationError
from runtime.intervals import interval_nanos, interval_phase_ns
from runtime.timeframes import derive
from tests.bars import HOUR_NS, MINUTE_NS, Columns, load_klines, random_ticks
from tests.confluence_checks import SMALL, with_gaps

FRAME = ("open", "high", "low", "close", "volume")
CASES = [
    ("5m", "15m", 5 * MINUTE_NS),
    ("5m", "1h", 5 * MINUTE_NS),
    ("1h", "4h", HOUR_NS),
    ("1h", "1d", HOUR_NS),
    ("12h", "1w", 12 * HOUR_NS),
]


def in_ticks(chart: Columns) -> BarColumns:
    """Return bars of whole ticks and lots as the catalog keeps them."""
    names = ("open", "high", "low", "close", "volume")
    prices = (getattr(chart, name).astype(np.int64) for name in names)
    return BarColumns(chart.ts_open_ns, chart.ts_close_ns, *prices)


def joined_by_the_engine(chart: Columns, base: str, interval: str) -> list[tuple[float, ...]]:
    """Feed bars one by one; return (close time, OHLCV) of each higher bar when it becomes known."""
    secs = interval_nanos(interval) // 10**9
    base_secs = interval_nanos(base) // 10**9
    engine = ConfluenceEngine(replace(SMALL, ltf_secs=base_secs, mtf_secs=base_secs, htf_secs=secs))
    found = []
    for bar in chart.bars():
        row = engine.update(*bar)
        if row["htf_ts_close_ns"] == bar.ts_close_ns:
            frame = engine._states[0]["htf"]
            found.append((bar.ts_close_ns, *(frame[name].item() for name in FRAME)))
            assert row["htf_close"] == frame["close"]
    return found


@pytest.mark.parametrize(("base", "interval", "step_ns"), CASES)
@pytest.mark.parametrize("share", [0.0, 0.002, 0.01])
def test_higher_bars_are_those_of_the_candle_store(
    base: str, interval: str, step_ns: int, share: float
) -> None:
    """Same bars, same bars left out, at the same close times; gaps included."""
    chart = with_gaps(random_ticks(17, 900, step_ns=step_ns), 5, share)
    bars = derive(in_ticks(chart), base, interval, int(chart.ts_close_ns[-1])).bars
    names = ("open_ticks", "high_ticks", "low_ticks", "close_ticks", "volume_lots")
    rows = zip(bars.ts_close_ns.tolist(), *(getattr(bars, name).tolist() for name in names), strict=True)
    expected = [tuple(row) for row in rows]
    assert joined_by_the_engine(chart, base, interval) == expected
    assert len(expected) >= 5


@pytest.mark.parametrize("interval", ["15m", "1h", "4h", "1d", "1w"])
def test_boundaries_are_those_of_the_candle_store(interval: str) -> None:
    """Weeks from Monday, all else from midnight UTC."""
    secs = interval_nanos(interval) // 10**9
    assert phase_secs(secs) * 10**9 == interval_phase_ns(interval)
    assert interval_of(secs) == interval


def test_an_interval_that_is_not_kept_is_refused() -> None:
    """Seven minutes are no bar of any venue."""
    with pytest.raises(ConfigurationError, match="timeframe of 420 s"):
        interval_of(420)


def test_bias_is_that_of_the_lone_object_over_derived_bars(shared_data: Path) -> None:
    """One kernel: `HtfBias` fed with the candle store's closes says what the rows say, as of the close."""
    chart = with_gaps(load_klines(shared_data, "BTCUSDT", 0, 6000), 2, share=0.0005)
    config = replace(
        SMALL, htf_secs=3600, htf_ema_fast_length=20, htf_ema_slow_length=50, htf_warm_up_bars=150
    )
    rows = ConfluenceEngine(config).scan(*chart)
    cents = Columns(*chart[:2], *(np.rint(price * 100) for price in chart[2:6]), *chart[6:])
    bars = derive(in_ticks(cents), "5m", "1h", int(chart.ts_close_ns[-1])).bars
    assert {field.name for field in fields(bars)} >= {"close_ticks"}
    bias = HtfBias().scan(bars.close_ticks / 100.0)
    places = np.searchsorted(bars.ts_close_ns, rows["ts_close_ns"], side="right") - 1
    expected = np.where(places >= 0, bias[np.maximum(places, 0)], 0)
    assert rows["htf_bias"].tolist() == expected.tolist()
    assert set(expected.tolist()) == {-1, 0, 1}
