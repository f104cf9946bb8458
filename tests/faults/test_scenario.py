"""One day of a live node on each kind of account, from the check to the orderly end, all books compared.

The settings are checked, a person approves their hash, and the same process then lives through a post-only
rejection, partial fills, two races between a fill and a cancellation, a stop, a target, and a person who
closes by hand.
"""

import json
import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.faults.books import books_agree, node_knew_the_same
from tests.faults.harness import NANOS, ROOT, FaultVenue, LiveNode, is_covered, leg_of, running_venue
from tests.faults.kinds import KINDS
from tests.webhook_server import Webhook, webhook_server

ENTRY = Decimal(49900)
LOW_ARM = "49890"
CANCEL_DELAY_SECS = 2.0

type Scene = tuple[FaultVenue, LiveNode, Webhook]


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Callable[[str], Scene]]:
    """Give a function that prepares venue, node and webhook for a kind of account."""
    with ExitStack() as running:

        def make(kind: str) -> Scene:
            webhook = running.enter_context(webhook_server())
            venue = running.enter_context(running_venue(kind))
            node = LiveNode(
                venue,
                tmp_path,
                live={"recording": {"enabled": True}, "metrics_port": free_port()},
                settings={"notifications": {"batch_secs": 0, "per_minute": 0}},
                environment={"TRADING_NOTIFY_URLS": webhook.address},
            )
            return venue, running.enter_context(node), webhook

        yield make


