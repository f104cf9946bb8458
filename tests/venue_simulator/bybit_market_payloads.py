"""Bybit's public payloads: instruments, trades, klines, tickers, the best of the book; REST and stream.

Where the shapes come from (`wire/bybit` of the shared data, against which a test holds every builder):
http_get_instruments_linear, http_get_instruments_spot, http_get_trades_recent, ws_public_trade,
http_get_klines_linear, ws_kline, ws_ticker_linear, ws_orderbook_snapshot, http_get_funding_history,
http_get_fee_rate; spot tickers and REST tickers from Bybit v5 "Ticker" and "Get Tickers".
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from tests.venue_simulator.bybit_ids import on_grid, price_text, qty_text, steps_text, trade_id, trimmed
from tests.venue_simulator.core import Market, Trade
from tests.venue_simulator.core.terms import ZERO

type Payload = dict[str, Any]

LAUNCHED_MS: Final = "1585526400000"
FUNDING_HOURS: Final = 8
FUNDING_MS: Final = FUNDING_HOURS * 3_600_000
FUNDING_RATE: Final = Decimal("0.0001")


@dataclass(slots=True)
class Day:
    """What the last 24 hours of a market were; the whole tape so far where it is shorter."""

    first: Decimal = ZERO
    high: Decimal = ZERO
    low: Decimal = ZERO
    last: Decimal = ZERO
    volume: Decimal = ZERO
    turnover: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class Top:
    """The best bid and ask with their sizes."""

    bid: Decimal
    bid_qty: Decimal
    ask: Decimal
    ask_qty: Decimal


def linear_instrument(market: Market) -> Payload:
    """Return a row of ``instruments-info`` of linear (http_get_instruments_linear)."""
    return {
        "symbol": market.symbol,
        "contractType": "LinearPerpetual",
        "status": status_text(market),
        "baseCoin": market.base,
        "quoteCoin": market.quote,
        "launchTime": LAUNCHED_MS,
        "deliveryTime": "0",
        "deliveryFeeRate": "",
        "priceScale": str(-int(market.tick.as_tuple().exponent)),
        "leverageFilter": {
            "minLeverage": "1",
            "maxLeverage": trimmed(market.max_leverage),
            "leverageStep": "0.01",
        },
        "priceFilter": {
            "minPrice": on_grid(market.tick, market.tick),
            "maxPrice": on_grid(market.tick * 10_000_000, market.tick),
            "tickSize": on_grid(market.tick, market.tick),
        },
        "lotSizeFilter": {
            "maxOrderQty": trimmed(market.max_qty),
            "minOrderQty": trimmed(market.min_qty),
            "qtyStep": on_grid(market.lot, market.lot),
            "postOnlyMaxOrderQty": trimmed(market.max_qty),
            "maxMktOrderQty": trimmed(market.market_max_qty or market.max_qty),
            "minNotionalValue": trimmed(market.min_notional),
        },
        "unifiedMarginTrade": True,
        "fundingInterval": FUNDING_HOURS * 60,
        "settleCoin": market.quote,
    }


def spot_instrument(market: Market) -> Payload:
    """Return a row of ``instruments-info`` of spot (http_get_instruments_spot)."""
    return {
        "symbol": market.symbol,
        "baseCoin": market.base,
        "quoteCoin": market.quote,
        "innovation": "0",
        "status": status_text(market),
        "marginTrading": "utaOnly",
        "lotSizeFilter": {
            "basePrecision": on_grid(market.lot, market.lot),
            "quotePrecision": "0.00000001",
            "minOrderQty": trimmed(market.min_qty),
            "maxOrderQty": trimmed(market.max_qty),
            "minOrderAmt": trimmed(market.min_notional),
            "maxOrderAmt": trimmed(market.max_notional or Decimal(4_000_000)),
        },
        "priceFilter": {"tickSize": on_grid(market.tick, market.tick)},
    }


def status_text(market: Market) -> str:
    """Return Bybit's word for a market's state."""
    return "Trading" if market.status == "TRADING" else market.status


def fee_rate(market: Market) -> Payload:
    """Return a row of ``/v5/account/fee-rate`` (http_get_fee_rate)."""
    return {
        "symbol": market.symbol,
        "takerFeeRate": trimmed(market.taker_rate),
        "makerFeeRate": trimmed(market.maker_rate),
        "baseCoin": "",
    }


def side_text(trade: Trade) -> str:
    """Return the aggressor's side."""
    return "Buy" if trade.is_buyer else "Sell"


