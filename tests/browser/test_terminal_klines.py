"""A hundred made-up coins on klines in a real Chromium: what a session without buckets shows."""

import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec.structs import replace
from playwright.sync_api import Page, expect

from tests.browser.live import Tab, opened
from tests.browser.pages import NEEDS_PAGES, PATIENCE_MS, chromium, until
from tests.ui_fake_node import FakeNode, now_ms
from tests.ui_server import listening
from ui import protocol as p
from ui.attached.node import NodeSocket
from ui.server.hub import Hub
from ui.server.subscriber import Subscriber

COINS: Final = tuple(f"C{number:03d}USDT-PERP.BINANCE" for number in range(100))
BAR_MS: Final = 60_000
BARS: Final = 200
MOST: Final = {"htf": 25.0, "sweep": 20.0, "order_block": 20.0, "fvg": 15.0, "rsi": 10.0, "structure": 10.0}
LEGEND_TOPS: Final = "() => [...document.querySelectorAll('.legend')].map((one) => one.offsetTop)"

pytestmark = NEEDS_PAGES


class CoinNode(FakeNode):
    """A node of the confluence strategy with a model of signals."""

    def node_state(self) -> p.NodeState:
        """Return what it says of itself."""
        coins = [
            p.InstrumentView(id=one, tick="0.01", lot="1", kind="bars", min_score=40.0)
            for one in self.instruments
        ]
        return replace(super().node_state(), instruments=coins, factors=MOST)

    def bar(self, ins: str, t: int) -> None:
        """Tell a kline."""
        factors = dict.fromkeys(MOST, 0.0) | {"htf": 25.0, "rsi": 10.0}
        close = 2.0 + 0.1 * (t // BAR_MS % 7)
        self.publish("bar", p.Bar(
            ins=ins, tf="1m", t=t, o=2.0, h=close + 0.1, l=1.9, c=close, v=10.0, score_long=10.0,
            score_short=35.0, factors=factors,
        ))  # fmt: skip

    def signal(self, ins: str, ts: int, **fields: Any) -> None:
        """Tell a signal that the model was asked about."""
        told: dict[str, Any] = {
            "taken": False,
            "skip": "model",
            "p": 0.48,
            "thr": 0.55,
            "model": "below_threshold",
            "why": "4h bias is bearish",
        }
        self.publish("sig", p.SignalMark(
            id=f"{ins}{ts}", ins=ins, ts=ts, i=1, side=-1, px=2.0, stop=2.1, target=1.8, confidence=0.35,
            factors={"htf": 25.0, "rsi": 10.0}, kind="signal_skipped", **(told | fields),
        ))  # fmt: skip


@pytest.fixture
def node(tmp_path: Path) -> Iterator[CoinNode]:
    """Give a node whose coins have klines up to now, and one signal each."""
    with CoinNode(tmp_path / "paper", instruments=COINS) as node:
        newest = now_ms() // BAR_MS * BAR_MS - BAR_MS
        for ins in COINS:
            for back in range(BARS - 1, -1, -1):
                node.bar(ins, newest - back * BAR_MS)
            node.signal(ins, newest)
        yield node


@pytest.fixture
def tab(node: CoinNode) -> Iterator[Tab]:
    """Give a tab that is logged in; whatever a test did, the page said no error."""
    hub = Hub()
    subscriber = Subscriber(hub, node.folder / "telemetry.sock")
    subscriber.start()
    try:
        socket = NodeSocket(node.folder.parent, "paper")
        with listening(hub, socket) as server, chromium() as browser, opened(browser, server.address) as tab:
            expect(tab.page.locator(".chart-empty")).to_be_hidden(timeout=PATIENCE_MS)
            yield tab
            assert (tab.errors, tab.strangers) == ([], [])
    finally:
        subscriber.stop()


def turn_to(page: Page, name: str) -> None:
    """Open another page of the terminal."""
    page.locator("header a", has_text=name).click()


def test_a_session_on_klines_shows_its_model_and_every_reason(tab: Tab) -> None:
    """A pane for its answers, the gauge of the last signal, all factors, and why it was left."""
    page = tab.page
    expect(page.locator(".legend[data-pane=model]")).to_contain_text("0.480 / 0.550")
    expect(page.locator(".legend[data-pane=score]")).to_contain_text("signal from40")
    side = page.locator(".side")
    expect(side.get_by_label("probability 48.0%, threshold 55.0%")).to_be_visible()
    expect(side).to_contain_text("the model says no")
    expect(side.locator(".factor")).to_have_count(len(MOST))
    box = page.locator(".chart-canvas").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] - 200, box["y"] + 100)
    expect(page.locator(".hover-card")).to_contain_text("short 35 of 100")
    expect(page.locator(".hover-card .factor")).to_have_count(len(MOST))


def test_a_hundred_coins_are_listed_and_switched_at_once(tab: Tab) -> None:
    """What was explained of one coin goes with it."""
    page = tab.page
    page.locator("[data-tab=signals]").click()
    page.locator("main.terminal .t-body .t-row:visible").first.dblclick()
    again = page.locator(".side button", has_text="Show the last decision")
    expect(again).to_be_visible()
    page.keyboard.press("/")
    expect(page.locator("dialog [role=option]")).to_have_count(len(COINS))
    page.locator("dialog input").fill("c042")
    page.keyboard.press("Enter")
    began = time.monotonic()
    expect(page.locator(".symbol-name")).to_have_text("C042USDT-PERP")
    expect(page.locator(".chart-empty")).to_be_hidden()
    assert time.monotonic() - began < 2
    expect(again).to_have_count(0)


def test_lines_of_the_panes_stay_with_them(tab: Tab, node: CoinNode) -> None:
    """While another page is shown a kline closes, and then the window becomes a phone's."""
    page = tab.page
    turn_to(page, "Overview")
    expect(page.locator("main.page")).to_contain_text("Volatility scan")
    node.bar(COINS[0], now_ms() // BAR_MS * BAR_MS)
    page.wait_for_timeout(300)
    tab.errors.clear()  # there is no journal here
    turn_to(page, "Terminal")
    page.wait_for_timeout(300)
    assert are_apart(page)
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_timeout(300)
    assert are_apart(page)


def are_apart(page: Page) -> bool:
    """Tell whether the lines of four panes stand below each other, all on the chart."""
    tops = page.evaluate(LEGEND_TOPS)
    box = page.locator(".chart-canvas").bounding_box()
    assert box is not None
    return (
        len(tops) == 4
        and all(after - before > 30 for before, after in pairwise(tops))
        and tops[-1] < box["height"] - 30
    )


def test_a_new_kline_moves_price_and_chart(tab: Tab, node: CoinNode) -> None:
    """And only the coin that is shown."""
    page, ins = tab.page, COINS[0]
    shown = page.locator(".legend[data-pane=price]").inner_text()
    node.bar(COINS[1], now_ms() // BAR_MS * BAR_MS)
    page.wait_for_timeout(300)
    assert page.locator(".legend[data-pane=price]").inner_text() == shown
    node.publish(
        "bar", p.Bar(ins=ins, tf="1m", t=now_ms() // BAR_MS * BAR_MS, o=3.0, h=3.5, l=2.5, c=3.25, v=1.0)
    )
    until(lambda: "3.25" in page.locator(".price").inner_text())
    expect(page.locator(".legend[data-pane=price]")).to_contain_text("3.50")
