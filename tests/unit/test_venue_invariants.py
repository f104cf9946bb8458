"""Whatever is ordered and printed on the local exchange, money is conserved and nothing becomes negative."""

from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.venue_desk import Desk
from tests.venue_simulator.core import Exchange, Listener, Order, VenueRefusal

SIDES = st.sampled_from(["buy", "sell"])
QTYS = st.integers(1, 4000).map(lambda lots: Decimal(lots) / 100)
PRICES = st.integers(900, 1100).map(lambda ticks: Decimal(ticks) / 10)
TIFS = st.sampled_from(["GTC", "IOC", "FOK", "GTX"])
ACTIONS = st.one_of(
    st.tuples(st.just("print"), SIDES, QTYS, PRICES),
    st.tuples(st.just("limit"), SIDES, QTYS, PRICES, TIFS, st.booleans()),
    st.tuples(st.just("market"), SIDES, QTYS, st.booleans()),
    st.tuples(st.just("stop"), SIDES, QTYS, PRICES, st.booleans()),
    st.tuples(st.just("cancel"), st.integers(0, 30)),
    st.tuples(st.just("amend"), st.integers(0, 30), QTYS, PRICES),
)
PLAYS = st.lists(ACTIONS, max_size=60)
LEVELS = st.sampled_from(["0", "0.5", "7"])


class Watch(Listener):
    """Checks every order at every event."""

    def on_order(self, order: Order, execution: Any, fill: Any) -> None:
        assert 0 <= order.filled_qty <= order.qty
        assert order.queue_ahead >= 0
        assert order.locked >= 0
        assert order.filled_qty == sum(one.qty for one in order.fills)
        if fill is not None and order.price is not None:
            assert (fill.price - order.price) * order.sign <= 0, "worse than its limit"


def act(desk: Desk, action: tuple[Any, ...]) -> None:
    """Do one thing; what the exchange refuses leaves no trace."""
    exchange, known = desk.exchange, list(desk.exchange.orders.values())
    try:
        match action:
            case "print", side, qty, price:
                desk.prints(f"{side} {qty} @ {price}")
            case "limit", side, qty, price, tif, reduce_only:
                desk.place(f"{side} {qty} @ {price}", tif=tif, reduce_only=reduce_only)
            case "market", side, qty, reduce_only:
                desk.place(f"{side} {qty}", reduce_only=reduce_only)
            case "stop", side, qty, price, is_closing:
                desk.place(f"{side} {qty}", type="STOP_MARKET", stop_price=price, close_position=is_closing)
            case "cancel", row if row < len(known):
                exchange.cancel(order_id=known[row].order_id)
            case "amend", row, qty, price if row < len(known) and known[row].is_priced:
                exchange.amend(known[row], qty=qty, price=price)
    except VenueRefusal:
        pass


def check_books(exchange: Exchange) -> None:
    """Each queue holds open orders only, in price-time order, and all of them."""
    for book in exchange.books.values():
        for queue in (book.bids, book.asks, book.rising, book.falling):
            assert queue == sorted(queue)
        standing = [entry.order for queue in (book.bids, book.asks) for entry in queue]
        waiting = [entry.order for queue in (book.rising, book.falling) for entry in queue]
        assert all(order.is_open and not order.is_waiting for order in standing)
        assert all(order.is_waiting for order in waiting)
        assert len(standing) + len(waiting) == len(exchange.open_orders())


@settings(max_examples=50)
@given(PLAYS, LEVELS)
def test_spot_money_is_conserved(play: list[tuple[Any, ...]], level: str) -> None:
    """Balances are what the fills make of them, locks what the open orders need, and none is negative."""
    desk = Desk(level_qty=Decimal(level), max_orders=20)
    desk.exchange.add_listener(Watch())
    for action in play:
        act(desk, action)
        base, quote = desk.account.balance("XYZ"), desk.account.balance("USDT")
        assert min(base.free, base.locked, quote.free, quote.locked) >= 0
        check_books(desk.exchange)
        locked = {"XYZ": Decimal(0), "USDT": Decimal(0)}
        for order in desk.exchange.open_orders():
            price = order.price or order.stop_price
            assert price is not None
            locked["XYZ" if order.side == "SELL" else "USDT"] += order.leaves_qty * (
                1 if order.side == "SELL" else price
            )
        assert (base.locked, quote.locked) == (locked["XYZ"], locked["USDT"])
    expected = {"XYZ": Decimal(100), "USDT": Decimal(10_000)}
    for fill in desk.exchange.fills:
        expected["XYZ"] += fill.qty * fill.order.sign
        expected["USDT"] -= fill.quote_qty * fill.order.sign
        expected[fill.fee_asset] -= fill.fee
    assert {asset: desk.account.balance(asset).total for asset in expected} == expected


@settings(max_examples=50)
@given(PLAYS, LEVELS)
def test_linear_money_is_conserved(play: list[tuple[Any, ...]], level: str) -> None:
    """The wallet changes by realized profit and fees only, and the position is the sum of the fills."""
    desk = Desk("linear", level_qty=Decimal(level), max_orders=20)
    desk.exchange.add_listener(Watch())
    for action in play:
        act(desk, action)
        check_books(desk.exchange)
    fills = desk.exchange.fills
    position = desk.position
    assert position.qty == sum(fill.qty * fill.order.sign for fill in fills)
    profit = sum(fill.realized_pnl - fill.fee for fill in fills)
    assert desk.account.balance("USDT").total == 10_000 + profit
    assert position.realized_pnl == sum(fill.realized_pnl for fill in fills)
    # An average price may have endless digits: each fill's profit is cut off at the currency's last unit.
    cash = -sum(fill.quote_qty * fill.order.sign for fill in fills)
    realized = sum(fill.realized_pnl for fill in fills)
    assert abs(cash + position.qty * position.entry_price - realized) <= Decimal("1e-8") * len(fills)


@settings(max_examples=50)
@given(
    st.lists(st.tuples(QTYS, PRICES), min_size=2, max_size=8),
    st.lists(st.tuples(QTYS, PRICES), min_size=1, max_size=8),
    LEVELS,
)
def test_price_time_priority(
    orders: list[tuple[Decimal, Decimal]], prints: list[tuple[Decimal, Decimal]], level: str
) -> None:
    """A print fills no order before a better one, or an earlier one of the same price, is done."""
    desk = Desk(level_qty=Decimal(level), min_notional=Decimal(0))
    desk.account.balance("USDT").free = Decimal(10**9)
    desk.prints("buy 1 @ 200")
    placed = [desk.place(f"buy {qty} @ {price}") for qty, price in orders]
    for qty, price in prints:
        before = {order.order_id: order.filled_qty for order in placed}
        desk.prints(f"sell {qty} @ {price}")
        filled = [order for order in placed if order.filled_qty > before[order.order_id]]
        assert sum(order.filled_qty - before[order.order_id] for order in filled) <= qty
        for worse in filled:
            for better in placed:
                assert better.price is not None
                assert worse.price is not None
                is_before = better.price > worse.price or (
                    better.price == worse.price and better.order_id < worse.order_id
                )
                assert not is_before or not better.leaves_qty
