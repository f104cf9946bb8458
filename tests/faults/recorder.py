"""Writes what each test of the matrix found: a pytest plugin, and `record` for the tests.

Nothing is written unless the environment names a file in `FILE_VARIABLE`. Rows of tests that did not run stay
as they are.
"""

import fcntl
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.faults.kinds import KINDS
from tests.faults.rows import ROWS

ROOT: Final = Path(__file__).resolve().parents[2]
# The code under test, and what tests it.
CODE: Final = (
    "strategies", "runtime", "packet_builder", "indicators", "ml", "live_node.py", "tests/venue_simulator",
    "tests/faults",
)  # fmt: skip
# Of these no node imports anything (`tests/unit/test_fault_page.py` holds that): commands on history and on
# what sessions left, and what writes the page.
BESIDE: Final = (
    "runtime/backtest_commands", "runtime/data_commands", "runtime/model_commands", "runtime/sweeps",
    "runtime/live/replay.py", "runtime/live/replay_comparison.py",
    "runtime/live/replay_engine.py", "tests/faults/page.py", "tests/faults/recorder.py",
)  # fmt: skip
FILE_VARIABLE: Final = "SMCBOT_FAULTS_JSON"
LOCK_FILE: Final = "smcbot-faults.lock"
RECORDED: Final = pytest.StashKey[list[dict[str, Any]]]()
DIGEST_LENGTH: Final = 16
REASON_LENGTH: Final = 300
ROW_NAME: Final = re.compile(r"test_F\d\d(_|$)")

_current: list[dict[str, Any]] = []


def record(row: str, venue: str, done: str, *, measured: dict[str, Any]) -> None:
    """Note what a test did and measured; its result is that of the test.

    Parameters
    ----------
    row
        ``F07`` or, for one of several variants, ``F01 60 s``.
    venue
        Kind of the account, ``-`` where it does not matter.
    done
        One sentence: what went wrong on command.
    measured
        Figures and words by name.
    """
    assert row[:3] in ROWS, row
    _current.append({"row": row, "venue": venue, "done": done, "measured": measured})


def code_files() -> dict[str, str]:
    """Return the digest of every file of the code under test, by path."""
    files = [
        file
        for place in CODE
        for file in ([ROOT / place] if (ROOT / place).is_file() else sorted((ROOT / place).rglob("*")))
        if file.is_file() and "__pycache__" not in file.parts and file.suffix != ".pyc"
    ]
    named = {file.relative_to(ROOT).as_posix(): file for file in files}
    return {
        name: hashlib.sha256(file.read_bytes()).hexdigest()[:DIGEST_LENGTH]
        for name, file in named.items()
        if is_under_test(name)
    }


def is_under_test(name: str) -> bool:
    """Tell whether a file, by its path in the repository, takes part in a row."""
    return not any(name == one or name.startswith(f"{one}/") for one in BESIDE)


def code_digest(files: dict[str, str]) -> str:
    """Return one digest of all files."""
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()[:DIGEST_LENGTH]


def merged(before: dict[str, Any], rows: list[dict[str, Any]], files: dict[str, str]) -> dict[str, Any]:
    """Return the content of faults.json with new rows in place of old ones of the same name and venue."""
    digest = code_digest(files)
    found = {(one["row"], one["venue"]): one for one in before.get("rows", [])}
    new: dict[tuple[str, str], dict[str, Any]] = {}
    for one in rows:
        key = (one["row"], one["venue"])
        new[key] = {**_both(new[key], one), "code": digest} if key in new else {**one, "code": digest}
    found |= new
    ordered = [found[key] for key in sorted(found)]
    codes = {**before.get("codes", {}), digest: files}
    return {"rows": ordered, "codes": {one: codes[one] for one in sorted({row["code"] for row in ordered})}}


def _both(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Return one row for two tests of the same one: it passes when both do."""
    failed = next((one for one in (first, second) if one["result"] == "no"), second)
    return {
        **failed,
        "measured": first["measured"] | second["measured"],
        "seconds": round(first["seconds"] + second["seconds"], 1),
    }


def changed_since(content: dict[str, Any]) -> list[str]:
    """Return the files that are not what they were when a row of faults.json was measured."""
    now = code_files()
    changed: set[str] = set()
    for files in content["codes"].values():
        changed |= {name for name in now.keys() | files.keys() if now.get(name) != files.get(name)}
    return sorted(filter(is_under_test, changed))


# -- the plugin ----------------------------------------------------------------------------------------


def pytest_configure(config: pytest.Config) -> None:
    """Begin with nothing."""
    config.stash[RECORDED] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Refuse a test of the matrix that records nothing."""
    _current.clear()
    result = yield
    assert _current or not is_row(item), f"{item.name} is a row of the matrix and recorded nothing"
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Keep what a test recorded, with its result; a failed one without a record by its name."""
    report: pytest.TestReport = yield
    is_wanted = is_row(item) or bool(_current)
    if call.when == "call" and is_wanted and not report.skipped:
        result = {"result": "pass" if report.passed else "no", "seconds": round(report.duration, 1)}
        if not report.passed:
            result["reason"] = str(call.excinfo.value).strip()[:REASON_LENGTH] if call.excinfo else ""
        item.config.stash[RECORDED] += [one | result for one in _current or [_by_name(item)]]
    return report


def is_row(item: pytest.Item) -> bool:
    """Tell whether a test is of the matrix by its name; others may run beside it and record nothing."""
    return item.get_closest_marker("fault") is not None and ROW_NAME.match(item.name) is not None


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the file."""
    name, rows = os.environ.get(FILE_VARIABLE), session.config.stash[RECORDED]
    if name and rows:
        write_rows(Path(name), rows)


def write_rows(file: Path, rows: list[dict[str, Any]]) -> None:
    """Put rows into a file of results, with the digests of the code of now."""
    # Several workers of pytest-xdist end at about the same time.
    with (Path(tempfile.gettempdir()) / LOCK_FILE).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = json.loads(file.read_text()) if file.exists() else {}
        text = json.dumps(merged(before, rows, code_files()), indent=1)
        file.write_text(text + "\n", encoding="utf-8")


def _by_name(item: pytest.Item) -> dict[str, Any]:
    """Return the row of a test that failed before it recorded: test_F07_killed_here[binance_usdm]."""
    name, _, venue = item.name.partition("[")
    words = name.removeprefix("test_").split("_")
    kinds = [one for one in venue.rstrip("]").split("-") if one in KINDS]
    return {
        "row": words[0] if words[0] in ROWS else name,
        "venue": kinds[0] if kinds else "-",
        "done": " ".join(words[1:]),
        "measured": {},
    }
