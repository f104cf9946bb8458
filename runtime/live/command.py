"""The command line of `live_node.py` without a sub-command: check, approve, trade."""

import argparse
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import msgspec
import yaml

from runtime.cli import CommandParser, add_command, print_json, say, warn
from runtime.errors import EXIT_DONE, ConfigurationError
from runtime.live.check import Finding, Preflight, exit_code_of, require_passed
from runtime.live.plan import LivePlan, effective_config, plan_live
from runtime.settings import DEFAULT_PATH, load_settings
from runtime.yaml_text import with_line

MAX_PORT: Final = 65_535
EXAMPLE: Final = "live_node.py --mode paper --config config.yaml"


def add(commands: "argparse._SubParsersAction[CommandParser]") -> None:
    """Add the command ``run``, which is meant where no command is named."""
    parser = add_command(commands, "run", run, "trade: on paper, or with money once it was approved", EXAMPLE)
    parser.add_argument(
        "--mode",
        choices=("paper", "live"),
        default="paper",
        help="paper trades real data with play money (default)",
    )
    parser.add_argument("--config", metavar="FILE", help=f"settings file (default: {DEFAULT_PATH})")
    parser.add_argument(
        "--check",
        action="store_true",
        help="check everything, print the effective settings and their hash, end",
    )
    parser.add_argument(
        "--live-approved",
        metavar="HASH",
        help="config_sha256 that --check printed: a person read it and agrees",
    )
    parser.add_argument(
        "--terminal",
        action="store_true",
        help="serve the terminal to browsers as well, a process beside the node",
    )
    parser.add_argument(
        "--terminal-port",
        type=int,
        metavar="N",
        help="of the terminal on 127.0.0.1, means --terminal (default: that of `python -m ui serve`); "
        "0 takes a free one",
    )
    parser.add_argument("--json", action="store_true", help="with --check: print one JSON object on stdout")


def run(arguments: argparse.Namespace) -> int:
    """Check, and trade if nothing refuses.

    Raises
    ------
    ConfigurationError
        Wrong settings, keys, or a live start that was not approved.
    VenueError
        The venue is unreachable, or the node failed.
    """
    if arguments.json and not arguments.check:
        raise ConfigurationError("--json belongs to --check: a node prints no result")
    port = arguments.terminal_port
    if port is not None and not 0 <= port <= MAX_PORT:
        raise ConfigurationError(f"--terminal-port {port}: expected 0 to {MAX_PORT}")
    settings = load_settings(arguments.config)
    file = Path(arguments.config or DEFAULT_PATH)
    try:
        plan = plan_live(settings, arguments.mode, str(file))
    except ConfigurationError as error:
        if not file.exists():  # the defaults
            raise
        raise ConfigurationError(with_line(str(error), file.read_text(encoding="utf-8"))) from error
    config = effective_config(plan)
    if arguments.mode == "live" and not arguments.check:
        require_approved(arguments.live_approved, str(config["config_sha256"]))
    findings = Preflight(plan).run()
    if arguments.check:
        show(plan, config, findings, as_json=arguments.json)
        return exit_code_of(findings)
    require_passed(findings)
    for one in findings:
        if one.verdict == "warning":
            warn(f"{one.name}: {one.what}")
    from runtime.live.compiling import ensure_compiled
    from runtime.live.session import run_session
    from runtime.live.terminal_process import kept_terminal, terminal_command

    with ExitStack() as beside:
        if arguments.terminal or port is not None:
            command = terminal_command(plan.mode, port, arguments.config, settings.live.folder)
            beside.enter_context(kept_terminal(command))
        ensure_compiled(plan)
        begins_anew = run_session(plan, config, arguments.config)
    if begins_anew:
        from runtime.live.memory_watch import begin_anew

        say("beginning anew")
        begin_anew()
    return EXIT_DONE


def require_approved(approved: str | None, config_sha256: str) -> None:
    """Refuse a live start with settings that nobody agreed to.

    Parameters
    ----------
    approved
        Of ``--live-approved``.
    config_sha256
        Of the effective settings.

    Raises
    ------
    ConfigurationError
        Without saying the hash: it must be read where the settings are.
    """
    if approved is None:
        raise ConfigurationError(
            "--mode live trades with money: run it with --check, read the settings, and start with "
            "--live-approved and the hash that it printed"
        )
    if approved.strip().lower() != config_sha256:
        raise ConfigurationError(
            "--live-approved is not the hash of these settings: they changed since somebody agreed; run "
            "--check and read them again"
        )


def show(plan: LivePlan, config: dict[str, object], findings: list[Finding], *, as_json: bool) -> None:
    """Print the effective settings, what was found, and the hash."""
    verdict = "refused" if exit_code_of(findings) else "ready"
    if as_json:
        print_json(
            {
                "mode": plan.mode,
                "verdict": verdict,
                "config_sha256": config["config_sha256"],
                "checks": [msgspec.to_builtins(one) for one in findings],
                "config": config,
            }
        )
        return
    print(yaml.safe_dump(msgspec.to_builtins(config), sort_keys=False, allow_unicode=True), end="")
    for one in findings:
        say(f"{one.verdict:<8} {one.name}: {one.what}")
    say(
        f"{verdict}: {plan.mode}, {len(plan.instruments)} instruments; config_sha256 "
        f"{config['config_sha256']}"
    )
