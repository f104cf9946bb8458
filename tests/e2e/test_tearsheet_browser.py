"""The tearsheet of a run, opened in a real browser: drawn, self-contained, without an error."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

CHROMIUM = Path("/usr/bin/chromium")
ROOT = Path(__file__).resolve().parents[2]
# Background traffic of the browser itself would count as a request of the page.
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
MARKS = """selector => [...document.querySelectorAll(selector)].map(chart => ({
    width: chart.getBoundingClientRect().width,
    marks: chart.querySelectorAll('path, line, rect').length,
}))"""
LINE_COLOUR = "() => document.querySelector('.plot .js-line').style.stroke"

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no browser at {CHROMIUM}: install chromium")


@pytest.fixture(scope="module")
def tearsheet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the sample and run a few hours of it, by the commands a user types."""
    folder = tmp_path_factory.mktemp("tearsheet")
    (folder / "config.yaml").write_text(f"catalog: {folder}/catalog\nbacktest: {{runs: {folder}/runs}}\n")

    def command(*words: str) -> str:
        done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=True)
        return done.stdout

    command("download_data.py", "sample", "--catalog", f"{folder}/catalog", "--seed", "3")
    options = ["--config", f"{folder}/config.yaml", "--instrument", "BTCUSDT.BINANCE", "--json"]
    summary = json.loads(command("backtest_node.py", "run", *options, "--end", "2026-01-05T09:00:00Z"))
    assert summary["positions_closed"] > 3
    return Path(summary["run_dir"]) / "tearsheet.html"


def test_tearsheet_draws_without_error_or_request(tearsheet: Path) -> None:
    """Every chart has marks and a size, nothing is fetched, and the console stays silent."""
    assert tearsheet.stat().st_size <= 6 * 1024 * 1024
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=OPTIONS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        problems: list[str] = []
        requests: list[str] = []
        page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(tearsheet.as_uri())
        page.wait_for_load_state("networkidle")
        text = page.inner_text("body")
        pictures = page.evaluate(MARKS, ".trade svg")
        plots = page.evaluate(MARKS, ".plot .main-svg:first-of-type")
        places = page.locator(".plot").count()
        colours = [page.evaluate(LINE_COLOUR)]
        page.locator("#theme").press("Enter")
        colours.append(page.evaluate(LINE_COLOUR))
        page.set_viewport_size({"width": 390, "height": 800})
        page.wait_for_function("() => document.querySelector('.plot .main-svg').clientWidth < 390")
        phone_overflow = page.evaluate("() => document.documentElement.scrollWidth - window.innerWidth")
        page.set_viewport_size({"width": 1280, "height": 900})
        overflow = page.evaluate("() => document.documentElement.scrollWidth - window.innerWidth")
        browser.close()
    assert problems == []
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []
    assert len(plots) == places >= 4
    assert len(pictures) >= 4
    for chart in plots + pictures:
        assert chart["width"] > 50
        assert chart["marks"] > 0
    assert sum(chart["marks"] for chart in plots + pictures) > 200
    assert colours[0] != colours[1], "the plots kept the colours of the light page"
    assert phone_overflow <= 0, "the page scrolls sideways on a phone"
    assert overflow <= 0, "the page scrolls sideways"
    for words in ("How fills were simulated", "decision sha256", "BTCUSDT.BINANCE", "ynthetic"):
        assert words in text, words
