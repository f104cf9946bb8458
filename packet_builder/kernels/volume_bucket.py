"""Equal-dollar volume buckets from trades: one sequential kernel for arrays, chunks and single trades.

Dollars are int64 counts of ``tick_size x lot_size``, so that a closed bucket holds exactly the configured
amount and no dollar is lost or made. All state lives in one record (``state_dtype``): whoever continues it
gets the same bytes, however the trades were cut into calls. ``docs/packets.md`` defines every column.
"""

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from indicators.kernels.jit import kernel
from packet_builder.kernels.imbalance import vpin_step

STATE_VERSION: Final = 1
DAY_NS: Final = 86_400_000_000_000
INT64_MAX: Final = 2**63 - 1
INT64_MIN: Final = -(2**63)

# Every field is 8 bytes wide: no padding whose bytes could differ between two equal states.
HEAD_DTYPE: Final = np.dtype(
    [
        # settings: written once, compared when a checkpoint is restored
        ("bucket_units", np.int64),
        ("is_anchored", np.int64),
        ("tick_numerator", np.float64),  # price = ticks x numerator / denominator, correctly rounded:
        ("tick_denominator", np.float64),  # the float nearest to the decimal price
        ("lot_numerator", np.float64),
        ("lot_denominator", np.float64),
        ("unit_numerator", np.float64),
        ("unit_denominator", np.float64),
        ("ticks_per_price", np.float64),
        ("lots_per_size", np.float64),
        # the stream
        ("seq", np.int64),
        ("now_ns", np.int64),  # running maximum of trade times
        ("next_anchor_ns", np.int64),  # the first trade at or after it starts a new day
        ("last_id", np.int64),  # -1: no id seen yet
        ("last_ticks", np.int64),  # 0: no price to measure a return from
        ("last_return", np.float64),
        # VPIN window
        ("ring_at", np.int64),
        ("ring_count", np.int64),
        ("ring_sum", np.int64),
        # the open bucket
        ("room", np.int64),  # units that still fit; room == bucket_units: empty
        ("ts_open_ns", np.int64),
        ("first_id", np.int64),
        ("base_ticks", np.int64),  # price that the first return is measured from, 0: none
        ("return_before", np.float64),  # return of the last trade before the bucket
        ("open_ticks", np.int64),
        ("high_ticks", np.int64),
        ("low_ticks", np.int64),
        ("buy_units", np.int64),
        ("total_lots", np.int64),  # whole lots; the parts of a split lot are kept apart, below
        ("buy_lots", np.int64),
        ("head_part", np.int64),  # a lot cut by the bucket's start: head_part / head_ticks of it is here
        ("head_ticks", np.int64),
        ("head_is_buy", np.int64),
        ("tail_part", np.int64),  # likewise by its end
        ("tail_ticks", np.int64),
        ("tail_is_buy", np.int64),
        ("up", np.float64),
        ("down", np.float64),
        ("abs_sum", np.float64),
        ("lag_product", np.float64),
        ("lag_abs_product", np.float64),
        ("return_times_flow", np.float64),
        ("flow_squared", np.float64),
        ("is_continued", np.int64),  # opened by the rest of a split trade, whose return is elsewhere
        ("trade_count", np.int64),
        ("buy_count", np.int64),
        ("max_units", np.int64),
        ("run", np.int64),
        ("run_is_buy", np.int64),
        ("longest_run", np.int64),
        ("missing_ids", np.int64),
        # counters since the start
        ("total_missing_ids", np.int64),
        ("dropped_ids", np.int64),
        ("ignored_sizes", np.int64),
        # report of the last call
        ("consumed", np.int64),  # index of the first trade that was not taken
        ("rows_wanted", np.int64),  # free output rows that trade needs; 0: it was refused, see `refused`
        ("refused", np.int64),
    ]
)

