"""Confluence on closed bars of many coins: the best signals of each close time, two positions at most.

Each bar is scored when it comes. Decisions wait until the bars of all coins of a close time are in, or until
`bar_wait_ms` later: which bar came first must not matter. Every signal is put on record, traded or not.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from nautilus_trader.model.data import Bar
from nautilus_trader.model.enums import AccountType
from nautilus_trader.model.events import OrderEvent
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.trading.strategy import Strategy

from strategies.bar_times import close_of
from strategies.close_bars import (
    ArrivedBars,
    CloseBars,
    CoinBar,
    Levels,
    ScoreFeed,
    ScoreRequest,
)
from strategies.close_rounds import NANOS_PER_MILLI, CloseRounds
from strategies.coin_desk import CoinDesk
from strategies.coin_signals import coin_signal, unfit
from strategies.coin_sizing import coin_size
from strategies.confluence_config import (
    ConfluenceConfig,
    bar_type_of,
    coin_of,
    loss_rules,
    portfolio_rules,
    score_config,
)
from strategies.deadline_watch import live_call_soon
from strategies.decision_fields import side_name
from strategies.guard_log import GuardLog
from strategies.guards import TradeGuards, result_of
from strategies.market_context import BITCOIN
from strategies.market_price import last_known_price
from strategies.past_closes import PastCloses
from strategies.portfolio import Holding, Pick, pick
from strategies.registry import StrategySpec
from strategies.setup_desk import COUNTED_FROM_ZERO
from strategies.signal import Signal, plan_of
from strategies.signal_filter import Followed
from strategies.signal_host import make_filter, signal_model
from strategies.signal_records import SignalRecords, record_outcome
from strategies.trade_manager.orders import ZERO
from strategies.trade_manager.plan import EntryKind
from strategies.trade_manager.record import ClosedTrade
from strategies.trade_manager.sizing import Size
from strategies.trade_manager.skips import Skip, SkipReason
from strategies.universe_rule import UniverseDays, UniverseGate

SPEC: Final = StrategySpec(
    name="confluence",
    version="1",
    summary="Best confluence scores of many coins' closed bars, managed positions",
    strategy_path="strategies.confluence:ConfluenceStrategy",
    config_path="strategies.confluence:ConfluenceConfig",
)
COUNTED_SCORES_FROM: Final = 70
SCORE_STEP: Final = 5


class ConfluenceStrategy(Strategy):
    """Trade the best confluence signals of many instruments of one venue.

    Parameters
    ----------
    config
        See `ConfluenceConfig`.
    """

    def __init__(self, config: ConfluenceConfig) -> None:
        super().__init__(config)
        self.counters: dict[str, int] = dict.fromkeys((*COUNTED_FROM_ZERO, "bars", "signals"), 0)
        names = sorted(one.value for one in config.instrument_ids)
        self._names = names
        self._feed: ScoreFeed | None = None
        self._fed_ns = -1
        self.coins: dict[str, CoinDesk] = {
            name: CoinDesk(self, config, InstrumentId.from_str(name), self.counters) for name in names
        }
        self.rounds = CloseRounds(self, names, config.bar_wait_ms, self._decide)
        self.guards = TradeGuards(loss_rules(config))
        self.universe = UniverseGate(config.universe_days)
        self._guard_log = GuardLog(self.guards)
        self._rules = portfolio_rules(config)
        self._signals_from = signals_from(config)
        self.filter = make_filter(self.coins, config, context_of(config))
        self._past = PastCloses(config, names, context_of(config), self.filter)
        self._handlers: dict[str, Callable[[Bar], None]] = {}
        self._early: list[tuple[str, CoinDesk, Bar]] | None = None
        self._records = SignalRecords(self.filter, self.universe)
        self._watches_equity = bool(config.max_daily_loss_pct or config.max_drawdown_pct)

    @property
    def desks(self) -> tuple[CoinDesk, ...]:
        """Return the desks of all coins, by name."""
        return tuple(self.coins.values())

    # -- life ----------------------------------------------------------------------------------------------

    def use_feed(self, feed: ScoreFeed) -> None:
        """Take bars and scores from columns (backtest); the engine's bars then only tell the time.

        Call it before the start. The columns are those of all instruments of the strategy.
        """
        self._feed = feed
        for desk in self.coins.values():
            desk.feed = feed

    def on_start(self) -> None:
        """Read the instruments and listen to their bars."""
        if not all(desk.prepare() for desk in self.coins.values()):
            self.stop()
            return
        if self.config.model:
            fees = {name: (desk.market.maker_fee, desk.market.taker_fee) for name, desk in self.coins.items()}
            self.filter.model = signal_model(self.config, SPEC, fees, self.clock.timestamp_ns())
        call_soon = self.rounds.call_soon = live_call_soon(self.clock)
        for name, desk in self.coins.items():
            if call_soon is not None:
                desk.watch_deadlines(call_soon)
            self._listen(name, desk)

    def on_stop(self) -> None:
        """Take entries back; positions keep their exits at the venue (or see ``manage_stop``)."""
        for topic, handler in self._handlers.items():
            self.msgbus.unsubscribe(topic=topic, handler=handler)
        self._handlers.clear()
        for desk in self.coins.values():
            desk.stop_setup()
        self.counters["bars_late"] = self.rounds.barrier.late

    def on_save(self) -> dict[str, bytes]:
        """Return what the guards remember."""
        return {"guards": self.guards.to_bytes()}

    def on_load(self, state: dict[str, bytes]) -> None:
        """Go on with the pauses of the session before."""
        if "guards" in state:
            self.guards = TradeGuards.from_bytes(loss_rules(self.config), state["guards"])
            self._guard_log = GuardLog(self.guards)

    def on_order_event(self, event: OrderEvent) -> None:
        """Hand a venue's report to the desk of its coin."""
        desk = self.coins.get(event.instrument_id.value)
        if desk is not None:
            desk.on_order_event(event)

    def on_closed_trade(self, trade: ClosedTrade) -> None:
        """Let the guards know of a closed trade."""
        self.guards.on_trade(result_of(trade))
        self._tell_pauses(trade.exit_ts_ns)

    def _tell_pauses(self, ts_ns: int) -> None:
        """Publish what changed; a pause that begins takes the entries back that wait in its scope."""
        for change in self._guard_log.changes(ts_ns):  # one of all coins is told by the first of them
            concerned = self.coins.get(change.pause.scope)
            desk = concerned or next(iter(self.coins.values()))
            desk.decide(change.kind, ts_ns=ts_ns, **change.fields())
            desk.count(f"{change.kind}_{change.pause.reason}")
            if change.kind == "pause_began":
                for one in self.coins.values() if concerned is None else (concerned,):
                    one.take_entry_back(change.pause.reason.value, ts_ns)

    def may_enter(self, desk: CoinDesk, ts_ns: int) -> Skip | None:
        """Return why a coin must not be entered at a moment (UNIX nanoseconds), whatever the signal."""
        if (closed := desk.closed_to_entries) is not None:
            return Skip(closed)
        return self.universe.check(desk.name, ts_ns) or self.guards.blocked(desk.name, ts_ns)

    # -- warm-up -------------------------------------------------------------------------------------------

    def hold_back(self) -> None:
        """Keep arriving bars aside until `go_on`: bars of before are still being read."""
        self._early = []

    def warm_up(self, close_ns: int, bars: Mapping[str, Levels]) -> None:
        """Take the bars of a close time that is over: scores, windows and context see it, nothing is decided.

        Parameters
        ----------
        close_ns
            UNIX nanoseconds, later than every one before.
        bars
            By instrument id; one that does not fit is left out.
        """
        scored: dict[str, CoinBar] = {}
        for name in sorted(bars):
            try:
                scored[name] = self.coins[name].take_levels(bars[name])
            except ValueError as error:
                self.coins[name].count("bars_refused")
                self.log.warning(f"{name} bar left out: {error}")
        self.rounds.barrier.pass_over(close_ns)
        self._remember(close_ns, ArrivedBars(self._names, scored))

    def begin_history(self, name: str) -> None:
        """Begin to read the bars of before of a coin once more, from the first one on."""
        self.coins[name].forget_prepared()

    def prepare_history(self, name: str, bars: Iterable[Levels]) -> None:
        """Score a part of the bars of before of a coin; `take_history` is called with all of them."""
        self.coins[name].prepare_bars(bars)

    def is_deciding(self, name: str) -> bool:
        """Tell whether a coin's bar waits for those of others."""
        return self.rounds.is_deciding(name)

    def take_history(self, name: str, bars: Sequence[Levels]) -> None:
        """Take all bars of a coin again, those of before too that its warm-up did not have.

        They take the place of what was seen of it. Not while `is_deciding`.

        Parameters
        ----------
        name
            Nautilus id.
        bars
            Oldest first, up to the last one that the coin was shown.
        """
        self.prepare_history(name, bars)
        self._past.renew(name, self.coins[name].use_prepared())

    def go_on(self) -> None:
        """Take the bars that arrived during the warm-up, and every later one as it comes."""
        early, self._early = self._early or [], None
        for name, desk, bar in early:
            if desk.last is None or close_of(bar.ts_event, self.config.ltf_secs * 10**9) > desk.last.close_ns:
                self.take_bar(name, desk, bar)

    def take_universe(self, days: UniverseDays) -> None:
        """Take who may be entered today; a live node tells it at its start and at midnight."""
        self.universe.replace(days)

    def perception_digest(self) -> str:
        """Return the SHA-256 of everything that later signals depend on; empty before the start."""
        seen = [one.seen for one in self.coins.values()]
        if self._feed is not None or None in seen:
            return ""
        digest = hashlib.sha256()
        for one in seen:
            assert one is not None
            digest.update(one.perceived())
        digest.update(self._past.perceived())
        return digest.hexdigest()

    # -- bars ----------------------------------------------------------------------------------------------

    def _listen(self, name: str, desk: CoinDesk) -> None:
        """Subscribe to a coin's bars, with a handler that knows whose they are."""
        bar_type = bar_type_of(desk.instrument_id, self.config.ltf_secs)
        self.subscribe_bars(bar_type)
        topic = f"data.bars.{bar_type}"

        def take(bar: Bar) -> None:
            if self._feed is None:
                self.take_bar(name, desk, bar)
            else:
                self.take_close(self._feed, bar.ts_event)

        if self.msgbus.is_subscribed(topic=topic, handler=self.handle_bar):
            self.msgbus.unsubscribe(topic=topic, handler=self.handle_bar)
            self.msgbus.subscribe(topic=topic, handler=take)
            self._handlers[topic] = take

    def on_bar(self, bar: Bar) -> None:
        """Take one closed bar where Nautilus hands it on itself."""
        name = bar.bar_type.instrument_id.value
        if self._feed is None:
            self.take_bar(name, self.coins[name], bar)
        else:
            self.take_close(self._feed, bar.ts_event)

    def take_close(self, feed: ScoreFeed, close_ns: int) -> None:
        """Take all bars of a close time out of columns, at the first bar of it that the engine brings."""
        if close_ns <= self._fed_ns:
            return
        self._fed_ns = close_ns
        bars = feed.advance(close_ns)
        self.counters["bars"] += bars.count
        self.counters["bars_ready"] = self.counters.get("bars_ready", 0) + bars.ready
        for name, bar in bars.scored():
            if bar.score >= COUNTED_SCORES_FROM:
                self._count_score(self.coins[name], bar)
        self.rounds.take_together(close_ns, bars)

    def take_bar(self, name: str, desk: CoinDesk, bar: Bar) -> None:
        """Score a closed bar, and decide the close times that are complete with it."""
        if self._early is not None:
            self._early.append((name, desk, bar))
            desk.manage_early(bar)  # signals can wait for what was before, exits cannot
            return
        self.counters["bars"] += 1
        try:
            scored = desk.take(bar)
        except ValueError as error:
            desk.count("bars_refused")
            self.log.warning(f"{name} bar left out: {error}")
            return
        self.counters["bars_ready"] = self.counters.get("bars_ready", 0) + scored.is_ready
        if scored.is_ready and scored.score >= COUNTED_SCORES_FROM:
            self._count_score(desk, scored)
        if not self.rounds.take(name, scored):
            self._take_late(desk, scored)

    def _count_score(self, desk: CoinDesk, bar: CoinBar) -> None:
        step = int(bar.score) // SCORE_STEP * SCORE_STEP
        row = bar.row
        direction = 1 if row["score_long"] > row["score_short"] else -1
        desk.count(f"scores_{side_name(direction)}_{step}")
        if bar.side:
            desk.count(f"scores_signal_{side_name(direction)}_{step}")

    def _take_late(self, desk: CoinDesk, bar: CoinBar) -> None:
        """Take a bar whose close time was decided: it manages what is open, its signal is not traded.

        Windows, returns, context and followed signals get it, so that what is measured at later close times
        is what history gives. Its own signal is measured, and followed, only at the newest close time:
        later ones the market's window has left behind.
        """
        for ended in self._past.push_late(desk.name, bar):
            self._record_outcome(ended)
        desk.manage(bar)
        if self._is_signal(desk, bar):
            late_ms = (self.clock.timestamp_ns() - bar.close_ns) / NANOS_PER_MILLI
            signal = self._signal(desk, bar)
            skip = Skip(SkipReason.STALE_DATA, late_ms, self.config.bar_wait_ms)
            if isinstance(signal, Signal):
                if not self._past.closes_since(bar.close_ns):
                    self.filter.look(signal, bar.score)
                self._records.record(desk, bar, Pick(signal, 0, skip), None)

    # -- decisions -----------------------------------------------------------------------------------------

    def _decide(self, close_ns: int, bars: CloseBars) -> None:
        """Manage what is open, then take the best signals of a close time; the order is that of the names."""
        self._remember(close_ns, bars)
        if self._watches_equity:
            self.guards.on_equity(close_ns, float(self.equity()))
        self._tell_pauses(close_ns)  # first: an entry that waits must not become a market order in a pause
        for name, desk in self.coins.items():
            if desk.is_busy and (bar := bars.get(name)) is not None:
                desk.manage(bar)
        found = bars.candidates(self._signals_from)
        found = {name: bar for name, bar in found.items() if self._is_signal(self.coins[name], bar)}
        if found:
            self._choose(close_ns, found)

    def _remember(self, close_ns: int, bars: CloseBars) -> None:
        """Let everything that looks back see a close time."""
        for ended in self._past.push(close_ns, bars):
            self._record_outcome(ended)

    def _is_signal(self, desk: CoinDesk, bar: CoinBar) -> bool:
        """Tell whether a bar is put on record: what may be traded always is."""
        return bool(bar.side) and bar.score >= min(self.config.record_from, desk.rules.min_confidence)

    def _choose(self, close_ns: int, bars: dict[str, CoinBar]) -> None:
        signals: list[Signal] = []
        for name, bar in bars.items():
            signal = self._signal(self.coins[name], bar)
            if isinstance(signal, Signal):
                self.filter.look(signal, bar.score)
                signals.append(signal)
            else:
                self._records.record_unpriced(self.coins[name], bar, signal, self._past.metadata(name))
        sizes: dict[str, Size] = {}
        bound = ZERO

        def size_check(signal: Signal) -> Skip | None:
            nonlocal bound
            desk = self.coins[signal.instrument_id]
            size = self.size_of(desk, signal.entry, signal.stop, signal.target, bound=bound)
            if isinstance(size, Skip):
                return size
            sizes[signal.instrument_id] = size
            bound += size.margin
            return None

        picks = pick(
            signals,
            [
                Holding(name, desk.setup.plan.direction)
                for name, desk in self.coins.items()
                if desk.setup is not None and desk.is_busy
            ],
            self._rules,
            min_confidence=lambda name: self.coins[name].rules.min_confidence / 100,
            correlation=self._past.returns.correlation,
            checks=(self._check,),
            size_check=size_check,
        )
        for one in picks:
            desk, size = self.coins[one.signal.instrument_id], sizes.get(one.signal.instrument_id)
            self._records.record(desk, bars[one.signal.instrument_id], one, size if one.is_taken else None)
            if one.is_taken and size is not None:
                self._enter(desk, bars[one.signal.instrument_id], one.signal, size)

    def _signal(self, desk: CoinDesk, bar: CoinBar) -> Signal | Skip:
        return coin_signal(desk, bar, self.config, self._past.metadata(desk.name))

    def _check(self, signal: Signal) -> Skip | None:
        """Return why a signal must not be traded, whatever the others are."""
        desk = self.coins[signal.instrument_id]
        if (closed := desk.closed_to_entries) is not None:
            return Skip(closed)
        return (
            unfit(signal, desk, self.config)
            or self.universe.check(desk.name, signal.ts_ns)
            or self.filter.check(signal)
            or self.guards.blocked(desk.name, signal.ts_ns)
        )

    def _enter(self, desk: CoinDesk, bar: CoinBar, signal: Signal, size: Size) -> None:
        kind: EntryKind = "hybrid" if self.config.entry == "hybrid" else "market"
        plan = plan_of(signal, size, number=self._records.number, entry_kind=kind)
        desk.signal_price = Decimal(str(bar.close))
        self._set_leverage(desk.instrument_id, size.leverage)
        desk.enter(plan, size.leverage, signal.ts_ns)

    def _set_leverage(self, instrument_id: InstrumentId, leverage: int) -> None:
        account = self.portfolio.account(instrument_id.venue)
        if account is not None and account.type == AccountType.MARGIN:
            account.set_leverage(instrument_id, Decimal(leverage))

    # -- records -------------------------------------------------------------------------------------------

    def _record_outcome(self, ended: Followed) -> None:
        record_outcome(self.coins[ended.signal.instrument_id], ended)

    def filter_report(self) -> dict[str, Any] | None:
        """Return what the model of signals is and decided, None without one."""
        return None if self.filter.model is None else self.filter.model.as_plain()

    # -- money ---------------------------------------------------------------------------------------------

    def close_of(self, instrument_id: InstrumentId) -> Decimal | None:
        """Return a coin's last close, None before the first bar; one of others as the cache knows it."""
        desk = self.coins.get(instrument_id.value)
        if desk is None:
            price = last_known_price(self.cache, instrument_id)
            return None if price is None else price.as_decimal()
        close = desk.last_close
        return None if close is None else Decimal(str(close))

    def equity(self) -> Decimal:
        """Return what the whole account is worth at the last closes, quote currency."""
        return next(iter(self.coins.values())).account_equity() or ZERO

    def size_of(
        self, desk: CoinDesk, entry: Decimal, stop: Decimal, target: Decimal, *, bound: Decimal = ZERO
    ) -> Size | Skip:
        """Return the size of a trade by risk, limited by what the account can still bind.

        Parameters
        ----------
        desk
            Of the coin; what its own setup binds counts as free.
        entry, stop, target
            Quote currency.
        bound
            What other signals of the same close time bind already, quote currency.
        """
        account = self.portfolio.account(desk.instrument_id.venue)
        if account is None:
            return Skip(SkipReason.RISK)
        return coin_size(
            desk,
            self.coins.values(),
            self.config,
            account,
            self.equity(),
            entry=entry,
            stop=stop,
            target=target,
            bound=bound,
        )


