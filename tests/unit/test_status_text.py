"""What a person reads of a running node."""

from typing import Any

import pytest

from runtime.live.status_text import status_lines

DESK = {
    "strategy": "OTE-000",
    "instrument": "XRPUSDT.BINANCE",
    "halted": False,
    "held": "",
    "setup": "",
    "stage": "",
    "position_qty": "",
    "exitable_qty": "",
    "protected_qty": "",
    "uncovered_qty": "",
    "entering_qty": "",
}
SHORT = {"setup": "Smwq", "position_qty": "80.000", "exitable_qty": "80", "entering_qty": "0"}
DESKS = {
    "nothing": ({}, "flat; entries free (OTE-000)"),
    "held": ({"held": "warmup: 3 of 48 h"}, "flat; entries held: warmup: 3 of 48 h (OTE-000)"),
    "halted": ({"halted": True, "held": "warmup"}, "flat; entries HALTED until `ctl rearm` (OTE-000)"),
    "waiting": (
        {"setup": "Lmwq", "stage": "RESTING", "position_qty": "0", "entering_qty": "100"},
        "flat; an entry of 100 waits; entries free (OTE-000 Lmwq RESTING)",
    ),
    "protected": (
        SHORT | {"stage": "PROTECTED", "uncovered_qty": "0"},
        "short 80, its stop covers all of it; entries free (OTE-000 Smwq PROTECTED)",
    ),
    "naked": (
        SHORT | {"stage": "PROTECTED", "uncovered_qty": "30"},
        "short 80, WITHOUT A STOP FOR 30; entries free (OTE-000 Smwq PROTECTED)",
    ),
    "leaving": (
        SHORT | {"stage": "EXITING", "uncovered_qty": "80"},
        "short 80, being closed; entries free (OTE-000 Smwq EXITING)",
    ),
    "the dust of a first fill": (
        {"setup": "Lmwq", "stage": "PARTIAL", "position_qty": "0.0000056", "exitable_qty": "0"},
        "long 0.0000056, less than the venue sells; entries free (OTE-000 Lmwq PARTIAL)",
    ),
    "nobody's plan": (
        SHORT | {"setup": "Umwq", "stage": "PROTECTED", "uncovered_qty": "0"},
        "position 80, its stop covers all of it; entries free (OTE-000 Umwq PROTECTED)",
    ),
}


@pytest.mark.parametrize("case", DESKS)
def test_an_instrument_is_one_line(case: str) -> None:
    """What is held and what covers it first, then what may follow."""
    change, line = DESKS[case]
    assert status_lines({"desks": [DESK | change]}) == [f"XRPUSDT.BINANCE: {line}"]


def test_what_needs_attention_stands_above() -> None:
    """The node, a kill, a pause; and how long positions were without a stop below."""
    facts: dict[str, Any] = {
        "node": {"mode": "live", "session": "s-1"},
        "killed": "by anna: notice",
        "paused": ["everything"],
        "desks": [],
        "unprotected": {"longest_secs": {"A": 0.5, "B": 1.25, "C": 0.0}, "violations": 2},
    }
    assert status_lines(facts) == [
        "live node, session s-1",
        "KILLED by anna: notice: nothing is opened until `ctl rearm`",
        "PAUSED: everything, until `ctl resume`",
        "longest time without a stop at the venue: 1.25 s (B); the watchdog closed 2 times",
    ]
    facts["unprotected"] = {"longest_secs": {"A": 0.0}, "violations": 0}
    assert len(status_lines(facts)) == 3
