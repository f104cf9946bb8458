"""Fetches trades that a stream did not bring, and makes them what the stream would have brought."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, cast

import numpy as np
from nautilus_trader.core.datetime import millis_to_nanos
from nautilus_trader.model.data import TradeTick
from nautilus_trader.model.enums import AggressorSide
from nautilus_trader.model.identifiers import InstrumentId, TradeId
from nautilus_trader.model.objects import Price, Quantity
from numpy.typing import NDArray

from runtime.download.binance_rest import BinanceRest
from runtime.download.bybit_rest import BybitRest
from runtime.download.venue_rows import understood
from runtime.live.gaps import Missing
from runtime.live.settings import LiveVenue

MS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class RestTrade:
    """A trade as a venue's REST interface tells it.

    Parameters
    ----------
    trade_id
        The id that the stream gives the same trade.
    ts_ms
        Exchange time, UNIX milliseconds.
    price, size
        The venue's own digits.
    is_buyer
        Whether the taker bought.
    """

    trade_id: str
    ts_ms: int
    price: str
    size: str
    is_buyer: bool


class TradeSource(Protocol):
    """Gives the trades of one market that its stream missed."""

    has_ids: bool
    """Whether ids are consecutive, so that a gap is seen and can be asked for."""

    def pages(self, symbol: str, wanted: Missing) -> AsyncIterator[Sequence[RestTrade]]:
        """Yield what the venue has of the missing trades by now, oldest first, and perhaps later ones."""
        ...

    async def first_id(self, symbol: str, since_ns: int, until_ns: int) -> int | None:
        """Return the id of the first trade in [since_ns, until_ns), None where that cannot be had."""
        ...

    def stamp_ns(self, ts_ms: int) -> int:
        """Return the time that the adapter gives a trade of this millisecond, UNIX nanoseconds."""
        ...

    def stamps(self, ts_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the times that the adapter gives trades of these exchange times, shape (n,)."""
        ...


class BinanceTrades:
    """Binance: single trades on spot, aggregate trades on futures; the ids are those of the streams.

    Parameters
    ----------
    rest
        Of the market.
    is_spot
        Its stream is ``@trade`` with single trades; that of futures is ``@aggTrade``.

    Notes
    -----
    The adapter makes nanoseconds of milliseconds by way of a float, which misses by up to 128 ns; a trade
    that was fetched must be stamped in the same way, or buckets would begin at other nanoseconds.
    """

    has_ids = True

    def __init__(self, rest: BinanceRest, *, is_spot: bool) -> None:
        self._rest = rest
        self._is_spot = is_spot

    async def pages(self, symbol: str, wanted: Missing) -> AsyncIterator[list[RestTrade]]:
        """Yield the missing trades by id."""
        if self._is_spot:
            async for page in self._rest.single_trades(symbol, wanted.first_id, wanted.last_id):
                with understood(f"historicalTrades {symbol}"):
                    yield [_single(row) for row in page]
            return
        async for page in self._rest.agg_trades(symbol, wanted.first_id):
            with understood(f"aggTrades {symbol}"):
                rows = [_aggregate(row) for row in page]
            yield rows
            if rows and int(rows[-1].trade_id) >= wanted.last_id:
                return

    async def first_id(self, symbol: str, since_ns: int, until_ns: int) -> int | None:
        """Return the id of the first trade of a span, by the venue's aggregate trades."""
        find = self._rest.single_trade_id_at if self._is_spot else self._rest.agg_trade_id_at
        return await find(symbol, since_ns, until_ns)

    def stamp_ns(self, ts_ms: int) -> int:
        """Return the adapter's time of a millisecond."""
        return int(millis_to_nanos(ts_ms))

    def stamps(self, ts_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the adapter's times: microseconds of an archive are cut to the stream's milliseconds."""
        return ((ts_ns // MS).astype(np.float64) * 1e6).astype(np.int64)


class BybitTrades:
    """Bybit: one page of the newest trades, whose ids are names.

    Parameters
    ----------
    rest
        Of the market.
    """

    has_ids = False

    def __init__(self, rest: BybitRest) -> None:
        self._rest = rest

    async def pages(self, symbol: str, wanted: Missing) -> AsyncIterator[list[RestTrade]]:
        """Yield the one page that there is."""
        del wanted
        rows = await self._rest.recent_trades(symbol)
        with understood(f"recent-trade {symbol}"):
            yield [_named(row) for row in rows]

    async def first_id(self, symbol: str, since_ns: int, until_ns: int) -> None:
        """Return None: names cannot be asked for."""
        del symbol, since_ns, until_ns

    def stamp_ns(self, ts_ms: int) -> int:
        """Return the adapter's time of a millisecond, which is exact."""
        return ts_ms * MS

    def stamps(self, ts_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the exchange's times."""
        return ts_ns


def trade_source(rest: Any, venue: LiveVenue) -> TradeSource:
    """Return where the missing trades of an account's market come from."""
    if venue.venue == "binance":
        return BinanceTrades(cast("BinanceRest", rest), is_spot=venue.is_spot)
    return BybitTrades(cast("BybitRest", rest))


def venue_symbol(instrument_id: InstrumentId) -> str:
    """Return what the venue calls an instrument.

    Examples
    --------
    >>> [venue_symbol(InstrumentId.from_str(one)) for one in ("BTCUSDT-PERP.BINANCE", "XRPUSDT.BINANCE")]
    ['BTCUSDT', 'XRPUSDT']
    """
    return str(instrument_id.symbol.value.split("-")[0])


def tick_of(instrument_id: InstrumentId, trade: RestTrade, source: TradeSource, now_ns: int) -> TradeTick:
    """Return a fetched trade as the adapter would have handed it on.

    Raises
    ------
    ValueError
        When price or size is no number.
    """
    return TradeTick(
        instrument_id,
        Price.from_str(trade.price),
        Quantity.from_str(trade.size),
        AggressorSide.BUYER if trade.is_buyer else AggressorSide.SELLER,
        TradeId(trade.trade_id),
        source.stamp_ns(trade.ts_ms),
        now_ns,
    )


def _single(row: dict[str, Any]) -> RestTrade:
    return RestTrade(str(row["id"]), int(row["time"]), row["price"], row["qty"], not row["isBuyerMaker"])


def _aggregate(row: dict[str, Any]) -> RestTrade:
    return RestTrade(str(row["a"]), int(row["T"]), row["p"], row["q"], not row["m"])


def _named(row: dict[str, Any]) -> RestTrade:
    return RestTrade(row["execId"], int(row["time"]), row["price"], row["size"], row["side"] == "Buy")


__all__ = [
    "BinanceTrades",
    "BybitTrades",
    "RestTrade",
    "TradeSource",
    "tick_of",
    "trade_source",
    "venue_symbol",
]
