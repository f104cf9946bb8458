"""Stale streams: who is stale when, and what it takes to be fresh again."""

from hypothesis import given
from hypothesis import strategies as st

from runtime.live.freshness import (
    TRANSITIONS,
    Freshness,
    Sign,
    StreamName,
    StreamWatch,
    Watchtower,
    clock_offset,
)

LIMIT = 10


def state(watch: StreamWatch) -> Freshness:
    """Return the state of now, which a type checker does not remember from before."""
    return watch.state


def test_every_state_answers_every_sign() -> None:
    """The table has no hole, and only a comparison with the venue ends staleness."""
    assert all(set(row) == set(Sign) for row in TRANSITIONS.values())
    ways = [(a, sign) for a, row in TRANSITIONS.items() for sign, b in row.items() if b is Freshness.FRESH]
    assert (Freshness.STALE, Sign.DATA) not in ways
    assert (Freshness.STALE, Sign.RECONCILED) not in ways


def test_silence_makes_a_stream_stale_once() -> None:
    """Said when it begins, not again while it lasts."""
    watch = StreamWatch(LIMIT, since_ns=0)
    watch.hear(5)
    assert [watch.look(now) for now in (15, 16, 17)] == [False, True, False]
    assert watch.state is Freshness.STALE


def test_a_stream_that_never_began_is_stale_as_well() -> None:
    """The limit counts from the subscription."""
    watch = StreamWatch(LIMIT, since_ns=100)
    assert (watch.look(110), watch.look(111)) == (False, True)


def test_data_alone_do_not_end_it() -> None:
    """Fresh only after data and then a comparison; a comparison before the data says nothing."""
    watch = StreamWatch(LIMIT, since_ns=0)
    watch.look(50)
    assert not watch.reconcile()
    watch.hear(60)
    assert state(watch) is Freshness.RETURNED
    assert watch.reconcile()
    assert state(watch) is Freshness.FRESH


def test_a_stream_that_falls_silent_again_before_the_comparison_is_stale() -> None:
    """The comparison then does not free it."""
    watch = StreamWatch(LIMIT, since_ns=0)
    watch.look(50)
    watch.hear(60)
    assert watch.look(71)
    assert not watch.reconcile()


def test_a_frozen_price_is_stale_although_messages_come() -> None:
    """The socket is open and the same price comes again and again; another price is data."""
    watch = StreamWatch(LIMIT, since_ns=0, frozen_ns=30)
    for now in range(0, 31, 5):
        watch.hear(now, 1.25)
        assert not watch.look(now)
    watch.hear(35, 1.25)
    assert watch.look(35)
    watch.hear(40, 1.25)
    assert state(watch) is Freshness.STALE
    watch.hear(41, 1.26)
    assert state(watch) is Freshness.RETURNED


def test_an_owner_is_free_when_its_last_stream_is() -> None:
    """Trades and bars of one coin: both must be back."""
    tower = Watchtower()
    trades = tower.add(StreamName("A", "trades"), StreamWatch(LIMIT, 0))
    bars = tower.add(StreamName("A", "bars"), StreamWatch(LIMIT, 0))
    other = tower.add(StreamName("B", "trades"), StreamWatch(LIMIT, 0))
    other.hear(19)
    assert tower.look(20) == [StreamName("A", "trades"), StreamName("A", "bars")]
    trades.hear(21)
    assert tower.reconcile(tower.returned) == []
    bars.hear(22)
    assert tower.reconcile(tower.returned) == ["A"]
    assert list(tower.stale) == []


@given(st.lists(st.tuples(st.sampled_from(["data", "look", "reconcile"]), st.integers(0, 30)), max_size=60))
def test_no_stream_is_fresh_after_a_silence_without_data_and_a_comparison(
    steps: list[tuple[str, int]],
) -> None:
    """Whatever comes in whatever order."""
    watch, now, owed = StreamWatch(LIMIT, 0), 0, set[str]()
    for what, pause in steps:
        now += pause
        if what == "data":
            owed.discard("data")
            watch.hear(now)
        elif what == "look":
            if now - watch.heard_ns > LIMIT:
                owed = {"data", "reconcile"}
            watch.look(now)
        elif "data" not in owed:
            owed.discard("reconcile")
            watch.reconcile()
        else:
            watch.reconcile()
        assert (watch.state is Freshness.FRESH) <= (not owed)


@given(st.integers(-(10**10), 10**10), st.integers(0, 10**9), st.integers(0, 10**9))
def test_the_true_offset_is_within_the_uncertainty(offset: int, there: int, back: int) -> None:
    """Whatever the way there and back took."""
    measured = clock_offset(0, there + offset, there + back)
    assert abs(measured.offset_ns - offset) <= measured.uncertainty_ns + 1
    assert measured.least_ns <= abs(offset) + 1


def test_what_comes_back_during_a_comparison_waits_for_the_next_one() -> None:
    """Its orders may have been asked for before it was back."""
    tower = Watchtower()
    first = tower.add(StreamName("A", "trades"), StreamWatch(LIMIT, 0))
    second = tower.add(StreamName("B", "trades"), StreamWatch(LIMIT, 0))
    tower.look(20)
    first.hear(21)
    asked = tower.returned
    second.hear(22)
    assert tower.reconcile(asked) == ["A"]
    assert tower.reconcile(tower.returned) == ["B"]
