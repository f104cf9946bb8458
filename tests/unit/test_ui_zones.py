"""Areas of the chart: what the structure engine says of real and made-up buckets, as a terminal sees it."""

from itertools import pairwise

import numpy as np
import pytest

from indicators.engine import StructureEngine
from indicators.events import EVENT_DTYPE, EventKind, Scope
from indicators.structure_config import StructureConfig
from ui.telemetry.living import living_events
from ui.telemetry.zones import ZoneTracker

XRP = "XRPUSDT.BINANCE"
BUCKETS = 3_000


def event(kind: EventKind, event_id: int, **columns: float) -> np.ndarray:
    """Return one event as the engine gives it."""
    row = np.zeros(1, EVENT_DTYPE)
    row["kind"], row["event_id"], row["ref_id"] = kind, event_id, -1
    row["direction"], row["buy_share"] = 1, np.nan
    for name, value in columns.items():
        row[name] = value
    return row


def tracker(scope: Scope = Scope.EXTERNAL) -> ZoneTracker:
    """Return one with the usual ends of the OTE zone."""
    return ZoneTracker(XRP, scope, 0.618, 0.79)


def external(kind: EventKind, event_id: int, **columns: float) -> np.ndarray:
    """Return an event of the external structure."""
    return event(kind, event_id, scope=Scope.EXTERNAL, **columns)


def test_a_long_range_has_its_zone_below_the_middle() -> None:
    """61.8 to 79 % of the way back down from the high, the sweet spot as the engine computed it."""
    formed = external(EventKind.RANGE_FORMED, 7, low=100.0, high=200.0, level=129.5, origin_seq=3)
    whole, ote = tracker().take(formed)
    assert (whole.type, whole.bot, whole.top) == ("range", 100.0, 200.0)
    assert (ote.type, ote.sweet, ote.i0) == ("ote", 129.5, 3)
    assert ote.bot == pytest.approx(121.0)
    assert ote.top == pytest.approx(138.2)


def test_a_short_range_is_the_mirror() -> None:
    """Measured from the low upwards."""
    formed = external(EventKind.RANGE_FORMED, 7, direction=-1, low=100.0, high=200.0, level=170.5)
    _, ote = tracker().take(formed)
    assert ote.side == -1
    assert (ote.bot, ote.top) == (pytest.approx(161.8), pytest.approx(179.0))


def test_a_range_that_extends_moves_its_zone_and_stays_one() -> None:
    """A later message of the same id replaces it in the terminal."""
    zones = tracker()
    before = zones.take(external(EventKind.RANGE_FORMED, 7, low=100.0, high=200.0, level=129.5))
    after = zones.take(external(EventKind.RANGE_EXTENDED, 9, ref_id=7, low=100.0, high=300.0, level=159.0))
    assert [one.id for one in before] == [one.id for one in after]
    assert after[1].sweet == 159.0
    assert after[1].top == pytest.approx(176.4)
    assert len(zones.live) == 2


@pytest.mark.parametrize(
    ("kind", "state"),
    [
        (EventKind.OTE_COMPLETED, "filled"),
        (EventKind.OTE_FAILED, "mitigated"),
        (EventKind.RANGE_INVALIDATED, "mitigated"),
        (EventKind.RANGE_EXPIRED, "expired"),
    ],
)
def test_an_end_is_dated_and_says_why(kind: EventKind, state: str) -> None:
    """Range and zone end together, and are followed no more."""
    zones = tracker()
    zones.take(external(EventKind.RANGE_FORMED, 7, low=100.0, high=200.0, level=129.5))
    ended = zones.take(external(kind, 9, ref_id=7, known_seq=55, known_ts_ns=9_000_000))
    assert [(one.state, one.i1, one.t1) for one in ended] == [(state, 55, 9)] * 2
    assert all("; " in one.why for one in ended)
    assert zones.live == []


def test_a_plan_gives_the_zone_its_prices() -> None:
    """Only the OTE zone has them; a range that nobody knows has no zone."""
    zones = tracker()
    zones.take(external(EventKind.RANGE_FORMED, 7, low=100.0, high=200.0, level=129.5))
    (planned,) = zones.plan(7, sweet=129.4, stop=99.9, target=200.0)
    assert (planned.sweet, planned.stop, planned.targets) == (129.4, 99.9, [200.0])
    assert zones.plan(8, sweet=1.0, stop=1.0, target=1.0) == []
    (touched, *_) = [
        one for one in zones.take(external(EventKind.OTE_ENTERED, 8, ref_id=7)) if one.type == "ote"
    ]
    assert touched.stop == 99.9  # kept through the rest of its life


