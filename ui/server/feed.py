"""What the server knows of its node: the state, and the last messages for those who follow them.

Pure: messages in, a verdict out. A gap in the numbers means that something is unknown from then on, so that
all is ignored until the node has sent a snapshot.
"""

from collections import deque
from itertools import islice
from typing import Any, Final, Literal, NamedTuple

from ui.protocol import PAST, SNAP, Message, Past, Snapshot, key_of
from ui.server.packed import PackedState
from ui.terminal_state import SERVER_BUCKETS

RING: Final = 20_000

type Taken = Literal["taken", "waiting", "gap"]


class Event(NamedTuple):
    """A message as it goes to browsers; `key` is what it replaces (`ui.protocol.key_of`)."""

    seq: int
    kind: str
    payload: Any
    key: tuple[str, ...] | None


class Feed:
    """Folds the messages of one node at a time.

    Parameters
    ----------
    ring
        Messages kept for browsers that are behind.
    max_buckets
        Buckets kept per instrument.

    Attributes
    ----------
    epoch, seq, ts_ns
        Of the newest message.
    arrived_s
        When it came, monotonic seconds; None before the first.
    is_synced
        Whether `state` is what the node has; it is not between a gap and the next snapshot.
    """

    def __init__(self, ring: int = RING, max_buckets: int = SERVER_BUCKETS) -> None:
        self.state = PackedState(max_buckets)
        self.epoch, self.seq, self.ts_ns = "", 0, 0
        self.arrived_s: float | None = None
        self.is_synced = False
        self.gaps = 0
        self._ring: deque[Event] = deque(maxlen=ring)
        self._past, self._parts = PackedState(max_buckets), 0
        self._max_buckets = max_buckets

    def take(self, message: Message, now_s: float) -> Taken:
        """Take a message at a time (monotonic seconds).

        Returns
        -------
        Taken
            ``taken``; ``waiting`` for a snapshot; ``gap``: ask the node for one.
        """
        if message.kind == PAST:
            return self._gather(message)
        if message.kind == SNAP and (not self.is_synced or message.epoch != self.epoch):
            return self._begin(message, now_s)
        if not self.is_synced:
            return "waiting"
        if message.epoch != self.epoch or message.seq > self.seq + 1:
            self.is_synced = False
            self.gaps += 1
            return "gap"
        if message.seq <= self.seq:  # delivered twice
            return "taken"
        if message.kind != SNAP:  # one for another subscriber says nothing new
            self.state.apply(message.kind, message.payload)
        self._ring.append(_event(message))
        self.seq, self.ts_ns, self.arrived_s = message.seq, message.ts_ns, now_s
        return "taken"

    def lose(self) -> None:
        """Forget that it is in step: the next message must be a snapshot."""
        self.is_synced = False
        self._forget_past()

    def since(self, epoch: str, seq: int) -> list[Event] | None:
        """Return what came after a number, None where that is not kept any more."""
        missing = self.seq - seq
        if epoch != self.epoch or not 0 <= missing <= len(self._ring):
            return None
        return list(islice(reversed(self._ring), missing))[::-1]

    def age_ms(self, now_s: float, now_ns: int) -> float | None:
        """Return how old the newest message is, None before the first.

        The node's clock counts too, where it trades: what waited in a queue is old when it arrives.
        """
        if self.arrived_s is None:
            return None
        since_arrival = (now_s - self.arrived_s) * 1e3
        node = self.state.node
        if node is None or node.mode not in ("live", "paper"):
            return since_arrival
        return max(since_arrival, (now_ns - self.ts_ns) / 1e6)

    def _gather(self, message: Message) -> Taken:
        """Keep history until its snapshot comes; who is in step has it."""
        if self.is_synced and message.epoch == self.epoch:
            return "taken"
        self.is_synced = False
        past: Past = message.payload
        if past.part == 0:
            self._forget_past()
        if past.part == self._parts:
            self._parts += 1
            for kind, payloads in (("bkt", past.bkt), ("bar", past.bar)):
                for payload in payloads:
                    self._past.apply(kind, payload)
        return "waiting"

    def _forget_past(self) -> None:
        self._past, self._parts = PackedState(self._max_buckets), 0

    def _begin(self, message: Message, now_s: float) -> Taken:
        snapshot: Snapshot = message.payload
        past, parts = self._past, self._parts
        self._forget_past()
        if (
            snapshot.past and snapshot.past != parts
        ):  # some went to another one before this one came, or are lost
            self.is_synced = False
            return "waiting"
        self.state.restore(
            snapshot, is_same_run=message.epoch == self.epoch, past=past if snapshot.past else None
        )
        self._ring.clear()
        self.epoch, self.seq, self.ts_ns = message.epoch, message.seq, message.ts_ns
        self.arrived_s = now_s
        self.is_synced = True
        return "taken"


def _event(message: Message) -> Event:
    key = None if message.kind == SNAP else key_of(message.kind, message.payload)
    return Event(message.seq, message.kind, message.payload, key)
