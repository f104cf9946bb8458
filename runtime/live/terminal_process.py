"""The terminal of a node as a process beside it: ``live_node.py --terminal``.

Nothing of it is in the node's process. It says its address and, where nobody is configured, its token on
stderr itself; one that dies is started again, and one that cannot start is left alone: the node trades.
"""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from runtime.errors import EXIT_MISUSE
from runtime.live.kept_process import KeptProcess

log = logging.getLogger("smcbot.terminal")

FOLDER: Final = "terminal"


def terminal_command(mode: str, port: int, config: str | None, folder: Path) -> list[str]:
    """Return the command of the terminal of a node of this process.

    Parameters
    ----------
    mode
        Of the node.
    port
        On loopback.
    config
        Settings file; None for the default.
    folder
        For its secret and jobs.
    """
    command = [sys.executable, "-m", "ui", "serve", "--with-parent", str(os.getpid())]
    command += ["--mode", mode, "--port", str(port), "--folder", str(folder)]
    return command if config is None else [*command, "--config", config]


@contextmanager
def terminal_beside(port: int | None, mode: str, config: str | None, live_folder: str) -> Iterator[None]:
    """Keep the terminal of a node running while the block runs; do nothing without a port.

    Parameters
    ----------
    port
        On loopback; None for no terminal.
    mode
        Of the node.
    config
        Settings file; None for the default.
    live_folder
        Of the settings; the terminal keeps its secret and its jobs in the mode's part of it.
    """
    if port is None:
        yield
        return
    folder = Path(live_folder) / mode / FOLDER
    command = terminal_command(mode, port, config, folder)
    with KeptProcess(command, "the terminal", log, hopeless=(EXIT_MISUSE,)):
        yield


__all__ = ["terminal_beside", "terminal_command"]
