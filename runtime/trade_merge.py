"""Merging trades that are already stored with new ones, so that importing twice changes nothing."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from runtime.arrow_schema import TradeColumns, concatenate

BLOCK_ROWS: Final = 65_536
# The same trade is stamped in milliseconds in one archive and in microseconds in another.
SAME_TIME_NS: Final = 1_000_000


@dataclass(slots=True)
class MergeCount:
    """What a merge met: rows taken over, repeated rows dropped, and rows that contradict stored ones.

    Parameters
    ----------
    added, duplicates
        Counts of new rows.
    replaced
        Count of stored rows that a new one with other content took the place of.
    conflicts
        Positions in the new trades whose id is stored with another price, size, side or time.
    """

    added: int = 0
    duplicates: int = 0
    replaced: int = 0
    conflicts: list[int] = field(default_factory=list)


def is_same_trade(left: TradeColumns, right: TradeColumns) -> NDArray[np.bool_]:
    """Tell row by row, shape (n,), whether two rows of the same id describe the same trade."""
    same: NDArray[np.bool_] = (
        (left.price_ticks == right.price_ticks)
        & (left.size_lots == right.size_lots)
        & (left.is_buyer == right.is_buyer)
        & (np.abs(left.ts_ns - right.ts_ns) < SAME_TIME_NS)
    )
    return same


def merge_by_id(
    stored: Iterable[TradeColumns],
    new: TradeColumns,
    count: MergeCount,
    may_replace: Callable[[NDArray[np.int64]], NDArray[np.bool_]] | None = None,
) -> Iterator[TradeColumns]:
    """Yield the union in id order; of an id in both the stored row wins, unless it may be replaced.

    Parameters
    ----------
    stored
        Blocks in strictly increasing id order.
    new
        Strictly increasing ids; arrays may be memory maps, only parts of the size of a block are loaded.
    count
        Filled while iterating.
    may_replace
        Tells which ids, shape (n,), give way to a new row with other content; None: none.
    """
    start = 0
    for block in stored:
        first, last = block.trade_id[0], block.trade_id[-1]
        inside, end = np.searchsorted(new.trade_id, [first, last + 1])
        yield from _take(new, start, int(inside), count)
        yield _merge_block(block, new[int(inside) : int(end)], int(inside), count, may_replace)
        start = int(end)
    yield from _take(new, start, len(new), count)


def _take(new: TradeColumns, start: int, end: int, count: MergeCount) -> Iterator[TradeColumns]:
    for low in range(start, end, BLOCK_ROWS):
        part = new[low : min(low + BLOCK_ROWS, end)]
        count.added += len(part)
        yield part


def _merge_block(
    block: TradeColumns,
    part: TradeColumns,
    offset: int,
    count: MergeCount,
    may_replace: Callable[[NDArray[np.int64]], NDArray[np.bool_]] | None,
) -> TradeColumns:
    if not len(part):
        return block
    at = np.searchsorted(block.trade_id, part.trade_id)
    is_known = block.trade_id[at] == part.trade_id  # the part ends at or before the block's last id
    is_same = is_same_trade(block[at], part)
    count.duplicates += int((is_known & is_same).sum())
    is_other = is_known & ~is_same
    is_replacing = is_other & may_replace(part.trade_id) if may_replace else np.zeros_like(is_other)
    count.replaced += int(is_replacing.sum())
    count.conflicts += (offset + np.flatnonzero(is_other & ~is_replacing)).tolist()
    count.added += int((~is_known).sum())
    is_kept = np.ones(len(block), dtype=np.bool_)
    is_kept[at[is_replacing]] = False
    joined = concatenate([block[is_kept], part[~is_known | is_replacing]])
    return joined[np.argsort(joined.trade_id, kind="stable")]


def merge_by_time(stored: TradeColumns, new: TradeColumns, count: MergeCount) -> TradeColumns:
    """Return the union in time order of trades without ids.

    A new row repeats a stored one when time, price, size and side agree; n equal rows in both count as n
    trades, not 2n, because a venue may well print the same trade twice.
    """
    joined = concatenate([stored, new])
    keys = np.stack(
        [joined.ts_ns, joined.price_ticks, joined.size_lots, joined.is_buyer.astype(np.int64)], axis=1
    )
    _, group = np.unique(keys, axis=0, return_inverse=True)
    group = group.reshape(-1)
    old_count = np.bincount(group[: len(stored)], minlength=int(group.max(initial=0)) + 1)
    ordinal = ordinal_within(group[len(stored) :])
    is_fresh = ordinal >= old_count[group[len(stored) :]]
    count.added += int(is_fresh.sum())
    count.duplicates += int((~is_fresh).sum())
    union = concatenate([stored, new[is_fresh]])
    return union[np.argsort(union.ts_ns, kind="stable")]


def ordinal_within(group: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each element how many earlier elements are equal to it, shape (n,).

    Examples
    --------
    >>> ordinal_within(np.array([5, 7, 5, 5, 7])).tolist()
    [0, 0, 1, 2, 1]
    """
    order = np.argsort(group, kind="stable")
    ordered = group[order]
    is_start = np.r_[True, ordered[1:] != ordered[:-1]] if len(group) else np.empty(0, dtype=bool)
    starts = np.flatnonzero(is_start)
    run = np.cumsum(is_start) - 1
    ordinal = np.empty(len(group), dtype=np.int64)
    ordinal[order] = np.arange(len(group)) - starts[run] if len(group) else 0
    return ordinal
