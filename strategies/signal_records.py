"""Signals on record, numbered: taken, skipped and why, and what became of them."""

from collections.abc import Mapping

from indicators.confluence.explain import FACTORS
from strategies.close_bars import CoinBar
from strategies.coin_desk import CoinDesk
from strategies.decision_fields import side_name
from strategies.portfolio import Pick
from strategies.signal_filter import Followed, SignalFilter, outcome_detail
from strategies.trade_manager.sizing import Size
from strategies.trade_manager.skips import Skip
from strategies.universe_rule import UniverseGate


class SignalRecords:
    """Publishes every signal, traded or not.

    Parameters
    ----------
    signal_filter
        Measures signals and follows those on record.
    universe
        Whose coins may be entered.
    """

    def __init__(self, signal_filter: SignalFilter, universe: UniverseGate) -> None:
        self.number = 0
        """Of the newest signal, from 1."""
        self._filter, self._universe = signal_filter, universe

    def record(self, desk: CoinDesk, bar: CoinBar, one: Pick, size: Size | None) -> None:
        """Put a signal on record: taken, or with the reason why not."""
        signal, skip = one.signal, one.skip
        self.number += 1
        desk.count("signals")
        self._filter.follow(self.number, signal)
        measured, probability, threshold = self._filter.record_of(signal.instrument_id)
        detail: dict[str, str | int | float] = {
            "confidence": signal.confidence,
            "rank": one.rank,
            "reward_risk": float(signal.reward_risk),
            "close": bar.close,
            **{f"factor_{name}": signal.factors.get(name, 0.0) for name in FACTORS},
            **signal.metadata,
            **self._universe.mark(desk.name, signal.ts_ns),
            **measured,
        }
        if size is not None:
            detail |= {"leverage": size.leverage, "margin": float(size.margin), "risk": float(size.risk)}
        if skip is not None:
            desk.count(f"signals_skipped_{skip.reason}")
            detail |= {"figure": skip.figure, "limit": skip.limit, "text": skip.text}
        else:
            desk.count("signals_taken")
        desk.decide(
            "signal_taken" if skip is None else "signal_skipped",
            ts_ns=signal.ts_ns,
            side=signal.side,
            zone_id=self.number,
            reason="" if skip is None else skip.reason.value,
            price=str(signal.entry),
            stop=str(signal.stop),
            target=str(signal.target),
            qty="" if size is None else str(size.qty),
            probability=probability,
            threshold=threshold,
            detail=detail,
        )

    def record_unpriced(
        self, desk: CoinDesk, bar: CoinBar, skip: Skip, metadata: Mapping[str, str | int | float]
    ) -> None:
        """Put a signal without sane prices on record, and `metadata` with it."""
        self.number += 1
        desk.count("signals")
        desk.count(f"signals_skipped_{skip.reason}")
        desk.decide(
            "signal_skipped",
            ts_ns=bar.close_ns,
            side=side_name(bar.side),
            zone_id=self.number,
            reason=skip.reason.value,
            price=repr(bar.close),
            detail={
                "confidence": bar.score / 100,
                "figure": skip.figure,
                "atr": bar.atr,
                **metadata,
            },
        )


def record_outcome(desk: CoinDesk, ended: Followed) -> None:
    """Put on record what became of a signal, or would have become of it."""
    desk.decide(
        "signal_outcome",
        ts_ns=ended.outcome.closed_ns,
        side=ended.signal.side,
        zone_id=ended.number,
        reason=ended.outcome.ending,
        price=repr(ended.outcome.exit_price),
        detail=outcome_detail(ended),
    )
