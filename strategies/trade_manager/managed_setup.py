"""A setup and the rules that manage its position: one call per closed bar."""

import math

from strategies.trade_manager.management import ClosedBar, Leave, MoveStop, OpenTrade, TradeManager
from strategies.trade_manager.orders import Action
from strategies.trade_manager.setup import Setup


def open_trade(setup: Setup) -> OpenTrade | None:
    """Return the setup's position as the rules see it, None when it has none or is leaving it."""
    if not setup.is_manageable:
        return None
    plan = setup.plan
    return OpenTrade(
        direction=plan.direction,
        entry_price=setup.ledger.entry_price,
        target_price=plan.target_price,
        stop_price=setup.stop_price,
        best_price=setup.highest if plan.direction > 0 else setup.lowest,
        entry_ts_ns=setup.ledger.entry_ts_ns,
    )


def on_closed_bar(
    setup: Setup,
    manager: TradeManager,
    *,
    open_ns: int,
    close_ns: int,
    high: float,
    low: float,
    close: float,
    rsi: float = math.nan,
) -> list[Action]:
    """Take a closed bar of the base interval; return what to carry out.

    Parameters
    ----------
    setup, manager
        The trade and its rules; a manager belongs to one setup.
    open_ns, close_ns
        When the bar opened and closed, UNIX nanoseconds.
    high, low, close
        Quote currency.
    rsi
        See `ClosedBar`.
    """
    actions = setup.on_closed_bar(open_ns, close_ns, high, low, close)
    trade = open_trade(setup)
    if trade is None:
        return actions
    match manager.on_bar(trade, ClosedBar(close_ns, close, rsi)):
        case MoveStop(stop_price, reason):
            actions += setup.move_stop(stop_price, reason.value, close_ns)
        case Leave(reason):
            actions += setup.close(reason.value, close_ns)
        case None:
            pass
    return actions
