"""Who is logged in: what the signed cookie says, as long as it holds.

The cookie is the session, so that a restart logs nobody out; a session that was logged out is remembered
until it would have ended by itself.
"""

import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from ui.server.accounts import Accounts, Person


class Login(NamedTuple):
    """One login: who, its id and CSRF value, since when (UNIX seconds), and the mark of its credential."""

    person: Person
    id: str
    csrf: str
    since_s: float
    mark: str = ""


class Sessions:
    """Begins, checks and ends logins.

    Parameters
    ----------
    accounts
        A login of somebody who is not there any more, or logs in with something else now, does not hold.
    life_secs
        How long one is good for.
    ended_file
        Remembers over restarts which were logged out; None for memory alone.
    clock_s
        UNIX seconds.
    key
        Of the marks: nothing can be told from one about a password or token.
    """

    def __init__(
        self,
        accounts: Accounts,
        life_secs: float,
        ended_file: Path | None = None,
        clock_s: Callable[[], float] = time.time,
        key: bytes = b"",
    ) -> None:
        self._key = key
        self._accounts, self._life_secs, self._clock_s = accounts, life_secs, clock_s
        self._file, self._lock = ended_file, threading.Lock()
        self._ended = _read(ended_file)

    def begin(self, cookie: MutableMapping[str, Any], person: Person) -> Login:
        """Log somebody in: fill the cookie anew."""
        mark = self._mark(person) or ""
        login = Login(person, secrets.token_hex(16), secrets.token_urlsafe(24), self._clock_s(), mark)
        cookie.clear()
        cookie.update(
            name=person.name, role=person.role, id=login.id, csrf=login.csrf, since_s=login.since_s, mark=mark
        )
        return login

    def read(self, cookie: MutableMapping[str, Any]) -> Login | None:
        """Return the login of a cookie, None where it does not hold."""
        try:
            person = Person(str(cookie["name"]), cookie["role"])
            login = Login(
                person,
                str(cookie["id"]),
                str(cookie["csrf"]),
                float(cookie["since_s"]),
                str(cookie["mark"]),
            )
        except (KeyError, TypeError, ValueError):
            return None
        return login if self.holds(login) else None

    def holds(self, login: Login) -> bool:
        """Tell whether a login is still good."""
        age_secs = self._clock_s() - login.since_s
        if not 0 <= age_secs < self._life_secs or login.id in self._ended:
            return False
        mark = self._mark(login.person)
        return mark is not None and hmac.compare_digest(mark.encode(), login.mark.encode("utf-8", "replace"))

    def end(self, login: Login) -> None:
        """Log somebody out, for good: a copy of the cookie is worth nothing from now on."""
        with self._lock:
            now_s = self._clock_s()
            kept = {key: until_s for key, until_s in self._ended.items() if until_s > now_s}
            kept[login.id] = login.since_s + self._life_secs
            self._ended = kept
            if self._file is not None:
                _write(self._file, kept)

    def _mark(self, person: Person) -> str | None:
        """Return the mark of what somebody logs in with now, None where nobody has that role."""
        credential = self._accounts.credential(person)
        if credential is None:
            return None
        made = hmac.new(self._key, credential.encode("utf-8", "surrogateescape"), hashlib.sha256)
        return made.hexdigest()[:32]


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
