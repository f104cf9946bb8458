"""Buckets that one can check with a pencil: tick 0.01, lot 0.1, so one unit is 0.001 USD."""

import math
from decimal import Decimal

import numpy as np
import pytest

from packet_builder.builder import BucketConfig, VolumeBucketBuilder
from tests.bucket_tapes import MIDNIGHT_NS, as_columns, config, join, run_live
from tests.naive import DAY_NS, Trade

NOON = MIDNIGHT_NS + DAY_NS // 2


def trade(ticks: int, lots: int, *, buy: bool = True, number: int = -1, at: int = NOON) -> Trade:
    """Make a trade with what the chart does not care about filled in."""
    return Trade(at, ticks, lots, buy, number)


def scan(trades: list[Trade], bucket_units: int = 1_000, **changes: object) -> np.ndarray:
    """Return the packets of a tape."""
    return VolumeBucketBuilder(config(bucket_units, **changes)).scan(*as_columns(trades))


# Name: trades (ticks, lots, bought), then per packet of 1,000 units: bought units, sold units, closing price.
CHARTS = {
    "a trade equal to the remainder closes the bucket": (
        [(100, 6, True), (100, 4, False)],
        [(600, 400, 1.00)],
    ),
    "one unit is missing": ([(100, 6, True), (133, 3, False)], []),
    "a trade over the boundary is split in dollars": (
        [(100, 6, True), (50, 20, False), (100, 4, True)],
        [(600, 400, 0.50), (400, 600, 1.00)],
    ),
    "one giant fills many buckets": ([(100, 45, False)], [(0, 1_000, 1.00)] * 4),
    "a giant fills buckets exactly": ([(100, 30, True)], [(1_000, 0, 1.00)] * 3),
    "a giant starts in a bucket that is open": (
        [(100, 5, True), (10, 200, False)],
        [(500, 500, 0.10), (0, 1_000, 0.10)],
    ),
}


@pytest.mark.parametrize("name", CHARTS)
def test_chart(name: str) -> None:
    """Closed packets hold the dollars that the chart says."""
    prints, expected = CHARTS[name]
    packets = scan([trade(ticks, lots, buy=buy) for ticks, lots, buy in prints])
    seen = [
        (round(p["buy_usd"] * 1_000), round(p["sell_usd"] * 1_000), round(float(p["close"]), 2))
        for p in packets
    ]
    assert seen == expected


def test_the_columns_of_a_small_bucket() -> None:
    """Three trades, every column computed by hand."""
    second = 1_000_000_000
    packets = scan(
        [
            trade(100, 3, buy=True, number=5, at=NOON),
            trade(110, 2, buy=False, number=6, at=NOON + second),
            trade(100, 9, buy=False, number=7, at=NOON + 3 * second),
        ]
    )
    (p,) = packets
    up, down = math.log(1.1), math.log(1 / 1.1)
    # 300 units bought at 1.00; 220 sold at 1.10; of 900 sold at 1.00 the first 480 fill the bucket
    flows = [300.0, -220.0, -480.0]
    expected = {
        "seq": 0,
        "ts_open_ns": NOON,
        "ts_close_ns": NOON + 3 * second,
        "first_trade_id": 5,
        "last_trade_id": 7,
        "open": 1.0,
        "high": 1.1,
        "low": 1.0,
        "close": 1.0,
        "vwap": 1_000 / (3 + 2 + 4.8) / 100,
        "total_usd": 1.0,
        "buy_usd": 0.3,
        "sell_usd": 0.7,
        "total_qty": 0.98,
        "buy_qty": 0.3,
        "sell_qty": 0.68,
        "imbalance": -0.4,
        "log_return": 0.0,
        "realized_variance": up * up + down * down,
        "up_semivariance": up * up,
        "down_semivariance": down * down,
        "abs_return_sum": 2 * up,
        "efficiency_ratio": 0.0,
        "amihud": 0.0,
        "duration_secs": 3.0,
        "trade_count": 3,
        "buy_count": 1,
        "max_trade_share": 0.48,
        "longest_run": 2,
        "bipower_variation": up * up * math.pi / 2,
        "kyle_lambda": (up * flows[1] + down * flows[2]) / sum(f * f for f in flows) / 0.001 * 1e6,
        # mean of r_t r_t-1 over three returns is -up^2 / 3; sum r = 0, so nothing is taken off
        "roll_spread": 2 * math.sqrt(up * up / 3),
        "missing_ids": 0,
        "is_short": False,
        "is_tainted": False,
    }
    for column, value in expected.items():
        assert p[column] == pytest.approx(value, rel=1e-12, abs=1e-18), column
    assert math.isnan(p["vpin"])
    assert set(expected) | {"vpin"} == set(packets.dtype.names)


