"""What happened, from the journal; and what stands now, from the node.

In a replay neither tells anything of later than the moment that it shows.
"""

import time
from typing import Any, Final

import msgspec
from flask import Blueprint, Response, request

from ui.server.answers import answer
from ui.server.api.health import link_of
from ui.server.played import as_of_ms, end_ns
from ui.server.ports import Journal, Plain, QuestionError, Unavailable
from ui.server.questions import LAST_NS, Question
from ui.server.services import services

MAX_ROWS: Final = 1_000
DEFAULT_ROWS: Final = 100
MODES: Final = ("backtest", "paper", "live")
# Of what is served here, which is no other's; and of everything.
SERVED: Final = "served"
ALL: Final = "all"
SCOPES: Final = (*MODES, SERVED, ALL)
SIDES: Final = ("long", "short")
# Filters of all lists: parameter -> column.
SHARED: Final = {"mode": "mode", "session": "session_id", "instrument": "instrument_id"}
PAGED: Final = ("from", "to", "limit", "cursor")

api = Blueprint("records", __name__, url_prefix="/api/v1")


@api.get("/trades")
def trades() -> Response:
    """Return closed trades, newest first."""
    return _list("trades", {"side": "side", "setup": "setup_id", "reason": "exit_reason"})


@api.get("/trades/stats")
def trade_stats() -> Response:
    """Return how many trades there were, won, and what they earned."""
    asked = Question(request.args, (*SHARED, "from"))
    equal, as_of = figures_of(asked), as_of_ms()
    found = journal().trade_stats(equal, asked.moment_ns("from", 0), end_ns(as_of))
    return answer({**found, "of": told(equal, as_of)})


@api.get("/trades/<setup>/explain")
def explain(setup: str) -> Response:
    """Return how a trade came about: zone, features, decisions, orders, fills, exit."""
    asked = Question(request.args, ("session",))
    session = asked.text("session", "")
    if len(setup) > 100 or not setup.isprintable():
        raise QuestionError("setup", "expected the id of a setup")
    story = msgspec.to_builtins(journal().explain(setup, session or None), enc_hook=str)
    if (as_of := as_of_ms()) is not None:
        if story["trade"]["exit_ts_ns"] >= end_ns(as_of):
            raise Unavailable("that trade was not closed yet at the moment that the replay shows")
        story["steps"] = [one for one in story["steps"] if one["ts_ns"] < end_ns(as_of)]
    return answer(story)


@api.get("/signals")
def signals() -> Response:
    """Return possible trades, taken or not, newest first."""
    return _list("signals", {"side": "side", "taken": "is_taken", "timeframe": "timeframe"})


@api.get("/signals/stats")
def signal_stats() -> Response:
    """Return how many signals there were, were taken, and why the others were not."""
    asked = Question(request.args, (*SHARED, "from"))
    equal, as_of = figures_of(asked), as_of_ms()
    found = journal().signal_stats(equal, asked.moment_ns("from", 0), end_ns(as_of))
    return answer({**found, "of": told(equal, as_of)})


@api.get("/signals/summary")
def signal_summary() -> Response:
    """Return each instrument's signals in short."""
    asked = Question(request.args, tuple(SHARED))
    equal, as_of = figures_of(asked), as_of_ms()
    found = journal().signal_summary(equal, end_ns(as_of, time.time_ns()))
    return answer({"instruments": found, "of": told(equal, as_of)})


@api.get("/orders")
def orders() -> Response:
    """Return the orders that the node has now, or with ``source=journal`` what became of all of them."""
    if request.args.get("source", "node") == "journal":
        return _list("orders", {"setup": "setup_id", "event": "event"}, ("source",))
    asked = Question(request.args, ("source", "instrument"))
    asked.choice("source", ("node", "journal"), "node")
    return _of_node("orders", "ord", asked.instrument("instrument", ""))


@api.get("/positions")
def positions() -> Response:
    """Return the positions that the node has now, with the time without a stop."""
    asked = Question(request.args, ("instrument",))
    return _of_node("positions", "pos", asked.instrument("instrument", ""))


@api.get("/fills")
def fills() -> Response:
    """Return executions, newest first."""
    return _list("fills", {"setup": "setup_id", "side": "side"})


@api.get("/decisions")
def decisions() -> Response:
    """Return what was decided and on which inputs, newest first."""
    return _list("decisions", {"setup": "setup_id", "kind": "kind"})


@api.get("/cancels")
def cancels() -> Response:
    """Return the ledger of cancelled entries, newest first."""
    return _list("cancels", {"setup": "setup_id", "step": "step"})


