"""What to do so that the exits at the venue become the wanted ones: rules first, then every picture."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies.protection import (
    VENUES,
    Place,
    Resize,
    Step,
    WantedExit,
    Withdraw,
    capabilities,
    protected_qty,
    reconcile,
)
from strategies.trade_manager.orders import Leg, OrderKind, OrderStage, OwnOrder

CASH = VENUES["BINANCE", "cash"]
MARGIN = VENUES["BINANCE", "margin"]
BYBIT = VENUES["BYBIT", "margin"]
KINDS = {Leg.STOP: OrderKind.STOP_MARKET, Leg.TARGET: OrderKind.LIMIT, Leg.EXIT: OrderKind.MARKET}


def order(leg: Leg, qty: int, stage: OrderStage = OrderStage.WORKING, filled: int = 0) -> OwnOrder:
    """Return an exit of ours."""
    price = Decimal(110) if leg is Leg.TARGET else None
    trigger = Decimal(90) if leg is Leg.STOP else None
    name = f"{leg.value}{qty}"
    return OwnOrder(name, leg, KINDS[leg], Decimal(qty), price, trigger, Decimal(filled), stage)


def want(leg: Leg, qty: int) -> WantedExit:
    """Return an exit that should be alive."""
    like = order(leg, qty)
    return WantedExit(leg, like.kind, like.qty, like.price, like.trigger_price)


def words(steps: list[Step]) -> list[str]:
    """Return steps as short text."""
    names = []
    for step in steps:
        match step:
            case Place(wanted):
                names.append(f"place {wanted.leg.name} {wanted.qty}")
            case Withdraw(own):
                names.append(f"withdraw {own.client_id}")
            case Resize(own, wanted):
                names.append(f"resize {own.client_id} to {wanted.qty}")
    return names


S, T, X = Leg.STOP, Leg.TARGET, Leg.EXIT
SENT, CANCELLING, CHANGING = OrderStage.SENT, OrderStage.CANCELLING, OrderStage.CHANGING
MARGIN_CASES = {
    "a fresh position gets both": ([], ["place STOP 5", "place TARGET 5"]),
    "what fits stays": ([order(S, 5), order(T, 5)], []),
    "a partly filled stop fits by what it can still fill": ([order(S, 7, filled=2), order(T, 5)], []),
    "on its way fits as well": ([order(S, 5, SENT), order(T, 5, SENT)], []),
    "the new stop first, the old one stays": ([order(S, 3), order(T, 5)], ["place STOP 5"]),
    "the old one while the new is on its way": ([order(S, 3), order(S, 5, SENT), order(T, 5)], []),
    "the old one goes when the new is there": ([order(S, 3), order(S, 5), order(T, 5)], ["withdraw S3"]),
    "a stop on its way is awaited": ([order(S, 3, SENT), order(T, 5)], []),
    "a stop being cancelled does not count": ([order(S, 5, CANCELLING), order(T, 5)], ["place STOP 5"]),
    "a limit is resized in place": ([order(S, 5), order(T, 3)], ["resize T3 to 5"]),
    "a resize on its way is awaited": ([order(S, 5), order(T, 3, CHANGING)], []),
}


@pytest.mark.parametrize(("orders", "expected"), MARGIN_CASES.values(), ids=MARGIN_CASES.keys())
def test_margin_exits_follow_a_position_of_five(orders: list[OwnOrder], expected: list[str]) -> None:
    """Stop and target both rest; a stop is never taken away before another one is acknowledged."""
    steps = reconcile([want(S, 5), want(T, 5)], orders, MARGIN, Decimal(5))
    assert words(steps) == expected


def test_bybit_resizes_its_stop_in_place() -> None:
    """Where the venue can modify a stop there is no replacement at all, until it refuses once."""
    assert words(reconcile([want(S, 5)], [order(S, 3)], BYBIT, Decimal(5))) == ["resize S3 to 5"]
    refused = order(S, 3)
    refused.may_change = False
    assert words(reconcile([want(S, 5)], [refused], BYBIT, Decimal(5))) == ["place STOP 5"]


CASH_CASES = {
    "a fresh position gets its one exit": (want(S, 5), [], ["place STOP 5"]),
    "what fits stays": (want(S, 5), [order(S, 5)], []),
    "too small: the old one first": (want(S, 5), [order(S, 3)], ["withdraw S3"]),
    "nothing new while coins are locked": (want(S, 5), [order(S, 3, CANCELLING)], []),
    "an order on its way is awaited": (want(S, 5), [order(S, 3, SENT)], []),
    "for the target the stop goes first": (want(T, 5), [order(S, 5)], ["withdraw S5"]),
    "for the market exit the target goes first": (want(X, 5), [order(T, 5)], ["withdraw T5"]),
    "a market order cannot be taken back": (None, [order(X, 5)], []),
    "without a position nothing stays": (None, [order(S, 5)], ["withdraw S5"]),
}


@pytest.mark.parametrize(("wanted", "orders", "expected"), CASH_CASES.values(), ids=CASH_CASES.keys())
def test_cash_exits_follow_a_holding_of_five(
    wanted: WantedExit | None, orders: list[OwnOrder], expected: list[str]
) -> None:
    """One exit at a time, and never a second one while the first can still sell."""
    steps = reconcile([] if wanted is None else [wanted], orders, CASH, Decimal(5))
    assert words(steps) == expected


def test_two_resting_exits_on_a_cash_account_are_a_bug() -> None:
    """The caller asked for what no spot venue takes."""
    with pytest.raises(ValueError, match="only one exit can rest on a cash account, asked for STOP, TARGET"):
        reconcile([want(S, 5), want(T, 5)], [], CASH, Decimal(5))


orders_of_exits = st.lists(
    st.builds(
        order,
        st.sampled_from([S, T, X]),
        st.integers(1, 9),
        st.sampled_from(list(OrderStage)),
        st.integers(0, 3),
    ),
    max_size=5,
)


@given(orders=orders_of_exits, qty=st.integers(0, 9), venue=st.sampled_from(list(VENUES.values())))
def test_the_answer_depends_on_the_picture_alone(orders: list[OwnOrder], qty: int, venue: object) -> None:
    """Asked twice, the same answer; and on cash all sales together stay within the holding.

    ``venue`` is any row of the table.
    """
    capability = venue
    assert capability in VENUES.values()
    wanted = [want(S, qty)] if qty else []
    first = reconcile(wanted, orders, capability, Decimal(qty))  # type: ignore[arg-type]
    assert words(first) == words(reconcile(wanted, orders, capability, Decimal(qty)))  # type: ignore[arg-type]
    placed = [step for step in first if isinstance(step, Place)]
    assert len(placed) <= 1
    if placed and not capability.reduce_only:  # type: ignore[attr-defined]
        assert not any(own.is_alive for own in orders)
        assert placed[0].wanted.qty <= qty
    for step in first:
        if isinstance(step, Withdraw):
            assert step.order.stage is OrderStage.WORKING


def test_spot_is_never_reduce_only_and_never_short() -> None:
    """Binance drops the mark silently and Bybit denies it; spot has no shorts."""
    for (_venue, account), row in VENUES.items():
        assert row.reduce_only == row.shorts == row.target_rests == (account == "margin")
    assert capabilities("BINANCE_FUTURES", "margin") is MARGIN
    assert capabilities("KRAKEN", "cash") is CASH


def test_a_replacement_does_not_double_the_protection() -> None:
    """Old and new stop cover the same coins; one being cancelled covers until that is confirmed."""
    assert protected_qty([order(S, 3), order(S, 5, SENT)]) == 5
    assert protected_qty([order(S, 5, CANCELLING)]) == 5
    assert protected_qty([order(S, 5, OrderStage.FINAL)]) == 0
