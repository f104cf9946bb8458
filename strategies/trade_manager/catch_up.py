"""Bring a setup up to date with what a venue says of its orders: what happened while nobody listened.

Pure: a picture of the venue goes in. Fills count by their trade ids and never beyond what the venue says an
order has filled, so a fill that was known already counts once, also where the venue reports it in one piece.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from strategies.trade_manager.client_ids import parsed
from strategies.trade_manager.orders import ZERO, Action, Fill, Leg, OrderKind, OrderStage, OwnOrder
from strategies.trade_manager.setup import Setup


@dataclass(frozen=True, slots=True)
class VenueOrder:
    """An order as the venue has it now.

    Parameters
    ----------
    client_id
        Client order id.
    is_open
        It can still fill.
    qty, filled_qty
        Base currency.
    price, trigger_price
        Limit and stop price, None where the type has none.
    avg_price
        Of its fills, None where it is not known.
    ts_ns
        Of its last event, UNIX nanoseconds.
    fills
        Its fills as far as they are known one by one, oldest first.
    kind
        Order type.
    """

    client_id: str
    is_open: bool
    qty: Decimal
    filled_qty: Decimal = ZERO
    price: Decimal | None = None
    trigger_price: Decimal | None = None
    avg_price: Decimal | None = None
    ts_ns: int = 0
    fills: tuple[Fill, ...] = ()
    kind: OrderKind = OrderKind.LIMIT


def catch_up(
    setup: Setup, at_venue: Mapping[str, VenueOrder], *, is_complete: bool, ts_ns: int
) -> list[Action]:
    """Let a setup know what became of its orders; the caller then lets it `resume`.

    Parameters
    ----------
    setup
        As it was stored.
    at_venue
        The venue's orders by client id, others' too.
    is_complete
        What is not among them does not exist at the venue: neither open, nor filled, nor cancelled. Before
        that is sure, an entry that is missing stays in flight, because it may be alive.
    ts_ns
        UNIX nanoseconds.

    Returns
    -------
    list
        Notes of what happened; orders come with `Setup.resume`.
    """
    setup.leave()
    _adopt_forgotten(setup, at_venue)
    actions: list[Action] = []
    for client_id, fill in sorted(_missing_fills(setup, at_venue), key=lambda one: _order_of(setup, *one)):
        actions += setup.on_filled(client_id, fill)
    for own in list(setup.orders.values()):
        actions += _take_status(setup, own, at_venue.get(own.client_id), is_complete=is_complete, ts_ns=ts_ns)
    return actions


def _order_of(setup: Setup, client_id: str, fill: Fill) -> tuple[int, bool]:
    return fill.ts_ns, setup.orders[client_id].leg is not Leg.ENTRY


def _missing_fills(setup: Setup, at_venue: Mapping[str, VenueOrder]) -> Iterator[tuple[str, Fill]]:
    for own in setup.orders.values():
        there = at_venue.get(own.client_id)
        if there is None:
            continue
        missing = there.filled_qty - own.filled_qty
        for fill in there.fills:
            if missing <= 0:
                break
            if setup.knows_fill(own.client_id, fill.trade_id):
                continue
            taken = fill if fill.qty <= missing else _part_of(fill, missing)
            missing -= taken.qty
            yield own.client_id, taken
        if missing > 0:  # the venue gives the sum alone
            price = there.avg_price or own.price or own.trigger_price or setup.plan.entry_price
            yield own.client_id, Fill(there.ts_ns, f"sum-{there.filled_qty}", missing, price)


def _part_of(fill: Fill, qty: Decimal) -> Fill:
    share = qty / fill.qty
    return replace(fill, qty=qty, fee_quote=fill.fee_quote * share, fee_base=fill.fee_base * share)


def _take_status(
    setup: Setup, own: OwnOrder, there: VenueOrder | None, *, is_complete: bool, ts_ns: int
) -> list[Action]:
    if there is None and own.leg is Leg.ENTRY and not is_complete:
        return []
    if there is not None and there.is_open:
        own.end_change(is_done=False)
        own.qty, own.price, own.trigger_price = there.qty, there.price, there.trigger_price
        own.is_asked = False
        was_sent = own.stage is OrderStage.SENT or own.is_given_up
        own.stage = OrderStage.SENT if was_sent else OrderStage.WORKING
        return setup.on_accepted(own.client_id, ts_ns)
    if not own.is_alive:
        return []
    if own.leg is Leg.ENTRY:
        return setup.on_canceled(own.client_id, ts_ns)
    # An exit that is gone is no refusal: another one takes its place. Should it report after all, it counts.
    own.end_change(is_done=False)
    own.stage = OrderStage.FINAL
    own.is_given_up = there is None
    return []


def _adopt_forgotten(setup: Setup, at_venue: Mapping[str, VenueOrder]) -> None:
    identity = setup.identity
    for there in at_venue.values():
        name = parsed(identity.tag, identity.symbol, there.client_id)
        if name is None or name.setup_id != identity.setup_id or there.client_id in setup.orders:
            continue
        order = OwnOrder(
            there.client_id, Leg(name.leg), there.kind, there.qty, there.price, there.trigger_price
        )
        setup.adopt(order, name.attempt)


def orphans(tag: str, symbol: str, setups: Iterable[Setup], open_ids: Iterable[str]) -> list[str]:
    """Return the open orders that are ours by their ids and belong to no setup that lives.

    Parameters
    ----------
    tag, symbol
        Of the desk.
    setups
        All that the desk knows.
    open_ids
        Client ids of the venue's open orders of the instrument.
    """
    living = {client_id for one in setups if not one.is_closed for client_id in one.orders}
    return [one for one in open_ids if one not in living and parsed(tag, symbol, one) is not None]


__all__ = ["VenueOrder", "catch_up", "orphans"]
