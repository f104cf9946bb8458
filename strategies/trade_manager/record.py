"""What a strategy leaves behind: every decision with its inputs, and every closed trade with its result."""

from enum import StrEnum
from typing import Literal

import msgspec

type DecisionKind = Literal[
    "zone",
    "zone_skipped",
    "zone_ended",
    "entry_submitted",
    "entry_repriced",
    "entry_cancelled",
    "entry_rejected",
    "entry_refused",
    "entry_filled",
    "cancel_asked",
    "cancel_outcome",
    "protection",
    "exit_submitted",
    "funding",
    "dust",
    "position_closed",
    "expired",
    "halted",
    "rearmed",
    "held",
    "released",
    "signal_taken",
    "signal_skipped",
    "pause_began",
    "pause_extended",
    "pause_ended",
    "signal_outcome",
    "commanded",
    "entry_unknown",
    "external",
    "restored",
    "watchdog",
]
"""The words of ``Decision.kind``; ``docs/glossary.md`` uses the same ones."""


class ExitReason(StrEnum):
    """Why a position ended; the words of ``ClosedTrade.exit_reason``."""

    TARGET = "target"
    STOP = "stop"  # the first one
    BREAK_EVEN = "break_even"  # the stop, moved to the entry
    TRAILING = "trailing"  # the stop, moved behind the best close
    TIME = "time"  # held long enough, in profit
    TIME_SMALL_LOSS = "time_small_loss"  # held long enough, not far behind
    MOMENTUM = "momentum"
    MANUAL = "manual"
    LATE_FILL = "late_fill"  # an entry filled after the setup was over
    PROTECTION_REFUSED = "protection_refused"
    BUG = "bug"
    EXTERNAL = "external"  # somebody else: by hand at the venue, a liquidation, a deleveraging
    UNPROTECTED = "unprotected"  # the watchdog found no stop at the venue for too long


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """One decision: what was decided, when, and on which inputs.

    Prices and quantities are exact decimals as text, empty where the decision has none.

    Parameters
    ----------
    ts_ns
        Time of the trade or venue event that caused it, UNIX nanoseconds.
    strategy_id, instrument_id
        Nautilus ids.
    kind
        What was decided, see `DecisionKind`.
    setup_id
        The setup it belongs to, empty before there is one.
    side
        ``long`` or ``short``, empty where it has no meaning.
    bucket_seq
        Sequence number of the last closed bucket, -1 before the first.
    zone_id
        Event id of the dealing range, or number of the signal within its strategy; -1 where there is none.
    reason
        Why, as a snake_case word.
    price, stop, target, qty
        Entry (or exit) price, stop price, target price and quantity.
    probability, threshold
        What a cancel policy said, None where none was asked.
    detail
        Further inputs by name.
    """

    ts_ns: int
    strategy_id: str
    instrument_id: str
    kind: DecisionKind
    setup_id: str = ""
    side: str = ""
    bucket_seq: int = -1
    zone_id: int = -1
    reason: str = ""
    price: str = ""
    stop: str = ""
    target: str = ""
    qty: str = ""
    probability: float | None = None
    threshold: float | None = None
    detail: dict[str, str | int | float] = {}


class CancelShadow(msgspec.Struct, frozen=True, kw_only=True):
    """What an entry that a cancel policy took back would have become.

    It is no decision and moves none: it goes over the bus on a topic of its own.

    Parameters
    ----------
    ts_ns
        When that was known, UNIX nanoseconds.
    strategy_id, instrument_id
        Nautilus ids.
    client_order_id
        Of the cancelled order.
    outcome
        ``not_filled``, ``target``, ``stop``, or ``open`` when the tape was over first.
    net_r, money
        Profit after fees, multiples of the risk and quote currency; None where it never filled or has not
        ended.
    """

    ts_ns: int
    strategy_id: str
    instrument_id: str
    client_order_id: str
    outcome: str
    net_r: float | None = None
    money: float | None = None


class ClosedTrade(msgspec.Struct, frozen=True, kw_only=True):
    """One setup from its first entry fill to the last exit fill, with every order of it final.

    Decimals are exact text. ``pnl`` is after fees and funding; base coins too few to sell stay behind as
    dust, valued at the average exit price, and enter the next trade at that value, so profits add up to the
    account.

    Parameters
    ----------
    setup_id
        Id of the setup, also part of its client order ids.
    strategy_id, instrument_id
        Nautilus ids.
    side
        ``long`` or ``short``.
    entry_ts_ns, exit_ts_ns
        First entry fill and last exit fill, UNIX nanoseconds.
    entry_price, exit_price
        Average fill prices, quote currency.
    qty
        Sum of the entry fills, base currency.
    pnl
        Profit after fees and funding, quote currency.
    fees
        Commissions, quote currency; those taken in base coins count at their fill price.
    dust_qty
        Base coins left behind because the venue sells no smaller amount.
    r_multiple
        ``pnl``, after fees and funding, over the initial risk: sum of entry fill quantity times the planned
        distance from entry to stop. What a fill slips is result, not risk.
    mae_r, mfe_r
        Worst and best price while in position, as multiples of the same risk per unit; mae_r <= 0 <= mfe_r.
    mae_price, mfe_price
        The same as distances from the average entry price, quote currency, in the trade's favour positive.
    exit_reason
        See `ExitReason`: which order filled last, or why the position was closed at market.
    stop_price, target_price
        As of the first fill.
    last_stop_price
        Where the stop stood at the end.
    zone_id
        Event id of the dealing range.
    zone_low, zone_high
        The dealing range as of the first fill.
    tainted
        Trades were missing in a bucket between entry and exit.
    entry_bucket_seq, exit_bucket_seq
        Last closed bucket at the first entry fill and at the last exit fill.
    funding
        What the position received at funding times, quote currency; negative was paid.
    held_secs
        From the first entry fill to the last exit fill, seconds.
    entry_decision_price, exit_decision_price
        At which the filled orders were wanted, average by quantity: limit, trigger of the stop, or the last
        price when a market order was decided (`strategies.trade_manager.shortfall`). Empty when not known.
    entry_slippage, exit_slippage
        What the fills cost more than that, quote currency; negative: they were better. Empty when not known.
    entry_slippage_bps, exit_slippage_bps
        The same in hundredths of a percent of the decided value, None when not known.
    market_exit_value
        Quote currency of the exit fills of stops and market orders: those that can fill worse. A target's
        limit cannot.
    """

    setup_id: str
    strategy_id: str
    instrument_id: str
    side: Literal["long", "short"]
    entry_ts_ns: int
    exit_ts_ns: int
    entry_price: str
    exit_price: str
    qty: str
    pnl: str
    fees: str
    dust_qty: str
    r_multiple: float
    mae_r: float
    mfe_r: float
    exit_reason: str
    stop_price: str
    target_price: str
    zone_id: int
    zone_low: float
    zone_high: float
    tainted: bool
    entry_bucket_seq: int
    exit_bucket_seq: int
    mae_price: float = 0.0
    mfe_price: float = 0.0
    last_stop_price: str = ""
    funding: str = "0"
    held_secs: float = 0.0
    entry_decision_price: str = ""
    exit_decision_price: str = ""
    entry_slippage: str = ""
    exit_slippage: str = ""
    entry_slippage_bps: float | None = None
    exit_slippage_bps: float | None = None
    market_exit_value: str = "0"
