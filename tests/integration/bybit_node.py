"""A real TradingNode with Nautilus' own Bybit adapters, driven step by step against the local exchange."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, Literal

from nautilus_trader.accounting.factory import AccountFactory
from nautilus_trader.adapters.bybit import factories
from nautilus_trader.adapters.bybit.config import BybitDataClientConfig, BybitExecClientConfig
from nautilus_trader.adapters.bybit.factories import BybitLiveExecClientFactory
from nautilus_trader.config import (
    InstrumentProviderConfig,
    LiveDataEngineConfig,
    LiveExecEngineConfig,
    LoggingConfig,
    StrategyConfig,
    TradingNodeConfig,
)
from nautilus_trader.core.nautilus_pyo3 import BybitEnvironment, BybitProductType
from nautilus_trader.live.node import TradingNode
from nautilus_trader.model.data import Bar, BarType, TradeTick
from nautilus_trader.model.enums import OrderSide, OrderStatus
from nautilus_trader.model.events import OrderEvent
from nautilus_trader.model.identifiers import InstrumentId, TraderId
from nautilus_trader.model.orders import Order
from nautilus_trader.trading.strategy import Strategy

from runtime.live.bybit import bybit_data_factory
from runtime.live.bybit_execution import RepairedBybitFactory
from tests.bybit_client import KEY, SECRET
from tests.venue_thread import VenueThread

type Product = Literal["spot", "linear"]

PRODUCTS = {"spot": BybitProductType.SPOT, "linear": BybitProductType.LINEAR}


class HandConfig(StrategyConfig, frozen=True, kw_only=True):
    """What the strategy trades."""

    instrument_id: InstrumentId
    with_bars: bool = False


class Hand(Strategy):
    """A strategy that does nothing by itself: the test moves it and reads what it heard."""

    def __init__(self, config: HandConfig) -> None:
        super().__init__(config)
        self.ticks: list[TradeTick] = []
        self.bars: list[Bar] = []
        self.events: list[OrderEvent] = []

    def on_start(self) -> None:
        self.subscribe_trade_ticks(self.config.instrument_id)
        if self.config.with_bars:
            self.subscribe_bars(BarType.from_str(f"{self.config.instrument_id}-1-MINUTE-LAST-EXTERNAL"))

    def on_trade_tick(self, tick: TradeTick) -> None:
        self.ticks.append(tick)

    def on_bar(self, bar: Bar) -> None:
        self.bars.append(bar)

    def on_order_event(self, event: OrderEvent) -> None:
        self.events.append(event)

    @property
    def instrument(self) -> Any:
        """The instrument as the adapter loaded it."""
        return self.cache.instrument(self.config.instrument_id)

    def limit(self, price: str, qty: str = "0.010", side: OrderSide = OrderSide.BUY, **changes: Any) -> Order:
        """Make a limit order."""
        made = self.instrument
        return self.order_factory.limit(
            self.config.instrument_id,
            side,
            made.make_qty(Decimal(qty)),
            made.make_price(Decimal(price)),
            **changes,
        )

    def stop_sale(self, trigger: str, qty: str = "0.010", *, reduce_only: bool = True) -> Order:
        """Make a stop-market sale."""
        made = self.instrument
        return self.order_factory.stop_market(
            self.config.instrument_id,
            OrderSide.SELL,
            made.make_qty(Decimal(qty)),
            made.make_price(Decimal(trigger)),
            reduce_only=reduce_only,
        )

    def stop_limit_sale(self, trigger: str, limit: str, qty: str = "0.010") -> Order:
        """Make a stop-limit sale."""
        made = self.instrument
        return self.order_factory.stop_limit(
            self.config.instrument_id,
            OrderSide.SELL,
            made.make_qty(Decimal(qty)),
            made.make_price(Decimal(limit)),
            made.make_price(Decimal(trigger)),
        )

    def market(self, qty: str, side: OrderSide) -> Order:
        """Make a market order."""
        return self.order_factory.market(
            self.config.instrument_id, side, self.instrument.make_qty(Decimal(qty))
        )

    def names(self, order: Order) -> list[str]:
        """Return the names of the events that an order had."""
        return [type(event).__name__ for event in order.events]

    def position(self) -> Decimal:
        """Return the net position that the node believes in."""
        found = self.cache.positions_open(instrument_id=self.config.instrument_id)
        return sum((position.signed_decimal_qty() for position in found), Decimal(0))


class NodeRun:
    """One node from connect to stop."""

    def __init__(self, node: TradingNode, hand: Hand, venue: VenueThread, product: Product) -> None:
        self.node, self.hand, self.venue, self.product = node, hand, venue, product
        self.key = f"BTCUSDT-{product.upper()}"

    async def until(self, condition: Callable[[], object], what: str, secs: float = 8.0) -> None:
        """Wait until something is true; fails with its name."""
        end = self.node.kernel.clock.timestamp() + secs
        while not condition():
            if self.node.kernel.clock.timestamp() > end:
                raise AssertionError(f"not reached: {what}")
            await asyncio.sleep(0.01)

    async def submit(self, order: Order, status: OrderStatus, **params: Any) -> Order:
        """Submit an order and wait for a status."""
        self.hand.submit_order(order, params=params or None)
        await self.until(
            lambda: order.status == status, f"{order.client_order_id} {status}, is {order.status}"
        )
        return order

    def trade(self, side: Literal["BUY", "SELL"], qty: str, price: str) -> None:
        """Make a public trade at the exchange."""
        self.venue.trade(self.key, side, qty, price)

    def exchange_orders(self) -> list[Any]:
        """Return the exchange's open orders of the product."""
        exchange = self.venue.venue.exchange
        return self.venue.call(lambda: exchange.open_orders(symbol=self.key))

    def exchange_position(self) -> Decimal:
        """Return the exchange's position."""
        exchange = self.venue.venue.exchange
        return self.venue.call(lambda: exchange.accounts["main"].position(exchange.markets[self.key]).qty)


