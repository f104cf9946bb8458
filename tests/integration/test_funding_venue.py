"""Funding in a real engine, on bars and on trades: who pays, when, and what the account has afterwards.

The rate is 0.0001 unless a table says otherwise, so 100 coins at 1.51 pay 0.0151.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.backtest.models import LatencyModel
from nautilus_trader.config import LoggingConfig, StrategyConfig
from nautilus_trader.model.currencies import USDT
from nautilus_trader.model.data import Bar, BarType, TradeTick
from nautilus_trader.model.enums import AccountType, OmsType, OrderSide
from nautilus_trader.model.identifiers import InstrumentId, Venue
from nautilus_trader.model.instruments import CryptoPerpetual, Instrument
from nautilus_trader.model.objects import Money
from nautilus_trader.trading.strategy import Strategy

from runtime.download.venue_rows import FundingRate
from runtime.fees import TakerSlippageConfig, TakerSlippageModel, VenueFeeModel
from runtime.funding import write_funding
from runtime.funding_venue import BarFundingVenue, FundingVenue, FundingVenueConfig
from strategies.trade_manager.funding import FundingPayment
from strategies.trade_manager.management import rules_of
from strategies.trade_manager.plan import EntryPlan
from tests.integration.bar_harness import LATENCY_NS, ManagedStrategy, Row, bars_of, run_engine
from tests.integration.engine_harness import MAKER, START_NS, TAKER, Trade, instrument_of, ticks_of

D = Decimal
MINUTE_NS = 60_000_000_000
LATE_NS = 7_000_000
RATE = D("0.0001")
BALANCE = D(10_000)

type Script = Mapping[int, int]
"""Number of the bar or trade -> coins bought (sold when negative) at market when it is heard of."""


class Scripted(Strategy):
    """Sends market orders by script and writes down payments, fills and the final balance."""

    def __init__(self, instrument: Instrument, script: Script, tag: str = "000") -> None:
        super().__init__(StrategyConfig(order_id_tag=tag))
        self.instrument, self.script = instrument, script
        self.number = -1
        self.payments: list[FundingPayment] = []
        self.fills: list[Any] = []
        self.balance = D(0)

    def on_start(self) -> None:
        self.subscribe_bars(BarType.from_str(f"{self.instrument.id}-5-MINUTE-LAST-EXTERNAL"))
        self.subscribe_trade_ticks(self.instrument.id)
        self.msgbus.subscribe(topic=f"funding.{self.instrument.id}", handler=self.on_payment)

    def on_payment(self, payment: FundingPayment) -> None:
        if payment.strategy_id == self.id.value:
            self.payments.append(payment)

    def on_bar(self, _bar: Bar) -> None:
        self.step()

    def on_trade_tick(self, _tick: TradeTick) -> None:
        self.step()

    def step(self) -> None:
        self.number += 1
        qty = self.script.get(self.number)
        if qty:
            order = self.order_factory.market(
                instrument_id=self.instrument.id,
                order_side=OrderSide.BUY if qty > 0 else OrderSide.SELL,
                quantity=self.instrument.make_qty(abs(qty)),
            )
            self.submit_order(order)

    def on_order_filled(self, event: Any) -> None:
        self.fills.append(event)

    def on_stop(self) -> None:
        account = self.cache.account_for_venue(self.instrument.id.venue)
        self.balance = account.balance_total(USDT).as_decimal()

    @property
    def paid(self) -> list[tuple[float, str, str, str]]:
        """Return minute, quantity, price and amount of each payment."""
        return [
            ((one.ts_ns - START_NS) / MINUTE_NS, *map(_plain, (one.signed_qty, one.price, one.amount)))
            for one in self.payments
        ]

    def cash_by_hand(self) -> Decimal:
        """Return what fills, fees and payments leave of the balance, every position being closed."""
        cash = sum((one.amount for one in self.payments), BALANCE)
        for fill in self.fills:
            value = fill.last_qty.as_decimal() * fill.last_px.as_decimal()
            cash -= value if fill.order_side == OrderSide.BUY else -value
            cash -= value * TAKER
        return cash


class Weighed(ManagedStrategy):
    """A managed trade that writes down the final balance."""

    balance = D(0)

    def on_stop(self) -> None:
        account = self.cache.account_for_venue(self.instrument_id.venue)
        self.balance = account.balance_total(USDT).as_decimal()


def _plain(value: Decimal) -> str:
    return format(value.normalize(), "f")


def config_of(folder: Path, rates: Mapping[str, Mapping[float, Decimal]]) -> FundingVenueConfig:
    """Store rates by instrument and minute, stamped some milliseconds late; return the config."""
    for name, by_minute in rates.items():
        stamped = [
            FundingRate(START_NS + round(minute * MINUTE_NS) + LATE_NS, rate)
            for minute, rate in by_minute.items()
        ]
        write_funding(folder, name, stamped)
    return FundingVenueConfig(
        source="catalog",
        catalog=str(folder),
        instruments=tuple(rates),
        span_ns=(START_NS, START_NS + 600 * MINUTE_NS),
    )


# -- bars --------------------------------------------------------------------------------------------------

# Bars of five minutes; number n closes at minute 5 (n + 1) at 1.50 + n / 100. What is sent at its close fills
# at the next open, which is that price.
BARS: list[Row] = [
    (max(1.50, 1.49 + n / 100), 1.51 + n / 100, 1.48 + n / 100, 1.50 + n / 100) for n in range(8)
]
LONG, SHORT = {0: 100, 3: -100}, {0: -100, 3: 100}

# Script, funding times (minute -> rate), payments (minute, position, price, amount).
ON_BARS: dict[str, tuple[Script, dict[float, Decimal], list[tuple[float, str, str, str]]]] = {
    "a long pays a positive rate": (LONG, {10: RATE}, [(10, "100", "1.51", "-0.0151")]),
    "a short receives it": (SHORT, {10: RATE}, [(10, "-100", "1.51", "0.0151")]),
    "a long receives a negative rate": (LONG, {10: -RATE}, [(10, "100", "1.51", "0.0151")]),
    "a short pays it": (SHORT, {10: -RATE}, [(10, "-100", "1.51", "-0.0151")]),
    "a rate of zero moves nothing": (LONG, {10: D(0)}, [(10, "100", "1.51", "0")]),
    "sent at the funding time, open after it: nothing": (LONG, {5: RATE}, []),
    "sold at the close of the funding time: still pays": (LONG, {20: RATE}, [(20, "100", "1.53", "-0.0153")]),
    "gone before the funding time: nothing": (LONG, {25: RATE}, []),
    "every funding time": (
        LONG,
        {5: RATE, 10: RATE, 15: 2 * RATE, 20: RATE, 25: RATE},
        [
            (10, "100", "1.51", "-0.0151"),
            (15, "100", "1.52", "-0.0304"),
            (20, "100", "1.53", "-0.0153"),
        ],
    ),
    "between two closes: the last close": (LONG, {12: RATE}, [(12, "100", "1.51", "-0.0151")]),
    "the part that is left": (
        {0: 100, 1: -60, 3: -40},
        {10: RATE, 15: RATE},
        [(10, "100", "1.51", "-0.0151"), (15, "40", "1.52", "-0.00608")],
    ),
    "turned round": (
        {0: 100, 1: -150, 3: 50},
        {10: RATE, 15: RATE},
        [(10, "100", "1.51", "-0.0151"), (15, "-50", "1.52", "0.0076")],
    ),
    "no rates: nothing": (LONG, {}, []),
}


def bars(instrument: Instrument, rows: Sequence[Row] = BARS) -> list[Bar]:
    """Return the bars of an instrument."""
    bar_type: Any = BarType.from_str(f"{instrument.id}-5-MINUTE-LAST-EXTERNAL")
    return bars_of(instrument, bar_type, rows)


@pytest.mark.parametrize("latency_ns", [0, LATENCY_NS])
@pytest.mark.parametrize(("script", "rates", "expected"), ON_BARS.values(), ids=ON_BARS.keys())
def test_payments_on_bars(
    tmp_path: Path,
    script: Script,
    rates: dict[float, Decimal],
    expected: list[tuple[float, str, str, str]],
    latency_ns: int,
) -> None:
    """Positions are those after the walk of the bar that closes then, and the account is exact."""
    instrument = instrument_of("margin")
    strategy = Scripted(instrument, script)
    module = BarFundingVenue(config_of(tmp_path, {instrument.id.value: rates} if rates else {}))
    run_engine([bars(instrument)], [strategy], [instrument], latency_ns=latency_ns, more_modules=[module])
    assert strategy.paid == expected
    assert len(strategy.fills) == len(script)
    assert strategy.balance == strategy.cash_by_hand()
    assert module.payments == len(expected)


def perpetual(symbol: str) -> Instrument:
    """Return a perpetual like that of the harness under another name."""
    values = CryptoPerpetual.to_dict(instrument_of("margin"))
    return CryptoPerpetual.from_dict({**values, "id": f"{symbol}-PERP.BINANCE", "raw_symbol": symbol})


def test_a_constant_rate_is_settled_at_every_time_of_its_interval() -> None:
    """One percent each hour of a long of 100 at 1.50 is 1.5."""
    instrument = instrument_of("margin")
    config = FundingVenueConfig(
        source="constant",
        rate_pct=D(1),
        interval_hours=1,
        instruments=(instrument.id.value,),
        span_ns=(START_NS, START_NS + 600 * MINUTE_NS),
    )
    strategy = Scripted(instrument, {0: 100, 26: -100})
    flat = [(1.50,) * 4] * 30
    run_engine([bars(instrument, flat)], [strategy], [instrument], more_modules=[BarFundingVenue(config)])
    assert strategy.paid == [(60, "100", "1.5", "-1.5"), (120, "100", "1.5", "-1.5")]
    assert strategy.balance == strategy.cash_by_hand()


@pytest.mark.parametrize("latency_ns", [0, LATENCY_NS])
def test_chunks_do_not_matter_on_bars(tmp_path: Path, latency_ns: int) -> None:
    """Three instruments at equal times, one without a bar at a funding time: equal payments, however cut."""
    instruments = [instrument_of("margin"), perpetual("ADAUSDT"), perpetual("LTCUSDT")]
    data = [bar for one in instruments for bar in bars(one)]
    data = sorted(data, key=lambda bar: bar.ts_init)
    del data[8]  # the third one at minute 15
    config = config_of(tmp_path, {one.id.value: {10: RATE, 15: RATE, 22: RATE} for one in instruments})
    script = {0: 100, 4: -100}
    found = []
    # A chunk is told one ahead and must reach over a close time, as `run_plan` sees to.
    for size in (4, 5, 7, 100):
        strategies = [Scripted(one, script, str(number)) for number, one in enumerate(instruments)]
        chunks = [data[at : at + size] for at in range(0, len(data), size)]
        module = BarFundingVenue(config)
        run_engine(chunks, strategies, instruments, latency_ns=latency_ns, more_modules=[module])
        found.append(([one.paid for one in strategies], strategies[-1].balance))
    first = found[0]
    assert all(one == first for one in found)
    assert [[paid[2] for paid in one] for one in first[0]] == [
        ["1.51", "1.52", "1.53"],
        ["1.51", "1.52", "1.53"],
        ["1.51", "1.51", "1.53"],  # of the bar before
    ]


def test_an_entry_that_fills_on_the_way_to_the_close_pays_and_a_stop_on_the_way_does_not(
    tmp_path: Path,
) -> None:
    """What happens inside the bar that closes at the funding time happened before it."""
    instrument = instrument_of("margin")
    plan = EntryPlan(1, D("1.5"), D("1.48"), D("1.6"), D(100), 1, 1.48, 1.6, entry_kind="market")
    rows: list[Row] = [(1.50,) * 4, (1.50, 1.51, 1.49, 1.51), (1.51, 1.52, 1.47, 1.50), (1.50,) * 4]
    module = BarFundingVenue(config_of(tmp_path, {instrument.id.value: {5: RATE, 10: RATE, 15: RATE}}))
    strategy = Weighed(instrument, plan, rules_of("off"))
    run_engine([bars(instrument, rows)], [strategy], [instrument], more_modules=[module])
    (trade,) = strategy.trades
    assert (trade.exit_reason, trade.funding) == ("stop", "-0.0151")
    gross, fees = D(-2), (D(150) + D(148)) * TAKER
    assert D(trade.pnl) == gross - fees - D("0.0151")
    assert trade.r_multiple == pytest.approx(float(D(trade.pnl) / 2))
    assert strategy.balance - BALANCE == D(trade.pnl)
    assert strategy.counters["funding_payments"] == 1


# -- trades ------------------------------------------------------------------------------------------------

# One trade a minute, number n at minute n, at 1.50 + n / 1000.
TRADES: list[Trade] = [(round(1.50 + n / 1000, 4), 10_000.0 + n, "b") for n in range(12)]

ON_TRADES: dict[str, tuple[Script, dict[float, Decimal], list[tuple[float, str, str, str]]]] = {
    "a long pays at the last trade": ({1: 100, 8: -100}, {5: RATE}, [(5, "100", "1.504", "-0.01504")]),
    "a short receives": ({1: -100, 8: 100}, {5: RATE}, [(5, "-100", "1.504", "0.01504")]),
    "a negative rate": ({1: 100, 8: -100}, {5: -RATE}, [(5, "100", "1.504", "0.01504")]),
    "filled by the trade of the funding time: nothing": ({4: 100, 8: -100}, {5: RATE}, []),
    "left by the trade of the funding time: still pays": (
        {1: 100, 4: -100},
        {5: RATE},
        [(5, "100", "1.504", "-0.01504")],
    ),
    "left before": ({1: 100, 3: -100}, {5: RATE}, []),
    "the part that is left": (
        {1: 100, 3: -75, 8: -25},
        {5: RATE, 6: RATE},
        [(5, "25", "1.504", "-0.00376"), (6, "25", "1.505", "-0.0037625")],
    ),
    "after the last trade: nothing": ({1: 100, 8: -100}, {30: RATE}, []),
}


def run_trades(
    instrument: Instrument, strategy: Strategy, modules: Sequence[Any], size: int = 1000, **fills: Any
) -> None:
    """Run the trades through an engine in chunks."""
    engine = BacktestEngine(
        BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True), run_analysis=False)
    )
    engine.add_venue(
        venue=Venue("BINANCE"),
        oms_type=OmsType.NETTING,
        account_type=AccountType.MARGIN,
        starting_balances=[Money(BALANCE, USDT)],
        default_leverage=D(10),
        fill_model=TakerSlippageModel(TakerSlippageConfig(**fills)),
        fee_model=VenueFeeModel(),
        latency_model=LatencyModel(base_latency_nanos=LATENCY_NS),
        modules=list(modules),
        liquidity_consumption=True,
        queue_position=True,
        support_contingent_orders=False,
        use_market_order_acks=True,
    )
    engine.add_instrument(instrument)
    engine.add_strategy(strategy)
    ticks = ticks_of(instrument, TRADES, MINUTE_NS)
    for at in range(0, len(ticks), size):
        engine.add_data(ticks[at : at + size])
        engine.run(streaming=True)
        engine.clear_data()
    engine.end()
    engine.dispose()


@pytest.mark.parametrize("size", [1, 5, 1000])
@pytest.mark.parametrize(("script", "rates", "expected"), ON_TRADES.values(), ids=ON_TRADES.keys())
def test_payments_on_trades(
    tmp_path: Path,
    script: Script,
    rates: dict[float, Decimal],
    expected: list[tuple[float, str, str, str]],
    size: int,
) -> None:
    """Positions are those before anything of the funding time; the account is exact, however it is cut."""
    instrument = instrument_of("margin")
    strategy = Scripted(instrument, script)
    run_trades(instrument, strategy, [FundingVenue(config_of(tmp_path, {instrument.id.value: rates}))], size)
    assert strategy.paid == expected
    assert sum(fill.last_qty.as_decimal() for fill in strategy.fills) == sum(map(abs, script.values()))
    assert strategy.balance == strategy.cash_by_hand()


def test_positions_of_two_strategies_pay_apart(tmp_path: Path) -> None:
    """Each strategy hears of its own position; the account pays for both."""
    instrument = instrument_of("margin")
    long, short = Scripted(instrument, LONG, "A"), Scripted(instrument, {0: -40, 3: 40}, "B")
    module = BarFundingVenue(config_of(tmp_path, {instrument.id.value: {10: RATE}}))
    run_engine([bars(instrument)], [long, short], [instrument], more_modules=[module])
    assert [one.paid for one in (long, short)] == [
        [(10, "100", "1.51", "-0.0151")],
        [(10, "-40", "1.51", "0.00604")],
    ]
    assert long.balance == long.cash_by_hand() + short.cash_by_hand() - BALANCE


def test_rates_that_become_known_later_are_settled_too() -> None:
    """A running venue is told of a rate before its time; one that comes late is left out."""

    class Told(Scripted):
        def step(self) -> None:
            super().step()
            if self.number == 3:
                times = {START_NS + 2 * MINUTE_NS: RATE, START_NS + 6 * MINUTE_NS: RATE}
                module.expect(self.instrument.id, times)

    instrument, module = instrument_of("margin"), FundingVenue()
    strategy = Told(instrument, {1: 100, 8: -100})
    run_trades(instrument, strategy, [module])
    assert strategy.paid == [(6, "100", "1.505", "-0.01505")]


def test_another_venues_instruments_are_left_to_its_module(tmp_path: Path) -> None:
    """A module reads no rates of instruments that its venue does not trade."""
    instrument = instrument_of("margin")
    other = InstrumentId.from_str("XRPUSDT-LINEAR.BYBIT").value
    strategy = Scripted(instrument, {1: 100, 8: -100})
    run_trades(instrument, strategy, [FundingVenue(config_of(tmp_path, {other: {5: RATE}}))])
    assert strategy.paid == []


# -- slippage and fees on perpetuals -----------------------------------------------------------------------

TICK = D("0.0001")
LONG_PLAN = EntryPlan(1, D("1.5"), D("1.48"), D("1.6"), D(100), 1, 1.48, 1.6, entry_kind="market")
SHORT_PLAN = EntryPlan(-1, D("1.5"), D("1.52"), D("1.4"), D(100), 1, 1.4, 1.52, entry_kind="market")
EXIT_BARS: dict[str, tuple[int, Row]] = {
    "stop": (-1, (1.50, 1.53, 1.47, 1.50)),
    "manual": (2, (1.50, 1.50, 1.50, 1.50)),
    "target": (-1, (1.50, 1.61, 1.49, 1.50)),
    "target of a short": (-1, (1.50, 1.51, 1.39, 1.50)),
}
# Plan, exit -> prices without slippage and with, and whether the exit pays the maker's fee.
SLIPPED: dict[str, tuple[EntryPlan, str, dict[str, Any], str, str]] = {
    "long, stop-market, 3 ticks": (LONG_PLAN, "stop", {"slippage_ticks": 3}, "1.5003", "1.4797"),
    "short, stop-market, 3 ticks": (SHORT_PLAN, "stop", {"slippage_ticks": 3}, "1.4997", "1.5203"),
    "long, market, 3 ticks": (LONG_PLAN, "manual", {"slippage_ticks": 3}, "1.5003", "1.4997"),
    "short, market, 3 ticks": (SHORT_PLAN, "manual", {"slippage_ticks": 3}, "1.4997", "1.5003"),
    "long, resting target keeps its price": (LONG_PLAN, "target", {"slippage_ticks": 3}, "1.5003", "1.6"),
    "short, resting target keeps its price": (
        SHORT_PLAN,
        "target of a short",
        {"slippage_ticks": 3},
        "1.4997",
        "1.4",
    ),
    "long, stop-market, 10 bps": (LONG_PLAN, "stop", {"slippage_bps": D(10)}, "1.5015", "1.4785"),
    "short, stop-market, 10 bps": (SHORT_PLAN, "stop", {"slippage_bps": D(10)}, "1.4985", "1.5216"),
    "long, market, 10 bps": (LONG_PLAN, "manual", {"slippage_bps": D(10)}, "1.5015", "1.4985"),
    "none": (LONG_PLAN, "stop", {}, "1.5", "1.48"),
}


@pytest.mark.parametrize(("plan", "exit_", "slippage", "entry", "left"), SLIPPED.values(), ids=SLIPPED.keys())
def test_market_and_stop_fills_on_bars_are_worse_and_pay_the_takers_fee(
    plan: EntryPlan, exit_: str, slippage: dict[str, Any], entry: str, left: str
) -> None:
    """Both sides of a trade slip away from it, a resting target does not and pays the maker's fee."""
    instrument = instrument_of("margin")
    manual_at, last = EXIT_BARS[exit_]
    flat: Row = (1.50, 1.50, 1.50, 1.50)
    strategy = Weighed(instrument, plan, rules_of("off"), manual_close_at=manual_at)
    run_engine([bars(instrument, [flat, flat, last, flat])], [strategy], [instrument], **slippage)
    (trade,) = strategy.trades
    assert (trade.entry_price, trade.exit_price) == (entry, left)
    rate = MAKER if exit_.startswith("target") else TAKER
    assert D(trade.fees) == 100 * (D(entry) * TAKER + D(left) * rate)
    gross = 100 * (D(left) - D(entry)) * plan.direction
    assert D(trade.pnl) == gross - D(trade.fees) == strategy.balance - BALANCE


