"""The API against a journal, a catalog and jobs that are real; its description against its answers."""

import contextlib
import json
import time
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest import SkipTest

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

from runtime.journal.session import SessionJournal
from runtime.journal.writer import Writer
from tests.journal_records import COIN, DURABLE, START
from tests.ui_server import HOST, ORIGIN, SECRET, Server, make_server
from ui import protocol as p
from ui.attached.journal import JournalReader
from ui.server.api.openapi import description
from ui.server.hub import Hub
from ui.server.jobs import Jobs
from ui.server.ports import Plain, Unavailable
from ui.terminal_state import TerminalState

MACHINE = {"X-Shared-Secret": SECRET}
# Of each operation: right requests, and as many wrong ones.
EXAMPLES = 10
# Of requests that no description covers: another method, a body that is no JSON or too long.
EVERYWHERE = {400, 404, 405, 413, 415}
STRATEGIES: list[Plain] = [
    {
        "name": "confluence",
        "error": None,
        "parameters": [
            {"name": "ltf_secs", "type": "int"},
            {"name": "htf_secs", "type": "int"},
            {"name": "side", "type": "'both' | 'long' | 'short'"},
            {"name": "target_atr", "type": "float", "min": 0.01, "max": 100},
            {"name": "time_exit_mins", "type": "float | None", "min": 0},
            {"name": "model", "type": "str"},
        ],
    },
    {"name": "broken", "error": "cannot be imported", "parameters": []},
]


class MemoryData:
    """Answers questions about catalogs as they would be answered, or says that there is nothing."""

    def ask(self, name: str, *args: Any) -> Any:
        """Answer."""
        if name == "strategies":
            return STRATEGIES
        if name == "pairs":
            return [{"instrument": COIN, "kind": "trades", "interval": None, "rows": 1}]
        if name == "paper_reset":
            return {"reset": True}
        raise Unavailable(f"nothing of {args[1] if len(args) > 1 else name}")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Server:
    """Give a server with a journal that has a row of every kind, and a node that said something."""
    folder = tmp_path_factory.mktemp("api")
    url = f"sqlite:///{folder}/journal.sqlite"
    journal = SessionJournal(folder / "spool", "s1", START, reserve_bytes=0)
    for number in range(1, 6):
        for make in DURABLE:
            journal.append(make(number))
    journal.abandon()
    Writer(folder / "spool", url).drain()
    hub = Hub()
    state = TerminalState()
    state.apply("st", p.NodeState(mode="paper", session="s"))
    state.apply("pos", p.PositionView(ins=COIN, setup="S", side="long", qty="1", avg="2", rpnl="0", since=0))
    hub.take([p.Message("e", 1, time.time_ns(), p.SNAP, state.snapshot())])
    places = {name: str(folder / name) for name in ("catalog", "structure", "paper", "runs", "models")}
    ports = {
        "journal": JournalReader(url),
        "data": MemoryData(),
        "jobs": Jobs(folder / "jobs", 0),
        "places": places,
    }
    ports["jobs"]._at_once = 0  # what is asked for stays queued
    return make_server(
        hub, ports=ports, requests="1000000/minute", commands="1000000/minute", kills="1000000/minute"
    )


def ask(server: Server, path: str, **more: Any) -> Any:
    """Ask as a program; return the answer's JSON."""
    answer = server.client().get(path, headers=MACHINE, **more)
    assert answer.status_code == 200, answer.text
    return answer.json