def command_line(node: LiveNode, *words: str) -> subprocess.CompletedProcess[str]:
    """Run `live_node.py` beside the node, as a person in another terminal."""
    kept = {name: value for name, value in os.environ.items() if name != "SMCBOT_JOURNAL_URL"}
    return subprocess.run(
        [sys.executable, "-m", "tests.faults.node", *words, "--mode", "live", "--config", str(node.file)],
        cwd=ROOT,
        env=kept | node.venue.kind.environment(),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def approve(node: LiveNode) -> None:
    """Check, and read the hash as a person would: the node is started with exactly this one."""
    checked = command_line(node, "run", "--check", "--json")
    assert checked.returncode == 0, checked.stderr
    assert json.loads(checked.stdout)["verdict"] == "ready"
    assert json.loads(checked.stdout)["config_sha256"] == node.config_sha256()
    assert node.venue.orders() == []


def stops(venue: FaultVenue) -> list[dict[str, Any]]:
    """Return the stops that rest at the venue."""
    return [one for one in venue.orders(is_open=True) if leg_of(one["client_id"]) == "S"]


def entries(venue: FaultVenue) -> list[dict[str, Any]]:
    """Return the entries that the venue took, oldest first."""
    return [one for one in venue.orders() if leg_of(one["client_id"]) == "E" and one["status"] != "REJECTED"]


def closed(node: LiveNode, number: int, reason: str) -> None:
    """Wait until so many trades are journaled, the last one for a reason, and compare all books."""
    venue = node.venue
    query = "SELECT exit_reason FROM trades ORDER BY exit_ts_ns"
    node.wait(f"trade {number} is journaled", lambda: len(node.rows(query)) >= number)
    assert [one["exit_reason"] for one in node.rows(query)][number - 1 :] == [reason]
    node.wait("flat, and nothing rests", lambda: venue.is_flat() and not venue.orders(is_open=True))
    books_agree(node, venue)
    venue.resume_pulse()


def refused_then_filled_in_parts(venue: FaultVenue, node: LiveNode) -> None:
    """Run through the entry first: refused as post-only, it goes out again behind, and fills in two parts."""
    venue.pause_pulse()
    venue.print_trade(LOW_ARM, "0.001", "BUY")
    node.wait("an entry rests", lambda: venue.is_resting("E"))
    assert [one["reason"] for one in node.decisions("entry_rejected")] in ([], ["post_only"])
    price = Decimal(entries(venue)[-1]["price"])
    assert price < ENTRY
    venue.print_trade(str(price - 1), "0.04")
    node.wait_protected()
    venue.print_trade(str(price - 1), "0.1")
    node.wait("one stop for all of it", lambda: len(stops(venue)) == 1 and is_covered(venue))
    node.wait("told of", lambda: [one["reason"] for one in node.decisions("entry_rejected")] == ["post_only"])


def filled_while_taken_back(venue: FaultVenue, node: LiveNode, qty: str) -> None:
    """Fill the entry, in part or whole, while its cancellation is on the way."""
    venue.fault("delay", secs=CANCEL_DELAY_SECS)
    venue.ask_cancel()
    node.wait("the cancellation is on its way", lambda: node.desk()["stage"] == "CANCELLING")
    venue.fault("delay", secs=0)
    venue.fill_entry(qty)
    node.wait_protected()
    node.wait("its end is known", lambda: not venue.is_resting("E"))


def sizes(samples: dict[str, dict[tuple[str, ...], float]], name: str) -> dict[tuple[str, ...], float]:
    """Return the samples of a metric by the values of its labels."""
    return samples.get(f"smcbot_{name}", {})


def scrape(node: LiveNode) -> dict[str, dict[tuple[str, ...], float]]:
    """Read the metrics of the node."""
    port = yaml.safe_load(node.file.read_text())["live"]["metrics_port"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as answer:
        text = answer.read().decode()
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for one in family.samples:
            found.setdefault(one.name, {})[tuple(one.labels.values())] = one.value
    return found


def protection_ms(venue: FaultVenue) -> list[float]:
    """Return, for each first fill of an entry, the time to the stop's arrival by the venue's clock."""
    state = venue.records()
    stops = [int(one["created_ns"]) for one in state["orders"] if leg_of(one["client_id"]) == "S"]
    found = []
    for entry in (one for one in state["orders"] if leg_of(one["client_id"]) == "E" and one["fills"]):
        filled_ns = min(int(one["ts_ns"]) for one in state["fills"] if one["order_id"] == entry["order_id"])
        found.append((min(ts_ns for ts_ns in stops if ts_ns >= filled_ns) - filled_ns) / NANOS * 1000)
    return found


@pytest.mark.fault
@pytest.mark.parametrize(
    "kind",
    list(KINDS),
)
def test_a_day_of_a_live_node(scene: Callable[[str], Scene], kind: str) -> None:
    """Check, approve, trade through everything that is ordinary, stop; every book says the same."""
    venue, node, webhook = scene(kind)
    approve(node)
    node.start()

    node.enter_and_fill()
    venue.hit_target()
    closed(node, 1, "target")

    refused_then_filled_in_parts(venue, node)
    venue.hit_stop()
    closed(node, 2, "stop")

    node.enter()
    filled_while_taken_back(venue, node, "0.04")
    answer = command_line(node, "ctl", "close", "--instrument", venue.kind.instrument_id)
    assert answer.returncode == 0, answer.stderr
    closed(node, 3, "manual")

    node.enter()
    filled_while_taken_back(venue, node, "1")
    venue.hit_stop()
    closed(node, 4, "stop")

    node.enter()
    series = scrape(node)
    assert node.stop() == 0
    assert venue.orders(is_open=True) == []
    measured = books_agree(node, venue)
    assert (measured["trades"], measured["position"]) == (4, str(venue.held_qty()))

    one_live_session(node)
    node_knew_the_same(node, venue)
    told_and_counted(webhook, series, venue)
    print(f"{kind}: fill -> stop at the venue, ms: {[round(one, 1) for one in protection_ms(venue)]}")


def one_live_session(node: LiveNode) -> None:
    """Find one session in the journal, live and ended in order; nothing was written for paper."""
    (session,) = node.rows(
        "SELECT s.mode, s.config_sha256, e.reason, e.detail FROM sessions s "
        "JOIN session_ends e USING (session_id)"
    )
    assert (session["mode"], session["reason"]) == ("live", "stopped by SIGTERM")
    assert session["config_sha256"] == node.config_sha256()
    left = json.loads(session["detail"])
    assert (left["positions"], left["open_orders"]) == ({}, [])
    for table in ("decisions", "orders", "fills", "trades", "commands"):
        assert node.rows(f"SELECT DISTINCT mode FROM {table}") == [{"mode": "live"}]
    assert not (node.folder / "paper").exists()
    outcomes = node.rows("SELECT outcome FROM commands WHERE action = 'close' ORDER BY seq")
    assert outcomes[-1]["outcome"] == "done", outcomes


def told_and_counted(webhook: Webhook, series: dict[str, Any], venue: FaultVenue) -> None:
    """People heard of each kind of thing, and the metrics count what the venue has."""
    texts = [f"{one['title']}\n{one['message']}" for one in webhook.received]
    for words in ("trading begins", "entry", "filled", "(stop)", "(target)", "(manual)", "trading stops"):
        assert any(words in text for text in texts), f"nobody heard of {words!r}: {texts}"
    assert all(text.startswith("smcbot live") for text in texts)
    events = sizes(series, "order_events_total")
    assert events["OrderFilled",] == len(venue.records()["fills"])
