"""On a fair random walk no signal wins more often than chance, unless it looks ahead.

The walk moves one tick at a time, up or down with equal probability. Whoever enters at a price that he
could have known, and waits for a stop or a target, wins with probability (entry - stop) / (target - stop),
whatever made him enter. So every event and every snapshot flag is traded, and its wins are compared with
that number. The second half plants the look-ahead errors that are known from other code into our own
outputs, and shows that these tests, on the same charts, would have caught each of them.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import cache
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from indicators.engine import StructureConfig
from indicators.events import EventKind
from tests.bars import WALK_STEPS, WALK_TICK, Columns, bars_of_walk, random_walk, walk_path
from tests.null_walks import LIMIT, Tally, Trade, close_of, first_passage, tally
from tests.structure_checks import Table, assert_prefix_invariant, scan

CONFIG = StructureConfig(tick_size=WALK_TICK, fvg_min_ratio=0.0)
WALKS, BARS = 8, 6000
BARS_AFTER = 1500  # the walk goes on, so that nearly every trade finds its end
DISTANCE = 10  # ticks from entry to stop and to target of a trade at the close
ENOUGH = 100  # trades below which a signal has no vote


class Market(NamedTuple):
    """One walk and what the engine says about its first `BARS` bars."""

    path: NDArray[np.int64]
    chart: Columns
    events: Table
    snapshots: Table


@cache
def markets() -> tuple[Market, ...]:
    """Make the walks and scan them."""
    made = []
    for seed in range(WALKS):
        path = walk_path(seed, (BARS + BARS_AFTER) * WALK_STEPS)
        chart = bars_of_walk(path).part(0, BARS)
        made.append(Market(path, chart, *scan(CONFIG, chart)))
    return tuple(made)


def at_close(market: Market, seq: int, side: int) -> Trade:
    """Enter at a bar's close, with stop and target equally far."""
    price = int(market.path[close_of(seq)])
    return Trade(close_of(seq), price - side * DISTANCE, price + side * DISTANCE)


def ticks(price: float) -> int:
    """Return a price in ticks, rounded down."""
    return int(np.floor(price / WALK_TICK))


def resting(market: Market, start: int, end: int, side: int, limit: int) -> int:
    """Return when a limit order that rests from ``start`` until ``end`` is filled, -1 for never."""
    if side > 0:
        return first_passage(market.path, start, limit, 10**9, end)
    return first_passage(market.path, start, -(10**9), limit, end)


# --- signals


def event_signals(market: Market, events: Table) -> dict[str, list[Trade]]:
    """Trade every event that has a direction, at the close that makes it known."""
    signals = defaultdict(list)
    for kind, scope, side, seq in zip(
        *(events[name].tolist() for name in ("kind", "scope", "direction", "known_seq")), strict=True
    ):
        if side:
            name = f"{EventKind(kind).name} {('', 'internal', 'external')[scope]}".strip()
            signals[name].append(at_close(market, seq, side))
    return signals


def flag_signals(market: Market, snapshots: Table) -> dict[str, list[Trade]]:
    """Trade every snapshot column that leans to a side, at the close of its bar."""
    leaning = {name: snapshots[name].astype(int) for name in ("new_fvg", "new_ob")}
    for scope in ("internal", "external"):
        for column in ("trend", "break", "range_zone", "range_direction"):
            leaning[f"{scope}_{column}"] = snapshots[f"{scope}_{column}"].astype(int)
        leaning[f"{scope}_in_ote"] = snapshots[f"{scope}_in_ote"] * snapshots[f"{scope}_range_direction"]
    for name, bull, bear in (
        ("in_fvg", "in_bull_fvg", "in_bear_fvg"),
        ("near_ob", "near_bull_ob", "near_bear_ob"),
        ("touch_ob", "touch_bull_ob", "touch_bear_ob"),
        ("taken", "low_taken", "high_taken"),
    ):
        leaning[name] = (snapshots[bull] > 0).astype(int) - (snapshots[bear] > 0).astype(int)
    for kind in ("extreme", "swing"):
        bull, bear = (snapshots[f"bars_since_{word}_sweep_{kind}"] for word in ("bull", "bear"))
        recent_bull, recent_bear = ((bars >= 0) & (bars <= 5) for bars in (bull, bear))
        leaning[f"recent_sweep_{kind}"] = recent_bull.astype(int) - recent_bear.astype(int)
    rsi = np.nan_to_num(snapshots["rsi"], nan=50.0)
    leaning["rsi"] = (rsi < 30).astype(int) - (rsi > 70).astype(int)
    fast, slow, close = snapshots["ema_fast"], snapshots["ema_slow"], snapshots["close"]
    leaning["bias"] = ((close > fast) & (fast > slow)).astype(int) - ((close < fast) & (fast < slow)).astype(
        int
    )
    return {
        name: [at_close(market, int(seq), int(np.sign(side[seq]))) for seq in np.flatnonzero(side)]
        for name, side in leaning.items()
    }


