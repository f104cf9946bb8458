"""The exchange as clients and market see it: place, amend, cancel, trades, and what a venue imposes."""

from collections.abc import Sequence
from decimal import Decimal

from tests.venue_simulator.core import filters
from tests.venue_simulator.core.book import Book
from tests.venue_simulator.core.events import BalanceReason
from tests.venue_simulator.core.matching import Matching
from tests.venue_simulator.core.order import Order, OrderRequest
from tests.venue_simulator.core.terms import CONDITIONAL, ZERO, Market, Side, Trade, VenueRefusal


class Exchange(Matching):
    """One venue's markets, accounts, orders and fills; see `Matching` for the parameters."""

    def market(self, symbol: str) -> Market:
        """Return a market; refuses an unknown symbol."""
        if symbol not in self.markets:
            raise VenueRefusal("unknown_symbol", symbol)
        return self.markets[symbol]

    def find(self, account: str = "main", *, order_id: int | None = None, client_id: str = "") -> Order:
        """Return an order by either id, the latest of a client id; refuses an unknown one."""
        order = (
            self._by_client_id.get((account, client_id)) if order_id is None else self.orders.get(order_id)
        )
        if order is None or order.account != account:
            raise VenueRefusal("unknown_order", f"order {order_id or client_id}")
        return order

    def place(self, request: OrderRequest) -> Order:
        """Accept an order, match what crosses, and let the rest stand.

        Returns
        -------
        Order
            Any status: also EXPIRED (IOC, FOK, a MARKET order without a market) and, by rule, REJECTED.

        Raises
        ------
        VenueRefusal
            Nothing happened and nothing is kept.
        """
        market = self.market(request.symbol)
        book = self.books[market.key]
        filters.check(market, request, book.last_price)
        self._check_ids_and_counts(request)
        order = self._make(request, market, self._wanted_qty(request, market))
        if order.is_conditional:
            return self._place_conditional(order, book)
        self._check_reduce_only(order)
        try:
            self._check_post_only(order, book)
        except VenueRefusal:
            if not self.rules.keeps_would_take:
                raise
            self._register(order)
            self._end(order, "REJECTED", "would_take")
            return order
        self._reserve_new(order, book)
        self._register(order)
        self._tell(order, "NEW")
        self._tell_balance(order)
        self._work(order, book)
        return order

    def cancel(self, account: str = "main", *, order_id: int | None = None, client_id: str = "") -> Order:
        """Cancel an open order; refuses an unknown or finished one."""
        order = self.find(account, order_id=order_id, client_id=client_id)
        if not order.is_open:
            raise VenueRefusal("unknown_order", f"order {order.order_id} is {order.status}")
        self._end(order, "CANCELED", "canceled")
        return order

    def cancel_all(
        self, account: str = "main", symbol: str | None = None, reason: str = "canceled"
    ) -> list[Order]:
        """Cancel an account's open orders of one market, or of all."""
        orders = self.open_orders(account, symbol)
        for order in orders:
            if order.is_open:
                self._end(order, "CANCELED", reason)
        return orders

    def amend(
        self,
        order: Order,
        *,
        qty: Decimal | None = None,
        price: Decimal | None = None,
        stop_price: Decimal | None = None,
    ) -> Order:
        """Change an open order in place; it goes to the end of the queue unless only its size shrinks.

        Raises
        ------
        VenueRefusal
            The order stays as it was: finished, nothing to change, a filter, money, or post-only.
        """
        if not order.is_open:
            raise VenueRefusal("unknown_order", f"order {order.order_id} is {order.status}")
        before = (order.qty, order.price, order.stop_price)
        after = (qty or order.qty, price or order.price, stop_price or order.stop_price)
        if before == after:
            raise VenueRefusal("no_change", f"order {order.order_id}")
        market, book = order.market, self.books[order.market.key]
        self._check_amendment(order, after)
        had_lock = bool(order.locked)
        self.ledger.release(order)
        order.qty, order.price, order.stop_price = after
        try:
            if market.kind == "linear" or had_lock:
                self.ledger.reserve(order)
        except VenueRefusal:
            order.qty, order.price, order.stop_price = before
            if had_lock:
                self.ledger.reserve(order)
            raise
        order.updated_ns = self.clock.now_ns()
        is_smaller_only = after[1:] == before[1:] and after[0] < before[0]
        if not is_smaller_only:
            book.remove(order)
        self._tell(order, "REPLACED")
        self._tell_balance(order)
        if is_smaller_only:
            return order
        if order.is_waiting:
            book.wait(order)
        else:
            self._work(order, book)
        return order

    def set_leverage(self, account: str, symbol: str, leverage: Decimal) -> None:
        """Set the leverage of a linear market."""
        market = self.market(symbol)
        if not 1 <= leverage <= market.max_leverage:
            raise VenueRefusal("bad_parameter", f"leverage {leverage} outside 1..{market.max_leverage}")
        position = self.accounts[account].position(market)
        position.leverage = leverage
        position.seq += 1

    def on_trade(self, market: Market, trade: Trade) -> None:
        """Take one public trade; see `on_trades`."""
        self.on_trades(market, (trade,))

    def on_trades(self, market: Market, trades: Sequence[Trade]) -> None:
        """Take public trades of one market in the order of their ids: publish, match, trigger."""
        if not trades:
            return
        shift = self._printed.get(market.key)
        if shift:
            trades = [trade._replace(trade_id=trade.trade_id + shift) for trade in trades]
        book = self.books[market.key]
        book.last = trades[-1]  # a listener that shows the touch shows the newest one
        for listener in self._listeners:
            listener.on_trades(market, trades)
        for trade in trades:
            book.last = trade
            if book.is_touched(trade.price_ticks):
                self._match(book, trade)

    def print_trade(self, symbol: str, side: Side, qty: Decimal, price: Decimal) -> Trade:
        """Make a public trade by hand (`side`: the aggressor); later ids of the tape move up by one."""
        market = self.market(symbol)
        book = self.books[symbol]
        shift = self._printed.get(symbol, 0)
        trade_id = 1 if book.last is None else book.last.trade_id + 1
        ticks, lots = market.ticks_of(price), market.lots_of(qty)
        trade = Trade(trade_id - shift, ticks, lots, side == "BUY", self.clock.now_ns())
        self.on_trades(market, (trade,))
        self._printed[symbol] = shift + 1
        return trade._replace(trade_id=trade_id)

    def expire_due(self) -> None:
        """Expire the orders whose time is over (GTD); the runner calls it every few milliseconds."""
        now_ns = self.clock.now_ns()
        if not self._next_expiry_ns or now_ns < self._next_expiry_ns:
            return
        for order in list(self._open.values()):
            if order.expire_ns is not None and order.expire_ns <= now_ns:
                self._end(order, "EXPIRED", "expired")
        later = [order.expire_ns for order in self._open.values() if order.expire_ns is not None]
        self._next_expiry_ns = min(later, default=0)

    def change_market(self, symbol: str, **terms: object) -> Market:
        """Change a market's terms in place (tick size, status, filters, fees) and tell the listeners.

        With a new tick or lot, what rests is cancelled first: it may be off the new grid.
        """
        market = self.market(symbol)
        book = self.books[symbol]
        if {"tick", "lot"} & terms.keys():
            for account in self.accounts:
                self.cancel_all(account, symbol, "instrument_change")
            book.last = None
        for name, value in terms.items():
            if name not in Market.__slots__:
                raise VenueRefusal("bad_parameter", f"a market has no {name}")
            setattr(market, name, value)
        for listener in self._listeners:
            listener.on_market(market)
        return market

    def change_balance(self, account: str, asset: str, amount: Decimal, reason: BalanceReason) -> None:
        """Add an amount (negative: take it away) as a deposit or a funding payment does."""
        owner = self.accounts[account]
        owner.balance(asset).free += amount
        owner.updated_ns = self.clock.now_ns()
        for listener in self._listeners:
            listener.on_balance(owner, (asset,), reason)

    def close_by_force(self, account: str, symbol: str, reason: str) -> Order:
        """Close a position as the venue would: `reason` "liquidation" or "adl" ends up in `Order.extra`.

        A liquidation first cancels the market's open orders.
        """
        position = self.accounts[account].position(self.market(symbol))
        if not position.qty:
            raise VenueRefusal("reduce_only", f"no position in {symbol}")
        if reason == "liquidation":
            self.cancel_all(account, symbol, reason)
        now_ns = self.clock.now_ns()
        # Binance documents these two forms of the client id; Bybit's protocol sends none.
        client_id = f"autoclose-{now_ns}" if reason == "liquidation" else f"adl_autoclose-{now_ns}"
        side: Side = "SELL" if position.qty > 0 else "BUY"
        qty = abs(position.qty)
        request = OrderRequest(
            symbol=symbol,
            side=side,
            type="MARKET",
            qty=qty,
            client_id=client_id,
            account=account,
            reduce_only=True,
            extra={"origin": reason},
        )
        return self.place(request)

    def _check_ids_and_counts(self, request: OrderRequest) -> None:
        known = self._by_client_id.get((request.account, request.client_id)) if request.client_id else None
        if known is not None and (known.is_open or self.rules.client_ids_for_ever):
            raise VenueRefusal("duplicate_id", request.client_id)
        market = self.markets[request.symbol]
        standing = self.open_orders(request.account, request.symbol)
        conditional = sum(order.is_waiting for order in standing)
        if len(standing) - conditional >= market.max_orders:
            raise VenueRefusal("too_many_orders", f"{len(standing)} orders in {market.symbol}")
        if request.type in CONDITIONAL and conditional >= market.max_conditional:
            raise VenueRefusal("too_many_orders", f"{conditional} conditional orders in {market.symbol}")

    def _wanted_qty(self, request: OrderRequest, market: Market) -> Decimal:
        """Return the quantity, for a quote quantity what it buys at the displayed levels, in whole lots."""
        if request.quote_qty is None:
            return request.qty
        bought, money = ZERO, request.quote_qty
        for price, part in self.books[market.key].take(request.side, market.max_qty, None):
            lots = min(part, money / price) // market.lot
            bought += lots * market.lot
            money -= lots * market.lot * price
            if lots * market.lot < part:
                break
        if bought < market.min_qty:
            raise VenueRefusal("filter_lot", f"{request.quote_qty} {market.quote} buys {bought}")
        return bought

    def _place_conditional(self, order: Order, book: Book) -> Order:
        if book.is_triggered(order):
            raise VenueRefusal("would_trigger", f"last {book.last_price}, stop {order.stop_price}")
        if self.rules.waiting_checks_reduce_only:
            self._check_reduce_only(order)
        if order.market.kind == "spot" and self.rules.waiting_locks:
            self.ledger.reserve(order)
        order.status = "UNTRIGGERED"
        self._register(order)
        book.wait(order)
        self._tell(order, "NEW")
        self._tell_balance(order)
        return order

    def _reserve_new(self, order: Order, book: Book) -> None:
        """Lock the money of an order that works at once; a MARKET buy on spot costs what the book asks."""
        if order.type == "MARKET" and order.market.kind == "spot" and order.side == "BUY":
            self._check_market_buy(order, book)
        else:
            self.ledger.reserve(order)

    def _check_amendment(self, order: Order, after: tuple[Decimal, Decimal | None, Decimal | None]) -> None:
        qty, price, stop_price = after
        book = self.books[order.market.key]
        for value in (price, stop_price):
            if value is not None:
                filters.check_price(order.market, value)
        if not order.close_position:
            filters.check_qty(order.market, qty, is_market=price is None)
        if qty <= order.filled_qty:
            raise VenueRefusal("filter_lot", f"{qty} with {order.filled_qty} filled")
        if price is not None and book.last_price is not None:
            filters.check_band(order.market, price, book.last_price)
        if (
            order.tif == "GTX"
            and price is not None
            and not order.is_waiting
            and book.would_take(order.side, price)
        ):
            raise VenueRefusal("would_take", f"{order.side} at {price}")
