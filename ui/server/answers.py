"""Answers as JSON; to others than operators without paths of this machine."""

import gzip
from typing import Any, Final

import msgspec
from flask import Response, g, request

from ui.server.frames import OPERATOR
from ui.server.shortened import shortened

MIN_PACKED: Final = 1_400
PACK_LEVEL: Final = 5
_ENCODE: Final = msgspec.json.Encoder(enc_hook=str, decimal_format="string").encode


def json_body() -> dict[str, Any] | None:
    """Return the JSON object that was sent, None where it is none.

    Not by Flask's reader: that one takes halves of surrogate pairs, which nothing can encode again.
    """
    if not request.is_json:
        return None
    try:
        return msgspec.json.decode(request.get_data(), type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def sees_paths() -> bool:
    """Tell whether who asks may know where things lie on this machine."""
    who = g.get("person")
    return who is not None and who.role == OPERATOR


def answer(value: Any, status: int = 200) -> Response:
    """Return a value as JSON, packed where that is worth it and the client understands it."""
    body = _ENCODE(value) if sees_paths() else shortened(_ENCODE(value))
    response = Response(body, status, content_type="application/json")
    if len(body) >= MIN_PACKED and "gzip" in request.headers.get("Accept-Encoding", ""):
        response.set_data(gzip.compress(body, PACK_LEVEL))
        response.headers["Content-Encoding"] = "gzip"
    response.headers["Vary"] = "Accept-Encoding, Cookie"
    return response
