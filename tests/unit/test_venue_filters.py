"""The local exchange refuses what a venue refuses: filters, ids, counts, amendments, a changed instrument."""

from decimal import Decimal
from typing import Any

import pytest

from tests.venue_desk import Desk, fills_of
from tests.venue_simulator.core import VenueRefusal, VenueRules

# order, options, the refusal; the last price is 100
REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "off the tick": ("buy 1 @ 99.95", {}, "filter_price"),
    "price of nothing": ("buy 1 @ 0", {}, "filter_price"),
    "off the lot": ("buy 1.005 @ 99", {}, "filter_lot"),
    "too small": ("buy 0 @ 99", {}, "filter_lot"),
    "too large": ("buy 9001 @ 99", {}, "filter_most"),
    "too little money": ("buy 0.01 @ 99", {}, "filter_notional"),
    "too little money at market": ("sell 0.01", {}, "filter_notional"),
    "far too high": ("buy 1 @ 500.1", {}, "percent_price"),
    "far too low": ("buy 1 @ 19.9", {}, "percent_price"),
    "limit without a price": ("buy 1", {"type": "LIMIT"}, "bad_parameter"),
    "market with a price": ("buy 1 @ 99", {"type": "MARKET"}, "bad_parameter"),
    "stop without a stop price": ("buy 1", {"type": "STOP_MARKET"}, "bad_parameter"),
    "stop price off the tick": ("sell 1", {"type": "STOP_MARKET", "stop_price": "95.05"}, "filter_price"),
}


@pytest.mark.parametrize(("text", "options", "kind"), REFUSED.values(), ids=REFUSED)
def test_filter_refuses(text: str, options: dict[str, Any], kind: str) -> None:
    """Each filter has its own refusal."""
    desk = Desk(min_notional=Decimal(2))
    desk.prints("buy 1 @ 100")
    with pytest.raises(VenueRefusal) as caught:
        desk.place(text, **options)
    assert caught.value.kind == kind


@pytest.mark.parametrize("text", ["buy 1 @ 500", "buy 1 @ 20", "buy 0.05 @ 20", "sell 100 @ 100.1"])
def test_bounds_belong_to_what_is_allowed(text: str) -> None:
    """An order exactly at a bound passes."""
    desk = Desk()
    desk.prints("buy 1 @ 100")
    desk.place(text)


def test_client_id_is_unique_among_open_orders() -> None:
    """A finished order's id may come again, unless the venue never forgets."""
    desk = Desk()
    desk.place("buy 1 @ 99", client_id="a")
    with pytest.raises(VenueRefusal, match="duplicate_id"):
        desk.place("buy 1 @ 98", client_id="a")
    desk.exchange.cancel(client_id="a")
    assert desk.place("buy 1 @ 98", client_id="a").is_open

    strict = Desk(rules=VenueRules(client_ids_for_ever=True))
    strict.place("buy 1 @ 99", client_id="a")
    strict.exchange.cancel(client_id="a")
    with pytest.raises(VenueRefusal, match="duplicate_id"):
        strict.place("buy 1 @ 98", client_id="a")


def test_open_orders_are_counted() -> None:
    """Working and conditional orders have their own bounds."""
    desk = Desk(max_orders=2, max_conditional=1)
    desk.prints("buy 1 @ 100")
    for _ in range(2):
        desk.place("buy 1 @ 99")
    with pytest.raises(VenueRefusal, match="too_many_orders"):
        desk.place("buy 1 @ 99")


@pytest.mark.parametrize("ids", [{"client_id": "nobody"}, {"order_id": 5}])
def test_unknown_order_cannot_be_cancelled(ids: dict[str, Any]) -> None:
    """Neither can one that is finished."""
    desk = Desk()
    order = desk.place("buy 1 @ 99", client_id="a")
    desk.prints("sell 1 @ 99")
    assert order.status == "FILLED"
    for named in (ids, {"client_id": "a"}):
        with pytest.raises(VenueRefusal, match="unknown_order"):
            desk.exchange.cancel(**named)


def test_smaller_size_keeps_the_place_and_a_new_price_loses_it() -> None:
    """Amending goes to the end of the queue unless only the size shrinks."""
    desk = Desk(level_qty=Decimal(3))
    desk.prints("buy 1 @ 100.1")
    order = desk.place("buy 2 @ 99.9")
    desk.prints("sell 3 @ 99.9")
    desk.exchange.amend(order, qty=Decimal(1))
    assert (order.queue_ahead, desk.balance("USDT")) == (0, ("9900.1", "99.9"))
    desk.exchange.amend(order, price=Decimal("99.8"))
    desk.exchange.amend(order, price=Decimal("99.9"))
    assert order.queue_ahead == 3


def test_refused_amendment_changes_nothing() -> None:
    """Money, filters and post-only are checked before the order is touched."""
    desk = Desk()
    desk.prints("buy 1 @ 100")
    order = desk.place("buy 50 @ 99", tif="GTX")
    for change, kind in (
        ({"qty": Decimal(200)}, "insufficient_balance"),
        ({"price": Decimal("98.95")}, "filter_price"),
        ({"price": Decimal(100)}, "would_take"),
        ({"qty": Decimal(50)}, "no_change"),
    ):
        with pytest.raises(VenueRefusal, match=kind):
            desk.exchange.amend(order, **change)
        assert (order.qty, order.price, desk.balance("USDT")) == (50, 99, ("5050", "4950"))


def test_amended_price_may_take() -> None:
    """A price beyond the touch makes a resting order a taker."""
    desk = Desk()
    desk.prints("buy 1 @ 100")
    order = desk.place("buy 1 @ 99")
    desk.exchange.amend(order, price=Decimal(101))
    assert fills_of(order) == ["1 @ 100"]


def test_moved_stop_waits_for_its_new_price() -> None:
    """A waiting stop can be moved."""
    desk = Desk()
    desk.prints("buy 1 @ 100")
    order = desk.place("sell 1", type="STOP_MARKET", stop_price="95")
    desk.exchange.amend(order, stop_price=Decimal(98))
    desk.prints("sell 1 @ 98")
    assert fills_of(order) == ["1 @ 98"]


def test_instrument_change_cancels_what_rests() -> None:
    """With a new tick size nothing old stays; with a halted market nothing new comes."""
    desk = Desk()
    desk.prints("buy 1 @ 100")
    order = desk.place("buy 1 @ 99.9")
    desk.exchange.change_market("XYZUSDT", tick=Decimal("0.5"))
    assert (order.status, order.reason) == ("CANCELED", "instrument_change")
    with pytest.raises(VenueRefusal, match="filter_price"):
        desk.place("buy 1 @ 99.9")
    desk.exchange.change_market("XYZUSDT", status="BREAK")
    with pytest.raises(VenueRefusal, match="not_trading"):
        desk.place("buy 1 @ 99.5")
    assert desk.recorder.lines[-2:] == ["market XYZUSDT TRADING", "market XYZUSDT BREAK"]
