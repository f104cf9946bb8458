"""What the rows of a recording mean: bytes back into the objects that a node handled."""

import importlib
from typing import Any, Final

import msgspec
from nautilus_trader.model.data import Bar

from runtime.errors import DataError
from runtime.live.recording import SERIALIZER
from strategies.universe_rule import UniverseDays

# Messages are made again from their type only where that is one of ours.
TRUSTED: Final = ("strategies.",)


def plain_bar(payload: bytes) -> Bar:
    """Return a bar of a recording; of an adapter's own kind of bar (BinanceBar) what all bars have."""
    plain = msgspec.json.decode(payload)
    names = ("bar_type", "open", "high", "low", "close", "volume", "ts_event", "ts_init")
    return Bar.from_dict({name: plain[name] for name in names})


def bar_words(name: str, payload: bytes) -> tuple[Any, ...]:
    """Return the words of a call of `BAR_CALLS`; levels of a bar are tuples."""
    if name == "take_universe":
        return msgspec.msgpack.decode(payload, type=tuple[UniverseDays])
    words = msgspec.msgpack.decode(payload)
    if not words:
        return ()
    if name == "take_history":
        coin, history = words
        return coin, [tuple(levels) for levels in history]
    close_ns, bars = words
    return close_ns, {name: tuple(levels) for name, levels in bars.items()}


def decoded(payload: bytes) -> Any:
    """Return an object of Nautilus, as a row has it."""
    return SERIALIZER.deserialize(payload)


def decoded_text(text: str) -> Any:
    """Return an object of Nautilus, as the checkpoint has it."""
    return SERIALIZER.deserialize(text.encode())


def topic_of(message: Any) -> str:
    """Return the topic of a message by its type, the same that its sender used."""
    topics = {
        "HoldEntries": "hold.entries",
        "ReleaseEntries": "release.entries",
        "HaltEntries": "halt.entries",
        "RearmEntries": "rearm.entries",
        "UnknownOrder": "unknown.orders",
    }
    name = type(message).__name__
    return topics.get(name) or f"funding.{message.instrument_id}"


def type_of(name: str) -> type[Any]:
    """Return the type of a message by `recording.type_name`; DataError unless it is one of ours."""
    module, _, qualified = name.partition(":")
    if not module.startswith(TRUSTED):
        raise DataError(f"the recording has a message of type {name}, which is none of this program")
    found: type[Any] = getattr(importlib.import_module(module), qualified)
    return found
