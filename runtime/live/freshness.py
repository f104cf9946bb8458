"""Whether each stream of a node still brings news, and whether entries may go on: machines without a clock.

A stream is fresh while something newer comes within its limit. Once stale it is not fresh again by the first
message: only when data flow *and* the venue's own records have been compared with ours since.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Annotated, Final

from msgspec import Meta, Struct

NANOS: Final = 1_000_000_000
MS: Final = 1_000_000
# Venues take what is stamped up to a second ahead of their clock.
TOLERATED_NS: Final = 500_000_000


class DataSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits for market data of a paper or live node (docs/live-data.md).

    Parameters
    ----------
    heartbeat_secs
        Pause between two looks at a venue's clock. A venue that has sent and answered nothing for twice as
        long is stale: all its entries are held.
    stale_secs
        Longest silence of an instrument's trades; 0 never. A market in which nobody trades looks the same:
        set it by the quietest instrument.
    frozen_secs
        Longest time in which the price does not change, trades or not; 0 never: quiet markets look the same.
    bar_late_secs
        How long after its close a bar may come before its stream is stale.
    max_clock_offset_secs
        Entries are held while the machine's clock is further from a venue's.
    instrument_secs
        Pause between two looks at the venue's terms: tick and lot size, and whether it trades an instrument.
    gap_secs
        How long missing trades are waited for; after that the bucket is tainted and the stream goes on.
    gap_trades
        More missing trades than this are not fetched at all.
    quiet_secs
        Venues without numbered trades (Bybit): after such a silence something may be missing.
    warm_up
        Rebuild buckets, structure and windows before the first entry; false starts empty.
    warm_up_hours
        How far back history is read where no checkpoint is.
    warm_up_ratio
        Share of a host's request limit that reading many instruments' bars may use before the first entry, at
        least `download.budget_ratio`; what is left is for orders and cancellations.
    checkpoint_secs
        Pause between two checkpoints of what was built; 0 writes none but at the end.
    """

    heartbeat_secs: Annotated[float, Meta(ge=0.1, le=60)] = 5.0
    stale_secs: Annotated[float, Meta(ge=0, le=86_400)] = 30.0
    frozen_secs: Annotated[float, Meta(ge=0, le=86_400)] = 0.0
    bar_late_secs: Annotated[float, Meta(ge=0.1, le=3600)] = 10.0
    max_clock_offset_secs: Annotated[float, Meta(gt=0, le=10)] = 1.0
    instrument_secs: Annotated[float, Meta(ge=1, le=86_400)] = 60.0
    gap_secs: Annotated[float, Meta(ge=0, le=60)] = 3.0
    gap_trades: Annotated[int, Meta(ge=0, le=1_000_000)] = 20_000
    quiet_secs: Annotated[float, Meta(gt=0, le=3600)] = 5.0
    warm_up: bool = True
    warm_up_hours: Annotated[float, Meta(gt=0, le=8760)] = 48.0
    warm_up_ratio: Annotated[float, Meta(gt=0, le=1)] = 0.8
    checkpoint_secs: Annotated[float, Meta(ge=0, le=86_400)] = 60.0


class Freshness(Enum):
    """What is known of a stream."""

    AWAITED = auto()  # nothing has come yet
    FRESH = auto()
    STALE = auto()
    RETURNED = auto()  # data flow again, the venue's records have not been compared yet


class Sign(Enum):
    """What happens to a stream."""

    DATA = auto()
    SILENCE = auto()  # longer than the limit
    RECONCILED = auto()


TRANSITIONS: Final[dict[Freshness, dict[Sign, Freshness]]] = {
    Freshness.AWAITED: {
        Sign.DATA: Freshness.FRESH,  # the node has reconciled at its start
        Sign.SILENCE: Freshness.STALE,
        Sign.RECONCILED: Freshness.AWAITED,
    },
    Freshness.FRESH: {
        Sign.DATA: Freshness.FRESH,
        Sign.SILENCE: Freshness.STALE,
        Sign.RECONCILED: Freshness.FRESH,
    },
    Freshness.STALE: {
        Sign.DATA: Freshness.RETURNED,
        Sign.SILENCE: Freshness.STALE,
        Sign.RECONCILED: Freshness.STALE,  # it says nothing of data
    },
    Freshness.RETURNED: {
        Sign.DATA: Freshness.RETURNED,
        Sign.SILENCE: Freshness.STALE,
        Sign.RECONCILED: Freshness.FRESH,
    },
}


@dataclass(frozen=True, slots=True)
class StreamName:
    """A stream: of whom, and what.

    Parameters
    ----------
    owner
        Nautilus instrument id, or the name of a venue.
    kind
        ``trades``, ``bars`` or ``venue``.
    """

    owner: str
    kind: str


