"""Commands that have arrived at a simulated venue: filters and money first, then its exchange."""

from decimal import Decimal

from nautilus_trader.core.uuid import UUID4
from nautilus_trader.execution.messages import (
    CancelAllOrders,
    CancelOrder,
    ModifyOrder,
    SubmitOrder,
    TradingCommand,
)
from nautilus_trader.model.enums import AccountType, OrderSide
from nautilus_trader.model.events import (
    OrderCancelRejected,
    OrderEvent,
    OrderModifyRejected,
    OrderRejected,
    OrderSubmitted,
)
from nautilus_trader.model.identifiers import ClientId
from nautilus_trader.model.instruments import CurrencyPair, Instrument
from nautilus_trader.model.orders import Order
from nautilus_trader.model.orders.unpacker import OrderUnpacker

from runtime.live.paper_filters import refusal
from runtime.live.paper_records import PaperRecords
from runtime.live.paper_state import PaperStore
from runtime.live.paper_world import PaperWorld


class PaperCommands:
    """Takes commands.

    Parameters
    ----------
    world, records
        Of the venue.
    store
        Knows the orders of before.
    band_pct
        See `runtime.live.paper_filters.refusal`.
    """

    def __init__(
        self, world: PaperWorld, records: PaperRecords, store: PaperStore, band_pct: float | None
    ) -> None:
        self._world, self._records, self._store = world, records, store
        self._band_pct = band_pct

    def take(self, command: TradingCommand) -> None:
        """Do what a command asks for, or refuse it."""
        if isinstance(command, SubmitOrder):
            self._take_order(command)
        elif isinstance(command, CancelAllOrders):
            self._take_cancel_all(command)
        elif isinstance(command, (CancelOrder, ModifyOrder)):
            self._take_change(command)

    def _take_order(self, command: SubmitOrder) -> None:
        order = OrderUnpacker.from_init(command.order.init_event)
        instrument = self._world.known(order.instrument_id)
        if instrument is None:
            return self._refuse(order, f"{order.instrument_id} is not traded here")
        if self._world.cache.order_exists(order.client_order_id) or self._store.order(
            order.client_order_id.value
        ):
            return self._refuse(order, f"DUPLICATE_ID: {order.client_order_id} was sent before")
        reason = refusal(instrument, order, self._world.last_price(order.instrument_id), self._band_pct)
        reason = reason or self._refused_funds(instrument, order)
        self._world.cache.add_order(order, command.position_id)
        self._world.cache.add_venue_order_id(order.client_order_id, self._records.new_order_id())
        if reason is not None:
            self._world.engine.process(
                OrderSubmitted(
                    order.trader_id,
                    order.strategy_id,
                    order.instrument_id,
                    order.client_order_id,
                    self._world.account_id,
                    UUID4(),
                    self._world.now_ns,
                    self._world.now_ns,
                )
            )
            self._world.engine.process(self._rejected(order, reason))
            return None
        own = SubmitOrder(
            command.trader_id,
            command.strategy_id,
            order,
            UUID4(),
            self._world.now_ns,
            command.position_id,
            ClientId(self._world.id.value),
        )
        self._world.engine.execute(own)
        return None

    def _refuse(self, order: Order, reason: str) -> None:
        self._records.answer(self._rejected(order, reason))

    def _rejected(self, order: Order, reason: str) -> OrderRejected:
        return OrderRejected(
            trader_id=order.trader_id,
            strategy_id=order.strategy_id,
            instrument_id=order.instrument_id,
            client_order_id=order.client_order_id,
            account_id=self._world.account_id,
            reason=reason,
            event_id=UUID4(),
            ts_event=self._world.now_ns,
            ts_init=self._world.now_ns,
        )

    def _take_change(self, command: CancelOrder | ModifyOrder) -> None:
        order = self._world.cache.order(command.client_order_id)
        if order is None or order.is_closed:
            state = "unknown" if order is None else order.status_string()
            self._records.answer(self._change_rejected(command, f"UNKNOWN_ORDER: {state} here"))
            return
        engine = self._world.exchange.get_matching_engine(command.instrument_id)
        if isinstance(command, CancelOrder):
            engine.process_cancel(command, self._world.account_id)
        else:
            engine.process_modify(command, self._world.account_id)

    def _change_rejected(self, command: CancelOrder | ModifyOrder, reason: str) -> OrderEvent:
        kind = OrderCancelRejected if isinstance(command, CancelOrder) else OrderModifyRejected
        return kind(
            trader_id=command.trader_id,
            strategy_id=command.strategy_id,
            instrument_id=command.instrument_id,
            client_order_id=command.client_order_id,
            venue_order_id=command.venue_order_id,
            account_id=self._world.account_id,
            reason=reason,
            event_id=UUID4(),
            ts_event=self._world.now_ns,
            ts_init=self._world.now_ns,
        )

    def _take_cancel_all(self, command: CancelAllOrders) -> None:
        engine = self._world.exchange.get_matching_engine(command.instrument_id)
        for order in self._world.cache.orders_open(
            instrument_id=command.instrument_id, strategy_id=command.strategy_id, side=command.order_side
        ):
            if engine.order_exists(order.client_order_id):
                engine.cancel_order(order)

    def _refused_funds(self, instrument: Instrument, order: Order) -> str | None:
        price = order.price.as_decimal() if order.has_price else self._world.last_price(instrument.id)
        qty = order.quantity.as_decimal()
        if isinstance(instrument, CurrencyPair) and self._world.account_type == AccountType.CASH:
            is_buy = order.side == OrderSide.BUY
            currency = instrument.quote_currency if is_buy else instrument.base_currency
            needed = qty * (price or 0) if is_buy else qty
        elif order.is_reduce_only or price is None or self._closes(order):
            return None
        else:
            currency = instrument.get_cost_currency()
            leverage = self._world.account.leverage(instrument.id) or self._world.exchange.default_leverage
            needed = qty * price / leverage
        free = self._world.account.balance_free(currency)
        held = Decimal(0) if free is None else free.as_decimal()
        if needed > held:
            return f"INSUFFICIENT_BALANCE: {needed:f} {currency.code} needed, {held:f} free"
        return None

    def _closes(self, order: Order) -> bool:
        """Tell whether an order makes an open position smaller at most."""
        open_here = self._world.cache.positions_open(
            instrument_id=order.instrument_id, strategy_id=order.strategy_id
        )
        return any(order.would_reduce_only(position.side, position.quantity) for position in open_here)
