"""Swing highs and lows of the internal and the external structure, and their zigzag."""

from indicators.concept import ConceptDetector
from indicators.events import EventKind


class SwingDetector(ConceptDetector):
    """Swings confirmed `right` bars later, replaced and locked in the zigzag; see ``docs/structure.md``."""

    KINDS = frozenset({EventKind.SWING, EventKind.SWING_REPLACED, EventKind.SWING_LOCKED})
