"""The common ending of every row: journal, node and venue agree, and nothing is left naked or orphaned."""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, Final

from tests.faults.harness import NANOS, OPEN, FaultVenue, LiveNode, Row, leg_of, wait
from tests.venue_simulator.bybit_ids import exec_id

LIMIT_SECS: Final = 2.0
SETTLE_SECS: Final = 60.0
ZERO: Final = Decimal(0)
# The last word of the journal about an order that ended at the venue.
ENDS: Final = {"FILLED": "OrderFilled", "CANCELED": "OrderCanceled", "EXPIRED": "OrderExpired"}
# Bybit says "Cancelled" of a reduce-only order whose position is gone.
BYBIT_ENDS: Final = ENDS | {"EXPIRED": "OrderCanceled"}


def books_agree(
    node: LiveNode, venue: FaultVenue, *, outage_secs: float = 0.0, others: int = 0
) -> dict[str, Any]:
    """Compare the books when everything has come to rest, and return what was measured.

    Parameters
    ----------
    node, venue
        Of the test; the node may have ended.
    outage_secs
        Time in which the venue itself took no orders: unprotected time may be longer by it.
    others
        Orders at the venue that somebody else placed, with their fills.

    Returns
    -------
    dict
        ``orders``, ``fills``, ``trades``, ``position``, ``unprotected_secs`` (longest, by the venue's
        records), ``unprotected_qty_secs`` (quantity times time) and ``watchdog_secs``.

    Raises
    ------
    AssertionError
        With the first difference.
    """
    with suppress(AssertionError):  # the comparison says what is missing
        wait("the journal has it all", lambda: _is_whole(node, venue), SETTLE_SECS)
    if node.is_running:
        node.wait("the desk agrees with the venue", lambda: _desk_agrees(node, venue), SETTLE_SECS)
        node.look()
    state = venue.records()
    own = [one for one in state["orders"] if is_own(one["client_id"])]
    assert len(state["orders"]) - len(own) == others, "orders at the venue that nobody here placed"
    _compare_fills(node, venue, state)
    _compare_orders(node, venue, own)
    _compare_trades(node, venue, state)
    ids = Counter(one["client_id"] for one in own)
    assert max(ids.values(), default=1) == 1, f"sent twice: {ids.most_common(1)}"
    _nothing_is_left(node, venue, state)
    longest, qty_secs = unprotected_secs(venue, state)
    assert longest <= LIMIT_SECS + outage_secs, f"{longest:.3f} s unprotected at the venue"
    assert node.worst_unprotected_secs <= LIMIT_SECS + outage_secs
    return {
        "orders": len(own),
        "fills": len(state["fills"]),
        "trades": len(node.rows("SELECT 1 FROM trades")),
        "position": str(venue.held_qty(state)),
        "unprotected_secs": round(longest, 3),
        "unprotected_qty_secs": round(qty_secs, 5),
        "watchdog_secs": round(node.worst_unprotected_secs, 3),
    }


def is_own(client_id: str) -> bool:
    """Tell whether an id is one of our strategies'."""
    return client_id.split("-")[0] in {"SCR", "OTE"}


# -- fills, orders, trades -----------------------------------------------------------------------------


def venue_fills(venue: FaultVenue, state: Row) -> Counter[tuple[Any, ...]]:
    """Return our fills by the venue's records."""
    return Counter(
        (one["client_id"], trade_name(venue, one["trade_id"]), one["side"], Decimal(one["qty"]),
         Decimal(one["price"]), Decimal(one["fee"]), one["fee_asset"])
        for one in state["fills"] if is_own(one["client_id"])
    )  # fmt: skip


def journal_fills(node: LiveNode) -> Counter[tuple[Any, ...]]:
    """Return our fills by the journal; one that two sessions heard of counts once."""
    return Counter(
        {
            (one["client_order_id"], one["trade_id"], one["side"], Decimal(one["qty"]),
             Decimal(one["price"]), Decimal(one["commission"]), one["commission_currency"])
            for one in node.rows("SELECT * FROM fills") if is_own(one["client_order_id"])
        }
    )  # fmt: skip


