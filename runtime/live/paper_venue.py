"""One simulated venue of a paper node: Nautilus' exchange in a world of its own.

The venue has its own message bus, cache, portfolio and execution engine, as a real one has its own books:
its orders change in the moment in which something happens there, whatever waits in the node's queues. It is
built from the same configuration as the venue of a backtest (`runtime.node_config.venue_configs`), so fills,
fees, queue, liquidity and margins are the same code.
"""

import heapq
import sqlite3
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, Final

import msgspec
from nautilus_trader.accounting.accounts.cash import CashAccount
from nautilus_trader.accounting.accounts.margin import MarginAccount
from nautilus_trader.backtest.config import BacktestVenueConfig
from nautilus_trader.backtest.engine import SimulatedExchange
from nautilus_trader.backtest.execution_client import BacktestExecClient
from nautilus_trader.backtest.node import (
    get_account_type,
    get_fee_model,
    get_fill_model,
    get_latency_model,
    get_oms_type,
    get_starting_balances,
)
from nautilus_trader.cache.cache import Cache
from nautilus_trader.common.component import MessageBus, TestClock
from nautilus_trader.core.uuid import UUID4
from nautilus_trader.execution.engine import ExecutionEngine
from nautilus_trader.execution.messages import (
    CancelAllOrders,
    CancelOrder,
    ModifyOrder,
    SubmitOrder,
    TradingCommand,
)
from nautilus_trader.model.data import TradeTick
from nautilus_trader.model.enums import AccountType, OmsType, OrderSide
from nautilus_trader.model.events import (
    AccountState,
    OrderCancelRejected,
    OrderEvent,
    OrderFilled,
    OrderInitialized,
    OrderModifyRejected,
    OrderRejected,
    OrderSubmitted,
)
from nautilus_trader.model.identifiers import (
    AccountId,
    ClientId,
    ClientOrderId,
    InstrumentId,
    PositionId,
    TraderId,
    Venue,
    VenueOrderId,
)
from nautilus_trader.model.instruments import CurrencyPair, Instrument
from nautilus_trader.model.objects import AccountBalance, Currency, Money
from nautilus_trader.model.orders import Order
from nautilus_trader.model.orders.unpacker import OrderUnpacker
from nautilus_trader.model.position import Position
from nautilus_trader.portfolio.portfolio import Portfolio
from nautilus_trader.serialization.serializer import MsgSpecSerializer

from runtime.funding_schedule import is_linear_perpetual
from runtime.live.paper_filters import refusal
from runtime.live.paper_funding import LiveFundingVenue
from runtime.live.paper_state import FillRow, OrderRow, PaperChange, PaperStore, PositionRow
from strategies.trade_manager.funding import FundingPayment

ORDER_IDS: Final = "orders"
TRADE_IDS: Final = "trades"
SERIALIZER: Final = MsgSpecSerializer(encoding=msgspec.json)

type Report = OrderEvent | FundingPayment | AccountState
"""What a venue tells the node."""


