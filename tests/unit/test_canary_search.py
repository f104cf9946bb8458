"""The search for secrets itself: it must be able to fail."""

import gzip
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.canary import CANARY, CANARY_VARIABLES, HALVES, files_with_canary

ROOT = Path(__file__).resolve().parents[2]

# A suite of its own: each test says in its name whether it leaves a secret, and where.
SUITE = """
import os, subprocess, sys
import pytest

SECRET = os.environ["BINANCE_API_SECRET"]

@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return tmp_path_factory.mktemp("shared")

def test_clean(tmp_path, shared):
    (tmp_path / "log.txt").write_text("key=[redacted]")
    (shared / "events.jsonl").write_text("{}")

def test_in_a_log(tmp_path):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "node.log").write_text(f"refused for {SECRET}")

def test_of_another_process(tmp_path):
    script = "import os, pathlib; pathlib.Path('crash.txt').write_text(os.environ['BYBIT_API_SECRET'])"
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)

def test_printed():
    print(f"connecting with {SECRET}")

def test_in_a_shared_folder(shared):
    (shared / "journal-0.spool").write_bytes(b"\\x00" + SECRET.encode())
"""


@pytest.fixture
def sessions(tmp_path: Path) -> Path:
    """Give the folder of the suite."""
    suite = tmp_path / "suite"
    suite.mkdir()
    (suite / "test_planted.py").write_text(SUITE)
    return suite


@pytest.mark.parametrize(
    "workers",
    [
        pytest.param([], id="one process"),
        pytest.param(["-n", "2"], id="two workers", marks=pytest.mark.slow),
    ],
)
def test_a_planted_secret_fails_the_test_that_wrote_it(
    sessions: Path, tmp_path: Path, workers: list[str]
) -> None:
    """Each find names test and file; the clean test passes; what tests share is searched at the end."""
    inner = tmp_path / "inner"
    done = subprocess.run(
        [
            sys.executable, "-m", "pytest", "-p", "tests.canary_search", "-c", os.devnull, "-rfE", "-q",
            "--rootdir", sessions, "--basetemp", inner, "--import-mode=importlib", *workers, sessions,
        ],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    for path in inner.rglob("*"):  # what was planted there is not ours
        if path.is_file():
            path.unlink()
    assert done.returncode == 1, done.stdout + done.stderr
    assert "5 passed, 4 errors" in done.stdout, done.stdout
    for line in (
        "test_in_a_log wrote the canary",
        "node.log",
        "test_of_another_process wrote the canary",
        "crash.txt",
        "test_printed printed the canary",
        "journal-0.spool",
    ):
        assert line in done.stdout, line
    assert "test_clean wrote" not in done.stdout


def test_every_test_has_the_secrets_in_its_environment() -> None:
    """Both this process and those that it starts."""
    assert CANARY_VARIABLES.items() <= os.environ.items()
    assert all(CANARY in value for value in CANARY_VARIABLES.values())
    assert "".join(half.decode() for half in HALVES) == CANARY


def test_files_of_every_kind_are_searched(tmp_path: Path) -> None:
    """Text, spool, gzip, a database with a text over several pages; not columns of numbers."""
    planted = tmp_path / "planted"
    planted.mkdir()
    (planted / "run.log").write_text(f"{'x' * 100_000}{CANARY}")
    (planted / "journal-0.spool").write_bytes(b"\x00\xff" + CANARY.encode())
    (planted / "trades.csv.gz").write_bytes(gzip.compress(CANARY.encode()))
    (planted / "plain.gz").write_text(f"no gzip, {CANARY}")
    cut = gzip.compress(f"{CANARY}{os.urandom(500).hex()}".encode())
    (planted / "cut.jsonl.gz").write_bytes(cut[:-40])
    (planted / "empty.log").touch()
    (planted / "clean.log").write_text("canary")
    (planted / "ticks.parquet").write_text(CANARY)
    expected = {"run.log", "journal-0.spool", "trades.csv.gz", "plain.gz", "cut.jsonl.gz"}
    for shift in range(0, 60, 7):  # somewhere in there the end of a page cuts the canary
        name = f"journal-{shift}.sqlite"
        with sqlite3.connect(planted / name) as connection:
            connection.execute("CREATE TABLE decisions (reason TEXT)")
            text = f"{'x' * (4040 + shift)}{CANARY}{'x' * 9000}"
            connection.execute("INSERT INTO decisions VALUES (?)", (text,))
        connection.close()
        expected.add(name)
    assert {path.name for path in files_with_canary(planted)} == expected
    for path in planted.iterdir():
        path.unlink()
