"""The terminal in a real Chromium, against a server that listens and a node that trades a made-up market."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.pages import NEEDS_PAGES, PATIENCE_MS, Said, chromium, logged_in, until
from tests.ui_fake_node import XRP, FakeNode, Market, play
from tests.ui_server import OPERATOR_TOKEN, VIEWER_TOKEN, Server, listening
from ui import protocol as p
from ui.attached.node import NodeSocket
from ui.server.hub import Hub
from ui.server.subscriber import Subscriber

HISTORY = 300

pytestmark = NEEDS_PAGES


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Give a Chromium."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def node(tmp_path: Path) -> Iterator[FakeNode]:
    """Give a node with a past, a position, and a market that goes on."""
    until = threading.Event()
    with FakeNode(tmp_path / "paper") as node:
        market = Market(node)
        market.history(HISTORY)
        market.second()
        node.publish(
            "pos",
            p.PositionView(ins=XRP, setup="S", side="long", qty="100.0", avg="2.0000", rpnl="0", since=0),
        )
        playing = threading.Thread(target=play, args=(market, 20.0, until), daemon=True)
        playing.start()
        yield node
        until.set()
        playing.join()


@pytest.fixture
def server(node: FakeNode) -> Iterator[Server]:
    """Give a server that hears the node and sends it commands."""
    hub = Hub()
    subscriber = Subscriber(hub, node.folder / "telemetry.sock")
    subscriber.start()
    try:
        with listening(hub, NodeSocket(node.folder.parent, "paper")) as server:
            yield server
    finally:
        subscriber.stop()


@pytest.fixture
def enter(browser: Browser, server: Server) -> Iterator[Callable[..., tuple[Page, Said]]]:
    """Give what logs a browser in and shows it the terminal with data."""
    with ExitStack() as opened:

        def log_in(token: str = OPERATOR_TOKEN, **options: Any) -> tuple[Page, Said]:
            return opened.enter_context(logged_in(browser, server.address, token, **options))

        yield log_in


def commanded(node: FakeNode) -> list[str]:
    """Return the actions that the node executed."""
    return [command.action for command in node.executed]


def test_it_draws_updates_and_says_no_error(enter: Callable[..., tuple[Page, Said]]) -> None:
    """Numbers of buckets grow; nothing on the console; no request to anybody else."""
    page, said = enter()
    legend = page.locator(".legend[data-pane=price] .cell").first
    first = legend.text_content()
    expect(legend).not_to_have_text(first or "", timeout=PATIENCE_MS)
    for pane in ("imbalance", "vpin", "model"):
        expect(page.locator(f".legend[data-pane={pane}]")).to_be_visible()
    expect(page.locator(".mode")).to_have_text("PAPER")
    assert (said.errors, said.strangers) == ([], [])


def test_a_position_is_closed_in_two_clicks(enter: Callable[..., tuple[Page, Said]], node: FakeNode) -> None:
    """The second one is away from where the keyboard is: Back has the focus."""
    page, _ = enter()
    page.locator("[data-action=close]").click()
    expect(page.locator("dialog button", has_text="Back")).to_be_focused()
    page.locator("dialog button", has_text="Close position").click()
    until(lambda: commanded(node) == ["close"])
    expect(page.locator(".toast")).to_contain_text("done in")
    assert node.executed[0].instrument == XRP


def test_what_changed_since_the_first_click_is_asked_again(
    enter: Callable[..., tuple[Page, Said]], node: FakeNode
) -> None:
    """The described position ended and another one began: a confirmation is none of that."""
    page, _ = enter()
    confirm = page.locator("dialog button", has_text="Close position")
    page.locator("[data-action=close]").click()
    expect(page.locator("dialog .effects")).to_contain_text("long 100")
    other = {"ins": XRP, "avg": "2.0000", "rpnl": "0", "since": 0}
    node.publish("pos", p.PositionView(setup="S", side="flat", qty="0", **other))
    node.publish("pos", p.PositionView(setup="external", side="short", qty="7.0", **other))
    expect(page.locator(".position-head")).to_contain_text("SHORT")
    confirm.click()
    expect(page.locator("dialog .effects")).to_contain_text("has changed")
    expect(page.locator("dialog .effects")).to_contain_text("external short 7")
    assert commanded(node) == []
    confirm.click()
    until(lambda: commanded(node) == ["close"])
    assert node.executed[0].args == {"instrument": XRP, "external": True}


def test_a_position_of_another_symbol_is_shown_where_it_began(
    enter: Callable[..., tuple[Page, Said]], node: FakeNode
) -> None:
    """Its buckets are loaded first; the chart then stands at that moment, and not at the newest bucket."""
    other = node.instruments[1]
    since = int(time.time() * 1e3) - HISTORY * 2_500
    node.publish(
        "pos", p.PositionView(ins=other, setup="T", side="long", qty="1", avg="1", rpnl="0", since=since)
    )
    page, _ = enter()
    page.locator(".dock [role=tab]", has_text="Positions").click()
    page.locator(".dock [role=grid] .t-row", has_text=other.split(".")[0]).dblclick()
    expect(page.locator("button.symbol")).to_contain_text(other.split(".")[0])
    expect(page.locator("button.follow")).to_be_visible(timeout=PATIENCE_MS)


def test_keys_of_the_table_close_what_is_selected(
    enter: Callable[..., tuple[Page, Said]], node: FakeNode
) -> None:
    """C that of the selected row, Enter on a row's button that of its row: never that of the chart."""
    other, now_ms = node.instruments[1], int(time.time() * 1e3)
    for at, name in enumerate((XRP, other)):  # the newest first: the chart's is the second row
        view = p.PositionView(
            ins=name, setup=f"T{at}", side="long", qty="1", avg="1", rpnl="0", since=now_ms + at
        )
        node.publish("pos", view)
    page, _ = enter()
    page.locator(".dock [role=tab]", has_text="Positions").click()
    expect(page.locator(".dock [role=grid] .t-row", has_text=other.split(".")[0])).to_be_visible()
    dialog = page.locator("dialog")
    page.keyboard.press("t")
    page.keyboard.press("c")
    expect(dialog).to_have_count(0)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("c")
    expect(dialog).to_contain_text(other.split(".")[0])
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    row = page.locator(".dock [role=grid] .t-body .t-row", has_text=XRP.split(".")[0]).first
    row.locator("button").focus()
    page.keyboard.press("Enter")
    expect(dialog).to_contain_text(XRP.split(".")[0])
    page.keyboard.press("Escape")
    assert commanded(node) == []