class PaperVenue:
    """A simulated venue with latency, filters and a memory.

    Parameters
    ----------
    config
        As in a backtest on trades.
    trader_id
        Of the node.
    store
        Keeps what happened; written before `report` is called.
    report
        Takes what the node must hear of one step, in order.
    find_instrument
        Gives the instrument of an id, None while it is unknown.
    now_ns
        Time at the venue, UNIX nanoseconds.
    band_pct
        See `runtime.live.paper_filters.refusal`.
    market_wait_ns
        What is sent for an instrument without a print yet waits so long for the first one.
    """

    def __init__(
        self,
        config: BacktestVenueConfig,
        trader_id: TraderId,
        store: PaperStore,
        report: Callable[[list[Report]], None],
        find_instrument: Callable[[InstrumentId], Instrument | None],
        now_ns: int,
        *,
        band_pct: float | None = None,
        market_wait_ns: int = 0,
    ) -> None:
        self.id = Venue(config.name)
        self.account_id = AccountId(f"{config.name}-001")
        self.account_type: AccountType = get_account_type(config)
        self.oms_type: OmsType = get_oms_type(config)
        self.refused_ticks = 0
        self.trouble = ""
        """Why the last steps are not on the disk; empty when they are."""
        self.away: dict[InstrumentId, int] = {}
        """Until when funding of the perpetuals that were held at the start is settled, UNIX nanoseconds."""
        self._unwritten: list[PaperChange] = []
        self._store, self._report, self._find = store, report, find_instrument
        self._band_pct, self._market_wait_ns = band_pct, market_wait_ns
        self._clock = TestClock()
        self._clock.set_time(now_ns)
        self._bus = MessageBus(trader_id=trader_id, clock=self._clock)
        self.cache = Cache()
        self._portfolio = Portfolio(msgbus=self._bus, cache=self.cache, clock=self._clock)
        self._engine = ExecutionEngine(msgbus=self._bus, cache=self.cache, clock=self._clock)
        self.funding = LiveFundingVenue()
        self.exchange = self._exchange(config)
        self.latency = get_latency_model(config)
        self._client = BacktestExecClient(
            exchange=self.exchange,
            msgbus=self._bus,
            cache=self.cache,
            clock=self._clock,
            frozen_account=True,  # else every account of that name in this process is a calculated one
        )
        self.exchange.register_client(self._client)
        self._engine.register_client(self._client)
        self._due: list[tuple[int, int, TradingCommand]] = []
        self._sent = 0
        self._waiting: dict[InstrumentId, list[TradingCommand]] = {}
        self._adopt: dict[InstrumentId, list[ClientOrderId]] = {}
        self._traded: set[InstrumentId] = set()
        # First fill and number of fills of each position as they are kept: spot leaves dust, and a position
        # that never is flat has thousands.
        self._kept_fills: dict[PositionId, tuple[UUID4, int]] = {}
        self._events: list[OrderEvent] = []
        self._own: list[Report] = []
        self._payments: list[FundingPayment] = []
        self._numbers = {name: store.counter(self.id.value, name) for name in (ORDER_IDS, TRADE_IDS)}
        self._open_account(config)
        self._kept_account: AccountState | None = None
        self._bus.subscribe(topic="events.order.*", handler=self._events.append)
        self._bus.subscribe(topic="funding.*", handler=self._payments.append)
        self._engine.start()
        self._client._set_connected(True)  # noqa: SLF001 - no other way from Python

    # -- what the node does --------------------------------------------------------------------------------

    @property
    def now_ns(self) -> int:
        """Time at the venue, UNIX nanoseconds."""
        return int(self._clock.timestamp_ns())

    @property
    def next_ns(self) -> int | None:
        """When the next command arrives, UNIX nanoseconds; None: nothing is on its way."""
        return self._due[0][0] if self._due else None

    def is_quiet(self, instrument_id: InstrumentId) -> bool:
        """Tell whether an instrument had no print yet, so that its market is unknown."""
        return instrument_id not in self._traded

    def is_on_its_way(self, client_order_id: str) -> bool:
        """Tell whether an order was sent that the venue has neither taken nor refused yet."""
        waiting = (command for commands in self._waiting.values() for command in commands)
        return any(
            isinstance(command, SubmitOrder) and command.order.client_order_id.value == client_order_id
            for command in (*(command for _, _, command in self._due), *waiting)
        )

    def send(self, command: TradingCommand, sent_ns: int) -> int:
        """Put a command on its way; return when it arrives, UNIX nanoseconds."""
        due_ns = sent_ns + self._latency_ns(command)
        self._sent += 1
        heapq.heappush(self._due, (due_ns, self._sent, command))
        return due_ns

    def on_trade(self, tick: TradeTick) -> None:
        """Match a print, then take what has arrived by its time."""
        instrument = self._known(tick.instrument_id)
        if instrument is None or _is_malformed(tick, instrument):
            self.refused_ticks += 1
            return
        self._advance(tick.ts_init)
        self.cache.add_trade_tick(tick)
        self.exchange.process_trade_tick(tick)
        if tick.instrument_id not in self._traded:
            self._open_market(tick.instrument_id)
        self._take_due(max(tick.ts_init, self.now_ns))
        self.commit()

    def advance(self, now_ns: int) -> None:
        """Let time pass without a print: funding is settled and what has arrived is taken."""
        self._advance(now_ns)
        self._take_due(now_ns)
        self.commit()

    def give_up_waiting(self, instrument_id: InstrumentId) -> None:
        """Take what waited for the first print of an instrument although there was none."""
        if instrument_id not in self._traded:
            self._open_market(instrument_id)
            self._traded.discard(instrument_id)
            self.commit()

    def note_prices(self) -> None:
        """Keep the last prices of what is held, for those who read the state from outside."""
        held = {position.instrument_id for position in self.cache.positions_open()}
        prices = {one: self._last_price(one) for one in held}
        known = {one.value: str(price) for one, price in prices.items() if price is not None}
        if known or self._unwritten:
            self._keep(PaperChange(prices=known))

    def update_instrument(self, instrument: Instrument) -> None:
        """Trade by changed rules of an instrument from now on."""
        if instrument.id in self.exchange.instruments:
            self.cache.add_instrument(instrument)
            self.exchange.update_instrument(instrument)

    # -- memory --------------------------------------------------------------------------------------------

    def remembered(self) -> set[InstrumentId]:
        """Return the instruments that what is kept is about; they must be known before `restore`."""
        names = {row.instrument_id for row in self._store.orders(self.id.value, open_only=True)}
        found = {InstrumentId.from_str(name) for name in names}
        for row in self._store.positions(self.id.value):
            found.add(SERIALIZER.deserialize(row.fills[0]).instrument_id)
        return found

    def restore(self) -> None:
        """Take account, positions and open orders as they were kept."""
        kept = self._store.account(self.id.value)
        if kept is not None:
            self._account().apply(SERIALIZER.deserialize(kept))
        for order in self._store.orders(self.id.value, open_only=True):
            self._restore_order(restored_order(order))
        for row in self._store.positions(self.id.value):
            self._restore_position([SERIALIZER.deserialize(one) for one in row.fills])
        if self.account_type == AccountType.CASH:
            self._restore_locks()
        self._note_away()
        self._events.clear()
        self.commit()

    def _restore_locks(self) -> None:
        """Let the account know for which instrument its coins are locked, or it never frees them again."""
        account = self._account()
        for instrument_id in self._adopt:
            instrument = self.exchange.instruments[instrument_id]
            locks: dict[Currency, Money] = {}
            for order in self.cache.orders_open(instrument_id=instrument_id):
                price = order.price if order.has_price else order.trigger_price
                lock = account.calculate_balance_locked(instrument, order.side, order.quantity, price)
                locks[lock.currency] = lock + locks.get(lock.currency, Money(0, lock.currency))
            for lock in locks.values():
                account.update_balance_locked(instrument_id, lock)

    def _note_away(self) -> None:
        """Note since when nobody has looked at the contracts that are held."""
        paid = {one.instrument_id: one.ts_ns for one in self._store.payments(self.id.value)}
        for position in self.cache.positions_open():
            name = position.instrument_id.value
            seen_ns = self._store.price_ts_ns(name)
            if seen_ns is not None and is_linear_perpetual(self._known(position.instrument_id)):
                self.away[position.instrument_id] = max(seen_ns, paid.get(name, 0))

    def settle_missed(self, instrument_id: InstrumentId, ts_ns: int, rate: Decimal) -> None:
        """Settle a funding time that passed while no node ran, UNIX nanoseconds, at the price kept last."""
        price = self._store.price(instrument_id.value)
        if price is not None:
            self.funding.settle_past(ts_ns, instrument_id, rate, Decimal(price))
            self.commit()

    def _restore_position(self, fills: list[OrderFilled]) -> None:
        instrument = self._known(fills[0].instrument_id)
        position = Position(instrument, fill=fills[0])
        for fill in fills[1:]:
            position.apply(fill)
        # The venue asks its orders which position they belong to; those of it that are closed are not here.
        names = list(dict.fromkeys(fill.client_order_id for fill in fills))
        for name in names:
            row = self._store.order(name.value)
            if row is not None and not self.cache.order_exists(name):
                self._restore_order(restored_order(row))
        self.cache.add_position(position, self.oms_type)
        for name in names:
            self.cache.add_position_id(position.id, self.id, name, position.strategy_id)

    def _restore_order(self, order: Order) -> None:
        self._known(order.instrument_id)
        self.cache.add_order(order, None)
        self.cache.update_order(order)
        if not order.is_closed:
            # Behind the first print: its place in the queue of before is lost, and must not be the first.
            self._adopt.setdefault(order.instrument_id, []).append(order.client_order_id)

    def commit(self) -> None:
        """Keep what this step changed and tell the node of it."""
        events, payments, own = list(self._events), list(self._payments), list(self._own)
        self._events.clear()
        self._payments.clear()
        self._own.clear()
        account = self._account().last_event
        is_new = self._kept_account is None or not _is_same(account, self._kept_account)
        if not (events or payments or own or is_new):
            return
        change = PaperChange(payments=payments, account=SERIALIZER.serialize(account))
        reports: list[Report] = [self._noted(event, change) for event in events if _is_news(event)]
        self._note_state(events, change)
        self._keep(change)
        self._kept_account = account
        self._report([*own, *reports, *payments, *([account] if is_new else [])])

    def _keep(self, change: PaperChange) -> None:
        self._unwritten.append(change)
        try:
            while self._unwritten:
                self._store.write(self.id.value, self._unwritten[0], self.now_ns)
                del self._unwritten[0]
        except sqlite3.Error as error:  # a full disk: exits must go on, so it waits for the next step
            self.trouble = f"{len(self._unwritten)} steps of the paper account are not kept: {error}"
            return
        self.trouble = ""

    def _noted(self, event: OrderEvent, change: PaperChange) -> OrderEvent:
        if not isinstance(event, OrderFilled):
            return event
        number = self._next_number(TRADE_IDS, change)
        # The simulator counts its fills anew with each start.
        plain = OrderFilled.to_dict(event)
        plain |= {"trade_id": f"{self.id.value}-T{number}", "position_id": None}
        told = OrderFilled.from_dict(plain)
        change.fills.append(
            FillRow(
                told.trade_id.value, told.client_order_id.value, told.ts_event, SERIALIZER.serialize(told)
            )
        )
        return told

    def _note_state(self, events: Iterable[OrderEvent], change: PaperChange) -> None:
        for client_order_id in dict.fromkeys(event.client_order_id for event in events):
            order = self.cache.order(client_order_id)
            if order is not None:
                change.orders.append(order_row(order))
        filled = [event for event in events if isinstance(event, OrderFilled)]
        for position_id in dict.fromkeys(event.position_id for event in filled):
            position = None if position_id is None else self.cache.position(position_id)
            if position is not None:
                change.positions.append(self._position_row(position))
        for fill in filled:
            change.prices[fill.instrument_id.value] = str(fill.last_px)
        change.counters[ORDER_IDS] = self._numbers[ORDER_IDS]

    def _position_row(self, position: Position) -> PositionRow:
        events = position.events
        opened, count = self._kept_fills.get(position.id, (None, 0))
        first = count if opened == events[0].id else 0
        self._kept_fills[position.id] = events[0].id, len(events)
        return PositionRow(
            position.id.value,
            bool(position.is_open),
            int(position.ts_last),
            tuple(SERIALIZER.serialize(fill) for fill in events[first:]),
            _summary_of(position),
            first,
        )

    # -- the exchange --------------------------------------------------------------------------------------

    def _exchange(self, config: BacktestVenueConfig) -> SimulatedExchange:
        return SimulatedExchange(
            venue=self.id,
            oms_type=self.oms_type,
            account_type=self.account_type,
            starting_balances=get_starting_balances(config),
            base_currency=None,
            default_leverage=Decimal(str(config.default_leverage)),
            leverages={},
            modules=[self.funding],
            portfolio=self._portfolio,
            msgbus=self._bus,
            cache=self.cache,
            clock=self._clock,
            fill_model=get_fill_model(config),
            fee_model=get_fee_model(config),
            latency_model=None,  # commands arrive here, after the filters
            support_contingent_orders=config.support_contingent_orders,
            use_message_queue=False,
            use_market_order_acks=config.use_market_order_acks,
            bar_execution=False,
            trade_execution=True,
            liquidity_consumption=config.liquidity_consumption,
            queue_position=config.queue_position,
        )

    def _open_account(self, config: BacktestVenueConfig) -> None:
        balances = [
            AccountBalance(total=one, locked=Money(0, one.currency), free=one)
            for one in get_starting_balances(config)
        ]
        state = AccountState(
            account_id=self.account_id,
            account_type=self.account_type,
            base_currency=None,
            reported=True,
            balances=balances,
            margins=[],
            info={},
            event_id=UUID4(),
            ts_event=self.now_ns,
            ts_init=self.now_ns,
        )
        self.cache.add_account(new_account(state, self.exchange.default_leverage, is_calculated=True))

    def _account(self) -> Any:
        return self.cache.account(self.account_id)

    def _known(self, instrument_id: InstrumentId) -> Instrument | None:
        """Return an instrument that the exchange has; it gets it with the first order or print."""
        held = self.exchange.instruments.get(instrument_id)
        if held is not None:
            return held
        instrument = self._find(instrument_id)
        if instrument is not None:
            self.cache.add_instrument(instrument)
            self.exchange.add_instrument(instrument)
        return instrument

    def _advance(self, now_ns: int) -> None:
        if now_ns <= self.now_ns:
            return
        for handler in self._clock.advance_time(now_ns):
            handler.handle()

    def _latency_ns(self, command: TradingCommand) -> int:
        if self.latency is None:
            return 0
        if isinstance(command, SubmitOrder):
            return int(self.latency.insert_latency_nanos)
        if isinstance(command, ModifyOrder):
            return int(self.latency.update_latency_nanos)
        return int(self.latency.cancel_latency_nanos)

    def _take_due(self, now_ns: int) -> None:
        while self._due and self._due[0][0] <= now_ns:
            _due_ns, _number, command = heapq.heappop(self._due)
            instrument_id = command.instrument_id
            is_quiet = instrument_id not in self._traded
            if is_quiet and (self._market_wait_ns or instrument_id in self._adopt):
                self._waiting.setdefault(instrument_id, []).append(command)
            else:
                self._take(command)

    def _open_market(self, instrument_id: InstrumentId) -> None:
        self._traded.add(instrument_id)
        engine = self.exchange.get_matching_engine(instrument_id)
        heard = len(self._events)
        for client_order_id in self._adopt.pop(instrument_id, []):
            order = self.cache.order(client_order_id)
            if not order.is_closed:
                engine.accept_order(order)
        # A partly filled order is "accepted" again by the simulator; the node knows it.
        del self._events[heard:]
        for command in self._waiting.pop(instrument_id, []):
            self._take(command)

    # -- commands that have arrived ------------------------------------------------------------------------

    def _take(self, command: TradingCommand) -> None:
        if isinstance(command, SubmitOrder):
            self._take_order(command)
        elif isinstance(command, CancelAllOrders):
            self._take_cancel_all(command)
        elif isinstance(command, (CancelOrder, ModifyOrder)):
            self._take_change(command)

    def _take_order(self, command: SubmitOrder) -> None:
        order = OrderUnpacker.from_init(command.order.init_event)
        instrument = self._known(order.instrument_id)
        if instrument is None:
            return self._refuse(order, f"{order.instrument_id} is not traded here")
        if self.cache.order_exists(order.client_order_id) or self._store.order(order.client_order_id.value):
            return self._refuse(order, f"DUPLICATE_ID: {order.client_order_id} was sent before")
        reason = refusal(instrument, order, self._last_price(order.instrument_id), self._band_pct)
        reason = reason or self._refused_funds(instrument, order)
        self.cache.add_order(order, command.position_id)
        self._give_id(order)
        if reason is not None:
            self._engine.process(
                OrderSubmitted(
                    order.trader_id,
                    order.strategy_id,
                    order.instrument_id,
                    order.client_order_id,
                    self.account_id,
                    UUID4(),
                    self.now_ns,
                    self.now_ns,
                )
            )
            self._engine.process(self._rejected(order, reason))
            return None
        own = SubmitOrder(
            command.trader_id,
            command.strategy_id,
            order,
            UUID4(),
            self.now_ns,
            command.position_id,
            ClientId(self.id.value),
        )
        self._engine.execute(own)
        return None

    def _refuse(self, order: Order, reason: str) -> None:
        self._own.append(self._rejected(order, reason))

    def _rejected(self, order: Order, reason: str) -> OrderRejected:
        return OrderRejected(
            trader_id=order.trader_id,
            strategy_id=order.strategy_id,
            instrument_id=order.instrument_id,
            client_order_id=order.client_order_id,
            account_id=self.account_id,
            reason=reason,
            event_id=UUID4(),
            ts_event=self.now_ns,
            ts_init=self.now_ns,
        )

    def _take_change(self, command: CancelOrder | ModifyOrder) -> None:
        order = self.cache.order(command.client_order_id)
        if order is None or order.is_closed:
            state = "unknown" if order is None else order.status_string()
            self._own.append(self._change_rejected(command, f"UNKNOWN_ORDER: {state} here"))
            return
        engine = self.exchange.get_matching_engine(command.instrument_id)
        if isinstance(command, CancelOrder):
            engine.process_cancel(command, self.account_id)
        else:
            engine.process_modify(command, self.account_id)

    def _change_rejected(self, command: CancelOrder | ModifyOrder, reason: str) -> OrderEvent:
        kind = OrderCancelRejected if isinstance(command, CancelOrder) else OrderModifyRejected
        return kind(
            trader_id=command.trader_id,
            strategy_id=command.strategy_id,
            instrument_id=command.instrument_id,
            client_order_id=command.client_order_id,
            venue_order_id=command.venue_order_id,
            account_id=self.account_id,
            reason=reason,
            event_id=UUID4(),
            ts_event=self.now_ns,
            ts_init=self.now_ns,
        )

    def _take_cancel_all(self, command: CancelAllOrders) -> None:
        engine = self.exchange.get_matching_engine(command.instrument_id)
        for order in self.cache.orders_open(
            instrument_id=command.instrument_id, strategy_id=command.strategy_id, side=command.order_side
        ):
            if engine.order_exists(order.client_order_id):
                engine.cancel_order(order)

    # -- ids, prices and money -----------------------------------------------------------------------------

    def _give_id(self, order: Order) -> None:
        self._numbers[ORDER_IDS] += 1
        name = f"{self.id.value}-O{self._numbers[ORDER_IDS]}"
        self.cache.add_venue_order_id(order.client_order_id, VenueOrderId(name))

    def _next_number(self, name: str, change: PaperChange) -> int:
        self._numbers[name] += 1
        change.counters[name] = self._numbers[name]
        return self._numbers[name]

    def _last_price(self, instrument_id: InstrumentId) -> Decimal | None:
        tick = self.cache.trade_tick(instrument_id)
        return None if tick is None else Decimal(tick.price.as_decimal())

    def _refused_funds(self, instrument: Instrument, order: Order) -> str | None:
        price = order.price.as_decimal() if order.has_price else self._last_price(instrument.id)
        qty = order.quantity.as_decimal()
        if isinstance(instrument, CurrencyPair) and self.account_type == AccountType.CASH:
            is_buy = order.side == OrderSide.BUY
            currency = instrument.quote_currency if is_buy else instrument.base_currency
            needed = qty * (price or 0) if is_buy else qty
        elif order.is_reduce_only or price is None or self._closes(order):
            return None
        else:
            currency = instrument.get_cost_currency()
            leverage = self._account().leverage(instrument.id) or self.exchange.default_leverage
            needed = qty * price / leverage
        free = self._account().balance_free(currency)
        held = Decimal(0) if free is None else free.as_decimal()
        if needed > held:
            return f"INSUFFICIENT_BALANCE: {needed:f} {currency.code} needed, {held:f} free"
        return None

    def _closes(self, order: Order) -> bool:
        """Tell whether an order makes an open position smaller at most."""
        open_here = self.cache.positions_open(
            instrument_id=order.instrument_id, strategy_id=order.strategy_id
        )
        return any(order.would_reduce_only(position.side, position.quantity) for position in open_here)


