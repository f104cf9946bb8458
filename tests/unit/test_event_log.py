"""What strategies hear is in the log, in their name, though they do not write it themselves."""

from types import SimpleNamespace
from typing import Any

from nautilus_trader.cache.cache import Cache
from nautilus_trader.common.component import LiveClock, MessageBus
from nautilus_trader.model.identifiers import StrategyId, TraderId
from nautilus_trader.portfolio.portfolio import Portfolio
from nautilus_trader.test_kit.stubs.events import TestEventStubs
from nautilus_trader.test_kit.stubs.execution import TestExecStubs
from nautilus_trader.trading.config import ImportableStrategyConfig, StrategyFactory

from runtime.live.event_log import EventLog, silent
from runtime.live.late_hearing import LateHearing


class Lines:
    """A strategy's log."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def info(self, text: str) -> None:
        """Take a line."""
        self.found.append(text)


def started(strategy_id: StrategyId, late: LateHearing) -> tuple[MessageBus, Lines]:
    """Return the bus that a started log listens to, and its lines."""
    clock, cache, lines = LiveClock(), Cache(), Lines()
    bus = MessageBus(trader_id=TraderId("TESTER-001"), clock=clock)
    actor = EventLog(lambda: [SimpleNamespace(id=strategy_id, log=lines)])
    late.attach([actor])
    actor.register_base(Portfolio(msgbus=bus, cache=cache, clock=clock), bus, cache, clock)
    actor.on_start()
    return bus, lines


def test_events_are_logged_when_the_order_that_follows_has_left() -> None:
    """As Nautilus would have written them; what strategies warn of themselves is not there twice."""
    late, order = LateHearing(), TestExecStubs.limit_order()
    bus, lines = started(order.strategy_id, late)
    accepted, rejected = TestEventStubs.order_accepted(order), TestEventStubs.order_rejected(order)
    late.begin_event()
    for event in (accepted, rejected):
        bus.publish(topic=f"events.order.{order.strategy_id}", msg=event)
    assert lines.found == []
    late.end_event()
    assert lines.found == [f"<--[EVT] {accepted}"]


def test_orders_of_nobody_here_have_no_line() -> None:
    """Strangers' orders are in the journal; no strategy hears of them."""
    late, order = LateHearing(), TestExecStubs.limit_order()
    bus, lines = started(StrategyId("OTHER-1"), late)
    bus.publish(topic="events.order.X", msg=TestEventStubs.order_accepted(order))
    assert lines.found == []


def test_a_silent_strategy_is_the_same_in_everything_else() -> None:
    """Its settings, its id, and what was said of it in the file."""
    plain: dict[str, Any] = {"instrument_id": "XRPUSDT-PERP.BINANCE", "bucket_usd": 500, "order_id_tag": "7"}
    config = ImportableStrategyConfig(
        strategy_path="strategies.ote:OteStrategy", config_path="strategies.ote:OteConfig", config=plain
    )
    loud, quiet = StrategyFactory.create(config).config, StrategyFactory.create(silent(config)).config
    assert (quiet.log_events, quiet.log_commands) == (False, False)
    differs = {name for name in loud.__struct_fields__ if getattr(loud, name) != getattr(quiet, name)}
    assert differs == {"log_events", "log_commands"}
