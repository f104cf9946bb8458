"""Opens the audit of a terminal: a session of the journal, and the process that feeds the database."""

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from runtime.errors import ConfigurationError
from runtime.journal.database import binding_of
from runtime.journal.place import journal_url
from runtime.journal.records import Mode
from runtime.live.writer_process import WriterProcess, writer_command
from runtime.settings import Settings
from ui.attached.audit import JournalAudit

LOGS = "logs"


@contextmanager
def open_audit(settings: Settings, config: Path | None, mode: Mode, folder: Path) -> Iterator[JournalAudit]:
    """Open the audit while the block runs.

    Parameters
    ----------
    settings, config
        Of the program; the file of them, None for the default.
    mode
        Of the node that is watched.
    folder
        Of the terminal, for logs.

    Raises
    ------
    ConfigurationError
        When the spool cannot be written: a terminal without an audit must not start.
    """
    url, spool = journal_url(settings.journal), Path(settings.journal.spool)
    session_id = f"terminal-{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
    try:
        audit = JournalAudit(spool, session_id, mode, binding_of(url) if url else None)
    except OSError as error:
        raise ConfigurationError(
            f"{spool}: the audit cannot be written: {error.strerror or error}"
        ) from error
    with ExitStack() as parts:
        if url:
            logs = folder / LOGS
            logs.mkdir(parents=True, exist_ok=True)
            command = writer_command(spool, None if config is None else str(config), logs)
            parts.enter_context(WriterProcess(command, audit.folder))
        parts.callback(audit.close)
        yield audit
