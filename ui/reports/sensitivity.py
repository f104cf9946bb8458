"""What the result would be with other fees and worse exits: arithmetic on the recorded trades.

First order only: every trade stays as it was and pays another price. In a run that is really repeated, other
costs also change which trades are taken (the minimum reward after fees), how large they are (equity), and on
spot how many coins a purchase leaves. A fill model that changes *whether* an order fills (queue, latency)
cannot be judged this way: repeat the run with other ``backtest.fills`` and compare the two.
"""

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

from strategies.trade_manager.record import ClosedTrade
from ui.reports.metrics import ratio

FEE_FACTORS: Final = tuple(Decimal(one) for one in ("0", "0.5", "1", "1.5", "2"))
EXIT_BPS: Final = tuple(Decimal(one) for one in ("1", "2", "5"))
BPS: Final = Decimal(10_000)


def sensitivity(trades: Sequence[ClosedTrade]) -> dict[str, Any]:
    """Return profit and expectancy under other costs.

    Parameters
    ----------
    trades
        Closed trades.

    Returns
    -------
    dict
        ``fees``: rows with ``factor`` (of the fees that were paid); ``exit_slippage``: rows with ``bps`` (on
        exits by stops and market orders, beyond what the run had);
        each with ``pnl`` (exact, quote currency),
        ``expectancy_r``, ``win_rate`` and ``profit_factor``; ``break_even_fee_factor``: at which the
        profit is zero, None where it never is.
    """
    fees = sum((Decimal(one.fees) for one in trades), Decimal(0))
    gross = sum((Decimal(one.pnl) + Decimal(one.fees) for one in trades), Decimal(0))
    return {
        "fees": [
            {"factor": float(factor), **_with(trades, [_fee_change(one, factor) for one in trades])}
            for factor in FEE_FACTORS
        ],
        "exit_slippage": [
            {"bps": float(bps), **_with(trades, [_slip(one, bps) for one in trades])} for bps in EXIT_BPS
        ],
        "break_even_fee_factor": ratio(float(gross), float(fees)) if gross > 0 else None,
    }


def risk_of(trade: ClosedTrade) -> Decimal:
    """Return the initial risk of a trade, quote currency: quantity times distance to the first stop."""
    return Decimal(trade.qty) * abs(
        Decimal(trade.entry_price) - Decimal(trade.stop_price or trade.entry_price)
    )


def _fee_change(trade: ClosedTrade, factor: Decimal) -> Decimal:
    return Decimal(trade.fees) * (1 - factor)


def _slip(trade: ClosedTrade, bps: Decimal) -> Decimal:
    return -Decimal(trade.market_exit_value) * bps / BPS


def _with(trades: Sequence[ClosedTrade], changes: Sequence[Decimal]) -> dict[str, Any]:
    profits = [Decimal(one.pnl) + change for one, change in zip(trades, changes, strict=True)]
    won = sum((one for one in profits if one > 0), Decimal(0))
    lost = -sum((one for one in profits if one < 0), Decimal(0))
    r = [
        # The same trades count as in the headline; one whose stop is not known keeps its R.
        trade.r_multiple + (float(change / risk) if (risk := risk_of(trade)) else 0.0)
        for trade, change in zip(trades, changes, strict=True)
        if math.isfinite(trade.r_multiple)
    ]
    return {
        "pnl": won - lost,
        "expectancy_r": ratio(math.fsum(r), len(r)),
        "win_rate": ratio(sum(one > 0 for one in profits), len(profits)),
        "profit_factor": ratio(float(won), float(lost)),
    }
