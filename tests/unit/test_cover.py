"""What the watchdog sees of a position where the market says nothing."""

from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from runtime.live.watchdog import Cover, cover_of

NOTHING: Any = SimpleNamespace(positions_open=lambda **_: [], orders_open=lambda **_: [])


def desk(*, stop_price: str = "1.9", price: str | None = None, coins: str = "10") -> Any:
    """Return a desk of a spot account whose setup holds ten coins since before a restart."""
    setup = SimpleNamespace(is_closed=False, position_qty=Decimal(10), stop_price=Decimal(stop_price))
    market = SimpleNamespace(lot_size=Decimal("0.1"), min_qty=Decimal("0.1"), min_notional=Decimal(5))
    return SimpleNamespace(
        instrument_id="XRPUSDT.BINANCE",
        market=market,
        setups=(setup,),
        account_kind=lambda: "cash",
        held_qty=lambda _side: Decimal(coins),
        last_price=lambda: None if price is None else Decimal(price),
    )


def test_a_position_without_a_price_is_a_position() -> None:
    """After a restart with the stream down no trade is known: the stop's own price says what it is worth."""
    assert cover_of(desk(), NOTHING) == Cover(Decimal(10), Decimal(0), Decimal(0))


@pytest.mark.parametrize("changes", [{"coins": "0.05"}, {"price": "0.4"}, {"stop_price": "0.4"}])
def test_what_no_order_could_sell_is_none(changes: dict[str, str]) -> None:
    """Less than a lot, or worth less than the smallest order, at the last price or at the stop."""
    assert cover_of(desk(**changes), NOTHING) is None
