"""A strategy whose decisions hang on everything that a replay must bring back: timers, holds, a person."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from nautilus_trader.config import StrategyConfig
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.trading.strategy import Strategy

from strategies.deadline_watch import DeadlineWatch, live_call_soon
from strategies.entry_halt import HaltEntries, RearmEntries, listen_to_halts
from strategies.entry_limits import EntryIntent
from strategies.trade_manager.catch_up import VenueOrder
from strategies.trade_manager.orders import Fill
from strategies.trade_manager.record import Decision

WAIT_NS = 3_000_000


class NervousConfig(StrategyConfig, frozen=True, kw_only=True):
    """What it looks at."""

    instrument_id: InstrumentId


class Nervous(Strategy):
    """Writes down the number of prints at each timer, halt and command; it sends no orders."""

    def __init__(self, config: NervousConfig) -> None:
        super().__init__(config)
        self.count = 0
        self.counters: dict[str, int] = {}
        self.entry_limits: Any = None

    @property
    def desks(self) -> tuple[Any, ...]:
        """It is its own desk."""
        return (self,)

    def on_start(self) -> None:
        """Listen, and set the first timer."""
        call_soon = live_call_soon(self.clock) or (lambda function: function())
        self.watch = DeadlineWatch(self.clock, "nervous", call_soon, self.on_deadline)
        listen_to_halts(self.msgbus, self)
        self.subscribe_trade_ticks(self.config.instrument_id)
        self.subscribe_mark_prices(self.config.instrument_id)
        self.watch.set(self.clock.timestamp_ns() + WAIT_NS)

    def on_trade_tick(self, _tick: Any) -> None:
        """Count; at each hundredth print halt itself."""
        self.count += 1
        if self.count % 100 == 0:
            self.decide("expired", "before")
            self.ask_limits()
            halt = HaltEntries(ts_ns=self.count, source="self", reason="many", remedy="none")
            self.msgbus.publish(topic="halt.entries", msg=halt)
            self.decide("expired", "after")

    def on_mark_price(self, mark_price: Any) -> None:
        """Say what the venue marks it at."""
        self.decide("expired", f"marked: {mark_price.value}")

    def on_deadline(self, _ts_ns: int) -> None:
        """Say how many prints there were, and wait again."""
        self.decide("expired", "timer")
        self.watch.set(self.clock.timestamp_ns() + WAIT_NS)

    def on_halt_entries(self, message: HaltEntries) -> None:
        """Say who halted."""
        self.decide("halted", message.source)

    def on_rearm_entries(self, message: RearmEntries) -> None:
        """Say who rearmed."""
        self.decide("rearmed", message.actor)

    def close_by_hand(self, reason: str, who: str) -> bool:
        """Say who wanted it."""
        self.decide("expired", f"{who}: {reason}")
        return False

    def close_unprotected(self, secs: float) -> None:
        """Say for how long the watchdog saw no stop."""
        self.decide("expired", f"watchdog: {secs}")

    def settle_difference(self, price: Decimal) -> None:
        """Say at which price."""
        self.decide("expired", f"settled: {price * 2}")

    def settle_by_fills(self, fills: list[Fill]) -> None:
        """Say what they came to."""
        self.decide("expired", f"sold by others: {sum(one.qty * one.price for one in fills)}")

    def take_picture(self, at_venue: Mapping[str, VenueOrder], *, is_complete: bool) -> None:
        """Say what the venue has."""
        held = sum((one.filled_qty for one in at_venue.values()), Decimal(0))
        self.decide("expired", f"picture: {held} {is_complete}")

    def ask_limits(self) -> None:
        """Say whether an entry might go out."""
        if self.entry_limits is None:
            return
        name = self.config.instrument_id.value
        none = Decimal(0)
        refused = self.entry_limits.check(EntryIntent(self.count, name, Decimal(1), Decimal(1), none, none))
        self.decide("entry_refused", "may" if refused is None else refused.text)

    def decide(self, kind: Any, reason: str) -> None:
        """Publish a decision with the number of prints, at the time of the clock."""
        decision = Decision(
            ts_ns=self.clock.timestamp_ns(),
            strategy_id=self.id.value,
            instrument_id=self.config.instrument_id.value,
            kind=kind,
            reason=reason,
            detail={"count": self.count},
        )
        self.msgbus.publish(topic=f"decisions.{self.config.instrument_id}", msg=decision)
