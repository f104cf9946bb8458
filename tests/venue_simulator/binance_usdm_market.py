"""Market-data and account questions of Binance USD-M: everything that changes no order.

Sources: developers.binance.com, "USDⓈ-M Futures", sections Market Data and Account, one page per endpoint.
"""

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from tests.venue_simulator import binance_usdm_account as private
from tests.venue_simulator import binance_usdm_public as public
from tests.venue_simulator.binance_common import interval_ms_of
from tests.venue_simulator.binance_usdm_orders import Call
from tests.venue_simulator.binance_usdm_public import places_of, plain
from tests.venue_simulator.binance_usdm_rules import UsdmError
from tests.venue_simulator.binance_usdm_views import MILLION, asset_view, money, position_view
from tests.venue_simulator.core import Account, Exchange, Market, Trade, VenueRefusal
from tests.venue_simulator.history import Kline, TradeHistory, turnover_of

type Payload = dict[str, Any]


def price_and_size(market: Market, trade: Trade) -> tuple[str, str]:
    """Write price and quantity of a public trade."""
    price = plain(market.price_of(trade.price_ticks), places_of(market.tick))
    return price, plain(market.qty_of(trade.size_lots), places_of(market.lot))


def kline_rows(market: Market, bars: Iterable[Kline]) -> Iterator[list[Any]]:
    """Write klines as "Kline/Candlestick Data" does, with first and last trade id appended."""
    price, qty = public.grid_writer(market.tick), public.grid_writer(market.lot)
    for bar in bars:
        yield [
            bar.open_ms,
            price(bar.open),
            price(bar.high),
            price(bar.low),
            price(bar.close),
            qty(bar.lots),
            bar.close_ms,
            money(turnover_of(market, bar.turnover)),
            bar.trades,
            qty(bar.taker_lots),
            money(turnover_of(market, bar.taker_turnover)),
            "0",
            bar.first_id,
            bar.last_id,
        ]


def kline_row(market: Market, bar: Kline) -> list[Any]:
    """Write one kline, see `kline_rows`."""
    return next(kline_rows(market, (bar,)))


