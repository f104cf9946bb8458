"""The feature row: nothing of the future in it, the same live as in training, and blind to up and down."""

from decimal import Decimal
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from indicators.structure_config import StructureConfig
from ml.decisions import Decisions, Stretch, approach_distance, find_decisions, leaking, mutated, thinned
from ml.features import (
    FEATURES,
    NAMES,
    WINDOW,
    FeatureRing,
    OrderFacts,
    feature_matrix,
    schema_hash,
)
from ml.labels import OrderLabel
from ml.market import Market, Tape, perceive
from packet_builder.builder import BucketConfig
from runtime.sample import SampleRequest, tape_of

TICK = Decimal("0.01")
see = partial(
    perceive,
    buckets=BucketConfig(bucket_usd=10_000, tick_size=TICK, lot_size=Decimal("0.0001")),
    structure=StructureConfig(tick_size=float(TICK)),
)


@pytest.fixture(scope="module")
def tape() -> Tape:
    """Give the beginning of the synthetic tape."""
    trades = tape_of(SampleRequest(days=1), "ETHUSDT")[:60_000]
    return Tape(trades.ts_ns, trades.price_ticks, trades.size_lots, trades.is_buyer)


@pytest.fixture(scope="module")
def market(tape: Tape) -> Market:
    """Give its buckets and structure."""
    return see(tape)


@pytest.fixture(scope="module")
def decisions(tape: Tape, market: Market) -> Decisions:
    """Give decisions on trades all over the tape, about orders of both sides near the price."""
    rng = np.random.default_rng(5)
    position = np.sort(rng.choice(np.arange(20_000, len(tape)), 200, replace=False))
    # The trade that closes a bucket is the one where a mistake of one would show.
    position[:50] = market.known_at[rng.integers(500, len(market.packets) - 1, 50)]
    position = np.unique(position)
    count = len(position)
    price = tape.price_ticks[position] * 0.01
    side = rng.choice([-1.0, 1.0], count)
    last = market.last_known(position)
    low, high = price - rng.uniform(5, 20, count), price + rng.uniform(5, 20, count)
    entry = price - side * rng.uniform(0.1, 4, count)
    stop, target = np.where(side > 0, low - 1, high + 1), np.where(side > 0, high, low)
    placed = last - rng.integers(0, 100, count)
    orders = np.column_stack([side, entry, stop, target, low, high, placed, rng.choice([-1, 0, 1], count)])
    return Decisions(
        position,
        last,
        np.zeros(count, np.int64),
        np.ascontiguousarray(orders, np.float64),
        market.packets["ts_close_ns"][placed].astype(np.int64),
        tape.ts_ns[position],
        price,
    )


def test_replacing_every_trade_from_the_decision_on_changes_nothing(
    tape: Tape, market: Market, decisions: Decisions
) -> None:
    """Byte for byte, also where the trade on which is decided closes a bucket."""
    x = decisions.features(market)
    for at in range(0, len(decisions), 5):
        one = decisions.rows(np.array([at]))
        position = int(one.position[0])
        before, replaced = mutated(tape, position)
        assert not np.any(replaced.price_ticks == tape.price_ticks[position : position + len(replaced)])
        for market_of_then in (see(before, replaced), see(before)):
            assert one.features(market_of_then).tobytes() == x[at].tobytes()


def test_a_leak_of_one_bucket_is_found(tape: Tape, market: Market, decisions: Decisions) -> None:
    """The bucket that is still forming, in which an order would fill, let in: it shows."""
    x = decisions.features(market)
    assert leaking(tape, market.known_at, decisions, x, see) == []
    ahead = Decisions(
        decisions.position,
        np.minimum(decisions.last + 1, len(market.packets) - 1),
        decisions.order,
        decisions.orders,
        decisions.placed_ns,
        decisions.ts_ns,
        decisions.price,
    )
    # By the time at which the bucket was known...
    found = leaking(tape, market.known_at, ahead, ahead.features(market), see, count=0)
    assert len(found) >= len(decisions) - 1
    # ...and by mutation alone, where features were computed with it but nobody says so.
    found = leaking(tape, market.known_at, decisions, ahead.features(market), see, count=10)
    assert len(found) >= 9


def test_live_rows_are_the_rows_of_training(market: Market, decisions: Decisions) -> None:
    """A ring that saw one bucket at a time gives the same bytes as the matrix over all of them."""
    x = decisions.features(market)
    ring, seen = FeatureRing(), 0
    for at in range(len(decisions)):
        while seen <= decisions.last[at]:
            ring.push(market.packets[seen], market.snapshots[seen])
            seen += 1
        side, *prices, placed_seq, bias = decisions.orders[at].tolist()
        facts = OrderFacts(int(side), *prices, int(decisions.placed_ns[at]), int(placed_seq), bias)
        row = ring.vector(facts, int(decisions.ts_ns[at]), float(decisions.price[at]))
        assert row.tobytes() == x[at].tobytes()
    assert seen > 4 * WINDOW  # the buffer has slid


