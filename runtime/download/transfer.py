"""One archive file onto this disk: resumed where it broke off, checked against the venue's checksum.

A file grows as ``<name>.<mark>.part`` and gets its name only once its SHA-256 is the published one. The mark
is part of that checksum: a file that the venue has replaced meanwhile is begun anew instead of continued.
"""

import asyncio
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from runtime.download.http import PARTIAL, RANGE_BEYOND_END, Http, Interrupted
from runtime.errors import VenueError

CHECKSUM_SUFFIX: Final = ".CHECKSUM"
PART_SUFFIX: Final = ".part"
MARK_DIGITS: Final = 16
NO_CHECKSUM: Final = "unchecked"
WHOLE_ATTEMPTS: Final = 2
_CHECKSUM_LINE: Final = re.compile(r"([0-9a-fA-F]{64})\s+\*?(\S+)")


class Meter(Protocol):
    """What wants to know how a transfer goes."""

    def opened(self, size_bytes: int) -> None:
        """Take the number of bytes that a file has still to come."""

    def received(self, count: int) -> None:
        """Take the number of bytes received since the last call."""


class NoMeter:
    """Takes nothing down."""

    def opened(self, size_bytes: int) -> None:
        """Do nothing."""

    def received(self, count: int) -> None:
        """Do nothing."""


NO_METER: Final = NoMeter()


class WrongChecksum(VenueError):  # noqa: N818
    """A file came whole but is not what its checksum says."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file on this disk, whole: where it lies, its SHA-256 and length."""

    path: Path
    sha256: str
    size_bytes: int


async def fetch_checksum(http: Http, url: str) -> str:
    """Return the SHA-256 that the venue publishes for a file, lower case.

    Raises
    ------
    NotFound
        When the file is not published.
    WrongChecksum
        When what is published is no checksum of this file.
    VenueError
        When the host is unreachable.
    """
    text = await http.get_text(url + CHECKSUM_SUFFIX)
    found = _CHECKSUM_LINE.match(text.strip())
    name = url.rsplit("/", 1)[1]
    if found is None or found[2] != name:
        raise WrongChecksum(f"{url}{CHECKSUM_SUFFIX}: is no SHA-256 of {name}: {text[:80]!r}")
    return found[1].lower()


async def fetch(
    http: Http,
    url: str,
    folder: Path,
    *,
    has_checksum: bool,
    retries: int,
    meter: Meter = NO_METER,
) -> Fetched:
    """Bring a file into `folder`, continuing what an earlier run left there.

    Parameters
    ----------
    http
        For the requests.
    url
        Of the file.
    folder
        On the disk of the catalog; must exist.
    has_checksum
        Whether the venue publishes one; without it only the archive's own check (CRC) guards the content.
    retries
        Further attempts after one that brought no byte.
    meter
        Is told sizes and bytes.

    Raises
    ------
    NotFound
        When the host has no such file.
    WrongChecksum
        When it came whole twice and is something else.
    VenueError
        When the host is unreachable or keeps breaking off.
    """
    target = folder / url.rsplit("/", 1)[1]
    sha256: str | None = None
    found = ""
    for _attempt in range(WHOLE_ATTEMPTS):
        # Asked again after a mismatch: the venue may be replacing the file at this moment.
        sha256 = await fetch_checksum(http, url) if has_checksum else None
        if sha256 is not None and target.exists() and await asyncio.to_thread(sha256_of, target) == sha256:
            return Fetched(target, sha256, target.stat().st_size)
        mark = sha256[:MARK_DIGITS] if sha256 else NO_CHECKSUM
        part = folder / f"{target.name}.{mark}{PART_SUFFIX}"
        await _fetch_part(http, url, part, retries, meter)
        found = await asyncio.to_thread(sha256_of, part)
        if sha256 is None or found == sha256:
            part.replace(target)
            return Fetched(target, found, target.stat().st_size)
        part.unlink()
    raise WrongChecksum(
        f"{url}: its SHA-256 is {found[:12]}…, the venue's {CHECKSUM_SUFFIX} says {(sha256 or '')[:12]}…, "
        f"after {WHOLE_ATTEMPTS} downloads; nothing of it was imported"
    )


async def _fetch_part(http: Http, url: str, part: Path, retries: int, meter: Meter) -> None:
    failures = attempts = 0
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            attempts += 1
            await _append(http, url, part, before, meter, is_first=attempts == 1)
        except Interrupted as error:
            has_grown = part.exists() and part.stat().st_size > before
            failures = 0 if has_grown else failures + 1
            if failures > retries:
                raise VenueError(f"{error}; gave up after {failures} attempts without a byte") from error
            await http.pause(failures)
        else:
            return


async def _append(http: Http, url: str, part: Path, offset: int, meter: Meter, *, is_first: bool) -> None:
    """Read the rest of a file behind what is there, or all of it from a host without ranges."""
    async with http.stream(url, offset=offset) as response:
        if response.status_code == RANGE_BEYOND_END:
            return  # it was whole; the checksum says whether it is right
        if is_first:
            meter.opened(int(response.headers.get("Content-Length", 0)))
        mode = "ab" if response.status_code == PARTIAL else "wb"
        with part.open(mode) as stream:
            async for block in response.aiter_raw():
                stream.write(block)
                meter.received(len(block))


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, lower case."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
