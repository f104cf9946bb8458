"""Breakouts on hand-drawn charts, each one also turned upside down, and against a naive reference."""

import math
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from strategies.bar_signal import Candle, atr_signal
from strategies.breakout import BreakoutConfig, breakout_rules
from strategies.breakout_rules import Breakout, BreakoutRules, BreakoutWatch

type Row = tuple[float, float, float, float, float]
"""Open, high, low, close, volume."""

# No filter but the range itself: three bars, ATR of two.
BARE = BreakoutRules(range_bars=3, atr_bars=2, min_range_atr=0.0, min_volume_ratio=0.0)
INSIDE: Row = (10.0, 11.0, 9.0, 10.0, 100.0)
UP: Row = (10.0, 12.0, 10.0, 11.5, 100.0)
LATE: Row = (11.5, 13.0, 11.0, 12.5, 100.0)

# Rules, bars, and the numbers of the bars whose close breaks the range upwards.
CHARTS: dict[str, tuple[BreakoutRules, list[Row], list[int]]] = {
    "a close above the last three bars": (BARE, [INSIDE] * 3 + [UP], [3]),
    "two bars are no range of three": (BARE, [INSIDE] * 2 + [UP], []),
    "a wick above and a close inside": (BARE, [INSIDE] * 3 + [(10.0, 12.0, 10.0, 10.9, 100.0)], []),
    "a close at the highest high": (BARE, [INSIDE] * 3 + [(10.0, 11.0, 10.0, 11.0, 100.0)], []),
    "a close at the top of its own bar": (BARE, [INSIDE] * 3 + [(10.0, 11.5, 10.0, 11.5, 100.0)], [3]),
    "the wick of the breaking bar counts from the next bar on": (
        BARE,
        [*([INSIDE] * 3), UP, (11.5, 12.0, 11.0, 11.9, 100.0), LATE],
        [3, 5],
    ),
    "an old high leaves the range": (
        BARE,
        [(10.0, 20.0, 9.0, 10.0, 100.0), *([INSIDE] * 2), UP, (10.0, 11.0, 9.0, 10.0, 100.0), LATE],
        [5],
    ),
    "far enough beyond it: a quarter of the ATR": (
        replace(BARE, min_break_atr=0.25),
        [INSIDE] * 3 + [UP],  # ATR 2, 0.5 beyond
        [3],
    ),
    "not far enough beyond it": (replace(BARE, min_break_atr=0.26), [INSIDE] * 3 + [UP], []),
    "a range of one ATR": (replace(BARE, min_range_atr=1.0), [INSIDE] * 3 + [UP], [3]),
    "a range too low": (replace(BARE, min_range_atr=1.01), [INSIDE] * 3 + [UP], []),
    "the usual volume": (replace(BARE, min_volume_ratio=1.0), [INSIDE] * 3 + [UP], [3]),
    "too little volume": (replace(BARE, min_volume_ratio=1.01), [INSIDE] * 3 + [UP], []),
    "measured without its own volume": (
        replace(BARE, min_volume_ratio=3.0),
        [INSIDE] * 3 + [(10.0, 12.0, 10.0, 11.5, 300.0)],
        [3],
    ),
    "no volume before it: unknown is not enough": (
        replace(BARE, min_volume_ratio=1.0),
        [(10.0, 11.0, 9.0, 10.0, 0.0)] * 3 + [UP],
        [],
    ),
    "rest after a breakout": (
        replace(BARE, cooldown_bars=2),
        [*([INSIDE] * 3), UP, LATE, (12.5, 14.0, 12.0, 13.5, 100.0), (13.5, 15.0, 13.0, 14.5, 100.0)],
        [3, 6],
    ),
    "with the trend": (replace(BARE, trend_ema_bars=4), [INSIDE] * 3 + [UP], [3]),
    "the trend is not known yet": (replace(BARE, trend_ema_bars=5), [INSIDE] * 3 + [UP], []),
    "against the trend": (
        replace(BARE, trend_ema_bars=5),
        [(30.0, 31.0, 29.0, 30.0, 100.0), *([INSIDE] * 3), UP],
        [],
    ),
}


def mirrored(row: Row) -> Row:
    """Return a bar turned over at 50."""
    opened, high, low, close, volume = row
    return 100 - opened, 100 - low, 100 - high, 100 - close, volume


def found(rules: BreakoutRules, rows: Sequence[Row]) -> list[tuple[int, Breakout]]:
    """Return the breakouts of a chart with the numbers of their bars."""
    watch = BreakoutWatch(rules)
    candles = (Candle("X.BINANCE", at, at + 1, *row) for at, row in enumerate(rows))
    return [(at, one) for at, candle in enumerate(candles) if (one := watch.update(candle)) is not None]


@pytest.mark.parametrize("name", CHARTS)
@pytest.mark.parametrize("direction", [1, -1])
def test_chart(name: str, direction: int) -> None:
    """A short is the long turned upside down."""
    rules, rows, expected = CHARTS[name]
    breaks = found(rules, rows if direction > 0 else [mirrored(row) for row in rows])
    assert [at for at, _one in breaks] == expected
    assert all(one.direction == direction for _at, one in breaks)


def test_what_a_breakout_says() -> None:
    """The range without the bar, the ATR with it, and how far the close is beyond."""
    ((_at, one),) = found(BARE, [*([INSIDE] * 3), (10.0, 12.0, 10.0, 11.5, 150.0)])
    assert one == Breakout(direction=1, low=9.0, high=11.0, atr=2.0, volume_ratio=1.5)
    assert one.strength(11.5) == 0.25
    assert one.strength(99.0) == 1.0


