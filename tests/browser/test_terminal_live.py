"""What a click does at the exchange: a real node with its terminal, in a real Chromium.

One node of each mode serves them all, in the order of the file: a start costs more than all that they do.
"""

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.browser.live import PATIENCE_MS, NodeWithTerminal, PaperNode, Tab, opened, until
from tests.faults.harness import WAIT_SECS, FaultVenue, running_venue
from tests.paper_demo import INSTRUMENTS, LATENCY_MS, demo_settings
from tests.ui_server import VIEWER_TOKEN
from tests.venue_simulator.process import VenueProcess
from ui.server.pages.views import STATIC

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

OPERATOR: Final = "operator@127.0.0.1"
SPEED: Final = 30.0
# What a session on the sample's market tells within a minute or two.
DRAWN: Final = frozenset({"bkt", "dev", "zone", "sig", "ord", "acct", "lat", "hb"})
# A viewer's own request, past buttons and keys: gives the status.
FLATTEN_BY_REQUEST: Final = """async () => {
    const { csrf } = await (await fetch('/api/v1/session')).json();
    const answer = await fetch('/api/v1/commands', {
        method: 'POST',
        headers: { 'Content-Type': 'application/json', 'X-CSRF-Token': csrf },
        body: JSON.stringify({
            id: 'viewer-1', nonce: 'nonce-of-a-viewer-0001', action: 'flatten', args: {}, word: 'FLATTEN',
            expires_at: Date.now() + 5000,
        }),
    });
    return answer.status;
}"""

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the path"),
    pytest.mark.skipif(
        not (STATIC / "index.html").is_file(), reason="the pages are not built: make frontend"
    ),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Give a Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        yield browser
        browser.close()


# -- with money ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def venue() -> Iterator[FaultVenue]:
    """Give a local exchange with perpetuals."""
    with running_venue("binance_usdm") as venue:
        yield venue


@pytest.fixture(scope="module")
def node(venue: FaultVenue, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeWithTerminal]:
    """Give a live node that trades by script, with its terminal."""
    with NodeWithTerminal(venue, tmp_path_factory.mktemp("live")) as node:
        node.start()
        node.wait_served()
        yield node
        node.stop()


@pytest.fixture
def fresh(venue: FaultVenue, node: NodeWithTerminal) -> None:
    """Begin without orders, positions, pauses and halts, whatever the test before has left."""
    for action in ("rearm", "resume", "flatten"):
        node.command(action)
    node.wait("nothing is held", lambda: venue.is_flat() and not venue.legs())
    node.wait_open(WAIT_SECS)


@pytest.fixture
def tab(browser: Browser, node: NodeWithTerminal, fresh: None) -> Iterator[Tab]:
    """Give an operator's tab; in the end it must have said no error and asked nobody else."""
    with opened(browser, node.address) as tab:
        yield tab
        assert (tab.errors, tab.strangers) == ([], [])
        assert tab.are_whole()


def who_did(node: NodeWithTerminal, action: str) -> set[tuple[str, str]]:
    """Return who had a command of this kind done, and its arguments, as the journal says."""
    done = node.rows("SELECT actor, args FROM commands WHERE action = ? AND outcome = 'done'", action)
    return {(one["actor"], json.loads(one["args"]).get("instrument", "")) for one in done}


@pytest.mark.node_starts(1)
def test_a_click_reaches_the_exchange_and_the_journal(
    venue: FaultVenue, node: NodeWithTerminal, tab: Tab
) -> None:
    """Take an entry back, close a position: orders there are gone, and who did it is known."""
    page = tab.page
    expect(page.locator(".mode")).to_have_text("LIVE")
    node.enter()
    expect(page.locator(".dock")).to_contain_text("accepted", timeout=PATIENCE_MS)
    tab.act("cancel-all", "Cancel all")
    until(page, "nothing rests", lambda: not venue.legs())
    expect(page.locator(".toast").last).to_contain_text("done in")

    node.enter_and_fill()
    expect(page.locator("[data-action=close]")).to_be_enabled(timeout=PATIENCE_MS)
    tab.act("close", "Close position")
    until(page, "the position is closed", lambda: venue.is_flat() and not venue.legs())
    until(page, "the journal has it", lambda: who_did(node, "close"))
    assert who_did(node, "cancel-all") == {(OPERATOR, "")}
    assert who_did(node, "close") == {(OPERATOR, venue.kind.instrument_id)}
    logins = node.rows("SELECT actor, origin, outcome FROM accesses WHERE action = 'login'")
    assert {(one["actor"], one["origin"], one["outcome"]) for one in logins} == {
        ("operator", "rest 127.0.0.1", "done")
    }


