"""A position larger than the venue's largest order at market is left in several."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies.protection import VENUES, AccountKind, too_large
from strategies.trade_manager.increments import next_piece
from strategies.trade_manager.lifecycle import Stage
from strategies.trade_manager.orders import Leg
from strategies.trade_manager.setup import Setup
from strategies.trade_manager.setup_state import from_bytes, restored, to_bytes
from tests.unit.test_protection_of_setups import IDENTITY, LONG, NANOS, Desk, ExitRules, market_of

D = Decimal
MOST: Decimal = D("3.95")


def entered(account: AccountKind, *, most: Decimal | None = MOST, venue: str = "BINANCE") -> Desk:
    """Return a desk with 10 coins and a resting stop, where one order may have so many."""
    desk = Desk(venue, account)
    market = replace(market_of(account, 5), max_qty=most)
    desk.setup = Setup(IDENTITY, LONG, market, VENUES[venue, account], ExitRules())
    desk.take(desk.setup.submit(0))
    desk.accept(Leg.ENTRY)
    desk.fill(Leg.ENTRY, "10", "102.95")
    desk.accept(Leg.STOP)
    return desk


def sent(desk: Desk) -> list[tuple[str, Decimal]]:
    """Return the end of the id and the quantity of each exit at market, oldest first."""
    exits = [one.order for one in desk.submits if one.order.leg is Leg.EXIT]
    return [(one.client_id.rpartition("-")[2], one.qty) for one in exits]


@given(lots=st.integers(1, 10_000), most_lots=st.integers(1, 500), excess=st.sampled_from(["0", "0.05"]))
def test_pieces_are_the_fewest_and_none_is_left_over(lots: int, most_lots: int, excess: str) -> None:
    """Each fits, together they are all of it, and they differ by a lot at most."""
    lot, left = D("0.1"), lots * D("0.1")
    most = most_lots * lot + D(excess)
    pieces = []
    while left:
        pieces.append(next_piece(left, most, lot))
        left -= pieces[-1]
    assert left == 0
    assert max(pieces) <= most
    assert len(pieces) == -(-lots // most_lots)
    assert max(pieces) - min(pieces) <= lot


@pytest.mark.parametrize("account", ["cash", "margin"])
def test_a_position_is_left_in_pieces_one_after_another(account: AccountKind) -> None:
    """The next one goes out when the last one filled, under the next id; on margin the stop stays."""
    desk = entered(account)
    desk.take(desk.setup.close("manual", NANOS))
    if account == "cash":
        assert not sent(desk)  # the stop has the coins
        desk.take(desk.setup.on_canceled(desk.id_of(Leg.STOP), NANOS))
    assert sent(desk) == [("X1", D("3.4"))]
    desk.fill(Leg.EXIT, "1", "104")
    desk.fill(Leg.EXIT, "2.4", "104")
    assert sent(desk)[1:] == [("X2", D("3.3"))]
    assert desk.alive(Leg.STOP) == ([D(10)] if account == "margin" else [])
    desk.fill(Leg.EXIT, "3.3", "104")
    desk.fill(Leg.EXIT, "3.3", "104")
    assert sent(desk)[2:] == [("X3", D("3.3"))]
    desk.take(desk.setup.on_canceled(desk.id_of(Leg.STOP), NANOS))
    if account == "margin":
        desk.take(desk.setup.on_canceled(desk.id_of(Leg.TARGET), NANOS))
    assert desk.setup.stage is Stage.CLOSED
    assert (desk.trades[0].qty, desk.trades[0].exit_reason) == ("10", "manual")


@pytest.mark.parametrize(
    ("venue", "account", "reason"),
    [
        ("BINANCE", "cash", "{'code': -1013, 'msg': 'Filter failure: MARKET_LOT_SIZE'}"),
        ("BINANCE", "margin", "{'code': -4005, 'msg': 'Quantity greater than max quantity.'}"),
        ("BYBIT", "cash", "Order amount too large."),
        ("BYBIT", "margin", "The number of contracts exceeds maximum limit allowed: too large, order_qty:10"),
    ],
)
def test_a_limit_that_nobody_told_is_found_by_halves(venue: str, account: AccountKind, reason: str) -> None:
    """No wait and no halt between: the answer was an answer. A restart finds it anew."""
    desk = entered(account, most=None, venue=venue)
    desk.take(desk.setup.close("manual", NANOS))
    desk.take(desk.setup.on_canceled(desk.id_of(Leg.STOP), NANOS))
    for _ in range(2):
        desk.take(desk.setup.on_rejected(desk.id_of(Leg.EXIT), reason, NANOS, due_post_only=False))
    assert sent(desk) == [("X1", D(10)), ("X2", D(5)), ("X3", D("2.5"))]
    setup = restored(from_bytes(to_bytes(desk.setup)), market_of(account, 5), desk.row, ExitRules())
    desk.setup = setup
    desk.fill(Leg.EXIT, "2.5", "104")
    for _ in range(2):
        desk.take(desk.setup.on_rejected(desk.id_of(Leg.EXIT), reason, NANOS, due_post_only=False))
    assert [qty for _, qty in sent(desk)[3:]] == [D("7.5"), D("2.5"), D("1.1")]
    while desk.alive(Leg.EXIT):
        desk.fill(Leg.EXIT, str(desk.alive(Leg.EXIT)[0]), "104")
    assert setup.position_qty == 0
    assert not desk.halts


def test_another_refusal_says_nothing_of_the_size() -> None:
    """It is tried again as it was, after a wait."""
    desk = entered("margin", most=None)
    desk.take(desk.setup.close("manual", NANOS))
    desk.take(desk.setup.on_rejected(desk.id_of(Leg.EXIT), "-1008 throttled", NANOS, due_post_only=False))
    assert [qty for _, qty in sent(desk)] == [D(10)]
    desk.take(desk.setup.on_price(3 * NANOS, 104.0))
    assert [qty for _, qty in sent(desk)] == [D(10)] * 2


def test_the_least_order_is_not_halved_any_more() -> None:
    """What the venue refuses of it is a refusal like others: it is counted, and a person is called."""
    desk = entered("margin", most=D("0.1"))
    desk.take(desk.setup.close("manual", NANOS))
    for attempt in range(8):
        now_ns = (2 * attempt + 2) * NANOS
        text = "Quantity greater than max quantity."
        desk.take(desk.setup.on_rejected(desk.id_of(Leg.EXIT), text, now_ns, due_post_only=False))
        desk.take(desk.setup.on_price(now_ns + NANOS + 1, 103.0))
    assert desk.halts
    assert desk.alive(Leg.EXIT) == [D("0.1")]


def spot_at_market(account: AccountKind = "cash") -> Desk:
    """Return a desk on spot that leaves 10 coins of 103 at market, in lots of a thousandth."""
    desk = Desk("BINANCE", account)
    market = replace(market_of(account, 5), lot_size=D("0.001"), min_qty=D("0.001"))
    desk.setup = Setup(IDENTITY, LONG, market, VENUES["BINANCE", account], ExitRules())
    desk.take(desk.setup.submit(0))
    desk.accept(Leg.ENTRY)
    desk.fill(Leg.ENTRY, "10", "102.95")
    desk.accept(Leg.STOP)
    desk.take(desk.setup.close("manual", NANOS))
    desk.take(desk.setup.on_canceled(desk.id_of(Leg.STOP), NANOS))
    return desk


def refuse(desk: Desk, text: str, times: int) -> list[Decimal]:
    """Refuse what leaves at market again and again; return what was sent, and what is sent then."""
    now_ns = NANOS
    for _ in range(times):
        reason = f"{{'code': -1013, 'msg': 'Filter failure: {text}'}}"
        desk.take(desk.setup.on_rejected(desk.id_of(Leg.EXIT), reason, now_ns, due_post_only=False))
        now_ns += 300 * NANOS
        desk.take(desk.setup.on_price(now_ns, 103.0))
    return [qty for _, qty in sent(desk)]


def test_a_vague_refusal_never_makes_crumbs_of_a_position() -> None:
    """The filter's step or minimum has changed: whatever is tried, the whole is tried again and again."""
    desk = spot_at_market()
    pieces = refuse(desk, "LOT_SIZE", 14)
    assert pieces[:5] == [D(10), D(5), D("2.5"), D("1.25"), D(10)]
    assert min(pieces) == D("1.25")
    assert set(refuse(desk, "NOTIONAL", 8)[-8:]) == {D(10)}
    assert desk.halts


def test_pieces_are_worth_the_least_that_the_venue_takes() -> None:
    """A clear word is believed down to five dollars; below nothing could be sent at all."""
    pieces = refuse(spot_at_market(), "MARKET_LOT_SIZE", 8)
    assert min(pieces) == D("0.076")
    assert pieces[-1] == D(10)


def test_no_text_is_no_reason() -> None:
    """A refusal without words tells nothing."""
    assert not too_large(VENUES["BINANCE", "cash"], None)
