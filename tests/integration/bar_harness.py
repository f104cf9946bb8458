"""A real BacktestEngine on hand-made bars of five minutes, and a strategy that trades one managed setup."""

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.backtest.models import LatencyModel
from nautilus_trader.backtest.modules import SimulationModule
from nautilus_trader.config import LoggingConfig, StrategyConfig
from nautilus_trader.model.currencies import USDT
from nautilus_trader.model.data import Bar, BarType
from nautilus_trader.model.enums import AccountType, OmsType
from nautilus_trader.model.identifiers import Venue
from nautilus_trader.model.instruments import Instrument
from nautilus_trader.model.objects import Money
from nautilus_trader.trading.strategy import Strategy

from runtime.bar_venue import BarVenue, load_endpoint
from runtime.fees import TakerSlippageConfig, TakerSlippageModel, VenueFeeModel
from strategies.protection import VenueCapabilities
from strategies.setup_strategy import SetupStrategy
from strategies.trade_manager.managed_setup import on_closed_bar
from strategies.trade_manager.management import ManagementRules, TradeManager
from strategies.trade_manager.plan import EntryPlan
from strategies.trade_manager.record import ClosedTrade, Decision
from strategies.trade_manager.setup_rules import ExitRules
from tests.integration.engine_harness import START_NS, TICK, AccountName, instrument_of
from tests.integration.journal_check import check_journal, journal_of

type Row = tuple[float, float, float, float]

BAR_NS = 300_000_000_000
LATENCY_NS = 50_000_000


class ManagedStrategy(SetupStrategy):
    """Opens one given plan at the close of the first bar and manages it by the given rules.

    Parameters
    ----------
    instrument
        What it trades.
    plan
        The trade.
    rules
        See `ManagementRules`.
    rsi
        RSI per bar, the first bar included; NaN where it ends.
    manual_close_at
        Number of the bar at whose close somebody closes the position by hand.
    venue
        Row of the capability table, None for the account's own.
    """

    def __init__(
        self,
        instrument: Instrument,
        plan: EntryPlan,
        rules: ManagementRules,
        rsi: Sequence[float] = (),
        manual_close_at: int = -1,
        venue: VenueCapabilities | None = None,
    ) -> None:
        super().__init__(StrategyConfig(), instrument.id, "TST", ExitRules(exit_market_after_secs=0.0))
        self.bar_type = BarType.from_str(f"{instrument.id}-5-MINUTE-LAST-EXTERNAL")
        self.plan, self.rules, self.rsi, self.manual_close_at = plan, rules, rsi, manual_close_at
        self.manager = TradeManager(rules, TICK)
        self.other_venue = venue
        self.bars = 0
        self.trades: list[ClosedTrade] = []
        self.decisions: list[Decision] = []

    def on_start(self) -> None:
        self.prepare()
        self.venue = self.other_venue or self.venue
        self.subscribe_bars(self.bar_type)
        self.msgbus.subscribe(topic="trades.*", handler=self.trades.append)
        self.msgbus.subscribe(topic="decisions.*", handler=self.decisions.append)

    def on_bar(self, bar: Bar) -> None:
        number, self.bars = self.bars, self.bars + 1
        close_ns = bar.ts_event
        if number == 0:
            self.open_setup(self.plan, close_ns, close_ns)
            return
        assert self.setup is not None
        if number == self.manual_close_at:
            self.carry_out(self.setup, self.setup.close("manual", close_ns))
            return
        high, low, close = float(bar.high), float(bar.low), float(bar.close)
        rsi = self.rsi[number] if number < len(self.rsi) else math.nan
        actions = on_closed_bar(
            self.setup,
            self.manager,
            open_ns=close_ns - BAR_NS,
            close_ns=close_ns,
            high=high,
            low=low,
            close=close,
            rsi=rsi,
        )
        self.carry_out(self.setup, actions)


def bars_of(
    instrument: Instrument, bar_type: BarType, rows: Sequence[Row], volumes: Sequence[float] = ()
) -> list[Bar]:
    """Return hand-made bars (open, high, low, close), one after the other."""
    return [
        Bar(
            bar_type,
            *(instrument.make_price(price) for price in row),
            instrument.make_qty(volumes[number] if volumes else 100_000),
            START_NS + (number + 1) * BAR_NS,
            START_NS + (number + 1) * BAR_NS,
        )
        for number, row in enumerate(rows)
    ]


def run_bars(
    rows: Sequence[Row],
    strategy: Strategy,
    instrument: Instrument,
    *,
    account: AccountName = "margin",
    slippage_ticks: int = 0,
) -> None:
    """Run bars through an engine whose venue takes the adverse extreme first."""
    bar_type: Any = BarType.from_str(f"{instrument.id}-5-MINUTE-LAST-EXTERNAL")
    run_engine([bars_of(instrument, bar_type, rows)], [strategy], [instrument], account, slippage_ticks)


def run_engine(
    chunks: Sequence[list[Bar]],
    strategies: Sequence[Strategy],
    instruments: Sequence[Instrument],
    account: AccountName = "margin",
    slippage_ticks: int = 0,
    latency_ns: int = LATENCY_NS,
    slippage_bps: Decimal = Decimal(0),
    more_modules: Sequence[SimulationModule] = (),
    impact_bps: Decimal = Decimal(0),
) -> BarVenue:
    """Run chunks of bars, each ascending in time, as a streaming backtest does; return the venue's module."""
    engine = BacktestEngine(
        BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True), run_analysis=False)
    )
    module = BarVenue()
    engine.add_venue(
        venue=Venue("BINANCE"),
        oms_type=OmsType.NETTING,
        account_type=AccountType.CASH if account == "cash" else AccountType.MARGIN,
        starting_balances=[Money(10_000, USDT)],
        default_leverage=Decimal(1 if account == "cash" else 10),
        fill_model=TakerSlippageModel(
            TakerSlippageConfig(
                slippage_ticks=slippage_ticks,
                slippage_bps=slippage_bps,
                limits_fill_on_touch=False,
                impact_bps=impact_bps,
            )
        ),
        fee_model=VenueFeeModel(),
        latency_model=LatencyModel(base_latency_nanos=latency_ns),
        modules=[module, *more_modules],
        bar_execution=True,
        liquidity_consumption=True,
        support_contingent_orders=False,
        use_market_order_acks=True,
    )
    for instrument in instruments:
        engine.add_instrument(instrument)
    for strategy in strategies:
        engine.add_strategy(strategy)
    journal = journal_of(engine)
    bus, endpoint = engine.kernel.msgbus, load_endpoint("BINANCE")
    bus.send(endpoint=endpoint, msg=chunks[0])
    for number, chunk in enumerate(chunks):
        if number + 1 < len(chunks):
            bus.send(endpoint=endpoint, msg=chunks[number + 1])
        engine.add_data(chunk)
        engine.run(streaming=True)
        engine.clear_data()
    engine.end()
    check_journal(journal, engine.cache)
    engine.dispose()
    return module


def managed_trade(
    rows: Sequence[Row],
    plan: EntryPlan,
    rules: ManagementRules,
    *,
    account: AccountName = "margin",
    rsi: Sequence[float] = (),
    manual_close_at: int = -1,
    venue: VenueCapabilities | None = None,
) -> ManagedStrategy:
    """Run a plan over hand-made bars and return the strategy with its decisions and trades."""
    instrument = instrument_of(account)
    strategy = ManagedStrategy(instrument, plan, rules, rsi, manual_close_at, venue)
    run_bars(rows, strategy, instrument, account=account)
    return strategy
