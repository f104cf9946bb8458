"""From the click that confirms `Close position` in Chromium to the order at the local exchange.

| what | goal |
|---|---|
| confirming click to the exit's request at the exchange, median | at most 100 ms |

A live node on a local Binance USD-M with its terminal beside it, a real Chromium, both on this machine. In
each round a position is opened by script and closed by hand. The time of the click is the browser's own (to a
millisecond), that of the request the exchange's, both of the same clock. The peer is the same command by
``live_node.py ctl``'s client from this process, without browser and server.

    python benchmarks/bench_click.py [--rounds 20] [--json]
"""

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # `tests` is no package of the wheel

from tests.browser.live import NodeWithTerminal, Tab, opened
from tests.faults.harness import FaultVenue, running_venue

GOAL_MS: Final = 100.0
ARGS: Final = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run")
# Notes when a button was clicked, before the page hears of it.
LISTEN: Final = "addEventListener('click', () => { window.clickedMs = Date.now() }, true)"
MS: Final = 1e6


def by_hand(venue: FaultVenue, tab: Tab) -> float:
    """Close the position in the browser; return milliseconds from click to request."""
    page = tab.page
    page.locator("[data-action=close]").click()
    page.locator("dialog button", has_text="Close position").click()
    clicked_ns = int(page.evaluate("window.clickedMs") * MS)
    return way_ms(venue, clicked_ns)


def by_program(venue: FaultVenue, node: NodeWithTerminal) -> float:
    """Close the position over the node's socket; return milliseconds to the request."""
    asked_ns = time.time_ns()
    node.command("close", instrument=venue.kind.instrument_id)
    return way_ms(venue, asked_ns)


def way_ms(venue: FaultVenue, since_ns: int) -> float:
    """Return how long after a time the first order came, milliseconds, once all is closed."""
    while not venue.is_flat() or venue.legs():
        time.sleep(0.05)
    # Stops and targets that were placed before are older; nothing else is sent meanwhile.
    return float((venue.sent_since(since_ns)[0]["ts_ns"] - since_ns) / MS)


def measure(rounds: int) -> dict[str, Any]:
    """Measure both ways in turn."""
    found: dict[str, list[float]] = {"click": [], "ctl": []}
    with (
        tempfile.TemporaryDirectory() as folder,
        running_venue("binance_usdm") as venue,
        NodeWithTerminal(venue, Path(folder)) as node,
        sync_playwright() as playwright,
    ):
        node.start()
        node.wait_served()
        path = shutil.which("chromium") or shutil.which("chromium-browser")
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGS))
        with opened(browser, node.address) as tab:
            tab.page.evaluate(LISTEN)
            for _ in range(rounds):
                for name, values in found.items():
                    node.enter_and_fill()
                    tab.page.wait_for_timeout(500)
                    values.append(by_hand(venue, tab) if name == "click" else by_program(venue, node))
        browser.close()
        node.stop()
    return {
        name: {"median_ms": round(statistics.median(values), 1), "most_ms": round(max(values), 1)}
        for name, values in found.items()
    } | {"rounds": rounds, "goal_ms": GOAL_MS}


def main() -> int:
    """Measure and print, as Markdown or as one JSON object."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    figures = measure(arguments.rounds)
    if arguments.json:
        print(json.dumps(figures))
        return 0
    print("| way | median, ms | most, ms | goal |\n|---|---:|---:|---|")
    for name in ("click", "ctl"):
        goal = f"at most {GOAL_MS:g}" if name == "click" else ""
        print(f"| {name} | {figures[name]['median_ms']} | {figures[name]['most_ms']} | {goal} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
