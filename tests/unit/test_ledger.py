"""A cancelled order is followed as it would have lived, and the gate is measured by what it kept."""

import dataclasses
import math

import numpy as np
import pytest

from ml.ledger import doubted, ledger
from ml.shadow import Followed, Shadow, ShadowBook, ShadowEnd, ShadowPlan, ShadowRules

FREE = ShadowRules(maker_fee=0.0, taker_fee=0.0, target_rests=True)
DAY_NS = 86_400 * 10**9
LONG = ShadowPlan(
    order_id="O1",
    zone_id=7,
    direction=1,
    entry=100.0,
    stop=99.0,
    target=103.0,
    qty=2.0,
    rules=ShadowRules(maker_fee=0.0, taker_fee=0.001, target_rests=True),
    cancelled_ns=5,
)
# Prices seen after the cancel, and the end and R of a long at 100, stop 99, target 103, without fees.
TAPES: dict[str, tuple[list[float], ShadowEnd | None, float]] = {
    "touched only": ([101, 100, 101, 104], None, math.nan),
    "through, then target through": ([101, 99.9, 101, 103.1], "target", 3.0),
    "target touched only": ([99.9, 103.0], None, math.nan),
    "stop touched": ([99.9, 99.0], "stop", -1.0),
    "stop jumped over": ([99.9, 98.0], "stop", -2.0),
    "through entry and stop at once": ([98.5], "stop", -1.5),
    "target before the fill does not count": ([104, 105], None, math.nan),
}


@pytest.mark.parametrize(("prices", "end", "net_r"), TAPES.values(), ids=TAPES)
@pytest.mark.parametrize("direction", [1, -1], ids=["long", "short"])
def test_followed_on_the_tape(
    prices: list[float], end: ShadowEnd | None, net_r: float, direction: int
) -> None:
    """Fill through the price, stop at the trade that reached it, target through it; shorts mirrored."""
    mirror = [100 + (price - 100) * direction for price in prices]
    plan = dataclasses.replace(
        LONG, direction=direction, stop=100 - direction, target=100 + 3 * direction, rules=FREE
    )
    book = ShadowBook()
    book.add(plan)
    for ts_ns, price in enumerate(mirror):
        low, high = book.quiet_band
        if not low <= price <= high:
            book.on_price(10 + ts_ns, price)
    if end is None:
        assert len(book) == 1
        return
    (result,) = book.results
    assert (result.end, result.net_r) == (end, pytest.approx(net_r))
    assert result.money == pytest.approx(2 * net_r)
    assert result.exit_ns == 10 + len(prices) - 1


def test_fees_of_the_exit_that_happened() -> None:
    """The stop pays its own fee, on its own price."""
    shadow = Shadow(LONG)
    shadow.on_price(1, 99.9)
    result = shadow.on_price(2, 98.0)
    assert result is not None
    assert result.net_r == pytest.approx(-2.098)


# Venue rules of a spot pair: 50 ns latency, limit of the stop 0.5 % below it, at market after 1,000 ns.
SPOT = ShadowRules(
    maker_fee=0.001,
    taker_fee=0.002,
    target_rests=False,
    latency_ns=50,
    stop_limit_offset=0.005,
    market_after_ns=1_000,
    tick_size=0.1,
    slippage_bps=10.0,
)
PERPETUAL = dataclasses.replace(SPOT, target_rests=True, stop_limit_offset=math.inf)
# Trades (time, price) after the cancel of a long at 100, stop 99, target 103: how it ends, when, at what
# price and fee. Slippage is 10 bps up to whole increments of 0.1; stop-limit and limit orders have none.
LIVES: dict[str, tuple[ShadowRules, list[tuple[int, float]], tuple[ShadowEnd, int, float, float]]] = {
    "target better after stop and limit took their time": (
        SPOT,
        [(0, 99.9), (100, 103.0), (149, 105.0), (150, 104.0), (199, 106.0), (200, 103.5)],
        ("target", 200, 103.5, 0.002),
    ),
    "target rests where price fell back": (
        SPOT,
        [(0, 99.9), (100, 103.0), (150, 102.0), (200, 102.0), (300, 103.0), (301, 103.1)],
        ("target", 301, 103.0, 0.001),
    ),
    "target never traded through goes to market": (
        SPOT,
        [(0, 99.9), (100, 103.0), (150, 102.0), (200, 102.0), (1_100, 101.0), (1_150, 101.0), (1_200, 100.5)],
        ("target", 1_200, 100.3, 0.002),
    ),
    "stop reached while the target rests": (
        SPOT,
        [(0, 99.9), (100, 103.0), (150, 102.0), (200, 102.0), (300, 98.9), (350, 98.8), (400, 98.7)],
        ("stop", 400, 98.6, 0.002),
    ),
    "stop at the venue, before its limit": (
        SPOT,
        [(0, 99.9), (50, 99.5), (60, 98.9)],
        ("stop", 60, 98.9, 0.002),
    ),
    "stop jumped beyond its limit, and back": (
        SPOT,
        [(0, 99.9), (50, 99.5), (60, 98.0), (70, 98.6)],
        ("stop", 70, 98.505, 0.001),
    ),
    "stop jumped for good": (
        SPOT,
        [(0, 99.9), (50, 99.5), (60, 98.0), (1_060, 97.5), (1_110, 97.4), (1_160, 97.0)],
        ("stop", 1_160, 96.9, 0.002),
    ),
    "stop refused, price was beyond it when it came": (
        SPOT,
        [(0, 99.9), (49, 98.0), (50, 98.5), (99, 90.0), (100, 98.4)],
        ("stop", 100, 98.3, 0.002),
    ),
    "stop-market order slips": (PERPETUAL, [(0, 99.9), (50, 99.5), (60, 98.9)], ("stop", 60, 98.8, 0.002)),
    "target that found a better market": (PERPETUAL, [(0, 99.9), (50, 103.4)], ("target", 50, 103.4, 0.002)),
    "target that rested": (PERPETUAL, [(0, 99.9), (50, 99.5), (60, 104.0)], ("target", 60, 103.0, 0.001)),
}


