"""F9, F12 and F25: orders without an answer, stops that a filter refuses, and what others do here."""

import time
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from typing import Any, Final

import pytest

from runtime.live.protection_settings import ProtectionSettings
from runtime.live.unknown_orders import ARRIVES_SECS
from tests.faults.books import books_agree
from tests.faults.conftest import StartPair
from tests.faults.harness import FaultVenue, LiveNode, is_own, leg_of
from tests.faults.kinds import KINDS
from tests.faults.recorder import record

pytestmark = [pytest.mark.fault, pytest.mark.slow]

START_SECS: Final = 180.0
SETTINGS: Final = ProtectionSettings()
# How each venue is asked for an order, a stop, a cancellation and a change.
SUBMIT: Final = {
    "binance_spot": "POST /api/v3/order",
    "binance_usdm": "POST /fapi/v1/order",
    "bybit_spot": "WS order.create",
    "bybit_linear": "WS order.create",
}
STOP: Final = SUBMIT | {"binance_usdm": "POST /fapi/v1/algoOrder", "bybit_spot": "POST /v5/order/create"}
CANCEL: Final = {
    "binance_spot": "DELETE /api/v3/order",
    "binance_usdm": "DELETE /fapi/v1/order",
    "bybit_spot": "WS order.cancel",
    "bybit_linear": "WS order.cancel",
}
CHANGE: Final = {"binance_usdm": "PUT /fapi/v1/order", "bybit_linear": "WS order.amend"}
# Vendors' codes for "nobody knows": Binance -1006 unexpected response, Bybit 10016 server error.
CODE: Final = {"binance": -1006, "bybit": 10016}
# A limit too far from the market: Binance PERCENT_PRICE, Bybit's price limit of stop orders.
FILTER: Final = {
    "binance_usdm": (-4131, "The counterparty's best price does not meet the PERCENT_PRICE filter limit."),
    "binance_spot": (-1013, "Filter failure: PERCENT_PRICE_BY_SIDE"),
    "bybit_linear": (110003, "Order price exceeds the allowable range."),
    "bybit_spot": (170193, "Buy order price cannot be higher than the limit."),
}
WHENS: Final = ("before", "after", "lost")
# How each is asked about one order, and the messages that tell of one.
ASKED: Final = {
    "binance_spot": "GET /api/v3/order",
    "binance_usdm": "GET /fapi/v1/order",
    "bybit_spot": "GET /v5/order/*",
    "bybit_linear": "GET /v5/order/*",
}
TOLD: Final = {
    "binance": ("private.order", "private.balance"),
    "bybit": ("private.order", "private.execution", "private.wallet"),
}
# Longer than a setup on contracts waits for an answer to an exit; a stop's cancellation is late as well.
TOLD_LATE_SECS: Final = 1.5
ENOUGH: Final = 60
# Coins of a person beside those of the node.
OTHERS_COINS: Final = "1"
SALES: Final = [
    *(("exit", "after", kind) for kind in KINDS),
    *((leg, when, kind) for leg, when in (("target", "after"), ("exit", "before")) for kind in KINDS
      if KINDS[kind].is_spot),
]  # fmt: skip


def fail(venue: FaultVenue, endpoint: str, when: str, **changes: Any) -> None:
    """Let the next call of an endpoint fail."""
    fault = {"count": 1, "status": 503, "code": CODE[venue.kind.venue], "text": "Internal error", **changes}
    venue.fault("error", endpoint=endpoint, when=when, **fault)


def leave(venue: FaultVenue, node: LiveNode) -> None:
    """End a trade at its stop and let the market come back."""
    venue.hit_stop()
    node.wait("flat", venue.is_flat)
    node.wait("nothing rests", lambda: not venue.legs())
    node.wait("the setup is over", lambda: not node.desk().get("setup"))
    venue.resume_pulse()


def counted(venue: FaultVenue, leg: str) -> int:
    """Return how many orders of a leg ever were at the venue."""
    return sum(leg_of(one["client_id"]) == leg for one in venue.orders())


