"""The one list of what runs inside a node beside its strategies."""

from typing import Any, Final

from runtime.health import clock_check
from runtime.live.command_actor import make_command_actor
from runtime.live.context import LiveContext
from runtime.live.freshness_actor import make_freshness, make_hold_book
from runtime.live.node import Service
from runtime.live.recovery import make_recovery
from runtime.live.unknown_orders import make_unknown_orders
from runtime.live.watchdog import make_watchdog

NANOS: Final = 1e9


def keep_holds(context: LiveContext) -> None:
    """Keep the book of holds: actors start first, and what they hold must be known when desks start."""
    make_hold_book(context)


def watch_data(context: LiveContext) -> Any:
    """Return the watch over streams and clocks, and let health tell of the clocks."""
    actor = make_freshness(context, context.settings.live.data)

    def worst_secs() -> float:
        offsets = list(actor.offsets.values())
        worst = max(offsets, key=lambda one: one.least_ns, default=None)
        return 0.0 if worst is None else worst.least_ns / NANOS

    limit = context.settings.live.data.max_clock_offset_secs
    context.probes["clock"] = clock_check(worst_secs, warn_secs=limit / 4, fail_secs=limit)
    return actor


def take_commands(context: LiveContext) -> Any:
    """Return the ear for commands of people and other programs."""
    return make_command_actor(context)


# Each is made from the context; None adds no actor. They start in this order, before the strategies, and stop
# after them.
SERVICES: Final[list[Service]] = [
    keep_holds,
    make_recovery,
    make_unknown_orders,
    make_watchdog,
    watch_data,
    take_commands,
]
