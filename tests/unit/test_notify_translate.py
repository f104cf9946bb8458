"""What a person reads of a decision, a trade, a refusal, a pause, a drift, and of a day."""

import math
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

from runtime.notify.daily import DAY_NS, DayBook
from runtime.notify.events import EventKind, Severity
from runtime.notify.translate import Translator
from strategies.guards import FOREVER_NS, Pause
from strategies.trade_manager.record import ClosedTrade, Decision
from strategies.trade_manager.skips import SkipReason

XRP = "XRPUSDT.BINANCE"
NOW = 20_531 * DAY_NS


def decision(kind: Any, **fields: Any) -> Decision:
    """Return a decision about a setup."""
    given = {"ts_ns": NOW, "strategy_id": "Ote-001", "instrument_id": XRP, "setup_id": "s1", "side": "long"}
    return Decision(kind=kind, **{**given, **fields})


def trade(**fields: Any) -> ClosedTrade:
    """Return a closed long trade."""
    given: dict[str, Any] = {
        "setup_id": "s1", "strategy_id": "Ote-001", "instrument_id": XRP, "side": "long",
        "entry_ts_ns": NOW, "exit_ts_ns": NOW, "entry_price": "1.0295", "exit_price": "1.100300",
        "qty": "100", "pnl": "7.04", "fees": "0.10", "dust_qty": "0", "r_multiple": 2.3, "mae_r": -0.1,
        "mfe_r": 2.4, "exit_reason": "target", "stop_price": "0.999", "target_price": "1.1", "zone_id": 1,
        "zone_low": 1.0, "zone_high": 1.1, "tainted": False, "entry_bucket_seq": 1, "exit_bucket_seq": 2,
    }  # fmt: skip
    return ClosedTrade(**{**given, **fields})


def test_an_entry_and_a_fill_say_order_and_exits() -> None:
    """Side, quantity, price, stop and target; instrument first."""
    fields = {"price": "1.02950", "qty": "100.0", "stop": "0.999", "target": "1.1"}
    told = Translator()
    entry, fill = (
        told.decision(decision("entry_submitted", **fields)),
        told.decision(decision("entry_filled", **fields)),
    )
    assert entry is not None
    assert fill is not None
    assert (entry.kind, fill.kind) == (EventKind.ENTRY, EventKind.FILL)
    assert entry.text == f"{XRP} entry long 100.0 at 1.02950, stop 0.999, target 1.1"


def test_only_cancels_of_the_model_are_told_not_its_keeps() -> None:
    """With the probability and the threshold."""
    told = Translator()
    fields = {"probability": 0.12, "threshold": 0.3, "reason": "cancel"}
    cancelled = told.decision(decision("cancel_asked", detail={"action": "cancel"}, **fields))
    assert cancelled is not None
    assert cancelled.text == f"{XRP} entry cancelled: p 0.120 < 0.300 (cancel)"
    assert told.decision(decision("cancel_asked", detail={"action": "keep"}, **fields)) is None


def test_protection_that_was_lost_is_told_once_it_stands_again() -> None:
    """A first stop is no news, a refused one is, and so is its replacement; a refused move is none."""
    told = Translator()
    reasons = [
        "stop_placed",
        "stop_move_refused",
        "stop_refused",
        "target_placed",
        "stop_placed",
        "stop_placed",
    ]
    events = [told.decision(decision("protection", reason=one)) for one in reasons]
    kinds = [None if one is None else one.kind for one in events]
    assert kinds == [None, None, EventKind.PROTECTION_LOST, None, EventKind.PROTECTION_RESTORED, None]
    assert events[2] is not None
    assert events[2].gravity is Severity.CRITICAL


