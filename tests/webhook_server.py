"""A loopback webhook that takes apprise's JSON messages: answers, refuses, hangs or drips, as it is told."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(slots=True)
class Webhook:
    """What a webhook was sent; `behaviour` is ``ok``, ``fail`` (500), ``hang`` or ``drip``."""

    behaviour: str = "ok"
    received: list[dict[str, Any]] = field(default_factory=list)
    attempts: int = 0
    address: str = ""
    changed: threading.Condition = field(default_factory=threading.Condition)
    released: threading.Event = field(default_factory=threading.Event)

    def wait_for(self, messages: int, secs: float = 20.0) -> list[dict[str, Any]]:
        """Return the messages once so many arrived; the time only ends a test that hangs."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.received) >= messages, secs), self.received
            return list(self.received)

    def wait_for_attempts(self, attempts: int, secs: float = 20.0) -> None:
        """Return once so many requests came in."""
        with self.changed:
            assert self.changed.wait_for(lambda: self.attempts >= attempts, secs), self.attempts


class _Handler(BaseHTTPRequestHandler):
    webhook: Webhook

    def do_POST(self) -> None:
        webhook = self.webhook
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with webhook.changed:
            behaviour = webhook.behaviour
            webhook.attempts += 1
            if behaviour == "ok":
                webhook.received.append(body)
            webhook.changed.notify_all()
        if behaviour == "hang":
            webhook.released.wait(30)
        elif (
            behaviour == "drip"
        ):  # each byte comes in time, the end of the first header after an hour and a half
            self.wfile.write(b"HTTP/1.0 200 OK\r\nX-Drip: ")
            while not webhook.released.wait(0.1):
                self.wfile.write(b"1")
        else:
            self.send_response(200 if behaviour == "ok" else 500)
            self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Keep quiet."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Keep quiet about clients that went away."""


@contextmanager
def webhook_server(behaviour: str = "ok") -> Iterator[Webhook]:
    """Run a webhook on a free port of loopback; its `address` is an apprise one."""
    webhook = Webhook(behaviour)
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"webhook": webhook}))
    webhook.address = f"json://127.0.0.1:{server.server_address[1]}/hook"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield webhook
    finally:
        webhook.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
