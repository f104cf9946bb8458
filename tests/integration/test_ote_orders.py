"""Orders, fills and protection of `OteStrategy` in a real BacktestEngine with honest fills.

`CheckedStrategy` asserts after every event that position and protection agree; the tests add what should
have happened. The usual chart: a leg from 1.0000 to 1.1000, so the entry waits at 1.0295 (mirrored for a
short), the stop stands at 0.9990 and the target at 1.1000.
"""

from decimal import Decimal
from itertools import pairwise

import pytest
from nautilus_trader.model.enums import OrderSide, OrderStatus, OrderType

from indicators.events import EventKind
from strategies.trade_manager.lifecycle import Stage
from tests.integration.engine_harness import (
    START_NS,
    STEP_NS,
    AccountName,
    CheckedStrategy,
    Trade,
    event,
    run,
)

FORMED = event(EventKind.RANGE_FORMED, low=1.0, high=1.1)
FORMED_SHORT = event(EventKind.RANGE_FORMED, direction=-1, low=1.0, high=1.1)
ENTRY, STOP, TARGET = 1.0295, 0.999, 1.1

both_latencies = pytest.mark.parametrize("latency_ms", [0, 50])
both_accounts = pytest.mark.parametrize("account", ["cash", "margin"])


def flat(price: float, count: int, size: float = 1000.0, side: str = "s") -> list[Trade]:
    """Return trades at one price whose sizes differ, so that none counts as consumed already."""
    return [(price, size + number, side) for number in range(count)]


def ramp(start: float, end: float, count: int, size: float = 1000.0) -> list[Trade]:
    """Return trades from one price to another, the taker on the side of the move."""
    step = (end - start) / count
    side = "b" if step > 0 else "s"
    return [(round(start + step * (n + 1), 4), size + n, side) for n in range(count)]


def mirrored(trades: list[Trade]) -> list[Trade]:
    """Return the chart upside down about 1.05, the middle of the leg."""
    return [(round(2.1 - price, 4), size, "b" if side == "s" else "s") for price, size, side in trades]


START = flat(1.09, 5)
DOWN_TO_ENTRY = ramp(1.09, 1.031, 20)
THROUGH_ENTRY = flat(1.0290, 5, size=5000)
UP_TO_TARGET = ramp(1.0290, 1.0990, 20)
THROUGH_TARGET = flat(1.1003, 20, size=5000, side="b")
BEFORE_TARGET = [*START, *DOWN_TO_ENTRY, *THROUGH_ENTRY, *flat(1.03, 20), *UP_TO_TARGET]
AFTERWARDS = flat(1.08, 30)


@both_accounts
@both_latencies
def test_a_long_is_entered_at_the_sweet_spot_and_left_at_the_target(
    account: AccountName, latency_ms: int
) -> None:
    """The whole life of one setup, and its profit is what the account gained."""
    result = run(
        [*BEFORE_TARGET, *THROUGH_TARGET, *AFTERWARDS], {2: [FORMED]}, account=account, latency_ms=latency_ms
    )
    (trade,) = result.trades
    assert (trade.side, trade.exit_reason, trade.entry_price) == ("long", "target", "1.0295")
    assert float(trade.exit_price) >= TARGET
    assert trade.mae_r < 0 < 2 < trade.r_multiple <= trade.mfe_r
    worth = result.balance + result.coins * Decimal(trade.exit_price)
    assert worth - 10_000 == pytest.approx(Decimal(trade.pnl), abs=Decimal("1e-6"))
    assert result.strategy.stages[-1] is Stage.CLOSED
    assert result.strategy.counters["illegal_transitions"] == 0
    assert all(order.is_closed for order in result.orders)


@both_latencies
def test_a_short_is_the_mirror_image_of_a_long(latency_ms: int) -> None:
    """On margin the same chart upside down makes the same trade on the other side."""
    chart = [*BEFORE_TARGET, *THROUGH_TARGET, *AFTERWARDS]
    (long,) = run(chart, {2: [FORMED]}, latency_ms=latency_ms).trades
    (short,) = run(mirrored(chart), {2: [FORMED_SHORT]}, latency_ms=latency_ms).trades
    assert short.side == "short"
    assert (short.entry_price, short.exit_reason) == ("1.0705", "target")
    assert Decimal(short.stop_price) == Decimal("1.1011")
    assert short.entry_ts_ns == long.entry_ts_ns
    assert short.mfe_r > 2


