"""From command to answer: audited first, executed once, answered with what was done."""

import asyncio
import threading
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from runtime.journal.framing import Frame
from runtime.journal.records import CommandRecord, SessionEnd
from runtime.journal.segments import JOURNAL, LaneReader
from runtime.journal.session import SessionJournal
from runtime.live import command_runner
from runtime.live.command_actions import NodeActions
from runtime.live.command_memory import CommandMemory
from runtime.live.command_runner import CommandRunner, Doing
from runtime.live.commands import Answer, Command, CommandBook, new_command
from runtime.live.kill_switch import KillOrder, KillSwitch
from strategies.entry_halt import HALT_TOPIC, REARM_TOPIC
from tests.journal_records import START
from tests.live_fakes import FakeBus, FakeDesk

XRP, ADA = "XRPUSDT.BINANCE", "ADAUSDT.BINANCE"


class Log:
    """A journal in memory that notes what was done when."""

    def __init__(self) -> None:
        self.steps: list[Any] = []
        self.is_broken = False

    def append(self, record: Any) -> None:
        """Take a record."""
        if self.is_broken:
            raise RuntimeError("no disk")
        self.steps.append(record)

    @property
    def records(self) -> list[CommandRecord]:
        """Return the records."""
        return [one for one in self.steps if isinstance(one, CommandRecord)]


class Node:
    """Executes by a function of the test."""

    def __init__(self, begin: Callable[[Command], Doing]) -> None:
        self.begin = begin


def never(_command: Command) -> Doing:
    """Fail the test: nothing may be executed."""
    raise AssertionError("executed")


def actions_of(folder: Path, *desks: FakeDesk) -> tuple[NodeActions, FakeBus]:
    """Return a node's actions on fake desks."""
    bus = FakeBus(list(desks))
    strategy = type("Fake", (), {"id": "OTE-000", "desks": desks})()
    return NodeActions(lambda: [strategy], bus.publish, time.time_ns, KillSwitch(folder)), bus


def run(
    commands: list[Command],
    node: Any,
    journal: Any,
    *,
    memory: CommandMemory | None = None,
    after: Callable[[], None] | None = None,
) -> list[Answer]:
    """Submit commands at once to a runner whose node is this thread; return the answers in order."""

    async def main() -> list[Answer]:
        loop = asyncio.get_running_loop()
        book = CommandBook(() if memory is None else memory.load(time.time_ns()))
        runner = CommandRunner(book, memory, journal, node, loop.call_soon_threadsafe)
        worker = asyncio.create_task(runner.run())
        if after is not None:
            loop.call_later(0.1, after)
        asked = asyncio.gather(*(runner.submit(one, "test") for one in commands))
        answers = await asyncio.wait_for(asked, 20)
        worker.cancel()
        return list(answers)

    return asyncio.run(main())


def command(action: str, **args: Any) -> Command:
    """Return a new command of anna."""
    return new_command(action, "anna", args, now_ns=time.time_ns())


def one(answers: list[Answer]) -> Answer:
    """Return the only answer."""
    (answer,) = answers
    return answer


# -- the audit -----------------------------------------------------------------------------------------------


def test_a_command_is_in_the_journal_before_it_is_executed(tmp_path: Path) -> None:
    """Also when its execution crashes: the record says received, and a second one that it failed."""
    with_disk = SessionJournal(tmp_path, "session", START)
    seen: list[list[str]] = []

    def crash(_command: Command) -> Doing:
        seen.append([outcome for _, outcome in journaled(tmp_path / "session")])
        raise RuntimeError("the desk is on fire")

    kill = command("kill")
    answer = one(run([kill], Node(crash), with_disk))
    with_disk.end(SessionEnd(ts_ns=0, reason="finished"))
    assert seen == [["received"]]
    assert journaled(tmp_path / "session") == [(kill.id, "received"), (kill.id, "failed")]
    assert (answer.outcome, answer.reason) == ("failed", "RuntimeError: the desk is on fire")


def journaled(folder: Path) -> list[tuple[str, str]]:
    """Return ids and outcomes of the commands that are on disk."""
    reader = LaneReader(folder, JOURNAL, 0)
    frames: list[Frame] = reader.read(is_over=True).frames
    reader.close()
    records = [frame.record() for frame in frames]
    return [(one.command_id, one.outcome) for one in records if isinstance(one, CommandRecord)]


