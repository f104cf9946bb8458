"""What `tests.paper_confluence` says of two accounts' decisions: differences are found, or explained."""

from tests.paper_confluence import Decision, compared, is_alike


def signal(ts_ns: int, coin: str, *, taken: bool = True, reason: str = "", qty: str = "1") -> Decision:
    """Return a signal."""
    kind = "signal_taken" if taken else "signal_skipped"
    return Decision(ts_ns, coin, kind, "long", reason, "10", "9", "12", qty if taken else "")


def closed(ts_ns: int, coin: str) -> Decision:
    """Return the end of a position."""
    return Decision(ts_ns, coin, "position_closed", "long", "target", "12", "9", "12", "1")


LIVE = [signal(1, "A"), closed(2, "A"), signal(3, "A"), signal(3, "B", taken=False, reason="max_positions")]
DIFFERENT = tuple(
    f"different_{name}" for name in ("side", "price", "stop", "target", "kind", "reason", "qty")
)


def test_a_position_that_was_still_held_explains_what_became_of_a_signal() -> None:
    """And of no signal before it; what was proposed must be the same all the same."""
    history = [signal(1, "A"), signal(3, "A", taken=False, reason="in_position"), LIVE[3]]
    found = compared(LIVE, history, 0)
    assert not any(found[name] for name in DIFFERENT)
    assert (found["signals_of_same_holdings"], found["in_one_alone"]) == (2, [])
    assert [len(one) for one in found["of_other_holdings"].values()] == [1, 1, 1]
    other = history[1]._replace(stop="8")
    assert compared(LIVE, [history[0], other, history[2]], 0)["different_stop"]


def test_a_difference_of_equal_accounts_is_found() -> None:
    """Size, reason, and a signal that one of the two does not have."""
    assert compared(LIVE, [LIVE[0]._replace(qty="2"), *LIVE[1:]], 0)["different_qty"]
    assert compared(LIVE, [*LIVE[:3], LIVE[3]._replace(reason="correlated")], 0)["different_reason"]
    assert compared(LIVE, LIVE[:3], 0)["in_one_alone"] == ["3 B"]
    same = compared(LIVE, LIVE, 0)
    assert not any(same[name] for name in (*DIFFERENT, "in_one_alone"))
    assert same["signals_of_same_holdings"] == 3


def test_what_is_held_explains_no_other_decision() -> None:
    """Another size, or a skip for something that has nothing to do with what is held."""
    history = [LIVE[0], LIVE[2], LIVE[3]]
    assert compared(LIVE, history, 0)["different_unexplained"] == []
    for other in (LIVE[2]._replace(qty="2"), signal(3, "A", taken=False, reason="stop_too_near")):
        assert compared(LIVE, [history[0], other, history[2]], 0)["different_unexplained"] == ["3 A"]


def test_accounts_that_never_hold_the_same_prove_nothing() -> None:
    """No difference is found, and still the two do not count as alike."""
    live = [
        signal(1, "A"),
        *(signal(ts_ns, "B", taken=False, reason="max_positions") for ts_ns in range(2, 9)),
    ]
    history = [live[0], closed(1, "A"), *live[1:]]
    found = compared(live, history, 0)
    assert not any(found[name] for name in DIFFERENT)
    assert not is_alike(found)
    assert is_alike(compared(live, live, 0))
