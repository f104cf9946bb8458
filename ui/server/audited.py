"""An audit that fails must keep nobody from logging in, connecting and stopping a node."""

import logging
from typing import Final

from ui.server.ports import Audit, Order, Plain

log = logging.getLogger("smcbot.terminal")

UNWRITTEN: Final = "the audit cannot be written"


class Unbroken:
    """An `Audit` whose notes of people never raise, and that says so while they do not reach the disk.

    Notes of commands raise as they did: `ui.server.commands.CommandDesk` decides what goes on without one.

    Parameters
    ----------
    audit
        That writes.
    """

    def __init__(self, audit: Audit) -> None:
        self._audit = audit
        self._failure: str | None = None

    def access(self, actor: str, origin: str, action: str, outcome: str, reason: str = "") -> None:
        """Note a login, a connect, or a refusal."""
        try:
            self._audit.access(actor, origin, action, outcome, reason)
        except Exception as error:  # whatever a disk does
            self._failed(error)
        else:
            self._failure = None

    def command(self, order: Order, origin: str, outcome: str, reason: str = "") -> None:
        """Note a command; raises what the audit raises."""
        try:
            self._audit.command(order, origin, outcome, reason)
        except Exception as error:
            self._failed(error)
            raise
        self._failure = None

    def recent(self, limit: int) -> list[Plain]:
        """Return the last notes, newest first."""
        return self._audit.recent(limit)

    def trouble(self) -> str | None:
        """Return why notes do not reach the disk, None while they do."""
        return self._audit.trouble() or self._failure

    def _failed(self, error: Exception) -> None:
        if self._failure is None:
            log.error(UNWRITTEN, exc_info=error)
        self._failure = f"{UNWRITTEN}: {error}"
