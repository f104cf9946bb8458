"""What a strategy on buckets has perceived up to one trade, as plain data: to save, and to go on from.

Buckets, VPIN ring, structure, live zones and the packets that a model looks back upon. It holds nothing of
orders and positions. No pickle: a layout that does not fit is refused.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, Final, Protocol

import msgspec
import numpy as np

from indicators.engine import StructureEngine
from indicators.events import Scope
from indicators.structure_config import StructureConfig
from packet_builder.builder import BucketConfig, VolumeBucketBuilder
from packet_builder.packet import PACKET_DTYPE
from strategies.bias_track import BiasState
from strategies.row_struct import row_struct
from strategies.trade_manager.plan import Zone
from strategies.trade_manager.zones import ZoneBook

VERSION: Final = 1
LOOKED_BACK: Final = 128  # closed buckets that a model looks back upon, `ml.features.WINDOW`
BAR_OF_PACKET: Final = row_struct(
    PACKET_DTYPE, "ts_open_ns", "ts_close_ns", "open", "high", "low", "close", "total_qty", "buy_qty"
)


class ZoneState(msgspec.Struct, frozen=True, array_like=True):
    """A live zone; see `Zone`."""

    zone_id: int
    direction: int
    known_ts_ns: int
    low: float
    high: float
    sweet: float
    is_touched: bool


class PerceptionState(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything perceived on one instrument up to its last trade.

    Parameters
    ----------
    version
        Of this layout.
    instrument_id
        Nautilus id.
    last_trade_id
        Of the last trade, -1 where the venue has no numbers.
    names
        Names of the newest trades where it has none, oldest first.
    builder, structure
        As their ``to_bytes`` gave them.
    zones
        Alive, in the order in which they formed.
    packets
        The newest closed packets, at most `LOOKED_BACK`, as bytes.
    bias
        Of the higher timeframe, None without one.
    """

    version: int = VERSION
    instrument_id: str
    last_trade_id: int
    names: tuple[str, ...] = ()
    builder: bytes
    structure: bytes
    zones: tuple[ZoneState, ...]
    packets: bytes
    bias: BiasState | None = None

    def packet_rows(self) -> Iterator[Any]:
        """Yield the packets, rows of ``PACKET_DTYPE``."""
        yield from np.frombuffer(bytearray(self.packets), PACKET_DTYPE)


class Columns(Protocol):
    """Trades as columns; see `VolumeBucketBuilder.scan`."""

    ts_ns: Any
    price_ticks: Any
    size_lots: Any
    is_buyer: Any
    trade_id: Any


class Perceiver:
    """Builds the state from history, outside a strategy: it may run in another thread.

    Parameters
    ----------
    instrument_id
        Nautilus id.
    buckets, structure
        As the strategy has them.
    scope
        Whose zones it trades.
    state
        To go on from; None begins without any trade.

    Raises
    ------
    ValueError
        When the state belongs to other parameters or another version.
    """

    def __init__(
        self,
        instrument_id: str,
        buckets: BucketConfig,
        structure: StructureConfig,
        scope: Scope,
        state: PerceptionState | None = None,
    ) -> None:
        self.instrument_id = instrument_id
        self.zones = ZoneBook(scope)
        self.recent: deque[bytes] = deque(maxlen=LOOKED_BACK)
        if state is None:
            self.builder = VolumeBucketBuilder(buckets)
            self.structure = StructureEngine(structure)
            return
        if state.version != VERSION:
            raise ValueError(f"the state has version {state.version}, this program reads {VERSION}")
        if state.instrument_id != instrument_id:
            raise ValueError(f"the state is of {state.instrument_id}, not of {instrument_id}")
        self.builder = VolumeBucketBuilder.from_bytes(state.builder, buckets)
        self.structure = StructureEngine.from_bytes(state.structure, structure)
        self.zones.live.update(zones_of(state))
        self.recent.extend(row.tobytes() for row in state.packet_rows())

    def take(self, trades: Columns) -> None:
        """Take trades in the order of their ids.

        Raises
        ------
        ValueError
            When a trade does not fit the instrument, see `VolumeBucketBuilder.scan`.
        """
        packets = self.builder.scan(
            trades.ts_ns, trades.price_ticks, trades.size_lots, trades.is_buyer, trades.trade_id
        )
        data = packets.tobytes()
        for bar in BAR_OF_PACKET.iter_unpack(data):
            events = self.structure.update(*bar)
            if len(events):
                for _change in self.zones.take(events):
                    pass
        size = PACKET_DTYPE.itemsize
        first = max(0, len(packets) - LOOKED_BACK)
        self.recent.extend(data[n * size : (n + 1) * size] for n in range(first, len(packets)))

    def state(self, names: Iterable[str] = ()) -> PerceptionState:
        """Return what was perceived, with the names of the newest trades where they have no numbers."""
        return PerceptionState(
            instrument_id=self.instrument_id,
            last_trade_id=self.builder.last_trade_id,
            names=tuple(names),
            builder=self.builder.to_bytes(),
            structure=self.structure.to_bytes(),
            zones=tuple(zone_states(self.zones)),
            packets=b"".join(self.recent),
        )


def zone_states(book: ZoneBook) -> Iterator[ZoneState]:
    """Yield the live zones of a book."""
    for one in book.live.values():
        yield ZoneState(
            one.zone_id, one.direction, one.known_ts_ns, one.low, one.high, one.sweet, one.is_touched
        )


def zones_of(state: PerceptionState) -> dict[int, Zone]:
    """Return the zones of a state; all of them count as used: whether one was, this state cannot know."""
    return {
        one.zone_id: Zone(
            one.zone_id,
            one.direction,
            one.known_ts_ns,
            one.low,
            one.high,
            one.sweet,
            is_touched=one.is_touched,
            is_used=True,
        )
        for one in state.zones
    }


def encode(state: PerceptionState) -> bytes:
    """Return a state as MessagePack."""
    return msgspec.msgpack.encode(state)


def decode(data: bytes) -> PerceptionState:
    """Return the state that `encode` wrote; ValueError for other bytes."""
    try:
        return msgspec.msgpack.decode(data, type=PerceptionState)
    except msgspec.DecodeError as error:
        raise ValueError(f"not a saved perception: {error}") from error


__all__ = [
    "LOOKED_BACK",
    "Perceiver",
    "PerceptionState",
    "ZoneState",
    "decode",
    "encode",
    "zone_states",
    "zones_of",
]
