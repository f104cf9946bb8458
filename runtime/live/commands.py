"""What other processes may ask of a running node: the command, its checks, and which ones were seen.

Pure: no socket, no journal, no node. A command is executed once: the same id again gets the first answer, a
nonce that was used before is refused, and what has expired is refused. What was admitted is remembered until
its expiry, over restarts as well, so that nothing recorded on the wire can be played back.
"""

import hashlib
import re
import secrets
from typing import Any, Final, Literal, NamedTuple

import msgspec

NANOS: Final = 1_000_000_000
MAX_LIFE_SECS: Final = 600.0
MAX_LINE_BYTES: Final = 16_384
MAX_REMEMBERED: Final = 20_000
MAX_TEXT: Final = 200
MAX_WAIT_SECS: Final = 60.0

type Action = Literal["status", "pause", "resume", "close", "cancel-all", "flatten", "kill", "rearm"]
type Outcome = Literal["done", "refused", "failed"]

# Which arguments an action takes, and their types.
ARGUMENTS: Final[dict[str, dict[str, type[Any]]]] = {
    "status": {},
    "pause": {"instrument": str, "reason": str},
    "resume": {"instrument": str, "reason": str},
    "close": {"instrument": str, "external": bool, "reason": str, "wait_secs": float},
    "cancel-all": {"instrument": str, "reason": str},
    "flatten": {"instrument": str, "reason": str, "wait_secs": float},
    "kill": {"flatten": bool, "reason": str, "wait_secs": float},
    "rearm": {"reason": str},
}
NEEDED: Final[dict[str, tuple[str, ...]]] = {"close": ("instrument",)}
ACTIONS: Final = tuple(ARGUMENTS)
# They can only lessen what is at risk: executed even where their audit fails.
LESSENING: Final = frozenset({"status", "pause", "close", "cancel-all", "flatten", "kill"})
# Asking twice does nothing, and programs ask every second: not remembered.
READING: Final = frozenset({"status"})

_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}")
_NONCE: Final = re.compile(r"[A-Za-z0-9_-]{16,64}")
_INSTRUMENT: Final = re.compile(r"[A-Za-z0-9_./-]{1,64}\.[A-Z][A-Z0-9_]{0,31}")
_NAMES: Final[dict[type[Any], str]] = {str: "text", float: "a number", bool: "true or false"}


