"""Slippage against the decision price, with a pencil."""

from decimal import Decimal

import pytest

from strategies.trade_manager.orders import Fill
from strategies.trade_manager.shortfall import Shortfall

D = Decimal


def fill(qty: str, price: str) -> Fill:
    """Make a fill."""
    return Fill(0, "t", D(qty), D(price))


@pytest.mark.parametrize(("buys", "cost"), [(1, D("0.7")), (-1, D("-0.7"))])
def test_a_higher_price_is_worse_for_a_buyer(buys: int, cost: D) -> None:
    """Two fills decided at 100: 2 at 100.5 and 3 at 99.9 cost a buyer 1 - 0.3 more."""
    book = Shortfall(buys)
    book.add(fill("2", "100.5"), D(100), is_market=True)
    book.add(fill("3", "99.9"), D(100), is_market=False)
    assert book.slippage_quote == cost
    assert book.decision_price == 100
    assert book.slippage_bps == pytest.approx(float(cost) / 500 * 10_000)
    assert book.market_value == 201


def test_decision_prices_are_averaged_by_quantity() -> None:
    """One coin wanted at 10 and three at 14: wanted at 13."""
    book = Shortfall(1)
    book.add(fill("1", "10"), D(10), is_market=False)
    book.add(fill("3", "14"), D(14), is_market=False)
    assert (book.decision_price, book.slippage_quote) == (13, 0)


def test_an_unknown_decision_price_makes_no_figure() -> None:
    """Half an answer is none."""
    book = Shortfall(1)
    book.add(fill("1", "10"), D(10), is_market=False)
    book.add(fill("1", "10"), None, is_market=True)
    assert (book.decision_price, book.slippage_quote, book.slippage_bps) == (None, None, None)
