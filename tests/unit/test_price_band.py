"""The sanity band of prices: bad prints stay outside, a new level is believed once it is confirmed."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies.price_band import BandRules, PriceBand, outside_band

TEN = BandRules(band_pct=10.0, trades=5, confirmed_by=4)
CALM = [100.0, 100.5, 99.5, 100.0, 100.2]


def banded(rules: BandRules = TEN) -> PriceBand:
    """Return a band that has seen a calm market at 100."""
    band = PriceBand(rules)
    assert all(band.push(price) for price in CALM)
    return band


BAD = {"+30 %": 130.0, "-30 %": 70.0, "NaN": math.nan, "infinite": math.inf, "zero": 0.0, "below zero": -5.0}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_print_is_outside_and_moves_nothing(case: str) -> None:
    """F19: it is not believed, and the trades around it are judged as if it had not been."""
    band = banded()
    reference = band.reference
    assert not band.push(BAD[case])
    assert band.reference == reference
    assert band.push(100.1)


LEVELS = {
    "four trades at the new level are believed": ([130.0, 130.5, 129.5, 130.0, 130.2], [0, 0, 0, 0, 1]),
    "one trade at the old level in between begins anew": (
        [130.0, 130.0, 130.0, 100.0, 130.0, 130.0],
        [0, 0, 0, 1, 0, 0],
    ),
    "prints that do not agree confirm nothing": ([130.0, 70.0, 130.0, 70.0, 130.0], [0, 0, 0, 0, 0]),
    "rubbish between them counts for nothing": (
        [130.0, math.nan, 130.0, 130.0, 130.0, 130.0],
        [0, 0, 0, 0, 0, 1],
    ),
}


@pytest.mark.parametrize("case", LEVELS)
def test_a_new_level(case: str) -> None:
    """A market that really jumped goes on after a while; a flicker does not move the band."""
    prices, believed = LEVELS[case]
    band = banded()
    assert [band.push(price) for price in prices] == [bool(one) for one in believed]


def test_the_mark_price_has_a_say() -> None:
    """A print within the last trades' band but far from the mark is not believed, and confirms no level."""
    band = banded(BandRules(band_pct=20.0, mark_band_pct=5.0, trades=5, confirmed_by=4))
    band.set_mark(100.0)
    assert band.push(104.0)
    assert not band.push(106.0)
    assert [band.push(130.0) for _ in range(10)] == [False] * 10
    band.set_mark(130.0)
    assert not band.push(130.0)  # the trades have still to confirm it
    assert band.push(130.0)


def test_switched_off_it_believes_everything() -> None:
    """A backtest without a band pays nothing and refuses nothing."""
    band = PriceBand(BandRules(band_pct=0.0))
    assert all(band.push(price) for price in (100.0, 1e9, 1e-9))


@given(st.lists(st.floats(0.99, 1.01), min_size=1, max_size=60))
def test_a_trend_is_followed_however_far_it_goes(steps: list[float]) -> None:
    """Steps of at most 1 % are never outside a band of 10 % around the last five trades."""
    band, price = PriceBand(TEN), 100.0
    for step in steps:
        price *= step
        assert band.push(price)


@given(st.lists(st.floats(90.0, 110.0), min_size=1, max_size=30))
def test_the_reference_is_the_median(prices: list[float]) -> None:
    """Of the believed trades, the newest five at most."""
    band = PriceBand(BandRules(band_pct=90.0, trades=5))
    for price in prices:
        band.push(price)
    last = sorted(prices[-5:])
    assert band.reference == last[len(last) // 2]


def naive_beliefs(prices: list[float], band: float, count: int, confirmed_by: int) -> list[bool]:
    """Judge each price by the median of the last believed ones, with nothing remembered but lists."""
    recent: list[float] = []
    seen: list[float] = []
    answers = []
    for price in prices:
        middle = sorted(recent)[len(recent) // 2] if recent else price
        is_near = middle * (1 - band) <= price <= middle * (1 + band)
        answers.append(is_near)
        if is_near:
            recent, seen = [*recent, price][-count:], []
            continue
        if seen and abs(price - seen[0]) > seen[0] * band:
            seen = []
        seen.append(price)
        if len(seen) >= confirmed_by:
            recent, seen = seen[-count:], []
    return answers


@given(st.lists(st.floats(60.0, 150.0) | st.floats(97.0, 103.0), min_size=1, max_size=80))
def test_the_shortcut_changes_nothing(prices: list[float]) -> None:
    """What lies within the sure bounds is near, and every price is judged as without them."""
    band = PriceBand(TEN)
    answers = []
    for price in prices:
        if band.sure_low <= price <= band.sure_high:
            assert band.is_near(price)
        answers.append(band.push(price))
    assert answers == naive_beliefs(prices, 0.1, TEN.trades, TEN.confirmed_by)


def test_rules_must_make_sense() -> None:
    """Percentages below 100, counts above 0."""
    for wrong in ({"band_pct": 100.0}, {"band_pct": math.nan}, {"mark_band_pct": -1.0}, {"trades": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            BandRules(**wrong)


def test_an_order_is_held_against_trades_and_mark() -> None:
    """The farther of both references counts; a price that is no number is outside."""
    assert outside_band(104.0, CALM, 5.0) == 0.0
    assert outside_band(94.0, CALM, 5.0) == pytest.approx(6.0)
    assert outside_band(104.0, CALM, 5.0, mark_price=98.0) == pytest.approx(6.122, abs=0.01)
    assert outside_band(104.0, [], 5.0) == 0.0  # nothing to compare it with
    assert math.isnan(outside_band(math.nan, CALM, 5.0))
