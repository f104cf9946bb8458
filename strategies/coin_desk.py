"""One coin among many: its score, its last bar, its setup and the rules that manage it."""

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

import msgspec
from nautilus_trader.model.data import Bar
from nautilus_trader.model.identifiers import InstrumentId

from indicators.confluence.config import ConfluenceConfig as ScoreConfig
from ml.signal_measures import WINDOW_BARS
from strategies.bar_times import close_of
from strategies.close_bars import CoinBar, Levels, ScoreFeed
from strategies.confluence_config import (
    CoinRules,
    ConfluenceConfig,
    coin_of,
    exit_rules,
    management_rules,
    score_config,
)
from strategies.seen_bars import SeenBars
from strategies.setup_desk import SetupDesk
from strategies.setup_keeper import DeskMemory, manager_of, with_manager
from strategies.trade_manager.increments import round_down
from strategies.trade_manager.managed_setup import on_closed_bar
from strategies.trade_manager.management import TradeManager
from strategies.trade_manager.orders import ZERO
from strategies.trade_manager.record import ClosedTrade
from strategies.trade_manager.setup import Setup
from strategies.trade_manager.sizing import Size, quantity_for_volume
from strategies.trade_manager.skips import Skip

TAG: Final = "CON"
NANOS: Final = 1_000_000_000
DAY_SECS: Final = 86_400


