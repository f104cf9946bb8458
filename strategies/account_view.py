"""What an account is worth and may spend, as the desk of one instrument sees it."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from nautilus_trader.accounting.accounts.base import Account
from nautilus_trader.model.enums import AccountType, OrderStatus
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.model.instruments import CurrencyPair, Instrument
from nautilus_trader.model.objects import Money

from strategies.exposure import unsent_entries
from strategies.market_price import last_known_price
from strategies.protection import AccountKind, VenueCapabilities
from strategies.trade_manager.orders import ZERO, Leg, OrderStage
from strategies.trade_manager.plan import EntryPlan, Funds, Market
from strategies.trade_manager.setup import Setup
from strategies.venue_filters import market_most


class AccountView:
    """The money of an instrument's venue account, other strategies' orders and positions counted.

    Parameters
    ----------
    host
        The strategy; its cache and portfolio are read.
    instrument_id
        What is traded.
    """

    instrument: Instrument
    market: Market
    peers: Sequence[Any] = ()
    """Desks of a live node that share the limits of this one, itself among them; none in backtests."""

    def __init__(self, host: Any, instrument_id: InstrumentId) -> None:
        self._host = host
        self.instrument_id = instrument_id
        self.setup: Setup | None = None

    def account_kind(self) -> AccountKind:
        """Return whether the venue's account is spot cash or margin."""
        account = self._account()
        if account is None:  # not connected yet: the instrument tells
            return "cash" if isinstance(self.instrument, CurrencyPair) else "margin"
        return "cash" if account.type == AccountType.CASH else "margin"

    def funds(self) -> Funds:
        """Return what the account is worth and may spend, quote currency; zero when there is no account."""
        account = self._account()
        if account is None:
            return Funds(ZERO, ZERO)
        quote = self.instrument.quote_currency
        total, free = _amount(account.balance_total(quote)), _amount(account.balance_free(quote))
        if account.type == AccountType.CASH:
            spendable = free - self._unlocked_notional() + self._resting_notional()
            # A venue may charge the fee on top of the price.
            return Funds(
                total + self._value_of_coins(account), max(spendable, ZERO) * (1 - self.market.taker_fee)
            )
        leverage = Decimal(str(account.leverage(self.instrument_id) or account.default_leverage))
        # By notional, not by the venue's margin: all positions together stay within equity x leverage.
        return Funds(total, max(total * leverage - self._committed_notional(), ZERO))

    def account_equity(self) -> Decimal | None:
        """Return what the account is worth at the last prices, quote currency; None without an account."""
        if self._account() is None:
            return None
        equity = self.funds().equity
        if self.account_kind() == "margin":  # the coins of a cash account are in its funds
            for position in self._host.cache.positions_open(venue=self.instrument_id.venue):
                price = self.price_of(position.instrument_id)
                if price is not None:
                    instrument = self._host.cache.instrument(position.instrument_id)
                    equity += position.unrealized_pnl(instrument.make_price(price)).as_decimal()
        return equity

    def last_price(self) -> Decimal | None:
        """Return the last price of the instrument, None before the first."""
        return self.price_of(self.instrument_id)

    def price_of(self, instrument_id: InstrumentId) -> Decimal | None:
        """Return the price of an instrument's last trade, without trades its last close; None before both."""
        price = last_known_price(self._host.cache, instrument_id)
        return None if price is None else price.as_decimal()

    def _account(self) -> Account | None:
        return self._host.portfolio.account(self.instrument_id.venue)

    def _resting_notional(self) -> Decimal:
        """Return what our own entry at the venue locks: it is free again when that entry is replaced."""
        setup = self.setup
        if setup is None:
            return ZERO
        entries = (own for own in setup.orders.values() if own.leg is Leg.ENTRY)
        # What is on its way locks nothing yet.
        locked = (own for own in entries if own.stage is not OrderStage.SENT)
        return sum((own.leaves_qty * (own.price or ZERO) for own in locked), ZERO)

    def _value_of_coins(self, account: Account) -> Decimal:
        """Return what the account's coins are worth at the last trades, other strategies' included."""
        value = ZERO
        for instrument in self._host.cache.instruments(venue=self.instrument_id.venue):
            is_same_money = instrument.quote_currency == self.instrument.quote_currency
            if isinstance(instrument, CurrencyPair) and is_same_money:
                coins = _amount(account.balance_total(instrument.base_currency))
                price = self.price_of(instrument.id) if coins else None
                if price is not None:
                    value += coins * price
        return value

    def _committed_notional(self) -> Decimal:
        """Return the notional of all positions and entries at the venue but for our own resting entry."""
        venue = self.instrument_id.venue
        committed = ZERO
        for position in self._host.cache.positions_open(venue=venue):
            price = self.price_of(position.instrument_id)
            price = Decimal(str(position.avg_px_open)) if price is None else price
            committed += position.quantity.as_decimal() * price
        living = (*self._host.cache.orders_open(venue=venue), *self._host.cache.orders_inflight(venue=venue))
        for order in {one.client_order_id: one for one in living}.values():
            if order.is_post_only and order.strategy_id != self._host.id:
                committed += order.leaves_qty.as_decimal() * order.price.as_decimal()
        return committed + self._unsent_notional()

    def _affords(self, plan: EntryPlan) -> bool:
        """Tell whether a cash account can pay for a plan now that our own entry is gone.

        Margin is checked when the plan is made.
        """
        account = self._account()
        if account is None or account.type != AccountType.CASH:
            return True
        free = _amount(account.balance_free(self.instrument.quote_currency))
        return plan.qty * plan.entry_price <= free - self._unlocked_notional()

    def _unlocked_notional(self) -> Decimal:
        """Return what entries in flight to the venue will lock, those of other strategies included.

        Until they are acknowledged the free balance still counts their money; two strategies that act within
        the latency would spend it twice.
        """
        in_flight = self._host.cache.orders_inflight(venue=self.instrument_id.venue)
        entries = (one for one in in_flight if one.status == OrderStatus.SUBMITTED and one.is_post_only)
        taken = sum((one.leaves_qty.as_decimal() * one.price.as_decimal() for one in entries), ZERO)
        return taken + self._unsent_notional()

    def _unsent_notional(self) -> Decimal:
        """Return what entries of other strategies will take that have not even left yet."""
        own = str(self._host.id.value)
        others = [one for one in self.peers if one.strategy_id != own]
        unsent = unsent_entries(self._host.cache, others, self.instrument_id.venue)
        return sum((one.notional for _, one in unsent), ZERO)


