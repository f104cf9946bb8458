"""Section `live.paper` of the settings: the simulated account and how its orders are filled."""

from decimal import Decimal
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

LARGEST_FUNDING_PCT: Final = Decimal(20)
LARGEST_BALANCE: Final = Decimal(10**12)

type PaperFunding = Literal["venue", "constant", "none"]
type PaperTime = Literal["wall", "data"]


class PaperSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The simulated venues of a paper node; fills follow the rules of a backtest on trades (docs/fills.md).

    Parameters
    ----------
    balance
        Starting balance of each account in its quote currency, at most 8 decimals; an account that was kept
        from an earlier session goes on with what it has.
    currency
        Quote currency of the accounts.
    leverage
        Of margin accounts; spot ignores it.
    latency_ms
        Time between sending an order, change or cancel and its arrival at the simulated venue, milliseconds.
    queue_position
        A resting order fills only after what stood before it has traded.
    liquidity_consumption
        A print fills at most its own size.
    slippage_ticks, slippage_bps
        By how much market and stop-market orders are filled worse than the last print: price increments, or
        hundredths of a percent of the price; one of the two.
    price_band_pct
        Limit orders further than this from the last price are refused where the instrument does not say
        what its venue refuses; null refuses none.
    market_wait_secs
        What is sent for an instrument without a print since the start waits so long for the first one.
    funding
        ``venue``: the rates that the venue announces; ``constant``: one rate; ``none``.
    funding_rate_pct, funding_interval_hours
        With ``constant`` alone: percent of the notional per funding time, and hours between them.
    persist
        Keep balances, orders and positions over a restart, in ``paper.sqlite`` of the node's folder.
    time
        ``wall``: latency passes on the clock, also while nothing trades. ``data``: the venue's time is that
        of the newest print, for replays of old trades.
    """

    balance: Decimal = Decimal(10_000)
    currency: str = "USDT"
    leverage: Annotated[float, Meta(ge=1, le=200)] = 10.0
    latency_ms: Annotated[float, Meta(ge=0, le=60_000)] = 50.0
    queue_position: bool = True
    liquidity_consumption: bool = True
    slippage_ticks: Annotated[int, Meta(ge=0, le=10_000)] = 0
    slippage_bps: Decimal = Decimal(0)
    price_band_pct: Annotated[float, Meta(gt=0, le=100)] | None = None
    market_wait_secs: Annotated[float, Meta(ge=0, le=600)] = 10.0
    funding: PaperFunding = "venue"
    funding_rate_pct: Decimal | None = None
    funding_interval_hours: Literal[1, 2, 4, 8] = 8
    persist: bool = True
    time: PaperTime = "wall"

    def __post_init__(self) -> None:
        if not (self.balance.is_finite() and 0 < self.balance <= LARGEST_BALANCE):
            raise ValueError(f"balance {self.balance} must be above 0 and at most {LARGEST_BALANCE:,}")
        if self.balance % Decimal("1e-8"):
            raise ValueError(f"balance {self.balance} has more than 8 decimals")
        if not 0 <= self.slippage_bps <= 1000:
            raise ValueError(f"slippage_bps {self.slippage_bps} must be between 0 and 1000")
        if self.slippage_ticks and self.slippage_bps:
            raise ValueError("slippage_ticks and slippage_bps are both set: choose one")
        rate = self.funding_rate_pct
        if (self.funding == "constant") != (rate is not None):
            raise ValueError("funding_rate_pct belongs to funding constant, which needs it: for example 0.01")
        if rate is not None and not (rate.is_finite() and abs(rate) <= LARGEST_FUNDING_PCT):
            raise ValueError(f"funding_rate_pct {rate} must be between -20 and 20 percent per funding time")