def test_vpin_is_the_mean_absolute_imbalance_of_the_window() -> None:
    """NaN until the window is full, then the mean over the last three."""
    prints = [
        (100, 10, True),
        (100, 10, False),
        (100, 5, True),
        (100, 5, False),
        (100, 8, True),
        (100, 2, False),
    ]
    packets = scan([trade(ticks, lots, buy=buy) for ticks, lots, buy in prints], vpin_window=3)
    assert np.isnan(packets["vpin"][:2]).all()
    assert packets["vpin"][2:].tolist() == [2 / 3, (1 + 0 + 0.6) / 3]


def test_the_return_of_a_bucket_is_measured_from_the_one_before() -> None:
    """Log returns of packets add up to the return of the tape."""
    packets = scan([trade(ticks, 10) for ticks in (100, 103, 90, 101, 120)], bucket_units=1_003)
    assert packets["log_return"].sum() == pytest.approx(math.log(packets["close"][-1] / 1.0), rel=1e-12)


def test_a_small_and_a_large_move_use_the_same_return() -> None:
    """On both sides of the 0.2 % where the series gives way to the logarithm, the return is log(p / q)."""
    for before, after in ((100_000, 100_199), (100_000, 100_201), (100_000, 99_000), (100_000, 100_001)):
        packets = scan([trade(before, 1), trade(after, 1)], bucket_units=100_000)
        first = packets[0]["log_return"] if len(packets) else 0.0
        assert first == 0.0
        row = scan([trade(before, 1), trade(after, 1)], bucket_units=before + after)[0]
        assert row["log_return"] == pytest.approx(math.log1p((after - before) / before), rel=1e-14)


def test_pieces_of_one_trade_share_price_and_time_and_have_no_return() -> None:
    """The return of a giant belongs to its first piece; the packets after it are flat."""
    packets = scan([trade(100, 1), trade(110, 40, number=-1, at=NOON + 5)])
    assert packets["abs_return_sum"].tolist() == [math.log(1.1), 0.0, 0.0, 0.0]
    assert packets["ts_close_ns"].tolist() == [NOON + 5] * 4
    assert packets["seq"].tolist() == [0, 1, 2, 3]
    flat = packets[1:]
    assert (flat["open"] == flat["high"]).all()
    assert (flat["low"] == flat["close"]).all()
    assert (flat["vwap"] == flat["close"]).all()
    assert (flat["efficiency_ratio"] == 0.0).all()
    assert (flat["roll_spread"] == 0.0).all()
    assert (flat["trade_count"] == 1).all()


def test_a_gap_taints_only_the_bucket_of_the_trade_after_it() -> None:
    """Three ids missing before the fourth trade: its packet is flagged, the ones around it are clean."""
    ids = (1, 2, 3, 7, 8, 9)
    builder = VolumeBucketBuilder(config(1_000))
    packets = builder.scan(*as_columns([trade(100, 5, number=number) for number in ids]))
    assert packets["missing_ids"].tolist() == [0, 3, 0]
    assert packets["is_tainted"].tolist() == [False, True, False]
    assert builder.counters.missing_ids == 3


def test_a_gap_before_a_giant_taints_its_first_packet() -> None:
    """The pieces after the first one are known to be complete."""
    packets = scan([trade(100, 1, number=1), trade(100, 30, number=3)])
    assert packets["missing_ids"].tolist() == [1, 0, 0]


