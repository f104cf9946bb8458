"""From an arrived command to its answer: checked, audited, executed in the node's thread, answered.

Runs in an event loop of its own thread, so that neither the disk's `fsync` nor a slow client stands between a
trade and its order. Commands that ask for the same and wait behind each other are executed once.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol

from runtime.journal.records import CommandRecord
from runtime.live.command_memory import CommandMemory
from runtime.live.commands import LESSENING, Answer, Command, CommandBook, Outcome

NODE_SECS: Final = 10.0
# What allows entries must not happen after its sender was told that it failed.
ADDS_RISK: Final = frozenset({"resume", "rearm"})
POLL_SECS: Final = 0.05
DEFAULT_WAIT_SECS: Final = 5.0
MAX_BATCH: Final = 2_000  # their ids and names must fit into one audit record


class Doing(NamedTuple):
    """What executing a command began.

    Parameters
    ----------
    outcome
        ``done``, or ``refused`` or ``failed`` with the reason in `text`.
    text
        In words.
    detail
        What was done, by name.
    progress
        Asked in the node's thread until it returns None: what is still open, in words. None: nothing is.
    """

    outcome: Outcome
    text: str = ""
    detail: dict[str, Any] = {}  # noqa: RUF012 - never changed
    progress: Callable[[], str | None] | None = None


class NodeSide(Protocol):
    """Executes commands; everything here runs in the node's own thread."""

    def begin(self, command: Command) -> Doing:
        """Do what the command asks for, and return without waiting for a venue."""


class Journal(Protocol):
    """Takes audit records; they are on the disk when `append` returns."""

    def append(self, record: Any) -> object:
        """Take a record."""


@dataclass(eq=False, slots=True)
class Asked:
    """A command that waits for its answer, or one that was refused and waits for its audit."""

    command: Command | None
    origin: str
    answer: Answer | None = None
    future: "asyncio.Future[Answer]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def joins(self, first: "Asked") -> bool:
        """Tell whether it is answered by what `first` does; refusals are audited together."""
        if self.answer is not None or first.answer is not None:
            return self.answer is not None and first.answer is not None and self.origin == first.origin
        return bool(self.command and first.command and self.command.asks_the_same_as(first.command))


