"""Who may use the terminal: people with a password, tokens, and programs with a shared secret.

All of it comes from the environment, passwords as scrypt hashes only. Every comparison takes the same time
whether the name is known or not.
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from werkzeug.security import check_password_hash, generate_password_hash

type Role = Literal["viewer", "operator"]

ROLES: Final[tuple[Role, ...]] = ("viewer", "operator")
USERS: Final = "SMCBOT_TERMINAL_USERS"
OPERATOR_TOKEN: Final = "SMCBOT_TERMINAL_TOKEN"  # noqa: S105 - the name of a variable
VIEWER_TOKEN: Final = "SMCBOT_TERMINAL_VIEWER_TOKEN"  # noqa: S105 - the name of a variable
SHARED_SECRET: Final = "SMCBOT_TERMINAL_SHARED_SECRET"  # noqa: S105 - the name of a variable
METHOD: Final = "scrypt:32768:8:1"
MIN_SECRET: Final = 16
MAX_PASSWORD: Final = 1024
MACHINE: Final = "machine"


class Person(NamedTuple):
    """Who is asking, and what they may do."""

    name: str
    role: Role

    @property
    def may_act(self) -> bool:
        """Whether commands of this person are sent on."""
        return self.role == "operator"


@dataclass(frozen=True)
class Accounts:
    """All that may log in.

    Parameters
    ----------
    people
        Name -> role and scrypt hash.
    tokens
        Role -> token, a password without a name.
    shared_secret
        Of programs (``X-Shared-Secret``), empty for none.
    is_made_up
        The token was made at this start and is shown once: nobody configured anything.
    """

    people: Mapping[str, tuple[Role, str]] = field(default_factory=dict)
    tokens: Mapping[Role, str] = field(default_factory=dict)
    shared_secret: str = ""
    is_made_up: bool = False

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Accounts":
        """Return the accounts of the environment; without any, an operator with a new token.

        Raises
        ------
        ValueError
            When a variable makes no sense; its value is not in the message.
        """
        people = _people(environment.get(USERS, ""))
        tokens = _tokens(environment)
        secret = environment.get(SHARED_SECRET, "")
        if secret and len(secret) < MIN_SECRET:
            raise ValueError(f"{SHARED_SECRET} is shorter than {MIN_SECRET} characters")
        if people or tokens:
            return cls(people, tokens, secret)
        return cls({}, {"operator": secrets.token_urlsafe(24)}, secret, is_made_up=True)

    def log_in(self, name: str, password: str) -> Person | None:
        """Return who that is, None where name or password are wrong.

        A token is a password without a name.
        """
        if not password or len(password) > MAX_PASSWORD:
            return None
        found: Person | None = None
        if not name:
            for role, token in self.tokens.items():
                if _same(token, password):
                    found = Person(role, role)
            return found
        role_of, known = self.people.get(name, ("viewer", _nobodys_hash()))
        is_right = check_password_hash(known, password)
        return Person(name, role_of) if is_right and name in self.people else None

    def credential(self, person: Person) -> str | None:
        """Return what somebody logs in with now, a hash or a token; None where nobody has that role."""
        if person.name in self.people:
            role, known = self.people[person.name]
            return known if role == person.role else None
        return self.tokens.get(person.role) if person.name == person.role else None

    def machine(self, secret: str) -> Person | None:
        """Return the program that sends this secret, None where it is wrong or there is none."""
        is_right = _same(self.shared_secret or secrets.token_hex(16), secret)
        return Person(MACHINE, "operator") if is_right and self.shared_secret else None


def new_entry(name: str, role: Role, password: str) -> str:
    """Return a person as the variable holds it: ``name,role,hash``.

    Raises
    ------
    ValueError
        When name, role or password cannot be used.
    """
    if not name.isalnum() or len(name) > 32 or name in ROLES or name == MACHINE:
        raise ValueError(f"name {name[:40]!r}: expected up to 32 letters and digits, other than a role")
    if role not in ROLES:
        raise ValueError(f"role {role[:40]!r}: expected one of {', '.join(ROLES)}")
    if not 8 <= len(password) <= MAX_PASSWORD:
        raise ValueError("password: expected at least 8 characters")
    return f"{name},{role},{generate_password_hash(password, METHOD)}"


def _people(text: str) -> dict[str, tuple[Role, str]]:
    people: dict[str, tuple[Role, str]] = {}
    for number, entry in enumerate(text.split(), 1):
        name, _, rest = entry.partition(",")
        role, _, known = rest.partition(",")
        if not name.isalnum() or name in (*ROLES, MACHINE) or not known.startswith("scrypt:"):
            raise ValueError(
                f"{USERS}: entry {number} is not NAME,ROLE,HASH; make one with `python -m ui password`"
            )
        if role == "viewer":
            people[name] = ("viewer", known)
        elif role == "operator":
            people[name] = ("operator", known)
        else:
            raise ValueError(f"{USERS}: entry {number}: the role is none of {', '.join(ROLES)}")
    return people


def _tokens(environment: Mapping[str, str]) -> dict[Role, str]:
    tokens: dict[Role, str] = {}
    given: tuple[tuple[Role, str], ...] = (("operator", OPERATOR_TOKEN), ("viewer", VIEWER_TOKEN))
    for role, variable in given:
        token = environment.get(variable, "")
        if token and len(token) < MIN_SECRET:
            raise ValueError(f"{variable} is shorter than {MIN_SECRET} characters")
        if token:
            tokens[role] = token
    if len(set(tokens.values())) < len(tokens):
        raise ValueError(f"{OPERATOR_TOKEN} and {VIEWER_TOKEN} are the same")
    return tokens


def _same(known: str, given: str) -> bool:
    """Compare digests in constant time: neither content nor length can be told from it."""
    return hmac.compare_digest(
        hashlib.sha256(known.encode("utf-8", "surrogateescape")).digest(),
        hashlib.sha256(given.encode("utf-8", "replace")).digest(),
    )


_NOBODY: list[str] = []


def _nobodys_hash() -> str:
    """Return a hash to check: an unknown name takes as long as a known one."""
    if not _NOBODY:
        _NOBODY.append(generate_password_hash(secrets.token_hex(16), METHOD))
    return _NOBODY[0]
