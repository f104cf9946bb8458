"""Areas of the chart with their life, from the append-only events of the structure engine.

Pure: events of one instrument in, upserts of `ui.protocol.Zone` out. What each event means is defined in
``docs/structure.md``; nothing here is computed that the engine did not say.
"""

from typing import Any, Final

import msgspec
import numpy as np

from indicators.events import FLAG_SHIFT, EventKind, EventTable, Scope
from ui.protocol import Zone

MS: Final = 1_000_000

ACTIVE, TOUCHED, FILLED = "active", "touched", "filled"
MITIGATED, EXPIRED = "mitigated", "expired"

# What an event does to the area that its `ref_id` names: the new state, and whether that ends it.
_LIFE: Final[dict[EventKind, tuple[str, bool, str]]] = {
    EventKind.FVG_TOUCHED: (TOUCHED, False, "touched"),
    EventKind.FVG_CE: (TOUCHED, False, "half filled"),
    EventKind.FVG_FILLED: (FILLED, True, "filled"),
    EventKind.FVG_INVERTED: (MITIGATED, True, "closed through: inverted"),
    EventKind.FVG_EXPIRED: (EXPIRED, True, "too old"),
    EventKind.FVG_DROPPED: (EXPIRED, True, "made room for a newer one"),
    EventKind.OB_TOUCHED: (TOUCHED, False, "touched"),
    EventKind.OB_MITIGATED: (MITIGATED, False, "mitigated"),
    EventKind.OB_INVALIDATED: (MITIGATED, True, "closed through"),
    EventKind.OB_EXPIRED: (EXPIRED, True, "too old"),
    EventKind.OB_DROPPED: (EXPIRED, True, "made room for a newer one"),
    EventKind.BREAKER_TOUCHED: (TOUCHED, False, "touched"),
    EventKind.BREAKER_MITIGATED: (MITIGATED, False, "mitigated"),
    EventKind.BREAKER_INVALIDATED: (MITIGATED, True, "closed through"),
    EventKind.BREAKER_EXPIRED: (EXPIRED, True, "too old"),
    EventKind.BREAKER_DROPPED: (EXPIRED, True, "made room for a newer one"),
    EventKind.LIQUIDITY_TAKEN: (FILLED, True, "taken"),
    EventKind.LIQUIDITY_DROPPED: (EXPIRED, True, "made room for a newer one"),
    EventKind.RANGE_RETRACING: (ACTIVE, False, "retracing"),
    EventKind.OTE_ENTERED: (ACTIVE, False, "price is in the zone"),
    EventKind.OTE_SWEET_TOUCHED: (TOUCHED, False, "sweet spot touched"),
    EventKind.OTE_COMPLETED: (FILLED, True, "left towards the target"),
    EventKind.OTE_FAILED: (MITIGATED, True, "fell through the zone"),
    EventKind.RANGE_INVALIDATED: (MITIGATED, True, "the range's origin broke"),
    EventKind.RANGE_SUPERSEDED: (EXPIRED, True, "a newer range took its place"),
    EventKind.RANGE_OPPOSED: (EXPIRED, True, "structure broke the other way"),
    EventKind.RANGE_EXPIRED: (EXPIRED, True, "too old"),
}
_RANGES: Final = frozenset({EventKind.RANGE_FORMED, EventKind.RANGE_EXTENDED})
_BREAKS: Final = frozenset({EventKind.BOS, EventKind.CHOCH})
_BLOCKS: Final = {EventKind.OB: "order block", EventKind.BREAKER: "breaker"}


