"""One run of a paper or live node: what is around it, and its orderly end."""

import asyncio
import contextlib
import fcntl
import logging
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from runtime.cli import say
from runtime.errors import ConfigurationError, VenueError
from runtime.journal.backtests import model_sha256, timeframe_of
from runtime.journal.binding import Binding, file_binding
from runtime.journal.place import URL_VARIABLE, journal_url
from runtime.journal.records import SessionEnd, SessionStart
from runtime.journal.session import SessionJournal, code_version
from runtime.live.clean_stderr import CleanStderr
from runtime.live.context import LiveContext
from runtime.live.freshness import ClockOffset
from runtime.live.garbage import look_between
from runtime.live.late_hearing import LateHearing
from runtime.live.node import LOG_NAME, add_services, make_node
from runtime.live.plan import LivePlan
from runtime.live.rest import PublicRest
from runtime.live.rest_guard import follow_clock, guard_client
from runtime.live.services import SERVICES
from runtime.live.shutdown import Shutdown
from runtime.live.voice import NodeVoice
from runtime.live.writer_process import WriterProcess, writer_command
from runtime.logs import correlated, install_crash_handler, service_logs
from runtime.nautilus_log import NautilusLog, put_aside
from runtime.notify.notifier import open_notifier
from runtime.recorder import account_equity
from runtime.run_folder import new_run_id

log = logging.getLogger("smcbot.node")

LOGS: Final = "logs"
LOCK: Final = "node.lock"
SWITCH_SECS: Final = 0.0001
STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


def run_session(plan: LivePlan, config: Mapping[str, Any], config_file: str | None) -> bool:
    """Trade until a signal or a command ends it.

    Parameters
    ----------
    plan
        What is traded.
    config
        Of :func:`runtime.live.plan.effective_config`.
    config_file
        Settings file of the command line, for the journal's writer; None for the default.

    Returns
    -------
    bool
        Whether the node wants to begin anew.

    Raises
    ------
    ConfigurationError
        When another node uses the folder, the journal is off, or a channel is not understood.
    VenueError
        When the venues could not be connected and reconciled in time, or an engine failed.
    OSError
        When journal or state cannot be written.
    """
    folder = mode_folder(plan)
    session_id = new_run_id(plan.mode, datetime.now(UTC))
    with (
        only_one(folder),
        CleanStderr(),
        service_logs("node", folder / LOGS),
        correlated(session=session_id),
        NautilusLog(new_nautilus_log(folder)),
    ):
        install_crash_handler(folder / LOGS)
        with ExitStack() as parts:
            return _Session(plan, config, config_file, folder, session_id).run(parts)


def mode_folder(plan: LivePlan) -> Path:
    """Return the folder of the plan's mode, made for its owner only."""
    folder = Path(plan.settings.live.folder) / plan.mode
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    (folder / LOGS).mkdir(exist_ok=True)
    return folder


