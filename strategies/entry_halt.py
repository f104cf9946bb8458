"""The messages that stop the entries of a node: halts, which a person ends, and holds, which end themselves.

Whoever finds that nothing may be opened publishes `HaltEntries` on `HALT_TOPIC` of the message bus; every
desk hears it, takes a waiting entry back and goes on with exits. Only `RearmEntries` ends that.

A hold is for what passes: data that is stale, a warm-up, a pause. Whoever began it (`HoldEntries`) ends it
(`ReleaseEntries`), and a desk opens nothing while any hold stands. Actors start before strategies, so a desk
asks for the holds that stand already: `HoldBook` knows them.
"""

from collections.abc import Callable
from typing import Any, Final, Protocol

import msgspec

HALT_TOPIC: Final = "halt.entries"
REARM_TOPIC: Final = "rearm.entries"
HOLD_TOPIC: Final = "hold.entries"
RELEASE_TOPIC: Final = "release.entries"
STANDING_HOLDS_TOPIC: Final = "standing.holds"
# Desks hear of a rearm first: what still forbids entries halts them again in the same moment.
FIRST: Final = 10


class HaltEntries(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing may be opened any more; exits go on.

    Parameters
    ----------
    ts_ns
        UNIX nanoseconds.
    source
        Which part of the node says so, as one word: ``journal``.
    reason
        What is wrong.
    remedy
        What a person must do before the rearm.
    """

    ts_ns: int
    source: str
    reason: str
    remedy: str

    @property
    def text(self) -> str:
        """Return reason and remedy as one sentence."""
        return f"{self.reason}: {self.remedy}"


class RearmEntries(msgspec.Struct, frozen=True, kw_only=True):
    """A person allows entries again, whatever halted them.

    Parameters
    ----------
    ts_ns
        UNIX nanoseconds.
    actor
        Who.
    reason
        Why, in the person's words.
    """

    ts_ns: int
    actor: str
    reason: str = ""


class HoldEntries(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing may be opened until the same source releases it; exits go on.

    Parameters
    ----------
    ts_ns
        UNIX nanoseconds.
    source
        Which part of the node says so, as one word: ``warmup``, ``stale``, ``gap``, ``reconcile``,
        ``external``, ``operator``, ``clock``, ``balance`` or ``instrument``.
    reason
        What is the matter, in words.
    instrument_id
        Whom it concerns; empty for all.
    """

    ts_ns: int
    source: str
    reason: str
    instrument_id: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """Return (source, instrument id): there is one hold of each."""
        return self.source, self.instrument_id


class ReleaseEntries(msgspec.Struct, frozen=True, kw_only=True):
    """The end of the hold with the same source and the same instrument id, and of no other.

    Parameters
    ----------
    ts_ns
        UNIX nanoseconds.
    source, instrument_id
        As in the hold.
    """

    ts_ns: int
    source: str
    instrument_id: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """Return (source, instrument id)."""
        return self.source, self.instrument_id


class Holds:
    """The holds that stand, by source and instrument.

    Parameters
    ----------
    instrument_id
        Take only those that concern it; empty takes all.

    Examples
    --------
    >>> holds = Holds("XRPUSDT.BINANCE")
    >>> holds.begin(HoldEntries(ts_ns=1, source="warmup", reason="12 of 100 instruments"))
    True
    >>> holds.begin(HoldEntries(ts_ns=1, source="stale", reason="8 s", instrument_id="ADAUSDT.BINANCE"))
    False
    >>> holds.end(ReleaseEntries(ts_ns=2, source="warmup")), bool(holds)
    (True, False)
    """

    def __init__(self, instrument_id: str = "") -> None:
        self._instrument_id = instrument_id
        self._standing: dict[tuple[str, str], HoldEntries] = {}

    def __bool__(self) -> bool:
        return bool(self._standing)

    @property
    def standing(self) -> tuple[HoldEntries, ...]:
        """Return them, oldest first."""
        return tuple(self._standing.values())

    @property
    def text(self) -> str:
        """Return their sources, sorted, as one word such as ``stale+warmup``; empty for none."""
        return "+".join(sorted({source for source, _ in self._standing}))

    def begin(self, hold: HoldEntries) -> bool:
        """Note a hold; tell whether it concerns us and is new."""
        if self._instrument_id and hold.instrument_id not in ("", self._instrument_id):
            return False
        is_new = hold.key not in self._standing
        self._standing[hold.key] = hold
        return is_new

    def end(self, release: ReleaseEntries) -> bool:
        """Forget a hold; tell whether it stood."""
        return self._standing.pop(release.key, None) is not None


class HoldBook:
    """Knows the holds of a whole node, and tells a desk that begins to listen which stand already.

    Make one per node, before its actors start.

    Parameters
    ----------
    msgbus
        Nautilus' message bus.
    """

    def __init__(self, msgbus: Any) -> None:
        self.holds = Holds()
        msgbus.subscribe(topic=HOLD_TOPIC, handler=self.holds.begin, priority=FIRST)
        msgbus.subscribe(topic=RELEASE_TOPIC, handler=self.holds.end, priority=FIRST)
        msgbus.subscribe(topic=STANDING_HOLDS_TOPIC, handler=self.tell)

    def tell(self, take: Callable[[HoldEntries], object]) -> None:
        """Hand every standing hold to someone."""
        for hold in self.holds.standing:
            take(hold)


class HaltListener(Protocol):
    """Takes both messages."""

    def on_halt_entries(self, message: HaltEntries) -> None:
        """Open nothing from now on."""

    def on_rearm_entries(self, message: RearmEntries) -> None:
        """Open again."""


class HoldListener(Protocol):
    """Takes the messages of holds."""

    def on_hold_entries(self, message: HoldEntries) -> None:
        """Open nothing until it is released."""

    def on_release_entries(self, message: ReleaseEntries) -> None:
        """Open again, if no other hold stands."""


def listen_to_holds(msgbus: Any, listener: HoldListener) -> None:
    """Let a listener hear of holds on a message bus of Nautilus, first of those that stand already."""
    msgbus.subscribe(topic=HOLD_TOPIC, handler=listener.on_hold_entries)
    msgbus.subscribe(topic=RELEASE_TOPIC, handler=listener.on_release_entries)
    msgbus.publish(topic=STANDING_HOLDS_TOPIC, msg=listener.on_hold_entries)


def listen_to_halts(msgbus: Any, listener: HaltListener) -> None:
    """Let a listener hear both messages on a message bus of Nautilus."""
    msgbus.subscribe(topic=HALT_TOPIC, handler=listener.on_halt_entries, priority=FIRST)
    msgbus.subscribe(topic=REARM_TOPIC, handler=listener.on_rearm_entries, priority=FIRST)


__all__ = [
    "HALT_TOPIC",
    "HOLD_TOPIC",
    "REARM_TOPIC",
    "RELEASE_TOPIC",
    "HaltEntries",
    "HaltListener",
    "HoldBook",
    "HoldEntries",
    "HoldListener",
    "Holds",
    "RearmEntries",
    "ReleaseEntries",
    "listen_to_halts",
    "listen_to_holds",
]
