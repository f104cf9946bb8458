"""The feature vector: one row that describes a resting entry and the market around it.

Read are the buckets that have closed, the structure after the last of them, the order, and time and price of
the trade on which is decided; nothing of the bucket that is still forming. Prices enter as differences,
signed by the direction of the order and divided by the average true range or by the leg, so a chart and its
mirror image give the same row. Every column survives another aggregation of the same trades.

A column is NaN only where the look-back is not full yet. What a market may lack at any time has a value: a
level that does not exist is `FAR` away, what never happened is `NEVER` buckets ago, a share of nothing is 0.
Otherwise a rule that does not score incomplete rows would decide about half of the market without the model.
"""

import math
from typing import Any

import numpy as np
from numba.np.numpy_support import carray
from numpy.typing import NDArray

from indicators.kernels.address import at_address
from indicators.kernels.jit import inline_kernel, kernel
from indicators.snapshot import SNAPSHOT_DTYPE
from packet_builder.packet import PACKET_DTYPE

WINDOW = 128  # closed buckets that are looked back upon, at most
LONGEST_RUN = 20
NANOS = 1e9
DAY_SECS = 86_400.0
LEAST_SECS = 0.001  # several buckets may close on one trade
LEAST_VARIANCE = 1e-12
LEAST_IMPACT = 1e-9
FAR = 200.0  # average true ranges
NEVER = 100_000.0  # buckets
# A large print that fills many buckets at one price leaves next to no true range for a while.
LEAST_RANGE = 0.25  # of the slow average

# The order: float64[8].
DIRECTION, ENTRY, STOP, TARGET, RANGE_LOW, RANGE_HIGH, PLACED_SEQ, BIAS = range(8)
ORDER_FIELDS = 8

# Columns that change with every trade, then those that change when a bucket closes.
TICK_COLUMNS = 7
COLUMNS = 46

# What one resting order is looked at with, by address: numba takes one integer faster than five arrays.
RING_DTYPE = np.dtype(
    [
        ("packets_at", np.int64),  # address of PACKET_DTYPE (2 * WINDOW,): closed buckets, oldest first
        ("snapshot_at", np.int64),  # address of SNAPSHOT_DTYPE (1,): structure after the newest of them
        ("order_at", np.int64),  # address of float64 (ORDER_FIELDS,)
        ("row_at", np.int64),  # address of float64 (COLUMNS,): the row, written
        ("placed_ns", np.int64),  # when the order was sent, UNIX nanoseconds
        ("last", np.int64),  # position of the newest bucket, -1 before the first
        ("is_stale", np.int64),  # 1: a bucket closed or the order changed since its columns were filled
        # Of the newest bucket and its structure, kept when the columns are filled.
        ("ts_close_ns", np.int64),
        ("close", np.float64),
        ("atr", np.float64),
    ],
    align=True,
)


@kernel
def ratio(numerator: float, denominator: float) -> float:
    """Return the quotient of two scalars, a ratio without unit; NaN unless the denominator is above 0.

    References
    ----------
    ``docs/features.md``.
    """
    return numerator / denominator if denominator > 0.0 else math.nan


@kernel
def share(part: float, whole: float) -> float:
    """Return the quotient of two scalars, a ratio without unit; 0.0 where the whole is 0, NaN stays NaN.

    References
    ----------
    ``docs/features.md``.
    """
    return 0.0 if whole == 0.0 else part / whole


@kernel
def log_age(count: float) -> float:
    """Return ``log(1 + count)`` of a scalar number of buckets; a negative one means never, as `NEVER`.

    References
    ----------
    ``docs/features.md``.
    """
    return math.log1p(count if count >= 0.0 else NEVER)


@kernel
def reach(distance: float, scale: float) -> float:
    """Return how far a level is, a scalar in ATRs within -FAR..FAR; FAR where there is no level (NaN).

    Parameters
    ----------
    distance
        Price difference, quote currency.
    scale
        From :func:`true_range`.

    References
    ----------
    ``docs/features.md``.
    """
    if not scale > 0.0:
        return math.nan
    return FAR if math.isnan(distance) else min(max(distance / scale, -FAR), FAR)


@kernel
def true_range(snapshots: NDArray[Any], row: int) -> float:
    """Return the average true range, a scalar price difference; a quarter of the slow one at least.

    Parameters
    ----------
    snapshots, row
        Structure, shape (m,), dtype ``SNAPSHOT_DTYPE``, and the row that is meant.

    References
    ----------
    ``docs/features.md``.
    """
    atr: float = snapshots[row]["atr"]
    least: float = LEAST_RANGE * snapshots[row]["atr_slow"]
    if least > atr:  # False with NaN: no slow average yet
        return least
    return atr


