"""The sockets of browsers: who may connect, frames out, commands in."""

import contextlib
import hmac
import logging
import socket as sockets
import threading
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec
from flask import Flask, request, session
from flask_socketio import ConnectionRefusedError as Refused
from flask_socketio import SocketIO
from werkzeug.wrappers import Request

from ui.protocol import VERSION
from ui.server.addresses import counted_as
from ui.server.frames import GREETING_SECS, OPERATOR, Frame, Window
from ui.server.guard import ROLE, Environ, address_of
from ui.server.services import Services
from ui.server.sessions import Login
from ui.server.shortened import shortened

log = logging.getLogger("smcbot.terminal")

PING_SECS: Final = 10
MAX_BYTES: Final = 64_000


class Json:
    """Encodes packets for Socket.IO: pieces that are encoded already go in as they are."""

    @staticmethod
    def dumps(value: Any, **_: Any) -> str:
        """Return JSON text."""
        return msgspec.json.encode(value).decode()

    @staticmethod
    def loads(text: str | bytes, **_: Any) -> Any:
        """Return the value of JSON text; ValueError if it is none."""
        try:
            return msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError) as error:
            raise ValueError(str(error)) from None


class Sockets:
    """All sockets of an application; it carries the hub's frames.

    Parameters
    ----------
    app
        Its sessions are those of the sockets.
    known
        What the application was made of.
    replay
        Steers a replay by ``{speed?, paused?, seek_to?}``; None where none plays.
    """

    def __init__(
        self, app: Flask, known: Services, replay: Callable[[dict[str, Any]], None] | None = None
    ) -> None:
        self._app, self._known, self._replay = app, known, replay
        self._logins: dict[str, Login] = {}
        self._wires: dict[str, sockets.socket] = {}
        self.io = SocketIO(
            app,
            async_mode="threading",
            json=Json,
            transports=["websocket"],
            cors_allowed_origins=list(known.settings.origins),
            manage_session=False,
            ping_interval=PING_SECS,
            ping_timeout=PING_SECS,
            max_http_buffer_size=MAX_BYTES,
            cookie=None,
        )
        self._server = self.io.server
        self.io.on_event("connect", self._connect)
        self.io.on_event("disconnect", self._disconnect)
        for name, handle in (
            ("resync", self._resync),
            ("view", self._view),
            ("cmd", self._command),
            ("replay", self._steer),
            ("*", lambda *_: None),  # no such event, which costs a thread all the same
        ):
            self.io.on_event(name, self._unless_flooded(handle))
        self.io.on_error_default(_failed)

    def may_open(self, environ: Environ) -> tuple[int, str] | None:
        """Return why a socket is refused before it opens: nobody is logged in, or too many attempts.

        For one that is not, `environ` says the role from then on. Who is logged in has a count that nobody
        else at the address uses up: without a socket there is no Kill.
        """
        cookie = self._app.session_interface.open_session(self._app, Request(environ))  # type: ignore[arg-type]
        login = None if cookie is None else self._known.sessions.read(cookie)
        address = counted_as(address_of(environ))
        who = address if login is None else f"{login.person.name}@{address}"
        if not self._known.limits.allows("connect", who):
            return 429, "rate"
        if login is None:
            return 401, "auth"
        environ[ROLE] = login.person.role
        return None

    # -- the hub's transport --------------------------------------------------------------------------------

    def send(self, client: str, frame: Frame, acknowledged: Callable[[], None]) -> None:
        """Send a frame; it is put into a queue that holds no other."""
        login = self._logins.get(client)
        if login is None or not self._known.sessions.holds(login):
            self.dismiss(client, "the session ended")
            return
        self._server.emit("f", frame.body, to=client, callback=acknowledged)

    def dismiss(self, client: str, reason: str) -> None:
        """Disconnect a browser, whether it reads or not."""
        login = self._logins.get(client)
        if login is not None:
            self._known.audit.access(login.person.name, self._origin(client), "disconnect", "done", reason)
        wire = self._wires.get(client)
        if wire is not None:  # what it does not read would be waited for
            with contextlib.suppress(OSError):
                wire.shutdown(sockets.SHUT_RDWR)
        threading.Thread(target=self._drop, args=(client,), name="dismiss", daemon=True).start()

    def _drop(self, client: str) -> None:
        with contextlib.suppress(Exception):  # it may be gone already
            self._server.disconnect(client)

    # -- events -------------------------------------------------------------------------------------------

    def _connect(self, auth: Any = None) -> None:
        login = self._known.sessions.read(session)
        name = login.person.name if login else "unknown"
        reason = self._refusal(auth, login)
        if reason is None and login is not None:
            client = _client()
            self._logins[client] = login
            if isinstance(wire := request.environ.get("werkzeug.socket"), sockets.socket):
                self._wires[client] = wire
            ins = auth.get("ins")
            ready_s = time.monotonic() + GREETING_SECS
            chosen = ins if self._is_known(ins) else None
            window = Window(chosen, login.person.role, ready_s, login.person.name)
            if not self._known.hub.admit(client, window):
                reason = "full"
                self._forget(client)
        address = f"socket {request.remote_addr or 'unknown'}"
        self._known.audit.access(name, address, "connect", "refused" if reason else "done", reason or "")
        if reason is not None:
            raise Refused(reason)

    def _refusal(self, auth: Any, login: Login | None) -> str | None:
        if login is None or not isinstance(auth, dict):
            return "auth"
        given = auth.get("csrf")
        if not isinstance(given, str) or not hmac.compare_digest(
            given.encode("utf-8", "replace"), login.csrf.encode()
        ):
            return "auth"
        return None if auth.get("proto") == VERSION else "proto"

    def _disconnect(self, *_: Any) -> None:
        client = _client()
        self._known.hub.leave(client)
        self._forget(client)

    def _resync(self, *_: Any) -> None:
        self._known.hub.resync(_client())

    def _view(self, wanted: Any = None) -> dict[str, Any]:
        ins = wanted.get("ins") if isinstance(wanted, dict) else None
        return {"ok": isinstance(ins, str) and self._known.hub.look_at(_client(), ins)}

    def _command(self, plain: Any = None) -> Any:
        login = self._logins.get(_client())
        if login is None or not self._known.sessions.holds(login):
            self.dismiss(_client(), "the session ended")
            return {"id": "", "outcome": "refused", "why": "log in again", "ms": 0}
        result = msgspec.json.encode(self._known.desk.run(plain, login.person, self._origin(_client())))
        return msgspec.json.decode(result if login.person.role == OPERATOR else shortened(result))

    def _steer(self, wanted: Any = None) -> dict[str, Any]:
        if self._replay is None or not isinstance(wanted, dict):
            return {"ok": False, "why": "nothing is replayed"}
        login = self._logins.get(_client())
        if login is None or not self._known.sessions.holds(login):
            self.dismiss(_client(), "the session ended")
            return {"ok": False, "why": "log in again"}
        if not login.person.may_act:  # everybody who watches sees the same place
            return {"ok": False, "why": "only operators steer a replay"}
        try:
            self._replay(wanted)
        except ValueError as error:
            return {"ok": False, "why": str(error)}
        return {"ok": True}

    def _unless_flooded(self, handle: Callable[..., Any]) -> Callable[..., Any]:
        """Return a handler that throws out who sends events without end: each costs a thread."""

        def handled(*words: Any) -> Any:
            client = _client()
            if not self._known.limits.allows("event", client):
                self._known.hub.leave(client)
                self.dismiss(client, "too many events")
                return None
            return handle(*words[:1])

        return handled

    # -- inside -------------------------------------------------------------------------------------------

    def _is_known(self, ins: Any) -> bool:
        with self._known.hub.lock:
            return isinstance(ins, str) and ins in self._known.hub.feed.state.instruments()

    def _origin(self, client: str) -> str:
        environ = self._server.get_environ(client) or {}
        return f"socket {address_of(environ)}"

    def _forget(self, client: str) -> None:
        self._logins.pop(client, None)
        self._wires.pop(client, None)


def _client() -> str:
    return str(request.sid)  # type: ignore[attr-defined]


def _failed(error: Exception) -> None:
    log.error("an event of a socket failed", exc_info=error)
