"""Refusals of the API: a status, a code, a sentence, and the field that is wrong."""

import logging
from typing import Any, Final

from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException

from ui.server.answers import answer
from ui.server.frames import told_to
from ui.server.ports import QuestionError, Unavailable

log = logging.getLogger("smcbot.terminal")
NOT_THERE: Final = "it is not there, or cannot be read; an operator sees why"
CODES: Final = {400: "request", 404: "absent", 405: "method", 413: "size", 415: "type"}


class ApiError(Exception):
    """Ends a request with a status and an error as JSON.

    Parameters
    ----------
    status
        Of HTTP.
    code
        One word for programs: ``auth``, ``role``, ``csrf``, ``field``, ...
    message
        For people.
    field
        Which part of the request is wrong.
    """

    def __init__(self, status: int, code: str, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.field = status, code, field


def handle_errors(app: Flask) -> None:
    """Answer everything that goes wrong as JSON."""
    app.register_error_handler(ApiError, _refuse)
    app.register_error_handler(QuestionError, _field)
    app.register_error_handler(Unavailable, _unavailable)
    app.register_error_handler(RecursionError, _too_deep)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _bug)


def error_body(code: str, message: str, field: str | None = None) -> dict[str, Any]:
    """Return an error as it is answered."""
    return {"error": {"code": code, "message": message, **({"field": field} if field else {})}}


def _refuse(error: ApiError) -> Response:
    return answer(error_body(error.code, str(error), error.field), error.status)


def _field(error: QuestionError) -> Response:
    return answer(error_body("field", str(error), error.field), 422)


def _unavailable(error: Unavailable) -> Response:
    who, words = g.get("person"), str(error)
    told = told_to(who.role if who else "", words, NOT_THERE) if error.names_paths else words
    return answer(error_body("unavailable", told or words), 404)


def _too_deep(_: RecursionError) -> Response:
    return answer(error_body("request", "the body is nested too deeply"), 400)


def _http(error: HTTPException) -> Response:
    status = error.code or 500
    response = answer(error_body(CODES.get(status, "http"), error.description or error.name), status)
    for name, value in error.get_headers():
        if name in ("Allow", "Retry-After"):
            response.headers[name] = value
    return response


def _bug(error: Exception) -> Response:
    log.error("%s %s failed", request.method, request.path, exc_info=error)
    return answer(error_body("internal", "an error of the server; its log says more"), 500)
