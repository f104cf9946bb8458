"""Commands: what is understood, and that nothing is executed twice."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from runtime.live.command_memory import CommandMemory
from runtime.live.commands import (
    ACTIONS,
    LESSENING,
    MAX_LIFE_SECS,
    MAX_LINE_BYTES,
    NANOS,
    Answer,
    Command,
    CommandBook,
    CommandError,
    Remembered,
    new_command,
    read_command,
)

NOW = 1_773_792_000 * NANOS
GOOD: dict[str, Any] = {
    "id": "web-1",
    "who": "anna",
    "action": "close",
    "args": {"instrument": "XRPUSDT-PERP.BINANCE"},
    "nonce": "n" * 24,
    "expires_at_ns": NOW + 30 * NANOS,
}

WRONG = {
    "no JSON": (b"{", "no JSON"),
    "no object": (b"[1]", "no JSON object"),
    "no id": ({"id": None}, "id"),
    "id with a newline": ({"id": "a\nb"}, "id"),
    "nobody": ({"who": " "}, "who"),
    "unknown action": ({"action": "sell-everything"}, "action"),
    "short nonce": ({"nonce": "abc"}, "nonce"),
    "expiry as text": ({"expires_at_ns": "soon"}, "expires_at_ns"),
    "unknown field": ({"urgent": True}, "urgent"),
    "argument missing": ({"args": {}}, "args.instrument"),
    "argument of another action": ({"args": GOOD["args"] | {"flatten": True}}, "args.flatten"),
    "no instrument id": ({"args": {"instrument": "XRP"}}, "args.instrument"),
    "number for a text": ({"args": GOOD["args"] | {"reason": 1}}, "args.reason"),
    "wait of a day": ({"args": GOOD["args"] | {"wait_secs": 86_400}}, "args.wait_secs"),
    "text for a switch": ({"action": "kill", "args": {"flatten": "yes"}}, "args.flatten"),
    "too long": (b" " * (MAX_LINE_BYTES + 1), "longer"),
}


def encoded(change: Any) -> bytes:
    """Return the good command with a change, as a line."""
    return change if isinstance(change, bytes) else msgspec.json.encode(GOOD | change)


def test_a_good_command_is_understood() -> None:
    """Every field arrives."""
    command = read_command(encoded({}))
    assert (command.id, command.who, command.action) == ("web-1", "anna", "close")
    assert command.instrument == "XRPUSDT-PERP.BINANCE"


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_named(case: str) -> None:
    """The message names the field, and nothing is guessed."""
    change, named = WRONG[case]
    with pytest.raises(CommandError, match=named):
        read_command(encoded(change))


@given(st.binary(max_size=200) | st.recursive(st.none() | st.text(), st.lists).map(msgspec.json.encode))
def test_rubbish_is_refused_and_nothing_else(line: bytes) -> None:
    """Whatever bytes come: a `CommandError`, never another exception."""
    with pytest.raises(CommandError):
        read_command(line)


def command_of(command_id: str = "a", nonce: str = "n" * 16, **facts: Any) -> Command:
    """Return a command that expires in 30 s."""
    return Command(
        **(
            {"id": command_id, "who": "anna", "action": "pause", "nonce": nonce}
            | {"expires_at_ns": NOW + 30 * NANOS}
            | facts
        )
    )


def kept_of(remembered: Remembered | None) -> Remembered:
    """Return what is to be kept of a command, which there must be."""
    assert remembered is not None
    return remembered


def test_the_same_command_again_gets_the_first_answer() -> None:
    """A client that lost the connection may ask again, while it runs and afterwards."""
    book = CommandBook()
    assert book.judge(command_of(), NOW).kind == "new"
    assert book.judge(command_of(), NOW).kind == "running"
    book.finish(Answer(id="a", outcome="done", reason="paused"))
    again = book.judge(command_of(), NOW + NANOS)
    assert (again.kind, again.answer) == (
        "known",
        Answer(id="a", outcome="done", reason="paused", is_repeated=True),
    )


REFUSED = {
    "a nonce of another command": (command_of("b"), "nonce"),
    "an id with another action": (command_of(action="resume"), "id"),
    "an id of another sender": (command_of(who="eve"), "id"),
    "an id with another nonce": (command_of(nonce="m" * 16), "id"),
    "expired": (command_of("b", "m" * 16, expires_at_ns=NOW), "expired"),
    "expires in an hour": (command_of("b", "m" * 16, expires_at_ns=NOW + 3600 * NANOS), "ahead"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_replayed_and_expired_commands_are_refused(case: str) -> None:
    """One is known: what borrows from it, or comes out of time, is not executed."""
    command, named = REFUSED[case]
    book = CommandBook()
    book.judge(command_of(), NOW)
    verdict = book.judge(command, NOW)
    assert verdict.kind == "refused"
    assert verdict.answer is not None
    assert named in verdict.answer.reason


def test_a_restart_remembers_until_the_expiry(tmp_path: Any) -> None:
    """Answered, cut off, or expired: none of the three is executed by the next session."""
    memory = CommandMemory(tmp_path / "commands.jsonl")
    book = CommandBook(memory.load(NOW))
    answered, cut_off = command_of(), command_of("b", "m" * 16)
    brief = command_of("c", "o" * 16, expires_at_ns=NOW + NANOS)
    for command in (answered, cut_off, brief):
        assert book.judge(command, NOW).kind == "new"
        memory.add([kept_of(book.remembered(command.id))])
    memory.add([kept_of(book.finish(Answer(id="a", outcome="done")))])

    later = NOW + 2 * NANOS
    again = CommandBook(CommandMemory(tmp_path / "commands.jsonl").load(later))
    assert len(again) == 2
    known, unfinished = again.judge(answered, later), again.judge(cut_off, later)
    assert known.answer == Answer(id="a", outcome="done", is_repeated=True)
    assert unfinished.answer is not None
    assert unfinished.answer.outcome == "failed"
    assert again.judge(brief, later).kind == "refused"
    assert again.judge(command_of("d", "m" * 16), later).kind == "refused"


def test_a_torn_last_line_is_passed_over(tmp_path: Any) -> None:
    """A power cut within the append: that command was not executed, the ones before are known."""
    path = tmp_path / "commands.jsonl"
    memory, book = CommandMemory(path), CommandBook()
    for name in ("a", "b"):
        book.judge(command_of(name, name * 16), NOW)
        memory.add([kept_of(book.remembered(name))])
    path.write_bytes(path.read_bytes()[:-20])
    assert [one.id for one in CommandMemory(path).load(NOW)] == ["a"]


def test_a_full_memory_refuses_instead_of_forgetting() -> None:
    """Forgetting a nonce before its expiry would let it be played back."""
    book = CommandBook(max_remembered=2)
    kinds = [book.judge(command_of(name, name * 16, action="resume"), NOW).kind for name in "abc"]
    assert kinds == ["new", "new", "refused"]


@pytest.mark.parametrize("action", sorted(LESSENING))
def test_a_full_memory_keeps_nobody_from_lessening_the_risk(action: str) -> None:
    """Whoever fills it, a kill comes through."""
    book = CommandBook(max_remembered=1)
    assert book.judge(command_of(action="resume"), NOW).kind == "new"
    args = {"instrument": "XRPUSDT.BINANCE"} if action == "close" else {}
    assert book.judge(command_of("b", "b" * 16, action=action, args=args), NOW).kind == "new"


def test_looking_fills_no_memory() -> None:
    """A program asks for the status every second with a long expiry: nothing of it stays."""
    book = CommandBook(max_remembered=2)
    for name in "abcd":
        assert book.judge(command_of(name, name * 16, action="status"), NOW).kind == "new"
        assert book.finish(Answer(id=name, outcome="done")) is None
    assert len(book) == 0


def test_a_new_command_is_checked() -> None:
    """The client learns of a mistake before anything is sent."""
    with pytest.raises(CommandError, match="instrument"):
        new_command("close", "anna", now_ns=NOW)
    for name in ACTIONS:
        args = {"instrument": "XRPUSDT.BINANCE"} if name == "close" else {}
        assert new_command(name, "anna", args, now_ns=NOW).expires_at_ns > NOW


class Replays(RuleBasedStateMachine):
    """Any order of sending, repeating, answering, restarting, and time going on."""

    sent = Bundle("sent")

    def __init__(self) -> None:
        super().__init__()
        self.now_ns = NOW
        self.book = CommandBook()
        self.saved: dict[str, Any] = {}
        self.executed: list[str] = []
        self.nonces: dict[str, int] = {}
        self.open: set[str] = set()

    @rule(target=sent, name=st.sampled_from("abcd"), nonce=st.sampled_from("wxyz"), secs=st.integers(-5, 700))
    def make(self, name: str, nonce: str, secs: int) -> Command:
        """Make a command; ids and nonces collide often."""
        return command_of(name, nonce * 16, expires_at_ns=self.now_ns + secs * NANOS)

    @rule(command=sent)
    def send(self, command: Command) -> None:
        """Send one, new or not."""
        verdict = self.book.judge(command, self.now_ns)
        if verdict.kind == "new":
            assert self.now_ns < command.expires_at_ns <= self.now_ns + MAX_LIFE_SECS * NANOS
            self.executed.append(f"{command.id} {command.nonce} {command.expires_at_ns}")
            assert self.nonces.get(command.nonce, 0) <= self.now_ns  # used by none that has not expired
            self.nonces[command.nonce] = command.expires_at_ns
            self.open.add(command.id)
            self.saved[command.id] = msgspec.json.encode(self.book.remembered(command.id))
        elif verdict.kind == "running":
            assert command.id in self.open

    @rule()
    def answer(self) -> None:
        """Finish what runs."""
        for name in sorted(self.open):
            self.saved[name] = msgspec.json.encode(self.book.finish(Answer(id=name, outcome="done")))
        self.open.clear()

    @rule(secs=st.integers(1, 400))
    def wait(self, secs: int) -> None:
        """Let time pass."""
        self.now_ns += secs * NANOS

    @rule()
    def restart(self) -> None:
        """Lose all but what was written down."""
        kept = [msgspec.json.decode(line, type=Remembered) for line in self.saved.values()]
        self.book = CommandBook(tuple(one for one in kept if one.expires_at_ns > self.now_ns))
        self.open.clear()

    @invariant()
    def nothing_is_executed_twice(self) -> None:
        """Find no command that was new more than once."""
        assert len(self.executed) == len(set(self.executed))


TestReplays = Replays.TestCase
TestReplays.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
