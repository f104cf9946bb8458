"""A node that has grown too large asks for a restart, once, and not right after a start."""

from typing import Any

from nautilus_trader.cache.cache import Cache
from nautilus_trader.common.component import MessageBus, TestClock
from nautilus_trader.model.identifiers import TraderId
from nautilus_trader.portfolio.portfolio import Portfolio

from runtime.live.memory_watch import LEAST_SESSION_SECS, LOOK_SECS, MIB, MemoryWatch

SECOND = 1_000_000_000
LIMIT_MB = 500


def watch(resident_mb: int) -> tuple[MemoryWatch, Any, list[str]]:
    """Return a started watch of a process of this size, its clock, and what it asked for."""
    asked: list[str] = []
    clock = TestClock()
    bus, cache = MessageBus(TraderId("T-001"), clock), Cache()
    actor = MemoryWatch(
        LIMIT_MB,
        restart=asked.append,
        call_soon=lambda call: call(),
        resident_bytes=lambda: resident_mb * MIB,
    )
    actor.register_base(Portfolio(bus, cache, clock), bus, cache, clock)
    actor.start()
    return actor, clock, asked


def pass_time(clock: Any, secs: float) -> None:
    """Let the timers of the clock fire."""
    for event in clock.advance_time(clock.timestamp_ns() + round(secs * SECOND)):
        event.handle()


def test_asks_once_for_a_restart_above_the_limit() -> None:
    """The reason names the size and the setting."""
    actor, clock, asked = watch(LIMIT_MB + 1)
    clock.set_time(round(LEAST_SESSION_SECS * SECOND))
    pass_time(clock, 3 * LOOK_SECS)
    assert asked == ["memory: 501 MB, more than live.max_rss_mb (500)"]
    actor.stop()


def test_says_nothing_at_the_limit() -> None:
    """Only above it."""
    actor, clock, asked = watch(LIMIT_MB)
    clock.set_time(round(LEAST_SESSION_SECS * SECOND))
    pass_time(clock, 3 * LOOK_SECS)
    assert asked == []
    actor.stop()


def test_does_not_restart_for_ever_when_the_limit_is_too_low() -> None:
    """A node that is too large within minutes of its start goes on and says so."""
    actor, clock, asked = watch(LIMIT_MB + 1)
    pass_time(clock, 2 * LOOK_SECS)
    clock.set_time(round(2 * LEAST_SESSION_SECS * SECOND))
    pass_time(clock, 2 * LOOK_SECS)
    assert asked == []
    actor.stop()
