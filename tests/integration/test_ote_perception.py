"""From trades to orders: the real bucket builder and structure engine inside the real BacktestEngine."""

from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from nautilus_trader.model.data import Bar, BarType
from nautilus_trader.model.enums import OrderStatus
from nautilus_trader.model.objects import Price, Quantity

from indicators.events import EventKind, Scope
from packet_builder.builder import BucketConfig, VolumeBucketBuilder
from strategies.dynamic_cancel import Approach, Verdict
from strategies.trade_manager.lifecycle import Stage
from tests.integration.engine_harness import (
    LOT,
    START_NS,
    STEP_NS,
    TICK,
    AccountName,
    CheckedStrategy,
    Trade,
    event,
    run,
)

BUCKET_USD = Decimal(2_000)


def trending_tape(seed: int, count: int = 20_000) -> list[Trade]:
    """Return trades of a walk with swings: drift that turns every few hundred trades."""
    rng = np.random.default_rng(seed)
    drift = np.repeat(rng.choice([-1.0, 1.0], count // 400 + 1), 400)[:count] * 0.9
    ticks = np.clip(20_000 + np.cumsum(drift + rng.normal(0, 4, count)), 8_000, 60_000).astype(int)
    sizes = np.round(rng.exponential(300, count) + 0.1, 1)
    buys = np.diff(ticks, prepend=ticks[0]) + rng.normal(0, 2, count) > 0
    return [
        (float(tick) / 10_000, float(size), "b" if buy else "s")
        for tick, size, buy in zip(ticks, sizes, buys, strict=True)
    ]


@pytest.mark.parametrize("account", ["cash", "margin"])
def test_trades_become_positions_with_nothing_scripted(account: AccountName) -> None:
    """Buckets, structure, zones, orders: the checked rules hold and every counter adds up."""
    tape = trending_tape(3)
    result = run(
        tape,
        None,
        account=account,
        latency_ms=50,
        bucket_usd=BUCKET_USD,
        structure="internal",
        max_notional_pct=10.0,
    )
    counters = result.strategy.counters
    assert counters["illegal_transitions"] == 0
    assert counters["zones"] >= 20
    assert counters["positions_closed"] >= (3 if account == "cash" else 5)
    assert {trade.side for trade in result.trades} == ({"long"} if account == "cash" else {"long", "short"})
    formed = {one.zone_id for one in result.kinds("zone")}
    entered = {one.zone_id for one in result.kinds("entry_submitted")}
    skipped = sum(count for name, count in counters.items() if name.startswith("zones_skipped_"))
    assert len(formed) == counters["zones"]
    assert len(entered) + skipped == counters["zones"]

    builder = VolumeBucketBuilder(BucketConfig(bucket_usd=BUCKET_USD, tick_size=TICK, lot_size=LOT))
    packets = builder.scan(
        START_NS + np.arange(len(tape)) * STEP_NS,
        np.array([round(price / float(TICK)) for price, _size, _side in tape]),
        np.array([round(size / float(LOT)) for _price, size, _side in tape]),
        np.array([side == "b" for _price, _size, side in tape]),
        np.arange(1, len(tape) + 1),
    )
    assert counters["buckets"] == len(packets)


def test_entries_come_after_the_bucket_that_showed_the_zone() -> None:
    """No order before the close of its bucket; the first one on the very trade that closed it."""
    tape = trending_tape(4)
    seen: list[tuple[int, int]] = []

    class Watcher(CheckedStrategy):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            self.observe(
                lambda packet, _events: seen.append((int(packet["seq"]), int(packet["ts_close_ns"])))
            )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.integration.engine_harness.CheckedStrategy", Watcher)
        result = run(tape, None, bucket_usd=BUCKET_USD, structure="internal", max_notional_pct=10.0)
    closes = dict(seen)
    entries = result.kinds("entry_submitted")
    assert entries
    assert [seq for seq, _ts in seen] == list(range(len(seen)))
    for entry in entries:
        assert entry.ts_ns == closes[entry.bucket_seq]


def test_a_trade_off_the_grid_is_counted_and_taints_its_bucket() -> None:
    """The builder refuses it; the strategy goes on, and the bucket that lacks it says so."""
    strategy_seen: list[dict[str, int]] = []

    def hook(number: int, strategy: CheckedStrategy) -> None:
        if number == 3:
            strategy._on_unusual_trade(ValueError("size is not a multiple of its increment"))
        strategy_seen.append(dict(strategy.counters))

    formed = event(EventKind.RANGE_FORMED, low=1.0, high=1.1)
    result = run([(1.09, 100.0 + n, "b") for n in range(12)], {4: [formed]}, hook=hook)
    assert result.strategy.counters["trades_refused"] == 1
    assert [one.reason for one in result.kinds("zone_skipped")] == ["tainted"]
    assert [one.bucket_seq for one in result.kinds("entry_submitted")] == [5]


class CancelCloseBy:
    """Cancels within 2 ticks of the entry, says nothing before."""

    asked: list[Approach]

    def __init__(self) -> None:
        type(self).asked = []

    def decide(self, approach: Approach) -> Verdict:
        """Estimate falls as price comes closer."""
        type(self).asked.append(approach)
        distance = approach.price - approach.entry_price
        return Verdict(distance <= 0.0002, probability=min(1.0, distance * 100), threshold=0.02)


@pytest.mark.parametrize("bad", [1.3, 0.7])
def test_a_bad_print_taints_its_bucket_and_reaches_no_model(bad: float) -> None:
    """F19: +-30 %: nothing is entered on its bucket, and neither policy nor setup sees the price."""
    shown: list[float] = []

    class Watcher(CheckedStrategy):
        def on_watched_price(self, ts_ns: int, price: float) -> None:
            shown.append(price)
            super().on_watched_price(ts_ns, price)

    tape: list[Trade] = [(1.035, 100.0 + n, "b") for n in range(30)]
    tape[3] = (round(1.035 * bad, 4), 1.0, "s")
    tape[20] = (round(1.035 * 1.3, 4), 0.1, "b")  # upwards: the other way the venue would fill the entry
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.integration.engine_harness.CheckedStrategy", Watcher)
        result = run(
            tape,
            {3: [event(EventKind.RANGE_FORMED, low=1.0, high=1.1)]},
            cancel_policy=f"{__name__}:CancelCloseBy",
        )
    assert result.strategy.counters["trades_far"] == 2
    assert [one.reason for one in result.kinds("zone_skipped")] == ["tainted"]
    # The bucket after it may hold the rest of the same trade.
    assert [one.bucket_seq for one in result.kinds("entry_submitted")] == [5]
    assert set(shown) == {1.035}
    assert {one.price for one in CancelCloseBy.asked} == {1.035}


def test_the_cancel_policy_is_asked_within_the_band_and_obeyed() -> None:
    """1 % around 1.0295: asked from 1.0397 down, cancelled before the fill, and the figures are published."""
    chart: list[Trade] = [(1.09, 100.0, "b")] * 3
    chart += [(round(1.09 - 0.0005 * n, 4), 100.0 + n, "s") for n in range(121)]
    chart += [(1.0296, 500.0 + n, "s") for n in range(5)] + [(1.02, 5000.0 + n, "s") for n in range(20)]
    result = run(
        chart,
        {2: [event(EventKind.RANGE_FORMED, low=1.0, high=1.1)]},
        cancel_policy=f"{__name__}:CancelCloseBy",
    )
    asked = result.kinds("cancel_asked")
    (cancelled,) = result.kinds("entry_cancelled")
    assert cancelled.reason == "model"
    assert result.strategy.counters["entries_cancelled_by_model"] == 1
    assert result.orders[0].status == OrderStatus.CANCELED
    assert len(result.orders) == 1
    assert asked[-1].reason == "cancel"
    assert asked[-1].probability is not None
    assert asked[-1].probability < asked[-1].threshold == 0.02
    assert all(abs(float(one.price) - 1.0295) < 1e-9 for one in asked)
    assert result.strategy.stages[-1] is Stage.CLOSED


def test_a_policy_that_is_far_away_is_not_asked() -> None:
    """Outside the band the policy costs nothing."""
    chart: list[Trade] = [(1.09 - 0.0001 * (n % 3), 100.0 + n, "b") for n in range(50)]
    result = run(
        chart,
        {2: [event(EventKind.RANGE_FORMED, low=1.0, high=1.1)]},
        cancel_policy=f"{__name__}:CancelCloseBy",
    )
    assert result.kinds("cancel_asked") == []
    assert result.strategy.counters["entries_submitted"] == 1


def test_internal_and_external_zones_do_not_mix() -> None:
    """Ids are per stream: an internal zone's end must not end the external one."""
    chart: list[Trade] = [(1.09, 100.0 + n, "b") for n in range(20)]
    end = event(EventKind.RANGE_EXPIRED, scope=Scope.INTERNAL)
    result = run(chart, {2: [event(EventKind.RANGE_FORMED, low=1.0, high=1.1)], 8: [end]})
    assert result.kinds("expired") == []
    assert result.strategy.counters["entries_cancelled"] == 0


def test_a_higher_timeframe_filter_waits_until_its_bias_is_known() -> None:
    """Before 150 bars the bias is unknown, and unknown is no permission; then only its direction counts."""
    chart: list[Trade] = [(1.09, 100.0 + n, "b") for n in range(30)]

    def hook(number: int, strategy: CheckedStrategy) -> None:
        if number == 10:
            strategy.bias = -1
        if number == 15:
            strategy.bias = 1

    result = run(
        chart,
        {2: [event(EventKind.RANGE_FORMED, low=1.0, high=1.1)]},
        hook=hook,
        htf_bar_type=BarType.from_str("XRPUSDT-PERP.BINANCE-5-MINUTE-LAST-EXTERNAL"),
    )
    assert [one.reason for one in result.kinds("zone_skipped")] == ["htf_bias"]
    assert [one.bucket_seq for one in result.kinds("entry_submitted")] == [16]


def test_closed_bars_of_the_higher_timeframe_make_the_bias() -> None:
    """150 rising closes permit a long; the filter saw the bars themselves, not a value put in its place."""
    bar_type = BarType.from_str("XRPUSDT-PERP.BINANCE-5-MINUTE-LAST-EXTERNAL")
    seen: list[int | None] = []

    def hook(number: int, strategy: CheckedStrategy) -> None:
        if number == 10:
            for n in range(150):
                price, size = Price(1 + n / 1000, 4), Quantity(1, 1)
                strategy.on_bar(Bar(bar_type, price, price, price, price, size, n, n))
                seen.append(strategy.bias)

    result = run(
        [(1.09, 100.0 + n, "b") for n in range(30)],
        {2: [event(EventKind.RANGE_FORMED, low=1.0, high=1.1)]},
        hook=hook,
        htf_bar_type=bar_type,
    )
    assert seen == [0] * 149 + [1]
    assert [one.reason for one in result.kinds("zone_skipped")] == ["htf_bias"]
    assert [one.bucket_seq for one in result.kinds("entry_submitted")] == [11]
