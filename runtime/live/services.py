"""The one list of what runs inside a node beside its strategies."""

from typing import Any, Final

from runtime.health import clock_check
from runtime.live.bar_warmup import make_bar_warm_up
from runtime.live.command_actor import make_command_actor
from runtime.live.context import LiveContext
from runtime.live.dead_man_actor import make_dead_man
from runtime.live.event_log import make_event_log
from runtime.live.freshness_actor import make_freshness, make_hold_book
from runtime.live.funding import make_funding
from runtime.live.limit_watch import make_limit_watch
from runtime.live.limits import attach_limits
from runtime.live.memory_watch import make_memory_watch
from runtime.live.node import Service
from runtime.live.paper_away import make_paper_away
from runtime.live.recording import make_recorder
from runtime.live.recovery import make_recovery
from runtime.live.stream_breaks import make_stream_breaks
from runtime.live.telemetry import make_telemetry
from runtime.live.unknown_orders import make_unknown_orders
from runtime.live.warmup import make_warm_up
from runtime.live.watchdog import make_watchdog
from strategies.entry_limits import EntryLimits

NANOS: Final = 1e9


def keep_holds(context: LiveContext) -> None:
    """Keep the book of holds: actors start first, and what they hold must be known when desks start."""
    make_hold_book(context)


def watch_protection(context: LiveContext) -> Any:
    """Return the watch over unprotected positions, and let ``ctl status`` tell what it measured."""
    actor = make_watchdog(context)
    context.facts["unprotected"] = actor.report
    return actor


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


def limit_risk(context: LiveContext) -> Any:
    """Let every desk ask the limits before an entry; return the watch over losses."""
    limits = EntryLimits(context.settings.live.limits.rules)
    attach_limits(context.strategies(), limits)
    context.entry_limits.append(limits)
    return make_limit_watch(context, limits)


def warm_up(context: LiveContext) -> Any:
    """Return what rebuilds the perception of strategies on trades, and keeps their trades whole."""
    return make_warm_up(context, context.settings.live.data)


def warm_bars_up(context: LiveContext) -> Any:
    """Return what shows strategies on many instruments' bars the bars of before the start."""
    return make_bar_warm_up(context, context.settings.live.data)


def take_commands(context: LiveContext) -> Any:
    """Return the ear for commands of people and other programs; a kill closes the limits' gate at once."""
    (limits,) = context.entry_limits
    context.facts["node"] = lambda: {"mode": context.mode, "session": context.session_id}
    return make_command_actor(
        context,
        facts=lambda: {name: tell() for name, tell in context.facts.items()},
        on_kill=limits.close,
        on_rearm=lambda: limits.reopen(context.node.kernel.clock.timestamp_ns()),
    )


def arm_dead_man(context: LiveContext) -> Any:
    """Return the dead man's switch; None on paper and where the settings leave it off."""
    return make_dead_man(context)


def record_session(context: LiveContext) -> Any | None:
    """Return what writes the session down for a replay; None where the settings want none."""
    return make_recorder(context)


# Each is made from the context; None adds no actor. They start in this order, before the strategies, and stop
# after them.
SERVICES: Final[list[Service]] = [
    keep_holds,
    record_session,
    make_recovery,
    make_unknown_orders,
    watch_protection,
    watch_data,
    warm_up,
    make_stream_breaks,
    warm_bars_up,
    make_funding,
    make_paper_away,
    limit_risk,
    take_commands,
    arm_dead_man,
    make_memory_watch,
    make_telemetry,
    make_event_log,
]
