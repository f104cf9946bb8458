"""A plan into Nautilus' trading node: its configuration, its clients, and the one list of our own actors."""

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from nautilus_trader.cache.config import CacheConfig
from nautilus_trader.common.config import DatabaseConfig
from nautilus_trader.config import (
    LiveDataEngineConfig,
    LiveExecEngineConfig,
    LoggingConfig,
    MessageBusConfig,
    TradingNodeConfig,
)
from nautilus_trader.live.node import TradingNode

from runtime.live.adapters import data_config, data_factory, exec_config, exec_factory
from runtime.live.context import LiveContext
from runtime.live.event_log import silent
from runtime.live.hand_over import HandOver, start_eagerly
from runtime.live.history import leave_history
from runtime.live.keys import keys_of, require_keys
from runtime.live.late_hearing import LateHearing
from runtime.live.limits import risk_engine_config
from runtime.live.paper import PaperExecClientConfig, SandboxLiveExecClientFactory
from runtime.live.plan import LivePlan
from runtime.live.query_text import encode_queries_fast
from runtime.live.rest_guard import telling_limits
from runtime.live.second_look import SecondLook
from runtime.live.settings import LiveSettings, LiveVenue
from runtime.live.trade_frames import read_trades_fast
from runtime.nodes import published_types

type Service = Callable[[LiveContext], Any | None]

LOG_NAME: Final = "nautilus"
# The follower looks five times a second: it would have to miss four whole files to lose a line.
LOG_BYTES: Final = 10_000_000
LOG_BACKUPS: Final = 4
CACHE_CAPACITY: Final = 1_000
DEFAULT_REDIS_PORT: Final = 6379
# Of closed orders and positions in memory: the journal has them all, and `runtime.live.history` sees to it
# that what was purged does not come back.
PURGE_MINS: Final = 5
PURGE_BUFFER_MINS: Final = 15
RECONCILE_SECS: Final = 30.0
POST_STOP_SECS: Final = 2.0


def node_config(plan: LivePlan, folder: Path, session_id: str = "") -> TradingNodeConfig:
    """Return the configuration of the node of a plan.

    Parameters
    ----------
    plan
        What is traded.
    folder
        Of this mode; receives Nautilus' log, and the paper accounts' state.
    session_id
        Of the journal.

    Raises
    ------
    ConfigurationError
        When a live account has no keys.
    """
    live = plan.settings.live
    return TradingNodeConfig(
        trader_id=live.trader_id,
        strategies=[silent(one) for one in plan.configs],
        data_clients={one.venue_name: _data_client(plan, one) for one in plan.venues},
        exec_clients={one.venue_name: _exec_client(plan, one, folder, session_id) for one in plan.venues},
        data_engine=LiveDataEngineConfig(
            time_bars_timestamp_on_close=True, graceful_shutdown_on_exception=True
        ),
        risk_engine=msgspec.structs.replace(
            risk_engine_config(live.limits, plan.instruments), graceful_shutdown_on_exception=True
        ),
        exec_engine=exec_engine_config(plan),
        cache=cache_config(live),
        message_bus=MessageBusConfig(types_filter=published_types()),
        logging=LoggingConfig(
            log_level="OFF",  # stdout is for data; our handlers get the file's lines
            log_level_file="INFO",
            log_directory=str(folder / "logs"),
            log_file_name=LOG_NAME,
            # A node runs for months: Nautilus goes on in a new file and deletes the oldest.
            log_file_max_size=LOG_BYTES,
            log_file_max_backup_count=LOG_BACKUPS,
            log_colors=False,
        ),
        load_state=live.redis is not None,
        save_state=live.redis is not None,
        timeout_connection=live.connection_secs,
        timeout_reconciliation=RECONCILE_SECS,
        timeout_post_stop=POST_STOP_SECS,
    )


def exec_engine_config(plan: LivePlan) -> LiveExecEngineConfig:
    """Return how the node agrees with its venues about orders and positions.

    Spot accounts report no positions, and the engine would invent a short against what is held; a simulated
    one reports what fees in coins left, which is less than a lot, and the engine refuses to start over it. So
    nothing is generated for spot; `generate_missing_per_venue` keeps it for contracts of the same node.
    """
    is_live = plan.mode == "live"
    return LiveExecEngineConfig(
        reconciliation=True,
        reconciliation_lookback_mins=plan.settings.live.lookback_mins,
        generate_missing_orders=not all(one.is_spot for one in plan.venues),
        filter_unclaimed_external_orders=False,
        # An order that the venue never acknowledged is asked about, and not given up because nobody answers:
        # `runtime.live.unknown_orders` rejects what the venue does not know.
        inflight_check_retries=1_000_000,
        inflight_check_interval_ms=1_000 if is_live else 0,
        inflight_check_threshold_ms=2_000,
        reconciliation_startup_delay_secs=2.0,
        # Finds orders that rest there and are unknown here. Of an order that is no longer there, filled or
        # not, it says nothing: our clients ask about those every second or so (docs/decisions/0017).
        open_check_interval_secs=15.0 if is_live else None,
        open_check_open_only=True,
        purge_closed_orders_interval_mins=PURGE_MINS,
        purge_closed_orders_buffer_mins=PURGE_BUFFER_MINS,
        purge_closed_positions_interval_mins=PURGE_MINS,
        purge_closed_positions_buffer_mins=PURGE_BUFFER_MINS,
        graceful_shutdown_on_exception=True,
    )


