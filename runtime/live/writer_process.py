"""The journal's writer as a process of its own, started again when it dies."""

import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from runtime.live.kept_process import POLL_SECS, KeptProcess
from runtime.own_modules import module_command

log = logging.getLogger("smcbot.journal-writer")

DRAIN_SECS: Final = 10.0


def writer_command(spool: Path, config: str | None, logs: Path) -> list[str]:
    """Return the command of the writer; the database comes from the settings and the environment.

    Parameters
    ----------
    spool
        Folder of the spool.
    config
        Settings file; None for the default.
    logs
        Folder of its logs.
    """
    # Told, not asked for: a node that is killed while the writer starts is nobody's parent any more.
    command = [*module_command("runtime.journal"), "write", "--with-parent", str(os.getpid())]
    command += ["--spool", str(spool), "--logs", str(logs)]
    return command if config is None else [*command, "--config", config]


class WriterProcess(KeptProcess):
    """Keeps the writer running; a context manager.

    Parameters
    ----------
    command
        Program and arguments.
    session_folder
        Gone when everything of the session is in the database.

    Notes
    -----
    The process ends by itself when this one is gone and all is committed, also after a crash of the node.
    """

    def __init__(self, command: Sequence[str], session_folder: Path) -> None:
        super().__init__(command, "the journal's writer", log)
        self._session_folder = session_folder

    def close(self, timeout_secs: float = DRAIN_SECS) -> bool:
        """Wait until the session is in the database, then end the process; return whether it is."""
        by = time.monotonic() + timeout_secs
        while self._session_folder.exists() and time.monotonic() < by:
            time.sleep(POLL_SECS / 5)
        super().close()
        return not self._session_folder.exists()
