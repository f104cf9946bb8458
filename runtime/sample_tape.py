"""The synthetic tape: how its trades are made. No market ever printed them.

The tape follows a zigzag of legs in the clock of traded dollars (`runtime.sample_zigzag`). Around that path
the trades are scattered:

* market orders arrive in clusters: each raises the rate of the next, and the rise fades (self-excitation);
* a market order is one to twelve trades of one time and one side that walk through the book;
* sides persist, and lean a little towards where the price goes;
* sizes have a fat tail, and now and then a whale prints several buckets at once;
* regimes change between trend, range (deep retracements) and volatile (longer legs, wider, faster).

With the *toxic* signature most retracements that will fail show it, and a few that will hold: from an eighth
of the impulse on their orders are one-sided, larger, and come in bursts. Path and sides of all other trades
are the same without it, and then holding and failing retracements look alike until the entry has filled.

Only +, -, *, / and square roots touch the numbers, exact to the last bit on every machine, and the
random source is the 53-bit uniforms of PCG64. Hence one seed gives one tape, everywhere.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from indicators.kernels.jit import kernel
from runtime.arrow_schema import TradeColumns
from runtime.sample_zigzag import VOLATILE, make_legs

DAY_NS: Final = 86_400_000_000_000
MICROSECOND_NS: Final = 1_000
FIRST_ID: Final = 1_000_000_000
TRADES_PER_DAY: Final = 160_000

# --- the trades ---------------------------------------------------------------------------------------
CLUSTER, KEEP, SIDE, WAIT, NOISE_1, NOISE_2, SIZE, WHALE = range(8)
MEAN_USD: Final = 2_600.0
LARGEST_USD: Final = 60_000.0
WHALE_SHARE: Final = 0.0008
WHALE_USD: Final = (30_000.0, 150_000.0)
LARGEST_CLUSTER: Final = 12
KEEP_SIDE: Final = 0.35
LEAN: Final = 0.15
TOXIC_HASTE: Final = 8.0
TOXIC_SIZE: Final = 1.5
EXCITEMENT: Final = 0.8
CALM_DOWN: Final = 4.0
NOISE: Final = 0.00015
NOISE_MEMORY: Final = 0.97


@dataclass(frozen=True, slots=True)
class TapeTerms:
    """What differs between two symbols: start price, increments, half spread as a fraction of the price."""

    start_price: float
    tick_size: float
    lot_size: float
    half_spread: float


@kernel
def print_trades(
    uniforms: NDArray[np.float64],
    end_usd: NDArray[np.float64],
    start_price: NDArray[np.float64],
    end_price: NDArray[np.float64],
    regime: NDArray[np.int64],
    toxic_usd: NDArray[np.float64],
    toxic_lean: NDArray[np.float64],
    tick_size: float,
    lot_size: float,
    half_spread: float,
    clock: NDArray[np.float64],
    price_ticks: NDArray[np.int64],
    size_lots: NDArray[np.int64],
    is_buyer: NDArray[np.bool_],
) -> float:
    """Scatter trades around the zigzag and return the dollars traded.

    Parameters
    ----------
    uniforms
        Shape (n, 8), the random source of each trade.
    end_usd, start_price, end_price, regime, toxic_usd, toxic_lean
        Shape (m,), see `Legs`.
    tick_size, lot_size, half_spread
        Price units, size units, fraction of the price.
    clock, price_ticks, size_lots, is_buyer
        Shape (n,), written: time in arbitrary units, and the trades.
    """
    usd = excitement = noise = now = 0.0
    leg = order_left = depth = 0
    is_buy = True
    for i in range(uniforms.shape[0]):
        u = uniforms[i]
        while leg < end_usd.shape[0] - 1 and usd >= end_usd[leg]:
            leg += 1
        begin_usd = end_usd[leg - 1] if leg > 0 else 0.0
        way = min((usd - begin_usd) / (end_usd[leg] - begin_usd), 1.0)
        is_up = end_price[leg] > start_price[leg]
        is_toxic = usd >= toxic_usd[leg]
        is_wild = regime[leg] == VOLATILE
        if order_left == 0:
            # 1/sqrt(u) is a Pareto variable with exponent 2: a fat tail from exact arithmetic alone.
            order_left = min(1 + int(1.6 / np.sqrt(1.0 - u[CLUSTER]) - 1.0), LARGEST_CLUSTER)
            depth = 0
            lean = toxic_lean[leg] if is_toxic else LEAN
            if is_toxic or u[KEEP] >= KEEP_SIDE:
                is_buy = u[SIDE] < 0.5 + (0.5 * lean if is_up else -0.5 * lean)
            wait = (1.0 / np.sqrt(1.0 - u[WAIT]) - 1.0) / (1.0 + excitement)
            if is_toxic:
                wait /= TOXIC_HASTE
            if is_wild:
                wait /= 2.0
            now += wait
            excitement = excitement / (1.0 + wait * CALM_DOWN) + EXCITEMENT
            swing = NOISE * (2.0 if is_wild else 1.0)
            noise = NOISE_MEMORY * noise + swing * (u[NOISE_1] + u[NOISE_2] - 1.0)
        path = start_price[leg] + (end_price[leg] - start_price[leg]) * way
        spread = half_spread * (2.0 if is_wild else 1.0) * (1.0 + 0.3 * depth)
        price = path * (1.0 + noise + (spread if is_buy else -spread))
        ticks = max(int(price / tick_size + 0.5), 1)
        value = MEAN_USD * (0.3 + 0.7 * (1.0 / np.sqrt(1.0 - u[SIZE]) - 1.0))
        if is_toxic:
            value *= TOXIC_SIZE
        value = min(value, LARGEST_USD)
        if u[WHALE] < WHALE_SHARE:
            value = WHALE_USD[0] + (WHALE_USD[1] - WHALE_USD[0]) * u[WHALE] / WHALE_SHARE
        lots = max(int(value / (ticks * tick_size * lot_size)), 1)
        clock[i] = now
        price_ticks[i] = ticks
        size_lots[i] = lots
        is_buyer[i] = is_buy
        usd += lots * lot_size * (ticks * tick_size)
        order_left -= 1
        depth += 1
    return usd


def make_tape(
    seed: tuple[int, ...], terms: TapeTerms, first_ns: int, days: int, *, is_toxic: bool
) -> TradeColumns:
    """Make one symbol's trades over whole days.

    Parameters
    ----------
    seed
        Of PCG64; equal seeds give equal bytes.
    terms
        Of the symbol.
    first_ns
        00:00 UTC of the first day.
    days
        >= 1.
    is_toxic
        Whether failing retracements show it.

    Returns
    -------
    TradeColumns
        160,000 trades per day, ids without gaps, times in whole microseconds.
    """
    rows = TRADES_PER_DAY * days
    random = np.random.Generator(np.random.PCG64(seed))
    # Twice the mean covers any luck with the sizes: the tape must not outlive the zigzag.
    legs = make_legs(random, terms.start_price, 2.0 * rows * MEAN_USD)
    toxic_usd = legs.toxic_usd if is_toxic else np.full(len(legs.toxic_usd), np.inf)
    uniforms = random.random((rows, 8))
    clock = np.empty(rows)
    ticks, lots = np.empty(rows, dtype=np.int64), np.empty(rows, dtype=np.int64)
    is_buyer = np.empty(rows, dtype=np.bool_)
    print_trades(
        uniforms, legs.end_usd, legs.start_price, legs.end_price, legs.regime, toxic_usd, legs.toxic_lean,
        terms.tick_size, terms.lot_size, terms.half_spread, clock, ticks, lots, is_buyer,
    )  # fmt: skip
    micros = (clock / clock[-1] * (days * DAY_NS / MICROSECOND_NS - 1.0)).astype(np.int64)
    return TradeColumns(first_ns + micros * MICROSECOND_NS, ticks, lots, is_buyer, FIRST_ID + np.arange(rows))
