"""Whether a node is well, as plain data that others serve: never raises, never takes longer than it may.

Each check is a function of nothing that returns a `Check`. It runs in a thread with a deadline: one that
raises is ``failing``, one that does not answer is ``unknown``, and the others are not kept waiting.
"""

import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import msgspec

from runtime.redact import Redactor

NANOS: Final = 1_000_000_000
DAY_NS: Final = 86_400 * NANOS
GIB: Final = 1 << 30


class Status(StrEnum):
    """Answer of a check, from best to worst."""

    OK = "ok"
    UNKNOWN = "unknown"
    DEGRADED = "degraded"
    FAILING = "failing"


_ORDER: Final = tuple(Status)


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One answer.

    Parameters
    ----------
    name
        What was looked at.
    status
        See `Status`.
    what
        What was found, with its figures.
    fix
        What to do; empty when there is nothing to do.
    """

    name: str
    status: Status
    what: str
    fix: str = ""


type Probe = Callable[[], Check]

_STARTED_S: Final = time.monotonic()


def health() -> dict[str, Any]:
    """Return that the process is up: it answers, so it is. Looks at nothing and cannot wait."""
    return {"status": "ok", "uptime_s": round(time.monotonic() - _STARTED_S, 3)}


class HealthChecks:
    """Runs a node's checks.

    Parameters
    ----------
    probes
        Name -> check.
    deadline_secs
        For all of them together: they run side by side.

    Notes
    -----
    A check that hangs keeps its thread; until it returns it is not started again, and stays ``unknown``.
    """

    def __init__(self, probes: Mapping[str, Probe], deadline_secs: float = 2.0) -> None:
        self._probes = dict(probes)
        self._deadline_secs = deadline_secs
        self._running: dict[str, threading.Thread] = {}
        self._lock = threading.Lock()
        self._redact = Redactor.of_environment()

    def health_detailed(self) -> dict[str, Any]:
        """Return ``{status, uptime_s, checks: [{name, status, what, fix}]}``, the worst as status."""
        answers: dict[str, Check] = {}
        by = time.monotonic() + self._deadline_secs
        with self._lock:
            for name, probe in self._probes.items():
                running = self._running.get(name)
                if running is None or not running.is_alive():
                    self._running[name] = threading.Thread(
                        target=self._ask, args=(name, probe, answers), name=f"health-{name}", daemon=True
                    )
                    self._running[name].start()
            threads = dict(self._running)
        for thread in threads.values():
            thread.join(max(0.0, by - time.monotonic()))
        late = f"no answer within {self._deadline_secs:g} s"
        checks = [
            answers.get(name) or Check(name=name, status=Status.UNKNOWN, what=late, fix=_LATE_FIX)
            for name in self._probes
        ]
        worst = max((one.status for one in checks), key=_ORDER.index, default=Status.OK)
        return {**health(), "status": str(worst), "checks": [msgspec.to_builtins(one) for one in checks]}

    def statuses(self) -> dict[str, str]:
        """Return check -> status: what the metrics take."""
        return {one["name"]: one["status"] for one in self.health_detailed()["checks"]}

    def _ask(self, name: str, probe: Probe, answers: dict[str, Check]) -> None:
        try:
            found = probe()
            what, fix = self._redact(found.what), self._redact(found.fix)
            answers[name] = Check(name=name, status=found.status, what=what, fix=fix)
        except (Exception, SystemExit) as error:  # whatever is wrong with it is the answer
            what = self._redact(f"{type(error).__name__}: {error}")
            answers[name] = Check(name=name, status=Status.FAILING, what=what, fix="read the log of the node")


_LATE_FIX: Final = "look at load and disk of the machine; the check runs on and answers later"


# -- checks --------------------------------------------------------------------------------------------------


def _judged(name: str, value: float, warn: float, fail: float, what: str, fix: str) -> Check:
    """Judge a figure of which less is better; NaN fails."""
    if value <= warn:
        return Check(name=name, status=Status.OK, what=what)
    status = Status.DEGRADED if value <= fail else Status.FAILING
    return Check(name=name, status=status, what=what, fix=fix)


def streams_check(ages_secs: Callable[[], Mapping[str, float]], warn_secs: float, fail_secs: float) -> Probe:
    """Return a check of how old the last data of each stream are, seconds."""

    def probe() -> Check:
        ages = dict(ages_secs())
        if not ages:
            return Check(name="streams", status=Status.UNKNOWN, what="no stream has sent data yet")
        name, age = max(ages.items(), key=lambda one: one[1])
        what = f"{len(ages)} streams, oldest {name}: {age:.1f} s"
        return _judged(
            "streams", age, warn_secs, fail_secs, what, f"check network and venue status for {name}"
        )

    return probe


def lag_check(lags_secs: Callable[[], Mapping[str, float]], warn_secs: float, fail_secs: float) -> Probe:
    """Return a check of arrival minus venue time of the last data, seconds, by stream."""

    def probe() -> Check:
        lags = dict(lags_secs())
        if not lags:
            return Check(name="lag", status=Status.UNKNOWN, what="no data yet")
        name, lag = max(lags.items(), key=lambda one: one[1])
        fix = "check the load of the machine, the network, and the clock check"
        return _judged("lag", lag, warn_secs, fail_secs, f"largest {name}: {lag:.3f} s", fix)

    return probe


def disk_check(folder: Path, warn_bytes: int = 5 * GIB, fail_bytes: int = GIB) -> Probe:
    """Return a check of the space that is left where journal and catalog are."""

    def probe() -> Check:
        free = shutil.disk_usage(folder).free
        what = f"{free / GIB:.1f} GiB free at {folder}"
        fix = "delete old runs and logs, or move the folder to a larger disk; entries halt when it is full"
        return _judged("disk", -free, -warn_bytes, -fail_bytes, what, fix)

    return probe


def spool_check(pending_bytes: Callable[[], int], warn_bytes: int = 10 << 20, fail_bytes: int = GIB) -> Probe:
    """Return a check of what the journal's spool holds that the database has not."""

    def probe() -> Check:
        pending = pending_bytes()
        fix = "the database does not keep up: see the database check; nothing is lost while the disk has room"
        return _judged("spool", pending, warn_bytes, fail_bytes, f"{pending:,} bytes wait", fix)

    return probe