@pytest.mark.parametrize(("action", "outcome"), [("kill", "done"), ("rearm", "failed"), ("resume", "failed")])
def test_without_an_audit_only_what_lessens_the_risk_is_executed(
    tmp_path: Path, action: str, outcome: str
) -> None:
    """Exits must work whatever the disk does; entries are not allowed again unaudited."""
    actions, bus = actions_of(tmp_path, FakeDesk(XRP, entering=5))
    log = Log()
    log.is_broken = True
    answer = one(run([command(action)], actions, log))
    assert bool(bus.sent) == (outcome == "done")
    assert answer.outcome == outcome or "no disk" in answer.reason


def test_refusals_are_audited_too() -> None:
    """Who tried what, with which nonce, stays; nothing is executed."""
    log = Log()
    late = new_command("resume", "eve", now_ns=time.time_ns() - 60_000_000_000)
    answer = one(run([late], Node(never), log))
    assert answer.outcome == "refused"
    (record,) = log.records
    assert (record.actor, record.action, record.outcome, record.nonce) == (
        "eve",
        "resume",
        "refused",
        late.nonce,
    )


# -- once ----------------------------------------------------------------------------------------------------


def test_the_same_id_is_executed_once_and_answered_alike() -> None:
    """Three copies at once, as of a client that is in doubt."""
    calls: list[str] = []
    pause = command("pause")
    answers = run([pause] * 3, Node(lambda got: (calls.append(got.id), Doing("done", "paused"))[1]), Log())
    assert calls == [pause.id]
    assert [(got.outcome, got.reason, got.is_repeated) for got in answers] == [
        ("done", "paused", False),
        ("done", "paused", True),
        ("done", "paused", True),
    ]


def test_a_burst_of_a_thousand_cancels_each_entry_once(tmp_path: Path) -> None:
    """F22: as many venue calls as entries wait, one execution, few records that name all commands."""
    desks = [FakeDesk(f"C{number}USDT.BINANCE", entering=1) for number in range(7)]
    actions, _ = actions_of(tmp_path, *desks)
    log = Log()
    burst = [command("cancel-all") for _ in range(1000)]
    answers = run(burst, actions, log, memory=CommandMemory(tmp_path / "commands.jsonl"))
    assert {answer.outcome for answer in answers} == {"done"}
    assert [answer.id for answer in answers] == [got.id for got in burst]
    assert [desk.venue_calls for desk in desks] == [["cancel"]] * 7
    named = {
        name
        for record in log.records
        for name in (record.command_id, *(joined[0] for joined in record.args.get("joined", ())))
    }
    assert named == {got.id for got in burst}
    assert len(log.records) <= 10


def test_the_last_word_of_different_commands_is_the_last(tmp_path: Path) -> None:
    """Pause, resume, pause: only neighbours are joined, so the node is paused in the end."""
    desk = FakeDesk(XRP)
    actions, _ = actions_of(tmp_path, desk)
    run([command("pause"), command("resume"), command("pause")], actions, Log())
    assert desk.holds.text == "operator"


def test_a_restart_does_not_execute_again(tmp_path: Path) -> None:
    """The same bytes played back to the next session get the answer of the first."""
    memory_path, pause = tmp_path / "commands.jsonl", command("pause")
    first = run([pause], Node(lambda _one: Doing("done", "paused")), Log(), memory=CommandMemory(memory_path))
    again = run([pause], Node(never), Log(), memory=CommandMemory(memory_path))
    assert (one(again).reason, one(again).is_repeated) == (one(first).reason, True)


# -- what each does ------------------------------------------------------------------------------------------


def test_close_answers_after_the_fill(tmp_path: Path) -> None:
    """The position is gone when the answer comes, and other commands were not kept waiting."""
    desk, other = FakeDesk(XRP, position=3, entering=1, answers=False), FakeDesk(ADA, position=1)
    actions, _ = actions_of(tmp_path, desk, other)
    close, status = command("close", instrument=XRP), command("status")
    answers = run([close, status], actions, Log(), after=desk.answer)
    assert answers[0].detail == {"closed": [XRP], "entries_cancelled": [XRP], "is_finished": True}
    assert desk.venue_calls == ["cancel", "exit"]
    assert other.venue_calls == []
    assert answers[1].detail["desks"][0]["position_qty"] == "3"  # answered before the fill


