"""The world of a simulated venue: message bus, cache, engine, exchange and account of its own.

Built from the configuration of a backtest's venue (`runtime.node_config.venue_configs`).
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from nautilus_trader.accounting.accounts.cash import CashAccount
from nautilus_trader.accounting.accounts.margin import MarginAccount
from nautilus_trader.backtest.config import BacktestVenueConfig
from nautilus_trader.backtest.engine import SimulatedExchange
from nautilus_trader.backtest.execution_client import BacktestExecClient
from nautilus_trader.backtest.node import (
    get_account_type,
    get_fee_model,
    get_fill_model,
    get_oms_type,
    get_starting_balances,
)
from nautilus_trader.cache.cache import Cache
from nautilus_trader.common.component import MessageBus, TestClock
from nautilus_trader.core.uuid import UUID4
from nautilus_trader.execution.engine import ExecutionEngine
from nautilus_trader.model.enums import AccountType, OmsType
from nautilus_trader.model.events import AccountState, OrderEvent
from nautilus_trader.model.identifiers import AccountId, InstrumentId, TraderId, Venue
from nautilus_trader.model.instruments import Instrument
from nautilus_trader.model.objects import AccountBalance, Money
from nautilus_trader.portfolio.portfolio import Portfolio

from runtime.live.paper_funding import LiveFundingVenue
from strategies.trade_manager.funding import FundingPayment


class PaperWorld:
    """What a simulated venue consists of, with the time there.

    Parameters
    ----------
    config
        As in a backtest on trades.
    trader_id
        Of the node.
    find_instrument
        Gives the instrument of an id, None while it is unknown.
    now_ns
        Time at the venue, UNIX nanoseconds.
    """

    def __init__(
        self,
        config: BacktestVenueConfig,
        trader_id: TraderId,
        find_instrument: Callable[[InstrumentId], Instrument | None],
        now_ns: int,
    ) -> None:
        self.id = Venue(config.name)
        self.account_id = AccountId(f"{config.name}-001")
        self.account_type: AccountType = get_account_type(config)
        self.oms_type: OmsType = get_oms_type(config)
        self.events: list[OrderEvent] = []
        """What happened to orders and was not told yet, oldest first."""
        self.payments: list[FundingPayment] = []
        """Funding that was settled and not told yet, oldest first."""
        self._find = find_instrument
        self._clock = TestClock()
        self._clock.set_time(now_ns)
        self._bus = MessageBus(trader_id=trader_id, clock=self._clock)
        self.cache = Cache()
        portfolio = Portfolio(msgbus=self._bus, cache=self.cache, clock=self._clock)
        self.engine = ExecutionEngine(msgbus=self._bus, cache=self.cache, clock=self._clock)
        self.funding = LiveFundingVenue()
        self.exchange = self._make_exchange(config, portfolio)
        client = BacktestExecClient(
            exchange=self.exchange,
            msgbus=self._bus,
            cache=self.cache,
            clock=self._clock,
            frozen_account=True,  # else every account of that name in this process is a calculated one
        )
        self.exchange.register_client(client)
        self.engine.register_client(client)
        self._open_account(config)
        self._bus.subscribe(topic="events.order.*", handler=self.events.append)
        self._bus.subscribe(topic="funding.*", handler=self.payments.append)
        self.engine.start()
        client._set_connected(True)  # noqa: SLF001 - no other way from Python

    @property
    def now_ns(self) -> int:
        """Time at the venue, UNIX nanoseconds."""
        return int(self._clock.timestamp_ns())

    @property
    def account(self) -> Any:
        """The one account, of Nautilus."""
        return self.cache.account(self.account_id)

    def known(self, instrument_id: InstrumentId) -> Instrument | None:
        """Return an instrument that the exchange has; it gets it with the first order or print."""
        held = self.exchange.instruments.get(instrument_id)
        if held is not None:
            return held
        instrument = self._find(instrument_id)
        if instrument is not None:
            self.cache.add_instrument(instrument)
            self.exchange.add_instrument(instrument)
        return instrument

    def update_instrument(self, instrument: Instrument) -> None:
        """Trade by changed rules of an instrument from now on."""
        if instrument.id in self.exchange.instruments:
            self.cache.add_instrument(instrument)
            self.exchange.update_instrument(instrument)

    def advance(self, now_ns: int) -> None:
        """Let time pass, UNIX nanoseconds: what timers cause happens."""
        if now_ns <= self.now_ns:
            return
        for handler in self._clock.advance_time(now_ns):
            handler.handle()

    def last_price(self, instrument_id: InstrumentId) -> Decimal | None:
        """Return the price of the newest print, quote currency; None before the first."""
        tick = self.cache.trade_tick(instrument_id)
        return None if tick is None else Decimal(tick.price.as_decimal())

    def _make_exchange(self, config: BacktestVenueConfig, portfolio: Portfolio) -> SimulatedExchange:
        return SimulatedExchange(
            venue=self.id,
            oms_type=self.oms_type,
            account_type=self.account_type,
            starting_balances=get_starting_balances(config),
            base_currency=None,
            default_leverage=Decimal(str(config.default_leverage)),
            leverages={},
            modules=[self.funding],
            portfolio=portfolio,
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


def new_account(state: AccountState, leverage: Decimal, *, is_calculated: bool) -> Any:
    """Return an account in a state: calculated from fills (at the venue), or as it is told (in the node)."""
    if state.account_type == AccountType.CASH:
        return CashAccount(state, is_calculated)
    account = MarginAccount(state, is_calculated)
    account.set_default_leverage(leverage)
    return account
