"""Size of a coin's trade: by risk, within what the account of all coins can still bind."""

import sys
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from nautilus_trader.accounting.accounts.base import Account
from nautilus_trader.model.enums import AccountType
from nautilus_trader.model.instruments import Instrument

from strategies.coin_desk import CoinDesk
from strategies.confluence_config import ConfluenceConfig, risk_rules
from strategies.trade_manager.increments import floor_to
from strategies.trade_manager.orders import ZERO
from strategies.trade_manager.sizing import CASH_RESERVE, Size, size_position
from strategies.trade_manager.skips import Skip


def coin_size(
    desk: CoinDesk,
    coins: Iterable[CoinDesk],
    config: ConfluenceConfig,
    account: Account,
    equity: Decimal,
    *,
    entry: Decimal,
    stop: Decimal,
    target: Decimal,
    bound: Decimal,
) -> Size | Skip:
    """Return the size of a trade, or why it has none.

    Parameters
    ----------
    desk, coins
        The coin, and all of the strategy; what its own setup binds counts as free.
    config
        Of the strategy.
    account, equity
        Of the venue, and what it is worth, quote currency.
    entry, stop, target
        Quote currency.
    bound
        What other signals of the same close time bind already, quote currency.
    """
    free = _money(account.balance_free(desk.instrument.quote_currency))
    others = (one for one in coins if one is not desk and one.setup is not None)
    if account.type == AccountType.CASH:
        # Until the venue acknowledges an entry the free balance still counts its money.
        sent = (one.setup.entering_qty * one.setup.plan.entry_price for one in others if one.setup)
        free = (free - sum(sent, ZERO)) * (1 - CASH_RESERVE)
        most = 1
    else:
        free = min(free + desk.bound_margin, equity - sum((one.bound_margin for one in others), ZERO))
        most = min(config.max_leverage, most_leverage(desk.instrument))
    return size_position(
        entry,
        stop,
        target,
        rules=risk_rules(config, desk.rules, most),
        market=desk.market,
        equity=equity,
        free_margin=floor_to(free - bound, Decimal("0.00000001")),
        max_qty=desk.max_qty,
    )


def most_leverage(instrument: Instrument) -> int:
    """Return the largest leverage that an instrument's initial margin allows."""
    margin = Decimal(instrument.margin_init)
    return max(int(1 / margin), 1) if margin > 0 else sys.maxsize


def _money(money: Any) -> Decimal:
    return ZERO if money is None else Decimal(money.as_decimal())
