"""A TradingNode in this process: hand-made or stored ticks in front, the paper venue behind."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from nautilus_trader.common.providers import InstrumentProvider
from nautilus_trader.config import (
    ImportableStrategyConfig,
    LiveDataClientConfig,
    LiveExecEngineConfig,
    LoggingConfig,
    StrategyConfig,
    TradingNodeConfig,
)
from nautilus_trader.live.data_client import LiveMarketDataClient
from nautilus_trader.live.factories import LiveDataClientFactory
from nautilus_trader.live.node import TradingNode
from nautilus_trader.model.data import TradeTick
from nautilus_trader.model.enums import OrderSide, TimeInForce
from nautilus_trader.model.identifiers import ClientId, ClientOrderId, InstrumentId, TraderId, Venue
from nautilus_trader.model.instruments import CurrencyPair, Instrument
from nautilus_trader.model.objects import Price
from nautilus_trader.trading.strategy import Strategy

from runtime.live.paper import PaperExecClientConfig, PaperExecutionClient, SandboxLiveExecClientFactory
from runtime.live.paper_settings import PaperSettings

TURNS = 8


class ReplayConfig(LiveDataClientConfig, frozen=True, kw_only=True):
    """Nothing to set: the ticks are pushed by the test."""


class ReplayDataClient(LiveMarketDataClient):
    """Gives the node what a test pushes; it notes the subscriptions and answers with nothing."""

    instruments: tuple[Instrument, ...] = ()

    def __init__(self, loop: Any, msgbus: Any, cache: Any, clock: Any, config: ReplayConfig) -> None:
        super().__init__(
            loop=loop,
            client_id=ClientId("BINANCE"),
            venue=Venue("BINANCE"),
            msgbus=msgbus,
            cache=cache,
            clock=clock,
            instrument_provider=InstrumentProvider(),
            config=config,
        )
        self.subscribed: list[str] = []

    async def _connect(self) -> None:
        for instrument in self.instruments:
            self._cache.add_instrument(instrument)

    async def _disconnect(self) -> None:
        pass

    async def _subscribe_trade_ticks(self, command: Any) -> None:
        self.subscribed.append(command.instrument_id.value)

    async def _subscribe_mark_prices(self, command: Any) -> None:
        pass

    def push(self, data: Any) -> None:
        """Hand the node one piece of data."""
        self._handle_data(data)


class ReplayFactory(LiveDataClientFactory):
    """Makes the data client."""

    @staticmethod
    def create(loop: Any, name: str, config: Any, msgbus: Any, cache: Any, clock: Any) -> ReplayDataClient:
        """Return the client."""
        del name
        return ReplayDataClient(loop, msgbus, cache, clock, config)


def replay_factory(instruments: Iterable[Instrument]) -> type[ReplayFactory]:
    """Return a factory whose clients know these instruments."""
    known = tuple(instruments)

    class Factory(ReplayFactory):
        @staticmethod
        def create(
            loop: Any, name: str, config: Any, msgbus: Any, cache: Any, clock: Any
        ) -> ReplayDataClient:
            client = ReplayFactory.create(loop, name, config, msgbus, cache, clock)
            client.instruments = known
            return client

    return Factory


class RhythmConfig(StrategyConfig, frozen=True, kw_only=True):
    """When `Rhythm` sends what."""

    instrument_id: InstrumentId
    every: int = 40
    patience: int = 25
    hold: int = 12
    distance_ticks: int = 2
    qty: Decimal = Decimal(100)


class Rhythm(Strategy):  # type: ignore[misc]
    """Buys with a resting limit below the last print, takes it back after a while, sells at market.

    Everything hangs on the number of prints, so that a node and an engine on the same prints do the same.
    """

    def __init__(self, config: RhythmConfig) -> None:
        super().__init__(config)
        self.count = 0
        self.sent = 0
        self.entry: Any = None
        self.events: list[Any] = []

    def on_start(self) -> None:
        self.instrument = self.cache.instrument(self.config.instrument_id)
        self.subscribe_trade_ticks(self.config.instrument_id)

    def on_trade_tick(self, tick: TradeTick) -> None:
        self.count += 1
        phase = self.count % self.config.every
        if phase == 0:
            self._buy(tick)
        elif phase == self.config.patience and self.entry is not None and self.entry.is_open:
            self.cancel_order(self.entry)
        elif phase == self.config.patience + self.config.hold:
            self._sell()

    def _buy(self, tick: TradeTick) -> None:
        away = self.config.distance_ticks * self.instrument.price_increment.as_decimal()
        price = self.instrument.make_price(tick.price.as_decimal() - away)
        self.entry = self._send(
            self.order_factory.limit(
                self.config.instrument_id,
                OrderSide.BUY,
                self.instrument.make_qty(self.config.qty),
                Price.from_str(str(price)),
                TimeInForce.GTC,
                post_only=True,
                client_order_id=self._next_id(),
            )
        )

    def _sell(self) -> None:
        held = self._held()
        qty = held - held % self.instrument.size_increment.as_decimal()
        if qty > 0:
            self._send(
                self.order_factory.market(
                    self.config.instrument_id,
                    OrderSide.SELL,
                    self.instrument.make_qty(qty),
                    client_order_id=self._next_id(),
                )
            )

    def _held(self) -> Decimal:
        if isinstance(self.instrument, CurrencyPair):  # the fee was taken out of the coins
            free = self.portfolio.account(self.instrument.venue).balance_free(self.instrument.base_currency)
            return Decimal(0) if free is None else Decimal(free.as_decimal())
        return sum((one.signed_decimal_qty() for one in self.cache.positions_open()), Decimal(0))

    def _next_id(self) -> ClientOrderId:
        self.sent += 1
        return ClientOrderId(f"R-{self.sent}")

    def _send(self, order: Any) -> Any:
        self.submit_order(order)
        return order

    def on_order_event(self, event: Any) -> None:
        self.events.append(event)


@dataclass
class Running:
    """A node while a test drives it."""

    node: TradingNode
    data: ReplayDataClient
    paper: PaperExecutionClient
    strategies: list[Any] = field(default_factory=list)

    async def push(self, ticks: Iterable[TradeTick], turns: int = TURNS) -> None:
        """Push ticks; after each one the node's queues run dry."""
        for tick in ticks:
            self.data.push(tick)
            for _turn in range(turns):
                await asyncio.sleep(0)

    async def until(self, is_true: Callable[[], bool], secs: float = 10.0) -> None:
        """Wait until something is true; fails after a while."""
        deadline = asyncio.get_running_loop().time() + secs
        while not is_true():
            assert asyncio.get_running_loop().time() < deadline, "it did not become true"
            await asyncio.sleep(0.005)