def test_the_end_of_a_position_is_named_by_its_order() -> None:
    """Target, stops of all kinds, others; a bug is critical."""
    told = Translator()
    reasons = ("target", "stop", "break_even", "trailing", "time", "bug")
    events = [told.trade(trade(exit_reason=one)) for one in reasons]
    assert [one.kind for one in events] == [
        EventKind.TARGET_HIT, EventKind.STOP_HIT, EventKind.STOP_HIT, EventKind.STOP_HIT,
        EventKind.POSITION_CLOSED, EventKind.POSITION_CLOSED,
    ]  # fmt: skip
    assert [one.is_critical for one in events] == [False] * 5 + [True]
    assert events[0].text == f"{XRP} long closed at 1.100300 (target): PnL +7.04, +2.30 R, fees 0.10"


def test_refusals_are_told_but_for_post_only() -> None:
    """A post-only order that would take is sent again: no news. Other order events are none either."""
    told = Translator()
    event = SimpleNamespace(
        ts_event=NOW, instrument_id=XRP, client_order_id="e1", reason="no funds", due_post_only=False
    )
    refused = told.order("OrderRejected", event)
    assert refused is not None
    assert refused.text == f"{XRP} order rejected: no funds (e1)"
    event.reason = "rate_limit"  # told once, not with each entry
    assert told.order("OrderDenied", event) is None
    assert told.order("OrderRejected", event) is not None
    event.due_post_only = True
    assert told.order("OrderRejected", event) is None
    assert told.order("OrderAccepted", event) is None


def test_a_pause_is_told_once_and_again_when_it_grows() -> None:
    """Per strategy, guard and scope."""
    told = Translator()
    pause = Pause(SkipReason.COOLDOWN, XRP, NOW + 30 * 60_000_000_000, "stop at 12:00")
    assert [one.text for one in told.pauses("C-1", [pause], NOW)] == [
        f"C-1 pauses {XRP} for 30 min: stop at 12:00"
    ]
    assert told.pauses("C-1", [pause], NOW) == []
    assert len(told.pauses("C-2", [pause], NOW)) == 1
    halt = Pause(SkipReason.DRAWDOWN, "*", FOREVER_NS, "12 % lost")
    (event,) = told.pauses("C-1", [pause, halt], NOW)
    assert event.text == "C-1 pauses all entries until it is rearmed: 12 % lost"


def test_drift_is_told_when_its_state_changes() -> None:
    """Waiting and ok are both calm; an alarm is critical, its end is no alarm."""
    told = Translator()
    states = ["waiting", "ok", "warn", "warn", "alarm", "ok"]
    events = [told.drift("Ote-001", one, ["vpin"], NOW) for one in states]
    assert [None if one is None else str(one.gravity) for one in events] == [
        None, None, "warning", None, "critical", "info",
    ]  # fmt: skip


def test_the_day_is_summed_up_from_its_records() -> None:
    """Money exactly; fills once per setup; keeps of the model are no cancels."""
    book = DayBook(20_531)
    for one in (
        decision("entry_submitted"),
        decision("entry_filled", detail={"is_first": 1}),
        decision("entry_filled", detail={"is_first": 0}),
        decision("cancel_asked", detail={"action": "cancel"}),
        decision("cancel_asked", detail={"action": "keep"}),
    ):
        book.decision(one)
    book.trade(trade())
    book.trade(trade(pnl="-3.01", r_multiple=-1.0, exit_reason="stop"))
    book.equity(Decimal(10_000))
    book.equity(Decimal("10004.03"))
    figures = book.figures()
    assert (figures["pnl"], figures["r"], figures["by_exit"]) == ("4.03", 1.3, {"target": 1, "stop": 1})
    assert book.event(NOW + DAY_NS).text == (
        "2026-03-19: 2 trades, 1 won, PnL 4.03 after 0.20 fees, +1.30 R; 1 entries, 1 filled, "
        "1 cancelled by the model; equity 10004.03 (+4.03)"
    )


def test_a_trade_without_risk_has_no_r() -> None:
    """A dash in words, null in data, nothing in the sum of the day."""
    event = Translator().trade(trade(r_multiple=math.nan))
    assert "PnL +7.04, - R" in event.text
    assert event.data["r_multiple"] is None
    book = DayBook(0)
    book.trade(trade(r_multiple=math.nan))
    assert book.figures()["r"] == 0
