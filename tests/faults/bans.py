"""What reached a venue while it wanted silence: the request that met the ban, and whether any followed."""

from collections.abc import Sequence
from typing import Any, Final

from tests.faults.harness import NANOS, Row

# From the venue's answer until the node has heeded it, on a busy machine. What arrives before that was under
# way; accounts are looked at once or twice a second, so who does not heed it is seen all the same.
HEARD_SECS: Final = 0.25


def silence(refused: Sequence[Row]) -> dict[str, Any]:
    """Return what is recorded of the requests that a venue refused because of a ban, at least one.

    Returns
    -------
    dict
        ``the request that met it`` (the one that learns of the ban), ``under way with it``, and ``requests
        after it``, which are violations.
    """
    first, *others = sorted(refused, key=_arrived_ns)
    heard_ns = int(first["ts_ns"]) + round(HEARD_SECS * NANOS)
    found: dict[str, Any] = {"the request that met it": first["endpoint"]}
    found["under way with it"] = [one["endpoint"] for one in others if _arrived_ns(one) <= heard_ns]
    found["requests after it"] = [
        f"{one['endpoint']} {(_arrived_ns(one) - int(first['ts_ns'])) / NANOS:.2f} s later"
        for one in others
        if _arrived_ns(one) > heard_ns
    ]
    return found


def _arrived_ns(request: Row) -> int:
    """Return when a request came; over a websocket it is answered at once."""
    return int(request["arrived_ns"] or request["ts_ns"])