@pytest.mark.parametrize(("rules", "trades", "expected"), LIVES.values(), ids=LIVES)
def test_exit_takes_the_way_that_an_order_takes(
    rules: ShadowRules, trades: list[tuple[int, float]], expected: tuple[ShadowEnd, int, float, float]
) -> None:
    """Each command takes its latency, and the price is the one that was there when it came."""
    shadow = Shadow(dataclasses.replace(LONG, rules=rules))
    results = [shadow.on_price(1_000 + ts_ns, price) for ts_ns, price in trades]
    assert results[:-1] == [None] * (len(trades) - 1)
    end, ts_ns, price, fee = expected
    result = results[-1]
    assert result is not None
    assert (result.end, result.exit_ns) == (end, 1_000 + ts_ns)
    assert result.net_r == pytest.approx(price - 100 - 0.001 * 100 - fee * price)


def test_entry_is_gone_when_the_cancel_has_arrived() -> None:
    """A zone that ends, and the entry's time to live, take it back one latency later."""
    for ttl_ns, ends_ns in ((500, None), (10**9, 500)):
        for ts_ns, end in ((549, "open"), (550, "not_filled")):
            book = ShadowBook()
            book.add(dataclasses.replace(LONG, rules=SPOT, ttl_ns=ttl_ns))
            if ends_ns is not None:
                book.end_zone(LONG.zone_id, ends_ns)
            book.on_price(ts_ns, 99.9)
            book.close()
            assert [one.end for one in book.results] == [end]


def test_moved_entry_is_between_two_orders() -> None:
    """The old order may fill until its cancel arrives, the new one from its arrival on."""
    for ts_ns, price, is_filled in ((149, 99.9, True), (170, 99.9, False), (201, 100.9, True)):
        book = ShadowBook()
        book.add(dataclasses.replace(LONG, rules=SPOT))
        book.move(LONG.zone_id, 100, 101.0, 100.0, 104.0)
        assert book.intended_entry(LONG.zone_id) == 101.0
        for trade in ((150, 102.0), (200, 102.0)):
            if trade[0] <= ts_ns:
                book.on_price(*trade)
        book.on_price(ts_ns, price)
        assert (book.intended_entry(LONG.zone_id) is None) is is_filled


def test_target_moves_without_a_new_order() -> None:
    """The order stays where it is; only what it would have aimed at changes."""
    book = ShadowBook()
    book.add(dataclasses.replace(LONG, rules=FREE))
    book.retarget(LONG.zone_id, 105.0)
    book.on_price(1, 99.9)
    book.on_price(2, 105.1)
    assert [(one.end, one.net_r) for one in book.results] == [("target", 5.0)]


@pytest.mark.parametrize("direction", [1, -1], ids=["long", "short"])
def test_quiet_band_hides_nothing(direction: int) -> None:
    """Asked only outside of the band, a book ends as one that sees every trade."""
    generator = np.random.default_rng(4)
    ends = set()
    for _ in range(200):
        walk = 100 + direction + np.cumsum(generator.normal(0, 0.4, 60))
        plan = dataclasses.replace(
            LONG, direction=direction, stop=100 - direction, target=100 + 2 * direction
        )
        seen, banded = ShadowBook(), ShadowBook()
        for book in (seen, banded):
            book.add(plan)
        for ts_ns, price in enumerate(walk.round(1).tolist()):
            low, high = banded.quiet_band
            is_outside = not low <= price <= high
            seen.on_price(ts_ns + 1, price)
            if is_outside:
                assert banded.on_price(ts_ns + 1, price) is ((low, high) != banded.quiet_band)
        for book in (seen, banded):
            book.close()
        # NaN is equal to nothing, its text is.
        assert repr(seen.results) == repr(banded.results)
        ends.add(seen.results[0].end)
    assert ends == {"target", "stop", "open", "not_filled"}


