"""The journal from the first record to SQL, on both databases."""

import json
import shutil
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from msgspec import structs
from sqlalchemy import Engine, func, select, text

from runtime.errors import ConfigurationError
from runtime.journal import models, place
from runtime.journal import verify as verify_module
from runtime.journal.__main__ import main
from runtime.journal.columns import to_json
from runtime.journal.database import masked, migrate, open_engine
from runtime.journal.explain import as_text, explain
from runtime.journal.heads import Head, add_head, heads_file, read_heads
from runtime.journal.records import EquityRecord, FeatureRecord, SessionEnd
from runtime.journal.rows import CHAINED, SHAPES
from runtime.journal.session import SessionJournal
from runtime.journal.verify import Finding, verify
from runtime.journal.writer import Writer
from runtime.settings import parse_settings
from tests.journal_records import COIN, DURABLE, START, command, decision, fill, signal, trade

# What PostgreSQL could do otherwise than SQLite is tested on both in every run, the rest by `make test-slow`.
slow_on_postgresql = pytest.mark.parametrize(
    "journal_url", ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)], indirect=True
)


@pytest.fixture
def engine(journal_url: str) -> Iterator[Engine]:
    """Give an engine on the journal, closed afterwards."""
    found = open_engine(journal_url)
    yield found
    found.dispose()


def filled(root: Path, url: str, count: int = 3, session: str = "s1") -> None:
    """Journal `count` records of every stream in a session and feed them."""
    journal = SessionJournal(root, session, START, reserve_bytes=0)
    for number in range(count):
        for make in DURABLE:
            journal.append(make(number))
        journal.append(EquityRecord(ts_ns=number, equity="10000.10"))
        journal.append(FeatureRecord(ts_ns=number, strategy_id="s", instrument_id=COIN, features={"f": 0.5}))
    journal.end(SessionEnd(ts_ns=9, reason="stopped", final_balance="10000.10"))
    Writer(root, url).drain()


@pytest.fixture(scope="module")
def originals() -> dict[str, str]:
    """Remember a filled journal per database: its URL by dialect."""
    return {}


@pytest.fixture
def sound(
    journal_url: str,
    originals: dict[str, str],
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Engine]:
    """Give a filled journal to be tampered with: a copy, because filling takes longer."""
    dialect = journal_url.split(":", 1)[0]
    if dialect not in originals:
        folder = tmp_path_factory.mktemp("original")
        if dialect == "sqlite":
            originals[dialect] = f"sqlite:///{folder}/journal.sqlite"
        else:
            originals[dialect] = request.getfixturevalue("postgres").new_url()
        filled(folder / "spool", originals[dialect])
        made = open_engine(originals[dialect])
        assert verify(made)[0].findings == []
        made.dispose()
    if dialect == "sqlite":
        shutil.copy(originals[dialect].removeprefix("sqlite:///"), journal_url.removeprefix("sqlite:///"))
        copy = open_engine(journal_url)
    else:
        copy = open_engine(request.getfixturevalue("postgres").new_url(originals[dialect]))
    yield copy
    copy.dispose()


def test_every_record_becomes_one_row(tmp_path: Path, journal_url: str, engine: Engine) -> None:
    """Each stream has its table; the spool is empty when everything is committed; the chain is sound."""
    filled(tmp_path / "spool", journal_url)
    with engine.connect() as connection:
        counts = {
            table.name: connection.scalar(select(func.count()).select_from(table))
            for table in models.Base.metadata.sorted_tables
        }
    assert {name: counts.pop(name) for name in ("sessions", "session_ends", "rejected_records")} == {
        "sessions": 1, "session_ends": 1, "rejected_records": 0,
    }  # fmt: skip
    assert counts.pop("spool_positions") == 2
    assert counts.pop("chain_checkpoints") >= 1
    assert counts == dict.fromkeys(counts, 3)
    assert len(counts) == 10
    (report,) = verify(engine)
    assert (report.rows, report.findings, report.is_ended, report.mode) == (26, [], True, "paper")
    assert list((tmp_path / "spool").iterdir()) == []


def test_amounts_come_back_exactly(tmp_path: Path, journal_url: str, engine: Engine) -> None:
    """Money is exact on both databases, beyond what a float can hold."""
    pnl = "123456789012345678.123456789012345678"
    journal = SessionJournal(tmp_path, "s1", START, reserve_bytes=0)
    slipped = {"entry_slippage": "-0.10", "entry_slippage_bps": -1.5, "exit_slippage": ""}
    journal.append(trade(1, pnl=pnl, fees="1E-9", stop_price="", funding="-1E-9", **slipped))
    journal.abandon()
    Writer(tmp_path, journal_url).drain()
    with engine.connect() as connection:
        row = connection.execute(select(models.TradeRow.__table__)).one()
    assert (row.pnl, row.fees, row.stop_price) == (Decimal(pnl), Decimal("0.000000001"), None)
    assert row.funding == Decimal("-0.000000001")
    assert (row.entry_slippage, row.entry_slippage_bps) == (Decimal("-0.10"), -1.5)
    assert row.exit_slippage is row.exit_slippage_bps is None
    assert verify(engine)[0].findings == []


