"""Paper and backtest fill alike: the same prints through a TradingNode and a BacktestEngine."""

import random
from decimal import Decimal
from typing import Any

import pytest
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.backtest.node import (
    get_fee_model,
    get_fill_model,
    get_latency_model,
    get_starting_balances,
)
from nautilus_trader.config import LoggingConfig
from nautilus_trader.model.data import TradeTick
from nautilus_trader.model.enums import AccountType, OmsType
from nautilus_trader.model.events import OrderFilled
from nautilus_trader.model.identifiers import Venue
from nautilus_trader.model.instruments import Instrument

from runtime.live.paper import backtest_settings
from runtime.live.paper_settings import PaperSettings
from runtime.node_config import simulated_venue
from tests.integration.engine_harness import AccountName, instrument_of, ticks_of
from tests.integration.paper_harness import Rhythm, RhythmConfig, Running, run_node

VENUE = Venue("BINANCE")
PAPER = PaperSettings(latency_ms=25, slippage_ticks=1, time="data", funding="none")


def random_walk(instrument: Instrument, count: int) -> list[TradeTick]:
    """Return prints of a random walk of ticks, sizes around that of the orders, one per 10 ms."""
    rng = random.Random(7)
    price, trades = 15_000, []
    for _number in range(count):
        price += rng.choice((-1, 0, 0, 1))
        trades.append((price / 10_000, rng.choice((20.0, 60.0, 150.0)), rng.choice("bs")))
    return ticks_of(instrument, trades)


def in_backtest(instrument: Instrument, ticks: list[TradeTick]) -> tuple[Rhythm, Any]:
    """Run the strategy in an engine; return it and the balances."""
    config = simulated_venue(
        "BINANCE", "USDT", backtest_settings(PAPER), holds_spot=instrument.id.value == "XRPUSDT.BINANCE"
    )
    engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True)))
    engine.add_venue(
        VENUE,
        OmsType.NETTING,
        AccountType[config.account_type],
        get_starting_balances(config),
        default_leverage=Decimal(str(config.default_leverage)),
        fill_model=get_fill_model(config),
        fee_model=get_fee_model(config),
        latency_model=get_latency_model(config),
        liquidity_consumption=config.liquidity_consumption,
        queue_position=config.queue_position,
        support_contingent_orders=config.support_contingent_orders,
        use_market_order_acks=config.use_market_order_acks,
        bar_execution=False,
    )
    engine.add_instrument(instrument)
    strategy = Rhythm(RhythmConfig(instrument_id=instrument.id))
    engine.add_strategy(strategy)
    engine.add_data(ticks)
    engine.run()
    balances = engine.cache.account_for_venue(VENUE).balances_total()
    engine.dispose()
    return strategy, balances


def fills_of(strategy: Rhythm) -> list[tuple[str, ...]]:
    """Return what was filled, without ids that a venue makes up."""
    return [
        (
            event.client_order_id.value,
            str(event.last_px),
            str(event.last_qty),
            str(event.commission),
            event.liquidity_side.name,
            str(event.ts_event),
        )
        for event in strategy.events
        if isinstance(event, OrderFilled)
    ]


@pytest.mark.node_starts(1)
@pytest.mark.parametrize("account", [pytest.param("cash", marks=pytest.mark.slow), "margin"])
def test_a_node_on_paper_fills_as_a_backtest(account: AccountName) -> None:
    """Same prints, same orders: price, size, fee, role, time of each fill are equal, and the balances."""
    instrument = instrument_of(account)
    ticks = random_walk(instrument, 3000)
    expected, balances = in_backtest(instrument, ticks)
    strategy = Rhythm(RhythmConfig(instrument_id=instrument.id))

    async def drive(running: Running) -> Any:
        await running.push(ticks)
        return running.node.cache.account_for_venue(VENUE).balances_total()

    found = run_node(instrument, [strategy], drive, paper=PAPER)
    assert len(fills_of(expected)) > 60
    assert fills_of(strategy) == fills_of(expected)
    assert found == balances
