"""Keeps what ended long ago out of the reconciliations of a running node.

The first mass status of a venue fills an empty cache, and must tell everything. Each later one is compared
with a cache that is the truth but for what a stream has just missed. Nautilus' engine builds every closed
order that the cache does not have anew and publishes its fills, and the cache lacks what ended before the
node's lookback and what was purged since: old fills would come back as somebody else's trades, and close
positions on paper. It also invents an opening fill for a position whose own is not in the window; the cache
has that position.
"""

from collections.abc import Callable
from typing import Any, Final

NANOS_PER_MIN: Final = 60_000_000_000
# Venue and node tell times by different clocks: what is purged next counts as purged.
MARGIN_MINS: Final = 1


def leave_history(engine: Any, now_ns: Callable[[], int], kept_mins: int) -> None:
    """Let a live execution engine take from each later mass status only what the cache can judge.

    Parameters
    ----------
    engine
        Nautilus' live execution engine, before its start.
    now_ns
        Tells the time, UNIX nanoseconds.
    kept_mins
        How long the cache keeps closed orders before it purges them.
    """
    began_ns = now_ns()
    started: set[str] = set()
    reconcile = engine._reconcile_execution_mass_status  # noqa: SLF001 - all mass statuses pass here
    adjust = engine._adjust_mass_status_fills  # noqa: SLF001

    def reconcile_recent(status: Any) -> bool:
        client = status.client_id.value
        if client not in started:
            started.add(client)
            return bool(reconcile(status))
        known_since_ns = now_ns() - (kept_mins - MARGIN_MINS) * NANOS_PER_MIN
        drop_history(status, engine._cache, max(began_ns, known_since_ns))  # noqa: SLF001
        engine._adjust_mass_status_fills = _keep  # noqa: SLF001
        try:
            return bool(reconcile(status))
        finally:
            engine._adjust_mass_status_fills = adjust  # noqa: SLF001

    engine._reconcile_execution_mass_status = reconcile_recent  # noqa: SLF001


def drop_history(status: Any, cache: Any, since_ns: int) -> int:
    """Take closed orders and their fills out of a mass status, where the cache does not have them.

    Parameters
    ----------
    status
        Nautilus' `ExecutionMassStatus`; changed.
    cache
        Of the node.
    since_ns
        What ended at this time or later stays, UNIX nanoseconds: it may be somebody else's, and news.

    Returns
    -------
    int
        How many orders were taken out.
    """
    orders, fills = status._order_reports, status._fill_reports  # noqa: SLF001 - no public way to change them
    old = [
        name
        for name, report in orders.items()
        if not report.is_open and report.ts_last < since_ns and not _is_cached(cache, report)
    ]
    for name in old:
        del orders[name]
    for name in list(fills):
        # Fills of an order that was not told of, or not any more: old news alone can be dropped.
        if name not in orders and all(one.ts_event < since_ns for one in fills[name]):
            del fills[name]
    return len(old)


def _is_cached(cache: Any, report: Any) -> bool:
    client_id = report.client_order_id
    if client_id is None:
        client_id = cache.client_order_id(report.venue_order_id)
    return client_id is not None and cache.order(client_id) is not None


def _keep(_status: Any) -> None:
    """Change nothing."""


__all__ = ["drop_history", "leave_history"]
