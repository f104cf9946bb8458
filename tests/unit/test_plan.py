"""From zone to plan: prices on the tick, passive, and no zone that cannot pay for itself."""

import math
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies.guards import Circumstances, GuardRules, blocked
from strategies.trade_manager.client_ids import client_order_id, setup_id
from strategies.trade_manager.plan import (
    EntryPlan,
    EntryRules,
    Funds,
    Market,
    Skip,
    SkipReason,
    Zone,
    check_plan,
    plan_entry,
    reprice_distance,
)

PERP = Market(
    tick_size=Decimal("0.0001"),
    lot_size=Decimal("0.1"),
    min_qty=Decimal("0.1"),
    min_notional=Decimal(5),
    maker_fee=Decimal("0.0002"),
    taker_fee=Decimal("0.0005"),
    shorts=True,
    target_rests=True,
    exits_need_notional=False,
)
RICH = Funds(Decimal(10_000), Decimal(100_000))


def zone(direction: int, low: float, high: float, ratio: float = 0.705) -> Zone:
    """Return a zone with its sweet spot."""
    sweet = high - ratio * (high - low) if direction > 0 else low + ratio * (high - low)
    return Zone(1, direction, 0, low, high, sweet)


def test_a_long_enters_below_the_sweet_spot_and_stops_below_the_origin() -> None:
    """A pencil check: leg 1.0000 to 1.1000, 10,000 USDT, 1 % risk, 100 % notional."""
    plan = plan_entry(zone(1, 1.0, 1.1), EntryRules(), PERP, RICH)
    assert isinstance(plan, EntryPlan)
    assert (plan.entry_price, plan.stop_price, plan.target_price) == (
        Decimal("1.0295"),
        Decimal("0.9990"),
        Decimal("1.1000"),
    )
    assert plan.qty == Decimal("3278.6")  # 100 USDT / 0.0305, rounded down
    assert float(plan.reward_risk) == pytest.approx(0.0705 / 0.0305)


def test_a_short_is_mirrored() -> None:
    """Entry above the sweet spot, stop above the high."""
    plan = plan_entry(zone(-1, 1.0, 1.1), EntryRules(), PERP, RICH)
    assert isinstance(plan, EntryPlan)
    assert (plan.entry_price, plan.stop_price, plan.target_price) == (
        Decimal("1.0705"),
        Decimal("1.1011"),
        Decimal("1.0000"),
    )


@pytest.mark.parametrize(
    ("kind", "long", "short"),
    [
        ("range_high", "1.1", "1"),
        ("extension_1.27", "1.127", "0.973"),
        ("extension_1.618", "1.1618", "0.9382"),
    ],
)
def test_targets_stand_at_the_end_of_the_leg_or_beyond(kind: Any, long: str, short: str) -> None:
    """27 % and 61.8 % of the leg beyond its end."""
    rules = EntryRules(target=kind)
    up = plan_entry(zone(1, 1.0, 1.1), rules, PERP, RICH)
    down = plan_entry(zone(-1, 1.0, 1.1), rules, PERP, RICH)
    assert isinstance(up, EntryPlan)
    assert isinstance(down, EntryPlan)
    assert (up.target_price, down.target_price) == (Decimal(long), Decimal(short))


@pytest.mark.parametrize(
    ("given_zone", "rules", "market", "funds", "reason"),
    [
        (zone(1, math.nan, 1.1), {}, {}, RICH, SkipReason.NON_FINITE),
        (Zone(1, 1, 0, 1.0, 1.1, math.inf), {}, {}, RICH, SkipReason.NON_FINITE),
        (Zone(1, 1, 0, 1.1, 1.0, 1.05), {}, {}, RICH, SkipReason.NON_FINITE),
        (zone(-1, 1.0, 1.1), {}, {"shorts": False}, RICH, SkipReason.SIDE),
        (zone(-1, 1.0, 1.1), {"side": "long"}, {}, RICH, SkipReason.SIDE),
        (zone(1, 1.0, 1.1), {"side": "short"}, {}, RICH, SkipReason.SIDE),
        (zone(1, 1.0, 1.001), {}, {}, RICH, SkipReason.REWARD_RISK),
        (zone(1, 1.0, 1.0005), {"min_reward_risk": 0.0}, {}, RICH, SkipReason.FEES),
        (zone(1, 1.0, 1.0007), {"min_reward_risk": 0.0}, {"target_rests": False}, RICH, SkipReason.FEES),
        (zone(1, 1.0, 1.1), {}, {}, Funds(Decimal(0), Decimal(0)), SkipReason.MIN_QTY),
        (zone(1, 1.0, 1.1), {}, {"min_qty": Decimal(5000)}, RICH, SkipReason.MIN_QTY),
        (zone(1, 1.0, 1.1), {}, {}, Funds(Decimal(10), Decimal("5.001")), SkipReason.MIN_NOTIONAL),
        (zone(1, 1.0, 1.1), {"stop_buffer_pct": 100.0}, {}, RICH, SkipReason.NO_STOP_DISTANCE),
    ],
)
def test_what_cannot_be_traded_is_skipped_with_its_reason(
    given_zone: Zone, rules: dict[str, Any], market: dict[str, Any], funds: Funds, reason: SkipReason
) -> None:
    """Each reason from the smallest change that causes it."""
    fields = {name: getattr(PERP, name) for name in PERP.__slots__} | market
    skip = plan_entry(given_zone, EntryRules(**rules), Market(**fields), funds)
    assert isinstance(skip, Skip)
    assert skip.reason is reason


