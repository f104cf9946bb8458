"""A confluence session on paper in a real Chromium: coins, their klines, what was signalled and why."""

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.live import PATIENCE_MS, Tab, free_port, opened, until
from tests.browser.pages import NEEDS_PAGES, chromium
from tests.paper_confluence import DAY_SECS, HISTORY_DAYS, PRINTS, VENUE, PaperRun
from tests.ui_server import environment
from tests.venue_simulator.process import VenueProcess

COINS: Final = ("BTCUSDT", "ETHUSDT", "LINKUSDT", "ADAUSDT", "SOLUSDT", "DOGEUSDT")
SPEED: Final = 5
BAR_MS: Final = 300_000 // SPEED
WARM_SECS: Final = 300
# Two closes, and what is decided at them.
CLOSES_MS: Final = 2 * BAR_MS + PATIENCE_MS
LEAST_SCORE: Final = 10
FACTORS: Final = {"htf", "sweep", "order_block", "fvg", "rsi", "structure"}
NO_NUMBER: Final = re.compile(r"\bNaN\b|\bundefined\b|\bInfinity\b|\[object")
KLINES: Final = "(ins) => fetch(`/api/v1/bars?ins=${ins}`).then((answer) => answer.json())"
LEGEND_TOPS: Final = "() => [...document.querySelectorAll('.legend')].map((one) => one.offsetTop)"

pytestmark = [*NEEDS_PAGES, pytest.mark.slow]


def name_of(coin: str) -> str:
    """Return the Nautilus id of a coin."""
    return f"{coin}-PERP.BINANCE"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Give a Chromium."""
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def address(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the terminal of a node that has warmed up: nearly every kline of its own colour is a signal."""
    tapes = [shared_data / "klines_5m" / f"{coin}.parquet" for coin in COINS]
    arguments = [word for one in tapes for word in ("--tape", str(one))]
    span = ("--first", "2023-02-11T14:00", "--end", "2023-03-11T18:00")
    pace = ("--history-secs", str(HISTORY_DAYS * DAY_SECS), "--speed", str(SPEED), "--prints", str(PRINTS))
    parameters = {"min_confidence": LEAST_SCORE, "record_from": 5}
    port = free_port()
    with VenueProcess("--venues", VENUE, *arguments, *span, *pace) as venue:
        words = ("--terminal-port", str(port))
        folder = tmp_path_factory.mktemp("confluence")
        run = PaperRun(venue, folder, list(map(name_of, COINS)), parameters, SPEED, words)
        with pytest.MonkeyPatch.context() as patch:
            for variable, value in environment().items():
                patch.setenv(variable, value)
            run.start()
        try:
            run.wait_until_warm(WARM_SECS)
            yield f"http://127.0.0.1:{port}"
            assert run.stop() == 0
        finally:
            run.kill()


@pytest.fixture
def tab(browser: Browser, address: str) -> Iterator[Tab]:
    """Give a tab that is logged in; whatever a test did, the page shows no error and no broken number."""
    with opened(browser, address) as tab:
        yield tab
        assert (tab.errors, tab.strangers) == ([], [])
        assert tab.are_whole()
        assert not NO_NUMBER.search(tab.page.inner_text("body"))


def turn_to(page: Page, name: str) -> None:
    """Open another page of the terminal."""
    page.locator("header a", has_text=name).click()


def switch_to(page: Page, coin: str) -> None:
    """Choose a symbol by a part of its name."""
    page.keyboard.press("/")
    page.locator("dialog input").fill(coin[:4])
    expect(page.locator("dialog [role=option]")).to_have_count(1)
    page.keyboard.press("Enter")
    expect(page.locator(".symbol-name")).to_have_text(f"{coin}-PERP")


def test_klines_of_before_and_of_now_stand_side_by_side(tab: Tab) -> None:
    """None is missing between them, and the newest one moves the chart."""
    page = tab.page
    for coin in COINS:
        until(page, f"{coin} has klines", lambda coin=coin: len(klines(page, coin)) >= 200)
        times = [one["t"] for one in klines(page, coin)]
        assert {after - before for before, after in pairwise(times)} == {BAR_MS}
    legend = page.locator(".legend[data-pane=price]")
    expect(legend).to_contain_text("1m")
    expect(page.locator(".legend[data-pane=score]")).to_contain_text(f"signal from{LEAST_SCORE}")
    newest = klines(page, COINS[0])[-1]["t"]
    until(page, "the next kline closes", lambda: klines(page, COINS[0])[-1]["t"] > newest, CLOSES_MS / 1e3)


def klines(page: Page, coin: str) -> list[dict[str, Any]]:
    """Return the klines that the terminal has of a coin."""
    found: list[dict[str, Any]] = page.evaluate(KLINES, name_of(coin))["bars"]
    return found


def test_a_kline_explains_its_score(tab: Tab) -> None:
    """All six factors, each with its points, the most it gives and what it means."""
    page = tab.page
    expect(page.locator(".chart-empty")).to_be_hidden(timeout=PATIENCE_MS)
    box = page.locator(".chart-canvas").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 100)
    factors = page.locator(".hover-card .factor")
    expect(factors).to_have_count(len(FACTORS), timeout=PATIENCE_MS)
    assert {one.get_attribute("data-factor") for one in factors.all()} == FACTORS
    for one in factors.all():
        assert re.search(r"\d+ of \d+", one.inner_text())
        assert len(one.locator(".factor-meaning").inner_text()) > 10