def run_node(
    venue: VenueThread,
    product: Product,
    script: Callable[[NodeRun], Awaitable[None]],
    *,
    environment: BybitEnvironment = BybitEnvironment.MAINNET,
    claims: bool = False,
    log_level: str = "ERROR",
    with_bars: bool = False,
    checks: Mapping[str, Any] | None = None,
    plain: bool = False,
    strategy: Callable[[HandConfig], Any] | None = None,
    prepare: Callable[[TradingNode], None] = lambda _node: None,
) -> None:
    """Start a node, run a script in its loop, stop the node.

    `checks` are fields of LiveExecEngineConfig; `plain` takes the adapter's execution client unrepaired;
    `strategy` makes another strategy than `Hand`, whose helpers the script then does without; `prepare` adds
    to the node before it runs.
    """
    with node_loop() as loop:
        node, hand = make_node(
            venue,
            product,
            loop,
            environment,
            log_level,
            claims=claims,
            with_bars=with_bars,
            checks=checks,
            plain=plain,
            strategy=strategy or Hand,
        )
        prepare(node)
        run = NodeRun(node, hand, venue, product)

        async def work() -> None:
            task = asyncio.create_task(node.run_async())
            try:
                await run.until(lambda: hand.is_running and node.is_running(), "the node runs", 20)
                await script(run)
            finally:
                await node.stop_async()
                await asyncio.wait_for(task, 15)

        try:
            loop.run_until_complete(work())
        finally:
            loop.run_until_complete(end_tasks())
            node.dispose()
            factories.get_cached_bybit_http_client.cache_clear()  # the stop has cancelled what it sends
            if product == "spot":  # the adapter registers it once for each client, and refuses the second
                AccountFactory.deregister_cash_borrowing("BYBIT")


async def end_tasks() -> None:
    """Cancel what the node leaves behind (its executor's worker), before the loop closes under it."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


@contextmanager
def node_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Give an event loop of its own: a second node needs a new one."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        yield loop
    finally:
        if not loop.is_closed():
            loop.close()
        asyncio.set_event_loop(None)


def make_node(
    venue: VenueThread,
    product: Product,
    loop: asyncio.AbstractEventLoop,
    environment: BybitEnvironment,
    log_level: str,
    *,
    claims: bool,
    with_bars: bool,
    checks: Mapping[str, Any] | None,
    plain: bool,
    strategy: Callable[[HandConfig], Any],
) -> tuple[TradingNode, Hand]:
    """Build a node that meets the local exchange, and the strategy in it."""
    instrument_id = InstrumentId.from_str(f"BTCUSDT-{product.upper()}.BYBIT")
    shared: dict[str, Any] = {
        "api_key": KEY,
        "api_secret": SECRET,
        "product_types": (PRODUCTS[product],),
        "environment": environment,
        "base_url_http": venue.http,
        "instrument_provider": InstrumentProviderConfig(load_ids=frozenset({instrument_id})),
    }
    config = TradingNodeConfig(
        trader_id=TraderId("T-001"),
        logging=LoggingConfig(log_level=log_level),
        data_engine=LiveDataEngineConfig(),
        exec_engine=LiveExecEngineConfig(
            reconciliation=True, generate_missing_orders=product == "linear", **(checks or {})
        ),
        data_clients={"BYBIT": BybitDataClientConfig(**shared)},
        exec_clients={
            "BYBIT": BybitExecClientConfig(
                **shared,
                base_url_ws_private=f"{venue.ws}/v5/private",
                base_url_ws_trade=f"{venue.ws}/v5/trade",
            )
        },
        timeout_connection=20,
        timeout_reconciliation=10,
        timeout_portfolio=5,
        timeout_disconnection=5,
        timeout_post_stop=1,
    )
    node = TradingNode(config, loop=loop)
    hand = strategy(
        HandConfig(
            instrument_id=instrument_id,
            external_order_claims=[instrument_id] if claims else None,
            with_bars=with_bars,
        )
    )
    node.trader.add_strategy(hand)
    node.add_data_client_factory("BYBIT", bybit_data_factory(f"{venue.ws}/v5/public/{product}"))
    node.add_exec_client_factory("BYBIT", BybitLiveExecClientFactory if plain else RepairedBybitFactory)
    node.build()
    return node, hand
