"""Quantity from risk, and rounding on exact grids."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies.trade_manager.increments import ceil_to, floor_to, round_down
from strategies.trade_manager.sizing import quantity_for_risk
from strategies.trade_manager.stops import stop_limit, structural_stop


@pytest.mark.parametrize(
    ("risk_pct", "max_notional", "expected"),
    [(1.0, 1_000_000, "50.0"), (1.0, 3_000, "30.0"), (0.999, 1_000_000, "49.9"), (0.001, 1_000_000, "0.0")],
)
def test_risk_over_stop_distance_capped_by_notional(
    risk_pct: float, max_notional: int, expected: str
) -> None:
    """10,000 USDT, entry 100, stop 98: one percent is 50 coins."""
    qty = quantity_for_risk(
        equity=Decimal(10_000),
        risk_pct=risk_pct,
        entry_price=Decimal(100),
        stop_price=Decimal(98),
        max_notional=Decimal(max_notional),
        lot_size=Decimal("0.1"),
    )
    assert qty == Decimal(expected)


def test_a_stop_at_the_entry_has_no_size() -> None:
    """Dividing by it would size without bound."""
    with pytest.raises(ValueError, match=r"the stop \(100\) is at the entry"):
        quantity_for_risk(
            equity=Decimal(1),
            risk_pct=1,
            entry_price=Decimal(100),
            stop_price=Decimal(100),
            max_notional=Decimal(1),
            lot_size=Decimal(1),
        )


@given(ticks=st.integers(1, 10**9), exponent=st.integers(0, 8))
def test_prices_on_the_grid_stay_where_they_are(ticks: int, exponent: int) -> None:
    """The float nearest to a tick is that tick, from either side."""
    tick = Decimal(1).scaleb(-exponent)
    price = float(ticks * tick)
    assert floor_to(price, tick) == ceil_to(price, tick) == ticks * tick


@given(value=st.floats(0.001, 1e6), direction=st.sampled_from([1, -1]))
def test_rounding_down_is_down_for_a_long_and_up_for_a_short(value: float, direction: int) -> None:
    """And by less than one increment."""
    tick = Decimal("0.01")
    moved = (value - float(round_down(value, tick, direction))) * direction
    assert -1e-7 < moved < 0.01 + 1e-7


def test_stops_stand_away_from_the_range_and_their_limits_beyond_them() -> None:
    """0.1 % beyond the origin; the limit of a stop-limit at least one tick further."""
    tick = Decimal("0.01")
    assert structural_stop(1, 100.0, 0.1, tick) == Decimal("99.90")
    assert structural_stop(-1, 100.0, 0.1, tick) == Decimal("100.10")
    assert stop_limit(1, Decimal("99.90"), 0.0, tick) == Decimal("99.89")
    assert stop_limit(-1, Decimal("100.10"), 0.2, tick) == Decimal("100.31")