def test_ranges_of_the_other_structure_are_not_shown() -> None:
    """The strategy trades one scope; the other one would cover the chart with zones that nobody trades."""
    formed = event(EventKind.RANGE_FORMED, 7, scope=Scope.INTERNAL, low=100.0, high=200.0, level=129.5)
    zones = tracker()
    assert zones.take(formed) == []
    assert zones.take(event(EventKind.RANGE_EXPIRED, 9, scope=Scope.INTERNAL, ref_id=7)) == []


def test_several_changes_of_one_bucket_are_told_once() -> None:
    """A gap that is touched, half filled and filled by one bucket is told as filled."""
    zones = tracker()
    zones.take(event(EventKind.FVG, 1, low=1.0, high=2.0))
    kinds = (EventKind.FVG_TOUCHED, EventKind.FVG_CE, EventKind.FVG_FILLED)
    events = np.concatenate([event(kind, 2 + n, ref_id=1) for n, kind in enumerate(kinds)])
    (told,) = zones.take(events)
    assert told.state == "filled"


def test_whatever_the_engine_says_is_followed_to_its_end() -> None:
    """On a random walk: each area begins once, and none is left that the engine has ended."""
    generator = np.random.default_rng(5)
    close = 1000.0 * np.exp(np.cumsum(generator.normal(0, 2e-3, BUCKETS)))
    open_ = np.concatenate([[1000.0], close[:-1]])
    spread = np.abs(generator.normal(0, 1e-3, BUCKETS)) * close
    high, low = np.maximum(open_, close) + spread, np.minimum(open_, close) - spread
    engine, zones = StructureEngine(StructureConfig(tick_size=0.01)), tracker()
    begun: dict[str, int] = {}
    ended: set[str] = set()
    for t in range(BUCKETS):
        ts = (t + 1) * 1_000_000_000
        columns = (ts - 1, ts, open_[t], high[t], low[t], close[t], 10.0, 5.0)
        for one in zones.take(engine.update(*columns)):
            assert one.id not in ended, one
            begun.setdefault(one.id, t)
            assert one.i0 <= t
            assert one.bot <= one.top
            if one.i1 is not None:
                assert one.i1 == t
                ended.add(one.id)
    assert {one.id for one in zones.live} == begun.keys() - ended
    assert {one.split(":")[1].rstrip("0123456789") for one in begun} == {
        "break", "fvg", "ob", "liquidity", "range", "ote",
    }  # fmt: skip


def test_a_restart_finds_the_zones_that_live() -> None:
    """Whoever comes after the buckets is told what one that saw them all still has, at every moment alike."""
    chance = np.random.default_rng(7)
    closes = 100.0 * np.exp(np.cumsum(0.001 * chance.standard_t(2.5, BUCKETS)))
    engine = StructureEngine(StructureConfig(tick_size=0.01))
    seen, types = tracker(), set()
    for number, (open_, close) in enumerate(pairwise(closes)):
        wicks = 0.02 * chance.random(2)
        high, low = max(open_, close) + wicks[0], min(open_, close) - wicks[1]
        seen.take(engine.update(number * 10, number * 10 + 5, open_, high, low, close, 100.0, 50.0))
        if number % 100:
            continue
        told = tracker().begin_with(living_events(engine, BUCKETS))
        assert [one.id for one in told] == list(dict.fromkeys(one.id for one in told))
        before = {one.id: one for one in seen.live}
        assert {one.id for one in told} == set(before)
        types |= {one.type for one in told}
        for one in told:
            same = before[one.id]
            assert (one.type, one.side, one.i0, one.t0) == (same.type, same.side, same.i0, same.t0)
            assert (one.bot, one.top, one.sweet) == pytest.approx((same.bot, same.top, same.sweet))
            assert one.state == same.state
    assert types == {"ob", "fvg", "liquidity", "range", "ote"}


def test_a_second_warm_up_ends_what_is_gone() -> None:
    """Nothing stays on the chart that no event would ever end; what is told at once is limited."""
    zones = tracker()
    zones.take(event(EventKind.FVG, 3, low=1.0, high=2.0, origin_seq=4))
    (gone,) = zones.begin_with(np.zeros(0, EVENT_DTYPE))
    assert (gone.state, gone.i1) == ("expired", 4)
    assert zones.live == []
