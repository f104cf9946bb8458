"""The replay bar in a real Chromium: pause, speed, and scrubbing that shows nothing of later."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.pages import NEEDS_PAGES, PATIENCE_MS, chromium, logged_in, until
from tests.ui_fake_node import XRP
from tests.ui_server import Server, listening
from ui import protocol as p
from ui.recording import RECORDING_FILE, Recording, RecordingWriter
from ui.server.hub import Hub
from ui.server.replayer import Replayer
from ui.terminal_state import TerminalState

NANOS = 1_000_000_000
START_NS = 1_773_792_000 * NANOS
BUCKETS = 1_200
SIGNAL_EVERY = 100
# What a page may ask for beside its socket: gives the numbers of the buckets.
HISTORY = """async (ins) => (await (await fetch(`/api/v1/history?ins=${ins}&from=0&to=100000`)).json()).i"""

pytestmark = NEEDS_PAGES


def said_at(number: int) -> Iterator[tuple[str, Any]]:
    """Tell what a node says of a second: a bucket, and a signal now and then."""
    ms = START_NS // 1_000_000 + number * 1_000
    price = 2.0 + 0.01 * (number % 40)
    yield "bkt", p.Bucket(
        ins=XRP, i=number, t0=ms - 1_000, t1=ms, o=price, h=price + 0.02, l=price - 0.02, c=price, v=1e4,
        bv=6e3, sv=4e3, n=9, imb=0.2, vpin=0.3,
    )  # fmt: skip
    if number % SIGNAL_EVERY == 0:
        yield (
            "sig",
            p.SignalMark(
                id=f"S{number}",
                ins=XRP,
                ts=ms,
                i=number,
                kind="entry_submitted",
                side=1,
                px=price,
                taken=True,
            ),
        )


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """Give twenty minutes of a second per bucket."""
    path = tmp_path_factory.mktemp("run") / RECORDING_FILE
    state = TerminalState()
    writer = RecordingWriter(path, state, {"run": "r1"})
    about = p.InstrumentView(id=XRP, tick="0.0001", lot="0.1", bucket_usd=10_000.0)
    told: list[tuple[int, str, Any]] = [
        (0, "st", p.NodeState(mode="backtest", session="r1", instruments=[about]))
    ]
    told += [(number, kind, one) for number in range(BUCKETS) for kind, one in said_at(number)]
    for seq, (number, kind, payload) in enumerate(told, 1):
        state.apply(kind, payload)
        writer.write(p.Message("e", seq, START_NS + number * NANOS, kind, payload))
    writer.close()
    return Recording(path)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Give a Chromium."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def replayer(recording: Recording) -> Iterator[Replayer]:
    """Give a replay that is a few minutes in, ten seconds per second."""
    replayer = Replayer(Hub(), recording, speed=10.0)
    replayer.steer({"seek_to": recording.first_ns // 1_000_000 + 300_000})
    replayer.start()
    yield replayer
    replayer.stop()


@pytest.fixture
def server(replayer: Replayer) -> Iterator[Server]:
    """Give its server."""
    with listening(replayer._hub, replay=replayer.steer) as server:
        yield server


@pytest.fixture
def page(browser: Browser, server: Server) -> Iterator[Page]:
    """Give the terminal."""
    with logged_in(browser, server.address) as (page, said):
        yield page
        assert (said.errors, said.strangers) == ([], [])


def shown(page: Page) -> int:
    """Return the number of the newest bucket on the chart."""
    return int((number_of(page).text_content() or "").removeprefix("#"))


def number_of(page: Page) -> Locator:
    """Return where the chart says the number of its newest bucket."""
    return page.locator(".legend[data-pane=price] .cell").first


def scrub(page: Page, share: float) -> None:
    """Draw the slider to a share of the recording, and let it go."""
    page.locator("input.scrub").evaluate(
        """(slider, value) => {
            slider.value = value;
            slider.dispatchEvent(new Event('input'));
            slider.dispatchEvent(new Event('change'));
        }""",
        round(share * 10_000),
    )


def test_pause_holds_and_play_goes_on_at_the_chosen_speed(page: Page, replayer: Replayer) -> None:
    """Buttons for commands are not there: nobody would execute them."""
    expect(page.locator(".mode")).to_have_text("REPLAY")
    expect(page.locator("[data-action=kill]")).to_be_hidden()
    page.locator(".replay button").click()
    expect(page.locator(".replay button")).to_contain_text("Play")
    stands = replayer.at_ns
    page.locator(".replay select").select_option("300")
    until(lambda: replayer._speed == 300)
    assert replayer.at_ns == stands
    number = shown(page)
    page.locator(".replay button").click()
    expect(number_of(page)).not_to_have_text(f"#{number}", timeout=PATIENCE_MS)
    assert shown(page) > number


def test_scrubbing_shows_nothing_of_later(page: Page, replayer: Replayer) -> None:
    """To the end, and back: chart, tables and what can be asked for end at the moment that is shown."""
    page.locator(".replay button").click()
    until(lambda: replayer._paused)
    page.locator(".tab[data-tab=signals]").click()
    signals = page.locator(".t-body .t-row:visible")
    scrub(page, 1.0)
    expect(number_of(page)).to_have_text(f"#{BUCKETS - 1}", timeout=PATIENCE_MS)
    expect(signals).to_have_count(BUCKETS // SIGNAL_EVERY)
    scrub(page, 0.25)
    here = (BUCKETS - 1) // 4
    expect(number_of(page)).to_have_text(f"#{here}", timeout=PATIENCE_MS)
    expect(signals).to_have_count(1 + here // SIGNAL_EVERY)
    numbers = page.evaluate(HISTORY, XRP)
    assert (numbers[0], numbers[-1]) == (0, here)


def test_a_lost_connection_shows_and_comes_back_by_itself(browser: Browser, server: Server) -> None:
    """The socket's library tries again, with what the session says then."""
    with logged_in(browser, server.address) as (page, _):
        page.context.set_offline(True)
        expect(page.locator(".badge b")).to_have_text("OFFLINE", timeout=PATIENCE_MS)
        page.context.set_offline(False)
        expect(page.locator(".badge b")).to_have_text("CONNECTED", timeout=PATIENCE_MS)
        before = shown(page)
        until(lambda: shown(page) > before)
