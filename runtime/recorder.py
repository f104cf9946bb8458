"""The witness of a run: an actor that writes down what strategies publish and what becomes of orders.

It listens to decisions, closed trades and order events only, never to ticks, so it costs nothing per tick.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final, Protocol

import msgspec
from nautilus_trader.common.actor import Actor
from nautilus_trader.common.config import ActorConfig
from nautilus_trader.model.enums import (
    liquidity_side_to_str,
    order_side_to_str,
    order_type_to_str,
    time_in_force_to_str,
)
from nautilus_trader.model.instruments import CurrencyPair

from strategies.market_price import last_known_price
from strategies.trade_manager.funding import FundingPayment, funding_topic

DECISIONS_TOPIC: Final = "decisions.*"
TRADES_TOPIC: Final = "trades.*"
ORDERS_TOPIC: Final = "events.order.*"
FUNDING_TOPIC: Final = funding_topic("*")
MARK_TIMER: Final = "equity-mark"
MARK_INTERVAL_NS: Final = 300 * 1_000_000_000  # five minutes: 105,000 marks in a year

# What a record says beyond type, order, instrument and time. Ids that are random or given by the venue
# stay out: the log of two equal runs must be equal.
ORDER_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "OrderInitialized": ("side", "order_type", "quantity", "time_in_force", "post_only", "reduce_only"),
    "OrderDenied": ("reason",),
    "OrderSubmitted": (),
    "OrderRejected": ("reason", "due_post_only"),
    "OrderAccepted": (),
    "OrderPendingUpdate": (),
    "OrderPendingCancel": (),
    "OrderModifyRejected": ("reason",),
    "OrderCancelRejected": ("reason",),
    "OrderCanceled": (),
    "OrderExpired": (),
    "OrderTriggered": (),
    "OrderUpdated": ("quantity", "price", "trigger_price"),
    "OrderFilled": ("order_side", "last_qty", "last_px", "commission", "liquidity_side"),
}
WORDS: Final[Mapping[str, Callable[[Any], str]]] = {
    "side": order_side_to_str,
    "order_side": order_side_to_str,
    "order_type": order_type_to_str,
    "time_in_force": time_in_force_to_str,
    "liquidity_side": liquidity_side_to_str,
}
INITIAL_OPTIONS: Final = ("price", "trigger_price", "expire_time_ns")


class RecordSink(Protocol):
    """Takes what a recorder hears: a run folder, or the memory of the causality proof."""

    def record(self, name: str, content: Mapping[str, Any]) -> None:
        """Take a record of kind `name`."""

    def decision(self, decision: Any) -> None:
        """Take a decision."""

    def trade(self, trade: Any) -> None:
        """Take a closed trade."""

    def equity(self, ts_ns: int, equity: Decimal) -> None:
        """Take a mark of the account."""


class RecorderConfig(ActorConfig, frozen=True):
    """When the recorder starts to mark the account.

    Parameters
    ----------
    mark_from_ns
        No equity marks before this time (warm-up), UNIX nanoseconds.
    """

    mark_from_ns: int = 0


class Recorder(Actor):
    """Writes decisions, orders, trades and five-minute equity marks into a run folder.

    Parameters
    ----------
    config
        See :class:`RecorderConfig`.
    folder
        Where to write.
    on_time
        Called with the simulated time of each mark, UNIX nanoseconds (for a progress bar).
    """

    def __init__(
        self, config: RecorderConfig, folder: RecordSink, on_time: Callable[[int], None] | None = None
    ) -> None:
        super().__init__(config)
        self._folder = folder
        self._on_time = on_time
        self._mark_from_ns = config.mark_from_ns
        self._listings: Listings | None = None
        self.marks: list[tuple[int, float]] = []
        self.trades: list[Any] = []
        self.funding = Decimal(0)

    def on_start(self) -> None:
        """Subscribe, and mark the account from the next full five minutes on."""
        self.msgbus.subscribe(topic=DECISIONS_TOPIC, handler=self._folder.decision)
        self.msgbus.subscribe(topic=TRADES_TOPIC, handler=self._on_trade)
        self.msgbus.subscribe(topic=ORDERS_TOPIC, handler=self._on_order_event)
        self.msgbus.subscribe(topic=FUNDING_TOPIC, handler=self._on_funding)
        first_ns = -(-self.clock.timestamp_ns() // MARK_INTERVAL_NS) * MARK_INTERVAL_NS
        self.clock.set_timer_ns(MARK_TIMER, MARK_INTERVAL_NS, first_ns, 0, self._on_timer)

    def mark(self, ts_ns: int) -> Decimal:
        """Write the equity at this time and return it."""
        self._listings = self._listings or Listings(self.cache)
        equity = account_equity(self.cache, self._listings)
        self.marks.append((ts_ns, float(equity)))
        self._folder.equity(ts_ns, equity)
        return equity

    def _on_trade(self, trade: Any) -> None:
        self.trades.append(trade)
        self._folder.trade(trade)

    def _on_funding(self, payment: FundingPayment) -> None:
        self.funding += payment.amount
        self._folder.record("funding", payment_record(payment))

    def _on_order_event(self, event: Any) -> None:
        self._folder.record("order", order_record(event))

    def _on_timer(self, event: Any) -> None:
        if self._on_time is not None:
            self._on_time(event.ts_event)
        if event.ts_event >= self._mark_from_ns:
            self.mark(event.ts_event)


def order_record(event: Any) -> dict[str, Any]:
    """Return an order event as plain values: what it is, which order, when, and its numbers as exact text.

    Random ids are left out, so that equal runs give equal records.
    """
    name = type(event).__name__
    record: dict[str, Any] = {
        "event": name,
        "ts_ns": event.ts_event,
        "instrument_id": event.instrument_id.value,
        "client_order_id": event.client_order_id.value,
    }
    for field in ORDER_FIELDS[name]:
        value = getattr(event, field)
        if field in WORDS:
            record[field] = WORDS[field](value)
        else:
            record[field] = value if value is None or isinstance(value, bool | str) else str(value)
    if name == "OrderInitialized":
        options = event.options
        record |= {key: options[key] for key in INITIAL_OPTIONS if options.get(key) is not None}
    return record


def payment_record(payment: FundingPayment) -> dict[str, Any]:
    """Return a funding payment as plain values, its numbers as exact text."""
    plain = msgspec.structs.asdict(payment)
    return {name: format(one, "f") if isinstance(one, Decimal) else one for name, one in plain.items()}


class Listings:
    """What is listed where, read once: asked of Nautilus at every mark, it costs 4 us per instrument.

    Parameters
    ----------
    cache
        Of the engine, with all instruments.
    """

    def __init__(self, cache: Any) -> None:
        self._quotes: dict[str, set[str]] = {}
        self._coins: dict[str, dict[str, Any]] = {}
        for one in cache.instruments():
            venue = one.id.venue.value
            self._quotes.setdefault(venue, set()).add(one.quote_currency.code)
            if isinstance(one, CurrencyPair):
                self._coins.setdefault(venue, {}).setdefault(one.base_currency.code, one.id)

    def quotes(self, venue: str) -> set[str]:
        """Return the codes of the currencies in which a venue's instruments are priced."""
        return self._quotes.get(venue, set())

    def coins(self, venue: str) -> Mapping[str, Any]:
        """Return a spot pair's id by the code of the coin that it prices; of several the first."""
        return self._coins.get(venue, {})