@pytest.mark.slow
def test_what_is_paused_enters_nothing_until_it_is_resumed(
    venue: FaultVenue, node: NodeWithTerminal, tab: Tab
) -> None:
    """The venue hears of no entry meanwhile; a trade that would open a setup passes."""
    page = tab.page
    page.keyboard.press("p")
    expect(page.locator(".banner")).to_contain_text("paused", timeout=PATIENCE_MS)
    since_ns = venue.now_ns()
    for _ in range(5):
        venue.arm()
        page.wait_for_timeout(200)
    assert venue.sent_since(since_ns) == []
    page.keyboard.press("p")
    page.locator("dialog button", has_text="Resume").click()
    expect(page.locator(".banner")).to_be_hidden(timeout=PATIENCE_MS)
    node.enter()
    tab.act("cancel-all", "Cancel all")
    until(page, "nothing rests", lambda: not venue.legs())
    for action in ("pause", "resume"):
        until(page, "the journal has it", lambda action=action: (OPERATOR, "") in who_did(node, action))


@pytest.mark.slow
@pytest.mark.usefixtures("fresh")
def test_a_viewer_sees_the_position_and_cannot_touch_it(
    browser: Browser, venue: FaultVenue, node: NodeWithTerminal
) -> None:
    """Neither by buttons nor by keys nor by asking the server; the refusal is on record."""
    node.enter_and_fill()
    since_ns, legs = venue.now_ns(), venue.legs()
    with opened(browser, node.address, VIEWER_TOKEN) as viewer:
        page = viewer.page
        expect(page.locator(".side")).to_contain_text("0.1", timeout=PATIENCE_MS)
        for action in ("pause", "cancel-all", "close", "flatten", "kill"):
            expect(page.locator(f"[data-action={action}]")).to_be_disabled()
        for key in ("p", "x", "c", "Shift+K"):
            page.keyboard.press(key)
        expect(page.locator("dialog")).to_have_count(0)
        assert page.evaluate(FLATTEN_BY_REQUEST) == 403
        refused = until(
            page,
            "the refusal is journaled",
            lambda: node.rows("SELECT * FROM commands WHERE outcome = 'refused'"),
        )
    assert {one["actor"] for one in refused} == {"viewer@127.0.0.1"}
    assert (venue.legs(), venue.sent_since(since_ns)) == (legs, [])


@pytest.mark.slow
def test_flatten_leaves_nothing_at_the_venue(venue: FaultVenue, node: NodeWithTerminal, tab: Tab) -> None:
    """Live, its word is typed."""
    page = tab.page
    node.enter_and_fill()
    page.locator("[data-action=flatten]").click()
    expect(page.locator("dialog button", has_text="Flatten")).to_be_disabled()
    page.locator("dialog input").fill("FLATTEN")
    page.locator("dialog button", has_text="Flatten").click()
    until(page, "nothing is held", lambda: venue.is_flat() and not venue.legs())
    until(page, "the journal has it", lambda: (OPERATOR, "") in who_did(node, "flatten"))


@pytest.mark.slow
def test_kill_halts_entries_until_rearm(venue: FaultVenue, node: NodeWithTerminal, tab: Tab) -> None:
    """The waiting entry is taken back, none follows; the position that is there keeps its stop."""
    page = tab.page
    node.enter()
    tab.act("kill", "Kill", "KILL")
    until(page, "nothing rests", lambda: not venue.legs())
    expect(page.locator(".banner")).to_contain_text("Killed", timeout=PATIENCE_MS)
    since_ns = venue.now_ns()
    for _ in range(5):
        venue.arm()
        page.wait_for_timeout(200)
    assert venue.sent_since(since_ns) == []
    tab.act("rearm", "Rearm", "REARM")
    expect(page.locator(".banner")).to_be_hidden(timeout=PATIENCE_MS)
    node.enter()
    tab.act("cancel-all", "Cancel all")
    until(page, "nothing rests", lambda: not venue.legs())
    for action in ("kill", "rearm"):
        until(page, "the journal has it", lambda action=action: (OPERATOR, "") in who_did(node, action))


