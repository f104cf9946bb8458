"""Long work in processes of its own: queued, started one per core, followed, cancelled.

A job is a folder. What it is, how far it is and how it ended stands in files, and its process does not belong
to the server: it goes on while the server is restarted, and the next one finds it.
"""

import contextlib
import fcntl
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

log = logging.getLogger("smcbot.terminal")

REQUEST: Final = "request.json"
LOCK: Final = "lock"
EXIT: Final = "exit.json"
OUTPUT: Final = "output.json"
WORDS: Final = "words.txt"
PROGRESS: Final = "progress"
CANCEL: Final = "cancel"
STARTED: Final = "started"
PROGRESS_VARIABLE: Final = "SMCBOT_PROGRESS_FILE"
# No job's name begins so: they begin with a digit of base 16.
ASIDE: Final = "unreadable-"
MAX_QUEUED: Final = 100
MAX_KEPT: Final = 1_000
MAX_WORDS: Final = 4_000
POLL_SECS: Final = 0.3
STOP_SECS: Final = 2.0
# From its start until its process holds the lock.
START_SECS: Final = 20.0
_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

type State = Literal["queued", "running", "done", "failed", "cancelled"]


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What a job is: `command` runs, `asked` is what somebody asked for, `created` UNIX milliseconds."""

    id: str
    kind: str
    command: list[str]
    asked: dict[str, Any]
    by: str
    created: int


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """How a job's process ended: its exit code, and when, UNIX milliseconds."""

    code: int
    ended: int
    is_cancelled: bool = False


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A job as it stands: `progress` is 0 to 1, `error` says in words what went wrong."""

    id: str
    kind: str
    state: State
    progress: float
    asked: dict[str, Any]
    by: str
    created: int
    started: int | None = None
    ended: int | None = None
    error: str | None = None


class QueueFull(Exception):  # noqa: N818 - the queue is
    """Too many jobs wait."""


class Jobs:
    """The jobs of a folder.

    Parameters
    ----------
    folder
        Of all jobs; made if it does not exist.
    at_once
        Processes at a time; None for one per core.
    cores
        Folder that terminals share: their jobs together are no more than `at_once`. None where there is
        no other; one that cannot be written (of another user, on a disk to be read) is done without.
    """

    def __init__(self, folder: Path, at_once: int | None = None, cores: Path | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._at_once = at_once or os.cpu_count() or 1
        self._folder, self._cores = folder, cores if cores and _is_shared(cores, self._at_once) else None
        self._lock = threading.Lock()
        self._children: list[subprocess.Popen[bytes]] = []
        self._over: dict[str, Job] = {}  # they change no more, and there may be hundreds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="jobs", daemon=True)

    def start(self) -> None:
        """Begin to start what is queued."""
        self._thread.start()

    def stop(self) -> None:
        """Start no more; what runs goes on."""
        self._stop.set()
        with contextlib.suppress(RuntimeError):
            self._thread.join(STOP_SECS)

    def submit(self, kind: str, command: Sequence[str], asked: Mapping[str, Any], by: str) -> Job:
        """Queue a command.

        Raises
        ------
        QueueFull
            When too many wait.
        """
        if sum(job.state == "queued" for job in self.all()) >= MAX_QUEUED:
            raise QueueFull(f"{MAX_QUEUED} jobs wait already: cancel some")
        name = str(uuid.uuid4())
        request = Request(
            id=name, kind=kind, command=list(command), asked=dict(asked), by=by,
            created=time.time_ns() // 1_000_000,
        )  # fmt: skip
        hidden = self._folder / f".{name}"
        hidden.mkdir(mode=0o700)
        with (hidden / REQUEST).open("wb") as file:
            file.write(msgspec.json.encode(request))
            file.flush()
            os.fsync(file.fileno())  # before the name: a power cut leaves all of it, or nothing
        hidden.rename(self._folder / name)
        self.pump()
        return self._job(self._folder / name)

    def all(self, kind: str | None = None) -> list[Job]:
        """Return all jobs, newest first."""
        jobs = [self._readable(path.parent) for path in self._folder.glob(f"[0-9a-f]*/{REQUEST}")]
        return sorted(
            (job for job in jobs if job is not None and kind in (None, job.kind)),
            key=lambda job: (-job.created, job.id),
        )[:MAX_KEPT]

    def find(self, name: str) -> Job | None:
        """Return a job, None if there is none of that id."""
        folder = self._of(name)
        return None if folder is None else self._readable(folder)

    def output(self, name: str) -> Any:
        """Return the JSON that a finished job printed, None without any."""
        folder = self._of(name)
        if folder is None:
            return None
        try:
            return msgspec.json.decode((folder / OUTPUT).read_bytes())
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    def cancel(self, name: str) -> Job | None:
        """End a job; one that has ended stays as it is."""
        folder = self._of(name)
        if folder is None or self._readable(folder) is None:
            return None
        with self._lock:
            if self._job(folder).state in ("queued", "running"):
                (folder / CANCEL).touch()
                pid = _number(folder / STARTED)
                if pid is not None and _is_held(folder):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGTERM)  # the runner ends its command
        return self._job(folder)

    def pump(self) -> None:
        """Start what is queued, as far as there are cores."""
        with self._lock:
            self._children = [child for child in self._children if child.poll() is None]
            jobs = self.all()
            free = self._at_once - sum(job.state == "running" for job in jobs)
            for job in reversed([job for job in jobs if job.state == "queued"]):
                if free <= 0:
                    return
                free -= 1
                with self._core() as core:
                    if core is None:
                        return
                    self._start(self._folder / job.id, core)

    # -- inside ---------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stop.wait(POLL_SECS):
            try:
                self.pump()
            except OSError as error:  # a full disk ends no server
                log.debug("%s: %s", self._folder, error)
            except Exception:  # nor does anything else
                log.exception("%s: the jobs could not be looked at", self._folder)

    @contextlib.contextmanager
    def _core(self) -> Iterator[tuple[int, ...] | None]:
        """Give the lock of a core that no job has, None if there is none; the job's process keeps it."""
        if self._cores is None:
            yield ()
            return
        for number in range(self._at_once):
            fd = _open_core(self._cores, number)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(fd)
                continue
            try:
                yield (fd,)
            finally:
                os.close(fd)  # the runner's copy holds the lock until the runner ends, however it does
            return
        yield None

    def _start(self, folder: Path, core: tuple[int, ...]) -> None:
        # A session of its own: neither the server's end nor Ctrl-C ends it.
        child = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-m", "ui.server.job_runner", str(folder.absolute())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=core,
        )
        (folder / STARTED).write_text(str(child.pid))
        self._children.append(child)

    def _of(self, name: str) -> Path | None:
        folder = self._folder / name
        return folder if _ID.fullmatch(name) and (folder / REQUEST).is_file() else None

    def _readable(self, folder: Path) -> Job | None:
        """Return a job; one whose request is damaged is set aside, so that it holds up no other."""
        try:
            return self._job(folder)
        except FileNotFoundError:  # somebody else has just set it aside
            return None
        except msgspec.DecodeError as error:
            aside = folder.with_name(f"{ASIDE}{folder.name}")
            log.warning("%s: %s; it is set aside as %s", folder / REQUEST, error, aside.name)
            with contextlib.suppress(OSError):
                folder.rename(aside)
            return None

    def _job(self, folder: Path) -> Job:
        if (over := self._over.get(folder.name)) is not None:
            return over
        request = msgspec.json.decode((folder / REQUEST).read_bytes(), type=Request)
        is_held = _is_held(folder)  # asked first: who has written the ending lets go after it
        ending = _ending(folder)
        state, error = _state_of(folder, ending, is_held=is_held)
        started = folder / STARTED
        job = Job(
            id=request.id,
            kind=request.kind,
            state=state,
            progress=1.0 if state == "done" else min(1.0, _fraction(folder / PROGRESS)),
            asked=request.asked,
            by=request.by,
            created=request.created,
            started=started.stat().st_mtime_ns // 1_000_000 if started.exists() else None,
            ended=ending.ended if ending else None,
            error=error,
        )
        if ending is not None:
            self._over[job.id] = job
        return job


