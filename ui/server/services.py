"""Everything that answers need, in one place; one per application."""

import hashlib
from dataclasses import dataclass, field
from typing import Any, Final

from flask import Flask, current_app

from ui.server.accounts import Accounts, Person
from ui.server.addresses import counted_as
from ui.server.commands import CommandDesk
from ui.server.hub import Hub
from ui.server.limits import Limits
from ui.server.ports import Audit
from ui.server.sessions import Sessions
from ui.server.settings import ServerSettings

KEY: Final = "smcbot"


@dataclass
class Services:
    """What an application was made of.

    Parameters
    ----------
    settings, accounts, sessions, hub, audit, desk, limits
        See their classes.
    ports
        What the pages of the API ask; see `ui.server.api`.
    """

    settings: ServerSettings
    accounts: Accounts
    sessions: Sessions
    hub: Hub
    audit: Audit
    desk: CommandDesk
    limits: Limits
    ports: dict[str, Any] = field(default_factory=dict)

    def note_refusal(self, actor: str, origin: str, action: str, reason: str) -> None:
        """Audit a refusal; of an address that is refused without end only some: each is a write to disk."""
        if may_note(self.limits, origin):
            self.audit.access(actor, origin, action, "refused", reason)

    def may_log_in(self, name: str, address: str) -> bool:
        """Count an attempt to log in; fewer are taken while a name is being guessed from everywhere.

        Nobody is locked out: whoever has made no attempt from his address may still make one.
        """
        who = counted_as(address)
        if not self.limits.allows("login", who):
            return False
        is_guessed = self.limits.is_exceeded("failure", _guessed(name))
        return not is_guessed or self.limits.allows("slow login", who)

    def note_failed_login(self, name: str) -> None:
        """Count a wrong password of a name, from wherever it came."""
        self.limits.allows("failure", _guessed(name))


def limits_of(settings: ServerSettings) -> Limits:
    """Return the limits of the settings."""
    return Limits(
        {
            "login": settings.logins,
            "slow login": settings.slow_logins,
            "failure": settings.failures,
            "secret": settings.logins,
            "request": settings.requests,
            "command": settings.commands,
            "kill": settings.kills,
            "connect": settings.connects,
            "refusal": "60/minute",
            "event": settings.events,
        }
    )


def _guessed(name: str) -> str:
    """Return as what a name is counted: each by itself, or the answers would tell which names there are."""
    return hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:16]


def may_note(limits: Limits, origin: str) -> bool:
    """Tell whether one more refusal of an origin, such as ``rest 127.0.0.1``, is audited."""
    kind, _, address = origin.rpartition(" ")
    return limits.allows("refusal", f"{kind} {counted_as(address)}")


def may_send(limits: Limits, person: Person, action: str) -> bool:
    """Tell whether a person may send one more command; kill has a limit of its own: it gets through."""
    return limits.allows("kill" if action == "kill" else "command", person.name)


def services(app: Flask | None = None) -> Services:
    """Return the services of an application, by default the one that answers now."""
    found: Services = (app or current_app).extensions[KEY]
    return found
