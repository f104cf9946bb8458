"""The scoring of the first source document, as it loops: a benchmark peer, not a definition.

Same algorithm, own words: every zone scans all later rows of a DataFrame for the one that ends it, and every
bar masks the frame by time and looks at every zone and sweep ever found. Its look-ahead is kept, since it is
part of the work that it does; nothing here is used by the product.
"""

from dataclasses import dataclass

import pandas as pd

LOOKBACK = 10
SWEEP_BARS = 20
RECENT = pd.Timedelta(minutes=25)


@dataclass
class Zone:
    """An order block or gap, with the flag that the source computes over all data."""

    low: float
    high: float
    time: pd.Timestamp
    is_bullish: bool
    is_over: bool = False


def with_indicators(frame: pd.DataFrame) -> pd.DataFrame:
    """Add ATR, RSI and both averages."""
    frame = frame.copy()
    previous = frame["close"].shift()
    ranges = [frame["high"] - frame["low"], (frame["high"] - previous).abs(), (frame["low"] - previous).abs()]
    frame["atr"] = pd.concat(ranges, axis=1).max(axis=1).rolling(14).mean()
    change = frame["close"].diff()
    gain = change.where(change > 0, 0.0).rolling(14).mean()
    loss = (-change.where(change < 0, 0.0)).rolling(14).mean()
    frame["rsi"] = 100 - 100 / (1 + gain / loss)
    for span in (20, 50):
        frame[f"ema{span}"] = frame["close"].ewm(span=span).mean()
    return frame


def order_blocks(frame: pd.DataFrame) -> list[Zone]:
    """Find the last opposite candle before each impulse, then what mitigates it."""
    found = []
    for i in range(LOOKBACK, len(frame)):
        bar = frame.iloc[i]
        body = bar["close"] - bar["open"]
        if not abs(body) > 1.5 * bar["atr"]:
            continue
        for j in range(i - 1, max(0, i - LOOKBACK), -1):
            origin = frame.iloc[j]
            if (origin["close"] - origin["open"]) * body < 0:
                found.append(Zone(origin["low"], origin["high"], origin["time"], body > 0))
                break
    for zone in found:
        middle = 0.5 * (zone.low + zone.high)
        for _, bar in frame[frame["time"] > zone.time].iterrows():
            if bar["low"] <= middle if zone.is_bullish else bar["high"] >= middle:
                zone.is_over = True
                break
    return found


def gaps(frame: pd.DataFrame) -> list[Zone]:
    """Find three-candle gaps of at least 0.1 %, then what fills them."""
    found = []
    for i in range(2, len(frame)):
        bar, first = frame.iloc[i], frame.iloc[i - 2]
        time, smallest = frame.iloc[i - 1]["time"], 0.001 * bar["close"]
        if bar["low"] - first["high"] >= smallest:
            found.append(Zone(first["high"], bar["low"], time, True))
        elif first["low"] - bar["high"] >= smallest:
            found.append(Zone(bar["high"], first["low"], time, False))
    for zone in found:
        for _, bar in frame[frame["time"] > zone.time].iterrows():
            if bar["low"] <= zone.high if zone.is_bullish else bar["high"] >= zone.low:
                zone.is_over = True
                break
    return found


def sweeps(frame: pd.DataFrame) -> list[tuple[pd.Timestamp, bool]]:
    """Find wicks beyond the extreme of the last bars that closed back: (time, is bullish)."""
    found = []
    for i in range(SWEEP_BARS, len(frame)):
        bar, window = frame.iloc[i], frame.iloc[i - SWEEP_BARS : i]
        low, high = window["low"].min(), window["high"].max()
        if bar["low"] < low < bar["close"] and bar["close"] > bar["open"]:
            found.append((bar["time"], True))
        if bar["high"] > high > bar["close"] and bar["close"] < bar["open"]:
            found.append((bar["time"], False))
    return found


def scores(frame: pd.DataFrame) -> list[tuple[int, int]]:
    """Return (bullish, bearish) of each bar; `frame` has time, open, high, low, close."""
    frame = with_indicators(frame)
    blocks, open_gaps, swept = order_blocks(frame), gaps(frame), sweeps(frame)
    told = []
    for time in frame["time"]:
        bar = frame[frame["time"] == time].iloc[0]
        price = bar["close"]
        live = [zone for zone in blocks if not (zone.time >= time or zone.is_over)]
        near = [zone for zone in live if abs(price - (zone.low + zone.high) / 2) / price <= 0.02]
        earliest = time - RECENT
        recent = [is_bullish for at, is_bullish in swept if earliest <= at <= time]
        bias = int(price > bar["ema20"] > bar["ema50"]) - int(price < bar["ema20"] < bar["ema50"])
        both = []
        for side, is_bullish in ((1, True), (-1, False)):
            points = 25 * (bias == side) + 10 * (bias == 0) + 10 * (bias == side)
            points += 20 * any(one == is_bullish for one in recent)
            points += 20 * any(z.is_bullish == is_bullish and z.low <= price <= z.high for z in near)
            points += 15 * any(
                not z.is_over and z.is_bullish == is_bullish and z.low <= price <= z.high
                for z in open_gaps
                if z.time < time
            )
            points += 10 * int(bar["rsi"] < 30 if is_bullish else bar["rsi"] > 70)
            both.append(min(int(points), 100))
        told.append((both[0], both[1]))
    return told
