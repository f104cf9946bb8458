"""Takes the pictures of README and docs from a replay: look at each before it is committed.

    python -m ui replay last --paused --port 8791 &
    python -m tests.browser.pictures http://127.0.0.1:8791 TOKEN --out docs/images

The moment is the middle of the first trade of the run; the cancel that is explained is, of those before the
middle of the last trade, the newest whose outcome is known. The picture of many coins is of a node that runs
(`tests.paper_confluence`, with ``python -m ui serve`` beside it): a position, and a kline before it.

    python -m tests.browser.pictures http://127.0.0.1:8790 TOKEN --coins
"""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Browser, Page

from tests.browser.pages import chromium

SLIDER_STEPS: Final = 10_000
NS_PER_MS: Final = 1_000_000
SETTLE_MS: Final = 2_500
DESK: Final = (1440, 900)
LOW_DESK: Final = (1440, 780)
PHONE: Final = (390, 844)
PHONE_SCALE: Final = 1.5


class Camera:
    """A browser before a replay.

    Parameters
    ----------
    browser
        Chromium.
    address, token
        Of the replay's terminal.
    out
        Receives the pictures.
    """

    def __init__(self, browser: Browser, address: str, token: str, out: Path) -> None:
        self._browser, self._address, self._out = browser, address, out
        context = browser.new_context()
        page = context.new_page()
        page.goto(f"{address}/login")
        page.locator("input[name=password]").fill(token)
        page.locator("button").click()
        page.wait_for_selector(".badge[data-freshness=live]")
        self._state = context.storage_state()
        state = self._get(page, "health/detailed")["node"]["state"]
        self._span = (state["replay"]["from"], state["replay"]["to"])
        self.seek(page, self._span[1])  # before its end a replay knows of no later trade
        trades = self._get(page, f"trades?session={state['session']}")["trades"]
        middles = sorted((one["entry_ts_ns"] + one["exit_ts_ns"]) // 2 // NS_PER_MS for one in trades)
        self.moment_ms, self.later_ms = middles[0], middles[-1]
        context.close()

    @contextmanager
    def page(self, size: tuple[int, int], scale: float = 1, theme: str = "Dark") -> Iterator[Page]:
        """Give the terminal at the moment."""
        context = self._browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            device_scale_factor=scale,
            storage_state=self._state,
        )
        page = context.new_page()
        page.goto(self._address)
        page.wait_for_selector(".badge[data-freshness=live]")
        if theme != "Dark":
            page.locator("[aria-label=settings]").click()
            page.locator("dialog[open] select").first.select_option(label=theme)
            page.keyboard.press("Escape")
        self.seek(page, self.moment_ms)
        yield page
        context.close()

    def seek(self, page: Page, ms: float) -> None:
        """Show a moment of the recording."""
        begin, end = self._span
        step = round((ms - begin) / (end - begin) * SLIDER_STEPS)
        page.locator("input[type=range]").evaluate(
            """(slider, step) => {
              slider.value = step;
              for (const kind of ['input', 'change']) slider.dispatchEvent(new Event(kind, {bubbles: true}));
            }""",
            step,
        )
        page.wait_for_timeout(SETTLE_MS)

    def take(self, of: Any, name: str) -> None:
        """Write a picture of a page or a part of it."""
        file = self._out / f"terminal-{name}.png"
        of.screenshot(path=file)
        sys.stderr.write(f"{file}: {file.stat().st_size / 1e3:.0f} kB\n")

    def _get(self, page: Page, path: str) -> Any:
        return page.evaluate("(path) => fetch(path).then((answer) => answer.json())", f"/api/v1/{path}")


def take_coins(browser: Browser, address: str, token: str, file: Path) -> None:
    """Write a picture of a session on klines: a position, its signal, and the factors of a kline."""
    page = browser.new_page(viewport={"width": DESK[0], "height": DESK[1]})
    page.goto(f"{address}/login")
    page.locator("input[name=password]").fill(token)
    page.locator("button").click()
    page.wait_for_selector(".badge[data-freshness=live]")
    page.locator("[data-tab=signals]").click()
    page.locator(".price").click()
    page.keyboard.press("/")  # those with a position come first
    page.keyboard.press("Enter")
    page.wait_for_timeout(SETTLE_MS)
    chart = page.locator(".chart-canvas").bounding_box()
    assert chart is not None
    page.mouse.move(chart["x"] + 0.7 * chart["width"], chart["y"] + 0.2 * chart["height"])
    page.wait_for_timeout(SETTLE_MS)
    page.screenshot(path=file)
    sys.stderr.write(f"{file}: {file.stat().st_size / 1e3:.0f} kB\n")


def main() -> int:
    """Take all of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("address")
    parser.add_argument("token")
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    parser.add_argument("--coins", action="store_true", help="of a confluence session that goes on")
    wanted = parser.parse_args()
    with chromium() as browser:
        if wanted.coins:
            take_coins(browser, wanted.address, wanted.token, wanted.out / "terminal-confluence.png")
            return 0
        camera = Camera(browser, wanted.address, wanted.token, wanted.out)
        sys.stderr.write(f"at {datetime.fromtimestamp(camera.moment_ms / 1e3, UTC):%Y-%m-%d %H:%M:%S}\n")
        with camera.page(DESK) as page:
            camera.take(page, "chart")
            camera.seek(page, camera.later_ms)
            page.locator("[data-tab=cancels]").click()
            page.locator(".t-body .t-row", has_text=" R").first.dblclick()
            page.wait_for_timeout(SETTLE_MS)
            camera.take(page.locator(".side"), "decision")
        with camera.page(LOW_DESK, theme="Light") as page:
            page.locator("[data-tab=zones]").click()
            page.get_by_label("filter the table").fill("ote")
            page.locator(".t-body .t-row", has_text="OTE").first.dblclick()
            page.locator(".follow").click()
            page.wait_for_timeout(SETTLE_MS)
            camera.take(page, "light")
        with camera.page(PHONE, PHONE_SCALE) as page:
            camera.take(page, "phone")
    return 0


if __name__ == "__main__":
    sys.exit(main())
