"""Prices that the band does not believe, and the stop-limit that they may have jumped over."""

from typing import Any, Final

import pytest

from tests.integration.engine_harness import CheckedStrategy, run
from tests.integration.test_ote_orders import DOWN_TO_ENTRY, FORMED, START, THROUGH_ENTRY, flat
from tests.integration.test_watchdog import Watched

SEC_NS: Final = 1_000_000_000
HELD: Final = (*START, *DOWN_TO_ENTRY, *THROUGH_ENTRY, *flat(1.02, 5))
CRASH: Final = 0.85  # 17 % below the last trades: beyond the band, the stop, and the stop's limit


def spot_run(patch: pytest.MonkeyPatch, chart: list[Any], band_pct: float, **settings: Any) -> Any:
    """Run one trade a second on a cash account; the venue's stop triggers and may never fill."""
    patch.setattr(CheckedStrategy, "check", lambda *_args: None)
    return run(
        chart, {2: [FORMED]}, account="cash", price_band_pct=band_pct, step_ns=SEC_NS, **settings
    )  # fmt: skip


def exits(result: Any) -> list[Any]:
    """Return the orders that left at market."""
    return [one for one in result.orders if one.client_order_id.value.endswith("-X1")]


@pytest.mark.parametrize("band_pct", [0.0, 10.0])
def test_a_crash_over_the_stop_is_left_in_time_with_and_without_a_band(
    monkeypatch: pytest.MonkeyPatch, band_pct: float
) -> None:
    """Out at market `exit_market_after_secs` after the first print beyond the stop, believed or not."""
    result = spot_run(monkeypatch, [*HELD, *flat(CRASH, 30)], band_pct)
    (order,) = exits(result)
    (stop,) = (one for one in result.orders if one.client_order_id.value.endswith("-S1"))
    assert 5 * SEC_NS <= order.ts_init - stop.ts_triggered <= 6 * SEC_NS
    (trade,) = result.trades
    assert trade.exit_reason == "stop"
    assert bool(result.strategy.counters.get("trades_far")) == bool(band_pct)


def test_one_bad_print_sells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A trade where the market was before, within the time, takes the exit back."""
    # The engine would fill the stop by the print: this one reaches the strategy alone.
    seen: list[Any] = []

    def hook(_number: int, strategy: CheckedStrategy) -> None:
        setup = strategy.setup
        if not seen and setup is not None and setup.is_in_position and setup.entering_qty == 0:
            ts_ns = strategy.clock.timestamp_ns()
            strategy.on_far_price(ts_ns, CRASH)
            seen.append(setup.deadline_ns - ts_ns)

    chart = [*START, *DOWN_TO_ENTRY, *THROUGH_ENTRY, *flat(1.02, 30)]
    result = spot_run(monkeypatch, chart, 10.0, hook=hook)
    assert seen == [5 * SEC_NS]  # it was on its way
    assert exits(result) == []
    assert result.trades == []
    setup = result.strategy.setup
    assert setup is not None
    assert setup.is_in_position


def test_a_stop_limit_that_was_jumped_over_is_no_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """The strategy would wait for a minute: the watchdog closes after `leaving_secs`."""
    watched = Watched(leaving_secs=4.0)
    result = spot_run(
        monkeypatch,
        [*HELD, *flat(CRASH, 30)],
        10.0,
        hook=watched.hook,
        prepare=watched.prepare,
        exit_market_after_secs=60.0,
    )
    (trade,) = result.trades
    assert trade.exit_reason == "unprotected"
    report = watched.dog.report()
    assert report["violations"] == 1
    assert 4.0 < report["longest_secs"][result.strategy.instrument_id.value] < 6.0


def test_after_a_break_the_next_price_is_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is far from the prices of before a cut is believed, and decided on."""
    cut: list[int] = []

    def hook(number: int, strategy: CheckedStrategy) -> None:
        if number == len(HELD) - 1:
            cut.append(number)
            strategy.forget_prices()

    result = spot_run(monkeypatch, [*HELD, *flat(CRASH, 30)], 10.0, hook=hook)
    assert cut
    assert not result.strategy.counters.get("trades_far")
    assert len(exits(result)) == 1
