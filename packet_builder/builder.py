"""Trades in, packets out: the one object that live trading, backtests and research use to make buckets."""

import hashlib
import math
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray

from packet_builder.kernels import volume_bucket as kernel
from packet_builder.packet import PACKET_DTYPE

Packets = NDArray[np.void]

CHECKPOINT_MAGIC: Final = b"SMCPKT"
_CHECKPOINT: Final = struct.Struct("<6sH16sI")  # magic, version, dtype hash, CRC-32 of the record
_HEAD_INDEX: Final = {name: number for number, name in enumerate(kernel.HEAD_DTYPE.names or ())}

# A live trade waits in a row of this buffer until a bucket may close: one call of the kernel costs as much
# as several rows.
_ROW: Final = struct.Struct("<qddq?7x")  # ts_ns, price, size, id, taker bought
_BUFFER_ROWS: Final = 256
# The guard adds prices x sizes as floats. What it may miss by rounding is below 2**-43 of a bucket.
_GUARD_MARGIN: Final = 2.0**-40

_Push = Callable[[int, float, float, bool, int], int]

NO_PACKETS: Final[Packets] = np.empty(0, PACKET_DTYPE)
NO_PACKETS.setflags(write=False)


@dataclass(frozen=True, slots=True)
class BucketConfig:
    """What a bucket is.

    Parameters
    ----------
    bucket_usd
        Quote currency that fills a bucket, a multiple of ``tick_size * lot_size``.
    tick_size, lot_size
        The instrument's increments of price (quote) and size (base).
    vpin_window
        Packets that VPIN averages over, 1..65536.
    anchor
        ``utc_day``: the first trade of a UTC day closes the open bucket short, so that every day's buckets
        can be made from that day's trades alone. ``none``: buckets run on.

    Raises
    ------
    ValueError
        Not positive, not a multiple, or beyond what int64 counts.
    """

    bucket_usd: Decimal | int
    tick_size: Decimal
    lot_size: Decimal
    vpin_window: int = 50
    anchor: Literal["utc_day", "none"] = "utc_day"

    def __post_init__(self) -> None:
        for name in ("bucket_usd", "tick_size", "lot_size"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, Decimal | int):
                raise ValueError(f"{name} is {value!r}: give a Decimal, floats are not exact")  # noqa: TRY004
            if not Decimal(value).is_finite() or value <= 0:
                raise ValueError(f"{name} is {value}: it must be above 0")
        if not isinstance(self.vpin_window, int) or not 1 <= self.vpin_window <= 65_536:
            raise ValueError(f"vpin_window is {self.vpin_window!r}: give a whole number from 1 to 65536")
        if self.anchor not in ("utc_day", "none"):
            raise ValueError(f"anchor is {self.anchor!r}: choose 'utc_day' or 'none'")

        units, rest = divmod(Decimal(self.bucket_usd), self.unit_usd)
        if rest or units < 1:
            raise ValueError(
                f"bucket_usd {self.bucket_usd} is not a multiple of tick_size x lot_size = "
                f"{self.unit_usd:f}: a bucket could not hold exactly that amount"
            )
        if units * self.vpin_window > 2**62:
            raise ValueError(
                f"bucket_usd {self.bucket_usd} is {units} units of tick_size x lot_size = {self.unit_usd:f}: "
                f"with vpin_window {self.vpin_window} that is beyond int64; choose a smaller bucket or window"
            )

    @property
    def unit_usd(self) -> Decimal:
        """Quote currency of one tick x one lot, the unit of all dollar counts in the kernel."""
        return Decimal(self.tick_size) * Decimal(self.lot_size)

    @property
    def bucket_units(self) -> int:
        """Units that fill a bucket."""
        return int(Decimal(self.bucket_usd) / self.unit_usd)


@dataclass(frozen=True, slots=True)
class Counters:
    """What a builder has seen since its start (checkpoints carry it on)."""

    packets: int
    """Closed packets: the next packet's ``seq``."""
    missing_ids: int
    """Trade ids that were skipped over."""
    dropped_ids: int
    """Trades left out because their id was not above the last one: duplicates and steps backwards."""
    ignored_sizes: int
    """Trades left out because their size was zero."""