# -- F9 ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_F09_no_answer_to_an_entry(pair: StartPair, kind: str) -> None:
    """Never two orders for one intent: an entry that may be alive is asked about, not sent again."""
    venue, node = pair(kind)
    node.launch()
    node.wait_open(START_SECS)
    for when in ("after", "lost"):
        fail(venue, SUBMIT[kind], when)
        node.enter()
        venue.fill_entry()
        node.wait_protected()
        leave(venue, node)
    assert counted(venue, "E") == len(WHENS) - 1
    fail(venue, SUBMIT[kind], "before")
    venue.arm()
    node.wait("given up", lambda: node.decisions("entry_rejected"))
    assert counted(venue, "E") == len(WHENS) - 1, "sent again blindly"
    measured = books_agree(node, venue)
    unknown = len(node.decisions("entry_unknown"))
    record(
        "F09 entry",
        kind,
        "error before and after the work, connection lost",
        measured={"unknown": unknown, **measured},
    )


@pytest.mark.parametrize("when", WHENS)
@pytest.mark.parametrize("kind", KINDS)
def test_F09_no_answer_to_a_stop(pair: StartPair, kind: str, when: str) -> None:
    """The position is protected within the limit, by one stop, whatever became of the first."""
    venue, node = pair(kind)
    node.launch()
    node.wait_open(START_SECS)
    node.enter()
    fail(venue, STOP[kind], when)
    venue.fill_entry()
    node.wait_protected()
    time.sleep(3.0)  # nothing follows
    assert sum(leg_of(one["client_id"]) == "S" for one in venue.orders(is_open=True)) == 1
    measured = books_agree(node, venue)
    leave(venue, node)
    books_agree(node, venue)
    record(f"F09 stop {when}", kind, f"{STOP[kind]}: error {when} the work", measured=measured)


@pytest.mark.parametrize("kind", KINDS)
def test_F09_no_answer_to_a_cancellation(pair: StartPair, kind: str) -> None:
    """A cancellation that got no answer is asked for again; the entry is gone or protected."""
    venue, node = pair(kind)
    node.launch()
    node.wait_open(START_SECS)
    for when in WHENS:
        node.enter()
        fail(venue, CANCEL[kind], when)
        venue.ask_cancel()
        node.wait(f"taken back ({when})", lambda: not venue.legs())
        node.wait("the setup is over", lambda: not node.desk().get("setup"))
    measured = books_agree(node, venue)
    record("F09 cancel", kind, "error before and after the work, connection lost", measured=measured)


@pytest.mark.parametrize("when", WHENS)
@pytest.mark.parametrize("kind", CHANGE)
def test_F09_no_answer_to_a_change(pair: StartPair, kind: str, when: str) -> None:
    """The exits follow the position although the change of the second fill got no answer."""
    venue, node = pair(kind)
    node.launch()
    node.wait_open(START_SECS)
    node.enter()
    venue.fill_entry("0.04")
    node.wait("a part is protected", lambda: venue.is_resting("S") and venue.is_resting("T"))
    fail(venue, CHANGE[kind], when)
    venue.fill_entry()
    node.wait_protected()
    node.wait("the target follows", lambda: venue.is_resting("T", Decimal("0.1")))
    node.wait("one of each", lambda: venue.legs() == ["S", "T"])
    measured = books_agree(node, venue)
    leave(venue, node)
    books_agree(node, venue)
    record(f"F09 change {when}", kind, f"{CHANGE[kind]}: error {when} the work", measured=measured)


