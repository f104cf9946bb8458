"""One coin among many: its score, its last bar, its setup and the rules that manage it."""

from collections import deque
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final

from nautilus_trader.model.data import Bar
from nautilus_trader.model.identifiers import InstrumentId

from indicators.confluence.config import ConfluenceConfig as ScoreConfig
from indicators.confluence.engine import ConfluenceEngine
from indicators.confluence.row import CONFLUENCE_DTYPE
from strategies.confluence_config import (
    CoinRules,
    ConfluenceConfig,
    coin_of,
    exit_rules,
    management_rules,
    score_config,
)
from strategies.row_struct import row_struct
from strategies.setup_desk import SetupDesk
from strategies.trade_manager.increments import round_down
from strategies.trade_manager.managed_setup import on_closed_bar
from strategies.trade_manager.management import TradeManager
from strategies.trade_manager.orders import ZERO
from strategies.trade_manager.record import ClosedTrade
from strategies.trade_manager.setup import Setup
from strategies.trade_manager.sizing import Size
from strategies.trade_manager.skips import Skip

TAG: Final = "CON"
NANOS: Final = 1_000_000_000
DAY_SECS: Final = 86_400
SCORED: Final = row_struct(
    CONFLUENCE_DTYPE, "atr", "score_long", "score_short", "mtf_rsi", "htf_bias", "colour", "is_ready"
)


@dataclass(slots=True)
class CoinBar:
    """The last closed bar of a coin and what it scored.

    Parameters
    ----------
    close_ns
        UNIX nanoseconds.
    open, high, low, close
        Quote currency.
    volume
        Base currency.
    atr, rsi
        ATR 14 of these bars, RSI 14 of the middle timeframe; NaN in warm-up.
    side
        +1 or -1 where the higher score has the bar's colour and everything is known, else 0.
    score
        The higher score, 0 to 100.
    bias
        Of the highest timeframe: +1, 0, -1.
    is_ready
        ATR, bias and RSI are all known.
    row
        The whole row, of `CONFLUENCE_DTYPE`.
    """

    close_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    atr: float
    rsi: float
    side: int
    score: float
    bias: int
    is_ready: bool
    row: Any


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
        super().__init__(host, instrument_id, TAG, exit_rules(config), counters)
        self.name = instrument_id.value
        self.rules = coin_of(config, instrument_id)
        self.last: CoinBar | None = None
        self.setup_leverage = 1
        self._config = config
        self._management = management_rules(config, self.rules)
        self._manager: TradeManager | None = None
        self._base_ns = config.ltf_secs * NANOS
        self._turnover: deque[float] = deque(maxlen=DAY_SECS // config.ltf_secs or 1)
        self._entered_ns = 0

    def prepare(self) -> bool:
        """Read the instrument and make the engine."""
        if not super().prepare():
            return False
        self.score = score_config(self._config, self.rules, float(self.market.tick_size))
        self.engine = ConfluenceEngine(self.score)
        return True

    # -- bars ----------------------------------------------------------------------------------------------

    def take(self, bar: Bar) -> CoinBar:
        """Score a closed bar.

        Raises
        ------
        ValueError
            When it is not the next closed bar; nothing has changed then.
        """
        close_ns, digits = bar.ts_event, self._price_precision
        # A Nautilus price is a fraction of 10**16; this is the float nearest to its decimals.
        high, low = round(bar.high.as_double(), digits), round(bar.low.as_double(), digits)
        open_, close = round(bar.open.as_double(), digits), round(bar.close.as_double(), digits)
        volume = bar.volume.as_double()
        row = self.engine.update(close_ns - self._base_ns, close_ns, open_, high, low, close, volume)
        # As bytes: asked for a buffer, numpy spells out the format of all columns first.
        atr, long_score, short_score, rsi, bias, colour, is_ready = SCORED.unpack(row.tobytes())
        side = (long_score > short_score) - (short_score > long_score)
        if not is_ready or side != colour:
            side = 0
        if self.rules.min_turnover:
            self._turnover.append(volume * close)
        self.bucket_seq += 1
        self.last = CoinBar(
            close_ns,
            open_,
            high,
            low,
            close,
            volume,
            atr,
            rsi,
            side,
            max(long_score, short_score),
            bias,
            bool(is_ready),
            row,
        )
        return self.last

    @property
    def turnover(self) -> float:
        """Return the turnover of the last 24 hours, quote currency."""
        return sum(self._turnover)

    def price_of(self, instrument_id: InstrumentId) -> Decimal | None:
        """Return the last close of any coin of the strategy."""
        price: Decimal | None = self._host.close_of(instrument_id)
        return price

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

    def manage(self, bar: CoinBar) -> None:
        """Let the rules look at a closed bar: the waiting entry first, then the position."""
        setup, manager = self.setup, self._manager
        if setup is None or manager is None or setup.is_closed:
            return
        actions = on_closed_bar(
            setup,
            manager,
            open_ns=bar.close_ns - self._base_ns,
            close_ns=bar.close_ns,
            high=bar.high,
            low=bar.low,
            close=bar.close,
            rsi=bar.rsi,
        )
        if actions:
            self.carry_out(setup, actions)
        if setup.plan.entry_kind == "hybrid" and setup.is_entering:
            waited_ns = bar.close_ns - self._entered_ns
            if waited_ns >= self._config.hybrid_wait_secs * NANOS:
                self._end_waiting(setup, bar)

    def _end_waiting(self, setup: Setup, bar: CoinBar) -> None:
        """Turn a limit that waited long enough into a market order, or take it back."""
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
