"""The file that keeps a node from opening anything, over restarts, until a person rearms it.

``touch var/live/live/KILL`` is enough; ``echo flatten > var/live/live/KILL`` closes positions as well. The
command and the signals write the same file, with who and why.
"""

import logging
import os
import pwd
import threading
import time
from pathlib import Path
from typing import Final

import msgspec

from runtime.journal.spool import sync_folder

log = logging.getLogger("smcbot.node")

KILL_FILE: Final = "KILL"
FLATTEN: Final = "flatten"
MAX_BYTES: Final = 4096


class KillOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What the file says.

    Parameters
    ----------
    who, reason
        As far as it is known.
    flatten
        Close positions too.
    ts_ns
        When it was written, UNIX nanoseconds.
    """

    who: str
    reason: str = ""
    flatten: bool = False
    ts_ns: int = 0


class KillSwitch:
    """The kill file of one node folder.

    Parameters
    ----------
    folder
        Of the node, exists.

    Examples
    --------
    >>> import tempfile
    >>> switch = KillSwitch(Path(tempfile.mkdtemp()))
    >>> switch.set(KillOrder(who="anna", reason="exchange notice", ts_ns=1))
    >>> switch.wait_synced()
    >>> switch.read().who, switch.clear(), switch.read()
    ('anna', True, None)
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / KILL_FILE
        self._syncing: threading.Thread | None = None

    @property
    def is_on(self) -> bool:
        """Tell whether the file exists; one that cannot be looked at counts as there."""
        try:
            os.lstat(self.path)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return True

    def read(self) -> KillOrder | None:
        """Return what the file says, None without one. Whatever stands in it, its being there is an order."""
        try:
            facts = os.lstat(self.path)
            data = self.path.read_bytes()[:MAX_BYTES] if self.path.is_file() else b""
        except FileNotFoundError:
            return None
        except OSError as error:
            return KillOrder(
                who="unknown", reason=f"{self.path} cannot be read: {error}", ts_ns=time.time_ns()
            )
        try:
            return msgspec.json.decode(data, type=KillOrder)
        except msgspec.DecodeError:
            text = " ".join(data.decode("utf-8", "replace").split())
            flatten = text.lower().split(" ")[0] == FLATTEN
            owner = user_name(facts.st_uid)
            return KillOrder(who=owner, reason=text[:200], flatten=flatten, ts_ns=facts.st_mtime_ns)

    def set(self, order: KillOrder) -> None:
        """Write the file; an earlier one that says ``flatten`` goes on saying so.

        It outlives the process when this returns. A thread sees to it that it outlives a power cut: the
        node's own thread has exits to send, and a busy disk takes its time (`is_synced`). After a power cut
        in between the file may be the earlier one, or empty, which is an order as well, without ``flatten``;
        commands are answered when it is synced.
        """
        earlier = self.read()
        if earlier is not None and earlier.flatten and not order.flatten:
            order = msgspec.structs.replace(order, flatten=True)
        other = self.path.with_suffix(".new")
        fd = os.open(other, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, msgspec.json.encode(order) + b"\n")
        finally:
            os.close(fd)
        other.replace(self.path)
        self._syncing = threading.Thread(target=self._sync, name="kill-file")
        self._syncing.start()

    @property
    def is_synced(self) -> bool:
        """Tell whether what was written is on the disk, as far as the disk let it."""
        return self._syncing is None or not self._syncing.is_alive()

    def wait_synced(self) -> None:
        """Wait until it is."""
        if self._syncing is not None:
            self._syncing.join()

    def _sync(self) -> None:
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
            sync_folder(self.path.parent)
        except FileNotFoundError:
            pass  # a rearm was faster
        except OSError as error:
            log.warning("%s may not outlive a power cut: %s", self.path, error)

    def clear(self) -> bool:
        """Remove the file; tell whether there was one."""
        try:
            self.path.unlink()
        except FileNotFoundError:
            return False
        sync_folder(self.path.parent)
        return True


def user_name(uid: int) -> str:
    """Return the name of a user of this machine, ``uid 1000`` where it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
