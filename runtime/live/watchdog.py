"""Measures how long each position is without a stop at the venue, and ends it when that is too long.

What it looks at are the positions (on spot: the holdings of setups, as far as the account has the coins) and
the stops that the venue acknowledged, both as Nautilus' cache has them. What setups hold of a position and
what no setup explains have a time each: neither is closed for the other. It looks after every order event of
an instrument and a few times a second.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, Final

from nautilus_trader.common.actor import Actor
from nautilus_trader.common.config import ActorConfig
from nautilus_trader.model.enums import OrderSide, OrderStatus, OrderType
from nautilus_trader.model.orders import Order

from runtime.live.context import LiveContext
from runtime.live.protection_settings import ProtectionSettings
from runtime.notify.actor import EVENTS_TOPIC
from runtime.notify.events import Event, EventKind, Severity
from strategies.entry_halt import HALT_TOPIC, HaltEntries
from strategies.setup_desk import SetupDesk
from strategies.trade_manager.orders import ZERO

LOOK_TIMER: Final = "watchdog-look"
LOOK_SECS: Final = 0.1
NANOS: Final = 1_000_000_000
STOPS: Final = frozenset({OrderType.STOP_MARKET, OrderType.STOP_LIMIT})
# At the venue: acknowledged, and not asked to go.
RESTING: Final = frozenset(
    {OrderStatus.ACCEPTED, OrderStatus.TRIGGERED, OrderStatus.PARTIALLY_FILLED, OrderStatus.PENDING_UPDATE}
)


@dataclass(frozen=True, slots=True)
class Cover:
    """A position and what the venue has against its loss, base currency.

    Parameters
    ----------
    held_qty
        Size of the position, > 0.
    stop_qty
        What acknowledged stops can sell (buy back).
    exit_qty
        What other acknowledged orders on the way out can; a stop-limit that was triggered, or that price has
        jumped over, is one of them: it is a limit now, and may never fill.
    """

    held_qty: Decimal
    stop_qty: Decimal
    exit_qty: Decimal

    @property
    def is_stopped(self) -> bool:
        """Tell whether stops cover all of it."""
        return self.stop_qty >= self.held_qty

    @property
    def is_leaving(self) -> bool:
        """Tell whether an order that closes all of it is at the venue."""
        return self.exit_qty >= self.held_qty


class UnprotectedTime:
    """How long positions were without a stop, by instrument; pure, times are handed in.

    Parameters
    ----------
    limit_ns
        Longest time without a stop and without an order that closes all of it.
    leaving_limit_ns
        Longest time without a stop whatever else is at the venue. One exit may follow another meanwhile
        (spot: the target's limit, then a market order), and what lies between them counts by itself.

    Examples
    --------
    >>> clock = UnprotectedTime(2_000, 10_000)
    >>> naked, stopped = Cover(Decimal(1), ZERO, ZERO), Cover(Decimal(1), Decimal(1), ZERO)
    >>> clock.see("XRP", naked, 0), clock.see("XRP", naked, 1_500), clock.see("XRP", stopped, 1_600)
    (False, False, False)
    >>> clock.longest_ns["XRP"], clock.sum_ns["XRP"]
    (1600, 1600)
    """

    def __init__(self, limit_ns: int, leaving_limit_ns: int) -> None:
        self.limit_ns = limit_ns
        self.leaving_limit_ns = leaving_limit_ns
        self.longest_ns: dict[str, int] = {}
        self.sum_ns: dict[str, int] = {}
        self.violations = 0
        self._since_ns: dict[str, int] = {}
        self._naked_since_ns: dict[str, int] = {}
        self._seen_ns: dict[str, int] = {}
        self._again_ns: dict[str, int] = {}

    def see(self, name: str, cover: Cover | None, ts_ns: int) -> bool:
        """Take what covers a position now; True when the limit passed, and after each further limit.

        Parameters
        ----------
        name
            Instrument id.
        cover
            None for no position.
        ts_ns
            UNIX nanoseconds.
        """
        since_ns = self._since_ns.get(name)
        if since_ns is not None:
            self.sum_ns[name] = self.sum_ns.get(name, 0) + max(0, ts_ns - self._seen_ns[name])
            self._seen_ns[name] = ts_ns
            self.longest_ns[name] = max(self.longest_ns.get(name, 0), ts_ns - since_ns)
        if cover is None or cover.is_stopped:
            for memory in (self._since_ns, self._naked_since_ns, self._again_ns):
                memory.pop(name, None)
            return False
        if since_ns is None:
            self._since_ns[name] = self._seen_ns[name] = since_ns = ts_ns
        if cover.is_leaving:
            self._naked_since_ns.pop(name, None)
            limit_ns = self.leaving_limit_ns
        else:
            naked_since_ns = self._naked_since_ns.setdefault(name, ts_ns)
            is_naked_too_long = ts_ns - naked_since_ns > self.limit_ns
            limit_ns = self.limit_ns if is_naked_too_long else self.leaving_limit_ns
            since_ns = naked_since_ns if is_naked_too_long else since_ns
        if ts_ns - since_ns <= limit_ns or ts_ns < self._again_ns.get(name, 0):
            return False
        self.violations += name not in self._again_ns
        self._again_ns[name] = ts_ns + limit_ns
        return True


class WatchdogActor(Actor):
    """The watch over the positions of all desks.

    Parameters
    ----------
    settings
        Limits.
    desks
        Gives all desks of the node.
    call_soon
        Runs a function in the thread of the node.
    """

    # Methods that may hear of an order after it has left (runtime.live.late_hearing).
    HEARD_LATE: ClassVar = ("on_any_order",)

    def __init__(
        self,
        settings: ProtectionSettings,
        *,
        desks: Callable[[], Iterable[SetupDesk]],
        call_soon: Callable[[Callable[[], Any]], Any],
    ) -> None:
        super().__init__(ActorConfig())
        self.time = UnprotectedTime(
            round(settings.unprotected_secs * NANOS), round(settings.leaving_secs * NANOS)
        )
        # Of what nobody planned: what a person adds to a position of ours must not close ours.
        self.unplanned_time = UnprotectedTime(self.time.limit_ns, self.time.leaving_limit_ns)
        self._settings = settings
        self._desks = desks
        self._call_soon = call_soon
        self._by_instrument: dict[str, SetupDesk] = {}
        self._covered: set[str] = set()

    def on_start(self) -> None:
        """Look after every order event, and a few times a second."""
        self.msgbus.subscribe(topic="events.order.*", handler=self.on_any_order, priority=0)
        now_ns = self.clock.timestamp_ns()
        self.clock.set_timer_ns(
            LOOK_TIMER, round(LOOK_SECS * NANOS), now_ns, 0, lambda _event: self._call_soon(self.look)
        )

    def on_stop(self) -> None:
        """Look no more."""
        if LOOK_TIMER in self.clock.timer_names:
            self.clock.cancel_timer(LOOK_TIMER)
        self.msgbus.unsubscribe(topic="events.order.*", handler=self.on_any_order)

    def on_any_order(self, event: Any) -> None:
        """Look at the instrument of an order event, after its strategy did."""
        desk = self._by_instrument.get(event.instrument_id.value)
        if desk is not None:
            self._look_at(desk)

    def look(self) -> None:
        """Look at every desk with something to protect, or that had it a moment ago."""
        # Asked for each of a hundred desks ten times a second, the cache takes a quarter of the node's time.
        held = {one.instrument_id for one in self.cache.positions_open()}
        for desk in self._desks():
            if not hasattr(desk, "market"):
                continue
            name = desk.instrument_id.value
            self._by_instrument[name] = desk
            is_open = desk.instrument_id in held or name in self._covered
            if is_open or any(not one.is_closed for one in desk.setups):
                self._look_at(desk)

    def _look_at(self, desk: SetupDesk) -> None:
        name, now_ns = desk.instrument_id.value, self.clock.timestamp_ns()
        planned, unplanned = covers_of(desk, self.cache)
        is_held = planned is not None or unplanned is not None
        (self._covered.add if is_held else self._covered.discard)(name)
        if self.time.see(name, planned, now_ns):
            self._close(desk, now_ns)
        # A position that is only reported is a person's, with or without a stop.
        is_ours_to_close = self._settings.unplanned == "protect"
        if is_ours_to_close and self.unplanned_time.see(name, unplanned, now_ns):
            self._close_unplanned(desk, now_ns)

    def _close(self, desk: SetupDesk, now_ns: int) -> None:
        """Close what was unprotected for too long, and open nothing more until a person has looked."""
        longest = self.time.longest_ns[desk.instrument_id.value] / NANOS
        reason = f"{desk.instrument_id} was {longest:.1f} s without a stop at the venue"
        self._tell(reason, now_ns)
        halt = HaltEntries(
            ts_ns=now_ns, source="watchdog", reason=reason, remedy="look at the venue, then rearm"
        )
        self.msgbus.publish(topic=HALT_TOPIC, msg=halt)
        desk.close_unprotected(longest)

    def _close_unplanned(self, desk: SetupDesk, now_ns: int) -> None:
        """Close what no setup explains; only this instrument opens nothing more: our own doing it was not."""
        longest = self.unplanned_time.longest_ns[desk.instrument_id.value] / NANOS
        what = f"{desk.instrument_id}: {desk.unplanned_qty()} that no setup explains"
        self._tell(f"{what} was {longest:.1f} s without a stop at the venue", now_ns)
        desk.close_unplanned(longest)

    def _tell(self, reason: str, now_ns: int) -> None:
        self.log.error(f"{reason}: to be closed at market")
        told = Event(kind=EventKind.WATCHDOG, ts_ns=now_ns, text=reason, severity=Severity.CRITICAL)
        self.msgbus.publish(topic=EVENTS_TOPIC, msg=told)

    def report(self) -> dict[str, Any]:
        """Return what was measured, seconds: the longest time and the sum by instrument, and violations."""
        both = (self.time, self.unplanned_time)
        longest: dict[str, float] = {}
        total: dict[str, float] = {}
        for one in both:
            for name, value in one.longest_ns.items():
                longest[name] = max(longest.get(name, 0.0), value / NANOS)
            for name, value in one.sum_ns.items():
                total[name] = total.get(name, 0.0) + value / NANOS
        violations = sum(one.violations for one in both)
        return {"longest_secs": longest, "sum_secs": total, "violations": violations}


def covers_of(desk: SetupDesk, cache: Any) -> tuple[Cover | None, Cover | None]:
    """Return what setups hold of a desk's instrument and what nobody planned, each with what covers it.

    None for nothing held. What the venue has covers what setups hold first, and with the rest the others.
    """
    planned, unplanned = _signed_qtys(desk, cache)
    if planned == unplanned == 0:
        return None, None
    stop_qty, exit_qty = _covering(desk, cache, is_long=planned + unplanned > 0)
    held = abs(planned)
    ours = Cover(held, stop_qty, exit_qty) if held else None
    if not unplanned:
        return ours, None
    spare_stop = max(stop_qty - held, ZERO)
    spare_exit = max(stop_qty + exit_qty - held - spare_stop, ZERO)
    return ours, Cover(abs(unplanned), spare_stop, spare_exit)


def _covering(desk: SetupDesk, cache: Any, *, is_long: bool) -> tuple[Decimal, Decimal]:
    """Return what stops and what other orders on the way out have left, base currency."""
    way_out = OrderSide.SELL if is_long else OrderSide.BUY
    stop_qty = exit_qty = ZERO
    for order in cache.orders_open(instrument_id=desk.instrument_id):
        if order.side != way_out or order.status not in RESTING:
            continue
        leaves = order.leaves_qty.as_decimal()
        is_limit = order.order_type == OrderType.STOP_LIMIT and _is_no_stop(desk, order)
        if order.order_type in STOPS and not is_limit:
            stop_qty += leaves
        elif is_limit or order.order_type == OrderType.MARKET or _is_only_exit(desk, order):
            exit_qty += leaves
    return stop_qty, exit_qty


def _is_no_stop(desk: SetupDesk, order: Order) -> bool:
    # Binance spot does not tell that a stop-limit was triggered: the last trade says it as well.
    price, limit = desk.last_price(), order.price.as_decimal()
    is_over = price is not None and (price < limit if order.is_sell else price > limit)
    return bool(order.is_triggered or is_over)


def _is_only_exit(desk: SetupDesk, order: Order) -> bool:
    # On spot one exit rests; while the target's limit does, it stands where the price is.
    return not desk.venue.reduce_only and order.order_type == OrderType.LIMIT


def _signed_qtys(desk: SetupDesk, cache: Any) -> tuple[Decimal, Decimal]:
    """Return what setups hold and what nobody planned, signed, both of one sign; 0 below what can be sold."""
    positions = cache.positions_open(instrument_id=desk.instrument_id)
    held = sum((Decimal(str(one.signed_decimal_qty())) for one in positions), ZERO)
    lot = desk.market.lot_size
    if desk.account_kind() == "cash":
        # After a restart Nautilus knows no spot position: it is what setups hold, if the coins exist.
        # One that closed more than it held hides nothing of another.
        own = sum((max(one.position_qty, ZERO) for one in desk.setups if not one.is_closed), ZERO)
        qty = min(max(held, own), desk.held_qty(1)) // lot * lot
        # Without a price, as after a start whose stream is down, the stop's own is the best there is.
        stops = (one.stop_price for one in desk.setups if not one.is_closed)
        price = desk.last_price() or max(stops, default=ZERO)
        is_sellable = qty >= desk.market.min_qty and qty * price >= desk.market.min_notional
        return (qty if is_sellable else ZERO), ZERO
    own = sum((one.position_qty * one.plan.direction for one in desk.setups if not one.is_closed), ZERO)
    if own * held <= 0:
        own = ZERO
    planned = min(abs(own), abs(held)).copy_sign(held)
    unplanned = held - planned
    return (planned if abs(planned) >= lot else ZERO), (unplanned if abs(unplanned) >= lot else ZERO)


def make_watchdog(context: LiveContext) -> WatchdogActor:
    """Return the watchdog of a node."""
    return WatchdogActor(
        context.settings.live.protection,
        desks=lambda: [desk for one in context.strategies() for desk in getattr(one, "desks", ())],
        call_soon=context.call_soon,
    )


__all__ = ["Cover", "UnprotectedTime", "WatchdogActor", "covers_of", "make_watchdog"]
