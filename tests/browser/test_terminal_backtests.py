"""The form of backtests in a real Chromium, down to the report: over a day of the sample tape."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from runtime.sample import SampleRequest, make_sample
from tests.browser.pages import NEEDS_PAGES, chromium, logged_in
from tests.ui_fake_node import FakeNode, Market
from tests.ui_server import Server, listening
from ui.attached.data import DataWorker
from ui.server.hub import Hub
from ui.server.jobs import Jobs
from ui.server.subscriber import Subscriber

BTC: Final = "BTCUSDT.BINANCE"
# A run of the sample's day, and a start of Python with compiled kernels, on a busy machine.
RUN_MS: Final = 240_000
PLACES: Final = ("structure", "paper", "runs", "models")

pytestmark = [*NEEDS_PAGES, pytest.mark.slow]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Give a Chromium."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Give a server with a day of the sample tape, whose backtests run in processes of their own."""
    make_sample(SampleRequest(days=1), tmp_path / "catalog")
    config = tmp_path / "config.yaml"
    runs = {"backtest": {"runs": str(tmp_path / "runs")}, "journal": {"backtests": False}}
    config.write_text(json.dumps({"catalog": str(tmp_path / "catalog"), **runs}))
    places = {name: str(tmp_path / name) for name in ("catalog", *PLACES)}
    data, jobs, hub = DataWorker(), Jobs(tmp_path / "jobs"), Hub()
    jobs.start()
    with FakeNode(tmp_path / "paper") as node:
        Market(node).history(50)
        subscriber = Subscriber(hub, node.folder / "telemetry.sock")
        subscriber.start()
        try:
            ports = {"data": data, "jobs": jobs, "config": str(config), "places": places}
            with listening(hub, ports=ports) as server:
                yield server
        finally:
            subscriber.stop()
            jobs.stop()
            data.close()


def field(page: Page, name: str) -> Locator:
    """Return a field of the form."""
    return page.locator(f'.backtest-form [name="{name}"]')


def run_backtest(page: Page, finished: int) -> None:
    """Send the form and wait until so many runs are done."""
    page.locator(".backtest-form button[type=submit]").click()
    expect(page.locator(".job")).to_have_count(finished)
    expect(page.locator(".job.is-done")).to_have_count(finished, timeout=RUN_MS)


def test_the_form_runs_a_backtest_to_its_report(browser: Browser, server: Server, tmp_path: Path) -> None:
    """What is wrong is named at its field; then progress, figures, files, and two runs side by side."""
    with logged_in(browser, server.address, accept_downloads=True) as (page, said):
        page.locator("a[href='#/backtests']").click()
        # The first question starts the process that reads strategies and catalogs.
        expect(field(page, "symbols")).to_be_visible(timeout=RUN_MS)
        field(page, "symbols").fill("NOSUCH.BINANCE")
        page.locator(".backtest-form button[type=submit]").click()
        expect(page.locator(".backtest-form .notice")).to_contain_text("the catalog has nothing of NOSUCH")
        expect(field(page, "symbols")).to_have_attribute("aria-invalid", "true")
        expect(page.locator(".job")).to_have_count(0)

        field(page, "symbols").fill(BTC)
        page.locator(".backtest-form summary").click()
        field(page, "parameters.bucket_usd").fill("much")
        page.locator(".backtest-form button[type=submit]").click()
        expect(field(page, "parameters.bucket_usd")).to_be_focused()
        expect(page.locator(".backtest-form .notice")).to_contain_text("parameters.bucket_usd")

        field(page, "parameters.bucket_usd").fill("20000")
        field(page, "balance").fill("5000")
        page.locator(".backtest-form button[type=submit]").click()
        expect(page.locator(".job [role=progressbar]")).to_be_visible()
        expect(page.locator(".job.is-done")).to_have_count(1, timeout=RUN_MS)
        expect(page.locator(".tiles")).to_contain_text("Final balance", timeout=30_000)
        for name, begins in (("trades.csv", b"setup"), ("tearsheet.html", b"<!doctype html>")):
            with page.expect_download() as download:
                page.locator(f"a.btn[download='{name}']").click()
            download.value.save_as(tmp_path / name)
            assert (tmp_path / name).read_bytes()[:100].lower().startswith(begins)

        field(page, "parameters.bucket_usd").fill("40000")
        run_backtest(page, finished=2)
        for box in page.locator(".job input[type=checkbox]").all():
            box.check()
        table = page.locator("table.compare")
        expect(table).to_contain_text("bucket_usd", timeout=30_000)
        expect(table).to_contain_text("40000")
        # The browser itself says that two answers were 422: what the form was told is on the page.
        assert [one for one in said.errors if "422" not in one] == []
        assert said.strangers == []
