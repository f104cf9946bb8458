"""Who only writes down hears behind the reports that wait already; the journal never does."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from runtime.live.late_hearing import AT_ONCE, PART, LateHearing


class Told:
    """Who heard of what, in order."""

    def __init__(self, late: LateHearing) -> None:
        self.found: list[str] = []
        self.late = late
        self.people = late.later(lambda what: self.found.append(f"people: {what}"))
        self.journal = late.later(lambda what: self.found.append(f"journal: {what}"), refuses=True)

    def report(self, what: str) -> None:
        """Handle a report of a venue as the engine does."""
        self.late.begin_event()
        self.people(what)
        self.journal(what)
        self.found.append(f"handled: {what}")
        self.late.end_event()

    def trade(self, what: str) -> None:
        """Handle a trade."""
        self.late.begin()
        self.people(what)
        self.journal(what)
        self.found.append(f"handled: {what}")
        self.late.end()


def run(story: Callable[[Told], Any]) -> list[str]:
    """Run a coroutine; return who heard of what."""

    async def whole() -> list[str]:
        loop, errors = asyncio.get_running_loop(), []
        loop.set_exception_handler(lambda _loop, error: errors.append(error))
        told = Told(LateHearing(loop))
        await story(told)
        await asyncio.sleep(0.02)
        assert errors == []
        return told.found

    return asyncio.run(whole())


def test_a_report_that_waits_is_handled_before_people_hear_of_the_one_before() -> None:
    """The journal has heard of each while it was handled."""

    async def story(told: Told) -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(told.report, "fill of A")
        loop.call_soon(told.report, "fill of B")

    assert run(story) == [
        "journal: fill of A", "handled: fill of A", "journal: fill of B", "handled: fill of B",
        "people: fill of A", "people: fill of B",
    ]  # fmt: skip


def test_the_journal_hears_of_a_trade_when_it_is_done_and_people_after_the_next_one() -> None:
    """What comes with the same turn of the loop does not wait for people."""

    async def story(told: Told) -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(told.trade, "1")
        loop.call_soon(told.trade, "2")

    assert run(story) == [
        "handled: 1", "journal: 1", "handled: 2", "journal: 2", "people: 1", "people: 2"
    ]  # fmt: skip


def test_an_exit_of_a_deadline_does_not_wait_for_what_people_have_not_heard() -> None:
    """What happens by itself is told behind what waits, and what follows from it leaves before."""

    async def story(told: Told) -> None:
        told.report("fill")
        told.people("stop too late")
        told.journal("stop too late")
        told.found.append("exit leaves")

    assert run(story) == [
        "journal: fill", "handled: fill", "journal: stop too late", "exit leaves",
        "people: fill", "people: stop too late",
    ]  # fmt: skip


@pytest.mark.parametrize(("count", "first"), [(AT_ONCE, AT_ONCE), (3 * AT_ONCE, AT_ONCE), (800, 800 // PART)])
def test_much_is_told_in_parts_between_which_reports_are_handled(count: int, first: int) -> None:
    """A part of what waits, where that is much: so that no more and more wait."""

    async def story(told: Told) -> None:
        told.late.begin_event()
        for number in range(count):
            told.people(str(number))
        told.late.end_event()
        assert told.found == []
        await asyncio.sleep(0)
        assert len(told.found) == first

    assert run(story) == [f"people: {number}" for number in range(count)]


def test_without_a_loop_that_runs_nobody_waits_for_it() -> None:
    """At the end of a node nothing comes after the last event."""
    loop = asyncio.new_event_loop()
    try:
        told = Told(LateHearing(loop))
        told.report("expired")
    finally:
        loop.close()
    assert told.found == ["journal: expired", "handled: expired", "people: expired"]


def test_a_listener_that_acts_by_itself_leaves_nothing_untold() -> None:
    """The watchdog closes a position: what it tells then brings everything that waited before."""

    async def story(told: Told) -> None:
        def look(what: str) -> None:
            told.found.append(f"watchdog: {what}")
            if what == "fill":
                told.people("closed")

        watchdog = told.late.later(look)
        told.late.begin_event()
        watchdog("fill")
        told.people("fill")
        told.late.end_event()

    assert run(story) == ["watchdog: fill", "people: fill", "people: closed"]
