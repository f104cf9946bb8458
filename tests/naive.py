"""The buckets in plain Python: the definition that the kernel is held to, written to be read, not to be fast.

Three steps, each a loop over lists: which trades count, how they are cut into buckets, what is measured of
a bucket. Sums run in the order of the trades, so that floats agree to the last bit.
"""

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

DAY_NS = 86_400_000_000_000


class Trade(NamedTuple):
    """A print of the tape; price and size as whole numbers of their increments."""

    ts_ns: int
    ticks: int
    lots: int
    is_buyer: bool
    trade_id: int


@dataclass
class Piece:
    """The share of one trade in one bucket."""

    ticks: int
    units: int  # dollars as ticks x lots
    is_buyer: bool
    log_return: float  # since the trade before; 0 in all but the trade's first piece
    return_before: float  # the return of the trade before
    has_return: bool  # False: a later piece


@dataclass
class Bucket:
    """The pieces between two boundaries."""

    ts_open_ns: int
    first_trade_id: int
    base_ticks: int  # last price before the bucket, 0 if its first trade starts a day
    ts_close_ns: int = 0
    last_trade_id: int = -1
    pieces: list[Piece] = field(default_factory=list)
    missing_ids: int = 0
    is_short: bool = False

    @property
    def units(self) -> int:
        return sum(piece.units for piece in self.pieces)


def log_return(ticks: int, before: int) -> float:
    """Return log(ticks / before); the series where the ratio is close to 1, 0 without an earlier price."""
    z = (ticks - before) / (ticks + before)
    if z * z < 1e-6:
        square = z * z
        return 2.0 * z * (1.0 + square * (1.0 / 3.0 + square * (1.0 / 5.0 + square * (1.0 / 7.0))))
    return math.log(ticks / before) if before else 0.0


