"""Why something that looked tradable is not traded, in one vocabulary for all strategies."""

from dataclasses import dataclass
from enum import StrEnum


class SkipReason(StrEnum):
    """Why a zone or a signal is not traded (now)."""

    # The zone or signal itself: only another one, or an extension of the range, can change it.
    NON_FINITE = "non_finite"
    SIDE = "side"
    NO_STOP_DISTANCE = "no_stop_distance"
    STOP_TOO_NEAR = "stop_too_near"
    REWARD_RISK = "reward_risk"
    FEES = "fees"
    BELOW_THRESHOLD = "below_threshold"
    MODEL = "model"
    # The account: too small, or its money is at work elsewhere.
    RISK = "risk"
    MIN_QTY = "min_qty"
    MIN_NOTIONAL = "min_notional"
    # The portfolio: others were better, or too much like it.
    MAX_POSITIONS = "max_positions"
    CORRELATED = "correlated"
    LOW_TURNOVER = "low_turnover"
    LOW_VOLUME = "low_volume"
    NOT_IN_UNIVERSE = "not_in_universe"
    # The guards: a pause after losses.
    COOLDOWN = "cooldown"
    DAILY_LOSS = "daily_loss"
    DRAWDOWN = "drawdown"
    STOP_GUARD = "stop_guard"
    LOW_PROFIT = "low_profit"
    LOSS_STREAK = "loss_streak"
    # The moment: may pass while the zone lives.
    WARM_UP = "warm_up"
    HALTED = "halted"
    HELD = "held"
    TAINTED = "tainted"
    BAD_PRINT = "bad_print"
    STALE_DATA = "stale_data"
    HTF_BIAS = "htf_bias"
    IN_POSITION = "in_position"
    ENTRY_RESTING = "entry_resting"
    TOUCHED = "touched"
    USED = "used"  # entered before the node was restarted


@dataclass(frozen=True, slots=True)
class Skip:
    """Something that is not traded, with the figure that decided.

    Parameters
    ----------
    reason
        See `SkipReason`.
    figure, limit
        What was compared, 0.0 where nothing was.
    text
        The reason in words, empty where reason and figures say it all.
    """

    reason: SkipReason
    figure: float = 0.0
    limit: float = 0.0
    text: str = ""
