"""The common ending of every row: journal, node and venue agree, and nothing is left naked or orphaned."""

from collections import Counter
from contextlib import suppress
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, Final

from nautilus_trader.model.events import OrderFilled

from runtime.live.recording import SERIALIZER
from runtime.live.recording_files import RowKind, read_rows
from tests.faults.harness import OPEN, FaultVenue, LiveNode, Row, is_own, leg_of, wait
from tests.faults.unprotected import unprotected_secs
from tests.venue_simulator.bybit_ids import exec_id

LIMIT_SECS: Final = 2.0
SETTLE_SECS: Final = 60.0
ZERO: Final = Decimal(0)
# The last word of the journal about an order that ended at the venue.
ENDS: Final = {"FILLED": "OrderFilled", "CANCELED": "OrderCanceled", "EXPIRED": "OrderExpired"}
# What the venue's record of an order and the journal call the same.
TERMS: Final = {"side": "side", "qty": "qty", "price": "price", "stop_price": "trigger_price"}
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
        records), ``unprotected_qty_secs`` (quantity times time) and ``watchdog_secs``; where it is longer,
        ``without_stop_secs``, which counts the target of spot as no cover.

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
    # By design as long as the target's limit rests: measured, and not a violation.
    stopless, _ = unprotected_secs(venue, state, by_target=False)
    by_target = {"without_stop_secs": round(stopless, 3)} if stopless > longest else {}
    return {
        "orders": len(own),
        "fills": len(state["fills"]),
        "trades": len(node.rows("SELECT 1 FROM trades")),
        "position": str(venue.held_qty(state)),
        "unprotected_secs": round(longest, 3),
        "unprotected_qty_secs": round(qty_secs, 5),
        "watchdog_secs": round(node.worst_unprotected_secs, 3),
        **by_target,
    }


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


def end_of(venue: FaultVenue, order: Row) -> str | None:
    """Return the journal's last word about an order of the venue, None while it is open."""
    # USD-M says "CANCELED" of a stop that triggered when nothing was left to close.
    if order["is_algo"] and order["triggered_ns"] and order["status"] == "EXPIRED" and not order["fills"]:
        return "OrderCanceled"
    return (BYBIT_ENDS if venue.kind.venue == "bybit" else ENDS).get(order["status"])


def _is_whole(node: LiveNode, venue: FaultVenue) -> bool:
    state = venue.records()
    heard = {
        (one["client_order_id"], one["event"])
        for one in node.rows("SELECT client_order_id, event FROM orders")
    }
    own = [one for one in state["orders"] if is_own(one["client_id"])]
    ends = {(one["client_id"], end) for one in own if (end := end_of(venue, one)) is not None}
    names = {one["client_id"] for one in own}
    has_orders = ends <= heard and names <= {name for name, _ in heard}
    has_trades = not _unjournaled_setups(node, venue, state)
    return has_orders and has_trades and not venue_fills(venue, state) - journal_fills(node)


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
    """Each order of the venue is in the journal with its terms and its end, and no other was accepted."""
    events: dict[str, list[str]] = {}
    terms: dict[str, Row] = {}
    # By time: a session's number in its name does not say which was first.
    for one in node.rows("SELECT * FROM orders ORDER BY ts_ns, seq"):
        events.setdefault(one["client_order_id"], []).append(one["event"])
        if one["event"] in {"OrderInitialized", "OrderUpdated"}:
            kept = terms.setdefault(one["client_order_id"], {})
            kept |= {name: one[name] for name in TERMS.values() if one[name]}
    for one in own:
        heard = events.get(one["client_id"], [])
        assert heard, f"{one['client_id']} is at the venue and not in the journal"
        end = end_of(venue, one)
        assert end is None or end in heard, f"{one['client_id']} is {one['status']}, journal: {heard}"
        # A session that was killed may have taken the beginning of an order with it.
        if "OrderInitialized" in heard:
            said = terms[one["client_id"]]
            for at_venue, name in TERMS.items():
                _same_term(one, at_venue, said.get(name))
    known = {one["client_id"] for one in own}
    accepted = {name for name, heard in events.items() if "OrderAccepted" in heard and is_own(name)}
    assert accepted <= known, f"accepted and not at the venue: {accepted - known}"


def _same_term(order: Row, name: str, journaled: Any) -> None:
    """Compare one term of an order; what an order does not have is nothing in both."""
    at_venue = order[name]
    words = f"{order['client_id']}: {name} {at_venue} at the venue, {journaled} in the journal"
    if name == "side":
        assert journaled == at_venue, words
    elif at_venue is not None and Decimal(at_venue):
        assert Decimal(journaled or 0) == Decimal(at_venue), words


