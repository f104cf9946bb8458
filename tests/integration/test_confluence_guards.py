"""Pauses of confluence in the engine: what waits is taken back, and nothing goes to market meanwhile."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

from nautilus_trader.model.identifiers import InstrumentId

from strategies.confluence import ConfluenceConfig
from strategies.trade_manager.management import rules_of
from strategies.trade_manager.plan import EntryPlan
from strategies.trade_manager.record import Decision
from tests.integration.bar_harness import BAR_NS, ManagedStrategy, run_engine
from tests.integration.test_confluence_run import COINS, EASY, NAMES, Watched, bars_in_order, instrument_of

HYBRID: dict[str, Any] = {**EASY, "entry": "hybrid", "hybrid_better_pct": 0.3, "max_positions": 4}
PAUSES: dict[str, Any] = {"stop_cooldown_mins": 120, "stop_cooldown_scope": "all", "max_daily_loss_pct": 1.0}


def decisions_of(parameters: dict[str, Any]) -> list[Decision]:
    """Run the strategy over the made-up coins; return what it decided."""
    config = ConfluenceConfig(
        instrument_ids=tuple(InstrumentId.from_str(name) for name in NAMES), **parameters
    )
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


def test_a_long_wait_ends_with_the_pause_that_begins() -> None:
    """An entry that may wait for hours is taken back within the bar in which a pause begins."""
    decided = decisions_of({**HYBRID, **PAUSES, "hybrid_wait_secs": 36_000})
    began = [one.ts_ns for one in decided if one.kind == "pause_began"]
    taken_back = [one.ts_ns for one in decided if one.reason == "cooldown" and one.kind == "entry_cancelled"]
    assert taken_back
    assert all(any(0 <= ts_ns - begin <= BAR_NS for begin in began) for ts_ns in taken_back)


def test_the_equity_of_the_guards_is_that_of_the_account() -> None:
    """Another strategy's position at the venue loses: confluence, which holds nothing, pauses for the day."""
    names = tuple(InstrumentId.from_str(name) for name in NAMES[:2])
    config = ConfluenceConfig(
        instrument_ids=names, **{**EASY, "min_confidence": 100, "max_daily_loss_pct": 1.0}
    )
    strategy = Watched(config)
    # At 100.00 on a walk of 0.40 a bar: 600 coins lose one percent of 10,000 within the first steps.
    plan = EntryPlan(1, Decimal("100.00"), Decimal("50.00"), Decimal("150.00"), Decimal(600), 1, 100.0, 150.0)
    other = ManagedStrategy(instrument_of(COINS[3]), replace(plan, entry_kind="market"), rules_of("off"))
    run_engine([bars_in_order(None)], [strategy, other], [instrument_of(coin) for coin in COINS])
    decided = [one for one in strategy.published if isinstance(one, Decision)]
    assert not [one for one in decided if one.kind == "signal_taken"]
    assert other.setup is not None
    assert other.setup.ledger.entry_qty > 0
    began = [one for one in decided if one.kind == "pause_began"]
    assert {one.reason for one in began} == {"daily_loss"}
