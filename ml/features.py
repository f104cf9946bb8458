"""The features of a decision: their names, units and look-back, and the one way to compute them.

Training computes a matrix over recorded buckets, live trading one row at a time; both run
`ml.kernels.features.vector`, which sees the last `WINDOW` closed buckets and nothing younger.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from indicators.snapshot import SNAPSHOT_DTYPE
from ml.kernels import features as kernel
from packet_builder.packet import PACKET_DTYPE

_PACKET_BYTES: Final = PACKET_DTYPE.itemsize
_LAST, _IS_STALE, _PLACED_NS = (
    (kernel.RING_DTYPE.names or ()).index(name) for name in ("last", "is_stale", "placed_ns")
)
VERSION: Final = 1  # of the arithmetic: a change that moves any value raises it
WINDOW: Final = kernel.WINDOW


@dataclass(frozen=True, slots=True)
class Feature:
    """One column.

    Parameters
    ----------
    name
        Of the column.
    unit
        ``atr``, ``leg``, ``log secs``, ``ratio``, ...
    lookback
        Closed buckets that it needs, 0 for none; for what the structure keeps, those it may reach back to.
    doc
        What it says, signed so that more is better for the order where it has a sign.
    invariant
        The same whether the venue reports single trades or aggregates of one taker.
    """

    name: str
    unit: str
    lookback: int
    doc: str
    invariant: bool = True


FEATURES: Final[tuple[Feature, ...]] = (
    Feature("distance_atr", "atr", 1, "price above the entry (below it, for a short)"),
    Feature("distance_leg", "leg", 0, "the same, as a share of the range"),
    Feature("move_atr", "atr", 1, "from the close of the last bucket to the price"),
    Feature("open_secs", "log secs", 1, "since the last bucket closed"),
    Feature("age_secs", "log secs", 0, "since the order was sent"),
    Feature("day_sin", "ratio", 0, "time of day in UTC, as a point on a circle"),
    Feature("day_cos", "ratio", 0, "time of day in UTC, as a point on a circle"),
    Feature("stop_atr", "atr", 1, "distance from entry to stop"),
    Feature("reward_risk", "ratio", 0, "distance to the target over distance to the stop, before fees"),
    Feature("leg_atr", "atr", 1, "height of the range"),
    Feature("age_buckets", "log buckets", 1, "since the order was sent"),
    Feature("run_1_atr", "atr", 2, "change of the close over the last bucket"),
    Feature("run_5_atr", "atr", 6, "change of the close over 5 buckets"),
    Feature("run_20_atr", "atr", 21, "change of the close over 20 buckets"),
    Feature("pullback_buckets", "log buckets", WINDOW, "since the extreme of the last 128 buckets"),
    Feature("pullback_secs", "log secs", WINDOW, "since that extreme"),
    Feature("pullback_leg", "leg", WINDOW, "from that extreme to the last close"),
    Feature("pullback_imbalance", "ratio", WINDOW, "bought less sold since that extreme, over all traded"),
    Feature("imbalance_1", "ratio", 1, "bought less sold in the last bucket"),
    Feature("imbalance_5", "ratio", 5, "the same in 5 buckets"),
    Feature("imbalance_20", "ratio", 20, "the same in 20 buckets"),
    Feature("imbalance_50", "ratio", 50, "the same in 50 buckets"),
    Feature("imbalance_change", "ratio", 20, "of 5 buckets less that of 20"),
    Feature("adverse_run", "buckets", 20, "last buckets in a row with flow against the order, at most 20"),
    Feature("vpin", "ratio", 50, "mean absolute imbalance of the builder's window"),
    Feature("variance_5", "log", 5, "mean realised variance of 5 buckets"),
    Feature("variance_change", "log ratio", 50, "of 5 buckets over that of 50"),
    Feature("semivariance_skew_5", "ratio", 5, "variance of moves for the order less that against it"),
    Feature("efficiency_5", "ratio", 5, "net move over path of 5 buckets"),
    Feature("pace_change", "log ratio", 50, "seconds per bucket, last 5 over last 50"),
    Feature("impact_change", "log ratio", 50, "Amihud's price move per dollar, last 5 over last 50"),
    Feature("atr_ratio", "ratio", 1, "average true range over the slow one"),
    Feature("ema_gap_atr", "atr", 1, "fast less slow average of the close"),
    Feature("rsi", "points", 1, "relative strength index less 50"),
    Feature("internal_trend", "sign", 1, "trend of the small swings"),
    Feature("external_trend", "sign", 1, "trend of the large swings"),
    Feature("internal_break_age", "log buckets", 1, "since the small swings' last break"),
    Feature("external_break_age", "log buckets", 1, "since the large swings' last break"),
    Feature("support_liquidity_atr", "atr", 1, "from the entry back to the nearest resting stops behind it"),
    Feature("target_liquidity_atr", "atr", 1, "from the entry on to the nearest resting stops before it"),
    Feature("support_block_atr", "atr", 1, "from the entry back to the nearest order block of its side"),
    Feature("support_gap_atr", "atr", 1, "from the entry back to the nearest fair value gap of its side"),
    Feature("block_balance", "blocks", 1, "active order blocks of its side less those of the other"),
    Feature("sweep_age", "log buckets", 1, "since stops behind the entry were swept"),
    Feature(
        "day_position",
        "ratio",
        1,
        "entry within the previous day's range, 0 at its far side; 0.5 without one",
    ),
    Feature("htf_bias", "sign", 1, "higher-timeframe bias when the last bucket closed, 0 without one"),
)
NAMES: Final = tuple(one.name for one in FEATURES)
assert len(FEATURES) == kernel.COLUMNS  # names and columns are written down apart


def schema_hash(names: Sequence[str] = NAMES) -> str:
    """Return what identifies a feature vector: its ordered names with units, look-back and arithmetic.

    Parameters
    ----------
    names
        Columns in their order.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    ValueError
        For a name that is no feature.
    """
    by_name = {one.name: one for one in FEATURES}
    unknown = [name for name in names if name not in by_name]
    if unknown:
        raise ValueError(f"no feature is called {', '.join(unknown)}; there are {', '.join(NAMES)}")
    columns = [[name, "float64", by_name[name].unit, by_name[name].lookback] for name in names]
    return hashlib.sha256(json.dumps([VERSION, columns]).encode()).hexdigest()


def state_dtype_sha256() -> str:
    """Return the SHA-256 of the layouts of buckets and structure that the features read, 64 hex digits."""
    layouts = (PACKET_DTYPE.descr, SNAPSHOT_DTYPE.descr)
    return hashlib.sha256(repr(layouts).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class OrderFacts:
    """The resting entry that a decision is about.

    Parameters
    ----------
    direction
        +1 long, -1 short.
    entry, stop, target, range_low, range_high
        Quote currency; the range is the dealing range.
    placed_ns, placed_seq
        When it was sent, UNIX nanoseconds, and the last bucket that had closed then.
    bias
        Higher-timeframe bias when the last bucket closed: +1, 0, -1; NaN without one.
    """

    direction: int
    entry: float
    stop: float
    target: float
    range_low: float
    range_high: float
    placed_ns: int
    placed_seq: int
    bias: float = np.nan

    def row(self) -> NDArray[np.float64]:
        """Return what the kernel takes, shape (8,)."""
        return np.array(
            [
                self.direction,
                self.entry,
                self.stop,
                self.target,
                self.range_low,
                self.range_high,
                self.placed_seq,
                self.bias,
            ],
            np.float64,
        )


class FeatureRing:
    """The last closed buckets and the order that is looked at, as live trading keeps them.

    A bucket or another order costs a copy of bytes. Their columns are filled once, at the first look after
    them; each look fills those that change with the trade. Rows slide through a buffer of twice the window,
    so that the kernel always reads them in one piece.
    """

    def __init__(self) -> None:
        self._packets = np.zeros(2 * WINDOW, PACKET_DTYPE)
        self._snapshots = np.zeros(1, SNAPSHOT_DTYPE)
        self._order = np.zeros(kernel.ORDER_FIELDS)
        self.row = np.empty(kernel.COLUMNS)
        """Shape (46,): the features of the last look."""
        self._record = np.zeros(1, kernel.RING_DTYPE)
        record = self._record[0]
        record["packets_at"] = self._packets.ctypes.data
        record["snapshot_at"] = self._snapshots.ctypes.data
        record["order_at"] = self._order.ctypes.data
        record["row_at"] = self.row.ctypes.data
        self.address = self._record.ctypes.data
        """Of the record of `RING_DTYPE` that a fused chain takes; valid while self lives."""
        # By bytes: numpy copies records field by field, which takes 3 us and more.
        self._packet_bytes = memoryview(self._packets.view(np.uint8))
        self._snapshot_bytes = memoryview(self._snapshots.view(np.uint8))
        self._words = memoryview(self._record.view(np.int64))
        self.reset()

    def reset(self) -> None:
        """Forget all buckets."""
        self._words[_LAST] = -1

    @property
    def is_empty(self) -> bool:
        """Tell whether no bucket was pushed yet: then there is no row."""
        return self._words[_LAST] < 0

    def push(self, packet: Any, snapshot: Any) -> None:
        """Take a closed bucket and the structure after it.

        Parameters
        ----------
        packet, snapshot
            A row of ``PACKET_DTYPE`` and one of ``SNAPSHOT_DTYPE``, or views of their bytes.
        """
        place = self._words[_LAST] + 1
        if place == 2 * WINDOW:
            half = WINDOW * _PACKET_BYTES
            self._packet_bytes[:half] = self._packet_bytes[half:]
            place = WINDOW
        start = place * _PACKET_BYTES
        self._packet_bytes[start : start + _PACKET_BYTES] = packet.tobytes()
        self._snapshot_bytes[:] = snapshot.tobytes()
        self._words[_LAST] = place
        self._words[_IS_STALE] = 1

    def hold(self, order: OrderFacts) -> None:
        """Look at this order from now on."""
        self._order[:] = order.row()
        self._words[_PLACED_NS] = order.placed_ns
        self._words[_IS_STALE] = 1

    def set_bias(self, bias: float) -> None:
        """Take the higher-timeframe bias when the newest bucket closed: +1, 0, -1, NaN without one."""
        self._order[kernel.BIAS] = bias
        self._words[_IS_STALE] = 1

    def vector(self, order: OrderFacts, ts_ns: int, price: float) -> NDArray[np.float64]:
        """Return the features of a decision, shape (46,), and go on looking at this order.

        Parameters
        ----------
        order
            The resting entry.
        ts_ns, price
            Of the trade on which is decided, UNIX nanoseconds and quote currency.

        Raises
        ------
        ValueError
            Before the first bucket.
        """
        if self.is_empty:
            raise ValueError("no features before the first closed bucket")
        self.hold(order)
        kernel.look_at(self.address, ts_ns, price)
        return self.row.copy()


def feature_matrix(
    packets: NDArray[np.void],
    snapshots: NDArray[np.void],
    last: NDArray[np.int64],
    orders: NDArray[np.float64],
    placed_ns: NDArray[np.int64],
    ts_ns: NDArray[np.int64],
    price: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the features of many decisions, the same bits as `FeatureRing.vector` gives one by one.

    Parameters
    ----------
    packets, snapshots
        All closed buckets and the structure after each, shape (n,), ``PACKET_DTYPE``, ``SNAPSHOT_DTYPE``.
    last
        Position of the newest bucket known at each decision, shape (m,), in 0..n-1.
    orders
        `OrderFacts.row` of each, shape (m, 8).
    placed_ns, ts_ns
        UNIX nanoseconds, shape (m,).
    price
        Of the trade on which is decided, quote currency, shape (m,).

    Returns
    -------
    NDArray[np.float64]
        Shape (m, 46).

    Raises
    ------
    ValueError
        When a position is outside, or buckets and snapshots are not the same.
    """
    if len(packets) != len(snapshots):
        raise ValueError(f"{len(packets)} buckets but {len(snapshots)} snapshots: one after each is needed")
    if len(last) and not 0 <= last.min() <= last.max() < len(packets):
        raise ValueError(f"positions {last.min()}..{last.max()} are not within {len(packets)} buckets")
    out = np.empty((len(last), kernel.COLUMNS))
    kernel.matrix(packets, snapshots, last, orders, placed_ns, ts_ns, price, out)
    return out
