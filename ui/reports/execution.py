"""What execution cost: slippage of entries and exits against the prices at which they were decided."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from statistics import median
from typing import Any, Final

from strategies.trade_manager.record import ClosedTrade
from ui.reports.metrics import ratio

BPS: Final = 10_000.0


def execution_figures(trades: Sequence[ClosedTrade]) -> dict[str, Any]:
    """Return slippage and holding times of some trades.

    Parameters
    ----------
    trades
        Closed trades; those without a known decision price are left out of the slippage and counted.

    Returns
    -------
    dict
        ``entry_slippage`` and ``exit_slippage``: ``trades`` with a known decision price, ``quote`` (exact
        sum, quote currency, positive: worse than decided), ``bps`` (of the decided value, all trades
        together), ``worst_bps``; ``slippage``: both together, quote currency; ``held_secs``: ``mean``,
        ``median`` and ``longest``, seconds.
    """
    entry = _side(
        (one.entry_slippage, one.entry_slippage_bps, one.entry_decision_price, one.qty) for one in trades
    )
    exit_ = _side(
        (one.exit_slippage, one.exit_slippage_bps, one.exit_decision_price, one.qty) for one in trades
    )
    held = [held_secs(one) for one in trades]
    return {
        "entry_slippage": entry,
        "exit_slippage": exit_,
        "slippage": entry["quote"] + exit_["quote"],
        "held_secs": {
            "mean": ratio(sum(held), len(held)),
            "median": median(held) if held else None,
            "longest": max(held, default=None),
        },
    }


def held_secs(trade: ClosedTrade) -> float:
    """Return the seconds from the first entry fill to the last exit fill."""
    return (trade.exit_ts_ns - trade.entry_ts_ns) / 1e9


def _side(rows: Iterable[tuple[str, float | None, str, str]]) -> dict[str, Any]:
    known = [(Decimal(cost), bps, Decimal(price) * Decimal(qty)) for cost, bps, price, qty in rows if cost]
    total = sum((cost for cost, _bps, _value in known), Decimal(0))
    value = sum((value for _cost, _bps, value in known), Decimal(0))
    return {
        "trades": len(known),
        "quote": total,
        "bps": ratio(float(total) * BPS, float(value)),
        "worst_bps": max((bps for _cost, bps, _value in known if bps is not None), default=None),
    }
