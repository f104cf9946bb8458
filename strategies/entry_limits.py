"""The last look at an entry before it leaves: limits of the account that no strategy can talk its way past.

Exits are never looked at here: what lessens the risk is never refused. Backtest, paper and live ask the same
object at the same place, `SetupDesk`; without one there are no limits.
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from strategies.guards import LossRules, TradeGuards
from strategies.price_band import outside_band
from strategies.trade_manager.orders import ZERO
from strategies.trade_manager.skips import Skip, SkipReason

MINUTE_NS: Final = 60_000_000_000
NO_LOSS_LIMITS: Final = LossRules()


@dataclass(frozen=True, slots=True)
class LimitRules:
    """Limits of one account; zero or empty switches one off.

    Parameters
    ----------
    allowed
        Nautilus instrument ids that may be entered; empty allows all.
    max_symbol_notional, max_account_notional
        Position and waiting entries of one instrument, and of all at its venue, with the new entry, quote
        currency (stable coins count at par).
    symbol_notionals
        Replaces `max_symbol_notional` for single instruments.
    max_entries_per_min
        Entries sent within any 60 seconds, at all venues together.
    price_band_pct
        Farthest that the price of an entry, and the last trade, may be from the median of the last trades and
        from the mark price, percent.
    loss
        Daily loss and drawdown of the account, see `LossRules`.
    """

    allowed: frozenset[str] = frozenset()
    max_symbol_notional: Decimal = ZERO
    max_account_notional: Decimal = ZERO
    symbol_notionals: tuple[tuple[str, Decimal], ...] = ()
    max_entries_per_min: int = 0
    price_band_pct: float = 0.0
    loss: LossRules = NO_LOSS_LIMITS

    @property
    def are_set(self) -> bool:
        """Tell whether anything is limited."""
        return self != LimitRules()


@dataclass(frozen=True, slots=True)
class EntryIntent:
    """An entry that is about to be sent.

    Parameters
    ----------
    ts_ns
        UNIX nanoseconds.
    instrument_id
        Of Nautilus.
    qty, price
        Base currency; limit price, or the last price for an order at market.
    symbol_notional, account_notional
        What positions and waiting entries amount to without it, quote currency.
    last_prices
        Of the last trades, newest first, shape (n,); empty where there are none.
    mark_price
        NaN where there is none.
    equity
        Of the account, quote currency; None where no limit looks at it.
    """

    ts_ns: int
    instrument_id: str
    qty: Decimal
    price: Decimal
    symbol_notional: Decimal
    account_notional: Decimal
    last_prices: Sequence[float] = ()
    mark_price: float = math.nan
    equity: float | None = None


class EntryLimits:
    """Says of each entry whether it may go out; one object for all strategies of a node.

    Parameters
    ----------
    rules
        See `LimitRules`.
    """

    def __init__(self, rules: LimitRules) -> None:
        self.rules = rules
        self.closed_by = ""
        self.guards: dict[str, TradeGuards] = {}
        self._sent: deque[int] = deque()
        self._notionals = dict(rules.symbol_notionals)

    @property
    def watches_equity(self) -> bool:
        """Tell whether a limit looks at the account's equity."""
        return self.rules.loss.watches_equity

    def close(self, reason: str) -> None:
        """Refuse every entry from now on."""
        self.closed_by = reason

    def reopen(self, ts_ns: int) -> None:
        """Refuse by the limits alone again; losses count from the equity of now (UNIX nanoseconds)."""
        self.closed_by = ""
        for guards in self.guards.values():
            guards.rearm(ts_ns)

    def on_equity(self, venue: str, ts_ns: int, equity: float) -> Skip | None:
        """Take the equity of an account; return the pause that it is in.

        Parameters
        ----------
        venue
            Of Nautilus.
        ts_ns
            UNIX nanoseconds.
        equity
            Quote currency; what is no number pauses by itself.
        """
        guards = self.guards.setdefault(venue, TradeGuards(self.rules.loss))
        if not math.isfinite(equity):
            return Skip(SkipReason.RISK, text=f"the equity at {venue} is {equity}")
        guards.on_equity(ts_ns, equity)
        return guards.blocked(venue, ts_ns)

    def check(self, entry: EntryIntent) -> Skip | None:
        """Return why an entry must not go out; None counts it as sent."""
        skip = self._refused(entry)
        if skip is None:
            self._sent.append(entry.ts_ns)
        return skip

    def _refused(self, entry: EntryIntent) -> Skip | None:
        rules, name = self.rules, entry.instrument_id
        if self.closed_by:
            return _risk(self.closed_by)
        if rules.allowed and name not in rules.allowed:
            return _risk(f"{name} is not on the list of allowed instruments")
        skip = self._over_notional(entry) or self._over_band(entry) or self._over_rate(entry.ts_ns)
        if skip is None and entry.equity is not None:
            paused = self.on_equity(name.rpartition(".")[2], entry.ts_ns, entry.equity)
            skip = None if paused is None else _risk(f"{paused.reason}: {paused.text}")
        return skip

    def _over_notional(self, entry: EntryIntent) -> Skip | None:
        rules, own = self.rules, entry.qty * entry.price
        if not own.is_finite():
            return _risk(f"quantity {entry.qty} and price {entry.price} are no amount")
        symbol_limit = self._notionals.get(entry.instrument_id, rules.max_symbol_notional)
        for name, limit, others in (
            (entry.instrument_id, symbol_limit, entry.symbol_notional),
            ("the account", rules.max_account_notional, entry.account_notional),
        ):
            if limit and others + own > limit:
                text = f"{own:.2f} more would make {others + own:.2f} of {name}, limit {limit:.2f}"
                return _risk(text, float(others + own), float(limit))
        return None

    def _over_band(self, entry: EntryIntent) -> Skip | None:
        limit_pct = self.rules.price_band_pct
        if not limit_pct:
            return None
        newest = entry.last_prices[:1]
        for what, price in (("the entry", float(entry.price)), *(("the last trade", one) for one in newest)):
            far_pct = outside_band(price, entry.last_prices, limit_pct, entry.mark_price)
            if far_pct:
                text = f"{what} at {price:g} is {far_pct:.2f} % from the last trades, limit {limit_pct:g} %"
                return _risk(text, far_pct, limit_pct)
        return None

    def _over_rate(self, ts_ns: int) -> Skip | None:
        limit, sent = self.rules.max_entries_per_min, self._sent
        while sent and sent[0] <= ts_ns - MINUTE_NS:
            sent.popleft()
        if limit and len(sent) >= limit:
            return _risk(f"{len(sent)} entries within 60 s, limit {limit}", len(sent), limit)
        return None


def _risk(text: str, figure: float = 0.0, limit: float = 0.0) -> Skip:
    return Skip(SkipReason.RISK, figure, limit, text)


__all__ = ["EntryIntent", "EntryLimits", "LimitRules"]