def test_zone_and_order_events() -> None:
    """The end of its zone ends an unfilled order, a fill before the cancel or a new order drops it."""
    book = ShadowBook()
    for order_id in ("A", "B", "C"):
        book.add(dataclasses.replace(LONG, order_id=order_id, zone_id=ord(order_id)))
    book.drop("A")
    book.move(ord("B"), 1, 101.0, 100.0, 104.0)
    book.on_price(1, 100.5)
    book.end_zone(ord("B"), 2)  # filled: it lives on
    book.end_zone(ord("C"), 2)
    assert len(book) == 1
    assert [one.end for one in book.results] == ["not_filled"]
    book.on_price(2, 105.0)
    assert book.results[-1].net_r == pytest.approx(3.0)
    with pytest.raises(ValueError, match="behind"):
        book.add(dataclasses.replace(LONG, stop=100.0))


def orders(kept_r: list[float], cancelled_r: list[float]) -> list[Followed]:
    """Return orders spread over days, kept and cancelled in turn."""
    rows = []
    for is_cancelled, values in ((False, kept_r), (True, cancelled_r)):
        for number, net_r in enumerate(values):
            end: ShadowEnd = "not_filled" if math.isnan(net_r) else ("target" if net_r > 0 else "stop")
            rows.append(
                Followed(
                    order_id=f"{is_cancelled}{number}",
                    decided_ns=number * DAY_NS,
                    is_cancelled=is_cancelled,
                    end=end,
                    net_r=net_r,
                    money=10 * net_r,
                )
            )
    return rows


def test_ledger_adds_up() -> None:
    """Saved is what the cancelled orders would have lost; orders that never fill saved nothing."""
    report = ledger(orders([2.0, -1.0, 2.0], [-1.0, -1.0, 2.0, math.nan]), rounds=200)
    assert (report["orders_kept"], report["orders_cancelled"]) == (3, 4)
    assert (report["cancelled_would_have_filled"], report["cancelled_never_filled"]) == (3, 1)
    assert (report["saved_r"], report["saved_money"]) == (0.0, 0.0)
    assert report["cancelled_would_have_reached"] == {"target": 1, "stop": 2}
    assert report["expectancy_kept_r"] == 1.0
    assert report["expectancy_ungated_r"] == 0.5
    assert report["expectancy_gain_r"] == 0.5
    baselines = report["baselines"]
    assert (baselines["cancel_all_saved_r"], baselines["random_cancel_saved_r"]) == (-3.0, -1.5)
    assert 0 < baselines["random_at_least_as_good"] < 1


def test_good_gate_has_skill() -> None:
    """Losers cancelled and winners kept, day after day, is skill."""
    report = ledger(orders([2.0, 1.5, -1.0] * 20, [-1.0] * 40), rounds=300)
    assert report["has_skill"], report["doubts"]
    assert report["saved_r_ci"][0] > 0
    assert report["baselines"]["random_at_least_as_good"] < 0.01


@pytest.mark.parametrize(("count", "has_skill"), [(29, False), (30, True)])
def test_few_orders_prove_nothing(count: int, has_skill: bool) -> None:
    """However good they look, fewer than thirty orders that ended are too few; unfilled ones do not count."""
    kept = [2.0, 1.5] * 10
    report = ledger(orders(kept, [-1.0] * (count - len(kept)) + [math.nan] * 20), rounds=300)
    assert report["expectancy_gain_ci"][0] > 0
    assert report["has_skill"] is has_skill
    assert any(f"too few orders: {count}" in doubt for doubt in report["doubts"]) is not has_skill


def test_doubt_takes_the_skill() -> None:
    """What is known of a run beside its orders can only take skill away."""
    report = ledger(orders([2.0, 1.5, -1.0] * 20, [-1.0] * 40), rounds=300)
    assert (doubted(report, "why")["has_skill"], doubted(report, "why")["doubts"]) == (False, ["why"])
    assert report["has_skill"]


def test_random_gate_has_none() -> None:
    """A gate that cancels without looking saves money on a losing strategy and has no skill."""
    generator = np.random.default_rng(3)
    outcomes = np.where(generator.random(200) < 0.3, 1.0, -1.0)
    is_cancelled = generator.random(200) < 0.5
    report = ledger(orders(outcomes[~is_cancelled].tolist(), outcomes[is_cancelled].tolist()), rounds=300)
    assert report["saved_r"] > 0
    assert not report["has_skill"]


def test_cancelling_everything_is_no_skill() -> None:
    """It saves the most where every order loses, and keeps nothing to have skill in."""
    report = ledger(orders([], [-1.0] * 30), rounds=100)
    assert report["saved_r"] == 30.0
    assert (report["has_skill"], report["kept_share"]) == (False, 0.0)
    assert any("30%" in doubt for doubt in report["doubts"])
    assert not ledger([])["has_skill"]
