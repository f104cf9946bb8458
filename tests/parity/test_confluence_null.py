"""On fair random walks a confluence signal wins as often as a random entry, unless the score looks ahead.

Twenty coins whose true edge is zero. Every signal is entered at the close that makes it known, with the stop
1 ATR and the target 1.5 ATR away, and so are entries at random bars. The same play finds each planted leak.
"""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
import pytest
from numpy.lib.recfunctions import repack_fields
from numpy.typing import NDArray

from indicators.confluence.config import ConfluenceConfig
from indicators.confluence.engine import ConfluenceEngine
from indicators.confluence.row import CONFLUENCE_DTYPE
from indicators.confluence.signals import signal_sides
from indicators.structure_config import StructureConfig
from strategies.close_bars import scored_bar
from tests.bars import WALK_STEPS, WALK_TICK, bars_of_walk, walk_path
from tests.null_walks import LIMIT, Tally, Trade, close_of, first_passage, tally
from tests.structure_checks import Table

COINS, BARS = 20, 44_000
BARS_AFTER = 500
STOP_ATR, TARGET_ATR = 1.0, 1.5
MIN_SCORE = 40.0
ENOUGH = 5_000
CONFIG = ConfluenceConfig(structure=StructureConfig(tick_size=WALK_TICK, fvg_min_ratio=0.0), htf_secs=3600)
# Of a row, what the rules below read: whole rows of all coins would need 330 MB.
READ = ["score_long", "score_short", "colour", "is_ready", "atr", "htf_bias", "structure_trend"]
READ += [f"{side}_{factor}" for side in ("long", "short") for factor in ("htf", "structure")]
HTF_BARS = CONFIG.htf_secs // CONFIG.ltf_secs


class Coin(NamedTuple):
    """One walk and the rows of its bars, in part."""

    path: NDArray[np.int64]
    rows: Table


@cache
def coins() -> tuple[Coin, ...]:
    """Make the walks and score them."""
    made = []
    out = np.zeros(BARS, CONFLUENCE_DTYPE)
    for seed in range(1000, 1000 + COINS):
        path = walk_path(seed, (BARS + BARS_AFTER) * WALK_STEPS)
        chart = bars_of_walk(path).part(0, BARS)
        rows = ConfluenceEngine(CONFIG).scan(*chart, out=out)
        made.append(Coin(path, repack_fields(rows[READ]).copy()))
    return tuple(made)


def trades(coin: Coin, sides: NDArray[np.int8]) -> list[Trade]:
    """Enter at the close of every bar that has a side; distances in whole ticks, as a venue wants them."""
    made = []
    for seq in np.flatnonzero(sides):
        side, atr = int(sides[seq]), float(coin.rows["atr"][seq]) / WALK_TICK
        price = int(coin.path[close_of(int(seq))])
        stop, target = max(1, round(STOP_ATR * atr)), max(1, round(TARGET_ATR * atr))
        made.append(Trade(close_of(int(seq)), price - side * stop, price + side * target))
    return made


def play(sides: Callable[[Coin], NDArray[np.int8]]) -> Tally:
    """Play a rule on every coin."""
    return tally((coin, trades(coin, sides(coin))) for coin in coins())


def play_exactly(sides: Callable[[Coin], NDArray[np.int8]], count: int) -> Tally:
    """Play a rule for exactly so many judged entries: of all that would be judged, some left out evenly."""
    judged = [(coin, trade) for coin in coins() for trade in played(coin, trades(coin, sides(coin)))]
    assert len(judged) >= count, f"the rule has only {len(judged)} entries"
    # One at a time already: leaving some out makes room for none, and hides none.
    chosen = (judged[int(place)] for place in np.linspace(0, len(judged) - 1, count))
    return tally((coin, [trade]) for coin, trade in chosen)


def played(coin: Coin, made: list[Trade]) -> list[Trade]:
    """Return the entries that `tally` judges: one at a time, ended before the walk is over."""
    found, free_from = [], 0
    for trade in sorted(made):
        low, high = sorted((trade.stop, trade.target))
        if trade.moment < free_from or not low < int(coin.path[trade.moment]) < high:
            continue
        exit_at = first_passage(coin.path, trade.moment, low, high)
        if exit_at >= 0:
            free_from = exit_at
            found.append(trade)
    return found


def entries(coin: Coin) -> int:
    """Count the signals of the sound rule."""
    return int(np.count_nonzero(sound(coin)))


def sound(coin: Coin) -> NDArray[np.int8]:
    """Return the signals as they are."""
    return signal_sides(coin.rows, MIN_SCORE)


def at_random(coin: Coin) -> NDArray[np.int8]:
    """Enter on ready bars, and in a direction, that a coin was tossed for."""
    rng = np.random.default_rng(entries(coin))
    drawn = rng.choice(np.array([-1, 0, 1], np.int8), size=len(coin.rows), p=[0.02, 0.96, 0.02])
    return drawn * coin.rows["is_ready"]


def tomorrow_in_todays_row(coin: Coin) -> NDArray[np.int8]:
    """Read the row of the next bar, as a shift by -1 does."""
    return np.roll(sound(coin), -1)


