"""The start of a node: what the one before left behind is taken up before anything is opened.

The order of things: entries are held (``reconcile``); strategies start, restore their setups from the state
file and place protection that is missing; orders that Nautilus' reconciliation does not know are asked for
one by one at the venue; what the account does not hold is booked as closed by somebody else; a position that
nobody planned gets a stop; orders of ours that belong to no setup are cancelled (and every minute from then
on); then entries are released.
A venue that does not answer keeps them held. Later, whenever somebody else has traded on an instrument, its
position is looked at in the same way.
"""

import asyncio
from collections.abc import Callable, Iterable
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Final

from nautilus_trader.common.actor import Actor
from nautilus_trader.common.config import ActorConfig
from nautilus_trader.model.enums import AccountType
from nautilus_trader.model.events import AccountState
from nautilus_trader.model.identifiers import ClientOrderId
from nautilus_trader.model.orders import Order

from runtime.errors import ConfigurationError
from runtime.live.balance_check import AskBalance, BalanceCheck, ask_client
from runtime.live.context import LiveContext
from runtime.live.crash_points import armed_points
from runtime.live.entry_room import entry_room
from runtime.live.holdings_watch import HoldingsWatch
from runtime.live.intents import EntryBarrier, IntentSync
from runtime.live.late_records import late_records
from runtime.live.limits import make_room
from runtime.live.missing_coins import AskTrades, MissingCoins
from runtime.live.order_lookup import Answer, Lookup, hand_over, look_up
from runtime.live.protection_settings import ProtectionSettings
from runtime.live.state import StateFile, StateKeeper
from runtime.live.untold_trades import tell_trades
from runtime.notify.actor import EVENTS_TOPIC
from runtime.notify.events import Event, EventKind, Severity
from strategies.entry_halt import (
    HALT_TOPIC,
    HOLD_TOPIC,
    RELEASE_TOPIC,
    HaltEntries,
    HoldEntries,
    ReleaseEntries,
)
from strategies.kept_desk import EXTERNAL, KeptDesk
from strategies.trade_manager.catch_up import VenueOrder
from strategies.trade_manager.client_ids import parsed

SOURCE: Final = "reconcile"
STATE_FILE: Final = "state.sqlite"
MEMORY_TIMER: Final = "keep-memory"
MEMORY_SECS: Final = 5
SWEEP_TIMER: Final = "sweep-orphans"
# An order that was given up and arrived, or one whose cancellation got lost, is found within this time.
SWEEP_SECS: Final = 60
NANOS: Final = 1_000_000_000
ACCOUNTS: Final = "events.account.*"

type LookUp = Callable[[Any, str], Any]
"""``await look_up(instrument_id, client_order_id)`` gives a `Lookup`."""


