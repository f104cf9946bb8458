"""Ends a node in order before the kernel would kill it, and lets it begin anew (row F26 of the fault matrix).

Entries are taken back, positions keep their stops at the venue, and the process replaces itself: the start
that follows finds account and state as after any restart.
"""

import os
import sys
from collections.abc import Callable
from typing import Any, Final

from nautilus_trader.common.actor import Actor
from nautilus_trader.common.config import ActorConfig

from runtime.live.context import LiveContext
from runtime.metrics.collector import rss_bytes

TIMER: Final = "memory-look"
LOOK_SECS: Final = 5.0
# A node that is over its limit so soon would restart for ever, and leave positions to the venue each time.
LEAST_SESSION_SECS: Final = 300.0
NANOS: Final = 1_000_000_000
MIB: Final = 1 << 20


class MemoryWatch(Actor):
    """Asks for a restart when the process has grown too large.

    Parameters
    ----------
    limit_mb
        Resident memory above which it does, MiB.
    restart
        Called once with the reason.
    call_soon
        Runs a function in the node's thread.
    resident_bytes
        Gives the memory of the process.
    """

    def __init__(
        self,
        limit_mb: int,
        *,
        restart: Callable[[str], None],
        call_soon: Callable[[Callable[[], Any]], Any],
        resident_bytes: Callable[[], int] = rss_bytes,
    ) -> None:
        super().__init__(ActorConfig(component_id="MemoryWatch"))
        self._limit_mb, self._restart = limit_mb, restart
        self._call_soon, self._resident_bytes = call_soon, resident_bytes
        self._started_ns = 0
        self._is_told = False

    def on_start(self) -> None:
        """Look every few seconds from now on."""
        self._started_ns = self.clock.timestamp_ns()
        every_ns = round(LOOK_SECS * NANOS)
        self.clock.set_timer_ns(
            TIMER, every_ns, self._started_ns + every_ns, 0, lambda _event: self._call_soon(self.look)
        )

    def on_stop(self) -> None:
        """Look no more."""
        if TIMER in self.clock.timer_names:
            self.clock.cancel_timer(TIMER)

    def look(self) -> None:
        """Compare the memory with the limit."""
        resident_mb = self._resident_bytes() // MIB
        if self._is_told or resident_mb <= self._limit_mb:
            return
        self._is_told = True
        text = f"memory: {resident_mb} MB, more than live.max_rss_mb ({self._limit_mb})"
        if self.clock.timestamp_ns() - self._started_ns < LEAST_SESSION_SECS * NANOS:
            self.log.error(f"{text} within {LEAST_SESSION_SECS:g} s of the start: the limit is too low")
            return
        self._restart(text)


def make_memory_watch(context: LiveContext) -> MemoryWatch | None:
    """Return the watch of a node; None where the settings set no limit."""
    limit_mb = context.settings.live.max_rss_mb
    if not limit_mb:
        return None
    return MemoryWatch(limit_mb, restart=context.restart, call_soon=context.call_soon)


def begin_anew() -> None:
    """Replace this process by a new one with the same command line."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - our own command line


__all__ = ["MemoryWatch", "begin_anew", "make_memory_watch"]
