"""Where a desk leaves its setups so that another process can go on with them; none in backtests."""

import math
from decimal import Decimal
from typing import Any, Final, Protocol

import msgspec

from strategies.trade_manager.management import ManagementRules, Phase, TradeManager
from strategies.trade_manager.setup import Setup

UNKNOWN_TOPIC: Final = "unknown.orders"


class UnknownOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Nobody knows whether a venue took an order: it timed out or answered with an error of its own.

    Parameters
    ----------
    client_order_id, instrument_id
        Which order.
    reason
        What the adapter called its rejection.
    """

    client_order_id: str
    instrument_id: str
    reason: str


class DeskMemory(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a desk knows besides its setups.

    Parameters
    ----------
    dust_qty, dust_value
        Base coins that closed trades left behind, and what they count for, as text.
    leverage
        Of the living setup.
    entered_ns
        When its signal was given, UNIX nanoseconds.
    signal_price
        Close at which it was given, as text.
    phase, best_close
        Of the `TradeManager`; empty and None where there is none.
    halted, external
        Why the desk itself halted, and why it is held because of what others did; empty where it is not. Both
        end by a person's rearm alone, never by a restart.
    stray_funding_ns
        Up to when funding of no trade of ours was told, UNIX nanoseconds: no ledger has it.
    """

    dust_qty: str = "0"
    dust_value: str = "0"
    leverage: int = 1
    entered_ns: int = 0
    signal_price: str = "0"
    phase: str = ""
    best_close: float | None = None
    halted: str = ""
    external: str = ""
    stray_funding_ns: int = 0


def with_manager(memory: DeskMemory, manager: TradeManager | None) -> DeskMemory:
    """Return a memory that holds where the rules of the living trade stand."""
    if manager is None:
        return memory
    best = manager.best_close if math.isfinite(manager.best_close) else None
    return msgspec.structs.replace(memory, phase=manager.phase.value, best_close=best)


def manager_of(memory: DeskMemory, rules: ManagementRules, tick_size: Decimal) -> TradeManager | None:
    """Return the rules where they stood, None where there were none."""
    if not memory.phase:
        return None
    best = math.nan if memory.best_close is None else memory.best_close
    return TradeManager(rules, tick_size, Phase(memory.phase), best)


class SetupKeeper(Protocol):
    """Keeps setups over restarts. Without one nothing is kept, and nothing is paid for it."""

    def keep(self, desk: Any, setup: Setup, *, is_intent: bool) -> bool:
        """Store a setup as it is now.

        Parameters
        ----------
        desk
            Its `SetupDesk`.
        setup
            What to store.
        is_intent
            An order goes out next: it must be on the disk before this returns.

        Returns
        -------
        bool
            False when it could not be stored.
        """

    def keep_memory(self, desk: Any) -> None:
        """Store what a desk knows besides its setups, before this returns."""

    def recall(self, desk: Any) -> tuple[list[Setup], DeskMemory | None]:
        """Return the setups of a desk that were kept, oldest first, and what else it knew."""

    def was_used(self, desk: Any, setup_id: str) -> bool:
        """Tell whether a setup of this id was ever sent: its zone was traded."""


__all__ = ["UNKNOWN_TOPIC", "DeskMemory", "SetupKeeper", "UnknownOrder", "manager_of", "with_manager"]