class RecoveryActor(Actor):
    """Takes up the state of the node before, then keeps what strategies remember.

    Parameters
    ----------
    keeper
        Of the state file; set on every desk.
    settings
        Limits.
    strategies
        Gives the strategies of the node; they have not started.
    lookup
        Asks a venue about one order.
    ask_balance
        Asks a venue what an account has; see `BalanceCheck`.
    ask_trades
        Asks a venue for its trades; see `MissingCoins`.
    reconcile_report
        Hands a report to Nautilus' execution engine.
    call_soon
        Runs a function in the thread of the node.
    journal
        Takes records of what happened to orders while no node ran.
    make_room
        ``make_room(instrument_id, notional)`` lets an exit of that size pass every limit.
    """

    def __init__(
        self,
        keeper: StateKeeper,
        settings: ProtectionSettings,
        *,
        strategies: Callable[[], Iterable[Any]],
        lookup: LookUp,
        ask_balance: AskBalance,
        ask_trades: AskTrades,
        reconcile_report: Callable[[Any], Any],
        call_soon: Callable[[Callable[[], Any]], Any],
        journal: Callable[[Any], Any],
        make_room: Callable[[Any, Decimal], None],
    ) -> None:
        super().__init__(ActorConfig())
        self.keeper = keeper
        self.is_done = False
        self.swept: list[str] = []
        self.unplanned: list[str] = []
        self._settings = settings
        self._strategies = strategies
        self._lookup = lookup
        self._reconcile_report = reconcile_report
        self._call_soon = call_soon
        self._journal = journal
        self._noted: set[str] = set()
        self._is_looking = False
        self._holdings = HoldingsWatch()
        self._balances = BalanceCheck(
            ask_balance,
            lambda topic, message: self.msgbus.publish(topic=topic, msg=message),
            lambda: self.clock.timestamp_ns(),
            self._tell,
        )
        self._coins = MissingCoins(self._balances, ask_trades, self._tell)
        self._task: asyncio.Task[None] | None = None
        self._looks: dict[asyncio.Task[None], str] = {}
        points = armed_points()
        for strategy in strategies():
            memory = keeper.file.strategy(strategy.id.value)
            if memory:
                strategy.on_load(memory)
            for desk in getattr(strategy, "desks", ()):
                desk.keeper = keeper
                desk.carries_stop = settings.carried_stop
                desk.make_room = make_room
                desk.reach = None if points is None else points.reach

    @property
    def desks(self) -> list[KeptDesk]:
        """Return the desks of all strategies."""
        return [desk for one in self._strategies() for desk in getattr(one, "desks", ())]

    # -- life ----------------------------------------------------------------------------------------------

    def on_start(self) -> None:
        """Hold entries; the strategies start right after, and then the venues are asked."""
        now_ns = self.clock.timestamp_ns()
        hold = HoldEntries(ts_ns=now_ns, source=SOURCE, reason="the state of orders and positions is unknown")
        self.msgbus.publish(topic=HOLD_TOPIC, msg=hold)
        self.msgbus.subscribe(topic=HOLD_TOPIC, handler=self._on_hold)
        self.msgbus.subscribe(topic=ACCOUNTS, handler=self._on_account)
        self._call_soon(self._begin)
        self.clock.set_timer_ns(
            MEMORY_TIMER,
            MEMORY_SECS * NANOS,
            now_ns,
            0,
            lambda _event: self._call_soon(self.keep_memories),
        )
        self.clock.set_timer_ns(
            SWEEP_TIMER, SWEEP_SECS * NANOS, now_ns, 0, lambda _event: self._call_soon(self._on_sweep)
        )

    def on_stop(self) -> None:
        """Ask no more, and keep what strategies remember."""
        for name in (MEMORY_TIMER, SWEEP_TIMER):
            if name in self.clock.timer_names:
                self.clock.cancel_timer(name)
        for task in (self._task, *self._looks):
            if task is not None:
                task.cancel()
        self.keeper.flush()
        self.keep_memories()

    def keep_memories(self) -> None:
        """Store what the strategies remember (pauses after losses), where it changed."""
        for strategy in self._strategies():
            try:
                self.keeper.file.put_strategy(strategy.id.value, strategy.on_save())
            except OSError as error:
                self.log.exception(f"the memory of {strategy.id} could not be stored", error)  # noqa: TRY401

    def _begin(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self.recover())

    # -- recovery ------------------------------------------------------------------------------------------

    async def recover(self) -> None:
        """Ask until everything is known, then release entries."""
        while not (await self._all_complete() and await self._all_looked_at()):
            await asyncio.sleep(self._settings.lookup_secs)
        self.is_done = True
        self.sweep()
        now_ns = self.clock.timestamp_ns()
        self.msgbus.publish(topic=RELEASE_TOPIC, msg=ReleaseEntries(ts_ns=now_ns, source=SOURCE))

    def sweep(self) -> None:
        """Cancel orders of ours that belong to no living setup, once it is known which those are."""
        if not self.is_done:
            return
        swept = [name for desk in self._started() for name in desk.sweep_orphans()]
        if swept:
            self.log.warning(f"orphans cancelled: {', '.join(swept)}")
            self.swept += swept

    def _on_sweep(self) -> None:
        self.sweep()
        self.look_at_holdings()

    def look_at_holdings(self) -> None:
        """Find coins that left an account although our setups hold them, and hold their entries."""
        if not self.is_done:
            return
        alone, shared = self._holdings.look(self._started())
        for desk in alone:
            self.log.error(
                f"{desk.instrument_id}: the account holds {desk.missing_qty()} less than our setup"
            )
            self._begin_look(desk.instrument_id.value)
        for (venue, coin), (missing, desks) in shared.items():
            text = f"{venue} holds {missing} {coin} less than the setups of {len(desks)} strategies together"
            for desk in desks:
                if not any(one.source == EXTERNAL for one in desk.holds.standing):
                    self.log.error(f"{desk.instrument_id}: {text}")
                    desk.hold_for_external(text)

    async def _all_complete(self) -> bool:
        try:
            return all([await self._complete(desk) for desk in self._started()])
        except Exception as error:
            self.log.exception("orders could not be brought up to date, tried again", error)  # noqa: TRY401
            return False

    async def _all_looked_at(self) -> bool:
        try:
            for desk in self._started():
                if not await self._coins.may_book(desk):
                    return False
                self.look_at_strangers(desk)
        except Exception as error:  # held for ever in silence otherwise
            self.log.exception("positions could not be looked at, tried again", error)  # noqa: TRY401
            return False
        return True

    def _started(self) -> list[KeptDesk]:
        return [one for one in self.desks if hasattr(one, "market")]

    async def _complete(self, desk: KeptDesk) -> bool:
        """Bring a desk up to date; False when the venue left a question open."""
        if desk.is_restored:
            return True
        found: dict[str, VenueOrder] = {}
        for client_id in desk.unanswered_orders():
            answer: Lookup = await self._lookup(desk.instrument_id, client_id)
            if answer.answer is Answer.SILENT:
                self.log.warning(f"{desk.instrument_id}: no answer about order {client_id}, asked again")
                return False
            if answer.answer is Answer.FOUND:
                found[client_id] = reported_order(desk, answer)
                if found[client_id].is_open:  # Nautilus must know it, or it could not be cancelled
                    hand_over(self.cache, answer, self._reconcile_report)
                else:
                    self._note_late(desk, answer)
        desk.take_picture(found | desk.cached_orders(), is_complete=True)
        return True

    def _on_hold(self, hold: HoldEntries) -> None:
        """Look at an instrument on which somebody else has just traded, when what came of it is known."""
        if hold.source == EXTERNAL and self.is_done and not self._is_looking:
            self._call_soon(lambda: self._begin_look(hold.instrument_id))

    def _on_account(self, state: AccountState) -> None:
        """Look where coins are gone: nothing else may tell of somebody else's sale, or of a withdrawal."""
        if state.account_type != AccountType.CASH or not self.is_done:
            return
        for desk in self._started():
            name = desk.instrument_id.value
            if desk.missing_qty() and desk.account_kind() == "cash" and name not in self._looks.values():
                self._call_soon(partial(self._begin_only_look, name))

    def _begin_only_look(self, name: str) -> None:
        """Look unless somebody does: the next balance may have come before the look for this one began."""
        if name not in self._looks.values():
            self._begin_look(name)

    def _begin_look(self, name: str) -> None:
        task = asyncio.get_running_loop().create_task(self._look_again(name))
        self._looks[task] = name
        task.add_done_callback(self._looks.pop)

    async def _look_again(self, name: str) -> None:
        for desk in self._started():
            if desk.instrument_id.value == name:
                may_book = await self._coins.may_book(desk)
                self._is_looking = True  # what is found is a hold again
                try:
                    self.look_at_strangers(desk, may_book=may_book)
                finally:
                    self._is_looking = False
                if may_book:
                    await self._balances.is_known(desk)  # what was held for want of an answer goes on

    def _tell(self, text: str) -> None:
        self.log.error(text)
        now_ns = self.clock.timestamp_ns()
        event = Event(kind=EventKind.DATA, ts_ns=now_ns, text=text, severity=Severity.WARNING)
        self.msgbus.publish(topic=EVENTS_TOPIC, msg=event)

    def _note_late(self, desk: KeptDesk, answer: Lookup) -> None:
        """Journal how an order ended that Nautilus will never tell of, once."""
        client_id = answer.report.client_order_id.value
        if client_id not in self._noted:
            self._noted.add(client_id)
            for record in late_records(desk.strategy_id, answer):
                self._journal(record)

    def look_at_strangers(self, desk: KeptDesk, *, may_book: bool = True) -> None:
        """Book what somebody else closed, protect what nobody planned, and hold where others trade.

        Parameters
        ----------
        desk
            Of the instrument.
        may_book
            False where nobody knows whether coins are missing: the position stays as it is, with its stop.
        """
        if may_book and desk.missing_qty():
            desk.settle_by_fills(desk.strange_fills())
            price = desk.last_price()
            if price is None and desk.setup is not None:
                price = desk.setup.plan.entry_price
            if price is not None and desk.missing_qty():
                desk.settle_difference(price)
        qty = desk.unplanned_qty()
        if abs(qty) >= desk.market.lot_size:
            self.unplanned.append(f"{desk.instrument_id} {qty}")
            desk.hold_for_external(f"a position of {qty} that no setup explains")
            if self._settings.unplanned == "protect" and not desk.protect_unplanned(
                self._settings.unplanned_stop_pct
            ):
                self.log.error(f"{desk.instrument_id}: a position of {qty} is not protected by us")
        foreign = [
            one for one in self.cache.orders_open(instrument_id=desk.instrument_id) if _is_foreign(desk, one)
        ]
        if foreign:
            names = ", ".join(one.client_order_id.value for one in foreign)
            desk.hold_for_external(f"orders of somebody else rest: {names}")