def volume_buckets(trades: list[Trade], bucket_units: int, *, anchored: bool = True) -> list[Bucket]:
    """Cut trades into buckets; the last one in the list is open (it may hold no piece)."""
    buckets: list[Bucket] = []
    is_open = False
    last_id = -1
    now_ns: int | None = None
    day: int | None = None
    last_ticks, last_return = 0, 0.0
    missing = 0  # ids skipped since the last trade that counted

    for trade in trades:
        if trade.trade_id >= 0:
            if trade.trade_id <= last_id:
                continue
            skipped = trade.trade_id - last_id - 1 if last_id >= 0 else 0
            previous_id, last_id = last_id, trade.trade_id
        else:
            skipped, previous_id = 0, last_id
        if trade.lots == 0:
            # Not a trade, but its id was seen: ids missing before it belong where the tape stands.
            if is_open:
                buckets[-1].missing_ids += skipped
                buckets[-1].last_trade_id = last_id
            else:
                missing += skipped
            continue

        now_ns = trade.ts_ns if now_ns is None else max(now_ns, trade.ts_ns)
        if anchored and (day is None or now_ns // DAY_NS > day):
            if is_open:
                buckets[-1].is_short = True
                buckets[-1].last_trade_id = previous_id
                is_open = False
            day = now_ns // DAY_NS
            last_ticks, last_return = 0, 0.0

        move = log_return(trade.ticks, last_ticks)
        rest = trade.ticks * trade.lots
        is_first_piece = True
        while rest:
            if not is_open:
                base = last_ticks if is_first_piece else trade.ticks
                buckets.append(Bucket(now_ns, last_id, base, missing_ids=missing))
                is_open, missing = True, 0
            bucket = buckets[-1]
            units = min(rest, bucket_units - bucket.units)
            piece = Piece(trade.ticks, units, trade.is_buyer, move, last_return, is_first_piece)
            if not is_first_piece:
                piece = Piece(trade.ticks, units, trade.is_buyer, 0.0, move, has_return=False)
            bucket.pieces.append(piece)
            bucket.ts_close_ns, bucket.last_trade_id = now_ns, last_id
            if is_first_piece:
                bucket.missing_ids += skipped
            rest -= units
            is_first_piece = False
            is_open = bucket.units < bucket_units
        last_ticks, last_return = trade.ticks, move

    if not is_open:
        buckets.append(Bucket(0, -1, 0, missing_ids=missing))
    return buckets


def _lots(pieces: list[Piece]) -> float:
    # Whole lots of all pieces and the parts of the (at most two) lots that a boundary cut.
    whole = sum(piece.units // piece.ticks for piece in pieces)
    parts = [(piece.units % piece.ticks, piece.ticks) for piece in pieces if piece.units % piece.ticks]
    if len(parts) == 2 and parts[0][1] == parts[1][1]:
        joined, ticks = parts[0][0] + parts[1][0], parts[0][1]
        whole += joined // ticks
        parts = [(joined % ticks, ticks)]
    return _total([float(whole), *(part / ticks for part, ticks in parts)])


def _longest_run(sides: list[bool]) -> int:
    longest = length = 0
    for position, side in enumerate(sides):
        length = length + 1 if position and side == sides[position - 1] else 1
        longest = max(longest, length)
    return longest


def _total(values: list[float]) -> float:
    total = 0.0  # not sum(): from Python 3.12 on it compensates, and its bits are other ones
    for value in values:
        total += value
    return total


def volume_packets(
    trades: list[Trade],
    *,
    bucket_units: int,
    tick: tuple[int, int],
    lot: tuple[int, int],
    vpin_window: int = 50,
    anchored: bool = True,
) -> list[dict[str, Any]]:
    """Return one dict per closed bucket with the columns of ``PACKET_DTYPE``.

    ``tick`` and ``lot`` are the increments as reduced fractions.
    """
    packets: list[dict[str, Any]] = []
    window: list[int] = []
    unit = tick[0] * lot[0] / math.gcd(tick[0] * lot[0], tick[1] * lot[1])
    unit_parts = tick[1] * lot[1] / math.gcd(tick[0] * lot[0], tick[1] * lot[1])

    for seq, bucket in enumerate(volume_buckets(trades, bucket_units, anchored=anchored)):
        total = bucket.units
        if total < bucket_units and not bucket.is_short:
            continue  # the open one at the end
        pieces = bucket.pieces
        prices = [piece.ticks for piece in pieces]
        bought = [piece for piece in pieces if piece.is_buyer]
        buy = sum(piece.units for piece in bought)
        sell = total - buy
        buy_lots = _lots(bought)
        sell_lots = _lots([piece for piece in pieces if not piece.is_buyer])

        share = abs(buy - sell)
        if total != bucket_units:
            share = min(int(share / total * bucket_units + 0.5), bucket_units)
        window = [*window, share][-vpin_window:]
        is_full = len(window) == vpin_window

        returns = [piece.log_return for piece in pieces]
        lag_products = [piece.log_return * piece.return_before for piece in pieces if piece.has_return]
        flows = [float(piece.units) if piece.is_buyer else -float(piece.units) for piece in pieces]
        move = log_return(prices[-1], bucket.base_ticks or prices[0])
        path = _total([abs(r) for r in returns])
        up = _total([r * r for r in returns if r > 0])
        down = _total([r * r for r in returns if r < 0])
        count = sum(piece.has_return for piece in pieces)
        spread = 0.0
        if count:
            # Mean product minus product of means; the lagged returns are the same ones, shifted by one.
            last_return = pieces[-1].log_return if pieces[-1].has_return else pieces[-1].return_before
            lagged = move - last_return + pieces[0].return_before
            covariance = _total(lag_products) / count - (move / count) * (lagged / count)
            spread = 2.0 * math.sqrt(max(0.0, -covariance))

        low, high = min(prices) * tick[0] / tick[1], max(prices) * tick[0] / tick[1]
        usd = total * unit / unit_parts
        buy_qty, sell_qty = buy_lots * lot[0] / lot[1], sell_lots * lot[0] / lot[1]
        packets.append(
            {
                "seq": seq,
                "ts_open_ns": bucket.ts_open_ns,
                "ts_close_ns": bucket.ts_close_ns,
                "first_trade_id": bucket.first_trade_id,
                "last_trade_id": bucket.last_trade_id,
                "open": prices[0] * tick[0] / tick[1],
                "high": high,
                "low": low,
                "close": prices[-1] * tick[0] / tick[1],
                "vwap": min(max(total / (buy_lots + sell_lots) * tick[0] / tick[1], low), high),
                "total_usd": usd,
                "buy_usd": buy * unit / unit_parts,
                "sell_usd": sell * unit / unit_parts,
                "total_qty": buy_qty + sell_qty,
                "buy_qty": buy_qty,
                "sell_qty": sell_qty,
                "imbalance": (buy - sell) / total,
                "vpin": sum(window) / (float(bucket_units) * vpin_window) if is_full else math.nan,
                "log_return": move,
                "realized_variance": up + down,
                "up_semivariance": up,
                "down_semivariance": down,
                "abs_return_sum": path,
                "efficiency_ratio": min(abs(move) / path, 1.0) if path else 0.0,
                "amihud": abs(move) / (usd / 1e6),
                "duration_secs": (bucket.ts_close_ns - bucket.ts_open_ns) / 1e9,
                "trade_count": len(pieces),
                "buy_count": len(bought),
                "max_trade_share": max(piece.units for piece in pieces) / total,
                "longest_run": _longest_run([piece.is_buyer for piece in pieces]),
                "bipower_variation": _total([abs(p) for p in lag_products]) * (math.pi / 2.0),
                "kyle_lambda": _total([r * flow for r, flow in zip(returns, flows, strict=True)])
                / _total([flow * flow for flow in flows])
                * unit_parts
                / unit
                * 1e6,
                "roll_spread": spread,
                "missing_ids": bucket.missing_ids,
                "is_short": bucket.is_short,
                "is_tainted": bucket.missing_ids > 0,
            }
        )
    return packets
