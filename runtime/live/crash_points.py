"""Named places of the way from an entry to its protection at which a test may kill the process.

Inert unless the environment variable `VARIABLE` names a point: then the process ends there by SIGKILL, with
no chance to tidy up, the first time (or the n-th: ``point:3``) it comes by.
"""

import os
import signal
from enum import StrEnum
from typing import Final

VARIABLE: Final = "SMCBOT_CRASH_POINT"


class CrashPoint(StrEnum):
    """Where; each before or after something that another process must find, or find missing."""

    ENTRY_BEFORE_STORED = "entry_before_stored"
    ENTRY_STORED = "entry_stored"  # on the disk, not sent
    ENTRY_SENT = "entry_sent"  # handed to Nautilus, perhaps not on the wire
    ENTRY_ACCEPTED = "entry_accepted"  # before the acknowledgement is taken
    ENTRY_FILL_REPORTED = "entry_fill_reported"  # before the fill is taken: nothing of it is on the disk
    STOP_BEFORE_STORED = "stop_before_stored"
    STOP_STORED = "stop_stored"
    STOP_SENT = "stop_sent"
    STOP_ACCEPTED = "stop_accepted"
    TARGET_STORED = "target_stored"
    TARGET_SENT = "target_sent"
    TARGET_ACCEPTED = "target_accepted"
    CANCEL_SENT = "cancel_sent"
    CANCEL_CONFIRMED = "cancel_confirmed"
    EXIT_STORED = "exit_stored"  # the market order that closes a position
    EXIT_SENT = "exit_sent"
    STOP_FILL_REPORTED = "stop_fill_reported"  # the target still rests
    TARGET_FILL_REPORTED = "target_fill_reported"  # the stop still rests
    EXIT_FILL_REPORTED = "exit_fill_reported"
    TRADE_CLOSED = "trade_closed"  # recorded, the closed setup not stored
    RESTORED = "restored"  # after a restart: state taken up, nothing sent
    ORPHANS_SWEPT = "orphans_swept"


class CrashPoints:
    """Kills the process at the point that was armed.

    Parameters
    ----------
    armed
        ``point`` or ``point:n``; None or empty for none.

    Raises
    ------
    ValueError
        When there is no such point.
    """

    def __init__(self, armed: str | None) -> None:
        name, _, times = (armed or "").partition(":")
        self._point = CrashPoint(name) if name else None
        self._left = int(times or 1)

    @property
    def is_armed(self) -> bool:
        """Tell whether any point is."""
        return self._point is not None

    def reach(self, point: str) -> None:
        """Die here, if this is the point. Names that are no points are passed by."""
        if point != self._point:
            return
        self._left -= 1
        if self._left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)


def armed_points() -> CrashPoints | None:
    """Return the point of the environment, None (and no cost) without one."""
    armed = os.environ.get(VARIABLE)
    return CrashPoints(armed) if armed else None


__all__ = ["VARIABLE", "CrashPoint", "CrashPoints", "armed_points"]
