"""A loopback HTTP server that answers as scripted: for the client's tests, down to broken connections."""

import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

type Reply = tuple[int, Mapping[str, str], bytes]
type Responder = Callable[[str, Mapping[str, str]], Reply]


@dataclass(frozen=True, slots=True)
class Fault:
    """How an answer breaks: ``reset`` before a byte, ``truncate`` after half its body, ``slow`` for ever."""

    kind: str


@dataclass(slots=True)
class LocalServer:
    """Answers with the script's next entry while it has any, then with `respond`.

    `requests` lists path and query of all requests, in order; `ranges` their Range headers.
    """

    respond: Responder
    script: deque[Reply | Fault] = field(default_factory=deque)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    ranges: list[str | None] = field(default_factory=list)
    address: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)
    released: threading.Event = field(default_factory=threading.Event)

    def next_reply(self, path: str, query: dict[str, str], byte_range: str | None) -> Reply | Fault:
        """Note the request and say what to answer."""
        with self.lock:
            self.requests.append((path, query))
            self.ranges.append(byte_range)
            if self.script:
                return self.script.popleft()
        return self.respond(path, query)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    local: LocalServer

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        reply = self.local.next_reply(parts.path, dict(parse_qsl(parts.query)), self.headers.get("Range"))
        if not isinstance(reply, Fault):
            self._answer(reply, len(reply[2]))
        elif reply.kind == "reset":
            # Linger 0: close() sends RST instead of FIN.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True
        elif reply.kind == "truncate":
            status, headers, body = self.local.respond(parts.path, dict(parse_qsl(parts.query)))
            self._answer((status, headers, body[: len(body) // 2]), len(body))
            self.close_connection = True
        else:
            self.local.released.wait(30)
            self.close_connection = True

    def _answer(self, reply: Reply, length: int) -> None:
        status, headers, body = reply
        names = {name.lower() for name in headers}
        self.send_response_only(status)
        if "date" not in names:
            self.send_header("Date", self.date_time_string())
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Keep quiet."""


@contextmanager
def local_server(respond: Responder) -> Iterator[LocalServer]:
    """Run a server on a free port of loopback while the block runs."""
    local = LocalServer(respond)
    handler = type("Handler", (_Handler,), {"local": local})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    local.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield local
    finally:
        local.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
