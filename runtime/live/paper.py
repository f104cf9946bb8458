"""The execution client of a paper node: real market data in front, a simulated venue behind.

Nautilus' own sandbox has no latency, queue, liquidity, base currency fees, funding, venue filters or memory.
This client gives what it is sent to a `PaperVenue`, lets its latency pass on the clock, and reports what the
venue kept when the node starts again.
"""

import asyncio
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from nautilus_trader.accounting.error import AccountError
from nautilus_trader.cache.cache import Cache
from nautilus_trader.common.component import LiveClock, MessageBus
from nautilus_trader.common.providers import InstrumentProvider
from nautilus_trader.config import LiveExecClientConfig
from nautilus_trader.core.uuid import UUID4
from nautilus_trader.data.messages import SubscribeFundingRates, SubscribeMarkPrices, SubscribeTradeTicks
from nautilus_trader.execution.messages import QueryOrder, SubmitOrder, TradingCommand
from nautilus_trader.execution.reports import FillReport, OrderStatusReport, PositionStatusReport
from nautilus_trader.live.execution_client import LiveExecutionClient
from nautilus_trader.live.factories import LiveExecClientFactory
from nautilus_trader.model.data import FundingRateUpdate, MarkPriceUpdate, TradeTick
from nautilus_trader.model.events import AccountState, OrderEvent
from nautilus_trader.model.identifiers import ClientId, ClientOrderId, InstrumentId, Venue
from nautilus_trader.model.instruments import Instrument
from nautilus_trader.portfolio import PortfolioFacade

from runtime.cli import NANOS_PER_SECOND
from runtime.errors import DataError
from runtime.funding_schedule import is_linear_perpetual, rates_of
from runtime.live.paper_records import Report
from runtime.live.paper_reports import fill_reports, order_report, order_reports, position_reports
from runtime.live.paper_settings import PaperSettings
from runtime.live.paper_state import PaperStore
from runtime.live.paper_venue import PaperVenue
from runtime.live.paper_world import new_account
from runtime.node_config import simulated_venue
from runtime.nodes import with_fees
from runtime.settings import BacktestSettings, FeeSettings, FillSettings, FundingSettings
from strategies.trade_manager.funding import FundingPayment, funding_topic
from strategies.trade_manager.orders import Leg
from strategies.venue_reports import WITHDRAWN

PASS_TIME_SECS: Final = 1.0
INSTRUMENT_WAIT_SECS: Final = 60.0
CONSTANT_SPAN_NS: Final = 400 * 86_400 * NANOS_PER_SECOND
SESSION: Final = "session.id"
SESSION_START: Final = "session.started_ns"
SESSION_END: Final = "session.ended_ns"


class PaperExecClientConfig(LiveExecClientConfig, frozen=True, kw_only=True):
    """One simulated venue of a paper node.

    Parameters
    ----------
    venue
        Name of the venue in instrument ids.
    spot
        It holds what is bought (cash account) rather than margins it.
    folder
        Folder of the node's state; empty keeps nothing.
    session_id
        Of the journal.
    paper
        The section of the settings.
    maker_fee, taker_fee
        Rates that replace the instruments' own; None keeps them.
    """

    venue: str
    spot: bool
    folder: str = ""
    session_id: str = ""
    paper: PaperSettings = PaperSettings()
    maker_fee: Decimal | None = None
    taker_fee: Decimal | None = None


def backtest_settings(paper: PaperSettings) -> BacktestSettings:
    """Return the settings of a backtest that fills like a paper node."""
    return BacktestSettings(
        balance=paper.balance,
        leverage=paper.leverage,
        fills=FillSettings(
            latency_ms=paper.latency_ms,
            liquidity_consumption=paper.liquidity_consumption,
            queue_position=paper.queue_position,
            slippage_ticks=paper.slippage_ticks,
            slippage_bps=paper.slippage_bps,
        ),
    )


class SharedStores:
    """The open state files of this process: the venues of a node share one."""

    def __init__(self) -> None:
        self._open: dict[Path, tuple[PaperStore, int]] = {}

    def take(self, folder: Path | None) -> PaperStore:
        """Return the store of a folder; None: one in memory, shared with nobody."""
        if folder is None:
            return PaperStore(None)
        store, users = self._open.get(folder, (None, 0))
        if store is None:
            store = PaperStore(folder)
        self._open[folder] = (store, users + 1)
        return store

    def give_back(self, store: PaperStore) -> None:
        """Close a store when its last user is gone."""
        for folder, (one, users) in list(self._open.items()):
            if one is store:
                if users > 1:
                    self._open[folder] = (store, users - 1)
                    return
                del self._open[folder]
        store.close()


