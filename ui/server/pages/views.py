"""The pages themselves; none holds a script or style of its own, because the policy allows none."""

import html
from pathlib import Path
from typing import Final

from flask import Blueprint, Flask, Response, redirect, request, send_from_directory, session
from werkzeug.wrappers import Response as AnyResponse

from ui.server.access import any_role, login, origin, public
from ui.server.answers import answer, json_body
from ui.server.errors import ApiError
from ui.server.services import services

HERE: Final = Path(__file__).parent
STATIC: Final = Path(__file__).resolve().parents[2] / "static"
FILES: Final = frozenset({"page.css", "docs.js"})
TOO_MANY: Final = "too many attempts: wait a minute"

pages = Blueprint("pages", __name__)


def add_pages(app: Flask) -> None:
    """Serve pages and the front end's files."""
    app.register_blueprint(pages)


@pages.get("/")
@public
def index() -> AnyResponse:
    """Show the terminal, or the login."""
    if login() is None:
        return redirect("/login", 303)
    if not (STATIC / "index.html").is_file():
        return _page("missing.html")
    return send_from_directory(STATIC, "index.html")


@pages.get("/assets/<path:name>")
@public
def asset(name: str) -> AnyResponse:
    """Serve a file of the front end; they hold no data, and are named by their content."""
    response = send_from_directory(STATIC / "assets", name)
    response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
    return response


@pages.get("/<name>")
@public
def file(name: str) -> AnyResponse:
    """Serve a file beside the front end's page: its icon and the like."""
    return send_from_directory(STATIC, name)


@pages.get("/pages/<name>")
@public
def own_file(name: str) -> AnyResponse:
    """Serve a file of the plain pages."""
    if name not in FILES:
        raise ApiError(404, "absent", "no such page")
    return send_from_directory(HERE, name)


@pages.get("/docs")
@public
def docs() -> AnyResponse:
    """Show the API in words."""
    return _page("docs.html")


@pages.get("/login")
@public
def login_form() -> AnyResponse:
    """Show the login."""
    return _page("login.html", message="")


@pages.post("/login")
@public
def log_in() -> AnyResponse:
    """Log in with a form or JSON: ``name`` (none with a token) and ``password``."""
    known, address = services(), request.remote_addr or "unknown"
    form = json_body() if request.is_json else request.form.to_dict()
    if form is None:
        raise ApiError(400, "request", "expected name and password")
    name, password = form.get("name", ""), form.get("password", "")
    if not isinstance(name, str) or not isinstance(password, str):
        raise ApiError(422, "field", "expected text", "password")
    shown = name[:32] if name.isalnum() else "-"
    if not known.may_log_in(name, address):
        known.note_refusal(shown, origin(), "login", "too many attempts")
        return _refused(TOO_MANY, 429)
    person = known.accounts.log_in(name, password)
    if person is None:
        known.note_failed_login(name)
        known.note_refusal(shown, origin(), "login", "wrong name or password")
        return _refused("wrong name or password", 401)
    begun = known.sessions.begin(session, person)
    session.permanent = True
    known.audit.access(person.name, origin(), "login", "done")
    if request.is_json:
        return answer({"user": person.name, "role": person.role, "csrf": begun.csrf})
    return redirect("/", 303)


@pages.post("/logout")
@any_role
def log_out() -> AnyResponse:
    """Log out: the session ends, also where its cookie was copied to, with all its sockets."""
    known, found = services(), login()
    if found is not None:
        known.sessions.end(found)
        known.audit.access(found.person.name, origin(), "logout", "done")
    session.clear()
    return answer({"ok": True})


def _refused(message: str, status: int) -> Response:
    if request.is_json:
        raise ApiError(status, "rate" if status == 429 else "auth", message)
    return _page("login.html", status, message=message)


def _page(name: str, status: int = 200, **words: str) -> Response:
    text = (HERE / name).read_text(encoding="utf-8")
    for key, value in words.items():
        text = text.replace(f"{{{key}}}", html.escape(value))
    return Response(text, status, content_type="text/html; charset=utf-8")
