"""A strategy that trades by script: a trade at one agreed price opens a setup, at another takes it back.

Everything after that (protection, sizes, cancellations, restarts) is the product's own `SetupStrategy`.
"""

from decimal import Decimal
from typing import Any

from nautilus_trader.config import StrategyConfig
from nautilus_trader.model.identifiers import InstrumentId

from strategies.deadline_watch import live_call_soon
from strategies.registry import StrategySpec
from strategies.setup_strategy import SetupStrategy
from strategies.trade_manager.plan import EntryPlan
from strategies.trade_manager.setup_rules import ExitRules

SPEC = StrategySpec(
    name="scripted",
    version="1",
    summary="Opens a setup when a trade has an agreed price; for tests of nodes",
    strategy_path="strategies.scripted:ScriptedStrategy",
    config_path="strategies.scripted:ScriptedConfig",
)


class ScriptedConfig(StrategyConfig, frozen=True, kw_only=True):
    """The script.

    Parameters
    ----------
    instrument_id
        What is traded.
    trade_from_ns
        No entries before.
    arm_price, low_arm_price, cancel_price
        A trade at exactly this price opens a setup (at the low one its entry would take, and is refused), or
        takes the entry back.
    entry_price, stop_price, target_price
        Of every setup, quote currency.
    qty
        Of every setup, base currency.
    swell_price, swell_mb
        A trade at this price lets the node grow by so much memory, MiB.
    """

    instrument_id: InstrumentId
    trade_from_ns: int = 0
    arm_price: Decimal = Decimal(50010)
    low_arm_price: Decimal = Decimal(49890)
    cancel_price: Decimal = Decimal(50020)
    entry_price: Decimal = Decimal(49900)
    stop_price: Decimal = Decimal(49000)
    target_price: Decimal = Decimal(51000)
    qty: Decimal = Decimal("0.1")
    swell_price: Decimal = Decimal(50030)
    swell_mb: int = 0


class ScriptedStrategy(SetupStrategy):
    """See the module."""

    def __init__(self, config: ScriptedConfig) -> None:
        super().__init__(config, config.instrument_id, "SCR", ExitRules(answer_secs=2.0))
        self._number = 0
        self._swollen = b""

    def on_start(self) -> None:
        """Take up what is kept, and listen."""
        if not self.prepare():
            self.stop()
            return
        call_soon = live_call_soon(self.clock)
        if call_soon is not None:
            self.watch_deadlines(call_soon)
        self.subscribe_trade_ticks(self.instrument_id)

    def on_stop(self) -> None:
        """Take a waiting entry back; a position keeps its exits."""
        self.stop_setup()

    def on_trade_tick(self, tick: Any) -> None:
        """Open or take back where the script says so, and let the setup see the price."""
        price, setup = tick.price.as_decimal(), self.setup
        is_alive = setup is not None and not setup.is_closed
        if price == self.config.swell_price:
            self._swollen = b"x" * (self.config.swell_mb << 20)
        if price in (self.config.arm_price, self.config.low_arm_price) and not is_alive:
            self._arm(tick.ts_event)
            return
        if not is_alive:
            return
        if price == self.config.cancel_price:
            self.carry_out(setup, setup.cancel_entry("scripted", tick.ts_event))
        else:
            self.carry_out(setup, setup.on_price(tick.ts_event, tick.price.as_double()) or [])

    def _arm(self, ts_ns: int) -> None:
        closed = self.closed_to_entries
        if closed is not None:
            self.decide("signal_skipped", ts_ns=ts_ns, reason=closed.value)
            return
        self._number += 1
        config = self.config
        prices = (config.entry_price, config.stop_price, config.target_price)
        low, high = float(config.stop_price), float(config.target_price)
        self.open_setup(EntryPlan(1, *prices, config.qty, self._number, low, high), ts_ns, ts_ns)
