"""What a deriving class must bring is asked for when it is made, and not in the middle of a trade."""

from typing import Any

import pytest

from strategies.bar_strategy import BarStrategy
from strategies.kept_desk import KeptDesk
from strategies.setup_desk import SetupDesk


def test_a_desk_without_its_own_methods_cannot_be_made() -> None:
    """Each of them is called while a position is open."""
    missing = {"carry_out", "halt", "give_up", "say_restored", "fill_of"}
    assert KeptDesk.__abstractmethods__ == missing
    assert not SetupDesk.__abstractmethods__
    make: Any = KeptDesk
    with pytest.raises(TypeError, match="carry_out"):
        make(None, None, "T", None)


def test_a_bar_strategy_without_signals_cannot_be_made() -> None:
    """Nautilus' compiled base class asks for it as well."""
    make: Any = BarStrategy
    with pytest.raises(TypeError, match="signal_at"):
        make(None)
