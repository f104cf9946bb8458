"""What catalogs hold, which strategies there are, and the account of paper trading."""

from pathlib import Path
from typing import Any, Final

from flask import Blueprint, Response, request

from ui.server.access import origin, person
from ui.server.answers import answer, json_body
from ui.server.played import as_of_ms, end_ns
from ui.server.ports import Data, Plain, QuestionError, Unavailable
from ui.server.questions import LAST_NS, Question
from ui.server.services import services

TIMEFRAMES: Final = ("1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "1w")
MEASURES: Final = ("atr_pct", "realised_vol_pct", "range_pct")
KINDS: Final = ("BOS", "CHOCH", "FVG", "SWEEP", "ALL")
MAX_ROWS: Final = 5_000
LEAST_BARS: Final = 15
KLINES: Final = "klines"
PAPER: Final = "paper"
MAX_REASON: Final = 200

api = Blueprint("market", __name__, url_prefix="/api/v1")


@api.get("/pairs")
def pairs() -> Response:
    """Return the series of the catalog: none where there is no catalog yet, which is no fault."""
    Question(request.args, ())
    return answer({"pairs": _series()})


@api.get("/candles")
def candles() -> Response:
    """Return closed candles of an instrument by column, the newest ones."""
    asked = Question(request.args, ("instrument", "timeframe", "from", "to", "limit"))
    until_ns = end_ns(as_of_ms(), asked.moment_ns("to", LAST_NS))
    found = ask(
        "candles",
        place("catalog"),
        asked.instrument("instrument"),
        asked.choice("timeframe", TIMEFRAMES, "1h"),
        asked.moment_ns("from", 0),
        None if until_ns == LAST_NS else until_ns,
        asked.integer("limit", 1_000, 1, MAX_ROWS),
    )
    return answer(found)


@api.get("/structure")
def structure() -> Response:
    """Return breaks of structure, gaps and sweeps of an instrument's candles, the newest ones."""
    asked = Question(request.args, ("instrument", "timeframe", "kind", "from", "limit"))
    kind = asked.choice("kind", KINDS, "ALL")
    found = ask(
        "structure",
        place("structure"),
        asked.instrument("instrument"),
        asked.choice("timeframe", TIMEFRAMES, "15m"),
        [] if kind == "ALL" else [kind],
        asked.moment_ns("from", 0),
        asked.integer("limit", 1_000, 1, MAX_ROWS),
    )
    return answer(found)


@api.get("/scan/volatility")
def volatility() -> Response:
    """Return instruments ranked by volatility: none where there are no klines yet, which is no fault."""
    asked = Question(request.args, ("timeframe", "bars", "top", "by"))
    timeframe = asked.choice("timeframe", TIMEFRAMES, "1h")
    bars, top = asked.integer("bars", 100, LEAST_BARS, 10_000), asked.integer("top", 20, 1, 1_000)
    by = asked.choice("by", MEASURES, "atr_pct")
    if not any(one["kind"] == KLINES for one in _series()):
        return answer({"by": by, "bars": bars, "timeframes": []})
    return answer(ask("volatility", place("catalog"), [timeframe], bars, top, by))


@api.get("/strategies")
def strategies() -> Response:
    """Return the strategies with their parameters."""
    Question(request.args, ())
    return answer({"strategies": ask("strategies")})


@api.get("/models")
def models() -> Response:
    """Return the models with their passports."""
    Question(request.args, ())
    return answer({"models": ask("models", place("models"))})


@api.get("/paper")
def paper() -> Response:
    """Return what the simulated venues of paper trading have."""
    Question(request.args, ())
    return answer(ask("paper_status", place("paper")))


@api.post("/paper/reset")
def paper_reset() -> Response:
    """Forget balances, orders and positions of paper trading; refused while a node runs."""
    plain = json_body()
    if plain is None or plain.get("word") != "RESET":
        raise QuestionError("word", "type RESET to confirm")
    known = services()
    node = known.hub.node()
    mode = known.ports.get("mode") or (node.mode if node is not None else "")
    if mode not in ("", PAPER):  # a slip of the hand in the wrong window
        raise QuestionError("word", f"this terminal is of {mode}: reset paper at the terminal of paper")
    known.audit.access(person().name, origin(), "paper reset", "received")
    try:
        found = ask("paper_reset", place("paper"))
    except Exception as error:
        known.audit.access(person().name, origin(), "paper reset", "failed", str(error)[:MAX_REASON])
        raise
    known.audit.access(person().name, origin(), "paper reset", "done")
    return answer(found)


def _series() -> list[Plain]:
    """Return the series of the catalog, none where there is no catalog."""
    catalog = place("catalog")
    return ask("pairs", catalog) if Path(catalog).exists() else []


def ask(name: str, *args: Any) -> Any:
    """Return the answer of the process that reads data."""
    data: Data | None = services().ports.get("data")
    if data is None:
        raise Unavailable("this terminal reads no catalogs")
    return data.ask(name, *args)


def place(name: str) -> str:
    """Return the folder of ``catalog``, ``structure``, ``paper`` or ``runs``."""
    return str(services().ports["places"][name])
