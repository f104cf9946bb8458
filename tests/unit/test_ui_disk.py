"""A disk that refuses, in whatever way, keeps nobody from a terminal's kill."""

import errno
import itertools
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.ui_server import OPERATOR_TOKEN, VIEWER_TOKEN, Server, command, make_server
from ui.attached.audit import JournalAudit
from ui.serve_command import _wait_for_signal
from ui.server.app import create_app
from ui.server.feed import Feed
from ui.server.frames import FrameMaker, told_to
from ui.server.ports import Reply
from ui.server.settings import ServerSettings

ROOT = Path(__file__).resolve().parents[2]

COMMANDS = "/api/v1/commands"
LESSENING = ("pause", "close", "cancel-all", "flatten", "kill")


def raising(*_: Any, **__: Any) -> Any:
    """Do what a disk does that became read-only."""
    raise OSError(errno.EROFS, os.strerror(errno.EROFS))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    """Give a server whose audit raises from its first note on."""
    made = make_server()
    for name in ("access", "command"):
        monkeypatch.setattr(made.audit, name, raising)
    return made


@pytest.mark.parametrize("action", LESSENING)
def test_what_lessens_risk_reaches_the_node_without_an_audit(server: Server, action: str) -> None:
    """After a login that could not be written down either; the outcome is that of the node."""
    browser, headers = server.browser()
    asked = command(action, word=action.upper())
    answer = browser.post(COMMANDS, json=asked, headers=headers)
    assert (answer.status_code, answer.json["outcome"]) == (200, "done")
    assert [one.action for one in server.node.orders] == [action]


@pytest.mark.parametrize("action", ["resume", "rearm", "status"])
def test_the_rest_is_refused_in_words(server: Server, action: str) -> None:
    """Nobody could tell later who let the node enter again."""
    browser, headers = server.browser()
    answer = browser.post(COMMANDS, json=command(action, word=action.upper()), headers=headers)
    assert (answer.status_code, answer.json["outcome"]) == (409, "refused")
    assert "audit cannot be written" in answer.json["why"]
    assert server.node.orders == []


def test_a_viewer_hears_nothing_of_the_places_of_the_server(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asking for the state is allowed; the spool's and the socket's path are for operators."""

    def full(*_: Any) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/srv/spool/x")

    def gone(*_: Any) -> Reply:
        return Reply("failed", "/srv/live/ctl.sock: no node listens")

    numbers = itertools.count(1)

    def said(token: str) -> str:
        browser, headers = server.browser(token)
        asked = command("status", next(numbers))
        return str(browser.post(COMMANDS, json=asked, headers=headers).json["why"])

    monkeypatch.setattr(server.audit, "command", full)
    assert "/srv/spool/x" in said(OPERATOR_TOKEN)
    assert said(VIEWER_TOKEN) == "the audit cannot be written: only what lessens risk is executed"
    monkeypatch.setattr(server.audit, "command", lambda *_: None)
    monkeypatch.setattr(server.node, "execute", gone)
    assert "/srv/live" in said(OPERATOR_TOKEN)
    assert said(VIEWER_TOKEN) == "the node did not answer; an operator sees why"


def test_a_refusal_is_answered_though_it_is_not_written_down(server: Server) -> None:
    """As is a request of nobody."""
    browser, headers = server.browser()
    answer = browser.post(COMMANDS, json=command("kill"), headers=headers)
    assert (answer.status_code, answer.json["field"]) == (422, "word")
    assert browser.post(COMMANDS, json=command()).status_code == 403
    assert server.client().post("/login", json={"password": "x"}).status_code == 401


def test_the_failure_is_told_until_it_is_over(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the banner's word and the health, though the audit itself knows of none."""
    hub = server.made.services.hub
    assert hub.trouble() is None
    server.client().post("/login", json={"password": "x"})
    assert "cannot be written" in str(hub.trouble())
    monkeypatch.setattr(server.audit, "access", lambda *_: None)
    server.client().post("/login", json={"password": "x"})
    assert hub.trouble() is None


def test_paths_of_the_server_are_told_to_operators_alone() -> None:
    """In frames and by the health; a viewer hears that something is wrong."""
    why = "/srv/smcbot/spool: no space left"
    maker = FrameMaker(Feed())
    maker.begin(0.0, 0, why)
    assert maker.snapshot(None, "operator").body["warn"] == why
    for frame in (maker.snapshot(None, "viewer"), maker.delta(0, None, "viewer")):
        assert "operator sees why" in frame.body["warn"]
        assert "/srv" not in frame.body["warn"]
    assert told_to("viewer", None) is None
    server = make_server()
    server.audit.refused = why
    told = {
        token: server.browser(token)[0].get("/api/v1/health/detailed").json["audit"]["trouble"]
        for token in (OPERATOR_TOKEN, VIEWER_TOKEN)
    }
    assert told[OPERATOR_TOKEN] == why
    assert "/srv" not in told[VIEWER_TOKEN]


def test_the_journal_on_a_disk_that_became_read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither writing nor removing is possible: the kill is executed."""
    server = make_server()
    audit = JournalAudit(tmp_path, "terminal-1", "paper")
    made = create_app(ServerSettings(), server.made.services.accounts, audit, node=server.node)
    browser, headers = Server(made, server.audit, server.node).browser()
    with monkeypatch.context() as disk:
        disk.setattr(os, "write", raising)
        disk.setattr(Path, "unlink", raising)
        answer = browser.post(COMMANDS, json=command("kill", word="KILL"), headers=headers)
        trouble = made.services.audit.trouble()
    audit.close()
    assert (answer.status_code, [one.action for one in server.node.orders]) == (200, ["kill"])
    assert "cannot be written" in str(trouble)


def test_what_is_done_meanwhile_may_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """The terminal stays until it is told to end."""
    handlers: dict[int, Callable[..., None]] = {}
    monkeypatch.setattr(signal, "signal", lambda number, handle: handlers.update({number: handle}))
    calls = threading.Semaphore(0)

    def fails() -> None:
        calls.release()
        raising()

    def end() -> None:
        assert all(calls.acquire(timeout=60) for _ in range(2))
        handlers[signal.SIGTERM]()

    ender = threading.Thread(target=end)
    ender.start()
    _wait_for_signal(None, fails)
    ender.join()


def test_a_signal_in_the_middle_of_a_wait_ends_it() -> None:
    """Its handler runs in the thread that waits, between two lines of the wait: no lock may be held there."""
    code = """
import os, signal, sys, threading
from ui.serve_command import _wait_for_signal
def within(frame, event, arg):
    if event == "call" and frame.f_code.co_qualname == "Condition.wait":
        sys.setprofile(None)
        signal.raise_signal(signal.SIGTERM)
later = threading.Timer(0.7, os.kill, (os.getpid(), signal.SIGTERM))
later.daemon = True
later.start()
sys.setprofile(within)
_wait_for_signal(None)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=15, check=False)
    assert done.returncode == 0
