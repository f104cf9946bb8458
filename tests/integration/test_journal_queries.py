"""The queries of docs/how-to/journal.md run as they stand there, on both databases."""

import re
from pathlib import Path

import pytest
from sqlalchemy import text

from runtime.journal.database import open_engine
from runtime.journal.session import SessionJournal
from runtime.journal.writer import Writer
from tests.journal_records import DURABLE, START

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "journal.md"
BLOCKS = re.findall(r"```sql\n(.*?)```\n```\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.fixture
def journal_with_rows(tmp_path: Path, journal_url: str) -> str:
    """Give the URL of a journal with a row of every kind."""
    journal = SessionJournal(tmp_path / "spool", "s1", START, reserve_bytes=0)
    for make in DURABLE:
        journal.append(make(1))
    journal.abandon()
    Writer(tmp_path / "spool", journal_url).drain()
    return journal_url


def test_the_page_has_queries_that_run(journal_with_rows: str) -> None:
    """At least five, each with the columns that the page shows."""
    assert len(BLOCKS) >= 5
    engine = open_engine(journal_with_rows, read_only=True)
    with engine.connect() as connection:
        for query, shown in BLOCKS:
            found = connection.execute(text(query.rstrip().removesuffix(";")))
            assert list(found.keys()) == shown.split("\n", 1)[0].split(), query
            found.all()
    engine.dispose()
