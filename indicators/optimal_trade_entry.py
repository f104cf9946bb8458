"""Dealing ranges and their optimal trade entry (OTE) zone, from formation to end."""

from indicators.concept import ConceptDetector
from indicators.events import EventKind


class OptimalTradeEntryDetector(ConceptDetector):
    """Ranges of both structures: formed, extended, retraced into, and how they ended."""

    KINDS = frozenset(
        {
            EventKind.RANGE_FORMED,
            EventKind.RANGE_EXTENDED,
            EventKind.RANGE_RETRACING,
            EventKind.OTE_ENTERED,
            EventKind.OTE_SWEET_TOUCHED,
            EventKind.OTE_COMPLETED,
            EventKind.OTE_FAILED,
            EventKind.RANGE_INVALIDATED,
            EventKind.RANGE_SUPERSEDED,
            EventKind.RANGE_OPPOSED,
            EventKind.RANGE_EXPIRED,
        }
    )
