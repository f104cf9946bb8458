"""The terminal of a node as a process beside it: ``live_node.py --terminal``.

Nothing of it is in the node's process. It says its address and, where nobody is configured, its token on
stderr itself; one that ends is started again, but after wrong use (exit code 2), which stays wrong: it is
left alone, and the node trades. It serves browsers, so it gets none of the secrets of the node: no keys of
venues, no addresses of notifications.
"""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from runtime.errors import EXIT_MISUSE
from runtime.live.kept_process import KeptProcess
from runtime.own_modules import module_command
from runtime.redact import SECRET_NAME
from runtime.secret_urls import url_secrets

log = logging.getLogger("smcbot.terminal")

FOLDER: Final = "terminal"
# Its own secrets, and the database of the journal that it shows.
OWN: Final = ("SMCBOT_TERMINAL_", "SMCBOT_JOURNAL_URL", "PG")


def terminal_command(mode: str, port: int | None, config: str | None, live_folder: str) -> list[str]:
    """Return the command of the terminal of a node of this process.

    Parameters
    ----------
    mode
        Of the node.
    port
        On loopback; None for the terminal's own default.
    config
        Settings file; None for the default.
    live_folder
        Of the settings; the terminal keeps its secret and its jobs in the mode's part of it.
    """
    command = [*module_command("ui"), "serve", "--with-parent", str(os.getpid())]
    command += ["--mode", mode, "--folder", str(Path(live_folder) / mode / FOLDER)]
    command += [] if port is None else ["--port", str(port)]
    return command if config is None else [*command, "--config", config]


def kept_terminal(command: list[str]) -> KeptProcess:
    """Return a process that runs while it is entered; its command is that of `terminal_command`."""
    environment = terminal_environment(os.environ)
    return KeptProcess(command, "the terminal", log, hopeless=(EXIT_MISUSE,), environment=environment)


def terminal_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a node without its secrets: names that look secret, and addresses with a login.

    Examples
    --------
    >>> terminal_environment({"HOME": "/root", "BINANCE_API_SECRET": "x", "SMCBOT_TERMINAL_TOKEN": "y"})
    {'HOME': '/root', 'SMCBOT_TERMINAL_TOKEN': 'y'}
    """
    return {
        name: value
        for name, value in environment.items()
        if name.startswith(OWN) or not (SECRET_NAME.search(name) or any(map(url_secrets, value.split())))
    }


__all__ = ["kept_terminal", "terminal_command", "terminal_environment"]