def test_keys_pause_and_resume(enter: Callable[..., tuple[Page, Said]], node: FakeNode) -> None:
    """And the banner says so while it lasts."""
    page, _ = enter()
    page.keyboard.press("p")
    until(lambda: commanded(node) == ["pause"])
    expect(page.locator(".banner")).to_contain_text("paused")
    page.keyboard.press("p")
    until(lambda: commanded(node) == ["pause", "resume"])
    expect(page.locator(".banner")).to_be_hidden()


def test_escape_cancels_nothing(enter: Callable[..., tuple[Page, Said]], node: FakeNode) -> None:
    """The dialog of `cancel all` is left without a command."""
    page, _ = enter()
    page.keyboard.press("x")
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_have_count(0)
    assert commanded(node) == []


def test_kill_wants_its_word(enter: Callable[..., tuple[Page, Said]], node: FakeNode) -> None:
    """Then entries are halted, and Rearm appears."""
    page, _ = enter()
    page.keyboard.press("Shift+K")
    confirm = page.locator("dialog button", has_text="Kill")
    expect(confirm).to_be_disabled()
    page.locator("dialog input").fill("KILL")
    confirm.click()
    until(lambda: commanded(node) == ["kill"])
    expect(page.locator(".banner")).to_contain_text("Killed")
    expect(page.locator("[data-action=rearm]")).to_be_enabled()


def test_a_viewer_cannot_act(enter: Callable[..., tuple[Page, Said]], node: FakeNode) -> None:
    """All buttons are off, and keys do nothing."""
    page, _ = enter(VIEWER_TOKEN)
    for action in ("pause", "cancel-all", "close", "flatten", "kill"):
        expect(page.locator(f"[data-action={action}]")).to_be_disabled()
    for key in ("p", "x", "c", "Shift+K"):
        page.keyboard.press(key)
    expect(page.locator("dialog")).to_have_count(0)
    assert commanded(node) == []


