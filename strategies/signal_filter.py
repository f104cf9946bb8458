"""The win-probability filter of signals: what is measured of each, what became of it, and what a model says.

Measured, followed and recorded is every signal, with a model or without: a dataset is made of the records of
a run (`ml dataset --signals`), so training sees what the strategy saw.
"""

import hashlib
import heapq
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

import numpy as np

from ml.break_even import break_even
from ml.gate import may_miss
from ml.look import Look
from ml.model import Model, Wanted, load_model
from ml.model_fit import fit_notes, require_fit
from ml.passport import Setting, kernel_sha256
from ml.signal_features import NAMES, RecentWins, schema_hash, signal_row
from ml.signal_measures import BarWindow, Window, measure
from ml.signal_outcomes import Outcome, SignalFees, SignalWalk
from strategies.signal import Signal
from strategies.trade_manager.skips import Skip, SkipReason

NANOS: Final = 1_000_000_000
FEATURE: Final = "feature_"
BPS: Final = 10_000
VOLUME_DECIMALS: Final = 8  # no venue has more


class ClosedBar(Protocol):
    """What is read of a coin's closed bar."""

    close_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    atr: float
    rsi: float


class ClosingBars(Protocol):
    """The bars of one close time; see `strategies.close_bars.CloseBars`."""

    def arrived(self) -> Iterable[tuple[str, Any]]:
        """Return bars that nothing but their reader keeps, with their coins."""

    def get(self, name: str) -> Any:
        """Return a coin's `ClosedBar`, None where it has none."""

    def window(self, name: str) -> Window | None:
        """Return a coin's last bars up to this close time where columns hold them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterRules:
    """How a probability becomes a decision.

    Parameters
    ----------
    on_unfit
        What happens to a signal when its features cannot be scored, or the model has expired.
    missing
        ``refuse``: a signal with an unknown feature is unfit, unless the training never had it;
        ``as_trained``: it is scored where the training had such signals.
    obeys_without_skill
        Obey a model whose validation found no skill.
    """

    on_unfit: Literal["skip", "keep"] = "skip"
    missing: Literal["refuse", "as_trained"] = "refuse"
    obeys_without_skill: bool = False


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the model says about one signal.

    Parameters
    ----------
    probability
        That it earns something, 0 to 1; None where it must not be scored.
    threshold
        What is asked for, 0 to 1.
    reason
        ``kept``, ``below_threshold``, ``unfit_row``, ``expired`` or ``no_skill``.
    skips
        The signal must be left.
    column
        The feature that cannot be scored, empty otherwise.
    """

    probability: float | None
    threshold: float
    reason: str
    skips: bool
    column: str = ""


class SignalModel:
    """A loaded model and the rule that makes decisions of its probabilities.

    Parameters
    ----------
    model
        Loaded by `ml.model.load_model`.
    rules
        See `FilterRules`.
    """

    def __init__(self, model: Model, rules: FilterRules) -> None:
        self.model = model
        self.counts: Counter[str] = Counter()
        self.is_in_force = model.has_skill or rules.obeys_without_skill
        self._rules = rules
        self._look = Look(model, may_miss(model, rules.missing))
        self._names = tuple(one.name for one in model.passport.features)
        self._columns = [NAMES.index(name) for name in self._names]

    def estimate(self, row: Any, p_star: float, least: float | None, now_ns: int) -> Estimate:
        """Return what the model says.

        Parameters
        ----------
        row
            Features in the order of `ml.signal_features.NAMES`, shape (23,).
        p_star
            Break-even probability of the signal.
        least
            Smallest probability that is taken; None asks for `p_star` and the margin of the passport.
        now_ns
            UNIX nanoseconds.
        """
        threshold = p_star + self.model.passport.decision.margin if least is None else least
        found = self._estimate(row, threshold, now_ns)
        self.counts[found.reason] += 1
        return found

    def _estimate(self, row: Any, threshold: float, now_ns: int) -> Estimate:
        is_unfit_skipped = self.is_in_force and self._rules.on_unfit == "skip"
        if now_ns >= self.model.passport.expires_ns and self.is_in_force:
            return Estimate(None, threshold, "expired", is_unfit_skipped)
        self._look.row[:] = row[self._columns]
        probability = self._look.score()
        column = self._names[self._look.unfit] if self._look.unfit >= 0 else ""
        if not column and not 0 <= probability <= 1:
            column = "probability"
        if column or not math.isfinite(threshold):
            return Estimate(None, threshold, "unfit_row", is_unfit_skipped, column or "p_star")
        if not self.is_in_force:
            return Estimate(probability, threshold, "no_skill", skips=False)
        if probability < threshold:
            return Estimate(probability, threshold, "below_threshold", skips=True)
        return Estimate(probability, threshold, "kept", skips=False)

    def as_plain(self) -> dict[str, Any]:
        """Return what a summary says about model and decisions."""
        passport = self.model.passport
        return {
            "model_id": passport.model_id,
            "model_sha256": passport.model_sha256,
            "verdict": passport.verdict,
            "in_force": self.is_in_force,
            "expires_ns": passport.expires_ns,
            "on_unfit": self._rules.on_unfit,
            "scored_by": self.model.kind,
            "trained_ns": [passport.data.start_ns, passport.data.end_ns],
            "notes": list(self.model.notes),
            "decisions": dict(sorted(self.counts.items())),
        }


