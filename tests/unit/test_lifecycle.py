"""The life of a setup is a table: it is complete, ends where it should, and says what was allowed."""

import pytest

from strategies.trade_manager.lifecycle import (
    ENTRY_ALIVE,
    IN_POSITION,
    TRANSITIONS,
    IllegalTransition,
    Signal,
    Stage,
    advance,
)

LIVES = {
    "filled at once, stopped": (
        "ENTRY_SENT ENTRY_ACCEPTED ENTRY_FILLED FLAT CLEARED",
        "SUBMITTED RESTING PROTECTED CLEARING CLOSED",
    ),
    "filled before the acknowledgement": (
        "ENTRY_SENT ENTRY_FILLED ENTRY_ACCEPTED FLAT CLEARED",
        "SUBMITTED PROTECTED PROTECTED CLEARING CLOSED",
    ),
    "filled in pieces, the rest cancelled": (
        "ENTRY_SENT ENTRY_ACCEPTED ENTRY_PART_FILLED CANCEL_SENT ENTRY_PART_FILLED ENTRY_GONE",
        "SUBMITTED RESTING PARTIAL PARTIAL PARTIAL PROTECTED",
    ),
    "priced again": (
        "ENTRY_SENT ENTRY_ACCEPTED REPRICE_SENT ENTRY_GONE ENTRY_SENT",
        "SUBMITTED RESTING REPRICING PLANNED SUBMITTED",
    ),
    "filled while being priced again": (
        "ENTRY_SENT ENTRY_ACCEPTED REPRICE_SENT ENTRY_FILLED CANCEL_REFUSED",
        "SUBMITTED RESTING REPRICING PROTECTED PROTECTED",
    ),
    "the cancel lost the race": (
        "ENTRY_SENT ENTRY_ACCEPTED CANCEL_SENT ENTRY_FILLED CANCEL_REFUSED",
        "SUBMITTED RESTING CANCELLING PROTECTED PROTECTED",
    ),
    "filled after the cancellation was confirmed": (
        "ENTRY_SENT ENTRY_ACCEPTED CANCEL_SENT ENTRY_GONE ENTRY_FILLED FLAT CLEARED",
        "SUBMITTED RESTING CANCELLING CLOSED EXITING CLEARING CLOSED",
    ),
    "refused and dropped": ("ENTRY_SENT ENTRY_REFUSED DROPPED", "SUBMITTED PLANNED CLOSED"),
    "closed by decision": (
        "ENTRY_SENT ENTRY_FILLED EXIT_ORDERED EXIT_FILLED FLAT CLEARED",
        "SUBMITTED PROTECTED EXITING EXITING CLEARING CLOSED",
    ),
}


@pytest.mark.parametrize(("signals", "stages"), LIVES.values(), ids=LIVES.keys())
def test_lives_go_through_the_stages_they_should(signals: str, stages: str) -> None:
    """Signals in the order in which a venue reported them, and the stage after each."""
    stage = Stage.PLANNED
    seen = []
    for name in signals.split():
        stage = advance(stage, Signal(name))
        seen.append(stage.value)
    assert " ".join(seen) == stages


def test_an_illegal_signal_lists_what_was_allowed() -> None:
    """The message is what a person reads at night: signal, stage, and the legal ones."""
    with pytest.raises(IllegalTransition, match=r"FLAT in stage PLANNED; allowed: CANCEL_REFUSED, DROPPED, "):
        advance(Stage.PLANNED, Signal.FLAT)


def test_selling_before_anything_was_bought_is_illegal() -> None:
    """There is no exit order yet; afterwards one may be reported before the entry fill that it closed."""
    for stage in set(Stage) - IN_POSITION - {Stage.CLEARING, Stage.CLOSED}:
        with pytest.raises(IllegalTransition):
            advance(stage, Signal.EXIT_FILLED)


def test_every_stage_takes_an_entry_fill() -> None:
    """A fill is a fact: late, early or unexpected, it leads to a stage with a position."""
    for stage in Stage:
        for signal in (Signal.ENTRY_PART_FILLED, Signal.ENTRY_FILLED):
            assert advance(stage, signal) in IN_POSITION


def test_every_stage_can_end() -> None:
    """From everywhere there is a way to CLOSED."""
    for start in Stage:
        reached, frontier = {start}, [start]
        while frontier:
            for following in TRANSITIONS[frontier.pop()].values():
                if following not in reached:
                    reached.add(following)
                    frontier.append(following)
        assert Stage.CLOSED in reached


def test_positions_end_by_being_flat_and_nothing_else() -> None:
    """No signal but FLAT leads out of the stages with a position."""
    for stage in IN_POSITION:
        leaving = {signal for signal, after in TRANSITIONS[stage].items() if after not in IN_POSITION}
        assert leaving == {Signal.FLAT}
    assert Stage.PARTIAL in ENTRY_ALIVE & IN_POSITION
