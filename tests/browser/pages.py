"""A Chromium with the terminal's pages, for tests: what it is started with, and what its pages say."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.ui_server import OPERATOR_TOKEN
from ui.server.pages.views import STATIC

CHROMIUM: Final = shutil.which("chromium") or shutil.which("chromium-browser")
ARGS: Final = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_MS: Final = 15_000
NEEDS_PAGES: Final = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the path"),
    pytest.mark.skipif(
        not (STATIC / "index.html").is_file(), reason="the pages are not built: make frontend"
    ),
]


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run a Chromium while the block runs."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        yield browser
        browser.close()


class Said:
    """What a page said on its console and which of its requests left the server."""

    def __init__(self, page: Page, address: str) -> None:
        self.errors: list[str] = []
        self.strangers: list[str] = []
        page.on("console", lambda one: self.errors.append(one.text) if one.type == "error" else None)
        page.on("pageerror", lambda one: self.errors.append(str(one)))
        page.on("request", lambda one: self._ask(one.url, address.split("//")[1]))

    def _ask(self, url: str, host: str) -> None:
        if host not in url:
            self.strangers.append(url)


@contextmanager
def logged_in(
    browser: Browser, address: str, token: str = OPERATOR_TOKEN, **options: Any
) -> Iterator[tuple[Page, Said]]:
    """Show the terminal with data to somebody who logged in, while the block runs."""
    context = browser.new_context(**options)
    try:
        page = context.new_page()
        said = Said(page, address)
        page.goto(f"{address}/login")
        page.locator("input[name=password]").fill(token)
        page.locator("button").click()
        expect(page.locator(".badge")).to_have_attribute("data-freshness", "live", timeout=PATIENCE_MS)
        expect(page.locator(".legend[data-pane=price]")).to_contain_text("#", timeout=PATIENCE_MS)
        yield page, said
    finally:
        context.close()


def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + PATIENCE_MS / 1e3
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)
