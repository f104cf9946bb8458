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
from ml.features import NAMES, FeatureRing, OrderFacts, schema_hash
from ml.gate import Gate, GateRules
from ml.latency import LatencyHistogram
from ml.model import Wanted, load_model
from ml.passport import kernel_sha256
from packet_builder.packet import PACKET_DTYPE
from strategies.dynamic_cancel import Approach, Verdict

# Before the first bucket there is nothing to score.
NO_ROW: Final = math.nan


class ModelPolicy:
    """Decides on every trade of the approach whether the resting entry is still worth its risk.

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
        self.min_interval_ns = gate.rules.min_interval_ns
        self._fees = {"entry_fee": entry_fee, "stop_fee": stop_fee, "target_fee": target_fee}
        self._clock_ns = clock_ns
        self._ring = FeatureRing()
        self._all = np.empty(len(NAMES))
        self._columns = np.array([NAMES.index(name) for name in gate.names])
        self._order: tuple[object, ...] = ()
        self._facts: OrderFacts
        self._p_star = NO_ROW
        self._looked_in_bucket = -1

    def warm_up(self) -> None:
        """Compile what a decision runs, so that the first one is not seconds late."""
        ring = FeatureRing()
        ring.push(np.zeros((), PACKET_DTYPE), np.zeros((), SNAPSHOT_DTYPE))
        facts = OrderFacts(1, 1.0, 0.9, 1.2, 0.9, 1.2, 0, 0)
        ring.vector(facts, 1, 1.0, self._all)
        self.gate.row[:] = 0.0
        self.gate.model.probability()
        self.gate.decide(0, NO_ROW)
        self.gate.counts.clear()
        self.gate.open_order()

    def observe(self, packet: Any, snapshot: Any) -> None:
        """Take a closed bucket, rows of ``PACKET_DTYPE`` and ``SNAPSHOT_DTYPE``."""
        self._ring.push(packet, snapshot)

    def open_order(self, *, is_again: bool = False) -> None:
        """Begin with another resting order; `is_again` when this policy took the zone's entry back before."""
        self.gate.open_order(is_again=is_again)

    def decide(self, approach: Approach) -> Verdict:
        """Return the gate's ruling on this trade."""
        started_ns = self._clock_ns()
        self._fill(approach)
        ruling = self.gate.decide(approach.ts_ns, self._p_star)
        self.latency.add(self._clock_ns() - started_ns)
        # Rows within a bucket are nearly the same: once per bucket is an event.
        if approach.bucket_seq != self._looked_in_bucket:
            self._looked_in_bucket = approach.bucket_seq
            self.drift.observe(self.gate.row, ruling.probability)
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

    def _fill(self, approach: Approach) -> None:
        order = (
            approach.direction,
            approach.entry_price,
            approach.stop_price,
            approach.target_price,
            approach.zone_low,
            approach.zone_high,
            approach.placed_ns,
            approach.placed_seq,
            approach.bias,
        )
        if order != self._order:
            self._order = order
            self._facts = OrderFacts(*order)
            self._p_star = break_even(
                approach.entry_price, approach.stop_price, approach.target_price, **self._fees
            )
        if self._ring.is_empty:
            self.gate.row[:] = NO_ROW
            return
        self._ring.vector(self._facts, approach.ts_ns, approach.price, self._all)
        self.gate.row[:] = self._all[self._columns]


def load_model_policy(
    folder: str | Path,
    rules: GateRules,
    *,
    instrument_id: str,
    stream: str,
    bucket_usd: float,
    now_ns: int,
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
    instrument_id, stream, bucket_usd, now_ns
        What the host gives it, see `ml.model.Wanted`.
    entry_fee, stop_fee, target_fee
        Shares of the notional.

    Raises
    ------
    ModelRefused
        When the model must not decide here; the text says why.
    """
    wanted = Wanted(
        feature_names=NAMES,
        feature_schema=schema_hash,
        kernel_sha256=kernel_sha256(),
        instrument_id=instrument_id,
        stream=stream,
        bucket_usd=bucket_usd,
        now_ns=now_ns,
    )
    gate = Gate(load_model(folder, wanted), rules)
    policy = ModelPolicy(gate, entry_fee=entry_fee, stop_fee=stop_fee, target_fee=target_fee)
    policy.warm_up()
    return policy
