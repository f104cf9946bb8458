"""What an account has at work, positions and waiting entries of all strategies, and the prices around."""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from nautilus_trader.model.enums import OrderStatus
from nautilus_trader.model.identifiers import ClientOrderId, InstrumentId, Venue

from strategies.entry_limits import EntryIntent
from strategies.market_price import last_known_price
from strategies.price_band import LAST_TRADES
from strategies.trade_manager.orders import ZERO, Leg, OrderStage, OwnOrder


def entry_intent(desk: Any, host: Any, own: OwnOrder) -> EntryIntent:
    """Return an entry of a desk with all that limits look at.

    Parameters
    ----------
    desk
        A `SetupDesk` with limits.
    host
        Its strategy.
    own
        The order that is about to be sent.
    """
    cache, instrument_id = host.cache, desk.instrument_id
    symbol_notional, account_notional = notionals(cache, instrument_id, desk.peers, besides=own.client_id)
    equity = desk.account_equity() if desk.entry_limits.watches_equity else None
    return EntryIntent(
        ts_ns=host.clock.timestamp_ns(),
        instrument_id=instrument_id.value,
        qty=own.qty,
        price=own.price or desk.last_price() or Decimal("nan"),
        symbol_notional=symbol_notional,
        account_notional=account_notional,
        last_prices=last_prices(cache, instrument_id),
        mark_price=mark_price(cache, instrument_id),
        equity=None if equity is None else float(equity),
    )


def notionals(
    cache: Any, instrument_id: InstrumentId, desks: Sequence[Any] = (), *, besides: str = ""
) -> tuple[Decimal, Decimal]:
    """Return position and waiting entries in one instrument, and in all of its venue.

    Parameters
    ----------
    cache
        Of Nautilus.
    instrument_id
        The one.
    desks
        Of all strategies: what the setups of those that keep them hold counts where the cache has less.
        Nautilus knows no position of spot coins that were bought before a restart. So count the entries that
        they have decided and that have not left yet.
    besides
        Client order id of an entry that does not count: the one that is asked about.

    Returns
    -------
    tuple of Decimal
        Quote currency, both >= 0. A position counts at the last price, an entry at its own. Opposite
        positions of two strategies do not cancel out: each can be closed alone.
    """
    own = total = ZERO
    known: dict[InstrumentId, Decimal] = defaultdict(Decimal)
    for position in cache.positions_open(venue=instrument_id.venue):
        price = last_known_price(cache, position.instrument_id)
        at = Decimal(str(position.avg_px_open)) if price is None else price.as_decimal()
        known[position.instrument_id] += position.quantity.as_decimal()
        amount = position.quantity.as_decimal() * at
        total += amount
        own += amount if position.instrument_id == instrument_id else ZERO
    for name, amount in _unknown_to_cache(cache, instrument_id, desks, known).items():
        total += amount
        own += amount if name == instrument_id else ZERO
    venue = instrument_id.venue
    waiting = (*cache.orders_open(venue=venue), *cache.orders_inflight(venue=venue))
    # An order that waits for its cancellation is in both.
    for order in {one.client_order_id: one for one in waiting}.values():
        if _lessens(order):
            continue
        amount = order.leaves_qty.as_decimal() * _price_of(cache, order)
        total += amount
        own += amount if order.instrument_id == instrument_id else ZERO
    for desk, amount in unsent_entries(cache, desks, venue):
        if amount.client_id != besides:
            total += amount.notional
            own += amount.notional if desk.instrument_id == instrument_id else ZERO
    return own, total


def unsent_entries(cache: Any, desks: Iterable[Any], venue: Venue) -> Iterator[tuple[Any, "UnsentEntry"]]:
    """Yield entries that desks of a live node have decided and that have not left yet, with their desks.

    An entry waits for the disk, and one of several that a strategy decides at once for the others: Nautilus
    counts it as neither open nor in flight. In a backtest none waits.

    Parameters
    ----------
    cache
        Of Nautilus.
    desks
        Of all strategies.
    venue
        Whose entries.
    """
    for desk in desks:
        if desk.keeper is None or desk.instrument_id.venue != venue:
            continue
        for setup in desk.setups:
            for own in () if setup.is_closed else setup.orders.values():
                if own.leg is not Leg.ENTRY or own.stage is not OrderStage.SENT:
                    continue
                order = cache.order(ClientOrderId(own.client_id))
                if order is None or order.status == OrderStatus.INITIALIZED:
                    price = own.price or setup.plan.entry_price
                    yield desk, UnsentEntry(own.client_id, own.leaves_qty * price)


class UnsentEntry(NamedTuple):
    """An entry that has not left yet: its client order id, and quantity times price, quote currency."""

    client_id: str
    notional: Decimal


def _unknown_to_cache(
    cache: Any, instrument_id: InstrumentId, desks: Iterable[Any], known: Mapping[InstrumentId, Decimal]
) -> dict[InstrumentId, Decimal]:
    """Return what setups hold beyond the positions of the cache, quote currency by instrument."""
    held: dict[InstrumentId, Decimal] = defaultdict(Decimal)
    entry_prices: dict[InstrumentId, Decimal] = {}
    for desk in desks:
        if desk.keeper is None or desk.instrument_id.venue != instrument_id.venue:
            continue  # a backtest's cache knows everything
        for setup in desk.setups:
            if not setup.is_closed and setup.position_qty:
                held[desk.instrument_id] += setup.position_qty
                entry_prices[desk.instrument_id] = setup.plan.entry_price
    amounts = {}
    for name, qty in held.items():
        price = last_known_price(cache, name)
        at = entry_prices[name] if price is None else price.as_decimal()
        amounts[name] = max(qty - known.get(name, ZERO), ZERO) * at
    return amounts


def last_prices(cache: Any, instrument_id: InstrumentId, count: int = LAST_TRADES) -> list[float]:
    """Return the prices of the last trades, newest first; of the last close where there are no trades."""
    known = min(cache.trade_tick_count(instrument_id), count)
    if known:
        return [cache.trade_tick(instrument_id, index).price.as_double() for index in range(known)]
    close = last_known_price(cache, instrument_id)
    return [] if close is None else [close.as_double()]


def mark_price(cache: Any, instrument_id: InstrumentId) -> float:
    """Return the venue's mark price, NaN where it sends none."""
    mark = cache.mark_price(instrument_id)
    return math.nan if mark is None else float(mark.value.as_double())


def _lessens(order: Any) -> bool:
    """Tell whether an order can only make a position smaller; spot exits say so by their tag alone."""
    tags = order.tags or ()
    return bool(order.is_reduce_only) or any(leg.name in tags for leg in (Leg.STOP, Leg.TARGET, Leg.EXIT))


def _price_of(cache: Any, order: Any) -> Decimal:
    price = order.price if order.has_price else last_known_price(cache, order.instrument_id)
    return ZERO if price is None else price.as_decimal()


__all__ = ["UnsentEntry", "entry_intent", "last_prices", "mark_price", "notionals", "unsent_entries"]
