"""Listens with a thread per connection, without waiting to send small packets together."""

import contextlib
import logging
import socket
import ssl
import threading
from pathlib import Path
from typing import Any, Final

from flask import Flask
from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

from ui.server.addresses import Network, counted_as, is_within
from ui.server.guard import SOCKET_PATH

log = logging.getLogger("smcbot.terminal")

STOP_SECS: Final = 3.0
POLL_SECS: Final = 0.1  # until it notices that it shall stop
# 50 browsers with their sockets, and what else they keep open.
MAX_CONNECTIONS: Final = 512
# Of an address that says nothing: a request must have come by then.
IDLE_SECS: Final = 30.0
# Of a connection that has just come; and of an address, so many may be in that time.
FIRST_SECS: Final = 5.0
MAX_SILENT: Final = 64


class Handler(WSGIRequestHandler):
    """Answers requests; says nothing of them, since addresses may hold what is nobody's business."""

    disable_nagle_algorithm = True
    protocol_version = "HTTP/1.1"
    server_version = "terminal"
    sys_version = ""
    timeout = FIRST_SECS

    def run_wsgi(self) -> None:
        """Answer, and take what follows on the connection of a socket for no further request."""
        if isinstance(self.server, _Server):
            self.server.heard(self.client_address)
        self.connection.settimeout(IDLE_SECS)
        super().run_wsgi()
        if self.path.startswith(SOCKET_PATH):
            self.close_connection = True

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log nothing."""


class _Server(ThreadedWSGIServer):
    """A thread per connection, up to a number: a flood of them is turned away instead of served slowly."""

    daemon_threads = True
    block_on_close = False  # sockets of browsers end with the process

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._places = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self.proxies: tuple[Network, ...] = ()
        self._silent: dict[Any, str] = {}  # connections that sent no request yet -> as what they are counted
        self._lock = threading.Lock()

    def encrypt(self, context: ssl.SSLContext) -> None:
        """Speak TLS; each connection's handshake is its own thread's, so that nobody waits for another's."""
        self.ssl_context = context
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Begin a thread, or turn the connection away."""
        if not self._may_be_silent(client_address):
            self.shutdown_request(request)
        elif self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.heard(client_address)
            self.shutdown_request(request)

    def heard(self, client_address: Any) -> None:
        """Count a connection no more as one that says nothing."""
        with self._lock:
            self._silent.pop(client_address, None)

    def _may_be_silent(self, client_address: Any) -> bool:
        """Count one more that has said nothing yet; a proxy's are many people's."""
        if is_within(client_address[0], self.proxies):
            return True
        who = counted_as(client_address[0])
        with self._lock:
            if sum(one == who for one in self._silent.values()) >= MAX_SILENT:
                return False
            self._silent[client_address] = who
            return True

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection to its end."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.heard(client_address)
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log that a connection broke; what it says may be anybody's."""
        log.debug("a connection from %s broke", client_address[0], exc_info=True)


class Listener:
    """An application at an address; a context manager.

    Parameters
    ----------
    host, port
        To listen at; port 0 takes a free one.
    certificate
        Files of certificate and key, for TLS.
    proxies
        Whose connections are of many people.

    Raises
    ------
    OSError
        When the address cannot be had.
    """

    def __init__(
        self,
        host: str,
        port: int,
        certificate: tuple[Path, Path] | None = None,
        proxies: tuple[Network, ...] = (),
    ) -> None:
        self._proxies = proxies
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._certificate = certificate
        try:
            self._socket.bind((host, port))
            self._socket.listen(128)
        except OSError:
            self._socket.close()
            raise
        self.host, self.port = host, int(self._socket.getsockname()[1])
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def start(self, app: Flask) -> None:
        """Serve an application from a thread."""
        self._server = _Server(self.host, self.port, app, Handler, fd=self._socket.fileno())
        self._server.proxies = self._proxies
        if (context := self._tls()) is not None:
            self._server.encrypt(context)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(POLL_SECS,), name="listener", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Serve no more."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join(STOP_SECS)
            self._server.server_close()
        with contextlib.suppress(OSError):
            self._socket.close()

    def _tls(self) -> ssl.SSLContext | None:
        if self._certificate is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(*map(str, self._certificate))
        return context
