"""The simulator as a process of its own, for tests of nodes: neither shares the other's event loop."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import httpx

ROOT: Final = Path(__file__).resolve().parents[2]
STOP_SECS: Final = 5.0
API_KEY: Final = "simulator-key-" + "0" * 50
API_SECRET: Final = "simulator-secret-" + "0" * 47

type Json = dict[str, Any]


class VenueProcess:
    """``python -m tests.venue_simulator`` on a free port, as a context manager.

    Parameters
    ----------
    arguments
        Of the command line, without ``--port``.

    Examples
    --------
    >>> with VenueProcess("--market", "BTCUSDT:0.01:0.00001:60000") as venue:  # doctest: +SKIP
    ...     venue.ctl("trade", market="BTCUSDT", side="BUY", qty="0.1", price="60000")
    """

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments
        self._process: subprocess.Popen[str] | None = None
        self._client: httpx.Client | None = None
        self.port = 0
        self.urls: dict[str, str] = {}

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tests.venue_simulator", "--port", "0", *self._arguments]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the simulator ended with {self._process.wait()}: {' '.join(command)}")
        announced = json.loads(line)
        self.port, self.urls = announced["port"], announced["venues"]
        self._client = httpx.Client(base_url=announced["ctl"], timeout=30, trust_env=False)
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._client is not None:
            self._client.close()
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.wait(STOP_SECS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def http(self, venue: str) -> str:
        """Return the REST base URL of a venue."""
        return self.urls[venue]

    def ws(self, venue: str, path: str = "") -> str:
        """Return a websocket URL of a venue."""
        return self.urls[venue].replace("http://", "ws://") + path

    def ctl(self, path: str, /, *, venue: str | None = None, **body: Any) -> Json:
        """POST to ``/ctl/<path>``; the first venue unless one is named.

        Raises
        ------
        RuntimeError
            When the simulator refuses.
        """
        assert self._client is not None
        named = {"venue": venue or next(iter(self.urls))}
        response = self._client.post(f"/{path}", json=named | body)
        answer: Json = response.json()
        if response.status_code != 200:
            raise RuntimeError(f"/ctl/{path} {body}: {answer['error']}")
        return answer

    def fault(self, kind: str, /, *, venue: str | None = None, **args: Any) -> None:
        """Begin a fault; kinds and arguments in `tests.venue_simulator.control.FAULTS`."""
        self.ctl("fault", venue=venue, kind=kind, args=args)

    def trade(self, market: str, side: str, qty: str, price: str, *, venue: str | None = None) -> Json:
        """Print a public trade."""
        return self.ctl("trade", venue=venue, market=market, side=side, qty=qty, price=price)

    def tape(self, action: str, value: float | None = None) -> Json:
        """Start, pause, seek or pace the tape."""
        return self.ctl("tape", action=action, value=value)

    def state(self, venue: str | None = None) -> Json:
        """Return the venue's own records."""
        assert self._client is not None
        response = self._client.get("/state", params={"venue": venue or next(iter(self.urls))})
        response.raise_for_status()
        content: Json = response.json()
        return content

    def told(self, venue: str | None = None) -> list[Json]:
        """Return the private messages of the venue's streams: `ns` when it was written, `text`."""
        assert self._client is not None
        response = self._client.get("/told", params={"venue": venue or next(iter(self.urls))})
        response.raise_for_status()
        found: list[Json] = response.json()["told"]
        return found