def test_a_cash_account_trades_no_shorts() -> None:
    """The zone is skipped by side and nothing is sent."""
    result = run(mirrored(BEFORE_TARGET), {2: [FORMED_SHORT]}, account="cash")
    assert result.orders == []
    assert [one.reason for one in result.kinds("zone_skipped")] == ["side"]
    assert result.strategy.counters["zones_skipped_side"] == 1


@both_accounts
@both_latencies
def test_a_partial_entry_is_protected_while_the_rest_waits(account: AccountName, latency_ms: int) -> None:
    """Prints smaller than the order fill it piece by piece; then the zone dies and the rest is cancelled."""
    pieces = [(1.0294, 300.0 + n, "s") if n % 8 == 0 else (1.0297, 100.0 + n, "b") for n in range(40)]
    chart = [
        *START,
        *DOWN_TO_ENTRY,
        *pieces,
        *flat(1.04, 30),
        *ramp(1.04, 0.9985, 10),
        *flat(0.9980, 30, 9000),
    ]
    end = len(START) + len(DOWN_TO_ENTRY) + len(pieces) + 10
    script = {2: [FORMED], end: [event(EventKind.OTE_COMPLETED)]}
    result = run(chart, script, account=account, latency_ms=latency_ms)
    (trade,) = result.trades
    fills = result.kinds("entry_filled")
    assert len(fills) >= 4
    assert Decimal(trade.qty) == sum(Decimal(one.qty) for one in fills) < Decimal(3278)
    entry = next(order for order in result.orders if "ENTRY" in order.tags)
    assert entry.status == OrderStatus.CANCELED
    assert Stage.PARTIAL in result.strategy.stages
    assert Stage.PROTECTED in result.strategy.stages
    assert trade.exit_reason == "stop"


@both_latencies
def test_the_stop_shrinks_with_every_partial_fill_of_the_target(latency_ms: int) -> None:
    """The target fills in pieces; the checked strategy sees the stop follow each time."""
    pieces = [(1.1002, 400.0 + n, "b") if n % 15 == 0 else (1.0985, 100.0 + n, "s") for n in range(150)]
    result = run([*BEFORE_TARGET, *pieces], {2: [FORMED]}, latency_ms=latency_ms)
    (trade,) = result.trades
    assert trade.exit_reason == "target"
    stops = [order.quantity.as_decimal() for order in result.orders if "STOP" in order.tags]
    assert len(stops) >= 6
    assert all(later <= earlier for earlier, later in pairwise(stops[2:]))


@both_latencies
def test_a_stop_after_a_partial_target_sells_only_the_rest(latency_ms: int) -> None:
    """What the target sold is not sold again, and the reason is that of the last exit."""
    pieces = [(1.1002, 1000.0, "b"), *flat(1.0985, 20), *ramp(1.0985, 0.9985, 10), *flat(0.9980, 30, 9000)]
    result = run([*BEFORE_TARGET, *pieces], {2: [FORMED]}, latency_ms=latency_ms)
    (trade,) = result.trades
    sold = {
        leg: sum(o.filled_qty.as_decimal() for o in result.orders if leg in o.tags)
        for leg in ("TARGET", "STOP")
    }
    assert sold["TARGET"] == 1000
    assert sold["TARGET"] + sold["STOP"] == Decimal(trade.qty)
    assert trade.exit_reason == "stop"
    assert result.open_positions == 0


@both_accounts
def test_a_cancel_that_loses_the_race_leaves_a_protected_position(account: AccountName) -> None:
    """The zone dies on the very trade after which price runs through the entry, 50 ms before the cancel."""
    chart = [*START, *DOWN_TO_ENTRY, *flat(1.0290, 3, size=5000), *flat(1.03, 30), *AFTERWARDS]
    last_before = len(START) + len(DOWN_TO_ENTRY) - 1
    script = {2: [FORMED], last_before: [event(EventKind.RANGE_OPPOSED)]}
    result = run(chart, script, account=account, latency_ms=50)
    assert [one.reason for one in result.kinds("entry_cancelled")] == ["opposed"]
    assert Stage.CANCELLING in result.strategy.stages
    assert result.strategy.stages[-1] is Stage.PROTECTED
    assert result.strategy.counters["positions_open_at_stop"] == 1
    stop = [order for order in result.orders if "STOP" in order.tags][-1]
    assert stop.status == OrderStatus.ACCEPTED
    assert stop.quantity.as_decimal() == result.strategy.setup.exitable_qty  # type: ignore[union-attr]
    assert result.strategy.counters["illegal_transitions"] == 0


