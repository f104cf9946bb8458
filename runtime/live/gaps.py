"""Puts one instrument's trades into the order of their ids again: what is missing is waited for, then let go.

Two machines of one kind, without clock, socket or Nautilus: `ConsecutiveIds` for venues that number their
trades (Binance), `RecentIds` for those that name them (Bybit's UUIDs), where a jump cannot be seen and every
silence is suspect. A trade goes in, those that are next in order come out; `wanted` says what to fetch.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto
from heapq import heappop, heappush
from typing import Final, Protocol

NO_ID: Final = -1
SAVED_NAMES: Final = 1000


class Flow(Enum):
    """Whether trades go through as they come."""

    FLOWING = auto()
    WAITING = auto()


class Input(Enum):
    """What happens to a stream of trades."""

    NEXT = auto()  # the trade after the last one
    JUMP = auto()  # trades between the last one and this are missing
    COMPLETE = auto()  # what was missing is there
    GIVE_UP = auto()  # it cannot be had


TRANSITIONS: Final[dict[Flow, dict[Input, Flow]]] = {
    Flow.FLOWING: {Input.NEXT: Flow.FLOWING, Input.JUMP: Flow.WAITING},
    Flow.WAITING: {
        Input.JUMP: Flow.WAITING,  # another one behind the first
        Input.COMPLETE: Flow.FLOWING,
        Input.GIVE_UP: Flow.FLOWING,
    },
}


@dataclass(frozen=True, slots=True)
class Missing:
    """What a stream waits for.

    Parameters
    ----------
    first_id, last_id
        Ids that were jumped over, both included; `NO_ID` where trades have none: then everything after the
        last known trade.
    """

    first_id: int
    last_id: int

    @property
    def count(self) -> int:
        """Number of ids, 0 where it is not known."""
        return 0 if self.first_id == NO_ID else self.last_id - self.first_id + 1


@dataclass(slots=True)
class GapCounters:
    """What a stream has seen since its start."""

    gaps: int = 0
    filled: int = 0
    given_up: int = 0
    dropped: int = 0
    """Trades that came twice, or after later ones had gone through."""
    missing: int = 0
    """Trades that were fetched or given up."""


class TradeOrder[T](Protocol):
    """Hands one instrument's trades on in their order."""

    counters: GapCounters

    @property
    def wanted(self) -> Missing | None:
        """Return what to fetch, None while trades flow."""
        ...

    @property
    def buffered(self) -> int:
        """Return how many trades wait."""
        ...

    def take(self, trade_id: str, trade: T) -> list[T]:
        """Take a trade of the stream; return those that go through now, mostly this one."""
        ...

    def fill(self, trades: Iterable[tuple[str, T]], *, known_until: int) -> list[T]:
        """Take what was fetched; return the trades that go through now."""
        ...

    def give_up(self) -> list[T]:
        """Wait no longer; return the trades that waited, in their order."""
        ...


class ConsecutiveIds[T]:
    """Order of trades whose ids the venue counts one by one.

    Parameters
    ----------
    last_id
        Id of the last trade that was taken before, `NO_ID` when any trade may be the first.

    Examples
    --------
    >>> order = ConsecutiveIds[str](last_id=6)
    >>> order.take("7", "a"), order.take("9", "c"), order.wanted
    (['a'], [], Missing(first_id=8, last_id=8))
    >>> order.fill([("8", "b")], known_until=8), order.wanted
    (['b', 'c'], None)
    """

    def __init__(self, last_id: int = NO_ID) -> None:
        self.flow = Flow.FLOWING
        self.last_id = last_id
        self.counters = GapCounters()
        self._waiting: dict[int, T] = {}
        self._ids: list[int] = []  # heap of those that wait

    @property
    def wanted(self) -> Missing | None:
        """Return the first ids that are missing, None while trades flow."""
        if self.flow is Flow.FLOWING:
            return None
        return Missing(self.last_id + 1, self._ids[0] - 1)

    @property
    def buffered(self) -> int:
        """Return how many trades wait."""
        return len(self._waiting)

    def take(self, trade_id: str, trade: T) -> list[T]:
        """Take a trade of the stream; return those that go through now, mostly this one.

        Raises
        ------
        ValueError
            When the id is no whole number.
        """
        number = int(trade_id)
        if self.flow is Flow.FLOWING and (number == self.last_id + 1 or self.last_id == NO_ID):
            self.last_id = number
            return [trade]
        if number <= self.last_id or number in self._waiting:
            self.counters.dropped += 1
            return []
        self._keep(number, trade)
        if self.flow is Flow.FLOWING:
            self.counters.gaps += 1
            self._advance(Input.JUMP)
            return []
        return self._let_go()  # a late one may have closed the gap

    def fill(self, trades: Iterable[tuple[str, T]], *, known_until: int) -> list[T]:
        """Take what was fetched for `wanted`; return the trades that go through now.

        Parameters
        ----------
        trades
            (id, trade), in any order; those that are not wanted are passed over.
        known_until
            The venue has answered for all ids from the first wanted one to this: those left out do not exist.
        """
        wanted = self.wanted
        if wanted is None:
            return []
        for trade_id, trade in trades:
            number = int(trade_id)
            if wanted.first_id <= number <= wanted.last_id and number not in self._waiting:
                self._keep(number, trade)
                self.counters.missing += 1
        return self._let_go(known_until)

    def give_up(self) -> list[T]:
        """Wait no longer; return the trades that waited, in their order: who counts ids sees the gap."""
        if self.flow is Flow.FLOWING:
            return []
        ids = sorted(self._ids)
        out = [self._waiting[number] for number in ids]
        self.counters.missing += ids[-1] - self.last_id - len(ids)
        self.counters.given_up += 1
        self.last_id = ids[-1]
        self._waiting.clear()
        self._ids.clear()
        self._advance(Input.GIVE_UP)
        return out

    def _keep(self, number: int, trade: T) -> None:
        self._waiting[number] = trade
        heappush(self._ids, number)

    def _let_go(self, known_until: int = NO_ID) -> list[T]:
        """Return what is next in order; ids up to `known_until` that are not here do not exist."""
        out: list[T] = []
        ids = self._ids
        while ids and (ids[0] == self.last_id + 1 or ids[0] - 1 <= known_until):
            self.last_id = heappop(ids)
            out.append(self._waiting.pop(self.last_id))
        if not ids:
            self.counters.filled += 1
            self._advance(Input.COMPLETE)
        elif out:
            self._advance(Input.JUMP)
        return out

    def _advance(self, happened: Input) -> None:
        self.flow = TRANSITIONS[self.flow][happened]


