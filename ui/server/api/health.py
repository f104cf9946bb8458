"""Whether the terminal is up, and whether it hears its node."""

import time
from typing import Final, Literal

from flask import Blueprint, Response

from ui.server.access import person, public
from ui.server.answers import answer
from ui.server.frames import told_to
from ui.server.services import services

# A node that said nothing for so long is stale, and away.
STALE_MS: Final = 2_000.0
AWAY_MS: Final = 10_000.0
_STARTED_S: Final = time.monotonic()

api = Blueprint("health", __name__)


def link_of(age_ms: float | None) -> Literal["live", "stale", "away"]:
    """Return how the node is heard whose newest message is so old; None: it never was."""
    if age_ms is None or age_ms > AWAY_MS:
        return "away"
    return "stale" if age_ms > STALE_MS else "live"


@api.get("/health")
@api.get("/api/v1/health")
@public
def health() -> Response:
    """Tell that the server is up; looks at nothing else."""
    return answer({"status": "ok", "uptime_s": round(time.monotonic() - _STARTED_S, 3)})


@api.get("/api/v1/health/detailed")
def detailed() -> Response:
    """Tell how server and node are."""
    hub = services().hub
    age_ms, node = hub.age_ms(), hub.node()
    link = link_of(age_ms)
    with hub.lock:
        latency, beat = hub.feed.state.get("lat"), hub.feed.state.get("hb")
        is_synced, gaps = hub.feed.is_synced, hub.feed.gaps
    trouble = services().audit.trouble()
    return answer(
        {
            "status": "ok" if link == "live" and is_synced and trouble is None else "degraded",
            "audit": {"trouble": told_to(person().role, trouble)},
            "node": {
                "link": link,
                "age_ms": age_ms,
                "is_synced": is_synced,
                "gaps": gaps,
                "state": node,
                "latency": latency,
                "heartbeat": beat,
            },
            "server": {
                "uptime_s": round(time.monotonic() - _STARTED_S, 3),
                "clients": hub.clients,
                "max_clients": hub.max_clients,
                "messages": hub.messages,
                "frames": hub.frames,
                "dismissed": hub.dismissed,
            },
        }
    )
