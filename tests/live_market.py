"""A market for tests of live data: trades that a stream loses and a REST interface still has."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import numpy as np
from nautilus_trader.model.data import TradeTick
from nautilus_trader.model.identifiers import InstrumentId

from indicators.engine import StructureEngine
from indicators.structure_config import StructureConfig
from packet_builder.builder import BucketConfig, VolumeBucketBuilder
from runtime.errors import VenueError
from runtime.live.backfill import RestTrade
from runtime.live.gaps import Missing

IID = InstrumentId.from_str("XRPUSDT.BINANCE")


class Venue:
    """A `TradeSource` over a tape, in pages; it can be slow, refuse, or be behind its stream.

    Parameters
    ----------
    tape
        All trades that ever happened.
    page
        Rows of a page.
    """

    def __init__(self, tape: Sequence[RestTrade], page: int = 1000, *, has_ids: bool = True) -> None:
        self.tape = list(tape)
        self.page = page
        self.has_ids = has_ids
        self.delay_secs = 0.0
        self.is_down = False
        self.asked: list[Missing] = []
        self.newest = len(self.tape)

    async def pages(self, symbol: str, wanted: Missing) -> AsyncIterator[list[RestTrade]]:
        """Yield what is there of the missing trades."""
        assert symbol == "XRPUSDT"
        self.asked.append(wanted)
        await asyncio.sleep(self.delay_secs)
        if self.is_down:
            raise VenueError("no connection")
        known = self.tape[: self.newest]
        if not self.has_ids:
            yield known[-self.page :]
            return
        rows = [one for one in known if int(one.trade_id) >= wanted.first_id]
        for start in range(0, len(rows), self.page):
            yield rows[start : start + self.page]
            if int(rows[min(start + self.page, len(rows)) - 1].trade_id) >= wanted.last_id:
                return

    def stamp_ns(self, ts_ms: int) -> int:
        """Return exact nanoseconds."""
        return ts_ms * 1_000_000


class Perception:
    """Buckets and structure as a strategy keeps them, and the prices that its setup was shown."""

    def __init__(self, buckets: BucketConfig) -> None:
        self.builder = VolumeBucketBuilder(buckets)
        self.structure = StructureEngine(StructureConfig(tick_size=float(buckets.tick_size)))
        self.shown: list[float] = []
        self.forgot = 0
        self.packets: list[bytes] = []
        self.taken: list[str] = []

    def take_price(self, tick: TradeTick) -> None:
        """Show the setup a price."""
        self.shown.append(tick.price.as_double())

    def taint_bucket(self) -> None:
        """Taint the bucket that forms."""
        self.builder.taint()

    def forget_prices(self) -> None:
        """Count how often the prices of before count no more."""
        self.forgot += 1

    def take_past_trade(self, tick: TradeTick) -> None:
        """Take a trade into buckets and structure."""
        name = tick.trade_id.value
        self.taken.append(name)
        number = int(name) if name.isdigit() else -1
        price, size = tick.price.as_double(), tick.size.as_double()
        if self.builder.push(tick.ts_event, price, size, tick.aggressor_side.name == "BUYER", number):
            self.packets.append(self.builder.closed.tobytes())
            for row in self.builder.closed:
                columns = (
                    "ts_open_ns",
                    "ts_close_ns",
                    "open",
                    "high",
                    "low",
                    "close",
                    "total_qty",
                    "buy_qty",
                )
                self.structure.update(*(row[name].item() for name in columns))

    def take(self, tick: TradeTick) -> None:
        """Take a trade as it comes: buckets first, then the setup."""
        self.take_past_trade(tick)
        self.take_price(tick)

    def state(self) -> tuple[bytes, bytes, bytes]:
        """Return everything that was perceived."""
        return self.builder.to_bytes(), self.structure.to_bytes(), b"".join(self.packets)


def tape_of(columns: Sequence[np.ndarray[Any, Any]], tick: float, lot: float, digits: int) -> list[RestTrade]:
    """Return columns (time, price ticks, size lots, side, id) as the REST interface would tell them."""
    ts_ns, ticks, lots, buyer, number = (column.tolist() for column in columns)
    return [
        RestTrade(
            str(one), ts // 1_000_000, f"{price * tick:.{digits}f}", f"{size * lot:.{digits}f}", bool(side)
        )
        for ts, price, size, side, one in zip(ts_ns, ticks, lots, buyer, number, strict=True)
    ]