# The last trades before the orders arrive are 1.501 and 1.508.
@pytest.mark.parametrize(
    ("side", "slippage", "entry", "left"),
    [
        (1, {"slippage_ticks": 3}, "1.5023", "1.5087"),
        (-1, {"slippage_ticks": 3}, "1.5017", "1.5093"),
        (1, {"slippage_bps": D(10)}, "1.5036", "1.5074"),
        (-1, {"slippage_bps": D(10)}, "1.5004", "1.5106"),
        (1, {}, "1.502", "1.509"),
    ],
)
def test_market_fills_on_trades_are_worse(side: int, slippage: dict[str, Any], entry: str, left: str) -> None:
    """An order sent at one trade meets the next: a buy fills above it, a sale below."""
    instrument = instrument_of("margin")
    strategy = Scripted(instrument, {1: 100 * side, 8: -100 * side})
    run_trades(instrument, strategy, [], **slippage)
    assert [_plain(fill.last_px.as_decimal()) for fill in strategy.fills] == [entry, left]
    assert strategy.balance == strategy.cash_by_hand()


def test_stop_market_fills_on_trades_are_worse() -> None:
    """The stop of a short at 1.505 is triggered by the trade at 1.505 and fills three ticks above it."""

    class Stopped(Scripted):
        def on_order_filled(self, event: Any) -> None:
            super().on_order_filled(event)
            if len(self.fills) == 1:
                stop = self.order_factory.stop_market(
                    instrument_id=self.instrument.id,
                    order_side=OrderSide.BUY,
                    quantity=self.instrument.make_qty(100),
                    trigger_price=self.instrument.make_price(1.505),
                    reduce_only=True,
                )
                self.submit_order(stop)

    instrument = instrument_of("margin")
    strategy = Stopped(instrument, {1: -100})
    run_trades(instrument, strategy, [], slippage_ticks=3)
    assert _plain(strategy.fills[1].last_px.as_decimal()) == "1.5053"
    assert strategy.balance == strategy.cash_by_hand()
