"""Health: every check has an answer in time, whatever happens inside it."""

import json
import sqlite3
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from runtime import health
from runtime.health import DAY_NS, Check, HealthChecks, Probe, Status
from tests.canary import CANARY


def answer(probe: Probe) -> Check:
    """Ask one check."""
    return probe()


def test_up_is_up_without_looking_at_anything() -> None:
    """It answers, so it is up; the answer is JSON."""
    assert json.loads(json.dumps(health.health()))["status"] == "ok"


def test_a_check_that_hangs_or_raises_does_not_keep_the_others() -> None:
    """One hangs, one raises, one is fine; the one that hangs is not started twice."""
    release, starts = threading.Event(), []

    def hang() -> Check:
        starts.append(1)
        release.wait(30)
        return Check(name="slow", status=Status.OK, what="at last")

    def broken() -> Check:
        raise KeyError("gone")

    def fine() -> Check:
        return Check(name="fine", status=Status.OK, what="well")

    checks = HealthChecks({"slow": hang, "broken": broken, "fine": fine}, deadline_secs=0.2)
    first, second = checks.health_detailed(), checks.health_detailed()
    for report in (first, second):
        assert [one["status"] for one in report["checks"]] == ["unknown", "failing", "ok"]
        assert report["status"] == "failing"
        assert all(one["fix"] for one in health.unhealthy(report))
    assert len(starts) == 1
    assert checks.statuses() == {"slow": "unknown", "broken": "failing", "fine": "ok"}
    release.set()


def test_answers_hold_no_secret(canary_environment: dict[str, str]) -> None:
    """A database error likes to quote its URL."""

    def ping() -> None:
        raise ConnectionError(f"cannot reach {canary_environment['TRADING_DATABASE_URL']}")

    report = HealthChecks({"database": health.database_check(ping)}).health_detailed()
    assert report["checks"][0]["status"] == "failing"
    assert CANARY not in json.dumps(report)


@pytest.mark.parametrize(
    ("probe", "status"),
    [
        (health.streams_check(lambda: {"a": 1.0, "b": 2.0}, 5, 30), "ok"),
        (health.streams_check(lambda: {"a": 1.0, "b": 6.0}, 5, 30), "degraded"),
        (health.streams_check(lambda: {"a": 31.0}, 5, 30), "failing"),
        (health.streams_check(dict, 5, 30), "unknown"),
        (health.lag_check(lambda: {"a": 0.05}, 0.5, 5), "ok"),
        (health.lag_check(lambda: {"a": float("nan")}, 0.5, 5), "failing"),
        (health.spool_check(lambda: 0), "ok"),
        (health.spool_check(lambda: 2 << 30), "failing"),
        (health.clock_check(lambda: -0.3), "degraded"),
        (health.clock_check(lambda: 2.0), "failing"),
        (health.integrity_check("catalog", list, ""), "ok"),
        (health.integrity_check("catalog", lambda: ["gap", "gap"], "repair"), "failing"),
        (health.model_check(None), "ok"),
    ],
)
def test_figures_are_judged_by_their_limits(probe: Probe, status: str) -> None:
    """Up to the first limit ok, up to the second degraded, beyond it failing; NaN is failing."""
    found = answer(probe)
    assert found.status == status
    assert found.what


@pytest.mark.parametrize(
    ("days", "verdict", "status"),
    [(30, "skill", "ok"), (5, "skill", "degraded"), (-1, "skill", "failing"), (30, "no_skill", "degraded")],
)
def test_a_model_ages(days: int, verdict: str, status: str) -> None:
    """Two weeks before its end it is time to train."""
    passport = SimpleNamespace(model_id="m", verdict=verdict, expires_ns=days * DAY_NS)
    assert answer(health.model_check(passport, lambda: 0)).status == status


def test_disk_and_database_are_looked_at_for_real(tmp_path: Path) -> None:
    """Free space of a folder; a SQLite file that exists, one that is missing and is not made, one damaged."""
    assert answer(health.disk_check(tmp_path, 1, 0)).status == "ok"
    assert answer(health.disk_check(tmp_path, 1 << 62, 1 << 61)).status == "failing"
    good, missing, damaged = (tmp_path / name for name in ("good.sqlite", "missing.sqlite", "damaged.sqlite"))
    sqlite3.connect(good).execute("CREATE TABLE t (x)").connection.close()
    damaged.write_bytes(b"not a database" * 100)
    statuses = [
        answer(health.database_check(health.sqlite_ping(one))).status for one in (good, missing, damaged)
    ]
    assert statuses == ["ok", "failing", "failing"]
    assert not missing.exists()


def test_a_check_that_ends_its_thread_is_failing() -> None:
    """A library that calls exit is an answer, not silence."""

    def ends() -> Check:
        raise SystemExit(3)

    (check,) = HealthChecks({"model": ends}).health_detailed()["checks"]
    assert (check["status"], check["what"]) == ("failing", "SystemExit: 3")
