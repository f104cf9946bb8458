"""A trade is entered and left in one order each: sizes fit into it, and what does not is not sent."""

from dataclasses import replace
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from nautilus_trader.model.objects import Quantity

from strategies.account_view import most_of_one_order
from strategies.protection import VENUES
from strategies.trade_manager.plan import EntryPlan, EntryRules, Funds, Market, Zone, plan_entry
from strategies.trade_manager.sizing import RiskRules, Size, size_position
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


@pytest.mark.parametrize(
    ("max_quantity", "at_market", "most"),
    [
        ("1000", "120", "120"),
        ("100", "120", "100"),
        ("100", None, "100"),
        (None, "120", "120"),
        (None, "0", None),
    ],
)
def test_the_smaller_of_both_limits_of_an_order_holds(
    max_quantity: str | None, at_market: str | None, most: str | None
) -> None:
    """That of any order, and that of one at market."""
    instrument: Any = SimpleNamespace(
        max_quantity=None if max_quantity is None else Quantity.from_str(max_quantity),
        info={"filters": [{"filterType": "MARKET_LOT_SIZE", "maxQty": at_market}]} if at_market else None,
    )
    assert most_of_one_order(instrument) == (None if most is None else D(most))


def test_sizes_stop_at_the_largest_order() -> None:
    """Risk alone would take 50 coins; a signal and a zone are cut to the lot below the limit."""
    capped = replace(MARKET, max_qty=D("12.37"))
    prices = D(100), D(98), D(103)
    money = {"equity": D(10_000), "free_margin": D(10_000)}
    whole = size_position(*prices, rules=RiskRules(), market=MARKET, **money)
    size = size_position(*prices, rules=RiskRules(), market=capped, **money)
    assert isinstance(whole, Size)
    assert isinstance(size, Size)
    assert (whole.qty, size.qty) == (D(50), D("12.3"))
    assert (size.notional, size.risk) == (D(1230), D("24.6"))
    zone = Zone(0, 1, 0, low=98.0, high=110.0, sweet=100.0)
    plans = [
        plan_entry(zone, EntryRules(stop_buffer_pct=0), one, Funds(D(10_000), D(10_000)))
        for one in (MARKET, capped)
    ]
    assert [one.qty for one in plans if isinstance(one, EntryPlan)] == [D(50), D("12.3")]
