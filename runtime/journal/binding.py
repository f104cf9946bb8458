"""What a session folder says about its session: which life of its id it is, and which database it is for."""

import hashlib
import re
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

BINDING: Final = "session.json"
# Nothing in it needs a parser of URLs: no query, no escapes, no memory.
_PLAIN_FILE: Final = re.compile(r"sqlite:///([A-Za-z0-9_./-]+)")


class Binding(msgspec.Struct, frozen=True, kw_only=True):
    """Content of `<spool>/<session>/session.json`, written before anybody sees the folder.

    Parameters
    ----------
    nonce
        Random; two sessions of one id differ in it. Empty in a folder without the file.
    database
        See :func:`runtime.journal.database.identity`; empty for a session that any writer may feed.
    url
        Of that database, without its password: for messages.
    """

    nonce: str = ""
    database: str = ""
    url: str = ""


def new_nonce() -> str:
    """Return a fresh random name, 16 hex digits."""
    return secrets.token_hex(8)


def write_binding(folder: Path, binding: Binding) -> None:
    """Say what a new session folder is for."""
    (folder / BINDING).write_bytes(msgspec.json.encode(binding))


def read_binding(folder: Path) -> Binding:
    """Return what a session folder is for; a damaged file raises `msgspec.DecodeError`."""
    try:
        return msgspec.json.decode((folder / BINDING).read_bytes(), type=Binding)
    except FileNotFoundError:
        return Binding()


def digest_of(facts: Sequence[str]) -> str:
    """Return what names a database by what tells it from others, 16 hex digits."""
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


def file_binding(url: str) -> Binding | None:
    """Return the binding to an SQLite file with a plain name; None for all else.

    The same as :func:`runtime.journal.database.binding_of`, without SQLAlchemy and Alembic: a node that
    starts over an unprotected position does not wait for their import.
    """
    found = _PLAIN_FILE.fullmatch(url)
    if found is None:
        return None
    database = digest_of(["sqlite", str(Path(found[1]).resolve())])
    return Binding(nonce=new_nonce(), database=database, url=url)
