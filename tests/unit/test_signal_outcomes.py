"""What would have become of a signal: hand-made bars, and where it ends."""

import pytest

from ml.signal_outcomes import HORIZON_NS, SignalFees, SignalWalk

BAR_NS = 300_000_000_000
FEES = SignalFees(entry=0.001, stop=0.001, target=0.0)

type Bar = tuple[float, float, float, float]

# Bars after the signal (open, high, low, close) of a long from 100 with stop 99 and target 102.
LONG: dict[str, tuple[list[Bar], tuple[str, float, int]]] = {
    "target": ([(100, 101, 99.5, 101), (101, 102.5, 100, 102)], ("target", 102, 2)),
    "a touch of the target is no fill": ([(100, 102, 99.5, 101), (101, 101, 98, 99)], ("stop", 99, 2)),
    "a touch of the stop is one": ([(100, 101, 99, 101)], ("stop", 99, 1)),
    "both in one bar: stop first": ([(100, 103, 98, 102)], ("stop", 99, 1)),
    "opens below the stop": ([(100, 101, 99.5, 100), (98, 104, 97, 103)], ("stop", 98, 2)),
    "entry bar opens below the stop": ([(98.5, 104, 98, 103)], ("stop", 98.5, 1)),
    "opens above the target": ([(100, 101, 99.5, 100), (103, 104, 102.5, 104)], ("target", 102, 2)),
    "entry bar opens above the target": ([(103, 104, 102.5, 104)], ("target", 103, 1)),
}


def mirrored(bars: list[Bar]) -> list[Bar]:
    """Return bars with prices mirrored at 100."""
    return [(200 - open_, 200 - low, 200 - high, 200 - close) for open_, high, low, close in bars]


@pytest.mark.parametrize("direction", [1, -1], ids=["long", "short"])
@pytest.mark.parametrize("name", LONG)
def test_bars_and_endings(name: str, direction: int) -> None:
    """The adverse extreme comes first for both sides; gaps are left at the open."""
    bars, (ending, price, bars_held) = LONG[name]
    if direction < 0:
        bars, price = mirrored(bars), 200 - price
    walk = SignalWalk(direction, 100.0, 100.0 - direction, 100.0 + 2 * direction, 0, FEES)
    outcomes = [walk.step((at + 1) * BAR_NS, *bar) for at, bar in enumerate(bars)]
    assert outcomes[:-1] == [None] * (len(bars) - 1)
    found = outcomes[-1]
    assert found is not None
    assert (found.ending, found.exit_price, found.closed_ns) == (ending, price, bars_held * BAR_NS)
    entry = bars[0][0]
    fees = 0.001 * entry + (0.0 if ending == "target" else 0.001 * price)
    assert found.net_r == pytest.approx((price - entry) * direction - fees)


def test_a_day_is_the_longest() -> None:
    """What reached neither in a day ends at the close, as a taker."""
    walk = SignalWalk(1, 100.0, 99.0, 102.0, 0, FEES)
    assert walk.step(HORIZON_NS - 1, 100.0, 101.0, 99.5, 100.5) is None
    found = walk.step(HORIZON_NS, 100.5, 101.0, 99.5, 101.0)
    assert found is not None
    assert (found.ending, found.net_r) == ("horizon", pytest.approx(1.0 - 0.1 - 0.101))
