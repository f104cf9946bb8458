"""Figures of the server for Prometheus; those of trading are the node's own."""

from typing import Final

from flask import Blueprint, Response

from ui.server.services import services

PREFIX: Final = "smcbot_terminal_"

api = Blueprint("metrics", __name__, url_prefix="/api/v1")


@api.get("/metrics")
def metrics() -> Response:
    """Return the server's figures in Prometheus' text format."""
    hub = services().hub
    age_ms = hub.age_ms()
    rows = (
        ("clients", "gauge", "Browsers that are connected.", hub.clients),
        ("messages_total", "counter", "Messages of the node.", hub.messages),
        ("frames_total", "counter", "Frames to browsers.", hub.frames),
        ("dismissed_total", "counter", "Browsers that acknowledged nothing.", hub.dismissed),
        ("gaps_total", "counter", "Gaps in the node's messages.", hub.feed.gaps),
        ("synced", "gauge", "1 while the state is the node's.", int(hub.feed.is_synced)),
        ("node_age_seconds", "gauge", "Age of the node's newest message.",
         "NaN" if age_ms is None else round(age_ms / 1e3, 4)),
    )  # fmt: skip
    lines = [
        f"# HELP {PREFIX}{name} {words}\n# TYPE {PREFIX}{name} {kind}\n{PREFIX}{name} {value}\n"
        for name, kind, words, value in rows
    ]
    return Response("".join(lines), content_type="text/plain; version=0.0.4; charset=utf-8")
