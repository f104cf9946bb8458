"""What every part of a running node is given: settings, folder, journal, loop; made once by the node."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from runtime.health import Probe
from runtime.live.freshness import ClockOffset
from runtime.live.rest import PublicRest
from runtime.notify.notifier import Notifier
from runtime.settings import Settings

type LiveMode = Literal["paper", "live"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveContext:
    """The surroundings of an actor of a paper or live node.

    Parameters
    ----------
    mode
        Paper or live.
    settings
        The whole effective settings; the section of nodes is ``settings.live``.
    folder
        State of this mode, exists: ``var/live/paper`` or ``var/live/live``.
    session_id
        Of the journal; a new one with each start.
    journal
        Takes records (`runtime.journal.session.SessionJournal`).
    instruments
        Nautilus ids of everything that is traded, sorted.
    strategies
        Gives the strategies of the node; empty before it is built.
    loop
        The node's event loop; actors run in its thread.
    call_soon
        Runs a function without arguments in that thread; may be called from any.
    rest
        Public REST interfaces of the venues, paced.
    notifier
        Tells people.
    stop
        Ends the node in order, with a reason for the session's end; may be called from any thread.
    restart
        The same, and the process begins anew with the same command line.
    probes
        Checks of health by name: add yours (`runtime.health`).
    reconnects
        Stream -> times it was connected again: count yours.
    facts
        What ``ctl status`` tells besides the desks, by name: add yours.
    entry_limits
        What desks ask before an entry (`strategies.entry_limits.EntryLimits`): one, once it is made.
    clock_offsets
        Venue name -> how far its clock is from ours, as last measured.
    node
        Nautilus' `TradingNode`; for what no other field gives.
    strategy_configs
        Nautilus' importable configurations of the strategies.
    config_sha256
        Hash of the effective settings.
    """

    mode: LiveMode
    settings: Settings
    folder: Path
    session_id: str
    journal: Any
    instruments: tuple[str, ...]
    strategies: Callable[[], Iterable[Any]]
    loop: asyncio.AbstractEventLoop
    call_soon: Callable[[Callable[[], Any]], Any]
    rest: PublicRest
    notifier: Notifier
    stop: Callable[[str], None]
    restart: Callable[[str], None] = print
    probes: dict[str, Probe] = field(default_factory=dict)
    reconnects: dict[str, float] = field(default_factory=dict)
    facts: dict[str, Callable[[], Any]] = field(default_factory=dict)
    entry_limits: list[Any] = field(default_factory=list)
    clock_offsets: dict[str, ClockOffset] = field(default_factory=dict)
    node: Any = None
    strategy_configs: tuple[Any, ...] = ()
    config_sha256: str = ""
