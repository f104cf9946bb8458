"""A Redis server of the tests' own, on a free port of loopback, with its data in a temporary folder."""

import shutil
import socket
import subprocess
import time
from pathlib import Path

START_SECS = 20.0


def redis_program() -> str | None:
    """Return the server's program, None where it is not installed."""
    return shutil.which("redis-server")


class LocalRedis:
    """Started on construction.

    Parameters
    ----------
    program
        ``redis-server``.
    folder
        Receives its log.
    """

    def __init__(self, program: str, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.log = folder / "redis.log"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    program,
                    "--port",
                    str(self.port),
                    "--bind",
                    "127.0.0.1",
                    "--save",
                    "",
                    "--dir",
                    str(folder),
                ],
                stdout=log,
                stderr=log,
            )
        by_s = time.monotonic() + START_SECS
        while self.ask("PING") != "+PONG":
            assert time.monotonic() < by_s, self.log.read_text()
            time.sleep(0.05)

    @property
    def url(self) -> str:
        """Return what the setting `live.redis` takes."""
        return f"redis://127.0.0.1:{self.port}"

    def ask(self, command: str) -> str:
        """Send a command and return the first line of the answer, "" without one."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1.0) as connection:
                connection.sendall(f"{command}\r\n".encode())
                return connection.recv(4096).decode().split("\r\n")[0]
        except OSError:
            return ""

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait()
