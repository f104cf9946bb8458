"""What the server says of itself when something is not there: its paths are for operators alone."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from werkzeug.routing import Rule

from tests.ui_server import OPERATOR_TOKEN, VIEWER_TOKEN, Server, make_server
from ui import protocol as p
from ui.attached.data import DataWorker
from ui.attached.journal import JournalReader
from ui.server.api.backtests import FILES
from ui.server.frames import FrameMaker
from ui.server.hub import Hub
from ui.server.jobs import Job
from ui.server.ports import Unavailable
from ui.server.shortened import shortened

COIN = "XRPUSDT.BINANCE"
DONE = "00000000-0000-4000-8000-000000000001"
FAILED = "00000000-0000-4000-8000-000000000002"


class Refusing:
    """A catalog that is damaged, in the words of the rest of the program."""

    def ask(self, name: str, *args: Any) -> Any:
        """Refuse."""
        raise Unavailable(f"{args[0]}: damaged: import it again", names_paths=True)


class TradesAlone:
    """A catalog that has trades of a coin, and no klines."""

    def ask(self, name: str, *_: Any) -> Any:
        """Answer."""
        if name == "pairs":
            return [{"instrument": COIN, "kind": "trades"}]
        raise Unavailable("it has no klines: import or download some", names_paths=True)


class Kept:
    """A job that failed with a path in its words, and one that is done."""

    def all(self, _: str) -> list[Job]:
        """Return both."""
        return [found for name in (DONE, FAILED) if (found := self.find(name)) is not None]

    def find(self, name: str) -> Job | None:
        """Return one."""
        plain = {"kind": "backtest", "progress": 1.0, "asked": {}, "by": "anna", "created": 1}
        if name == FAILED:
            return Job(id=name, state="failed", error="/srv/bot/catalog: no trades", **plain)  # type: ignore[arg-type]
        return Job(id=name, state="done", **plain)  # type: ignore[arg-type]

    def output(self, _: str) -> Any:
        """Return a result."""
        return {"pnl": 1.0, "run_dir": "/srv/bot/var/runs/r1"}


def told(ports: Any, path: str, status: int) -> tuple[str, str]:
    """Return what an operator and a viewer are answered."""
    server = make_server(ports=ports)
    answers = [server.browser(token)[0].get(f"/api/v1/{path}") for token in (OPERATOR_TOKEN, VIEWER_TOKEN)]
    assert [one.status_code for one in answers] == [status] * 2
    return answers[0].text, answers[1].text


@pytest.mark.parametrize("path", [f"candles?instrument={COIN}", f"structure?instrument={COIN}", "models"])
def test_why_data_cannot_be_read_is_told_in_full_to_operators(path: str, tmp_path: Path) -> None:
    """A viewer hears that it is so, and who knows more."""
    places = {name: str(tmp_path / name) for name in ("catalog", "structure", "models")}
    operator, viewer = told({"data": Refusing(), "places": places}, path, 404)
    assert str(tmp_path) in operator
    assert str(tmp_path) not in viewer
    assert "an operator sees why" in viewer


def test_words_of_the_server_itself_are_told_to_everybody() -> None:
    """They name nothing of it."""
    operator, viewer = told({"places": {"catalog": "/srv/bot"}}, f"candles?instrument={COIN}", 404)
    assert operator == viewer
    assert "this terminal reads no catalogs" in viewer


def test_words_of_the_rest_of_the_program_may_name_paths(tmp_path: Path) -> None:
    """Those of the journal and of the process that reads data."""
    (tmp_path / "journal.sqlite").write_bytes(b"no database at all, and long enough to be read as one" * 20)
    with pytest.raises(Unavailable) as of_journal:
        JournalReader(f"sqlite:///{tmp_path}/journal.sqlite").trade_stats({})
    assert of_journal.value.names_paths
    worker = DataWorker()
    worker._answer = lambda *_: (False, "/srv/bot: damaged")  # type: ignore[method-assign]
    with pytest.raises(Unavailable) as of_data:
        worker.ask("models", "/srv/bot")
    assert of_data.value.names_paths


@pytest.mark.parametrize("has_catalog", [True, False])
def test_a_catalog_without_klines_ranks_nothing(has_catalog: bool, tmp_path: Path) -> None:
    """It is no fault: the page would have an error in the console."""
    places = {"catalog": str(tmp_path if has_catalog else tmp_path / "none")}
    answers = told({"data": TradesAlone(), "places": places}, "scan/volatility?timeframe=5m", 200)
    assert answers == ('{"by":"atr_pct","bars":100,"timeframes":[]}',) * 2


def test_backtests_tell_viewers_no_paths() -> None:
    """Neither where one failed nor where its run is."""
    ports = {"jobs": Kept()}
    for path in ("backtests", f"backtests/{FAILED}"):
        operator, viewer = told(ports, path, 200)
        assert "/srv/bot/catalog: no trades" in operator
        assert "/srv" not in viewer
        assert "it failed; an operator sees why" in viewer
    operator, viewer = told(ports, f"backtests/{DONE}", 200)
    assert '"run_dir":"/srv/bot/var/runs/r1"' in operator
    assert '"run_dir":"r1"' in viewer


# Somewhere below the root, as a person types it into a form, and as our own programs write it.
PLACE = "/srv/anna/bot"
TEXT = f"{PLACE}/models/m1 'file://{PLACE}/a' (catalog={PLACE}/b): sqlite:///{PLACE}/journal.sqlite"
TEXT += f"\n{PLACE}/x\t{PLACE}/y \u201c{PLACE}/z\u201d ipc://{PLACE}/s.sock /{PLACE}/t?{PLACE}/u \n{PLACE}\n"
ROW = {"ts_ns": 1, "kind": "klines", "detail": {"config": {"catalog": f"{PLACE}/catalog"}}, "reason": TEXT}
# Of each variable of an address; the questions of those that need one.
NAMES = {"name": DONE, "setup": "L1"}
QUERIES = {
    "candles": f"instrument={COIN}",
    "structure": f"instrument={COIN}",
    "history": f"ins={COIN}",
    "bars": f"ins={COIN}",
    "orders": "source=journal",
}


class Talkative:
    """Journal, catalog, jobs and audit whose every answer names places."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def ask(self, name: str, *_: Any) -> Any:
        """Answer of catalogs, strategies, models, the paper account."""
        return [ROW] if name in ("models", "strategies", "pairs") else {"folder": f"{PLACE}/paper", **ROW}

    def rows(self, *_: Any, **__: Any) -> list[Any]:
        """Return a row."""
        return [ROW]

    def trade_stats(self, *_: Any) -> Any:
        """Return figures; those of signals alike."""
        return dict(ROW)

    signal_stats = trade_stats

    def signal_summary(self, *_: Any) -> list[Any]:
        """Return figures of instruments."""
        return [ROW]

    def explain(self, *_: Any) -> Any:
        """Return a story."""
        return {"trade": ROW, "session": ROW, "steps": [ROW]}

    def all(self, _: str) -> list[Job]:
        """Return a job."""
        return [self.find("")]

    def find(self, _: str) -> Job:
        """Return a job whose person named a folder."""
        asked = {"model": f"{PLACE}/models/m1", "parameters": {"model": TEXT}}
        return Job(id=DONE, kind="backtest", state="done", progress=1.0, asked=asked, by="anna", created=1)

    def output(self, _: str) -> Any:
        """Return what the run printed."""
        return {**ROW, "run_dir": str(self.folder / "runs" / "r1")}