@api.get("/sessions")
def sessions() -> Response:
    """Return the journal's sessions, newest first."""
    return _list("sessions", {"strategy": "strategy"}, leave_out=("instrument",))


@api.get("/events")
def events() -> Response:
    """Return decisions, the journal's account of what happened, of before a time."""
    asked = Question(request.args, (*SHARED, "before", "limit"))
    before_ns = end_ns(as_of_ms(), asked.moment_ns("before", LAST_NS))
    rows = journal().rows(
        "decisions", filters(asked), 0, before_ns, None, asked.integer("limit", 100, 1, MAX_ROWS)
    )
    return answer({"events": rows})


def journal() -> Journal:
    """Return the journal; raises `Unavailable` without one."""
    found: Journal | None = services().ports.get("journal")
    if found is None:
        raise Unavailable("this terminal has no journal")
    return found


def served() -> Plain:
    """Return which rows are of what this terminal shows: those of its mode, or of the run that it plays."""
    known = services()
    node = known.hub.node()
    if node is not None and node.mode in ("replay", "backtest"):
        return {"session_id": node.session}
    mode = known.ports.get("mode") or (node.mode if node is not None else "")
    return {"mode": mode} if mode else {}


def figures_of(asked: Question) -> Plain:
    """Return the filters of figures: where nobody says of which mode or session, of what is served."""
    equal = filters(asked)
    is_said = asked.text("mode", "") or asked.text("session", "")
    return equal if is_said else {**equal, **served()}


def told(equal: Plain, as_of: int | None) -> Plain:
    """Return of which mode and session figures or rows are, and up to when; null is all of them."""
    return {"mode": equal.get("mode"), "session": equal.get("session_id"), "as_of": as_of}


def filters(asked: Question, more: dict[str, str] | None = None, leave_out: tuple[str, ...] = ()) -> Plain:
    """Return which columns must have which values."""
    equal: Plain = {}
    for name, column in {**SHARED, **(more or {})}.items():
        value: Any = _filter(asked, name) if name not in leave_out else None
        if value not in (None, ""):
            equal[column] = value
    wide = equal.pop("mode") if equal.get("mode") in (SERVED, ALL) else ""
    return {**served(), **equal} if wide == SERVED else equal


def _filter(asked: Question, name: str) -> Any:
    if name == "mode":
        return asked.choice(name, SCOPES, "")
    if name == "instrument":
        return asked.instrument(name, "")
    if name == "taken":
        return asked.flag(name)
    return asked.text(name, "")


def _list(
    name: str, more: dict[str, str], extra: tuple[str, ...] = (), leave_out: tuple[str, ...] = ()
) -> Response:
    """Answer with rows of a table, and where the next page begins."""
    names = tuple(one for one in (*SHARED, *more) if one not in leave_out)
    asked = Question(request.args, (*names, *PAGED, *extra))
    limit = asked.integer("limit", DEFAULT_ROWS, 1, MAX_ROWS)
    equal = filters(asked, more, leave_out)
    # Sessions are a registry: a run that is played was begun long after what it shows.
    as_of = None if name == "sessions" else as_of_ms()
    rows = journal().rows(
        name,
        equal,
        asked.moment_ns("from", 0),
        end_ns(as_of, asked.moment_ns("to", LAST_NS)),
        _cursor(asked.text("cursor", "")),
        limit,
    )
    following = rows[-1].get("cursor") if len(rows) == limit else None
    return answer({name: rows, "next": following, "of": told(equal, as_of)})


def _cursor(text: str) -> tuple[int, str, int] | None:
    if not text:
        return None
    ts_ns, _, rest = text.partition(".")
    seq, _, session = rest.partition(".")
    if not (ts_ns.isdecimal() and seq.isdecimal() and session and ts_ns.isascii() and seq.isascii()):
        raise QuestionError("cursor", "expected the value of `next`")
    if max(int(ts_ns), int(seq)) > LAST_NS:
        raise QuestionError("cursor", "expected the value of `next`")
    return int(ts_ns), session, int(seq)


def _of_node(name: str, kind: str, instrument: str) -> Response:
    """Answer with what the node said last, and how long ago: it may be away, and have others by now."""
    hub = services().hub
    with hub.lock:
        found = getattr(hub.feed.state.snapshot(with_buckets=False), kind)
        age_ms, is_synced = hub.age_ms(), hub.feed.is_synced
    rows = [one for one in found if instrument in ("", one.ins)]
    return answer({name: rows, "link": link_of(age_ms), "age_ms": age_ms, "is_synced": is_synced})
