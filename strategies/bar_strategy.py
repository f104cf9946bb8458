"""A strategy on closed bars: it answers each bar with a signal or nothing, the rest is done here.

The signal contract holds for whatever derives from this: a signal that breaks it raises, one that is not
worth its risk, or comes at a bad moment, is recorded with its reason and not traded.
"""

from abc import abstractmethod
from collections import deque
from dataclasses import replace
from typing import Final

import msgspec
from nautilus_trader.model.data import Bar, BarType, TradeTick
from nautilus_trader.model.enums import OrderSide
from nautilus_trader.model.identifiers import InstrumentId

from indicators.average import RelativeStrength
from strategies.bar_signal import Candle
from strategies.bar_times import close_of
from strategies.config_checks import Ranges, check_choices, check_ranges
from strategies.deadline_watch import live_call_soon
from strategies.setup_keeper import DeskMemory, manager_of, with_manager
from strategies.setup_strategy import SetupStrategy
from strategies.signal import Signal, plan_of, refused
from strategies.signal_config import SignalConfig
from strategies.trade_manager.managed_setup import on_closed_bar
from strategies.trade_manager.management import RuleSetName, TradeManager, rules_of
from strategies.trade_manager.orders import ZERO, Leg
from strategies.trade_manager.plan import SideKind, side_allowed
from strategies.trade_manager.setup_rules import ExitRules
from strategies.trade_manager.sizing import (
    CASH_RESERVE,
    Funds,
    RiskRules,
    Size,
    quantity_for_volume,
    size_position,
)
from strategies.trade_manager.skips import Skip, SkipReason

# How long an exit that should have filled is waited for. Without trades the close of a bar is all there is.
PATIENCE_SECS: Final = 5.0


_RANGES: Final[Ranges] = {
    "min_reward_risk": (0, 100),
    "risk_per_trade_pct": (0.0001, 100),
    "max_notional_pct": (0.0001, 10_000),
    "trade_from_ns": (0, 1 << 62),
}


class BarStrategyConfig(SignalConfig, frozen=True, kw_only=True):
    """Settings that every strategy on closed bars has, besides those of `SignalConfig`.

    Parameters
    ----------
    instrument_id
        What to trade: one strategy instance per instrument.
    bar_type
        Bars to read, the instrument may be left out: ``5-MINUTE-LAST-INTERNAL`` are made of the trades (where
        nothing traded the last price goes on), ``5-MINUTE-LAST-EXTERNAL`` are klines of the catalog.
    side
        ``both``, ``long`` or ``short``; a spot account is long only whatever this says.
    min_reward_risk
        Signals below this gross reward over gross risk are skipped.
    risk_per_trade_pct
        Share of the equity lost when the stop is hit, percent, before fees.
    max_notional_pct
        Largest position, percent of the equity.
    management
        Rules at the close of each bar: ``off`` (stop and target alone), ``s0`` or ``s1``, see
        docs/trade-management.md.
    trade_from_ns
        No entries before this time (warm-up), UNIX nanoseconds.
    """

    RANGES = _RANGES

    instrument_id: InstrumentId
    bar_type: str = "5-MINUTE-LAST-INTERNAL"
    side: SideKind = "both"
    min_reward_risk: float = 1.0
    risk_per_trade_pct: float = 1.0
    max_notional_pct: float = 50.0
    management: RuleSetName = "off"
    trade_from_ns: int = 0

    def __post_init__(self) -> None:  # msgspec checks fields when it decodes only; this runs always
        super().__post_init__()
        check_choices(self, {"side": ("both", "long", "short")})
        check_ranges(self, _RANGES)
        rules_of(self.management)
        prefix = f"{self.instrument_id}-"
        text = self.bar_type if self.bar_type.startswith(prefix) else prefix + self.bar_type
        try:
            bar_type = BarType.from_str(text)
        except ValueError as error:
            raise ValueError(f"bar_type ({self.bar_type!r}) is none: {error}") from error
        if not bar_type.spec.is_time_aggregated() or bar_type.instrument_id.value != str(self.instrument_id):
            raise ValueError(f"bar_type ({self.bar_type!r}) must be bars of time of {self.instrument_id}")
        # Written out, so that whoever hosts the strategy finds which bars it needs.
        msgspec.structs.force_setattr(self, "bar_type", text)