def test_duplicates_and_steps_back_are_dropped_and_counted() -> None:
    """An id at or below the last one adds nothing, whatever it says."""
    builder = VolumeBucketBuilder(config(1_000))
    ids = (5, 6, 6, 4, 7, 5)
    packets = builder.scan(*as_columns([trade(100, 4, number=number) for number in ids]))
    assert builder.counters.dropped_ids == 3
    assert len(packets) == 1
    assert packets["trade_count"].tolist() == [3]
    assert packets["is_tainted"].tolist() == [False]


def test_without_ids_there_are_no_gaps() -> None:
    """Ids below zero mean that the venue has none."""
    builder = VolumeBucketBuilder(config(1_000))
    packets = builder.scan(*as_columns([trade(100, 5) for _ in range(4)]))
    assert packets["first_trade_id"].tolist() == [-1, -1]
    assert builder.counters.missing_ids == builder.counters.dropped_ids == 0


def test_a_zero_size_is_ignored_and_counted() -> None:
    """A print without size moves neither price nor time; its id counts as seen."""
    builder = VolumeBucketBuilder(config(1_000))
    packets = builder.scan(
        *as_columns([trade(100, 5, number=1), trade(900, 0, number=2, at=NOON + 9), trade(100, 5, number=3)])
    )
    assert packets["high"].tolist() == [1.0]
    assert packets["ts_close_ns"].tolist() == [NOON]
    assert packets["missing_ids"].tolist() == [0]
    assert builder.counters.ignored_sizes == 1


def test_time_is_the_running_maximum() -> None:
    """A trade stamped earlier than one before it does not turn the clock back."""
    packets = scan([trade(100, 5, at=NOON + 50), trade(100, 5, at=NOON), trade(100, 10, at=NOON + 20)])
    assert packets["ts_open_ns"].tolist() == [NOON + 50] * 2
    assert packets["ts_close_ns"].tolist() == [NOON + 50] * 2


def test_midnight_closes_the_open_bucket_short() -> None:
    """The first trade of a UTC day closes what is open; the new day starts without a return."""
    late, early = MIDNIGHT_NS + DAY_NS - 1, MIDNIGHT_NS + DAY_NS
    packets = scan([trade(100, 4, at=late), trade(120, 20, buy=False, at=early)], vpin_window=1)
    assert packets["is_short"].tolist() == [True, False, False]
    assert packets["total_usd"].tolist() == [0.4, 1.0, 1.0]
    assert packets["ts_close_ns"].tolist() == [late, early, early]
    assert packets["log_return"].tolist() == [0.0, 0.0, 0.0]
    assert packets["vpin"].tolist() == [1.0, 1.0, 1.0]


def test_midnight_closes_nothing_when_the_bucket_is_empty() -> None:
    """A bucket that ended exactly with the day leaves no short packet."""
    packets = scan([trade(100, 10, at=NOON), trade(100, 10, at=NOON + DAY_NS)])
    assert packets["is_short"].tolist() == [False, False]


def test_without_an_anchor_buckets_run_over_midnight() -> None:
    """Anchor `none`: the day changes nothing."""
    packets = scan([trade(100, 4, at=NOON), trade(100, 6, at=NOON + DAY_NS)], anchor="none")
    assert packets["total_usd"].tolist() == [1.0]
    assert packets["is_short"].tolist() == [False]


def test_a_short_packet_counts_in_vpin_by_its_own_imbalance() -> None:
    """0.3 bought and 0.1 sold before midnight is an imbalance of one half, not of a fifth."""
    packets = scan(
        [trade(100, 3), trade(100, 1, buy=False), trade(100, 10, buy=True, at=NOON + DAY_NS)], vpin_window=2
    )
    assert packets["imbalance"].tolist() == [0.5, 1.0]
    assert packets["vpin"][1] == 0.75


def test_live_trades_close_the_bucket_on_the_trade_that_fills_it() -> None:
    """`push` returns 1 on that trade and 0 before; `update` returns the packet."""
    builder = VolumeBucketBuilder(config(1_000))
    assert [builder.push(NOON, 1.0, 0.2, True, number) for number in range(1, 6)] == [0, 0, 0, 0, 1]
    assert builder.closed["total_usd"].tolist() == [1.0]
    assert len(builder.update(NOON, 1.0, 0.9, True, 6)) == 0
    assert builder.update(NOON, 1.0, 0.1, True, 7)["seq"].tolist() == [1]


