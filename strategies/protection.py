"""Keep the exits equal to the position, on venues that differ in what they allow.

What a venue allows is data (`VENUES`). :func:`reconcile` compares the exits that a position wants with the
orders that are alive and says what to do next. It has no memory: called again with the same picture it
answers the same, and with an order in flight it waits for the answer, so calling it after every event is
safe. Two rules hold whatever happens: where a sale is not marked reduce-only, everything alive together never
exceeds the holding; and where it is, the old stop stays until the new one is acknowledged.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal

from strategies.trade_manager.orders import ZERO, Leg, OrderKind, OrderStage, OwnOrder

type AccountKind = Literal["cash", "margin"]


@dataclass(frozen=True, slots=True)
class VenueCapabilities:
    """What a venue's adapter accepts, as far as entries and exits are concerned.

    Parameters
    ----------
    stop_kind
        Order type of the protective stop.
    reduce_only
        Exits are marked reduce-only. Never on spot: Binance drops the mark silently, Bybit denies it.
    target_rests
        The target rests at the venue beside the stop. On spot one full-size exit can rest: the stop does,
        and the target is watched.
    modifiable
        Legs that may be modified in place, quantity and prices alike. Others are replaced.
    shorts
        Positions below zero exist.
    post_only_reasons
        Parts of a reject text that mean "would have taken liquidity" where the flag does not say so.
    entry_carries_stop
        An entry may carry a stop that the venue attaches to the position with the first fill. It has no
        client id and cannot be told apart by one, so it is a net under our own stop and never instead of it.
    unknown_reasons
        Parts of a reject text that leave open whether the venue took the order: its own errors and
        timeouts. The adapter calls them rejections; they are none.
    too_large_reasons
        Parts of a reject text that mean "more than one order may have". Not every adapter tells the limit,
        and the venues change it while a position is open.
    """

    stop_kind: OrderKind
    reduce_only: bool
    target_rests: bool
    modifiable: frozenset[Leg]
    shorts: bool
    post_only_reasons: tuple[str, ...] = ()
    unknown_reasons: tuple[str, ...] = ()
    entry_carries_stop: bool = False
    too_large_reasons: tuple[str, ...] = ()


NEVER_ARRIVED: Final = "the venue does not know it: it never arrived"
"""Reason of the rejection of an order that was sent, and that the venue says it never saw."""

# Nautilus' own whole reason for an order in flight too long; within other texts the word means anything.
_GIVEN_UP: Final = "UNKNOWN"
_NONE: Final[frozenset[Leg]] = frozenset()
# Spot names the filter, which also means too little or a wrong step, see `too_vague`. USD-M: -4005.
_BINANCE_TOO_LARGE: Final = ("LOT_SIZE", "Quantity greater than max quantity", "(> maximum trade size")
# Linear answers 10001 for any parameter; the words are those of its users' reports. Spot: 170124.
_BYBIT_TOO_LARGE: Final = ("exceeds maximum limit allowed", "amount too large", "(> maximum trade size")
_BYBIT_POST_ONLY: Final = ("PostOnlyWillTakeLiquidity",)
# Codes as the adapter prints them (the body as a dict, or as text) and its words for a body that is no JSON.
# -1000 unknown error, -1001 disconnected, -1006 unexpected response, -1007 timeout; of HTTP 5xx the vendor
# says that "the execution status is UNKNOWN and could have been a success". 429, 418, -1003 and -1008 refuse:
# nothing was done.
_BINANCE_UNKNOWN: Final = (
    *(f"'code': {code}," for code in (-1000, -1001, -1006, -1007)),
    *(f'"code":{code},' for code in (-1000, -1001, -1006, -1007)),
    "(HTTP 5",
    "Canceled retry",
)
# The adapter waits for reconciliation by itself where no answer came. Where one did, it hands on the words
# without the code: 10000 server timeout, 10016 server error, 170001 internal error, 170007, 170146 timeouts.
_BYBIT_UNKNOWN: Final = (
    *(f"{server} {error}" for server in ("Server", "server") for error in ("Timeout", "timeout", "error")),
    *(
        f"{internal} {error}"
        for internal in ("Internal", "internal")
        for error in ("error", "server", "system")
    ),
    *("Internal System Error", "Internal Error", "Timeout waiting for response", "Order creation timeout"),
)

# From the adapters' behaviour on the wire (nautilus.md 3.4).
VENUES: Final[dict[tuple[str, AccountKind], VenueCapabilities]] = {
    ("BINANCE", "cash"): VenueCapabilities(
        stop_kind=OrderKind.STOP_LIMIT,  # STOP_MARKET is denied
        reduce_only=False,
        target_rests=False,
        modifiable=_NONE,
        shorts=False,
        unknown_reasons=_BINANCE_UNKNOWN,
        too_large_reasons=_BINANCE_TOO_LARGE,
    ),
    ("BINANCE", "margin"): VenueCapabilities(
        stop_kind=OrderKind.STOP_MARKET,
        reduce_only=True,
        target_rests=True,
        modifiable=frozenset({Leg.TARGET}),  # limit orders only
        shorts=True,
        unknown_reasons=_BINANCE_UNKNOWN,
        too_large_reasons=_BINANCE_TOO_LARGE,
    ),
    ("BYBIT", "cash"): VenueCapabilities(
        stop_kind=OrderKind.STOP_LIMIT,
        reduce_only=False,
        target_rests=False,
        modifiable=frozenset({Leg.STOP, Leg.TARGET}),
        shorts=False,
        post_only_reasons=_BYBIT_POST_ONLY,
        unknown_reasons=_BYBIT_UNKNOWN,
        too_large_reasons=_BYBIT_TOO_LARGE,
    ),
    ("BYBIT", "margin"): VenueCapabilities(
        stop_kind=OrderKind.STOP_MARKET,
        reduce_only=True,
        target_rests=True,
        modifiable=frozenset({Leg.STOP, Leg.TARGET}),
        shorts=True,
        post_only_reasons=_BYBIT_POST_ONLY,
        unknown_reasons=_BYBIT_UNKNOWN,
        too_large_reasons=_BYBIT_TOO_LARGE,
        entry_carries_stop=True,
    ),
}


def capabilities(venue: str, account: AccountKind) -> VenueCapabilities:
    """Return what a venue allows; an unknown venue is treated like Binance, the stricter one.

    Parameters
    ----------
    venue
        Nautilus venue name; ``BINANCE_SPOT`` and ``BINANCE_FUTURES`` count as Binance.
    account
        ``cash`` (spot) or ``margin``.
    """
    return VENUES.get((venue.split("_")[0].upper(), account), VENUES["BINANCE", account])


def unknown_outcome(venue: VenueCapabilities, reason: str | None) -> bool:
    """Tell whether a rejection leaves open that the venue took the order.

    Parameters
    ----------
    venue
        Capabilities.
    reason
        Text of the rejection.
    """
    words = reason or ""
    return words == _GIVEN_UP or any(text in words for text in venue.unknown_reasons)


def too_large(venue: VenueCapabilities, reason: str | None) -> bool:
    """Tell whether a rejection means that one order may not have so much.

    Parameters
    ----------
    venue
        Capabilities.
    reason
        Text of the rejection.
    """
    return any(text in (reason or "") for text in venue.too_large_reasons)


def too_vague(reason: str | None) -> bool:
    """Tell whether a rejection names a filter that stands for too little and a wrong step as well.

    Examples
    --------
    >>> too_vague("Filter failure: LOT_SIZE"), too_vague("Filter failure: MARKET_LOT_SIZE")
    (True, False)
    """
    return "LOT_SIZE" in (words := reason or "") and "MARKET_LOT_SIZE" not in words


@dataclass(frozen=True, slots=True)
class WantedExit:
    """An exit that should be alive.

    Parameters
    ----------
    leg, kind
        What for, and the order type.
    qty
        What should be able to fill, base currency, > 0.
    price, trigger_price
        Limit and stop price, None where the type has none.
    """

    leg: Leg
    kind: OrderKind
    qty: Decimal
    price: Decimal | None = None
    trigger_price: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Send this exit."""

    wanted: WantedExit


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Cancel this exit."""

    order: OwnOrder


@dataclass(frozen=True, slots=True)
class Resize:
    """Modify this exit so that the wanted one can still fill: its quantity, at its prices."""

    order: OwnOrder
    wanted: WantedExit


type Step = Place | Withdraw | Resize


def reconcile(
    wanted: Sequence[WantedExit], orders: Sequence[OwnOrder], venue: VenueCapabilities, holding_qty: Decimal
) -> list[Step]:
    """Say what to do so that the living exits become the wanted ones.

    Parameters
    ----------
    wanted
        At most one per leg.
    orders
        Exit orders of the position, oldest first; final ones are ignored.
    venue
        What the venue allows.
    holding_qty
        Position size, base currency, >= 0: the bound for sales that are not reduce-only.

    Returns
    -------
    list of Place, Withdraw, Resize
        Empty when everything fits, or when the next step waits for an answer of the venue.
    """
    alive = [order for order in orders if order.is_alive]
    if venue.reduce_only:
        return list(_replace_then_withdraw(wanted, alive, venue))
    return list(_withdraw_then_replace(wanted, alive, venue, holding_qty))


def protected_qty(orders: Sequence[OwnOrder]) -> Decimal:
    """Return how much of a position the living stops and market exits cover, the newest picture counting.

    A replacement in flight covers beside the order it replaces: the larger counts, not the sum. An order
    being cancelled still covers, it can fill until the venue confirms.
    """
    stops = [order.leaves_qty for order in orders if order.leg is Leg.STOP]
    exits = [order.leaves_qty for order in orders if order.leg is Leg.EXIT]
    return max([*stops, *exits], default=ZERO)


def _replace_then_withdraw(
    wanted: Sequence[WantedExit], alive: Sequence[OwnOrder], venue: VenueCapabilities
) -> Iterator[Step]:
    by_leg = {exit_.leg: exit_ for exit_ in wanted}
    for leg in (Leg.STOP, Leg.TARGET, Leg.EXIT):
        own = [order for order in alive if order.leg is leg and order.stage is not OrderStage.CANCELLING]
        want = by_leg.get(leg)
        if want is None:
            yield from _withdraw_all(own)
        elif not own:
            yield Place(want)
        elif _fits(own[-1], want):
            if own[-1].stage is OrderStage.WORKING:  # acknowledged: the older ones have done their duty
                yield from _withdraw_all(own[:-1])
        elif any(order.is_in_flight for order in own) or leg is Leg.EXIT:
            continue  # one change at a time: the answer brings us back here
        elif len(own) == 1 and _resizable(own[0], want, venue):
            yield Resize(own[0], want)
        else:
            yield Place(want)


def _withdraw_then_replace(
    wanted: Sequence[WantedExit],
    alive: Sequence[OwnOrder],
    venue: VenueCapabilities,
    holding_qty: Decimal,
) -> Iterator[Step]:
    if len(wanted) > 1:
        legs = ", ".join(exit_.leg.name for exit_ in wanted)
        raise ValueError(f"only one exit can rest on a cash account, asked for {legs}")
    want = wanted[0] if wanted else None
    steady = [order for order in alive if order.stage is not OrderStage.CANCELLING]
    keep = next((order for order in steady if want is not None and _fits(order, want)), None)
    others = [order for order in steady if order is not keep]
    if want is not None and len(others) == 1 and keep is None and _resizable(others[0], want, venue):
        yield Resize(others[0], want)
        return
    yield from _withdraw_all(others)
    # Coins in a living order are locked at the venue: nothing new before all of it is final.
    if want is not None and not alive and want.qty <= holding_qty:
        yield Place(want)


def _withdraw_all(orders: Sequence[OwnOrder]) -> Iterator[Step]:
    # A market order cannot be taken back, and what is not acknowledged may not be known to the venue yet.
    for order in orders:
        if order.stage is OrderStage.WORKING and order.kind is not OrderKind.MARKET:
            yield Withdraw(order)


def _fits(order: OwnOrder, want: WantedExit) -> bool:
    return (
        order.leg is want.leg
        and order.intended_leaves_qty == want.qty
        and order.intended_prices == (want.price, want.trigger_price)
    )


def _resizable(order: OwnOrder, want: WantedExit, venue: VenueCapabilities) -> bool:
    return (
        order.leg is want.leg
        and order.leg in venue.modifiable
        and order.may_change
        and order.stage is OrderStage.WORKING
    )