def test_signals_say_why_they_were_skipped_and_that_there_is_no_model(tab: Tab) -> None:
    """In the table, beside the chart, and in the journal."""
    page = tab.page
    page.locator("[data-tab=signals]").click()
    rows = page.locator("main.terminal .t-body .t-row:visible")
    skipped = rows.filter(has_text="skipped")
    expect(skipped.first).to_be_visible(timeout=CLOSES_MS)
    for row in skipped.all():
        assert row.locator(".t-cell").nth(9).inner_text(), row.inner_text()
    rows.filter(has_text="taken").first.dblclick()
    side = page.locator(".side")
    expect(side).to_contain_text("signal taken")
    expect(side).to_contain_text("no model: signals are chosen by their score alone")
    expect(side.locator(".factor")).to_have_count(len(FACTORS))
    for tab_name, said in (("decisions", "in the table Signals"), ("zones", "point at a kline")):
        page.locator(f"[data-tab={tab_name}]").click()
        expect(page.locator(".dock .t-empty")).to_contain_text(said)
    page.keyboard.press("v")
    expect(page.locator(".chart-empty")).to_contain_text("its strategy works on klines")
    page.keyboard.press("v")

    turn_to(page, "Journal")
    page.locator("main.page .segment button", has_text="signals").click()
    page.locator("main.page .t-body .t-row", has_text="skipped").first.dblclick()
    story = page.locator(".story")
    expect(story).to_contain_text("Skipped for")
    expect(story).to_contain_text("of 100:")
    expect(story.locator(".factor").first).to_be_visible()


def test_many_symbols_are_found_and_each_has_its_own_reasons(tab: Tab) -> None:
    """What was told of one says nothing about the next."""
    page = tab.page
    page.locator("[data-tab=signals]").click()
    page.locator("main.terminal .t-body .t-row:visible").first.dblclick(timeout=CLOSES_MS)
    expect(page.locator(".side button", has_text="Show the last decision")).to_be_visible()
    for coin in COINS[-2:]:
        switch_to(page, coin)
        expect(page.locator(".chart-empty")).to_be_hidden(timeout=PATIENCE_MS)
    expect(page.locator(".side button", has_text="Show the last decision")).to_have_count(0)
    turn_to(page, "Overview")
    expect(page.locator("main.page .tile", has_text="Symbols")).to_contain_text(str(len(COINS)))
    page.get_by_label("filter the symbols").fill("doge")
    expect(page.locator("main.page .t-body .t-row:visible")).to_have_count(1)
    page.locator("button", has_text="Scan").click()
    expect(page.locator("main.page")).to_contain_text("download_data.py", timeout=PATIENCE_MS)


def test_lines_of_the_panes_are_where_the_panes_are(tab: Tab) -> None:
    """After another page, and at another size: nothing moves a chart on klines for minutes."""
    page = tab.page
    expect(page.locator(".chart-empty")).to_be_hidden(timeout=PATIENCE_MS)
    turn_to(page, "Overview")
    newest = klines(page, COINS[0])[-1]["t"]
    until(page, "a kline closes meanwhile", lambda: klines(page, COINS[0])[-1]["t"] > newest, CLOSES_MS / 1e3)
    turn_to(page, "Terminal")
    until(page, "the lines are apart", lambda: are_apart(page.evaluate(LEGEND_TOPS)))
    page.set_viewport_size({"width": 390, "height": 844})
    height = page.locator(".chart-canvas").bounding_box()
    assert height is not None
    until(page, "they moved with the panes", lambda: max(page.evaluate(LEGEND_TOPS)) < height["height"] - 30)
    assert are_apart(page.evaluate(LEGEND_TOPS))


def are_apart(tops: list[int]) -> bool:
    """Tell whether lines stand below each other with a pane between them."""
    return len(tops) == 3 and all(after - before > 40 for before, after in pairwise(tops))


def test_a_position_is_closed_by_hand_and_entries_pause(tab: Tab) -> None:
    """The button is that of the chart's symbol; the pause is said and ends."""
    page = tab.page
    page.locator("[data-tab=positions]").click()
    row = page.locator("main.terminal .t-body .t-row:visible").first
    row.dblclick(timeout=CLOSES_MS)
    expect(page.locator(".position")).to_contain_text("%")  # how far stop and target are
    held = page.locator(".symbol-name").inner_text()
    tab.act("close", "Close position")
    expect(page.locator(".toast").last).to_contain_text("done in", timeout=PATIENCE_MS)
    expect(page.locator(".position")).to_have_count(0, timeout=PATIENCE_MS)
    page.locator("[data-tab=trades]").click()
    expect(page.locator("main.terminal .t-body .t-row", has_text=held).first).to_be_visible()
    tab.act("pause")
    expect(page.locator(".banner")).to_contain_text("paused", timeout=PATIENCE_MS)
    tab.act("resume")
    expect(page.locator(".banner")).to_be_hidden(timeout=PATIENCE_MS)