def trade_name(venue: FaultVenue, trade_id: int) -> str:
    """Return the id of a fill as the venue says it on the wire."""
    fill: Any = SimpleNamespace(trade_id=trade_id)
    return exec_id(fill) if venue.kind.venue == "bybit" else str(trade_id)


def ends_at(venue: FaultVenue) -> dict[str, str]:
    """Return the journal's last word by the status in which an order ended at a venue."""
    return BYBIT_ENDS if venue.kind.venue == "bybit" else ENDS


def _is_whole(node: LiveNode, venue: FaultVenue) -> bool:
    state = venue.records()
    heard = {
        (one["client_order_id"], one["event"])
        for one in node.rows("SELECT client_order_id, event FROM orders")
    }
    own = [one for one in state["orders"] if is_own(one["client_id"])]
    names_of_ends = ends_at(venue)
    ends = {(one["client_id"], names_of_ends[one["status"]]) for one in own if one["status"] in names_of_ends}
    names = {one["client_id"] for one in own}
    has_orders = ends <= heard and names <= {name for name, _ in heard}
    return has_orders and not venue_fills(venue, state) - journal_fills(node)


def _compare_fills(node: LiveNode, venue: FaultVenue, state: Row) -> None:
    at_venue, in_journal = venue_fills(venue, state), journal_fills(node)
    assert in_journal == at_venue, (
        f"only in the journal: {dict(in_journal - at_venue)}; "
        f"only at the venue: {dict(at_venue - in_journal)}"
    )
    sessions = Counter(
        (one["session_id"], one["client_order_id"], one["trade_id"])
        for one in node.rows("SELECT session_id, client_order_id, trade_id FROM fills")
    )
    assert max(sessions.values(), default=1) == 1, f"counted twice: {sessions.most_common(1)}"


def _compare_orders(node: LiveNode, venue: FaultVenue, own: list[Row]) -> None:
    """Each order of the venue is in the journal with its end, and none was accepted that the venue lacks."""
    events: dict[str, list[str]] = {}
    for one in node.rows("SELECT client_order_id, event FROM orders ORDER BY session_id, seq"):
        events.setdefault(one["client_order_id"], []).append(one["event"])
    for one in own:
        heard = events.get(one["client_id"], [])
        assert heard, f"{one['client_id']} is at the venue and not in the journal"
        end = ends_at(venue).get(one["status"])
        assert end is None or end in heard, f"{one['client_id']} is {one['status']}, journal: {heard}"
    known = {one["client_id"] for one in own}
    accepted = {name for name, heard in events.items() if "OrderAccepted" in heard and is_own(name)}
    assert accepted <= known, f"accepted and not at the venue: {accepted - known}"


def _compare_trades(node: LiveNode, venue: FaultVenue, state: Row) -> None:
    """Each closed trade is what the venue's fills of its setup come to."""
    for trade in node.rows("SELECT * FROM trades"):
        fills = [one for one in state["fills"] if f"-{trade['setup_id']}-" in one["client_id"]]
        entries = [one for one in fills if leg_of(one["client_id"]) == "E" or "-E" in one["client_id"]]
        exits = [one for one in fills if one not in entries]
        assert Decimal(trade["qty"]) == total(entries), f"{trade['setup_id']}: quantity"
        if trade["exit_reason"] == "external":
            continue  # closed by orders that are not ours: their fees are not in the trade
        quote_fees = sum((Decimal(one["fee"]) for one in fills if one["fee_asset"] == "USDT"), ZERO)
        if Decimal(trade["dust_qty"]) == 0:
            pnl = value(exits) - value(entries) - quote_fees + Decimal(trade["funding"] or 0)
            assert Decimal(trade["pnl"]) == pnl, f"{trade['setup_id']}: {trade['pnl']}, by the venue {pnl}"


def total(fills: list[Row]) -> Decimal:
    """Return the sum of quantities."""
    return sum((Decimal(one["qty"]) for one in fills), ZERO)


