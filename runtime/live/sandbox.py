"""The venue of a paper node, as the node builder asks for it."""

from pathlib import Path
from typing import Any

from nautilus_trader.adapters.sandbox.config import SandboxExecutionClientConfig
from nautilus_trader.adapters.sandbox.factory import SandboxLiveExecClientFactory

from runtime.instruments import split_symbol
from runtime.live.plan import LivePlan, symbol_of
from runtime.live.settings import LiveVenue


def paper_config(plan: LivePlan, venue: LiveVenue) -> Any:
    """Return the configuration of the simulated account of a venue."""
    quote = split_symbol(symbol_of(plan.instruments_of(venue)[0], venue))[1]
    return SandboxExecutionClientConfig(
        venue=venue.venue_name,
        starting_balances=[f"{starting_balance(plan):f} {quote}"],
        account_type="CASH" if venue.is_spot else "MARGIN",
        oms_type="NETTING",
        support_contingent_orders=False,
        bar_execution=False,
    )


def paper_factory(plan: LivePlan, venue: LiveVenue, folder: Path) -> type[Any]:
    """Return the factory of the simulated account of a venue."""
    return SandboxLiveExecClientFactory


def starting_balance(plan: LivePlan) -> Any:
    """Return the money of a fresh paper account, quote currency."""
    return plan.settings.backtest.balance