@both_accounts
def test_an_entry_that_would_take_liquidity_is_priced_once_behind_the_market(account: AccountName) -> None:
    """While the order is on its way price falls below it: post-only refuses, the second one rests lower."""
    chart = [*flat(1.05, 3), *flat(1.0289, 30, size=2000), *flat(1.0288, 20), *AFTERWARDS]
    result = run(chart, {2: [FORMED]}, account=account, latency_ms=50)
    assert [one.reason for one in result.kinds("entry_rejected")] == ["post_only"]
    entries = [order for order in result.orders if "ENTRY" in order.tags]
    assert [str(order.price) for order in entries] == ["1.0295", "1.0288"]
    assert entries[1].client_order_id.value.endswith("-E2")


def test_an_entry_that_would_take_liquidity_is_dropped_on_request() -> None:
    """Policy `drop`: the setup ends and is counted."""
    chart = [*flat(1.05, 3), *flat(1.0289, 30, size=2000), *AFTERWARDS]
    result = run(chart, {2: [FORMED]}, latency_ms=50, post_only_reject="drop")
    assert len(result.orders) == 1
    assert result.strategy.counters["entries_rejected"] == 1
    assert result.strategy.stages[-1] is Stage.CLOSED


@both_latencies
def test_a_gap_through_the_stop_fills_at_the_gap_on_margin(latency_ms: int) -> None:
    """A stop-market order takes what is there."""
    chart = [*START, *DOWN_TO_ENTRY, *THROUGH_ENTRY, *flat(1.03, 20), *flat(0.98, 40, size=9000)]
    result = run(chart, {2: [FORMED]}, latency_ms=latency_ms)
    (trade,) = result.trades
    assert trade.exit_reason == "stop"
    assert float(trade.exit_price) <= 0.98
    assert trade.r_multiple < -1.5


@both_latencies
def test_a_gap_over_the_stop_limit_goes_to_market_on_spot(latency_ms: int) -> None:
    """The stop-limit rests above the market: after the set time it is cancelled and sold at market."""
    chart = [*START, *DOWN_TO_ENTRY, *THROUGH_ENTRY, *flat(1.03, 20), *flat(0.98, 200, size=9000)]
    result = run(chart, {2: [FORMED]}, account="cash", latency_ms=latency_ms, exit_market_after_secs=1.0)
    (trade,) = result.trades
    assert trade.exit_reason == "stop"
    assert float(trade.exit_price) <= 0.98
    stop, market = [order for order in result.orders if "ENTRY" not in order.tags][-2:]
    assert (stop.order_type, stop.status) == (OrderType.STOP_LIMIT, OrderStatus.CANCELED)
    assert market.order_type == OrderType.MARKET
    assert 1e9 <= trade.exit_ts_ns - _time_of(0.98, chart) <= 1e9 + 2 * latency_ms * 1e6 + 3 * STEP_NS
    assert result.strategy.counters["illegal_transitions"] == 0


def test_a_target_limit_that_price_left_behind_goes_to_market_on_spot() -> None:
    """One print at the target, then price falls back: the limit waits its time, then all is sold."""
    chart = [*BEFORE_TARGET, (1.1001, 500.0, "b"), *flat(1.09, 200, size=9000)]
    result = run(chart, {2: [FORMED]}, account="cash", latency_ms=50, exit_market_after_secs=1.0)
    (trade,) = result.trades
    assert trade.exit_reason == "target"
    assert 1.08 < float(trade.exit_price) < 1.1001
    assert result.orders[-1].order_type == OrderType.MARKET


@both_accounts
def test_an_expired_zone_takes_its_entry_along(account: AccountName) -> None:
    """RANGE_EXPIRED cancels the entry; nothing was filled, nothing is recorded as a trade."""
    result = run(
        [*START, *flat(1.05, 30)],
        {2: [FORMED], 10: [event(EventKind.RANGE_EXPIRED)]},
        account=account,
        latency_ms=50,
    )
    (order,) = result.orders
    assert order.status == OrderStatus.CANCELED
    assert result.trades == []
    assert len(result.kinds("expired")) == 1
    assert result.strategy.stages[-1] is Stage.CLOSED


def test_an_entry_outlives_its_time_by_no_trade() -> None:
    """``entry_ttl_secs`` counts trade time: the first trade after it cancels."""
    result = run([*START, *flat(1.05, 60)], {2: [FORMED]}, entry_ttl_secs=0.3)
    (cancelled,) = result.kinds("entry_cancelled")
    (submitted,) = result.kinds("entry_submitted")
    assert cancelled.reason == "ttl"
    assert 0 <= cancelled.ts_ns - submitted.ts_ns - 300_000_000 <= STEP_NS


