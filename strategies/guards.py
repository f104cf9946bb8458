"""When not to open anything, whatever the zone or signal says: the moment, and pauses after losses.

Pure: times, trades and equity are handed in, and a pause knows when it ends. The live node's limits and every
strategy, in backtests as well, use the same guards.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal, get_args

import msgspec

from strategies.config_checks import Ranges
from strategies.trade_manager.record import ClosedTrade, ExitReason
from strategies.trade_manager.skips import Skip, SkipReason

NANOS_PER_MIN: Final = 60_000_000_000
DAY_NS: Final = 86_400_000_000_000
FOREVER_NS: Final = (1 << 63) - 1
EVERYTHING: Final = "*"

type Scope = Literal["symbol", "all"]


@dataclass(frozen=True, slots=True)
class Circumstances:
    """The moment at which an entry is considered.

    Parameters
    ----------
    ts_ns
        Time of the trade that closed the bucket, UNIX nanoseconds.
    data_age_ns
        How long ago that was by the node's clock; 0 in a backtest.
    is_halted
        Something went wrong that a person must look at.
    is_tainted
        Trades are missing in the bucket.
    bucket_move_ratio
        (high - low) / low of the bucket.
    bias
        Higher-timeframe bias: +1, -1, 0 neutral or not known yet; None when no filter is set.
    is_held
        A hold stands, see `strategies.entry_halt`.
    """

    ts_ns: int
    data_age_ns: int
    is_halted: bool
    is_tainted: bool
    bucket_move_ratio: float
    bias: int | None
    is_held: bool = False


@dataclass(frozen=True, slots=True)
class GuardRules:
    """Limits of the circumstances; see ``OteConfig`` for their meaning."""

    trade_from_ns: int = 0
    max_data_age_secs: float = 2.0
    max_bucket_move_pct: float = 20.0


def blocked(direction: int, now: Circumstances, rules: GuardRules) -> SkipReason | None:
    """Return why an entry in this direction must wait, None when it need not.

    Parameters
    ----------
    direction
        +1 long, -1 short.
    now, rules
        The moment and the limits.

    Examples
    --------
    >>> now = Circumstances(0, 0, False, True, 0.001, None)
    >>> blocked(1, now, GuardRules())
    <SkipReason.TAINTED: 'tainted'>
    """
    if now.is_halted:
        return SkipReason.HALTED
    if now.is_held:
        return SkipReason.HELD
    if now.ts_ns < rules.trade_from_ns:
        return SkipReason.WARM_UP
    if now.is_tainted:
        return SkipReason.TAINTED
    # `not (x <= limit)` so that NaN blocks.
    if not now.bucket_move_ratio <= rules.max_bucket_move_pct / 100:
        return SkipReason.BAD_PRINT
    if now.data_age_ns > rules.max_data_age_secs * 1e9:
        return SkipReason.STALE_DATA
    if now.bias is not None and now.bias != direction:
        return SkipReason.HTF_BIAS
    return None


# -- pauses after losses -------------------------------------------------------------------------------------


LOSS_RANGES: Final[Ranges] = {
    "stop_cooldown_mins": (0, math.inf),
    "max_daily_loss_pct": (0, 100),
    "max_drawdown_pct": (0, 100),
    "drawdown_pause_mins": (0, math.inf),
    "stop_guard_count": (0, math.inf),
    "low_profit_trades": (0, math.inf),
    "loss_streak_count": (0, math.inf),
}


@dataclass(frozen=True, slots=True)
class LossRules:
    """Limits after losses; 0 switches a guard off.

    Parameters
    ----------
    stop_cooldown_mins, stop_cooldown_scope
        Pause after each stop, minutes: of its symbol, or of all.
    max_daily_loss_pct
        Loss since midnight UTC, percent of the equity then, that ends the day.
    max_drawdown_pct, drawdown_pause_mins
        Loss from the highest equity, percent, and the pause it causes, minutes (0: until `rearm`). After it
        the equity of that moment is the new reference.
    stop_guard_count, stop_guard_hours, stop_guard_scope, stop_guard_pause_mins
        So many stops within so many hours, of one symbol or of all together, pause the same for so long.
    low_profit_trades, low_profit_min_r, low_profit_pause_mins
        A symbol whose last so many trades average below so many R pauses for so long.
    loss_streak_count, loss_streak_pause_mins
        So many losing trades in a row, of all symbols, pause everything for so long.

    Raises
    ------
    ValueError
        Negative or non-finite limits, or a guard without its window or pause.
    """

    stop_cooldown_mins: float = 0.0
    stop_cooldown_scope: Scope = "symbol"
    max_daily_loss_pct: float = 0.0
    max_drawdown_pct: float = 0.0
    drawdown_pause_mins: float = 0.0
    stop_guard_count: int = 0
    stop_guard_hours: float = 24.0
    stop_guard_scope: Scope = "all"
    stop_guard_pause_mins: float = 60.0
    low_profit_trades: int = 0
    low_profit_min_r: float = 0.0
    low_profit_pause_mins: float = 1440.0
    loss_streak_count: int = 0
    loss_streak_pause_mins: float = 60.0

    def __post_init__(self) -> None:
        for name, (least, most) in LOSS_RANGES.items():
            amount = getattr(self, name)
            if not least <= amount < math.inf:
                raise ValueError(f"{name} ({amount}) must be 0 (off) or more")
            if amount > most:
                raise ValueError(f"{name} ({amount}) must be at most 100: an account cannot lose more")
        for switch, name, needed in (
            (self.stop_guard_count, "stop_guard_hours", self.stop_guard_hours),
            (self.stop_guard_count, "stop_guard_pause_mins", self.stop_guard_pause_mins),
            (self.low_profit_trades, "low_profit_pause_mins", self.low_profit_pause_mins),
            (self.loss_streak_count, "loss_streak_pause_mins", self.loss_streak_pause_mins),
        ):
            if switch and not 0 < needed < math.inf:
                raise ValueError(f"{name} ({needed}) must be above 0 where its guard is on")
        for name in ("stop_cooldown_scope", "stop_guard_scope"):
            if getattr(self, name) not in get_args(Scope.__value__):
                raise ValueError(f"{name} ({getattr(self, name)!r}) must be symbol or all")

    @property
    def watches_equity(self) -> bool:
        """Tell whether a guard looks at the account's equity."""
        return bool(self.max_daily_loss_pct or self.max_drawdown_pct)

    @property
    def watches_trades(self) -> bool:
        """Tell whether a guard looks at closed trades."""
        switches = (self.stop_cooldown_mins, self.stop_guard_count, self.low_profit_trades)
        return any(switches) or bool(self.loss_streak_count)