def tampered(engine: Engine, *statements: str) -> list[Finding]:
    """Change a sound journal behind its back; return what is found."""
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    return [finding for report in verify(engine) for finding in report.findings]


CRIMES = {
    "a probability is changed": (
        "UPDATE decisions SET probability = 0.9 WHERE seq = 9",
        "edited",
        "decisions",
        9,
    ),
    "an amount is rounded": ("UPDATE trades SET pnl = '0.25' WHERE seq = 12", "edited", "trades", 12),
    "a command's argument is changed": (
        "UPDATE commands SET args = '{\"n\":7}' WHERE seq = 13",
        "edited",
        "commands",
        13,
    ),
    "a flag is turned": (
        "UPDATE orders SET is_reconciliation = NOT is_reconciliation WHERE seq = 10",
        "edited",
        "orders",
        10,
    ),
    "an order is removed": ("DELETE FROM orders WHERE seq = 10", "missing", "", 10),
    "the first row is removed": ("DELETE FROM sessions", "missing", "", 0),
    "the last row is removed": ("DELETE FROM session_ends", "cut_tail", "", 25),
    "a row is moved to another mode": (
        "UPDATE fills SET mode = 'live' WHERE seq = 11",
        "edited",
        "fills",
        11,
    ),
}


@slow_on_postgresql
@pytest.mark.parametrize(("statement", "kind", "table", "seq"), CRIMES.values(), ids=CRIMES.keys())
def test_any_change_is_found(statement: str, kind: str, table: str, seq: int, sound: Engine) -> None:
    """The finding names what was done, the table and the row."""
    found = tampered(sound, statement)
    assert (kind, table, seq) in [(one.kind, one.table, one.seq) for one in found]


@pytest.mark.parametrize("wrong", ["zz", "", "AB" * 32])
def test_an_edited_hash_is_found(wrong: str, tmp_path: Path, journal_url: str, engine: Engine) -> None:
    """A hash that is none is a finding, not a crash."""
    filled(tmp_path / "spool", journal_url)
    found = tampered(engine, f"UPDATE orders SET hash = '{wrong}' WHERE seq = 10")
    assert ("edited", "orders", 10) in [(one.kind, one.table, one.seq) for one in found]


def test_a_flag_that_is_no_flag_is_found(tmp_path: Path) -> None:
    """SQLite takes 2 for true: it is not what was written."""
    url = f"sqlite:///{tmp_path}/journal.sqlite"
    filled(tmp_path / "spool", url)
    engine = open_engine(url)
    found = tampered(engine, "UPDATE signals SET is_taken = 2 WHERE seq = 14")
    engine.dispose()
    assert [(one.kind, one.table, one.seq) for one in found] == [("edited", "signals", 14)]


