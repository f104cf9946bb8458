"""Who is asking: cookie or shared secret, CSRF value, role. Runs before every request of the application."""

import hmac
from collections.abc import Callable
from typing import Any, Final

from flask import Flask, Response, current_app, g, request, session

from ui.server.accounts import Person
from ui.server.addresses import counted_as
from ui.server.errors import ApiError
from ui.server.guard import ENCRYPTED, HEADERS, is_elsewhere
from ui.server.services import services
from ui.server.sessions import Login

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
CSRF_HEADER: Final = "X-CSRF-Token"
SECRET_HEADER: Final = "X-Shared-Secret"  # noqa: S105 - the name of a header
_PUBLIC: Final = "is_public"
_OPERATORS: Final = "is_for_operators"
_ANY_ROLE: Final = "is_for_any_role"
_LIMITED_ITSELF: Final = "is_limited_itself"


def public[**P, R](view: Callable[P, R]) -> Callable[P, R]:
    """Mark a view that needs no login."""
    setattr(view, _PUBLIC, True)
    return view


def operators[**P, R](view: Callable[P, R]) -> Callable[P, R]:
    """Mark a view that reads what operators alone may see; whatever changes something is theirs anyway."""
    setattr(view, _OPERATORS, True)
    return view


def any_role[**P, R](view: Callable[P, R]) -> Callable[P, R]:
    """Mark a view that decides by itself whether a viewer may."""
    setattr(view, _ANY_ROLE, True)
    return view


def limited_itself[**P, R](view: Callable[P, R]) -> Callable[P, R]:
    """Mark a view that has limits of its own for who is known: a flood of anything else must not stop it."""
    setattr(view, _LIMITED_ITSELF, True)
    return view


def protect(app: Flask) -> None:
    """Let nobody in without a login, and add the security headers to every answer."""
    app.before_request(_check)
    app.after_request(_harden)


def person() -> Person:
    """Return who is asking; the request has passed the checks."""
    found: Person = g.person
    return found


def login() -> Login | None:
    """Return the login of the request's cookie, None without one."""
    return services().sessions.read(session)


def origin() -> str:
    """Return from where the request comes, for the audit."""
    return f"rest {request.remote_addr or 'unknown'}"


def _check() -> None:
    known, address = services(), counted_as(request.remote_addr or "unknown")
    view = _view()
    g.person = None
    who = _counted_as(address)
    is_limited_itself = getattr(view, _LIMITED_ITSELF, False) and who != address
    if not is_limited_itself and not known.limits.allows("request", who):
        raise ApiError(429, "rate", "too many requests: wait a minute")
    if getattr(view, _PUBLIC, False) or view is None:
        return
    g.person = _machine(address) or _browser()
    is_act = request.method not in SAFE_METHODS and not getattr(view, _ANY_ROLE, False)
    if (is_act or getattr(view, _OPERATORS, False)) and not g.person.may_act:
        known.note_refusal(g.person.name, origin(), request.path[:100], "a viewer may not")
        raise ApiError(403, "role", f"a {g.person.role} may not do this: log in as an operator")


def _counted_as(address: str) -> str:
    """Return whose request it is: who is known has a count that nobody else at the address uses up."""
    if is_elsewhere(request.environ):
        return f"{address}, other sites"
    known, secret = services(), request.headers.get(SECRET_HEADER)
    if secret is not None:
        found = None if known.limits.is_exceeded("secret", address) else known.accounts.machine(secret)
    else:
        found = begun.person if (begun := login()) else None
    return address if found is None else f"{found.name}@{address}"


def _view() -> Any:
    """Return the function that answers; None for paths that do not exist, which tell nothing."""
    return current_app.view_functions.get(request.endpoint or "")


def _machine(address: str) -> Person | None:
    secret = request.headers.get(SECRET_HEADER)
    if secret is None:
        return None
    known = services()
    if known.limits.is_exceeded("secret", address):
        raise ApiError(429, "rate", "too many wrong secrets: wait a minute")
    found = known.accounts.machine(secret)
    if found is None:
        known.limits.allows("secret", address)
        known.note_refusal("unknown", origin(), "secret", "wrong shared secret")
        raise ApiError(401, "auth", f"{SECRET_HEADER} is wrong")
    return found


def _browser() -> Person:
    found = login()
    if found is None:
        raise ApiError(401, "auth", "log in first")
    if request.method not in SAFE_METHODS:
        given = request.headers.get(CSRF_HEADER, "")
        if not hmac.compare_digest(given.encode("utf-8", "replace"), found.csrf.encode()):
            services().note_refusal(found.person.name, origin(), request.path[:100], "csrf")
            raise ApiError(403, "csrf", f"{CSRF_HEADER} is not that of the session")
    return found.person


def _harden(response: Response) -> Response:
    for name, value in HEADERS:
        response.headers[name] = value
    if services().settings.is_encrypted:
        response.headers[ENCRYPTED[0]] = ENCRYPTED[1]
    if request.endpoint != "static":
        response.headers.setdefault("Cache-Control", "no-store")
    return response
