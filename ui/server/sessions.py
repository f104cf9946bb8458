"""Who is logged in: what the signed cookie says, as long as it holds.

The cookie is the session, so that a restart logs nobody out; a session that was logged out is remembered
until it would have ended by itself.
"""

import secrets
import threading
import time
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from ui.server.accounts import Accounts, Person


class Login(NamedTuple):
    """One login: who, its id and CSRF value, and since when (UNIX seconds)."""

    person: Person
    id: str
    csrf: str
    since_s: float


class Sessions:
    """Begins, checks and ends logins.

    Parameters
    ----------
    accounts
        A login of somebody who is not there any more does not hold.
    life_secs
        How long one is good for.
    ended_file
        Remembers over restarts which were logged out; None for memory alone.
    clock_s
        UNIX seconds.
    """

    def __init__(
        self,
        accounts: Accounts,
        life_secs: float,
        ended_file: Path | None = None,
        clock_s: Callable[[], float] = time.time,
    ) -> None:
        self._accounts, self._life_secs, self._clock_s = accounts, life_secs, clock_s
        self._file, self._lock = ended_file, threading.Lock()
        self._ended = _read(ended_file)

    def begin(self, cookie: MutableMapping[str, Any], person: Person) -> Login:
        """Log somebody in: fill the cookie anew."""
        login = Login(person, secrets.token_hex(16), secrets.token_urlsafe(24), self._clock_s())
        cookie.clear()
        cookie.update(name=person.name, role=person.role, id=login.id, csrf=login.csrf, since_s=login.since_s)
        return login

    def read(self, cookie: MutableMapping[str, Any]) -> Login | None:
        """Return the login of a cookie, None where it does not hold."""
        try:
            person = Person(str(cookie["name"]), cookie["role"])
            login = Login(person, str(cookie["id"]), str(cookie["csrf"]), float(cookie["since_s"]))
        except (KeyError, TypeError, ValueError):
            return None
        return login if self.holds(login) else None

    def holds(self, login: Login) -> bool:
        """Tell whether a login is still good."""
        age_secs = self._clock_s() - login.since_s
        return (
            0 <= age_secs < self._life_secs
            and login.id not in self._ended
            and self._accounts.knows(login.person)
        )

    def end(self, login: Login) -> None:
        """Log somebody out, for good: a copy of the cookie is worth nothing from now on."""
        with self._lock:
            now_s = self._clock_s()
            kept = {key: until_s for key, until_s in self._ended.items() if until_s > now_s}
            kept[login.id] = login.since_s + self._life_secs
            self._ended = kept
            if self._file is not None:
                _write(self._file, kept)


def _read(file: Path | None) -> dict[str, float]:
    if file is None or not file.exists():
        return {}
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, float])
    except msgspec.DecodeError as error:
        raise ValueError(
            f"{file}: damaged ({error}); remove it together with the secret beside it"
        ) from error


def _write(file: Path, ended: dict[str, float]) -> None:
    new = file.with_suffix(".new")
    new.write_bytes(msgspec.json.encode(ended))
    new.chmod(0o600)
    new.replace(file)
