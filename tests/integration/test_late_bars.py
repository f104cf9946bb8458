"""One bar of a live session comes late: what is measured afterwards is what history gives."""

from typing import Any

import pytest
from nautilus_trader.model.data import Bar
from nautilus_trader.model.identifiers import InstrumentId

from strategies.confluence import ConfluenceConfig
from strategies.trade_manager.record import Decision
from tests.integration.bar_harness import run_engine
from tests.integration.test_confluence_run import (
    BAR_NS,
    COINS,
    EASY,
    MIDNIGHT,
    NAMES,
    Watched,
    bars_in_order,
    instrument_of,
)

LATE_NS = MIDNIGHT + 400 * BAR_NS
MEASURED = ("feature_", "context_")


def signals_with(late: str, after_ns: int) -> tuple[dict[tuple[int, str, str], dict[str, Any]], int]:
    """Run with a coin's bar so long after its close; return what each signal measured, and the late bars."""
    config = ConfluenceConfig(
        instrument_ids=tuple(InstrumentId.from_str(name) for name in NAMES), **{**EASY, "record_from": 0}
    )
    strategy = Watched(config)
    bars = bars_in_order(None)
    for number, bar in enumerate(bars):
        if bar.ts_event == LATE_NS and bar.bar_type.instrument_id.value == late:
            levels = (bar.open, bar.high, bar.low, bar.close, bar.volume)
            bars[number] = Bar(bar.bar_type, *levels, bar.ts_event, bar.ts_event + after_ns)
    bars.sort(key=lambda bar: bar.ts_init)
    run_engine([bars], [strategy], [instrument_of(coin) for coin in COINS])
    found = {
        (one.ts_ns, one.instrument_id, one.side): {
            name: value for name, value in one.detail.items() if name.startswith(MEASURED)
        }
        for one in strategy.published
        if isinstance(one, Decision) and one.kind in ("signal_taken", "signal_skipped")
    }
    return found, strategy.rounds.barrier.late


@pytest.mark.parametrize("late", [NAMES[0], pytest.param(NAMES[1], marks=pytest.mark.slow)])
def test_later_figures_are_those_of_history(late: str) -> None:
    """From the next complete close time on all features and correlations are equal, bit by bit.

    At its own close time they cannot be: the other coins were decided without it, and it is not traded.
    """
    history, none_late = signals_with(late, 0)
    live, late_bars = signals_with(late, 3_000_000_000)
    assert (none_late, late_bars) == (0, 1)
    later = [one for one in history if one[0] > LATE_NS]
    assert len(later) > 300
    assert [one for one in live if one[0] > LATE_NS] == later
    assert {one: live[one] for one in later} == {one: history[one] for one in later}
    known = [name for one in later for name in history[one]]
    assert {"feature_btc_correlation", "context_correlation", "feature_btc_change_4h"} <= set(known)
    assert "feature_win_rate_coin" in known
