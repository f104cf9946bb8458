"""The live dealing ranges, kept from the append-only structure events."""

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from typing import Any, Final

from indicators.events import EVENT_DTYPE, EventKind, Scope
from strategies.trade_manager.plan import Zone

_COLUMN: Final = {name: index for index, name in enumerate(EVENT_DTYPE.names or ())}
_KIND, _SCOPE, _EVENT_ID, _REF_ID = (_COLUMN[name] for name in ("kind", "scope", "event_id", "ref_id"))
_DIRECTION, _KNOWN_TS = _COLUMN["direction"], _COLUMN["known_ts_ns"]
_LOW, _HIGH, _LEVEL = (_COLUMN[name] for name in ("low", "high", "level"))


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

    def take(self, rows: Iterable[Sequence[Any]]) -> Iterator[tuple[ZoneChange, Zone]]:
        """Apply events in order and say what each did; events of other kinds and scopes are passed over.

        Parameters
        ----------
        rows
            Rows of ``EVENT_DTYPE`` as tuples (``events.tolist()``).

        Yields
        ------
        tuple of ZoneChange and Zone
            The zone after the event. An ended zone is no longer in ``live``.
        """
        for row in rows:
            if row[_SCOPE] != self._scope:
                continue
            change = _CHANGES.get(row[_KIND])
            if change is None:
                continue
            if change is ZoneChange.FORMED:
                zone = Zone(
                    zone_id=row[_EVENT_ID],
                    direction=row[_DIRECTION],
                    known_ts_ns=row[_KNOWN_TS],
                    low=row[_LOW],
                    high=row[_HIGH],
                    sweet=row[_LEVEL],
                )
                self.live[zone.zone_id] = zone
                yield change, zone
                continue
            known = self.live.get(row[_REF_ID])
            if known is None:
                continue  # formed before this session began
            if change is ZoneChange.EXTENDED:
                known.low, known.high, known.sweet = row[_LOW], row[_HIGH], row[_LEVEL]
                known.is_touched = False
            elif change is ZoneChange.TOUCHED:
                known.is_touched = True
            else:
                del self.live[known.zone_id]
            yield change, known


def is_alive(change: ZoneChange) -> bool:
    """Tell whether the zone lives on after this change."""
    return change in _ALIVE