@both_accounts
@both_latencies
def test_the_entry_follows_an_extended_range(account: AccountName, latency_ms: int) -> None:
    """A leg that grew from 0.10 to 0.13 moves the sweet spot by 7 % of it; the small step before does not."""
    small = event(EventKind.RANGE_EXTENDED, low=1.0, high=1.101)
    large = event(EventKind.RANGE_EXTENDED, low=1.0, high=1.13)
    result = run(
        [*START, *flat(1.11, 40)],
        {2: [FORMED], 10: [small], 20: [large]},
        account=account,
        latency_ms=latency_ms,
    )
    assert [str(order.price) for order in result.orders] == ["1.0295", "1.0383"]
    assert result.orders[0].status == OrderStatus.CANCELED
    setup = result.strategy.setup
    assert setup is not None
    assert setup.plan.target_price == Decimal("1.1300")
    assert result.strategy.counters["entries_repriced"] == 1


def test_a_small_extension_moves_only_the_target() -> None:
    """One cancel and submit less; the target is the new end of the leg."""
    small = event(EventKind.RANGE_EXTENDED, low=1.0, high=1.102)
    chart = [*BEFORE_TARGET, *flat(1.1012, 10, side="b"), *flat(1.1025, 10, 5000, "b"), *AFTERWARDS]
    result = run(chart, {2: [FORMED], 10: [small]})
    (trade,) = result.trades
    assert trade.target_price == "1.102"
    assert result.strategy.counters["entries_repriced"] == 0


@pytest.mark.parametrize("steps", [1, 3, 5])
def test_extensions_that_chase_each_other_leave_one_entry(steps: int) -> None:
    """New prices while the cancel is under way: only the last one is sent, and only one order lives."""
    highs = [round(1.0 + 0.1 * 1.25 ** (number + 1), 4) for number in range(steps)]
    script = {2: [FORMED]}
    for number, high in enumerate(highs):
        script[10 + number] = [event(EventKind.RANGE_EXTENDED, low=1.0, high=high)]
    result = run([*START, *flat(1.35, 60)], script, latency_ms=50)
    assert sum(order.status != OrderStatus.CANCELED for order in result.orders) <= 1
    sweet_spot = highs[-1] - 0.705 * (highs[-1] - 1.0)
    assert float(result.orders[-1].price) == pytest.approx(sweet_spot, abs=1e-4)


@both_latencies
def test_nothing_is_entered_on_a_tainted_bucket_but_on_the_next_clean_one(latency_ms: int) -> None:
    """The zone forms on a bucket with missing trades: the entry waits for a clean one."""
    result = run([*START, *flat(1.05, 30)], {2: [FORMED]}, latency_ms=latency_ms, tainted=[2, 3, 4])
    assert [one.reason for one in result.kinds("zone_skipped")] == ["tainted"]
    (submitted,) = result.kinds("entry_submitted")
    assert submitted.bucket_seq == 5
    assert result.strategy.counters.get("zones_skipped_tainted", 0) == 0


def test_a_trade_held_over_a_tainted_bucket_says_so() -> None:
    """Metrics with and without such trades need the flag."""
    chart = [*BEFORE_TARGET, *THROUGH_TARGET, *AFTERWARDS]
    tainted = run(chart, {2: [FORMED]}, tainted=[40]).trades[0]
    before = run(chart, {2: [FORMED]}, tainted=[3]).trades[0]
    assert (tainted.tainted, before.tainted) == (True, False)


@pytest.mark.parametrize(
    ("settings", "low", "high", "reason"),
    [
        ({}, 1.0, 1.001, "reward_risk"),
        ({"min_reward_risk": 0.0}, 1.0, 1.0005, "fees"),
        ({"side": "short"}, 1.0, 1.1, "side"),
        ({"min_reward_risk": 5.0}, 1.0, 1.1, "reward_risk"),
        ({"risk_per_trade_pct": 0.0001}, 1.0, 1.1, "min_notional"),
        ({"trade_from_ns": 1 << 61}, 1.0, 1.1, "warm_up"),
        ({}, float("nan"), 1.1, "non_finite"),
        ({}, 1.08, 1.14, "touched"),
    ],
)
def test_zones_that_are_not_traded_are_counted_by_reason(
    settings: dict[str, float], low: float, high: float, reason: str
) -> None:
    """Nothing is sent, one decision says why, and the counter has it once the zone is over."""
    formed = event(EventKind.RANGE_FORMED, low=low, high=high)
    result = run(flat(1.09, 20), {2: [formed], 15: [event(EventKind.RANGE_INVALIDATED)]}, **settings)
    assert result.orders == []
    assert [one.reason for one in result.kinds("zone_skipped")] == [reason]
    assert result.strategy.counters[f"zones_skipped_{reason}"] == 1
    assert result.strategy.counters["zones"] == 1