def walk(seed: int, count: int = 600) -> list[Row]:
    """Return bars of a random walk on quarters, so that equal prices are common."""
    random = np.random.default_rng(seed)
    close = 500 + np.cumsum(random.integers(-4, 5, count)) / 4
    opened = np.r_[500.0, close[:-1]]
    high = np.maximum(opened, close) + random.integers(0, 3, count) / 4
    low = np.minimum(opened, close) - random.integers(0, 3, count) / 4
    volume = random.integers(0, 10, count).astype(float)
    return [tuple(map(float, row)) for row in zip(opened, high, low, close, volume, strict=True)]


def naive(rules: BreakoutRules, rows: Sequence[Row]) -> list[tuple[int, int]]:
    """Return bar and side of each breakout, everything computed anew from the bars up to it."""
    breaks: list[tuple[int, int]] = []
    for at in range(rules.range_bars, len(rows)):
        before = rows[at - rules.range_bars : at]
        high, low = max(row[1] for row in before), min(row[2] for row in before)
        past = rows[: at + 1]
        moves = [
            max(row[1] - row[2], abs(row[1] - past[n - 1][3]), abs(row[2] - past[n - 1][3]))
            for n, row in enumerate(past)
            if n
        ]
        atr = sum(moves[-rules.atr_bars :]) / rules.atr_bars
        ema = past[0][3]
        for row in past[1:]:
            ema += (row[3] - ema) * 2 / (rules.trend_ema_bars + 1)
        close, volume = rows[at][3], rows[at][4]
        side = 1 if close > high else -1 if close < low else 0
        usual = sum(row[4] for row in before) / len(before)
        beyond = close - high if side > 0 else low - close
        is_far = beyond >= rules.min_break_atr * atr and high - low >= rules.min_range_atr * atr
        is_loud = usual > 0 and volume / usual >= rules.min_volume_ratio
        is_with = at + 1 >= rules.trend_ema_bars and (close - ema) * side > 0
        is_rested = not breaks or at - breaks[-1][0] > rules.cooldown_bars
        if side and len(moves) >= rules.atr_bars and is_far and is_loud and is_with and is_rested:
            breaks.append((at, side))
    return breaks


RULES = BreakoutRules(10, 7, 0.1, 1.0, 0.8, 12, 4)


@pytest.mark.parametrize("seed", range(4))
def test_equals_the_naive_reference(seed: int) -> None:
    """On random walks with every filter on."""
    rows = walk(seed)
    breaks = [(at, one.direction) for at, one in found(RULES, rows)]
    assert breaks == naive(RULES, rows)
    assert {side for _at, side in breaks} == {1, -1}


def test_nothing_depends_on_what_comes_later() -> None:
    """The breakouts of a prefix are the first ones of the whole, whatever follows."""
    rows, other = walk(5), walk(6)
    whole = found(RULES, rows)
    assert len(whole) > 10
    for cut in range(1, len(rows), 7):
        expected = [(at, one) for at, one in whole if at < cut]
        assert found(RULES, rows[:cut]) == expected
        spliced = found(RULES, [*rows[:cut], *other[cut:]])
        assert [(at, one) for at, one in spliced if at < cut] == expected


CANDLE = Candle("XRPUSDT.BINANCE", 0, 60, 1.5, 1.52, 1.49, 1.51, 1.0)


@pytest.mark.parametrize("atr", [math.nan, 0.0, 1e-9, 10.0, math.inf])
def test_no_signal_where_the_exits_have_no_room(atr: float) -> None:
    """An ATR that is not known, far below a tick, or larger than the price."""
    for direction in (1, -1):
        signal = atr_signal(
            CANDLE, direction, atr, stop_atr=1, target_atr=1, tick_size=Decimal("0.01"), confidence=0.5
        )
        assert signal is None


def test_settings_reach_the_rules() -> None:
    """Each rule is a setting of the same name."""
    config = BreakoutConfig(
        instrument_id="XRPUSDT.BINANCE",
        range_bars=7,
        atr_bars=8,
        min_break_atr=0.5,
        min_range_atr=2.0,
        min_volume_ratio=3.0,
        trend_ema_bars=9,
        cooldown_bars=10,
    )
    assert breakout_rules(config) == BreakoutRules(7, 8, 0.5, 2.0, 3.0, 9, 10)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("range_bars", 0),
        ("atr_bars", 257),
        ("stop_atr", 0.0),
        ("target_atr", -1.0),
        ("min_volume_ratio", math.nan),
        ("cooldown_bars", -1),
        ("side", "up"),
        ("management", "s2"),
        ("risk_per_trade_pct", 0.0),
        ("bar_type", "5-LIGHTYEAR-LAST-INTERNAL"),
        ("bar_type", "100-TICK-LAST-INTERNAL"),
        ("bar_type", "ETHUSDT.BINANCE-5-MINUTE-LAST-INTERNAL"),
    ],
)
def test_impossible_settings_are_refused_by_name(name: str, value: object) -> None:
    """In code as well as from a file."""
    word = "rule set" if name == "management" else name
    with pytest.raises(ValueError, match=word):
        BreakoutConfig(instrument_id="XRPUSDT.BINANCE", **{name: value})


def test_the_bar_type_is_written_out() -> None:
    """With the instrument, which may be given or not."""
    for text in ("15-MINUTE-LAST-EXTERNAL", "XRPUSDT.BINANCE-15-MINUTE-LAST-EXTERNAL"):
        config = BreakoutConfig(instrument_id="XRPUSDT.BINANCE", bar_type=text)
        assert config.bar_type == "XRPUSDT.BINANCE-15-MINUTE-LAST-EXTERNAL"
