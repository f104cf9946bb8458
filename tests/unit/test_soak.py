"""What the soak asks of an hour: each of its checks can fail."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.soak import after_cut, books, failures_of, growth_of, rows_of

SECOND = 1_000_000_000
CUT, BACK = 100 * SECOND, 700 * SECOND


def requests_at(*times_secs: float) -> dict[str, Any]:
    """Return the state of a venue that took an order at these times."""
    endpoints = ("POST /fapi/v1/order", "POST /fapi/v1/algoOrder")
    return {
        "requests": [
            {"endpoint": endpoints[number % 2], "ts_ns": round(secs * SECOND)}
            for number, secs in enumerate(times_secs)
        ]
    }


def test_orders_within_the_cut_are_counted_and_those_after_it() -> None:
    """What was on its way when the network broke is no order of the cut."""
    found = after_cut(requests_at(50, 101, 300, 650, 701, 702, 703), CUT, BACK)
    assert (found["orders_while_cut"], found["orders_after_cut"]) == (2, 3)
    assert found["first_request_after_cut_secs"] == 1.0
    silent = after_cut(requests_at(50), CUT, BACK)
    assert (silent["orders_after_cut"], silent["first_request_after_cut_secs"]) == (0, None)


def test_growth_is_that_after_the_warm_up() -> None:
    """A first quarter that grows fast says nothing; afterwards ten percent is ten percent."""
    warm = [(float(at), 100.0 * at) for at in range(25)]
    assert growth_of([*warm, *((float(at), 500.0) for at in range(25, 100))])["growth_pct"] == 0
    grown = growth_of([*warm, *((float(at), 500 + (at - 25) * 50 / 75) for at in range(25, 100))])
    assert 8 < grown["growth_pct"] < 10


def journal_of(folder: Path, *fills: tuple[str, int, str]) -> Path:
    """Return a journal with these fills: order, trade, quantity."""
    path = folder / "journal.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE fills (client_order_id TEXT, trade_id TEXT, qty TEXT)")
    connection.execute("CREATE TABLE trades (setup_id TEXT)")
    connection.execute("CREATE TABLE decisions (kind TEXT, reason TEXT)")
    connection.executemany("INSERT INTO fills VALUES (?, ?, ?)", fills)
    connection.execute("INSERT INTO decisions VALUES ('halted', 'watchdog')")
    connection.commit()
    connection.close()
    return path


def test_books_that_differ_are_seen(tmp_path: Path) -> None:
    """One fill is missing, one is invented, one is there twice."""
    theirs = [{"client_id": "A", "trade_id": number, "qty": "1"} for number in (1, 2)]
    state = {"fills": theirs, "accounts": {"main": {"positions": {}}}}
    path = journal_of(tmp_path, ("A", 1, "1"), ("A", 1, "1"), ("A", 9, "1"))
    found = books(path, state)
    names = ("fills_only_at_exchange", "fills_only_in_journal", "fills_twice")
    assert [found[name] for name in names] == [1, 1, 1]
    assert found["halts"] == ["watchdog"]


GOOD: dict[str, Any] = {
    "minutes": 60.0, "speed": 20.0, "cut_secs": 600.0, "begin_mb": 500.0, "end_mb": 505.0, "growth_pct": 1.0,
    "orders_while_cut": 0, "orders_after_cut": 9, "first_request_after_cut_secs": 0.1, "fills": 9,
    "fills_only_at_exchange": 0, "fills_only_in_journal": 0, "fills_twice": 0, "trades": 2, "halts": [],
    "is_alive": True, "exit_code": 0, "recorded_rows": 7, "unprotected": {"longest_secs": {"A": 0.5}},
    "done": {"entries": {"before_cut": 3, "while_cut": 0, "after_cut": 2}},
}  # fmt: skip
BAD: dict[str, dict[str, Any]] = {
    "memory": {"growth_pct": 5.1},
    "its own end": {"is_alive": False},
    "no orderly end": {"exit_code": 1},
    "orders in the cut": {"orders_while_cut": 1},
    "a halt": {"halts": ["watchdog"]},
    "no trade after the cut": {"orders_after_cut": 0},
    "no return": {"first_request_after_cut_secs": None},
    "a lost fill": {"fills_only_at_exchange": 1},
    "an invented fill": {"fills_only_in_journal": 1},
    "a fill twice": {"fills_twice": 1},
}


@pytest.mark.parametrize("case", BAD)
def test_each_thing_that_does_not_hold_fails(case: str) -> None:
    """One line says which; without any, both rows of the matrix pass."""
    assert failures_of(GOOD) == []
    assert [one["result"] for one in rows_of(GOOD | {"failures": []})] == ["pass", "pass"]
    failures = failures_of(GOOD | BAD[case])
    assert len(failures) == 1
    assert [one["result"] for one in rows_of(GOOD | {"failures": failures})] == ["no", "no"]
