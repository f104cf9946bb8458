"""A policy that follows orders: what it is told, what its cancels lead to, and when a zone is tried again."""

from typing import Any

import pytest
from nautilus_trader.model.enums import OrderStatus

from indicators.events import EventKind
from strategies.dynamic_cancel import Approach, Verdict
from tests.integration.engine_harness import Trade, event, run

RANGE = {2: [event(EventKind.RANGE_FORMED, low=1.0, high=1.1)]}  # entry 1.0295, stop 0.999, target 1.1
ABOVE: list[Trade] = [(1.09, 100.0 + n, "b") for n in range(3)]


class Scripted:
    """Cancels at or below a price, as often as it is told to, and writes down what it is told."""

    min_interval_ns = 0
    told: list[Any]
    cancel_at = 1.0300
    cancels_left = 1

    def __init__(self) -> None:
        type(self).told = []

    def observe(self, packet: Any, snapshot: Any) -> None:
        """Note the bucket."""
        del snapshot
        self.told.append(("bucket", int(packet["seq"])))

    def open_order(self, *, is_again: bool = False) -> None:
        """Note the order."""
        self.told.append(("order", is_again))

    def decide(self, approach: Approach) -> Verdict:
        """Cancel below the price."""
        self.told.append(approach)
        is_low = approach.price <= self.cancel_at and type(self).cancels_left > 0
        type(self).cancels_left -= is_low
        return Verdict(is_low, 0.2 if is_low else 0.6, 0.4, "below_threshold" if is_low else "kept")

    def outcome(self, probability: float, *, reached: bool) -> None:
        """Note the outcome."""
        self.told.append(("outcome", probability, reached))

    def inputs(self) -> dict[str, str | int | float]:
        """Return one feature."""
        return {"flow": -0.5}

    def as_plain(self) -> dict[str, Any]:
        """Return nothing."""
        return {}

    @classmethod
    def asked(cls) -> list[Approach]:
        """Return what it was asked."""
        return [one for one in cls.told if isinstance(one, Approach)]


