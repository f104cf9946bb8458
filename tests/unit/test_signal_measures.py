"""What is measured of a signal: by definition, and never of a bar that had not closed."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from ml.signal_features import MEASURED
from ml.signal_measures import WINDOW_BARS, BarWindow, measure

BAR_SECS = 300
MIDNIGHT_SECS = 1_773_792_000
POINTS = {"htf": 25.0, "fvg": 15.0}

type Bars = list[tuple[int, float, float, float, float, float, float]]


def bars_of(seed: int, count: int) -> Bars:
    """Return made-up bars from a midnight on: close time, high, low, close, volume, ATR, RSI."""
    random = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(random.normal(0, 0.002, count)))
    high, low = close * (1 + random.random(count) / 500), close * (1 - random.random(count) / 500)
    volume, atr, rsi = random.random(count) + 0.5, random.random(count) + 0.2, random.random(count) * 100
    return [
        (
            MIDNIGHT_SECS + (at + 1) * BAR_SECS,
            *(float(one[at]) for one in (high, low, close, volume, atr, rsi)),
        )
        for at in range(count)
    ]


def window_of(bars: Sequence[tuple[int, float, float, float, float, float, float]]) -> BarWindow:
    """Return a window that took these bars."""
    window = BarWindow()
    for bar in bars:
        window.push(*bar)
    return window


def measured(coin: Bars, market: Bars) -> dict[str, float]:
    """Measure a long signal of the last bar."""
    return measure(window_of(coin), window_of(market), 1, 40.0, POINTS)


def test_each_value_is_what_its_definition_says() -> None:
    """Computed a second time, slowly, from all bars since the beginning."""
    coin, market = bars_of(1, 700), bars_of(2, 700)
    found = measured(coin, market)
    _, _, _, close, volume, atr, rsi = coin[-1]
    assert tuple(found) == MEASURED
    assert found["atr_percentile"] == sum(bar[5] <= atr for bar in coin[-200:]) / 200
    assert found["volume_ratio"] == pytest.approx(volume / (sum(bar[4] for bar in coin[-20:]) / 20))
    assert found["btc_change_1h"] == math.log(market[-1][3] / market[-13][3])
    assert found["btc_change_4h"] == math.log(market[-1][3] / market[-49][3])
    returns = [np.diff(np.log([bar[3] for bar in one[-101:]])) for one in (coin, market)]
    assert found["btc_correlation"] == pytest.approx(np.corrcoef(*returns)[0, 1])
    today = coin[576:]  # the third UTC day
    assert found["day_high_atr"] == (max(bar[1] for bar in today) - close) / atr
    assert found["day_low_atr"] == (close - min(bar[2] for bar in today)) / atr
    assert (found["rsi"], found["score"]) == (rsi, 40.0)
    assert (found["factor_htf"], found["factor_fvg"], found["factor_sweep"]) == (25.0, 15.0, 0.0)


def test_future_changes_nothing_and_old_bars_are_forgotten() -> None:
    """At each of 150 bars the values are those of a history that ends there, and begins a window earlier."""
    coin, market = bars_of(3, 600), bars_of(4, 600)
    own, other = window_of(coin[:450]), window_of(market[:450])
    for at in range(450, 600):
        own.push(*coin[at])
        other.push(*market[at])
        going = measure(own, other, -1, 55.0, POINTS)
        day = at // 288 * 288  # the range of the day needs the bars since midnight
        first = min(at + 1 - WINDOW_BARS, day)
        fresh = measure(window_of(coin[first : at + 1]), window_of(market[first : at + 1]), -1, 55.0, POINTS)
        assert np.array(list(going.values())).tobytes() == np.array(list(fresh.values())).tobytes()


def test_a_bar_of_the_future_would_be_seen() -> None:
    """The test above can fail: one bar more moves nearly every measured value."""
    coin, market = bars_of(5, 400), bars_of(6, 400)
    now, later = measured(coin[:-1], market[:-1]), measured(coin, market)
    moved = {name for name in MEASURED if now[name] != later[name]}
    assert moved >= {"atr_percentile", "btc_correlation", "btc_change_1h", "btc_change_4h", "volume_ratio"}


@pytest.mark.parametrize(
    ("lows", "highs", "rsi", "expected"),
    [
        ((95, 94), (101, 101), (25, 35), 1.0),
        ((95, 94), (101, 101), (35, 25), 0.0),
        ((95, 96), (101, 101), (25, 35), 0.0),
        ((99, 99), (105, 106), (75, 65), -1.0),
        ((99, 99), (106, 105), (75, 65), 0.0),
    ],
)
def test_divergence(
    lows: tuple[float, float], highs: tuple[float, float], rsi: tuple[float, float], expected: float
) -> None:
    """A lower low of price with a higher RSI is bullish, a higher high with a lower one bearish."""
    bars = [(MIDNIGHT_SECS + (at + 1) * BAR_SECS, 101.0, 99.0, 100.0, 1.0, 1.0, 50.0) for at in range(60)]
    for at, number in ((30, 0), (57, 1)):
        bars[at] = (bars[at][0], highs[number], lows[number], 100.0, 1.0, 1.0, rsi[number])
    assert measured(bars, bars)["rsi_divergence"] == expected


def test_what_is_not_known_is_nan() -> None:
    """Too few bars, no market, or a gap in it: unknown, not zero."""
    coin, market = bars_of(7, 300), bars_of(8, 300)
    short = measured(coin[:15], market[:15])
    unknown = {"atr_percentile", "btc_correlation", "btc_change_4h", "rsi_divergence", "volume_ratio"}
    assert {name for name, value in short.items() if math.isnan(value)} >= unknown
    alone = measure(window_of(coin), None, 1, 40.0, {})
    missing = {name for name, value in alone.items() if math.isnan(value)}
    assert missing == {"btc_correlation", "btc_change_1h", "btc_change_4h"}
    late = measured(coin, market[:-1])
    assert math.isnan(late["btc_change_1h"])
    assert math.isnan(late["btc_correlation"])
    holed = measured(coin, market[:-13] + market[-12:])
    assert math.isnan(holed["btc_change_1h"])
    assert not math.isnan(holed["btc_change_4h"])
    with pytest.raises(ValueError, match="0 bars"):
        measure(BarWindow(), None, 1, 0.0, {})
