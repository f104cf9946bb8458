"""Takes secrets out of text before anything writes it: logs, crash files, messages, error lines.

Two nets: the values of environment variables whose names look secret, wherever they appear; and shapes that
are secret whatever their value (credentials in addresses, signatures, Authorization headers, keys).
"""

import os
import re
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import quote

from runtime.secret_urls import url_secrets

MASK: Final = "[redacted]"
# A value shorter than this would take ordinary words out of every line ("key", "1234").
LEAST_LENGTH: Final = 6
SECRET_NAME: Final = re.compile(
    r"(^|_)(SECRET|SECRETS|TOKEN|PASSWORD|PASSWD|PASSPHRASE|PWD|CREDENTIALS?|PRIVATE|APIKEY|KEY|KEYS|COOKIE|AUTH|"
    r"DSN|SIGNATURE|NOTIFY_URLS?|DATABASE_URL|DB_URL|WEBHOOK(_URL)?)(_|$)",
    re.IGNORECASE,
)
# May stand behind a prefix: aws_secret, DB_PASSWORD, bybit.api-key.
_LONG_NAMES: Final = (
    r"api[-_]?key|access[-_]?key|secret[-_]?key|(?:api|client|shared)?[-_]?secret|(?:access|refresh)?[-_]?token|"
    r"listen[-_]?key|(?:ssl)?password|passwd|passphrase|passfile|sslkey|pwd|private[-_]?key|secret[-_]?access[-_]?key"
)
# Short words are parts of too many others (trend_sign).
_NAMES: Final = (
    # What stands before is not matched: a run of words would be read from each of them to its end.
    rf"(?:\b|(?<=_))(?:{_LONG_NAMES})|"
    r"\b(?:signature|sign|sig|x-mbx-apikey|x-bapi-api-key|x-bapi-sign|x-shared-secret|cookie|set-cookie)"
)
SECRET_FIELD: Final = re.compile(
    rf"(?:[\w.-]*[_.-])?(?:{_LONG_NAMES}|cookie|authorization|apikey|(?<=bapi-)sign)", re.IGNORECASE
)
_ASSIGNED: Final = rf"(?:{_NAMES})(?:\\*[\"'])?\s*[:=]\s*"
SHAPES: Final = (
    # Notification addresses hold tokens in host and path: nothing but the scheme is kept.
    (
        re.compile(
            r"\b(?!https?://|wss?://|sqlite|postgres|file://|tcp://|ipc://|redis)([a-z][a-z0-9+.-]{0,30}://)"
            r"[^\s\"'<>]+",
            re.IGNORECASE,
        ),
        rf"\1{MASK}",
    ),
    # user:password@host, and user@host: apprise keeps tokens there. The host stays readable. An @ or / of
    # the password may not be encoded; a port is no password.
    (
        re.compile(
            r"\b([a-z][a-z0-9+.-]{0,30}://)(?:[^\s/@:\"'<>]*:(?!\d+[/?])[^\s\"'<>]*|[^\s/\"'<>]+)@",
            re.IGNORECASE,
        ),
        rf"\1{MASK}@",
    ),
    # The same without slashes (mailto:user:password@host), or without a scheme.
    (re.compile(r"\b((?:mailto|smtp|imap)s?:)(?!//)[^\s\"'<>]+@", re.IGNORECASE), rf"\1{MASK}@"),
    (
        re.compile(
            r"(?<![\w:/.@-])[\w.%+-]+:[^\s:@/\"']{3,}@(?=localhost|[a-z][\w-]*\.[a-z])", re.IGNORECASE
        ),
        f"{MASK}@",
    ),
    # Bots and webhooks put the token into the path of ordinary addresses.
    (re.compile(r"(/bot)\d{6,}:[A-Za-z0-9_-]{20,}"), rf"\1{MASK}"),
    (re.compile(r"(/(?:api/)?webhooks?/)[^\s\"']+", re.IGNORECASE), rf"\1{MASK}"),
    (re.compile(r"(hooks\.slack\.com/services/)[^\s\"']+"), rf"\1{MASK}"),
    (re.compile(r"(\bauthorization[\"']?\s*[:=]\s*[\"']?)[^\r\n\"']+", re.IGNORECASE), rf"\1{MASK}"),
    (re.compile(r"\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE), rf"\1 {MASK}"),
    # JSON Web Tokens: a header that begins with {" in base64.
    (re.compile(r"\beyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)?"), MASK),
    (
        re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|$)", re.DOTALL),
        MASK,
    ),
)
# What each of the shapes must hold: most lines hold none of it, and one search is cheaper than eleven.
_SHAPE_HINT: Final = re.compile(
    r"://|@|/bot|webhook|hooks\.slack|authorization|bearer|basic|eyJ|PRIVATE KEY", re.IGNORECASE
)
# Most lines hold none of the names: one search is cheaper than two attempts at every word.
_HINT: Final = re.compile(r"key|secret|token|pass|pwd|sig|cookie", re.IGNORECASE)
NAMED: Final = (
    # "name": "the whole value, words and \" included", also inside a text that is quoted itself
    (
        re.compile(rf"({_ASSIGNED}[bru]?(\\*[\"']))(?:(?!\2)(?:\\.|[^\\]))*", re.IGNORECASE | re.DOTALL),
        rf"\1{MASK}",
    ),
    # name=value, name: value
    (
        re.compile(rf"({_ASSIGNED})(?![bru]?\\*[\"'])(?:{re.escape(MASK)}|[^\s\"'&,;)}}\]])+", re.IGNORECASE),
        rf"\1{MASK}",
    ),
)


def hints_at_secret(name: str) -> bool:
    """Tell whether the name of a field could be one that says that its value is secret."""
    return _HINT.search(name) is not None or "auth" in name.lower()


def secret_values(environment: Mapping[str, str]) -> frozenset[str]:
    """Return the values that must never be written, from variables whose names look secret.

    Lists (of addresses) count as a whole and word by word; each also in its percent-encoded form. Addresses
    with a login count whatever the variable is called, and their passwords on their own.
    """
    found: set[str] = set()
    for name, value in environment.items():
        for word in value.split() if "://" in value else ():
            inner = {one for one in url_secrets(word) if len(one) >= LEAST_LENGTH}
            found |= inner | {quote(one, safe="") for one in inner} | ({word} if inner else set())
        if SECRET_NAME.search(name):
            for text in (value.strip(), *value.split()):
                if len(text) >= LEAST_LENGTH and not text.isspace():
                    found |= {text, quote(text, safe="")}
    return frozenset(found)


class Redactor:
    """Replaces secrets in text.

    Parameters
    ----------
    secrets
        Exact values to take out besides the known shapes.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._values: re.Pattern[str] | None = None
        self.learn(secrets)

    def learn(self, secrets: Iterable[str]) -> None:
        """Replace the exact values; longest first, so that no rest of a longer one stays."""
        values = sorted({one for one in secrets if len(one) >= LEAST_LENGTH}, key=len, reverse=True)
        self._values = re.compile("|".join(map(re.escape, values))) if values else None

    @classmethod
    def of_environment(cls, environment: Mapping[str, str] | None = None) -> "Redactor":
        """Return one that knows the secrets of the environment as it is now."""
        return cls(secret_values(os.environ if environment is None else environment))

    def __call__(self, text: str) -> str:
        """Return the text without secrets.

        Examples
        --------
        >>> Redactor(["hunter2hunter2"])("POST /order?symbol=X&signature=ab12 failed for hunter2hunter2")
        'POST /order?symbol=X&signature=[redacted] failed for [redacted]'
        """
        if self._values is not None:
            text = self._values.sub(MASK, text)
        if _SHAPE_HINT.search(text):
            for shape, replacement in SHAPES:
                text = shape.sub(replacement, text)
        if _HINT.search(text):
            for shape, replacement in NAMED:
                text = shape.sub(replacement, text)
        return text
