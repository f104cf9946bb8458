"""The signal contract: what a strategy may say, and what is not worth its risk."""

from decimal import Decimal
from typing import Any

import pytest

from strategies.signal import Signal, plan_of, refused
from strategies.trade_manager.sizing import Size
from strategies.trade_manager.skips import SkipReason

D = Decimal


def signal(**changes: Any) -> Signal:
    """Return a long of XRP from 1.50 with stop 1.40 and target 1.65, confidence 0.9, with changes."""
    fields: dict[str, Any] = {
        "instrument_id": "XRPUSDT-PERP.BINANCE",
        "ts_ns": 1_773_792_000_000_000_000,
        "side": "long",
        "entry": D("1.50"),
        "stop": D("1.40"),
        "target": D("1.65"),
        "confidence": 0.9,
        "factors": {"sweep": 20.0},
    }
    return Signal(**(fields | changes))


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "stop above the entry of a long": ({"stop": D("1.51")}, r"stop < entry < target, got stop 1.51"),
    "a long's prices for a short": ({"side": "short"}, r"target < entry < stop, got stop 1.40"),
    "no distance": ({"stop": D("1.50")}, "stop < entry < target"),
    "a price of zero": ({"stop": D(0)}, "stop is 0, a price is above zero"),
    "a price that is no number": ({"target": D("nan")}, "target is NaN"),
    "a percentage": ({"confidence": 90.0}, "confidence 90.0 is not between 0 and 1"),
    "no confidence": ({"confidence": float("nan")}, "confidence nan"),
    "another side": ({"side": "buy"}, "side 'buy' is neither long nor short"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_contract_is_named(name: str) -> None:
    """With instrument, time, and the numbers."""
    changes, message = BROKEN[name]
    with pytest.raises(ValueError, match=message) as raised:
        signal(**changes)
    assert "XRPUSDT-PERP.BINANCE at 1773792000000000000" in str(raised.value)


def test_a_signal_below_the_minimum_is_skipped_with_its_figure() -> None:
    """1.5 to 1 is enough for 1.5, exactly, and not for 1.51; for a short alike."""
    short = signal(side="short", stop=D("1.60"), target=D("1.35"))
    for one in (signal(), short):
        assert refused(one, 1.5) is None
        skip = refused(one, 1.51)
        assert skip is not None
        assert (skip.reason, skip.figure, skip.limit) == (SkipReason.REWARD_RISK, 1.5, 1.51)


def test_a_taken_signal_becomes_a_plan_with_its_prices() -> None:
    """Nothing is computed twice between signal and order."""
    short = signal(side="short", stop=D("1.60"), target=D("1.35"))
    plan = plan_of(short, Size(D(100), 5, D(150), D(30), D(10)), number=7)
    assert (plan.direction, plan.entry_price, plan.stop_price, plan.target_price) == (
        -1,
        short.entry,
        short.stop,
        short.target,
    )
    assert (plan.qty, plan.zone_id, plan.entry_kind, plan.reward_risk) == (100, 7, "market", D("1.5"))
