"""When not to open anything, whatever the zone says."""

from dataclasses import dataclass

from strategies.trade_manager.plan import SkipReason


@dataclass(frozen=True, slots=True)
class Circumstances:
    """The moment at which an entry is considered.

    Parameters
    ----------
    ts_ns
        Time of the trade that closed the bucket, UNIX nanoseconds.
    data_age_ns
        How long ago that was by the node's clock; 0 in a backtest.
    is_halted
        Something went wrong that a person must look at.
    is_tainted
        Trades are missing in the bucket.
    bucket_move_ratio
        (high - low) / low of the bucket.
    bias
        Higher-timeframe bias: +1, -1, 0 neutral or not known yet; None when no filter is set.
    """

    ts_ns: int
    data_age_ns: int
    is_halted: bool
    is_tainted: bool
    bucket_move_ratio: float
    bias: int | None


@dataclass(frozen=True, slots=True)
class GuardRules:
    """Limits of the circumstances; see ``OteConfig`` for their meaning."""

    trade_from_ns: int = 0
    max_data_age_secs: float = 10.0
    max_bucket_move_pct: float = 20.0


def blocked(direction: int, now: Circumstances, rules: GuardRules) -> SkipReason | None:
    """Return why an entry in this direction must wait, None when it need not.

    Parameters
    ----------
    direction
        +1 long, -1 short.
    now, rules
        The moment and the limits.

    Examples
    --------
    >>> now = Circumstances(0, 0, False, True, 0.001, None)
    >>> blocked(1, now, GuardRules())
    <SkipReason.TAINTED: 'tainted'>
    """
    if now.is_halted:
        return SkipReason.HALTED
    if now.ts_ns < rules.trade_from_ns:
        return SkipReason.WARM_UP
    if now.is_tainted:
        return SkipReason.TAINTED
    # `not (x <= limit)` so that NaN blocks.
    if not now.bucket_move_ratio <= rules.max_bucket_move_pct / 100:
        return SkipReason.BAD_PRINT
    if now.data_age_ns > rules.max_data_age_secs * 1e9:
        return SkipReason.STALE
    if now.bias is not None and now.bias != direction:
        return SkipReason.HTF_BIAS
    return None