def mirrored(market: Market, total: float) -> Market:
    """Return buckets and structure as they would be if every price p had been total - p."""
    packets, rows = market.packets.copy(), market.snapshots.copy()
    was, then = market.packets, market.snapshots
    for name in ("open", "close", "vwap"):
        packets[name] = total - was[name]
    packets["high"], packets["low"] = total - was["low"], total - was["high"]
    for suffix in ("usd", "qty"):
        packets[f"buy_{suffix}"], packets[f"sell_{suffix}"] = was[f"sell_{suffix}"], was[f"buy_{suffix}"]
    packets["up_semivariance"], packets["down_semivariance"] = (
        was["down_semivariance"],
        was["up_semivariance"],
    )
    for name in ("imbalance", "log_return"):
        packets[name] = -was[name]
    for name in ("close", "ema_fast", "ema_slow"):
        rows[name] = total - then[name]
    rows["rsi"] = 100 - then["rsi"]
    for name in ("internal_trend", "external_trend"):
        rows[name] = -then[name]
    for kind in ("fvg", "ob"):
        for bull, bear in (("bull", "bear"), ("bear", "bull")):
            rows[f"{bull}_{kind}_low"] = total - then[f"{bear}_{kind}_high"]
            rows[f"{bull}_{kind}_high"] = total - then[f"{bear}_{kind}_low"]
            rows[f"{bull}_{kind}_count"] = then[f"{bear}_{kind}_count"]
    for name in ("liquidity", "previous_day"):
        rows[f"{name}_low"], rows[f"{name}_high"] = total - then[f"{name}_high"], total - then[f"{name}_low"]
    for name in ("extreme", "swing"):
        for bull, bear in (("bull", "bear"), ("bear", "bull")):
            rows[f"bars_since_{bull}_sweep_{name}"] = then[f"bars_since_{bear}_sweep_{name}"]
    return Market(packets, rows, market.known_at)


def test_a_chart_and_its_mirror_image_give_equal_rows(market: Market, decisions: Decisions) -> None:
    """A long in a market and a short in its mirror image are the same trade."""
    total = 6_000.0
    orders = decisions.orders.copy()
    orders[:, 0] = -orders[:, 0]
    for column in (1, 2, 3):
        orders[:, column] = total - orders[:, column]
    orders[:, 4], orders[:, 5] = total - decisions.orders[:, 5], total - decisions.orders[:, 4]
    orders[:, 7] = -orders[:, 7]
    other = mirrored(market, total)
    x = decisions.features(market)
    mirror = feature_matrix(
        other.packets,
        other.snapshots,
        decisions.last,
        orders,
        decisions.placed_ns,
        decisions.ts_ns,
        total - decisions.price,
    )
    for at, name in enumerate(NAMES):
        np.testing.assert_allclose(mirror[:, at], x[:, at], rtol=1e-7, atol=1e-7, err_msg=name)
    assert np.isfinite(x[decisions.last > 1_000]).all()  # what a market lacks has a value, see the kernel
    informative = [name for at, name in enumerate(NAMES) if np.nanstd(np.nan_to_num(x[:, at])) > 0]
    assert set(NAMES) - set(informative) <= {"day_position"}  # one day only: there is no day before


def test_a_row_is_incomplete_only_while_the_lookback_fills(market: Market) -> None:
    """Before 50 buckets some columns are NaN; nothing is ever infinite, not even after a huge print."""
    count = len(market.packets)
    last = np.arange(count)
    close = market.packets["close"]
    column = np.ones(count)
    orders = np.column_stack(
        [column, close - 1, close - 5, close + 9, close - 4, close + 9, last - 1, column]
    )
    times = market.packets["ts_close_ns"].astype(np.int64)
    x = feature_matrix(market.packets, market.snapshots, last, orders, times, times, close)
    assert not np.isinf(x).any()
    assert np.isnan(x[:49]).any(axis=1).all()
    assert not np.isnan(x[1_000:]).any()


