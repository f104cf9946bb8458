"""What actors of a node have in common that hold entries: holds, releases, words for people, and tasks."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from nautilus_trader.common.actor import Actor
from nautilus_trader.common.config import ActorConfig

from runtime.notify.actor import EVENTS_TOPIC
from runtime.notify.events import Event, EventKind, Severity
from strategies.entry_halt import HOLD_TOPIC, RELEASE_TOPIC, HoldEntries, ReleaseEntries


class HoldingActor(Actor):
    """An actor that holds entries while something is not right, and works on that in tasks of the loop."""

    def __init__(self) -> None:
        super().__init__(ActorConfig())
        self._tasks: set[asyncio.Task[Any]] = set()

    def hold(self, source: str, reason: str, instrument_id: str) -> None:
        """Let nothing be opened on an instrument until :meth:`release`."""
        ts_ns = self.clock.timestamp_ns()
        hold = HoldEntries(ts_ns=ts_ns, source=source, reason=reason, instrument_id=instrument_id)
        self.msgbus.publish(topic=HOLD_TOPIC, msg=hold)

    def release(self, source: str, instrument_id: str) -> None:
        """End the hold of a source on an instrument."""
        ts_ns = self.clock.timestamp_ns()
        release = ReleaseEntries(ts_ns=ts_ns, source=source, instrument_id=instrument_id)
        self.msgbus.publish(topic=RELEASE_TOPIC, msg=release)

    def tell(self, text: str, severity: Severity) -> None:
        """Say something about the node's data to log and notifications."""
        (self.log.info if severity is Severity.INFO else self.log.warning)(text)
        event = Event(kind=EventKind.DATA, ts_ns=self.clock.timestamp_ns(), text=text, severity=severity)
        self.msgbus.publish(topic=EVENTS_TOPIC, msg=event)

    def begin(self, work: Coroutine[Any, Any, Any]) -> None:
        """Work on something in the loop; a failure is told, or entries stay held and nobody knows why."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._on_done)

    def cancel_tasks(self) -> None:
        """Work on nothing more."""
        for task in self._tasks:
            task.cancel()

    def _on_done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            words = f"{type(self).__name__}: {type(error).__name__}: {error}; what it holds stays held"
            self.tell(words, Severity.CRITICAL)


__all__ = ["HoldingActor"]
