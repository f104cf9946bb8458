"""Which frame a browser gets next: at most one that it has not acknowledged, conflated, without gaps.

Pure: the clock is an argument. A browser that is slow to acknowledge gets fewer and larger frames, in which
of each thing only the last state stands; one that fell out of the ring, or asks, gets a snapshot; one that
acknowledges nothing for `STUCK_SECS` is to be thrown out.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

import msgspec

from ui.protocol import CHART_KINDS, SNAP
from ui.server.feed import Event, Feed
from ui.server.shortened import shortened

FRAME_HZ: Final = 25.0
BEAT_SECS: Final = 0.5
STUCK_SECS: Final = 8.0
# Between two snapshots of a browser: one that asks without end must not cost more than one that does not.
SNAP_SECS: Final = 0.25
MAX_EVENTS: Final = 5_000
# From the connection to its first frame, and from that to another one, should it be lost.
GREETING_SECS: Final = 0.03
FIRST_SECS: Final = 1.0

OPERATOR: Final = "operator"
SOMETHING_WRONG: Final = "the server cannot write its audit; an operator sees why"

_JSON: Final = msgspec.json.Encoder()


class Frame(NamedTuple):
    """What to send: the frame's fields (JSON), and up to which message the browser knows with it."""

    body: dict[str, Any]
    epoch: str
    seq: int


class Window:
    """What one browser was sent and has acknowledged.

    Parameters
    ----------
    ins
        The instrument that it looks at; None for the first one.
    role
        ``viewer`` or ``operator``, said in snapshots.
    ready_s
        Send nothing before (monotonic seconds): Socket.IO would deliver it before its own greeting.
    name
        Of the person.
    """

    def __init__(self, ins: str | None, role: str, ready_s: float = float("-inf"), name: str = "") -> None:
        self.ins, self.role, self.name, self._ready_s = ins, role, name, ready_s
        self.epoch, self.seq = "", -1
        self._wants_snap = True
        self._snap_at_s = float("-inf")
        self._sent_at_s = float("-inf")
        self._in_flight: int | None = None
        self._number = 0
        self.sent = self.snaps = 0

    def look_at(self, ins: str) -> None:
        """Change the instrument; a snapshot follows."""
        self.ins = ins
        self._wants_snap = True

    def resync(self) -> None:
        """Send a snapshot next."""
        self._wants_snap = True

    def acknowledge(self, number: int) -> None:
        """Note that a frame arrived; late answers to others count nothing."""
        if number == self._in_flight:
            self._in_flight = None

    def is_stuck(self, now_s: float) -> bool:
        """Tell whether the browser has left a frame unanswered for too long."""
        return self._in_flight is not None and now_s - self._sent_at_s >= STUCK_SECS

    def next(self, maker: "FrameMaker", now_s: float) -> tuple[int, Frame] | None:
        """Return the number and frame to send now, None if nothing is due."""
        if now_s < self._ready_s or self._is_waiting(now_s):
            return None
        frame = self._due(maker, now_s)
        if frame is None:
            return None
        self._number += 1
        self._in_flight, self._sent_at_s = self._number, now_s
        self.epoch, self.seq = frame.epoch, frame.seq
        self.sent += 1
        return self._number, frame

    def _is_waiting(self, now_s: float) -> bool:
        """Tell whether a frame is under way; the very first one may have come before the browser listened."""
        if self._number == 1 and self._in_flight is not None and now_s - self._sent_at_s >= FIRST_SECS:
            self._in_flight, self._wants_snap = None, True
        return self._in_flight is not None

    def _due(self, maker: "FrameMaker", now_s: float) -> Frame | None:
        feed = maker.feed
        if self._wants_snap or feed.epoch != self.epoch or not maker.reaches(self.epoch, self.seq):
            if now_s - self._snap_at_s < SNAP_SECS:
                return None
            self._wants_snap = False
            self._snap_at_s = now_s
            self.snaps += 1
            return maker.snapshot(self.ins, self.role)
        if feed.seq != self.seq or now_s - self._sent_at_s >= BEAT_SECS:
            return maker.delta(self.seq, self.ins, self.role)
        return None


def told_to(role: str, trouble: str | None, instead: str = SOMETHING_WRONG) -> str | None:
    """Return what is wrong with the server as somebody may hear it: its paths are for operators alone."""
    return trouble if trouble is None or role == OPERATOR else instead


