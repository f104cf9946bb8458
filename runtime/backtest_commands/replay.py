"""Replay a recorded paper or live session and compare decision by decision."""

from argparse import Namespace
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from runtime.cli import add_command, format_ns, print_json, say
from runtime.errors import EXIT_DONE, EXIT_FAILED

EXAMPLE: Final = "backtest_node.py replay var/live/paper/recordings/SESSION"


def add(commands: Any) -> None:
    """Describe the command."""
    summary = "replay a recorded paper or live session and compare every decision with it"
    command = add_command(commands, "replay", run, summary, EXAMPLE)
    command.add_argument("session", type=Path, metavar="SESSION", help="folder of the recording")
    command.add_argument("--json", action="store_true", help="print one JSON object on stdout")


def run(arguments: Namespace) -> int:
    """Replay a session; 0 when everything was decided again, 1 at the first difference."""
    from runtime.live.replay import SessionReplay
    from runtime.live.replay_comparison import divergence_text

    found = SessionReplay(arguments.session).run()
    is_equal = found.first is None
    if arguments.json:
        print_json(
            {
                "session": found.session.get("session_id"),
                "equal": is_equal,
                "inputs": found.inputs,
                "decisions": found.decisions,
                "orders": found.orders,
                "answers": found.answers,
                "states": found.states,
                "is_cut": found.is_cut,
                "recorded_sha256": found.recorded_sha256,
                "replayed_sha256": found.replayed_sha256,
                "first": None if found.first is None else asdict(found.first),
            }
        )
    elif is_equal:
        print(
            f"{found.inputs:,} inputs, {found.decisions:,} decisions, {found.orders:,} orders, "
            f"{found.answers:,} answers and {found.states:,} states: "
            f"all equal, sha256 {found.recorded_sha256}"
        )
    if found.first is not None:
        for line in divergence_text(found.first, format_ns):
            say(line)
    return EXIT_DONE if is_equal else EXIT_FAILED
