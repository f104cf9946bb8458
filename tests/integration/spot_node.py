"""A TradingNode with Nautilus' own Binance spot adapters on the local exchange, and a probe strategy."""

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
from nautilus_trader.config import LiveExecEngineConfig, LoggingConfig, StrategyConfig, TradingNodeConfig
from nautilus_trader.core.message import Event
from nautilus_trader.live.node import TradingNode
from nautilus_trader.model.data import TradeTick
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.model.orders import Order
from nautilus_trader.trading.strategy import Strategy

from tests.venue_simulator.process import API_KEY, API_SECRET, VenueProcess

INSTRUMENT_ID = InstrumentId.from_str("BTCUSDT.BINANCE")
WAIT_SECS = 15.0

type Scenario = Callable[["Probe"], Awaitable[None]]


class Probe(Strategy):
    """Sends what a test tells it and keeps every tick and event that comes back."""

    def __init__(self, config: StrategyConfig) -> None:
        super().__init__(config)
        self.ticks: list[TradeTick] = []
        self.events: list[Event] = []

    def on_start(self) -> None:
        self.subscribe_trade_ticks(INSTRUMENT_ID)

    def on_trade_tick(self, tick: TradeTick) -> None:
        self.ticks.append(tick)

    def on_event(self, event: Event) -> None:
        self.events.append(event)

    def of(self, order: Order) -> list[Any]:
        """Return the events of one order."""
        return [
            event for event in self.events if getattr(event, "client_order_id", None) == order.client_order_id
        ]

    def names(self, order: Order) -> list[str]:
        """Name the events of one order."""
        return [type(event).__name__ for event in self.of(order)]

    def send(self, kind: str, side: Any, qty: str, *prices: str, **options: Any) -> Order:
        """Send an order: `kind` is a method of the order factory, `prices` in its own order."""
        instrument = self.cache.instrument(INSTRUMENT_ID)
        make = getattr(self.order_factory, kind)
        order = make(
            INSTRUMENT_ID, side, instrument.make_qty(qty), *map(instrument.make_price, prices), **options
        )
        self.submit_order(order)
        return order

    async def ends_with(self, order: Order, *names: str) -> None:
        """Wait until the last events of an order are these."""
        await until(lambda: self.names(order)[-len(names) :] == list(names), lambda: self.names(order))


async def until(is_true: Callable[[], object], found: Callable[[], object] = lambda: "nothing") -> None:
    """Wait for a condition; `found` says in the failure what was there instead."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + WAIT_SECS
    while not is_true():
        if loop.time() > deadline:
            raise AssertionError(f"never came true; there is {found()}")
        await asyncio.sleep(0.01)


def node_config(venue: VenueProcess) -> TradingNodeConfig:
    """Configure a node whose only venue is the local Binance spot; nothing but its addresses is replaced."""
    common: dict[str, Any] = {
        "api_key": API_KEY,
        "api_secret": API_SECRET,
        "account_type": BinanceAccountType.SPOT,
        "base_url_http": venue.http("binance_spot"),
        "instrument_provider": BinanceInstrumentProviderConfig(load_ids=frozenset({INSTRUMENT_ID})),
    }
    data = BinanceDataClientConfig(**common, base_url_ws=venue.ws("binance_spot"))
    execution = BinanceExecClientConfig(**common, base_url_ws=venue.ws("binance_spot", "/ws-api/v3"))
    return TradingNodeConfig(
        trader_id="TESTER-001",
        logging=LoggingConfig(log_level="ERROR", print_config=False),
        exec_engine=LiveExecEngineConfig(
            reconciliation_startup_delay_secs=0.1, generate_missing_orders=False
        ),
        data_clients={BINANCE: data},
        exec_clients={BINANCE: execution},
        timeout_connection=15.0,
        timeout_reconciliation=10.0,
        timeout_portfolio=5.0,
        timeout_disconnection=5.0,
        timeout_post_stop=0.2,
    )


def run_node(
    config: TradingNodeConfig, scenario: Scenario, exec_factory: type[Any] = BinanceLiveExecClientFactory
) -> None:
    """Run a node with a probe, play a scenario in its loop, and stop it."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    node = TradingNode(config=config, loop=loop)
    node.add_data_client_factory(BINANCE, BinanceLiveDataClientFactory)
    node.add_exec_client_factory(BINANCE, exec_factory)
    probe = Probe(StrategyConfig(order_id_tag="001"))
    node.trader.add_strategy(probe)
    node.build()

    async def play() -> None:
        running = asyncio.create_task(node.run_async())
        try:
            await until(lambda: probe.is_running)
            await scenario(probe)
        finally:
            await node.stop_async()
            running.cancel()
            await asyncio.wait({running}, timeout=1.0)

    try:
        loop.run_until_complete(play())
    finally:
        node.dispose()
        asyncio.set_event_loop(None)
