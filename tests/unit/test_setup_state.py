"""A setup stored and restored in the middle of its life goes on as if nothing had happened."""

import random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strategies.protection import AccountKind
from strategies.trade_manager import setup_state
from strategies.trade_manager.plan import EntryPlan
from strategies.trade_manager.setup import Setup
from tests.unit.test_protection_of_setups import LONG, SHORT, ChaoticDesk, Desk, entered, market_of

CASES: list[tuple[str, AccountKind, EntryPlan]] = [
    ("BINANCE", "cash", LONG),
    ("BINANCE", "margin", LONG),
    ("BINANCE", "margin", SHORT),
    ("BYBIT", "cash", LONG),
    ("BYBIT", "margin", SHORT),
]


def reborn(setup: Setup, account: AccountKind) -> Setup:
    """Return the setup after its node died and another one read its state."""
    state = setup_state.from_bytes(setup_state.to_bytes(setup))
    return setup_state.restored(state, market_of(account, 5), setup._venue, setup._rules)


class Twins:
    """A setup that never died and one that is born again now and then; both get every call.

    Parameters
    ----------
    setup
        The one whose answers count.
    account
        Cash or margin.
    chance
        When the other one dies.
    """

    def __init__(self, setup: Setup, account: AccountKind, chance: random.Random) -> None:
        self.first, self.second = setup, reborn(setup, account)
        self.account: AccountKind = account
        self.chance = chance
        self.births = 0

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.first, name)
        if not callable(value):
            return value

        def call_both(*args: Any, **kwargs: Any) -> Any:
            if self.chance.random() < 0.3:
                self.second = reborn(self.second, self.account)
                self.births += 1
            answer, other = value(*args, **kwargs), getattr(self.second, name)(*args, **kwargs)
            assert repr(answer) == repr(other)  # NaN is not equal to itself
            assert setup_state.to_bytes(self.first) == setup_state.to_bytes(self.second)
            for alarm in ("low_alarm", "high_alarm", "deadline_ns", "is_watching", "quiet_band"):
                assert getattr(self.first, alarm) == getattr(self.second, alarm)
            return answer

        return call_both


@pytest.mark.parametrize("case", range(len(CASES)))
@settings(max_examples=25)
@given(seed=st.integers(0, 2**32))
def test_it_answers_every_later_event_exactly_as_the_original(case: int, seed: int) -> None:
    """Random reports, repeated and in any order, with a restart before every third: no answer differs."""
    venue, account, plan = CASES[case]
    chance = random.Random(seed)
    desk = ChaoticDesk(chance, venue, account, plan)
    twins: Any = Twins(desk.setup, account, random.Random(seed + 1))
    desk.setup = twins
    desk.take(twins.submit(0))
    for _ in range(120):
        desk.step()
    desk.calm_down()
    assert twins.births > 10


def test_every_field_of_a_setup_is_kept_or_known_to_be_given_anew() -> None:
    """A field that is added to `Setup` must be added to its state; this test says so."""
    fields = set(vars(Desk().setup))
    assert fields == setup_state.KEPT | setup_state.NOT_KEPT


def test_it_is_plain_text_and_numbers() -> None:
    """The dict holds nothing but strings, numbers, lists, dicts and None, and gives the same setup back."""
    desk = entered("margin", "4.5")

    def check(value: Any) -> None:
        if isinstance(value, dict):
            for key, one in value.items():
                assert isinstance(key, str)
                check(one)
        elif isinstance(value, list | tuple):
            for one in value:
                check(one)
        else:
            assert value is None or isinstance(value, str | int | float | bool)

    plain = setup_state.to_plain(desk.setup)
    check(plain)
    back = setup_state.restored(
        setup_state.from_plain(plain), market_of("margin", 5), desk.row, desk.setup._rules
    )
    assert setup_state.to_bytes(back) == setup_state.to_bytes(desk.setup)


def test_another_version_is_refused() -> None:
    """A state of tomorrow's layout must not be half understood."""
    plain = setup_state.to_plain(Desk().setup) | {"version": setup_state.VERSION + 1}
    with pytest.raises(ValueError, match="version"):
        setup_state.from_plain(plain)
    with pytest.raises(ValueError, match="version"):
        setup_state.from_bytes(msgspec.msgpack.encode(plain))
    with pytest.raises(ValueError, match="damaged"):
        setup_state.from_bytes(b"\x00")