@pytest.mark.slow
def test_a_terminal_that_dies_comes_back_and_the_node_trades_on(
    venue: FaultVenue, node: NodeWithTerminal, tab: Tab
) -> None:
    """Banner, buttons off, and by itself everything again: with the trades of meanwhile, without a gap."""
    page = tab.page
    seen = len(tab.frames)
    os.kill(node.terminal_pid(), signal.SIGKILL)
    expect(page.locator(".banner")).to_contain_text("No connection", timeout=PATIENCE_MS)
    for action in ("pause", "cancel-all", "kill"):
        expect(page.locator(f"[data-action={action}]")).to_be_disabled()
    node.enter()  # nobody watches
    node.wait_served(times=2)
    tab.wait_fresh()
    expect(page.locator(".banner")).to_be_hidden(timeout=PATIENCE_MS)
    expect(page.locator(".side")).to_contain_text("entry", timeout=PATIENCE_MS)
    assert [one["t"] for one in tab.frames[seen:]].count("snap") == 1
    tab.act("cancel-all", "Cancel all")
    until(page, "nothing rests", lambda: not venue.legs())
    tab.errors = [one for one in tab.errors if "ERR_CONNECTION_REFUSED" not in one and "WebSocket" not in one]


@pytest.mark.slow
def test_a_node_that_hangs_leaves_kill_alone(node: NodeWithTerminal, tab: Tab) -> None:
    """What is old says so; a node that goes on is followed again, without a gap."""
    page = tab.page
    os.kill(node.process_id, signal.SIGSTOP)
    try:
        expect(page.locator(".badge")).to_have_attribute("data-freshness", "stale", timeout=PATIENCE_MS)
        expect(page.locator(".banner")).to_contain_text("only Kill")
        expect(page.locator("[data-action=cancel-all]")).to_be_disabled()
        expect(page.locator("[data-action=kill]")).to_be_enabled()
    finally:
        os.kill(node.process_id, signal.SIGCONT)
    tab.wait_fresh()
    expect(page.locator("[data-action=cancel-all]")).to_be_enabled()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["binance_usdm", "bybit_linear"])
def test_what_was_bought_by_hand_is_shown_and_closed(browser: Browser, kind: str, tmp_path: Path) -> None:
    """Where such a position is only reported: a person sees it beside the symbol, and closes it there."""
    reports = {"protection": {"unplanned": "report"}}
    with running_venue(kind) as venue, NodeWithTerminal(venue, tmp_path, live=reports) as node:
        node.start()
        node.wait_served()
        order = {"side": "BUY", "type": "MARKET", "qty": "0.05", "client_id": "web_more"}
        with opened(browser, node.address) as tab:
            page = tab.page
            venue.ctl("order", market=venue.kind.market, **order)
            expect(page.locator(".position")).to_contain_text("none: external", timeout=PATIENCE_MS)
            expect(page.locator(".position-head")).to_contain_text("LONG")
            tab.act("close", "Close position")
            expect(page.locator(".toast").last).to_contain_text("done in", timeout=PATIENCE_MS)
            until(page, "the position is closed", venue.is_flat)
            expect(page.locator(".position")).to_have_count(0, timeout=PATIENCE_MS)
            done = node.rows("SELECT args FROM commands WHERE action = 'close' AND outcome = 'done'")
            assert {json.loads(one["args"]).get("external") for one in done} == {True}
            assert tab.errors == []
        node.stop()


# -- on paper ------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_session_on_paper_draws_and_goes_on(browser: Browser, tmp_path: Path) -> None:
    """The OTE strategy on the sample's market: buckets, zones, order flow, orders, and no error."""
    with VenueProcess("--tape", "sample", "--speed", f"{SPEED:g}", "--wait") as venue:
        settings = demo_settings(venue, tmp_path, INSTRUMENTS, {})
        settings["live"]["paper"] = {"latency_ms": LATENCY_MS / SPEED}
        with PaperNode(settings, tmp_path) as node, opened(browser, node.address) as tab:
            venue.tape("start")
            page = tab.page
            legend = page.locator(".legend[data-pane=price] .cell").first
            expect(legend).to_contain_text("#", timeout=PATIENCE_MS)
            first = legend.text_content() or ""
            expect(legend).not_to_have_text(first, timeout=PATIENCE_MS)
            expect(page.locator(".mode")).to_have_text("PAPER")
            until(page, f"all of {sorted(DRAWN)} is told", lambda: tab.kinds() >= DRAWN, 180)
            expect(page.locator(".dock")).to_contain_text("entry", timeout=PATIENCE_MS)
            numbers = tab.bucket_numbers(INSTRUMENTS[0])
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
            assert (tab.errors, tab.strangers) == ([], [])
            assert tab.are_whole()