STORES: Final = SharedStores()


class PaperExecutionClient(LiveExecutionClient):
    """See the module's text.

    Parameters
    ----------
    loop
        The node's event loop.
    msgbus, cache, clock
        The node's own.
    config
        See `PaperExecClientConfig`.

    Raises
    ------
    ConfigurationError
        Another node runs on the folder.
    DataError
        The kept state cannot be read.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        msgbus: MessageBus,
        cache: Cache,
        clock: LiveClock,
        config: PaperExecClientConfig,
    ) -> None:
        settings = config.paper
        self._settings = settings
        self._fees = FeeSettings(maker=config.maker_fee, taker=config.taker_fee)
        self._on_data_time = settings.time == "data"
        folder = Path(config.folder).absolute() if config.folder and settings.persist else None
        self._store = STORES.take(folder)
        self._store.note(SESSION, config.session_id)
        self._store.note(SESSION_START, str(clock.timestamp_ns()))
        self.paper_venue = PaperVenue(
            simulated_venue(
                config.venue, settings.currency, backtest_settings(settings), holds_spot=config.spot
            ),
            msgbus.trader_id,
            self._store,
            self._tell,
            self._find_instrument,
            0 if self._on_data_time else clock.timestamp_ns(),
            band_pct=settings.price_band_pct,
            market_wait_ns=0 if self._on_data_time else round(settings.market_wait_secs * NANOS_PER_SECOND),
        )
        super().__init__(
            loop=loop,
            client_id=ClientId(config.venue),
            venue=Venue(config.venue),
            oms_type=self.paper_venue.oms_type,
            account_type=self.paper_venue.account_type,
            base_currency=None,
            instrument_provider=InstrumentProvider(),
            msgbus=msgbus,
            cache=cache,
            clock=clock,
            config=config,
        )
        self.is_wanted: Callable[[ClientOrderId], bool] = lambda _client_order_id: True
        """Asked of an entry right before it leaves, as in a live node (`runtime.live.intents`)."""
        self._set_account_id(self.paper_venue.account_id)
        self._watched: set[InstrumentId] = set()
        self._funded: set[InstrumentId] = set()
        self._pulse: asyncio.TimerHandle | None = None
        self._is_in_trouble = False

    # -- connection ----------------------------------------------------------------------------------------

    async def _connect(self) -> None:
        """Take what the venue kept, then listen to the market."""
        wanted = self.paper_venue.remembered()
        deadline = self._loop.time() + INSTRUMENT_WAIT_SECS
        while missing := [one for one in sorted(wanted) if self._cache.instrument(one) is None]:
            if self._loop.time() > deadline:
                names = ", ".join(one.value for one in missing)
                raise DataError(
                    f"the paper account of {self.venue} has orders or positions in {names}, which this node "
                    "does not load: add it, or `live_node.py paper reset --yes`"
                )
            await asyncio.sleep(0.05)
        self.paper_venue.restore()
        self._bus_subscribe()
        for instrument_id in sorted(wanted):
            self._watch(instrument_id)
        self._beat()

    def _bus_subscribe(self) -> None:
        venue = self.venue.value
        # Before the strategies, as in the engine of a backtest.
        self._msgbus.subscribe(f"data.trades.{venue}.*", handler=self._on_trade, priority=10)
        self._msgbus.subscribe(f"data.instrument.{venue}.*", handler=self._on_instrument)
        if self._settings.funding == "venue":
            self._msgbus.subscribe(f"data.funding_rates.{venue}.*", handler=self._on_funding_rate)
            self._msgbus.subscribe(f"data.mark_prices.{venue}.*", handler=self._on_mark_price)
            self._msgbus.subscribe("data.BinanceFuturesMarkPriceUpdate*", handler=self._on_binance_mark)

    async def _disconnect(self) -> None:
        if self._pulse is not None:
            self._pulse.cancel()
            self._pulse = None
        self.paper_venue.note_prices()
        self._store.note(SESSION_END, str(self._clock.timestamp_ns()))

    def _dispose(self) -> None:
        self.release()

    def release(self) -> None:
        """Close the state file; nothing is simulated after it."""
        if self._pulse is not None:
            self._pulse.cancel()
            self._pulse = None
        STORES.give_back(self._store)

    # -- time ----------------------------------------------------------------------------------------------

    def _now_ns(self) -> int:
        return self.paper_venue.now_ns if self._on_data_time else int(self._clock.timestamp_ns())

    def _beat(self) -> None:
        """Let time pass at the venue while nothing trades: funding times, mostly."""
        if not self._on_data_time:
            self._pass_time()
            self.paper_venue.note_prices()
            self._say_trouble()
            self._pulse = self._loop.call_later(PASS_TIME_SECS, self._beat)

    def _say_trouble(self) -> None:
        trouble = self.paper_venue.trouble
        if bool(trouble) != self._is_in_trouble:
            self._is_in_trouble = bool(trouble)
            self._log.error(trouble) if trouble else self._log.info("the paper account is kept again")

    def _pass_time(self) -> None:
        self._guard(lambda: self.paper_venue.advance(self._now_ns()))

    def _guard(self, step: Any) -> None:
        """Run a step of the venue; a balance below zero is said, not a reason to end all trading."""
        try:
            step()
        except AccountError as error:
            self._log.error(f"the paper account of {self.venue} refused a fill: {error}")
            self.paper_venue.commit()

    # -- market --------------------------------------------------------------------------------------------

    def _find_instrument(self, instrument_id: InstrumentId) -> Instrument | None:
        found = self._cache.instrument(instrument_id)
        return None if found is None else with_fees(found, self._fees)

    def _on_trade(self, tick: TradeTick) -> None:
        self._guard(lambda: self.paper_venue.on_trade(tick))

    def _on_instrument(self, instrument: Instrument) -> None:
        self.paper_venue.update_instrument(with_fees(instrument, self._fees))

    def _on_funding_rate(self, update: FundingRateUpdate) -> None:
        if update.next_funding_ns:
            self.paper_venue.funding.announce(update.instrument_id, update.rate, update.next_funding_ns)

    def _on_mark_price(self, update: MarkPriceUpdate) -> None:
        self.paper_venue.funding.marks[update.instrument_id] = update.value.as_decimal()

    def _on_binance_mark(self, update: Any) -> None:
        # The adapter gives rates of Binance in a type of its own, inside of a wrapper.
        data = getattr(update, "data", update)
        if data.instrument_id.venue == self.venue and data.next_funding_ns:
            self.paper_venue.funding.announce(
                data.instrument_id, Decimal(str(data.funding_rate)), data.next_funding_ns
            )

    def _watch(self, instrument_id: InstrumentId) -> None:
        """Have the prints of an instrument with an order or a position, also where a strategy takes bars."""
        if instrument_id not in self._watched:
            self._watched.add(instrument_id)
            self._subscribe(SubscribeTradeTicks, instrument_id)
        if instrument_id not in self._funded:
            self._expect_funding(instrument_id)

    def _expect_funding(self, instrument_id: InstrumentId) -> None:
        instrument = self._cache.instrument(instrument_id)
        if instrument is None or not is_linear_perpetual(instrument):
            return
        self._funded.add(instrument_id)
        if self._settings.funding == "constant":
            constant = FundingSettings(
                source="constant",
                rate_pct=self._settings.funding_rate_pct,
                interval_hours=self._settings.funding_interval_hours,
            )
            # In the time of the data the first order may come before the first print.
            first_ns = self._now_ns() or int(self._clock.timestamp_ns())
            span_ns = (first_ns, first_ns + CONSTANT_SPAN_NS)
            self.paper_venue.funding.expect(
                instrument_id, rates_of(constant, Path(), instrument_id.value, span_ns)
            )
        elif self._settings.funding == "venue":
            self._subscribe(SubscribeMarkPrices, instrument_id)
            if self.venue.value.startswith("BYBIT"):  # Binance sends the rate with the mark price
                self._subscribe(SubscribeFundingRates, instrument_id)

    def _subscribe(self, kind: Any, instrument_id: InstrumentId) -> None:
        command = kind(
            instrument_id=instrument_id,
            client_id=None,
            venue=self.venue,
            command_id=UUID4(),
            ts_init=self._clock.timestamp_ns(),
        )
        self._msgbus.send(endpoint="DataEngine.execute", msg=command)

    # -- commands ------------------------------------------------------------------------------------------

    def submit_order(self, command: SubmitOrder) -> None:
        """Send an order; it arrives after the latency. An entry that nobody wants any more is denied."""
        order = command.order
        words = {
            "strategy_id": order.strategy_id,
            "instrument_id": order.instrument_id,
            "client_order_id": order.client_order_id,
            "ts_event": self._clock.timestamp_ns(),
        }
        if Leg.ENTRY.name in (order.tags or ()) and not self.is_wanted(order.client_order_id):
            self.generate_order_denied(reason=WITHDRAWN, **words)
            return
        self.generate_order_submitted(**words)
        self._send(command)

    def submit_order_list(self, command: Any) -> None:
        """Send each order of a list by itself, as venues do that link none."""
        for order in command.order_list.orders:
            self.submit_order(
                SubmitOrder(
                    command.trader_id,
                    command.strategy_id,
                    order,
                    UUID4(),
                    command.ts_init,
                    command.position_id,
                )
            )

    def modify_order(self, command: Any) -> None:
        """Send a change of price or quantity."""
        self._send(command)

    def cancel_order(self, command: Any) -> None:
        """Send a cancel."""
        self._send(command)

    def cancel_all_orders(self, command: Any) -> None:
        """Send a cancel of all orders of a strategy in an instrument."""
        self._send(command)

    def batch_cancel_orders(self, command: Any) -> None:
        """Send several cancels."""
        for cancel in command.cancels:
            self._send(cancel)

    async def _query_order(self, command: QueryOrder) -> None:
        """Report an order again, unless fills of it are on their way to the node.

        A report overtakes events, and of more filled than it knows the engine would invent a fill.
        """
        kept, order = (one.order(command.client_order_id) for one in (self.paper_venue.cache, self._cache))
        if kept is None or order is None or kept.filled_qty == order.filled_qty:
            await super()._query_order(command)

    def query_account(self, command: Any) -> None:
        """Report the account again."""
        del command
        self._tell([self.paper_venue.cache.account(self.account_id).last_event])

    def _send(self, command: TradingCommand) -> None:
        self._watch(command.instrument_id)
        now_ns = self._now_ns()
        wait_ns = self.paper_venue.send(command, now_ns) - now_ns
        if wait_ns <= 0:
            self._loop.call_soon(self._pass_time)
        elif not self._on_data_time:
            self._call_in(wait_ns, self._pass_time)
            if self.paper_venue.is_quiet(command.instrument_id):
                wait_ns += round(self._settings.market_wait_secs * NANOS_PER_SECOND)
                self._call_in(wait_ns, lambda: self._give_up(command.instrument_id))

    def _call_in(self, wait_ns: int, function: Any) -> None:
        # One millisecond more: a timer that is early by rounding would find nothing due.
        self._loop.call_later(wait_ns / NANOS_PER_SECOND + 0.001, function)

    def _give_up(self, instrument_id: InstrumentId) -> None:
        self._guard(lambda: self.paper_venue.give_up_waiting(instrument_id))

    # -- what the venue says -------------------------------------------------------------------------------

    def _tell(self, reports: list[Report]) -> None:
        for report in reports:
            if isinstance(report, OrderEvent):
                self._msgbus.send(endpoint="ExecEngine.process", msg=report)
            elif isinstance(report, FundingPayment):
                self._msgbus.publish(topic=funding_topic(report.instrument_id), msg=report)
            else:
                self._tell_account(report)

    def _tell_account(self, state: AccountState) -> None:
        if self._cache.account(self.account_id) is None:
            # Nautilus would calculate it from fills a second time wherever a backtest ran in this process.
            leverage = self.paper_venue.exchange.default_leverage
            self._cache.add_account(new_account(state, leverage, is_calculated=False))
        self.generate_account_state(
            balances=state.balances, margins=state.margins, reported=True, ts_event=state.ts_event
        )

    async def generate_order_status_report(self, command: Any) -> OrderStatusReport | None:
        """Return one order as the venue has it."""
        return order_report(self._store, self.paper_venue, command, self._clock.timestamp_ns())

    async def generate_order_status_reports(self, command: Any) -> list[OrderStatusReport]:
        """Return the open orders, those of open positions, and those that changed since a time."""
        return order_reports(self._store, self.paper_venue, command, self._clock.timestamp_ns())

    async def generate_fill_reports(self, command: Any) -> list[FillReport]:
        """Return the fills since a time, and those of open positions."""
        return fill_reports(self._store, self.paper_venue, command, self._clock.timestamp_ns())

    async def generate_position_status_reports(self, command: Any) -> list[PositionStatusReport]:
        """Return the open positions, one per instrument."""
        return position_reports(self.paper_venue, command, self._clock.timestamp_ns())


class SandboxLiveExecClientFactory(LiveExecClientFactory):
    """Makes the client. Nautilus passes ``portfolio`` to a factory of exactly this name."""

    @staticmethod
    def create(  # type: ignore[override]
        loop: asyncio.AbstractEventLoop,
        name: str,
        config: PaperExecClientConfig,
        portfolio: PortfolioFacade,
        msgbus: MessageBus,
        cache: Cache,
        clock: LiveClock,
    ) -> PaperExecutionClient:
        """Return the client of one simulated venue."""
        del name, portfolio
        return PaperExecutionClient(loop=loop, msgbus=msgbus, cache=cache, clock=clock, config=config)
