"""Logs what strategies hear of orders and positions, after the order that follows from it has left.

Nautilus' strategies log each event and each command, with all its fields, before they do anything about it:
0.08 ms for each, twice on the way of a cancel and four times on that of a stop. In a node that is silent, and
the same lines of events are written here a moment later. Commands have none: the event of each says the same.
"""

from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Final

from nautilus_trader.common.actor import Actor
from nautilus_trader.common.config import ActorConfig
from nautilus_trader.model.events import (
    OrderCancelRejected,
    OrderDenied,
    OrderModifyRejected,
    OrderRejected,
)
from nautilus_trader.trading.config import ImportableStrategyConfig

from runtime.live.context import LiveContext
from runtime.logs import EVENT

TOPICS: Final = ("events.order.*", "events.position.*")
# Strategies still warn of these by themselves.
WARNED_OF: Final = (OrderCancelRejected, OrderDenied, OrderModifyRejected, OrderRejected)
SILENT: Final = {"log_events": False, "log_commands": False}


class EventLog(Actor):
    """Writes a line for each event of an order or a position, in the name of its strategy.

    Parameters
    ----------
    strategies
        Gives the strategies of the node.
    """

    # Methods that may hear of an order after it has left (runtime.live.late_hearing).
    HEARD_LATE: ClassVar = ("on_heard",)

    def __init__(self, strategies: Callable[[], Iterable[Any]]) -> None:
        super().__init__(ActorConfig(component_id="EventLog"))
        self._strategies = strategies
        self._logs: dict[Any, Any] = {}

    def on_start(self) -> None:
        """Listen."""
        self._logs = {one.id: one.log for one in self._strategies()}
        for topic in TOPICS:
            self.msgbus.subscribe(topic=topic, handler=self.on_heard)

    def on_heard(self, event: Any) -> None:
        """Write the line that the strategy would have written; strangers' orders have none."""
        log = self._logs.get(event.strategy_id)
        if log is not None and not isinstance(event, WARNED_OF):
            log.info(f"{EVENT} {event}")


def make_event_log(context: LiveContext) -> EventLog:
    """Return the log of a node's events."""
    return EventLog(context.strategies)


def silent(config: ImportableStrategyConfig) -> ImportableStrategyConfig:
    """Return a strategy's configuration with which it logs no events and commands."""
    return ImportableStrategyConfig(
        strategy_path=config.strategy_path, config_path=config.config_path, config=config.config | SILENT
    )


__all__ = ["EventLog", "make_event_log", "silent"]