def test_a_running_session_is_sound(
    tmp_path: Path, journal_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the writer commits while a check reads is not part of the check."""
    journal, writer = SessionJournal(tmp_path, "s1", START, reserve_bytes=0), Writer(tmp_path, journal_url)
    journal.append(decision(0))
    writer.step()
    check = verify_module._table_rows

    def slowly(*what: Any) -> Any:
        journal.append(decision(1))
        writer.step()
        return check(*what)

    monkeypatch.setattr(verify_module, "_table_rows", slowly)
    reader = open_engine(journal_url, read_only=True)
    (report,) = verify(reader)
    reader.dispose()
    assert (report.findings, report.rows) == ([], 2)
    journal.abandon()
    writer.close()


def test_swapped_rows_are_found(sound: Engine) -> None:
    """Two rows that exchange their places break the chain at both, even with their hashes swapped too."""
    found = tampered(
        sound,
        "UPDATE decisions SET seq = 1000 WHERE seq = 1",
        "UPDATE decisions SET seq = 1 WHERE seq = 9",
        "UPDATE decisions SET seq = 9 WHERE seq = 1000",
    )
    assert {(one.table, one.seq) for one in found if one.kind == "edited"} >= {
        ("decisions", 1),
        ("decisions", 9),
    }


@slow_on_postgresql
def test_a_tail_cut_with_its_position_is_found(sound: Engine) -> None:
    """Whoever cuts the end and forges the writer's position is told on by the checkpoint."""
    with sound.connect() as connection:
        before = connection.execute(text("SELECT hash FROM accesses WHERE seq = 24")).scalar_one()
    found = tampered(
        sound,
        "DELETE FROM session_ends",
        f"UPDATE spool_positions SET next_seq = 25, row_count = 25, last_hash = '{before}' "
        "WHERE lane = 'journal'",
    )
    assert [one.kind for one in found] == ["cut_tail"]
    assert "a checkpoint counted 26 rows, there are 25" in found[0].text


@slow_on_postgresql
def test_checkpoints_are_stored_while_a_session_runs(
    tmp_path: Path, journal_url: str, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every ten seconds count and hash are stored, not only at the end."""
    monkeypatch.setattr("runtime.journal.feed.CHECKPOINT_SECS", 0.0)
    journal, writer = SessionJournal(tmp_path, "s1", START, reserve_bytes=0), Writer(tmp_path, journal_url)
    for number in range(3):
        journal.append(decision(number))
        writer.step()
    with engine.connect() as connection:
        counts = connection.scalars(
            select(models.Checkpoint.row_count).order_by(models.Checkpoint.row_count)
        ).all()
    assert counts == [2, 3, 4]
    journal.abandon()
    writer.close()


def test_a_record_that_the_database_refuses_is_kept(tmp_path: Path, journal_url: str, engine: Engine) -> None:
    """A number that is none does not stop the writer: the record is kept whole, and verify names it."""
    journal = SessionJournal(tmp_path, "s1", START, reserve_bytes=0)
    journal.append(trade(1, pnl="much"))
    journal.append(decision(2, reason="nul \x00 inside", detail={"nul": "\x00", "none": float("nan")}))
    journal.append(trade(3, zone_id=2**63 - 1))
    journal.abandon()
    Writer(tmp_path, journal_url).drain()
    (report,) = verify(engine)
    assert [(one.kind, one.seq) for one in report.findings] == [("refused", 1)]
    assert report.rows == 4
    with engine.connect() as connection:
        assert connection.scalar(select(models.DecisionRow.reason)) == "nul \ufffd inside"


def test_the_first_schema_is_migrated_without_loss(tmp_path: Path, journal_url: str, engine: Engine) -> None:
    """Rows of schema 0001 are all there, and sound, after the upgrade to the newest."""
    filled(tmp_path / "spool", journal_url)
    with engine.connect() as connection:
        rows = {
            shape.name: connection.execute(text(f"SELECT * FROM {shape.name} ORDER BY seq")).all()
            for shape in CHAINED
        }
        positions = connection.execute(text("SELECT * FROM spool_positions ORDER BY lane")).all()
    old_url = f"sqlite:///{tmp_path}/old.sqlite" if engine.dialect.name == "sqlite" else journal_url
    old = open_engine(old_url)
    if old_url == journal_url:
        with old.begin() as connection:
            connection.execute(text("DROP SCHEMA public CASCADE"))
            connection.execute(text("CREATE SCHEMA public"))
    migrate(old, "0001")
    kept = [shape for shape in CHAINED if shape.name not in ("accesses", "rejected_records")]
    with old.begin() as connection:
        for shape in kept:
            for row in rows[shape.name]:
                names = ", ".join(row._fields)
                marks = ", ".join(f":{name}" for name in row._fields)
                values = {
                    name: to_json(value)
                    if isinstance(value, dict | list)
                    else str(value)
                    if isinstance(value, Decimal)
                    else value
                    for name, value in row._mapping.items()
                }
                connection.execute(text(f"INSERT INTO {shape.name} ({names}) VALUES ({marks})"), values)
        for row in positions:
            connection.execute(
                text(
                    "INSERT INTO spool_positions "
                    "(session_id, lane, next_seq, row_count, last_hash, updated_ns) "
                    "VALUES (:session_id, :lane, :next_seq, :row_count, :last_hash, :updated_ns)"
                ),
                {name: row._mapping[name] for name in row._fields if name != "damaged_bytes"},
            )
    migrate(old)
    (report,) = verify(old)
    # What the first schema had no table for is missing, and nothing else.
    assert {(one.kind, one.seq) for one in report.findings if one.kind == "missing"} == {
        ("missing", 8), ("missing", 16), ("missing", 24),
    }  # fmt: skip
    assert [one for one in report.findings if one.kind == "edited"] == []
    assert report.rows == 23
    old.dispose()


def test_models_and_migrations_agree(tmp_path: Path, journal_url: str, engine: Engine) -> None:
    """What the migrations make is what the models say."""
    migrate(engine)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        assert compare_metadata(context, models.Base.metadata) == []


def test_every_field_of_a_record_has_a_column() -> None:
    """Nothing that is journaled is left out of SQL."""
    for struct, shape in SHAPES.items():
        assert set(struct.__struct_fields__) - set(shape.names) == set(), struct


@slow_on_postgresql
def test_commands_tell_and_exit(
    tmp_path: Path, journal_url: str, capsys: pytest.CaptureFixture[str], engine: Engine
) -> None:
    """`verify` exits 0 on a sound journal and 1 on a finding; `explain` tells a trade; JSON is one object."""
    filled(tmp_path / "spool", journal_url)
    assert main(["verify", "--url", journal_url, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 26
    assert main(["explain", "L1", "--url", journal_url, "--json"]) == 0
    story = json.loads(capsys.readouterr().out)
    assert story["probability"] == 0.25
    assert {step["table"] for step in story["steps"]} >= {"decisions", "orders", "fills", "signals"}
    assert main(["explain", "L1", "--url", journal_url]) == 0
    assert (
        "XRPUSDT.BINANCE long 100.0 from 0.51230 to 0.51500: pnl 0.2490270, +1.30 R, target"
        in capsys.readouterr().out
    )
    assert main(["explain", "L9", "--url", journal_url]) == 1
    assert "no trade of setup L9" in capsys.readouterr().err
    tampered(engine, "DELETE FROM fills WHERE seq = 3")
    assert main(["verify", "--url", journal_url]) == 1
    assert "1 row(s) missing before trades 4" in capsys.readouterr().out
    assert main(["verify", "--url", "mysql://x"]) == 2
    assert main(["verify", "--url", f"sqlite:///{tmp_path}/none.sqlite"]) == 2
    capsys.readouterr()


def test_a_story_is_told_as_it_happened(tmp_path: Path, journal_url: str, engine: Engine) -> None:
    """In bar runs a decision bears the bar's time: it stays behind the fill that came before it."""
    close_ns = START.ts_ns
    journal = SessionJournal(tmp_path, "s1", START, reserve_bytes=0)
    facts = {"setup_id": "L1", "zone_id": 1}
    told = [
        decision(0, kind="entry_submitted", **facts),
        structs.replace(command(1), ts_ns=close_ns + 5, action="pause"),
        decision(0, **facts),
        structs.replace(fill(1), ts_ns=close_ns + 9),
        decision(0, kind="protection", **facts),
    ]
    for record in told:
        journal.append(record)
    journal.append(
        FeatureRecord(
            ts_ns=close_ns, strategy_id="OTE-000", instrument_id=COIN, setup_id="L1", features={"f": 0.5}
        )
    )
    journal.append(trade(1, r_multiple=float("nan")))
    journal.abandon()
    Writer(tmp_path, journal_url).drain()
    story = explain(engine, "L1")
    assert [step.table for step in story.steps] == [
        "decisions", "commands", "decisions", "features", "fills", "decisions",
    ]  # fmt: skip
    assert [step.what for step in story.steps][-1] == "protection"
    assert "- R, target" in as_text(story)


def test_views_answer_the_questions(tmp_path: Path, journal_url: str, engine: Engine) -> None:
    """Win rate by confidence, by factor, exit reason, hour, verdict and coin are those of a hand count."""
    journal = SessionJournal(tmp_path, "s1", START, reserve_bytes=0)
    results = [("2.0", 0.92, "target"), ("-1.0", 0.93, "stop"), ("3.0", 0.81, "target")]
    for number, (pnl, confidence, reason) in enumerate(results):
        factors = {"trend": 10.0, **({"sweep": 20.0} if number else {})}
        journal.append(signal(number, confidence=confidence, factors=factors, timeframe="5m"))
        if number == 2:
            journal.append(decision(2, reason="keep"))
        journal.append(trade(number, pnl=pnl, exit_reason=reason))
    journal.append(signal(9, is_taken=False, skip_reason="correlated", confidence=0.99))
    journal.abandon()
    Writer(tmp_path, journal_url).drain()

    def asked(columns: str, view: str) -> list[tuple[object, ...]]:
        with engine.connect() as connection:
            return [
                tuple(row) for row in connection.execute(text(f"SELECT {columns} FROM {view} ORDER BY 1"))
            ]

    assert asked("confidence_bucket, trades, wins, win_rate", "win_rate_by_confidence") == [
        ("0.80 to 0.85", 1, 1, 1.0), ("0.90 to 0.95", 2, 1, 0.5),
    ]  # fmt: skip
    assert asked("factor, trades, wins, pnl", "performance_by_factor") == [
        ("sweep", 2, 1, 2.0),
        ("trend", 3, 2, 4.0),
    ]
    assert asked("exit_reason, trades, pnl", "performance_by_exit_reason") == [
        ("stop", 1, -1.0),
        ("target", 2, 5.0),
    ]
    assert asked("entry_hour_utc, trades, profit_factor", "performance_by_hour") == [(0, 3, 5.0)]
    assert asked("model_verdict, trades", "performance_by_model_verdict") == [("keep", 1), ("not asked", 2)]
    assert asked("instrument_id, trades, best_timeframe, best_trading_session", "coin_performance") == [
        (COIN, 3, "5m", "asia"),
    ]  # fmt: skip
    assert asked("exit_date, trades, pnl", "daily_stats") == [("2026-03-18", 3, 4.0)]
    assert asked("skip_reason, signals", "skipped_signals") == [("correlated", 1)]
    assert asked("session_id, mode, trades", "session_overview") == [("s1", "paper", 3)]


@pytest.mark.parametrize("view", ["trade_facts", "performance_by_model_verdict", "performance_by_factor"])
def test_views_look_rows_up(tmp_path: Path, view: str) -> None:
    """A trade's signal and its last decision are found by every column that is asked for, none is scanned."""
    engine = open_engine(f"sqlite:///{tmp_path}/journal.sqlite")
    migrate(engine)
    with engine.connect() as connection:
        plan = connection.exec_driver_sql(
            f"EXPLAIN QUERY PLAN SELECT * FROM {view} WHERE session_id = 's1'"
        ).all()
    engine.dispose()
    searches = [row[3] for row in plan]
    decisions = [line for line in searches if " d " in line]
    assert bool(decisions) == (view != "performance_by_factor")
    assert all("(session_id=? AND setup_id=? AND kind=?)" in line for line in decisions)
    (ours,) = (line for line in searches if " b " in line)
    assert "(session_id=? AND setup_id=? AND signal_id=?)" in ours


def test_a_removed_session_is_found(tmp_path: Path, journal_url: str, engine: Engine) -> None:
    """Who removes all rows of a session, its position and its checkpoints does not reach the file beside."""
    spool = tmp_path / "spool"
    for session in ("s1", "s2"):
        filled(spool, journal_url, session=session)
    heads = read_heads(heads_file(journal_url, spool))
    assert [(name, head.rows) for name, head in heads.items()] == [("s1", 26), ("s2", 26)]
    assert [one.findings for one in verify(engine, heads=heads)] == [[], []]
    with engine.begin() as connection:
        for table in models.Base.metadata.sorted_tables:
            connection.execute(table.delete().where(table.c.session_id == "s1"))
    assert [one.session_id for one in verify(engine)] == ["s2"]
    gone, kept = verify(engine, heads=heads)
    assert [(one.kind, one.session_id) for one in gone.findings] == [("removed", "s1")]
    assert kept.findings == []
    assert verify(engine, "s1", heads)[0].findings == gone.findings


def test_torn_lines_of_ends_are_left_out(tmp_path: Path) -> None:
    """A crash in the middle of a line costs that line only: it is written again."""
    path = tmp_path / "journal.heads"
    assert read_heads(path) == {}
    path.write_bytes(b'{"session_id":"s0","ro')
    head = Head(session_id="s1", rows=2, last_hash="ab" * 32)
    add_head(path, head)
    assert read_heads(path) == {"s1": head}


def test_wrong_urls_and_newer_schemas_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A port that is no number is wrong usage; a newer schema is no reason to migrate."""
    assert main(["verify", "--url", "postgresql://u:secret@host:port/db"]) == 2
    told = capsys.readouterr().err
    assert "journal URL is no database URL" in told
    assert "secret" not in told
    url = f"sqlite:///{tmp_path}/journal.sqlite"
    engine = open_engine(url)
    migrate(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    engine.dispose()
    assert main(["verify", "--url", url]) == 1
    told = capsys.readouterr().err
    assert "newer than this program: update it" in told
    assert "migrate" not in told


def test_a_password_belongs_into_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings with a password in the URL are refused, the environment's URL replaces theirs."""
    with pytest.raises(ConfigurationError, match="SMCBOT_JOURNAL_URL"):
        parse_settings("journal: {url: 'postgresql://user:secret@host/name'}")
    monkeypatch.setenv("SMCBOT_JOURNAL_URL", "postgresql://user:secret@host/name")
    assert place.journal_url(parse_settings("").journal) == "postgresql://user:secret@host/name"
    assert "secret" not in masked(place.journal_url(parse_settings("").journal))