def _open_core(cores: Path, number: int) -> int:
    return os.open(cores / f"core-{number}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _is_shared(cores: Path, count: int) -> bool:
    """Tell whether this process can lock the cores; what shows data must start in any case."""
    try:
        cores.mkdir(parents=True, exist_ok=True, mode=0o700)
        for number in range(count):
            os.close(_open_core(cores, number))
    except OSError as error:
        log.warning("%s: %s; jobs of other terminals are not counted", cores, error.strerror or error)
        return False
    return True


def _state_of(folder: Path, ending: Ending | None, *, is_held: bool) -> tuple[State, str | None]:
    if ending is not None:
        if ending.is_cancelled:
            return "cancelled", None
        return (
            ("done", None) if ending.code == 0 else ("failed", _last_words(folder) or f"exit {ending.code}")
        )
    if is_held:
        return "running", None
    started = folder / STARTED
    if not started.exists():
        return ("cancelled", None) if (folder / CANCEL).exists() else ("queued", None)
    if time.time() - started.stat().st_mtime < START_SECS:
        return "running", None
    return "failed", "its process is gone without a word: killed, or the machine was restarted"


def _is_held(folder: Path) -> bool:
    """Tell whether the job's process lives: the kernel frees its lock when it dies."""
    try:
        fd = os.open(folder / LOCK, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False


def _ending(folder: Path) -> Ending | None:
    try:
        return msgspec.json.decode((folder / EXIT).read_bytes(), type=Ending)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def _last_words(folder: Path) -> str:
    """Return the last line that the command said: its error."""
    try:
        with (folder / WORDS).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - MAX_WORDS))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (FileNotFoundError, ValueError):
        return None


def _fraction(file: Path) -> float:
    try:
        return float(file.read_text())
    except (FileNotFoundError, ValueError):
        return 0.0