def market_of(instrument: Instrument, venue: VenueCapabilities, account: AccountKind) -> Market:
    """Return the plain facts of a Nautilus instrument."""
    lot_size = instrument.size_increment.as_decimal()
    min_quantity, min_notional = instrument.min_quantity, instrument.min_notional
    return Market(
        tick_size=instrument.price_increment.as_decimal(),
        lot_size=lot_size,
        min_qty=lot_size if min_quantity is None else max(lot_size, min_quantity.as_decimal()),
        min_notional=ZERO if min_notional is None else min_notional.as_decimal(),
        maker_fee=instrument.maker_fee,
        taker_fee=instrument.taker_fee,
        shorts=venue.shorts,
        target_rests=venue.target_rests,
        exits_need_notional=account == "cash",
        max_qty=most_of_one_order(instrument),
    )


def most_of_one_order(instrument: Instrument) -> Decimal | None:
    """Return the largest quantity that one order may have of whatever kind, None for no limit.

    Entries and exits are one order each, and the exit of last resort is at market: both limits hold.
    """
    most = instrument.max_quantity
    limits = (None if most is None else most.as_decimal(), market_most(instrument.info))
    return min((one for one in limits if one), default=None)


def _amount(money: Money | None) -> Decimal:
    return ZERO if money is None else Decimal(money.as_decimal())
