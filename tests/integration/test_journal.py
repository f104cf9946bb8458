"""The journal from the first record to SQL, on both databases."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select, text

from runtime.journal import models
from runtime.journal.database import open_engine
from runtime.journal.records import EquityRecord, FeatureRecord, SessionEnd
from runtime.journal.rows import CHAINED
from runtime.journal.session import SessionJournal
from runtime.journal.verify import Finding, verify
from runtime.journal.writer import Writer
from tests.journal_records import COIN, DURABLE, START, decision, signal, trade


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
    journal.append(trade(1, pnl=pnl, fees="1E-9", stop_price=""))
    journal.abandon()
    Writer(tmp_path, journal_url).drain()
    with engine.connect() as connection:
        row = connection.execute(select(models.TradeRow.__table__)).one()
    assert (row.pnl, row.fees, row.stop_price) == (Decimal(pnl), Decimal("0.000000001"), None)
    assert verify(engine)[0].findings == []
