"""How long a position was without a stop: measured from the first moment, over every look in between."""

from decimal import Decimal

from runtime.live.watchdog import Cover, UnprotectedTime

D = Decimal
NAKED, STOPPED = Cover(D(10), D(0), D(0)), Cover(D(10), D(10), D(0))
HALF, LEAVING = Cover(D(10), D(5), D(0)), Cover(D(10), D(0), D(10))
SECOND = 1_000_000_000


def test_the_limit_passes_once_and_again_after_as_long() -> None:
    """Two seconds are allowed; at more the position is to be closed, and tried again two seconds later."""
    time = UnprotectedTime(2 * SECOND, 10 * SECOND)
    looks = [time.see("XRP", NAKED, tenth * SECOND // 10) for tenth in range(51)]
    assert [tenth for tenth, is_over in enumerate(looks) if is_over] == [21, 41]
    assert time.violations == 1
    assert time.longest_ns["XRP"] == 5 * SECOND


def test_a_part_that_is_not_covered_counts() -> None:
    """A stop for half of the position leaves the other half naked."""
    time = UnprotectedTime(2 * SECOND, 10 * SECOND)
    assert not time.see("XRP", HALF, 0)
    assert time.see("XRP", HALF, 2 * SECOND + 1)


def test_times_add_up_and_the_longest_is_kept() -> None:
    """A stop that is replaced with a gap twice: both gaps in the sum, the longer one by itself."""
    time = UnprotectedTime(2 * SECOND, 10 * SECOND)
    for cover, at in [(NAKED, 0), (STOPPED, 1), (NAKED, 5), (NAKED, 7), (STOPPED, 8), (None, 9)]:
        assert not time.see("XRP", cover, at)
    assert (time.longest_ns["XRP"], time.sum_ns["XRP"], time.violations) == (3, 4, 0)


def test_an_order_that_closes_the_position_gets_longer() -> None:
    """Spot: the stop goes before the target's limit can rest; that time is counted and has a limit too."""
    time = UnprotectedTime(2 * SECOND, 10 * SECOND)
    assert not any(time.see("XRP", LEAVING, second * SECOND) for second in range(11))
    assert time.see("XRP", LEAVING, 11 * SECOND)


def test_instruments_do_not_mix() -> None:
    """Each has its own time."""
    time = UnprotectedTime(2 * SECOND, 10 * SECOND)
    time.see("XRP", NAKED, 0)
    time.see("ADA", NAKED, 2 * SECOND)
    assert time.see("XRP", NAKED, 3 * SECOND)
    assert not time.see("ADA", NAKED, 3 * SECOND)


def test_one_exit_that_follows_another_does_not_make_all_of_it_naked() -> None:
    """Spot: the target's limit does not fill in five seconds and gives way to a market order."""
    time = UnprotectedTime(2 * SECOND, 10 * SECOND)
    looks = [(LEAVING, 0), (LEAVING, 5), (NAKED, 5), (NAKED, 6), (LEAVING, 7), (None, 8)]
    assert not any(time.see("XRP", cover, second * SECOND) for cover, second in looks)
    assert (time.longest_ns["XRP"], time.violations) == (8 * SECOND, 0)


def test_nothing_at_all_behind_an_exit_has_the_short_limit_from_then_on() -> None:
    """The target's limit went and nothing came: two seconds later it is over."""
    time = UnprotectedTime(2 * SECOND, 10 * SECOND)
    looks = [time.see("XRP", LEAVING if second < 5 else NAKED, second * SECOND) for second in range(9)]
    assert looks == [False] * 8 + [True]