def test_a_zone_that_grows_past_the_minimum_is_traded_after_all() -> None:
    """Reward/risk rises with the leg: a skipped zone is looked at again when its range extends."""
    formed = event(EventKind.RANGE_FORMED, low=1.0, high=1.001)
    grown = event(EventKind.RANGE_EXTENDED, low=1.0, high=1.08)
    result = run(flat(1.07, 20), {2: [formed], 8: [grown]})
    (submitted,) = result.kinds("entry_submitted")
    assert submitted.bucket_seq == 8
    assert "zones_skipped_reward_risk" not in result.strategy.counters


@both_accounts
def test_a_second_zone_waits_until_the_first_setup_is_over(account: AccountName) -> None:
    """One setup per instrument: the zone that formed meanwhile is entered when the first entry is gone."""
    second = event(EventKind.RANGE_FORMED, low=1.01, high=1.11, zone=7)
    script = {2: [FORMED], 8: [second], 20: [event(EventKind.RANGE_SUPERSEDED)]}
    result = run([*START, *flat(1.09, 40)], script, account=account, latency_ms=50)
    first, later = result.kinds("entry_submitted")
    assert (first.zone_id, later.zone_id) == (0, 7)
    assert later.bucket_seq >= 25
    assert [one.reason for one in result.kinds("zone_skipped")] == ["entry_resting"]


def test_other_scopes_do_not_speak_to_this_strategy() -> None:
    """With external structure an internal range changes nothing."""
    internal = list(FORMED)
    internal[3] = 1
    result = run(flat(1.09, 10), {2: [tuple(internal)]})
    assert result.strategy.counters["zones"] == 0
    taken = run(flat(1.09, 10), {2: [tuple(internal)]}, structure="internal")
    assert taken.strategy.counters["zones"] == 1


@both_accounts
def test_orders_of_an_account_carry_only_what_its_venue_accepts(account: AccountName) -> None:
    """No lists, no links; reduce-only on every margin exit and on no spot order; ids say what they are."""
    pieces = [(1.1002, 1000.0, "b"), *flat(1.0985, 20), *ramp(1.0985, 0.9985, 10), *flat(0.9980, 90, 9000)]
    result = run([*BEFORE_TARGET, *pieces], {2: [FORMED]}, account=account, latency_ms=50)
    ids = [order.client_order_id.value for order in result.orders]
    assert len(set(ids)) == len(ids)
    assert all(len(one) <= 36 and one.startswith("OTE-XRPUSDT") for one in ids)
    for order in result.orders:
        is_entry = "ENTRY" in order.tags
        assert order.linked_order_ids is None
        assert order.order_list_id is None
        assert order.is_post_only == is_entry
        assert order.is_reduce_only == (account == "margin" and not is_entry)
        assert (order.side == OrderSide.BUY) == is_entry
    again = run([*BEFORE_TARGET, *pieces], {2: [FORMED]}, account=account, latency_ms=50)
    assert [order.client_order_id.value for order in again.orders] == ids


@both_accounts
def test_stopping_takes_the_entry_back_and_leaves_the_protection(account: AccountName) -> None:
    """Half an entry is filled when the data ends."""
    chart = [*START, *DOWN_TO_ENTRY, (1.0290, 1000.0, "s"), *flat(1.03, 10)]
    result = run(chart, {2: [FORMED]}, account=account)
    status = {order.tags[0]: order.status for order in result.orders}
    assert status["ENTRY"] == OrderStatus.CANCELED
    assert status["STOP"] == OrderStatus.ACCEPTED
    assert result.strategy.counters["positions_open_at_stop"] == 1


