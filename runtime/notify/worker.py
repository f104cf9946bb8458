"""The thread of one channel: whatever the channel does, nothing of it reaches the thread that trades."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from runtime.notify.channels import Channel
from runtime.notify.courier import Courier
from runtime.notify.events import Event
from runtime.notify.outbox import Inbox, Message, Outbox
from runtime.notify.settings import NotifySettings
from runtime.redact import Redactor

POLL_SECS: Final = 0.1


@dataclass(slots=True)
class ChannelState:
    """What a channel did so far.

    Parameters
    ----------
    name
        Of the channel.
    delivered, failures
        Messages that arrived, attempts that did not.
    dropped, held
        Events lost, and events held back by rates and quiet hours.
    queued
        Events that wait.
    last_error
        Of the last attempt; empty when it worked.
    """

    name: str
    delivered: int = 0
    failures: int = 0
    dropped: int = 0
    held: int = 0
    queued: int = 0
    last_error: str = ""


class ChannelWorker:
    """Delivers one channel's messages in a thread of its own, with a deadline and growing pauses.

    Parameters
    ----------
    channel
        Where to.
    outbox
        Makes the messages; used by this thread only.
    settings
        Deadline, pauses, attempts, size of the queue.
    now_ns
        Clock, UNIX nanoseconds.
    """

    def __init__(
        self,
        channel: Channel,
        outbox: Outbox,
        settings: NotifySettings,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._outbox = outbox
        self._settings = settings
        self._now_ns = now_ns
        self._inbox = Inbox(settings.queue)
        self._condition = threading.Condition()
        self._is_closing = False
        self._close_by = float("inf")
        self._seen_drops = 0
        self._pause_secs = settings.backoff_secs
        self._redact = Redactor.of_environment()
        self._courier = Courier(channel)
        self._state = ChannelState(channel.name)
        self._thread = threading.Thread(target=self._run, name=f"notify-{channel.name}", daemon=True)
        self._thread.start()

    def put(self, event: Event) -> None:
        """Queue an event; never waits for the channel."""
        with self._condition:
            self._inbox.put(event)
            self._condition.notify()

    def state(self) -> ChannelState:
        """Return a copy of the figures."""
        with self._condition:
            state = self._state
            return ChannelState(
                state.name,
                state.delivered,
                state.failures,
                self._outbox.dropped + self._inbox.dropped - self._seen_drops,
                self._outbox.held_total,
                len(self._inbox),
                state.last_error,
            )

    def close(self, by: float) -> None:
        """Ask for what waits to be sent until a time of `time.monotonic`; does not wait for it."""
        with self._condition:
            self._is_closing, self._close_by = True, by
            self._condition.notify()

    def join(self) -> bool:
        """Wait for the end until the time given to `close`; return whether it is reached."""
        self._thread.join(max(0.0, self._close_by - time.monotonic()))
        return not self._thread.is_alive()

    # -- the thread ----------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            self._collect()
            message = self._outbox.due(self._now_ns(), at_once=self._is_closing)
            if message is not None:
                self._deliver(message)
            elif self._is_closing and not len(self._inbox):
                return
            if time.monotonic() >= self._close_by:
                return

    def _collect(self) -> None:
        with self._condition:
            if not len(self._inbox) and not self._is_closing:
                self._condition.wait(POLL_SECS if self._outbox.is_pending else None)
            events = self._inbox.take_all()
            drops, self._seen_drops = self._inbox.dropped - self._seen_drops, self._inbox.dropped
        if drops:
            self._outbox.lost(drops)
        for event in events:
            self._outbox.take(event, self._now_ns())

    def _deliver(self, message: Message) -> None:
        """Try until it arrives, is given up, or the node must end."""
        clean = replace(message, title=self._redact(message.title), body=self._redact(message.body))
        attempts = 0
        while True:
            left_secs = max(0.0, self._close_by - time.monotonic())
            error = self._courier.deliver(clean, min(self._settings.timeout_secs, left_secs))
            with self._condition:
                self._state.last_error = error
                if not error:
                    self._state.delivered += 1
                    self._pause_secs = self._settings.backoff_secs
                    return
                self._state.failures += 1
            attempts += 1
            self._pause(self._pause_secs)
            self._pause_secs = min(2 * self._pause_secs, self._settings.backoff_max_secs)
            is_last = attempts > self._settings.retries and not message.is_critical
            if is_last or time.monotonic() >= self._close_by:
                self._outbox.give_up(message)
                return

    def _pause(self, secs: float) -> None:
        """Wait; events that come meanwhile stay in the bounded box. The end of the node shortens it."""
        until = time.monotonic() + secs
        with self._condition:
            while (left := min(until, self._close_by) - time.monotonic()) > 0:
                self._condition.wait(left)
                if self._is_closing:
                    until = min(until, time.monotonic() + POLL_SECS)


def deadline_after(secs: float) -> float:
    """Return the time of `time.monotonic` so many seconds from now."""
    return time.monotonic() + secs
