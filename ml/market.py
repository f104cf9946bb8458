"""The market as features see it: trades, their buckets, the structure after each, and when it was known."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from indicators.engine import StructureEngine
from indicators.structure_config import StructureConfig
from packet_builder.builder import BucketConfig, VolumeBucketBuilder


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

    def until(self, end: int) -> Self:
        """Return the trades before a position."""
        return replace(
            self,
            ts_ns=self.ts_ns[:end],
            price_ticks=self.price_ticks[:end],
            size_lots=self.size_lots[:end],
            is_buyer=self.is_buyer[:end],
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


def perceive(tape: Tape, buckets: BucketConfig, structure: StructureConfig) -> Market:
    """Run the bucket builder and the structure engine over a tape, as the strategy does.

    Parameters
    ----------
    tape
        From the anchor on (00:00 UTC), as the strategy saw it.
    buckets, structure
        Parameters of the strategy's own.
    """
    # Numbered by position, so that a bucket says which trade closed it. Missing ids are no feature.
    ids = np.arange(len(tape), dtype=np.int64)
    packets = VolumeBucketBuilder(buckets).scan(
        tape.ts_ns, tape.price_ticks, tape.size_lots, tape.is_buyer, ids
    )
    columns = ("open", "high", "low", "close", "total_qty", "buy_qty")
    _, snapshots = StructureEngine(structure).scan(
        np.ascontiguousarray(packets["ts_open_ns"]),
        np.ascontiguousarray(packets["ts_close_ns"]),
        *(np.ascontiguousarray(packets[name]) for name in columns),
    )
    # A bucket that the day's end cut short is closed by the next trade, which is not in it.
    known_at = packets["last_trade_id"] + packets["is_short"]
    return Market(packets, snapshots, np.ascontiguousarray(known_at))