@pytest.mark.parametrize(("leg", "when", "kind"), SALES)
def test_F09_no_answer_to_a_sale(pair: StartPair, kind: str, leg: str, when: str) -> None:
    """One sale for one position: coins of somebody else in the same spot account stay there."""
    venue, node = pair(kind)
    if venue.kind.is_spot:
        venue.give_coins(OTHERS_COINS)
    node.launch()
    node.wait_open(START_SECS)
    node.enter_and_fill()
    slow_secs = ARRIVES_SECS + 2 * SETTINGS.lookup_secs
    if when == "after":
        slow_secs = 2 * TOLD_LATE_SECS
        for name in TOLD[venue.kind.venue]:
            venue.fault("late", kind=name, count=ENOUGH, secs=TOLD_LATE_SECS)
        fail(venue, ASKED[kind], "before", count=ENOUGH)
    fail(venue, SUBMIT[kind], when)
    if leg == "exit":
        assert node.command("close", instrument=venue.kind.instrument_id).outcome == "done"
    else:
        venue.hit_target()
    node.wait("it is sold", lambda: venue.held_qty() <= venue.kind.dust)
    time.sleep(2 * TOLD_LATE_SECS)  # nothing follows
    assert venue.is_flat(), f"coins of somebody else were sold: {venue.held_qty()}"
    venue.fault("clear")
    node.wait("the setup is over", lambda: not node.desk().get("setup"))
    sales = counted(venue, "X") + counted(venue, "T") * venue.kind.is_spot
    assert sales == 1 or (sales == 2 and not venue.kind.is_spot)
    measured = books_agree(node, venue, outage_secs=slow_secs)
    words = f"{SUBMIT[kind]}: error {when} the work"
    words += ", the venue's word of it late" if when == "after" else ", never sent again before it is sure"
    others = f", {OTHERS_COINS} coin of a person beside it" if venue.kind.is_spot else ""
    record(f"F09 {leg} {when}", kind, words + others, measured={"sales": sales, **measured})


# -- F12 ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["binance_usdm", "binance_spot"])
def test_F12_an_exit_that_a_filter_would_refuse_keeps_the_entry_back(pair: StartPair, kind: str) -> None:
    """What the instrument's filters refuse is known before anything is sent."""
    venue, node = pair(kind)
    venue.fault("instrument", market=venue.kind.market, percent_up="1.01", percent_down="0.99")
    node.launch()
    node.wait_open(START_SECS)
    venue.arm()
    refused = node.wait("the entry is refused", lambda: node.decisions("entry_rejected"))
    assert refused[0]["reason"] in {"stop_filter", "target_filter"}
    assert not venue.orders()
    measured = books_agree(node, venue)
    record(
        "F12 known",
        kind,
        "PERCENT_PRICE narrower than the exits",
        measured={"reason": refused[0]["reason"], **measured},
    )


@pytest.mark.parametrize("kind", KINDS)
def test_F12_a_stop_that_is_refused_ends_the_position(pair: StartPair, kind: str) -> None:
    """A refusal that nobody could foresee: the position is closed at market at once, and it is journaled."""
    venue, node = pair(kind)
    node.launch()
    node.wait_open(START_SECS)
    node.enter()
    code, text = FILTER[kind]
    fail(venue, STOP[kind], "before", status=400, code=code, text=text)
    venue.fill_entry()
    node.wait("flat", lambda: counted(venue, "X") and venue.is_flat())
    node.wait("nothing rests", lambda: not venue.legs())
    node.wait("the trade is journaled", lambda: node.rows("SELECT 1 FROM trades"))
    measured = books_agree(node, venue)
    (trade,) = node.rows("SELECT * FROM trades")
    assert trade["exit_reason"] == "protection_refused"
    record(
        "F12 refused",
        kind,
        f"the stop is refused with {code}",
        measured={"exit": trade["exit_reason"], "r": round(trade["r_multiple"], 3), **measured},
    )


# -- F25 ---------------------------------------------------------------------------------------------------


HANDS: Final = 5
# From the watchdog's limit to the fill of what closes an addition by hand.
ADDED_SECS: Final = 1.0


def liquidate(venue: FaultVenue) -> None:
    """Let the venue close the position because its margin is gone."""
    venue.fault("liquidation", market=venue.kind.market)