# Values of `refused`.
OK, BAD_PRICE, BAD_SIZE, TOO_LARGE, NOT_COUNTABLE = range(5)
# No id: what a trade gets whose id is not above the last one.
DROPPED: Final = -2

# A float becomes a count of increments if it is within 16 ulp of a multiple of the increment. Below the
# limit the next multiple is far outside.
COUNT_TOLERANCE: Final = 2.0**-48
COUNT_LIMIT: Final = 2**44
# Words of a row of the live buffer: time, price, size (floats), id, taker bought; ticks, lots (scratch).
ROW_WORDS: Final = 7


def state_dtype(vpin_window: int) -> np.dtype[np.void]:
    """Return the dtype of the one state record: ``head`` and ``vpin_ring``, shape () per builder.

    Parameters
    ----------
    vpin_window
        Packets that the ring holds, at least 1.

    Returns
    -------
    numpy.dtype
        ``head`` is `HEAD_DTYPE`, ``vpin_ring`` int64 of shape (vpin_window,), |buy - sell| in units of
        tick x lot.

    References
    ----------
    The layout is our own; ``docs/packets.md`` tells what it computes.
    """
    return np.dtype([("head", HEAD_DTYPE), ("vpin_ring", np.int64, (vpin_window,))])


@kernel
def log_return(ticks: int, before: int) -> float:
    """Return the log return between two prices.

    Small moves take the atanh series: the difference of two integers is exact, so it keeps the digits
    that log(ratio near 1) loses, and it needs no call into libm.

    Parameters
    ----------
    ticks, before
        Scalar int64 prices in ticks: the trade's, above 0, and the one before; 0 is none yet.

    Returns
    -------
    float
        log(ticks / before), no unit; 0.0 where ``before`` is 0.

    References
    ----------
    Abramowitz, Stegun (1964), "Handbook of Mathematical Functions", 4.1: log((1 + z) / (1 - z)) as a
    series in z = (ticks - before) / (ticks + before); below 0.2 % four terms are exact to float64.
    """
    z = float(ticks - before) / float(ticks + before)
    z2 = z * z
    if z2 < 1e-6:
        return 2.0 * z * (1.0 + z2 * (1.0 / 3.0 + z2 * (1.0 / 5.0 + z2 * (1.0 / 7.0))))
    if before == 0:
        return 0.0
    return math.log(float(ticks) / float(before))


@kernel
def _clear(head: Any) -> None:
    # Only what accumulates: the rest is set when the next trade opens the bucket.
    head["room"] = head["bucket_units"]
    head["buy_units"] = 0
    head["total_lots"] = 0
    head["buy_lots"] = 0
    head["head_part"] = 0
    head["tail_part"] = 0
    head["up"] = 0.0
    head["down"] = 0.0
    head["abs_sum"] = 0.0
    head["lag_product"] = 0.0
    head["lag_abs_product"] = 0.0
    head["return_times_flow"] = 0.0
    head["flow_squared"] = 0.0
    head["is_continued"] = 0
    head["trade_count"] = 0
    head["buy_count"] = 0
    head["max_units"] = 0
    head["run"] = 0
    head["longest_run"] = 0
    head["missing_ids"] = 0


@kernel
def _split_lots(head: Any) -> tuple[float, float]:
    # Bought and sold lots of the open bucket, the parts of cut lots included. Two parts of the same price
    # and side are added as integers: trades that a venue merges must give the same bits (aggTrades).
    bought = head["buy_lots"]
    sold = head["total_lots"] - bought
    first, first_ticks, first_is_buy = head["head_part"], head["head_ticks"], head["head_is_buy"]
    second, second_ticks, second_is_buy = head["tail_part"], head["tail_ticks"], head["tail_is_buy"]
    if first > 0 and second > 0 and first_ticks == second_ticks and first_is_buy == second_is_buy:
        first += second
        second = 0
        if first >= first_ticks:
            first -= first_ticks
            bought += first_is_buy
            sold += 1 - first_is_buy

    bought_lots, sold_lots = float(bought), float(sold)
    if first > 0:
        part = float(first) / float(first_ticks)
        bought_lots += part * float(first_is_buy)
        sold_lots += part * float(1 - first_is_buy)
    if second > 0:
        part = float(second) / float(second_ticks)
        bought_lots += part * float(second_is_buy)
        sold_lots += part * float(1 - second_is_buy)
    return bought_lots, sold_lots


