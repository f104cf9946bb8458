"""Lets those who only write down what happens hear of it after the order that it leads to has left.

A decision and the cancel that follows from it are heard by journal, metrics, watchdog, notifications and
terminals: half of the time from a trade to its cancel on the wire. While a trade is handled they wait, in the
order of what happened: the journal until the cancel is with the HTTP client, or the trade is done. While an
event of a venue is handled, the others wait in the same way for the stop or the target that a fill leads to.

The others hear with the loop's next turns, behind the trades and reports that wait already. Entries that fill
in many pieces bring dozens of reports at once, of several instruments; a quarter of what each of them costs
is telling the others, and the first stop of a position stood behind all of it.

The journal alone (`REFUSES`) does not wait for an event, and has heard everything of a trade before an order
that is new or changed leaves (docs/decisions/0018-nothing-waits-in-a-live-node.md): what was not journaled
must not begin, so its own bug halts entries. A bug in one of the others is logged and goes no further: it
must cost neither the order that is about to leave nor the node.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final

log = logging.getLogger("smcbot.hearing")

# Told in one turn of the loop, 0.1 ms: what comes meanwhile is handled with the next one. Where many wait, a
# part of them is told in each turn, so that it does not become more and more.
AT_ONCE: Final = 2
PART: Final = 64

type Hear = Callable[[Any], object]


class LateHearing:
    """What happened while a trade or an event was handled, and who has not heard of it yet.

    Parameters
    ----------
    loop
        Of the node: who refuses nothing hears with its next turns. None, or one that does not run: when what
        is handled is done.

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

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._loop = loop
        self._is_due = False
        self._trades = 0  # that are being handled
        self._handled = 0  # these, and events
        self._refusing: deque[tuple[Hear, Any]] = deque()
        self._waiting: deque[tuple[Hear, Any]] = deque()

    def later(self, hear: Hear, *, refuses: bool = False) -> Hear:
        """Return what is subscribed in the place of a listener.

        Parameters
        ----------
        hear
            Takes a message of the bus; may be told when the call that published it has returned.
        refuses
            It is told before anything new leaves, and may raise; it waits for trades alone.
        """
        waiting = self._refusing if refuses else self._waiting

        def take(message: Any) -> None:
            waiting.append((hear, message))
            if not self._handled:  # a deadline, a person: what follows must not wait for what waits
                self.tell_left()
            elif refuses and not self._trades:
                self.tell_refusing()

        return take

    def begin(self) -> None:
        """Begin with a trade: from now on listeners wait."""
        self._trades += 1
        self._handled += 1

    def end(self) -> None:
        """Be done with it; tell what nobody has heard."""
        self._trades -= 1
        self.end_event()

    def begin_event(self) -> None:
        """Begin with an event of a venue: who refuses nothing waits."""
        self._handled += 1

    def end_event(self) -> None:
        """Be done with it; tell what nobody has heard."""
        self._handled -= 1
        if not self._handled:
            self.tell_left()

    def tell_left(self) -> None:
        """Tell that an order has left, or that all is done: at once who may refuse, soon the others."""
        self.tell_refusing()
        if self._loop is None or not self._loop.is_running():
            tell_all(self._waiting)
        else:
            self._tell_soon(self._loop)

    def _tell_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._waiting and not self._is_due:
            self._is_due = True
            loop.call_soon(self._tell_some, loop)

    def _tell_some(self, loop: asyncio.AbstractEventLoop) -> None:
        self._is_due = False
        waiting = self._waiting
        left = max(AT_ONCE, len(waiting) // PART)
        try:
            while waiting and left:  # who hears may act, and that may tell everything
                left -= 1
                hear, message = waiting.popleft()
                hear(message)
        finally:
            self._tell_soon(loop)

    def tell(self) -> None:
        """Tell everything that waits: first who may refuse, then the others, each oldest first.

        One that refuses by raising keeps the others waiting until the next call; what it did not take is
        gone, as it is with Nautilus' own bus.
        """
        self.tell_refusing()
        tell_all(self._waiting)

    def tell_refusing(self) -> None:
        """Tell what waits for those who may refuse: something new is about to leave."""
        tell_all(self._refusing)

    def attach(self, actors: Iterable[Any]) -> None:
        """Let actors that have not started hear late, with the methods that their `HEARD_LATE` names.

        Errors are kept where they happen, by the actor's own ``_guarded`` where it has one, unless it
        `REFUSES`. A guard around what is subscribed does not help: it has returned when the method is called.
        """
        for actor in actors:
            for name in getattr(actor, "HEARD_LATE", ()):
                hear, refuses = getattr(actor, name), getattr(actor, "REFUSES", False)
                if not refuses:
                    hear = getattr(actor, "_guarded", guarded)(hear)
                setattr(actor, name, self.later(hear, refuses=refuses))


def tell_all(waiting: deque[tuple[Hear, Any]]) -> None:
    """Tell what waits, and what comes meanwhile."""
    while waiting:
        hear, message = waiting.popleft()
        hear(message)


def guarded(hear: Hear) -> Hear:
    """Return what logs the errors of a listener, and goes on."""

    def take(message: Any) -> None:
        try:
            hear(message)
        except Exception:
            log.exception("%s was not written down", type(message).__name__)

    return take


__all__ = ["LateHearing"]
