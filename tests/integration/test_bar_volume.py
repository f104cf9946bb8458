"""What a bar's volume does to fills: without trades there are none, and large orders move their own price."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from nautilus_trader.model.data import Bar

from runtime.bar_share import VolumeShares
from runtime.bar_venue import WAIT_BARS, BarVenue
from tests.integration.bar_harness import BAR_NS, LATENCY_NS, Row, bars_of, run_engine
from tests.integration.engine_harness import instrument_of
from tests.integration.test_bar_venue import FLAT, Fill, Intent, OneTrade, mirrored

# The test strategy trades 100: a hundredth of the bar, a quarter, the whole of it, four bars.
IMPACT: dict[float, int] = {10_000: 3, 400: 15, 100: 30, 25: 60}
"""Volume of the bar -> ticks of 0.0001 that a market order at 1.5000 loses at 20 bps of impact."""


def run(
    rows: Sequence[Row],
    volumes: Sequence[float],
    strategy: OneTrade,
    missing: Sequence[int] = (),
    impact_bps: int = 0,
    chunk: int = 1000,
) -> tuple[list[Fill], BarVenue]:
    """Run hand-made bars with volumes, without some of them, and return the fills of the trade."""
    instrument = strategy.instrument
    bars = bars_of(instrument, strategy.bar_type, rows, volumes)
    kept = [bar for number, bar in enumerate(bars) if number not in missing]
    chunks = [kept[begin : begin + chunk] for begin in range(0, len(kept), chunk)]
    module = run_engine(chunks, [strategy], [instrument], impact_bps=Decimal(impact_bps))
    return strategy.intent.fills, module


def turned(direction: int, price: float) -> float:
    """Return a price of the long's table for either side."""
    return price if direction > 0 else mirrored(price)


def one_trade(direction: int) -> OneTrade:
    """Return a strategy that enters at the first close, stop and target 0.05 away from 1.50."""
    intent = Intent(direction, turned(direction, 1.45), turned(direction, 1.55))
    return OneTrade(instrument_of("margin"), intent)


def row(direction: int, *prices: float) -> Row:
    """Return a bar of the long's table for either side."""
    first, high, low, last = (turned(direction, price) for price in prices)
    return (first, high, low, last) if direction > 0 else (first, low, high, last)


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("missing", [(), (1, 2)])
def test_a_market_order_waits_for_a_bar_that_traded(direction: int, missing: tuple[int, ...]) -> None:
    """Two bars without volume, or no bars at all: the entry fills at the open of the third."""
    rows = [FLAT, FLAT, FLAT, row(direction, 1.52, 1.53, 1.51, 1.52), FLAT]
    fills, _module = run(rows, [1000, 0, 0, 1000, 1000], one_trade(direction), missing)
    assert [(fill.leg, fill.price) for fill in fills] == [("entry", pytest.approx(turned(direction, 1.52)))]
    assert fills[0].after_ns == 3 * BAR_NS + LATENCY_NS


class TimedTrade(OneTrade):
    """Looks at the clock two seconds after each close, as a strategy that waits for late bars does."""

    def on_bar(self, bar: Bar) -> None:
        super().on_bar(bar)
        self.clock.set_time_alert_ns(f"at {bar.ts_event}", bar.ts_event + 2_000_000_000, self.on_alert)

    def on_alert(self, _event: Any) -> None:
        """Do nothing: that time passes is enough for the venue to work."""


def test_a_timer_does_not_fill_a_waiting_order_at_an_old_price() -> None:
    """The bar that the order waited for has opened when the clock stops within it."""
    rows: list[Row] = [FLAT, FLAT, (1.53, 1.54, 1.52, 1.53), (1.53,) * 4]
    fills, _module = run(
        rows, [1000, 0, 1000, 1000], TimedTrade(instrument_of("margin"), Intent(1, 1.45, 1.65))
    )
    assert [(fill.leg, fill.price) for fill in fills] == [("entry", pytest.approx(1.53))]


@pytest.mark.parametrize("direction", [1, -1])
def test_a_stop_does_not_fill_without_volume(direction: int) -> None:
    """Prices of a bar in which nothing traded are no trades; the next one opens beyond the stop."""
    away = row(direction, 1.42, 1.42, 1.42, 1.42)
    rows = [FLAT, FLAT, away, row(direction, 1.40, 1.41, 1.39, 1.40), FLAT]
    fills, module = run(rows, [1000, 1000, 0, 1000, 1000], one_trade(direction))
    assert [(fill.leg, fill.price) for fill in fills] == [
        ("entry", pytest.approx(1.50)),
        ("stop", pytest.approx(turned(direction, 1.40))),
    ]
    assert module.walked == 2, "the bars of entry and exit"


@pytest.mark.parametrize("chunk", [1, 4, 1000])
def test_the_wait_has_an_end(chunk: int) -> None:
    """Nothing trades for an hour: the order fills at the last close, at the largest impact (200 bps)."""
    rows = [FLAT] * (WAIT_BARS + 3)
    volumes = [1000.0, *[0.0] * (WAIT_BARS + 1), 1000.0]
    shares = VolumeShares()
    if chunk < WAIT_BARS:
        rows, volumes = rows[: WAIT_BARS + 2], volumes[: WAIT_BARS + 2]
    fills, module = run(rows, volumes, one_trade(1), impact_bps=20, chunk=chunk)
    assert (fills[0].leg, fills[0].price) == ("entry", pytest.approx(1.53))
    assert fills[0].after_ns == BAR_NS + LATENCY_NS
    module.tell_shares(shares)
    assert shares.as_plain()["entries"]["without_volume"] == 1


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("volume", IMPACT)
def test_a_large_order_moves_its_own_price(direction: int, volume: float) -> None:
    """The square root of its share of the bar, for the entry at the open and for the stop at its trigger."""
    rows = [FLAT, FLAT, row(direction, 1.50, 1.50, 1.40, 1.40), row(direction, 1.40, 1.40, 1.40, 1.40)]
    fills, module = run(rows, [volume] * 4, one_trade(direction), impact_bps=20)
    entry, stop = fills
    assert entry.price == pytest.approx(1.50 + direction * IMPACT[volume] * 0.0001)
    at_stop = turned(direction, 1.45)
    bps = 20 * (100 / volume) ** 0.5
    assert direction * (at_stop - stop.price) / at_stop * 1e4 == pytest.approx(bps, abs=0.7)
    shares = VolumeShares()
    module.tell_shares(shares)
    figures = shares.as_plain()["entries"]
    assert figures["worst_pct"] == pytest.approx(100 / volume * 100)
    assert (figures["orders"], figures["above_100_pct"]) == (1, int(volume < 100))


def test_sides_are_told_apart() -> None:
    """An entry and its exit are counted each on its own, by order."""
    rows: list[Row] = [FLAT, FLAT, (1.50, 1.50, 1.40, 1.40), (1.40,) * 4]
    _fills, module = run(rows, [1000] * 4, one_trade(1))
    shares = VolumeShares()
    module.tell_shares(shares)
    plain = shares.as_plain()
    assert (plain["entries"]["orders"], plain["exits"]["orders"]) == (1, 1)
    assert plain["exits"]["worst_pct"] == pytest.approx(10)
