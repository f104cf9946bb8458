"""The memory of a desk over restarts: its setups are kept before orders go out, and taken up again.

Without a keeper, in every backtest, nothing of this runs. A node that starts restores the setups when the
strategy starts, brings them up to date with the orders that Nautilus reconciled, and places what protection
is missing before anything else; what only the venue can answer is asked by `runtime.live.recovery`.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

from nautilus_trader.model.enums import OrderType
from nautilus_trader.model.events import OrderFilled
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.model.orders import Order

from strategies.account_view import AccountView
from strategies.entry_halt import HOLD_TOPIC, RELEASE_TOPIC, HoldEntries, Holds, ReleaseEntries
from strategies.protection import VenueCapabilities
from strategies.setup_keeper import DeskMemory, SetupKeeper
from strategies.trade_manager.catch_up import VenueOrder, catch_up, orphans
from strategies.trade_manager.client_ids import base36, parsed, setup_and_leg, setup_id
from strategies.trade_manager.increments import round_down
from strategies.trade_manager.lifecycle import IllegalTransition
from strategies.trade_manager.orders import ZERO, Action, Fill, Leg, OrderKind
from strategies.trade_manager.plan import EntryPlan
from strategies.trade_manager.setup import Setup
from strategies.trade_manager.setup_rules import ExitRules, Identity
from strategies.trade_manager.stops import stop_limit
from strategies.trade_manager.strangers import newest, part

# Setups whose orders may still report something late (a fill after its cancellation was confirmed).
REMEMBERED_SETUPS: Final = 16
EXTERNAL: Final = "external"
_KINDS: Final = {
    OrderType.MARKET: OrderKind.MARKET,
    OrderType.LIMIT: OrderKind.LIMIT,
    OrderType.STOP_MARKET: OrderKind.STOP_MARKET,
    OrderType.STOP_LIMIT: OrderKind.STOP_LIMIT,
}


class KeptDesk(AccountView, ABC):
    """What a desk remembers.

    Parameters
    ----------
    host
        The strategy.
    instrument_id
        What is traded.
    tag
        Short name in client order ids.
    exit_rules
        How entries and exits are handled at the venue.
    """

    keeper: SetupKeeper | None = None
    """Where setups are kept; None in backtests."""
    carries_stop = False
    """Entries carry a stop of their own where the venue attaches one; only where orders are real."""
    make_room: Callable[[InstrumentId, Decimal], None] | None = None
    """Told the notional of each exit before it goes out, so that no limit refuses it; None in backtests."""
    reach: Callable[[str], None] | None = None
    """Told which point of the order life is passed, for tests that kill the process there."""
    venue: VenueCapabilities
    holds: Holds

    def __init__(self, host: Any, instrument_id: InstrumentId, tag: str, exit_rules: ExitRules) -> None:
        super().__init__(host, instrument_id)
        self.tag = tag
        self.exit_rules = exit_rules
        self.is_restored = False
        """The setups of the session before were taken up, or there is no keeper."""
        self._by_order: dict[str, Setup] = {}
        self._remembered: deque[Setup] = deque()
        self._dust_qty = ZERO
        self._dust_value = ZERO
        self.kept_halt = ""
        """Why this desk halted by itself, until a rearm; the kill file keeps a halt of the whole node."""
        self._judged: set[str] = set()  # trade ids of others: booked, or found to have sold nobody's coins
        self.stray_funding_ns = 0
        """Up to when funding of no trade of ours was told, UNIX nanoseconds."""
        self.began_ns = 0
        """When the desk was made ready, UNIX nanoseconds: what venues date before is history."""

    @property
    def strategy_id(self) -> str:
        """Return Nautilus' id of the strategy."""
        return str(self._host.id.value)

    @property
    def setups(self) -> tuple[Setup, ...]:
        """Return the setups whose orders may still report, oldest first."""
        return tuple(self._remembered)

    def log_error(self, text: str) -> None:
        """Write an error into the log of the node."""
        self._host.log.error(f"{self.instrument_id} {text}")

    # -- keep ----------------------------------------------------------------------------------------------

    def memory(self) -> DeskMemory:
        """Return what is kept besides setups."""
        external = [one.reason for one in self.holds.standing if one.source == EXTERNAL]
        return DeskMemory(
            dust_qty=str(self._dust_qty),
            dust_value=str(self._dust_value),
            halted=self.kept_halt,
            external=next(iter(external), ""),
            stray_funding_ns=self.stray_funding_ns,
        )

    def take_memory(self, memory: DeskMemory) -> None:
        """Take what was kept besides setups."""
        self._dust_qty, self._dust_value = Decimal(memory.dust_qty), Decimal(memory.dust_value)
        self.stray_funding_ns = memory.stray_funding_ns

    def keep_memory(self) -> None:
        """Store what is known besides setups, where anything is kept."""
        if self.keeper is not None:
            self.keeper.keep_memory(self)

    def was_used(self, direction: int, known_ts_ns: int, zone_id: int) -> bool:
        """Tell whether a setup of this zone or signal was ever sent, also before a restart."""
        if self.keeper is None:
            return False
        return self.keeper.was_used(self, setup_id(direction, known_ts_ns, zone_id))

    def _keep(self, setup: Setup, *, is_intent: bool) -> bool:
        return self.keeper is None or self.keeper.keep(self, setup, is_intent=is_intent)

    def _keep_intent(self, setup: Setup, leg: Leg) -> bool:
        if self.reach is None:
            return self._keep(setup, is_intent=True)
        name = leg.name.lower()
        self.reach(f"{name}_before_stored")
        is_kept = self._keep(setup, is_intent=True)
        self.reach(f"{name}_stored")
        return is_kept

    # -- funding -------------------------------------------------------------------------------------------

    def funded_until_ns(self, since_ns: int) -> int | None:
        """Return up to when funding of all trades is booked, None where no more is to be expected.

        Parameters
        ----------
        since_ns
            A trade that was closed before (UNIX nanoseconds) is over for the venue as well.
        """
        ledgers = [
            one.ledger
            for one in self._remembered
            if one.ledger.entry_ts_ns and (not one.is_closed or one.ledger.exit_ts_ns >= since_ns)
        ]
        return min((max(one.entry_ts_ns, one.funded_ns) for one in ledgers), default=None)

    def trade_of_funding(self, ts_ns: int) -> Setup | None:
        """Return the trade that was open at a funding time (UNIX nanoseconds), None where there was none.

        Whether it has booked that time is in its ledger (`Ledger.funded_ns`).
        """
        held = [
            one
            for one in self._remembered
            if 0 < one.ledger.entry_ts_ns <= ts_ns and (not one.is_closed or ts_ns <= one.ledger.exit_ts_ns)
        ]
        return held[-1] if held else None

    def remember(self, setup: Setup) -> None:
        """Listen to the orders of a setup, and to those of the oldest no more."""
        self._remembered.append(setup)
        if len(self._remembered) > REMEMBERED_SETUPS:
            for client_id in self._remembered.popleft().orders:
                self._by_order.pop(client_id, None)

    # -- restore -------------------------------------------------------------------------------------------

    def restore(self) -> None:
        """Take up the setups of the session before, as far as Nautilus' cache knows their orders.

        Protection goes out at once where the venue says that there is a position.
        """
        self.is_restored = True
        if self.keeper is None:
            return
        setups, memory = self.keeper.recall(self)
        if memory is not None:
            self.take_memory(memory)
            self._stay_closed(memory)
        for setup in setups:
            setup.asks_about_entry = True
            self.remember(setup)
            if not setup.is_closed:
                self.setup = setup
        if any(not one.is_closed for one in setups):
            self.is_restored = False  # until the venue has answered for all their orders
        if self.reach is not None:
            self.reach("restored")
        self.take_picture(self.cached_orders(), is_complete=False)

    def _stay_closed(self, memory: DeskMemory) -> None:
        """Stay halted or held as before the restart: no person has looked."""
        if memory.external:
            self.hold_for_external(memory.external)
        if memory.halted:
            self.halt(memory.halted, since="before the restart")

    def take_picture(self, at_venue: Mapping[str, VenueOrder], *, is_complete: bool) -> None:
        """Bring the setups up to date with the venue's orders; missing protection goes out first.

        Parameters
        ----------
        at_venue
            Orders by client id.
        is_complete
            See `catch_up`.
        """
        ts_ns = self._host.clock.timestamp_ns()
        for setup in self.setups:
            has_news = any(one in at_venue for one in setup.orders)
            if setup.is_closed and not has_news:
                continue
            for client_id in setup.orders:
                self._by_order[client_id] = setup
            before = setup.stage
            try:
                actions = catch_up(setup, at_venue, is_complete=is_complete, ts_ns=ts_ns)
            except IllegalTransition as error:
                self.log_error(f"setup {setup.identity.setup_id} cannot be brought up to date: {error}")
                setup.resume(ts_ns)
                self.give_up(setup, str(error))
                continue
            if is_complete or self._is_really_held(setup):
                actions += setup.resume(ts_ns)
            for client_id in setup.orders:
                self._by_order[client_id] = setup
            if not setup.is_closed:
                self.say_restored(setup, before.value)
            self.carry_out(setup, actions)
        if is_complete:
            self.is_restored = True

    def _is_really_held(self, setup: Setup) -> bool:
        """Tell whether the account holds the position of a setup: a closed one must not be protected.

        Coins of a spot account may be somebody else's. While the venue has not said what became of an exit of
        the setup, it may have sold the setup's coins, and a new stop would sell the others.
        """
        if self.account_kind() == "cash":
            open_questions = set(self.unanswered_orders())
            if any(
                one.leg is not Leg.ENTRY and one.client_id in open_questions for one in setup.orders.values()
            ):
                return False
        return self.held_qty(setup.plan.direction) >= setup.position_qty

    def held_qty(self, direction: int) -> Decimal:
        """Return what the account holds on one side, base currency: a position, on spot all coins."""
        if self.account_kind() == "cash":
            account = self._account()
            coins = None if account is None else account.balance_total(self.instrument.base_currency)
            return ZERO if coins is None else Decimal(coins.as_decimal())
        positions = self._host.cache.positions_open(instrument_id=self.instrument_id)
        held = sum((Decimal(str(one.signed_decimal_qty())) for one in positions), ZERO)
        return max(held * direction, ZERO)

    def cached_orders(self) -> dict[str, VenueOrder]:
        """Return the orders of the instrument as Nautilus' cache has them after reconciliation."""
        orders = self._host.cache.orders(instrument_id=self.instrument_id)
        return {one.client_order_id.value: self.venue_order(one) for one in orders}

    def venue_order(self, order: Order) -> VenueOrder:
        """Return a Nautilus order in plain words."""
        fills = tuple(self.fill_of(one) for one in order.events if isinstance(one, OrderFilled))
        average = getattr(order, "avg_px", None)
        price, trigger = getattr(order, "price", None), getattr(order, "trigger_price", None)
        return VenueOrder(
            client_id=order.client_order_id.value,
            is_open=not order.is_closed,
            qty=order.quantity.as_decimal(),
            filled_qty=order.filled_qty.as_decimal(),
            price=None if price is None else price.as_decimal(),
            trigger_price=None if trigger is None else trigger.as_decimal(),
            avg_price=None if average is None else Decimal(str(average)),
            ts_ns=order.ts_last,
            fills=fills,
            kind=_KINDS.get(order.order_type, OrderKind.LIMIT),
        )

    def unanswered_orders(self) -> list[str]:
        """Return the orders of living setups that may be alive and that Nautilus does not know."""
        known = self.cached_orders()
        living = (one for one in self.setups if not one.is_closed)
        return [
            own.client_id
            for setup in living
            for own in setup.orders.values()
            if (own.is_alive or own.is_given_up) and own.client_id not in known
        ]

    def sweep_orphans(self) -> list[str]:
        """Cancel open orders that are ours by their ids and of no living setup; return their ids."""
        symbol = self.instrument_id.symbol.value
        by_id = {
            one.client_order_id.value: one
            for one in self._host.cache.orders_open(instrument_id=self.instrument_id)
            if not one.is_pending_cancel
        }
        swept = orphans(self.tag, symbol, self.setups, by_id)
        for client_id in swept:
            self._host.cancel_order(by_id[client_id])
        if self.reach is not None:
            self.reach("orphans_swept")
        return swept

    # -- what others do in our account ---------------------------------------------------------------------

    def settle_difference(self, price: Decimal) -> Decimal:
        """Book what the account does not hold any more, and nobody sold, at a price; return how much, base.

        On spot only after the venue was asked for its balance and its trades: a withdrawal has no price.
        """
        # Recordings listen to this name and the next: what comes from outside alone.
        missing, ts_ns = self.missing_qty(), self._host.clock.timestamp_ns()
        if missing:
            text = f"{missing} left the account by no trade that is known: booked at the last price {price}"
            self._book([Fill(ts_ns, f"external-{ts_ns}", missing, price)], text, "estimated")
        return missing

    def settle_by_fills(self, fills: list[Fill]) -> Decimal:
        """Book what the account does not hold any more by what others sold; return how much, base.

        Parameters
        ----------
        fills
            As `strange_fills` returns them.
        """
        taken = newest(fills, self.missing_qty())
        qty = sum((one.qty for one in taken), ZERO)
        if taken:
            self._book(taken, f"{qty} were closed by somebody else", "reduced")
        return qty

    def _book(self, fills: list[Fill], text: str, reason: str) -> None:
        setup = self.setup
        if setup is None:
            return
        self._judged.update(one.trade_id for one in fills)
        self.hold_for_external(f"{text}; the setup had {setup.position_qty}")
        self.carry_out(setup, setup.on_external(fills, self._host.clock.timestamp_ns(), reason))

    def set_aside(self, fills: list[Fill]) -> None:
        """Note that others sold coins of nobody: these explain nothing that is missing later."""
        self._judged.update(one.trade_id for one in fills)

    def has_living_exit(self) -> bool:
        """Tell whether an exit of ours may have sold what the account does not hold any more."""
        return self.setup is not None and self.setup.has_living_exit

    def strange_fills(self) -> list[Fill]:
        """Return what others traded against the living position and nobody has judged, oldest first.

        As Nautilus' cache has it: by the venue's own fills (`runtime.live.open_reports`).
        """
        setup = self.setup
        if setup is None or setup.is_closed or not setup.is_in_position:
            return []
        ledger, is_long = setup.ledger, setup.plan.direction > 0
        # What was before the start was booked by the node before, if it came before that one's last exit.
        events = [
            event
            for order in self._host.cache.orders(instrument_id=self.instrument_id)
            if order.is_buy != is_long and not setup_and_leg(order.client_order_id.value)[0]
            for event in order.events
            if isinstance(event, OrderFilled)
            and event.trade_id.value not in self._judged
            and event.ts_event >= ledger.entry_ts_ns
            and (event.ts_event >= self.began_ns or event.ts_event > ledger.exit_ts_ns)
        ]
        return sorted((self.fill_of(one) for one in events), key=lambda one: one.ts_ns)

    def missing_qty(self) -> Decimal:
        """Return what the account holds less than the living setup, base currency; 0 below a lot.

        It may be our own doing: an account is told of a fill at once, the setup when the event has its turn.
        """
        setup = self.setup
        if setup is None or setup.is_closed or not setup.is_in_position:
            return ZERO
        missing = setup.position_qty - self.held_qty(setup.plan.direction)
        return missing if missing >= self.market.lot_size else ZERO

    def carried_stop(self, plan: EntryPlan) -> Decimal | None:
        """Return the price of the stop that an entry carries: beyond ours, so that ours is always first.

        None where entries carry none.
        """
        if not (self.carries_stop and self.venue.entry_carries_stop):
            return None
        offset_pct = self.exit_rules.stop_limit_offset_pct
        return stop_limit(plan.direction, plan.stop_price, offset_pct, self.market.tick_size)

    def is_carried(self, order: Order) -> bool:
        """Tell whether an open order is the stop that the entry of the present position brought."""
        setup = self.setup
        if setup is None or not setup.is_in_position or order.order_type != OrderType.STOP_MARKET:
            return False
        price = self.carried_stop(setup.plan)
        return bool(order.is_reduce_only and order.trigger_price.as_decimal() == price)

    def on_foreign_fill(self, event: OrderFilled) -> None:
        """Take a fill that no order of ours explains: by hand, a liquidation, a deleveraging."""
        client_id = event.client_order_id.value
        if event.ts_event < self.began_ns:
            # Reports of a whole account bring back what Nautilus had purged, as if it were new.
            self.log_error(f"a fill of {client_id} is older than this node: it changes nothing")
            return
        qty, price = event.last_qty.as_decimal(), event.last_px.as_decimal()
        side = "bought" if event.is_buy else "sold"
        self.hold_for_external(f"{qty} {side} at {price} by order {event.client_order_id}, which is not ours")
        setup = self.setup
        if setup is None or not setup.is_in_position or event.is_buy == (setup.plan.direction > 0):
            return
        if parsed(self.tag, self.instrument_id.symbol.value, client_id) is not None:
            return  # of a setup long gone, or the close of a position that nobody planned: not of this one
        # Coins that no setup holds may be sold by anyone: the venue is asked how many are left, and what is
        # missing is booked by this fill then, whichever of the two was told first.
        if self.account_kind() != "cash":
            fill = part(self.fill_of(event), setup.position_qty)
            self._judged.add(fill.trade_id)
            self.carry_out(setup, setup.on_external([fill], self._host.clock.timestamp_ns()))

    def hold_for_external(self, reason: str) -> None:
        """Open nothing on this instrument until a person has looked, and says so by a rearm."""
        ts_ns = self._host.clock.timestamp_ns()
        name = self.instrument_id.value
        hold = HoldEntries(ts_ns=ts_ns, source=EXTERNAL, reason=reason, instrument_id=name)
        self._host.msgbus.publish(topic=HOLD_TOPIC, msg=hold)

    def release_external(self) -> None:
        """End the hold over what others did here: a person has looked."""
        if any(one.source == EXTERNAL for one in self.holds.standing):
            ts_ns = self._host.clock.timestamp_ns()
            name = self.instrument_id.value
            release = ReleaseEntries(ts_ns=ts_ns, source=EXTERNAL, instrument_id=name)
            self._host.msgbus.publish(topic=RELEASE_TOPIC, msg=release)

    def unplanned_qty(self) -> Decimal:
        """Return the position of the instrument that no setup of ours holds, signed, base currency.

        On a cash account always 0: coins may be anybody's.
        """
        if self.account_kind() == "cash":
            return ZERO
        positions = self._host.cache.positions_open(instrument_id=self.instrument_id)
        held = sum((Decimal(str(one.signed_decimal_qty())) for one in positions), ZERO)
        own = sum((one.position_qty * one.plan.direction for one in self.setups if not one.is_closed), ZERO)
        return held - own

    def protect_unplanned(self, distance_pct: float) -> Setup | None:
        """Give a position that nobody planned a stop at a distance, and follow it like a setup.

        Parameters
        ----------
        distance_pct
            From the last price, percent.

        Returns
        -------
        Setup or None
            None where there is no such position, a setup lives already, or no price is known.
        """
        qty, price = self.unplanned_qty(), self.last_price()
        positions = self._host.cache.positions_open(instrument_id=self.instrument_id)
        if price is None and positions:
            price = Decimal(str(positions[0].avg_px_open))
        if not qty or price is None or (self.setup is not None and not self.setup.is_closed):
            return None
        direction = 1 if qty > 0 else -1
        tick = self.market.tick_size
        distance = price * Decimal(str(distance_pct)) / 100
        stop = max(round_down(price - direction * distance, tick, direction), tick)
        # A target that is never reached in earnest: somebody else's plan is not known.
        target = round_down(price * (2 if direction > 0 else Decimal("0.5")), tick, direction)
        entry = round_down(price, tick, direction)
        plan = EntryPlan(direction, entry, stop, target, abs(qty), -1, float(stop), float(target), "market")
        ts_ns = self._host.clock.timestamp_ns()
        identity = Identity(
            tag=self.tag,
            symbol=self.instrument_id.symbol.value,
            strategy_id=self.strategy_id,
            instrument_id=self.instrument_id.value,
            setup_id=f"U{base36(ts_ns // 1_000_000)}",
        )
        setup = Setup(identity, plan, self.market, self.venue, self.exit_rules)
        setup.asks_about_entry = True
        self.setup = setup
        self.remember(setup)
        fill = Fill(ts_ns, f"unplanned-{ts_ns}", abs(qty), entry)
        self.carry_out(setup, setup.adopt_position(fill))
        return setup

    # -- of the desk ---------------------------------------------------------------------------------------

    @abstractmethod
    def carry_out(self, setup: Setup, actions: Iterable[Action]) -> None:
        """Do what the core asked for."""

    @abstractmethod
    def halt(self, reason: str, **detail: str) -> None:
        """Open nothing any more."""

    @abstractmethod
    def give_up(self, setup: Setup, reason: str) -> None:
        """Answer to a bug in the order life."""

    @abstractmethod
    def say_restored(self, setup: Setup, stage: str) -> None:
        """Publish that a setup was taken up again; `stage` is the one in which it was stored."""

    @abstractmethod
    def fill_of(self, event: Any) -> Fill:
        """Return a fill (an event, or a report of one) in plain words."""


__all__ = ["EXTERNAL", "REMEMBERED_SETUPS", "KeptDesk"]
