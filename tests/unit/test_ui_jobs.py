"""Jobs: one per core, cancelled, and found again by the next server."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from runtime.cli import PROGRESS_VARIABLE, progress_bar
from tests.ui_server import wait_for
from ui.server import jobs as module
from ui.server.jobs import Job, Jobs, QueueFull

ROOT = Path(__file__).resolve().parents[2]
SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


def python(code: str) -> list[str]:
    """Return a command that runs some code."""
    return [sys.executable, "-c", code]


def ended(jobs: Jobs, job: Job) -> Job:
    """Wait for a job's end."""
    wait_for(lambda: (found := jobs.find(job.id)) and found.state not in ("queued", "running"), 60)
    found = jobs.find(job.id)
    assert found is not None
    return found


def test_a_job_prints_its_result(tmp_path: Path) -> None:
    """As JSON, and is done."""
    jobs = Jobs(tmp_path)
    job = ended(jobs, jobs.submit("backtest", python("print('{\"pnl\": 5}')"), {"strategy": "ote"}, "anna"))
    assert (job.state, job.progress, job.by, job.asked) == ("done", 1.0, "anna", {"strategy": "ote"})
    assert jobs.output(job.id) == {"pnl": 5}
    assert job.ended is not None


def test_a_job_that_fails_says_why(tmp_path: Path) -> None:
    """In the last line of its words."""
    jobs = Jobs(tmp_path)
    code = "import sys; sys.stderr.write('first\\nusage error: no data\\n'); sys.exit(2)"
    job = ended(jobs, jobs.submit("backtest", python(code), {}, "anna"))
    assert (job.state, job.error) == ("failed", "usage error: no data")
    assert jobs.output(job.id) is None


@pytest.mark.parametrize("damage", [b"", b"\0" * 64, b"{}", b"[1, 2", b"\xff\xfe"])
def test_a_damaged_job_is_set_aside_and_the_others_go_on(tmp_path: Path, damage: bytes) -> None:
    """As a power cut leaves it; it is kept for a person to look at."""
    jobs = Jobs(tmp_path, at_once=0)
    jobs._at_once = 0  # what is asked for stays queued
    lost, kept = (jobs.submit("backtest", python("print(1)"), {}, "anna") for _ in range(2))
    (tmp_path / lost.id / "request.json").write_bytes(damage)
    restarted = Jobs(tmp_path, at_once=1)
    assert restarted.find(lost.id) is None
    assert restarted.cancel(lost.id) is None
    assert [job.id for job in restarted.all()] == [kept.id]
    assert (tmp_path / f"unreadable-{lost.id}" / "request.json").read_bytes() == damage
    restarted.start()
    try:
        assert ended(restarted, kept).state == "done"
    finally:
        restarted.stop()


def test_jobs_wait_until_there_is_a_place_in_the_order_in_which_they_came(tmp_path: Path) -> None:
    """One at a time, for a machine with one core."""
    jobs = Jobs(tmp_path, at_once=1)
    first = jobs.submit("backtest", SLEEP, {}, "anna")
    later = [jobs.submit("backtest", python("print(1)"), {}, "anna") for _ in range(2)]
    jobs.pump()
    states = {job.id: job.state for job in jobs.all()}
    assert [states[one.id] for one in (first, *later)] == ["running", "queued", "queued"]
    jobs.cancel(first.id)
    assert ended(jobs, first).state == "cancelled"
    for job in later:
        jobs.pump()
        assert ended(jobs, job).state == "done"
    started = [found.started for one in later if (found := jobs.find(one.id)) is not None]
    assert started == sorted(started, key=lambda ms: ms or 0)


def test_terminals_share_the_cores(tmp_path: Path) -> None:
    """Of another folder, and the lock goes with the process, not with the server: the first one has ended."""
    own, other = (Jobs(tmp_path / name, at_once=1, cores=tmp_path / "cores") for name in ("paper", "replay"))
    code = (
        "from pathlib import Path; from ui.server.jobs import Jobs; "
        f"jobs = Jobs(Path({str(tmp_path / 'paper')!r}), 1, Path({str(tmp_path / 'cores')!r})); "
        f"jobs.submit('backtest', {SLEEP!r}, {{}}, 'anna')"
    )
    subprocess.run(python(code), cwd=ROOT, check=True)
    (first,) = own.all()
    second = other.submit("backtest", python("print(1)"), {}, "boris")
    other.pump()
    assert [job.state for job in (*own.all(), *other.all())] == ["running", "queued"]
    own.cancel(first.id)
    assert ended(own, first).state == "cancelled"
    wait_for(lambda: other.pump() or other.all()[0].state != "queued", 10)
    assert ended(other, second).state == "done"