def rest_trade(market: Market, trade: Trade) -> Payload:
    """Return a row of ``recent-trade`` (http_get_trades_recent)."""
    return {
        "execId": trade_id(trade.trade_id),
        "symbol": market.symbol,
        "price": steps_text(trade.price_ticks, market.tick),
        "size": steps_text(trade.size_lots, market.lot),
        "side": side_text(trade),
        "time": str(trade.ts_ns // 1_000_000),
        "isBlockTrade": False,
    }


def stream_trade(market: Market, trade: Trade) -> Payload:
    """Return a `data` element of topic ``publicTrade`` (ws_public_trade; L: Bybit v5 "Trade")."""
    return {
        "T": trade.ts_ns // 1_000_000,
        "s": market.symbol,
        "S": side_text(trade),
        "v": steps_text(trade.size_lots, market.lot),
        "p": steps_text(trade.price_ticks, market.tick),
        "L": "PlusTick" if trade.is_buyer else "MinusTick",
        "i": trade_id(trade.trade_id),
        "BT": False,
    }


def topic_message(topic: str, data: Any, now_ms: int, kind: str = "snapshot") -> Payload:
    """Wrap public data for its topic."""
    return {"topic": topic, "type": kind, "ts": now_ms, "data": data}


def stream_ticker(market: Market, day: Day, top: Top, now_ms: int) -> Payload:
    """Return the `data` of topic ``tickers`` (ws_ticker_linear; spot: Bybit v5 "Ticker")."""
    shared = {
        "symbol": market.symbol,
        "lastPrice": price_text(market, day.last),
        "highPrice24h": price_text(market, day.high),
        "lowPrice24h": price_text(market, day.low),
        "prevPrice24h": price_text(market, day.first),
        "volume24h": trimmed(day.volume),
        "turnover24h": trimmed(day.turnover),
        "price24hPcnt": change(day),
    }
    if market.kind == "spot":
        return {**shared, "usdIndexPrice": price_text(market, day.last)}
    return {
        **shared,
        "tickDirection": "PlusTick",
        "prevPrice1h": price_text(market, day.first),
        "markPrice": price_text(market, day.last),
        "indexPrice": price_text(market, day.last),
        "openInterest": "0",
        "openInterestValue": "0",
        "nextFundingTime": str(next_funding_ms(now_ms)),
        "fundingRate": text_of_rate(),
        **top_fields(market, top),
        "fundingIntervalHour": str(FUNDING_HOURS),
    }


def rest_ticker(market: Market, day: Day, top: Top, now_ms: int) -> Payload:
    """Return a row of ``tickers`` (Bybit v5 "Get Tickers")."""
    row = {**stream_ticker(market, day, top, now_ms), **top_fields(market, top)}
    if market.kind == "spot":
        return row
    for name in ("tickDirection", "fundingIntervalHour"):
        row.pop(name)
    return {
        **row,
        "predictedDeliveryPrice": "",
        "basisRate": "",
        "deliveryFeeRate": "",
        "deliveryTime": "0",
        "basis": "",
    }


def top_fields(market: Market, top: Top) -> Payload:
    """Return the best of the book as the tickers say it."""
    return {
        "bid1Price": price_text(market, top.bid),
        "bid1Size": qty_text(market, top.bid_qty),
        "ask1Price": price_text(market, top.ask),
        "ask1Size": qty_text(market, top.ask_qty),
    }


def book(market: Market, top: Top, update_id: int) -> Payload:
    """Return the `data` of topic ``orderbook.1`` (ws_orderbook_snapshot; level 1 has snapshots only)."""
    return {
        "s": market.symbol,
        "b": [[price_text(market, top.bid), qty_text(market, top.bid_qty)]],
        "a": [[price_text(market, top.ask), qty_text(market, top.ask_qty)]],
        "u": update_id,
        "seq": update_id,
    }


def funding_row(market: Market, time_ms: int) -> Payload:
    """Return a row of ``funding/history`` (http_get_funding_history)."""
    return {"symbol": market.symbol, "fundingRate": text_of_rate(), "fundingRateTimestamp": str(time_ms)}


def text_of_rate() -> str:
    """Return the funding rate, which is the same in every interval."""
    return trimmed(FUNDING_RATE)


def next_funding_ms(now_ms: int) -> int:
    """Return when funding is paid next: 00, 08 and 16 o'clock UTC."""
    return (now_ms // FUNDING_MS + 1) * FUNDING_MS


def change(day: Day) -> str:
    """Return the change over the day as a ratio."""
    return trimmed(round(day.last / day.first - 1, 6)) if day.first else "0"
