"""What signals are told of the market, where bars are missing."""

import math
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from strategies.market_context import MarketContext

BAR_SECS = 300


def context_of(closes: Sequence[float | None], bar_secs: int = BAR_SECS) -> MarketContext:
    """Return a context that was told these closes, None for a missing bar."""
    context = MarketContext("BTCUSDT.BINANCE", bar_secs)
    for number, close in enumerate(closes):
        bar: Any = None if close is None else SimpleNamespace(close=close, bias=1)
        context.push(number * bar_secs * 1_000_000_000, bar)
    return context


def test_an_hour_of_bars() -> None:
    """Thirteen closes make an hour; the price is the last of them."""
    context = context_of([100.0] * 12 + [110.0])
    assert context.price() == 110.0
    assert context.change_pct(1) == pytest.approx(10.0)
    assert context.volatility_pct() == pytest.approx(math.log(1.1) * 100)
    assert context_of([100.0] * 12).change_pct(1) is None


def test_old_prices_are_none() -> None:
    """Ten minutes after the last bar its price still counts, later neither price nor change do."""
    closes: list[float | None] = [100.0] * 13
    assert context_of([*closes, None, None]).price() == 100.0
    late = context_of([*closes, None, None, None])
    assert (late.price(), late.change_pct(1), late.volatility_pct()) == (None, None, None)


def test_a_hole_in_the_hour() -> None:
    """An hour with a missing bar has a price, and no change."""
    context = context_of([*[100.0] * 12, None, 100.0])
    assert context.price() == 100.0
    assert (context.change_pct(1), context.volatility_pct()) == (None, None)


def test_bars_longer_than_the_span() -> None:
    """Bars of four hours know the change of four hours, not of one."""
    context = context_of([100.0, 110.0], 4 * 3600)
    assert (context.change_pct(1), context.volatility_pct()) == (None, None)
    assert context.change_pct(4) == pytest.approx(10.0)
