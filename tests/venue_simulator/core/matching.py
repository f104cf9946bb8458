"""What happens inside the exchange: orders work, fill, trigger and end, and listeners hear of it."""

from collections.abc import Iterable
from decimal import Decimal

from tests.venue_simulator.core.account import Account
from tests.venue_simulator.core.book import Book, hits
from tests.venue_simulator.core.events import Execution, Listener
from tests.venue_simulator.core.ledger import Ledger
from tests.venue_simulator.core.order import Fill, Order, OrderRequest
from tests.venue_simulator.core.rules import VenueRules
from tests.venue_simulator.core.terms import (
    ZERO,
    Clock,
    Market,
    OrderStatus,
    Trade,
    VenueRefusal,
    opposite,
)


class Matching:
    """The state of one venue and the life of its orders; `Exchange` adds what clients ask for.

    Parameters
    ----------
    markets, accounts
        What is traded and by whom.
    clock
        The exchange's time.
    rules
        Where this venue differs from others.
    """

    def __init__(
        self,
        markets: Iterable[Market],
        accounts: Iterable[Account],
        clock: Clock,
        rules: VenueRules | None = None,
    ) -> None:
        self.clock = clock
        self.rules = rules or VenueRules()
        self.markets = {market.key: market for market in markets}
        self.accounts = {account.name: account for account in accounts}
        self.books = {symbol: Book(market) for symbol, market in self.markets.items()}
        self.orders: dict[int, Order] = {}
        self.fills: list[Fill] = []
        self.ledger = Ledger(self.accounts, self.last_price, self.open_orders)
        self._by_client_id: dict[tuple[str, str], Order] = {}
        self._open: dict[int, Order] = {}
        self._listeners: list[Listener] = []
        self._next_order_id = 1_000_001
        self._next_fill_id = 900_000_000_001
        self._printed: dict[str, int] = {}  # trades that were made by hand, by symbol
        self._next_expiry_ns = 0

    def add_listener(self, listener: Listener) -> None:
        """Tell a listener everything from now on."""
        self._listeners.append(listener)

    def last_price(self, symbol: str) -> Decimal | None:
        """Return the price of the last public trade; None before the first."""
        return self.books[symbol].last_price

    def open_orders(self, account: str = "main", symbol: str | None = None) -> list[Order]:
        """Return an account's open orders, oldest first."""
        return [
            order
            for order in self._open.values()
            if order.account == account and (symbol is None or order.market.key == symbol)
        ]

    def _register(self, order: Order) -> None:
        self.orders[order.order_id] = order
        self._by_client_id[order.account, order.client_id] = order
        self._open[order.order_id] = order
        if order.expire_ns is not None:
            self._next_expiry_ns = min(self._next_expiry_ns or order.expire_ns, order.expire_ns)

    def _work(self, order: Order, book: Book) -> None:
        """Match what crosses and let the rest stand or expire, by time in force."""
        plan = list(book.take(order.side, order.leaves_qty, order.price))
        if order.tif == "FOK" and sum((part for _, part in plan), ZERO) < order.leaves_qty:
            plan = []
        for price, part in plan:
            self._fill(order, part, price, is_maker=False)
            if not order.is_open:
                return
        if order.type in {"MARKET", "STOP_MARKET", "TAKE_PROFIT_MARKET"} or order.tif in {"IOC", "FOK"}:
            self._end(order, "EXPIRED", "no_liquidity")
        else:
            book.rest(order)

    def _match(self, book: Book, trade: Trade) -> None:
        for order, part in hits(book, trade):
            if order.is_open:  # an earlier fill of this trade may have ended it
                assert order.price is not None
                self._fill(order, part, order.price, is_maker=True, public_id=trade.trade_id)
        for order in book.triggered(trade.price_ticks):
            if order.is_waiting:
                self._trigger(order, book)

    def _trigger(self, order: Order, book: Book) -> None:
        """Let a conditional order work: it takes at the touch, or rests at its limit price."""
        book.remove(order)
        order.triggered_ns = order.updated_ns = self.clock.now_ns()
        order.status = "TRIGGERED"
        position = None
        if order.market.kind == "linear":
            position = self.accounts[order.account].position(order.market)
        if order.close_position and position is not None:
            order.qty = abs(position.qty)
        self._tell(order, "TRIGGERED")
        if order.parent_id and (order.market.kind == "spot" or "pair" in order.extra):
            self._end_other_exit(order)
        try:
            self._check_reduce_only(order)
            self._reserve_triggered(order, book)
            self._check_post_only(order, book)
        except VenueRefusal as refusal:
            self._end(order, "EXPIRED", refusal.kind)
            return
        order.status = "NEW"
        self._work(order, book)

    def _reserve_triggered(self, order: Order, book: Book) -> None:
        if not order.is_priced and order.market.kind == "spot" and order.side == "BUY":
            self.ledger.release(order)  # it locked at its stop price; what the book asks may be more
            self._check_market_buy(order, book)
        elif not order.locked:
            self.ledger.reserve(order)

    def _check_reduce_only(self, order: Order) -> None:
        if order.market.kind == "linear" and (order.reduce_only or order.close_position):
            position = self.accounts[order.account].position(order.market)
            if not position.closes(order.side):
                raise VenueRefusal("reduce_only", f"{order.side} with a position of {position.qty}")

    def _check_post_only(self, order: Order, book: Book) -> None:
        if order.tif == "GTX" and order.price is not None and book.would_take(order.side, order.price):
            raise VenueRefusal("would_take", f"{order.side} at {order.price}")

    def _check_market_buy(self, order: Order, book: Book) -> None:
        needed = sum((price * part for price, part in book.take("BUY", order.qty, None)), ZERO)
        free = self.accounts[order.account].balance(order.market.quote).free
        if free < needed:
            raise VenueRefusal("insufficient_balance", f"{free} {order.market.quote}, {needed} needed")

    def _fill(
        self, order: Order, qty: Decimal, price: Decimal, *, is_maker: bool, public_id: int = 0
    ) -> None:
        """Book one execution, then end what it ends."""
        account, market = self.accounts[order.account], order.market
        position = account.position(market) if market.kind == "linear" else None
        if position is not None and (order.reduce_only or order.close_position):
            qty = min(qty, abs(position.qty)) if position.closes(order.side) else ZERO
            if not qty:
                self._end(order, "EXPIRED", "reduce_only")
                return
        now_ns = self.clock.now_ns()
        settled = self.ledger.settle(order, qty, price, now_ns, is_maker=is_maker)
        fill = Fill(
            self._next_fill_id,
            order,
            qty,
            price,
            is_maker,
            settled.fee,
            settled.fee_asset,
            now_ns,
            settled.realized_pnl,
            public_id,
        )
        self._next_fill_id += 1
        self.fills.append(fill)
        order.fills.append(fill)
        order.filled_qty += qty
        order.filled_quote += qty * price
        order.updated_ns = now_ns
        order.status = "PARTIALLY_FILLED" if order.leaves_qty else "FILLED"
        if not order.leaves_qty:
            self.books[market.key].remove(order)
            self._open.pop(order.order_id, None)
            self.ledger.release(order)  # a stop market buy locked at its stop price and may have paid less
        self._tell(order, "TRADE", fill)
        assets = (market.quote,) if market.kind == "linear" else (market.base, market.quote)
        for listener in self._listeners:
            listener.on_balance(account, assets, "ORDER")
        if position is not None:
            for listener in self._listeners:
                listener.on_position(account, position)
            self._after_position(order, account)
        elif order.status == "FILLED":
            self._attach_spot_exits(order)

    def _after_position(self, order: Order, account: Account) -> None:
        """Attach the exits that an entry carried; end what a flat position leaves without a purpose."""
        position = account.position(order.market)
        is_partial = order.extra.get("tpslMode") == "Partial"
        if (order.take_profit or order.stop_loss) and (is_partial or len(order.fills) == 1):
            self._attach_exits(order, order.fills[-1] if is_partial else None)
        if position.qty:
            return
        for standing in self.open_orders(account.name, order.market.key):
            if standing is order or not standing.is_open:
                continue
            if standing.is_waiting:
                if standing.close_position and self.rules.flat_ends_close_position:
                    self._end(standing, "CANCELED", "position_closed")
            elif standing.reduce_only and self.rules.flat_ends_reduce_only:
                self._end(standing, "EXPIRED", "reduce_only")

    def _attach_exits(self, entry: Order, part: Fill | None) -> None:
        """Let an entry's exits wait: for the whole position, or for one fill beside those of the others."""
        # "New TP/SL set on the new order will replace the existing position TP/SL" (Bybit, whole position).
        for standing in self.open_orders(entry.account, entry.market.key):
            if part is None and standing.parent_id and standing.is_waiting:
                self._end(standing, "CANCELED", "position_closed")
        for kind, stop_price in (("STOP_MARKET", entry.stop_loss), ("TAKE_PROFIT_MARKET", entry.take_profit)):
            if stop_price is None:
                continue
            request = OrderRequest(
                symbol=entry.market.key,
                side=opposite(entry.side),
                type="STOP_MARKET" if kind == "STOP_MARKET" else "TAKE_PROFIT_MARKET",
                stop_price=stop_price,
                account=entry.account,
                reduce_only=True,
                close_position=part is None,
                extra={"origin": "entry"} | ({"pair": str(part.trade_id)} if part else {}),
            )
            exit_order = self._make(request, entry.market, part.qty if part else ZERO)
            exit_order.parent_id = entry.order_id
            exit_order.status = "UNTRIGGERED"
            self._register(exit_order)
            self.books[entry.market.key].wait(exit_order)
            self._tell(exit_order, "NEW")

    def _attach_spot_exits(self, entry: Order) -> None:
        """Let the exits of a spot buy wait for what it left after fees; the first of the two locks it."""
        fees = sum((fill.fee for fill in entry.fills if fill.fee_asset == entry.market.base), ZERO)
        qty = (entry.filled_qty - fees) // entry.market.lot * entry.market.lot
        for kind, stop_price in (("STOP_MARKET", entry.stop_loss), ("TAKE_PROFIT_MARKET", entry.take_profit)):
            if stop_price is None or entry.side == "SELL" or qty < entry.market.min_qty:
                continue
            request = OrderRequest(
                symbol=entry.market.key,
                side="SELL",
                type="STOP_MARKET" if kind == "STOP_MARKET" else "TAKE_PROFIT_MARKET",
                stop_price=stop_price,
                account=entry.account,
                extra={"origin": "entry"},
            )
            exit_order = self._make(request, entry.market, qty)
            exit_order.parent_id, exit_order.status = entry.order_id, "UNTRIGGERED"
            if kind == "STOP_MARKET" or entry.stop_loss is None:
                self.ledger.reserve(exit_order)
            self._register(exit_order)
            self.books[entry.market.key].wait(exit_order)
            self._tell(exit_order, "NEW")
            self._tell_balance(exit_order)

    def _end_other_exit(self, order: Order) -> None:
        for standing in self.open_orders(order.account, order.market.key):
            is_same = (standing.parent_id, standing.extra) == (order.parent_id, order.extra)
            if is_same and standing is not order:
                self._end(standing, "CANCELED", "other_exit")

    def _make(self, request: OrderRequest, market: Market, qty: Decimal) -> Order:
        now_ns = self.clock.now_ns()
        order_id = self._next_order_id
        self._next_order_id += 1
        return Order(
            order_id=order_id,
            client_id=request.client_id or f"sim{order_id}",
            account=request.account,
            market=market,
            side=request.side,
            type=request.type,
            tif=request.tif,
            qty=qty,
            price=request.price,
            stop_price=request.stop_price,
            reduce_only=request.reduce_only,
            close_position=request.close_position,
            take_profit=request.take_profit,
            stop_loss=request.stop_loss,
            expire_ns=request.expire_ns,
            is_algo=request.is_algo,
            created_ns=now_ns,
            updated_ns=now_ns,
            extra=dict(request.extra),
            quote_qty=request.quote_qty,
        )

    def _end(self, order: Order, status: OrderStatus, reason: str) -> None:
        assert status in {"CANCELED", "EXPIRED", "REJECTED"}
        self.books[order.market.key].remove(order)
        self._open.pop(order.order_id, None)
        self.ledger.release(order)
        order.status, order.reason, order.updated_ns = status, reason, self.clock.now_ns()
        self._tell(order, status)
        self._tell_balance(order)
        if order.filled_qty and order.market.kind == "spot":
            self._attach_spot_exits(order)

    def _tell(self, order: Order, execution: Execution, fill: Fill | None = None) -> None:
        for listener in self._listeners:
            listener.on_order(order, execution, fill)

    def _tell_balance(self, order: Order) -> None:
        if order.locked_asset:
            for listener in self._listeners:
                listener.on_balance(self.accounts[order.account], (order.locked_asset,), "ORDER")