def new_account(state: AccountState, leverage: Decimal, *, is_calculated: bool) -> Any:
    """Return an account in a state: calculated from fills (at the venue), or as it is told (in the node)."""
    if state.account_type == AccountType.CASH:
        return CashAccount(state, is_calculated)
    account = MarginAccount(state, is_calculated)
    account.set_default_leverage(leverage)
    return account


def order_row(order: Order) -> OrderRow:
    """Return an order as it is kept."""
    events = tuple(SERIALIZER.serialize(event) for event in order.events)
    is_open = not order.is_closed
    return OrderRow(
        order.client_order_id.value, order.instrument_id.value, is_open, int(order.ts_last), events
    )


def restored_order(row: OrderRow) -> Order:
    """Return a kept order."""
    first, *others = (SERIALIZER.deserialize(event) for event in row.events)
    if not isinstance(first, OrderInitialized):
        raise TypeError(f"{row.client_order_id} begins with {type(first).__name__}")
    order = OrderUnpacker.from_init(first)
    for event in others:
        order.apply(event)
    return order


def _summary_of(position: Position) -> dict[str, str]:
    return {
        "instrument": position.instrument_id.value,
        "strategy": position.strategy_id.value,
        "qty": f"{position.signed_decimal_qty():f}",
        "entry": str(position.avg_px_open),
        "realized": str(position.realized_pnl),
        "value_currency": position.settlement_currency.code,
        "coin": "" if position.base_currency is None else position.base_currency.code,
        "multiplier": str(position.multiplier),
    }


def _is_news(event: OrderEvent) -> bool:
    # The node said itself that it sent the order.
    return not isinstance(event, (OrderSubmitted, OrderInitialized))


def _is_same(one: AccountState, other: AccountState) -> bool:
    return bool(one.balances == other.balances and one.margins == other.margins)


def _is_malformed(tick: TradeTick, instrument: Instrument) -> bool:
    """Tell whether the exchange would stop at a print: decimals of other rules than the instrument's."""
    return bool(
        tick.price.precision != instrument.price_precision or tick.size.precision != instrument.size_precision
    )
