"""The cancel policy: asked while price is close to the resting entry, before it fills."""

import importlib
import math
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class Approach:
    """What a policy may look at: nothing that was not known at ``ts_ns``.

    Parameters
    ----------
    ts_ns
        Time of the trade, UNIX nanoseconds.
    price
        Of the trade, quote currency.
    direction
        Of the setup, +1 long, -1 short.
    entry_price, stop_price, target_price
        Of the setup, quote currency.
    zone_low, zone_high
        The dealing range.
    bucket_seq
        Last closed bucket.
    packet
        That bucket, one row of ``PACKET_DTYPE``.
    snapshot
        State of the structure engine after it, one row of ``SNAPSHOT_DTYPE``.
    placed_ns, placed_seq
        When the entry was sent, UNIX nanoseconds, and the last bucket that had closed then.
    bias
        Higher-timeframe bias when the last bucket closed: +1, 0, -1; NaN without one.
    """

    ts_ns: int
    price: float
    direction: int
    entry_price: float
    stop_price: float
    target_price: float
    zone_low: float
    zone_high: float
    bucket_seq: int
    packet: Any
    snapshot: Any
    placed_ns: int = 0
    placed_seq: int = -1
    bias: float = math.nan


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a policy decided.

    Parameters
    ----------
    cancel
        Take the entry back.
    probability
        That the trade would work out, 0..1; None when the policy does not estimate it.
    threshold
        Below which it cancels.
    reason
        A snake_case word for the journal.
    """

    cancel: bool
    probability: float | None = None
    threshold: float | None = None
    reason: str = ""


@runtime_checkable
class CancelPolicy(Protocol):
    """Decides on every trade within the approach band whether the entry may stay."""

    def decide(self, approach: Approach) -> Verdict:
        """Return the verdict; a policy that cannot tell (NaN, no model) says cancel."""
        ...


@runtime_checkable
class OrderAwarePolicy(CancelPolicy, Protocol):
    """A policy that follows buckets and orders, and can say what it decided on: a model."""

    min_interval_ns: int

    def observe(self, packet: Any, snapshot: Any) -> None:
        """Take a closed bucket and the structure after it."""
        ...

    def open_order(self, *, is_again: bool = False) -> None:
        """Begin with another resting order."""
        ...

    def outcome(self, probability: float, *, reached: bool) -> None:
        """Take what became of an order that was last decided upon with this probability."""
        ...

    def inputs(self) -> dict[str, str | int | float]:
        """Return what the last decision was made on, for its record."""
        ...

    def as_plain(self) -> dict[str, Any]:
        """Return what a summary says about the policy."""
        ...


class KeepPolicy:
    """Let every entry stay. The strategy never asks it: the default costs nothing."""

    def decide(self, approach: Approach) -> Verdict:
        """Keep the entry."""
        del approach
        return Verdict(cancel=False)


KEEP = "strategies.dynamic_cancel:KeepPolicy"


def load_policy(path: str) -> CancelPolicy:
    """Import and build a policy.

    Parameters
    ----------
    path
        ``module:Class``; the class takes no arguments.

    Raises
    ------
    ValueError
        When there is no such class or it is not a policy.
    """
    module_name, _, class_name = path.partition(":")
    try:
        policy = getattr(importlib.import_module(module_name), class_name)()
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"cancel_policy {path!r} cannot be imported as module:Class ({error})") from error
    if not isinstance(policy, CancelPolicy):
        raise ValueError(  # noqa: TRY004 - the setting is wrong, not the call
            f"cancel_policy {path!r} has no method decide(approach)"
        )
    return policy