def test_features_mean_what_they_say() -> None:
    """A long at 90 in a range of 80 to 100, price at 92, one ATR of 2: distances by hand."""
    ring = FeatureRing()
    packet, snapshot = np.zeros(1, ring._packets.dtype)[0], np.zeros(1, ring._snapshots.dtype)[0]
    for seq in range(60):
        packet["seq"], packet["ts_close_ns"] = seq, seq * 1_000_000_000
        packet["close"] = packet["high"] = packet["low"] = 150.0 - seq
        packet["total_usd"], packet["buy_usd"], packet["sell_usd"] = 100.0, 25.0, 75.0
        packet["imbalance"], packet["duration_secs"] = -0.5, 1.0
        snapshot["atr"] = 2.0
        ring.push(packet, snapshot)
    order = OrderFacts(1, 90.0, 78.0, 100.0, 80.0, 100.0, placed_ns=50_000_000_000, placed_seq=50)
    row = dict(zip(NAMES, ring.vector(order, 61_000_000_000, 92.0), strict=True))
    expected = {
        "distance_atr": 1.0,
        "distance_leg": 0.1,
        "move_atr": 0.5,
        "open_secs": np.log(3),
        "age_secs": np.log(12),
        "stop_atr": 6.0,
        "reward_risk": 10 / 12,
        "leg_atr": 10.0,
        "age_buckets": np.log(10),
        "run_1_atr": -0.5,
        "run_5_atr": -2.5,
        "run_20_atr": -10.0,
        "pullback_buckets": np.log(60),
        "pullback_secs": np.log(60),
        "pullback_leg": 59 / 20,
        "pullback_imbalance": -0.5,
        "imbalance_1": -0.5,
        "imbalance_50": -0.5,
        "imbalance_change": 0.0,
        "adverse_run": 20.0,
        "pace_change": 0.0,
    }
    for name, value in expected.items():
        assert row[name] == pytest.approx(value, rel=1e-9, abs=1e-3), name
    assert row["htf_bias"] == 0.0
    short = OrderFacts(-1, 90.0, 102.0, 80.0, 80.0, 100.0, placed_ns=0, placed_seq=0, bias=-1.0)
    row = dict(zip(NAMES, ring.vector(short, 61_000_000_000, 88.0), strict=True))
    assert (row["distance_atr"], row["imbalance_5"], row["adverse_run"], row["htf_bias"]) == (
        1.0,
        0.5,
        0.0,
        1.0,
    )
    assert row["pullback_buckets"] == 0.0  # the furthest low is the last bucket's
    assert row["pullback_imbalance"] == 0.0


def test_the_schema_hash_names_features_and_their_order() -> None:
    """64 hexadecimal digits, another order another hash, no unknown name."""
    assert len(schema_hash()) == 64
    assert schema_hash() == schema_hash(NAMES) != schema_hash(NAMES[::-1])
    with pytest.raises(ValueError, match="distence"):
        schema_hash(["distence_atr"])
    assert len(set(NAMES)) == len(NAMES)
    assert all(one.invariant and one.doc and one.unit and 0 <= one.lookback <= WINDOW for one in FEATURES)


def test_no_row_without_a_bucket_and_none_outside(market: Market, decisions: Decisions) -> None:
    """A wrong position would read other memory."""
    with pytest.raises(ValueError, match="first closed bucket"):
        FeatureRing().vector(OrderFacts(1, 1.0, 0.9, 1.2, 0.8, 1.3, 0, 0), 1, 1.0)
    for last in (-1, len(market.packets)):
        bad: Any = np.full(1, last)
        one = decisions.rows(np.array([0]))
        with pytest.raises(ValueError, match="not within"):
            feature_matrix(
                market.packets, market.snapshots, bad, one.orders, one.placed_ns, one.ts_ns, one.price
            )


def test_the_approach_band_is_the_smaller_of_two() -> None:
    """1 % of the entry, or half the way to the end of a small range; mirrored for a short."""
    assert approach_distance(100.0, 1, 90.0, 200.0) == 1.0
    assert approach_distance(100.0, 1, 99.5, 100.8) == pytest.approx(0.4)
    assert approach_distance(100.0, -1, 99.2, 100.5) == pytest.approx(0.4)
    assert approach_distance(100.0, 1, 90.0, 99.0) == 0.0  # priced beyond its range


def test_decisions_are_the_first_trades_in_the_band_after_each_bucket(tape: Tape, market: Market) -> None:
    """Compared with a loop over all trades; nothing before the order rests, nothing once it is settled."""
    first, last = 700, 1_400
    middle = float(market.packets["close"][1_050])
    closes = market.known_at
    label = OrderLabel("a-b-c-E1", "c", "X", 1, middle, middle - 30, middle + 30, 0, first)
    label.resting_ns = int(tape.ts_ns[closes[first] + 7])
    label.settled_ns = int(tape.ts_ns[closes[last] - 11])
    stretches = [
        Stretch(seq, 0, middle, middle - 30, middle + 30, middle - 25, middle + 9, np.nan)
        for seq in range(first, last + 1)
    ]
    found = find_decisions(tape, market, [label], stretches, Fraction(TICK))
    distance = min(0.01 * middle, 4.5)
    wanted = []
    for seq in range(first, last + 1):
        for at in range(closes[seq] + 1, closes[seq + 1] + 1):
            if not label.resting_ns < tape.ts_ns[at] < label.settled_ns:
                continue
            if abs(tape.price_ticks[at] * 0.01 - middle) <= distance + 1e-9:
                wanted.append((at, seq))
                break
    kept = [one for one, keep in zip(wanted, thinned(np.zeros(len(wanted), np.int64)), strict=True) if keep]
    assert len(wanted) > 50
    assert list(zip(found.position.tolist(), found.last.tolist(), strict=True)) == kept
    assert found.price.tolist() == [float(f"{tape.price_ticks[at] / 100:.2f}") for at, _seq in kept]


def test_the_documentation_lists_every_feature() -> None:
    """One line each, in order, with unit and look-back as they are."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "features.md").read_text()
    columns = page.partition("## Columns")[2].partition("\n## ")[0]
    lines = [line for line in columns.splitlines() if line.startswith("| `")]
    assert lines == [f"| `{one.name}` | {one.unit} | {one.lookback} | {one.doc} |" for one in FEATURES]