@dataclass(frozen=True, slots=True)
class Followed:
    """A signal whose outcome is now known."""

    number: int
    signal: Signal
    fees: SignalFees
    outcome: Outcome


class SignalFilter:
    """Measures, judges and follows the signals of many coins.

    Parameters
    ----------
    names
        Nautilus ids.
    market
        Id of the coin that stands for the market, empty for none.
    fees
        By id; asked when the first signal comes.
    least
        Smallest probability by id, None for the break-even; see `SignalModel.estimate`.
    """

    def __init__(
        self,
        names: Collection[str],
        market: str,
        fees: Callable[[str], SignalFees],
        least: Callable[[str], float | None],
    ) -> None:
        self.model: SignalModel | None = None
        self._windows = {name: BarWindow() for name in names}
        self._market = market
        self._fees, self._least = fees, least
        self._wins = RecentWins()
        self._known: list[tuple[int, int, int, str, bool]] = []  # heap of outcomes that are not counted yet
        self._open: dict[str, list[tuple[int, Signal, SignalWalk]]] = {}
        self._bars: ClosingBars | None = None
        self._details: dict[str, dict[str, str | int | float]] = {}
        self._estimates: dict[str, Estimate] = {}
        self._stamp = features_stamp()

    def push(self, close_ns: int, bars: ClosingBars) -> list[Followed]:
        """Take the bars of a close time, before its signals; return the signals that ended in it.

        Parameters
        ----------
        close_ns
            UNIX nanoseconds, later than before.
        bars
            By Nautilus id; who has none is left out.
        """
        self._details.clear()
        self._estimates.clear()
        # An outcome of this very close is not yet among the win rates: equal times have no order.
        while self._known and self._known[0][0] < close_ns:
            _, _, _, name, won = heapq.heappop(self._known)
            self._wins.add(name, won=won)
        self._bars = bars
        for name, bar in bars.arrived():
            self._keep(name, bar)
        if not self._open:
            return []
        found = ((name, bars.get(name)) for name in sorted(self._open))
        return [one for name, bar in found if bar is not None for one in self._step(name, bar)]

    def push_late(self, name: str, bar: ClosedBar) -> list[Followed]:
        """Take a coin's next bar after its close time was decided; return the signals that ended in it.

        What is measured at later close times is then what it would be, had the bar come in time. A coin's own
        bars come in their order, or not at all.
        """
        self._keep(name, bar)
        return self._step(name, bar) if name in self._open else []

    def renew(self, name: str, bars: Iterable[ClosedBar]) -> None:
        """Measure a coin by other bars than it was shown, oldest first; signals that are followed go on."""
        self._windows[name] = BarWindow()
        for bar in bars:
            self._keep(name, bar)

    def _keep(self, name: str, bar: ClosedBar) -> None:
        # To the float nearest to its decimals: a volume counted in lots must be the same bits.
        volume = round(bar.volume, VOLUME_DECIMALS)
        secs = bar.close_ns // NANOS
        self._windows[name].push(secs, bar.high, bar.low, bar.close, volume, bar.atr, bar.rsi)

    def _window(self, name: str) -> Window:
        """Return a coin's bars up to the close time that is decided."""
        assert self._bars is not None
        return self._bars.window(name) or self._windows[name]

    def _step(self, name: str, bar: ClosedBar) -> list[Followed]:
        ended: list[Followed] = []
        going = []
        for number, signal, walk in self._open[name]:
            outcome = walk.step(bar.close_ns, bar.open, bar.high, bar.low, bar.close)
            if outcome is None:
                going.append((number, signal, walk))
                continue
            ended.append(Followed(number, signal, self._fees(name), outcome))
            key = (outcome.closed_ns, signal.ts_ns, number)
            heapq.heappush(self._known, (*key, name, outcome.net_r > 0))
        self._open[name] = going
        if not going:
            del self._open[name]
        return ended

    def look(self, signal: Signal, score: float) -> None:
        """Measure a signal of the newest close time, and ask the model where there is one.

        Parameters
        ----------
        signal
            Of a coin whose bar of this close time was pushed.
        score
            0 to 100.
        """
        name = signal.instrument_id
        market = self._window(self._market) if self._market in self._windows else None
        measured = measure(self._window(name), market, signal.direction, score, signal.factors)
        row = signal_row(measured, name, signal.direction, signal.ts_ns, self._wins)
        detail: dict[str, str | int | float] = {
            f"{FEATURE}{one}": value
            for one, value in zip(NAMES, row.tolist(), strict=True)
            if math.isfinite(value)
        }
        detail["features"] = self._stamp
        self._details[name] = detail
        if self.model is not None:
            fees = self._fees(name)
            p_star = break_even(
                float(signal.entry),
                float(signal.stop),
                float(signal.target),
                entry_fee=fees.entry,
                stop_fee=fees.stop,
                target_fee=fees.target,
            )
            found = self.model.estimate(row, p_star, self._least(name), signal.ts_ns)
            self._estimates[name] = found
            detail["model"] = found.reason
            if found.column:
                detail["model_unfit"] = found.column

    def check(self, signal: Signal) -> Skip | None:
        """Return why the model leaves a signal, None where it does not or there is none."""
        found = self._estimates.get(signal.instrument_id)
        if found is None or not found.skips:
            return None
        if found.probability is None:
            text = found.column and f"{found.column} cannot be scored"
            return Skip(SkipReason.MODEL, 0.0, found.threshold, text or "the model has expired")
        return Skip(SkipReason.MODEL, found.probability, found.threshold)

    def record_of(self, name: str) -> tuple[dict[str, str | int | float], float | None, float | None]:
        """Return what goes on record of a coin's signal: detail, probability and threshold."""
        found = self._estimates.get(name)
        detail = self._details.get(name, {})
        return (detail, None, None) if found is None else (detail, found.probability, found.threshold)

    def follow(self, number: int, signal: Signal) -> None:
        """Follow a signal that was put on record, from the next bar on."""
        if signal.instrument_id not in self._details:
            return  # it came late and was not measured
        walk = SignalWalk(
            signal.direction,
            float(signal.entry),
            float(signal.stop),
            float(signal.target),
            signal.ts_ns,
            self._fees(signal.instrument_id),
        )
        self._open.setdefault(signal.instrument_id, []).append((number, signal, walk))


