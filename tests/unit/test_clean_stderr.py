"""What libraries write to stderr past Python: no secret, nothing twice, nothing lost when the node dies."""

import os
import subprocess
import sys
from pathlib import Path

from runtime.live.clean_stderr import FAREWELL, StderrFilter
from runtime.redact import MASK, Redactor
from tests.canary import CANARY

ROOT = Path(__file__).resolve().parents[2]
ERROR = "2026-03-18T00:00:00.123456789Z [ERROR] T-1.Risk: refused\n"
CHILD = """
import os, sys
from runtime.live.clean_stderr import CleanStderr

with CleanStderr():
    print("python tells", file=sys.stderr)
    os.write(2, b"a library tells CANARY\\n")
    os.write(2, b"ERROR")
    os.write(2, b"Traceback of it\\n")
    LAST
print("after", file=sys.stderr)
"""


def run(last: str) -> list[str]:
    """Run a process that writes past Python, and return the lines of its stderr."""
    program = CHILD.replace("CANARY", CANARY).replace('ERROR"', f'{ERROR.strip()}\\n"').replace("LAST", last)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=dict(os.environ), capture_output=True, text=True
    )
    return done.stderr.splitlines()


def test_secrets_go_and_lines_of_nautilus_are_told_once() -> None:
    """They are in its log file, which is handed on; Python's own lines pass, before and after."""
    assert sorted(run("pass")) == sorted(["python tells", f"a library tells {MASK}", "after"])


def test_a_process_that_is_aborted_leaves_its_last_words() -> None:
    """Nobody may have read its log file to the end: what was held back comes out, behind the rest."""
    told = run("os.abort()")
    assert told[-2:] == [ERROR.strip(), "Traceback of it"]
    assert "after" not in told


def test_a_panic_behind_an_error_is_no_part_of_it() -> None:
    """A message of another's begins after a pause, or as panics begin."""
    rules = StderrFilter(Redactor(["hunter2hunter2"]))
    assert [rules.line(ERROR), rules.line("its second line\n")] == ["", ""]
    panic = "thread 'tokio' panicked at src/lib.rs:1: hunter2hunter2\n"
    assert rules.line(panic) == panic.replace("hunter2hunter2", MASK)
    rules.line(ERROR)
    rules.pause()
    assert rules.line("something else\n") == "something else\n"
    assert rules.end() == f"{ERROR}its second line\n{ERROR}"
    rules.line(FAREWELL)
    assert rules.end() == ""