@dataclass(frozen=True, slots=True)
class TradeResult:
    """What the guards need to know of a closed trade.

    Parameters
    ----------
    ts_ns
        Last exit fill, UNIX nanoseconds.
    symbol
        Nautilus instrument id.
    exit_reason
        See `ExitReason`; which of them count as a stop says `is_stop`.
    pnl
        After fees, quote currency.
    r_multiple
        See `ClosedTrade`; NaN is passed over by the low-profit guard.
    """

    ts_ns: int
    symbol: str
    exit_reason: str
    pnl: float
    r_multiple: float

    @property
    def is_stop(self) -> bool:
        """Tell whether the first stop ended the trade, or what had to stand in for it.

        A stop moved to the entry or beyond did its work and is none. A losing exit because the venue refused
        the stop is one: the price had jumped over it. A late fill or a bug is closed for its own sake, and
        counts where it lost the whole risk of a trade.
        """
        if self.exit_reason == ExitReason.PROTECTION_REFUSED:
            return self.pnl < 0
        if self.exit_reason in (ExitReason.LATE_FILL, ExitReason.BUG):
            return self.r_multiple <= -1
        return self.exit_reason == ExitReason.STOP


def result_of(trade: ClosedTrade) -> TradeResult:
    """Return what the guards need to know of a recorded trade."""
    return TradeResult(
        trade.exit_ts_ns, trade.instrument_id, trade.exit_reason, float(trade.pnl), trade.r_multiple
    )


class Pause(msgspec.Struct, frozen=True):
    """One pause in force.

    Parameters
    ----------
    reason
        Which guard.
    scope
        A symbol, or ``*`` for everything.
    until_ns
        First time at which it is over, UNIX nanoseconds.
    text
        What happened, with its figures.
    since_ns
        When it began; one that gets longer began when it first did.
    """

    reason: SkipReason
    scope: str
    until_ns: int
    text: str
    since_ns: int = 0


