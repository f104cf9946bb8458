"""Previous day's and week's high and low, UTC."""

from indicators.concept import ConceptDetector
from indicators.events import EventKind


class SessionDetector(ConceptDetector):
    """Levels of the last completed day and week, told on the first bar of the next one."""

    KINDS = frozenset({EventKind.PERIOD_LEVELS})
