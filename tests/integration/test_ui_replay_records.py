"""What the pages of a replay ask of the journal ends with the moment that the replay shows."""

import time
from typing import Any

import msgspec
import pytest

from runtime.journal.session import SessionJournal
from runtime.journal.writer import Writer
from tests.journal_records import COIN, START, cancel, decision, fill, order, signal, trade
from tests.ui_server import SECRET, make_server
from ui import protocol as p
from ui.attached.journal import JournalReader
from ui.server.hub import Hub
from ui.terminal_state import TerminalState

START_MS = START.ts_ns // 1_000_000
MINUTE_MS = 60_000
ROWS = 5
# Of each table: the column of its time, and what makes a row.
TABLES: dict[str, tuple[str, Any]] = {
    "trades": ("exit_ts_ns", trade),
    "signals": ("ts_ns", signal),
    "orders": ("ts_ns", order),
    "fills": ("ts_ns", fill),
    "decisions": ("ts_ns", decision),
    "cancels": ("ts_ns", cancel),
}


class Asked:
    """A catalog that answers with the end up to which it is asked."""

    def ask(self, _name: str, *args: Any) -> Any:
        """Answer."""
        return {"to_ns": args[-2]}


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> JournalReader:
    """Give a row of every kind a minute."""
    folder = tmp_path_factory.mktemp("journal")
    written = SessionJournal(folder / "spool", "s1", START, reserve_bytes=0)
    for number in range(1, ROWS + 1):
        for moment, make in TABLES.values():
            written.append(msgspec.structs.replace(make(number), **{moment: at_ms(number) * 1_000_000}))
    written.abandon()
    url = f"sqlite:///{folder}/journal.sqlite"
    Writer(folder / "spool", url).drain()
    return JournalReader(url)


def at_ms(number: int) -> int:
    """Return the time of the rows of a number."""
    return START_MS + number * MINUTE_MS


def ask(journal: JournalReader, path: str, shown_ms: int | None = None) -> Any:
    """Ask a replay that shows a moment, or a terminal that plays nothing."""
    hub, state = Hub(), TerminalState()
    played = None
    if shown_ms is not None:
        played = p.Replaying(from_=START_MS, to=at_ms(99), at=shown_ms, speed=1.0, paused=True)
    state.apply("st", p.NodeState(mode="replay", session="s1", replay=played))
    hub.take([p.Message("e", 1, time.time_ns(), p.SNAP, state.snapshot())])
    ports = {"journal": journal, "mode": "backtest", "data": Asked(), "places": {"catalog": "."}}
    server = make_server(hub, ports=ports)
    answer = server.client().get(f"/api/v1/{path}", headers={"X-Shared-Secret": SECRET})
    return answer.json if answer.status_code == 200 else answer.json["error"]["message"]


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize(("shown_ms", "rows"), [(at_ms(2) - 1, 1), (at_ms(2), 2), (at_ms(9), ROWS)])
def test_rows_end_with_the_moment_that_is_shown(
    table: str, shown_ms: int, rows: int, journal: JournalReader
) -> None:
    """Who scrubs must not read on a page what came of it; the answer says as of when it is."""
    words = "source=journal" if table == "orders" else "limit=100"
    shown = ask(journal, f"{table}?{words}", shown_ms)
    assert shown[table] == ask(journal, f"{table}?{words}")[table][-rows:]
    assert len(shown[table]) == rows
    assert shown["of"]["as_of"] == shown_ms
    # Nor does a later end that somebody asks for.
    assert len(ask(journal, f"{table}?{words}&to=2100-01-01", shown_ms)[table]) == rows


def test_figures_end_with_the_moment_that_is_shown(journal: JournalReader) -> None:
    """Those of the overview; and the signals' last day ends then."""
    for path, count in (("trades/stats", "trades"), ("signals/stats", "signals")):
        shown, whole = ask(journal, path, at_ms(3)), ask(journal, path)
        assert (shown[count], whole[count]) == (3, ROWS)
        assert (shown["of"]["as_of"], whole["of"]["as_of"]) == (at_ms(3), None)
    assert ask(journal, "signals/stats", at_ms(3))["by_instrument"][0]["signals"] == 3
    (summary,) = ask(journal, "signals/summary", at_ms(3))["instruments"]
    assert (summary["instrument_id"], summary["signals"], summary["last_24h"]) == (COIN, 3, 3)
    assert summary["last_ts_ns"] == at_ms(3) * 1_000_000
    assert len(ask(journal, "events", at_ms(3))["events"]) == 3


def test_sessions_are_a_registry(journal: JournalReader) -> None:
    """A run that is played was begun long after what it shows."""
    shown = ask(journal, "sessions", START_MS - MINUTE_MS)
    assert [one["session_id"] for one in shown["sessions"]] == ["s1"]
    assert shown["of"]["as_of"] is None


def test_the_story_of_a_trade_is_told_once_it_is_closed(journal: JournalReader) -> None:
    """And up to the moment that is shown."""
    assert "not closed yet" in ask(journal, "trades/L2/explain", at_ms(2) - 1)
    story = ask(journal, "trades/L2/explain", at_ms(2))
    assert story["trade"]["setup_id"] == "L2"
    assert all(step["ts_ns"] <= at_ms(2) * 1_000_000 for step in story["steps"])
    assert story["steps"]


def test_candles_end_with_the_moment_that_is_shown(journal: JournalReader) -> None:
    """The catalog has those of after it."""
    path = f"candles?instrument={COIN}"
    assert ask(journal, path, at_ms(3)) == {"to_ns": (at_ms(3) + 1) * 1_000_000}
    assert ask(journal, path) == {"to_ns": None}