def writer_check(trouble: Callable[[], str]) -> Probe:
    """Return a check of the journal's writer by `runtime.journal.status.writer_trouble` of its spool."""

    def probe() -> Check:
        found = trouble()
        if not found:
            return Check(name="writer", status=Status.OK, what="feeds the database")
        fix = "start or mend the journal's writer; records wait in the spool meanwhile"
        return Check(name="writer", status=Status.FAILING, what=found, fix=fix)

    return probe


def records_check(lost: Callable[[], int]) -> Probe:
    """Return a check of how many records a session could not journal whole."""

    def probe() -> Check:
        count = lost()
        fix = "`python -m runtime.journal verify` names them; report what cannot be encoded"
        return _judged("records", count, 0, 0, f"{count} records could not be journaled whole", fix)

    return probe


def database_check(ping: Callable[[], object]) -> Probe:
    """Return a check that asks the database for something; `ping` raises where it does not answer."""

    def probe() -> Check:
        started_s = time.monotonic()
        try:
            ping()
        except Exception as error:  # drivers raise what they like
            fix = "start the database or mend its URL; records wait in the spool meanwhile"
            what = f"does not answer: {type(error).__name__}: {error}"
            return Check(name="database", status=Status.FAILING, what=what, fix=fix)
        took_ms = (time.monotonic() - started_s) * 1e3
        return Check(name="database", status=Status.OK, what=f"answers in {took_ms:.0f} ms")

    return probe


def sqlite_ping(path: Path) -> Callable[[], object]:
    """Return a ping of a SQLite file: opened read-only, so that a missing one is not made."""

    def ping() -> object:
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=1.0)
        try:
            return connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        finally:
            connection.close()

    return ping


def integrity_check(name: str, problems: Callable[[], Iterable[str]], fix: str) -> Probe:
    """Return a check that lists what is wrong with stored data: a catalog, a cache."""

    def probe() -> Check:
        found = list(problems())
        if not found:
            return Check(name=name, status=Status.OK, what="nothing wrong")
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        return Check(name=name, status=Status.FAILING, what=f"{found[0]}{more}", fix=fix)

    return probe


def model_check(passport: Any | None, now_ns: Callable[[], int] = time.time_ns, warn_days: int = 14) -> Probe:
    """Return a check of a model's passport: verdict and expiry.

    Parameters
    ----------
    passport
        `ml.passport.Passport`; None where no model decides.
    now_ns
        Clock, UNIX nanoseconds.
    warn_days
        So long before its end it is degraded.
    """

    def probe() -> Check:
        if passport is None:
            return Check(name="model", status=Status.OK, what="no model is used")
        left_days = (passport.expires_ns - now_ns()) / DAY_NS
        what = f"{passport.model_id} ({passport.verdict}), {left_days:.1f} days left"
        fix = "train a newer model: docs/how-to/train.md"
        if passport.verdict != "skill" and left_days > 0:
            return Check(name="model", status=Status.DEGRADED, what=what, fix=fix)
        return _judged("model", -left_days, -float(warn_days), 0.0, what, fix)

    return probe


def clock_check(offset_secs: Callable[[], float], warn_secs: float = 0.25, fail_secs: float = 1.0) -> Probe:
    """Return a check of the machine's clock against the venue's, which refuses orders a second off."""

    def probe() -> Check:
        offset = offset_secs()
        what = f"{offset:+.3f} s against the venue"
        return _judged("clock", abs(offset), warn_secs, fail_secs, what, "synchronise the clock (NTP)")

    return probe


def unhealthy(report: Mapping[str, Any]) -> Sequence[Mapping[str, str]]:
    """Return the checks of a detailed report that are not ok, worst first."""
    bad = [one for one in report["checks"] if one["status"] != Status.OK]
    return sorted(bad, key=lambda one: -_ORDER.index(Status(one["status"])))
