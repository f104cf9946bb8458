"""Nautilus' limit per order lets pass what closes a position, however large."""

from decimal import Decimal

from nautilus_trader.cache.cache import Cache
from nautilus_trader.common.component import MessageBus, TestClock
from nautilus_trader.model.identifiers import InstrumentId, TraderId
from nautilus_trader.portfolio.portfolio import Portfolio
from nautilus_trader.risk.engine import RiskEngine

from runtime.live.limits import EXIT_ROOM, LimitSettings, make_room, risk_engine_config

XRP, ADA = (InstrumentId.from_str(name) for name in ("XRPUSDT.BINANCE", "ADAUSDT.BINANCE"))


def test_a_larger_exit_raises_the_limit_and_a_smaller_one_does_not() -> None:
    """The position was opened under other settings; what has no limit gets none."""
    clock, cache = TestClock(), Cache()
    bus = MessageBus(trader_id=TraderId("TESTER-000"), clock=clock)
    portfolio = Portfolio(msgbus=bus, cache=cache, clock=clock)
    config = risk_engine_config(LimitSettings(max_symbol_notional=Decimal(10)), [XRP.value])
    engine = RiskEngine(portfolio=portfolio, msgbus=bus, cache=cache, clock=clock, config=config)
    before = engine.max_notional_per_order(XRP)
    make_room(engine, XRP, Decimal(before))
    assert engine.max_notional_per_order(XRP) == before
    make_room(engine, XRP, Decimal(10_000))
    assert engine.max_notional_per_order(XRP) == 10_000 * EXIT_ROOM
    make_room(engine, ADA, Decimal(10_000))
    assert engine.max_notional_per_order(ADA) is None
