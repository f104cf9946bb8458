"""Secrets inside addresses: what they are, and the address without them. Text in, text out, no driver needed.

Deliberately coarser than the grammar of URLs: a password that was not percent-encoded may hold ``@``, ``/``
or ``?``, so everything up to the last ``@`` counts as login, and where that is not clear the whole address.
"""

import re
from typing import Final
from urllib.parse import quote, unquote, unquote_plus

HIDDEN: Final = "***"
# libpq takes password, passfile, sslkey and sslpassword out of the query; other drivers have similar names.
SECRET_KEY: Final = re.compile(r"pass|pwd|sslkey|api_?key|secret|token|dsn|conninfo", re.IGNORECASE)
_USER: Final = re.compile(r"[\w.%-]*")
_PLAIN: Final = re.compile(r"([^:@/]*@)?[^:@/]*(:\d+)?(/[^@]*)?")  # user@host:port/name


def url_secrets(url: str) -> frozenset[str]:
    """Return what must not be shown of a URL: its password and secret query values, as written and decoded.

    Examples
    --------
    >>> sorted(url_secrets("postgresql://u:p%40ss@h/db?sslpassword=two+words"))
    ['p%40ss', 'p@ss', 'two words', 'two%20words', 'two+words']
    """
    _scheme, login, _rest = _parts(url)
    values = {login.partition(":")[2]} if ":" in login else set()
    query = url.partition("?")[2]
    values |= {value for key, value in map(_pair, query.split("&")) if SECRET_KEY.search(key)}
    found = {form for value in values for form in (value, unquote(value), unquote_plus(value))}
    return frozenset((found | {quote(one, safe="") for one in found if " " in one}) - {""})


def masked_url(url: str) -> str:
    """Return a URL for messages, without password and secret query values.

    Examples
    --------
    >>> masked_url("postgresql://u:p@ss/1@h/db?sslmode=require&password=x")
    'postgresql://u:***@h/db?sslmode=require&password=***'
    """
    scheme, login, rest = _parts(url)
    if login:
        user, colon, _password = login.partition(":")
        shown = user if _USER.fullmatch(user) else HIDDEN
        scheme += f"{shown}:{HIDDEN}@" if colon else f"{shown}@"
    where, mark, query = rest.partition("?")
    pairs = [
        f"{word.partition('=')[0]}={HIDDEN}" if SECRET_KEY.search(_pair(word)[0]) else word
        for word in query.split("&")
    ]
    return f"{scheme}{where}{mark}{'&'.join(pairs)}"


def is_ambiguous(url: str) -> bool:
    """Return whether a driver may take a piece of the password for the host, and say it in its errors.

    Examples
    --------
    >>> is_ambiguous("postgresql://u:p@ss@h/db"), is_ambiguous("postgresql://u:p%40ss@h/db")
    (True, False)
    """
    after = url.partition("://")[2]
    authority = re.split("[/?]", after, maxsplit=1)[0]
    return authority.count("@") > 1 or (":" in authority and "@" in after and "@" not in authority)


def _parts(url: str) -> tuple[str, str, str]:
    """Return scheme with slashes, login without its ``@``, rest."""
    scheme, slashes, after = url.partition("://")
    if not slashes or after.startswith("/"):  # a file has no login, but may have an @ in its name
        return scheme + slashes, "", after
    head, mark, query = after.partition("?")
    if "@" in query and not _PLAIN.fullmatch(head):
        return scheme + slashes, after, ""  # where the password ends cannot be known: all of it is login
    login, _at, rest = head.rpartition("@")
    return scheme + slashes, login, rest + mark + query


def _pair(word: str) -> tuple[str, str]:
    key, _equals, value = word.partition("=")
    return unquote_plus(key), value
