"""The buckets around trades, rebuilt from the catalog with the kernel that the strategy used.

A run does not keep its buckets: there may be millions. The same trades through the same kernel give the
same bits, so the report rebuilds them and keeps the few it draws.
"""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import numpy as np
from nautilus_trader.model.instruments import Instrument
from numpy.typing import NDArray

from packet_builder.builder import BucketConfig, VolumeBucketBuilder
from runtime.run_plan import RunPlan
from strategies.trade_manager.record import ClosedTrade

BUCKETS_BEFORE: Final = 90
BUCKETS_AFTER: Final = 20


def chosen_trades(count: int, limit: int) -> list[int]:
    """Return the indices of at most `limit` of `count` trades, evenly spread, first and last included.

    Examples
    --------
    >>> chosen_trades(10, 4)
    [0, 3, 6, 9]
    """
    if count <= limit:
        return list(range(count))
    if limit < 2:
        return list(range(limit))
    return [index * (count - 1) // (limit - 1) for index in range(limit)]


def trade_windows(
    plan: RunPlan, trades: Sequence[ClosedTrade], limit: int
) -> Iterator[tuple[int, ClosedTrade, NDArray[Any]]]:
    """Yield some trades with the buckets around them, in order of the trades; none of a strategy without.

    Parameters
    ----------
    plan
        The run the trades come from.
    trades
        All closed trades.
    limit
        Largest number of trades to take.

    Yields
    ------
    tuple
        Number of the trade (from 1), it, and its packets: rows of ``PACKET_DTYPE`` from 90 buckets before
        the entry to 20 after the exit, fewer at the ends of the data.
    """
    if plan.on_bars:
        return  # there are no buckets
    chosen = chosen_trades(len(trades), limit)
    windows: dict[int, NDArray[Any]] = {}
    for instrument, strategy in zip(plan.instruments, plan.strategies, strict=True):
        name = instrument.id.value
        own = [index for index in chosen if trades[index].instrument_id == name]
        if own and "bucket_usd" in strategy.config:
            spans = [
                (
                    trades[index].entry_bucket_seq - BUCKETS_BEFORE,
                    trades[index].exit_bucket_seq + BUCKETS_AFTER,
                )
                for index in own
            ]
            config = bucket_config(strategy.config, instrument)
            windows |= dict(zip(own, _rebuild(plan, name, config, spans), strict=True))
    for index in chosen:
        if index in windows:
            yield index + 1, trades[index], windows[index]


def bucket_config(config: Mapping[str, Any], instrument: Instrument) -> BucketConfig:
    """Return the bucket settings that a strategy configuration names, in the instrument's increments."""
    return BucketConfig(
        bucket_usd=Decimal(str(config["bucket_usd"])),
        tick_size=Decimal(str(instrument.price_increment)),
        lot_size=Decimal(str(instrument.size_increment)),
    )


def _rebuild(
    plan: RunPlan, name: str, config: BucketConfig, spans: Sequence[tuple[int, int]]
) -> list[NDArray[Any]]:
    builder = VolumeBucketBuilder(config)
    last_seq = max(last for _first, last in spans)
    parts: list[list[NDArray[Any]]] = [[] for _ in spans]
    for trades in plan.catalog.read_trades(name, plan.data_from_ns, plan.last_ns):
        packets = builder.scan(
            trades.ts_ns, trades.price_ticks, trades.size_lots, trades.is_buyer, trades.trade_id
        )
        if not len(packets):
            continue
        low, high = int(packets["seq"][0]), int(packets["seq"][-1])
        for part, (first, last) in zip(parts, spans, strict=True):
            if first <= high and last >= low:
                part.append(packets[max(first - low, 0) : last - low + 1].copy())
        if high >= last_seq:
            break
    return [np.concatenate(part) for part in parts]