def test_a_live_giant_returns_all_its_packets() -> None:
    """More packets than the live path has room for come out in one piece."""
    giant = [trade(100, 5, number=1), trade(100, 10_000, number=2)]
    live, whole = VolumeBucketBuilder(config(1_000)), VolumeBucketBuilder(config(1_000))
    parts = run_live(live, giant)
    assert [len(part) for part in parts] == [1_000]
    assert join(parts) == whole.scan(*as_columns(giant)).tobytes()


def test_a_first_live_trade_after_midnight_closes_the_short_bucket_at_once() -> None:
    """The anchor is respected by the very push that crosses it."""
    builder = VolumeBucketBuilder(config(1_000))
    assert builder.push(NOON, 1.0, 0.2, True, 1) == 0
    assert builder.push(NOON + DAY_NS, 1.0, 0.2, True, 2) == 1
    assert builder.closed["is_short"].tolist() == [True]


def test_the_forming_bucket_can_be_watched() -> None:
    """It is empty before its first trade, and looking at it changes nothing."""
    builder = VolumeBucketBuilder(config(1_000))
    assert builder.forming == {}
    builder.push(NOON, 1.0, 0.4, False, 1)
    before = builder.to_bytes()
    forming = builder.forming
    assert (forming["total_usd"], forming["fill_ratio"], forming["is_short"]) == (0.4, 0.4, False)
    assert math.isnan(forming["vpin"])
    assert builder.to_bytes() == before


def test_the_forming_bucket_tells_whether_trades_are_missing_in_it() -> None:
    """As its columns do, after each trade: none missing, a gap, the next bucket, a gap nobody numbered."""
    builder = VolumeBucketBuilder(config(1_000))
    seen = [builder.is_tainted]
    for number, size in ((1, 0.4), (3, 0.4), (4, 0.4), (5, 0.8), (6, 0.4)):
        if number == 6:
            builder.taint()
            assert not builder.is_tainted  # no trade in it yet
        builder.push(NOON, 1.0, size, True, number)
        assert builder.is_tainted is bool(builder.forming.get("is_tainted", False))
        seen.append(builder.is_tainted)
    assert seen == [False, False, True, False, False, True]


INCREMENTS = ["0.01", "0.0001", "0.5", "0.00000001", "0.25", "0.03", "1", "10", "0.1", "0.00005"]


@pytest.mark.parametrize("increment", INCREMENTS)
def test_floats_become_exact_counts(increment: str) -> None:
    """The float nearest to n increments is counted as n, and one ulp beside it as well."""
    size = Decimal(increment)
    builder = VolumeBucketBuilder(
        BucketConfig(bucket_usd=2**40 * size, tick_size=size, lot_size=Decimal(1), vpin_window=1)
    )
    rng = np.random.default_rng(11)
    counts = [1, 2, 3, *(int(n) for n in 10 ** rng.uniform(0, 9, 400))]
    total = 0
    for number, count in enumerate(counts):
        price = float(count * size)
        price = [price, math.nextafter(price, 0.0), math.nextafter(price, math.inf)][number % 3]
        builder.push(NOON, price, 1.0, True, -1)
        total += count
        assert total < 2**40
    assert round(Decimal(builder.forming["total_usd"]) / size) == total


BAD_LIVE = {
    "price off its tick": (1.005, 1.0, "price 1.005 is not a multiple of the increment 0.01"),
    "size off its lot": (1.0, 0.15, "size 0.15 is not a multiple of the increment 0.1"),
    "NaN price": (math.nan, 1.0, "price is nan"),
    "NaN size": (1.0, math.nan, "size is nan"),
    "infinite price": (math.inf, 1.0, "price is inf"),
    "negative price": (-1.0, 1.0, "price is -1.0"),
    "negative size": (1.0, -1.0, "size is -1.0"),
    "price zero": (0.0, 1.0, "price of 0 ticks"),
    "too many ticks": (1e300, 1.0, "too large to count"),
    "beyond int64": (1e10, 1e10, "beyond int64"),
}


