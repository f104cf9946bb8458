"""Absolute paths as viewers are told them: their last name. Where things lie on a machine is for operators.

What is answered comes from many hands: settings in a journal, a tearsheet, what somebody typed into a form, a
line of a log. So it is done with the bytes that leave.
"""

import re
from pathlib import Path
from typing import Final

# Also of machines whose journals and recordings are read here.
USUAL: Final = ("Users", "Volumes", "data", "etc", "home", "media", "mnt", "opt", "private", "root", "run",
                "srv", "tmp", "usr", "var")  # fmt: skip


def _roots() -> bytes:
    try:
        here = [one.name for one in Path("/").iterdir()]
    except OSError:
        here = []
    names = sorted({*here, *USUAL} - {"api"}, key=len, reverse=True)
    return b"|".join(re.escape(name.encode()) for name in names)


# A slash that begins a word, also one behind an escape of JSON, an address without a host or a second slash,
# and a folder of the root. It stands first in the expression, because what begins with a plain character is
# found quickly in megabytes of numbers.
_PATH: Final = re.compile(
    rb"/(?:(?<=\A/)|(?<=[^\w/.~%<\\-]/)|(?<=\\[bfnrt]/)"
    rb"|(?<=:///)(?<!ite:///)|(?<=////)|(?<=[^\w:/]//)|(?<=localhost/))"
    rb"(?:" + _roots() + rb")(?:(?:/[^\s\"'`<>()\[\]{}|;,&\\/]*)+|(?=[\s\"'`<>)\]};,&\\]|\Z))"
)


def shortened(words: bytes) -> bytes:
    """Return some text, JSON or HTML with the last name of each absolute path in its place.

    Examples
    --------
    >>> shortened(b'{"model":"/srv/bot/models/m1","url":"/api/v1/backtests","share":"1/2"}')
    b'{"model":"m1","url":"/api/v1/backtests","share":"1/2"}'
    """
    return _PATH.sub(_last_name, words)


def _last_name(found: re.Match[bytes]) -> bytes:
    return found[0].rstrip(b"/").rpartition(b"/")[2]


__all__ = ["shortened"]
