"""Resting liquidity: levels taken, equal highs and lows, both kinds of sweep."""

from indicators.concept import ConceptDetector
from indicators.events import EventKind


class LiquidityDetector(ConceptDetector):
    """Unbroken internal swing levels, what takes them, and sweeps of extremes and of swings."""

    KINDS = frozenset(
        {
            EventKind.SWEEP_EXTREME,
            EventKind.SWEEP_SWING,
            EventKind.LIQUIDITY_TAKEN,
            EventKind.LIQUIDITY_DROPPED,
            EventKind.EQUAL_LEVELS,
        }
    )
