"""What a scored bar of a coin proposes: entry, stop and target, with the reasons of its score."""

from collections.abc import Mapping
from decimal import Decimal

from indicators.confluence.explain import explain, summary
from strategies.close_bars import CoinBar
from strategies.coin_desk import CoinDesk
from strategies.confluence_config import ConfluenceConfig
from strategies.signal import SideName, Signal
from strategies.trade_manager.increments import round_down
from strategies.trade_manager.plan import side_allowed
from strategies.trade_manager.skips import Skip, SkipReason
from strategies.trade_manager.targets import atr_stop_and_target


def coin_signal(
    desk: CoinDesk, bar: CoinBar, config: ConfluenceConfig, metadata: Mapping[str, str | int | float]
) -> Signal | Skip:
    """Return the trade that a bar proposes, or why it has no sane prices.

    Parameters
    ----------
    desk, bar
        The coin and its closed bar, with a side.
    config
        Of the strategy.
    metadata
        What else is to be on record.
    """
    direction, tick = bar.side, desk.market.tick_size
    close = Decimal(str(bar.close))
    stop, target = atr_stop_and_target(
        direction,
        close,
        bar.atr,
        stop_atr=desk.rules.stop_atr,
        target_atr=desk.rules.target_atr,
        tick_size=tick,
    )
    entry = close
    if config.entry == "hybrid":
        better = float(close) * (1 - direction * config.hybrid_better_pct / 100)
        entry = round_down(better, tick, direction)
    if stop <= 0 or target <= 0 or (entry - stop) * direction <= 0 or (target - entry) * direction <= 0:
        return Skip(SkipReason.NO_STOP_DISTANCE, float(entry - stop))
    side: SideName = "long" if direction > 0 else "short"
    texts = explain(bar.row, desk.score, side)
    return Signal(
        instrument_id=desk.name,
        ts_ns=bar.close_ns,
        side=side,
        entry=entry,
        stop=stop,
        target=target,
        confidence=min(bar.score, 100.0) / 100,
        factors={text.factor: text.points for text in texts if text.points},
        metadata={
            "why": summary(bar.row, desk.score, side),
            "atr": bar.atr,
            "bias": bar.bias,
            **({"category": desk.rules.category} if desk.rules.category else {}),
            **metadata,
        },
    )


def unfit(signal: Signal, desk: CoinDesk, config: ConfluenceConfig) -> Skip | None:
    """Return why a signal is not worth a trade on its coin, whatever is open; None when it is."""
    if signal.ts_ns < config.trade_from_ns:
        return Skip(SkipReason.WARM_UP)
    if not side_allowed(signal.direction, config.side, shorts=desk.market.shorts):
        return Skip(SkipReason.SIDE)
    fees = (signal.entry + signal.target) * desk.market.taker_fee
    if abs(signal.target - signal.entry) <= fees:
        return Skip(SkipReason.FEES, float(abs(signal.target - signal.entry)), float(fees))
    if desk.rules.min_turnover and desk.turnover < desk.rules.min_turnover:
        return Skip(SkipReason.LOW_TURNOVER, desk.turnover, desk.rules.min_turnover)
    return None