def test_only_kill_is_left_when_the_node_is_silent(
    enter: Callable[..., tuple[Page, Said]], node: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The badge turns by itself, without a message."""
    page, _ = enter()
    monkeypatch.setattr(node, "_send", lambda *_: None)
    expect(page.locator(".badge")).to_have_attribute("data-freshness", "stale", timeout=PATIENCE_MS)
    expect(page.locator("[data-action=pause]")).to_be_disabled()
    expect(page.locator("[data-action=kill]")).to_be_enabled()
    expect(page.locator(".banner")).to_contain_text("only Kill")


@pytest.mark.parametrize("width", [390, 820, 1200, 1280, 1440, 1600, 1700, 1920])
def test_every_figure_is_whole_at_any_width(enter: Callable[..., tuple[Page, Said]], width: int) -> None:
    """Of a live session, also with long numbers; only a phone leaves those of the machine out."""
    page, _ = enter(viewport={"width": width, "height": 844})
    expect(page.locator(".figure", has_text="Day equity")).not_to_contain_text("–", timeout=PATIENCE_MS)
    measure = """(texts) => {
        const figures = [...document.querySelectorAll('.figure')];
        for (const one of figures) {
            const text = texts[one.querySelector('.figure-label').textContent];
            if (text) one.querySelector('.figure-value').textContent = text;
        }
        const box = (one) => one.getBoundingClientRect();
        const bar = box(document.querySelector('.instrument-bar'));
        const isOver = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
        const others = [...document.querySelectorAll('.actions .btn, .symbol, .quote > *')].map(box)
            .filter((one) => one.width);
        const isWhole = (one) => one.width > 0 && one.left >= 0 && one.right <= innerWidth
            && one.top >= bar.top && one.bottom <= bar.bottom && !others.some((other) => isOver(one, other));
        const shown = figures.filter((one) => isWhole(box(one)));
        return {
            shown: shown.map((one) => one.querySelector('.figure-label').textContent),
            right: Math.max(...others.map((one) => one.right)),
            height: bar.height,
        };
    }"""
    with_more_buttons = """(texts) => {
        for (const [name, text] of [['resume', 'Resume 2 symbols'], ['rearm', 'Rearm']]) {
            const button = document.querySelector(`[data-action=${name}]`);
            button.textContent = text;
            button.hidden = false;
        }
        return (%s)(texts);
    }"""
    machine = [] if width == 390 else ["Feed ms", "Decision µs", "Ack ms"]
    expected = ["Equity", "Day PnL", "Day equity", "Drawdown", "Model", *machine]
    usual = page.evaluate(measure, {})
    several = "−12,345.67 USDT, +2,345.67 USDC, −0.0123 BTC, +0.123 ETH, −11.37 R"
    mixed = page.evaluate(measure, {"Day PnL": several})
    long = page.evaluate(
        measure,
        {
            "Equity": "1,012,345.67",
            "Day PnL": "▼ −12,345.67 USDT, −11.37 R (123)",
            "Day equity": "▼ −12,345.67",
            "Drawdown": "10.24%",
            "Feed ms": "120 / 450",
            "Decision µs": "310 / 2,820",
            "Ack ms": "180 / 1,460",
        },
    )
    two = {"Equity": "101,234.56", "Day PnL": "▼ −12,345.67 USDT, −0.0123 BTC, −11.27 R (143)"}
    double = page.evaluate(measure, two)
    crowded = page.evaluate(with_more_buttons % measure, two)
    told = (usual, mixed, long, double, crowded)
    assert [one["shown"] for one in told] == [expected] * len(told)
    assert max(one["right"] for one in told) <= width
    if width > 1260:
        assert usual["height"] == long["height"] == double["height"], "the chart jumps with the numbers"
    if 1260 < width <= 1800:
        assert crowded["height"] - usual["height"] < 8, "more buttons take the room of the figures"


def test_the_phone_shows_position_and_actions(enter: Callable[..., tuple[Page, Said]]) -> None:
    """Nothing is wider than the screen."""
    page, _ = enter(viewport={"width": 390, "height": 844})
    for action in ("pause", "close", "kill"):
        expect(page.locator(f"[data-action={action}]")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
