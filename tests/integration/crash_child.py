"""A small live node in a process that may be killed: one setup, Binance's adapters as our nodes use them.

Started by `tests/integration/test_crash_points.py`; prints a line when its entry may be filled.
"""

import argparse
import asyncio
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
from nautilus_trader.adapters.binance import BINANCE, BinanceLiveDataClientFactory
from nautilus_trader.config import LiveExecEngineConfig, StrategyConfig
from nautilus_trader.live.node import TradingNode

from runtime.live.binance_spot import SpotExecClientFactory
from runtime.live.binance_usdm import UsdmExecClientFactory
from runtime.live.node import cache_config
from runtime.live.recovery import make_recovery
from runtime.live.rest import PublicRest
from runtime.live.settings import LiveSettings
from runtime.live.unknown_orders import make_unknown_orders
from runtime.live.watchdog import make_watchdog
from runtime.settings import parse_settings
from strategies.deadline_watch import live_call_soon
from strategies.entry_halt import HoldBook
from strategies.setup_strategy import SetupStrategy
from strategies.trade_manager.plan import EntryPlan
from strategies.trade_manager.setup_rules import ExitRules
from tests.integration import spot_node
from tests.integration.usdm_node import ID_TAG, INSTRUMENT_ID, node_config
from tests.venue_simulator.core import Account

ENTRY, STOP, TARGET, QTY = "49000.0", "48000.0", "50500.0", "0.100"
LIFE_SECS = 60.0
# Address of the server that holds Nautilus' cache; without it the cache is in memory.
REDIS_VARIABLE = "CRASH_CHILD_REDIS"


class OneSetup(SetupStrategy):
    """Opens one setup as soon as it may, unless it took one up from the state file."""

    is_entering = True

    def __init__(self, config: StrategyConfig) -> None:
        (instrument_id,) = config.external_order_claims
        super().__init__(config, instrument_id, "ONE", ExitRules(answer_secs=2.0))

    def on_start(self) -> None:
        """Take up what is kept, and wait for the release of entries."""
        if not self.prepare():
            raise RuntimeError("no instrument")
        call_soon = live_call_soon(self.clock)
        assert call_soon is not None
        self.watch_deadlines(call_soon)
        self.subscribe_trade_ticks(self.instrument_id)

    def on_release_entries(self, message: Any) -> None:
        """Enter once nothing holds entries any more."""
        super().on_release_entries(message)
        print("released", flush=True)
        if self.is_entering and self.setup is None and not self.holds:
            self.enter()

    def enter(self) -> None:
        """Open the setup."""
        prices = [self.instrument.make_price(one).as_decimal() for one in (ENTRY, STOP, TARGET)]
        qty = self.instrument.make_qty(QTY).as_decimal()
        ts_ns = self.clock.timestamp_ns()
        self.open_setup(EntryPlan(1, *prices, qty, 1, float(STOP), float(TARGET)), ts_ns, ts_ns)

    def on_trade_tick(self, tick: Any) -> None:
        """Let the setup see the price."""
        setup = self.setup
        if setup is not None and not setup.is_closed:
            self.carry_out(setup, setup.on_price(tick.ts_event, tick.price.as_double()) or [])


def spot_config(place: str, engine: LiveExecEngineConfig) -> Any:
    """Configure a node on the local Binance spot at `place`."""
    urls: Any = SimpleNamespace(
        http=lambda _name: f"http://{place}", ws=lambda _name, path="": f"ws://{place}{path}"
    )
    return msgspec.structs.replace(spot_node.node_config(urls), exec_engine=engine)


def run(place: str, folder: Path, *, is_spot: bool, is_entering: bool) -> None:
    """Run the node until it is killed or its time is over."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    engine = LiveExecEngineConfig(
        reconciliation_startup_delay_secs=0.1,
        inflight_check_retries=1_000_000,
        inflight_check_threshold_ms=1_000,
        inflight_check_interval_ms=500,
        generate_missing_orders=not is_spot,
    )
    instrument_id = spot_node.INSTRUMENT_ID if is_spot else INSTRUMENT_ID
    config = spot_config(place, engine) if is_spot else node_config(place, Account(balances={}), engine)
    if redis := os.environ.get(REDIS_VARIABLE):
        config = msgspec.structs.replace(
            config, cache=cache_config(LiveSettings(redis=redis)), load_state=True, save_state=True
        )
    node = TradingNode(config=config, loop=loop)
    node.add_data_client_factory(BINANCE, BinanceLiveDataClientFactory)
    # Those of our nodes. The adapter's own reports each fill of a cached position twice, as Redis has one.
    node.add_exec_client_factory(BINANCE, SpotExecClientFactory if is_spot else UsdmExecClientFactory)
    strategy = OneSetup(StrategyConfig(order_id_tag=ID_TAG, external_order_claims=[instrument_id]))
    strategy.is_entering = is_entering
    node.trader.add_strategy(strategy)
    node.build()
    hosts = f"{{http: 'http://{place}', ws: 'ws://{place}'}}"
    market = "spot" if is_spot else "usdm"
    settings = parse_settings(f"live: {{venues: [{{venue: binance, market: {market}, hosts: {hosts}}}]}}")
    context: Any = SimpleNamespace(
        mode="live",
        node=node,
        folder=folder,
        strategies=node.trader.strategies,
        loop=loop,
        call_soon=loop.call_soon_threadsafe,
        journal=SimpleNamespace(append=lambda _record: None),
        settings=settings,
        rest=PublicRest(settings),
    )
    HoldBook(node.kernel.msgbus)
    for make in (make_recovery, make_unknown_orders, make_watchdog):
        node.trader.add_actor(make(context))

    async def live() -> None:
        running = asyncio.create_task(node.run_async())
        await asyncio.sleep(LIFE_SECS)
        await node.stop_async()
        running.cancel()

    loop.run_until_complete(live())


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--place", required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--enter", action="store_true")
    parser.add_argument("--spot", action="store_true")
    arguments = parser.parse_args()
    run(arguments.place, arguments.folder, is_spot=arguments.spot, is_entering=arguments.enter)


if __name__ == "__main__":
    main()
