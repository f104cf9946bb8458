"""``ctl``: what a person or program asks of a running node; the terminal calls `send_command` too."""

import argparse
import contextlib
import getpass
import sys
import time
from pathlib import Path
from typing import Any, Final

import msgspec

from runtime.cli import CommandParser, add_command, print_json, say
from runtime.errors import EXIT_DONE, EXIT_FAILED, ConfigurationError, OperatorError
from runtime.live.command_runner import DEFAULT_WAIT_SECS, NODE_SECS
from runtime.live.command_socket import SOCKET_FILE, connect
from runtime.live.commands import MAX_LINE_BYTES, Answer, Command, CommandError, new_command
from runtime.live.status_text import status_lines

MODES: Final = ("paper", "live")
MAX_ANSWER_BYTES: Final = 8 << 20
PROBE_SECS: Final = 1.0
# A person types the action's name before these go to a node that trades with real money.
CONFIRMED: Final = frozenset({"flatten", "kill"})
MEANINGS: Final = {
    "status": "Show what the node does: halts, holds, entries, positions.",
    "pause": "Open nothing and take waiting entries back, until `resume`; exits go on.",
    "resume": "End a `pause`.",
    "close": "Close the position in one instrument at market and take its entry back.",
    "cancel-all": "Take all waiting entries back; new ones may follow.",
    "flatten": "Take all entries back and close all positions at market.",
    "kill": "Halt all entries until `rearm`, also over a restart; --flatten closes positions too.",
    "rearm": "Allow entries again after `kill`, or after a halt whose cause is mended.",
}


class NodeUnreachable(OperatorError):  # noqa: N818 - the node is, nothing else is wrong
    """No node answers: start it, or say which one is meant."""


def socket_path(folder: Path, mode: str) -> Path:
    """Return the socket of the node of a mode.

    Parameters
    ----------
    folder
        ``live.folder`` of the settings.
    mode
        ``paper`` or ``live``.
    """
    return folder / mode / SOCKET_FILE


def send_command(path: Path, command: Command, timeout_secs: float | None = None) -> Answer:
    """Send a command to a node and wait for its answer.

    Parameters
    ----------
    path
        Of the socket, see `socket_path`.
    command
        See :func:`runtime.live.commands.new_command`.
    timeout_secs
        Longest wait; the default is a little more than the node itself takes.

    Returns
    -------
    Answer
        Also when it was refused or failed.

    Raises
    ------
    NodeUnreachable
        When no node listens, or it does not answer. Whether the command was executed is not known then:
        send the same one again, it is not executed twice.
    """
    wait_secs = float(command.args.get("wait_secs", DEFAULT_WAIT_SECS))
    limit_secs = wait_secs + NODE_SECS + 2 if timeout_secs is None else timeout_secs
    try:
        sock = connect(path, limit_secs)
    except OSError as error:
        words = error.strerror or str(error)
        raise NodeUnreachable(f"{path}: no node listens ({words}); {_advice(path)}") from error
    with sock:
        try:
            sock.sendall(msgspec.json.encode(command) + b"\n")
            line = _read_line(sock.makefile("rb"))
        except OSError as error:
            raise NodeUnreachable(
                f"{path}: no answer within {limit_secs:g} s ({error}); `ctl status` tells what was done"
            ) from error
    try:
        return msgspec.json.decode(line, type=Answer)
    except msgspec.DecodeError as error:
        raise NodeUnreachable(f"{path}: the node broke off its answer ({error})") from error


def _advice(path: Path) -> str:
    """Say what to do where no node listens: the one that was meant may be of the other mode."""
    others = [one for one in MODES if one != path.parent.name]
    for mode in others:
        with contextlib.suppress(OSError), connect(socket_path(path.parent.parent, mode), PROBE_SECS):
            return f"a {mode} node does: say --mode {mode} if you mean it"
    return "start it, or name its settings with --config"


def _read_line(stream: Any) -> bytes:
    with stream:
        line: bytes = stream.readline(MAX_ANSWER_BYTES)
    return line


def operator_name() -> str:
    """Return the user of this process, as the journal shall name it."""
    try:
        return getpass.getuser()[:64]
    except (KeyError, OSError):
        return "unknown"


# -- the command line ----------------------------------------------------------------------------------------


