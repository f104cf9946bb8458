"""Fair value gaps and inverse gaps with their whole life."""

from indicators.concept import ConceptDetector
from indicators.events import EventKind


class FairValueGapDetector(ConceptDetector):
    """Gaps known at the close of their third bar, then touched, half filled, filled, inverted or expired."""

    KINDS = frozenset(
        {
            EventKind.FVG,
            EventKind.FVG_TOUCHED,
            EventKind.FVG_CE,
            EventKind.FVG_FILLED,
            EventKind.FVG_INVERTED,
            EventKind.FVG_EXPIRED,
            EventKind.FVG_DROPPED,
        }
    )
