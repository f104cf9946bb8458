"""What is recorded is read back as it was, however many parts it was written in."""

from collections import deque
from pathlib import Path

import pytest
from nautilus_trader.test_kit.stubs.data import TestDataStubs

from runtime.live.recording_files import PART, Row, RowKind, read_rows, write_rows

TICK = TestDataStubs.trade_tick()


def row(number: int) -> Row:
    """Return a row of a print, of a call with one, or of something else; keys come and go."""
    match number % 3:
        case 0:
            return number, number * 10, RowKind.TRADE, TICK.instrument_id.value, b"", TICK
        case 1:
            return number, number * 10, RowKind.CALL, f"take_trade:{number % 7}", b"AUD/USD.SIM", TICK
        case _:
            return number, number * 10, RowKind.DECISION, f"coin {number // PART}", b"{}", None


@pytest.mark.parametrize("count", [1, PART, PART + 1, 3 * PART + 7])
def test_rows_come_back_in_order(tmp_path: Path, count: int) -> None:
    """Prints equal, keys of all parts, nothing lost between parts."""
    rows = [row(number) for number in range(1, count + 1)]
    write_rows(tmp_path, 0, iter(rows))
    assert list(read_rows(tmp_path)) == rows


def test_rows_are_let_go_of_while_they_are_written(tmp_path: Path) -> None:
    """A minute's rows freed at once would take the node's time."""
    rows = deque(row(number) for number in range(1, 2 * PART))

    def taken_out() -> object:
        while rows:
            yield rows.popleft()

    write_rows(tmp_path, 0, taken_out())  # type: ignore[arg-type]
    assert not rows
    assert len(list(read_rows(tmp_path))) == 2 * PART - 1
