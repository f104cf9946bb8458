"""Order blocks, and the breakers they become when price closes through them."""

from indicators.concept import ConceptDetector
from indicators.events import EventKind


class OrderBlockDetector(ConceptDetector):
    """Order blocks known at the close of their impulse (or break), with mitigation and breakers."""

    KINDS = frozenset(
        {
            EventKind.OB,
            EventKind.OB_REINFORCED,
            EventKind.OB_TOUCHED,
            EventKind.OB_MITIGATED,
            EventKind.OB_INVALIDATED,
            EventKind.OB_EXPIRED,
            EventKind.OB_DROPPED,
            EventKind.BREAKER,
            EventKind.BREAKER_TOUCHED,
            EventKind.BREAKER_MITIGATED,
            EventKind.BREAKER_INVALIDATED,
            EventKind.BREAKER_EXPIRED,
            EventKind.BREAKER_DROPPED,
        }
    )
