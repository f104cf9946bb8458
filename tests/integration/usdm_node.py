"""A TradingNode with Nautilus' own Binance futures adapters on the local exchange, and a probe strategy."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any, Self

from aiohttp import web
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
from nautilus_trader.model.identifiers import ClientOrderId, InstrumentId
from nautilus_trader.model.orders import Order
from nautilus_trader.trading.strategy import Strategy

from runtime.live.binance_usdm import UsdmExecClientFactory
from tests.integration.usdm_client import SYMBOL, make_venue
from tests.venue_simulator.app import make_app
from tests.venue_simulator.core import Account, Side
from tests.venue_simulator.venue import Venue

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

    def net_position(self) -> Decimal:
        """Return what the node believes to hold, signed."""
        return sum(
            (position.signed_decimal_qty() for position in self.cache.positions_open()), start=Decimal(0)
        )

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


class RunningVenue:
    """A venue that listens in a thread with a loop of its own: the node must have its loop for itself."""

    def __init__(self) -> None:
        self.venue = make_venue()
        self.venue.latency_secs = 0.005
        self.place = ""
        self.loop = asyncio.new_event_loop()
        self._is_ready = threading.Event()
        self._stopped = asyncio.Event()
        self._thread = threading.Thread(target=self.loop.run_until_complete, args=(self._serve(),))

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._is_ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(10)
        self.loop.close()

    def do[T](self, action: Callable[[Venue], T]) -> T:
        """Do something with the venue in its own thread."""

        async def act() -> T:
            return action(self.venue)

        return asyncio.run_coroutine_threadsafe(act(), self.loop).result(10)

    def trade(self, price: str, qty: str = "1", side: Side = "SELL") -> None:
        """Print a public trade; `side` is the aggressor's."""
        self.do(lambda venue: venue.exchange.print_trade(SYMBOL, side, Decimal(qty), Decimal(price)))

    @property
    def account(self) -> Account:
        """The account that the node trades."""
        return self.venue.exchange.accounts["main"]

    def position(self) -> Decimal:
        """Return the venue's own figure of the position, signed."""
        return self.do(lambda venue: self.account.position(venue.exchange.markets[SYMBOL]).qty)

    async def _serve(self) -> None:
        runner = web.AppRunner(make_app([self.venue]), shutdown_timeout=0.2)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.place = f"127.0.0.1:{runner.addresses[0][1]}/{self.venue.name}"
        self._is_ready.set()
        await self._stopped.wait()
        self.venue.drop_connections()
        await runner.cleanup()


def node_config(
    place: str, account: Account, engine: LiveExecEngineConfig | None = None, **execution: Any
) -> TradingNodeConfig:
    """Configure a node whose only venue is the local one at `place`."""
    provider = BinanceInstrumentProviderConfig(load_ids=frozenset({INSTRUMENT_ID}))
    common = {
        "api_key": account.api_key,
        "api_secret": account.api_secret,
        "account_type": BinanceAccountType.USDT_FUTURES,
        "base_url_http": f"http://{place}",
        "instrument_provider": provider,
    }
    return TradingNodeConfig(
        trader_id="TESTER-001",
        logging=LoggingConfig(log_level="ERROR", print_config=False),
        exec_engine=engine or LiveExecEngineConfig(reconciliation_startup_delay_secs=0.1),
        data_clients={BINANCE: BinanceDataClientConfig(**common, base_url_ws=f"ws://{place}")},
        exec_clients={
            BINANCE: BinanceExecClientConfig(
                **common,
                # A base with a path of its own must end in /ws: the adapter then adds only the listen key.
                base_url_ws_stream=f"ws://{place}/ws",
                futures_leverages={BinanceSymbol(SYMBOL): 7},
                **execution,
            )
        },
        timeout_connection=15.0,
        timeout_reconciliation=10.0,
        timeout_portfolio=5.0,
        timeout_disconnection=5.0,
        timeout_post_stop=0.2,
    )


def run_node(
    config: TradingNodeConfig,
    scenario: Callable[[Probe], Awaitable[None]],
    execution: type[BinanceLiveExecClientFactory] = UsdmExecClientFactory,
) -> None:
    """Run a node with a probe that claims the instrument's orders, play a scenario in its loop, stop it."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    node = TradingNode(config=config, loop=loop)
    node.add_data_client_factory(BINANCE, BinanceLiveDataClientFactory)
    node.add_exec_client_factory(BINANCE, execution)
    probe = Probe(StrategyConfig(order_id_tag=ID_TAG, external_order_claims=[INSTRUMENT_ID]))
    node.trader.add_strategy(probe)
    node.build()

    async def play() -> None:
        running = asyncio.create_task(node.run_async())
        try:
            await until(lambda: probe.is_running, lambda: "no running strategy", within_secs=40.0)
            await asyncio.sleep(0.05)  # what on_start subscribed is under way
            await scenario(probe)
        finally:
            await node.stop_async()
            left = asyncio.all_tasks() - {asyncio.current_task()}
            for task in left:  # the node leaves its queues' tasks to the garbage collector, which complains
                task.cancel()
            await asyncio.wait(left | {running}, timeout=1.0)

    try:
        loop.run_until_complete(play())
    finally:
        node.dispose()
        asyncio.set_event_loop(None)
