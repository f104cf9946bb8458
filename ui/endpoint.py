"""Where a node publishes its telemetry."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

TELEMETRY_FILE: Final = "telemetry.sock"
# Of `sun_path` on Linux, without the closing zero.
MAX_PATH_BYTES: Final = 107


def telemetry_path(folder: Path, mode: str) -> Path:
    """Return the socket of the node of a mode; `folder` is ``live.folder`` of the settings."""
    return folder / mode / TELEMETRY_FILE


def zmq_address(path: Path) -> str:
    """Return the address of a socket for zmq, also where the path is too long for one.

    The folder must exist then; it is kept open for the life of the process.
    """
    address, _folder = _address(path)
    return address


@contextmanager
def reachable(path: Path) -> Iterator[str]:
    """Give the address of a socket as `zmq_address` does, for as long as the block runs.

    Raises
    ------
    OSError
        When the path is too long and its folder does not exist.
    """
    address, folder = _address(path)
    try:
        yield address
    finally:
        if folder is not None:
            os.close(folder)


def _address(path: Path) -> tuple[str, int | None]:
    absolute = path.absolute()
    if len(os.fsencode(absolute)) <= MAX_PATH_BYTES:
        return f"ipc://{absolute}", None
    folder = os.open(absolute.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    return f"ipc:///proc/self/fd/{folder}/{absolute.name}", folder
