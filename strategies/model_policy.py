"""The cancel policy that asks a model: features of the approach, its probability, the gate's rule."""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from indicators.snapshot import SNAPSHOT_DTYPE
from ml.break_even import break_even
from ml.drift import DriftMonitor
from ml.features import FeatureRing, OrderFacts
from ml.gate import Gate, GateRules
from ml.latency import LatencyHistogram
from ml.model import Wanted, load_model
from packet_builder.packet import PACKET_DTYPE
from strategies.dynamic_cancel import Verdict
from strategies.entry_judge import NEVER_NS, RestingEntry, Structure

NO_BIAS: Final = math.nan


class ModelPolicy:
    """Decides on every trade of the approach whether the resting entry is still worth its risk.

    An `EntryJudge`: buckets and orders are written where the compiled chain reads them, and a trade is one
    call of it. While the probability stays where the last ruling holds, nothing else happens.

    Parameters
    ----------
    gate
        With a loaded model.
    entry_fee, stop_fee, target_fee
        Shares of the notional, for the break-even of each order.
    clock_ns
        Measures how long decisions take; their content never depends on it.
    """

    def __init__(
        self,
        gate: Gate,
        *,
        entry_fee: float,
        stop_fee: float,
        target_fee: float,
        clock_ns: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        self.gate = gate
        self.latency = LatencyHistogram()
        self.drift = DriftMonitor(gate.model.passport)
        self.probability: float | None = None
        self._fees = {"entry_fee": entry_fee, "stop_fee": stop_fee, "target_fee": target_fee}
        self._clock_ns = clock_ns
        self._ring = FeatureRing()
        self.look = gate.look.from_ring(self._ring)
        """The chain alone: time, UNIX nanoseconds, and price of a trade to its probability, NaN if unfit."""
        self._bias = NO_BIAS
        self._p_star = math.nan
        self._interval_ns = gate.rules.min_interval_ns
        self._next_ns = NEVER_NS
        self._is_first = False  # of its bucket
        self._is_first_look = True  # at its order

    def warm_up(self) -> None:
        """Compile what a decision runs, so that the first one is not seconds late."""
        self._ring.push(np.zeros((), PACKET_DTYPE), np.zeros((), SNAPSHOT_DTYPE))
        self._ring.hold(OrderFacts(1, 1.0, 0.9, 1.2, 0.9, 1.2, 0, 0))
        self.look(1, 1.0)
        self.gate.row[:] = 0.0
        self.gate.look.score()
        self._ring.reset()

    def observe(self, packet: Any, structure: Structure, bias: int | None) -> None:
        """Take a closed bucket, a row of ``PACKET_DTYPE``, with structure and bias after it."""
        self._ring.push(packet, structure.snapshot_bytes)
        self._bias = NO_BIAS if bias is None else float(bias)
        self._ring.set_bias(self._bias)
        self._is_first = True
        self.gate.at_time(int(packet["ts_close_ns"]))

    def open_order(self, *, is_again: bool = False) -> None:
        """Begin with another resting order; `is_again` when this policy took the zone's entry back before."""
        self._is_first_look = True
        self.gate.open_order(is_again=is_again)
        self._next_ns = NEVER_NS

    def hold(self, entry: RestingEntry) -> None:
        """Take what the order wants, and compute its break-even."""
        self._ring.hold(
            OrderFacts(
                entry.direction,
                entry.entry_price,
                entry.stop_price,
                entry.target_price,
                entry.zone_low,
                entry.zone_high,
                entry.placed_ns,
                entry.placed_seq,
                self._bias,
            )
        )
        self._p_star = break_even(entry.entry_price, entry.stop_price, entry.target_price, **self._fees)
        self.gate.order_moved()

    def ask(self, ts_ns: int, price: float) -> Verdict | None:
        """Return the gate's ruling on this trade, None where it stays as it was and nothing is to record."""
        if ts_ns < self._next_ns:
            return None
        self._next_ns = ts_ns + self._interval_ns
        started_ns = self._clock_ns()
        probability = self.look(ts_ns, price)
        gate = self.gate
        if gate.stays_from <= probability <= 1.0 and not self._is_first:  # NaN is neither
            gate.stay()
            self.probability = probability
            self.latency.add(self._clock_ns() - started_ns)
            return None
        ruling = gate.rule(probability, self._p_star)
        self.latency.add(self._clock_ns() - started_ns)
        if ruling.probability is not None:
            self.probability = ruling.probability
        is_first, self._is_first = self._is_first, False
        if self._is_first_look:  # looks at one order are nearly the same: the first is an event
            self._is_first_look = False
            self.drift.observe(gate.row, ruling.probability)
        if not is_first and not ruling.cancel:
            return None
        return Verdict(ruling.cancel, ruling.probability, ruling.threshold, ruling.reason)

    def outcome(self, probability: float, *, reached: bool) -> None:
        """Take what became of an order that was decided upon with this probability."""
        self.drift.outcome(probability, reached)

    def inputs(self) -> dict[str, str | int | float]:
        """Return what the last decision was made on, by name."""
        inputs: dict[str, str | int | float] = {
            name: value for name, value in self.gate.inputs().items() if math.isfinite(value)
        }
        missing = [name for name in self.gate.names if name not in inputs]
        if missing:
            inputs["missing"] = ",".join(missing)
        return {**inputs, "p_star": self._p_star} if math.isfinite(self._p_star) else inputs

    def as_plain(self) -> dict[str, Any]:
        """Return what a summary says about model, decisions and their latency."""
        return {**self.gate.as_plain(), "latency": self.latency.as_plain(), "drift": self.drift.as_plain()}


def load_model_policy(
    folder: str | Path,
    rules: GateRules,
    wanted: Wanted,
    *,
    entry_fee: float,
    stop_fee: float,
    target_fee: float,
) -> ModelPolicy:
    """Load a model in the guarded way and return its policy.

    Parameters
    ----------
    folder
        Holds ``model.json`` and ``passport.json``.
    rules
        How its probability becomes a decision.
    wanted
        What the host gives it.
    entry_fee, stop_fee, target_fee
        Shares of the notional.

    Raises
    ------
    ModelRefused
        When the model must not decide here; the text says why.
    """
    gate = Gate(load_model(folder, wanted), rules)
    policy = ModelPolicy(gate, entry_fee=entry_fee, stop_fee=stop_fee, target_fee=target_fee)
    policy.warm_up()
    return policy
