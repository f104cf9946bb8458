"""Where the server listens, and whom it believes to be itself."""

import ipaddress
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ui.server.addresses import LOOPBACK, Network

DEFAULT_HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 8790
MAX_CLIENTS: Final = 50
COOKIE: Final = "smcbot_session"
SESSION_SECS: Final = 12 * 3600
LOCAL_NAMES: Final = ("127.0.0.1", "localhost", "[::1]")
SECRET_BYTES: Final = 32


@dataclass(frozen=True)
class ServerSettings:
    """Settings of the server.

    Parameters
    ----------
    host, port
        To listen at.
    secret
        Signs the session cookies; 32 bytes at least.
    names
        Further names (``terminal.example:443``) by which browsers may call it.
    is_encrypted
        Browsers speak TLS with it, or with the proxy before it.
    is_proxied
        A proxy stands before it, whose ``X-Forwarded-For`` is believed.
    proxies
        Where that proxy is: whoever else connects is refused.
    max_clients
        Browsers served at once.
    session_secs
        How long a login is good for.
    logins, requests, commands, kills, connects, events
        Rate limits in the words of the package `limits`: of an address; commands and kills of a person,
        events of a socket.
    failures, slow_logins
        So many wrong passwords of one name, from everywhere, and fewer logins are taken of each address.
    """

    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(SECRET_BYTES), repr=False)
    names: tuple[str, ...] = ()
    is_encrypted: bool = False
    is_proxied: bool = False
    proxies: tuple[Network, ...] = LOOPBACK
    max_clients: int = MAX_CLIENTS
    session_secs: int = SESSION_SECS
    logins: str = "5/minute;30/hour"
    failures: str = "100/hour"
    slow_logins: str = "1/minute;6/hour"
    requests: str = "1200/minute"
    commands: str = "10/10 seconds"
    kills: str = "30/10 seconds"
    connects: str = "300/minute"
    events: str = "200/10 seconds"

    @property
    def cookie(self) -> str:
        """Return the name of the session's cookie: a browser sends those of a host to all of its ports."""
        return f"{COOKIE}_{self.port}"

    @property
    def hosts(self) -> frozenset[str]:
        """Return which ``Host`` headers are answered."""
        names = {f"{name}:{self.port}" for name in (*LOCAL_NAMES, _bracketed(self.host))}
        return frozenset({*names, *(name.lower() for name in self.names)})

    @property
    def origins(self) -> tuple[str, ...]:
        """Return from which pages sockets and commands are taken."""
        schemes = ("https",) if self.is_encrypted else ("http",)
        return tuple(sorted(f"{scheme}://{host}" for scheme in schemes for host in self.hosts))

    @property
    def address(self) -> str:
        """Return the address to open in a browser."""
        scheme = "https" if self.is_encrypted and not self.is_proxied else "http"
        return f"{scheme}://{_bracketed(self.host)}:{self.port}"


def is_loopback(host: str) -> bool:
    """Tell whether only programs of this machine reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def why_not_bind(
    host: str, *, has_accounts: bool, is_encrypted: bool, accepts_plain: bool = False
) -> str | None:
    """Return why the server must not listen at an address, None where it may.

    Parameters
    ----------
    host
        To listen at.
    has_accounts
        Somebody configured passwords or tokens.
    is_encrypted
        With TLS, its own or a proxy's.
    accepts_plain
        Somebody said explicitly that passwords may cross the network in plain text.

    Examples
    --------
    >>> why_not_bind("127.0.0.1", has_accounts=False, is_encrypted=False)
    >>> why_not_bind("0.0.0.0", has_accounts=False, is_encrypted=True)
    'configure accounts first: `python -m ui password --help`'
    """
    if is_loopback(host):
        return None
    if not has_accounts:
        return "configure accounts first: `python -m ui password --help`"
    if not is_encrypted and not accepts_plain:
        return (
            "passwords would cross the network in plain text: give --tls-cert and --tls-key, put a proxy "
            "with TLS before it (--behind-proxy), or say --accept-plain-text"
        )
    return None


def persisted_secret(path: Path) -> bytes:
    """Return the secret of a file, made with mode 0600 if there is none, so that logins outlive a restart.

    Raises
    ------
    PermissionError
        When others may read the file.
    ValueError
        When it holds no secret.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        if path.stat().st_mode & 0o077:
            raise PermissionError(f"{path}: others may read it; `chmod 600` it, or remove it") from None
        secret = path.read_bytes()
        if len(secret) < SECRET_BYTES:
            raise ValueError(f"{path}: holds no secret of {SECRET_BYTES} bytes; remove it") from None
        return secret
    secret = secrets.token_bytes(SECRET_BYTES)
    with os.fdopen(fd, "wb") as file:
        file.write(secret)
    return secret


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host.lower()
