"""Drawings of the tearsheet: equity, drawdown, distribution of R, and the buckets around a trade."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ui.reports.metrics import Mark, drawdowns_pct
from ui.reports.svg import (
    Scale,
    drawing,
    format_time,
    line,
    number,
    path,
    polyline,
    rect,
    spread,
    text,
    thinned,
    time_ticks,
    y_axis,
)

MAX_POINTS: Final = 1_200
LEFT: Final = 64.0
R_BIN: Final = 0.25
R_LOW, R_HIGH = -3.0, 5.0


@dataclass(frozen=True, slots=True)
class BucketWindow:
    """Consecutive candles around a trade, columns of shape (n,); mostly one bucket each.

    Parameters
    ----------
    seq
        Sequence number of each candle's first bucket, ascending.
    ts_close_ns
        Time of the trade that closed each bucket, UNIX nanoseconds.
    open, high, low, close
        Prices, quote currency.
    per_candle
        Buckets in each candle; the last one may hold fewer.
    """

    seq: NDArray[np.int64]
    ts_close_ns: NDArray[np.int64]
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    per_candle: int = 1


@dataclass(frozen=True, slots=True)
class TradePicture:
    """What is drawn of one trade; prices in quote currency, `None` where there is none.

    Parameters
    ----------
    is_long
        Side of the position.
    entry_seq, exit_seq
        Last closed bucket at the first fill and at the last one.
    entry_price, exit_price, stop_price, target_price
        Average fills and the initial exits.
    range_low, range_high
        Dealing range of the setup.
    ote
        Band of the optimal trade entry: (low, high).
    sweet_price
        Level inside the band at which the entry rested.
    caption
        Words for screen readers.
    """

    is_long: bool
    entry_seq: int
    exit_seq: int
    entry_price: float
    exit_price: float
    stop_price: float | None
    target_price: float | None
    range_low: float
    range_high: float
    ote: tuple[float, float]
    sweet_price: float
    caption: str


def equity_chart(marks: Sequence[Mark], balance: float, currency: str) -> str:
    """Draw equity over time and, below it on the same time axis, the drawdown."""
    width, split, height = 1080.0, 250.0, 372.0
    if len(marks) < 2:
        return ""
    right = width - 12.0
    chosen = thinned(len(marks), MAX_POINTS)
    times = [marks[index][0] for index in chosen]
    equity = [marks[index][1] for index in chosen]
    depths = drawdowns_pct(marks, balance)
    depth = [depths[index] for index in chosen]
    x = Scale(times[0], times[-1], LEFT, right)
    low, high = min(*equity, balance), max(*equity, balance)
    pad = (high - low) * 0.06 or max(abs(high) * 1e-4, 1e-9)
    y = Scale(low - pad, high + pad, split, 14.0)
    deepest = max(max(depth), 1e-6) * 1.08
    y_depth = Scale(0.0, deepest, split + 22.0, height - 24.0)
    digits = 0 if high - low > 20 else 2 if high - low > 0.2 else 4
    parts = y_axis(y, LEFT, right, lambda value: f"{value:,.{digits}f}")
    parts += y_axis(y_depth, LEFT, right, lambda value: f"-{value:.3g} %" if value else "0", count=3)
    for ts_ns, label in time_ticks(times[0], times[-1], 9):
        parts.append(text(x(ts_ns), height - 6, label, anchor="middle"))
    top = [(x(ts_ns), y(value)) for ts_ns, value in zip(times, equity, strict=True)]
    floor = f"L{number(right)} {number(split)}L{number(LEFT)} {number(split)}Z"
    parts += [
        path(polyline(top) + floor, "area"),
        line(LEFT, y(balance), right, y(balance), "baseline"),
        path(polyline(top), "equity"),
    ]
    below = [(x(ts_ns), y_depth(value)) for ts_ns, value in zip(times, depth, strict=True)]
    ceiling = f"L{number(right)} {number(y_depth(0))}L{number(LEFT)} {number(y_depth(0))}Z"
    parts += [path(polyline(below) + ceiling, "depth")]
    parts += [
        text(LEFT + 4, 12, f"equity, {currency}", "note"),
        text(LEFT + 4, split + 18, "drawdown", "note"),
    ]
    return drawing(width, height, parts, "Equity of the account and its drawdown over time")


def r_chart(r_multiples: Sequence[float]) -> str:
    """Draw the distribution of R multiples in quarters of R; both ends collect what lies beyond.

    NaN, of a trade that ended before it had a stop, is left out.
    """
    width, height, left = 520.0, 260.0, 44.0
    known = [value for value in r_multiples if math.isfinite(value)]
    if not known:
        return ""
    bins = round((R_HIGH - R_LOW) / R_BIN)
    counts = [0] * bins
    for value in known:
        index = math.floor((value - R_LOW) / R_BIN)
        counts[min(max(index, 0), bins - 1)] += 1
    x = Scale(R_LOW, R_HIGH, left, width - 10)
    y = Scale(0, max(counts) * 1.1, height - 30, 14)
    parts = y_axis(y, left, width - 10, lambda value: f"{value:g}" if value.is_integer() else "", count=4)
    for index, count in enumerate(counts):
        if count:
            start = R_LOW + index * R_BIN
            css = "up-fill" if start >= 0 else "down-fill"
            parts.append(
                rect(
                    x(start) + 1,
                    y(count),
                    x(start + R_BIN) - x(start) - 2,
                    y(0) - y(count),
                    css,
                    f"{start:+.2f} to {start + R_BIN:+.2f} R: {count}",
                )
            )
    mean = math.fsum(known) / len(known)
    at = x(min(max(mean, R_LOW), R_HIGH))
    parts += [line(at, 14, at, y(0), "mean"), text(at + 5, 22, f"mean {mean:+.2f} R", "note")]
    for value in range(int(R_LOW), int(R_HIGH) + 1):
        edge = "≤" if value == R_LOW else "≥" if value == R_HIGH else ""
        parts.append(text(x(value), height - 12, f"{edge}{value:+d} R" if value else "0", anchor="middle"))
    return drawing(width, height, parts, "Distribution of results in R")


def trade_chart(window: BucketWindow, trade: TradePicture) -> str:
    """Draw the buckets around one trade as candles, with its zone, orders and fills."""
    width, height, left, right = 700.0, 340.0, 10.0, 578.0
    count = len(window.seq)
    levels = [trade.entry_price, trade.exit_price, trade.range_low, trade.range_high]
    levels += [price for price in (trade.stop_price, trade.target_price) if price is not None]
    low, high = min(float(window.low.min()), *levels), max(float(window.high.max()), *levels)
    pad = (high - low) * 0.05 or high * 1e-4
    y = Scale(low - pad, high + pad, height - 26, 10)
    x = Scale(-0.5, count - 0.5, left, right)
    entry_x = x(_position(window, trade.entry_seq))
    exit_x = x(_position(window, trade.exit_seq))
    parts = [
        rect(left, y(trade.range_high), right - left, y(trade.range_low) - y(trade.range_high), "range"),
        rect(left, y(trade.ote[1]), right - left, y(trade.ote[0]) - y(trade.ote[1]), "ote"),
        line(left, y(trade.sweet_price), right, y(trade.sweet_price), "sweet"),
        *_candles(window, x, y),
    ]
    labels = [(y(trade.range_high), "range high", "muted"), (y(trade.range_low), "range low", "muted")]
    for price, name, css in (
        (trade.stop_price, "stop", "stop"),
        (trade.target_price, "target", "target"),
    ):
        if price is not None:
            parts.append(line(entry_x, y(price), max(exit_x, entry_x + 6), y(price), css))
            labels.append((y(price), f"{name} {price:.6g}", css))
    labels.append((y(trade.entry_price), f"entry {trade.entry_price:.6g}", "entry"))
    labels.append((y(trade.exit_price), f"exit {trade.exit_price:.6g}", "exit"))
    parts += [
        line(entry_x, y(trade.entry_price), exit_x, y(trade.exit_price), "way"),
        _triangle(entry_x, y(trade.entry_price), is_up=trade.is_long),
        f'<circle class="exit-mark" cx="{number(exit_x)}" cy="{number(y(trade.exit_price))}" r="4.5"/>',
    ]
    parts += [text(right + 6, at + 3.5, content, f"label {css}") for at, content, css in spread(labels, 15)]
    for index in thinned(count, 5)[1:-1] if count > 6 else [0]:
        parts.append(
            text(
                x(index),
                height - 8,
                format_time(int(window.ts_close_ns[index]), "%d %b %H:%M"),
                anchor="middle",
            )
        )
    return drawing(width, height, parts, trade.caption)


def _candles(window: BucketWindow, x: Scale, y: Scale) -> list[str]:
    """Return all candles as four paths: wicks and bodies, rising and falling."""
    body = max((x(1) - x(0)) * 0.66, 0.8)
    paths: dict[str, list[str]] = {"up-wick": [], "down-wick": [], "up-fill": [], "down-fill": []}
    columns: tuple[Any, ...] = (window.open, window.high, window.low, window.close)
    for index, (open_, high, low, close) in enumerate(zip(*(one.tolist() for one in columns), strict=True)):
        side = "up" if close >= open_ else "down"
        middle = x(index)
        paths[f"{side}-wick"].append(f"M{number(middle)} {number(y(high))}V{number(y(low))}")
        top, bottom = y(max(open_, close)), y(min(open_, close))
        paths[f"{side}-fill"].append(
            f"M{number(middle - body / 2)} {number(top)}h{number(body)}v{number(max(bottom - top, 0.8))}"
            f"h{number(-body)}z"
        )
    return [path("".join(data), css) for css, data in paths.items() if data]


def _position(window: BucketWindow, seq: int) -> float:
    """Return the candle that holds a bucket, the nearest one where none does."""
    place = (seq - int(window.seq[0])) // window.per_candle
    return float(min(max(place, 0), len(window.seq) - 1))


def _triangle(x: float, y: float, *, is_up: bool) -> str:
    tip, base = (y + 3, y + 13) if is_up else (y - 3, y - 13)
    return path(
        f"M{number(x)} {number(tip)}L{number(x - 6)} {number(base)}L{number(x + 6)} {number(base)}Z",
        "entry-mark",
    )
