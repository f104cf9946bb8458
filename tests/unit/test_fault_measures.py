"""What the matrix measures beside unprotected time: who met a ban, and who waited for a core."""

import subprocess
import sys
from typing import Any

from tests.faults.bans import HEARD_SECS, silence
from tests.faults.harness import NANOS
from tests.faults.waiting import waited_secs

LATENCY_NS = 5_000_000
# Counts on the first core that it may use, says so, and waits for its end.
BUSY = """
import os, sys, time
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
until = time.monotonic() + 0.5
while time.monotonic() < until:
    pass
print("done", flush=True)
sys.stdin.read()
"""


def request(endpoint: str, at_secs: float) -> Any:
    """Return a refused request that arrived at a time."""
    arrived_ns = round(at_secs * NANOS)
    return {"endpoint": endpoint, "arrived_ns": arrived_ns, "ts_ns": arrived_ns + LATENCY_NS}


def test_one_request_learns_and_none_follows() -> None:
    """The first one is named, whichever was answered first; what was under way is no violation."""
    found = silence([request("GET /b", 10.01), request("GET /a", 10.0)])
    assert found == {
        "the request that met it": "GET /a",
        "under way with it": ["GET /b"],
        "requests after it": [],
    }


def test_a_request_after_the_answer_is_a_violation() -> None:
    """Half a second later the node knew."""
    assert HEARD_SECS < 0.5
    found = silence([request("GET /a", 10.0), request("GET /b", 10.5)])
    assert found["requests after it"] == ["GET /b 0.49 s later"]


def test_waiting_for_a_core_is_counted() -> None:
    """Two processes that count on one core for half a second have waited a quarter each, or nearly."""
    busy = [
        subprocess.Popen([sys.executable, "-c", BUSY], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    for one in busy:
        assert one.stdout is not None
        assert one.stdout.readline() == b"done\n"
    waited = sum(waited_secs(one.pid) for one in busy)
    for one in busy:
        one.communicate()
    assert waited > 0.1
    assert waited_secs(busy[0].pid) == 0.0  # it is gone