class ZoneTracker:
    """Follows the areas of one instrument.

    Parameters
    ----------
    instrument_id
        Nautilus id.
    scope
        Dealing ranges and structure breaks of this engine are shown, those of the other are not.
    ote_low, ote_high
        Ends of the OTE zone, ratios of the range.

    Examples
    --------
    Give :meth:`take` the events of each closed bucket; it returns what a terminal is told.
    """

    def __init__(self, instrument_id: str, scope: Scope, ote_low: float, ote_high: float) -> None:
        self._ins = instrument_id
        self._scope = int(scope)
        self._ote = ote_low, ote_high
        self._live: dict[int, list[Zone]] = {}

    @property
    def live(self) -> list[Zone]:
        """Areas that have not ended, oldest first."""
        return [zone for zones in self._live.values() for zone in zones]

    def take(self, events: EventTable) -> list[Zone]:
        """Return the areas that events of one closed bucket made or changed, as they are now.

        Parameters
        ----------
        events
            Shape (n,), dtype ``EVENT_DTYPE``, in the order of the engine.
        """
        changed: dict[str, Zone] = {}
        for event in events:
            for zone in self._on_event(event):
                changed[zone.id] = zone
        return list(changed.values())

    def begin_with(self, living: EventTable) -> list[Zone]:
        """Return the areas that are there after a warm-up, and those that ended in it.

        Parameters
        ----------
        living
            As `ui.telemetry.living.living_events` gives it.
        """
        before, self._live = self._live, {}
        now = self.take(living)
        there = {zone.id for zone in now}
        gone = (zone for zones in before.values() for zone in zones if zone.id not in there)
        words = "gone after the warm-up"
        ended = [
            msgspec.structs.replace(
                one, state=EXPIRED, why=f"{_head(one.why)}; {words}", i1=one.i0, t1=one.t0
            )
            for one in gone
        ]
        return [*ended, *now]

    def plan(self, zone_id: int, *, sweet: float, stop: float, target: float) -> list[Zone]:
        """Return the OTE zone of a dealing range with the prices at which a strategy trades it.

        Parameters
        ----------
        zone_id
            Event id of the range, as decisions name it; an unknown one gives an empty list.
        sweet, stop, target
            Prices of entry, stop and target.
        """
        zones = self._live.get(zone_id, ())
        changed = [
            msgspec.structs.replace(one, sweet=sweet, stop=stop, targets=[target])
            for one in zones
            if one.type == "ote"
        ]
        for one in changed:
            self._put(zone_id, one)
        return changed

    # -- inside ---------------------------------------------------------------------------------------------

    def _on_event(self, event: Any) -> list[Zone]:
        kind = EventKind(int(event["kind"]))
        if kind in _LIFE:
            return self._live_on(event, *_LIFE[kind])
        is_other = int(event["scope"]) not in (self._scope, int(Scope.NONE))
        if kind in _RANGES:
            return [] if is_other else self._range(event, is_new=kind is EventKind.RANGE_FORMED)
        if kind in _BREAKS:
            return [] if is_other else [self._break(event, kind)]
        if kind is EventKind.FVG:
            return self._begin(event, "fvg", "inverse fair value gap" if event["flag"] else "fair value gap")
        if kind in _BLOCKS:
            return self._begin(event, "ob", _block_words(event, _BLOCKS[kind]))
        if kind is EventKind.SWING and int(event["scope"]) == int(Scope.INTERNAL):
            # A level, and thin: the swing's extreme rests there until a wick takes it.
            level = float(event["level"])
            words = "stops above a swing high" if event["direction"] > 0 else "stops below a swing low"
            return self._begin(event, "liquidity", words, top=level, bot=level)
        return []

    def _begin(
        self, event: Any, kind: str, why: str, *, top: float | None = None, bot: float | None = None
    ) -> list[Zone]:
        event_id = int(event["event_id"])
        zone = Zone(
            id=f"{self._ins}:{kind}{event_id}",
            ins=self._ins,
            type=kind,  # type: ignore[arg-type]
            side=int(event["direction"]),
            i0=int(event["origin_seq"]),
            t0=int(event["origin_ts_ns"]) // MS,
            top=float(event["high"]) if top is None else top,
            bot=float(event["low"]) if bot is None else bot,
            state="new",
            why=why,
        )
        self._put(event_id, zone)
        return [zone]

    def _live_on(self, event: Any, state: str, is_end: bool, words: str) -> list[Zone]:
        ref_id = int(event["ref_id"])
        zones = self._live.pop(ref_id, []) if is_end else self._live.get(ref_id, [])
        end: dict[str, Any] = {}
        if is_end:
            end = {"i1": int(event["known_seq"]), "t1": int(event["known_ts_ns"]) // MS}
        changed = [
            msgspec.structs.replace(one, state=state, why=f"{_head(one.why)}; {words}", **end)
            for one in zones
        ]
        if not is_end:
            for one in changed:
                self._put(ref_id, one)
        return changed

    def _range(self, event: Any, *, is_new: bool) -> list[Zone]:
        low, high, side = float(event["low"]), float(event["high"]), int(event["direction"])
        first, last = (self._line(low, high, side, ratio) for ratio in self._ote)
        words = f"{'long' if side > 0 else 'short'} dealing range {low:.10g} to {high:.10g}"
        event_id = int(event["event_id"]) if is_new else int(event["ref_id"])
        if is_new:
            whole = self._begin(event, "range", words)
            ote = self._begin(event, "ote", f"OTE of the {words}", top=max(first, last), bot=min(first, last))
            zone = msgspec.structs.replace(ote[0], sweet=float(event["level"]))
            self._put(event_id, zone)
            return [*whole, zone]
        changed = []
        for one in self._live.get(event_id, []):
            if one.type == "range":
                made = msgspec.structs.replace(one, top=high, bot=low, state="new", why=f"{words}; extended")
            else:
                made = msgspec.structs.replace(
                    one,
                    top=max(first, last),
                    bot=min(first, last),
                    sweet=float(event["level"]),
                    state="new",
                    why=f"OTE of the {words}; extended",
                )
            changed.append(made)
        for one in changed:
            self._put(event_id, one)
        return changed

    def _break(self, event: Any, kind: EventKind) -> Zone:
        """Return a structure break: a line from the swing to the bucket that broke it, over at once."""
        level, side = float(event["level"]), int(event["direction"])
        shift = ", a shift" if int(event["flag"]) & FLAG_SHIFT else ""
        return Zone(
            id=f"{self._ins}:break{int(event['event_id'])}",
            ins=self._ins,
            type="bos" if kind is EventKind.BOS else "choch",
            side=side,
            i0=int(event["origin_seq"]),
            t0=int(event["origin_ts_ns"]) // MS,
            i1=int(event["known_seq"]),
            t1=int(event["known_ts_ns"]) // MS,
            top=level,
            bot=level,
            state="filled",
            why=f"{kind.name} {'up' if side > 0 else 'down'} through {level:.10g}{shift}",
        )

    def _put(self, event_id: int, zone: Zone) -> None:
        zones = [one for one in self._live.get(event_id, []) if one.id != zone.id]
        self._live[event_id] = [*zones, zone]

    @staticmethod
    def _line(low: float, high: float, side: int, ratio: float) -> float:
        """Return the price at a retracement ratio of a range."""
        return high - ratio * (high - low) if side > 0 else low + ratio * (high - low)


def _block_words(event: Any, name: str) -> str:
    share = float(event["buy_share"])
    bought = "" if np.isnan(share) else f", takers bought {share:.0%}"
    clean = ", clean departure" if int(event["flag"]) else ""
    return f"{'bullish' if event['direction'] > 0 else 'bearish'} {name}{clean}{bought}"


def _head(why: str) -> str:
    return why.split("; ", 1)[0]


__all__ = ["ZoneTracker"]
