"""A strategy on buckets: what it perceives, to be watched, saved, and gone on from after a restart."""

import hashlib
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final

import numpy as np
from nautilus_trader.model.data import Bar

from indicators.engine import StructureEngine
from indicators.events import EventTable, Scope
from packet_builder.builder import VolumeBucketBuilder
from packet_builder.packet import PACKET_DTYPE
from strategies.bar_times import close_of
from strategies.bias_track import BiasTrack
from strategies.gated_setup import GatedSetupStrategy
from strategies.ote_config import OteConfig, perception
from strategies.perception_state import Perceiver, PerceptionState, encode, zone_states
from strategies.trade_manager.setup_rules import ExitRules
from strategies.trade_manager.zones import ZoneBook

_SCOPES: Final = {"external": Scope.EXTERNAL, "internal": Scope.INTERNAL}
type Observer = Callable[[Any, EventTable], None]
"""Called with each closed bucket (a row of ``PACKET_DTYPE``) and its structure events."""


class PerceivingStrategy(GatedSetupStrategy):
    """A `GatedSetupStrategy` with buckets, structure, zones and the bias of a higher timeframe.

    A deriving strategy calls `build_perception` when it starts, pushes trades and shows the observer each
    closed bucket.

    Parameters
    ----------
    config
        See `OteConfig`.
    tag
        Short name in client order ids, at most 4 characters.
    exit_rules
        How entries and exits are handled at the venue.
    """

    def __init__(self, config: OteConfig, tag: str, exit_rules: ExitRules) -> None:
        super().__init__(config, config.instrument_id, tag, exit_rules)
        self.zones = ZoneBook(_SCOPES[config.structure])
        self.bias: int | None = None if config.htf_bar_type is None else 0
        self.bias_track: BiasTrack | None = None if config.htf_bar_type is None else BiasTrack()
        self.recent_packets: deque[bytes] | None = None  # kept in a live node alone, see `adopt`
        self._observer: Observer | None = None
        self._push: Callable[[int, float, float, bool, int], int]
        self._update_structure: Callable[..., Any]

    def build_perception(self) -> None:
        """Make the bucket builder and the structure engine; a test puts its own in their place."""
        market = self.market
        buckets, structure = perception(self.config, market.tick_size, market.lot_size)
        self.builder = VolumeBucketBuilder(buckets)
        self.structure = StructureEngine(structure)
        self._push = self.builder.push
        self._update_structure = self.structure.update

    def make_perceiver(self, state: PerceptionState | None = None) -> Perceiver:
        """Return what builds this strategy's perception from history; ValueError for a state of others.

        Not before the start: the instrument's increments are needed.
        """
        market = self.market
        buckets, structure = perception(self.config, market.tick_size, market.lot_size)
        scope = _SCOPES[self.config.structure]
        return Perceiver(self.instrument_id.value, buckets, structure, scope, state)

    def adopt(self, state: PerceptionState) -> None:
        """Go on from what was perceived before; raises as `make_perceiver`.

        Zones of before are followed and not entered: whether they were traded, nobody knows here. Packets
        are remembered from now on, for `perceived`.
        """
        perceiver = self.make_perceiver(state)
        self.builder, self.structure, self.zones = perceiver.builder, perceiver.structure, perceiver.zones
        self.recent_packets = perceiver.recent
        self._push, self._update_structure = self.builder.push, self.structure.update
        self.bucket_seq = self.builder.counters.packets - 1
        packets = list(state.packet_rows())
        if self.bias_track is not None:
            self.bias_track.adopt(state.bias)
            self.bias = self.bias_track.until(int(packets[-1]["ts_close_ns"]) if packets else 0)
        if self.gate is not None:
            for packet in packets:
                self.gate.judge.observe(packet, self.structure, self.bias)

    def perceived(self, names: Iterable[str] = ()) -> PerceptionState:
        """Return what was perceived up to the last trade; `names` as in `PerceptionState`."""
        return PerceptionState(
            instrument_id=self.instrument_id.value,
            last_trade_id=self.builder.last_trade_id,
            names=tuple(names),
            builder=self.builder.to_bytes(),
            structure=self.structure.to_bytes(),
            zones=tuple(zone_states(self.zones)),
            packets=b"".join(self.recent_packets or ()),
            bias=None if self.bias_track is None else self.bias_track.state(),
        )

    def on_bar(self, bar: Bar) -> None:
        """Take one closed higher-timeframe bar."""
        if self.bias_track is not None:
            bar_ns = int(bar.bar_type.spec.timedelta.total_seconds()) * 1_000_000_000
            self.bias_track.take(close_of(bar.ts_event, bar_ns), bar.close.as_double())
            self.bias = self.bias_track.value

    def end_past(self) -> None:
        """Note that the trades of before are in: bars count from now on as they come."""
        if self.bias_track is not None:
            self.bias = self.bias_track.end_past()

    def warm_packets(self) -> np.ndarray[tuple[int], np.dtype[np.void]]:
        """Return the last closed buckets that are kept, shape (n,), dtype ``PACKET_DTYPE``, oldest first."""
        return np.frombuffer(b"".join(self.recent_packets or ()), PACKET_DTYPE)

    def perception_digest(self) -> str:
        """Return the SHA-256 of `perceived`; empty before the start."""
        if not hasattr(self, "builder"):
            return ""
        return hashlib.sha256(encode(self.perceived())).hexdigest()

    def observe(self, observer: Observer) -> None:
        """Let someone see each closed bucket with the structure events that became known on it.

        Observers are told in the order in which they came.
        """
        before = self._observer
        if before is None:
            self._observer = observer
            return

        def tell_all(packet: Any, events: EventTable) -> None:
            before(packet, events)
            observer(packet, events)

        self._observer = tell_all
