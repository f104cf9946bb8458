"""The journal's spool as the server's `Audit`."""

import threading
import time
from collections import deque
from pathlib import Path
from typing import Any, Final

from runtime.journal.binding import Binding
from runtime.journal.records import AccessRecord, CommandRecord, Mode, SessionEnd, SessionStart
from runtime.journal.session import SessionJournal, code_version
from ui.server.ports import Order, Plain

RECENT: Final = 1_000


class JournalAudit:
    """Writes into a journal session of the terminal's own; every note is on the disk when it returns.

    On a disk that refuses they wait in memory and commands are executed all the same: a kill must never wait
    for a disk. `trouble` says so meanwhile.

    Parameters
    ----------
    spool
        Folder of the journal's spool.
    session_id
        New name of the session.
    mode
        Of the node that is watched.
    binding
        Of the database that the session is for; None for any.
    """

    def __init__(self, spool: Path, session_id: str, mode: Mode, binding: Binding | None = None) -> None:
        start = SessionStart(
            ts_ns=time.time_ns(), mode=mode, strategy="terminal", code_version=code_version()
        )
        self.folder = spool / session_id
        self._journal = SessionJournal(spool, session_id, start, binding=binding)
        self._recent: deque[Plain] = deque(maxlen=RECENT)
        self._lock = threading.Lock()

    def access(self, actor: str, origin: str, action: str, outcome: str, reason: str = "") -> None:
        """Note a login, a connect, or a refusal."""
        record = AccessRecord(
            ts_ns=time.time_ns(), actor=actor, origin=origin, action=action, outcome=outcome, reason=reason
        )
        self._note(record, {"kind": "access"})

    def command(self, order: Order, origin: str, outcome: str, reason: str = "") -> None:
        """Note a command or its outcome."""
        record = CommandRecord(
            ts_ns=time.time_ns(),
            command_id=order.id,
            actor=order.who,
            origin=origin,
            action=order.action,
            args=dict(order.args),
            nonce=order.nonce,
            outcome=outcome,
            reason=reason,
        )
        self._note(record, {"kind": "command", "command_id": order.id, "args": dict(order.args)})

    def recent(self, limit: int) -> list[Plain]:
        """Return the last notes of this server, newest first."""
        with self._lock:
            return list(self._recent)[: -limit - 1 : -1]

    def trouble(self) -> str | None:
        """Return why notes do not reach the disk, None while they do; costs nothing."""
        refusal = self._journal.refusal()
        return None if refusal is None else f"{refusal.reason}; {refusal.remedy}"

    def look_again(self) -> None:
        """Write what waits in memory, where the disk refused it; call it every second or so."""
        if self._journal.refusal() is not None:
            self._journal.spool.retry()

    def close(self, reason: str = "stopped") -> None:
        """End the session."""
        self._journal.end(SessionEnd(ts_ns=time.time_ns(), reason=reason))

    def _note(self, record: Any, more: Plain) -> None:
        self._journal.append(record)
        shown = {name: getattr(record, name) for name in ("actor", "origin", "action", "outcome", "reason")}
        with self._lock:
            self._recent.append({"ts": record.ts_ns // 1_000_000, **shown, **more})
