"""The buckets around a trade as a small drawing: sixty of them on a page stay light, unlike plotly's."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ui.reports.svg import (
    Scale,
    drawing,
    format_time,
    line,
    number,
    path,
    rect,
    spread,
    text,
    thinned,
)


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
