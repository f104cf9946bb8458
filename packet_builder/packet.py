"""A packet: one closed equal-dollar volume bucket, as one row of a documented dtype."""

from typing import Final

import numpy as np

# Field order is the contract of every file, chart and feature that holds packets.
PACKET_DTYPE: Final = np.dtype(
    [
        # identity ---------------------------------------------------------------------------------
        ("seq", np.int64),  # key of the packet: 0, 1, 2, ... Several packets may share a timestamp.
        ("ts_open_ns", np.int64),  # of the first trade, running maximum of the exchange's time
        # Of the last trade: when the packet is known, but for a short one, which is known at the next trade.
        ("ts_close_ns", np.int64),
        ("first_trade_id", np.int64),
        ("last_trade_id", np.int64),
        # price (quote currency per base) -----------------------------------------------------------
        ("open", np.float64),
        ("high", np.float64),
        ("low", np.float64),
        ("close", np.float64),
        ("vwap", np.float64),
        # volume: *_usd in quote currency, exact multiples of tick x lot; *_qty in base currency ----
        ("total_usd", np.float64),
        ("buy_usd", np.float64),  # taker bought
        ("sell_usd", np.float64),  # taker sold
        ("total_qty", np.float64),
        ("buy_qty", np.float64),
        ("sell_qty", np.float64),
        # order flow ---------------------------------------------------------------------------------
        ("imbalance", np.float64),  # (buy_usd - sell_usd) / total_usd, -1..1
        ("vpin", np.float64),  # mean |imbalance| of the last `vpin_window` packets, NaN until full
        # volatility of the log returns between trades, the first measured from the previous packet --
        ("log_return", np.float64),
        ("realized_variance", np.float64),
        ("up_semivariance", np.float64),
        ("down_semivariance", np.float64),
        ("abs_return_sum", np.float64),
        ("efficiency_ratio", np.float64),  # |log_return| / abs_return_sum, 0/0 -> 0
        ("amihud", np.float64),  # |log_return| per million USD
        ("duration_secs", np.float64),
        # depends on how the venue aggregates trades: not for models that must travel ----------------
        ("trade_count", np.int64),
        ("buy_count", np.int64),
        ("max_trade_share", np.float64),  # largest piece / total_usd, 0..1
        ("longest_run", np.int64),  # most consecutive trades of one aggressor side
        ("bipower_variation", np.float64),
        ("kyle_lambda", np.float64),  # sum(r * signed usd) / sum(signed usd ** 2), per million USD
        ("roll_spread", np.float64),  # 2 * sqrt(max(0, -cov(r_t, r_t-1))), relative
        # quality -------------------------------------------------------------------------------------
        ("missing_ids", np.int64),  # trade ids missing inside the packet
        ("is_short", np.bool_),  # closed by the daily anchor before it was full
        ("is_tainted", np.bool_),  # at least one id is missing: no new entry on this packet
    ],
    align=True,
)

AGGREGATION_DEPENDENT: Final = (
    "trade_count",
    "buy_count",
    "max_trade_share",
    "longest_run",
    "bipower_variation",
    "kyle_lambda",
    "roll_spread",
)