DEATHS = {
    EventKind.FVG: (EventKind.FVG_INVERTED, EventKind.FVG_EXPIRED, EventKind.FVG_DROPPED),
    EventKind.OB: (EventKind.OB_INVALIDATED, EventKind.OB_EXPIRED, EventKind.OB_DROPPED),
    EventKind.BREAKER: (EventKind.BREAKER_INVALIDATED, EventKind.BREAKER_EXPIRED, EventKind.BREAKER_DROPPED),
}


def zone_trades(market: Market, events: Table, kind: EventKind) -> Iterator[tuple[int, Trade]]:
    """Rest a limit order at the near edge of each zone while it lives: (event id, trade) if it fills."""
    died = {int(e["ref_id"]): int(e["known_seq"]) for e in events[np.isin(events["kind"], DEATHS[kind])]}
    for zone in events[events["kind"] == kind]:
        side = int(zone["direction"])
        near, far = (zone["high"], zone["low"]) if side > 0 else (zone["low"], zone["high"])
        limit, stop = round(near / WALK_TICK), round(far / WALK_TICK) - side
        end = close_of(died.get(int(zone["event_id"]), BARS - 1))
        moment = resting(market, close_of(int(zone["known_seq"])), end, side, limit)
        if moment >= 0:
            entry = int(market.path[moment])
            yield int(zone["event_id"]), Trade(moment, stop, 2 * entry - stop)


RANGE_ENDS = {
    EventKind.OTE_COMPLETED,
    EventKind.OTE_FAILED,
    EventKind.RANGE_INVALIDATED,
    EventKind.RANGE_SUPERSEDED,
    EventKind.RANGE_OPPOSED,
    EventKind.RANGE_EXPIRED,
}


def sweet_spot_trades(market: Market, events: Table) -> Iterator[Trade]:
    """Rest a limit order at the sweet spot, re-priced when the range extends; stop A, target B."""
    priced = {EventKind.RANGE_FORMED, EventKind.RANGE_EXTENDED}
    orders: dict[int, np.void] = {}
    for event in events[events["kind"] >= EventKind.RANGE_FORMED]:
        kind, seq = EventKind(event["kind"]), int(event["known_seq"])
        zone = int(event["event_id"] if kind == EventKind.RANGE_FORMED else event["ref_id"])
        order = orders.pop(zone, None) if kind in priced | RANGE_ENDS else None
        if order is not None:
            side = int(order["direction"])
            limit = side * ticks(side * order["level"])
            moment = resting(market, close_of(int(order["known_seq"])), close_of(seq), side, limit)
            if moment >= 0:
                low, high = (round(order[name] / WALK_TICK) for name in ("low", "high"))
                yield Trade(moment, *((low, high) if side > 0 else (high, low)))
                continue
        if kind == EventKind.RANGE_FORMED or (kind == EventKind.RANGE_EXTENDED and order is not None):
            orders[zone] = event


def all_signals(market: Market, events: Table, snapshots: Table) -> dict[str, list[Trade]]:
    """Return the trades of every signal by its name."""
    signals = event_signals(market, events) | flag_signals(market, snapshots)
    for kind in DEATHS:
        signals[f"limit at {kind.name}"] = [trade for _, trade in zone_trades(market, events, kind)]
    for scope, name in ((1, "internal"), (2, "external")):
        signals[f"limit at sweet spot {name}"] = list(
            sweet_spot_trades(market, events[events["scope"] == scope])
        )
    return signals


