"""The measure of unprotected time, by hand: long and short alike."""

from types import SimpleNamespace
from typing import Any

import pytest

from tests.faults.harness import NANOS, leg_of
from tests.faults.unprotected import unprotected_secs

VENUE: Any = SimpleNamespace(kind=SimpleNamespace(dust=0))


def order(number: int, side: str, kind: str, created: int, ended: int, *, is_open: bool = False) -> Any:
    """Return an order of one coin, as the venue's records say it; times in seconds."""
    return {
        "order_id": number, "side": side, "type": kind, "qty": "1", "reduce_only": True,
        "status": "NEW" if is_open else "FILLED", "created_ns": created * NANOS, "updated_ns": ended * NANOS,
    }  # fmt: skip


def fill(number: int, side: str, ts: int) -> Any:
    """Return the fill of an order of one coin."""
    return {
        "order_id": number,
        "side": side,
        "qty": "1",
        "ts_ns": ts * NANOS,
        "fee": "0",
        "fee_asset": "USDT",
    }


@pytest.mark.parametrize(("into", "out"), [("BUY", "SELL"), ("SELL", "BUY")])
def test_a_stop_on_the_way_out_covers(into: str, out: str) -> None:
    """Three seconds until it rests, then none, however long it does."""
    stop = order(2, out, "STOP_MARKET", 13, 13, is_open=True)
    state = {"now_ns": 60 * NANOS, "fills": [fill(1, into, 10)], "orders": [stop]}
    assert unprotected_secs(VENUE, state) == (3.0, 3.0)


@pytest.mark.parametrize(("into", "out"), [("BUY", "SELL"), ("SELL", "BUY")])
def test_a_stop_on_the_way_in_covers_nothing(into: str, out: str) -> None:
    """It would make the position larger; an order at market on the way out is what ends the time."""
    orders = [order(2, into, "STOP_MARKET", 10, 10, is_open=True), order(3, out, "MARKET", 30, 31)]
    state = {"now_ns": 60 * NANOS, "fills": [fill(1, into, 10), fill(3, out, 31)], "orders": orders}
    assert unprotected_secs(VENUE, state) == (20.0, 20.0)


@pytest.mark.parametrize("tag", ["SCR", "OTE"])
def test_the_legs_of_every_strategy_are_known(tag: str) -> None:
    """And an id of somebody else is no leg."""
    assert leg_of(f"{tag}-ETHUSDT-Lmmv7y0w014-S12") == "S"
    assert leg_of("web_E1") == "web_E1"


def test_a_target_in_place_of_a_stop_is_told_apart() -> None:
    """Spot: five seconds in which the target's limit rests alone, then an order at market that fills."""
    target = order(3, "SELL", "LIMIT", 20, 25) | {"reduce_only": False, "status": "CANCELED"}
    orders = [order(2, "SELL", "STOP_LIMIT", 10, 20) | {"status": "CANCELED"}, target]
    orders.append(order(4, "SELL", "MARKET", 25, 26))
    state = {"now_ns": 60 * NANOS, "fills": [fill(1, "BUY", 10), fill(4, "SELL", 26)], "orders": orders}
    assert unprotected_secs(VENUE, state) == (0.0, 0.0)
    assert unprotected_secs(VENUE, state, by_target=False) == (5.0, 5.0)
