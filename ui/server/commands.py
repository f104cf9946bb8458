"""Commands of browsers and programs: checked, audited, sent to the node, answered with the outcome.

`CommandDesk.run` is the only way; the socket's ``cmd`` and ``POST /api/v1/commands`` both call it. The node
checks everything again, and is the one that executes a command once.
"""

import contextlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from ui.protocol import NodeState
from ui.server.accounts import Person
from ui.server.ports import Audit, Node, Order, Reply

NANOS: Final = 1_000_000_000
MAX_LIFE_SECS: Final = 30.0
# Every command is written to the disk, also one that is refused: none has more than it needs.
MAX_NAME: Final = 64
MAX_ARGS: Final = 8
MAX_ARGS_CHARS: Final = 1_200
MAX_NONCES: Final = 10_000
ACTIONS: Final = ("status", "pause", "resume", "close", "cancel-all", "flatten", "kill", "rearm")
# Typed by the person: of any node, and of one that trades with money.
ALWAYS_TYPED: Final = frozenset({"kill"})
TYPED_LIVE: Final = frozenset({"kill", "flatten", "rearm"})
# To viewers: what failed may name places of the server.
FAILED: Final = "the node did not answer; an operator sees why"
# A viewer may ask, and change nothing.
HARMLESS: Final = frozenset({"status"})
# Executed although the audit cannot be written: a stop must never wait for a disk.
LESSENING: Final = frozenset({"pause", "close", "cancel-all", "flatten", "kill"})

type Action = Literal["status", "pause", "resume", "close", "cancel-all", "flatten", "kill", "rearm"]


type Name = Annotated[str, Meta(max_length=MAX_NAME)]


class CommandRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A command as it is sent.

    Parameters
    ----------
    id, nonce
        See `ui.server.ports.Order`.
    action, args
        What to do.
    expires_at
        ISO 8601, or UNIX milliseconds; at most 30 s ahead.
    word
        The action in capitals, typed by the person, where that is asked for; ``KILL FLATTEN`` for both.
    """

    id: Name
    action: Action
    nonce: Name
    expires_at: int | Name
    args: Annotated[dict[str, Any], Meta(max_length=MAX_ARGS)] = {}
    word: Name = ""


class CommandResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a command: `why` in words, `detail` by name, `ms` from here to the node and back."""

    id: str
    outcome: Literal["done", "refused", "failed"]
    why: str = ""
    detail: dict[str, Any] = {}
    ms: float = 0.0
    field: str | None = None


