"""Holds in a real engine: a waiting entry is taken back, nothing is opened, and it ends by itself."""

from collections.abc import Callable
from typing import Any

from indicators.events import EventKind
from strategies.entry_halt import (
    HOLD_TOPIC,
    REARM_TOPIC,
    RELEASE_TOPIC,
    HoldBook,
    HoldEntries,
    RearmEntries,
    ReleaseEntries,
)
from tests.integration.engine_harness import CheckedStrategy, event, run
from tests.integration.test_ote_orders import FORMED, START, flat

SECOND = event(EventKind.RANGE_FORMED, low=1.0, high=1.1, zone=7)
type Hook = Callable[[int, CheckedStrategy], None]


def holds_at(script: dict[int, list[Any]]) -> Hook:
    """Publish such messages after the trades of these numbers."""

    def hook(number: int, strategy: CheckedStrategy) -> None:
        for message in script.get(number, ()):
            topic = HOLD_TOPIC if isinstance(message, HoldEntries) else RELEASE_TOPIC
            strategy.msgbus.publish(topic=topic, msg=message)

    return hook


def hold(source: str, instrument_id: str = "") -> HoldEntries:
    """Return a hold."""
    return HoldEntries(ts_ns=0, source=source, reason="of the test", instrument_id=instrument_id)


def release(source: str, instrument_id: str = "") -> ReleaseEntries:
    """Return the end of a hold."""
    return ReleaseEntries(ts_ns=0, source=source, instrument_id=instrument_id)


def test_a_waiting_entry_is_taken_back_and_a_later_zone_is_entered_after_the_release() -> None:
    """One hold, one cancelled entry; the next zone is skipped as held until the hold ends, then entered."""
    hook = holds_at({10: [hold("stale")], 30: [release("stale")]})
    result = run([*START, *flat(1.09, 60)], {2: [FORMED], 20: [SECOND]}, hook=hook)
    assert [one.reason for one in result.kinds("held")] == ["stale"]
    assert [one.reason for one in result.kinds("released")] == ["stale"]
    assert [one.reason for one in result.kinds("entry_cancelled")][:1] == ["held_stale"]
    assert "held" in {one.reason for one in result.kinds("zone_skipped")}
    first, second = result.kinds("entry_submitted")
    released = result.kinds("released")[0]
    assert first.ts_ns < result.kinds("held")[0].ts_ns < released.ts_ns < second.ts_ns
    assert second.zone_id == 7


def test_a_rearm_ends_the_hold_over_what_others_did_and_no_other() -> None:
    """A person has looked at the venue; what ends by itself stays."""

    def hook(number: int, strategy: CheckedStrategy) -> None:
        if number == 10:
            strategy.hold_for_external("0.5 sold by order web_1")
            strategy.msgbus.publish(topic=HOLD_TOPIC, msg=hold("stale"))
        if number == 30:
            rearm = RearmEntries(ts_ns=0, actor="anna", reason="looked at the venue")
            strategy.msgbus.publish(topic=REARM_TOPIC, msg=rearm)

    result = run([*START, *flat(1.09, 60)], {2: [FORMED]}, hook=hook)
    assert [one.reason for one in result.kinds("held")] == ["external", "stale"]
    assert [(one.reason, one.detail["still"]) for one in result.kinds("released")] == [("external", "stale")]


def test_nothing_is_opened_while_any_of_several_holds_stands() -> None:
    """Two sources hold; the end of one is not the end of the other."""
    hook = holds_at({0: [hold("warmup"), hold("stale")], 10: [release("warmup")]})
    result = run([*START, *flat(1.09, 60)], {2: [FORMED]}, hook=hook)
    assert result.orders == []
    assert [one.detail["still"] for one in result.kinds("released")] == ["stale"]


def test_a_hold_of_another_instrument_is_none_of_ours() -> None:
    """Decisions and orders are those of a run without any hold."""
    chart, script = [*START, *flat(1.09, 30)], {2: [FORMED]}
    held = run(chart, script, hook=holds_at({0: [hold("stale", "ADAUSDT.BINANCE")]}))
    free = run(chart, script)
    assert held.decisions == free.decisions
    assert held.decisions


def test_a_strategy_that_starts_later_hears_of_the_holds_that_stand() -> None:
    """The book of the node tells it; actors start before strategies."""

    def prepare(engine: Any) -> None:
        book = HoldBook(engine.kernel.msgbus)
        engine.kernel.msgbus.publish(topic=HOLD_TOPIC, msg=hold("reconcile"))
        engine.kernel.msgbus.publish(topic=HOLD_TOPIC, msg=hold("clock"))
        engine.kernel.msgbus.publish(topic=RELEASE_TOPIC, msg=release("clock"))
        assert book.holds.text == "reconcile"

    result = run([*START, *flat(1.09, 30)], {2: [FORMED]}, prepare=prepare)
    assert result.orders == []
    assert [one.reason for one in result.kinds("held")] == ["reconcile"]