def test_close_says_when_the_fill_does_not_come(tmp_path: Path) -> None:
    """Sent is not done: the answer says what is still open."""
    actions, _ = actions_of(tmp_path, FakeDesk(XRP, position=3, answers=False))
    answer = one(run([command("close", instrument=XRP, wait_secs=0)], actions, Log()))
    assert answer.detail["is_finished"] is False
    assert f"still open: {XRP}" in answer.reason


def test_an_instrument_that_is_not_traded_is_refused(tmp_path: Path) -> None:
    """A misspelt name must not look like a success; nor closing what is not open."""
    actions, _ = actions_of(tmp_path, FakeDesk(XRP))
    answers = run(
        [command("close", instrument="XPRUSDT.BINANCE"), command("close", instrument=XRP)], actions, Log()
    )
    assert [answer.outcome for answer in answers] == ["refused", "refused"]
    assert XRP in answers[0].reason


def test_flatten_goes_on_behind_a_desk_that_fails(tmp_path: Path) -> None:
    """One bug must not keep the other positions open, and is told."""
    broken, fine = FakeDesk(XRP, position=1), FakeDesk(ADA, position=2)
    broken.is_broken = True
    actions, _ = actions_of(tmp_path, broken, fine)
    answer = one(run([command("flatten")], actions, Log()))
    assert fine.setup.is_closed
    assert (answer.outcome, XRP in answer.reason) == ("failed", True)


def test_flatten_names_what_it_leaves_alone(tmp_path: Path) -> None:
    """A position that the settings say to report only stays open: that is no success."""
    own, other = FakeDesk(XRP, position=1), FakeDesk(ADA)
    own.others_qty, other.others_qty = Decimal("0.05"), Decimal(-7)
    actions, _ = actions_of(tmp_path, own, other)
    answers = [
        one(run([command("flatten")], actions, Log())),
        one(run([command("close", instrument=ADA)], actions, Log())),
        one(run([command("kill", flatten=True)], actions, Log())),
    ]
    assert own.setup.is_closed
    assert [answer.outcome for answer in answers] == ["failed"] * 3
    assert all(f"{ADA} -7" in answer.reason and XRP not in answer.reason for answer in answers)
    assert answers[0].detail["closed"] == [XRP]


def test_close_closes_what_is_somebody_elses_when_it_is_named(tmp_path: Path) -> None:
    """A person looked at it, and asked for that: together with our own of the instrument, and of no other."""
    own, other = FakeDesk(XRP, position=1), FakeDesk(ADA)
    own.others_qty, other.others_qty = Decimal(3), Decimal(-7)
    actions, _ = actions_of(tmp_path, own, other)
    answer = one(run([command("close", instrument=XRP, external=True)], actions, Log()))
    assert (answer.outcome, own.venue_calls, other.venue_calls) == ("done", ["exit", "exit of others"], [])
    assert (answer.detail["closed"], answer.detail["external_closed"]) == ([XRP], [XRP])


def test_close_says_when_somebody_elses_position_is_still_open(tmp_path: Path) -> None:
    """Sent is not done, here as well."""
    desk = FakeDesk(XRP, answers=False)
    desk.others_qty = Decimal(3)
    actions, _ = actions_of(tmp_path, desk)
    answer = one(run([command("close", instrument=XRP, external=True, wait_secs=0)], actions, Log()))
    assert answer.detail["is_finished"] is False
    assert f"still open: {XRP}" in answer.reason


def test_kill_halts_until_rearm(tmp_path: Path) -> None:
    """The file stands as long as the kill does; positions stay unless they were to be closed."""
    desk = FakeDesk(XRP, entering=1, position=2)
    actions, bus = actions_of(tmp_path, desk)
    switch = KillSwitch(tmp_path)
    killed = one(run([command("kill", reason="notice of the venue")], actions, Log()))
    assert (killed.outcome, desk.is_halted, desk.venue_calls) == ("done", True, ["cancel"])
    order = switch.read()
    assert order is not None
    assert (order.who, order.reason, order.flatten) == ("anna", "notice of the venue", False)
    rearmed = one(run([command("rearm")], actions, Log()))
    assert (rearmed.outcome, desk.is_halted, switch.is_on) == ("done", False, False)
    assert bus.topics() == [HALT_TOPIC, REARM_TOPIC]