def outcome_detail(ended: Followed) -> dict[str, str | int | float]:
    """Return what goes on record of an outcome, beside its time and ending."""
    outcome, fees = ended.outcome, ended.fees
    return {
        "decided_ns": ended.signal.ts_ns,
        "entry_price": outcome.entry_price,
        "net_r": outcome.net_r,
        "entry_fee": fees.entry,
        "stop_fee": fees.stop,
        "target_fee": fees.target,
    }


def features_stamp() -> str:
    """Return what tells the definitions of the features apart, 16 hexadecimal digits."""
    return hashlib.sha256(f"{schema_hash()}{kernel_sha256('signal')}".encode()).hexdigest()[:16]


def load_signal_model(folder: str, rules: FilterRules, wanted: Collection[Wanted]) -> SignalModel:
    """Load a model in the guarded way, once, after it was found fit for every coin.

    Parameters
    ----------
    folder
        Holds ``model.json`` and ``passport.json``.
    rules
        See `FilterRules`.
    wanted
        What each coin gives it; at least one.

    Raises
    ------
    ModelRefused
        When it must not decide about one of them; the text says which and why.
    """
    first, *others = wanted
    model = load_model(folder, first)
    notes = list(model.notes)
    for one in others:
        require_fit(model.passport, one)
        notes += fit_notes(model.passport, one)
    loaded = Model(model.passport, model.scorer, model.kind, tuple(notes))
    found = SignalModel(loaded, rules)
    # What a decision runs is compiled here, so that the first one is not seconds late.
    found.estimate(np.zeros(len(NAMES)), 0.5, None, 0)
    found.counts.clear()
    return found


def signal_wanted_of(
    instrument_id: str,
    timeframe: str,
    now_ns: int,
    *,
    strategy: tuple[str, str],
    parameters: Mapping[str, Setting],
    maker_fee: float,
    taker_fee: float,
) -> Wanted:
    """Return what one coin of a strategy gives a model of signals.

    Parameters
    ----------
    instrument_id, timeframe
        Nautilus id, and for example ``5m``.
    now_ns
        First decision, UNIX nanoseconds.
    strategy
        Name and version.
    parameters
        Settings that shape its signals and their outcomes.
    maker_fee, taker_fee
        Shares of the notional.
    """
    return Wanted(
        kind="signal",
        feature_names=NAMES,
        feature_schema=schema_hash,
        kernel_sha256=kernel_sha256("signal"),
        instrument_id=instrument_id,
        stream="klines",
        bucket_usd=0.0,
        timeframe=timeframe,
        now_ns=now_ns,
        strategy=strategy[0],
        strategy_version=strategy[1],
        parameters=parameters,
        maker_fee_bps=maker_fee * BPS,
        taker_fee_bps=taker_fee * BPS,
    )


__all__ = [
    "Estimate",
    "FilterRules",
    "Followed",
    "SignalFilter",
    "SignalModel",
    "features_stamp",
    "load_signal_model",
    "outcome_detail",
    "signal_wanted_of",
]
