"""What a cancel led to is counted once, in whatever order the venue tells it."""

from itertools import permutations
from typing import Any

import pytest
from msgspec import structs

from ml.shadow import ShadowPlan, ShadowRules
from strategies.dynamic_cancel import KeepPolicy
from strategies.entry_gate import (
    CANCEL_REJECTED,
    CANCELLED_IN_TIME,
    FILLED_FIRST,
    EntryGate,
    RearmRules,
)
from strategies.entry_judge import ApproachJudge
from strategies.trade_manager.record import ClosedTrade

PLAN = ShadowPlan(
    order_id="O1",
    zone_id=7,
    direction=1,
    entry=100.0,
    stop=99.0,
    target=103.0,
    qty=2.0,
    rules=ShadowRules(maker_fee=0.0, taker_fee=0.0, target_rests=True),
    cancelled_ns=5,
)


def gate_after_cancel(**rearm: Any) -> EntryGate:
    """Return a gate whose policy took one entry back at 5 ns."""
    gate = EntryGate(ApproachJudge(KeepPolicy()), 1.0, RearmRules(**rearm), tick_size=0.01)
    gate.cancelled(PLAN)
    return gate


def real_trade(r_multiple: float = -1.0) -> ClosedTrade:
    """Return the trade that the order became."""
    return ClosedTrade(
        setup_id="S1",
        strategy_id="OTE-1",
        instrument_id="XRPUSDT.BINANCE",
        side="long",
        entry_ts_ns=20,
        exit_ts_ns=30,
        entry_price="100",
        exit_price="99",
        qty="2",
        pnl="-2",
        fees="0",
        dust_qty="0",
        r_multiple=r_multiple,
        mae_r=-1.0,
        mfe_r=0.0,
        mae_price=-1.0,
        mfe_price=0.0,
        exit_reason="stop",
        stop_price="99",
        last_stop_price="99",
        target_price="103",
        zone_id=7,
        zone_low=99.0,
        zone_high=103.0,
        tainted=False,
        entry_bucket_seq=1,
        exit_bucket_seq=2,
    )


@pytest.mark.parametrize("events", list(permutations((CANCEL_REJECTED, FILLED_FIRST))), ids=" then ".join)
def test_order_that_filled_is_in_the_ledger_once(events: tuple[str, ...]) -> None:
    """Refused because it had filled: the trade is real, whichever report comes first."""
    gate = gate_after_cancel()
    gate.on_price(10, 98.0)  # the tape goes through entry and stop
    for ts_ns, outcome in enumerate(events, 20):
        gate.outcome("O1", outcome, ts_ns)
    gate.closed(real_trade())
    ledger = gate.as_plain()["ledger"]
    assert (ledger["orders_kept"], ledger["orders_cancelled"]) == (1, 0)
    assert gate.outcomes[FILLED_FIRST] == 1


def test_fill_after_a_confirmed_cancel_is_a_real_trade() -> None:
    """Venues report late: the shadow goes then too."""
    gate = gate_after_cancel()
    assert gate.outcome("O1", CANCELLED_IN_TIME, 10) == 5
    assert gate.outcome("O1", FILLED_FIRST, 12) == 7
    assert not gate.is_following
    assert gate.as_plain()["ledger"]["orders_cancelled"] == 0


def test_cancel_that_succeeds_when_it_is_asked_again() -> None:
    """Refused twice, then confirmed: the order is followed and counts once in each outcome."""
    gate = gate_after_cancel()
    assert gate.outcome("O1", CANCEL_REJECTED, 10) == 5
    assert gate.outcome("O1", CANCEL_REJECTED, 20) is None
    assert gate.outcome("O1", CANCELLED_IN_TIME, 30) == 25
    assert gate.outcomes == {CANCELLED_IN_TIME: 1, FILLED_FIRST: 0, CANCEL_REJECTED: 1}
    gate.on_price(40, 98.0)
    assert gate.as_plain()["ledger"]["orders_cancelled"] == 1


def test_rest_of_a_partly_filled_order_says_nothing_new() -> None:
    """After its first fill further fills and the end of the rest are no other outcome."""
    gate = gate_after_cancel()
    assert gate.outcome("O1", FILLED_FIRST, 10) == 5
    for outcome in (FILLED_FIRST, CANCELLED_IN_TIME, CANCEL_REJECTED):
        assert gate.outcome("O1", outcome, 11) is None
    assert gate.outcomes == {CANCELLED_IN_TIME: 0, FILLED_FIRST: 1, CANCEL_REJECTED: 0}
    assert gate.outcome("another", FILLED_FIRST, 12) is None


def test_shadow_lives_until_the_entry_is_sent_again() -> None:
    """A zone that may be entered again but is not (a guard, no funds) still has its cancelled order."""
    gate = gate_after_cancel(most=1, after_ns=0)
    assert gate.zones_to_send_again(10, 110.0, {7: 100.0}) == [7]
    assert gate.is_following
    gate.order_sent("S2", 7, 11, 0)
    assert not gate.is_following


def test_probabilities_of_kept_entries_are_held_against_their_results() -> None:
    """Twenty kept entries, every second one a winner whatever was promised: half of each bin."""
    judge = ApproachJudge(KeepPolicy())
    gate = EntryGate(judge, 1.0, RearmRules(), tick_size=0.01)
    for index in range(20):
        gate.order_sent(f"S{index}", index, 1, 1)
        judge.probability = 0.2 if index < 10 else 0.8
        gate.closed(structs.replace(real_trade(1.0 if index % 2 else -1.0), setup_id=f"S{index}"))
    bins = gate.as_plain()["reliability"]
    assert [one["promised"] for one in bins] == pytest.approx([0.2, 0.8])
    assert [(one["came"], one["orders"]) for one in bins] == [(0.5, 10), (0.5, 10)]


def test_few_scored_entries_make_no_curve() -> None:
    """Nine entries are no share."""
    gate = gate_after_cancel()
    gate.closed(real_trade())
    assert gate.as_plain()["reliability"] == []
