"""Who belonged to the universe of a day: hand-made tables, and the future that changes nothing."""

from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from runtime.arrow_schema import BarColumns
from runtime.catalog import Catalog
from runtime.instruments import make_instrument
from runtime.membership import (
    DAY_NS,
    DailyTurnover,
    MembershipRule,
    daily_turnover,
    earliest_klines,
    members_of_days,
)

STEP_NS = 3600 * 1_000_000_000
FIRST_DAY = 20_530

# Turnover by coin and day, the rule (top, least, listed, window), and who belongs to which day: one more
# day than there is turnover, for the day after.
TABLES = {
    "ranked by the days before": ([[5, 1, 1], [3, 9, 9]], (1, 0, 0, 1), ["0100", "0011"]),
    "averaged over the window": ([[5, 1, 1], [3, 4, 9]], (1, 0, 0, 2), ["0100", "0011"]),
    "too little turnover": ([[5, 5, 5], [3, 9, 3]], (9, 4, 0, 1), ["0111", "0010"]),
    "too young, but for those of the first day": ([[5, 5, 5], [0, 9, 9]], (9, 0, 2, 9), ["0111", "0001"]),
    "ended, and known to have the day after": ([[5, 5, 5], [9, 0, 0]], (9, 0, 0, 9), ["0111", "0100"]),
    "equal ones by name": ([[5, 5], [5, 5]], (1, 0, 0, 1), ["011", "000"]),
    "places go to those that fit": (
        [[9, 9, 9], [0, 8, 9], [1, 1, 1]],
        (2, 0, 3, 1),
        ["0111", "0000", "0111"],
    ),
}


def members(
    turnover: NDArray[np.float64], rule: MembershipRule, catalog_day: int = FIRST_DAY
) -> NDArray[np.bool_]:
    """Return who belongs to which day, for coins A, B, C and so on."""
    names = tuple(chr(ord("A") + number) for number in range(len(turnover)))
    return members_of_days(DailyTurnover(names, FIRST_DAY, turnover, catalog_day), rule)


@pytest.mark.parametrize(("turnover", "rule", "expected"), TABLES.values(), ids=TABLES.keys())
def test_members_of_hand_made_days(
    turnover: list[list[float]], rule: tuple[int, float, int, int], expected: list[str]
) -> None:
    """Rank, least turnover, age and end, each by what was known before the day."""
    found = members(np.array(turnover, dtype=np.float64), MembershipRule(*rule))
    assert ["".join("01"[int(day)] for day in row) for row in found] == expected


def test_age_does_not_depend_on_the_other_coins_of_a_run() -> None:
    """A coin that is young beside an old one is as young alone: the catalog knows when it began."""
    both = np.array([[5.0, 5, 5, 5, 5], [0, 0, 9, 9, 9]])
    rule = MembershipRule(top=9, min_turnover=0, min_listed_days=2, rank_days=9)
    beside = members(both, rule)[1]
    assert "".join("01"[int(day)] for day in beside) == "000011"
    alone = members_of_days(DailyTurnover(("B",), FIRST_DAY + 2, both[1:, 2:], FIRST_DAY), rule)
    assert np.array_equal(alone[0], beside[2:])


def test_coins_of_the_first_day_of_a_catalog_are_old_enough() -> None:
    """A catalog that begins late says nothing of the age of those that it begins with."""
    rule = MembershipRule(top=9, min_turnover=0, min_listed_days=30, rank_days=9)
    turnover = np.array([[5.0, 5, 5]])
    assert members(turnover, rule, FIRST_DAY)[0].tolist() == [False, True, True, True]
    assert not members(turnover, rule, FIRST_DAY - 1).any()


