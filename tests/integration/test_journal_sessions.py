"""Sessions of one spool do not disturb each other, and each goes into its own database once."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from msgspec import structs
from sqlalchemy import text

from runtime.errors import OperatorError
from runtime.health import records_check, writer_check
from runtime.journal import segments
from runtime.journal.binding import Binding, file_binding
from runtime.journal.columns import exact
from runtime.journal.database import binding_of, identity, open_engine
from runtime.journal.framing import frames_in
from runtime.journal.records import EquityRecord, SessionEnd
from runtime.journal.segments import JOURNAL, segment_path, sessions_in
from runtime.journal.session import SessionJournal
from runtime.journal.spool import Spool
from runtime.journal.status import WriterStatus, say_status, writer_trouble
from runtime.journal.verify import verify
from runtime.journal.writer import Writer
from tests.journal_records import START, decision, order, trade

EQUITY = ((2**63, "1"), (1, "many"), (2, "2"))  # the last is the only one that SQL can hold


def session(root: Path, name: str, *records: object, binding: Binding | None = None) -> None:
    """Journal a session that ended."""
    journal = SessionJournal(root, name, START, binding=binding, reserve_bytes=0)
    for record in records:
        journal.append(record)
    journal.end(SessionEnd(ts_ns=9, reason="stopped"))


def findings(url: str, name: str) -> tuple[int, list[tuple[str, int | None]]]:
    """Return rows and findings of a session."""
    engine = open_engine(url, read_only=True)
    (report,) = verify(engine, name)
    engine.dispose()
    return report.rows, [(one.kind, one.seq) for one in report.findings]


def test_a_number_beyond_64_bits_is_kept_aside(tmp_path: Path, journal_url: str) -> None:
    """What no integer column holds goes to the refused records, and the writer goes on."""
    telemetry = [EquityRecord(ts_ns=moment, equity=equity) for moment, equity in EQUITY]
    session(tmp_path, "a", order(1), trade(2, zone_id=2**63), order(3), *telemetry)
    session(tmp_path, "b", order(1))
    Writer(tmp_path, journal_url).drain()
    assert findings(journal_url, "a") == (5, [("refused", 2)])
    assert findings(journal_url, "b") == (3, [])
    engine = open_engine(journal_url, read_only=True)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT ts_ns FROM equity_points")).all() == [(2,)]
    engine.dispose()
    assert list(tmp_path.glob("[ab]")) == []


def test_a_trade_of_a_killed_session_is_recorded_once(tmp_path: Path, journal_url: str) -> None:
    """The session after it closes the same setup again; another close of the setup is another trade."""
    session(tmp_path, "a", order(1), trade(1))
    Writer(tmp_path, journal_url).drain()
    session(tmp_path, "b", trade(1), trade(2), order(3))
    session(tmp_path, "c", trade(1, exit_ts_ns=1_773_795_600_000_000_001))
    Writer(tmp_path, journal_url).drain()
    engine = open_engine(journal_url, read_only=True)
    with engine.connect() as connection:
        trades = connection.execute(text("SELECT session_id, setup_id FROM trades ORDER BY session_id")).all()
        refused = connection.scalars(text("SELECT error FROM rejected_records")).all()
    engine.dispose()
    assert trades == [("a", "L1"), ("b", "L2"), ("c", "L1")]
    assert refused == ["ClosedTrade: the trade is recorded already by session a"]
    assert findings(journal_url, "b") == (5, [])  # the chain is whole, and nothing is amiss


@pytest.mark.parametrize("damaged", ["a", "b"])
def test_a_session_whose_beginning_is_damaged_records_no_trade_twice(tmp_path: Path, damaged: str) -> None:
    """Nobody knows its mode then; the trade of before, or the one behind, is the same all the same."""
    root, url = tmp_path / "spool", f"sqlite:///{tmp_path}/journal.sqlite"
    for name in ("a", "b"):
        journal = SessionJournal(root, name, START, reserve_bytes=0)
        journal.append(trade(1))
        journal.end(SessionEnd(ts_ns=9, reason="stopped"))
        if name == damaged:
            path = segment_path(root / name, JOURNAL, 0)
            content = bytearray(path.read_bytes())
            content[20] ^= 255  # within the first frame
            path.write_bytes(content)
        Writer(root, url).drain()
    engine = open_engine(url, read_only=True)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT session_id FROM trades")).all() == [("a",)]
    engine.dispose()


def test_trades_of_backtests_may_repeat(tmp_path: Path, journal_url: str) -> None:
    """Two runs over the same tape trade the same."""
    for name in ("a", "b"):
        journal = SessionJournal(tmp_path, name, structs.replace(START, mode="backtest"), reserve_bytes=0)
        journal.append(trade(1))
        journal.end(SessionEnd(ts_ns=9, reason="ended"))
    Writer(tmp_path, journal_url).drain()
    assert findings(journal_url, "b") == (3, [])
    engine = open_engine(journal_url, read_only=True)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM trades")).scalar() == 2
    engine.dispose()


def test_foreign_files_are_left_alone(tmp_path: Path, journal_url: str) -> None:
    """What the journal did not write is neither read nor removed."""
    session(tmp_path, "good", order(1))
    (tmp_path / "good" / "notes.txt").write_text("mine")
    (tmp_path / "good" / "journal-old.spool").write_bytes(b"x")
    (tmp_path / "aaa").mkdir()
    (tmp_path / "aaa" / "journal-old.spool").write_bytes(b"x")
    Writer(tmp_path, journal_url).drain()
    assert findings(journal_url, "good") == (3, [])
    assert sorted(path.name for path in tmp_path.glob("*/*")) == [
        "journal-old.spool", "journal-old.spool", "notes.txt",
    ]  # fmt: skip
    assert list(sessions_in(tmp_path)) == []


def test_a_session_that_cannot_be_fed_stops_no_other(tmp_path: Path) -> None:
    """It stays in the spool, with the reason; those behind it are fed."""
    url = f"sqlite:///{tmp_path}/journal.sqlite"
    root = tmp_path / "spool"
    session(root, "a", order(1))
    (root / "a" / "journal-00000000000000000003.spool").mkdir()  # reading it fails
    session(root, "b", order(1))
    with pytest.raises(OperatorError, match=r"spool/a: .*directory"):
        Writer(root, url).drain()
    assert findings(url, "b") == (3, [])
    assert [folder.name for folder in sessions_in(root)] == ["a"]


def test_a_long_session_id_stops_no_other(tmp_path: Path, journal_url: str) -> None:
    """What PostgreSQL has no room for is not begun; if it is there all the same, it blocks nobody."""
    Spool(tmp_path / ("L" * 120), reserve_bytes=0).append(START)
    session(tmp_path, "z", order(1))
    if journal_url.startswith("sqlite"):
        Writer(tmp_path, journal_url).drain()
    else:
        with pytest.raises(OperatorError, match="too long"):
            Writer(tmp_path, journal_url).drain()
    assert findings(journal_url, "z") == (3, [])


def test_a_dead_writer_is_said(tmp_path: Path) -> None:
    """A process that is gone, and one that is silent, are dead; one that speaks is not."""
    assert "no writer feeds" in writer_trouble(tmp_path)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    now_ns = time.time_ns()
    said = WriterStatus(ts_ns=now_ns, pid=gone.pid, state="working")
    say_status(tmp_path, said)
    assert "is dead" in writer_trouble(tmp_path)
    say_status(tmp_path, WriterStatus(ts_ns=now_ns - 20 * 10**9, pid=os.getpid(), state="working"))
    assert "silent for 20 s" in writer_trouble(tmp_path)
    check = writer_check(lambda: writer_trouble(tmp_path))
    assert check().status == "failing"
    say_status(tmp_path, WriterStatus(ts_ns=now_ns, pid=os.getpid(), state="working"))
    assert (writer_trouble(tmp_path), check().status) == ("", "ok")


def test_a_second_session_of_an_id_is_refused_and_kept(tmp_path: Path, journal_url: str) -> None:
    """Its numbers are taken: nothing is fed, and nothing is removed; under a new name it is a session."""
    session(tmp_path, "s", order(1))
    Writer(tmp_path, journal_url).drain()
    session(tmp_path, "s", order(1), order(2))
    for _attempt in range(2):
        with pytest.raises(OperatorError, match="another session 's' already"):
            Writer(tmp_path, journal_url).drain()
    assert findings(journal_url, "s") == (3, [])
    (tmp_path / "s").rename(tmp_path / "t")
    Writer(tmp_path, journal_url).drain()
    assert findings(journal_url, "t") == (4, [])
    assert list(sessions_in(tmp_path)) == []


def test_a_session_goes_into_its_own_database(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A writer of another database leaves it alone and says how to feed it; asked to, it takes it."""
    root, mine, other = tmp_path / "spool", f"sqlite:///{tmp_path}/a.sqlite", f"sqlite:///{tmp_path}/b.sqlite"
    for name in ("s1", "s2"):
        session(root, name, order(1), binding=binding_of(mine))
    session(root, "s3", order(1))
    assert Writer(root, other).drain() == 3
    said = capsys.readouterr().err
    assert f"2 sessions (s1, s2) were journaled for {mine}" in said
    assert f"write --once --spool {root} --url {mine}" in said
    assert [folder.name for folder in sessions_in(root)] == ["s1", "s2"]
    assert Writer(root, mine).drain() == 6
    assert capsys.readouterr().err == ""
    assert findings(mine, "s1") == findings(mine, "s2") == (3, [])
    session(root, "s4", order(1), binding=binding_of(mine))
    assert Writer(root, other, any_database=True).drain() == 3


