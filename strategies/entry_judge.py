"""Who is asked about a resting entry: one interface for the model and for a user's own policy.

A judge is told of buckets and orders when they change, so that a trade within the approach band brings it
nothing but its time and price.
"""

import math
from dataclasses import dataclass
from typing import Any, Final, Protocol

from strategies.dynamic_cancel import Approach, CancelPolicy, OrderAwarePolicy, Verdict

NEVER_NS: Final = -(1 << 62)


@dataclass(frozen=True, slots=True)
class RestingEntry:
    """The order that is asked about.

    Parameters
    ----------
    direction
        +1 long, -1 short.
    entry_price, stop_price, target_price
        Quote currency.
    zone_low, zone_high
        The dealing range, quote currency.
    placed_ns, placed_seq
        When the entry was sent, UNIX nanoseconds, and the last bucket that had closed then.
    """

    direction: int
    entry_price: float
    stop_price: float
    target_price: float
    zone_low: float
    zone_high: float
    placed_ns: int
    placed_seq: int


class Structure(Protocol):
    """Gives the row of ``SNAPSHOT_DTYPE`` after the last bucket: `indicators.engine.StructureEngine`."""

    @property
    def snapshot(self) -> Any:
        """Return a copy."""
        ...

    @property
    def snapshot_bytes(self) -> memoryview:
        """Return a view that the next bucket changes."""
        ...


class EntryJudge(Protocol):
    """Decides on every trade within the approach band whether the entry may stay."""

    probability: float | None
    """The newest one that was estimated since it was last set to None."""

    def observe(self, packet: Any, structure: Structure, bias: int | None) -> None:
        """Take a closed bucket (a row of ``PACKET_DTYPE``), the structure and the bias after it."""
        ...

    def open_order(self, *, is_again: bool = False) -> None:
        """Begin with another order; `is_again` when the zone's entry was taken back before."""
        ...

    def hold(self, entry: RestingEntry) -> None:
        """Take what the order wants, when it rests and whenever that changes."""
        ...

    def ask(self, ts_ns: int, price: float) -> Verdict | None:
        """Return the verdict on a trade, UNIX nanoseconds and quote currency; None: stay, nothing to record.

        A verdict to record is the first after each bucket, and each that takes the entry back.
        """
        ...

    def outcome(self, probability: float, *, reached: bool) -> None:
        """Take what became of an order that was last decided upon with this probability."""
        ...

    def inputs(self) -> dict[str, str | int | float]:
        """Return what the last decision was made on."""
        ...

    def as_plain(self) -> dict[str, Any]:
        """Return what a summary says."""
        ...


class ApproachJudge:
    """Asks a policy of the user's own, and makes the `Approach` that it looks at.

    Parameters
    ----------
    policy
        An `OrderAwarePolicy` is also told of buckets, orders and outcomes.
    """

    def __init__(self, policy: CancelPolicy) -> None:
        self.probability: float | None = None
        self._policy = policy
        self._aware = policy if isinstance(policy, OrderAwarePolicy) else None
        self._interval_ns = 0 if self._aware is None else self._aware.min_interval_ns
        self._next_ns = NEVER_NS
        self._entry: RestingEntry
        self._structure: Structure
        self._packet: Any = None
        self._bias = math.nan
        self._bucket_seq = -1
        self._snapshot: Any = None
        self._is_first = False

    def observe(self, packet: Any, structure: Structure, bias: int | None) -> None:
        """Take a closed bucket."""
        self._packet, self._structure, self._snapshot = packet, structure, None
        self._bias = math.nan if bias is None else float(bias)
        self._is_first = True
        if self._aware is not None:
            self._snapshot = structure.snapshot
            self._aware.observe(packet, self._snapshot)

    def open_order(self, *, is_again: bool = False) -> None:
        """Begin with another order."""
        self._next_ns = NEVER_NS
        if self._aware is not None:
            self._aware.open_order(is_again=is_again)

    def hold(self, entry: RestingEntry) -> None:
        """Take what the order wants."""
        self._entry = entry

    def ask(self, ts_ns: int, price: float) -> Verdict | None:
        """Ask the policy, unless it asked for peace until later."""
        if ts_ns < self._next_ns or self._packet is None:
            return None
        self._next_ns = ts_ns + self._interval_ns
        is_first, self._is_first = self._is_first, False
        if is_first:
            self._bucket_seq = int(self._packet["seq"])
            if self._snapshot is None:
                self._snapshot = self._structure.snapshot
        entry = self._entry
        verdict = self._policy.decide(
            Approach(
                ts_ns=ts_ns,
                price=price,
                direction=entry.direction,
                entry_price=entry.entry_price,
                stop_price=entry.stop_price,
                target_price=entry.target_price,
                zone_low=entry.zone_low,
                zone_high=entry.zone_high,
                bucket_seq=self._bucket_seq,
                packet=self._packet,
                snapshot=self._snapshot,
                placed_ns=entry.placed_ns,
                placed_seq=entry.placed_seq,
                bias=self._bias,
            )
        )
        if verdict.probability is not None:
            self.probability = verdict.probability
        return verdict if is_first or verdict.cancel else None

    def outcome(self, probability: float, *, reached: bool) -> None:
        """Tell the policy."""
        if self._aware is not None:
            self._aware.outcome(probability, reached=reached)

    def inputs(self) -> dict[str, str | int | float]:
        """Return what the policy says that it decided on."""
        return {} if self._aware is None else self._aware.inputs()

    def as_plain(self) -> dict[str, Any]:
        """Return what the policy says about itself."""
        return {} if self._aware is None else self._aware.as_plain()


__all__ = ["ApproachJudge", "EntryJudge", "RestingEntry", "Structure"]