def bias_of_the_forming_bar(coin: Coin) -> NDArray[np.int8]:
    """Join the higher timeframe by its open time: its bars count while they are forming."""
    rows = coin.rows.copy()
    last = np.minimum((np.arange(len(rows)) // HTF_BARS + 1) * HTF_BARS - 1, len(rows) - 1)
    bias = rows["htf_bias"][last]
    weights = CONFIG.weights
    for side, name in ((1, "long"), (-1, "short")):
        told = np.array([0.0, weights.htf_neutral, weights.htf_aligned])
        rows[f"score_{name}"] -= told[rows[f"{name}_htf"]]
        rows[f"score_{name}"] += np.where(bias == side, weights.htf_aligned, 0.0)
        rows[f"score_{name}"] += np.where(bias == 0, weights.htf_neutral, 0.0)
    return signal_sides(rows, MIN_SCORE)


def trend_of_the_swing_bar(coin: Coin) -> NDArray[np.int8]:
    """Know swings at their own bar, so that every trend is told as many bars early as confirm a swing."""
    rows = coin.rows.copy()
    trend = np.roll(rows["structure_trend"], -CONFIG.structure.internal_right)
    for side, name in ((1, "long"), (-1, "short")):
        gained = (trend == side).astype(float) - rows[f"{name}_structure"]
        rows[f"score_{name}"] += CONFIG.weights.structure * gained
    return signal_sides(rows, MIN_SCORE)


LEAKS = {
    "row of the next bar": tomorrow_in_todays_row,
    "higher bar that is still forming": bias_of_the_forming_bar,
    "trend before its swings are confirmed": trend_of_the_swing_bar,
}


def same_odds(one: Tally, other: Tally) -> float:
    """Return by how many standard errors two win rates differ."""
    pooled = (one.wins + other.wins) / (one.count + other.count)
    error = (pooled * (1 - pooled) * (1 / one.count + 1 / other.count)) ** 0.5
    return (one.wins / one.count - other.wins / other.count) / error


def test_signals_win_as_often_as_random_entries() -> None:
    """At least 5,000 signals; against random entries, and the exact odds of their stops and targets."""
    signals, baseline = play(sound), play(at_random)
    assert signals.count >= ENOUGH, signals
    assert baseline.count >= ENOUGH, baseline
    assert abs(baseline.z) <= LIMIT, baseline
    assert abs(signals.z) <= LIMIT, signals
    assert abs(same_odds(signals, baseline)) <= LIMIT, (signals, baseline)


@pytest.mark.parametrize("name", LEAKS)
def test_a_planted_leak_fails_at_the_same_number_of_signals(name: str) -> None:
    """The same coins, threshold, stops and targets; exactly as many judged entries of both rules."""
    fair, leaked = play_exactly(sound, ENOUGH), play_exactly(LEAKS[name], ENOUGH)
    assert fair.count == leaked.count == ENOUGH
    assert abs(fair.z) <= LIMIT < abs(leaked.z), (fair, leaked)


# --- the strategy's own rule ------------------------------------------------------------------------------
DEFAULTS = ConfluenceConfig(structure=CONFIG.structure)


@cache
def coins_of_the_strategy() -> tuple[Coin, ...]:
    """Score the same walks with the default timeframes; keep what `strategies.close_bars` makes of each row.

    The rows have one field: the side of a bar that the strategy would take as a signal.
    """
    made = []
    out = np.zeros(BARS, CONFLUENCE_DTYPE)
    for seed in range(1000, 1000 + COINS):
        path = walk_path(seed, (BARS + BARS_AFTER) * WALK_STEPS)
        chart = bars_of_walk(path).part(0, BARS + 1)
        rows = ConfluenceEngine(DEFAULTS).scan(*chart.part(0, BARS), out=out)
        # The entry fills at the next open, which on a walk is this close.
        np.testing.assert_array_equal(chart.open[1:], chart.close[:-1])
        kept = np.zeros(BARS, [("side", np.int8), ("atr", np.float64)])
        kept["atr"] = rows["atr"]
        for seq in np.flatnonzero(np.maximum(rows["score_long"], rows["score_short"]) >= MIN_SCORE):
            kept["side"][seq] = scored_bar((0, 0.0, 0.0, 0.0, 0.0, 0.0), rows[seq]).side
        made.append(Coin(path, kept))
    return tuple(made)


def judged_by_the_strategy(shift: int) -> list[tuple[Coin, Trade]]:
    """Return the entries that are judged when the side of a bar is told so many bars early."""
    return [
        (coin, trade)
        for coin in coins_of_the_strategy()
        for trade in played(coin, trades(coin, np.roll(coin.rows["side"], -shift)))
    ]


@pytest.mark.slow
def test_the_rule_of_the_strategy_has_no_edge_with_the_default_timeframes() -> None:
    """Its own side of a bar, entered at the next open; told one bar early it fails with as many entries."""
    fair, leaky = judged_by_the_strategy(0), judged_by_the_strategy(1)
    count = min(len(fair), len(leaky))
    assert count >= ENOUGH
    sound_, leaked = (
        tally((made[int(place)][0], [made[int(place)][1]]) for place in np.linspace(0, len(made) - 1, count))
        for made in (fair, leaky)
    )
    assert sound_.count == leaked.count == count
    assert abs(sound_.z) <= LIMIT < abs(leaked.z), (sound_, leaked)
