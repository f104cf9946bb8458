"""ATR, EMA and RSI on their own: textbook numbers, a plain definition, and the engine's columns.

The textbook numbers are worked out below by hand, or are the published ones of StockCharts' "ChartSchool"
(RSI of 14 changes of QQQQ closes, December 2009), which many libraries are checked against.
"""

import math
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest

from indicators.average import AverageTrueRange, ExponentialAverage, RelativeStrength
from tests.bars import Bar, Columns, random_ticks
from tests.structure_checks import SHORT, scan, vary

NAN = float("nan")


def wilder(values: list[float], length: int) -> Iterator[float]:
    """Yield Wilder's average: the mean of the first values, then (previous x (length - 1) + new) / length."""
    average = NAN
    for count, value in enumerate(values, start=1):
        if count == length:
            average = sum(values[:length]) / length
        elif count > length:
            average = (average * (length - 1) + value) / length
        yield average


def true_ranges(bars: list[Bar]) -> list[float]:
    """Return the largest of high - low and the distances of both from the close before."""
    ranges = [bars[0].high - bars[0].low]
    for before, bar in pairwise(bars):
        ends = (bar.high, bar.low, before.close)
        ranges.append(max(ends) - min(ends))
    return ranges


def rsi(closes: list[float], length: int) -> list[float]:
    """Return 100 - 100 / (1 + RS) with RS = average gain / average loss; 50 if nothing moved."""
    changes = [b - a for a, b in pairwise(closes)]
    gains = wilder([max(change, 0.0) for change in changes], length)
    losses = wilder([max(-change, 0.0) for change in changes], length)
    values = [NAN]
    for gain, loss in zip(gains, losses, strict=True):
        if loss:
            values.append(100.0 - 100.0 / (1.0 + gain / loss))
        else:
            values.append(100.0 if gain else 50.0 if gain == 0.0 else NAN)
    return values


def ema(closes: list[float], length: int) -> list[float]:
    """Return close x k + old x (1 - k) at each bar, with k = 2 / (length + 1), from the first close on."""
    weight, values = 2.0 / (length + 1), closes[:1]
    for close in closes[1:]:
        values.append(close * weight + values[-1] * (1.0 - weight))
    return values


def same(told: list[float], expected: list[float]) -> None:
    """Assert equality up to rounding; NaN where NaN is expected."""
    assert told == pytest.approx(expected, rel=1e-9, abs=1e-9, nan_ok=True)


# High, low, close. The third bar gaps up from 11, the fifth down from 14: their true ranges reach to these.
RANGES = [(12, 10, 11), (13, 10, 11), (15, 13, 14), (15, 13, 14), (10, 8, 9)]


def test_atr_is_the_mean_of_the_last_true_ranges() -> None:
    """True ranges 2, 3, 4, 2, 6: means of three are 3, 3 and 4."""
    atr = AverageTrueRange(3)
    same([atr.update(*bar) for bar in RANGES], [NAN, NAN, 3.0, 3.0, 4.0])


def test_wilders_atr_keeps_two_thirds_of_the_one_before() -> None:
    """Mean 3 first, then (2 x 3 + 2) / 3 = 8/3, then (2 x 8/3 + 6) / 3 = 34/9."""
    atr = AverageTrueRange(3, "rma")
    same([atr.update(*bar) for bar in RANGES], [NAN, NAN, 3.0, 8 / 3, 34 / 9])


def test_ema_of_three_moves_half_the_way() -> None:
    """Half the way from the first close on, k being 1/2: 10, 12, 15, 9.5."""
    average = ExponentialAverage(3)
    assert [average.update(close) for close in (10.0, 14.0, 18.0, 4.0)] == [10.0, 12.0, 15.0, 9.5]


def test_rsi_of_two_gains_and_a_loss() -> None:
    """Gains 2, 0, 4 and losses 0, 1, 0: RS = 6; then a loss of 3: gains 4/3, losses 11/9, RS = 12/11."""
    strength = RelativeStrength(3)
    told = [strength.update(close) for close in (10.0, 12.0, 11.0, 15.0, 12.0)]
    same(told, [NAN, NAN, NAN, 600 / 7, 1200 / 23])


