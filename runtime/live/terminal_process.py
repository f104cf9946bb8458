"""The terminal of a node as a process beside it: ``live_node.py --terminal``.

Nothing of it is in the node's process. It says its address and, where nobody is configured, its token on
stderr itself; one that dies is started again, and one that cannot start is left alone: the node trades.
"""

import logging
import os
import sys
from pathlib import Path
from typing import Final

from runtime.errors import EXIT_MISUSE
from runtime.live.kept_process import KeptProcess

log = logging.getLogger("smcbot.terminal")

FOLDER: Final = "terminal"


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
    command = [sys.executable, "-m", "ui", "serve", "--with-parent", str(os.getpid())]
    command += ["--mode", mode, "--folder", str(Path(live_folder) / mode / FOLDER)]
    command += [] if port is None else ["--port", str(port)]
    return command if config is None else [*command, "--config", config]


def kept_terminal(command: list[str]) -> KeptProcess:
    """Return a process that runs while it is entered; its command is that of `terminal_command`."""
    return KeptProcess(command, "the terminal", log, hopeless=(EXIT_MISUSE,))


__all__ = ["kept_terminal", "terminal_command"]