def tallies() -> dict[str, Tally]:
    """Play every signal on every walk."""
    made = [(market, all_signals(market, market.events, market.snapshots)) for market in markets()]
    names = {name for _, signals in made for name in signals}
    return {
        name: tally((market, signals.get(name, [])) for market, signals in made) for name in sorted(names)
    }


@pytest.mark.slow
def test_no_signal_beats_the_random_walk() -> None:
    """Every signal wins as often as chance, within three standard errors (P7)."""
    results = tallies()
    voting = {name: result for name, result in results.items() if result.count >= ENOUGH}
    off = {name: result for name, result in voting.items() if abs(result.z) > LIMIT}
    assert not off, off
    for name in (
        "limit at sweet spot internal",
        "limit at sweet spot external",
        "limit at FVG",
        "limit at OB",
    ):
        assert name in voting, results[name]
    assert len(voting) >= 60


# --- planted leaks


def never(market: Market, zone: EventKind, *fates: EventKind) -> set[int]:
    """Return the zones that do not meet any of the fates until the last bar: their final flag."""
    events = market.events
    doomed = set(events["ref_id"][np.isin(events["kind"], fates)].tolist())
    return {int(event_id) for event_id in events["event_id"][events["kind"] == zone]} - doomed


def final_flag(zone: EventKind, *fates: EventKind) -> Callable[[Market], list[Trade]]:
    """Trade only zones whose flag, computed over all data, is still clean in the end."""

    def leak(market: Market) -> list[Trade]:
        clean = never(market, zone, *fates)
        return [trade for event_id, trade in zone_trades(market, market.events, zone) if event_id in clean]

    return leak


def known_at_origin(kind: EventKind, scope: int = 0) -> Callable[[Market], list[Trade]]:
    """Trade an event at the bar it speaks of, not at the bar that made it known."""

    def leak(market: Market) -> list[Trade]:
        events = market.events[(market.events["kind"] == kind) & (market.events["scope"] == scope)]
        rows = zip(events["origin_seq"].tolist(), events["direction"].tolist(), strict=True)
        return [at_close(market, seq, side) for seq, side in rows]

    return leak


def beyond_the_gap(seen_at: str) -> Callable[[Market], list[Trade]]:
    """Enter at the close of the bar named by a column, with the stop at the far edge of the gap."""

    def signal(market: Market) -> list[Trade]:
        trades = []
        for gap in market.events[market.events["kind"] == EventKind.FVG]:
            side, moment = int(gap["direction"]), close_of(int(gap[seen_at]))
            stop = round(gap["low" if side > 0 else "high"] / WALK_TICK)
            if gap["flag"] == 0 and side * (market.path[moment] - stop) > 0:
                trades.append(Trade(moment, stop, 2 * int(market.path[moment]) - stop))
        return trades

    return signal


def swings_that_last(market: Market) -> list[Trade]:
    """Trade only those swings that the zigzag will never replace."""
    events = market.events[market.events["scope"] == 1]
    replaced = set(events["ref_id"][events["kind"] == EventKind.SWING_REPLACED].tolist())
    swings = events[events["kind"] == EventKind.SWING]
    return [
        at_close(market, int(swing["known_seq"]), -int(swing["direction"]))
        for swing in swings
        if swing["event_id"] not in replaced
    ]


def days_of(chart: Columns) -> NDArray[np.int64]:
    """Return the number of the UTC day of each bar."""
    return chart.ts_open_ns // 86_400_000_000_000


