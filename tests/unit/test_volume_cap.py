"""Entries that the market bears: a share of what the last bars traded."""

from decimal import Decimal

import pytest

from strategies.trade_manager.sizing import Market, RiskRules, Size, quantity_for_volume, size_position
from strategies.trade_manager.skips import Skip, SkipReason

MARKET = Market(
    Decimal("0.01"), Decimal("0.1"), Decimal("0.1"), Decimal(5), Decimal(0), Decimal(0), True, True, False
)


def sized(max_qty: Decimal | None, stop: int = 98, target: int = 103) -> Size | Skip:
    """Return the size of a trade at 100 that risk alone would make 50."""
    return size_position(
        Decimal(100),
        Decimal(stop),
        Decimal(target),
        rules=RiskRules(),
        market=MARKET,
        equity=Decimal(10_000),
        free_margin=Decimal(10_000),
        max_qty=max_qty,
    )


@pytest.mark.parametrize(("stop", "target"), [(98, 103), (102, 97)])
def test_the_volume_cuts_the_size_of_either_side(stop: int, target: int) -> None:
    """Rounded down to lots; margin and risk are those of what is left; a wide market cuts nothing."""
    size = sized(Decimal("12.37"), stop, target)
    assert isinstance(size, Size)
    assert (size.qty, size.notional, size.risk) == (Decimal("12.3"), Decimal("1230.0"), Decimal("24.6"))
    assert sized(Decimal(50), stop, target) == sized(None, stop, target)


@pytest.mark.parametrize("max_qty", ["0", "0.09"])
def test_too_little_volume_is_a_skip_of_its_own(max_qty: str) -> None:
    """Figure and limit are the quantity that the market bears, and the least that the venue takes."""
    assert sized(Decimal(max_qty)) == Skip(SkipReason.LOW_VOLUME, float(max_qty), 0.1)


def test_the_mean_counts_bars_without_trades() -> None:
    """Nothing known is no volume; zero percent is no limit."""
    assert quantity_for_volume([30.0, 0.0, 0.0], 10) == Decimal("1.0")
    assert quantity_for_volume([], 10) == Decimal("0.0")
    assert quantity_for_volume([], 0) is None
