"""How long, by the venue's records, an exit did not cover a position."""

from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise

from tests.faults.harness import NANOS, OPEN, FaultVenue, Row

ZERO = Decimal(0)


def unprotected_secs(venue: FaultVenue, state: Row, *, by_target: bool = True) -> tuple[float, float]:
    """Return the longest time in which an exit did not cover a position, and uncovered quantity times time.

    By the venue's records: a stop covers from its arrival until it ends there; so does an order that closes
    at market.

    Parameters
    ----------
    venue, state
        The venue and its records.
    by_target
        A limit order that is no entry covers as well: on spot the target, for which the stop had to go.
    """
    longest_ns, since_ns, qty_ns = 0, None, ZERO
    now_ns = int(state["now_ns"])
    times = sorted({*_times(state), now_ns})
    for ts_ns, next_ns in pairwise(times):
        held = _held_at(state, ts_ns)
        naked = abs(held) - _cover_at(
            state, "SELL" if held > 0 else "BUY", ts_ns, now_ns, by_target=by_target
        )
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
    return held


def _cover_at(state: Row, way_out: str, ts_ns: int, now_ns: int, *, by_target: bool) -> Decimal:
    stops = exits = ZERO
    for one in state["orders"]:
        if one["side"] != way_out or one["status"] == "REJECTED":
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
            elif one["type"] == "MARKET" or (by_target and not one["reduce_only"]):
                exits += Decimal(one["qty"]) - sold
    return max(stops, exits)