@pytest.mark.parametrize("url", ["sqlite:///var/j.sqlite", "sqlite:////srv/smc-bot/j_1.sqlite"])
def test_a_plain_file_is_bound_as_by_sqlalchemy(url: str) -> None:
    """What a node writes without it is what its writer reads with it."""
    quick, thorough = file_binding(url), binding_of(url)
    assert quick is not None
    assert (quick.database, quick.url) == (thorough.database, thorough.url)


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///:memory:",
        "sqlite:///a.sqlite?mode=ro",
        "sqlite://",
        "postgresql://u:p@h/d",
        "sqlite:///a b",
    ],
)
def test_other_urls_are_left_to_sqlalchemy(url: str) -> None:
    """Passwords, options and refusals are its matter."""
    assert file_binding(url) is None


def test_a_password_does_not_name_a_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Password, options and a relative path change nothing; host, user and name do."""
    base = "postgresql://bot:one@host/db"
    assert identity(base) == identity("postgresql+psycopg://bot:two@host:5432/db?sslmode=require")
    others = ("postgresql://bot@host2/db", "postgresql://ann@host/db", "postgresql://bot@host/db2")
    assert len({identity(url) for url in (base, *others)}) == 4
    monkeypatch.chdir(tmp_path)
    assert identity("sqlite:///var/j.sqlite") == identity(f"sqlite:///{tmp_path}/var/j.sqlite")
    assert "one" not in str(binding_of(base))


def test_lost_records_are_reported(tmp_path: Path, journal_url: str) -> None:
    """One that cannot be encoded is named by verify, and counted in the session's end and by health."""
    journal = SessionJournal(tmp_path, "s", START, reserve_bytes=0)
    check = records_check(lambda: journal.records_lost)
    assert check().status == "ok"
    journal.append(decision(1, reason="\ud800"))
    assert (check().status, journal.halt_reason()) == ("failing", "")
    journal.end(SessionEnd(ts_ns=9, reason="stopped"))
    Writer(tmp_path, journal_url).drain()
    assert findings(journal_url, "s") == (3, [("refused", 1)])
    engine = open_engine(journal_url, read_only=True)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT records_lost FROM session_ends")) == 1
        assert str(connection.scalar(text("SELECT error FROM rejected_records"))).startswith("Decision: ")
    engine.dispose()