class MarketDesk:
    """Answers what everybody may ask."""

    def __init__(self, exchange: Exchange, histories: Mapping[str, TradeHistory]) -> None:
        self.exchange = exchange
        self.histories = histories
        self.funding_rates: dict[str, Decimal] = {}
        self.funding_history: list[Payload] = []
        self._income: dict[str, list[Payload]] = {}

    def rate(self, symbol: str) -> Decimal:
        """Return the present funding rate; the venue's default is 0.01 %."""
        return self.funding_rates.get(symbol, Decimal("0.0001"))

    def mark(self, symbol: str) -> str:
        """Return the mark price: that of the last trade."""
        return plain(self.exchange.last_price(symbol) or Decimal(0), 8)

    def time(self, call: Call) -> Payload:
        """GET time."""
        return {"serverTime": call.now_ms}

    def ping(self, call: Call) -> Payload:
        """GET ping."""
        del call
        return {}

    def exchange_info(self, call: Call) -> Payload:
        """GET exchangeInfo."""
        symbols = [
            public.symbol_info(
                market.symbol,
                market.base,
                market.quote,
                market.tick,
                market.lot,
                market.min_qty,
                market.max_qty,
                market.market_max_qty or market.max_qty,
                market.min_notional,
                (market.percent_up or Decimal(5), market.percent_down or Decimal("0.2")),
                market.status,
            )
            for market in self.exchange.markets.values()
        ]
        return public.exchange_info(symbols, call.now_ms)

    def klines(self, call: Call) -> list[list[Any]]:
        """GET klines: twelve columns, the newest `limit` of the range."""
        market, length_ms = self._market(call), interval_ms_of(call.parameters)
        most = min(int(call.get("limit") or 500), 1500)
        start, end = call.number("startTime"), call.number("endTime")
        bars = self.histories[market.key].klines(length_ms, start, end, most)
        return [row[:12] for row in kline_rows(market, bars)]

    def agg_trades(self, call: Call) -> list[Payload]:
        """GET aggTrades, by fromId, by time, or the newest."""
        return [
            public.agg_trade_row(
                trade.trade_id,
                *price_and_size(market, trade),
                trade.ts_ns // MILLION,
                is_buyer_maker=not trade.is_buyer,
            )
            for market, trade in self._trades(call)
        ]

    def trades(self, call: Call) -> list[Payload]:
        """GET trades and historicalTrades."""
        rows = []
        for market, trade in self._trades(call):
            price, qty = price_and_size(market, trade)
            quote = money(Decimal(price) * Decimal(qty))
            ts_ms = trade.ts_ns // MILLION
            rows.append(
                public.trade_row(trade.trade_id, price, qty, quote, ts_ms, is_buyer_maker=not trade.is_buyer)
            )
        return rows

    def premium_index(self, call: Call) -> Payload | list[Payload]:
        """GET premiumIndex, of one symbol or of all."""
        rows = [self._premium(symbol, call.now_ms) for symbol in self.exchange.markets]
        wanted = call.get("symbol")
        return next(row for row in rows if row["symbol"] == self._market(call).symbol) if wanted else rows

    def funding_rate(self, call: Call) -> list[Payload]:
        """GET fundingRate: the settlements so far."""
        symbol = call.get("symbol")
        return [row for row in self.funding_history if symbol in ("", row["symbol"])]

    def depth(self, call: Call) -> Payload:
        """GET depth: the touch, the market has no more."""
        bid, ask = self.touch(self._market(call).symbol)
        return public.depth(bid, ask, call.now_ms)

    def book_ticker(self, call: Call) -> Payload | list[Payload]:
        """GET ticker/bookTicker, of one symbol or of all that have traded."""
        symbols = [call.get("symbol")] if call.get("symbol") else list(self.exchange.markets)
        rows = [public.book_ticker_row(symbol, *self.touch(symbol), call.now_ms) for symbol in symbols]
        return rows[0] if call.get("symbol") else rows

    def price_ticker(self, call: Call) -> Payload:
        """GET ticker/price."""
        market = self._market(call)
        price = plain(self.exchange.last_price(market.symbol) or Decimal(0), places_of(market.tick))
        return {"symbol": market.symbol, "price": price, "time": call.now_ms}

    def touch(self, symbol: str) -> tuple[tuple[str, str], tuple[str, str]]:
        """Return (price, size) of best bid and ask; zeros before the first trade."""
        market, touch = self.exchange.markets[symbol], self.exchange.books[symbol].touch()
        if touch is None:
            return ("0", "0"), ("0", "0")
        size = plain(touch.qty, places_of(market.lot))
        places = places_of(market.tick)
        return (plain(touch.bid, places), size), (plain(touch.ask, places), size)

    def settle_funding(self, symbol: str, rate: Decimal, now_ms: int) -> None:
        """Pay funding now: with a positive rate longs pay; the reason of the update is FUNDING_FEE."""
        market = self.exchange.market(symbol)
        mark = self.exchange.last_price(symbol) or Decimal(0)
        self.funding_history.append(
            public.funding_rate_row(symbol, plain(rate, 8), now_ms, self.mark(symbol))
        )
        for account in self.exchange.accounts.values():
            qty = account.position(market).qty
            if qty:
                payment = (-qty * mark * rate).quantize(Decimal("0.00000001"))
                rows = self._income.setdefault(account.name, [])
                rows.append(private.income_row(symbol, market.quote, money(payment), now_ms, len(rows)))
                self.exchange.change_balance(account.name, market.quote, payment, "FUNDING_FEE")

    def income(self, call: Call) -> list[Payload]:
        """GET income: what changed the balance beside trades, oldest first; funding is all there is."""
        symbol, kind = call.get("symbol"), call.get("incomeType")
        start, end = call.number("startTime") or 0, call.number("endTime") or call.now_ms
        found = [
            row
            for row in self._income.get(call.account.name, [])
            if symbol in ("", row["symbol"])
            and kind in ("", row["incomeType"])
            and start <= row["time"] <= end
        ]
        return found[: min(int(call.get("limit") or 100), 1000)]

    def _premium(self, symbol: str, now_ms: int) -> Payload:
        mark = self.mark(symbol)
        rate = plain(self.rate(symbol), 8)
        return public.premium_index(symbol, mark, mark, rate, public.next_funding_ms(now_ms), now_ms)

    def _market(self, call: Call) -> Market:
        try:
            return self.exchange.market(call.need("symbol"))
        except VenueRefusal as refusal:
            raise UsdmError(-1121) from refusal

    def _trades(self, call: Call) -> list[tuple[Market, Trade]]:
        market = self._market(call)
        most = min(int(call.get("limit") or 500), 1000)
        history = self.histories[market.key]
        first, start, end = call.number("fromId"), call.number("startTime"), call.number("endTime")
        if first is not None:
            found = history.from_id(first, most)
        elif start is not None or end is not None:
            start_ns = None if start is None else start * MILLION
            found = history.between(start_ns, None if end is None else (end + 1) * MILLION, most)
        else:
            found = history.last(most)
        return [(market, trade) for trade in found]


