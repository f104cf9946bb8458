"""Notifications from the command line: ``python -m runtime.notify --help``."""

import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from runtime.cli import CommandParser, add_command, print_json, run_main
from runtime.errors import EXIT_DONE, EXIT_FAILED, ConfigurationError
from runtime.notify.channels import CONSOLE, URLS_VARIABLE, Channel, open_channels
from runtime.notify.courier import Courier
from runtime.notify.events import TERMS, Event, EventKind
from runtime.notify.outbox import compose
from runtime.notify.routing import is_wanted
from runtime.notify.settings import NotifySettings
from runtime.settings import load_settings


def command_line() -> CommandParser:
    """Return the parser of all commands."""
    parser = CommandParser(prog="python -m runtime.notify", description=__doc__)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    summary = "send a message to every channel and report what became of it"
    test = add_command(commands, "test", send_test, summary, "python -m runtime.notify test --event halt")
    test.add_argument("--config", type=Path, metavar="FILE", help="settings file (default: config.yaml)")
    test.add_argument(
        "--event", default=EventKind.TEST.value, choices=[one.value for one in EventKind],
        help="kind to send, by its rules in paper and live (default: test, which every channel gets)",
    )  # fmt: skip
    test.add_argument("--json", action="store_true", help="print one JSON object on stdout")
    return parser


def send_test(arguments: Namespace) -> int:
    """Send one message to each channel at once; 0 when every channel that should have it got it."""
    settings = load_settings(arguments.config).notifications
    channels = open_channels(settings.timeout_secs, console=settings.console)
    if not channels:
        raise ConfigurationError(
            f"there is no channel: set {URLS_VARIABLE} (docs/how-to/notifications.md) or "
            "notifications.console"
        )
    kind = EventKind(arguments.event)
    text = f"test of {kind.value}: {TERMS[kind].meaning}"
    event = Event(kind=kind, ts_ns=time.time_ns(), text=text, data={"test": True})
    with ThreadPoolExecutor(len(channels)) as pool:
        report = list(pool.map(lambda one: _result(one, event, settings), channels))
    print_json({"event": kind.value, "channels": report}) if arguments.json else print(_table(report))
    return EXIT_FAILED if any(one["delivered"] is False for one in report) else EXIT_DONE


def _result(channel: Channel, event: Event, settings: NotifySettings) -> dict[str, Any]:
    """Send to one channel; one that the rules leave out gets nothing, and the result says so."""
    result: dict[str, Any] = {"channel": channel.name, "tags": sorted(channel.tags)}
    is_test = event.kind is EventKind.TEST
    if not is_test and not is_wanted(event, channel.tags, settings, "live"):
        return result | {"delivered": None, "error": "the rules of this event leave the channel out"}
    message = compose("smcbot test", [event], {}, 0, settings)
    error = Courier(channel).deliver(message, settings.timeout_secs)
    return result | {"delivered": not error, "error": error or None}


def _table(report: Sequence[dict[str, Any]]) -> str:
    words = {True: "delivered", False: "FAILED", None: "not sent"}
    lines = []
    for one in report:
        tags = f" [{', '.join(one['tags'])}]" if one["tags"] and one["channel"] != CONSOLE else ""
        why = f": {one['error']}" if one["error"] else ""
        lines.append(f"{one['channel']}{tags} {words[one['delivered']]}{why}")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return 0 done, 1 failed, 2 wrong usage or configuration."""
    return run_main(command_line(), argv)


if __name__ == "__main__":
    sys.exit(main())
