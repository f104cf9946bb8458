"""Trades of two runs, matched one to one: what the same idea was worth here and there."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from statistics import fmean, median
from typing import Any, Final

import msgspec

from strategies.trade_manager.record import ClosedTrade

BPS: Final = 10_000.0
NANOS: Final = 1_000_000_000


class Match(msgspec.Struct, frozen=True):
    """One trade in both runs; differences are second minus first, a positive one in bps is worse.

    Parameters
    ----------
    instrument_id, side
        Of both.
    entry_ts_ns
        First entry fill in the first run, UNIX nanoseconds.
    entry_delay_secs
        How much later the second run entered, seconds.
    entry_bps, exit_bps
        How much worse the second run's average fills were, hundredths of a percent of the first run's price.
    first_r, second_r
        Result, R.
    pnl
        Difference of the profits, quote currency.
    first_reason, second_reason
        Exit reasons.
    """

    instrument_id: str
    side: str
    entry_ts_ns: int
    entry_delay_secs: float
    entry_bps: float
    exit_bps: float
    first_r: float
    second_r: float
    pnl: float
    first_reason: str
    second_reason: str


def matched(
    first: Sequence[ClosedTrade], second: Sequence[ClosedTrade], tolerance_secs: float
) -> list[Match]:
    """Match trades of the same instrument and side whose entries are close in time, the closest ones first.

    Parameters
    ----------
    first, second
        Closed trades of two runs, in any order.
    tolerance_secs
        Largest distance of two entries, seconds.

    Returns
    -------
    list of Match
        In order of entry; no trade is in two of them.
    """
    found = []
    theirs = _by_key(second)
    for key, ours in _by_key(first).items():
        found += [_match(one, other) for one, other in _closest(ours, theirs.get(key, []), tolerance_secs)]
    return sorted(found, key=lambda one: (one.entry_ts_ns, one.instrument_id))


def match_figures(matches: Sequence[Match], first: int, second: int) -> dict[str, Any]:
    """Return what matched trades say together.

    Parameters
    ----------
    matches
        Of two runs.
    first, second
        Number of trades of each.

    Returns
    -------
    dict
        ``matched``, ``only_first``, ``only_second``; mean and median of the differences in bps and of the
        delay, ``mean_r_difference``, ``other_exit_reason``: matches that ended for another reason.
    """
    # A trade that ended before it had a stop has no R.
    changes = [one.second_r - one.first_r for one in matches if math.isfinite(one.second_r - one.first_r)]
    figures: dict[str, Any] = {
        "matched": len(matches),
        "only_first": first - len(matches),
        "only_second": second - len(matches),
        "other_exit_reason": sum(one.first_reason != one.second_reason for one in matches),
        "mean_r_difference": fmean(changes) if changes else None,
    }
    for name in ("entry_bps", "exit_bps", "entry_delay_secs"):
        values = [getattr(one, name) for one in matches]
        figures[name] = {"mean": fmean(values), "median": median(values)} if values else None
    return figures


def _by_key(trades: Sequence[ClosedTrade]) -> Mapping[tuple[str, str], list[ClosedTrade]]:
    groups: dict[tuple[str, str], list[ClosedTrade]] = {}
    for trade in sorted(trades, key=lambda one: one.entry_ts_ns):
        groups.setdefault((trade.instrument_id, trade.side), []).append(trade)
    return groups


def _closest(
    ours: Sequence[ClosedTrade], theirs: Sequence[ClosedTrade], tolerance_secs: float
) -> list[tuple[ClosedTrade, ClosedTrade]]:
    reach = round(tolerance_secs * NANOS)
    times = [one.entry_ts_ns for one in theirs]
    candidates = sorted(
        (abs(times[other] - one.entry_ts_ns), index, other)
        for index, one in enumerate(ours)
        for other in range(
            bisect_left(times, one.entry_ts_ns - reach), bisect_right(times, one.entry_ts_ns + reach)
        )
    )
    taken: dict[int, int] = {}
    used: set[int] = set()
    for _distance, index, other in candidates:
        if index not in taken and other not in used:
            taken[index] = other
            used.add(other)
    return [(ours[index], theirs[other]) for index, other in taken.items()]


def _match(first: ClosedTrade, second: ClosedTrade) -> Match:
    direction = 1 if first.side == "long" else -1
    entry, exit_ = float(first.entry_price), float(first.exit_price)
    return Match(
        instrument_id=first.instrument_id,
        side=first.side,
        entry_ts_ns=first.entry_ts_ns,
        entry_delay_secs=(second.entry_ts_ns - first.entry_ts_ns) / NANOS,
        entry_bps=direction * (float(second.entry_price) - entry) / entry * BPS,
        exit_bps=direction * (exit_ - float(second.exit_price)) / exit_ * BPS,
        first_r=first.r_multiple,
        second_r=second.r_multiple,
        pnl=float(second.pnl) - float(first.pnl),
        first_reason=first.exit_reason,
        second_reason=second.exit_reason,
    )