def cache_config(live: LiveSettings) -> CacheConfig:
    """Return the cache: in memory, and in Redis as well where the settings name a server."""
    if live.redis is None:
        return CacheConfig(tick_capacity=CACHE_CAPACITY, bar_capacity=CACHE_CAPACITY)
    parts = urlsplit(live.redis)
    return CacheConfig(
        database=DatabaseConfig(
            type="redis",
            host=parts.hostname,
            port=parts.port or DEFAULT_REDIS_PORT,
            password=redis_password(),
            ssl=parts.scheme == "rediss",
        ),
        tick_capacity=CACHE_CAPACITY,
        bar_capacity=CACHE_CAPACITY,
        flush_on_start=False,
        timestamps_as_iso8601=True,
    )


def redis_password() -> str | None:
    """Return Redis' password from the environment, None without."""
    import os

    return os.environ.get("REDIS_PASSWORD") or None


def make_node(
    plan: LivePlan,
    folder: Path,
    loop: asyncio.AbstractEventLoop,
    session_id: str = "",
    on_client: Callable[[Any], None] | None = None,
    late: LateHearing | None = None,
) -> TradingNode:
    """Return the node with its strategies and clients, not started; the loop is its own.

    `on_client` is called with each client of an adapter; `late` is what its listeners hear through.

    Raises
    ------
    ConfigurationError
        When a live account has no keys.
    """
    node = TradingNode(config=node_config(plan, folder, session_id), loop=loop)
    encode_queries_fast()

    def tell(client: Any) -> None:
        start_eagerly(client, loop)
        read_trades_fast(client)
        if on_client is not None:
            on_client(client)

    for venue in plan.venues:
        factory = exec_factory(venue) if plan.mode == "live" else SandboxLiveExecClientFactory
        node.add_data_client_factory(venue.venue_name, _telling(data_factory(venue), tell))
        node.add_exec_client_factory(venue.venue_name, _telling(factory, tell))
    node.build()
    HandOver(node.kernel, loop, LateHearing(loop) if late is None else late)
    generate_missing_per_venue(node.kernel.exec_engine, plan.venues)
    SecondLook(node.kernel.exec_engine, loop, {one.venue_name for one in plan.venues if one.is_spot})
    leave_history(node.kernel.exec_engine, node.kernel.clock.timestamp_ns, PURGE_BUFFER_MINS)
    return node


def add_services(context: LiveContext, services: Iterable[Service]) -> list[Any]:
    """Make actors of services and add them to the node; return them."""
    made = [service(context) for service in services]
    actors = [one for one in made if one is not None]
    for actor in actors:
        context.node.trader.add_actor(actor)
    return actors


def generate_missing_per_venue(engine: Any, venues: Iterable[LiveVenue]) -> None:
    """Let the engine generate what it misses for contracts and never for spot, in one node.

    The engine has one switch for all. A futures position of before the start must be generated, or nobody
    would own it; a spot account reports itself flat, and generating would sell what is held on paper.

    Parameters
    ----------
    engine
        Nautilus' live execution engine.
    venues
        Accounts of the node.
    """
    spot = {one.venue_name for one in venues if one.is_spot}
    reconcile = engine._reconcile_position_report  # noqa: SLF001 - the only place that knows the venue

    def reconcile_by_venue(report: Any) -> bool:
        engine.generate_missing_orders = report.instrument_id.venue.value not in spot
        return bool(reconcile(report))

    engine._reconcile_position_report = reconcile_by_venue  # noqa: SLF001


def _telling(factory: type[Any], tell: Callable[[Any], None]) -> type[Any]:
    """Return a factory that shows each client that it makes."""

    class Factory(factory):
        @staticmethod
        def create(**surroundings: Any) -> Any:
            with telling_limits():
                client = factory.create(**surroundings)
            tell(client)
            return client

    Factory.__name__ = factory.__name__  # Nautilus knows some by their name
    return Factory


def _data_client(plan: LivePlan, venue: LiveVenue) -> Any:
    keys = keys_of(venue) if plan.mode == "live" else None  # paper never shows a key to anybody
    return data_config(venue, plan.instruments_of(venue), keys)


def _exec_client(plan: LivePlan, venue: LiveVenue, folder: Path, session_id: str) -> Any:
    if plan.mode == "paper":
        return PaperExecClientConfig(
            venue=venue.venue_name,
            spot=venue.is_spot,
            folder=str(folder),
            session_id=session_id,
            paper=plan.settings.live.paper,
        )
    return exec_config(venue, plan.instruments_of(venue), require_keys(venue))
