"""Backtests: asked for with a form, run in a process of their own, kept with their results."""

import math
import re
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from flask import Blueprint, Response, request, send_file
from msgspec import Meta

from ui.server.access import origin, person
from ui.server.answers import answer, json_body, sees_paths
from ui.server.api.market import ask, place
from ui.server.errors import ApiError
from ui.server.frames import OPERATOR, told_to
from ui.server.jobs import Job, Jobs, QueueFull
from ui.server.ports import Plain, QuestionError, Unavailable
from ui.server.questions import INSTRUMENT, Question, moment_ns
from ui.server.services import services
from ui.server.shortened import shortened

KIND: Final = "backtest"
SECONDS: Final = {"1m": 60, "3m": 180, "5m": 300, "15m": 900, "30m": 1_800, "1h": 3_600, "2h": 7_200,
                  "4h": 14_400, "6h": 21_600, "8h": 28_800, "12h": 43_200, "1d": 86_400}  # fmt: skip
ROLES: Final = ("ltf", "mtf", "htf")
FILES: Final = {
    "trades.csv": "text/csv",
    "signals.csv": "text/csv",
    "tearsheet.html": "text/html",
    "summary.json": "application/json",
    "events.jsonl": "application/jsonl",
}
MAX_TEXT: Final = 200
FAILED: Final = "it failed; an operator sees why"
# The parameter of strategies that names a folder.
MODEL: Final = "model"

type Rate = Annotated[float, Meta(ge=0, lt=0.1)]

api = Blueprint("backtests", __name__, url_prefix="/api/v1/backtests")