class StreamWatch:
    """One stream.

    Parameters
    ----------
    limit_ns
        Longest silence.
    since_ns
        From when on it is counted, UNIX nanoseconds of the node's clock.
    frozen_ns
        Longest time without a change of price, 0 never.
    """

    __slots__ = ("_frozen_ns", "_price", "changed_ns", "heard_ns", "limit_ns", "state")

    def __init__(self, limit_ns: int, since_ns: int, frozen_ns: int = 0) -> None:
        self.limit_ns = limit_ns
        self.heard_ns = since_ns
        self.state = Freshness.AWAITED
        self._frozen_ns = frozen_ns
        self._price = math.nan
        self.changed_ns = since_ns

    def hear(self, now_ns: int, price: float = math.nan) -> None:
        """Take note of a message at this time, with its price if it has one."""
        self.heard_ns = now_ns
        if self._frozen_ns and price == self._price:
            if now_ns - self.changed_ns > self._frozen_ns:
                return  # `look` says so
        else:
            self._price, self.changed_ns = price, now_ns
        if self.state is not Freshness.FRESH:
            self._advance(Sign.DATA)

    def look(self, now_ns: int) -> bool:
        """Tell whether the stream has just become stale."""
        if not self.is_silent(now_ns):
            return False
        before = self.state
        self._advance(Sign.SILENCE)
        return before is not Freshness.STALE

    def is_silent(self, now_ns: int) -> bool:
        """Tell whether nothing new has come for longer than the limit."""
        is_frozen = self._frozen_ns > 0 and now_ns - self.changed_ns > self._frozen_ns
        return now_ns - self.heard_ns > self.limit_ns or is_frozen

    def reconcile(self) -> bool:
        """Take note that the venue's records were compared; tell whether the stream is fresh by that."""
        before = self.state
        self._advance(Sign.RECONCILED)
        return before is Freshness.RETURNED

    def _advance(self, sign: Sign) -> None:
        self.state = TRANSITIONS[self.state][sign]


class Watchtower:
    """All streams of a node.

    Notes
    -----
    A hold covers an owner: it begins when the first of its streams is stale and ends with the last.
    """

    def __init__(self) -> None:
        self.streams: dict[StreamName, StreamWatch] = {}

    def add(self, name: StreamName, watch: StreamWatch) -> StreamWatch:
        """Watch a stream; one that is watched already stays as it is."""
        return self.streams.setdefault(name, watch)

    def look(self, now_ns: int) -> list[StreamName]:
        """Return the streams that have just become stale, UNIX nanoseconds."""
        return [name for name, one in self.streams.items() if one.look(now_ns)]

    @property
    def stale(self) -> Iterator[StreamName]:
        """Yield what is not to be relied upon: stale, or back but not compared yet."""
        waiting = (Freshness.STALE, Freshness.RETURNED)
        return (name for name, one in self.streams.items() if one.state in waiting)

    @property
    def returned(self) -> list[StreamName]:
        """Return what is back and waits for a comparison with the venue."""
        return [name for name, one in self.streams.items() if one.state is Freshness.RETURNED]

    def reconcile(self, compared: Iterable[StreamName]) -> list[str]:
        """Take note of a comparison; return the owners that are fresh by it, sorted.

        Parameters
        ----------
        compared
            What was back when the comparison began; it says nothing of what came back later.
        """
        freed = {name.owner for name in compared if self.streams[name].reconcile()}
        return sorted(freed - {name.owner for name in self.stale})


@dataclass(frozen=True, slots=True)
class ClockOffset:
    """How far a venue's clock is ahead of ours.

    Parameters
    ----------
    offset_ns
        Venue minus ours; the middle of what the answer allows.
    uncertainty_ns
        Half of the time that the question took: the truth is at most so far away.
    """

    offset_ns: int
    uncertainty_ns: int

    @property
    def least_ns(self) -> int:
        """Return the smallest distance of the clocks that the measurement allows."""
        return max(0, abs(self.offset_ns) - self.uncertainty_ns)

    @property
    def shift_ms(self) -> int:
        """Return what a stamp by our clock must be moved by, ms: 0 where our clock is right enough.

        Examples
        --------
        >>> ClockOffset(-2_000_000_000, 10_000_000).shift_ms, ClockOffset(400_000_000, 0).shift_ms
        (-2000, 0)
        """
        return round(self.offset_ns / MS) if self.least_ns > TOLERATED_NS else 0


def clock_offset(sent_ns: int, venue_ns: int, received_ns: int) -> ClockOffset:
    """Return the offset from one question for the time, all UNIX nanoseconds.

    Examples
    --------
    >>> clock_offset(1_000_000_000, 3_050_000_000, 1_100_000_000)
    ClockOffset(offset_ns=2000000000, uncertainty_ns=50000000)
    """
    return ClockOffset(venue_ns - (sent_ns + received_ns) // 2, max(0, received_ns - sent_ns) // 2)


__all__ = [
    "ClockOffset",
    "DataSettings",
    "Freshness",
    "Sign",
    "StreamName",
    "StreamWatch",
    "Watchtower",
    "clock_offset",
]
