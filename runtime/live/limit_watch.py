"""Watches the loss limits of a node's accounts while nothing trades, and keeps what they remember on disk.

An account beyond its daily loss or drawdown is held: waiting entries are taken back, and on margin accounts
Nautilus' risk engine is set to ``REDUCING`` behind the desks. ``HALTED`` is never set: it refuses stops.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import msgspec
from nautilus_trader.common.actor import Actor
from nautilus_trader.common.config import ActorConfig
from nautilus_trader.model.enums import TradingState

from runtime.errors import DataError
from strategies.entry_halt import (
    HALT_TOPIC,
    HOLD_TOPIC,
    REARM_TOPIC,
    RELEASE_TOPIC,
    HaltEntries,
    HoldEntries,
    RearmEntries,
    ReleaseEntries,
)
from strategies.entry_limits import EntryLimits
from strategies.guards import GuardState, TradeGuards

SOURCE: Final = "limits"
STATE_FILE: Final = "limits.json"
WATCH_TIMER: Final = "limits-watch"
WATCH_SECS: Final = 1.0
SAVE_NS: Final = 10_000_000_000


class LimitWatch(Actor):
    """Holds the entries of accounts that have lost too much.

    Parameters
    ----------
    limits
        What the desks ask.
    folder
        Of the node, for what the guards remember.
    strategies
        Gives the node's strategies.
    call_soon
        Runs a function in the node's thread: live timers run in another one.
    set_state
        Sets the trading state of Nautilus' risk engine.
    """

    def __init__(
        self,
        limits: EntryLimits,
        folder: Path,
        strategies: Callable[[], Iterable[Any]],
        call_soon: Callable[[Callable[[], None]], Any],
        set_state: Callable[[TradingState], Any],
    ) -> None:
        super().__init__(ActorConfig(component_id="LIMITS"))
        self._limits, self._path = limits, folder / STATE_FILE
        self._strategies, self._call_soon, self._set_state = strategies, call_soon, set_state
        self._held: dict[str, list[str]] = {}
        self._is_halted = False
        self._state = TradingState.ACTIVE
        self._saved_ns = 0

    def on_start(self) -> None:
        """Go on with the day and the highest equity of the session before."""
        for venue, state in read_guards(self._path).items():
            self._limits.guards[venue] = TradeGuards(self._limits.rules.loss, state)
        self.msgbus.subscribe(topic=HALT_TOPIC, handler=self._on_halt)
        self.msgbus.subscribe(topic=REARM_TOPIC, handler=self._on_rearm)
        self.clock.set_timer_ns(
            WATCH_TIMER,
            round(WATCH_SECS * 1e9),
            0,
            0,
            lambda _event: self._call_soon(self.look),
        )

    def on_stop(self) -> None:
        """Keep what the guards know."""
        if WATCH_TIMER in self.clock.timer_names:
            self.clock.cancel_timer(WATCH_TIMER)
        self._save()

    def look(self) -> None:
        """Compare each account's equity with its limits; in the node's thread."""
        ts_ns = self.clock.timestamp_ns()
        if self._limits.watches_equity:
            for venue, desks in self._by_venue().items():
                equity = desks[0].account_equity()
                if equity is not None:
                    skip = self._limits.on_equity(venue, ts_ns, float(equity))
                    self._hold(venue, desks, "" if skip is None else f"{skip.reason}: {skip.text}", ts_ns)
            if ts_ns - self._saved_ns >= SAVE_NS:
                self._saved_ns = ts_ns
                self._save()
        self._mind_state()

    def _hold(self, venue: str, desks: list[Any], reason: str, ts_ns: int) -> None:
        if reason and venue not in self._held:
            names = [desk.instrument_id.value for desk in desks]
            self._held[venue] = names
            for name in names:
                self.msgbus.publish(
                    topic=HOLD_TOPIC,
                    msg=HoldEntries(ts_ns=ts_ns, source=SOURCE, reason=reason, instrument_id=name),
                )
        elif not reason:
            for name in self._held.pop(venue, ()):
                self.msgbus.publish(
                    topic=RELEASE_TOPIC, msg=ReleaseEntries(ts_ns=ts_ns, source=SOURCE, instrument_id=name)
                )

    def _on_halt(self, _message: HaltEntries) -> None:
        self._is_halted = True
        self._mind_state()

    def _on_rearm(self, message: RearmEntries) -> None:
        self._is_halted = False
        self._limits.reopen(message.ts_ns)
        self._mind_state()

    def _mind_state(self) -> None:
        """Set the risk engine's state where it may not refuse an exit.

        A spot account has no shorts: its exits are sells, and a position that reconciliation invents on the
        other side would make the engine refuse them.
        """
        is_closed = self._is_halted or bool(self._held)
        has_spot = any(not desk.market.shorts for desks in self._by_venue().values() for desk in desks)
        wanted = TradingState.REDUCING if is_closed and not has_spot else TradingState.ACTIVE
        if wanted != self._state:
            self._state = wanted
            self._set_state(wanted)

    def _by_venue(self) -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = {}
        for strategy in self._strategies():
            for desk in getattr(strategy, "desks", ()):
                if desk.instrument is not None:
                    found.setdefault(desk.instrument_id.venue.value, []).append(desk)
        return found

    def _save(self) -> None:
        states = {venue: guards.state for venue, guards in self._limits.guards.items()}
        if not states:
            return
        other = self._path.with_suffix(".new")
        try:
            other.write_bytes(msgspec.json.encode(states))
            other.replace(self._path)
        except OSError as error:
            self.log.warning(f"{self._path}: the loss limits are not saved ({error.strerror})")


def read_guards(path: Path) -> dict[str, GuardState]:
    """Return what the guards of each venue remembered, nothing without a file.

    Raises
    ------
    DataError
        When it is damaged: a loss limit must not begin anew unnoticed.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, GuardState])
    except FileNotFoundError:
        return {}
    except msgspec.DecodeError as error:
        raise DataError(
            f"{path} is damaged ({error}): the losses of the day are not known; delete it to begin anew"
        ) from error


def make_limit_watch(context: Any, limits: EntryLimits) -> LimitWatch:
    """Return the actor of a node; `context` is a :class:`runtime.live.context.LiveContext`."""

    def set_state(state: TradingState) -> None:
        context.node.kernel.risk_engine.set_trading_state(state)

    return LimitWatch(limits, context.folder, context.strategies, context.call_soon, set_state)


__all__ = ["LimitWatch", "make_limit_watch", "read_guards"]