def forming_days_extremes(chart: Columns) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return per bar the high and low that its own day will have had in the end."""
    days = days_of(chart)
    highs, lows = np.empty(chart.count), np.empty(chart.count)
    for day in np.unique(days):
        is_day = days == day
        highs[is_day], lows[is_day] = chart.high[is_day].max(), chart.low[is_day].min()
    return highs, lows


def fade_the_forming_day(market: Market) -> list[Trade]:
    """Sell within five ticks of the high, buy within five ticks of the low of the day that is not over."""
    highs, lows = forming_days_extremes(market.chart)
    near = 5 * WALK_TICK
    side = (market.chart.close <= lows + near).astype(int) - (market.chart.close >= highs - near).astype(int)
    return [at_close(market, int(seq), int(side[seq])) for seq in np.flatnonzero(side)]


def tomorrow_in_todays_row(market: Market) -> list[Trade]:
    """Read the snapshot one row too far, as a shift by -1 does."""
    return flag_signals(market, np.roll(market.snapshots, -1))["internal_break"]


TRADED_LEAKS: dict[str, Callable[[Market], list[Trade]]] = {
    "order blocks: final mitigation flag": final_flag(EventKind.OB, EventKind.OB_MITIGATED),
    "order blocks: failed ones deleted": final_flag(EventKind.OB, EventKind.OB_INVALIDATED),
    "gaps: final fill flag": final_flag(EventKind.FVG, EventKind.FVG_FILLED),
    "swing known at its own bar": known_at_origin(EventKind.SWING, 1),
    "external swing known at its own bar": known_at_origin(EventKind.SWING, 2),
    "order block visible from its origin": known_at_origin(EventKind.OB),
    "gap visible from its middle bar": beyond_the_gap("origin_seq"),
    "swings that the zigzag replaces left out": swings_that_last,
    "extremes of the day that is still forming": fade_the_forming_day,
    "snapshot shifted by one bar": tomorrow_in_todays_row,
}


@pytest.mark.parametrize("name", TRADED_LEAKS)
def test_the_null_test_catches_a_signal_that_looks_ahead(name: str) -> None:
    """The same walks, the same way of playing, one planted leak: more than three standard errors off (P8)."""
    result = tally((market, TRADED_LEAKS[name](market)) for market in markets())
    assert abs(result.z) > LIMIT, result


def test_sound_and_leaking_signals_differ_by_the_leak_alone() -> None:
    """The leaking signals above, known when they are known, are the fair ones: it is the leak that wins."""
    swings, blocks = (
        [(market, event_signals(market, market.events)[name]) for market in markets()]
        for name in ("SWING internal", "OB")
    )
    gaps = [(market, beyond_the_gap("known_seq")(market)) for market in markets()]
    for made, leak in (
        (swings, TRADED_LEAKS["swing known at its own bar"]),
        (blocks, TRADED_LEAKS["order block visible from its origin"]),
        (gaps, TRADED_LEAKS["gap visible from its middle bar"]),
    ):
        fair, leaked = tally(made), tally((market, leak(market)) for market in markets())
        assert abs(fair.z) <= LIMIT < abs(leaked.z)
        assert fair.count > 0.5 * leaked.count  # the fair signal has no want of trades


type Run = Callable[[Columns], tuple[Table, Table]]


def sound(chart: Columns) -> tuple[Table, Table]:
    """Run the engine as it is."""
    return scan(CONFIG, chart)


def with_events_known_at_origin(kind: EventKind) -> Run:
    """Stamp one kind of event on the bar it speaks of."""

    def run(chart: Columns) -> tuple[Table, Table]:
        events, snapshots = scan(CONFIG, chart)
        is_kind = events["kind"] == kind
        events["known_seq"][is_kind] = events["origin_seq"][is_kind]
        return events[np.argsort(events["known_seq"], kind="stable")], snapshots

    return run


def with_final_flags(chart: Columns) -> tuple[Table, Table]:
    """Put the final mitigation of each order block into the event that creates it."""
    events, snapshots = scan(CONFIG, chart)
    mitigated = events["ref_id"][events["kind"] == EventKind.OB_MITIGATED]
    is_block = events["kind"] == EventKind.OB
    events["flag"][is_block] = np.isin(events["event_id"][is_block], mitigated)
    return events, snapshots


def without_failed_blocks(chart: Columns) -> tuple[Table, Table]:
    """Delete order blocks that were invalidated later."""
    events, snapshots = scan(CONFIG, chart)
    failed = events["ref_id"][events["kind"] == EventKind.OB_INVALIDATED]
    return events[~((events["kind"] == EventKind.OB) & np.isin(events["event_id"], failed))], snapshots


def with_edited_zigzag(chart: Columns) -> tuple[Table, Table]:
    """Delete swings that a more extreme one replaced later."""
    events, snapshots = scan(CONFIG, chart)
    replaced = events["ref_id"][events["kind"] == EventKind.SWING_REPLACED]
    return events[~np.isin(events["event_id"], replaced)], snapshots


def with_global_tolerance(chart: Columns) -> tuple[Table, Table]:
    """Compare levels within a share of the range of the whole data set."""
    share = 0.002 * float(chart.high.max() - chart.low.min()) / WALK_TICK
    return scan(StructureConfig(tick_size=WALK_TICK, fvg_min_ratio=0.0, equal_atr=share), chart)


def with_life_from_the_origin(chart: Columns) -> tuple[Table, Table]:
    """Let bars between an order block's origin and its impulse mitigate it."""
    events, snapshots = scan(CONFIG, chart)
    blocks = {int(e["event_id"]): e for e in events[events["kind"] == EventKind.OB]}
    for event in (events[row] for row in np.flatnonzero(events["kind"] == EventKind.OB_MITIGATED)):
        block = blocks[int(event["ref_id"])]
        for seq in range(int(block["origin_seq"]) + 1, int(event["known_seq"])):
            reached = chart.low[seq] if block["direction"] > 0 else -chart.high[seq]
            if reached <= block["direction"] * block["level"]:
                event["known_seq"] = seq
                break
    return events[np.argsort(events["known_seq"], kind="stable")], snapshots