def _settings(config: BucketConfig) -> dict[str, int | float]:
    # Whole numbers, so that count x numerator / denominator rounds once: to the float nearest the decimal.
    tick, lot, unit = (
        Decimal(value).as_integer_ratio() for value in (config.tick_size, config.lot_size, config.unit_usd)
    )
    return {
        "bucket_units": config.bucket_units,
        "is_anchored": int(config.anchor == "utc_day"),
        "tick_numerator": float(tick[0]),
        "tick_denominator": float(tick[1]),
        "lot_numerator": float(lot[0]),
        "lot_denominator": float(lot[1]),
        "unit_numerator": float(unit[0]),
        "unit_denominator": float(unit[1]),
        "ticks_per_price": float(1 / Decimal(config.tick_size)),
        "lots_per_size": float(1 / Decimal(config.lot_size)),
    }


def _dtype_hash(dtype: np.dtype[np.void]) -> bytes:
    return hashlib.sha256(repr((kernel.STATE_VERSION, dtype.descr, PACKET_DTYPE.descr)).encode()).digest()[
        :16
    ]


# By bytes: NumPy copies records field by field, which takes 3 us for one row and leaves the padding
# undefined, and equal packets shall be equal bytes.
def _join(parts: list[Packets]) -> Packets:
    return np.frombuffer(bytearray(b"".join(part.tobytes() for part in parts)), PACKET_DTYPE)


