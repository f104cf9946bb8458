"""Who may be entered on which day, and who is still waited for."""

from datetime import date

import msgspec
import pytest

from strategies.trade_manager.skips import Skip, SkipReason
from strategies.universe_rule import DAY_NS, Attendance, UniverseDays, UniverseGate, days_table

FIRST = date(2026, 3, 18)
MIDNIGHT = 20_530 * DAY_NS  # of that day
TABLE = days_table(FIRST, {"A": [False, True, True], "B": [True, False, False]})

# Coin, moment, in the universe.
LOOKUPS = {
    "first nanosecond of the first day": ("B", MIDNIGHT, True),
    "last nanosecond of the first day": ("B", MIDNIGHT + DAY_NS - 1, True),
    "a bar that closes at midnight is decided on the new day": ("B", MIDNIGHT + DAY_NS, False),
    "joined on the second day": ("A", MIDNIGHT + DAY_NS, True),
    "not yet": ("A", MIDNIGHT, False),
    "before the table": ("B", MIDNIGHT - 1, False),
    "after the table": ("A", MIDNIGHT + 3 * DAY_NS, False),
    "a coin that nobody knows": ("C", MIDNIGHT, False),
}


@pytest.mark.parametrize(("name", "ts_ns", "expected"), LOOKUPS.values(), ids=LOOKUPS.keys())
def test_a_day_is_looked_up(name: str, ts_ns: int, expected: bool) -> None:
    """The day begins at midnight UTC; without an entry in the table nobody belongs."""
    gate = UniverseGate(TABLE)
    assert gate.holds(name, ts_ns) is expected
    assert gate.check(name, ts_ns) == (None if expected else Skip(SkipReason.NOT_IN_UNIVERSE))
    assert gate.mark(name, ts_ns) == {"in_universe": int(expected)}


def test_a_rule_that_is_off_marks_and_refuses_nothing() -> None:
    """Without enforcement the mark stays; without a table there is none."""
    off = UniverseGate(msgspec.structs.replace(TABLE, enforced=False))
    assert off.check("A", MIDNIGHT) is None
    assert off.mark("A", MIDNIGHT) == {"in_universe": 0}
    free = UniverseGate(None)
    assert free.check("A", MIDNIGHT) is None
    assert free.mark("A", MIDNIGHT) == {}


def test_a_live_node_replaces_the_table() -> None:
    """A table of the next day holds from then on, wherever it begins."""
    gate = UniverseGate(TABLE)
    gate.replace(days_table(date(2026, 3, 21), {"C": [True]}))
    assert gate.holds("C", MIDNIGHT + 3 * DAY_NS)
    assert not gate.holds("A", MIDNIGHT + DAY_NS)


def test_one_coin_gets_its_own_row() -> None:
    """What a strategy for one instrument is told, empty for one that is not in the table."""
    assert TABLE.only("A").coins == {"A": "011"}
    assert TABLE.only("C").coins == {"C": ""}


def test_a_table_survives_json_and_refuses_other_characters() -> None:
    """It is plain configuration data."""
    assert msgspec.json.decode(msgspec.json.encode(TABLE), type=UniverseDays) == TABLE
    with pytest.raises(ValueError, match="written with 0 and 1"):
        UniverseDays(first_day="2026-03-18", coins={"A": "01x"})
    with pytest.raises(ValueError, match="isoformat"):
        UniverseDays(first_day="yesterday", coins={})


def test_a_coin_that_ended_is_waited_for_a_little_while() -> None:
    """After so many close times in a row without a bar it is absent; the first bar brings it back."""
    attendance = Attendance(["A", "B", "C"], patience_bars=2)
    assert not attendance.is_complete({"A", "B"})
    assert attendance.decided({"C"}) == {"C"}
    assert not attendance.is_complete({"A", "B"})
    assert attendance.decided({"C"}) == {"C"}
    assert attendance.absent == {"C"}
    assert attendance.is_complete({"A", "B"})
    assert not attendance.is_complete({"A", "C"}), "a coin that is absent stands in for nobody"
    assert attendance.decided({"C"}) == set(), "it is not missed any more"
    assert attendance.decided(()) == set()
    assert attendance.absent == set()
    assert not attendance.is_complete({"A", "B"})


def test_misses_in_a_row_are_counted_not_misses_in_all() -> None:
    """A bar in between begins anew."""
    attendance = Attendance(["A", "B"], patience_bars=2)
    for missing in ({"B"}, set(), {"B"}, {"A"}, {"B"}):
        attendance.decided(missing)
    assert attendance.absent == set()
    with pytest.raises(ValueError, match="at least 1"):
        Attendance(["A"], patience_bars=0)
