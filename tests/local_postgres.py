"""A PostgreSQL server of the tests' own: a new cluster in a temporary folder, reached by a socket in it."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path


def programs() -> Path | None:
    """Return the folder of PostgreSQL's programs, None where it is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    initdb = shutil.which("initdb")
    return None if initdb is None else Path(initdb).resolve().parent


class LocalPostgres:
    """Started on construction; `stop` and `start` again play an absent database.

    Parameters
    ----------
    programs
        Folder with initdb and postgres.
    durable
        Sync to the disk like a production server (benchmarks); tests need not.
    """

    def __init__(self, programs: Path, *, durable: bool = False) -> None:
        self._programs = programs
        self._durable = durable
        self.folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))  # sockets have short paths
        self._user: dict[str, object] = {}
        if os.geteuid() == 0:  # initdb refuses root
            owner = pwd.getpwnam("postgres")
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)
            self._user = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
        self._run(
            "initdb", "-D", str(self.folder / "data"), "-U", "smcbot", "-A", "trust", "-N", "-E", "UTF8"
        )
        self._server: subprocess.Popen[bytes] | None = None
        self._databases = 0
        self.start()

    def start(self) -> None:
        """Start the server and wait until it answers."""
        options = [] if self._durable else ["-c", "fsync=off", "-c", "full_page_writes=off"]
        with (self.folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                [
                    self._programs / "postgres", "-D", self.folder / "data", "-k", self.folder,
                    "-c", "listen_addresses=", "-c", "shared_buffers=32MB", *options,
                ],
                stdout=log, stderr=log, cwd=self.folder, **self._user,
            )  # fmt: skip
        self._run("pg_isready", "-q", "-h", str(self.folder), "-t", "30", retries=100)

    def stop(self) -> None:
        """Stop the server at once, as a crash would."""
        if self._server is not None:
            self._server.send_signal(signal.SIGQUIT)
            self._server.wait()
            self._server = None

    def new_url(self, template: str = "") -> str:
        """Make a database, empty or a copy of one that nobody is connected to, and return its URL."""
        self._databases += 1
        name = f"journal{self._databases}"
        copied = ["-T", template.split("?")[0].rsplit("/", 1)[1]] if template else []
        self._run("createdb", "-h", str(self.folder), "-U", "smcbot", *copied, name)
        return f"postgresql://smcbot@/{name}?host={self.folder}"

    def remove(self) -> None:
        """Stop the server and remove its files."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str, retries: int = 0) -> None:
        for left in range(retries, -1, -1):
            done = subprocess.run(
                [self._programs / program, *arguments],
                capture_output=True,
                text=True,
                cwd=self.folder,
                **self._user,
            )
            if done.returncode == 0:
                return
            if left == 0:
                raise RuntimeError(f"{program}: {done.stderr.strip()}")
            subprocess.run(["sleep", "0.1"], check=True)
