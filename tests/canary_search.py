"""Searches what every test left behind for the canary: a pytest plugin that `tests/conftest.py` registers.

Every test, and every process that a test starts, has the canary in its environment. After a test its folder
and what it printed are searched, after the last one (of each xdist worker) the folders that tests share.
A find is an error of that test, with the file.
"""

import os
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.canary import CANARY, CANARY_VARIABLES, files_with_canary

SECS: Final = pytest.StashKey[float]()
FOUND: Final = pytest.StashKey[set[Path]]()


def pytest_configure(config: pytest.Config) -> None:
    """Put the canary into the environment, in place of real secrets of whoever runs the tests."""
    os.environ.update(CANARY_VARIABLES)
    config.stash[SECS] = 0.0
    config.stash[FOUND] = set()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, Any, Any]:
    """Search the folder of a test when its fixtures are gone."""
    result = yield
    folder = getattr(item, "funcargs", {}).get("tmp_path")
    if isinstance(folder, Path):
        search(item.config, folder, item.nodeid)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Search what a test printed; what Python's own log capture holds has not been written anywhere."""
    report: pytest.TestReport = yield
    # The last report of a test has what all three phases printed.
    if call.when == "teardown" and report.passed and CANARY in report.capstdout + report.capstderr:
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} printed the canary: a secret has been written"
    return report


@pytest.fixture(scope="session", autouse=True)
def _shared_folders(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Search the folders that several tests share, when the last test of this process is over."""
    yield
    search(request.config, tmp_path_factory.getbasetemp(), "the last test, or one before it")


def search(config: pytest.Config, folder: Path, who: str) -> None:
    """Fail when a file below a folder holds the canary; a file that was told about is not told again."""
    started_s = time.perf_counter()
    found = [path for path in files_with_canary(folder) if path not in config.stash[FOUND]]
    config.stash[SECS] += time.perf_counter() - started_s
    config.stash[FOUND].update(found)
    if found:
        pytest.fail(f"{who} wrote the canary, a secret, into {', '.join(map(str, found))}", pytrace=False)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand what the search cost from an xdist worker to its controller."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["canary_secs"] = session.config.stash[SECS]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Add what the search cost in a worker."""
    node.config.stash[SECS] += getattr(node, "workeroutput", {}).get("canary_secs", 0.0)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say what the search cost, all workers together."""
    terminalreporter.write_line(f"search for a secret in what the tests wrote: {config.stash[SECS]:.1f} s")
