"""What the watchdog sees of a position where the market says nothing."""

from decimal import Decimal
from types import SimpleNamespace
from typing import Any, Final

import pytest
from nautilus_trader.model.enums import OrderSide, OrderStatus, OrderType
from nautilus_trader.model.objects import Price, Quantity

from runtime.live.watchdog import Cover, covers_of

NOTHING: Any = SimpleNamespace(positions_open=lambda **_: [], orders_open=lambda **_: [])
TEN: Final = Quantity.from_int(10)


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
    assert covers_of(desk(), NOTHING) == (Cover(Decimal(10), Decimal(0), Decimal(0)), None)


def test_one_that_closed_more_than_it_held_hides_nothing_of_another() -> None:
    """Its surplus is somebody else's coins; what the living setup holds is all to be covered."""
    two = desk()
    surplus = SimpleNamespace(is_closed=False, position_qty=Decimal(-4), stop_price=Decimal("1.9"))
    two.setups = (surplus, *two.setups)
    assert covers_of(two, NOTHING) == (Cover(Decimal(10), Decimal(0), Decimal(0)), None)


@pytest.mark.parametrize("changes", [{"coins": "0.05"}, {"price": "0.4"}, {"stop_price": "0.4"}])
def test_what_no_order_could_sell_is_none(changes: dict[str, str]) -> None:
    """Less than a lot, or worth less than the smallest order, at the last price or at the stop."""
    assert covers_of(desk(**changes), NOTHING) == (None, None)


@pytest.mark.parametrize(
    ("price", "is_triggered", "is_stop"),
    [("2", False, True), ("2", True, False), ("1.895", False, True), ("1.889", False, False)],
    ids=["before", "triggered", "at_its_limit", "jumped_over"],
)
def test_a_stop_limit_is_a_stop_until_it_is_a_limit(price: str, is_triggered: bool, is_stop: bool) -> None:
    """By the venue's word, or where it tells nothing by the last trade; then the position is leaving."""
    stop = SimpleNamespace(
        side=OrderSide.SELL,
        is_sell=True,
        status=OrderStatus.ACCEPTED,
        order_type=OrderType.STOP_LIMIT,
        price=Price.from_str("1.89"),
        leaves_qty=TEN,
        is_triggered=is_triggered,
    )
    cache: Any = SimpleNamespace(positions_open=lambda **_: [], orders_open=lambda **_: [stop])
    cover, _unplanned = covers_of(desk(price=price), cache)
    assert cover is not None
    assert (cover.is_stopped, cover.is_leaving) == (is_stop, not is_stop)


@pytest.mark.parametrize(
    ("held", "own", "stops", "planned", "unplanned"),
    [
        (10, 10, 10, (10, 10, 0), None),
        (15, 10, 10, (10, 10, 0), (5, 0, 0)),
        (15, 10, 15, (10, 15, 0), (5, 5, 0)),  # a person's own stop
        (15, 10, 4, (10, 4, 0), (5, 0, 0)),
        (5, 10, 10, (5, 10, 0), None),
        (-15, -10, 10, (10, 10, 0), (5, 0, 0)),
        (-5, 10, 0, None, (5, 0, 0)),  # turned around by others
        (7, 0, 0, None, (7, 0, 0)),
        (0, 10, 10, None, None),
    ],
)
def test_what_setups_hold_is_covered_first(
    held: int, own: int, stops: int, planned: tuple[int, ...] | None, unplanned: tuple[int, ...] | None
) -> None:
    """What others added neither takes a stop from a setup nor makes its position an unprotected one."""
    direction = 1 if own >= 0 else -1
    setup = SimpleNamespace(
        is_closed=False, position_qty=Decimal(abs(own)), plan=SimpleNamespace(direction=direction)
    )
    market = SimpleNamespace(lot_size=Decimal(1))
    stop = SimpleNamespace(
        side=OrderSide.SELL if held > 0 else OrderSide.BUY,
        status=OrderStatus.ACCEPTED,
        order_type=OrderType.STOP_MARKET,
        leaves_qty=Quantity.from_int(stops),
    )
    one: Any = SimpleNamespace(
        instrument_id="XYZ",
        market=market,
        setups=(setup,),
        account_kind=lambda: "margin",
        venue=SimpleNamespace(reduce_only=True),
    )
    position = SimpleNamespace(signed_decimal_qty=lambda: Decimal(held))
    cache: Any = SimpleNamespace(positions_open=lambda **_: [position], orders_open=lambda **_: [stop])
    wanted = [words and Cover(*(Decimal(one) for one in words)) for words in (planned, unplanned)]
    assert list(covers_of(one, cache)) == wanted
