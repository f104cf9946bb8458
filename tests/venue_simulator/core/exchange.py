"""The exchange: places, matches, triggers, cancels, and tells its listeners."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from tests.venue_simulator.core import filters
from tests.venue_simulator.core.account import Account
from tests.venue_simulator.core.book import Book, hits
from tests.venue_simulator.core.events import BalanceReason, Execution, Listener
from tests.venue_simulator.core.ledger import Ledger
from tests.venue_simulator.core.order import Fill, Order, OrderRequest
from tests.venue_simulator.core.terms import (
    CONDITIONAL,
    ZERO,
    Clock,
    Market,
    OrderStatus,
    Side,
    Trade,
    VenueRefusal,
    opposite,
)


@dataclass(slots=True)
class VenueRules:
    """Where venues differ; a protocol sets them when it makes its exchange.

    Parameters
    ----------
    waiting_locks
        Spot: a conditional order locks its balance before its trigger (Binance: yes).
    keeps_would_take
        A post-only order that would take is kept as REJECTED and reported on the stream (Bybit) instead of
        being refused in the answer (Binance).
    client_ids_for_ever
        A client id can never be used twice (Bybit), not only while its order is open (Binance).
    waiting_checks_reduce_only
        A reduce-only conditional order is refused while there is nothing to reduce.
    flat_ends_reduce_only
        When a position becomes flat, its resting reduce-only orders expire.
    flat_ends_close_position
        ... and its waiting orders that would close it are cancelled.
    """

    waiting_locks: bool = True
    keeps_would_take: bool = False
    client_ids_for_ever: bool = False
    waiting_checks_reduce_only: bool = False
    flat_ends_reduce_only: bool = True
    flat_ends_close_position: bool = True


class Exchange:
    """One venue's markets, accounts, orders and fills.

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

    def market(self, symbol: str) -> Market:
        """Return a market; refuses an unknown symbol."""
        if symbol not in self.markets:
            raise VenueRefusal("unknown_symbol", symbol)
        return self.markets[symbol]

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
        order = self._make(request, market)
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
        shift = self._printed.get(market.key)
        if shift:
            trades = [trade._replace(trade_id=trade.trade_id + shift) for trade in trades]
        book = self.books[market.key]
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

    def _make(self, request: OrderRequest, market: Market) -> Order:
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
            qty=self._wanted_qty(request, market),
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

    def _check_reduce_only(self, order: Order) -> None:
        if order.market.kind == "linear" and (order.reduce_only or order.close_position):
            position = self.accounts[order.account].position(order.market)
            if not position.closes(order.side):
                raise VenueRefusal("reduce_only", f"{order.side} with a position of {position.qty}")

    def _reserve_new(self, order: Order, book: Book) -> None:
        """Lock the money of an order that works at once; a MARKET buy on spot costs what the book asks."""
        if order.type == "MARKET" and order.market.kind == "spot" and order.side == "BUY":
            self._check_market_buy(order, book)
        else:
            self.ledger.reserve(order)

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

    def _after_position(self, order: Order, account: Account) -> None:
        """Attach the exits that an entry carried; end what a flat position leaves without a purpose."""
        position = account.position(order.market)
        if (order.take_profit or order.stop_loss) and len(order.fills) == 1:
            self._attach_exits(order)
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

    def _attach_exits(self, entry: Order) -> None:
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
                close_position=True,
                extra={"origin": "entry"},
            )
            exit_order = self._make(request, entry.market)
            exit_order.parent_id = entry.order_id
            exit_order.status = "UNTRIGGERED"
            self._register(exit_order)
            self.books[entry.market.key].wait(exit_order)
            self._tell(exit_order, "NEW")

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

    def _end(self, order: Order, status: OrderStatus, reason: str) -> None:
        assert status in {"CANCELED", "EXPIRED", "REJECTED"}
        self.books[order.market.key].remove(order)
        self._open.pop(order.order_id, None)
        self.ledger.release(order)
        order.status, order.reason, order.updated_ns = status, reason, self.clock.now_ns()
        self._tell(order, status)
        self._tell_balance(order)

    def _tell(self, order: Order, execution: Execution, fill: Fill | None = None) -> None:
        for listener in self._listeners:
            listener.on_order(order, execution, fill)

    def _tell_balance(self, order: Order) -> None:
        if order.locked_asset:
            for listener in self._listeners:
                listener.on_balance(self.accounts[order.account], (order.locked_asset,), "ORDER")