class BarStrategy(SetupStrategy):
    """Turns the signals of a deriving strategy into managed trades, one at a time.

    Parameters
    ----------
    config
        See `BarStrategyConfig`.
    tag
        Short name in client order ids, at most 4 characters.
    """

    def __init__(self, config: BarStrategyConfig, tag: str) -> None:
        super().__init__(config, config.instrument_id, tag, ExitRules())
        self.bar_type = BarType.from_str(config.bar_type)
        self.signals = 0
        self._bar_ns = int(self.bar_type.spec.timedelta.total_seconds()) * 1_000_000_000
        self._last_close_ns = 0
        self._sees_trades = False
        self._strength = RelativeStrength()
        self._volumes: deque[float] = deque(maxlen=config.max_volume_bars)
        self._manager: TradeManager
        self._risk_rules = RiskRules(
            risk_per_trade_pct=config.risk_per_trade_pct,
            max_notional_pct=config.max_notional_pct,
            max_leverage=1,  # what the account's leverage allows is in its funds already
            min_stop_pct=config.min_stop_pct,
            min_stop_ticks=config.min_stop_ticks,
            min_stop_fees=config.min_stop_fees,
        )

    @staticmethod
    def base_bar_types(config: BarStrategyConfig) -> list[str]:
        """Return the bars on which a run without trades lives; none where the bars are made of trades."""
        return [config.bar_type] if config.bar_type.endswith("-EXTERNAL") else []

    # -- for the deriving strategy -------------------------------------------------------------------------

    def on_prepared(self) -> None:
        """Run when instrument and account are known, before the first bar."""

    @abstractmethod
    def signal_at(self, candle: Candle) -> Signal | None:
        """Return the possible trade that this closed bar completes, None for none.

        Called once for each closed bar, also while a position is open, so that indicators go on.
        """

    # -- events --------------------------------------------------------------------------------------------

    def on_start(self) -> None:
        """Read the instrument and subscribe to its bars and trades."""
        if not self.prepare():
            self.stop()
            return
        self.on_prepared()
        self.start_guards()
        call_soon = live_call_soon(self.clock)
        if call_soon is not None:
            self.watch_deadlines(call_soon)
        self.subscribe_trade_ticks(self.instrument_id)  # without them bars alone move the setup
        self.subscribe_bars(self.bar_type)

    def on_stop(self) -> None:
        """Take a living entry back; a position keeps its exits at the venue."""
        self.stop_guards()
        self.stop_setup()

    def on_trade_tick(self, tick: TradeTick) -> None:
        """Watch prices and deadlines of the open setup."""
        self._sees_trades = True
        setup = self.setup
        if setup is not None and setup.is_watching:
            actions = setup.on_price(tick.ts_event, tick.price.as_double())
            if actions:
                self.carry_out(setup, actions)

    def memory(self) -> DeskMemory:
        """Return what is kept besides setups: where the rules of the living trade stand, too."""
        return with_manager(super().memory(), getattr(self, "_manager", None))

    def take_memory(self, memory: DeskMemory) -> None:
        """Take what was kept besides setups."""
        super().take_memory(memory)
        manager = manager_of(memory, rules_of(self.config.management), self.market.tick_size)
        if manager is not None:
            self._manager = manager

    def on_bar(self, bar: Bar) -> None:
        """Manage the open trade, then ask for a signal and decide about it."""
        if bar.ts_event <= self._last_close_ns:
            self.count("bars_repeated")
            return
        self._last_close_ns = bar.ts_event
        self.count("bars")
        candle = self._candle(bar)
        self._volumes.append(candle.volume)
        strength = self._strength.update(candle.close)
        setup = self.setup
        if setup is not None and not setup.is_closed:
            actions = on_closed_bar(
                setup,
                self._manager,
                open_ns=candle.open_ns,
                close_ns=candle.close_ns,
                high=candle.high,
                low=candle.low,
                close=candle.close,
                rsi=strength,
            )
            self.carry_out(setup, actions)
        self.mind_equity(candle.close_ns)
        signal = self.signal_at(candle)
        if signal is not None:
            self._decide_signal(signal, candle)

    def funds(self) -> Funds:
        """Return what the account may spend, without what market entries on their way will take."""
        funds = super().funds()
        taken = ZERO
        # By the notional at the last price: until they are acknowledged the balance still counts their money.
        for order in self.cache.orders_inflight(venue=self.instrument_id.venue):
            is_long = order.side == OrderSide.BUY
            if order.has_price or order.tags != [Leg.ENTRY.name] or not (is_long or self.market.shorts):
                continue
            taken += order.leaves_qty.as_decimal() * (self.price_of(order.instrument_id) or ZERO)
        return Funds(funds.equity, max(funds.spendable - taken, ZERO))

    # -- decisions -----------------------------------------------------------------------------------------

    def _decide_signal(self, signal: Signal, candle: Candle) -> None:
        """Trade a signal or record why not."""
        if signal.ts_ns != candle.close_ns or signal.instrument_id != self.instrument_id.value:
            raise ValueError(
                f"signal of {signal.instrument_id} at {signal.ts_ns} answers the bar of "
                f"{self.instrument_id} that closed at {candle.close_ns}"
            )
        number, self.signals = self.signals, self.signals + 1
        size = self._skip_or_size(signal)
        skip = size if isinstance(size, Skip) else None
        self.count("signals")
        self.decide(
            "signal_taken" if skip is None else "signal_skipped",
            ts_ns=signal.ts_ns,
            side=signal.side,
            zone_id=number,
            reason="" if skip is None else skip.reason.value,
            price=str(signal.entry),
            stop=str(signal.stop),
            target=str(signal.target),
            qty="" if isinstance(size, Skip) else str(size.qty),
            detail={
                "confidence": signal.confidence,
                **{f"factor_{name}": points for name, points in signal.factors.items()},
                **signal.metadata,
                **({} if skip is None else {"figure": skip.figure, "limit": skip.limit, "text": skip.text}),
            },
        )
        if isinstance(size, Skip):
            self.count(f"signals_skipped_{size.reason.value}")
            return
        self.count("signals_taken")
        patience_secs = PATIENCE_SECS if self._sees_trades else 0.0
        self.exit_rules = replace(self.exit_rules, exit_market_after_secs=patience_secs)
        self._manager = TradeManager(rules_of(self.config.management), self.market.tick_size)
        self.open_setup(plan_of(signal, size, number=number), signal.ts_ns, signal.ts_ns)

    def _skip_or_size(self, signal: Signal) -> Size | Skip:
        """Return how much to trade, or why not: first the moment, then the signal, then the account."""
        config = self.config
        if signal.ts_ns < config.trade_from_ns:
            return Skip(SkipReason.WARM_UP)
        if self.closed_to_entries is not None:
            return Skip(self.closed_to_entries)
        if not side_allowed(signal.direction, config.side, shorts=self.market.shorts):
            return Skip(SkipReason.SIDE)
        weak = refused(signal, config.min_reward_risk)
        if weak is not None:
            return weak
        if self.setup is not None and not self.setup.is_closed:
            return Skip(SkipReason.IN_POSITION)
        pause = self.paused(signal.ts_ns)
        if pause is not None:
            return pause
        funds = self.funds()
        reserve = CASH_RESERVE if self.account_kind() == "cash" else ZERO
        return size_position(
            signal.entry,
            signal.stop,
            signal.target,
            rules=self._risk_rules,
            market=self.market,
            equity=funds.equity,
            free_margin=funds.spendable * (1 - reserve),
            max_qty=quantity_for_volume(self._volumes, config.max_volume_pct),
        )

    def _candle(self, bar: Bar) -> Candle:
        close_ns = close_of(bar.ts_event, self._bar_ns)
        return Candle(
            instrument_id=self.instrument_id.value,
            open_ns=close_ns - self._bar_ns,
            close_ns=close_ns,
            open=bar.open.as_double(),
            high=bar.high.as_double(),
            low=bar.low.as_double(),
            close=bar.close.as_double(),
            volume=bar.volume.as_double(),
        )


__all__ = ["BarStrategy", "BarStrategyConfig", "Candle", "check_ranges"]
