"""Fixtures that every test folder shares."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests import canary_search, node_starts, venue_fixtures
from tests.canary import CANARY_VARIABLES, files_with_canary
from tests.faults import recorder
from tests.local_postgres import LocalPostgres, programs

# The first call of a kernel compiles it, which takes longer than any deadline.
settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ci" if os.environ.get("CI") else "default")

# Runs of tests leave nothing in var/; tests of the journal name a database of their own.
os.environ["SMCBOT_JOURNAL_URL"] = "off"

ROOT = Path(__file__).resolve().parents[1]
SHARED_DATA = Path(os.environ.get("SHARED_DATA", ROOT.parent / "shared" / "data"))


def pytest_configure(config: pytest.Config) -> None:
    """Search what tests write for a secret, note rows of the fault matrix, count the nodes that start."""
    config.pluginmanager.register(canary_search)
    config.pluginmanager.register(recorder)
    config.pluginmanager.register(node_starts)


spot_venue = venue_fixtures.spot_venue
start_venue = venue_fixtures.start_venue
bybit_venue = venue_fixtures.bybit_venue


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Give the folder of real market data, or skip where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no real market data at {SHARED_DATA}: set SHARED_DATA to its folder")
    return SHARED_DATA


@pytest.fixture
def canary_environment(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Put secrets into the environment, for this process and as a copy for others; see `tests.canary`."""
    for name, value in CANARY_VARIABLES.items():
        monkeypatch.setenv(name, value)
    return dict(os.environ)


@pytest.fixture(scope="session")
def postgres() -> Iterator[LocalPostgres]:
    """Give a PostgreSQL server of our own, or skip where PostgreSQL is not installed."""
    found = programs()
    if found is None:
        pytest.skip("no PostgreSQL: install Debian's package `postgresql`")
    server = LocalPostgres(found)
    yield server
    server.stop()
    found = files_with_canary(server.folder)
    server.remove()
    assert found == [], "a secret is in the database or its log"


@pytest.fixture(params=["sqlite", "postgresql"])
def journal_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give the URL of an empty journal on each database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/journal.sqlite"
    server: LocalPostgres = request.getfixturevalue("postgres")
    return server.new_url()
