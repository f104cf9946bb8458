"""Trades in the order of their ids: what a stream loses, doubles and shuffles comes out as if it had not."""

import random

from hypothesis import given
from hypothesis import strategies as st

from runtime.live.gaps import ConsecutiveIds, Flow, Missing, RecentIds


def named(ids: list[int]) -> list[tuple[str, int]]:
    """Return ids as trades that are their own ids."""
    return [(str(one), one) for one in ids]


def test_trades_in_order_go_straight_through() -> None:
    """The first trade may have any id; each next one is handed on at once."""
    order = ConsecutiveIds[int]()
    assert [order.take(str(one), one) for one in (41, 42, 43)] == [[41], [42], [43]]
    assert order.wanted is None


def test_a_jump_holds_trades_back_until_the_missing_ones_are_there() -> None:
    """They come out in the order of their ids, and the stream goes on."""
    order = ConsecutiveIds[int](last_id=10)
    assert order.take("14", 14) == []
    assert order.take("15", 15) == []
    assert order.wanted == Missing(11, 13)
    assert order.fill(named([11, 12, 13]), known_until=13) == [11, 12, 13, 14, 15]
    assert order.take("16", 16) == [16]
    assert (order.counters.gaps, order.counters.filled, order.counters.missing) == (1, 1, 3)


def test_a_gap_behind_a_gap_is_asked_for_next() -> None:
    """What is complete goes through, and the second gap is what is wanted."""
    order = ConsecutiveIds[int](last_id=0)
    for one in (2, 4):
        order.take(str(one), one)
    assert order.fill(named([1]), known_until=1) == [1, 2]
    assert order.wanted == Missing(3, 3)
    assert order.take("3", 3) == [3, 4]  # late, by the stream itself
    assert order.flow is Flow.FLOWING


def test_ids_that_the_venue_never_gave_are_not_waited_for() -> None:
    """The venue has answered for all of them: it has skipped numbers itself."""
    order = ConsecutiveIds[int](last_id=5)
    order.take("9", 9)
    assert order.fill(named([7]), known_until=8) == [7, 9]
    assert order.wanted is None


def test_part_of_an_answer_is_kept_and_the_rest_still_wanted() -> None:
    """The first page of several."""
    order = ConsecutiveIds[int](last_id=5)
    order.take("9", 9)
    assert order.fill(named([6]), known_until=6) == [6]
    assert order.wanted == Missing(7, 8)


def test_giving_up_lets_trades_go_with_the_gap_in_their_ids() -> None:
    """A bucket builder that counts ids taints the bucket."""
    order = ConsecutiveIds[int](last_id=5)
    for one in (9, 8, 12):
        order.take(str(one), one)
    assert order.give_up() == [8, 9, 12]
    assert order.counters.missing == 4  # 6, 7, 10 and 11
    assert order.take("13", 13) == [13]
    assert order.give_up() == []


def test_trades_that_come_twice_or_too_late_are_dropped() -> None:
    """Flowing or waiting."""
    order = ConsecutiveIds[int](last_id=5)
    order.take("6", 6)
    order.take("9", 9)
    assert [order.take(str(one), one) for one in (6, 3, 9)] == [[], [], []]
    assert order.counters.dropped == 3


@given(st.integers(2, 60), st.randoms(use_true_random=False), st.floats(0, 0.6), st.booleans())
def test_any_stream_becomes_the_tape(count: int, chance: random.Random, loss: float, partly: bool) -> None:
    """Lost, doubled and shuffled trades: with the venue's answers the output is the tape, each trade once."""
    tape = sorted(chance.sample(range(1, 2 * count), count))  # the venue itself leaves ids out
    stream = [one for one in tape[1:-1] if chance.random() >= loss]
    stream += [one for one in stream if chance.random() < 0.2]
    for number in range(len(stream) - 1):
        if chance.random() < 0.3:
            stream[number], stream[number + 1] = stream[number + 1], stream[number]
    order, out = ConsecutiveIds[int](), []
    for one in [tape[0], *stream, tape[-1]]:
        out += order.take(str(one), one)
        if chance.random() < 0.5:
            out += answer(order, tape, chance, partly=partly)
    while order.wanted is not None:
        out += answer(order, tape, chance, partly=partly)
    assert out == tape


def answer(order: ConsecutiveIds[int], tape: list[int], chance: random.Random, *, partly: bool) -> list[int]:
    """Return what goes through after the venue answered, wholly or with its first trades."""
    wanted = order.wanted
    if wanted is None:
        return []
    found = [one for one in tape if wanted.first_id <= one <= wanted.last_id]
    if partly and len(found) > 1 and chance.random() < 0.5:
        return order.fill(named(found[:1]), known_until=found[0])
    return order.fill(named(found), known_until=wanted.last_id)


def test_named_trades_are_complete_again_where_the_page_overlaps() -> None:
    """Held back from the suspicion on; a page that knows the last trade shows what was missed after it."""
    order = RecentIds[str]()
    assert order.take("a", "a") == ["a"]
    order.suspect()
    assert order.take("d", "d") == []
    assert order.take("e", "e") == []
    assert order.fill([(one, one) for one in "01abcd"], known_until=-1) == ["b", "c", "d", "e"]
    assert order.take("b", "b") == []
    assert order.take("f", "f") == ["f"]
    assert (order.counters.missing, order.counters.filled, order.counters.dropped) == (2, 1, 1)


def test_a_page_without_overlap_says_nothing() -> None:
    """Trades stay held back until somebody gives up; then they go on, and the bucket must be tainted."""
    order = RecentIds[str]()
    order.take("a", "a")
    order.suspect()
    order.take("z", "z")
    assert order.fill([("x", "x"), ("y", "y")], known_until=-1) == []
    assert order.wanted is not None
    assert order.give_up() == ["z"]
    assert order.wanted is None


def test_nothing_is_suspected_before_the_first_trade() -> None:
    """There is nothing that a gap could be in."""
    order = RecentIds[str]()
    order.suspect()
    assert order.take("a", "a") == ["a"]


def test_only_so_many_names_are_remembered() -> None:
    """Memory stays bounded."""
    order = RecentIds[int](remembered=3)
    for one in range(10):
        order.take(str(one), one)
    assert order.take("9", 9) == []
    assert order.take("0", 0) == [0]