class CommandDesk:
    """Takes commands.

    Parameters
    ----------
    node
        Executes them; None where there is none, as in a replay.
    audit
        Notes them before and after.
    state
        Returns what the node said of itself last.
    may_send
        ``(person, action) -> bool``: the rate limit.
    clock_ns
        UNIX nanoseconds.
    may_note
        ``(origin) -> bool``: whether one more refusal of somebody is audited; each is a write to the disk.
    """

    def __init__(
        self,
        node: Node | None,
        audit: Audit,
        state: Callable[[], NodeState | None],
        may_send: Callable[[Person, str], bool],
        clock_ns: Callable[[], int] = time.time_ns,
        may_note: Callable[[str], bool] = lambda _origin: True,
    ) -> None:
        self._may_note = may_note
        self._node, self._audit, self._state = node, audit, state
        self._may_send, self._clock_ns = may_send, clock_ns
        self._nonces: OrderedDict[str, tuple[str, str]] = OrderedDict()
        self._lock = threading.Lock()

    def run(self, plain: Any, person: Person, origin: str) -> CommandResult:
        """Do what is asked for; never raises.

        Parameters
        ----------
        plain
            The request as decoded JSON, see `CommandRequest`.
        person
            Who is asking.
        origin
            From where: ``socket 127.0.0.1``, ``rest 127.0.0.1``.
        """
        try:
            request = msgspec.convert(plain, CommandRequest)
            expires_at_ns = _nanoseconds(request.expires_at)
            _require_short(request.args)
        except (msgspec.ValidationError, ValueError) as error:
            return self._nonsense(plain, str(error), person, origin)
        order = Order(
            request.id, _who(person, origin), request.action, request.args, request.nonce, expires_at_ns
        )
        refusal = self._refusal(request, order, person)
        if refusal is not None:
            self._note_refusal(order, origin, *refusal)
            return CommandResult(id=request.id, outcome="refused", why=refusal[1], field=refusal[0])
        try:
            self._audit.command(order, origin, "received")
        except Exception as error:  # whatever a disk does
            if request.action not in LESSENING:
                cause = f" ({error})" if person.may_act else ""
                why = f"the audit cannot be written{cause}: only what lessens risk is executed"
                return CommandResult(id=request.id, outcome="refused", why=why)
        begun_s = time.perf_counter()
        reply = self._execute(order)
        ms = round((time.perf_counter() - begun_s) * 1e3, 1)
        self._note(order, origin, reply.outcome, reply.why)
        why = reply.why if person.may_act or reply.outcome != "failed" else FAILED
        return CommandResult(id=request.id, outcome=reply.outcome, why=why, detail=dict(reply.detail), ms=ms)

    def _execute(self, order: Order) -> Reply:
        if self._node is None:
            return Reply("refused", "a replay has no node")
        try:
            return self._node.execute(order)
        except Exception as error:  # whatever it is, the sender hears of it and the audit says it
            return Reply("failed", f"{error}; look at the venue for what was done")

    def _refusal(self, request: CommandRequest, order: Order, person: Person) -> tuple[str, str] | None:
        """Return which field is wrong and why, None where the node may decide."""
        if not person.may_act and request.action not in HARMLESS:
            return "role", f"{person.name} is a {person.role}: only operators send commands"
        if not self._may_send(person, request.action):
            return "rate", "too many commands: wait a few seconds"
        now_ns = self._clock_ns()
        if order.expires_at_ns <= now_ns:
            late_secs = (now_ns - order.expires_at_ns) / NANOS
            return "expires_at", f"expired {late_secs:.1f} s ago: send a new command"
        if order.expires_at_ns > now_ns + MAX_LIFE_SECS * NANOS:
            return "expires_at", f"more than {MAX_LIFE_SECS:g} s ahead"
        if (asked := self._typed(request)) and request.word != asked:
            return "word", f"type {asked} to confirm"
        if not self._is_new(request, order.who):
            return "nonce", "it was used before (a replay?)"
        return None

    def _note_refusal(self, order: Order, origin: str, field: str, why: str) -> None:
        """Audit a refusal, unless there is no end of them; of who may not send any without the args."""
        if self._may_note(origin):
            shown = order._replace(args={}) if field == "role" else order
            self._note(shown, origin, "refused", why)

    def _note(self, order: Order, origin: str, outcome: str, why: str) -> None:
        """Audit what is so already: the sender hears of it in any case."""
        with contextlib.suppress(Exception):  # whatever a disk does; the audit's `trouble` says it
            self._audit.command(order, origin, outcome, why)

    def _typed(self, request: CommandRequest) -> str:
        """Return what the person must have typed; a kill that flattens needs the words of both."""
        node = self._state()
        is_live = node is None or node.mode == "live"  # of an unknown node the worst is assumed
        flattens = request.action == "kill" and bool(request.args.get("flatten"))
        actions = (request.action, "flatten") if flattens else (request.action,)
        typed = TYPED_LIVE if is_live else ALWAYS_TYPED
        return " ".join(one.upper() for one in actions if one in typed)

    def _is_new(self, request: CommandRequest, who: str) -> bool:
        """Tell whether the nonce belongs to this command; the same command again is not a replay."""
        with self._lock:
            earlier = self._nonces.setdefault(request.nonce, (request.id, who))
            while len(self._nonces) > MAX_NONCES:
                self._nonces.popitem(last=False)
            return earlier == (request.id, who)

    def _nonsense(self, plain: Any, message: str, person: Person, origin: str) -> CommandResult:
        known = plain if isinstance(plain, dict) else {}
        name = _text(known.get("id"))
        field, why = _named(message)
        order = Order(name, _who(person, origin), _text(known.get("action")), {}, "", 0)
        self._note_refusal(order, origin, field, why)
        return CommandResult(id=name, outcome="refused", why=why, field=field)


def _who(person: Person, origin: str) -> str:
    """Return who is asking and from where, as the node's journal shall name it."""
    return f"{person.name}@{origin.rpartition(' ')[2]}"[:64]


def _require_short(args: dict[str, Any]) -> None:
    if len(repr(args)) > MAX_ARGS_CHARS:
        raise ValueError(f"expected at most {MAX_ARGS_CHARS} characters - at `$.args`")


def _text(value: Any) -> str:
    return value[:64] if isinstance(value, str) and value.isprintable() else ""


def _named(message: str) -> tuple[str, str]:
    """Return the field that a message of msgspec is about, and the message."""
    words, _, path = message.partition(" - at `$")
    if path:
        return path.rstrip("`").lstrip("."), words
    quoted = message.split("`")
    return (quoted[1] if len(quoted) > 1 else "command"), message


def _nanoseconds(moment: int | str) -> int:
    if isinstance(moment, int):
        return moment * 1_000_000
    try:
        parsed = datetime.fromisoformat(moment)
        aware = parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
        return round(aware.timestamp() * 1e3) * 1_000_000
    except (ValueError, OverflowError):
        raise ValueError("expected ISO 8601 or UNIX milliseconds - at `$.expires_at`") from None
