"""Labels from records, and how much rows that overlap are worth."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ml.labels import (
    Outcome,
    effective_sample_size,
    label_orders,
    order_uniqueness,
    sample_weights,
    uniqueness,
)

NAME = "XRPUSDT.BINANCE"
SETUP = "Lmmv7y0w014"


def order(event: str, ts_ns: int, leg: str = "E1") -> dict[str, Any]:
    """Return an order event as the recorder writes it."""
    return {
        "record": "order",
        "event": event,
        "ts_ns": ts_ns,
        "instrument_id": NAME,
        "client_order_id": f"OTE-XRPUSDT-{SETUP}-{leg}",
    }


def entry(ts_ns: int, kind: str = "entry_submitted", price: str = "1.05") -> dict[str, Any]:
    """Return the decision that follows a sent entry."""
    return {
        "record": "decision",
        "kind": kind,
        "ts_ns": ts_ns,
        "instrument_id": NAME,
        "setup_id": SETUP,
        "side": "long",
        "bucket_seq": 7,
        "price": price,
        "stop": "1.0",
        "target": "1.2",
    }


def trade(entry_ns: int, exit_ns: int, reason: str, net_r: float) -> dict[str, Any]:
    """Return a closed trade."""
    return {
        "record": "trade",
        "instrument_id": NAME,
        "setup_id": SETUP,
        "entry_ts_ns": entry_ns,
        "exit_ts_ns": exit_ns,
        "exit_reason": reason,
        "r_multiple": net_r,
        "tainted": False,
    }


SENT = [order("OrderInitialized", 10), entry(10), order("OrderAccepted", 60)]
FILLED = [*SENT, order("OrderFilled", 100), order("OrderInitialized", 100, "S1")]


@pytest.mark.parametrize(
    ("reason", "outcome"),
    [("target", Outcome.TARGET), ("stop", Outcome.STOP), ("exit_late", Outcome.TIMED_OUT)],
)
def test_a_filled_order_has_the_outcome_of_its_trade(reason: str, outcome: Outcome) -> None:
    """Times and result are the trade's; nothing is decided about it after its fill."""
    (label,) = label_orders([*FILLED, order("OrderFilled", 200, "S1"), trade(100, 200, reason, -1.1)], 999)
    assert label.outcome is outcome
    assert (label.resting_ns, label.settled_ns, label.fill_ns, label.exit_ns) == (60, 100, 100, 200)
    assert (label.known_ns, label.net_r) == (200, -1.1)
    assert (label.direction, label.entry, label.stop, label.target) == (1, 1.05, 1.0, 1.2)
    assert (label.placed_ns, label.placed_seq) == (10, 7)


def test_an_entry_that_followed_its_range_is_two_orders() -> None:
    """The first is known to have missed when it was confirmed gone; the second has the trade."""
    first, second = label_orders(
        [
            *SENT,
            order("OrderPendingCancel", 70),
            order("OrderCanceled", 120),
            order("OrderInitialized", 120, "E2"),
            entry(120, "entry_repriced", "1.06"),
            order("OrderAccepted", 170, "E2"),
            order("OrderFilled", 300, "E2"),
            trade(300, 400, "target", 2.0),
        ],
        999,
    )
    assert (first.outcome, first.settled_ns, first.known_ns) == (Outcome.NOT_FILLED, 70, 120)
    assert np.isnan(first.net_r)
    assert (second.outcome, second.entry, second.fill_ns, second.net_r) == (Outcome.TARGET, 1.06, 300, 2.0)


def test_a_fill_that_beats_the_cancellation_is_a_fill() -> None:
    """The request came first, the fill counts."""
    (label,) = label_orders(
        [*SENT, order("OrderPendingCancel", 70), order("OrderFilled", 90), trade(90, 95, "late_fill", -0.2)],
        999,
    )
    assert (label.outcome, label.settled_ns, label.fill_ns) == (Outcome.TIMED_OUT, 70, 90)


def test_an_order_that_was_never_sent_did_not_fill() -> None:
    """The risk engine denies it at once, before the strategy reports the entry."""
    (label,) = label_orders([order("OrderInitialized", 10), order("OrderDenied", 10), entry(10)], 999)
    assert (label.outcome, label.known_ns, label.resting_ns) == (Outcome.NOT_FILLED, 10, 0)


def test_what_the_records_do_not_tell_is_unknown() -> None:
    """Still resting, still in position, or taken back only because the run was stopped."""
    stopped = [*SENT, order("OrderPendingCancel", 500), order("OrderCanceled", 500)]
    for records in (SENT, FILLED, stopped):
        (label,) = label_orders(records, 500)
        assert (label.outcome, label.known_ns) == (Outcome.UNKNOWN, 0)
    (label,) = label_orders(stopped, 501)
    assert label.outcome is Outcome.NOT_FILLED


def naive_uniqueness(t0: list[int], t1: list[int]) -> list[float]:
    """Return the mean over each span, nanosecond by nanosecond, of 1 / labels alive."""
    ends = [max(last, first + 1) for first, last in zip(t0, t1, strict=True)]
    result = []
    for first, last in zip(t0, ends, strict=True):
        shares = [
            1 / sum(one <= now < other for one, other in zip(t0, ends, strict=True))
            for now in range(first, last)
        ]
        result.append(sum(shares) / len(shares))
    return result


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 20)), min_size=1, max_size=12))
def test_uniqueness_is_the_naive_definition(spans: list[tuple[int, int]]) -> None:
    """Any spans: equal, nested, touching, of no length."""
    t0 = [first for first, _length in spans]
    t1 = [first + length for first, length in spans]
    found = uniqueness(np.array(t0, np.int64), np.array(t1, np.int64))
    assert found == pytest.approx(naive_uniqueness(t0, t1), rel=1e-12)


def test_a_label_cannot_end_before_it_begins() -> None:
    """Nor is there anything to weigh without labels."""
    with pytest.raises(ValueError, match="before it begins"):
        uniqueness(np.array([5]), np.array([4]))
    assert len(uniqueness(np.empty(0, np.int64), np.empty(0, np.int64))) == 0


@given(arrays(np.int64, st.integers(1, 30), elements=st.integers(0, 5)))
def test_rows_of_one_order_are_one_observation(order_id: np.ndarray[Any, Any]) -> None:
    """Orders one after the other: the effective size is their number, whatever the rows."""
    order_id = np.sort(order_id)
    t0 = order_id * 100 + np.arange(len(order_id))
    t1 = order_id * 100 + 50
    assert effective_sample_size(order_id, t0, t1) == pytest.approx(len(set(order_id.tolist())))
    weights = sample_weights(order_uniqueness(order_id, t0, t1))
    assert weights.mean() == pytest.approx(1)
    for one in set(order_id.tolist()):
        assert np.ptp(weights[order_id == one]) == pytest.approx(0)


def test_orders_at_the_same_time_share_their_span() -> None:
    """Two symbols that move together: two orders over the same span are worth one."""
    order_id, t0, t1 = np.array([0, 0, 1]), np.array([0, 5, 0]), np.array([10, 10, 10])
    assert effective_sample_size(order_id, t0, t1) == pytest.approx(1)