def deleverage(venue: FaultVenue) -> None:
    """Let the venue close the position against somebody who went bankrupt."""
    venue.fault("adl", market=venue.kind.market)


def close_by_hand(venue: FaultVenue) -> None:
    """Sell the position as a person does on the venue's page; on spot what no order locks."""
    qty = venue.held_qty() // Decimal(venue.kind.lot) * Decimal(venue.kind.lot)
    order = {"side": "SELL", "type": "MARKET", "qty": str(qty), "client_id": "web_by_hand"}
    for _ in range(HANDS):
        if venue.kind.is_spot:
            for stop in (one for one in venue.orders(is_open=True) if leg_of(one["client_id"]) == "S"):
                venue.ctl("cancel", order_id=stop["order_id"])
        # The node was quicker with a new stop, once in a while; a person cancels that one as well.
        with suppress(RuntimeError):
            venue.ctl("order", market=venue.kind.market, **order, reduce_only=not venue.kind.is_spot)
            return
    raise AssertionError("the position could not be sold by hand")


def close_a_part(venue: FaultVenue) -> None:
    """Sell a part of it likewise."""
    order = {"side": "SELL", "type": "MARKET", "qty": "0.04", "client_id": "web_a_part"}
    venue.ctl("order", market=venue.kind.market, **order, reduce_only=True)


def open_by_hand(venue: FaultVenue) -> None:
    """Buy what nobody planned."""
    venue.ctl("order", market=venue.kind.market, side="BUY", type="MARKET", qty="0.05", client_id="web_more")


STRANGERS: Final[dict[str, tuple[Callable[[FaultVenue], None], tuple[str, ...]]]] = {
    "liquidation": (liquidate, ("binance_usdm", "bybit_linear")),
    "adl": (deleverage, ("binance_usdm", "bybit_linear")),
    "closed by hand": (close_by_hand, ("binance_usdm", "bybit_linear", "binance_spot", "bybit_spot")),
    "a part closed": (close_a_part, ("binance_usdm", "bybit_linear")),
}


# Messages of a sale, and of the cancellation before it, and what happens to them: more than there are.
SALE_MESSAGES: Final = 9
SALE_LATE_SECS: Final = 1.0
TOLD_OF_A_SALE: Final[dict[str, dict[str, tuple[str, tuple[str, ...]]]]] = {
    "binance_spot": {
        "its report late": ("late", ("private.order",)),
        "its balance late": ("late", ("private.balance",)),
        "its report lost": ("drop", ("private.order",)),
        "its balance lost": ("drop", ("private.balance",)),
    },
    "bybit_spot": {
        "its report late": ("late", ("private.order", "private.execution")),
        "its balance late": ("late", ("private.wallet",)),
        "its report lost": ("drop", ("private.order", "private.execution")),
        "its balance lost": ("drop", ("private.wallet",)),
    },
    "binance_usdm": {"its report lost": ("drop", ("private.order",))},
    "bybit_linear": {
        "its order lost": ("drop", ("private.order",)),
        "its report lost": ("drop", ("private.order", "private.execution")),
    },
}


