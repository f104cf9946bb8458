"""The market as features see it: trades, their buckets, the structure after each, and when it was known."""

from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from indicators.engine import StructureEngine
from indicators.structure_config import StructureConfig
from packet_builder.builder import BucketConfig, VolumeBucketBuilder
from packet_builder.packet import PACKET_DTYPE

CHUNK: Final = 500_000  # trades at a time: their ids need memory


@dataclass(frozen=True, slots=True)
class Tape:
    """Trades in the order of their ids.

    Parameters
    ----------
    ts_ns
        int64, shape (n,), UNIX nanoseconds.
    price_ticks, size_lots
        int64, shape (n,), in increments of the instrument.
    is_buyer
        bool, shape (n,): the taker bought.
    """

    ts_ns: NDArray[np.int64]
    price_ticks: NDArray[np.int64]
    size_lots: NDArray[np.int64]
    is_buyer: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.ts_ns)

    def within(self, start: int, end: int) -> Self:
        """Return the trades from a position on, up to but not including another; nothing is copied."""
        return replace(
            self,
            ts_ns=self.ts_ns[start:end],
            price_ticks=self.price_ticks[start:end],
            size_lots=self.size_lots[start:end],
            is_buyer=self.is_buyer[start:end],
        )


@dataclass(frozen=True, slots=True)
class Market:
    """Buckets and structure of a tape.

    Parameters
    ----------
    packets, snapshots
        Shape (n,), ``PACKET_DTYPE`` and ``SNAPSHOT_DTYPE``.
    known_at
        int64, shape (n,): position on the tape of the trade that closed each bucket; whoever decides on that
        trade does not know the bucket yet, whoever decides on the next one does.
    """

    packets: NDArray[np.void]
    snapshots: NDArray[np.void]
    known_at: NDArray[np.int64]

    def last_known(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the newest bucket known at decisions on the trades at these positions, -1 for none."""
        return np.searchsorted(self.known_at, positions, side="left") - 1


def perceive(*tapes: Tape, buckets: BucketConfig, structure: StructureConfig) -> Market:
    """Run the bucket builder and the structure engine over a tape, as the strategy does.

    Parameters
    ----------
    *tapes
        Consecutive parts of a tape, from the anchor on (00:00 UTC), as the strategy saw it.
    buckets, structure
        Parameters of the strategy's own.
    """
    builder = VolumeBucketBuilder(buckets)
    parts, start = [], 0
    for tape in tapes:
        for first in range(0, len(tape), CHUNK):
            some = tape.within(first, first + CHUNK)
            # Numbered by position, so that a bucket says which trade closed it. Missing ids are no feature.
            ids = np.arange(start, start + len(some), dtype=np.int64)
            parts.append(builder.scan(some.ts_ns, some.price_ticks, some.size_lots, some.is_buyer, ids))
            start += len(some)
    packets = _joined(parts)
    columns = ("open", "high", "low", "close", "total_qty", "buy_qty")
    _, snapshots = StructureEngine(structure).scan(
        np.ascontiguousarray(packets["ts_open_ns"]),
        np.ascontiguousarray(packets["ts_close_ns"]),
        *(np.ascontiguousarray(packets[name]) for name in columns),
    )
    # A bucket that the day's end cut short is closed by the next trade, which is not in it.
    known_at = packets["last_trade_id"] + packets["is_short"]
    return Market(packets, snapshots, np.ascontiguousarray(known_at))


def _joined(parts: list[NDArray[np.void]]) -> NDArray[np.void]:
    """Return the parts in one piece; each is let go as soon as it was copied."""
    packets = np.empty(sum(len(part) for part in parts), PACKET_DTYPE)
    # As bytes: numpy would copy field by field and leave the padding undefined.
    raw = packets.view(np.uint8).reshape(len(packets), PACKET_DTYPE.itemsize)
    end = 0
    while parts:
        part = parts.pop(0)
        raw[end : end + len(part)] = part.view(np.uint8).reshape(len(part), PACKET_DTYPE.itemsize)
        end += len(part)
    return packets