def reported_order(desk: Any, answer: Lookup) -> VenueOrder:
    """Return what a venue said about an order in plain words."""
    report = answer.report
    price, trigger, average = report.price, report.trigger_price, report.avg_px
    fills = sorted((desk.fill_of(one) for one in answer.fills), key=lambda one: one.ts_ns)
    return VenueOrder(
        client_id=report.client_order_id.value,
        is_open=report.is_open,
        qty=report.quantity.as_decimal(),
        filled_qty=report.filled_qty.as_decimal(),
        price=None if price is None else price.as_decimal(),
        trigger_price=None if trigger is None else trigger.as_decimal(),
        avg_price=None if not average else Decimal(str(average)),
        ts_ns=report.ts_last,
        fills=tuple(fills),
    )


def _is_foreign(desk: KeptDesk, order: Order) -> bool:
    is_own = parsed(desk.tag, desk.instrument_id.symbol.value, order.client_order_id.value) is not None
    return not is_own and not desk.is_carried(order)


def make_recovery(context: LiveContext) -> RecoveryActor:
    """Return the actor of a node, with its state file; call it after the strategies were made.

    Raises
    ------
    ConfigurationError
        When the state file has living setups of instruments that nobody trades any more.
    DataError
        When the state file cannot be read.
    """
    file = StateFile(context.folder / STATE_FILE)
    require_owners(file.living(), context.strategies(), file.path)
    engine = context.node.kernel.exec_engine
    clients = {one.venue: one for one in engine._clients.values()}  # noqa: SLF001 - no public list

    async def ask(instrument_id: Any, client_id: str) -> Lookup:
        return await look_up(clients[instrument_id.venue], instrument_id, client_id)

    async def ask_balance(instrument_id: Any) -> None:
        await ask_client(clients[instrument_id.venue])

    async def ask_trades(instrument_id: Any, since_ns: int) -> None:
        await tell_trades(clients[instrument_id.venue], instrument_id, since_ns)

    return RecoveryActor(
        StateKeeper(file, context.loop.call_later, _entries_wait(context, file, clients.values())),
        settings_of(context),
        strategies=context.strategies,
        lookup=ask,
        ask_balance=ask_balance,
        ask_trades=ask_trades,
        reconcile_report=engine.reconcile_execution_report,
        call_soon=context.call_soon,
        journal=context.journal.append,
        make_room=partial(make_room, context.node.kernel.risk_engine),
    )


