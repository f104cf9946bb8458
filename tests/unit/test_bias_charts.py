"""HTF bias: EMA 20 and EMA 50 of closed bars, against their definition in plain Python."""

import math

import numpy as np
import pytest

from indicators.bias import HtfBias


def ema(closes: list[float], length: int) -> float:
    """Exponential average, recursive, seeded with the first close."""
    value = closes[0]
    for close in closes[1:]:
        value += (close - value) * 2 / (length + 1)
    return value


def defined(closes: list[float]) -> int:
    """Bullish is close > EMA20 > EMA50, bearish the mirror image, else neutral; unknown before 150."""
    if len(closes) < 150:
        return 0
    fast, slow = ema(closes, 20), ema(closes, 50)
    return int(closes[-1] > fast > slow) - int(closes[-1] < fast < slow)


def test_bias_is_unknown_until_the_150th_close() -> None:
    """A rise from the first bar on is told with the 150th close and not before."""
    bias = HtfBias()
    told = [bias.update(100.0 + n) for n in range(152)]
    assert told[:149] == [0] * 149
    assert told[149:] == [1, 1, 1]


def test_falling_closes_are_bearish_and_a_pullback_is_neutral() -> None:
    """The order of the three decides: a close back above the fast average is neither."""
    bias = HtfBias()
    closes = [500.0 - n for n in range(160)]
    assert [bias.update(close) for close in closes][-1] == -1
    assert bias.update(360.0) == 0


@pytest.mark.parametrize("seed", range(5))
def test_bias_is_the_definition_at_every_bar(seed: int) -> None:
    """Random closes: each bar's bias is that of the plain definition over all closes so far."""
    closes = (100 + np.random.default_rng(seed).normal(0, 1, 400).cumsum() * 0.5).tolist()
    bias = HtfBias()
    told = [bias.update(close) for close in closes]
    expected = [defined(closes[: n + 1]) for n in range(len(closes))]
    assert told == expected
    assert {-1, 0, 1} >= set(told)
    assert len(set(told)) > 1
    assert HtfBias().scan(np.array(closes)).tolist() == told


def test_close_that_is_no_number_is_refused_and_changes_nothing() -> None:
    """NaN is refused; the bias goes on as if it had not been offered."""
    bias, twin = HtfBias(), HtfBias()
    for n in range(170):
        assert bias.update(100.0 + n) == twin.update(100.0 + n)
        with pytest.raises(ValueError, match="must be finite"):
            bias.update(math.nan)