@pytest.fixture(autouse=True)
def one_cancel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test a policy that cancels once."""
    monkeypatch.setattr(Scripted, "cancels_left", 1)


POLICY = {"cancel_policy": f"{__name__}:Scripted"}


def falling(first: float, last: float, step: float = 0.0005) -> list[Trade]:
    """Return sales at falling prices."""
    count = round((first - last) / step)
    return [(round(first - step * n, 4), 100.0 + n, "s") for n in range(count + 1)]


def at(price: float, count: int) -> list[Trade]:
    """Return sales at one price."""
    return [(price, 500.0 + n, "s") for n in range(count)]


def test_decision_and_outcome_are_records() -> None:
    """A cancel says on what it was decided, and afterwards that it came in time."""
    result = run(ABOVE + falling(1.09, 1.03) + at(1.031, 20), RANGE, latency_ms=50, **POLICY)
    asked = result.kinds("cancel_asked")[-1]
    assert (asked.probability, asked.threshold, asked.reason) == (0.2, 0.4, "below_threshold")
    assert asked.detail == {"action": "cancel", "trade_price": 1.03, "flow": -0.5}
    (outcome,) = result.kinds("cancel_outcome")
    assert outcome.reason == "cancelled_in_time"
    assert outcome.setup_id == asked.setup_id
    assert outcome.detail["after_ms"] == 50
    assert result.strategy.gate_report()["cancels"]["cancelled_in_time"] == 1
    assert result.orders[0].status == OrderStatus.CANCELED


def test_fill_that_comes_before_the_cancel() -> None:
    """Within the latency the price goes through: the record says so, and the trade is no saved one."""
    result = run(ABOVE + falling(1.09, 1.03) + at(1.02, 30), RANGE, latency_ms=50, **POLICY)
    assert [one.reason for one in result.kinds("cancel_outcome")] == ["filled_first"]
    ledger = result.strategy.gate_report()["ledger"]
    assert ledger["orders_cancelled"] == 0


def test_policy_knows_the_order_and_the_buckets() -> None:
    """It hears of every bucket and order, and each question says when the order was sent."""
    result = run(ABOVE + falling(1.09, 1.031), RANGE, **POLICY)
    asked = Scripted.asked()
    assert asked
    submitted = result.kinds("entry_submitted")[0]
    assert {one.placed_ns for one in asked} == {submitted.ts_ns}
    assert {one.placed_seq for one in asked} == {submitted.bucket_seq}
    assert Scripted.told.count(("order", False)) == 1
    buckets = [one for one in Scripted.told if not isinstance(one, Approach) and one[0] == "bucket"]
    assert [number for _, number in buckets] == list(range(len(buckets)))


def test_band_ends_half_way_from_the_end_of_the_range() -> None:
    """With a 10 % band, half the way from 1.1 to 1.0295 is what counts: 1.06475."""
    run(ABOVE + falling(1.09, 1.031), RANGE, approach_band_pct=10.0, **POLICY)
    prices = [one.price for one in Scripted.asked()]
    assert max(prices) == 1.0645


def test_cancelled_entry_is_followed_to_its_target() -> None:
    """Cancelled, traded through, and up to the target: the gate lost what the trade would have earned."""
    chart = ABOVE + falling(1.09, 1.03) + at(1.031, 10) + at(1.02, 3)
    chart += [(round(1.02 + 0.001 * n, 4), 900.0 + n, "b") for n in range(90)]
    result = run(chart, RANGE, **POLICY)
    ledger = result.strategy.gate_report()["ledger"]
    assert ledger["cancelled_would_have_reached"] == {"target": 1, "stop": 0}
    # Entry 1.0295, stop 0.999, target 1.1; maker fee 0.02 % in and out.
    expected = (1.1 - 1.0295 - 0.0002 * (1.1 + 1.0295)) / (1.0295 - 0.999)
    assert ledger["saved_r"] == pytest.approx(-expected, rel=0.02)
    assert not ledger["has_skill"]


def test_zone_is_spent_after_a_cancel() -> None:
    """By default nothing is sent again."""
    chart = ABOVE + falling(1.09, 1.03) + at(1.031, 10) + at(1.06, 30)
    result = run(chart, RANGE, **POLICY)
    assert result.strategy.counters["entries_submitted"] == 1


def test_zone_is_tried_again_after_price_left_the_band() -> None:
    """By setting: after the wait, away from the entry, once; the second order has ids of its own."""
    away = at(1.06, 30)
    chart = ABOVE + falling(1.09, 1.03) + at(1.031, 10) + away + falling(1.06, 1.031) + away
    result = run(chart, RANGE, rearm_max=1, rearm_after_secs=0.2, **POLICY)
    submitted = result.kinds("entry_submitted")
    assert len(submitted) == 2
    assert submitted[0].setup_id != submitted[1].setup_id
    assert result.strategy.counters["entries_sent_again"] == 1
    assert ("order", True) in Scripted.told
    (first, second) = (one.ts_ns for one in submitted)
    (cancelled,) = (one.ts_ns for one in result.kinds("entry_cancelled") if one.reason == "model")
    assert first < cancelled
    assert second >= cancelled + 200_000_000
    # The first order rests again: nothing was saved or lost by its absence.
    assert result.strategy.gate_report()["ledger"]["orders_cancelled"] == 0


def test_markouts_follow_each_fill_of_an_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the price does 1, 10 and 60 s after a fill is in the report; then trades are left alone."""
    monkeypatch.setattr(Scripted, "cancels_left", 0)
    # A trade every 100 ms: through the entry at 1.0295, then three plateaus.
    chart = ABOVE + falling(1.09, 1.0300) + at(1.0290, 1) + at(1.0310, 12) + at(1.0330, 100) + at(1.0280, 600)
    result = run(chart, RANGE, step_ns=100_000_000, **POLICY)
    assert result.strategy.counters["entries_filled"] == 1
    markouts = result.strategy.gate_report()["markouts"]
    for name, price in (("1s", 1.0310), ("10s", 1.0330), ("60s", 1.0280)):
        assert markouts[name]["count"] == 1
        assert markouts[name]["mean_bps"] == pytest.approx((price / 1.0295 - 1) * 1e4)
    assert not result.strategy.gate.is_following


def test_markouts_of_a_short_are_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A price that falls after a sale is good; an exit's fill is not followed."""
    monkeypatch.setattr(Scripted, "cancels_left", 0)
    falls = {2: [event(EventKind.RANGE_FORMED, low=1.0, high=1.1, direction=-1)]}
    rising = [(round(1.01 + 0.0005 * n, 4), 100.0 + n, "b") for n in range(125)]
    result = run(rising + at(1.06, 30), falls, step_ns=100_000_000, **POLICY)
    assert result.strategy.counters["entries_filled"] == 1
    one = result.strategy.gate_report()["markouts"]["1s"]
    assert one["count"] == 1
    assert one["mean_bps"] == pytest.approx((1 - 1.0600 / 1.0705) * 1e4)
