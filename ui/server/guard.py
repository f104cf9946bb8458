"""The outermost layer: who is not meant by a request never reaches the application or a socket.

Flask's own check of hosts does not cover sockets, and the one of engine.io compares the origin with the host,
which a page that rebinds its name to this address can set both.
"""

import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Final

from ui.server.addresses import Network, is_within
from ui.server.hub import places_of_viewers
from ui.server.settings import ServerSettings

SOCKET_PATH: Final = "/socket.io"
# Sockets of browsers that are being refused or are leaving.
SPARE_SOCKETS: Final = 16
# Of those, so many are no viewer's: who opens sockets and says nothing must not keep an operator out.
SPARE_OF_OPERATORS: Final = 8
# Where `may_connect` leaves the role of who is logged in.
ROLE: Final = "smcbot.role"
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS: Final = (
    ("Content-Security-Policy", POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    # With `no-referrer` browsers send `Origin: null` with the form of the login, which is refused.
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), microphone=(), geolocation=(), payment=(), usb=()"),
)
ENCRYPTED: Final = ("Strict-Transport-Security", "max-age=31536000")

type Environ = dict[str, Any]
type Start = Callable[..., Any]
type Wsgi = Callable[[Environ, Start], Iterable[bytes]]


class Guard:
    """A WSGI application before another.

    Parameters
    ----------
    inner
        The application with its sockets.
    settings
        Hosts and origins.
    may_connect
        ``(environ) -> reason``: why a socket is refused before it opens, None to open it; the role of its
        login is left in `environ` then.
    refused
        Told of refusals: ``(address, what, reason)``.
    """

    def __init__(
        self,
        inner: Wsgi,
        settings: ServerSettings,
        may_connect: Callable[[Environ], tuple[int, str] | None],
        refused: Callable[[str, str, str], None],
    ) -> None:
        self._inner, self._settings, self._may_connect = inner, settings, may_connect
        self._refused = refused
        self._hosts, self._origins = settings.hosts, frozenset(settings.origins)
        self._sockets: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __call__(self, environ: Environ, start: Start) -> Iterable[bytes]:
        """Answer a request."""
        is_socket = environ.get("PATH_INFO", "").startswith(SOCKET_PATH)
        refusal = self._refusal(environ, is_socket=is_socket)
        if refusal is not None:
            status, reason = refusal
            self._refused(address_of(environ), "connect" if is_socket else "request", reason)
            return _answer(start, status, reason)
        if not is_socket:
            return self._inner(environ, start)
        role = environ.get(ROLE, "viewer")
        try:
            if isinstance(wire := environ.get("werkzeug.socket"), socket.socket):
                wire.settimeout(None)  # with a timeout, what simple-websocket sends could be cut short
            return self._inner(environ, start)
        finally:  # with threads the call lasts as long as the socket
            with self._lock:
                self._sockets[role] -= 1

    def _refusal(self, environ: Environ, *, is_socket: bool) -> tuple[int, str] | None:
        if environ.get("HTTP_HOST", "").lower() not in self._hosts:
            return 421, "host"
        origin = environ.get("HTTP_ORIGIN")
        if origin is not None and origin not in self._origins:
            return 403, "origin"
        if is_elsewhere(environ) and not is_visit(environ):
            return 403, "origin"  # pictures and scripts of other pages, before anything is counted
        if not is_socket:
            return None
        if origin is None:
            return 403, "origin"
        return self._may_connect(environ) or self._crowd(environ)

    def _crowd(self, environ: Environ) -> tuple[int, str] | None:
        """Return that there is no place for one more socket of this role; None where one was taken."""
        places, role = self._settings.max_clients, environ.get(ROLE, "viewer")
        with self._lock:
            is_full = self._sockets.total() >= places + SPARE_SOCKETS
            if role != "operator":
                spare = SPARE_SOCKETS - SPARE_OF_OPERATORS
                is_full = is_full or self._sockets["viewer"] >= places_of_viewers(places) + spare
            if not is_full:
                self._sockets[role] += 1
        return (503, "full") if is_full else None


class PeerGuard:
    """The layer before all others where a proxy stands: only that one is spoken to.

    Anybody else could write into ``X-Forwarded-For`` what he likes, be counted as another address with each
    request, and stand in the audit as one.

    Parameters
    ----------
    inner
        Believes what the proxy says.
    proxies
        Where the proxy is.
    refused
        Told of refusals: ``(address, what, reason)``.
    """

    def __init__(
        self, inner: Wsgi, proxies: tuple[Network, ...], refused: Callable[[str, str, str], None]
    ) -> None:
        self._inner, self._proxies, self._refused = inner, proxies, refused

    def __call__(self, environ: Environ, start: Start) -> Iterable[bytes]:
        """Answer a request."""
        address = address_of(environ)
        if is_within(address, self._proxies):
            return self._inner(environ, start)
        self._refused(address, "request", "not by the proxy")
        return _answer(start, 403, "proxy")


def is_elsewhere(environ: Environ) -> bool:
    """Tell whether a browser says that a page of another site asks; no page can make it say otherwise."""
    return environ.get("HTTP_SEC_FETCH_SITE", "none") not in ("same-origin", "none")


def is_visit(environ: Environ) -> bool:
    """Tell whether a browser opens a page because somebody followed a link."""
    return (
        environ.get("REQUEST_METHOD") == "GET"
        and environ.get("HTTP_SEC_FETCH_MODE") == "navigate"
        and environ.get("HTTP_SEC_FETCH_DEST", "document") == "document"
    )


def address_of(environ: Environ) -> str:
    """Return the address of who is asking."""
    return str(environ.get("REMOTE_ADDR") or "unknown")


def _answer(start: Start, status: int, reason: str) -> list[bytes]:
    words = {
        403: "Forbidden",
        421: "Misdirected Request",
        429: "Too Many Requests",
        503: "Service Unavailable",
    }
    body = f'{{"error":{{"code":"{reason}","message":"refused"}}}}'.encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body))), *HEADERS]
    start(f"{status} {words.get(status, 'Unauthorized')}", headers)
    return [body]
