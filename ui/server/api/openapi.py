"""The description of the API: OpenAPI 3.1 at ``/openapi.json``, of the same structs that read requests."""

from functools import cache
from typing import Any, Final

import msgspec
from flask import Blueprint, Response

from ui.protocol import OrderView, PositionView
from ui.server.access import public
from ui.server.answers import answer
from ui.server.api.backtests import FILES, Wanted
from ui.server.api.market import KINDS, MEASURES, TIMEFRAMES
from ui.server.api.records import SCOPES, SIDES
from ui.server.commands import CommandRequest, CommandResult
from ui.server.jobs import Job
from ui.server.questions import INSTRUMENT
from ui.server.settings import COOKIE, DEFAULT_PORT

VERSION: Final = "1.0.0"
STRUCTS: Final[tuple[type[Any], ...]] = (CommandRequest, CommandResult, Wanted, Job, OrderView, PositionView)

type Plain = dict[str, Any]

api = Blueprint("openapi", __name__)


@api.get("/openapi.json")
@public
def openapi() -> Response:
    """Return the description."""
    return answer(description())


@cache
def description() -> Plain:
    """Return the description as plain data."""
    _, schemas = msgspec.json.schema_components(STRUCTS, ref_template="#/components/schemas/{name}")
    _date_times(schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Terminal",
            "version": VERSION,
            "description": "Browsers log in and send the CSRF value; programs send X-Shared-Secret. "
            "Times are ISO 8601 or UNIX milliseconds where they go in, UTC; money is decimal text.",
        },
        "paths": _paths(),
        "components": {"schemas": {**schemas, **_SCHEMAS}, "securitySchemes": _SECURITY},
        "security": [{"secret": []}, {"cookie": []}],
    }


# -- parameters ----------------------------------------------------------------------------------------------


def _query(name: str, meaning: str, schema: Plain, *, is_needed: bool = False) -> Plain:
    return {"name": name, "in": "query", "description": meaning, "required": is_needed, "schema": schema}


def _integer(name: str, meaning: str, default: int | None, least: int, most: int) -> Plain:
    schema: Plain = {"type": "integer", "minimum": least, "maximum": most}
    return _query(name, meaning, schema if default is None else {**schema, "default": default})


def _choice(name: str, meaning: str, choices: tuple[str, ...], default: str | None = None) -> Plain:
    schema: Plain = {"type": "string", "enum": list(choices)}
    return _query(name, meaning, schema if default is None else {**schema, "default": default})


def _text(name: str, meaning: str) -> Plain:
    return _query(name, meaning, {"type": "string", "maxLength": 200})


def _time(name: str, meaning: str) -> Plain:
    return _query(name, meaning, {"type": "string", "format": "date-time"})


def _instrument(name: str = "instrument", *, is_needed: bool = False) -> Plain:
    schema = {"type": "string", "pattern": f"^{INSTRUMENT.pattern}$", "examples": ["XRPUSDT.BINANCE"]}
    return _query(name, "an instrument id", schema, is_needed=is_needed)


def _limit(default: int, most: int) -> Plain:
    return _integer("limit", "most rows, the newest", default, 1, most)


_BIG: Final = 1 << 53
_SHARED: Final = (
    _choice(
        "mode",
        "of the session; `served`: of what this terminal shows, the default of figures; `all`: of everything",
        SCOPES,
    ),
    _text("session", "id of a session"),
    _instrument(),
)
_PAGE: Final = (
    _time("from", "included"),
    _time("to", "not included"),
    _limit(100, 1_000),
    _text("cursor", "value of `next` of the page before"),
)
_SIDE: Final = _choice("side", "of the trade", SIDES)
_SETUP: Final = _text("setup", "id of a setup")
_UUID: Final = {"type": "string", "format": "uuid"}
_BACKTEST: Final = {"name": "name", "in": "path", "required": True, "schema": _UUID}
_BUCKETS: Final = (
    _instrument("ins", is_needed=True),
    _integer("from", "first number", None, 0, _BIG),
    _integer("to", "last number", None, 0, _BIG),
    _limit(5_000, 5_000),
)
_BARS: Final = (
    _instrument("ins", is_needed=True),
    _text("tf", "timeframe; default: the shortest"),
    _integer("from", "first open, UNIX milliseconds", None, 0, _BIG),
    _integer("to", "last open, UNIX milliseconds", None, 0, _BIG),
    _limit(5_000, 5_000),
)
_TIMEFRAME: Final = _choice("timeframe", "of the candles", TIMEFRAMES, "1h")

# -- answers -------------------------------------------------------------------------------------------------