@pytest.mark.parametrize(("step", "expected"), [(1.0, 100.0), (-1.0, 0.0), (0.0, 50.0)])
def test_rsi_of_one_way_markets(step: float, expected: float) -> None:
    """Only gains are 100, only losses 0, and no move at all 50."""
    strength = RelativeStrength(14)
    assert [strength.update(100.0 + step * n) for n in range(20)][14:] == [expected] * 6


CHART_SCHOOL = """
    44.3389 44.0902 44.1497 43.6124 44.3278 44.8264 45.0955 45.4245 45.8433 46.0826 45.8931
    46.0328 45.6140 46.2820 46.2820 46.0028 46.0328 46.4116 46.2222 45.6439 46.2122
"""


def test_rsi_of_the_published_example() -> None:
    """The first seven published values, to the two decimals that they are published with."""
    strength = RelativeStrength(14)
    told = [strength.update(close) for close in map(float, CHART_SCHOOL.split())]
    assert [round(value, 2) for value in told[14:]] == [70.53, 66.32, 66.55, 69.41, 66.36, 57.97, 62.93]


@pytest.fixture(scope="module", params=[21, 22])
def chart(request: pytest.FixtureRequest) -> Columns:
    """Give 700 random bars with gaps, plateaus and zero-range bars."""
    return random_ticks(request.param, 700, tick=0.25)


@pytest.mark.parametrize("length", [1, 2, 14, 256])
def test_they_are_the_plain_definition_at_every_bar(chart: Columns, length: int) -> None:
    """Random bars: each object against its definition written down again in plain Python."""
    bars, closes = chart.bars(), chart.close.tolist()
    ranges = true_ranges(bars)
    means = [
        sum(ranges[t + 1 - length : t + 1]) / length if t + 1 >= length else NAN for t in range(len(ranges))
    ]
    plain, smooth = AverageTrueRange(length), AverageTrueRange(length, "rma")
    same([plain.update(bar.high, bar.low, bar.close) for bar in bars], means)
    same([smooth.update(bar.high, bar.low, bar.close) for bar in bars], list(wilder(ranges, length)))
    average, strength = ExponentialAverage(length), RelativeStrength(length)
    same([average.update(close) for close in closes], ema(closes, length))
    same([strength.update(close) for close in closes], rsi(closes, length))


@pytest.mark.parametrize("kind", ["sma", "rma"])
def test_they_are_the_engines_columns_to_the_bit(chart: Columns, kind: str) -> None:
    """The same kernels: the engine's columns, which never let an ATR fall below one tick."""
    config = vary(atr_kind=kind, tick_size=0.25)
    _, snapshots = scan(config, chart)
    fast, slow = AverageTrueRange(SHORT.atr_length, kind), AverageTrueRange(SHORT.atr_slow_length)  # type: ignore[arg-type]
    averages = ExponentialAverage(SHORT.ema_fast_length), ExponentialAverage(SHORT.ema_slow_length)
    strength = RelativeStrength(SHORT.rsi_length)
    told = [
        (
            fast.update(bar.high, bar.low, bar.close),
            slow.update(bar.high, bar.low, bar.close),
            *(average.update(bar.close) for average in averages),
            strength.update(bar.close),
        )
        for bar in chart.bars()
    ]
    alone = np.array(told)
    alone[:, :2] = np.where(alone[:, :2] < config.tick_size, config.tick_size, alone[:, :2])
    columns = [snapshots[name] for name in ("atr", "atr_slow", "ema_fast", "ema_slow", "rsi")]
    for column, values in zip(columns, alone.T, strict=True):
        assert np.array_equal(column, values, equal_nan=True)
        assert math.isfinite(values[-1])


@pytest.mark.parametrize("length", [0, 257])
def test_lengths_out_of_range_are_refused(length: int) -> None:
    """An ATR looks back 1 to 256 bars; the value is in the message."""
    with pytest.raises(ValueError, match=f"length must be in 1..256, got {length}"):
        AverageTrueRange(length)