class FrameMaker:
    """Makes frames of a feed; those of browsers in the same place are made once.

    Parameters
    ----------
    feed
        Of the node.
    """

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self._made: dict[tuple[Any, ...], Any] = {}
        self._age_ms: float | None = None
        self._trouble: str | None = None

    def begin(self, now_s: float, now_ns: int, trouble: str | None = None) -> None:
        """Forget what was made: time has passed, or the feed has moved on.

        Parameters
        ----------
        now_s, now_ns
            Monotonic seconds; UNIX nanoseconds.
        trouble
            What is wrong with the server itself; frames say it as ``warn``, in full to operators.
        """
        self._made.clear()
        self._trouble = trouble
        self._age_ms = self.feed.age_ms(now_s, now_ns)

    def reaches(self, epoch: str, seq: int) -> bool:
        """Tell whether a browser at that message can be told all that it has missed."""
        return self._events(epoch, seq) is not None

    def snapshot(self, ins: str | None, role: str) -> Frame:
        """Return all there is to know, for a browser that looks at an instrument."""
        feed = self.feed
        chosen = self.chosen(ins)
        made = self._encoded((SNAP, chosen), role, lambda: feed.state.snapshot(chosen, with_buckets=False))
        first, last = feed.state.span(chosen or "") or (None, None)
        body = {
            **self._head("snap", role),
            "role": role,
            "ins": chosen,
            "S": made,
            "hist": {"url": "/api/v1/history", "from": first, "to": last},
        }
        return Frame(body, feed.epoch, feed.seq)

    def delta(self, seq: int, ins: str | None, role: str) -> Frame:
        """Return what came after a message, for a browser that looks at an instrument."""
        feed = self.feed
        chosen = self.chosen(ins)
        made = self._encoded(
            (seq, chosen),
            role,
            lambda: [event[:3] for event in conflate(self._events(feed.epoch, seq) or [], chosen)],
        )
        return Frame({**self._head("d", role), "from": seq, "e": made}, feed.epoch, feed.seq)

    def chosen(self, ins: str | None) -> str | None:
        """Return the instrument that is shown where `ins` is asked for: the first one for None."""
        if ins is not None:
            return ins
        known = self.feed.state.instruments()
        return known[0] if known else None

    def _head(self, kind: str, role: str) -> dict[str, Any]:
        feed = self.feed
        warned = {} if self._trouble is None else {"warn": told_to(role, self._trouble)}
        return {
            **warned,
            "t": kind,
            "epoch": feed.epoch,
            "seq": feed.seq,
            "ts": feed.ts_ns // 1_000_000,
            "age_ms": None if self._age_ms is None else round(self._age_ms, 1),
        }

    def _encoded(self, key: tuple[Any, ...], role: str, tell: Callable[[], Any]) -> msgspec.Raw:
        """Return what is told as JSON, made once for all who get the same; to viewers without paths."""
        made = self._made.get(key)
        if made is None:
            made = self._made[key] = msgspec.Raw(_JSON.encode(tell()))
        if role == OPERATOR:
            return made
        fewer = self._made.get((*key, role))
        if fewer is None:
            fewer = self._made[*key, role] = msgspec.Raw(shortened(bytes(made)))
        return fewer

    def _events(self, epoch: str, seq: int) -> list[Event] | None:
        key = ("events", epoch, seq)
        if key not in self._made:
            events = self.feed.since(epoch, seq)
            self._made[key] = None if events is not None and _too_many(events) else events
        found: list[Event] | None = self._made[key]
        return found


def conflate(events: Iterable[Event], ins: str | None) -> list[Event]:
    """Return what a browser that looks at `ins` needs of some events: of each thing only the last state.

    Examples
    --------
    >>> from ui.protocol import Heartbeat
    >>> beats = [Event(n, "hb", Heartbeat(), ("hb",)) for n in (1, 2, 3)]
    >>> [event.seq for event in conflate(beats, None)]
    [3]
    """
    kept: list[Event] = []
    seen: set[tuple[str, ...]] = set()
    for event in reversed(list(events)):
        if event.kind == SNAP or (event.kind in CHART_KINDS and event.payload.ins != ins):
            continue
        if event.key is not None:
            if event.key in seen:
                continue
            seen.add(event.key)
        kept.append(event)
    return kept[::-1]


def _too_many(events: list[Event]) -> bool:
    """Tell whether a snapshot is the smaller answer."""
    return len(events) > MAX_EVENTS and sum(event.key is None for event in events) > MAX_EVENTS
