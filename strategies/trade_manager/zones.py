"""The live dealing ranges, kept from the append-only structure events."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Final

from indicators.events import EVENT_DTYPE, EventKind, EventTable, Scope
from strategies.row_struct import row_struct
from strategies.trade_manager.plan import Zone

_ROW: Final = row_struct(
    EVENT_DTYPE, "event_id", "kind", "direction", "scope", "known_ts_ns", "low", "high", "level", "ref_id"
)

_HEAD: Final = row_struct(EVENT_DTYPE, "kind", "scope")


class ZoneChange(StrEnum):
    """What an event did to a zone."""

    FORMED = "formed"
    EXTENDED = "extended"
    TOUCHED = "touched"
    COMPLETED = "completed"
    FAILED = "failed"
    INVALIDATED = "invalidated"
    SUPERSEDED = "superseded"
    OPPOSED = "opposed"
    EXPIRED = "expired"


_CHANGES: Final = {
    int(EventKind.RANGE_FORMED): ZoneChange.FORMED,
    int(EventKind.RANGE_EXTENDED): ZoneChange.EXTENDED,
    int(EventKind.OTE_SWEET_TOUCHED): ZoneChange.TOUCHED,
    int(EventKind.OTE_COMPLETED): ZoneChange.COMPLETED,
    int(EventKind.OTE_FAILED): ZoneChange.FAILED,
    int(EventKind.RANGE_INVALIDATED): ZoneChange.INVALIDATED,
    int(EventKind.RANGE_SUPERSEDED): ZoneChange.SUPERSEDED,
    int(EventKind.RANGE_OPPOSED): ZoneChange.OPPOSED,
    int(EventKind.RANGE_EXPIRED): ZoneChange.EXPIRED,
}
_ALIVE: Final = frozenset({ZoneChange.FORMED, ZoneChange.EXTENDED, ZoneChange.TOUCHED})


class ZoneBook:
    """Zones of one structure scope, newest last.

    Parameters
    ----------
    scope
        Only events of this structure engine count.
    """

    def __init__(self, scope: Scope) -> None:
        self.live: dict[int, Zone] = {}
        self._scope = int(scope)

    def concerns(self, events: EventTable) -> bool:
        """Tell whether any event speaks of a zone of this scope: usually none does."""
        own = self._scope
        for kind, scope in _HEAD.iter_unpack(events.tobytes()):  # noqa: SIM110 - any() makes a generator
            if scope == own and kind in _CHANGES:
                return True
        return False

    def take(self, events: EventTable) -> Iterator[tuple[ZoneChange, Zone]]:
        """Apply events in order and say what each did; events of other kinds and scopes are passed over.

        Parameters
        ----------
        events
            Shape (n,), dtype ``EVENT_DTYPE``.

        Yields
        ------
        tuple of ZoneChange and Zone
            The zone after the event. An ended zone is no longer in ``live``.
        """
        for event_id, kind, direction, scope, known_ts_ns, low, high, level, ref_id in _ROW.iter_unpack(
            events
        ):
            if kind not in _CHANGES or scope != self._scope:
                continue
            change = _CHANGES[kind]
            if change is ZoneChange.FORMED:
                zone = Zone(event_id, direction, known_ts_ns, low, high, sweet=level)
                self.live[zone.zone_id] = zone
                yield change, zone
                continue
            known = self.live.get(ref_id)
            if known is None:
                continue  # formed before this session began
            if change is ZoneChange.EXTENDED:
                known.low, known.high, known.sweet = low, high, level
                known.is_touched = False
            elif change is ZoneChange.TOUCHED:
                known.is_touched = True
            else:
                del self.live[known.zone_id]
            yield change, known


def is_alive(change: ZoneChange) -> bool:
    """Tell whether the zone lives on after this change."""
    return change in _ALIVE