@kernel
def _write_open(head: Any, row: Any, ts_close_ns: int) -> None:
    # Everything but `vpin`, which moves the window, so that a forming bucket can be shown as well.
    total = head["bucket_units"] - head["room"]
    buy = head["buy_units"]
    tick_num, tick_den = head["tick_numerator"], head["tick_denominator"]
    unit_num, unit_den = head["unit_numerator"], head["unit_denominator"]
    close = head["last_ticks"]

    row["seq"] = head["seq"]
    row["ts_open_ns"] = head["ts_open_ns"]
    row["ts_close_ns"] = ts_close_ns
    row["first_trade_id"] = head["first_id"]
    row["last_trade_id"] = head["last_id"]

    low = float(head["low_ticks"]) * tick_num / tick_den
    high = float(head["high_ticks"]) * tick_num / tick_den
    row["open"] = float(head["open_ticks"]) * tick_num / tick_den
    row["high"] = high
    row["low"] = low
    row["close"] = float(close) * tick_num / tick_den
    bought_lots, sold_lots = _split_lots(head)
    # The quotient may round to one ulp outside the range of a bucket with one price.
    row["vwap"] = min(max(float(total) / (bought_lots + sold_lots) * tick_num / tick_den, low), high)

    total_usd = float(total) * unit_num / unit_den
    row["total_usd"] = total_usd
    row["buy_usd"] = float(buy) * unit_num / unit_den
    row["sell_usd"] = float(total - buy) * unit_num / unit_den
    lot_num, lot_den = head["lot_numerator"], head["lot_denominator"]
    row["buy_qty"] = bought_lots * lot_num / lot_den
    row["sell_qty"] = sold_lots * lot_num / lot_den
    row["total_qty"] = row["buy_qty"] + row["sell_qty"]
    row["imbalance"] = float(2 * buy - total) / float(total)

    # The returns between the trades telescope: one logarithm of the ends is their sum without rounding.
    base = head["base_ticks"]
    move = log_return(close, base if base > 0 else head["open_ticks"])
    path = head["abs_sum"]
    row["log_return"] = move
    row["up_semivariance"] = head["up"]
    row["down_semivariance"] = head["down"]
    row["realized_variance"] = head["up"] + head["down"]
    row["abs_return_sum"] = path
    row["efficiency_ratio"] = min(abs(move) / path, 1.0) if path > 0.0 else 0.0
    row["amihud"] = abs(move) / (total_usd / 1e6)
    row["duration_secs"] = float(ts_close_ns - head["ts_open_ns"]) / 1e9

    count = head["trade_count"]
    row["trade_count"] = count
    row["buy_count"] = head["buy_count"]
    row["max_trade_share"] = float(head["max_units"]) / float(total)
    row["longest_run"] = head["longest_run"]
    row["bipower_variation"] = head["lag_abs_product"] * (math.pi / 2.0)
    row["kyle_lambda"] = head["return_times_flow"] / head["flow_squared"] * unit_den / unit_num * 1e6
    spread = 0.0
    returns = float(count - head["is_continued"])
    if returns > 0.0:
        lagged = move - head["last_return"] + head["return_before"]
        covariance = head["lag_product"] / returns - (move / returns) * (lagged / returns)
        spread = 2.0 * math.sqrt(max(0.0, -covariance))
    row["roll_spread"] = spread

    row["missing_ids"] = head["missing_ids"]
    row["is_short"] = head["room"] > 0
    row["is_tainted"] = head["missing_ids"] > 0


