"""The application: security first, then pages, the API and sockets."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

from flask import Flask
from flask_socketio import SocketIO
from werkzeug.middleware.proxy_fix import ProxyFix

from ui.server import access, errors
from ui.server.accounts import Accounts
from ui.server.api import modules
from ui.server.audited import Unbroken
from ui.server.commands import CommandDesk
from ui.server.guard import Guard, PeerGuard
from ui.server.hub import Hub
from ui.server.pages.views import add_pages
from ui.server.ports import Audit, Node
from ui.server.services import KEY, Services, limits_of, may_note, may_send
from ui.server.sessions import Sessions
from ui.server.settings import ServerSettings
from ui.server.sockets import Sockets

MAX_BODY_BYTES: Final = 256_000


class Application(NamedTuple):
    """A server that is put together: the Flask application, its services and sockets."""

    app: Flask
    services: Services
    sockets: Sockets

    @property
    def io(self) -> SocketIO:
        """The sockets' server."""
        return self.sockets.io


def create_app(
    settings: ServerSettings,
    accounts: Accounts,
    audit: Audit,
    *,
    hub: Hub | None = None,
    node: Node | None = None,
    ports: dict[str, Any] | None = None,
    replay: Callable[[dict[str, Any]], None] | None = None,
    ended_file: Path | None = None,
) -> Application:
    """Put a server together; nothing listens or ticks yet.

    Parameters
    ----------
    settings, accounts, audit
        See their classes.
    hub
        Whose frames browsers get; a new one by default.
    node
        Executes commands; None where there is none.
    ports
        What the resources of the API read from, by name; those without are answered with 404.
    replay
        Steers a replay, see `ui.server.sockets.Sockets`.
    ended_file
        See :class:`ui.server.sessions.Sessions`.
    """
    hub = hub or Hub(max_clients=settings.max_clients)
    audit = Unbroken(audit)
    hub.trouble = audit.trouble
    limits = limits_of(settings)
    desk = CommandDesk(
        node,
        audit,
        hub.node,
        lambda person, action: may_send(limits, person, action),
        may_note=lambda origin: may_note(limits, origin),
    )
    sessions = Sessions(accounts, settings.session_secs, ended_file, key=settings.secret)
    known = Services(settings, accounts, sessions, hub, audit, desk, limits, dict(ports or {}))
    app = Flask("ui.server", static_folder=None)
    app.extensions[KEY] = known
    app.config.update(
        SECRET_KEY=settings.secret,
        SESSION_COOKIE_NAME=settings.cookie,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Strict",
        SESSION_COOKIE_SECURE=settings.is_encrypted,
        SESSION_REFRESH_EACH_REQUEST=False,
        PERMANENT_SESSION_LIFETIME=timedelta(seconds=settings.session_secs),
        MAX_CONTENT_LENGTH=MAX_BODY_BYTES,
        MAX_FORM_MEMORY_SIZE=16_000,
        MAX_FORM_PARTS=20,
    )
    errors.handle_errors(app)
    access.protect(app)
    for module in modules():
        app.register_blueprint(module.api)
    add_pages(app)
    sockets = Sockets(app, known, replay)
    _wrap(app, known, sockets)
    return Application(app, known, sockets)


def _wrap(app: Flask, known: Services, sockets: Sockets) -> None:
    def refused(address: str, what: str, reason: str) -> None:
        known.note_refusal(
            "unknown", f"socket {address}" if what == "connect" else f"rest {address}", what, reason
        )

    outer: Any = Guard(app.wsgi_app, known.settings, sockets.may_open, refused)
    if known.settings.is_proxied:
        outer = PeerGuard(ProxyFix(outer, x_for=1, x_host=0), known.settings.proxies, refused)
    app.wsgi_app = outer  # type: ignore[method-assign]