_SECURITY: Final[Plain] = {
    "secret": {"type": "apiKey", "in": "header", "name": "X-Shared-Secret"},
    "cookie": {
        "type": "apiKey",
        "in": "cookie",
        "name": f"{COOKIE}_{DEFAULT_PORT}",
        "description": "named after the port at which the server listens",
    },
}
_SCHEMAS: Final[Plain] = {
    "Error": {
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {
                "type": "object",
                "required": ["code", "message"],
                "properties": {
                    "code": {"type": "string"},
                    "message": {"type": "string"},
                    "field": {"type": "string", "description": "which part of the request is wrong"},
                },
            }
        },
    },
    "Reset": {
        "type": "object",
        "required": ["word"],
        "properties": {"word": {"const": "RESET"}},
    },
}
_ERROR: Final = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
_OBJECT: Final[Plain] = {"type": "object"}
_MEANINGS: Final = {
    400: "the body is no JSON object",
    401: "nobody is logged in, or the secret is wrong",
    403: "a viewer may not, or the CSRF value or origin is wrong",
    404: "there is none, or what it is made from does not exist yet: the message says how to make it",
    409: "refused by the node",
    415: "the body is of another type",
    422: "a field is wrong: it is named",
    424: "the node failed, or cannot be reached",
    429: "too many requests",
}


def _ref(struct: type[Any]) -> Plain:
    return {"$ref": f"#/components/schemas/{struct.__name__}"}


def _operation(
    summary: str,
    parameters: tuple[Plain, ...] = (),
    *,
    body: Plain | None = None,
    found: Plain | None = None,
    status: int = 200,
    errors: tuple[int, ...] = (404, 422),
    is_public: bool = False,
    media: str = "application/json",
) -> Plain:
    """Return an operation."""
    refusals = tuple(sorted({*errors, 429} | (set() if is_public else {401})))
    operation: Plain = {
        "summary": summary,
        "parameters": list(parameters),
        "responses": {
            str(status): {"description": "done", "content": {media: {"schema": found or _OBJECT}}},
            **{str(one): {"description": _MEANINGS[one], "content": _ERROR} for one in refusals},
        },
    }
    if body is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    if is_public:
        operation["security"] = []
    return operation


def _list_of(name: str, item: Plain | None = None) -> Plain:
    return {
        "type": "object",
        "required": [name],
        "properties": {name: {"type": "array", "items": item or _OBJECT}},
    }


def _of_node(name: str, item: Plain, *, is_always: bool = True) -> Plain:
    """Return the schema of what the node said last, with how long ago that was."""
    schema = _list_of(name, item)
    schema["properties"] |= {
        "link": {"type": "string", "enum": ["live", "stale", "away"]},
        "age_ms": {"type": ["number", "null"], "description": "of the newest message of the node"},
        "is_synced": {"type": "boolean", "description": "false while something of it is missing"},
    }
    if is_always:
        schema["required"] += ["link", "age_ms", "is_synced"]
    return schema


def _paths() -> Plain:
    return {**_terminal_paths(), **_market_paths(), **_record_paths(), **_backtest_paths()}


def _terminal_paths() -> Plain:
    result = _ref(CommandResult)
    command = _operation("Send the node a command", body=_ref(CommandRequest), found=result,
                         errors=(400, 403, 409, 415, 422, 424))  # fmt: skip
    for status in ("403", "409", "422", "424", "429"):
        either = {"anyOf": [result, {"$ref": "#/components/schemas/Error"}]}
        command["responses"][status]["content"] = {"application/json": {"schema": either}}
    return {
        "/health": {"get": _operation("Tell that the server is up", is_public=True, errors=())},
        "/api/v1/health": {"get": _operation("Tell that the server is up", is_public=True, errors=())},
        "/api/v1/health/detailed": {"get": _operation("Tell how server and node are", errors=())},
        "/api/v1/metrics": {
            "get": _operation("Return the server's figures for Prometheus", errors=(), media="text/plain",
                              found={"type": "string"})
        },
        "/api/v1/session": {"get": _operation("Tell who is logged in, with the CSRF value", errors=())},
        "/api/v1/history": {"get": _operation("Return closed volume buckets by column", _BUCKETS)},
        "/api/v1/bars": {"get": _operation("Return candles of the node with confluence scores", _BARS)},
        "/api/v1/audit": {
            "get": _operation("Return who did what (operators)", (_limit(200, 1_000),), errors=(403, 422),
                              found=_list_of("audit"))
        },
        "/api/v1/commands": {"post": command},
    }  # fmt: skip