def with_the_forming_day(chart: Columns) -> tuple[Table, Table]:
    """Show each bar the extremes of its own day."""
    events, snapshots = scan(CONFIG, chart)
    snapshots["previous_day_high"], snapshots["previous_day_low"] = forming_days_extremes(chart)
    return events, snapshots


def shifted_by_one_bar(chart: Columns) -> tuple[Table, Table]:
    """Show each bar the average of the next one."""
    events, snapshots = scan(CONFIG, chart)
    snapshots["ema_fast"][:-1] = snapshots["ema_fast"][1:]
    return events, snapshots


def scaled_by_the_whole(chart: Columns) -> tuple[Table, Table]:
    """Normalise a feature by its mean over all data."""
    events, snapshots = scan(CONFIG, chart)
    snapshots["atr"] /= np.nanmean(snapshots["atr"])
    return events, snapshots


LEAKING_RUNS: dict[str, Run] = {
    "swing known at its own bar": with_events_known_at_origin(EventKind.SWING),
    "gap visible from its middle bar": with_events_known_at_origin(EventKind.FVG),
    "order block visible from its origin": with_events_known_at_origin(EventKind.OB),
    "break known at the broken swing": with_events_known_at_origin(EventKind.BOS),
    "final mitigation flag": with_final_flags,
    "failed order blocks deleted": without_failed_blocks,
    "zigzag edits past swings": with_edited_zigzag,
    "tolerance from the whole data set": with_global_tolerance,
    "life from the origin on": with_life_from_the_origin,
    "extremes of the day that is still forming": with_the_forming_day,
    "snapshot shifted by one bar": shifted_by_one_bar,
    "feature scaled by the mean of all data": scaled_by_the_whole,
}
CUTS = range(300, 1200, 7)


def test_the_engine_passes_where_the_leaks_below_fail() -> None:
    """The sound engine holds prefix invariance on the very chart and cuts that convict the leaks."""
    assert_prefix_invariant(sound, random_walk(3, 1200), CUTS)


@pytest.mark.parametrize("name", LEAKING_RUNS)
def test_prefix_invariance_catches_a_table_that_looks_ahead(name: str) -> None:
    """One planted leak in our own tables, and the comparison of prefixes fails (P8)."""
    with pytest.raises(AssertionError, match=r"of the first \d+ bars"):
        assert_prefix_invariant(LEAKING_RUNS[name], random_walk(3, 1200), CUTS)


def test_most_order_blocks_would_be_mitigated_before_they_exist() -> None:
    """Counted from the origin on, as the sources do, nearly all blocks are mitigated at birth."""
    blocks = np.concatenate([market.events[market.events["kind"] == EventKind.OB] for market in markets()])
    is_clean = blocks["flag"] == 1
    assert len(blocks) > ENOUGH
    assert 0.02 < is_clean.mean() < 0.2