def new_nautilus_log(folder: Path) -> Path:
    """Return Nautilus' log file; that of the session before is put aside, it was handed on already."""
    file = folder / LOGS / f"{LOG_NAME}.log"
    put_aside(file)
    return file


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold the folder of a mode: two nodes on one state would each undo what the other does.

    Raises
    ------
    ConfigurationError
        When another process holds it.
    """
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigurationError(
                f"{folder}: another node runs on this folder; stop it, or set another live.folder"
            ) from None
        yield
    finally:
        os.close(descriptor)


class _Session:
    """The parts of one run."""

    def __init__(
        self,
        plan: LivePlan,
        config: Mapping[str, Any],
        config_file: str | None,
        folder: Path,
        session_id: str,
    ) -> None:
        self.plan, self.config, self.config_file = plan, config, config_file
        self.folder, self.session_id = folder, session_id
        self.reason = ""

    def run(self, parts: ExitStack) -> bool:
        """Open the parts, trade, and close them in the opposite order; tell whether to begin anew."""
        url = journal_url(self.plan.settings.journal)
        if not url:
            raise ConfigurationError(
                f"{URL_VARIABLE}=off: paper and live are always journaled; name a database or unset it"
            )
        spool = Path(self.plan.settings.journal.spool)
        journal = SessionJournal(spool, self.session_id, self._start_record(), binding=_binding_of(url))
        try:
            notifier = open_notifier(self.plan.settings.notifications, self.plan.mode)  # type: ignore[arg-type]
            parts.callback(notifier.close)
            writer = WriterProcess(
                writer_command(spool, self.config_file, self.folder / LOGS), spool / self.session_id
            )
            parts.enter_context(writer)
            loop = asyncio.new_event_loop()
            asyncio.set_event_loop(loop)
            rest = PublicRest(self.plan.settings)

            offsets: dict[str, ClockOffset] = {}

            def guard(client: Any) -> None:
                guard_client(client, rest.http.budget, log.warning)
                follow_clock(client, lambda: offsets.get(client.venue.value))

            self._late = LateHearing(loop)
            node = make_node(self.plan, self.folder, loop, self.session_id, guard, self._late)
            shutdown = Shutdown(node, loop)
            context = LiveContext(
                mode=self.plan.mode,  # type: ignore[arg-type]
                settings=self.plan.settings,
                folder=self.folder,
                session_id=self.session_id,
                journal=journal,
                instruments=self.plan.instruments,
                strategies=node.trader.strategies,
                loop=loop,
                call_soon=loop.call_soon_threadsafe,
                rest=rest,
                clock_offsets=offsets,
                notifier=notifier,
                stop=shutdown.ask,
                restart=shutdown.ask_restart,
                node=node,
                strategy_configs=tuple(self.plan.configs),
                config_sha256=str(self.config["config_sha256"]),
            )
            self._trade(context, shutdown)
            self.reason = shutdown.reason
        except BaseException as error:
            self.reason = f"{type(error).__name__}: {error}"
            raise
        finally:
            self._end(journal)
        return shutdown.begins_anew

    def _trade(self, context: LiveContext, shutdown: Shutdown) -> None:
        node, loop = context.node, context.loop
        voice = NodeVoice(context, {one.id.value: timeframe_of(one.config) for one in context.strategies()})
        for actor in voice.actors():
            node.trader.add_actor(actor)
        add_services(context, SERVICES)
        self._late.attach(node.trader.actors())
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, shutdown.ask, f"stopped by {number.name}")
        try:
            with voice:
                loop.run_until_complete(self._until_stopped(context, shutdown))
        finally:
            with contextlib.suppress(Exception):
                self._late.tell()  # what waits for a turn of the loop that does not come
            self.final = _final_state(node)
            with contextlib.suppress(Exception):
                loop.run_until_complete(context.rest.__aexit__(None, None, None))
            node.dispose()

    async def _until_stopped(self, context: LiveContext, shutdown: Shutdown) -> None:
        node = context.node
        if not await shutdown.unless_asked(node.kernel.start_async()):
            await node.stop_async()
            return
        if not node.trader.is_running and not shutdown.is_asked:
            # Nautilus says RUNNING all the same, and would stay like this.
            await node.stop_async()
            raise VenueError(
                f"not connected and reconciled with {', '.join(one.venue_name for one in self.plan.venues)} "
                f"within {self.plan.settings.live.connection_secs:g} s: look for the "
                f"cause in {self.folder / LOGS}/node.jsonl, at the venue's status page and at the network"
            )
        look_between(asyncio.get_running_loop())
        hurry_others()
        say(f"{self.plan.mode} node {self.session_id} trades {len(self.plan.instruments)} instruments")
        await shutdown.wait(context)

    def _start_record(self) -> SessionStart:
        strategies = self.plan.strategies
        return SessionStart(
            ts_ns=time.time_ns(),
            mode=self.plan.mode,  # type: ignore[arg-type]
            strategy="+".join(dict.fromkeys(one.spec.name for one in strategies)),
            strategy_version="+".join(dict.fromkeys(one.spec.version for one in strategies)),
            config_sha256=str(self.config["config_sha256"]),
            model_sha256=model_sha256(self.plan.configs),
            code_version=code_version(),
            instruments=list(self.plan.instruments),
            # What the accounts had is the first equity point: only they know, on paper too after a restart.
            detail={
                "config": dict(self.config),
                "trader_id": self.plan.settings.live.trader_id,
                "data": "trades",
            },
        )

    def _end(self, journal: SessionJournal) -> None:
        final = getattr(self, "final", {})
        journal.end(
            SessionEnd(
                ts_ns=time.time_ns(),
                reason=self.reason or "stopped",
                final_balance=final.pop("equity", ""),
                telemetry_dropped=journal.telemetry_dropped,
                detail=final,
            )
        )


def _binding_of(url: str) -> Binding:
    plain = file_binding(url)
    if plain is not None:
        return plain
    from runtime.journal.database import binding_of  # brings SQLAlchemy, half a second before protection

    return binding_of(url)


def hurry_others() -> None:
    """Let no other thread of the process (logs, recording) keep the interpreter from the loop for long.

    By default a thread that computes gives it up after 5 ms, each time that a trade or a fill wakes the loop.
    """
    sys.setswitchinterval(SWITCH_SECS)


def _final_state(node: Any) -> dict[str, Any]:
    """Return what stays behind at the venue, as the node knows it."""
    cache = node.cache
    state: dict[str, Any] = {
        "positions": {
            one.instrument_id.value: str(one.signed_decimal_qty()) for one in cache.positions_open()
        },
        "open_orders": [one.client_order_id.value for one in cache.orders_open()],
    }
    with contextlib.suppress(Exception):  # an account in several currencies has no single sum
        state["equity"] = str(account_equity(cache))
    return state
