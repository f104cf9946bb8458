"""What the node's side of the terminal reads, and where it writes."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol


class Sink(Protocol):
    """Takes messages."""

    def publish(self, kind: str, payload: Any, ts_ns: int) -> None:
        """Take a message: its kind, its struct, UNIX nanoseconds."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetrySources:
    """Where the actor reads what the message bus does not say.

    Parameters
    ----------
    mode, session, version, config_hash
        As in `ui.protocol.NodeState`.
    strategies
        Gives the strategies of the node.
    equity
        Gives the account's worth, quote currency; None before there is an account.
    unprotected_secs
        Gives the longest time without a stop at the venue, by instrument.
    killed
        Gives why the node was killed, empty while it is not.
    limits
        Gives the risk limits as (name, used, limit).
    trading
        Gives what the risk engine allows, as in `ui.protocol.Risk`.
    latencies
        Gives figures of `ui.protocol.Latency` by name.
    events_topic
        Of notifications: objects with ``kind, ts_ns, text, severity``.
    call_soon
        Runs a function in the node's thread, because live timers do not; None in a backtest, where nothing is
        looked at by timer.
    day_file
        Remembers what the day began with, over restarts; None remembers nothing.
    on_bar
        Hears of each bar that the engine brings; None where bars are looked at, or known beforehand.
    """

    mode: str
    session: str
    strategies: Callable[[], Iterable[Any]]
    equity: Callable[[], Decimal | None]
    version: str = ""
    config_hash: str = ""
    unprotected_secs: Callable[[], Mapping[str, float]] = dict
    killed: Callable[[], str] = str
    limits: Callable[[], Iterable[tuple[str, float, float]]] = tuple
    trading: Callable[[], str] = lambda: "ACTIVE"
    latencies: Callable[[], Mapping[str, Any]] = dict
    events_topic: str = ""
    call_soon: Callable[[Callable[[], None]], Any] | None = None
    day_file: Path | None = None
    on_bar: Callable[[Any], None] | None = None


__all__ = ["Sink", "TelemetrySources"]