def add(commands: "argparse._SubParsersAction[Any]") -> None:
    """Register ``ctl`` and its actions."""
    parser: CommandParser = commands.add_parser(
        "ctl",
        help="Ask something of a running node",
        description="Ask something of a running node; every command is journaled before it is executed.",
        epilog="example:\n  live_node.py ctl close --mode live --instrument XRPUSDT-PERP.BINANCE",
    )
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    for action, meaning in MEANINGS.items():
        _add_action(actions, action, meaning)


def _add_action(actions: "argparse._SubParsersAction[Any]", action: str, meaning: str) -> None:
    needs_instrument = action == "close"
    instrument = " --instrument XRPUSDT.BINANCE" if needs_instrument else ""
    parser = add_command(
        actions, action, run_ctl, meaning, f"live_node.py ctl {action} --mode paper{instrument}"
    )
    parser.set_defaults(
        action=action, instrument=None, reason=None, flatten=False, external=False, wait_secs=None, yes=False
    )
    parser.add_argument("--mode", choices=MODES, default="paper", help="of which node, default: paper")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings, default: config.yaml")
    parser.add_argument("--json", action="store_true", help="print exactly one JSON object on stdout")
    if action in ("pause", "resume", "close", "cancel-all", "flatten"):
        parser.add_argument(
            "--instrument", metavar="ID", required=needs_instrument, help="e.g. XRPUSDT.BINANCE; default: all"
        )
    if action != "status":
        parser.add_argument("--reason", metavar="TEXT", help="for the journal")
    if action == "close":
        text = "also what no setup of ours explains: traded by hand, or by others"
        parser.add_argument("--external", action="store_true", help=text)
    if action == "kill":
        parser.add_argument("--flatten", action="store_true", help="close all positions too")
    if action in ("close", "flatten", "kill"):
        parser.add_argument(
            "--wait-secs", type=float, metavar="S", help=f"for its fills, default: {DEFAULT_WAIT_SECS:g}"
        )
    if action in CONFIRMED:
        parser.add_argument("--yes", action="store_true", help="ask nothing back")


def run_ctl(arguments: argparse.Namespace) -> int:
    """Send one command; print what became of it."""
    args = {
        name: value
        for name in ("instrument", "reason", "wait_secs")
        if (value := getattr(arguments, name)) is not None
    }
    args |= {name: True for name in ("flatten", "external") if getattr(arguments, name)}
    try:
        command = new_command(arguments.action, operator_name(), args, now_ns=time.time_ns())
    except CommandError as error:
        raise ConfigurationError(str(error)) from error
    if len(msgspec.json.encode(command)) >= MAX_LINE_BYTES:
        raise ConfigurationError("the command is too long")
    if arguments.mode == "live" and arguments.action in CONFIRMED and not arguments.yes:
        _confirm(arguments.action)
    answer = send_command(socket_path(_folder(arguments), arguments.mode), command)
    if arguments.json:
        print_json(msgspec.to_builtins(answer))
    elif answer.outcome == "done":
        print(_as_text(answer) if arguments.action != "status" else "\n".join(status_lines(answer.detail)))
    if answer.outcome != "done":
        raise OperatorError(f"{arguments.action} {answer.outcome}: {answer.reason}")
    return EXIT_DONE


def _folder(arguments: argparse.Namespace) -> Path:
    from runtime.settings import load_settings  # reads every section: not needed by the terminal

    return Path(load_settings(arguments.config).live.folder)


def _confirm(action: str) -> None:
    if not sys.stdin.isatty():
        raise ConfigurationError(f"{action} of a live node: confirm it with --yes")
    say(f"{action} on the LIVE account. Type {action} to go on:")
    if sys.stdin.readline().strip() != action:
        raise ConfigurationError("not confirmed: nothing was sent; --yes asks nothing")


def _as_text(answer: Answer) -> str:
    lines = [answer.reason or answer.outcome]
    for name, value in answer.detail.items():
        if isinstance(value, list):
            lines += [f"{name}:", *(f"  {_row(one)}" for one in value)]
        else:
            lines.append(f"{name}: {_row(value)}")
    return "\n".join(lines)


def _row(value: Any) -> str:
    if isinstance(value, dict):
        return "  ".join(f"{name} {one}" for name, one in value.items() if one not in ("", None, [], False))
    return str(value)


__all__ = ["EXIT_FAILED", "NodeUnreachable", "add", "operator_name", "send_command", "socket_path"]
