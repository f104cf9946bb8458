"""A halt of all entries, heard by every kind of strategy: nothing is opened, what is open is managed."""

from collections.abc import Callable
from typing import Any

from nautilus_trader.model.identifiers import InstrumentId

from strategies.breakout import BreakoutConfig, BreakoutStrategy
from strategies.confluence import ConfluenceConfig
from strategies.entry_halt import HALT_TOPIC, REARM_TOPIC, HaltEntries, RearmEntries
from strategies.trade_manager.record import ClosedTrade, Decision
from tests.integration.bar_harness import ManagedStrategy, run_bars, run_engine
from tests.integration.engine_harness import instrument_of
from tests.integration.test_bar_strategies import BREAK, EXTERNAL, MORE, QUIET, RULES, kept
from tests.integration.test_confluence_run import COINS, EASY, NAMES, Watched, bars_in_order
from tests.integration.test_confluence_run import instrument_of as coin
from tests.integration.test_managed_exits import EXITS, LONG


def halt(strategy: Any) -> None:
    """Publish a halt."""
    message = HaltEntries(ts_ns=0, source="test", reason="the disk is full", remedy="free space")
    strategy.msgbus.publish(topic=HALT_TOPIC, msg=message)


def rearm(strategy: Any) -> None:
    """Publish a rearm."""
    strategy.msgbus.publish(topic=REARM_TOPIC, msg=RearmEntries(ts_ns=0, actor="anna"))


def halting(strategy: Any, should: Callable[[Decision], bool]) -> None:
    """Halt a strategy once, at the moment at which it publishes such a decision."""
    start = strategy.on_start
    has_halted = False

    def on_decision(decision: Decision) -> None:
        nonlocal has_halted
        if not has_halted and should(decision):
            has_halted = True
            halt(strategy)

    def on_start() -> None:
        strategy.msgbus.subscribe(topic="decisions.*", handler=on_decision)
        start()

    strategy.on_start = on_start


def test_an_entry_decided_at_that_moment_is_not_sent() -> None:
    """Halted while its signal is being recorded: no order leaves the strategy, and the setup is over."""
    instrument = instrument_of("margin")
    strategy = BreakoutStrategy(BreakoutConfig(instrument_id=instrument.id, bar_type=EXTERNAL, **RULES))
    decisions, trades = kept(strategy)
    orders: list[Any] = []
    halting(strategy, lambda one: one.kind == "signal_taken")
    start = strategy.on_start
    strategy.on_start = lambda: (
        strategy.msgbus.subscribe(topic="events.order.*", handler=orders.append),
        start(),
    )
    run_bars([*QUIET, BREAK, *MORE, *QUIET, BREAK, *MORE], strategy, instrument)
    kinds = [one.kind for one in decisions]
    assert kinds[:2] == ["halted", "signal_taken"]  # the halt was heard within the record of the signal
    assert [one.reason for one in decisions if one.kind == "entry_rejected"] == ["halted"]
    assert {one.reason for one in decisions if one.kind == "signal_skipped"} <= {"halted"}
    assert (orders, trades) == ([], [])
    assert strategy.setup is not None
    assert strategy.setup.is_closed
    assert strategy.counters["illegal_transitions"] == 0


def managed(case: str, *, is_halted: bool) -> list[ClosedTrade]:
    """Run a managed trade, halted right after its entry or not at all."""
    rules, rows, rsi, _reason, _price = EXITS[case]
    instrument = instrument_of("margin")
    values = [float("nan")] * len(rows) + [rsi]
    strategy = ManagedStrategy(instrument, LONG, rules, values)
    if is_halted:
        halting(strategy, lambda one: one.kind == "entry_filled")
    run_bars([(1.50,) * 4, *rows, (1.50,) * 4], strategy, instrument)
    assert strategy.is_halted == is_halted
    return strategy.trades


def test_a_halted_position_is_managed_as_ever() -> None:
    """Target, stop, break-even and trailing stop: the same trade, to the last unit, as without the halt."""
    for case in ("the target", "the stop", "s0 break-even from 30 %", "trailing at 30 % of the best close"):
        (trade,) = managed(case, is_halted=False)
        assert managed(case, is_halted=True) == [trade]
        assert trade.exit_reason == EXITS[case][3]


def test_all_coins_of_a_portfolio_halt_and_go_on_after_a_rearm() -> None:
    """No signal of any coin is taken between halt and rearm, open positions end; afterwards entries go on."""
    config = ConfluenceConfig(instrument_ids=tuple(InstrumentId.from_str(name) for name in NAMES), **EASY)
    strategy = Watched(config)
    taken = 0

    def should(decision: Decision) -> bool:
        nonlocal taken
        taken += decision.kind == "signal_taken"
        return taken == 8

    halting(strategy, should)
    skips, is_rearmed = 0, False
    start = strategy.on_start

    def on_start() -> None:
        start()

        def count(decision: Decision) -> None:
            nonlocal skips, is_rearmed
            skips += decision.kind == "signal_skipped" and decision.reason == "halted"
            if skips == 30 and not is_rearmed:
                is_rearmed = True
                rearm(strategy)

        strategy.msgbus.subscribe(topic="decisions.*", handler=count)

    strategy.on_start = on_start
    run_engine([bars_in_order(None)], [strategy], [coin(one) for one in COINS])
    kinds = [getattr(one, "kind", "trade") for one in strategy.published]
    first, last = kinds.index("halted"), kinds.index("rearmed")
    assert kinds.count("halted") == kinds.count("rearmed") == len(NAMES)
    between = [one for one in strategy.published[first:last] if isinstance(one, Decision)]
    # Chosen in the same round, before the halt: their orders are refused.
    chosen = [one for one in between if one.kind == "signal_taken"]
    assert len({one.ts_ns for one in chosen}) <= 1
    assert all(one.ts_ns <= strategy.published[first].ts_ns for one in chosen)
    rejected = [one.instrument_id for one in between if one.kind == "entry_rejected"]
    assert rejected == [one.instrument_id for one in chosen]
    assert not set(rejected) & {one.instrument_id for one in between if one.kind == "entry_filled"}
    assert "trade" in kinds[first:last]
    assert "signal_taken" in kinds[last:]
    assert "entry_filled" in kinds[last:]
