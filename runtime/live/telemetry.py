"""Lets terminals watch a paper or live node: gives the actor of `ui.bridge` what a node knows."""

import logging
from collections.abc import Iterator, Mapping
from typing import Any, Final

import zmq

from runtime.journal.session import code_version
from runtime.live.context import LiveContext
from runtime.live.kill_switch import KillSwitch
from runtime.notify.actor import EVENTS_TOPIC
from runtime.recorder import Listings, account_equity
from strategies.exposure import notionals
from strategies.guards import LossRules, TradeGuards
from ui.bridge import TelemetryActor
from ui.endpoint import TELEMETRY_FILE
from ui.telemetry.ledger import FILE_NAME as DAY_FILE
from ui.telemetry.publisher import TelemetryPublisher
from ui.telemetry.sources import TelemetrySources

log = logging.getLogger("smcbot.telemetry")

NO_TERMINAL: Final = "no terminal can watch this node: %s"


def make_telemetry(context: LiveContext) -> TelemetryActor | None:
    """Return the actor of a node, None where its socket cannot be made: a node trades without terminals."""
    path = context.folder / TELEMETRY_FILE
    try:
        publisher = TelemetryPublisher(path, context.call_soon)
    except (OSError, zmq.ZMQError) as error:
        log.warning(NO_TERMINAL, f"{path}: {error}")
        return None
    kernel = context.node.kernel
    kill_switch = KillSwitch(context.folder)
    listings: list[Listings] = []

    def equity() -> Any:
        if not kernel.cache.accounts():
            return None
        if not listings:
            listings.append(Listings(kernel.cache))
        return account_equity(kernel.cache, listings[0])

    def killed() -> str:
        order = kill_switch.read() if kill_switch.is_on else None
        return "" if order is None else f"{order.who}: {order.reason}"

    def limits() -> Iterator[tuple[str, float, float]]:
        """Yield what is used of the limits that are set: (name, used, limit)."""
        for entry_limits in context.entry_limits:
            rules = entry_limits.rules
            yield from _losses(rules.loss, entry_limits.guards)
            desks = [desk for one in context.strategies() for desk in getattr(one, "desks", ())]
            venues = {desk.instrument_id.venue: desk for desk in desks}
            for venue, desk in venues.items():
                most = float(rules.max_account_notional)
                if most:
                    _, used = notionals(kernel.cache, desk.instrument_id, desk.peers)
                    yield f"notional of {venue}", float(used), most

    sources = TelemetrySources(
        mode=context.mode,
        session=context.session_id,
        strategies=context.strategies,
        equity=equity,
        version=code_version(),
        config_hash=context.config_sha256,
        unprotected_secs=lambda: context.facts["unprotected"]()["longest_secs"],
        killed=killed,
        limits=limits,
        trading=lambda: kernel.risk_engine.trading_state.name,
        latencies=lambda: context.facts["latency"]() if "latency" in context.facts else {},
        events_topic=EVENTS_TOPIC,
        call_soon=context.call_soon,
        day_file=context.folder / DAY_FILE,
    )
    return TelemetryActor(
        sources, publisher, publisher.answer_newcomers, publisher.close, lambda: publisher.is_watched
    )


def _losses(rules: LossRules, guards: Mapping[str, TradeGuards]) -> Iterator[tuple[str, float, float]]:
    """Yield what accounts have lost of what they may, percent."""
    for venue, state in ((venue, one.state) for venue, one in guards.items()):
        if state.last_equity is None:
            continue
        for name, most, since in (
            ("daily loss", rules.max_daily_loss_pct, state.day_equity),
            ("drawdown", rules.max_drawdown_pct, state.top_equity),
        ):
            if most and since:
                yield f"{name} of {venue}, %", max(0.0, 100 * (1 - state.last_equity / since)), most


__all__ = ["DAY_FILE", "make_telemetry"]
