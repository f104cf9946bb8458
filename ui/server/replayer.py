"""Plays a recording into a hub: with speed, pause and seek, as if a node were there.

Each place that is sought begins a new epoch, so that browsers get a snapshot of what was known then.
"""

import contextlib
import logging
import secrets
import threading
import time
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from ui.protocol import SNAP, Message, NodeState, Replaying, decode
from ui.reasons import Reasons
from ui.recording import Recording, RecordingError
from ui.server.hub import Hub

log = logging.getLogger("smcbot.terminal")

TICK_SECS: Final = 0.04
TELL_SECS: Final = 0.5
STOP_SECS: Final = 2.0
MAX_SPEED: Final = 100_000.0
# Of one tick: more would keep browsers waiting, and are played in the next.
BATCH: Final = 4_000
NANOS: Final = 1_000_000_000
MILLIS: Final = 1_000_000


class Replayer:
    """Plays a recording.

    Parameters
    ----------
    hub
        Takes the messages.
    recording
        What is played.
    speed
        Seconds of the recording per second.
    paused
        Begin with a pause.
    """

    def __init__(self, hub: Hub, recording: Recording, speed: float = 1.0, *, paused: bool = False) -> None:
        self._hub, self._recording = hub, recording
        self._speed, self._paused = speed, paused
        self._lock = threading.RLock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="replay", daemon=True)
        self._reasons = Reasons(recording.path.parent)
        self._unknown = NodeState(mode="replay", session=str(recording.meta.get("run", "")))
        self._node = self._unknown
        self.at_ns = recording.first_ns
        self._told_s = 0.0
        self._seek(recording.first_ns)

    def start(self) -> None:
        """Begin to play."""
        self._thread.start()

    def stop(self) -> None:
        """Play no more."""
        self._stop.set()
        with contextlib.suppress(RuntimeError):
            self._thread.join(STOP_SECS)

    def steer(self, wanted: dict[str, Any]) -> None:
        """Change how it plays.

        Parameters
        ----------
        wanted
            ``speed`` (above 0), ``paused``, and ``seek_to`` in UNIX milliseconds, each where it changes.

        Raises
        ------
        ValueError
            When one of them makes no sense; nothing is changed then.
        """
        speed, paused, seek_to = (wanted.get(name) for name in ("speed", "paused", "seek_to"))
        if speed is not None and not (_is_number(speed) and 0 < speed <= MAX_SPEED):
            raise ValueError(f"speed: expected a number above 0, at most {MAX_SPEED:g}")
        if paused is not None and not isinstance(paused, bool):
            raise ValueError("paused: expected true or false")
        if seek_to is not None and not (_is_number(seek_to) and 0 <= seek_to < 1 << 53):
            raise ValueError("seek_to: expected UNIX milliseconds")
        with self._lock:
            self._speed = self._speed if speed is None else float(speed)
            self._paused = self._paused if paused is None else paused
            if seek_to is not None:
                self._seek(int(seek_to) * MILLIS)
            self._tell()

    def tick(self, elapsed_secs: float) -> None:
        """Play what belongs to a time that has passed; tell where it is."""
        with self._lock:
            if not self._paused and self.at_ns < self._recording.last_ns:
                self.at_ns = min(
                    self.at_ns + round(elapsed_secs * self._speed * NANOS), self._recording.last_ns
                )
                self._play()
            if time.monotonic() - self._told_s >= TELL_SECS:
                self._tell()

    # -- inside ---------------------------------------------------------------------------------------------

    def _run(self) -> None:
        before_s = time.monotonic()
        while not self._stop.wait(TICK_SECS):
            now_s = time.monotonic()
            try:
                self.tick(now_s - before_s)
            except (RecordingError, OSError) as error:
                log.error("the replay ends: %s", error)  # noqa: TRY400 - the file is at fault, not the code
                return
            except Exception:  # a place that cannot be read; others can still be sought
                log.exception("the replay cannot go on from here")
                with self._lock:
                    self._paused = True
            before_s = now_s

    def _seek(self, ts_ns: int) -> None:
        self.at_ns = min(max(ts_ns, self._recording.first_ns), self._recording.last_ns)
        state, block, seq = self._recording.state_at(self.at_ns)
        self._epoch, self._seq = secrets.token_hex(4), 0
        self._upcoming = self._messages(block, seq)
        self._next = next(self._upcoming, None)
        snapshot = state.snapshot()
        self._node = snapshot.st or self._unknown
        snapshot.st = self._said(self.at_ns)
        self._reasons.fill(snapshot)
        self._send([Message(self._epoch, 0, self.at_ns, SNAP, snapshot)])

    def _messages(self, block: int, after: int) -> Iterator[tuple[int, bytes]]:
        """Walk what comes after a message: time and message; snapshots are for seeking only."""
        for number in range(block, len(self._recording.blocks)):
            for seq, ts_ns, kind, frame in self._recording.frames(number):
                if kind != SNAP and seq > after:
                    yield ts_ns, frame

    def _play(self) -> None:
        batch: list[Message] = []
        while self._next is not None and self._next[0] <= self.at_ns:
            if len(batch) >= BATCH:
                self.at_ns = self._next[0]  # time goes on when this is played
                break
            message = decode(self._next[1])
            if message.kind == "st":
                self._node = message.payload
                message = message._replace(payload=self._said(self._next[0]))
            elif message.kind == "mdl":
                message = message._replace(payload=self._reasons.of(message.payload))
            self._seq += 1
            batch.append(message._replace(epoch=self._epoch, seq=self._seq))
            self._next = next(self._upcoming, None)
        if batch:
            self._send(batch)

    def _tell(self) -> None:
        self._told_s = time.monotonic()
        self._seq += 1
        self._send([Message(self._epoch, self._seq, self.at_ns, "st", self._said(self.at_ns))])

    def _said(self, at_ns: int) -> NodeState:
        recording = self._recording
        where = Replaying(
            from_=recording.first_ns // MILLIS,
            to=recording.last_ns // MILLIS,
            at=at_ns // MILLIS,
            speed=self._speed,
            paused=self._paused,
            protocol=recording.meta["protocol"],
        )
        return msgspec.structs.replace(self._node, mode="replay", replay=where)

    def _send(self, messages: list[Message]) -> None:
        self._hub.take(messages)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
