"""The part of a node that hears commands: the socket, the kill file, and two signals.

``SIGUSR1`` kills entries, ``SIGUSR2`` closes positions as well. Signal and file go the way of every other
command, so that both are audited before anything happens.
"""

import asyncio
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from nautilus_trader.common.actor import Actor
from nautilus_trader.common.config import ActorConfig

from runtime.live.command_actions import KILL, NodeActions
from runtime.live.command_memory import CommandMemory
from runtime.live.command_runner import CommandRunner
from runtime.live.command_server import CommandServer
from runtime.live.command_socket import SOCKET_FILE
from runtime.live.commands import CommandBook, new_command
from runtime.live.kill_switch import KillOrder, KillSwitch
from strategies.entry_halt import HALT_TOPIC, HaltEntries

MEMORY_FILE: Final = "commands.jsonl"
WATCH_SECS: Final = 0.5
SIGNALS: Final = {signal.SIGUSR1: False, signal.SIGUSR2: True}


class CommandActor(Actor):
    """Opens a node to commands.

    Parameters
    ----------
    folder
        Of the node and its mode, exists.
    journal
        For the audit.
    strategies
        Gives the node's strategies.
    call_soon
        Runs a function in the node's thread.
    loop
        Of the node; None leaves the signals alone (its thread is not the main one).
    facts, on_kill, on_rearm
        See `NodeActions`.
    """

    def __init__(
        self,
        folder: Path,
        journal: Any,
        strategies: Callable[[], Iterable[Any]],
        call_soon: Callable[[Callable[[], None]], Any],
        loop: asyncio.AbstractEventLoop | None = None,
        **hooks: Any,
    ) -> None:
        super().__init__(ActorConfig(component_id="COMMANDS"))
        self._folder, self._journal, self._call_soon, self._loop = folder, journal, call_soon, loop
        self.kill_switch = KillSwitch(folder)
        self._strategies, self._hooks = strategies, hooks
        self._server: CommandServer | None = None
        self._watch: asyncio.Task[None] | None = None
        self._is_watching = False
        self._asked: KillOrder | None = None

    # -- life ----------------------------------------------------------------------------------------------

    def on_start(self) -> None:
        """Close the gate where a kill file stands, then listen."""
        self.actions = NodeActions(
            self._strategies,
            lambda topic, message: self.msgbus.publish(topic=topic, msg=message),
            self.clock.timestamp_ns,
            self.kill_switch,
            **self._hooks,
        )
        if (order := self.kill_switch.read()) is not None and (on_kill := self._hooks.get("on_kill")):
            on_kill(f"killed by {order.who}")  # the desks hear of it when they have started
        self.msgbus.subscribe(topic=HALT_TOPIC, handler=self._on_halt)
        server = CommandServer(self._folder / SOCKET_FILE, self._make_runner)
        server.start()
        self._server = server
        self._is_watching = True
        # Strategies start after actors and hear nothing before: this runs when all have started.
        self._call_soon(self._look)
        if self._loop is not None:
            for number, flatten in SIGNALS.items():
                self._loop.add_signal_handler(number, self._on_signal, number, flatten)

    def on_stop(self) -> None:
        """Listen no more; a kill file stays."""
        self._is_watching = False
        self.msgbus.unsubscribe(topic=HALT_TOPIC, handler=self._on_halt)
        if self._loop is not None:
            for number in SIGNALS:
                self._loop.remove_signal_handler(number)
        if self._server is not None:
            self._server.stop()
            self._server = None

    def _make_runner(self) -> CommandRunner:
        memory = CommandMemory(self._folder / MEMORY_FILE)
        book = CommandBook(memory.load(time.time_ns()))
        return CommandRunner(book, memory, self._journal, self.actions, self._call_soon)

    # -- the kill file -------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Look at the kill file, now and twice a second from then on; in the node's thread."""
        if not self._is_watching:
            return
        order = self.kill_switch.read() if self.kill_switch.is_on else None
        killed = self.actions.kill_order
        is_more = killed is None or (order is not None and order.flatten and not killed.flatten)
        if order is not None and order != self._asked and is_more:
            self._asked = order
            args: dict[str, Any] = {"flatten": order.flatten, "wait_secs": 0.0}
            if (reason := _one_line(order.reason)) != "":
                args["reason"] = reason
            self._submit(order.who, args, f"file {self.kill_switch.path}")
        elif killed is not None:
            for name in self.actions.go_on_flattening():
                self.log.warning(f"{name}: closed, because the kill file says flatten")
        if self._loop is not None:
            self._loop.call_later(WATCH_SECS, self._look)

    def _on_halt(self, message: HaltEntries) -> None:
        """Keep a halt over a restart: only a person ends one, and a supervisor starts nodes again."""
        if message.source == KILL or self.kill_switch.is_on:
            return
        try:
            self.kill_switch.set(
                KillOrder(who=message.source, reason=message.text, ts_ns=self.clock.timestamp_ns())
            )
        except OSError as error:
            text = f"{self.kill_switch.path} cannot be written: a restart would end this halt"
            # Nautilus wants the exception as an argument.
            self.log.exception(text, error)  # noqa: TRY401

    def _on_signal(self, number: int, flatten: bool) -> None:
        name = signal.Signals(number).name
        self.log.warning(f"{name}: killing entries{' and positions' if flatten else ''}")
        self._submit("signal", {"flatten": flatten, "wait_secs": 0.0, "reason": name}, f"signal {name}")

    def _submit(self, who: str, args: dict[str, Any], origin: str) -> None:
        if self._server is None:
            return
        command = new_command("kill", _one_line(who)[:64] or "unknown", args, now_ns=time.time_ns())
        self._server.submit(command, origin)


def make_command_actor(context: Any, **hooks: Any) -> CommandActor:
    """Return the actor of a node; `context` is a :class:`runtime.live.context.LiveContext`.

    Parameters
    ----------
    context
        Of the node.
    hooks
        ``facts``, ``on_kill``, ``on_rearm``, see `NodeActions`.
    """
    return CommandActor(
        context.folder, context.journal, context.strategies, context.call_soon, context.loop, **hooks
    )


def _one_line(text: str) -> str:
    return "".join(letter for letter in " ".join(text.split()) if letter.isprintable())[:200]


__all__ = ["CommandActor", "make_command_actor"]
