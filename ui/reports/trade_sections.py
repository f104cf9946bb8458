"""Single trades on the tearsheet: each on its buckets, and the table of all of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from strategies.trade_manager.record import ClosedTrade
from ui.reports.charts import BucketWindow, TradePicture, trade_chart
from ui.reports.markup import signed, table, text, tone, words
from ui.reports.svg import format_time

MAX_ROWS: Final = 1_000
MAX_CANDLES: Final = 260


@dataclass(frozen=True, slots=True)
class DrawnTrade:
    """A closed trade with the buckets around it.

    Parameters
    ----------
    number
        Its place among the run's trades, from 1.
    trade
        The closed trade (`strategies.trade_manager.record.ClosedTrade`).
    window, picture
        What is drawn.
    """

    number: int
    trade: ClosedTrade
    window: BucketWindow
    picture: TradePicture


def drawn_trade(
    number: int, trade: ClosedTrade, packets: NDArray[Any], retracements: tuple[float, float, float]
) -> DrawnTrade:
    """Return what the page needs to draw one trade.

    Parameters
    ----------
    number
        Place among the run's trades, from 1.
    trade
        The closed trade.
    packets
        Rows of ``PACKET_DTYPE`` around it, consecutive, at least one.
    retracements
        Shares of the range, measured back from its end: near edge of the OTE band, sweet spot, far edge.
    """
    merged = merge_buckets(packets, MAX_CANDLES)
    is_long = trade.side == "long"
    low, high = trade.zone_low, trade.zone_high
    near, sweet, far = (
        high - part * (high - low) if is_long else low + part * (high - low) for part in retracements
    )
    stop, target = (float(price) if price else None for price in (trade.stop_price, trade.target_price))
    picture = TradePicture(
        is_long=is_long,
        entry_seq=trade.entry_bucket_seq,
        exit_seq=trade.exit_bucket_seq,
        entry_price=float(trade.entry_price),
        exit_price=float(trade.exit_price),
        stop_price=stop,
        target_price=target,
        range_low=low,
        range_high=high,
        ote=(min(near, far), max(near, far)),
        sweet_price=sweet,
        caption=f"Buckets around trade {number}, {trade.side} {trade.instrument_id}, {trade.exit_reason}",
    )
    return DrawnTrade(number, trade, merged, picture)


def merge_buckets(packets: NDArray[Any], limit: int) -> BucketWindow:
    """Return packets as candles, several buckets to a candle where there are more than `limit`.

    Parameters
    ----------
    packets
        Rows of ``PACKET_DTYPE``, consecutive, at least one.
    limit
        Largest number of candles.
    """
    each = -(-len(packets) // limit)
    first = np.arange(0, len(packets), each)
    last = np.minimum(first + each, len(packets)) - 1
    return BucketWindow(
        seq=packets["seq"][first].astype(np.int64),
        ts_close_ns=packets["ts_close_ns"][last].astype(np.int64),
        open=packets["open"][first].astype(np.float64),
        high=np.maximum.reduceat(packets["high"], first),
        low=np.minimum.reduceat(packets["low"], first),
        close=packets["close"][last].astype(np.float64),
        per_candle=each,
    )


def gallery(figures: Sequence[str], wanted: int, trades: int) -> str:
    """Return the charts of single trades, nothing where none was wanted.

    Parameters
    ----------
    figures
        Markup of the charts that fit on the page.
    wanted
        Charts that there are, those left out included.
    trades
        Closed trades of the run.
    """
    if not wanted:
        return ""
    if len(figures) < trades:
        shown = f"{len(figures)} of {trades} trades, spread evenly over the run. trades.csv has them all."
    else:
        shown = f"All {trades} trades."
    keys = (
        ("background:var(--range);outline:1px solid var(--accent)", "dealing range"),
        ("background:var(--ote)", "OTE band"),
        ("background:var(--sweet);height:2px;vertical-align:middle", "sweet spot"),
        ("background:var(--down);height:2px;vertical-align:middle", "stop"),
        ("background:var(--up);height:2px;vertical-align:middle", "target"),
    )
    legend = "".join(f'<span><i style="{style}"></i>{name}</span>' for style, name in keys)
    buttons = "".join(
        f'<button type="button" data-show="{value}" aria-pressed="{"true" if value == "all" else "false"}">'
        f"{name}</button>"
        for value, name in (("all", "all"), ("won", "winners"), ("lost", "losers"))
    )
    return (
        f'<section><h2>Trades on their buckets</h2><p class="muted">{shown} Each candle is one equal-dollar '
        f'bucket; ▲▼ first fill, ○ exit.</p><div class="bar">{buttons}<div class="key">{legend}</div></div>'
        f'<div class="charts">{"".join(figures)}</div></section><br>'
    )


def trade_figure(drawn: DrawnTrade) -> str:
    """Return one trade on its buckets as markup."""
    trade = drawn.trade
    result = "won" if Decimal(trade.pnl) > 0 else "lost"
    r = signed(trade.r_multiple, "{:+.2f} R")
    each = drawn.window.per_candle
    merged = f'<span class="muted">{each} buckets per candle</span>' if each > 1 else ""
    minutes = (trade.exit_ts_ns - trade.entry_ts_ns) / 60e9
    return (
        f'<figure class="trade" data-result="{result}"><figcaption><b>#{drawn.number} '
        f"{'long' if drawn.picture.is_long else 'short'}</b><span>{text(trade.instrument_id)}</span>"
        f'<b class="{tone(r)}">{r}</b><span>{text(words(trade.exit_reason))}</span>'
        f'<span class="muted">{format_time(trade.entry_ts_ns)}, {minutes:.1f} min</span>{merged}</figcaption>'
        f"{trade_chart(drawn.window, drawn.picture)}</figure>"
    )


def trade_table(trades: Sequence[ClosedTrade]) -> str:
    """Return the table of all trades, folded; of many the first 1,000."""
    if not trades:
        return ""
    head = (
        "#",
        "entry (UTC)",
        "symbol",
        "side",
        "quantity",
        "entry",
        "exit",
        "minutes",
        "reason",
        "R",
        "MAE R",
        "MFE R",
        "fees",
        "funding",
        "profit",
    )
    rows = []
    for index, trade in enumerate(trades[:MAX_ROWS], 1):
        profit = signed(trade.pnl, "{:+,.4f}")
        cells = (
            str(index),
            format_time(trade.entry_ts_ns),
            trade.instrument_id,
            trade.side,
            trade.qty,
            f"{float(trade.entry_price):.8g}",
            f"{float(trade.exit_price):.8g}",
            f"{(trade.exit_ts_ns - trade.entry_ts_ns) / 60e9:.1f}",
            words(trade.exit_reason),
            f"{trade.r_multiple:+.2f}",
            f"{trade.mae_r:.2f}",
            f"{trade.mfe_r:.2f}",
            f"{float(trade.fees):.4f}",
            signed(trade.funding, "{:+.4f}") if Decimal(trade.funding) else "0",
        )
        plain = "".join(f"<td>{text(cell)}</td>" for cell in cells)
        rows.append(f'<tr>{plain}<td class="{tone(profit)}">{profit}</td></tr>')
    more = f" (the first {MAX_ROWS:,}; trades.csv has all of them)" if len(trades) > MAX_ROWS else ""
    return (
        f'<details class="card"><summary>All {len(trades):,} trades{more}</summary>'
        f"{table(head, ''.join(rows))}</details>"
    )
