"""Redis as Nautilus' cache beside our state file: a killed node comes back as it does without."""

import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from runtime.live.crash_points import CrashPoint
from tests.integration.crash_child import QTY, REDIS_VARIABLE, STOP
from tests.integration.test_crash_points import (
    RunningSpot,
    RunningVenue,
    killed_at,
    legs_of,
    living,
    node,
    orders,
    position,
    wait,
)
from tests.local_redis import LocalRedis, redis_program

pytestmark = pytest.mark.slow


@pytest.fixture
def redis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalRedis]:
    """Give a server that the nodes use, or skip where Redis is not installed."""
    program = redis_program()
    if program is None:
        pytest.skip("no Redis: install Debian's package `redis-server`")
    server = LocalRedis(program, tmp_path)
    monkeypatch.setenv(REDIS_VARIABLE, server.url)
    yield server
    server.stop()


@pytest.mark.parametrize("point", [CrashPoint.ENTRY_FILL_REPORTED, CrashPoint.STOP_ACCEPTED])
def test_a_killed_futures_node_is_back_with_redis(
    tmp_path: Path, redis: LocalRedis, point: CrashPoint
) -> None:
    """Its orders are in Redis and at the venue; the position is protected once, and nothing is sent twice."""
    with RunningVenue() as venue:
        venue.trade("50000.0")
        killed_at(venue, tmp_path, point)
        assert position(venue) == Decimal(QTY)
        assert int(redis.ask("DBSIZE").removeprefix(":")) > 0
        with node(venue, tmp_path, None, enters=False) as process:
            wait("both exits rest", lambda: legs_of(living(venue)) == ["S", "T"])
            assert process.stdout.readline() == b"released\n"
            time.sleep(1.0)  # nothing is sent afterwards
        assert legs_of(living(venue)) == ["S", "T"]
        assert {one.qty for one in living(venue)} == {Decimal(QTY)}
        assert legs_of(orders(venue)).count("E") == 1
        assert position(venue) == Decimal(QTY)


@pytest.mark.parametrize("point", [CrashPoint.ENTRY_FILL_REPORTED, CrashPoint.STOP_ACCEPTED])
def test_a_killed_spot_node_is_back_with_redis(tmp_path: Path, redis: LocalRedis, point: CrashPoint) -> None:
    """Nautilus' restored position and our state file speak of the same coins: one stop, no phantom sale."""
    with RunningSpot() as venue:
        venue.trade("50000.0")
        killed_at(venue, tmp_path, point)
        coins = venue.coins
        assert int(redis.ask("DBSIZE").removeprefix(":")) > 0
        with node(venue, tmp_path, None, enters=False) as process:
            wait("a stop rests", lambda: legs_of(living(venue)) == ["S"])
            assert process.stdout.readline() == b"released\n"
            time.sleep(1.0)
        (stop,) = living(venue)
        assert Decimal(stop.stop_price) == Decimal(STOP)
        assert coins - Decimal("0.00001") < stop.qty <= coins
        assert venue.coins == coins
        assert legs_of(orders(venue)).count("E") == 1
