"""The address of a node's command socket: a file of its owner alone, of any path length."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from runtime.errors import ConfigurationError

SOCKET_FILE: Final = "ctl.sock"
BACKLOG: Final = 64


@contextmanager
def short_address(path: Path) -> Iterator[str]:
    """Yield an address for a path of any length: the system takes 107 bytes, folders may be longer."""
    if not Path("/proc/self/fd").exists():  # not Linux
        yield str(path)
        return
    fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}/{path.name}"
    finally:
        os.close(fd)


def connect(path: Path, timeout_secs: float | None) -> socket.socket:
    """Return a connected socket.

    Raises
    ------
    OSError
        When nobody listens there.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(timeout_secs)
    try:
        with short_address(path) as address:
            sock.connect(address)
    except BaseException:
        sock.close()
        raise
    return sock


def listen(path: Path) -> socket.socket:
    """Return a listening socket that its owner alone may connect to; what a dead node left is replaced.

    Raises
    ------
    ConfigurationError
        When another node listens there.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if path.exists():
        try:
            connect(path, 1.0).close()
        except OSError:
            path.unlink(missing_ok=True)
        else:
            raise ConfigurationError(
                f"{path}: another node listens there; stop it, or set another live.folder"
            )
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with short_address(path) as address:
            sock.bind(address)
            # Nobody can connect before `listen`, so there is no moment with wider rights.
            path.chmod(0o600)
            sock.listen(BACKLOG)
    except BaseException:
        sock.close()
        raise
    sock.setblocking(False)
    return sock