def test_the_dust_of_a_spot_trade_is_sold_with_the_next_one() -> None:
    """Base fees leave a fraction of a lot; profits of both trades and the dust add up to the account."""
    once = [*BEFORE_TARGET, *THROUGH_TARGET, *AFTERWARDS]
    second = event(EventKind.RANGE_FORMED, low=1.0, high=1.1, zone=7)
    at = len(once) + 3
    result = run(
        [*once, *once], {2: [FORMED], at - 2: [event(EventKind.OTE_COMPLETED)], at: [second]}, account="cash"
    )
    first, last = result.trades
    assert Decimal(first.dust_qty) > 0
    assert result.coins == Decimal(last.dust_qty)
    worth = result.balance + result.coins * Decimal(last.exit_price)
    assert worth - 10_000 == pytest.approx(Decimal(first.pnl) + Decimal(last.pnl), abs=Decimal("1e-6"))


def test_coins_too_few_to_sell_become_dust_and_not_a_rejected_order() -> None:
    """A sliver of an entry is below the venue's smallest notional when the zone dies."""
    chart = [*START, *DOWN_TO_ENTRY, (1.0290, 2.0, "s"), *flat(1.03, 30, side="b")]
    script = {2: [FORMED], len(START) + len(DOWN_TO_ENTRY) + 3: [event(EventKind.RANGE_OPPOSED)]}
    result = run(chart, script, account="cash")
    assert [order.tags for order in result.orders] == [["ENTRY"]]
    assert result.trades == []
    assert [one.qty for one in result.kinds("dust")] == ["1.9996"]
    assert result.strategy.stages[-1] is Stage.CLOSED


def test_a_stop_that_the_venue_refuses_closes_the_position_at_market() -> None:
    """F12: price is beyond the stop when it arrives, and the venue refuses it: out, logged."""
    chart = [*START, *DOWN_TO_ENTRY, (1.0290, 9000.0, "s"), *flat(0.9985, 60, size=9000)]
    result = run(chart, {2: [FORMED]}, latency_ms=50)
    (trade,) = result.trades
    assert trade.exit_reason in {"protection_refused", "stop"}
    assert result.open_positions == 0
    assert result.strategy.counters["illegal_transitions"] == 0


def test_a_market_exit_that_the_venue_forgot_is_asked_about_and_sent_again() -> None:
    """The simulated venue loses a market order when the print was eaten: nothing hangs for ever.

    The second print adds to the entry and triggers the stop, which eats it; the stop for what was added is
    refused, and the market exit finds an empty book, so it is neither filled nor rejected.
    """
    pieces = [(1.0290, 1287.9, "s"), (0.9980, 63.7, "s")]
    chart = [*START, *DOWN_TO_ENTRY, *pieces, *flat(0.9985, 400, side="b")]
    result = run(
        chart,
        {2: [FORMED]},
        step_ns=100_000_000,
        market_order_acks=False,
        unprotected_limit_ns=25_000_000_000,
    )
    (trade,) = result.trades
    assert trade.exit_reason == "protection_refused"
    assert result.strategy.counters["orders_queried"] == 1
    assert [one.reason for one in result.kinds("protection") if "unanswered" in one.reason] == [
        "exit_unanswered"
    ]
    assert result.open_positions == 0


def _time_of(price: float, chart: list[Trade]) -> int:
    return START_NS + STEP_NS * next(n for n, trade in enumerate(chart) if trade[0] == price)


@both_accounts
@both_latencies
def test_bug_in_the_order_life_closes_the_position_by_an_order_of_its_own(
    account: AccountName, latency_ms: int
) -> None:
    """An illegal signal halts, and an exit with an intent id closes the position and is counted."""

    def break_it(number: int, strategy: CheckedStrategy) -> None:
        setup = strategy.setup
        if number == 40 and setup is not None:
            assert setup.is_in_position
            strategy.give_up(setup, "planted")

    trades = [*BEFORE_TARGET, *AFTERWARDS]
    result = run(trades, {3: [FORMED]}, account=account, latency_ms=latency_ms, hook=break_it)
    assert result.strategy.is_halted
    assert [one.exit_reason for one in result.trades] == ["bug"]
    assert result.strategy.setup is not None
    assert result.strategy.setup.position_qty < Decimal("0.1")
    assert not [order for order in result.orders if order.is_open]
    assert all(order.client_order_id.value.startswith("OTE-") for order in result.orders)


@both_accounts
def test_halt_takes_a_resting_entry_back(account: AccountName) -> None:
    """Nothing may be opened after a halt, so a resting entry goes."""

    def halt(number: int, strategy: CheckedStrategy) -> None:
        if number == 8:
            strategy.halt("planted")

    result = run([*BEFORE_TARGET, *AFTERWARDS], {3: [FORMED]}, account=account, hook=halt)
    assert result.trades == []
    assert [order.status for order in result.orders] == [OrderStatus.CANCELED]
