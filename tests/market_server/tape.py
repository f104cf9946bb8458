"""A made-up market from a seed: any trade of any symbol by its id, and klines that agree with the trades."""

import zlib
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import numpy as np
from numpy.typing import NDArray

DAY_MS: Final = 86_400_000
STEP_MS: Final = {"1m": 60_000, "5m": 300_000, "15m": 900_000, "30m": 1_800_000, "1h": 3_600_000,
                  "4h": 14_400_000, "1d": DAY_MS}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Listing:
    """A symbol of the made-up market.

    `trade_gap_ms` is the time between two trades; trade 0 is at `listed_ms`. Increments are written as the
    venue writes them, trailing zeros included.
    """

    symbol: str
    base: str
    price: str
    tick: str
    lot: str
    listed_ms: int = 1_700_006_400_000  # 2023-11-15
    trade_gap_ms: int = 10_000
    turnover: float = 1e6
    spread_ticks: int = 1
    quote: str = "USDT"
    is_trading: bool = True
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Trades:
    """Trades by id, shape (n,) each: price in ticks, size in lots."""

    trade_id: NDArray[np.int64]
    time_ms: NDArray[np.int64]
    ticks: NDArray[np.int64]
    lots: NDArray[np.int64]
    buyer_maker: NDArray[np.bool_]


class Tape:
    """The trades and klines of some symbols until `now_ms`."""

    def __init__(self, listings: tuple[Listing, ...], now_ms: int, seed: int = 1) -> None:
        self.listings = {listing.symbol: listing for listing in listings}
        self.now_ms = now_ms
        self.seed = seed

    def last_id(self, symbol: str) -> int:
        """Return the id of the newest trade, -1 before the listing."""
        listing = self.listings[symbol]
        return (self.now_ms - listing.listed_ms) // listing.trade_gap_ms

    def first_id_at(self, symbol: str, time_ms: int) -> int:
        """Return the id of the first trade at or after a time."""
        listing = self.listings[symbol]
        return max(0, -((listing.listed_ms - time_ms) // listing.trade_gap_ms))

    def trades(self, symbol: str, first_id: int, last_id: int) -> Trades:
        """Return the trades with these ids, both inclusive, as far as they exist."""
        listing = self.listings[symbol]
        ids = np.arange(max(0, first_id), min(last_id, self.last_id(symbol)) + 1, dtype=np.int64)
        salt = zlib.crc32(f"{symbol} {self.seed}".encode())
        noise = _mixed(ids, salt)
        middle = int(Decimal(listing.price) / Decimal(listing.tick))
        phase = ids * (listing.trade_gap_ms / DAY_MS)
        swing = np.sin(phase * 2.0 + salt % 7) + 0.4 * np.sin(phase * 17.0)
        ticks = np.rint(middle * (1 + 0.02 * swing)).astype(np.int64) + (noise % 7).astype(np.int64) - 3
        return Trades(
            ids,
            listing.listed_ms + ids * listing.trade_gap_ms,
            np.maximum(ticks, 1),
            1 + (noise >> np.uint64(8)).astype(np.int64) % 500,
            (noise >> np.uint64(40)) % 2 == 0,
        )

    def klines(self, symbol: str, interval: str, first_open_ms: int, last_open_ms: int) -> list[list[object]]:
        """Return ``[open_ms, open, high, low, close, volume, quote_volume, trades, buy, buy_quote]`` rows.

        Prices are ticks and volumes lots; the last row may be of an interval that has not ended.
        """
        step = STEP_MS[interval]
        last_open_ms = min(last_open_ms, self.now_ms)
        first_id = self.first_id_at(symbol, -(-first_open_ms // step) * step)
        found = self.trades(
            symbol, first_id, self.first_id_at(symbol, last_open_ms // step * step + step) - 1
        )
        if not len(found.trade_id):
            return []
        bar = found.time_ms // step
        starts = np.flatnonzero(np.r_[True, np.diff(bar) > 0])
        ends = np.r_[starts[1:], len(bar)]
        quote = found.ticks * found.lots
        bought = np.where(found.buyer_maker, 0, found.lots)
        columns = (
            bar[starts] * step,
            found.ticks[starts],
            np.maximum.reduceat(found.ticks, starts),
            np.minimum.reduceat(found.ticks, starts),
            found.ticks[ends - 1],
            np.add.reduceat(found.lots, starts),
            np.add.reduceat(quote, starts),
            ends - starts,
            np.add.reduceat(bought, starts),
            np.add.reduceat(np.where(found.buyer_maker, 0, quote), starts),
        )
        return [list(row) for row in zip(*(column.tolist() for column in columns), strict=True)]

    def funding(self, symbol: str, first_ms: int, last_ms: int) -> list[tuple[int, str]]:
        """Return ``(time_ms, rate)`` every eight hours, oldest first."""
        step = 8 * 3_600_000
        first = -(-max(first_ms, self.listings[symbol].listed_ms) // step)
        numbers = np.arange(first, min(last_ms, self.now_ms) // step + 1, dtype=np.int64)
        noise = _mixed(numbers, zlib.crc32(symbol.encode()))
        rates = [f"{Decimal(int(one) % 4001 - 1000).scaleb(-7):.8f}" for one in noise]
        return [(int(number) * step, rate) for number, rate in zip(numbers, rates, strict=True)]


def _mixed(ids: NDArray[np.int64], salt: int) -> NDArray[np.uint64]:
    """Turn numbers into well-spread ones (the finaliser of splitmix64)."""
    mixed = ids.astype(np.uint64) + np.uint64((salt * 0x9E3779B97F4A7C15) % 2**64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return mixed ^ (mixed >> np.uint64(31))