def _market_paths() -> Plain:
    window = (
        _TIMEFRAME,
        _integer("bars", "window", 100, 15, 10_000),
        _integer("top", "most rows", 20, 1, 1_000),
        _choice("by", "measure", MEASURES, "atr_pct"),
    )
    span = (_time("from", "first close"), _time("to", "last close"))
    structure = (
        _instrument(is_needed=True),
        _choice("timeframe", "of the candles", TIMEFRAMES, "15m"),
        _choice("kind", "of events", KINDS, "ALL"),
        _time("from", "known from then on"),
        _limit(1_000, 5_000),
    )
    reset = {"$ref": "#/components/schemas/Reset"}
    return {
        "/api/v1/pairs": {"get": _operation("Return the catalog's series", found=_list_of("pairs"))},
        "/api/v1/candles": {
            "get": _operation(
                "Return closed candles by column",
                (_instrument(is_needed=True), _TIMEFRAME, *span, _limit(1_000, 5_000)),
            )
        },
        "/api/v1/structure": {"get": _operation("Return breaks of structure, gaps and sweeps", structure)},
        "/api/v1/scan/volatility": {"get": _operation("Rank instruments by volatility", window)},
        "/api/v1/strategies": {
            "get": _operation("Return the strategies with their parameters", found=_list_of("strategies"))
        },
        "/api/v1/models": {
            "get": _operation("Return the models with their passports", found=_list_of("models"))
        },
        "/api/v1/paper": {"get": _operation("Return the account of paper trading")},
        "/api/v1/paper/reset": {
            "post": _operation(
                "Forget the account of paper trading", body=reset, errors=(400, 403, 404, 415, 422)
            )
        },
    }


def _record_paths() -> Plain:
    rows: tuple[tuple[str, str, tuple[Plain, ...]], ...] = (
        ("trades", "closed trades", (_SIDE, _SETUP, _text("reason", "of the exit"))),
        ("signals", "possible trades, taken or not",
         (_SIDE, _query("taken", "only those", {"type": "boolean"}), _text("timeframe", "or bucket"))),
        ("fills", "executions", (_SETUP, _text("side", "BUY or SELL"))),
        ("decisions", "decisions with their inputs", (_SETUP, _text("kind", "of the decision"))),
        ("cancels", "the ledger of cancelled entries", (_SETUP, _text("step", "asked, venue or shadow"))),
    )  # fmt: skip
    lists = {
        f"/api/v1/{name}": {
            "get": _operation(
                f"Return {words}, newest first", (*_SHARED, *more, *_PAGE), found=_list_of(name)
            )
        }
        for name, words, more in rows
    }
    since = (*_SHARED, _time("from", "included"))
    setup = {"name": "setup", "in": "path", "required": True, "schema": {"type": "string", "maxLength": 100}}
    orders = _of_node("orders", {"anyOf": [_ref(OrderView), _OBJECT]}, is_always=False)
    source = _choice("source", "what stands now, or the journal of all events", ("node",), "node")
    return {
        **lists,
        "/api/v1/sessions": {
            "get": _operation("Return the journal's sessions",
                              (*_SHARED[:2], _text("strategy", "name"), *_PAGE), found=_list_of("sessions"))
        },
        "/api/v1/trades/stats": {"get": _operation("Return figures of the trades", since)},
        "/api/v1/trades/{setup}/explain": {
            "get": _operation("Tell how a trade came about", (setup, _text("session", "id of a session")))
        },
        "/api/v1/signals/stats": {"get": _operation("Return figures of the signals", since)},
        "/api/v1/signals/summary": {
            "get": _operation("Return each instrument's signals in short", _SHARED,
                              found=_list_of("instruments"))
        },
        "/api/v1/orders": {"get": _operation("Return orders", (source, _instrument()), found=orders)},
        "/api/v1/positions": {
            "get": _operation("Return positions with their time without a stop", (_instrument(),),
                              found=_of_node("positions", _ref(PositionView)))
        },
        "/api/v1/events": {
            "get": _operation("Return what was decided before a time",
                              (*_SHARED, _time("before", "not included"), _limit(100, 1_000)),
                              found=_list_of("events"))
        },
    }  # fmt: skip


def _backtest_paths() -> Plain:
    job = _ref(Job)
    file = {"name": "file", "in": "path", "required": True, "schema": {"type": "string", "enum": list(FILES)}}
    download = _operation("Return a file of a backtest that is done", (_BACKTEST, file), errors=(404,))
    download["responses"]["200"]["content"] = {media: {} for media in dict.fromkeys(FILES.values())}
    one = _operation("Return how far a backtest is, or its result", (_BACKTEST,), found=job, errors=(404,))
    return {
        "/api/v1/backtests": {
            "get": _operation("Return all backtests", (_limit(100, 1_000),),
                              found=_list_of("backtests", job)),
            "post": _operation("Queue a backtest", body=_ref(Wanted), found=job, status=202,
                               errors=(400, 403, 404, 415, 422)),
        },
        "/api/v1/backtests/{name}": {
            "get": one,
            "delete": _operation("Cancel a backtest", (_BACKTEST,), found=job, errors=(403, 404)),
        },
        "/api/v1/backtests/{name}/files/{file}": {"get": download},
    }  # fmt: skip


def _date_times(schemas: Plain) -> None:
    """Say of the times in bodies what msgspec's types cannot."""
    for name in ("start", "end"):
        schemas["Wanted"]["properties"][name]["examples"] = ["2026-01-05"]