@kernel
def _close(head: Any, ring: NDArray[np.int64], row: Any) -> None:
    _write_open(head, row, head["now_ns"])
    total = head["bucket_units"] - head["room"]
    row["vpin"] = vpin_step(head, ring, 2 * head["buy_units"] - total, total)
    head["seq"] += 1
    _clear(head)


@kernel
def _load_each(head: Any) -> Any:
    # What changes with every trade.
    room = head["room"] if head["room"] < head["bucket_units"] else 0
    return (
        head["now_ns"],
        head["last_id"],
        head["last_ticks"],
        head["last_return"],
        room,
        head["total_lots"],
        head["flow_squared"],
        head["max_units"],
    )


@kernel
def _store_each(
    head: Any,
    now: int,
    last_id: int,
    last: int,
    last_return: float,
    room: int,
    lots: int,
    flow_squared: float,
    max_units: int,
) -> None:
    head["now_ns"] = now
    head["last_id"] = last_id
    head["last_ticks"] = last
    head["last_return"] = last_return
    head["room"] = room
    head["total_lots"] = lots
    head["flow_squared"] = flow_squared
    head["max_units"] = max_units


@kernel
def _load_moves(head: Any) -> Any:
    # What changes with the price.
    return (
        head["high_ticks"],
        head["low_ticks"],
        head["up"],
        head["down"],
        head["abs_sum"],
        head["lag_product"],
        head["lag_abs_product"],
        head["return_times_flow"],
    )


@kernel
def _store_moves(
    head: Any,
    high: int,
    low: int,
    up: float,
    down: float,
    abs_sum: float,
    lag_product: float,
    lag_abs_product: float,
    return_times_flow: float,
) -> None:
    head["high_ticks"] = high
    head["low_ticks"] = low
    head["up"] = up
    head["down"] = down
    head["abs_sum"] = abs_sum
    head["lag_product"] = lag_product
    head["lag_abs_product"] = lag_abs_product
    head["return_times_flow"] = return_times_flow


@kernel
def _load_sums(head: Any) -> tuple[int, int, int, int, int, int]:
    # What is settled when the aggressor's side changes.
    return (
        head["buy_units"],
        head["buy_lots"],
        head["trade_count"],
        head["buy_count"],
        head["run"],
        head["longest_run"],
    )


@kernel
def _store_sums(head: Any, sums: tuple[int, int, int, int, int, int]) -> None:
    head["buy_units"] = sums[0]
    head["buy_lots"] = sums[1]
    head["trade_count"] = sums[2]
    head["buy_count"] = sums[3]
    head["run"] = sums[4]
    head["longest_run"] = sums[5]


@kernel
def _fill_with_rest(head: Any, ring: NDArray[np.int64], rest: int, buyer: int, out: Any, closed: int) -> int:
    # The rest of a trade that filled a bucket goes into the next ones, as many as it takes. Its return
    # belongs to its first piece. Return the count of closed rows.
    ticks = head["last_ticks"]
    while rest > 0:
        piece = min(rest, head["bucket_units"])
        rest -= piece
        head["ts_open_ns"] = head["now_ns"]
        head["first_id"] = head["last_id"]
        head["base_ticks"] = ticks
        head["return_before"] = head["last_return"]
        head["open_ticks"] = ticks
        head["high_ticks"] = ticks
        head["low_ticks"] = ticks
        head["room"] -= piece
        head["buy_units"] = piece * buyer
        head["total_lots"] = piece // ticks
        head["buy_lots"] = piece // ticks * buyer
        head["head_part"] = piece % ticks
        head["head_ticks"] = ticks
        head["head_is_buy"] = buyer
        head["flow_squared"] = float(piece) * float(piece)
        head["is_continued"] = 1
        head["trade_count"] = 1
        head["buy_count"] = buyer
        head["max_units"] = piece
        head["run"] = 1
        head["run_is_buy"] = buyer
        head["longest_run"] = 1
        if head["room"] == 0:
            _close(head, ring, out[closed])
            closed += 1
    return closed


