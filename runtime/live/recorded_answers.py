"""What desks are told by others when they ask: written down in a session, told again in its replay.

The account's limits and the memory of setups answer from what a replay does not have: other strategies, mark
prices, the state file. So their answers are rows. Only what is not the usual answer is one (no limit
refuses, a setup is stored, a zone is new), and each has its number among the questions of its desk.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from strategies.setup_keeper import DeskMemory
from strategies.trade_manager import setup_state
from strategies.trade_manager.setup import Setup
from strategies.trade_manager.skips import Skip

CHECK: Final = "check"
KEEP: Final = "keep"
RECALL: Final = "recall"
WAS_USED: Final = "was_used"

type Note = Callable[[str, bytes], None]
"""Takes the name of a question and its answer, MessagePack."""
type Told = Callable[[str], bytes | None]
"""Gives the answer to the question of a name, None for the usual one."""


class Questions:
    """Names the questions of one desk.

    Parameters
    ----------
    desk
        Name of the desk.

    Examples
    --------
    >>> ask = Questions("0:OTE-000")
    >>> ask.name("check"), ask.name("check"), ask.name("keep")
    ('check:0:OTE-000#1', 'check:0:OTE-000#2', 'keep:0:OTE-000#1')
    """

    def __init__(self, desk: str) -> None:
        self._desk = desk
        self._asked: Counter[str] = Counter()

    def name(self, method: str) -> str:
        """Return the name of the next question of a method."""
        self._asked[method] += 1
        return f"{method}:{self._desk}#{self._asked[method]}"


class RecordedLimits:
    """The limits of an account (`strategies.entry_limits.EntryLimits`) with a note of each refusal."""

    def __init__(self, limits: Any, questions: Questions, note: Note) -> None:
        self._limits, self._questions, self._note = limits, questions, note

    @property
    def watches_equity(self) -> bool:
        """Tell whether a limit looks at the account's equity."""
        return bool(self._limits.watches_equity)

    @property
    def closed_by(self) -> str:
        """Tell why every entry is refused; no answer of its own: what follows from it is an event."""
        return str(self._limits.closed_by)

    def check(self, entry: Any) -> Skip | None:
        """Return why an entry must not go out."""
        name = self._questions.name(CHECK)
        skip: Skip | None = self._limits.check(entry)
        if skip is not None:
            self._note(name, msgspec.msgpack.encode(skip))
        return skip


class ToldLimits:
    """Refuses the entries that were refused in the session."""

    watches_equity = False
    closed_by = ""

    def __init__(self, questions: Questions, told: Told) -> None:
        self._questions, self._told = questions, told

    def check(self, entry: Any) -> Skip | None:
        """Return why an entry was refused."""
        del entry
        answer = self._told(self._questions.name(CHECK))
        return None if answer is None else msgspec.msgpack.decode(answer, type=Skip)


class RecordedKeeper:
    """A keeper of setups (`strategies.setup_keeper.SetupKeeper`) with a note of what it remembered."""

    def __init__(self, keeper: Any, questions: Questions, note: Note) -> None:
        self._keeper, self._questions, self._note = keeper, questions, note

    def keep(self, desk: Any, setup: Setup, *, is_intent: bool) -> bool:
        """Store a setup."""
        name = self._questions.name(KEEP)
        is_kept = bool(self._keeper.keep(desk, setup, is_intent=is_intent))
        if not is_kept:
            self._note(name, msgspec.msgpack.encode(is_kept))
        return is_kept

    def keep_memory(self, desk: Any) -> None:
        """Store what a desk knows besides its setups; nothing is answered."""
        self._keeper.keep_memory(desk)

    def recall(self, desk: Any) -> tuple[list[Setup], DeskMemory | None]:
        """Return the setups of a desk and what else it knew."""
        name = self._questions.name(RECALL)
        setups, memory = self._keeper.recall(desk)
        if setups or memory is not None:
            states = [setup_state.to_bytes(one) for one in setups]
            self._note(name, msgspec.msgpack.encode((states, memory)))
        return setups, memory

    def was_used(self, desk: Any, setup_id: str) -> bool:
        """Tell whether a zone was traded."""
        name = self._questions.name(WAS_USED)
        is_used = bool(self._keeper.was_used(desk, setup_id))
        if is_used:
            self._note(name, msgspec.msgpack.encode(is_used))
        return is_used


class ToldKeeper:
    """Remembers what the session's keeper did."""

    def __init__(self, questions: Questions, told: Told) -> None:
        self._questions, self._told = questions, told

    def keep(self, desk: Any, setup: Setup, *, is_intent: bool) -> bool:
        """Tell whether it was stored."""
        del desk, setup, is_intent
        return self._told(self._questions.name(KEEP)) is None

    def keep_memory(self, desk: Any) -> None:
        """Keep nothing: a replay leaves nothing behind."""

    def recall(self, desk: Any) -> tuple[list[Setup], DeskMemory | None]:
        """Return the setups that the desk was given."""
        answer = self._told(self._questions.name(RECALL))
        if answer is None:
            return [], None
        states, memory = msgspec.msgpack.decode(answer, type=tuple[list[bytes], DeskMemory | None])
        kept = (setup_state.from_bytes(one) for one in states)
        return [setup_state.restored(one, desk.market, desk.venue, desk.exit_rules) for one in kept], memory

    def was_used(self, desk: Any, setup_id: str) -> bool:
        """Tell whether a zone was traded."""
        del desk, setup_id
        return self._told(self._questions.name(WAS_USED)) is not None


def record_answers(desk: Any, name: str, note: Note) -> None:
    """Stand between a desk and those whom it asks; `name` is that of the desk in the recording."""
    questions = Questions(name)
    if getattr(desk, "entry_limits", None) is not None:
        desk.entry_limits = RecordedLimits(desk.entry_limits, questions, note)
    if getattr(desk, "keeper", None) is not None:
        desk.keeper = RecordedKeeper(desk.keeper, questions, note)


def tell_answers(desk: Any, name: str, told: Told, session: Mapping[str, Any]) -> None:
    """Answer a desk as it was answered; `session` says by whom it was."""
    questions = Questions(name)
    if session.get("is_limited"):
        desk.entry_limits = ToldLimits(questions, told)
    if session.get("is_kept"):  # desks with a keeper ask more of venues
        desk.keeper = ToldKeeper(questions, told)


def answer_text(name: str, answer: bytes) -> str:
    """Return a question with its answer as JSON, for the comparison and for people."""
    what: Any = msgspec.msgpack.decode(answer)
    if name.startswith(RECALL):
        states, memory = what
        what = [msgspec.msgpack.decode(one) for one in states], memory
    return msgspec.json.encode({"question": name, "answer": what}, order="sorted").decode()


__all__ = ["Questions", "RecordedKeeper", "RecordedLimits", "ToldKeeper", "ToldLimits", "answer_text",
           "record_answers", "tell_answers"]  # fmt: skip
