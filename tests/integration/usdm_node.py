"""A TradingNode with Nautilus' own Binance futures adapters on the local exchange, and a probe strategy."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from nautilus_trader.adapters.binance import (
    BINANCE,
    BinanceAccountType,
    BinanceDataClientConfig,
    BinanceExecClientConfig,
    BinanceInstrumentProviderConfig,
    BinanceLiveDataClientFactory,
    BinanceLiveExecClientFactory,
)
from nautilus_trader.adapters.binance.common.symbol import BinanceSymbol
from nautilus_trader.config import LiveExecEngineConfig, LoggingConfig, StrategyConfig, TradingNodeConfig
from nautilus_trader.core.message import Event
from nautilus_trader.live.node import TradingNode
from nautilus_trader.model.data import TradeTick
from nautilus_trader.model.enums import OrderSide, TimeInForce
from nautilus_trader.model.identifiers import ClientOrderId, InstrumentId, StrategyId
from nautilus_trader.model.orders import Order
from nautilus_trader.trading.strategy import Strategy

INSTRUMENT_ID = InstrumentId.from_str("BTCUSDT-PERP.BINANCE")
ID_TAG = "001"
WAIT_SECS = 20.0


class Probe(Strategy):
    """Sends what a test tells it and keeps every event and tick that comes back."""

    def __init__(self, config: StrategyConfig) -> None:
        super().__init__(config)
        self.events: list[Event] = []
        self.ticks: list[TradeTick] = []

    def on_start(self) -> None:
        self.subscribe_trade_ticks(INSTRUMENT_ID)

    def on_trade_tick(self, tick: TradeTick) -> None:
        self.ticks.append(tick)

    def on_event(self, event: Event) -> None:
        self.events.append(event)

    def names(self, order: Order) -> list[str]:
        """Name the events of one order in their order."""
        return [type(event).__name__ for event in self.order_events(order)]

    def order_events(self, order: Order) -> list[Any]:
        """Return the events of one order."""
        return [
            event for event in self.events if getattr(event, "client_order_id", None) == order.client_order_id
        ]

    def limit(self, side: OrderSide, qty: str, price: str, client_id: str = "", **options: Any) -> Order:
        """Send a LIMIT order."""
        instrument = self.cache.instrument(INSTRUMENT_ID)
        order = self.order_factory.limit(
            INSTRUMENT_ID,
            side,
            instrument.make_qty(qty),
            instrument.make_price(price),
            time_in_force=TimeInForce.GTC,
            client_order_id=ClientOrderId(client_id) if client_id else None,
            **options,
        )
        self.submit_order(order)
        return order

    def market(self, side: OrderSide, qty: str, **options: Any) -> Order:
        """Send a MARKET order."""
        instrument = self.cache.instrument(INSTRUMENT_ID)
        order = self.order_factory.market(INSTRUMENT_ID, side, instrument.make_qty(qty), **options)
        self.submit_order(order)
        return order

    def stop_market(
        self, side: OrderSide, qty: str, trigger: str, params: dict[str, Any] | None = None, **options: Any
    ) -> Order:
        """Send a STOP_MARKET order, an algo order at this venue."""
        instrument = self.cache.instrument(INSTRUMENT_ID)
        order = self.order_factory.stop_market(
            INSTRUMENT_ID, side, instrument.make_qty(qty), instrument.make_price(trigger), **options
        )
        self.submit_order(order, params=params)
        return order

    async def until(self, order: Order, *names: str) -> list[str]:
        """Wait until the last events of an order are these; return all of them."""
        return await until(
            lambda: tuple(self.names(order)[-len(names) :]) == names, lambda: self.names(order)
        )


async def until[T](
    is_true: Callable[[], object], state: Callable[[], T], within_secs: float = WAIT_SECS
) -> T:
    """Wait for a condition; the state says in the failure what was there instead."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within_secs
    while not is_true():
        if loop.time() > deadline:
            raise AssertionError(f"never came true; there is {state()}")
        await asyncio.sleep(0.01)
    return state()


def node_config(
    http: str, ws: str, key: str, secret: str, engine: LiveExecEngineConfig | None = None, **execution: Any
) -> TradingNodeConfig:
    """Configure a node whose only venue is the local Binance USD-M at these base URLs."""
    provider = BinanceInstrumentProviderConfig(load_ids=frozenset({INSTRUMENT_ID}))
    common = {
        "api_key": key,
        "api_secret": secret,
        "account_type": BinanceAccountType.USDT_FUTURES,
        "base_url_http": http,
        "instrument_provider": provider,
    }
    return TradingNodeConfig(
        trader_id="TESTER-001",
        logging=LoggingConfig(bypass_logging=True),
        exec_engine=engine
        or LiveExecEngineConfig(reconciliation=True, reconciliation_startup_delay_secs=0.1),
        data_clients={BINANCE: BinanceDataClientConfig(**common, base_url_ws=ws)},
        exec_clients={
            BINANCE: BinanceExecClientConfig(
                **common,
                # A base with a path of its own must end in /ws: the adapter then adds only the listen key.
                base_url_ws_stream=f"{ws}/ws",
                futures_leverages={BinanceSymbol("BTCUSDT"): 7},
                **execution,
            )
        },
        timeout_connection=15.0,
        timeout_reconciliation=10.0,
        timeout_portfolio=5.0,
        timeout_disconnection=5.0,
        timeout_post_stop=0.5,
    )


def run_node(config: TradingNodeConfig, scenario: Callable[[Probe, TradingNode], Awaitable[None]]) -> None:
    """Start a node, play a scenario inside its loop, stop it."""

    async def play() -> None:
        node = TradingNode(config=config, loop=asyncio.get_running_loop())
        node.add_data_client_factory(BINANCE, BinanceLiveDataClientFactory)
        node.add_exec_client_factory(BINANCE, BinanceLiveExecClientFactory)
        probe = Probe(
            StrategyConfig(
                strategy_id=StrategyId("PROBE"), order_id_tag=ID_TAG, external_order_claims=[INSTRUMENT_ID]
            )
        )
        node.trader.add_strategy(probe)
        node.build()
        running = asyncio.create_task(node.run_async())
        try:
            await until(lambda: probe.is_running, lambda: "no running strategy", within_secs=40.0)
            await scenario(probe, node)
        finally:
            await node.stop_async()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            node.dispose()

    asyncio.run(play())