class TestRecords:
    """What the journal says."""

    def test_rows_come_newest_first_a_page_at_a_time(self, server: Server) -> None:
        """All of them, each once."""
        found, cursor = [], ""
        while True:
            page = ask(server, f"/api/v1/trades?limit=2&cursor={cursor}")
            found += page["trades"]
            cursor = page["next"]
            if not cursor:
                break
        times = [one["exit_ts_ns"] for one in found]
        assert len(found) == 5
        assert times == sorted(times, reverse=True)
        assert len({one["seq"] for one in found}) == 5

    def test_filters_leave_out_the_others(self, server: Server) -> None:
        """By mode, setup and time."""
        assert ask(server, "/api/v1/trades?mode=live")["trades"] == []
        everything = ask(server, "/api/v1/decisions")["decisions"]
        one = everything[0]["setup_id"]
        assert {row["setup_id"] for row in ask(server, f"/api/v1/decisions?setup={one}")["decisions"]} == {
            one
        }
        assert ask(server, "/api/v1/decisions?from=2100-01-01")["decisions"] == []

    def test_money_is_exact_text(self, server: Server) -> None:
        """As it was journaled."""
        fill = ask(server, "/api/v1/fills")["fills"][0]
        assert fill["commission"] == "0.01024600"
        assert Decimal(fill["qty"]) == 100

    def test_a_catalog_that_is_not_there_yet_has_no_pairs(self, server: Server) -> None:
        """It is no fault: every page that offers symbols would have an error in the console."""
        catalog = Path(server.made.services.ports["places"]["catalog"])
        assert ask(server, "/api/v1/pairs") == {"pairs": []}
        catalog.mkdir()
        try:
            assert [one["instrument"] for one in ask(server, "/api/v1/pairs")["pairs"]] == [COIN]
        finally:
            catalog.rmdir()

    def test_the_last_day_of_a_replay_ends_with_what_is_shown(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """By the clock of today an old run would have had no signal in its last day."""
        asked: list[int] = []

        class Known:
            def signal_summary(self, _equal: Any, now_ns: int) -> list[Any]:
                asked.append(now_ns)
                return []

        replay = make_server(ports={"journal": Known()})
        place = p.Replaying(from_=0, to=86_400_000, at=1_000, speed=1.0, paused=True)
        node = p.NodeState(mode="replay", session="s", replay=place)
        monkeypatch.setattr(replay.made.services.hub, "node", lambda: node)
        ask(replay, "/api/v1/signals/summary")
        assert asked == [1_001 * 1_000_000]

    @pytest.mark.parametrize("path", ["trades/stats", "signals/stats", "signals/summary"])
    def test_figures_are_of_what_is_served_unless_somebody_says_else(self, server: Server, path: str) -> None:
        """A backtest of an hour ago is no part of a live terminal's figures; the answer says so."""
        known = server.made.services
        name = path.partition("/")[0]
        count = {"trades/stats": "trades", "signals/stats": "signals"}.get(path, "instruments")
        of_paper = ask(server, f"/api/v1/{path}")
        assert of_paper[count]
        assert of_paper["of"] == {"mode": "paper", "session": None, "as_of": None}
        known.ports["mode"] = "live"
        try:
            of_live = ask(server, f"/api/v1/{path}")
            rows = ask(server, f"/api/v1/{name}?mode=served")
            everything = [ask(server, f"/api/v1/{path}?{one}") for one in ("mode=all", "session=s1")]
            every_row = ask(server, f"/api/v1/{name}")
        finally:
            del known.ports["mode"]
        assert not of_live[count]
        assert of_live["of"] == rows["of"] == {"mode": "live", "session": None, "as_of": None}
        assert rows[name] == []
        assert [one[count] for one in everything] == [of_paper[count]] * 2
        assert every_row[name]
        assert every_row["of"] == {"mode": None, "session": None, "as_of": None}

    def test_figures_of_a_replay_are_of_its_session(self, server: Server, tmp_path: Path) -> None:
        """Whose mode the journal calls something else."""
        hub, state = Hub(), TerminalState()
        state.apply("st", p.NodeState(mode="replay", session="another"))
        hub.take([p.Message("e", 1, time.time_ns(), p.SNAP, state.snapshot())])
        replay = make_server(hub, ports={**server.made.services.ports, "mode": "backtest"})
        figures = ask(replay, "/api/v1/trades/stats")
        assert (figures["trades"], figures["of"]) == (0, {"mode": None, "session": "another", "as_of": None})

    def test_figures_of_signals_add_up(self, server: Server) -> None:
        """Taken and skipped are all."""
        stats = ask(server, "/api/v1/signals/stats")
        rows = ask(server, "/api/v1/signals")["signals"]
        assert stats["signals"] == stats["taken"] + stats["skipped"] == len(rows) > 0
        assert stats["taken"] == sum(row["is_taken"] for row in rows)
        assert sum(one["signals"] for one in stats["by_instrument"]) == len(rows)
        summary = ask(server, "/api/v1/signals/summary")["instruments"]
        assert sum(one["signals"] for one in summary) == len(rows)

    def test_positions_are_those_of_the_node(self, server: Server) -> None:
        """With the time without a stop."""
        found = ask(server, "/api/v1/positions")["positions"]
        assert [(one["ins"], one["side"], one["unprotected_ms"]) for one in found] == [(COIN, "long", 0.0)]

    @pytest.mark.parametrize("name", ["positions", "orders"])
    def test_what_stands_says_how_old_it_is(self, name: str) -> None:
        """A program must see that the node has been away since."""
        clock = [0.0]
        hub = Hub(clock_s=lambda: clock[0], clock_ns=lambda: round(clock[0] * 1e9))
        server = make_server(hub)
        never = ask(server, f"/api/v1/{name}")
        assert (never[name], never["link"], never["age_ms"], never["is_synced"]) == ([], "away", None, False)
        state = TerminalState()
        state.apply("st", p.NodeState(mode="paper", session="s"))
        hub.take([p.Message("e", 1, 0, p.SNAP, state.snapshot())])
        found = []
        for clock[0] in (1.0, 5.0, 60.0):
            now = ask(server, f"/api/v1/{name}")
            found.append((now["link"], now["age_ms"], now["is_synced"]))
        assert found == [("live", 1_000.0, True), ("stale", 5_000.0, True), ("away", 60_000.0, True)]

    def test_without_a_journal_the_answer_says_so(self) -> None:
        """And is no error of the server."""
        answer = (
            make_server(ports={"journal": JournalReader("")}).client().get("/api/v1/trades", headers=MACHINE)
        )
        assert (answer.status_code, answer.json["error"]["message"]) == (404, "the journal is off")


class TestPaper:
    """The account of paper trading."""

    PATH = "/api/v1/paper/reset"

    def test_a_reset_is_noted_with_its_outcome_also_where_it_fails(
        self, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Who reads the audit must not take a reset for one that goes on for ever."""
        body = {"word": "RESET"}
        assert server.client().post(self.PATH, json=body, headers=MACHINE).status_code == 200
        broken = MemoryData()
        monkeypatch.setattr(broken, "ask", lambda *_words: 1 / 0)
        monkeypatch.setitem(server.made.services.ports, "data", broken)
        assert server.client().post(self.PATH, json=body, headers=MACHINE).status_code == 500
        resets = [note[3:] for note in server.audit.notes if note[2] == "paper reset"]
        assert [one[0] for one in resets] == ["received", "done", "received", "failed"]
        assert "division" in resets[-1][1]

    def test_the_terminal_of_a_live_node_resets_no_paper(
        self, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A slip of the hand in the wrong window."""
        monkeypatch.setitem(server.made.services.ports, "mode", "live")
        before = len(server.audit.notes)
        answer = server.client().post(self.PATH, json={"word": "RESET"}, headers=MACHINE)
        assert (answer.status_code, "live" in answer.json["error"]["message"]) == (422, True)
        assert len(server.audit.notes) == before


class TestBacktests:
    """What may be asked for."""

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({}, "strategy"),
            ({"strategy": "nonsense"}, "strategy"),
            ({"strategy": "broken"}, "strategy"),
            ({"strategy": "confluence", "symbol": "xrp"}, "symbol"),
            ({"strategy": "confluence", "symbol": "ADAUSDT.BINANCE"}, "symbol"),
            ({"strategy": "confluence", "symbols": [COIN, "x"]}, "symbols[1]"),
            ({"strategy": "confluence", "symbol": COIN, "symbols": [COIN]}, "symbol"),
            ({"strategy": "confluence", "start": "yesterday"}, "start"),
            ({"strategy": "confluence", "start": "2026-01-02", "end": "2026-01-02"}, "end"),
            ({"strategy": "confluence", "timeframes": {"ltf": "7m"}}, "timeframes.ltf"),
            ({"strategy": "confluence", "timeframes": {"mtf": "5m"}}, "timeframes.mtf"),
            ({"strategy": "confluence", "balance": 0}, "balance"),
            ({"strategy": "confluence", "balance": "much"}, "balance"),
            ({"strategy": "confluence", "commission": 0.5}, "commission"),
            ({"strategy": "confluence", "commission": {"maker": 0.001}}, "commission"),
            ({"strategy": "confluence", "slippage": "; rm"}, "slippage"),
            ({"strategy": "confluence", "parameters": {"nonsense": 1}}, "parameters.nonsense"),
            ({"strategy": "confluence", "parameters": {"side": "up"}}, "parameters.side"),
            ({"strategy": "confluence", "parameters": {"ltf_secs": 1.5}}, "parameters.ltf_secs"),
            ({"strategy": "confluence", "parameters": {"target_atr": "a\nb"}}, "parameters.target_atr"),
            ({"strategy": "confluence", "parameters": {"target_atr": "nan"}}, "parameters.target_atr"),
            ({"strategy": "confluence", "parameters": {"target_atr": "-inf"}}, "parameters.target_atr"),
            ({"strategy": "confluence", "parameters": {"target_atr": "1e999"}}, "parameters.target_atr"),
            ({"strategy": "confluence", "parameters": {"target_atr": 0.005}}, "parameters.target_atr"),
            ({"strategy": "confluence", "parameters": {"target_atr": "100.1"}}, "parameters.target_atr"),
            ({"strategy": "confluence", "parameters": {"time_exit_mins": -1}}, "parameters.time_exit_mins"),
            (
                {"strategy": "confluence", "parameters": {"time_exit_mins": "inf"}},
                "parameters.time_exit_mins",
            ),
            ({"strategy": "confluence", "model": "../../etc"}, "model"),
            ({"strategy": "confluence", "parameters": {"model": "../../../etc/ssl"}}, "parameters.model"),
            ({"strategy": "confluence", "parameters": {"model": "/etc/ssl"}}, "parameters.model"),
            ({"strategy": "confluence", "nonsense": 1}, "nonsense"),
        ],
    )
    def test_what_is_wrong_is_named(self, server: Server, body: Plain, field: str) -> None:
        """Before a process is started."""
        answer = server.client().post("/api/v1/backtests", json=body, headers=MACHINE)
        assert answer.status_code == 422, answer.text
        assert answer.json["error"]["field"].startswith(field)

    def test_a_form_becomes_the_command_that_a_person_would_type(self, server: Server) -> None:
        """Roles of timeframes are parameters, a single commission is both sides'."""
        body = {
            "strategy": "confluence", "symbol": COIN, "start": "2026-01-05", "end": "2026-01-06T12:00:00Z",
            "timeframes": {"ltf": "5m", "htf": "4h"}, "balance": 5000, "commission": 0.001,
            "parameters": {"side": "long", "time_exit_mins": None, "target_atr": 0.01},
        }  # fmt: skip
        answer = server.client().post("/api/v1/backtests", json=body, headers=MACHINE)
        assert answer.status_code == 202
        job = answer.json
        assert (job["state"], job["by"]) == ("queued", "machine")
        folder = Path(server.made.services.ports["places"]["runs"]).parent / "jobs" / job["id"]
        command = json.loads((folder / "request.json").read_text())["command"][1:]
        assert command[:3] == ["-m", "backtest_node", "run"]
        assert command[5:] == [
            "--strategy", "confluence", "--json", f"--instrument={COIN}", "--start=2026-01-05",
            "--end=2026-01-06T12:00:00Z", "--balance", "5000.00000000", "--maker-fee", "0.00100000",
            "--taker-fee", "0.00100000", "--set", "htf_secs=14400", "--set", "ltf_secs=300", "--set",
            "side=long", "--set", "target_atr=0.01", "--set", "time_exit_mins=null",
        ]  # fmt: skip
        cancelled = server.client().delete(f"/api/v1/backtests/{job['id']}", headers=MACHINE).json
        assert cancelled["state"] == "cancelled"

    @pytest.mark.parametrize("name", ["x", "../..", "00000000-0000-0000-0000-000000000000"])
    def test_one_that_does_not_exist_is_absent(self, server: Server, name: str) -> None:
        """Whatever its id looks like."""
        assert server.client().get(f"/api/v1/backtests/{name}", headers=MACHINE).status_code == 404


