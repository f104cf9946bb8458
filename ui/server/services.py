"""Everything that answers need, in one place; one per application."""

from dataclasses import dataclass, field
from typing import Any, Final

from flask import Flask, current_app
from limits import RateLimitItem, parse_many
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from ui.server.accounts import Accounts, Person
from ui.server.commands import CommandDesk
from ui.server.hub import Hub
from ui.server.ports import Audit
from ui.server.sessions import Sessions
from ui.server.settings import ServerSettings

KEY: Final = "smcbot"


class Limits:
    """Counts what somebody did, in memory.

    Parameters
    ----------
    rules
        Name of the limit -> its words, as in ``10/10 seconds``; several with ``;``.
    """

    def __init__(self, rules: dict[str, str]) -> None:
        self._rules: dict[str, list[RateLimitItem]] = {
            name: list(parse_many(words)) for name, words in rules.items()
        }
        self._windows = MovingWindowRateLimiter(MemoryStorage())

    def allows(self, name: str, who: str) -> bool:
        """Count one more, and tell whether it is within the limit."""
        hits = [self._windows.hit(rule, name, who) for rule in self._rules[name]]
        return all(hits)

    def is_exceeded(self, name: str, who: str) -> bool:
        """Tell whether one more would be too many, without counting it."""
        return not all(self._windows.test(rule, name, who) for rule in self._rules[name])


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
        if self.limits.allows("refusal", origin):
            self.audit.access(actor, origin, action, "refused", reason)


def limits_of(settings: ServerSettings) -> Limits:
    """Return the limits of the settings."""
    return Limits(
        {
            "login": settings.logins,
            "secret": settings.logins,
            "request": settings.requests,
            "command": settings.commands,
            "kill": settings.kills,
            "connect": settings.connects,
            "refusal": "60/minute",
            "event": settings.events,
        }
    )


def may_send(limits: Limits, person: Person, action: str) -> bool:
    """Tell whether a person may send one more command; kill has a limit of its own: it gets through."""
    return limits.allows("kill" if action == "kill" else "command", person.name)


def services(app: Flask | None = None) -> Services:
    """Return the services of an application, by default the one that answers now."""
    found: Services = (app or current_app).extensions[KEY]
    return found
