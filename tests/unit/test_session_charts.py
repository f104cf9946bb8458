"""Previous day's and week's levels, UTC: told on the first bar of the next period, never before."""

from datetime import UTC, datetime

import numpy as np
import pytest

from indicators.session import SessionDetector
from tests.bars import FIRST_OPEN_NS, HOUR_NS, MINUTE_NS, SECOND_NS, Columns, from_prices
from tests.charts import PENCIL, Row, ranges, told
from tests.structure_checks import scan

FIELDS = ("flag", "low", "high", "level", "origin_seq", "direction")
DAY, WEEK = 1, 7
DAY_NS = 24 * HOUR_NS
THREE_DAYS = ranges((12, 9), (15, 10), (13, 8), (14, 11), (16, 12), (13, 10), (20, 5))


def chart(rows: list[Row], step_ns: int, *, start_ns: int = 0) -> Columns:
    """Return bars of one length from Monday, 2024-01-01 00:00 UTC plus ``start_ns`` on."""
    bars = from_prices(rows, step_ns=step_ns)
    return bars._replace(ts_open_ns=bars.ts_open_ns + start_ns, ts_close_ns=bars.ts_close_ns + start_ns)


def levels(bars: Columns) -> list[tuple[object, ...]]:
    """Return (known at, flag, low, high, level, first bar, direction) of every period told."""
    return [(known, *rest) for known, _, *rest in told(bars, SessionDetector.KINDS, FIELDS)]


def test_a_day_is_told_on_the_first_bar_of_the_next() -> None:
    """Three bars a day: lows 9, 10, 8 and highs 12, 15, 13, then 10 to 16; the third day is not over."""
    assert levels(chart(THREE_DAYS, 8 * HOUR_NS)) == [
        (3, DAY, 8, 15, 11.5, 0, 0),
        (6, DAY, 10, 16, 13, 3, 0),
    ]


def test_the_running_day_never_shows() -> None:
    """The snapshot has yesterday from today's first bar on, also while today goes further."""
    _, rows = scan(PENCIL, chart(THREE_DAYS, 8 * HOUR_NS))
    assert np.isnan(rows["previous_day_high"][:3]).all()
    assert rows["previous_day_high"].tolist()[3:] == [15, 15, 15, 16]
    assert rows["previous_day_low"].tolist()[3:] == [8, 8, 8, 10]
    assert np.isnan(rows["previous_week_high"]).all()


def test_a_week_runs_from_monday_and_comes_after_its_last_day() -> None:
    """Daily bars of eight days: the eighth is the next Monday, which tells Sunday and then the week."""
    days = ranges(*((10 + day, 5 - day) for day in range(7)), (8, 7))
    assert levels(chart(days, DAY_NS))[-2:] == [(7, DAY, -1, 16, 7.5, 6, 0), (7, WEEK, -1, 16, 7.5, 0, 0)]


# When the stream starts in its first day, and whether that day's beginning counts as seen.
STARTS = {
    "at midnight": (0, True),
    "five minutes later": (5 * MINUTE_NS, True),
    "a second more": (5 * MINUTE_NS + SECOND_NS, False),
    "at six": (6 * HOUR_NS, False),
}


@pytest.mark.parametrize("name", STARTS)
def test_a_day_whose_beginning_was_not_seen_is_not_told(name: str) -> None:
    """Its high may have been before the stream; the day after it is whole and told."""
    start_ns, is_told = STARTS[name]
    first_day = [(3, DAY, 8, 15, 11.5, 0, 0)] if is_told else []
    assert levels(chart(THREE_DAYS, 8 * HOUR_NS, start_ns=start_ns)) == [
        *first_day,
        (6, DAY, 10, 16, 13, 3, 0),
    ]


def test_a_stream_that_starts_on_tuesday_has_no_first_week() -> None:
    """Six days from Tuesday on, then Monday: the days are told, the week is not."""
    days = ranges(*((10 + day, 5 - day) for day in range(7)))
    assert {flag for _, flag, *_ in levels(chart(days, DAY_NS, start_ns=DAY_NS))} == {DAY}


def test_days_without_bars_are_skipped() -> None:
    """After a day of silence the last day that had bars is the previous one."""
    bars = chart(THREE_DAYS[:4], 8 * HOUR_NS)
    later = np.array([0, 0, 0, DAY_NS])
    bars = bars._replace(ts_open_ns=bars.ts_open_ns + later, ts_close_ns=bars.ts_close_ns + later)
    assert levels(bars) == [(3, DAY, 8, 15, 11.5, 0, 0)]


def test_a_bar_belongs_to_the_day_it_opens_in() -> None:
    """Bars of sixteen hours: the second one opens on the first day at 16:00 and closes on the second."""
    bars = chart(ranges((12, 9), (30, 1), (13, 10)), 16 * HOUR_NS)
    assert levels(bars) == [(2, DAY, 1, 30, 15.5, 0, 0)]


def test_the_chart_starts_on_a_monday() -> None:
    """What the weeks above rest on."""
    assert datetime.fromtimestamp(FIRST_OPEN_NS / SECOND_NS, UTC).strftime("%A %H:%M") == "Monday 00:00"