def base_bar_types(config: ConfluenceConfig) -> list[str]:
    """Return the bars that a run of the strategy lives on: it has no trades."""
    return [str(bar_type_of(one, config.ltf_secs)) for one in config.instrument_ids]


def score_request(config: ConfluenceConfig, tick_sizes: Mapping[str, float]) -> ScoreRequest:
    """Return what a run over columns must score beforehand, given the tick size of each instrument.

    Raises
    ------
    ValueError
        When timeframes or points do not fit together.
    """
    configs = {
        one.value: score_config(config, coin_of(config, one), tick_sizes[one.value])
        for one in config.instrument_ids
    }
    return ScoreRequest(configs, signals_from(config), COUNTED_SCORES_FROM)


def signals_from(config: ConfluenceConfig) -> float:
    """Return the least score that is put on record for any coin: a lower ``min_confidence`` lowers it."""
    coins = (coin_of(config, one).min_confidence for one in config.instrument_ids)
    return min(config.record_from, *coins)


def context_of(config: ConfluenceConfig) -> str:
    """Return the id of the instrument whose moves are the context of all, empty when there is none."""
    if config.context_instrument_id is not None:
        return str(config.context_instrument_id.value)
    names = sorted(one.value for one in config.instrument_ids)
    return next((name for name in names if name.startswith(BITCOIN)), "")


__all__ = [
    "SPEC",
    "ConfluenceConfig",
    "ConfluenceStrategy",
    "base_bar_types",
    "score_request",
    "signal_model",
]