class CoinDesk(SetupDesk):
    """The desk of one coin, with the engine that scores its bars.

    Parameters
    ----------
    host
        The strategy.
    config
        Of the strategy.
    instrument_id
        The coin.
    counters
        Of the strategy.
    """

    rules: CoinRules
    score: ScoreConfig

    def __init__(
        self, host: Any, config: ConfluenceConfig, instrument_id: InstrumentId, counters: dict[str, int]
    ) -> None:
        self.feed: ScoreFeed | None = None
        self.seen: SeenBars | None = None
        """What the bars made that came one by one; None before the start, and where columns are read."""
        self._anew: SeenBars | None = None
        self._anew_bars: deque[CoinBar] = deque()
        super().__init__(host, instrument_id, TAG, exit_rules(config), counters)
        self.name = instrument_id.value
        self.rules = coin_of(config, instrument_id)
        self.setup_leverage = 1
        self._config = config
        self._management = management_rules(config, self.rules)
        self._manager: TradeManager | None = None
        self._base_ns = config.ltf_secs * NANOS
        self._day_bars = DAY_SECS // config.ltf_secs or 1
        self._entered_ns = 0
        self._managed_ns = 0

    def prepare(self) -> bool:
        """Read the instrument and make the engine."""
        if not super().prepare():
            return False
        self._price_precision = self.instrument.price_precision
        self._size_precision = self.instrument.size_precision
        self.score = score_config(self._config, self.rules, float(self.market.tick_size))
        if self.feed is None:
            self.seen = self._no_bars()
        return True

    # -- bars ----------------------------------------------------------------------------------------------

    @property
    def bucket_seq(self) -> int:
        """Return the number of the last bar, -1 before the first."""
        if self.feed is not None:
            return self.feed.bars_seen(self.name) - 1
        return -1 if self.seen is None else self.seen.count - 1

    @bucket_seq.setter
    def bucket_seq(self, number: int) -> None:
        """Do nothing: bars are counted where they are seen."""

    @property
    def last(self) -> CoinBar | None:
        """Return the last bar that came by itself."""
        return None if self.seen is None else self.seen.last

    def _no_bars(self) -> SeenBars:
        return SeenBars(
            self.score,
            bar_ns=self._base_ns,
            decimals=(self._price_precision, self._size_precision),
            turnover_bars=self._day_bars if self.rules.min_turnover else 0,
            volume_bars=self._config.max_volume_bars,
        )

    def prepare_bars(self, bars: Iterable[Levels]) -> None:
        """Score bars of before beside those of now, oldest first, until `use_prepared`.

        Bars that were prepared before are passed over, so it may be called with a part, then with all. Wrong
        ones are left out.
        """
        if self._anew is None:
            self._anew = self._no_bars()
            looked_back = (WINDOW_BARS, self._day_bars, self._config.correlation_bars)
            self._anew_bars = deque(maxlen=max(looked_back) + 1)
        for levels in bars:
            if self._anew.last is not None and levels[0] <= self._anew.last.close_ns:
                continue
            try:
                self._anew_bars.append(self._anew.take(levels))
            except ValueError as error:
                self.count("bars_refused")
                self._host.log.warning(f"{self.name} bar left out: {error}")

    def forget_prepared(self) -> None:
        """Begin to prepare anew: what was prepared may be of bars that the next try does not have."""
        self._anew, self._anew_bars = None, deque()

    def use_prepared(self) -> Sequence[CoinBar]:
        """Let the bars that were prepared take the place of those that were seen; return the last of them."""
        self.seen, self._anew = self._anew or self.seen, None
        found, self._anew_bars = self._anew_bars, deque()
        return found

    def take(self, bar: Bar) -> CoinBar:
        """Score a closed bar.

        Raises
        ------
        ValueError
            When it is not the next closed bar; nothing has changed then.
        """
        prices = bar.open.as_double(), bar.high.as_double(), bar.low.as_double(), bar.close.as_double()
        return self.take_levels((close_of(bar.ts_event, self._base_ns), *prices, bar.volume.as_double()))

    def take_levels(self, levels: Levels) -> CoinBar:
        """Score a closed bar given as numbers; raises as `take`."""
        assert self.seen is not None
        return self.seen.take(levels)

    @property
    def turnover(self) -> float:
        """Return the turnover of the last 24 hours, quote currency."""
        if self.feed is not None:
            return sum(self.feed.turnovers(self.name, self._day_bars))
        return 0.0 if self.seen is None else sum(self.seen.turnover)

    @property
    def max_qty(self) -> Decimal | None:
        """Return the most that the market bears now, base currency, None for no limit."""
        config = self._config
        if self.feed is not None and config.max_volume_pct:
            return quantity_for_volume(
                self.feed.volumes(self.name, config.max_volume_bars), config.max_volume_pct
            )
        return quantity_for_volume(() if self.seen is None else self.seen.volumes, config.max_volume_pct)

    @property
    def last_close(self) -> float | None:
        """Return the last close, quote currency, None before the first bar."""
        if self.feed is not None:
            return self.feed.last_close(self.name)
        return None if self.last is None else self.last.close

    def price_of(self, instrument_id: InstrumentId) -> Decimal | None:
        """Return the last close of any coin of the strategy."""
        price: Decimal | None = self._host.close_of(instrument_id)
        return price

    # -- over restarts -------------------------------------------------------------------------------------

    def memory(self) -> DeskMemory:
        """Return what is kept besides setups: those of the living trade and its rules too."""
        trade = msgspec.structs.replace(
            super().memory(),
            leverage=self.setup_leverage,
            entered_ns=self._entered_ns,
            signal_price=str(self.signal_price),
        )
        return with_manager(trade, self._manager)

    def take_memory(self, memory: DeskMemory) -> None:
        """Take what was kept besides setups."""
        super().take_memory(memory)
        self.setup_leverage, self._entered_ns = memory.leverage, memory.entered_ns
        self.signal_price = Decimal(memory.signal_price)
        self._manager = manager_of(memory, self._management, self.market.tick_size)

    # -- the trade -----------------------------------------------------------------------------------------

    @property
    def is_busy(self) -> bool:
        """Tell whether a setup lives: a position, or orders that are not final."""
        return self.setup is not None and not self.setup.is_closed

    @property
    def bound_margin(self) -> Decimal:
        """Return what the living setup binds or may bind of the account, quote currency."""
        setup = self.setup
        if setup is None or setup.is_closed:
            return ZERO
        price = setup.ledger.entry_price or setup.plan.entry_price
        return (setup.position_qty + setup.entering_qty) * price / self.setup_leverage

    def enter(self, plan: Any, leverage: int, ts_ns: int) -> None:
        """Open the setup of a signal that was taken."""
        self.setup_leverage, self._entered_ns = leverage, ts_ns
        self._manager = TradeManager(self._management, self.market.tick_size)
        self.open_setup(plan, ts_ns, ts_ns)

    def manage_early(self, bar: Bar) -> None:
        """Let the exits look at a closed bar that is not scored yet: bars of before are still being read."""
        high, low, close = (
            round(one.as_double(), self._price_precision) for one in (bar.high, bar.low, bar.close)
        )
        close_ns = close_of(bar.ts_event, self._base_ns)
        if close_ns > self._managed_ns:
            self._manage(close_ns, high, low, close, math.nan)
            self._managed_ns = close_ns

    def _manage(self, close_ns: int, high: float, low: float, close: float, rsi: float) -> None:
        setup, manager = self.setup, self._manager
        if setup is None or manager is None or setup.is_closed:
            return
        actions = on_closed_bar(
            setup,
            manager,
            open_ns=close_ns - self._base_ns,
            close_ns=close_ns,
            high=high,
            low=low,
            close=close,
            rsi=rsi,
        )
        if actions:
            self.carry_out(setup, actions)
        self.mind_deadline()

    def manage(self, bar: CoinBar) -> None:
        """Let the rules look at a closed bar: the waiting entry first, then the position."""
        if bar.close_ns <= self._managed_ns:
            return
        setup = self.setup
        if setup is None or self._manager is None or setup.is_closed:
            return
        self._manage(bar.close_ns, bar.high, bar.low, bar.close, bar.rsi)
        if setup.plan.entry_kind == "hybrid" and setup.is_entering:
            waited_ns = bar.close_ns - self._entered_ns
            if waited_ns >= self._config.hybrid_wait_secs * NANOS:
                self._end_waiting(setup, bar)

    def take_entry_back(self, reason: str, ts_ns: int) -> None:
        """Take an entry back that is not filled, or not wholly; a position stays protected."""
        setup = self.setup
        if setup is not None and not setup.is_closed:
            self.carry_out(setup, setup.cancel_entry(reason, ts_ns))

    def _end_waiting(self, setup: Setup, bar: CoinBar) -> None:
        """Turn a limit that waited long enough into a market order, or take it back."""
        forbidden: Skip | None = self._host.may_enter(self, bar.close_ns)
        if forbidden is not None:
            self.carry_out(setup, setup.cancel_entry(forbidden.reason.value, bar.close_ns))
            return
        plan, close = setup.plan, round_down(bar.close, self.market.tick_size, setup.plan.direction)
        moved = (close - self.signal_price) * plan.direction
        reward = (plan.target_price - close) * plan.direction
        risk = (close - plan.stop_price) * plan.direction
        least = risk * Decimal(str(self._config.min_reward_risk))
        size: Size | Skip | None = None
        if moved > 0 and reward > 0 and reward >= least:
            size = self._host.size_of(self, close, plan.stop_price, plan.target_price)
        if isinstance(size, Size):
            self.count("entries_to_market")
            qty = max(min(size.qty, plan.qty), setup.ledger.entry_qty)
            market = replace(plan, entry_kind="market", entry_price=close, qty=qty)
            self.carry_out(setup, setup.enter_at_market(market, bar.close_ns))
        else:
            self.carry_out(setup, setup.cancel_entry("waited", bar.close_ns))

    signal_price: Decimal = ZERO
    """Close at which the signal of the living setup was given."""

    def _publish_trade(self, setup: Setup, trade: ClosedTrade, ts_ns: int) -> None:
        super()._publish_trade(setup, trade, ts_ns)
        self._host.on_closed_trade(trade)