@given(
    low=st.integers(1_000, 200_000),
    leg=st.integers(1, 20_000),
    direction=st.sampled_from([1, -1]),
    equity=st.integers(1, 10_000_000),
    risk_pct=st.floats(0.01, 5),
    notional_pct=st.floats(1, 1_000),
)
def test_every_plan_is_on_the_grid_and_within_its_limits(
    low: int, leg: int, direction: int, equity: int, risk_pct: float, notional_pct: float
) -> None:
    """Prices are ticks, quantity is lots, order of prices is right, risk and notional are not exceeded."""
    rules = EntryRules(risk_per_trade_pct=risk_pct, max_notional_pct=notional_pct)
    funds = Funds(Decimal(equity), Decimal(equity) * 20)
    given_zone = zone(direction, low / 10_000, (low + leg) / 10_000)
    plan = plan_entry(given_zone, rules, PERP, funds)
    if isinstance(plan, Skip):
        return
    for price in (plan.entry_price, plan.stop_price, plan.target_price):
        assert price % PERP.tick_size == 0
    assert plan.qty % PERP.lot_size == 0
    assert plan.qty >= PERP.min_qty
    assert plan.stop_price * direction < plan.entry_price * direction < plan.target_price * direction
    # Passive: on the far side of the sweet spot, but by less than a tick.
    behind = (given_zone.sweet - float(plan.entry_price)) * direction
    assert -1e-9 <= behind < 1.0001e-4
    assert plan.reward_risk >= 1
    risk = plan.qty * abs(plan.entry_price - plan.stop_price)
    assert risk <= Decimal(equity) * Decimal(str(risk_pct)) / 100
    assert plan.qty * plan.entry_price <= Decimal(equity) * Decimal(str(notional_pct)) / 100


def test_the_entry_follows_by_the_larger_of_ticks_and_leg() -> None:
    """Two ticks on a small leg, five percent of a large one."""
    assert reprice_distance(zone(1, 1.0, 1.001), EntryRules(), 0.0001) == pytest.approx(0.0002)
    assert reprice_distance(zone(1, 1.0, 1.1), EntryRules(), 0.0001) == pytest.approx(0.005)


CALM = {
    "ts_ns": 100,
    "data_age_ns": 0,
    "is_halted": False,
    "is_tainted": False,
    "bucket_move_ratio": 0.001,
    "bias": None,
}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, None),
        ({"is_halted": True}, SkipReason.HALTED),
        ({"ts_ns": 99}, SkipReason.WARM_UP),
        ({"is_tainted": True}, SkipReason.TAINTED),
        ({"bucket_move_ratio": 0.31}, SkipReason.BAD_PRINT),
        ({"bucket_move_ratio": math.nan}, SkipReason.BAD_PRINT),
        ({"data_age_ns": 11_000_000_000}, SkipReason.STALE_DATA),
        ({"bias": 0}, SkipReason.HTF_BIAS),
        ({"bias": -1}, SkipReason.HTF_BIAS),
        ({"bias": 1}, None),
    ],
)
def test_circumstances_that_forbid_a_long_entry(change: dict[str, Any], reason: SkipReason | None) -> None:
    """One circumstance at a time; an unknown bias (0) forbids as well."""
    assert blocked(1, Circumstances(**(CALM | change)), GuardRules(trade_from_ns=100)) is reason


@given(
    symbol=st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-", min_size=1, max_size=30),
    ts_ns=st.integers(1_500_000_000_000_000_000, 2_500_000_000_000_000_000),
    zone_id=st.integers(0, 10**9),
    attempt=st.integers(1, 1295),
)
def test_client_order_ids_fit_the_venues(symbol: str, ts_ns: int, zone_id: int, attempt: int) -> None:
    """At most 36 characters of the set that both venues take, the same for the same intent."""
    setup = setup_id(1, ts_ns, zone_id)
    text = client_order_id("OTE", symbol, setup, "E", attempt)
    assert len(text) <= 36
    assert set(text) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-")
    assert text == client_order_id("OTE", symbol, setup_id(1, ts_ns, zone_id), "E", attempt)
    assert text != client_order_id("OTE", symbol, setup, "E", attempt + 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stop_price": Decimal(101)}, "between stop and target"),
        ({"target_price": Decimal(99)}, "between stop and target"),
        ({"direction": -1}, "between stop and target"),
        ({"direction": 0}, "want \\+1 or -1"),
        ({"qty": Decimal(0)}, "above zero"),
        ({"stop_price": Decimal("NaN")}, "finite"),
        ({"stop_price": Decimal(-1)}, "above zero"),
    ],
)
def test_a_plan_that_makes_no_sense_is_a_bug(change: dict[str, Any], message: str) -> None:
    """Whoever made it: nothing is sent."""
    plan = EntryPlan(1, Decimal(100), Decimal(98), Decimal(103), Decimal(1), 7, 98.0, 103.0)
    check_plan(plan)
    with pytest.raises(ValueError, match=message):
        check_plan(replace(plan, **change))
