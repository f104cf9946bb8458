"""Writes down what terminals of a running node see, beside the recording of its session.

The server does it, not the node. What passes by and is known from closed buckets is left out.
"""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from ui.protocol import Message
from ui.recording import RECORDING_FILE, RecordingWriter
from ui.server.hub import Hub
from ui.server.packed import PackedState
from ui.terminal_state import NODE_BUCKETS

log = logging.getLogger("smcbot.terminal")

LEFT_OUT: Final = frozenset({"dev", "hb", "lat", "snap", "past"})
# A server that is killed loses what was not written yet.
BLOCK_NS: Final = 600 * 1_000_000_000
MOST_BUCKETS: Final = 1 << 30


class SessionRecorder:
    """Records each session that a hub hears of.

    Parameters
    ----------
    hub
        Has taken the messages before they come here.
    folder
        Of the node's recordings; receives ``SESSION/telemetry.rec``.
    """

    def __init__(self, hub: Hub, folder: Path) -> None:
        self._hub, self._folder = hub, folder
        self._state = PackedState(NODE_BUCKETS)
        self._writer: RecordingWriter | None = None
        self._epoch, self._gaps = "", -1
        self._is_broken = False

    def take(self, messages: Iterable[Message]) -> None:
        """Write messages that the hub has just taken; after a disk's refusal nothing more is written."""
        if self._is_broken:
            return
        try:
            self._take(messages)
        except OSError as error:
            self._is_broken = True
            log.warning("%s: the session is not recorded any further: %s", self._folder, error)

    def close(self) -> None:
        """Write the rest."""
        writer, self._writer = self._writer, None
        if writer is not None and not self._is_broken:
            writer.close()

    def _take(self, messages: Iterable[Message]) -> None:
        feed = self._hub.feed
        if not feed.is_synced or feed.state.node is None:
            return
        if (feed.epoch, feed.gaps) != (self._epoch, self._gaps):
            self._begin()
            return  # what the hub took is known with that
        for message in messages:
            if message.kind not in LEFT_OUT and self._writer is not None:
                self._state.apply(message.kind, message.payload)
                self._writer.write(message)

    def _begin(self) -> None:
        """Begin another session, or go on after messages were lost."""
        feed = self._hub.feed
        known = PackedState(NODE_BUCKETS)
        with self._hub.lock:
            known.follow(feed.state)
        session = known.node.session
        is_other = feed.epoch != self._epoch
        self._epoch, self._gaps = feed.epoch, feed.gaps
        if is_other or self._writer is None:
            self.close()
            self._state = known
            path = free_path(self._folder / session)
            self._writer = RecordingWriter(path, self._state, {"run": session}, block_ns=BLOCK_NS)
            return
        before = {ins: span[1] for ins in self._state.instruments() if (span := self._state.span(ins))}
        self._state.follow(known)
        self._writer.go_on()
        for ins, last in before.items():
            for bucket in self._state.buckets(ins, last + 1, MOST_BUCKETS, MOST_BUCKETS):
                self._writer.write(Message(feed.epoch, feed.seq, feed.ts_ns, "bkt", bucket))


def free_path(folder: Path) -> Path:
    """Return where to write within a folder, made if it is not there: what another server wrote is kept."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path, number = folder / RECORDING_FILE, 1
    while path.exists():
        number += 1
        path = folder / f"{Path(RECORDING_FILE).stem}-{number}{Path(RECORDING_FILE).suffix}"
    return path


__all__ = ["SessionRecorder"]