@pytest.mark.parametrize("name", BAD_LIVE)
@pytest.mark.parametrize("method", ["push", "update"])
def test_a_bad_live_trade_is_refused_and_the_builder_goes_on(name: str, method: str) -> None:
    """One clear line; the state is that of the tape without the bad trade."""
    price, size, message = BAD_LIVE[name]
    builder, clean = VolumeBucketBuilder(config(1_000)), VolumeBucketBuilder(config(1_000))
    for each in (builder, clean):
        each.push(NOON, 1.0, 0.4, True, 1)

    def offer() -> None:
        getattr(builder, method)(NOON, price, size, True, 2)
        _ = builder.counters  # `push` may notice an off-grid price only when it next asks the kernel

    with pytest.raises(ValueError) as caught:
        offer()
    assert message in str(caught.value)
    assert builder.to_bytes() == clean.to_bytes()
    assert builder.push(NOON, 1.0, 0.6, True, 2) == 1


def test_trades_after_a_bad_one_are_kept() -> None:
    """An off-grid price noticed late loses no other trade, nor the packet they fill."""
    builder = VolumeBucketBuilder(config(1_000))
    builder.push(NOON, 1.0, 0.1, True, 1)
    builder.push(NOON, 1.001, 0.1, True, 2)
    builder.push(NOON, 1.0, 0.1, True, 2)
    with pytest.raises(ValueError, match=r"trade 2 at .* price 1.001 is not a multiple"):
        builder.push(NOON, 1.0, 0.9, True, 3)
    assert builder.closed["total_usd"].tolist() == [1.0]
    assert builder.forming["total_usd"] == 0.1


BAD_ARRAYS = {
    "price 0": (1, 0, "price of 0 ticks"),
    "negative size": (2, -1, "size of -1 lots"),
    "beyond int64": (1, 2**62, "beyond int64"),
}


@pytest.mark.parametrize("name", BAD_ARRAYS)
def test_a_chunk_with_a_bad_trade_is_refused_as_a_whole(name: str) -> None:
    """The message names the index; nothing of the chunk was taken."""
    column, value, message = BAD_ARRAYS[name]
    builder = VolumeBucketBuilder(config(1_000))
    columns = as_columns([trade(100, 5, number=number) for number in range(1, 8)])
    before = builder.to_bytes()
    columns[column][5] = value
    with pytest.raises(ValueError, match=f"trade at index 5: .*{message}"):
        builder.scan(*columns)
    assert builder.to_bytes() == before


def test_columns_of_wrong_shape_or_type_are_refused() -> None:
    """Floats would be cut to integers silently, sizes taken for sides."""
    builder = VolumeBucketBuilder(config())
    ts_ns, ticks, lots, sides, ids = as_columns([trade(100, 5), trade(100, 5)])
    with pytest.raises(ValueError, match="price_ticks has type float64"):
        builder.scan(ts_ns, ticks.astype(float), lots, sides, ids)
    with pytest.raises(ValueError, match="is_buyer has type int64"):
        builder.scan(ts_ns, ticks, lots, lots, ids)
    with pytest.raises(ValueError, match="size_lots has 1 values, ts_ns has 2"):
        builder.scan(ts_ns, ticks, lots[:1], sides, ids)


BAD_CONFIGS = {
    "not a multiple of the unit": ({"bucket_usd": Decimal("0.0015")}, "not a multiple"),
    "smaller than a unit": ({"bucket_usd": Decimal("0.0001")}, "not a multiple"),
    "float": ({"bucket_usd": 1.5}, "give a Decimal"),
    "zero": ({"tick_size": Decimal(0)}, "above 0"),
    "not a number": ({"lot_size": Decimal("NaN")}, "above 0"),
    "window": ({"vpin_window": 0}, "vpin_window"),
    "anchor": ({"anchor": "hour"}, "utc_day"),
    "too large": ({"bucket_usd": 10**16}, "beyond int64"),
}


@pytest.mark.parametrize("name", BAD_CONFIGS)
def test_impossible_settings_are_refused(name: str) -> None:
    """A bucket that could not hold exactly its dollars is no bucket."""
    changes, message = BAD_CONFIGS[name]
    with pytest.raises(ValueError, match=message):
        config(**changes)