def _column(name: str, values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    column = np.asarray(values)
    if column.ndim != 1 or column.dtype.kind not in ("i" if dtype.kind == "i" else "b"):
        # A silent cast would cut prices down to whole units, or take sizes for sides.
        raise ValueError(f"{name} has type {column.dtype} and shape {column.shape}: give a column of {dtype}")
    return np.ascontiguousarray(column, dtype)


def _refusal(code: int, ticks: int, lots: int) -> str:
    return {
        kernel.BAD_PRICE: f"price of {ticks} ticks: it must be above 0",
        kernel.BAD_SIZE: f"size of {lots} lots: it must not be negative",
        kernel.TOO_LARGE: f"{ticks} ticks x {lots} lots is beyond int64: use a coarser tick_size or lot_size",
    }[code]


def _check_count(name: str, value: float, increment: Decimal) -> None:
    # The rule of the kernel's `flush`, in words. It knows a float by its neighbours: 16 ulp.
    scaled = value * float(1 / increment)
    if not math.isfinite(scaled) or scaled < 0:
        raise ValueError(f"{name} is {value}: it must be a finite number, not below 0")
    if scaled >= kernel.COUNT_LIMIT:
        raise ValueError(f"{name} {value} is over {kernel.COUNT_LIMIT} x {increment:f}: too large to count")
    if abs(scaled - round(scaled)) > scaled * kernel.COUNT_TOLERANCE:
        raise ValueError(f"{name} {value} is not a multiple of the increment {increment:f}")


class VolumeBucketBuilder:
    """Build equal-dollar buckets; arrays, chunks and single trades continue the same state.

    Whatever the calls were cut into, the packets and the state are the same to the last bit. Every call
    hands out the packets that it closed and keeps none but the last call's (``closed``).

    Parameters
    ----------
    config
        What a bucket is.

    Examples
    --------
    >>> config = BucketConfig(bucket_usd=100, tick_size=Decimal("0.5"), lot_size=Decimal("0.1"))
    >>> builder = VolumeBucketBuilder(config)
    >>> builder.push(1_000, 10.0, 8.0, True, 1)  # 80 USD bought: 20 are missing
    0
    >>> packets = builder.update(2_000, 10.5, 4.0, False, 2)  # 42 USD sold: 20 fill it, 22 open the next
    >>> [(float(p["buy_usd"]), float(p["sell_usd"])) for p in packets]
    [(80.0, 20.0)]
    >>> builder.forming["total_usd"]
    22.0
    """

    push: _Push
    """``push(ts_ns, price, size, is_buyer, trade_id) -> int``: take one live trade, count the closed packets.

    The fastest way in; arguments as in `update`, the packets are in ``closed``. They close on the very trade
    that fills them. A price or size off its increment is refused as well, but perhaps up to 255 trades
    later, in any case before a packet that it would belong to is handed out; the other trades are all taken.
    """

    def __init__(self, config: BucketConfig) -> None:
        self.config: Final = config
        self._state = np.zeros((), kernel.state_dtype(config.vpin_window))
        self._heads: Packets = self._state["head"].reshape(1)
        self._ring: NDArray[np.int64] = self._state["vpin_ring"]
        self._words = memoryview(self._heads.view(np.int64))
        self.closed: Packets = NO_PACKETS
        self.push, self._flush, self._restart = self._make_live_path()
        self.reset()

    def reset(self) -> None:
        """Forget all trades: same as a new object."""
        self._heads[:] = np.zeros(1, kernel.HEAD_DTYPE)
        self._ring[:] = 0
        head = self._heads[0]
        for name, value in _settings(self.config).items():
            head[name] = value
        head["room"] = head["bucket_units"]
        head["last_id"] = -1
        head["now_ns"] = kernel.INT64_MIN
        head["next_anchor_ns"] = kernel.INT64_MIN if head["is_anchored"] else kernel.INT64_MAX
        self.closed = NO_PACKETS
        self._restart()

    def resume_after(self, trade_id: int, seq: int = 0) -> None:
        """Tell a fresh builder what came before its first trade, when it starts in the middle of a tape.

        A replay from an anchor (00:00 UTC) gives the same packets as an uninterrupted run but for two
        things that only the caller can know: the number of packets before, and whether ids are missing
        between the last trade before the anchor and the first one after it. VPIN is NaN until its window
        is full and equal from then on.

        Parameters
        ----------
        trade_id
            Id of the last trade before the start, -1 if unknown.
        seq
            Number that the next packet gets.

        Raises
        ------
        ValueError
            The builder has taken a trade already, or ``seq`` is negative.
        """
        self._flush()
        head = self._heads[0]
        if head["now_ns"] != kernel.INT64_MIN or head["last_id"] >= 0:
            raise ValueError("resume_after() comes before the first trade: call reset() or use a new builder")
        if seq < 0:
            raise ValueError(f"seq is {seq}: packets are numbered from 0")
        head["last_id"] = max(trade_id, -1)
        head["seq"] = seq

    def taint(self) -> None:
        """Note that a trade is missing before the next one, where no jump of the ids will tell.

        The open bucket is tainted, or the one that the next trade opens; one missing id is counted.
        """
        self._flush()
        head = self._heads[0]
        head["missing_ids"] += 1
        head["total_missing_ids"] += 1

    def update(self, ts_ns: int, price: float, size: float, is_buyer: bool, trade_id: int) -> Packets:
        """Take one live trade; return the packets that it closed.

        Parameters
        ----------
        ts_ns
            Exchange time, UNIX nanoseconds. May go backwards: a bucket's time is the running maximum.
        price, size
            Quote and base currency, multiples of the increments (the floats nearest to them).
        is_buyer
            Whether the taker bought.
        trade_id
            Venue's consecutive number; below 0: the venue has none, and gaps are not looked for.

        Returns
        -------
        NDArray[PACKET_DTYPE]
            Shape (n,), mostly empty; several for a trade larger than a bucket.

        Raises
        ------
        ValueError
            Price or size is not a multiple of its increment, not finite, negative, a zero price, or so large
            that ticks x lots do not fit in int64. The trade is left out; the builder goes on. After calls
            of `push` the refused trade may be one of those, which the message names by id and time; then
            this call's trade is taken, and the packets it closed are in ``closed``.
        """
        self._check(price, size)
        return self.closed if self.push(ts_ns, price, size, is_buyer, trade_id) else NO_PACKETS

    def scan(
        self,
        ts_ns: NDArray[np.int64],
        price_ticks: NDArray[np.int64],
        size_lots: NDArray[np.int64],
        is_buyer: NDArray[np.bool_],
        trade_id: NDArray[np.int64],
    ) -> Packets:
        """Take trades as columns, in the order of their ids; return the packets that they closed.

        Parameters
        ----------
        ts_ns, price_ticks, size_lots, is_buyer, trade_id
            Shape (n,), any n: as in `update`, but price and size as whole numbers of their increments.

        Returns
        -------
        NDArray[PACKET_DTYPE]
            Shape (m,).

        Raises
        ------
        ValueError
            Shapes or types do not fit, or a trade is refused (see `update`): then the message names its
            index and none of the chunk has been taken.
        """
        columns = [
            _column(name, values, np.dtype(np.int64))
            for name, values in (
                ("ts_ns", ts_ns),
                ("price_ticks", price_ticks),
                ("size_lots", size_lots),
                ("trade_id", trade_id),
            )
        ]
        columns.insert(3, _column("is_buyer", is_buyer, np.dtype(np.bool_)))
        count = len(columns[0])
        for name, column in zip(
            ("price_ticks", "size_lots", "is_buyer", "trade_id"), columns[1:], strict=True
        ):
            if len(column) != count:
                raise ValueError(f"{name} has {len(column)} values, ts_ns has {count}: one of each per trade")

        self._flush()
        before = self._state.tobytes()
        parts: list[Packets] = []
        taken = 0
        # Untouched pages cost nothing: ask for many rows at once, give back what was not written.
        room = count // 4 + 16
        while True:
            out = np.zeros(room, PACKET_DTYPE)
            rest = [column[taken:] for column in columns]
            closed = kernel.scan(self._heads, self._ring, rest[0], rest[1], rest[2], rest[3], rest[4], out)
            taken += self._word("consumed")
            if closed:
                out.resize(closed, refcheck=False)
                parts.append(out)
            if taken == count:
                break
            if not self._word("rows_wanted"):
                ticks, lots = int(columns[1][taken]), int(columns[2][taken])
                message = f"trade at index {taken}: {_refusal(self._word('refused'), ticks, lots)}"
                self._restore(before)
                raise ValueError(message)
            room = max(2 * room, self._word("rows_wanted"))
        self._restart()
        self.closed = parts[0] if len(parts) == 1 else _join(parts) if parts else NO_PACKETS
        return self.closed

    @property
    def counters(self) -> Counters:
        """What was counted since the start."""
        self._flush()
        return Counters(
            packets=self._word("seq"),
            missing_ids=self._word("total_missing_ids"),
            dropped_ids=self._word("dropped_ids"),
            ignored_sizes=self._word("ignored_sizes"),
        )

    @property
    def forming(self) -> dict[str, int | float | bool]:
        """The open bucket as a packet's columns, for display: not closed, so no decision may rest on it.

        Empty before its first trade. ``vpin`` is NaN; ``fill_ratio`` (0..1) is added.
        """
        self._flush()
        room, bucket = self._word("room"), self._word("bucket_units")
        if room == bucket:
            return {}
        row = np.zeros(1, PACKET_DTYPE)
        kernel.write_open(self._heads, row)
        columns: dict[str, int | float | bool] = dict(
            zip(PACKET_DTYPE.names or (), row[0].item(), strict=True)
        )
        columns["is_short"] = False
        columns["fill_ratio"] = 1.0 - room / bucket
        return columns

    @property
    def is_tainted(self) -> bool:
        """Whether trades are missing in the open bucket; without a kernel, and so at once the first time."""
        self._flush()
        return self._word("room") != self._word("bucket_units") and self._word("missing_ids") > 0

    @property
    def last_trade_id(self) -> int:
        """The last id taken, -1 before the first: what a reconnect asks the venue to continue after."""
        self._flush()
        return self._word("last_id")

    def to_bytes(self) -> bytes:
        """Return the state as a checkpoint: version, dtype hash, CRC-32 and the record itself."""
        self._flush()
        for name in ("consumed", "rows_wanted", "refused"):  # tell of the last call, not of the trades
            self._words[_HEAD_INDEX[name]] = 0
        record = self._state.tobytes()
        return (
            _CHECKPOINT.pack(
                CHECKPOINT_MAGIC, kernel.STATE_VERSION, _dtype_hash(self._state.dtype), zlib.crc32(record)
            )
            + record
        )

    @classmethod
    def from_bytes(cls, data: bytes, config: BucketConfig) -> Self:
        """Return a builder that continues from a checkpoint of the same settings.

        Raises
        ------
        ValueError
            Not a checkpoint, damaged, made by another version of the kernel, or with other settings.
        """
        builder = cls(config)
        if len(data) < _CHECKPOINT.size or data[: len(CHECKPOINT_MAGIC)] != CHECKPOINT_MAGIC:
            raise ValueError(
                "not a checkpoint of a bucket builder: delete it and replay from the day's anchor"
            )
        _, version, dtype_hash, checksum = _CHECKPOINT.unpack_from(data)
        record = data[_CHECKPOINT.size :]
        if version != kernel.STATE_VERSION or dtype_hash != _dtype_hash(builder._state.dtype):
            raise ValueError(
                "the checkpoint has another layout (kernel version or vpin_window): "
                "replay from the day's anchor"
            )
        if len(record) != builder._state.nbytes or zlib.crc32(record) != checksum:
            raise ValueError("the checkpoint is damaged: delete it and replay from the day's anchor")
        builder._restore(record)
        for name, expected in _settings(config).items():
            if builder._heads[0][name] != expected:
                raise ValueError(
                    f"the checkpoint was made with {name} {builder._heads[0][name]}, the settings say "
                    f"{expected}: replay from the day's anchor"
                )
        return builder

    def _word(self, name: str) -> int:
        return int(self._words[_HEAD_INDEX[name]])

    def _restore(self, record: bytes) -> None:
        state = np.frombuffer(record, self._state.dtype)
        self._heads[:] = state["head"]
        self._ring[:] = state["vpin_ring"][0]
        self.closed = NO_PACKETS
        self._restart()

    def _check(self, price: float, size: float) -> None:
        _check_count("price", price, Decimal(self.config.tick_size))
        _check_count("size", size, Decimal(self.config.lot_size))

    def _make_live_path(self) -> tuple[_Push, Callable[[], int], Callable[[], None]]:
        # Closures, because their cells are read faster than attributes of self. `room` is a guard: it can
        # only be too small (a dropped trade counts as well), and then the kernel is asked too early.
        rows = np.zeros((_BUFFER_ROWS, kernel.ROW_WORDS), np.int64)
        buffer, row_bytes, end = memoryview(rows.view(np.uint8)).cast("B"), rows.strides[0], rows.nbytes
        write_row = _ROW.pack_into
        words, heads, ring, run = self._words, self._heads, self._ring, kernel.flush
        room_at, anchor_at = _HEAD_INDEX["room"], _HEAD_INDEX["next_anchor_ns"]
        consumed_at, wanted_at = _HEAD_INDEX["consumed"], _HEAD_INDEX["rows_wanted"]
        unit_usd = float(self.config.unit_usd)
        margin = float(self.config.bucket_usd) * _GUARD_MARGIN
        out = np.zeros(16, PACKET_DTYPE)
        out_bytes, packet_bytes = memoryview(out.view(np.uint8)), PACKET_DTYPE.itemsize
        offset = next_anchor = 0
        room = 0.0

        def restart() -> None:
            nonlocal offset, room, next_anchor
            offset = 0
            room = words[room_at] * unit_usd
            next_anchor = words[anchor_at]

        def flush() -> int:
            nonlocal offset, room, next_anchor
            if not offset:
                return 0
            count = offset // row_bytes
            closed = run(heads, ring, rows, count, out)
            if closed:
                self.closed = np.frombuffer(bytearray(out_bytes[: closed * packet_bytes]), PACKET_DTYPE)
            offset = 0
            room = words[room_at] * unit_usd
            next_anchor = words[anchor_at]
            return closed if words[consumed_at] == count else flush_rest(count, closed)

        def flush_rest(count: int, closed: int) -> int:
            # A trade closes more packets than fit, or was refused: make room, or go on with the next one.
            nonlocal out, out_bytes
            parts = [self.closed] if closed else []
            refused = ""
            taken = words[consumed_at]
            while taken < count:
                if words[wanted_at]:
                    out = np.zeros(words[wanted_at], PACKET_DTYPE)
                    out_bytes = memoryview(out.view(np.uint8))
                else:
                    refused = refused or self._explain(rows[taken])
                    taken += 1
                closed = run(heads, ring, rows[taken:], count - taken, out)
                parts.append(out[:closed])
                taken += words[consumed_at]
            restart()
            self.closed = _join(parts)
            if refused:
                raise ValueError(refused)
            return len(self.closed)

        def push(ts_ns: int, price: float, size: float, is_buyer: bool, trade_id: int) -> int:
            nonlocal offset, room
            write_row(buffer, offset, ts_ns, price, size, trade_id, is_buyer)
            offset += row_bytes
            usd = price * size
            room -= usd
            # Written so that NaN asks the kernel, which refuses it.
            if room > margin and usd > 0.0 and ts_ns < next_anchor and offset < end:
                return 0
            return flush()

        return push, flush, restart

    def _explain(self, row: NDArray[np.int64]) -> str:
        where = f"trade {row[3]} at {row[0]} ns: "
        price, size = row[1:3].view(np.float64).tolist()
        try:
            self._check(price, size)
        except ValueError as error:
            return f"{where}{error}"
        return where + _refusal(self._word("refused"), int(row[5]), int(row[6]))
