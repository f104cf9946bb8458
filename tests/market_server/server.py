"""A loopback server in threads: responders give the content, faults break the answers as scripted."""

import re
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

type Reply = tuple[int, Mapping[str, str], bytes]
# None: the path belongs to another responder.
type Responder = Callable[[str, Mapping[str, str]], Reply | None]

KINDS = ("slow", "truncate", "wrong_checksum", "not_found", "status", "reset", "clock")
NOT_FOUND: Reply = (404, {"Content-Type": "application/xml"}, b"<Error><Code>NoSuchKey</Code></Error>")
PIECE_BYTES = 4096
FOREVER = -1


@dataclass(slots=True)
class Fault:
    """One scripted fault: what it hits, how often, and its details."""

    pattern: re.Pattern[str]
    kind: str
    times: int
    details: dict[str, Any]


@dataclass(slots=True)
class Request:
    """One request as it came in: path, query, where its range began (0 without one), bytes sent."""

    path: str
    query: dict[str, str]
    offset: int = 0
    sent: int = 0


@dataclass(slots=True)
class MarketServer:
    """What runs: its address, what it was asked, and the faults still to come."""

    responders: Sequence[Responder]
    address: str = ""
    requests: list[Request] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    is_stopping: threading.Event = field(default_factory=threading.Event)

    def fault(self, path_pattern: str, kind: str, times: int = 1, **details: Any) -> None:
        """Script a fault for the next `times` requests (-1: all) whose path matches the regular expression.

        ``slow`` (piece_secs, piece_bytes: a pause before each piece), ``truncate`` (keep: share of the
        body), ``wrong_checksum``, ``not_found``, ``status`` (status, headers, body), ``reset``
        (after_bytes), ``clock`` (date: header).
        """
        if kind not in KINDS:
            raise ValueError(f"fault {kind}: use one of {', '.join(KINDS)}")
        with self.lock:
            self.faults.append(Fault(re.compile(path_pattern), kind, times, details))

    def heal(self) -> None:
        """Forget all faults."""
        with self.lock:
            self.faults.clear()

    def paths(self, pattern: str = "") -> list[str]:
        """Return the paths asked for so far that match."""
        with self.lock:
            return [request.path for request in self.requests if re.search(pattern, request.path)]

    def take(self, request: Request) -> Fault | None:
        """Note a request and take the first fault that hits it."""
        with self.lock:
            self.requests.append(request)
            for fault in self.faults:
                if fault.times != 0 and fault.pattern.search(request.path):
                    fault.times -= fault.times > 0
                    return fault
        return None

    def respond(self, path: str, query: Mapping[str, str]) -> Reply:
        """Return the undisturbed answer."""
        for responder in self.responders:
            reply = responder(path, query)
            if reply is not None:
                return reply
        return NOT_FOUND

    @property
    def hosts(self) -> dict[str, str]:
        """The `hosts` of the settings file that lead here."""
        return {
            "binance_archive": self.address,
            "binance_archive_listing": f"{self.address}/listing",
            "binance_spot": self.address,
            "binance_usdm": self.address,
            "bybit_archive": f"{self.address}/bybit_archive",
            "bybit": self.address,
        }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    market: MarketServer

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        ranged = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        request = Request(parts.path, query, int(ranged[1]) if ranged else 0)
        fault = self.market.take(request)
        reply = self._disturbed(parts.path, query, fault)
        try:
            self._answer(request, reply, fault)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _disturbed(self, path: str, query: dict[str, str], fault: Fault | None) -> Reply:
        if fault is not None and fault.kind == "not_found":
            return NOT_FOUND
        if fault is not None and fault.kind == "status":
            details = fault.details
            return details["status"], details.get("headers", {}), details.get("body", b"{}")
        status, headers, body = self.market.respond(path, query)
        if fault is not None and fault.kind == "clock":
            headers = {**headers, "Date": fault.details["date"]}
        if fault is not None and fault.kind == "wrong_checksum" and status == 200:
            digit = b"0" if body[:1] != b"0" else b"1"
            body = digit + body[1:]
        return status, headers, body

    def _answer(self, request: Request, reply: Reply, fault: Fault | None) -> None:
        status, headers, body = reply
        length = len(body)
        if status == 200 and request.offset:
            if request.offset >= length:
                status, body = 416, b""
                headers = {**headers, "Content-Range": f"bytes */{length}"}
            else:
                status, body = 206, body[request.offset :]
                last = length - 1
                headers = {**headers, "Content-Range": f"bytes {request.offset}-{last}/{length}"}
        details = fault.details if fault else {}
        kind = fault.kind if fault else ""
        if kind == "reset" and not details.get("after_bytes"):
            self._reset()
            return
        self.send_response_only(status)
        if "date" not in {name.lower() for name in headers}:
            self.send_header("Date", self.date_time_string())
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if kind == "truncate":
            body = body[: int(len(body) * details.get("keep", 0.5))]
            self.close_connection = True
        if kind == "reset":
            body = body[: details["after_bytes"]]
        self._send(request, body, details if kind == "slow" else {})
        if kind == "reset":
            self._reset()

    def _send(self, request: Request, body: bytes, details: dict[str, Any]) -> None:
        piece_secs = details.get("piece_secs", 0.0)
        piece_bytes = details.get("piece_bytes", PIECE_BYTES)
        for low in range(0, len(body), piece_bytes):
            if piece_secs and self.market.is_stopping.wait(piece_secs):
                self.close_connection = True
                return
            piece = body[low : low + piece_bytes]
            self.wfile.write(piece)
            request.sent += len(piece)

    def _reset(self) -> None:
        self.wfile.flush()
        # What was sent must arrive first; linger 0 then sends RST instead of FIN.
        time.sleep(0.02)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Keep quiet."""


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Pass over clients that went away: that is what many tests are about."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def market_server(*responders: Responder, port: int = 0) -> Iterator[MarketServer]:
    """Run a server on loopback while the block runs; port 0 takes a free one."""
    market = MarketServer(responders)
    handler = type("Handler", (_Handler,), {"market": market})
    server = _Server(("127.0.0.1", port), handler)
    server.daemon_threads = True
    market.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield market
    finally:
        market.is_stopping.set()
        server.shutdown()
        server.server_close()
        thread.join()