def test_damaged_segments_are_kept_and_counted_once(tmp_path: Path) -> None:
    """However often the writer starts, each damaged byte counts once, and its segment is not removed."""
    root, url = tmp_path / "spool", f"sqlite:///{tmp_path}/journal.sqlite"
    journal = SessionJournal(root, "s", START, reserve_bytes=0)
    for number in range(10):
        journal.append(order(number))
    path = segment_path(root / "s", JOURNAL, 0)
    content = bytearray(path.read_bytes())
    frames = [behind for behind, _frame in frames_in(bytes(content))]
    content[frames[4] + 20] ^= 255  # within the frame of number 5
    with path.open("r+b") as file:
        file.write(content)
    for number in range(3):
        writer = Writer(root, url)
        while writer.step():
            pass
        writer.close()
        journal.append(order(10 + number))
    journal.abandon()
    with path.open("ab") as file:
        file.write(b"torn")
    torn = path.read_bytes()
    Writer(root, url).drain()
    engine = open_engine(url, read_only=True)
    with engine.connect() as connection:
        counted = connection.scalar(text("SELECT damaged_bytes FROM spool_positions WHERE lane = 'journal'"))
    engine.dispose()
    assert counted == frames[5] - frames[4] + len(b"torn")
    assert findings(url, "s")[0] == 13
    (kept,) = (root / ".damaged").glob("s-*/*")
    assert (kept.name, kept.read_bytes()) == (path.name, torn)
    assert list(sessions_in(root)) == []


@pytest.mark.parametrize("amount", ["1E+100000000", "1E-100000000", "0E-100000000", "1E+1001"])
def test_an_amount_of_endless_digits_is_no_amount(amount: str) -> None:
    """Written out it would be megabytes of text."""
    with pytest.raises(ValueError, match="is no amount"):
        exact(amount)
    assert exact("1E-30") == "0." + "0" * 29 + "1"


def test_a_segment_that_another_writer_removed_is_no_trouble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between listing and opening it the other one committed it: the position tells where to go on."""
    root, url = tmp_path / "spool", f"sqlite:///{tmp_path}/journal.sqlite"
    journal = SessionJournal(root, "s", START, reserve_bytes=0, segment_bytes=1)  # a segment for each record
    for number in range(5):
        journal.append(order(number))
    slow, fast = Writer(root, url), Writer(root, url)
    removed: list[Path] = []
    open_file = segments._open_read

    def open_late(path: Path) -> int:
        if not removed:
            removed.append(path)
            while fast.step():
                pass
            assert not path.exists()
        return open_file(path)

    monkeypatch.setattr(segments, "_open_read", open_late)
    while slow.step():
        pass
    assert (len(removed), slow.stuck, fast.stuck) == (1, {}, {})
    slow.close()
    fast.close()
    journal.abandon()
    Writer(root, url).drain()
    assert findings(url, "s") == (6, [])
