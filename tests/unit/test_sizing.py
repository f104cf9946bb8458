"""Quantity from risk, and rounding on exact grids."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies.trade_manager.increments import ceil_to, floor_to, round_down
from strategies.trade_manager.sizing import (
    Market,
    RiskRules,
    Size,
    least_stop_distance,
    leverage_for_target,
    quantity_for_risk,
    size_position,
)
from strategies.trade_manager.skips import Skip, SkipReason
from strategies.trade_manager.stops import stop_limit, structural_stop
from strategies.trade_manager.targets import atr_stop_and_target


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


# Target distance in percent, cap -> leverage for a goal of 10 %.
LEVERAGES = [
    ("1.0", 50, 10),  # exactly 10
    ("1.2", 50, 8),  # 8.33, whole numbers
    ("4.0", 50, 2),  # 2.5, half to even
    ("0.9", 50, 10),  # 11.1, fives
    ("0.6", 50, 15),  # 16.7
    ("0.4", 50, 25),  # 25
    ("0.35", 50, 30),  # 28.6, tens
    ("0.1", 50, 50),  # the cap
    ("0.1", 13, 10),  # 13 rounds to 15, above the cap
    ("0.1", 27, 20),  # 27 rounds to 30, above the cap
    ("0.1", 1, 1),  # spot
    ("50", 50, 1),  # never below 1
]


@pytest.mark.parametrize(("target_pct", "cap", "expected"), LEVERAGES)
@pytest.mark.parametrize("direction", [1, -1])
def test_leverage_makes_the_target_worth_ten_percent(
    target_pct: str, cap: int, expected: int, direction: int
) -> None:
    """Rounded as venues offer it, and never above the cap."""
    entry = Decimal(200)
    target = entry * (1 + direction * Decimal(target_pct) / 100)
    assert leverage_for_target(entry, target, goal_pct=10, max_leverage=cap) == expected


MARKET = Market(
    tick_size=Decimal("0.01"),
    lot_size=Decimal("0.1"),
    min_qty=Decimal("0.1"),
    min_notional=Decimal(20),
    maker_fee=Decimal(0),
    taker_fee=Decimal("0.001"),
    shorts=True,
    target_rests=True,
    exits_need_notional=False,
)
# Equity, free margin, changed rules -> quantity or reason. Long 100 -> 103, stop 98: leverage 3.
SIZES: dict[str, tuple[int, int, RiskRules, str]] = {
    "risk decides": (10_000, 10_000, RiskRules(max_notional_pct=1000), "50.0"),
    "the notional limit": (10_000, 10_000, RiskRules(max_notional_pct=30), "30.0"),
    "free margin times leverage, the fee paid out of it": (10_000, 1_003, RiskRules(), "30.0"),
    "one less for the fee": (10_000, 1_000, RiskRules(), "29.9"),
    "leverage one": (10_000, 1_001, RiskRules(max_leverage=1), "10.0"),
    "a small account": (500, 500, RiskRules(risk_per_trade_pct=0.05), "min_notional"),
    "a tiny account": (1, 1, RiskRules(), "min_qty"),
    "nothing free": (10_000, 0, RiskRules(), "risk"),
    "nothing left": (-5, 100, RiskRules(), "risk"),
}


@pytest.mark.parametrize("name", SIZES)
def test_size_follows_risk_and_is_capped_by_notional_and_margin(name: str) -> None:
    """Or it says why there is none."""
    equity, free, rules, expected = SIZES[name]
    size = size_position(
        Decimal(100),
        Decimal(98),
        Decimal(103),
        rules=rules,
        market=MARKET,
        equity=Decimal(equity),
        free_margin=Decimal(free),
    )
    if isinstance(size, Skip):
        assert size.reason.value == expected
        return
    assert size.qty == Decimal(expected)
    assert size.notional == size.qty * 100
    assert size.margin * size.leverage == pytest.approx(size.notional)
    assert size.risk == size.qty * 2


@given(
    equity=st.integers(1, 10**6),
    free=st.integers(1, 10**6),
    stop_ticks=st.integers(1, 3000),
    target_ticks=st.integers(1, 3000),
    direction=st.sampled_from([1, -1]),
)
def test_no_size_breaks_a_limit(
    equity: int, free: int, stop_ticks: int, target_ticks: int, direction: int
) -> None:
    """Risk, notional, margin and fee within their bounds, and on the grid, exactly."""
    rules = RiskRules(risk_per_trade_pct=0.7, max_notional_pct=250, max_leverage=25)
    entry, tick = Decimal(100), Decimal("0.01")
    size = size_position(
        entry,
        entry - direction * stop_ticks * tick,
        entry + direction * target_ticks * tick,
        rules=rules,
        market=MARKET,
        equity=Decimal(equity),
        free_margin=Decimal(free),
    )
    if isinstance(size, Skip):
        return
    # Increments are resolved to a millionth of a lot, see `increments`.
    slack = MARKET.lot_size * Decimal("1e-6") * entry
    assert size.qty % MARKET.lot_size == 0
    assert size.risk <= equity * Decimal("0.007") + slack
    assert size.notional <= equity * Decimal("2.5") + slack
    assert size.margin + size.notional * MARKET.taker_fee <= free + slack
    assert 1 <= size.leverage <= 25


def test_atr_targets_are_rounded_against_the_trade() -> None:
    """1.5 and 1.0 times 0.333: the target nearer, the stop farther, for both sides."""
    tick = Decimal("0.01")
    assert atr_stop_and_target(1, Decimal(100), 0.333, stop_atr=1.0, target_atr=1.5, tick_size=tick) == (
        Decimal("99.66"),
        Decimal("100.49"),
    )
    assert atr_stop_and_target(-1, Decimal(100), 0.333, stop_atr=1.0, target_atr=1.5, tick_size=tick) == (
        Decimal("100.34"),
        Decimal("99.51"),
    )
    for atr in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="average true range"):
            atr_stop_and_target(1, Decimal(100), atr, stop_atr=1.0, target_atr=1.5, tick_size=tick)


@pytest.mark.parametrize(
    ("rules", "distance", "least"),
    [
        ({"min_stop_pct": 0.5}, "0.49", "0.5"),
        ({"min_stop_ticks": 30}, "0.29", "0.3"),
        ({"min_stop_fees": 2.0}, "0.01", None),
    ],
)
def test_a_stop_too_near_is_skipped(rules: dict[str, Any], distance: str, least: str | None) -> None:
    """Below a share of the price, a number of ticks, or the fees of a round trip; at the limit it is not."""
    entry, limits = Decimal(100), RiskRules(**rules)
    floor = 4 * entry * MARKET.taker_fee if least is None else Decimal(least)
    assert least_stop_distance(entry, limits, MARKET) == floor

    def size(away: Decimal) -> Size | Skip:
        return size_position(
            entry,
            entry - away,
            Decimal(105),
            rules=limits,
            market=MARKET,
            equity=Decimal(10_000),
            free_margin=Decimal(10_000),
        )

    skip = size(Decimal(distance))
    assert isinstance(skip, Skip)
    assert (skip.reason, skip.limit) == (SkipReason.STOP_TOO_NEAR, float(floor))
    assert isinstance(size(floor), Size)