def talking(folder: Path) -> tuple[Server, Hub]:
    """Return a server whose node, journal, catalog and jobs name places wherever they say something."""
    run = folder / "runs" / "r1"
    run.mkdir(parents=True)
    for name in FILES:
        (run / name).write_text(
            f'first line\n{PLACE}/begins "{PLACE}/quoted" {run}\n<pre>catalog: {PLACE}\n</pre>'
        )
    (folder / "catalog").mkdir()
    hub = Hub()
    about = p.InstrumentView(id=COIN, tick="0.1", lot="1")
    state = p.NodeState(mode="live", session="s", kill_reason=TEXT, drift=TEXT, instruments=[about])
    line = p.LogLine(ts=1, level="error", src="spool", text=TEXT)
    order = p.OrderView(
        coid="c", ins=COIN, setup="s", role="entry", side="buy", type="limit", tif="GTC", qty="1", filled="0",
        status="DENIED", ts=1, reason=TEXT,
    )  # fmt: skip
    now_ns = time.time_ns()
    hub.take([p.Message("e", 0, now_ns, p.SNAP, p.Snapshot(st=state, log=[line], ord=[order]))])
    hub.take([p.Message("e", 1, now_ns, "log", line), p.Message("e", 2, now_ns, "ord", order)])
    known = Talkative(folder)
    places = {name: str(folder / name) for name in ("catalog", "structure", "paper", "runs", "models")}
    ports = {"journal": known, "data": known, "jobs": known, "places": places}
    server = make_server(hub, ports=ports)
    server.audit.refused = TEXT
    return server, hub


