"""Pauses of confluence in the engine: what waits is taken back, and nothing goes to market meanwhile."""

from typing import Any

from nautilus_trader.model.identifiers import InstrumentId

from strategies.confluence import ConfluenceConfig
from strategies.trade_manager.record import Decision
from tests.integration.bar_harness import run_engine
from tests.integration.test_confluence_run import COINS, EASY, NAMES, Watched, bars_in_order, instrument_of

HYBRID: dict[str, Any] = {**EASY, "entry": "hybrid", "hybrid_better_pct": 0.3, "max_positions": 4}
PAUSES: dict[str, Any] = {"stop_cooldown_mins": 120, "stop_cooldown_scope": "all", "max_daily_loss_pct": 1.0}


def decisions_of(parameters: dict[str, Any]) -> list[Decision]:
    """Run the strategy over the made-up coins; return what it decided."""
    config = ConfluenceConfig(instrument_ids=tuple(InstrumentId.from_str(name) for name in NAMES), **parameters)
    strategy = Watched(config)
    run_engine([bars_in_order(None)], [strategy], [instrument_of(coin) for coin in COINS])
    return [one for one in strategy.published if isinstance(one, Decision)]


def test_a_pause_takes_waiting_limits_back() -> None:
    """No limit becomes a market order within a pause of all, and those that waited are cancelled by name."""
    decided = decisions_of({**HYBRID, **PAUSES})
    pauses = [
        (int(one.detail["since_ns"]), int(one.detail["until_ns"]))
        for one in decided
        if one.kind in ("pause_began", "pause_extended")
    ]
    reasons = {one.reason for one in decided if one.kind == "entry_cancelled"}
    sent = [one.ts_ns for one in decided if one.kind in ("entry_submitted", "entry_repriced")]
    assert len(pauses) > 2
    assert reasons & {"cooldown", "daily_loss"}
    assert len(sent) > 5
    assert not [ts_ns for ts_ns in sent for begin, end in pauses if begin < ts_ns < end]