def _entries_wait(context: LiveContext, file: StateFile, clients: Iterable[Any]) -> Callable[[], None] | None:
    """Let entries of a live node wait for the disk without the node; return what begins the waiting.

    In every node the desk of an entry is asked once more right before it leaves.
    """

    def is_wanted(client_order_id: ClientOrderId) -> bool:
        desks = (desk for one in context.strategies() for desk in getattr(one, "desks", ()))
        return all(desk.wants_entry(client_order_id.value) for desk in desks)

    if context.mode != "live":
        for client in clients:
            client.is_wanted = is_wanted
        return None  # a simulated venue takes orders at once
    intents = IntentSync(file.sync, context.loop)
    kernel = context.node.kernel

    def halt(_command: Any, error: OSError) -> None:
        message = HaltEntries(
            ts_ns=kernel.clock.timestamp_ns(),
            source="state",
            reason=f"the state file cannot be written ({error})",
            remedy="free space on the disk, then rearm",
        )
        kernel.msgbus.publish(topic=HALT_TOPIC, msg=message)

    for client in clients:
        EntryBarrier(client, intents, is_wanted, halt, entry_room(context, client))
    return intents.begin


def require_owners(living: Iterable[tuple[str, str, str]], strategies: Iterable[Any], file: Path) -> None:
    """Refuse a start that would forget a position: its strategy or instrument was taken out of the settings.

    Parameters
    ----------
    living
        (strategy, instrument, setup) ids of setups that are not closed.
    strategies
        Of the node.
    file
        The state file, for the message.

    Raises
    ------
    ConfigurationError
        When a setup has no desk.
    """
    desks = {
        (one.id.value, desk.instrument_id.value) for one in strategies for desk in getattr(one, "desks", ())
    }
    lost = sorted({f"{where} of {name}" for name, where, _setup in living if (name, where) not in desks})
    if lost:
        raise ConfigurationError(
            f"{file}: setups are open that these settings do not trade: {', '.join(lost)}; put them back, "
            "start, and close them (`ctl close`, or at the venue) before you take them out"
        )


def settings_of(context: LiveContext) -> ProtectionSettings:
    """Return the settings of protection of a node."""
    return context.settings.live.protection


__all__ = ["STATE_FILE", "RecoveryActor", "make_recovery", "reported_order"]
