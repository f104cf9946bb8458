"""What people hear of a node, and what it counts: the same on paper as with money, and each by its name."""

from pathlib import Path
from typing import Literal

import pytest

from tests.faults.harness import LiveNode, running_venue
from tests.faults.test_scenario import free_port, scrape, sizes
from tests.webhook_server import webhook_server


@pytest.mark.fault
@pytest.mark.parametrize("mode", ["live", "paper"])
def test_fills_and_halts_are_heard_and_counted(tmp_path: Path, mode: Literal["live", "paper"]) -> None:
    """An entry fills, a person kills, the node ends: each is told once, the metrics have the same figures."""
    with (
        webhook_server() as webhook,
        running_venue("binance_usdm") as venue,
        LiveNode(
            venue,
            tmp_path,
            mode=mode,
            live={"metrics_port": free_port()},
            settings={"notifications": {"batch_secs": 0, "per_minute": 0}},
            environment={"TRADING_NOTIFY_URLS": webhook.address},
        ) as node,
    ):
        node.start()

        def rests() -> bool:
            venue.arm()
            return node.desk()["stage"] == "RESTING"

        def fills() -> bool:
            venue.fill_entry()
            return bool(node.desk()["stage"] == "PROTECTED" and node.rows("SELECT 1 FROM fills"))

        node.wait("the entry rests", rests)  # its acknowledgement, which on paper the venue does not know
        node.wait("filled and protected", fills)
        node.wait("counted", lambda: sizes(scrape(node), "order_events_total").get(("OrderFilled",)))
        assert node.command("kill", reason="enough for today").outcome == "done"
        node.wait("halted", lambda: node.desk()["halted"])
        series = scrape(node)
        seen = venue.records()["fills"]
        booked = node.rows("SELECT mode FROM fills")
        assert node.stop() == 0
    texts = [f"{one['title']}\n{one['message']}" for one in webhook.received]
    for words in ("trading begins", "filled", "enough for today", "trading stops"):
        assert any(words in text for text in texts), f"nobody heard of {words!r}: {texts}"
    assert all(text.startswith(f"smcbot {mode}") for text in texts)
    assert sizes(series, "order_events_total")["OrderFilled",] == len(booked)
    assert sizes(series, "decisions_total")["halted",] == 1
    assert {one["mode"] for one in booked} == {mode}
    assert [one["mode"] for one in node.rows("SELECT mode FROM sessions")] == [mode]
    assert bool(seen) == (mode == "live")