class AccountDesk:
    """Answers what the owner of an account may ask, and changes leverage and margin type."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.margin_types: dict[tuple[str, str], str] = {}

    def account(self, call: Call) -> Payload:
        """GET v2/account."""
        asset = asset_view(self.exchange, call.account, "USDT")
        positions = [self._position(call.account, symbol) for symbol in self.exchange.markets]
        return private.account(asset, positions, can_withdraw=call.account.can_withdraw)

    def balance(self, call: Call) -> list[Payload]:
        """GET balance."""
        return [private.balance(asset_view(self.exchange, call.account, "USDT"))]

    def position_risk(self, call: Call, version: int) -> list[Payload]:
        """GET positionRisk: version 3 leaves flat symbols out, version 2 lists all of them."""
        wanted = call.get("symbol")
        symbols = [symbol for symbol in self.exchange.markets if wanted in ("", symbol)]
        views = [
            self._position(call.account, symbol)
            for symbol in symbols
            if version == 2 or self._qty(call.account, symbol)
        ]
        return [private.position_risk(view, version) for view in views]

    def symbol_config(self, call: Call) -> list[Payload]:
        """GET symbolConfig."""
        wanted = call.get("symbol")
        return [
            private.symbol_config(
                symbol,
                int(call.account.position(market).leverage),
                self.margin_types.get((call.account.name, symbol), "CROSSED"),
            )
            for symbol, market in self.exchange.markets.items()
            if wanted in ("", symbol)
        ]

    def leverage(self, call: Call) -> Payload:
        """POST leverage."""
        symbol, leverage = call.need("symbol"), int(call.need("leverage"))
        try:
            self.exchange.set_leverage(call.account.name, symbol, Decimal(leverage))
        except VenueRefusal as refusal:
            raise UsdmError(-1121 if refusal.kind == "unknown_symbol" else -4028) from refusal
        return {"leverage": leverage, "maxNotionalValue": "250000", "symbol": symbol}

    def margin_type(self, call: Call) -> Payload:
        """POST marginType: remembered and reported; margin itself is always reckoned as crossed."""
        key, wanted = (call.account.name, call.need("symbol")), call.need("marginType")
        if self.margin_types.get(key, "CROSSED") == wanted:
            raise UsdmError(-4046)
        self.margin_types[key] = wanted
        return {"code": 200, "msg": "success"}

    def position_mode(self, call: Call) -> Payload:
        """GET positionSide/dual: one-way mode only."""
        del call
        return {"dualSidePosition": False}

    def commission_rate(self, call: Call) -> Payload:
        """GET commissionRate."""
        market = self.exchange.market(call.need("symbol"))
        return private.commission_rate(
            market.symbol, plain(market.maker_rate, 6), plain(market.taker_rate, 6)
        )

    def restrictions(self, call: Call) -> Payload:
        """GET apiRestrictions."""
        return private.api_restrictions(
            can_withdraw=call.account.can_withdraw, is_ip_restricted=call.account.ip_restricted
        )

    def _qty(self, account: Account, symbol: str) -> Decimal:
        return account.position(self.exchange.markets[symbol]).qty

    def _position(self, account: Account, symbol: str) -> private.PositionView:
        position = account.position(self.exchange.markets[symbol])
        mark = self.exchange.last_price(symbol) or Decimal(0)
        return position_view(position, mark, account.balance(position.market.quote).total)