@kernel
def _take_id(head: Any, number: int, last_id: int) -> int:
    # Return the last id seen after this trade, DROPPED for a duplicate or a step backwards.
    if number < 0:
        return last_id
    if number <= last_id:
        head["dropped_ids"] += 1
        return DROPPED
    if last_id >= 0:
        head["missing_ids"] += number - last_id - 1
        head["total_missing_ids"] += number - last_id - 1
    return number


@kernel
def _settle(
    sums: tuple[int, int, int, int, int, int], trades: int, units: int, lots: int, is_buy: int
) -> tuple[int, int, int, int, int, int]:
    # Account for `trades` trades of one side in a row, together: five sums less to touch per trade.
    buy_units, buy_lots, count, buy_count, run, longest_run = sums
    run += trades
    return (
        buy_units + units * is_buy,
        buy_lots + lots * is_buy,
        count + trades,
        buy_count + trades * is_buy,
        run,
        max(longest_run, run),
    )


@kernel
def _run(
    head: Any,
    ring: NDArray[np.int64],
    ts_ns: NDArray[np.int64],
    price_ticks: NDArray[np.int64],
    size_lots: NDArray[np.int64],
    is_buyer: NDArray[Any],
    trade_id: NDArray[np.int64],
    end: int,
    out: Any,
) -> int:
    # The loop carries what changes with every trade in locals (registers) and meets the record only where
    # a bucket opens or closes; what changes only with the price or the side is touched only then. The
    # same sums kept per trade cost a third more time.
    bucket = head["bucket_units"]
    next_anchor = head["next_anchor_ns"]
    largest = INT64_MAX - bucket
    capacity = out.shape[0]
    closed = 0
    consumed = end
    head["rows_wanted"] = 0
    head["refused"] = OK
    # `room` is 0 here while the bucket is empty, so that its first trade takes the rare branch, too.
    now, last_id, last, last_return, room, lots, flow_squared, max_units = _load_each(head)
    high, low, up, down, abs_sum, lag_product, lag_abs_product, return_times_flow = _load_moves(head)
    sums = _load_sums(head)
    run_is_buy = head["run_is_buy"]
    run_from, run_room, run_lots = 0, room, lots

    for i in range(end):
        ticks, size, ts, number = price_ticks[i], size_lots[i], ts_ns[i], trade_id[i]
        # One test for the usual case: both positive and at most 2**31, so the product cannot overflow.
        if ((ticks - 1) | (size - 1)) >> 31 != 0:
            refused = OK
            if ticks <= 0:
                refused = BAD_PRICE
            elif size < 0:
                refused = BAD_SIZE
            elif size > largest // ticks:
                refused = TOO_LARGE
            if refused != OK:
                head["refused"] = refused
                consumed = i
                break
            if size == 0:
                seen = _take_id(head, number, last_id)
                if seen != DROPPED:
                    last_id = seen
                    head["ignored_sizes"] += 1
                run_from += 1
                continue

        units = ticks * size
        piece = units
        if units >= room or ts >= next_anchor:
            # Only here are rows written: stop before this trade is touched if they might not fit.
            rows = units // bucket + 2
            if closed + rows > capacity:
                head["rows_wanted"] = rows
                consumed = i
                break
            if number >= 0 and number <= last_id:
                head["dropped_ids"] += 1
                run_from += 1
                continue
            if ts >= next_anchor:
                if room > 0:
                    sums = _settle(sums, i - run_from, run_room - room, lots - run_lots, run_is_buy)
                    _store_each(head, now, last_id, last, last_return, room, lots, flow_squared, max_units)
                    _store_moves(
                        head, high, low, up, down, abs_sum, lag_product, lag_abs_product, return_times_flow
                    )
                    _store_sums(head, sums)
                    _close(head, ring, out[closed])
                    closed += 1
                    now, last_id, last, last_return, room, lots, flow_squared, max_units = _load_each(head)
                    high, low, up, down, abs_sum, lag_product, lag_abs_product, return_times_flow = (
                        _load_moves(head)
                    )
                    sums = _load_sums(head)
                    run_from, run_lots = i, lots
                # A day stands alone, so that a replay from its start gives the same buckets: no return
                # is measured across midnight.
                next_anchor = (ts // DAY_NS + 1) * DAY_NS
                head["next_anchor_ns"] = next_anchor
                last = 0
                last_return = 0.0
            if room == 0:
                head["ts_open_ns"] = max(now, ts)
                head["first_id"] = number if number >= 0 else last_id
                head["base_ticks"] = last
                head["return_before"] = last_return
                head["open_ticks"] = ticks
                high = ticks
                low = ticks
                room = bucket
                run_room = bucket
            piece = min(units, room)

        if number == last_id + 1:
            last_id = number
        else:
            last_id_now = _take_id(head, number, last_id)
            if last_id_now == DROPPED:
                run_from += 1
                continue
            last_id = last_id_now

        buyer = 1 if is_buyer[i] else 0
        if buyer != run_is_buy:
            sums = _settle(sums, i - run_from, run_room - room, lots - run_lots, run_is_buy)
            sums = (sums[0], sums[1], sums[2], sums[3], 0, sums[5])
            run_from, run_room, run_lots = i, room, lots
            run_is_buy = buyer

        now = max(now, ts)
        flow = float(piece)
        flow_squared += flow * flow
        max_units = max(max_units, piece)
        if ticks == last:
            last_return = 0.0  # and every sum of returns would gain a zero
        else:
            move = log_return(ticks, last)
            square = move * move
            product = move * last_return
            high = max(high, ticks)
            low = min(low, ticks)
            up += square if move > 0.0 else 0.0
            down += square if move < 0.0 else 0.0
            abs_sum += abs(move)
            lag_product += product
            lag_abs_product += abs(product)
            return_times_flow += move * flow if buyer else -(move * flow)
            last = ticks
            last_return = move

        if units < room:
            room -= units
            lots += size
            continue

        # The bucket is full, perhaps in the middle of a lot.
        lots += piece // ticks
        head["tail_part"] = piece % ticks
        head["tail_ticks"] = ticks
        head["tail_is_buy"] = buyer
        sums = _settle(sums, i + 1 - run_from, run_room, lots - run_lots, run_is_buy)
        _store_each(head, now, last_id, last, last_return, 0, lots, flow_squared, max_units)
        _store_moves(head, high, low, up, down, abs_sum, lag_product, lag_abs_product, return_times_flow)
        _store_sums(head, sums)
        _close(head, ring, out[closed])
        closed = _fill_with_rest(head, ring, units - piece, buyer, out, closed + 1)
        now, last_id, last, last_return, room, lots, flow_squared, max_units = _load_each(head)
        high, low, up, down, abs_sum, lag_product, lag_abs_product, return_times_flow = _load_moves(head)
        sums = _load_sums(head)
        run_from, run_room, run_lots = i + 1, room, lots

    sums = _settle(sums, consumed - run_from, run_room - room, lots - run_lots, run_is_buy)
    _store_each(
        head, now, last_id, last, last_return, room if room > 0 else bucket, lots, flow_squared, max_units
    )
    _store_moves(head, high, low, up, down, abs_sum, lag_product, lag_abs_product, return_times_flow)
    _store_sums(head, sums)
    head["run_is_buy"] = run_is_buy
    head["consumed"] = consumed
    return closed


@kernel
def scan(
    heads: NDArray[np.void],
    ring: NDArray[np.int64],
    ts_ns: NDArray[np.int64],
    price_ticks: NDArray[np.int64],
    size_lots: NDArray[np.int64],
    is_buyer: NDArray[np.bool_],
    trade_id: NDArray[np.int64],
    out: NDArray[np.void],
) -> int:
    """Put trades into buckets, continuing the state; return the number of packets that closed.

    Parameters
    ----------
    heads, ring
        The state: ``HEAD_DTYPE`` of shape (1,) and the VPIN ring of shape (vpin_window,), both changed.
        ``consumed`` says how many trades were taken: fewer than n if one was refused (``refused``) or if
        ``out`` could not hold the rows that it closes (``rows_wanted``); call again with the rest.
    ts_ns, price_ticks, size_lots, is_buyer, trade_id
        Trades in the order of their ids, shape (n,): UNIX ns, ticks above 0, lots 0 or more, True where
        the taker bought; id below 0: none.
    out
        Packets to write, ``PACKET_DTYPE`` of shape (m,).

    Returns
    -------
    int
        Rows of ``out`` that were written, each known at the trade that filled its bucket.

    References
    ----------
    Easley, Lopez de Prado, O'Hara (2012) for buckets of equal volume; dollars here. ``docs/packets.md``.
    """
    return _run(heads[0], ring, ts_ns, price_ticks, size_lots, is_buyer, trade_id, ts_ns.shape[0], out)


@kernel
def _count(value: float, per_unit: float) -> int:
    # Whole increments in `value`, -1 if it is none: the inverse rounds, the nearest integer does not.
    scaled = value * per_unit
    if not 0.0 <= scaled < COUNT_LIMIT:  # NaN ends here, too
        return -1
    count = int(scaled + 0.5)
    return count if abs(scaled - float(count)) <= scaled * COUNT_TOLERANCE else -1


@kernel
def flush(
    heads: NDArray[np.void], ring: NDArray[np.int64], rows: NDArray[np.int64], end: int, out: NDArray[np.void]
) -> int:
    """Put the rows of a live buffer into buckets: `scan` for rows of floats instead of integer columns.

    Parameters
    ----------
    heads, ring, out
        As in `scan`; ``refused`` may be ``NOT_COUNTABLE`` as well: not a multiple of its increment.
    rows
        Shape (n, ROW_WORDS): time in ns, price and size (float64), id, 1 for a taker who bought; two words
        for ticks and lots, written here.
    end
        Rows to take, from the first on; ``consumed`` counts them.

    Returns
    -------
    int
        Packets written, as in `scan`.

    References
    ----------
    Our own way in, ``docs/packets.md``; the packets are those of `scan`.
    """
    head = heads[0]
    floats = rows.view(np.float64)
    countable = end
    for i in range(end):
        ticks = _count(floats[i, 1], head["ticks_per_price"])
        lots = _count(floats[i, 2], head["lots_per_size"])
        if ticks < 0 or lots < 0:
            countable = i
            break
        rows[i, 5] = ticks
        rows[i, 6] = lots
    closed = _run(head, ring, rows[:, 0], rows[:, 5], rows[:, 6], rows[:, 4], rows[:, 3], countable, out)
    if countable < end and head["consumed"] == countable:
        head["refused"] = NOT_COUNTABLE
    return closed


@kernel
def write_open(heads: NDArray[np.void], out: NDArray[np.void]) -> None:
    """Write the open bucket as it stands; the state stays as it is, and nothing may be decided on it.

    Parameters
    ----------
    heads
        The state, ``HEAD_DTYPE`` of shape (1,); its bucket must hold a trade.
    out
        ``PACKET_DTYPE`` of shape (m,), m >= 1; row 0 is written, in quote and base currency and UNIX ns,
        with ``vpin`` NaN.

    References
    ----------
    ``docs/packets.md`` for the columns, which are those of a packet that closed now.
    """
    _write_open(heads[0], out[0], heads[0]["now_ns"])
    out[0]["vpin"] = np.nan
