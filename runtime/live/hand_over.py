"""Hands data, commands and events over at once inside a live node, where Nautilus queues each of them.

Nautilus' live engines put everything into `asyncio` queues, and each is emptied by a task of its own. A trade
waits two turns of the loop before a strategy sees it, a cancel three more before its request is made, and in
a burst each turn is as long as everything else that has come meanwhile. Here, as in a backtest, the engine
does what it is given while the caller waits:

* data go to the strategies within the adapter's handler, in the order in which they came;
* a command goes to the venue's client within the strategy's call, and the client's coroutine runs up to the
  request on the wire before that call returns (an entry's up to its intent's sync, `runtime.live.intents`);
* those who only write down hear of decisions and orders once these have left, all but the journal behind
  the trades and reports that wait already (`runtime.live.late_hearing`);
* an event is handled at once where nothing else is being handled; else after the event that is being handled,
  or with the loop's next turn where that is a trade or a command: strategies hear of one thing after the
  other, never of a second one while they handle the first.

What comes from another thread, or while an engine does not run, takes Nautilus' own way.
"""
# ruff: noqa: SLF001 - queues and what they call have no public names.

import asyncio
from collections import deque
from collections.abc import Callable
from threading import get_ident
from typing import Any, Final

from runtime.live.late_hearing import LateHearing

DATA: Final = "DataEngine.process"
RISK: Final = "RiskEngine.execute"
COMMANDS: Final = "ExecEngine.execute"
EVENTS: Final = "ExecEngine.process"

type Take = Callable[[Any], None]


class HandOver:
    """The ways into the engines of one node.

    Parameters
    ----------
    kernel
        Of the node, built and not started, in the thread of its loop.
    loop
        Of the node.
    late
        Told of the beginning and end of each trade and event, and of each command.
    """

    def __init__(self, kernel: Any, loop: asyncio.AbstractEventLoop, late: LateHearing) -> None:
        self._loop = loop
        self._late = late
        self._thread = get_ident()
        self._busy = 0
        self._events: deque[Any] = deque()
        self._is_due = False
        data, risk, execution = kernel.data_engine, kernel.risk_engine, kernel.exec_engine
        self._execution = execution
        self._queue_event = execution.process
        ways: tuple[tuple[str, Any, str, Take], ...] = (
            (DATA, data, "process", self._at_once(data, self._trade(data), data.process, "Data")),
            (RISK, risk, "execute", self._at_once(risk, self._new(risk), risk.execute, "command")),
            (
                COMMANDS,
                execution,
                "execute",
                self._at_once(execution, self._sent(execution), execution.execute, "command"),
            ),
            (EVENTS, execution, "process", self.hear),
        )
        for endpoint, engine, name, take in ways:
            kernel.msgbus.deregister(endpoint=endpoint, handler=getattr(engine, name))
            kernel.msgbus.register(endpoint=endpoint, handler=take)
            setattr(engine, name, take)  # who stands in front of an endpoint hands on to this

    def hear(self, event: Any) -> None:
        """Take an event of a venue, or of a client's own making.

        Parameters
        ----------
        event
            Of an order, a position or an account. From another thread, and while the engine does not run, it
            goes into Nautilus' queue.
        """
        execution = self._execution
        if get_ident() != self._thread or not execution.is_running:
            self._queue_event(event)
            return
        execution._record_local_activity(event)
        self._events.append(event)
        if not self._busy:
            self._handle_events()
        elif not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._handle_due)

    def _handle_due(self) -> None:
        self._is_due = False
        self._handle_events()

    def _handle_events(self) -> None:
        execution, events = self._execution, self._events
        self._busy += 1
        try:
            while events:
                try:
                    self._handle_event(events.popleft())
                except Exception as error:  # as Nautilus' own queue does
                    execution._handle_queue_exception(error, "event")
        finally:
            self._busy -= 1

    def _handle_event(self, event: Any) -> None:
        late = self._late
        late.begin_event()
        try:
            self._execution._handle_event_with_tracking(event)
        finally:
            late.end_event()

    def _trade(self, engine: Any) -> Take:
        """Return what handles data: who only writes down hears of what follows when it is done."""
        handle, begin, end = engine._handle_data, self._late.begin, self._late.end

        def take(data: Any) -> None:
            begin()
            try:
                handle(data)
            finally:
                end()

        return take

    def _new(self, engine: Any) -> Take:
        """Return what handles orders to send or change: who may refuse has heard of everything before."""
        handle, tell = engine._execute_command, self._late.tell_refusing

        def take(command: Any) -> None:
            tell()
            handle(command)

        return take

    def _sent(self, engine: Any) -> Take:
        """Return what hands commands to the venue's client: they have left when anybody hears of them."""
        handle, tell = engine._execute_command, self._late.tell_left

        def take(command: Any) -> None:
            handle(command)
            tell()

        return take

    def _at_once(self, engine: Any, handle: Take, queue_up: Take, what: str) -> Take:
        """Return what does at once what `queue_up` would do later, with the engine's answer to errors."""
        thread = self._thread

        def take(message: Any) -> None:
            if get_ident() != thread or not engine.is_running:
                queue_up(message)
                return
            self._busy += 1
            try:
                handle(message)
            except Exception as error:  # as Nautilus' own queue does
                engine._handle_queue_exception(error, what)
            finally:
                self._busy -= 1

        return take


def start_eagerly(client: Any, loop: asyncio.AbstractEventLoop) -> None:
    """Let an execution client's coroutines begin when they are made, and not with the loop's next turn.

    Parameters
    ----------
    client
        Of an adapter; data clients are left alone.
    loop
        Of the node.
    """
    if not hasattr(client, "submit_order"):
        return
    create = client.create_task

    def create_task(
        coro: Any,
        log_msg: str | None = None,
        actions: Callable[[], Any] | None = None,
        success_msg: str | None = None,
        **options: Any,
    ) -> Any:
        if log_msg is None:  # what has no words is no order: connecting, and tasks without end
            return create(coro, log_msg, actions, success_msg, **options)
        task = asyncio.Task(coro, loop=loop, name=log_msg, eager_start=True)
        color = options.get("success_color")
        task.add_done_callback(lambda done: client._on_task_completed(actions, success_msg, color, done))
        client._tasks.add(task)
        return task

    client.create_task = create_task


__all__ = ["HandOver", "start_eagerly"]