def value(fills: list[Row]) -> Decimal:
    """Return the sum of quantity times price."""
    return sum((Decimal(one["qty"]) * Decimal(one["price"]) for one in fills), ZERO)


# -- what is left --------------------------------------------------------------------------------------


def _desk_agrees(node: LiveNode, venue: FaultVenue) -> bool:
    desk, held = node.desk(), venue.held_qty()
    if not desk["setup"]:
        return abs(held) <= venue.kind.dust
    return abs(Decimal(desk["position_qty"]) - held) <= venue.kind.dust


def _nothing_is_left(node: LiveNode, venue: FaultVenue, state: Row) -> None:
    """Flat and no order of ours, or protected and only orders of the living setup."""
    held = venue.held_qty(state)
    resting = [one for one in state["orders"] if one["status"] in OPEN and is_own(one["client_id"])]
    if abs(held) <= venue.kind.dust:
        alive = node.desk()["setup"] if node.is_running else ""
        orphans = [one["client_id"] for one in resting if not alive or f"-{alive}-" not in one["client_id"]]
        assert not orphans, f"orphans: {orphans}"
        return
    stops = sum(
        (Decimal(one["qty"]) - Decimal(one["filled_qty"]) for one in resting if "STOP" in one["type"]), ZERO
    )
    assert abs(stops - held) <= venue.kind.dust, f"{held} is held, stops of {stops} rest"
    setups = {one["client_id"].rsplit("-", 2)[1] for one in resting}
    assert len(setups) == 1, f"orders of several setups rest: {setups}"


# -- unprotected time ----------------------------------------------------------------------------------


def unprotected_secs(venue: FaultVenue, state: Row) -> tuple[float, float]:
    """Return the longest time in which an exit did not cover a position, and uncovered quantity times time.

    By the venue's records: a stop covers from its arrival until it ends there; so does an order that closes
    at market or, on spot, at the target.
    """
    longest_ns, since_ns, qty_ns = 0, None, ZERO
    now_ns = int(state["now_ns"])
    times = sorted({*_times(state), now_ns})
    for ts_ns, next_ns in pairwise(times):
        naked = _held_at(state, ts_ns) - _cover_at(state, ts_ns, now_ns)
        if naked <= venue.kind.dust:
            since_ns = None
            continue
        since_ns = ts_ns if since_ns is None else since_ns
        longest_ns = max(longest_ns, next_ns - since_ns)
        qty_ns += naked * (next_ns - ts_ns)
    return longest_ns / NANOS, float(qty_ns) / NANOS


def _times(state: Row) -> Iterator[int]:
    for one in state["fills"]:
        yield int(one["ts_ns"])
    for one in state["orders"]:
        yield int(one["created_ns"])
        yield int(one["updated_ns"])


def _held_at(state: Row, ts_ns: int) -> Decimal:
    held = ZERO
    for one in state["fills"]:
        if int(one["ts_ns"]) <= ts_ns:
            qty = Decimal(one["qty"])
            held += qty if one["side"] == "BUY" else -qty
            held -= Decimal(one["fee"]) if one["fee_asset"] == "BTC" else ZERO
    return abs(held)


def _cover_at(state: Row, ts_ns: int, now_ns: int) -> Decimal:
    stops = exits = ZERO
    for one in state["orders"]:
        if one["side"] != "SELL" or one["status"] == "REJECTED":
            continue
        end_ns = now_ns + 1 if one["status"] in OPEN else int(one["updated_ns"])
        if int(one["created_ns"]) <= ts_ns < end_ns:
            sold = sum(
                (Decimal(fill["qty"]) for fill in state["fills"]
                 if fill["order_id"] == one["order_id"] and int(fill["ts_ns"]) <= ts_ns),
                ZERO,
            )  # fmt: skip
            if "STOP" in one["type"]:
                stops += Decimal(one["qty"]) - sold
            elif not one["reduce_only"] or one["type"] == "MARKET":
                exits += Decimal(one["qty"]) - sold
    return max(stops, exits)