@pytest.mark.parametrize("refused", ["cores", "cores/core-0"])
def test_a_folder_of_cores_that_cannot_be_had_is_done_without(
    tmp_path: Path, refused: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Of another user, perhaps: a replay starts, and its backtests do."""
    place = tmp_path / refused
    if refused == "cores":
        place.touch()
    else:
        place.mkdir(parents=True)
    jobs = Jobs(tmp_path / "replay", at_once=1, cores=tmp_path / "cores")
    job = jobs.submit("backtest", python("print(1)"), {}, "anna")
    assert ended(jobs, job).state == "done"
    assert "jobs of other terminals are not counted" in caplog.text


@pytest.mark.slow
def test_cancelling_ends_the_process_and_what_waits(tmp_path: Path) -> None:
    """Also one that does not want to end: it is killed."""
    jobs = Jobs(tmp_path, at_once=1)
    marker = tmp_path / "pid"
    stubborn = (
        "import os, signal, time; signal.signal(15, signal.SIG_IGN); "
        f"open({str(marker)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    )
    running = jobs.submit("backtest", python(stubborn), {}, "anna")
    waiting = jobs.submit("backtest", SLEEP, {}, "anna")
    wait_for(lambda: marker.exists() and marker.read_text(), 60)
    cancelled = jobs.cancel(waiting.id)
    assert cancelled is not None
    assert cancelled.state == "cancelled"
    jobs.cancel(running.id)
    assert ended(jobs, running).state == "cancelled"
    with pytest.raises(ProcessLookupError):
        os.kill(int(marker.read_text()), 0)
    again = jobs.cancel(running.id)
    assert again is not None
    assert again.state == "cancelled"


def test_the_next_server_finds_what_runs_and_what_waits(tmp_path: Path) -> None:
    """A job does not belong to the server that started it."""
    first = Jobs(tmp_path / "jobs", at_once=1)
    go = tmp_path / "go"
    code = f"import os,time\nwhile not os.path.exists({str(go)!r}): time.sleep(0.05)\nprint('{{}}')"
    running = first.submit("backtest", python(code), {}, "anna")
    waiting = first.submit("backtest", python("print(2)"), {}, "anna")
    wait_for(lambda: (tmp_path / "jobs" / running.id / "lock").exists(), 60)
    second = Jobs(tmp_path / "jobs", at_once=1)
    second.pump()
    assert [job.state for job in second.all()[::-1]] == ["running", "queued"]
    go.touch()
    assert ended(second, running).state == "done"
    second.pump()
    assert ended(second, waiting).state == "done"


def test_a_process_that_was_killed_is_a_failure_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not a job that runs for ever."""
    monkeypatch.setattr(module, "START_SECS", 0.0)
    jobs = Jobs(tmp_path)
    job = jobs.submit("backtest", SLEEP, {}, "anna")
    pid = tmp_path / job.id / "started"
    wait_for(lambda: (tmp_path / job.id / "lock").exists() and jobs.find(job.id).state == "running", 60)  # type: ignore[union-attr]
    os.killpg(int(pid.read_text()), signal.SIGKILL)
    found = ended(jobs, job)
    assert found.state == "failed"
    assert found.error is not None
    assert "gone" in found.error


def test_a_queue_that_is_full_takes_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody fills the disk with wishes."""
    monkeypatch.setattr(module, "MAX_QUEUED", 2)
    jobs = Jobs(tmp_path)
    jobs._at_once = 0
    for _ in range(2):
        jobs.submit("backtest", SLEEP, {}, "anna")
    with pytest.raises(QueueFull):
        jobs.submit("backtest", SLEEP, {}, "anna")


def test_names_that_are_no_ids_lead_nowhere(tmp_path: Path) -> None:
    """A name is never a path."""
    jobs = Jobs(tmp_path / "jobs")
    (tmp_path / "request.json").write_bytes(msgspec.json.encode({}))
    for name in ("..", "../", "", ".", "x" * 36):
        assert jobs.find(name) is None
        assert jobs.cancel(name) is None
        assert jobs.output(name) is None


def test_a_progress_bar_tells_who_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a fraction in a file."""
    file = tmp_path / "progress"
    monkeypatch.setenv(PROGRESS_VARIABLE, str(file))
    with progress_bar("work", total=200) as advance:
        advance(50)
        assert float(file.read_text()) == 0.25
