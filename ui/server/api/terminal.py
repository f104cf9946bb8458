"""What the terminal itself asks: the session, the history of charts, the audit, and commands."""

from typing import Final

from flask import Blueprint, Response, request

from ui.protocol import VERSION
from ui.server.access import any_role, limited_itself, login, operators, origin, person
from ui.server.answers import answer, json_body
from ui.server.errors import ApiError
from ui.server.packed import columns_of
from ui.server.questions import Question
from ui.server.services import services

MAX_BUCKETS: Final = 5_000
MAX_BARS: Final = 5_000
LAST: Final = 1 << 53
STATUS: Final = {"done": 200, "refused": 409, "failed": 424}
FIELDS: Final = {"role": 403, "rate": 429}

api = Blueprint("terminal", __name__, url_prefix="/api/v1")


@api.get("/session")
def session_() -> Response:
    """Tell who is logged in, and the CSRF value for the socket and for commands."""
    found, known = login(), services()
    node = known.hub.node()
    return answer(
        {
            "user": person().name,
            "role": person().role,
            "csrf": found.csrf if found else None,
            "mode": node.mode if node else None,
            "protocol": VERSION,
        }
    )


@api.get("/history")
def history() -> Response:
    """Return closed buckets by column: the newest ones with numbers from `from` to `to`."""
    asked = Question(request.args, ("ins", "from", "to", "limit"))
    ins = asked.instrument("ins")
    first, last = asked.integer("from", 0, 0, LAST), asked.integer("to", LAST, 0, LAST)
    limit = asked.integer("limit", MAX_BUCKETS, 1, MAX_BUCKETS)
    hub = services().hub
    with hub.lock:
        page = hub.feed.state.page(ins, first, last, limit)
    return answer({"ins": ins, **columns_of(page)})


@api.get("/bars")
def bars() -> Response:
    """Return klines with their scores: the newest that open from `from` to `to`, UNIX milliseconds."""
    asked = Question(request.args, ("ins", "tf", "from", "to", "limit"))
    ins, timeframe = asked.instrument("ins"), asked.text("tf", "")
    first, last = asked.integer("from", 0, 0, LAST), asked.integer("to", LAST, 0, LAST)
    limit = asked.integer("limit", MAX_BARS, 1, MAX_BARS)
    hub = services().hub
    with hub.lock:
        known = hub.feed.state.timeframes(ins)
        chosen = timeframe or (known[0] if known else "")
        found = hub.feed.state.bars(ins, chosen, first, last, limit)
    return answer({"ins": ins, "tf": chosen, "timeframes": known, "bars": found})


@api.get("/audit")
@operators
def audit() -> Response:
    """Return who did what, newest first."""
    asked = Question(request.args, ("limit",))
    return answer({"audit": services().audit.recent(asked.integer("limit", 200, 1, 1_000))})


@api.post("/commands")
@any_role
@limited_itself
def commands() -> Response:
    """Send the node a command; the answer says what became of it."""
    plain = json_body()
    if plain is None:
        raise ApiError(
            400, "request", "expected a JSON object with the header Content-Type: application/json"
        )
    result = services().desk.run(plain, person(), origin())
    status = STATUS[result.outcome]
    if result.field is not None:
        status = FIELDS.get(result.field, 422)
    return answer(result, status)