class Commission(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rates of makers and takers: 0.001 is 0.1 %."""

    maker: Rate
    taker: Rate


class Wanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a backtest shall be.

    Parameters
    ----------
    strategy
        Name, see ``/api/v1/strategies``.
    symbols
        Instrument ids; empty for all of the catalog.
    symbol
        A single one.
    start, end
        ISO 8601, UTC; None for all there is.
    timeframes
        Role (``ltf``, ``mtf``, ``htf``) -> timeframe, for strategies that have them.
    balance
        Starting balance, quote currency.
    commission
        A rate for both sides, or rates of makers and takers; None for the instrument's own.
    slippage
        Increments (``2``) or ``1.5bps``.
    parameters
        Of the strategy.
    model
        Folder of a model.
    """

    strategy: Annotated[str, Meta(min_length=1, max_length=64)]
    symbol: Annotated[str, Meta(max_length=100)] | None = None
    symbols: Annotated[list[Annotated[str, Meta(max_length=100)]], Meta(max_length=500)] = []
    start: Annotated[str, Meta(max_length=40)] | None = None
    end: Annotated[str, Meta(max_length=40)] | None = None
    timeframes: dict[str, str] = {}
    balance: Annotated[float, Meta(gt=0, le=1e12)] | None = None
    commission: Rate | Commission | None = None
    slippage: Annotated[str, Meta(pattern=r"^[0-9]{1,3}(\.[0-9]{1,4})?(bps)?$")] | None = None
    parameters: dict[str, str | int | float | bool | None] = {}
    model: Annotated[str, Meta(max_length=200)] | None = None


@api.post("")
def create() -> Response:
    """Queue a backtest; the answer has its id."""
    plain = json_body()
    if plain is None:
        raise ApiError(
            400, "request", "expected a JSON object with the header Content-Type: application/json"
        )
    wanted = _read(plain)
    command = command_of(wanted, ask("strategies"), services().ports.get("config"), place("catalog"))
    _require_data(wanted)
    try:
        job = jobs().submit(KIND, command, msgspec.to_builtins(wanted), person().name)
    except QueueFull as error:
        raise ApiError(429, "queue", str(error)) from error
    services().audit.access(person().name, origin(), "backtest", "done", job.id)
    return answer(_shown(job), 202)


@api.get("")
def list_all() -> Response:
    """Return all backtests, newest first."""
    asked = Question(request.args, ("limit",))
    limit = asked.integer("limit", 100, 1, 1_000)
    return answer({"backtests": [_shown(job) for job in jobs().all(KIND)[:limit]]})


@api.get("/<name>")
def one(name: str) -> Response:
    """Return how far a backtest is, or its result."""
    job = _job(name)
    shown = _shown(job)
    if job.state == "done":
        result = {"uuid": job.id, **(jobs().output(name) or {})}
        if "run_dir" in result and person().role != OPERATOR:
            result["run_dir"] = Path(result["run_dir"]).name
        shown["result"] = result
    return answer(shown)


@api.delete("/<name>")
def cancel(name: str) -> Response:
    """Cancel a backtest that waits or runs; one that ended stays as it is."""
    _job(name)
    job = jobs().cancel(name)
    services().audit.access(person().name, origin(), "backtest cancel", "done", name)
    assert job is not None
    return answer(_shown(job))


@api.get("/<name>/files/<file>")
def download(name: str, file: str) -> Any:
    """Return a file of a finished backtest."""
    job = _job(name)
    path = _run_folder(jobs().output(job.id))
    if file not in FILES or path is None or not (path / file).is_file():
        raise ApiError(404, "absent", f"no such file; there are {', '.join(FILES)} once it is done")
    # Never shown as a page of ours: a tearsheet has scripts, which this site's policy allows nobody.
    given_name = f"{job.id}-{file}"
    if sees_paths():
        return send_file((path / file).absolute(), FILES[file], as_attachment=True, download_name=given_name)
    headers = {"Content-Disposition": f"attachment; filename={given_name}"}
    return Response(_without_paths(path / file), headers=headers, mimetype=FILES[file])


def command_of(wanted: Wanted, strategies: list[Plain], config: str | None, catalog: str) -> list[str]:
    """Return the command that runs it.

    Raises
    ------
    QuestionError
        With the field that is wrong.
    """
    known = next((one for one in strategies if one["name"] == wanted.strategy and one["error"] is None), None)
    if known is None:
        names = ", ".join(one["name"] for one in strategies if one["error"] is None)
        raise QuestionError("strategy", f"{wanted.strategy!r} is none of {names}")
    options = ["--catalog", catalog, "--strategy", wanted.strategy, "--json"]
    if config:
        options += ["--config", config]
    for instrument in _instruments(wanted):
        options.append(f"--instrument={instrument}")
    options += _span(wanted)
    if wanted.balance is not None:
        options += ["--balance", f"{wanted.balance:.8f}"]
    options += _fees(wanted.commission)
    if wanted.slippage is not None:
        options += ["--slippage", wanted.slippage]
    for name, value in _parameters(wanted, known).items():
        options += ["--set", f"{name}={value}"]
    if wanted.model is not None:
        options += ["--model", _folder("model", wanted.model)]
    return [sys.executable, "-m", "backtest_node", "run", *options]


def jobs() -> Jobs:
    """Return the jobs; raises `Unavailable` where there are none."""
    found: Jobs | None = services().ports.get("jobs")
    if found is None:
        raise Unavailable("this terminal runs no backtests")
    return found


def _read(plain: Any) -> Wanted:
    try:
        return msgspec.convert(plain, Wanted)
    except msgspec.ValidationError as error:
        words, _, path = str(error).partition(" - at `$")
        quoted = words.split("`")
        field = path.rstrip("`").lstrip(".") or (
            quoted[3] if len(quoted) > 3 else quoted[1] if len(quoted) > 1 else "body"
        )
        raise QuestionError(field, words) from None


def _require_data(wanted: Wanted) -> None:
    """Refuse an instrument that the catalog does not have before a process is started for it."""
    has = {str(one["instrument"]) for one in ask("pairs", place("catalog"))}
    for at, one in enumerate(_instruments(wanted)):
        if one not in has:
            field = "symbol" if wanted.symbol is not None else f"symbols[{at}]"
            raise QuestionError(field, f"the catalog has nothing of {one}; /api/v1/pairs lists what it has")


def _instruments(wanted: Wanted) -> list[str]:
    if wanted.symbol is not None and wanted.symbols:
        raise QuestionError("symbol", "give symbol or symbols, not both")
    asked = [("symbol", wanted.symbol)] if wanted.symbol is not None else []
    asked += [(f"symbols[{at}]", one) for at, one in enumerate(wanted.symbols)]
    for field, one in asked:
        if one is None or not INSTRUMENT.fullmatch(one):
            raise QuestionError(field, "expected an instrument id such as XRPUSDT.BINANCE")
    return [one for _, one in asked if one is not None]


def _span(wanted: Wanted) -> list[str]:
    start, end = wanted.start, wanted.end
    start_ns = None if start is None else moment_ns("start", start)
    end_ns = None if end is None else moment_ns("end", end)
    if start_ns is not None and end_ns is not None and start_ns >= end_ns:
        raise QuestionError("end", "is not after start")
    return [*(() if start is None else (f"--start={start}",)), *(() if end is None else (f"--end={end}",))]


def _fees(commission: float | Commission | None) -> list[str]:
    if commission is None:
        return []
    both = (
        commission if isinstance(commission, Commission) else Commission(maker=commission, taker=commission)
    )
    return ["--maker-fee", f"{both.maker:.8f}", "--taker-fee", f"{both.taker:.8f}"]


def _parameters(wanted: Wanted, strategy: Plain) -> dict[str, str]:
    """Return the strategy's parameters as text: those of the timeframes' roles, then those by name."""
    known = {one["name"]: one for one in strategy["parameters"]}
    found: dict[str, str] = {}
    for role, timeframe in wanted.timeframes.items():
        field = f"timeframes.{role[:20]}"
        if role not in ROLES or f"{role}_secs" not in known:
            has = [one for one in ROLES if f"{one}_secs" in known]
            raise QuestionError(field, f"{wanted.strategy} has the roles: {', '.join(has) or 'none'}")
        if timeframe not in SECONDS:
            raise QuestionError(field, f"{timeframe[:20]!r} is none of {', '.join(SECONDS)}")
        found[f"{role}_secs"] = str(SECONDS[timeframe])
    for name, value in wanted.parameters.items():
        if name not in known:
            raise QuestionError(f"parameters.{name[:60]}", f"{wanted.strategy} has no such parameter")
        text = _value(name, value, known[name])
        is_folder = name == MODEL and text not in ("", "null")
        found[name] = _folder(f"parameters.{name}", text) if is_folder else text
    return found


OR_NONE: Final = " | None"
# Python's own reading takes more: `1_0`, spaces around, digits of other scripts. The page and others do not.
_PLAIN_NUMBER: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_NUMBERS: Final[dict[str, Callable[[str], Any]]] = {"int": int, "float": float, "Decimal": float}


def _value(name: str, value: str | float | bool | None, known: Plain) -> str:
    field, kind = f"parameters.{name}", str(known["type"])
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    if len(text) > MAX_TEXT or not text.isprintable():
        raise QuestionError(field, f"expected one line of at most {MAX_TEXT} characters")
    if (read := _NUMBERS.get(kind.removesuffix(OR_NONE))) and not (kind.endswith(OR_NONE) and text == "null"):
        _require_number(field, text, kind, read, known)
    choices = [one.strip(" '") for one in kind.split("|")] if kind.startswith("'") else []
    if choices and text not in choices:
        raise QuestionError(field, f"{text[:40]!r} is none of {', '.join(choices)}")
    if kind == "bool" and text not in ("true", "false"):
        raise QuestionError(field, f"{text[:40]!r} is neither true nor false")
    return text


def _require_number(field: str, text: str, kind: str, read: Callable[[str], Any], known: Plain) -> None:
    try:
        number = read(text)
        is_number = math.isfinite(number) and _PLAIN_NUMBER.fullmatch(text) is not None
    except (ValueError, OverflowError):
        is_number = False
    if not is_number:
        raise QuestionError(field, f"{text[:40]!r} is no {kind}")
    least, most = known.get("min"), known.get("max")
    if least is not None and number < least:
        raise QuestionError(field, f"{text[:40]} is below {least:g}, the least it may be")
    if most is not None and number > most:
        raise QuestionError(field, f"{text[:40]} is above {most:g}, the most it may be")


def _folder(field: str, model: str) -> str:
    """Return a model's folder, which must lie in the folder of models: nothing else is read for a browser."""
    root = Path(place("models")).resolve()
    folder = (root / model).resolve()
    if not model.isprintable() or root not in folder.parents or not folder.is_dir():
        raise QuestionError(field, f"no such folder in {place('models')}")
    return str(folder)


def _run_folder(result: Any) -> Path | None:
    """Return the run's folder, which must lie in the folder of runs."""
    if not isinstance(result, dict) or not isinstance(result.get("run_dir"), str):
        return None
    path, root = Path(result["run_dir"]).resolve(), Path(place("runs")).resolve()
    return path if root in path.parents else None


def _without_paths(file: Path) -> Iterator[bytes]:
    """Walk a file as viewers may have it, a line at a time: events of a year are hundreds of megabytes."""
    with file.open("rb") as lines:
        yield from map(shortened, lines)


def _job(name: str) -> Job:
    try:
        job = jobs().find(str(uuid.UUID(name)))
    except ValueError:
        job = None
    if job is None or job.kind != KIND:
        raise ApiError(404, "absent", "no such backtest")
    return job


def _shown(job: Job) -> Plain:
    shown: Plain = msgspec.to_builtins(job)
    shown["error"] = told_to(person().role, job.error, FAILED)
    if job.state == "done":
        shown["files"] = {name: f"/api/v1/backtests/{job.id}/files/{name}" for name in FILES}
    return shown