@pytest.mark.parametrize(
    ("kind", "what"), [(kind, what) for what, (_, kinds) in STRANGERS.items() for kind in kinds]
)
def test_F25_what_others_do_is_recognised(pair: StartPair, kind: str, what: str) -> None:
    """The node's position is the venue's, the instrument is closed to entries until a person rearms it."""
    venue, node = pair(kind)
    node.launch()
    node.wait_open(START_SECS)
    node.enter_and_fill()
    STRANGERS[what][0](venue)
    node.wait("held for external", lambda: "external" in node.desk()["held"])
    held = Decimal("0.06") if what == "a part closed" else Decimal(0)
    node.wait("the desk has the venue's position", lambda: venue.held_qty() - held <= venue.kind.dust)
    node.wait("exits fit", lambda: venue.legs() == (["S", "T"] if held else []))
    if held:
        leave(venue, node)
    node.wait("the trade is journaled", lambda: node.rows("SELECT 1 FROM trades"))
    entries = counted(venue, "E")
    venue.resume_pulse()
    venue.arm()
    node.wait("the entry is refused", lambda: node.decisions("signal_skipped"))
    assert counted(venue, "E") == entries
    others = sum(not is_own(one["client_id"]) for one in venue.orders())
    measured = books_agree(node, venue, others=others)
    assert node.command("rearm", reason="looked at the venue").outcome == "done"
    assert not node.desk()["held"]
    node.enter_and_fill()
    books_agree(node, venue, others=others)
    reason = node.rows("SELECT exit_reason FROM trades")[0]["exit_reason"]
    record(f"F25 {what}", kind, what, measured={"exit": reason, "entries_while_held": 0, **measured})


@pytest.mark.parametrize(
    ("kind", "what"), [(kind, what) for kind, told in TOLD_OF_A_SALE.items() for what in told]
)
def test_F25_a_sale_by_hand_is_booked_by_its_own_fills(pair: StartPair, kind: str, what: str) -> None:
    """Whichever message of it comes first, and when one is lost: price and fee are those of the sale."""
    venue, node = pair(kind)
    node.launch()
    node.wait_open(START_SECS)
    node.enter_and_fill()
    fault, kinds = TOLD_OF_A_SALE[kind][what]
    for name in kinds:
        venue.fault(fault, kind=name, count=SALE_MESSAGES, secs=SALE_LATE_SECS)
    close_by_hand(venue)
    node.wait("the trade is journaled", lambda: node.rows("SELECT 1 FROM trades"))
    venue.fault("clear")
    node.wait("held for external", lambda: "external" in node.desk()["held"])
    (trade,) = node.rows("SELECT exit_reason FROM trades")
    assert trade["exit_reason"] == "external"
    assert {one["reason"] for one in node.decisions("external")} == {"reduced"}
    measured = books_agree(node, venue, others=1)
    record(f"F25 closed by hand, {what}", kind, what, measured=measured)


@pytest.mark.parametrize("kind", ["binance_usdm", "bybit_linear"])
def test_F25_a_position_that_nobody_planned_is_protected(pair: StartPair, kind: str) -> None:
    """Bought by hand while the node is flat: held for entries, and found and protected after a restart."""
    venue, node = pair(kind)
    node.launch()
    node.wait_open(START_SECS)
    node.enter_and_fill()
    leave(venue, node)
    open_by_hand(venue)
    node.wait("held for external", lambda: "external" in node.desk()["held"])
    node.wait("it is protected", lambda: venue.is_resting("S", Decimal("0.050")), START_SECS)
    measured = books_agree(node, venue, others=1)
    record("F25 position by hand", kind, "a position that no setup explains", measured=measured)


@pytest.mark.parametrize("kind", ["binance_usdm", "bybit_linear"])
def test_F25_what_is_added_by_hand_does_not_close_ours(pair: StartPair, kind: str) -> None:
    """Bought by hand beside a position of a setup: only that is closed, and only this instrument halts."""
    venue, node = pair(kind)
    node.launch()
    node.wait_open(START_SECS)
    node.enter_and_fill()
    held = venue.held_qty()
    open_by_hand(venue)
    node.wait("held for external", lambda: "external" in node.desk()["held"])
    node.wait("what was added is gone", lambda: counted(venue, "X") and venue.held_qty() == held)
    assert venue.legs() == ["S", "T"]
    assert node.rows("SELECT 1 FROM trades") == []
    node.wait("the halt is journaled", lambda: node.decisions("halted"))
    # What was added had no stop for the watchdog's whole limit, by design.
    leave(venue, node)
    measured = books_agree(node, venue, outage_secs=ADDED_SECS, others=1)
    record("F25 added by hand", kind, "a person adds to a position of a setup", measured=measured)