def _compare_trades(node: LiveNode, venue: FaultVenue, state: Row) -> None:
    """Each closed trade is what the venue's fills of its setup come to, and every closed setup is one."""
    missing = _unjournaled_setups(node, venue, state)
    assert not missing, f"closed at the venue and no trade: {missing}"
    carried = ZERO
    for trade in node.rows("SELECT * FROM trades ORDER BY exit_ts_ns"):
        fills = [one for one in state["fills"] if f"-{trade['setup_id']}-" in one["client_id"]]
        entries = [one for one in fills if leg_of(one["client_id"]) == "E"]
        exits = [one for one in fills if one not in entries]
        assert Decimal(trade["qty"]) == total(entries), f"{trade['setup_id']}: quantity"
        side = entries[0]["side"] if entries else "BUY"
        direction = 1 if side == "BUY" else -1
        theirs = closed_by_others(state, entries, side)
        quote_fees = sum(
            (Decimal(one["fee"]) for one in [*fills, *theirs] if one["fee_asset"] == "USDT"), ZERO
        )
        exits += theirs  # what others sold closed it, too
        dust = Decimal(trade["dust_qty"]) * value(exits) / total(exits) if exits else ZERO
        gross = (value(exits) - value(entries)) * direction
        pnl = gross - quote_fees + Decimal(trade["funding"] or 0) + dust - carried
        assert Decimal(trade["pnl"]) == pnl, f"{trade['setup_id']}: {trade['pnl']}, by the venue {pnl}"
        carried = dust


def _unjournaled_setups(node: LiveNode, venue: FaultVenue, state: Row) -> set[str]:
    """Return the setups that entered and have no trade in the journal, but for the living one."""
    missing = traded_setups(state) - journaled_setups(node)
    if node.is_running:
        return missing - {node.desk().get("setup", "")}
    is_held = abs(venue.held_qty(state)) > venue.kind.dust
    by_time = sorted(missing, key=lambda setup: setup[1:])  # the first letter is the side
    return set(by_time[:-1]) if is_held else missing


def traded_setups(state: Row) -> set[str]:
    """Return the setups of which an entry filled at the venue."""
    return {
        one["client_id"].rsplit("-", 2)[1]
        for one in state["fills"]
        if is_own(one["client_id"]) and leg_of(one["client_id"]) == "E"
    }


def journaled_setups(node: LiveNode) -> set[str]:
    """Return the setups of which the journal has a trade."""
    return {one["setup_id"] for one in node.rows("SELECT setup_id FROM trades")}


def closed_by_others(state: Row, entries: list[Row], side: str) -> list[Row]:
    """Return what others traded against a position, from its first fill until the next setup begins."""
    began_ns = min(int(one["ts_ns"]) for one in entries)
    own = [one for one in state["fills"] if is_own(one["client_id"]) and one["side"] == side]
    later = [int(one["ts_ns"]) for one in own if one not in entries and int(one["ts_ns"]) > began_ns]
    until_ns = min(later, default=int(state["now_ns"]))
    return [
        one for one in state["fills"]
        if not is_own(one["client_id"]) and one["side"] != side
        and began_ns <= int(one["ts_ns"]) <= until_ns
    ]  # fmt: skip


def total(fills: list[Row]) -> Decimal:
    """Return the sum of quantities."""
    return sum((Decimal(one["qty"]) for one in fills), ZERO)


def value(fills: list[Row]) -> Decimal:
    """Return the sum of quantity times price."""
    return sum((Decimal(one["qty"]) * Decimal(one["price"]) for one in fills), ZERO)


# -- what Nautilus heard ---------------------------------------------------------------------------------


def node_knew_the_same(node: LiveNode, venue: FaultVenue) -> None:
    """Compare what Nautilus itself heard, as recorded: fills with their fees, and the balances.

    The node has ended, recorded, and was started once.
    """
    (folder,) = (node.folder / "live" / "recordings").iterdir()
    fills: Counter[tuple[Any, ...]] = Counter()
    balances: dict[str, Decimal] = {}
    for _number, _now_ns, kind, _key, payload, _tick in read_rows(folder):
        if kind is RowKind.ORDER_EVENT:
            event = SERIALIZER.deserialize(payload)
            if isinstance(event, OrderFilled) and is_own(event.client_order_id.value):
                fills[fill_facts(event)] += 1
        elif kind is RowKind.ACCOUNT:
            state = SERIALIZER.deserialize(payload)
            balances |= {one.currency.code: one.total.as_decimal() for one in state.balances}
    records = venue.records()
    at_venue = venue_fills(venue, records)
    assert fills == at_venue, f"only the node: {fills - at_venue}; only the venue: {at_venue - fills}"
    for asset, one in records["accounts"]["main"]["balances"].items():
        assert balances[asset] == Decimal(one["free"]) + Decimal(one["locked"]), asset


def fill_facts(event: OrderFilled) -> tuple[Any, ...]:
    """Return what the venue's record of a fill has, too."""
    return (
        event.client_order_id.value,
        event.trade_id.value,
        "BUY" if event.is_buy else "SELL",
        event.last_qty.as_decimal(),
        event.last_px.as_decimal(),
        event.commission.as_decimal(),
        event.commission.currency.code,
    )


# -- what is left --------------------------------------------------------------------------------------


def _desk_agrees(node: LiveNode, venue: FaultVenue) -> bool:
    desk, held = node.desk(), venue.held_qty()
    if not desk["setup"]:
        return abs(held) <= venue.kind.dust
    return abs(Decimal(desk["position_qty"]) - abs(held)) <= venue.kind.dust


def _nothing_is_left(node: LiveNode, venue: FaultVenue, state: Row) -> None:
    """Flat and no order of ours, or protected and only orders of the living setup."""
    held = abs(venue.held_qty(state))
    resting = [one for one in state["orders"] if one["status"] in OPEN and is_own(one["client_id"])]
    if held <= venue.kind.dust:
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
