"""Up to when answers may tell: in a replay nothing of later than the moment that it shows."""

from typing import Final

from ui.server.questions import LAST_NS
from ui.server.services import services

MS: Final = 1_000_000


def as_of_ms() -> int | None:
    """Return the moment that a replay shows, UNIX milliseconds; None where nothing is played."""
    node = services().hub.node()
    return None if node is None or node.replay is None else node.replay.at


def end_ns(as_of: int | None, asked_ns: int = LAST_NS) -> int:
    """Return the end of what may be told, not included, UNIX nanoseconds.

    Parameters
    ----------
    as_of
        From `as_of_ms`: that millisecond is told.
    asked_ns
        The end that was asked for.

    Examples
    --------
    >>> end_ns(None, 5), end_ns(1, 5_000_000), end_ns(1, 5)
    (5, 2000000, 5)
    """
    return asked_ns if as_of is None else min(asked_ns, (as_of + 1) * MS)


__all__ = ["as_of_ms", "end_ns"]
