"""The life of one setup from entry to closed, as a table.

Venues report late and in any order: a fill may come before its acknowledgement, after the cancellation was
confirmed, or after everything was closed. Such signals are in the table and lead to protection or to an exit.
What is not in the table is a bug, and :func:`advance` says what would have been allowed.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class Stage(StrEnum):
    """Where a setup stands."""

    PLANNED = "PLANNED"  # no entry at the venue: not sent yet, or gone and to be sent again
    SUBMITTED = "SUBMITTED"  # entry sent, not acknowledged
    RESTING = "RESTING"  # entry acknowledged, nothing filled
    REPRICING = "REPRICING"  # cancel sent, a new entry follows
    CANCELLING = "CANCELLING"  # cancel sent, nothing follows
    PARTIAL = "PARTIAL"  # position open and protected, the rest of the entry still alive
    PROTECTED = "PROTECTED"  # position open and protected, no entry alive
    EXITING = "EXITING"  # position open, being closed by our decision
    CLEARING = "CLEARING"  # flat, some order not final yet
    CLOSED = "CLOSED"  # flat, every order final


class Signal(StrEnum):
    """What can happen to a setup."""

    ENTRY_SENT = "ENTRY_SENT"
    ENTRY_ACCEPTED = "ENTRY_ACCEPTED"
    ENTRY_REFUSED = "ENTRY_REFUSED"
    ENTRY_PART_FILLED = "ENTRY_PART_FILLED"
    ENTRY_FILLED = "ENTRY_FILLED"
    ENTRY_GONE = "ENTRY_GONE"  # cancelled or expired, whoever asked for it
    REPRICE_SENT = "REPRICE_SENT"
    CANCEL_SENT = "CANCEL_SENT"
    CANCEL_REFUSED = "CANCEL_REFUSED"
    DROPPED = "DROPPED"
    STOP_MOVED = "STOP_MOVED"
    EXIT_ORDERED = "EXIT_ORDERED"
    EXIT_FILLED = "EXIT_FILLED"
    FLAT = "FLAT"
    CLEARED = "CLEARED"


class IllegalTransition(RuntimeError):  # noqa: N818 - named in the style guide; "a bug: flatten and stop"
    """A signal arrived in a stage that does not know it."""


type Transitions = Mapping[Stage, Mapping[Signal, Stage]]


def _late(stage: Stage) -> dict[Signal, Stage]:
    """Return the late reports about an entry that change nothing in a stage."""
    late = (Signal.ENTRY_ACCEPTED, Signal.ENTRY_GONE, Signal.CANCEL_SENT, Signal.CANCEL_REFUSED)
    return dict.fromkeys(late, stage)


_FILLS: Final = {Signal.ENTRY_PART_FILLED: Stage.PARTIAL, Signal.ENTRY_FILLED: Stage.PROTECTED}
_ENDING_POSITION: Final = {Signal.EXIT_ORDERED: Stage.EXITING, Signal.FLAT: Stage.CLEARING}

TRANSITIONS: Final[Transitions] = {
    Stage.PLANNED: _FILLS
    | {
        Signal.ENTRY_SENT: Stage.SUBMITTED,
        Signal.DROPPED: Stage.CLOSED,
        # Late reports about the entry that was withdrawn to be priced again.
        Signal.ENTRY_ACCEPTED: Stage.PLANNED,
        Signal.ENTRY_GONE: Stage.PLANNED,
        Signal.CANCEL_REFUSED: Stage.PLANNED,
    },
    Stage.SUBMITTED: _FILLS
    | {
        Signal.ENTRY_ACCEPTED: Stage.RESTING,
        Signal.ENTRY_REFUSED: Stage.PLANNED,
        Signal.ENTRY_GONE: Stage.CLOSED,
        Signal.REPRICE_SENT: Stage.REPRICING,
        Signal.CANCEL_SENT: Stage.CANCELLING,
        Signal.CANCEL_REFUSED: Stage.SUBMITTED,
    },
    Stage.RESTING: _FILLS
    | {
        Signal.ENTRY_ACCEPTED: Stage.RESTING,
        Signal.ENTRY_GONE: Stage.CLOSED,
        Signal.REPRICE_SENT: Stage.REPRICING,
        Signal.CANCEL_SENT: Stage.CANCELLING,
        Signal.CANCEL_REFUSED: Stage.RESTING,
    },
    Stage.REPRICING: _FILLS
    | {
        Signal.ENTRY_ACCEPTED: Stage.REPRICING,
        Signal.ENTRY_REFUSED: Stage.PLANNED,
        Signal.ENTRY_GONE: Stage.PLANNED,
        Signal.REPRICE_SENT: Stage.REPRICING,
        Signal.CANCEL_SENT: Stage.CANCELLING,
        Signal.CANCEL_REFUSED: Stage.REPRICING,
    },
    Stage.CANCELLING: _FILLS
    | {
        Signal.ENTRY_ACCEPTED: Stage.CANCELLING,
        Signal.ENTRY_REFUSED: Stage.PLANNED,
        Signal.ENTRY_GONE: Stage.CLOSED,
        Signal.CANCEL_SENT: Stage.CANCELLING,
        Signal.CANCEL_REFUSED: Stage.CANCELLING,
    },
    Stage.PARTIAL: _FILLS
    | _ENDING_POSITION
    | _late(Stage.PARTIAL)
    | {
        Signal.ENTRY_GONE: Stage.PROTECTED,
        Signal.STOP_MOVED: Stage.PARTIAL,
        Signal.EXIT_FILLED: Stage.PARTIAL,
    },
    Stage.PROTECTED: _ENDING_POSITION
    | _late(Stage.PROTECTED)
    | {
        Signal.ENTRY_PART_FILLED: Stage.PROTECTED,  # filled after the cancellation was confirmed
        Signal.ENTRY_FILLED: Stage.PROTECTED,
        Signal.ENTRY_SENT: Stage.PARTIAL,  # what a limit left unfilled, at market
        Signal.STOP_MOVED: Stage.PROTECTED,
        Signal.EXIT_FILLED: Stage.PROTECTED,
    },
    Stage.EXITING: _late(Stage.EXITING)
    | {
        Signal.ENTRY_PART_FILLED: Stage.EXITING,
        Signal.ENTRY_FILLED: Stage.EXITING,
        Signal.EXIT_ORDERED: Stage.EXITING,  # another way out: market after an unfilled limit
        Signal.EXIT_FILLED: Stage.EXITING,
        Signal.FLAT: Stage.CLEARING,
    },
    Stage.CLEARING: _late(Stage.CLEARING)
    | {
        Signal.ENTRY_PART_FILLED: Stage.EXITING,  # the cancel of the rest lost the race
        Signal.ENTRY_FILLED: Stage.EXITING,
        # A venue sells no more than there is: the entry fill that this closed is still to be reported.
        Signal.EXIT_FILLED: Stage.CLEARING,
        Signal.CLEARED: Stage.CLOSED,
    },
    Stage.CLOSED: {
        Signal.ENTRY_ACCEPTED: Stage.CLOSED,
        Signal.ENTRY_GONE: Stage.CLOSED,
        Signal.CANCEL_REFUSED: Stage.CLOSED,
        Signal.ENTRY_PART_FILLED: Stage.EXITING,  # filled after the venue had said cancelled
        Signal.ENTRY_FILLED: Stage.EXITING,
        Signal.EXIT_FILLED: Stage.CLEARING,
    },
}

ENTRY_ALIVE: Final = frozenset(
    {Stage.SUBMITTED, Stage.RESTING, Stage.REPRICING, Stage.CANCELLING, Stage.PARTIAL}
)
"""Stages in which an entry may still fill in the ordinary course."""
IN_POSITION: Final = frozenset({Stage.PARTIAL, Stage.PROTECTED, Stage.EXITING})


def advance(stage: Stage, signal: Signal) -> Stage:
    """Return the stage after a signal.

    Raises
    ------
    IllegalTransition
        When the table has no such signal in this stage; the message lists what was allowed.

    Examples
    --------
    >>> advance(Stage.RESTING, Signal.ENTRY_PART_FILLED).value
    'PARTIAL'
    """
    allowed = TRANSITIONS[stage]
    if signal not in allowed:
        known = ", ".join(sorted(allowed)) or "nothing, it is final"
        raise IllegalTransition(f"{signal} in stage {stage}; allowed: {known}")
    return allowed[signal]