class RecentIds[T]:
    """Order of trades that have names but no numbers: duplicates are seen, gaps are only suspected.

    Parameters
    ----------
    names
        Of the newest trades that were taken before, oldest first.
    remembered
        How many names of trades that went through are kept; at least as many as the venue's newest page.

    Examples
    --------
    >>> order = RecentIds[str]()
    >>> order.take("x", "a"), order.suspect(), order.take("z", "c")
    (['a'], None, [])
    >>> order.fill([("x", "a"), ("y", "b"), ("z", "c")], known_until=-1)
    ['b', 'c']
    """

    def __init__(self, names: Iterable[str] = (), remembered: int = 5000) -> None:
        self.flow = Flow.FLOWING
        self.counters = GapCounters()
        self._names: deque[str] = deque(maxlen=remembered)
        self._known: set[str] = set()
        self._waiting: dict[str, T] = {}
        for name in names:
            self._remember(name)

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the newest trades that went through, oldest first, at most `SAVED_NAMES`."""
        return tuple(self._names)[-SAVED_NAMES:]

    @property
    def wanted(self) -> Missing | None:
        """Return that something may be missing, None while trades flow."""
        return Missing(NO_ID, NO_ID) if self.flow is Flow.WAITING else None

    @property
    def buffered(self) -> int:
        """Return how many trades wait."""
        return len(self._waiting)

    def suspect(self) -> None:
        """Hold trades back from now on: after a silence or a reconnect nobody knows what is missing."""
        if self.flow is Flow.FLOWING and self._names:
            self.counters.gaps += 1
            self._advance(Input.JUMP)

    def take(self, trade_id: str, trade: T) -> list[T]:
        """Take a trade of the stream; return it, or nothing while trades are held back."""
        if trade_id in self._known or trade_id in self._waiting:
            self.counters.dropped += 1
            return []
        if self.flow is Flow.WAITING:
            self._waiting[trade_id] = trade
            return []
        self._remember(trade_id)
        return [trade]

    def fill(self, trades: Iterable[tuple[str, T]], *, known_until: int) -> list[T]:
        """Take the venue's newest trades, oldest first; return the trades that go through now.

        Nothing happens, and trades stay held back, unless the page reaches back to a trade that went
        through. `known_until` has no meaning here: the page itself shows it.
        """
        del known_until
        page = list(trades)
        if self.flow is Flow.FLOWING or not self._names:
            return []
        last = next((at for at, (name, _) in enumerate(page) if name == self._names[-1]), None)
        if last is None:
            return []
        out: list[T] = []
        # What the page has before it is older than this stream, or went through.
        for trade_id, trade in page[last + 1 :]:
            if self._waiting.pop(trade_id, None) is None:
                self.counters.missing += 1
            self._remember(trade_id)
            out.append(trade)
        out += self._release()
        self.counters.filled += 1
        self._advance(Input.COMPLETE)
        return out

    def give_up(self) -> list[T]:
        """Wait no longer; return the trades that waited, in the order in which they came."""
        if self.flow is Flow.FLOWING:
            return []
        self.counters.given_up += 1
        out = self._release()
        self._advance(Input.GIVE_UP)
        return out

    def _release(self) -> list[T]:
        for name in self._waiting:
            self._remember(name)
        out = list(self._waiting.values())
        self._waiting.clear()
        return out

    def _remember(self, name: str) -> None:
        if len(self._names) == self._names.maxlen:
            self._known.discard(self._names[0])
        self._names.append(name)
        self._known.add(name)

    def _advance(self, happened: Input) -> None:
        self.flow = TRANSITIONS[self.flow][happened]


__all__ = ["NO_ID", "ConsecutiveIds", "Flow", "GapCounters", "Input", "Missing", "RecentIds", "TradeOrder"]