def test_a_later_spike_does_not_change_the_past() -> None:
    """The coin that will be the largest is no member before it was."""
    quiet = np.full((3, 10), 5.0)
    quiet[2] = 1.0
    spiked = quiet.copy()
    spiked[2, 6:] = 1e9
    rule = MembershipRule(top=2, min_turnover=0, min_listed_days=0, rank_days=3)
    before, after = members(quiet, rule), members(spiked, rule)
    assert np.array_equal(before[:, :7], after[:, :7])
    assert not after[2, :7].any()
    assert after[2, 7:].all()


TURNOVER = st.integers(1, 6).flatmap(
    lambda coins: st.lists(
        st.lists(st.sampled_from([0.0, 1.0, 2.5, 3.0, 1e6]), min_size=coins, max_size=coins),
        min_size=1,
        max_size=12,
    )
)


@given(TURNOVER, st.integers(1, 4), st.sampled_from([0.0, 2.0]), st.integers(0, 3), st.integers(1, 5))
def test_the_table_of_a_prefix_is_the_prefix_of_the_table(
    days: list[list[float]], top: int, least: float, listed: int, window: int
) -> None:
    """Whatever follows, a day that was decided stays; never more than `top`, and nobody on the first day."""
    turnover = np.array(days).T
    rule = MembershipRule(top, least, listed, window)
    whole = members(turnover, rule)
    for day in range(1, len(days) + 1):
        assert np.array_equal(members(turnover[:, :day], rule), whole[:, : day + 1])
    assert whole.sum(axis=0).max() <= top
    assert not whole[:, 0].any()


def hourly(days: float, seed: int) -> BarColumns:
    """Make hourly bars from midnight of the first day on."""
    random, count = np.random.default_rng(seed), round(days * 24)
    open_ns = FIRST_DAY * DAY_NS + STEP_NS * np.arange(count)
    close = random.integers(9_000_000, 11_000_000, count)
    volume = random.integers(0, 10**9, count)
    return BarColumns(open_ns, open_ns + STEP_NS, close, close, close, close, volume)


def test_turnover_by_day_is_that_of_the_bars(tmp_path: Path) -> None:
    """Equal to a loop over bars; a bar that closes at midnight belongs to the day before; kept on disk."""
    catalog = Catalog(tmp_path / "catalog", create=True)
    charts = {"ADAUSDT": hourly(2.5, 1), "XRPUSDT": hourly(3, 2)[slice(30, None)]}
    for symbol, bars in charts.items():
        instrument = make_instrument("binance", "usdm", symbol, Decimal("0.01"), Decimal("0.001"))
        catalog.write_bars(instrument, "1h", bars)
    series = {
        f"{symbol}-PERP.BINANCE": (catalog, f"{symbol}-PERP.BINANCE-1-HOUR-LAST-EXTERNAL")
        for symbol in charts
    }
    expected = np.zeros((2, 3))
    for row, bars in zip(expected, charts.values(), strict=True):
        for open_ns, close, volume in zip(bars.ts_open_ns, bars.close_ticks, bars.volume_lots, strict=True):
            row[int(open_ns) // DAY_NS - FIRST_DAY] += int(close) * int(volume) / 100_000
    for _read_then_kept in range(2):
        found = daily_turnover(series, FIRST_DAY + 3)
        assert (found.names, found.first_day, found.end_day) == (tuple(series), FIRST_DAY, FIRST_DAY + 3)
        np.testing.assert_allclose(found.turnover, expected, rtol=1e-12)
    assert len(list((catalog.path / ".derived").glob("turnover-*.npy"))) == 2
    earliest = (FIRST_DAY * DAY_NS + STEP_NS, "ADAUSDT-PERP.BINANCE", "1h")
    assert earliest_klines(catalog) == earliest
    assert earliest_klines(Catalog(tmp_path / "empty", create=True)) is None
    assert daily_turnover(series, FIRST_DAY + 3, FIRST_DAY - 7).catalog_day == FIRST_DAY - 7
    cut = daily_turnover(series, FIRST_DAY + 1)
    assert cut.turnover.shape == (2, 1)
    np.testing.assert_array_equal(found.until(FIRST_DAY + 1).turnover, cut.turnover)