def asked_of(server: Server) -> list[str]:
    """Return the address of everything that can be read, downloads too."""
    rules = [one for one in server.made.app.url_map.iter_rules() if "GET" in (one.methods or ())]
    found = []
    for rule in rules:
        if rule.endpoint == "static" or rule.rule.startswith(("/assets", "/pages", "/<")):
            continue  # files of ours, which hold no data
        found += [_address(rule, file) for file in (FILES if "file" in rule.arguments else ("",))]
    return found


def _address(rule: Rule, file: str) -> str:
    path = rule.rule
    for name in rule.arguments:
        path = path.replace(f"<{name}>", {**NAMES, "file": file}[name])
    query = QUERIES.get(path.removeprefix("/api/v1/"), "")
    return f"{path}?{query}" if query else path


def test_a_viewers_every_answer_names_no_place(tmp_path: Path) -> None:
    """Whatever can be read or downloaded, and what comes by itself; an operator sees them."""
    server, hub = talking(tmp_path)
    viewer, operator = (server.browser(token)[0] for token in (VIEWER_TOKEN, OPERATOR_TOKEN))
    naming = set()
    paths = asked_of(server)
    assert len(paths) > 30
    for path in paths:
        answer = viewer.get(path)
        assert answer.status_code == (403 if path == "/api/v1/audit" else 200), (path, answer.text)
        for place in (PLACE, str(tmp_path)):
            assert place not in answer.text, f"{path}: {answer.text}"
        if PLACE in operator.get(path).text:
            naming.add(path.partition("?")[0].rpartition("/")[2])
    assert naming >= {
        *FILES,
        "sessions",
        "explain",
        "paper",
        "models",
        "strategies",
        DONE,
        "detailed",
        "orders",
    }
    maker = FrameMaker(hub.feed)
    maker.begin(0.0, time.time_ns(), TEXT)
    for make in (lambda role: maker.snapshot(None, role), lambda role: maker.delta(0, None, role)):
        told_operator, told_viewer = (
            json.dumps(make(role).body, default=_plain) for role in ("operator", "viewer")
        )
        assert PLACE in told_operator
        assert PLACE not in told_viewer
        assert "m1" in told_viewer


def _plain(raw: Any) -> Any:
    return json.loads(bytes(raw))


@pytest.mark.parametrize(
    ("words", "told"),
    {
        "at /srv/bot/": "at bot",
        "catalog: /data\n": "catalog: data\n",
        "/opt/anna/my models/x": "my models/x",
        "file:///srv/a/b": "file://b",
        "sqlite:////srv/a/b": "sqlite:///b",
        "sqlite:///var/journal.sqlite": "sqlite:///var/journal.sqlite",
        "https://srv/a/b": "https://srv/a/b",
        '{"url":"/api/v1/trades","of":"1/2"}': '{"url":"/api/v1/trades","of":"1/2"}',
        "<b>a</var>/usr/b": "<b>a</var>b",
        "&#x27;/usr/a/b&#x27;": "&#x27;b&#x27;",
    }.items(),
)
def test_of_a_path_its_last_name_is_left(words: str, told: str) -> None:
    """Addresses of this site and of others, shares and tags are none."""
    assert shortened(words.encode()).decode() == told