class Command(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something a person or program asks the node to do.

    Parameters
    ----------
    id
        Chosen by the sender; asking again with the same id gets the same answer.
    who
        The person, for the journal.
    action
        See `ACTIONS`.
    args
        By name, see `ARGUMENTS`; they hold no secrets.
    nonce
        Used once: 16 to 64 letters, digits, ``_`` or ``-``.
    expires_at_ns
        Not executed from then on, UNIX nanoseconds; at most ten minutes ahead.
    """

    id: str
    who: str
    action: str
    nonce: str
    expires_at_ns: int
    args: dict[str, Any] = {}

    @property
    def instrument(self) -> str:
        """Return the instrument it concerns, empty for all."""
        return str(self.args.get("instrument", ""))

    @property
    def reason(self) -> str:
        """Return the reason in the sender's words."""
        return str(self.args.get("reason", ""))

    @property
    def digest(self) -> str:
        """Return what tells two commands apart: SHA-256 over sender, action, and arguments."""
        plain = msgspec.json.encode([self.who, self.action, self.args], order="sorted")
        return hashlib.sha256(plain).hexdigest()

    def asks_the_same_as(self, other: "Command") -> bool:
        """Tell whether executing one of them does what both ask for."""
        return (self.action, self.args) == (other.action, other.args)


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a command.

    Parameters
    ----------
    id
        Of the command, empty where it could not be read.
    outcome
        ``done``, ``refused`` (nothing was executed), or ``failed``.
    reason
        Why it was refused or failed, or what was done in words.
    detail
        What was done, by name.
    is_repeated
        The command was executed before, and this is what came of it then.
    """

    id: str
    outcome: Outcome
    reason: str = ""
    detail: dict[str, Any] = {}
    is_repeated: bool = False


class CommandError(ValueError):
    """A command that cannot be executed: the message names the field."""

    def __init__(self, message: str, command_id: str = "") -> None:
        super().__init__(message)
        self.command_id = command_id


def new_command(
    action: str, who: str, args: dict[str, Any] | None = None, *, now_ns: int, life_secs: float = 30.0
) -> Command:
    """Return a checked command with a new id and nonce.

    Parameters
    ----------
    action, who, args
        See `Command`.
    now_ns
        UNIX nanoseconds.
    life_secs
        Seconds until it expires.

    Raises
    ------
    CommandError
        When it makes no sense.
    """
    command = Command(
        id=secrets.token_hex(8),
        who=who,
        action=action,
        args=args or {},
        nonce=secrets.token_urlsafe(24),
        expires_at_ns=now_ns + round(life_secs * NANOS),
    )
    check_command(command)
    return command


def read_command(line: bytes) -> Command:
    """Return the command of one line of JSON.

    Raises
    ------
    CommandError
        When it is no command; the message names the field.

    Examples
    --------
    >>> read_command(b'{"id": "1"}')
    Traceback (most recent call last):
    ...
    runtime.live.commands.CommandError: the command lacks `who`
    """
    if len(line) > MAX_LINE_BYTES:
        raise CommandError(f"the line is longer than {MAX_LINE_BYTES} bytes")
    try:
        plain = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CommandError(f"the line is no JSON: {error}") from None
    if not isinstance(plain, dict):
        raise CommandError("the line is no JSON object")
    known_id = plain.get("id")
    command_id = known_id if isinstance(known_id, str) and _ID.fullmatch(known_id) else ""
    for name in ("id", "who", "action", "nonce", "expires_at_ns"):
        if name not in plain:
            raise CommandError(f"the command lacks `{name}`", command_id)
    try:
        command = msgspec.convert(plain, Command)
    except msgspec.ValidationError as error:
        raise CommandError(str(error), command_id) from None
    check_command(command)
    return command


def check_command(command: Command) -> None:
    """Raise `CommandError` where a field makes no sense."""
    if not _ID.fullmatch(command.id):
        raise CommandError("id: expected 1 to 64 letters, digits, or one of _ . : -")
    if not command.who.isprintable() or not 1 <= len(command.who.strip()) <= 64:
        raise CommandError("who: expected a name of at most 64 characters", command.id)
    if command.action not in ARGUMENTS:
        raise CommandError(f"action: {command.action[:40]!r} is none of {', '.join(ACTIONS)}", command.id)
    if not _NONCE.fullmatch(command.nonce):
        raise CommandError("nonce: expected 16 to 64 letters, digits, _ or -", command.id)
    known = ARGUMENTS[command.action]
    for name in NEEDED.get(command.action, ()):
        if name not in command.args:
            raise CommandError(f"args.{name}: {command.action} needs it", command.id)
    for name, value in command.args.items():
        if name not in known:
            takes = ", ".join(known) or "none"
            raise CommandError(f"args.{name[:40]}: {command.action} takes {takes}", command.id)
        _check_argument(name, value, known[name], command.id)


def _check_argument(name: str, value: Any, kind: type[Any], command_id: str) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (is_number if kind is float else isinstance(value, kind)):
        raise CommandError(f"args.{name}: expected {_NAMES[kind]}", command_id)
    if name == "wait_secs" and not 0 <= value <= MAX_WAIT_SECS:
        raise CommandError(f"args.wait_secs: {value} is not between 0 and {MAX_WAIT_SECS:g}", command_id)
    if name == "instrument" and not _INSTRUMENT.fullmatch(value):
        raise CommandError("args.instrument: expected an instrument id such as XRPUSDT.BINANCE", command_id)
    if name == "reason" and (len(value) > MAX_TEXT or not value.isprintable()):
        raise CommandError(f"args.reason: expected one line of at most {MAX_TEXT} characters", command_id)


# -- what was seen before ------------------------------------------------------------------------------------


class Remembered(msgspec.Struct, kw_only=True):
    """A command that was admitted, until its expiry; a line of the memory's file.

    Parameters
    ----------
    id, nonce, expires_at_ns, digest
        Of the command.
    answer
        What came of it, None while that is not known.
    """

    id: str
    nonce: str
    expires_at_ns: int
    digest: str
    answer: Answer | None = None


class Verdict(NamedTuple):
    """What to do with a command that arrived.

    Parameters
    ----------
    kind
        ``new``: execute it; ``running``: wait for the one that runs; ``known``, ``refused``: send `answer`.
    answer
        None where there is none yet.
    """

    kind: Literal["new", "running", "known", "refused"]
    answer: Answer | None = None


class CommandBook:
    """Says whether a command may be executed, once.

    Parameters
    ----------
    remembered
        Commands admitted by an earlier session. One without an answer was cut off while it was executed: it
        is not executed again, and asking for it is answered so.
    max_remembered
        Beyond this many, new ones are refused until some have expired: forgetting one would allow its replay.
        What lessens the risk is admitted all the same.
    """

    def __init__(
        self, remembered: tuple[Remembered, ...] = (), *, max_remembered: int = MAX_REMEMBERED
    ) -> None:
        self._max = max_remembered
        self._by_id: dict[str, Remembered] = {}
        self._nonces: dict[str, str] = {}
        self._forget_at_ns = 0
        for one in remembered:
            if one.answer is None:
                one.answer = Answer(
                    id=one.id,
                    outcome="failed",
                    reason="the node ended while it was executed: look at `ctl status` for what was done",
                )
            self._keep(one)

    def __len__(self) -> int:
        return len(self._by_id)

    def judge(self, command: Command, now_ns: int) -> Verdict:
        """Return what to do with a command at a time (UNIX nanoseconds); one that is new counts as seen.

        Examples
        --------
        >>> book = CommandBook()
        >>> stop = new_command("kill", "anna", now_ns=0)
        >>> [book.judge(stop, 1).kind, book.judge(stop, 2).kind]
        ['new', 'running']
        """
        self.forget(now_ns)
        earlier = self._by_id.get(command.id)
        if earlier is not None:
            if earlier.digest != command.digest or earlier.nonce != command.nonce:
                return _refused(command, "id: it belongs to another command")
            if earlier.answer is None:
                return Verdict("running")
            return Verdict("known", msgspec.structs.replace(earlier.answer, is_repeated=True))
        if command.nonce in self._nonces:
            return _refused(command, "nonce: it was used before (a replay?)")
        if command.expires_at_ns <= now_ns:
            late_secs = (now_ns - command.expires_at_ns) / NANOS
            return _refused(command, f"expires_at_ns: expired {late_secs:.1f} s ago, send a new command")
        if command.expires_at_ns > now_ns + round(MAX_LIFE_SECS * NANOS):
            return _refused(command, f"expires_at_ns: more than {MAX_LIFE_SECS:g} s ahead")
        if command.action in READING:
            return Verdict("new")
        if len(self._by_id) >= self._max and command.action not in LESSENING:
            return _refused(command, f"{self._max} commands wait for their expiry: slow down")
        self._keep(
            Remembered(
                id=command.id,
                nonce=command.nonce,
                expires_at_ns=command.expires_at_ns,
                digest=command.digest,
            )
        )
        return Verdict("new")

    def finish(self, answer: Answer) -> Remembered | None:
        """Note what became of a command that was admitted; return what to remember, None for nothing."""
        one = self._by_id.get(answer.id)
        if one is not None:
            one.answer = answer
        return one

    def remembered(self, command_id: str) -> Remembered | None:
        """Return what is known of an admitted command, None where it need not be remembered."""
        return self._by_id.get(command_id)

    def all_remembered(self) -> tuple[Remembered, ...]:
        """Return all admitted commands that are not forgotten."""
        return tuple(self._by_id.values())

    def forget(self, now_ns: int) -> None:
        """Drop what has expired and is answered: played back, it is refused as expired."""
        if now_ns < self._forget_at_ns:
            return  # a burst must not look through thousands for each of its commands
        self._forget_at_ns = now_ns + NANOS
        over = [one for one in self._by_id.values() if one.expires_at_ns <= now_ns and one.answer is not None]
        for one in over:
            del self._by_id[one.id]
            del self._nonces[one.nonce]

    def _keep(self, one: Remembered) -> None:
        self._by_id[one.id] = one
        self._nonces[one.nonce] = one.id


def _refused(command: Command, reason: str) -> Verdict:
    return Verdict("refused", Answer(id=command.id, outcome="refused", reason=reason))
