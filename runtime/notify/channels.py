"""Channels: apprise addresses from the environment, and the console. Nothing here knows rules or rates."""

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, Protocol, TextIO

from runtime.errors import ConfigurationError
from runtime.notify.events import Severity
from runtime.notify.outbox import Message
from runtime.notify.settings import TAG
from runtime.redact import MASK, Redactor

URLS_VARIABLE: Final = "TRADING_NOTIFY_URLS"
CONSOLE: Final = "console"
ENTRY: Final = re.compile(r"(?:([a-z0-9_,-]+)=)?([A-Za-z][A-Za-z0-9+.-]*)://(\S+)")
_BEGIN: Final = re.compile(r"(?:^|,)((?:[a-z0-9_,-]+=)?[A-Za-z][A-Za-z0-9+.-]*://)")
WEBHOOKS: Final = frozenset({"json", "jsons"})


class ChannelError(Exception):
    """A message did not arrive; the text says why and holds no secret."""


class Channel(Protocol):
    """Carries messages to a person."""

    name: str
    tags: frozenset[str]

    def send(self, message: Message, timeout_secs: float) -> None:
        """Deliver, or raise ChannelError; may take longer than it should, its caller watches the clock."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a channel sends to.

    Parameters
    ----------
    name
        Number and scheme, for logs: ``1:tgram``.
    tags
        Names that rules of events use.
    url
        Apprise address. Secret: never printed.
    """

    name: str
    tags: frozenset[str]
    url: str

    def __repr__(self) -> str:
        return f"Address({self.name!r}, {sorted(self.tags)}, {MASK!r})"


def parse_addresses(text: str) -> list[Address]:
    """Read ``[tag[,tag]=]scheme://…`` entries that are separated by spaces, new lines or commas.

    A comma separates only where an entry begins behind it: tags and addresses may hold commas.

    Raises
    ------
    ConfigurationError
        When an entry has not that form; it is named by its place, since it may be a secret.

    Examples
    --------
    >>> [(one.name, sorted(one.tags)) for one in parse_addresses("ops,night=json://127.0.0.1 tgram://a/b")]
    [('1:json', ['night', 'ops']), ('2:tgram', [])]
    """
    found = []
    for number, word in enumerate(_entries(text), start=1):
        match = ENTRY.fullmatch(word)
        if match is None:
            raise ConfigurationError(
                f"{URLS_VARIABLE}: entry {number} is not [tag=]scheme://…; separate entries by spaces, see "
                "docs/how-to/notifications.md for addresses"
            )
        tags = frozenset((match[1] or "").split(",")) - {""}
        for tag in tags:
            if not TAG.fullmatch(tag) or tag == CONSOLE:
                raise ConfigurationError(
                    f"{URLS_VARIABLE}: entry {number} has the tag {tag!r}: choose another"
                )
        found.append(Address(f"{number}:{match[2].lower()}", tags, f"{match[2]}://{match[3]}"))
    return found


def _entries(text: str) -> list[str]:
    found = []
    for word in filter(None, (one.strip(",") for one in text.split())):
        ends = [match.start() for match in _BEGIN.finditer(word)][1:]
        found += [word[first:last].lstrip(",") for first, last in pairwise((0, *ends, len(word)))]
    return found


