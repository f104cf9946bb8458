"""Lets those who only write down what happens hear of it after the cancel that a trade leads to has left.

A decision and the cancel that follows from it are heard by journal, metrics, watchdog, notifications and
terminals: half of the time from a trade to its cancel on the wire. While a trade is handled they wait, in the
order of what happened, until the cancel is with the HTTP client, or the trade is done. Before an order that
is new or changed leaves they have heard everything: what was not journaled must not begin
(docs/decisions/0018-nothing-waits-in-a-live-node.md).

A bug in one of them is logged and goes no further: it must cost neither the order that is about to leave nor
the node. The journal alone refuses (`REFUSES`): its error keeps what is new from leaving.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

log = logging.getLogger("smcbot.hearing")

type Hear = Callable[[Any], object]


class LateHearing:
    """What happened while a trade was handled, and who has not heard of it yet.

    Examples
    --------
    >>> late, told = LateHearing(), []
    >>> hear = late.later(told.append)
    >>> hear("at once")
    >>> late.begin()
    >>> hear("a cancel")
    >>> told
    ['at once']
    >>> late.end()
    >>> told
    ['at once', 'a cancel']
    """

    def __init__(self) -> None:
        self._depth = 0
        self._waiting: deque[tuple[Hear, Any]] = deque()

    def later(self, hear: Hear) -> Hear:
        """Return what is subscribed in the place of a listener.

        Parameters
        ----------
        hear
            Takes a message of the bus; may be told when the call that published it has returned.
        """
        waiting = self._waiting

        def take(message: Any) -> None:
            waiting.append((hear, message))
            if not self._depth:
                self.tell()

        return take

    def begin(self) -> None:
        """Begin with a trade: from now on listeners wait."""
        self._depth += 1

    def end(self) -> None:
        """Be done with it; tell what nobody has heard."""
        self._depth -= 1
        if self._waiting and not self._depth:
            self.tell()

    def tell(self) -> None:
        """Tell everything that waits, oldest first.

        One that refuses by raising keeps the others waiting until the next call; what it did not take is
        gone, as it is with Nautilus' own bus.
        """
        waiting = self._waiting
        while waiting:
            hear, message = waiting.popleft()
            hear(message)

    def attach(self, actors: Iterable[Any]) -> None:
        """Let actors that have not started hear late, with the methods that their `HEARD_LATE` names.

        Errors are kept where they happen, by the actor's own ``_guarded`` where it has one, unless it
        `REFUSES`. A guard around what is subscribed does not help: it has returned when the method is called.
        """
        for actor in actors:
            for name in getattr(actor, "HEARD_LATE", ()):
                hear = getattr(actor, name)
                if not getattr(actor, "REFUSES", False):
                    hear = getattr(actor, "_guarded", guarded)(hear)
                setattr(actor, name, self.later(hear))


def guarded(hear: Hear) -> Hear:
    """Return what logs the errors of a listener, and goes on."""

    def take(message: Any) -> None:
        try:
            hear(message)
        except Exception:
            log.exception("%s was not written down", type(message).__name__)

    return take


__all__ = ["LateHearing"]
