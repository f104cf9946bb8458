"""What of a decision is compared by a replay, and what is a reading of the node's clock."""

import msgspec
import pytest

from runtime.live.replay_comparison import canonical

CLOSE_NS = 1_795_308_900_000_000_000
NOTED_NS = CLOSE_NS + 16_093_949_729


def late(figure: float, reason: str = "stale_data") -> bytes:
    """Return the decision about a late bar, so many milliseconds after its close."""
    plain = {"ts_ns": CLOSE_NS, "kind": "signal_skipped", "reason": reason, "detail": {"figure": figure}}
    return msgspec.json.encode(plain)


def test_how_late_a_bar_was_is_not_compared() -> None:
    """The node read its clock 2 ms after the input was noted, a replay reads the time of the input."""
    assert canonical(late(16_095.945861), NOTED_NS) == canonical(late(16_093.949729), NOTED_NS)


@pytest.mark.parametrize(
    ("one", "other"), [(late(16_000.0), late(15_000.0)), (late(2.0, "fees"), late(3.0, "fees"))]
)
def test_every_other_figure_is(one: bytes, other: bytes) -> None:
    """A lateness that was over when the input came, and the figures of other reasons."""
    assert canonical(one, NOTED_NS) != canonical(other, NOTED_NS)