class CommandRunner:
    """Takes commands from any number of clients and lets the node execute them.

    Parameters
    ----------
    book, memory
        Which commands were seen.
    journal
        For the audit.
    node
        Executes them.
    call_soon
        Runs a function in the node's thread; may be called from any.
    now_ns
        Wall clock, UNIX nanoseconds.
    """

    def __init__(
        self,
        book: CommandBook,
        memory: CommandMemory | None,
        journal: Journal,
        node: NodeSide,
        call_soon: Callable[[Callable[[], None]], Any],
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._book, self._memory, self._journal, self._node = book, memory, journal, node
        self._call_soon, self._now_ns = call_soon, now_ns
        self._queue: asyncio.Queue[Asked] = asyncio.Queue()
        self._running: dict[str, asyncio.Future[Answer]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.executed = 0

    # -- for the server ------------------------------------------------------------------------------------

    async def submit(self, command: Command, origin: str) -> Answer:
        """Return the answer to a command, once it is executed or refused."""
        verdict = self._book.judge(command, self._now_ns())
        if verdict.kind == "running":
            answer = await asyncio.shield(self._running[command.id])
            return Answer(
                id=answer.id,
                outcome=answer.outcome,
                reason=answer.reason,
                detail=answer.detail,
                is_repeated=True,
            )
        if verdict.kind == "known" and verdict.answer is not None:
            return verdict.answer
        asked = Asked(command, origin, verdict.answer)
        if verdict.kind == "new":
            self._running[command.id] = asked.future
        self._queue.put_nowait(asked)
        return await asyncio.shield(asked.future)

    async def refuse(self, command_id: str, reason: str, origin: str) -> Answer:
        """Audit what was no command at all, and return the refusal."""
        asked = Asked(None, origin, Answer(id=command_id, outcome="refused", reason=reason))
        self._queue.put_nowait(asked)
        return await asyncio.shield(asked.future)

    async def run(self) -> None:
        """Execute what arrives, until cancelled."""
        while True:
            batch = [await self._queue.get()]
            while not self._queue.empty() and len(batch) < MAX_BATCH:
                batch.append(self._queue.get_nowait())
            for group in groups_of(batch):
                await self._execute(group)

    # -- one group -----------------------------------------------------------------------------------------

    async def _execute(self, group: list[Asked]) -> None:
        first = group[0]
        if first.answer is not None:
            with contextlib.suppress(Exception):  # refused all the same
                self._audit(group, first.answer.outcome, first.answer.reason)
            for one in group:
                if one.answer is not None and not one.future.done():
                    one.future.set_result(one.answer)
            return
        command = first.command
        if command is None:  # refusals alone have none
            return
        try:
            self._remember(group)
            self._audit(group, "received", "")
        except Exception as error:  # whatever an audit dies of, exits must work
            if command.action not in LESSENING:
                self._finish(group, Doing("failed", f"not executed, because it cannot be audited: {error}"))
                return
        doing = await self._on_node(lambda: self._node.begin(command), drops_late=command.action in ADDS_RISK)
        self.executed += 1
        if doing.progress is None:
            self._finish(group, doing)
        else:  # others need not wait for this one's fills
            task = asyncio.create_task(self._await_end(group, command, doing, doing.progress))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _await_end(
        self, group: list[Asked], command: Command, doing: Doing, progress: Callable[[], str | None]
    ) -> None:
        wait_secs = float(command.args.get("wait_secs", DEFAULT_WAIT_SECS))
        until_s = time.monotonic() + wait_secs
        while True:
            asked = await self._on_node(lambda: Doing("done", progress() or ""))
            if asked.outcome != "done" or not asked.text:
                break
            if time.monotonic() >= until_s:
                asked = Doing("done", f"sent; after {wait_secs:g} s still open: {asked.text}")
                break
            await asyncio.sleep(POLL_SECS)
        text = "; ".join(part for part in (doing.text, asked.text) if part)
        detail = {**doing.detail, "is_finished": not asked.text}
        outcome = doing.outcome if asked.outcome == "done" else asked.outcome
        self._finish(group, Doing(outcome, text, detail))

    async def _on_node(self, begin: Callable[[], Doing], *, drops_late: bool = False) -> Doing:
        """Run something in the node's thread and wait for it; whatever it raises becomes a failure.

        What was given up is executed all the same as soon as the node can, unless it `drops_late`.
        """
        result: Future[Doing] = Future()

        def call() -> None:
            if result.cancelled() and drops_late:
                return
            try:
                doing = begin()
            except Exception as error:  # a bug in one command must not end the node
                doing = Doing("failed", f"{type(error).__name__}: {error}")
            if not result.cancelled():
                result.set_result(doing)

        try:
            self._call_soon(call)
            return await asyncio.wait_for(asyncio.wrap_future(result), NODE_SECS)
        except TimeoutError:
            later = "it is not executed" if drops_late else "it is executed as soon as the node can"
            return Doing("failed", f"the node did not answer within {NODE_SECS:g} s; {later}")
        except RuntimeError as error:  # its loop is closed
            return Doing("failed", f"the node has stopped: {error}")

    def _finish(self, group: list[Asked], doing: Doing) -> None:
        answers = [
            Answer(id=one.command.id, outcome=doing.outcome, reason=doing.text, detail=doing.detail)
            for one in group
            if one.command is not None
        ]
        finished = [self._book.finish(answer) for answer in answers]
        changes = [change for change in finished if change is not None]
        try:
            self._audit(group, doing.outcome, doing.text, doing.detail)
            if self._memory is not None and changes:
                # Not synced: a power cut leaves it without an answer, and so not executed again.
                self._memory.add(changes, is_synced=False)
                if self._memory.is_large:
                    self._memory.rewrite(self._book.all_remembered())
        except Exception as error:  # what was done is done, and its sender must hear of it
            answers = [_with_note(answer, f"not written down: {error}") for answer in answers]
        for one, answer in zip(group, answers, strict=True):
            self._running.pop(answer.id, None)
            if not one.future.done():
                one.future.set_result(answer)

    def _remember(self, group: list[Asked]) -> None:
        seen = [self._book.remembered(one.command.id) for one in group if one.command is not None]
        new = [remembered for remembered in seen if remembered is not None]
        if self._memory is not None and new:
            self._memory.add(new)

    def _audit(
        self, group: list[Asked], outcome: str, reason: str, detail: dict[str, Any] | None = None
    ) -> None:
        """Append one record for all of a group: a burst costs one sync, and still names every command."""
        command, first = group[0].command, group[0]
        answer_id = "" if first.answer is None else first.answer.id
        plain: dict[str, Any] = {} if command is None else dict(command.args)
        if detail:
            plain["did"] = detail
        if len(group) > 1:
            plain["joined_count"] = len(group) - 1
            plain["joined"] = [_names(one) for one in group[1:]]
        self._journal.append(
            CommandRecord(
                ts_ns=self._now_ns(),
                command_id=answer_id if command is None else command.id,
                actor="" if command is None else command.who,
                origin=first.origin,
                action="" if command is None else command.action,
                args=plain,
                nonce="" if command is None else command.nonce,
                outcome=outcome,
                reason=reason,
            )
        )


def groups_of(batch: Iterable[Asked]) -> list[list[Asked]]:
    """Return neighbours that ask for the same as one group; the order between different ones stays.

    Only neighbours: of ``pause, resume, pause`` the last word must be the last.
    """
    groups: list[list[Asked]] = []
    for one in batch:
        if groups and one.joins(groups[-1][0]):
            groups[-1].append(one)
        else:
            groups.append([one])
    return groups


def _names(asked: Asked) -> list[str]:
    """Return id, sender, and the reason of a refusal."""
    command, answer = asked.command, asked.answer
    sender = ["", ""] if command is None else [command.id, command.who]
    return sender if answer is None else [sender[0] or answer.id, sender[1], answer.reason]


def _with_note(answer: Answer, note: str) -> Answer:
    text = f"{answer.reason}; {note}" if answer.reason else note
    return Answer(id=answer.id, outcome=answer.outcome, reason=text, detail=answer.detail)