@kernel
def imbalance(packets: NDArray[Any], last: int, length: int) -> float:
    """Return (bought - sold) / traded USD of the last buckets, -1..1; NaN with too few of them.

    Parameters
    ----------
    packets
        Closed buckets, shape (n,), dtype ``PACKET_DTYPE``, oldest first.
    last
        Position of the newest one that is known.
    length
        Number of buckets, > 0.

    References
    ----------
    ``docs/features.md``; on signed flow Cont, Kukanov, Stoikov (2014),
    "The Price Impact of Order Book Events".
    """
    if last + 1 < length:
        return math.nan
    signed, total = 0.0, 0.0
    for at in range(last - length + 1, last + 1):
        signed += packets[at]["buy_usd"] - packets[at]["sell_usd"]
        total += packets[at]["total_usd"]
    return ratio(signed, total)


@kernel
def tick_part(
    atr: float,
    close: float,
    ts_close_ns: int,
    order: NDArray[np.float64],
    placed_ns: int,
    ts_ns: int,
    price: float,
    out: NDArray[np.float64],
) -> None:
    """Fill the columns that change with every trade: ``out[:TICK_COLUMNS]``.

    Parameters
    ----------
    atr
        From :func:`true_range`, quote currency.
    close, ts_close_ns
        Of the newest bucket known, quote currency and UNIX nanoseconds.
    order
        Shape (8,): `DIRECTION` (+1, -1), prices in quote currency, `PLACED_SEQ` and `BIAS`.
    placed_ns, ts_ns
        When the order was sent and now, UNIX nanoseconds.
    price
        Of the trade on which is decided, quote currency.
    out
        Shape (COLUMNS,).

    References
    ----------
    ``docs/features.md``.
    """
    direction = order[DIRECTION]
    distance = direction * (price - order[ENTRY])
    second = (ts_ns // 1_000_000_000) % 86_400
    angle = 2.0 * math.pi * second / DAY_SECS
    out[0] = ratio(distance, atr)
    out[1] = ratio(distance, order[RANGE_HIGH] - order[RANGE_LOW])
    out[2] = ratio(direction * (price - close), atr)
    out[3] = math.log1p(max(ts_ns - ts_close_ns, 0) / NANOS)
    out[4] = math.log1p(max(ts_ns - placed_ns, 0) / NANOS)
    out[5] = math.sin(angle)
    out[6] = math.cos(angle)


@kernel
def approach_part(
    packets: NDArray[Any], last: int, atr: float, order: NDArray[np.float64], out: NDArray[np.float64]
) -> None:
    """Fill ``out[7:18]``: geometry of the order, run of the last buckets, and the pullback since the extreme.

    Parameters are those of :func:`bucket_part`; `atr` is in quote currency.

    References
    ----------
    ``docs/features.md``, shapes there.
    """
    direction, entry = order[DIRECTION], order[ENTRY]
    leg = order[RANGE_HIGH] - order[RANGE_LOW]
    risk = direction * (entry - order[STOP])
    close = packets[last]["close"]
    out[7] = ratio(risk, atr)
    out[8] = ratio(direction * (order[TARGET] - entry), risk)
    out[9] = ratio(leg, atr)
    out[10] = log_age(packets[last]["seq"] - order[PLACED_SEQ])
    for number in range(3):
        back = (1, 5, 20)[number]
        out[11 + number] = math.nan
        if last >= back:
            out[11 + number] = ratio(direction * (close - packets[last - back]["close"]), atr)

    # The newest bucket with the furthest price away from the entry: there the pullback began.
    peak, top = last, -math.inf
    for at in range(max(last - WINDOW + 1, 0), last + 1):
        far = packets[at]["high"] if direction > 0.0 else -packets[at]["low"]
        if far >= top:
            peak, top = at, far
    signed, total = 0.0, 0.0
    for at in range(peak + 1, last + 1):
        signed += packets[at]["buy_usd"] - packets[at]["sell_usd"]
        total += packets[at]["total_usd"]
    out[14] = math.log1p(float(last - peak))
    out[15] = math.log1p((packets[last]["ts_close_ns"] - packets[peak]["ts_close_ns"]) / NANOS)
    out[16] = ratio(top - direction * close, leg)
    out[17] = share(direction * signed, total)


@kernel
def flow_part(packets: NDArray[Any], last: int, direction: float, out: NDArray[np.float64]) -> None:
    """Fill ``out[18:31]``: signed flow, volatility and pace of the last 1 to 50 buckets.

    Parameters are those of :func:`bucket_part`; `direction` is +1 or -1.

    References
    ----------
    ``docs/features.md``, shapes there; on semivariance Barndorff-Nielsen, Kinnebrock, Shephard (2010),
    on the efficiency ratio Kaufman (1995), on impact Amihud (2002).
    """
    short_flow, long_flow = imbalance(packets, last, 5), imbalance(packets, last, 20)
    out[18] = direction * imbalance(packets, last, 1)
    out[19] = direction * short_flow
    out[20] = direction * long_flow
    out[21] = direction * imbalance(packets, last, 50)
    out[22] = direction * (short_flow - long_flow)
    run = 0
    while run < LONGEST_RUN and run <= last and direction * packets[last - run]["imbalance"] < 0.0:
        run += 1
    out[23] = float(run)
    out[24] = packets[last]["vpin"]

    for column in range(25, 31):
        out[column] = math.nan
    variance, up, down, moved, path, secs, impact = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    short_variance, short_secs, short_impact = 0.0, 0.0, 0.0
    for back in range(min(50, last + 1)):
        packet = packets[last - back]
        variance += packet["realized_variance"]
        up += packet["up_semivariance"]
        down += packet["down_semivariance"]
        moved += packet["log_return"]
        path += packet["abs_return_sum"]
        secs += packet["duration_secs"]
        impact += packet["amihud"]
        if back == 4:
            out[25] = math.log(variance / 5.0 + LEAST_VARIANCE)
            out[27] = share(direction * (up - down), up + down)
            out[28] = share(abs(moved), path)
            short_variance, short_secs, short_impact = variance, secs, impact
        if back == 49:
            out[26] = math.log((short_variance * 10.0 + LEAST_VARIANCE) / (variance + LEAST_VARIANCE))
            out[29] = math.log((short_secs * 10.0 + LEAST_SECS) / (secs + LEAST_SECS))
            out[30] = math.log((short_impact * 10.0 + LEAST_IMPACT) / (impact + LEAST_IMPACT))


@kernel
def structure_part(
    snapshots: NDArray[Any], row: int, order: NDArray[np.float64], out: NDArray[np.float64]
) -> None:
    """Fill ``out[31:45]``: trend, and the levels that stand behind the entry and before the target.

    Parameters are those of :func:`bucket_part`.

    References
    ----------
    ``docs/features.md``, shapes there; ``docs/structure.md``.
    """
    now = snapshots[row]
    direction, entry, atr = order[DIRECTION], order[ENTRY], true_range(snapshots, row)
    out[31] = ratio(now["atr"], now["atr_slow"])
    out[32] = ratio(direction * (now["ema_fast"] - now["ema_slow"]), atr)
    out[33] = direction * (now["rsi"] - 50.0)
    out[34] = direction * now["internal_trend"]
    out[35] = direction * now["external_trend"]
    out[36] = log_age(float(now["internal_bars_since_break"]))
    out[37] = log_age(float(now["external_bars_since_break"]))
    if direction > 0.0:
        stops, beyond = now["liquidity_low"], now["liquidity_high"]
        block, gap = now["bull_ob_high"], now["bull_fvg_high"]
        blocks = now["bull_ob_count"] - now["bear_ob_count"]
        swept = now["bars_since_bull_sweep_swing"]
        day_start = now["previous_day_low"]
    else:
        stops, beyond = now["liquidity_high"], now["liquidity_low"]
        block, gap = now["bear_ob_low"], now["bear_fvg_low"]
        blocks = now["bear_ob_count"] - now["bull_ob_count"]
        swept = now["bars_since_bear_sweep_swing"]
        day_start = now["previous_day_high"]
    out[38] = reach(direction * (entry - stops), atr)
    out[39] = reach(direction * (beyond - entry), atr)
    out[40] = reach(direction * (entry - block), atr)
    out[41] = reach(direction * (entry - gap), atr)
    out[42] = float(blocks)
    out[43] = log_age(float(swept))
    out[44] = ratio(direction * (entry - day_start), now["previous_day_high"] - now["previous_day_low"])
    if math.isnan(out[44]):
        out[44] = 0.5  # no day before


@kernel
def bucket_part(
    packets: NDArray[Any],
    last: int,
    snapshots: NDArray[Any],
    row: int,
    order: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """Fill the columns that change when a bucket closes: ``out[TICK_COLUMNS:]``.

    Parameters
    ----------
    packets, last
        Closed buckets, shape (n,), dtype ``PACKET_DTYPE``, and the position of the newest one known.
    snapshots, row
        Structure, shape (m,), dtype ``SNAPSHOT_DTYPE``, and the row after that bucket.
    order
        Shape (8,): `DIRECTION` (+1, -1), prices in quote currency, `PLACED_SEQ` and `BIAS`.
    out
        Shape (COLUMNS,).

    References
    ----------
    ``docs/features.md``.
    """
    approach_part(packets, last, true_range(snapshots, row), order, out)
    flow_part(packets, last, order[DIRECTION], out)
    structure_part(snapshots, row, order, out)
    bias = order[BIAS]
    out[45] = 0.0 if math.isnan(bias) else order[DIRECTION] * bias


@kernel
def vector(
    packets: NDArray[Any],
    last: int,
    snapshots: NDArray[Any],
    row: int,
    order: NDArray[np.float64],
    placed_ns: int,
    ts_ns: int,
    price: float,
    out: NDArray[np.float64],
) -> None:
    """Fill the whole row, shape (COLUMNS,); parameters as in :func:`bucket_part` and :func:`tick_part`.

    References
    ----------
    ``docs/features.md``.
    """
    bucket_part(packets, last, snapshots, row, order, out)
    close, ts_close_ns = packets[last]["close"], packets[last]["ts_close_ns"]
    tick_part(true_range(snapshots, row), close, ts_close_ns, order, placed_ns, ts_ns, price, out)


@kernel
def renew(ring: Any, order: NDArray[np.float64], out: NDArray[np.float64]) -> None:
    """Fill the columns that change with the bucket or the order, and keep what each trade is compared with.

    Parameters
    ----------
    ring
        Record of `RING_DTYPE`, shape (); it has a bucket.
    order, out
        As in :func:`bucket_part`.

    References
    ----------
    ``docs/features.md``, units there.
    """
    packets = carray(at_address(ring.packets_at), 2 * WINDOW, PACKET_DTYPE)
    snapshots = carray(at_address(ring.snapshot_at), 1, SNAPSHOT_DTYPE)
    bucket_part(packets, ring.last, snapshots, 0, order, out)
    ring.atr = true_range(snapshots, 0)
    ring.close = packets[ring.last]["close"]
    ring.ts_close_ns = packets[ring.last]["ts_close_ns"]
    ring.is_stale = 0


@inline_kernel
def look(ring: Any, ts_ns: int, price: float) -> NDArray[np.float64]:
    """Return the row of a trade, shape (COLUMNS,), the same bits as :func:`vector`; NaN without a bucket.

    Parameters
    ----------
    ring
        Record of `RING_DTYPE`, shape (); the arrays it points at are alive.
    ts_ns, price
        Of the trade on which is decided, UNIX nanoseconds and quote currency.

    References
    ----------
    ``docs/features.md``.
    """
    row = carray(at_address(ring.row_at), COLUMNS, np.float64)
    if ring.last < 0:
        row[:] = math.nan
        return row
    order = carray(at_address(ring.order_at), ORDER_FIELDS, np.float64)
    if ring.is_stale != 0:
        renew(ring, order, row)
    tick_part(ring.atr, ring.close, ring.ts_close_ns, order, ring.placed_ns, ts_ns, price, row)
    return row


@kernel
def look_at(ring_address: int, ts_ns: int, price: float) -> None:
    """Fill the row of a trade; the ring, a record of `RING_DTYPE` of shape (1,), by address.

    Parameters
    ----------
    ring_address
        Of the record.
    ts_ns, price
        As in :func:`look`, UNIX nanoseconds and quote currency.

    References
    ----------
    ``docs/features.md``.
    """
    look(carray(at_address(ring_address), 1, RING_DTYPE)[0], ts_ns, price)


@kernel
def matrix(
    packets: NDArray[Any],
    snapshots: NDArray[Any],
    last: NDArray[np.int64],
    orders: NDArray[np.float64],
    placed_ns: NDArray[np.int64],
    ts_ns: NDArray[np.int64],
    price: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """Fill one row per decision.

    Parameters
    ----------
    packets, snapshots
        Shape (n,), row by row: all closed buckets and the structure after each.
    last
        Shape (m,): position of the newest bucket that is known at each decision.
    orders
        Shape (m, 8), see :func:`bucket_part`.
    placed_ns, ts_ns, price
        Shape (m,).
    out
        Shape (m, COLUMNS).

    References
    ----------
    ``docs/features.md``.
    """
    for at in range(len(last)):
        known = last[at]
        vector(packets, known, snapshots, known, orders[at], placed_ns[at], ts_ns[at], price[at], out[at])