def run_node(
    instrument: Instrument,
    strategies: Sequence[Any],
    drive: Callable[[Running], Awaitable[Any]],
    *,
    paper: PaperSettings,
    folder: Path | None = None,
    recorder: Callable[[TradingNode], Any] | None = None,
) -> Any:
    """Run a node with the paper venue, let ``drive`` push ticks, stop it and return what ``drive`` gave."""
    spot = isinstance(instrument, CurrencyPair)

    async def life() -> Any:
        node = TradingNode(
            TradingNodeConfig(
                trader_id=TraderId("PAPER-001"),
                logging=LoggingConfig(log_level="ERROR", print_config=False),
                exec_engine=LiveExecEngineConfig(
                    reconciliation=True, reconciliation_startup_delay_secs=0.0, inflight_check_interval_ms=0
                ),
                data_clients={"BINANCE": ReplayConfig()},
                exec_clients={
                    "BINANCE": PaperExecClientConfig(
                        venue="BINANCE", spot=spot, folder=str(folder or ""), paper=paper
                    )
                },
                strategies=[one for one in strategies if isinstance(one, ImportableStrategyConfig)],
                timeout_connection=10.0,
                timeout_disconnection=2.0,
                timeout_post_stop=0.1,
            ),
            loop=asyncio.get_running_loop(),
        )
        node.add_data_client_factory("BINANCE", replay_factory([instrument]))
        node.add_exec_client_factory("BINANCE", SandboxLiveExecClientFactory)
        node.build()
        if recorder is not None:
            node.trader.add_actor(recorder(node))
        made = [one for one in strategies if not isinstance(one, ImportableStrategyConfig)]
        for one in made:
            node.trader.add_strategy(one)
        task = asyncio.ensure_future(node.run_async())
        (data,) = node.kernel.data_engine._clients.values()
        (paper_client,) = node.kernel.exec_engine._clients.values()
        running = Running(node, data, paper_client, node.trader.strategies())
        try:
            await running.until(lambda: node.trader.is_running)
            return await drive(running)
        finally:
            await node.stop_async()
            task.cancel()
            paper_client.release()

    try:
        return asyncio.run(life())
    finally:
        asyncio.set_event_loop(None)
