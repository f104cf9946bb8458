"""The message that stops all entries of a node, and the one by which a person allows them again.

Whoever finds that nothing may be opened publishes `HaltEntries` on `HALT_TOPIC` of the message bus; every
desk hears it, takes a waiting entry back and goes on with exits. Only `RearmEntries` ends that.
"""

from typing import Any, Final, Protocol

import msgspec

HALT_TOPIC: Final = "halt.entries"
REARM_TOPIC: Final = "rearm.entries"
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


class HaltListener(Protocol):
    """Takes both messages."""

    def on_halt_entries(self, message: HaltEntries) -> None:
        """Open nothing from now on."""

    def on_rearm_entries(self, message: RearmEntries) -> None:
        """Open again."""


def listen_to_halts(msgbus: Any, listener: HaltListener) -> None:
    """Let a listener hear both messages on a message bus of Nautilus."""
    msgbus.subscribe(topic=HALT_TOPIC, handler=listener.on_halt_entries, priority=FIRST)
    msgbus.subscribe(topic=REARM_TOPIC, handler=listener.on_rearm_entries, priority=FIRST)


__all__ = ["HALT_TOPIC", "REARM_TOPIC", "HaltEntries", "HaltListener", "RearmEntries", "listen_to_halts"]
