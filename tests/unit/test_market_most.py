"""An entry that could not leave at market in one order is not sent."""

from decimal import Decimal

import pytest

from strategies.protection import VENUES
from strategies.trade_manager.plan import EntryPlan, Market
from strategies.venue_filters import refused_exit

D = Decimal
MARKET = Market(D("0.1"), D("0.1"), D("0.1"), D(5), D(0), D(0), True, True, False)


@pytest.mark.parametrize(("qty", "is_refused"), [("120", False), ("120.1", True)])
@pytest.mark.parametrize("kind", ["margin", "cash"])
def test_entries_above_the_largest_order_at_market_are_refused(qty: str, is_refused: bool, kind: str) -> None:
    """Its stop, or the exit of last resort, would be refused again and again."""
    plan = EntryPlan(1, D(100), D(99), D(106), D(qty), 1, 99.0, 106.0)
    info = {"filters": [{"filterType": "MARKET_LOT_SIZE", "minQty": "0", "maxQty": "120"}]}
    text = refused_exit(plan, MARKET, VENUES["BINANCE", kind], info, 0.2)  # type: ignore[index]
    assert (text is not None) == is_refused
    assert text is None or text == "quantity 120.1 is more than one order at market may have, 120"


def test_zero_stands_for_no_limit() -> None:
    """As Binance spot says where it has none."""
    plan = EntryPlan(1, D(100), D(99), D(106), D(10_000), 1, 99.0, 106.0)
    info = {"filters": [{"filterType": "MARKET_LOT_SIZE", "maxQty": "0.00000000"}]}
    assert refused_exit(plan, MARKET, VENUES["BINANCE", "margin"], info, 0.2) is None
