"""What the server needs of the rest of the program; whoever starts it hands objects over that can do it.

`ui` knows neither the journal nor the node: these protocols are all it sees of them.
"""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, Protocol

type Plain = dict[str, Any]
type Outcome = Literal["done", "refused", "failed"]


class Order(NamedTuple):
    """A command for the node, as a browser or program sent it.

    Parameters
    ----------
    id, nonce
        Chosen by the sender: the same id again gets the same answer, a nonce counts once.
    who
        Name and address of the sender.
    action, args
        What to do.
    expires_at_ns
        UNIX nanoseconds; not executed from then on.
    """

    id: str
    who: str
    action: str
    args: Mapping[str, Any]
    nonce: str
    expires_at_ns: int


class Reply(NamedTuple):
    """What became of a command: its outcome, why, and what was done by name."""

    outcome: Outcome
    why: str = ""
    detail: Mapping[str, Any] = {}


class Node(Protocol):
    """Executes commands."""

    def execute(self, order: Order) -> Reply:
        """Send a command and wait for its outcome; a node that cannot be reached is one that `failed`."""


class Audit(Protocol):
    """Writes down who did what; it is on the disk when these return."""

    def access(self, actor: str, origin: str, action: str, outcome: str, reason: str = "") -> None:
        """Note a login, a connect, or a refusal."""

    def command(self, order: Order, origin: str, outcome: str, reason: str = "") -> None:
        """Note a command (``received``) before it is sent, and its outcome after."""

    def recent(self, limit: int) -> list[Plain]:
        """Return the last notes, newest first."""

    def trouble(self) -> str | None:
        """Return why notes do not reach the disk, None while they do; costs nothing."""


class Journal(Protocol):
    """Reads the journal; see :class:`runtime.journal.queries.JournalQueries`."""

    def rows(
        self,
        name: str,
        equal: Mapping[str, Any],
        from_ns: int = 0,
        to_ns: int | None = None,
        before: tuple[int, str, int] | None = None,
        limit: int = 1_000,
    ) -> list[Plain]:
        """Return rows of a table, newest first."""

    def signal_stats(self, equal: Mapping[str, Any], from_ns: int = 0, to_ns: int | None = None) -> Plain:
        """Return how many signals there were, were taken, and why not."""

    def signal_summary(self, equal: Mapping[str, Any], now_ns: int) -> list[Plain]:
        """Return each instrument's signals in short."""

    def trade_stats(self, equal: Mapping[str, Any], from_ns: int = 0, to_ns: int | None = None) -> Plain:
        """Return how many trades there were, won, and what they earned."""

    def explain(self, setup_id: str, session_id: str | None = None) -> Any:
        """Return how a trade came about."""


class Data(Protocol):
    """Asks catalogs, strategies and the paper account, in another process."""

    def ask(self, name: str, *args: Any) -> Any:
        """Return the answer of a function of `runtime.terminal.data`; raises `Unavailable` with its words."""


class QuestionError(ValueError):
    """A question that has no answer: `field` says which part of it is wrong."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class Unavailable(Exception):  # noqa: N818 - what is asked for is
    """What is asked for does not exist yet or cannot be reached; the message says how to get it.

    Parameters
    ----------
    message
        For people.
    names_paths
        It may name places of the server: for operators alone.
    """

    def __init__(self, message: str, *, names_paths: bool = False) -> None:
        super().__init__(message)
        self.names_paths = names_paths
