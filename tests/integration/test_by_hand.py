"""What a person tells a desk to do: it is carried out like a decision of the strategy, and names who."""

import pytest
from nautilus_trader.model.identifiers import InstrumentId

from strategies.confluence import ConfluenceConfig, ConfluenceStrategy
from strategies.trade_manager.lifecycle import Stage
from tests.integration.engine_harness import AccountName, CheckedStrategy, run
from tests.integration.test_confluence_run import NAMES
from tests.integration.test_ote_orders import (
    AFTERWARDS,
    BEFORE_TARGET,
    DOWN_TO_ENTRY,
    FORMED,
    START,
    flat,
)


@pytest.mark.parametrize("account", ["cash", "margin"])
@pytest.mark.parametrize("latency_ms", [0, 50])
def test_a_position_is_closed_by_hand(account: AccountName, latency_ms: int) -> None:
    """It leaves at market for the reason `manual`, no order stays, and the record says who wanted it."""
    answers = []

    def hook(number: int, strategy: CheckedStrategy) -> None:
        if number == 40:
            answers.append(strategy.close_by_hand("I do not like it", "anna"))
        if number == len(BEFORE_TARGET) + 10:
            answers.append(strategy.close_by_hand("again", "anna"))

    result = run(
        [*BEFORE_TARGET, *AFTERWARDS], {2: [FORMED]}, account=account, latency_ms=latency_ms, hook=hook
    )
    (trade,) = result.trades
    assert trade.exit_reason == "manual"
    assert answers == [True, False]  # the second time there is nothing to close
    (order,) = result.kinds("commanded")
    assert (order.reason, order.detail["actor"], order.detail["text"]) == (
        "close",
        "anna",
        "I do not like it",
    )
    assert all(one.is_closed for one in result.orders)
    assert result.strategy.counters["illegal_transitions"] == 0


def test_a_waiting_entry_is_taken_back_by_hand() -> None:
    """It is cancelled for the reason `manual`; the zone is not entered again."""
    answers = []

    def hook(number: int, strategy: CheckedStrategy) -> None:
        if number in {12, 20}:
            answers.append(strategy.cancel_entry_by_hand("anna"))

    result = run([*START, *DOWN_TO_ENTRY, *flat(1.02, 10)], {2: [FORMED]}, hook=hook)
    assert answers == [True, False]
    assert [one.reason for one in result.kinds("entry_cancelled")] == ["manual"]
    assert result.trades == []
    assert result.strategy.setup is not None
    assert result.strategy.setup.stage is Stage.CLOSED
    assert [one.detail["actor"] for one in result.kinds("commanded")] == ["anna"]


def test_every_strategy_offers_its_desks() -> None:
    """One on one instrument is its own desk; one on many has a desk for each."""
    strategy = run(START, {}).strategy
    assert strategy.desks == (strategy,)
    many = ConfluenceStrategy(
        ConfluenceConfig(instrument_ids=tuple(InstrumentId.from_str(one) for one in NAMES))
    )
    assert [one.instrument_id for one in many.desks] == sorted(many.config.instrument_ids)