class TestDescription:
    """OpenAPI."""

    def test_every_address_of_the_api_is_described_and_no_other(self, server: Server) -> None:
        """With its methods."""
        known = {
            (rule.rule.replace("<", "{").replace(">", "}"), method.lower())
            for rule in server.made.app.url_map.iter_rules()
            for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
            if rule.rule.startswith("/api/") or rule.rule == "/health"
        }
        described = {(path, method) for path, methods in description()["paths"].items() for method in methods}
        assert described == known

    def test_the_page_loads_the_description_and_nothing_of_others(self, server: Server) -> None:
        """Its script comes from here."""
        page = server.client().get("/docs").text
        assert 'src="/pages/docs.js"' in page
        script = server.client().get("/pages/docs.js").text
        assert "/openapi.json" in script
        assert "http" not in script.replace("https://json-schema.org", "")


@pytest.mark.slow
def test_no_request_that_the_description_allows_breaks_the_server(server: Server) -> None:
    """Schemathesis makes requests up, right and wrong ones; none is answered with a server's error."""
    schema = schemathesis.openapi.from_wsgi("/openapi.json", server.made.app, headers={"Host": HOST})
    asked: list[int] = []
    for found in schema.get_all_operations():
        operation = found.ok()
        known = {int(status) for status in operation.definition.raw["responses"]}
        for mode in GenerationMode:
            attack(operation, mode, known, asked)
    assert len(asked) > 300
    assert {200, 404, 422} <= set(asked)


def attack(operation: Any, mode: GenerationMode, known: set[int], asked: list[int]) -> None:
    """Ask for one operation with requests that are right, or wrong."""

    @settings(
        max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        answer = case.call(headers={**(case.headers or {}), **MACHINE, "Host": HOST}, base_url=ORIGIN)
        asked.append(answer.status_code)
        said = (
            f"{case.method} {case.formatted_path} {case.query}: {answer.status_code} {answer.content[:300]!r}"
        )
        assert answer.status_code < 500, said
        if case.method == operation.method.upper():
            assert answer.status_code in known | EVERYWHERE, said

    with contextlib.suppress(Unsatisfiable, SkipTest):  # without parameters nothing can be wrong
        check()