class AppriseChannel:
    """One apprise address: chat, mail, webhook, push.

    Parameters
    ----------
    address
        Where to.
    timeout_secs
        To connect, and between two bytes, unless the address says otherwise (``cto``, ``rto``).

    Raises
    ------
    ConfigurationError
        When apprise does not understand the address.
    """

    def __init__(self, address: Address, timeout_secs: float) -> None:
        import apprise  # 0.3 s that a run without channels need not pay

        self.name = address.name
        self.tags = address.tags
        self._redact = Redactor([address.url, *re.split(r"[/@:?&=]+", address.url)[1:]])
        # With a limit on the whole call, which is there by default, apprise sends in a pool whose threads
        # Python waits for when it ends: a channel that drips for ever would hold up the end of the node.
        asset = apprise.AppriseAsset(app_id="smcbot", async_mode=False, service_timeout=0)
        service = apprise.Apprise.instantiate(address.url, asset=asset, suppress_exceptions=True)
        if service is None:
            raise ConfigurationError(
                f"{URLS_VARIABLE}: entry {address.name} is no address that apprise understands; "
                "see docs/how-to/notifications.md"
            )
        service.socket_connect_timeout = min(service.socket_connect_timeout, timeout_secs)
        service.socket_read_timeout = min(service.socket_read_timeout, timeout_secs)
        self._apprise: Any = apprise.Apprise(asset=asset)
        self._apprise.add(service)
        self._types = {
            Severity.INFO: apprise.NotifyType.INFO,
            Severity.WARNING: apprise.NotifyType.WARNING,
            Severity.CRITICAL: apprise.NotifyType.FAILURE,
        }

    def send(self, message: Message, timeout_secs: float) -> None:
        """Deliver, or raise ChannelError with what apprise said, secrets taken out."""
        del timeout_secs
        try:
            result = self._apprise.notify(
                body=message.body,
                title=message.title,
                notify_type=self._types[message.severity],
                body_format="text",
                interpret_escapes=False,
            )
        except Exception as error:  # plugins of apprise raise what their libraries raise
            raise ChannelError(self._redact(f"{type(error).__name__}: {error}")) from None
        if not result:
            said = [str(getattr(one, "message", one)) for one in result.logs()]
            raise ChannelError(self._redact(said[-1] if said else f"not delivered ({result.status})"))


class ConsoleChannel:
    """Writes messages to a stream, by default stderr: data go to stdout, words do not."""

    name = CONSOLE
    tags = frozenset({CONSOLE})

    def __init__(self, stream: TextIO | None = None, redact: Redactor | None = None) -> None:
        self._stream = stream
        self._redact = redact or Redactor.of_environment()

    def send(self, message: Message, timeout_secs: float) -> None:
        """Write each line of the message behind the title's source: it says itself what it is."""
        del timeout_secs
        stream = sys.stderr if self._stream is None else self._stream
        source = message.title.partition(":")[0]
        lines = "".join(f"{source} | {line}\n" for line in message.body.splitlines())
        try:
            stream.write(self._redact(lines))
            stream.flush()
        except (OSError, ValueError) as error:  # closed, full
            raise ChannelError(f"the console does not take text: {error}") from error


def open_channels(
    timeout_secs: float, *, console: bool, environment: Mapping[str, str] | None = None
) -> list[Channel]:
    """Return the console, where wanted, and a channel for each address of the environment.

    Raises
    ------
    ConfigurationError
        When an address is not understood.
    """
    source = os.environ if environment is None else environment
    addresses = parse_addresses(source.get(URLS_VARIABLE, ""))
    channels: list[Channel] = [ConsoleChannel()] if console else []
    return channels + [AppriseChannel(one, timeout_secs) for one in addresses]


def check_tags(wanted: Mapping[str, tuple[str, ...]], channels: list[Channel]) -> None:
    """Refuse rules about channels that do not exist: nobody would hear those events.

    Parameters
    ----------
    wanted
        Event kind -> tags of its rule.
    channels
        Those that are open.

    Raises
    ------
    ConfigurationError
        With the path of the rule and the tags that exist.
    """
    known = frozenset().union(*(one.tags for one in channels))
    for kind, tags in wanted.items():
        for tag in tags:
            if tag not in known and tag != CONSOLE:
                raise ConfigurationError(
                    f"no channel has the tag {tag!r} - at $.notifications.events.{kind}.channels; "
                    f"tags of {URLS_VARIABLE}: {', '.join(sorted(known - {CONSOLE})) or 'none'}"
                )
