"""What an account has at work counts what Nautilus' cache forgot over a restart."""

from decimal import Decimal
from types import SimpleNamespace
from typing import Any

from nautilus_trader.model.enums import OrderStatus
from nautilus_trader.model.identifiers import ClientOrderId, InstrumentId

from strategies.exposure import notionals
from strategies.trade_manager.orders import Leg, OrderKind, OrderStage, OwnOrder

XRP, ADA, FAR = (
    InstrumentId.from_str(name) for name in ("XRPUSDT.BINANCE", "ADAUSDT.BINANCE", "XRPUSDT.BYBIT")
)


class _Cache:
    """Knows one price of XRP, positions as given, and no order."""

    def __init__(self, **qty: str) -> None:
        self._positions = [
            SimpleNamespace(instrument_id=XRP, quantity=_Amount(one), avg_px_open="2") for one in qty.values()
        ]

    def positions_open(self, venue: Any) -> list[Any]:
        return [one for one in self._positions if one.instrument_id.venue == venue]

    def trade_tick(self, instrument_id: InstrumentId) -> Any:
        return SimpleNamespace(price=_Amount("3"), ts_event=1) if instrument_id == XRP else None

    def bar_types(self, **_words: Any) -> list[Any]:
        return []

    def orders_open(self, venue: Any) -> list[Any]:
        return []

    orders_inflight = orders_open

    def order(self, client_order_id: ClientOrderId) -> Any:
        """Return an order that has been made: it waits for the disk, or is at the venue."""
        status = {"WAITS": OrderStatus.INITIALIZED, "SENT": OrderStatus.SUBMITTED}
        name = client_order_id.value
        return SimpleNamespace(status=status[name]) if name in status else None


class _Amount:
    def __init__(self, text: str) -> None:
        self._text = text

    def as_decimal(self) -> Decimal:
        return Decimal(self._text)


def desk(instrument_id: InstrumentId, qty: str, *, is_closed: bool = False, keeper: Any = True) -> Any:
    """Return a desk with one setup that was entered at 5."""
    plan = SimpleNamespace(entry_price=Decimal(5))
    setup = SimpleNamespace(is_closed=is_closed, position_qty=Decimal(qty), plan=plan, orders={})
    return SimpleNamespace(instrument_id=instrument_id, keeper=keeper, setups=(setup,))


def test_setups_count_where_the_cache_forgot_their_coins() -> None:
    """A spot account after a restart has no position in the cache: its setups say what is at work."""
    desks = [desk(XRP, "10"), desk(ADA, "4"), desk(FAR, "100")]
    assert notionals(_Cache(), XRP, desks) == (Decimal(30), Decimal(30) + Decimal(4) * 5)


def test_nothing_counts_twice() -> None:
    """What the cache has is not added again; closed setups and backtests add nothing."""
    desks = [desk(XRP, "10"), desk(XRP, "99", is_closed=True), desk(ADA, "7", keeper=None)]
    assert notionals(_Cache(position="10"), XRP, desks) == (Decimal(30), Decimal(30))
    assert notionals(_Cache(position="4"), XRP, desks) == (Decimal(30), Decimal(30))


def entering(instrument_id: InstrumentId, client_id: str, **options: Any) -> Any:
    """Return a desk that has decided to buy 2 at 10."""
    one = desk(instrument_id, "0", **options)
    (setup,) = one.setups
    setup.orders[client_id] = OwnOrder(
        client_id=client_id, leg=Leg.ENTRY, kind=OrderKind.LIMIT, qty=Decimal(2), price=Decimal(10)
    )
    return one


def test_entries_that_have_not_left_yet_count() -> None:
    """Two decided at once: the second is asked about while the first waits for the disk, or was not made."""
    desks = [entering(XRP, "WAITS"), entering(ADA, "NOT-MADE"), entering(FAR, "WAITS")]
    assert notionals(_Cache(), XRP, desks) == (Decimal(20), Decimal(40))


def test_the_entry_that_is_asked_about_does_not_count() -> None:
    """Its own quantity is added by the limit."""
    desks = [entering(XRP, "NOT-MADE"), entering(ADA, "WAITS")]
    assert notionals(_Cache(), XRP, desks, besides="NOT-MADE") == (Decimal(0), Decimal(20))


def test_what_has_left_or_ended_does_not_count_as_unsent() -> None:
    """Orders in flight are counted where Nautilus lists them; an acknowledged or closed one is not unsent."""
    acknowledged = entering(ADA, "WAITS")
    acknowledged.setups[0].orders["WAITS"].stage = OrderStage.WORKING
    desks = [entering(XRP, "SENT"), entering(XRP, "WAITS", keeper=None), acknowledged]
    desks.append(entering(ADA, "WAITS", is_closed=True))
    assert notionals(_Cache(), XRP, desks) == (Decimal(0), Decimal(0))
