"""Takes events from the node and hands them to the threads of the channels."""

import time
from collections.abc import Sequence
from typing import Final

from runtime.notify.channels import Channel, check_tags, open_channels
from runtime.notify.events import Event, EventKind, Mode
from runtime.notify.outbox import Outbox
from runtime.notify.routing import Router, rule_of
from runtime.notify.settings import NotifySettings
from runtime.notify.worker import ChannelState, ChannelWorker, deadline_after

CLOSE_SECS: Final = 5.0


class Notifier:
    """Tells people what happens; a channel that fails, hangs or is slow never touches the caller.

    Parameters
    ----------
    settings
        Of the file.
    mode
        Which events are told by default, and a word of every title.
    channels
        Where to.
    source
        Begins every title.
    """

    def __init__(
        self, settings: NotifySettings, mode: Mode, channels: Sequence[Channel], source: str = "smcbot"
    ) -> None:
        routers = [Router(settings, mode, one.tags) for one in channels]
        self._workers = [
            (router, ChannelWorker(channel, Outbox(router, settings, f"{source} {mode}"), settings))
            for channel, router in zip(channels, routers, strict=True)
        ]

    def post(self, event: Event) -> None:
        """Hand an event to every channel that wants it; returns at once and never raises for a channel."""
        for router, worker in self._workers:
            if router.wants(event):
                worker.put(event)

    def tell(self, kind: EventKind, text: str, ts_ns: int | None = None) -> None:
        """Post an event that is nothing but its text; without a time it happened now."""
        self.post(Event(kind=kind, ts_ns=time.time_ns() if ts_ns is None else ts_ns, text=text))

    def states(self) -> list[ChannelState]:
        """Return what each channel did so far."""
        return [worker.state() for _router, worker in self._workers]

    def close(self, timeout_secs: float = CLOSE_SECS) -> bool:
        """Send what waits; return whether all of it was attempted within the time."""
        by = deadline_after(timeout_secs)
        for _router, worker in self._workers:
            worker.close(by)
        ended = [worker.join() for _router, worker in self._workers]  # every one, also after a late one
        return all(ended)


def open_notifier(settings: NotifySettings, mode: Mode, *, console: bool | None = None) -> Notifier:
    """Return a notifier on the channels of environment and settings.

    Parameters
    ----------
    settings
        Of the file.
    mode
        Backtest, paper or live.
    console
        Replaces the settings' answer, for commands that print themselves.

    Raises
    ------
    ConfigurationError
        When an address is not understood, or a rule names a tag that no channel has.
    """
    is_console = settings.console if console is None else console
    channels = open_channels(settings.timeout_secs, console=is_console)
    check_tags({kind.value: rule_of(settings, kind).channels for kind in EventKind}, channels)
    return Notifier(settings, mode, channels)
