"""The dead man's switch in a node: looks which entries rest, and lets the venue know that we are alive."""

import asyncio
import time
from collections.abc import Coroutine, Mapping
from functools import partial
from typing import Any, Final

from nautilus_trader.common.actor import Actor
from nautilus_trader.common.config import ActorConfig

from runtime.live.addresses import addresses_of
from runtime.live.command_actions import is_entering, is_in_position
from runtime.live.dead_man import BYBIT_LIMIT, USDM_LIMIT, UsdmCountdown, arm_bybit
from runtime.live.freshness import MS, ClockOffset
from runtime.live.keys import require_keys
from runtime.live.signed_calls import SignedCalls

LOOK_SECS: Final = 1.0
FILLS_TOPIC: Final = "events.fills.*"


class DeadManActor(Actor):
    """Arms what the settings ask for; everything is sent from tasks of the node's loop, nothing waits.

    Parameters
    ----------
    context
        Of the node, a :class:`runtime.live.context.LiveContext`.
    calls
        Venue name -> signed requests to it; for the accounts that are watched.
    """

    def __init__(self, context: Any, calls: dict[str, SignedCalls]) -> None:
        super().__init__(ActorConfig(component_id="DEAD-MAN"))
        self._context, self._calls = context, calls
        self._settings = context.settings.live.dead_man
        self._is_on = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self.countdowns: dict[str, UsdmCountdown] = {}
        self.states: dict[str, str] = {}

    def on_start(self) -> None:
        """Begin to look."""
        self._is_on = True
        for venue in self._context.settings.live.venues:
            calls = self._calls.get(venue.venue_name)
            if calls is None:
                continue
            if venue.venue == "bybit":
                self._spawn(self._arm_bybit(venue.venue_name, venue.market, calls))
            else:
                self.countdowns[venue.venue_name] = UsdmCountdown(self._settings, calls, self.log.warning)
                self.states[venue.venue_name] = "armed"
        if self.countdowns:
            # A fill begins a position, whose exits a countdown would take.
            self.msgbus.subscribe(topic=FILLS_TOPIC, handler=self._on_fill)
            self._context.call_soon(self._look)

    def on_stop(self) -> None:
        """Stop the countdowns: the entries are being taken back."""
        self._is_on = False
        for countdown in self.countdowns.values():
            self._spawn(countdown.stop(time.monotonic))

    def _look(self) -> None:
        if self._is_on:
            self._beat()
            self._context.loop.call_later(LOOK_SECS, self._look)

    def _on_fill(self, _event: Any) -> None:
        # After the desk has taken the fill.
        self._context.call_soon(self._beat)

    def _beat(self) -> None:
        if not self._is_on:
            return
        for name, countdown in self.countdowns.items():
            desks = [
                desk
                for strategy in self._context.strategies()
                for desk in getattr(strategy, "desks", ())
                if desk.instrument is not None and desk.instrument_id.venue.value == name
            ]
            resting = [symbol_of(desk) for desk in desks if is_entering(desk)]
            held = [symbol_of(desk) for desk in desks if is_in_position(desk)]
            if resting or countdown.plan.armed:
                self._spawn(countdown.beat(time.monotonic, resting, held))

    async def _arm_bybit(self, name: str, market: str, calls: SignedCalls) -> None:
        state, words = await arm_bybit(calls, market, self._settings)
        self.states[name] = state
        (self.log.info if state == "armed" else self.log.warning)(f"{name}: {words}")

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        task = self._context.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def symbol_of(desk: Any) -> str:
    """Return the venue's own name of what a desk trades."""
    return str(desk.instrument.raw_symbol.value)


def their_ms(offsets: Mapping[str, ClockOffset], venue: str) -> int:
    """Return the time by our clock, or by the venue's where ours is certainly wrong, UNIX milliseconds."""
    offset = offsets.get(venue)
    return time.time_ns() // MS + (0 if offset is None else offset.shift_ms)


def make_dead_man(context: Any) -> DeadManActor | None:
    """Return the actor of a node; None on paper, and where nothing is switched on."""
    settings = context.settings.live.dead_man
    if context.mode != "live":
        return None
    calls: dict[str, SignedCalls] = {}
    for venue in context.settings.live.venues:
        is_usdm = venue.venue == "binance" and venue.market == "usdm"
        if (is_usdm and settings.binance_usdm) or (venue.venue == "bybit" and settings.bybit):
            per_window, window_secs = (USDM_LIMIT, 60.0) if is_usdm else (BYBIT_LIMIT, 1.0)
            address = addresses_of(venue).http
            calls[venue.venue_name] = SignedCalls(
                address,
                require_keys(venue),
                per_window=per_window,
                window_secs=window_secs,
                host=context.rest.http.budget(address),
                now_ms=partial(their_ms, context.clock_offsets, venue.venue_name),
            )
    return DeadManActor(context, calls) if calls else None


__all__ = ["DeadManActor", "make_dead_man", "symbol_of"]