def test_kill_with_flatten_closes_what_turns_up_later(tmp_path: Path) -> None:
    """An entry that fills after all, or a position restored at the start: closed once."""
    desk = FakeDesk(XRP, position=2, answers=False)
    actions, _ = actions_of(tmp_path, desk)
    actions.apply_kill(KillOrder(who="anna", flatten=True))
    assert [actions.go_on_flattening(), actions.go_on_flattening()] == [[XRP], []]
    assert desk.venue_calls == ["exit"]


def test_a_kill_does_not_wait_for_the_disk_and_its_answer_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Entries are halted while the disk is busy; who is told "done" finds the file after a power cut."""
    disk = threading.Event()
    threads: set[str] = set()

    def slow(_file: int) -> None:
        threads.add(threading.current_thread().name)
        assert disk.wait(20)

    monkeypatch.setattr("runtime.live.kill_switch.os.fsync", slow)
    desk = FakeDesk(XRP, entering=1)
    actions, _ = actions_of(tmp_path, desk)
    killed: list[bool] = []

    def free() -> None:
        killed.append(desk.is_halted)
        disk.set()

    answer = one(run([command("kill")], actions, Log(), after=free))
    assert killed == [True]
    assert (answer.outcome, answer.detail["is_finished"]) == ("done", True)
    assert threads == {"kill-file"}


def test_kill_works_where_its_file_cannot_be_written(tmp_path: Path) -> None:
    """A disk that refuses must not keep the node trading; the answer says what is missing."""
    desk = FakeDesk(XRP, entering=1)
    actions, _ = actions_of(tmp_path / "nowhere", desk)
    answer = one(run([command("kill")], actions, Log()))
    assert desk.is_halted
    assert (answer.outcome, "restart" in answer.reason) == ("failed", True)


KILL_FILES = {
    "touched": (b"", False),
    "with flatten": (b"flatten\n", True),
    "with words": (b"stop it, now", False),
    "with rubbish": (b"\xff\xfe{", False),
}


@pytest.mark.parametrize("case", KILL_FILES)
def test_a_file_by_hand_is_an_order_whatever_it_says(tmp_path: Path, case: str) -> None:
    """Its being there is enough; the first word may ask for more."""
    data, flatten = KILL_FILES[case]
    switch = KillSwitch(tmp_path)
    switch.path.write_bytes(data)
    order = switch.read()
    assert order is not None
    assert order.flatten == flatten


def test_a_pause_is_a_hold_that_its_resume_ends(tmp_path: Path) -> None:
    """One instrument or all; the others go on."""
    xrp, ada = FakeDesk(XRP, entering=1), FakeDesk(ADA, entering=1)
    actions, _ = actions_of(tmp_path, xrp, ada)
    run([command("pause", instrument=XRP)], actions, Log())
    assert (xrp.holds.text, ada.holds.text) == ("operator", "")
    assert (xrp.venue_calls, ada.venue_calls) == (["cancel"], [])
    status = one(run([command("status")], actions, Log()))
    assert status.detail["paused"] == [XRP]
    run([command("resume", instrument=XRP)], actions, Log())
    assert not xrp.holds


@pytest.mark.parametrize(("drops_late", "executed"), [(True, 0), (False, 1)])
def test_what_was_given_up_allows_nothing_later(
    monkeypatch: pytest.MonkeyPatch, drops_late: bool, executed: int
) -> None:
    """A node that was busy too long: a resume is not executed behind its sender's back, a kill is."""
    monkeypatch.setattr(command_runner, "NODE_SECS", 0.02)
    waiting: list[Callable[[], Any]] = []
    begun: list[str] = []
    runner = cast("Any", SimpleNamespace(_call_soon=waiting.append))

    def begin() -> Doing:
        begun.append("begun")
        return Doing("done", "")

    answer = asyncio.run(CommandRunner._on_node(runner, begin, drops_late=drops_late))
    assert answer.outcome == "failed"
    for call in waiting:
        call()
    assert len(begun) == executed
