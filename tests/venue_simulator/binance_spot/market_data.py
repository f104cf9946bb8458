"""Public REST data of Binance spot: trades, klines, book, tickers (rest-api.md, "Market Data endpoints")."""

from typing import Any

from tests.venue_simulator.binance_common import price_texts, scaled8, text8, text8_of
from tests.venue_simulator.core import Book, Market, Trade
from tests.venue_simulator.history import Kline, TradeHistory

type Json = dict[str, Any]


def trade_row(market: Market, trade: Trade) -> Json:
    """Source: data/wire http_json/trades_response.json."""
    price, qty = price_texts(market)
    return {
        "id": trade.trade_id,
        "price": price(trade.price_ticks),
        "qty": qty(trade.size_lots),
        "quoteQty": quote_text(market, trade.price_ticks * trade.size_lots),
        "time": trade.ts_ns // 1_000_000,
        "isBuyerMaker": not trade.is_buyer,
        "isBestMatch": True,
    }


def agg_trade_row(market: Market, trade: Trade) -> Json:
    """Source: rest-api.md, "Compressed/Aggregate trades list". Every trade is an aggregate of its own."""
    price, qty = price_texts(market)
    return {
        "a": trade.trade_id,
        "p": price(trade.price_ticks),
        "q": qty(trade.size_lots),
        "f": trade.trade_id,
        "l": trade.trade_id,
        "T": trade.ts_ns // 1_000_000,
        "m": not trade.is_buyer,
        "M": True,
    }


def kline_row(market: Market, bar: Kline) -> list[Any]:
    """Source: data/wire http_json/klines_response.json."""
    price, qty = price_texts(market)
    return [
        bar.open_ms,
        price(bar.open),
        price(bar.high),
        price(bar.low),
        price(bar.close),
        qty(bar.lots),
        bar.close_ms,
        quote_text(market, bar.turnover),
        bar.trades,
        qty(bar.taker_lots),
        quote_text(market, bar.taker_turnover),
        "0",
    ]


def depth(market: Market, book: Book, limit: int, update_id: int) -> Json:
    """Source: data/wire http_json/depth_response.json; the levels are the implied book's."""
    touch = book.touch()
    if touch is None:
        return {"lastUpdateId": update_id, "bids": [], "asks": []}
    levels = range(limit)
    return {
        "lastUpdateId": update_id,
        "bids": [[text8(touch.bid - market.tick * level), text8(touch.qty)] for level in levels],
        "asks": [[text8(touch.ask + market.tick * level), text8(touch.qty)] for level in levels],
    }


def book_ticker(market: Market, book: Book) -> Json:
    """Source: data/wire http_json/book_ticker_response.json."""
    touch = book.touch()
    bid, ask, qty = (touch.bid, touch.ask, touch.qty) if touch else (market.tick * 0,) * 3
    return {
        "symbol": market.symbol,
        "bidPrice": text8(bid),
        "bidQty": text8(qty),
        "askPrice": text8(ask),
        "askQty": text8(qty),
    }


def price_ticker(market: Market, book: Book) -> Json:
    """Source: data/wire http_json/ticker_price_response.json."""
    return {"symbol": market.symbol, "price": text8(book.last_price or market.tick * 0)}


def day_ticker(market: Market, history: TradeHistory, book: Book, now_ms: int) -> Json:
    """Source: data/wire http_json/ticker_24hr_response.json."""
    day_ms = 86_400_000
    bars = [bar for bar in history.klines(60_000, now_ms - day_ms, now_ms, 1440) if bar.trades]
    price, qty = price_texts(market)
    first = bars[0].open if bars else 0
    last = bars[-1].close if bars else 0
    lots, turnover = sum(bar.lots for bar in bars), sum(bar.turnover for bar in bars)
    change = last - first
    touch = book_ticker(market, book)
    return {
        "symbol": market.symbol,
        "priceChange": ("-" if change < 0 else "") + price(abs(change)),
        "priceChangePercent": f"{100 * change / first if first else 0:.3f}",
        "weightedAvgPrice": price(turnover // lots if lots else 0),
        "prevClosePrice": price(first),
        "lastPrice": price(last),
        "lastQty": qty(book.last.size_lots if book.last else 0),
        "bidPrice": touch["bidPrice"],
        "bidQty": touch["bidQty"],
        "askPrice": touch["askPrice"],
        "askQty": touch["askQty"],
        "openPrice": price(first),
        "highPrice": price(max((bar.high for bar in bars), default=0)),
        "lowPrice": price(min((bar.low for bar in bars), default=0)),
        "volume": qty(lots),
        "quoteVolume": quote_text(market, turnover),
        "openTime": now_ms - day_ms,
        "closeTime": now_ms,
        "firstId": bars[0].first_id if bars else -1,
        "lastId": bars[-1].last_id if bars else -1,
        "count": sum(bar.trades for bar in bars),
    }


def quote_text(market: Market, ticks_lots: int) -> str:
    """Write a turnover, given in ticks x lots, with eight places."""
    unit = scaled8(market.tick) * scaled8(market.lot)  # in 1e-16
    return text8_of(ticks_lots * unit // 10**8)