class GuardState(msgspec.Struct):
    """All that the guards remember; JSON in, JSON out.

    Parameters
    ----------
    pauses
        In force, at most one per guard and scope.
    stops
        Times and symbols of the stops within the window.
    results
        Last R multiples by symbol.
    streak
        Losing trades in a row.
    day, day_equity
        The UTC day (days since 1970) and the equity at its start.
    last_equity, top_equity
        Newest and highest equity, quote currency, NaN is written as None.
    """

    pauses: list[Pause] = []
    stops: list[tuple[int, str]] = []
    results: dict[str, list[float]] = {}
    streak: int = 0
    day: int = -1
    day_equity: float | None = None
    last_equity: float | None = None
    top_equity: float | None = None


class TradeGuards:
    """Pauses after losses, of one account.

    Parameters
    ----------
    rules
        See `LossRules`.
    state
        Of an earlier session, see `from_bytes`.
    """

    def __init__(self, rules: LossRules, state: GuardState | None = None) -> None:
        self.rules = rules
        self.state = GuardState() if state is None else state

    @classmethod
    def from_bytes(cls, rules: LossRules, data: bytes) -> "TradeGuards":
        """Return guards that go on where `to_bytes` was called.

        Raises
        ------
        ValueError
            When the bytes are no such state.
        """
        try:
            return cls(rules, msgspec.json.decode(data, type=GuardState))
        except msgspec.DecodeError as error:
            raise ValueError(f"the saved state of the guards is damaged: {error}") from error

    def to_bytes(self) -> bytes:
        """Return what they remember."""
        return msgspec.json.encode(self.state)

    def blocked(self, symbol: str, ts_ns: int) -> Skip | None:
        """Return the pause that keeps a symbol from being entered now, the longest first; None for none."""
        pauses = [one for one in self.pauses(ts_ns) if one.scope in (EVERYTHING, symbol)]
        if not pauses:
            return None
        longest = max(pauses, key=lambda one: (one.until_ns, one.reason))
        return Skip(longest.reason, text=f"{longest.text}; until {_moment(longest.until_ns)}")

    def pauses(self, ts_ns: int) -> Iterator[Pause]:
        """Yield the pauses in force at a time: for reports and screens."""
        return (one for one in self.state.pauses if ts_ns < one.until_ns)

    def rearm(self, ts_ns: int) -> None:
        """End all pauses: a person decided so. The drawdown counts from the present equity on."""
        self.state.pauses = []
        self.state.top_equity = self.state.last_equity
        self.state.streak = 0
        self.state.stops = []
        self.state.results = {}
        self._begin_day(ts_ns)

    def on_trade(self, result: TradeResult) -> None:
        """Take a closed trade."""
        rules, state = self.rules, self.state
        self._forget(result.ts_ns)
        if result.is_stop:
            if rules.stop_cooldown_mins:
                scope = _scope(rules.stop_cooldown_scope, result.symbol)
                self._pause(
                    SkipReason.COOLDOWN, scope, result.ts_ns, rules.stop_cooldown_mins, "after a stop"
                )
            self._count_stop(result)
        self._count_result(result)
        state.streak = state.streak + 1 if result.pnl < 0 else 0
        if rules.loss_streak_count and state.streak >= rules.loss_streak_count:
            text = f"{state.streak} losing trades in a row"
            self._pause(SkipReason.LOSS_STREAK, EVERYTHING, result.ts_ns, rules.loss_streak_pause_mins, text)
            state.streak = 0

    def on_equity(self, ts_ns: int, equity: float) -> None:
        """Take the account's equity, open positions included, at any rhythm.

        Parameters
        ----------
        ts_ns
            UNIX nanoseconds, ascending; midnight is the end of a day: what a bar that closes then lost
            belongs to the day before.
        equity
            Quote currency.

        Raises
        ------
        ValueError
            When it is not a number: a limit that cannot be checked must not pass silently.
        """
        if not math.isfinite(equity):
            raise ValueError(f"equity is {equity}: the loss limits cannot be checked")
        rules, state = self.rules, self.state
        if _day_of(ts_ns) != state.day or state.day_equity is None:
            self._begin_day(ts_ns)
            # Yesterday's last equity is today's first; only the very first day begins with what is there.
            state.day_equity = equity if state.last_equity is None else state.last_equity
        is_pause_over = self._forget(ts_ns)
        if state.top_equity is None or is_pause_over or equity > state.top_equity:
            state.top_equity = equity
        state.last_equity = equity
        lost_pct = _lost_pct(equity, state.day_equity)
        if rules.max_daily_loss_pct and lost_pct >= rules.max_daily_loss_pct:
            until_mins = ((state.day + 1) * DAY_NS - ts_ns) / NANOS_PER_MIN
            text = f"{lost_pct:.2f} % lost since midnight UTC, limit {rules.max_daily_loss_pct:g} %"
            self._pause(SkipReason.DAILY_LOSS, EVERYTHING, ts_ns, until_mins, text)
        drawdown_pct = _lost_pct(equity, state.top_equity)
        if rules.max_drawdown_pct and drawdown_pct >= rules.max_drawdown_pct:
            text = f"{drawdown_pct:.2f} % below the highest equity, limit {rules.max_drawdown_pct:g} %"
            minutes = rules.drawdown_pause_mins or math.inf
            self._pause(SkipReason.DRAWDOWN, EVERYTHING, ts_ns, minutes, text)

    # -- small things --------------------------------------------------------------------------------------

    def _count_stop(self, result: TradeResult) -> None:
        rules, state = self.rules, self.state
        if not rules.stop_guard_count:
            return
        window_ns = round(rules.stop_guard_hours * 60 * NANOS_PER_MIN)
        state.stops = [one for one in state.stops if one[0] > result.ts_ns - window_ns]
        state.stops.append((result.ts_ns, result.symbol))
        scope = _scope(rules.stop_guard_scope, result.symbol)
        counted = [one for one in state.stops if scope in (EVERYTHING, one[1])]
        if len(counted) >= rules.stop_guard_count:
            text = f"{len(counted)} stops within {rules.stop_guard_hours:g} h"
            self._pause(SkipReason.STOP_GUARD, scope, result.ts_ns, rules.stop_guard_pause_mins, text)
            # They have had their effect: the next one alone is no reason for another pause.
            state.stops = [one for one in state.stops if one not in counted]

    def _count_result(self, result: TradeResult) -> None:
        rules, state = self.rules, self.state
        if not rules.low_profit_trades or not math.isfinite(result.r_multiple):
            return
        results = [*state.results.get(result.symbol, []), result.r_multiple][-rules.low_profit_trades :]
        state.results[result.symbol] = results
        mean_r = math.fsum(results) / len(results)
        if len(results) == rules.low_profit_trades and mean_r < rules.low_profit_min_r:
            text = f"the last {len(results)} trades made {mean_r:.2f} R on average"
            self._pause(SkipReason.LOW_PROFIT, result.symbol, result.ts_ns, rules.low_profit_pause_mins, text)
            state.results[result.symbol] = []

    def _pause(self, reason: SkipReason, scope: str, ts_ns: int, minutes: float, text: str) -> None:
        until_ns = FOREVER_NS if minutes == math.inf else ts_ns + round(minutes * NANOS_PER_MIN)
        if until_ns <= ts_ns:
            return  # the day whose loss it is has just ended
        others = [one for one in self.state.pauses if (one.reason, one.scope) != (reason, scope)]
        same = [one for one in self.state.pauses if (one.reason, one.scope) == (reason, scope)]
        if same and (reason is SkipReason.DRAWDOWN or same[0].until_ns >= until_ns):
            return  # in force: a drawdown that goes on does not begin again, and nothing gets shorter
        since_ns = same[0].since_ns if same and same[0].until_ns > ts_ns else ts_ns
        self.state.pauses = [*others, Pause(reason, scope, until_ns, text, since_ns)]

    def _forget(self, ts_ns: int) -> bool:
        """Drop the pauses that are over; tell whether one for a drawdown was among them."""
        over = [one for one in self.state.pauses if one.until_ns <= ts_ns]
        self.state.pauses = [one for one in self.state.pauses if one.until_ns > ts_ns]
        is_drawdown_over = any(one.reason is SkipReason.DRAWDOWN for one in over)
        if is_drawdown_over:
            self.state.top_equity = None
        return is_drawdown_over

    def _begin_day(self, ts_ns: int) -> None:
        self.state.day = _day_of(ts_ns)
        self.state.day_equity = self.state.last_equity


def _scope(scope: Scope, symbol: str) -> str:
    return symbol if scope == "symbol" else EVERYTHING


def _day_of(ts_ns: int) -> int:
    return (ts_ns - 1) // DAY_NS


def _lost_pct(equity: float, reference: float | None) -> float:
    return 0.0 if not reference or reference <= 0 else (reference - equity) / reference * 100


def _moment(ts_ns: int) -> str:
    if ts_ns >= FOREVER_NS:
        return "somebody rearms it"
    return datetime.fromtimestamp(ts_ns // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