def account_equity(cache: Any, listings: Listings | None = None) -> Decimal:
    """Return what all accounts are worth in quote currency at the last prices, exactly.

    Spot: quote balance plus holdings at the last trade. Margin: balance plus unrealised profit.
    """
    listings = listings or Listings(cache)
    equity = Decimal(0)
    for account in cache.accounts():
        venue = account.id.get_issuer()
        held = {one.code: Decimal(money.as_decimal()) for one, money in account.balances_total().items()}
        for code in listings.quotes(venue):
            equity += held.pop(code, Decimal(0))
        held = {code: coins for code, coins in held.items() if coins}
        if held:
            for code, instrument_id in listings.coins(venue).items():
                if code in held:
                    equity += held.pop(code) * last_price(cache, instrument_id)
    for position in cache.positions_open():
        if not isinstance(cache.instrument(position.instrument_id), CurrencyPair):
            equity += unrealized_pnl(cache, position)
    return equity


def last_price(cache: Any, instrument_id: Any) -> Decimal:
    """Return the price of the last trade, without trades the last close; zero before the first one."""
    price = last_known_price(cache, instrument_id)
    return Decimal(0) if price is None else Decimal(price.as_decimal())


def unrealized_pnl(cache: Any, position: Any) -> Decimal:
    """Return an open position's profit at the last trade, quote currency."""
    price = last_known_price(cache, position.instrument_id)
    return Decimal(0) if price is None else Decimal(position.unrealized_pnl(price).as_decimal())
