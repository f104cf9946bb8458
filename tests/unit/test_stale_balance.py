"""Spot: an exit that the node denies because it has not heard yet that the stop's coins are free."""

from types import SimpleNamespace
from typing import Any

import pytest
from nautilus_trader.model.identifiers import InstrumentId

from strategies.protection import AccountKind
from strategies.setup_desk import SetupDesk
from strategies.trade_manager.leaving_setup import STALE_SECS
from strategies.trade_manager.lifecycle import Stage
from strategies.trade_manager.orders import AskBalance, Leg
from tests.unit.test_protection_of_setups import NANOS, Desk, entered

DENIED = "CUM_NOTIONAL_EXCEEDS_FREE_BALANCE: free=0.13679066 BTC, cum_notional=0.18707000 BTC"


def denied(desk: Desk, leg: Leg, ts_ns: int) -> None:
    """Let the risk engine deny the newest order of a leg."""
    desk.take(desk.setup.on_rejected(desk.id_of(leg), DENIED, ts_ns, due_post_only=False))


def larger_stop(*, is_real: bool = True, account: AccountKind = "cash") -> Desk:
    """Return a desk whose stop was taken back for one that covers more, which is on its way."""
    desk = entered(account, qty="4")
    desk.setup.asks_about_entry = is_real
    desk.accept(Leg.STOP)
    desk.fill(Leg.ENTRY, "6", "102.95")
    desk.take(desk.setup.on_canceled(desk.id_of(Leg.STOP), NANOS))
    assert desk.alive(Leg.STOP) == [10]
    return desk


def test_a_stop_is_sent_again_when_its_coins_are_free() -> None:
    """A moment later, as what it was: the position is not closed for it."""
    desk = larger_stop()
    denied(desk, Leg.STOP, NANOS)
    assert desk.alive(Leg.STOP) == []
    due_ns = NANOS + round(STALE_SECS[0] * NANOS)
    assert desk.setup.deadline_ns == due_ns
    desk.take(desk.setup.on_deadline(due_ns))
    assert desk.alive(Leg.STOP) == [10]
    desk.accept(Leg.STOP)
    assert desk.setup.stage is Stage.PROTECTED
    assert not [note for note in desk.notes if note.reason == "stop_refused"]


def test_coins_that_are_never_free_are_a_refusal() -> None:
    """After a second and a bit the position is left at market."""
    desk = larger_stop()
    for _ in STALE_SECS:
        denied(desk, Leg.STOP, NANOS)
        desk.take(desk.setup.on_deadline(desk.setup.deadline_ns))
    denied(desk, Leg.STOP, NANOS)
    assert desk.setup.stage is Stage.EXITING
    assert desk.alive(Leg.EXIT) == [10]
    assert sum(STALE_SECS) <= 1  # of two: the exit at market has its way to go


def test_the_venue_is_asked_for_a_balance_that_denies() -> None:
    """With the first denial, for its message may be lost; not with each, but with every try after them."""
    desk = larger_stop()
    for count in range(1, len(STALE_SECS) + 1):
        denied(desk, Leg.STOP, NANOS)
        assert desk.balances_asked == 1, count
        desk.take(desk.setup.on_deadline(desk.setup.deadline_ns))
    denied(desk, Leg.STOP, NANOS)
    assert desk.balances_asked == 2
    now_ns = NANOS
    for asked in (3, 4):
        denied(desk, Leg.EXIT, now_ns)
        assert desk.balances_asked == asked
        now_ns = desk.setup.deadline_ns
        desk.take(desk.setup.on_deadline(now_ns))
        assert desk.alive(Leg.EXIT) == [10]


def test_a_fill_of_an_exit_ends_the_count_of_denials() -> None:
    """A part is sold without an acknowledgement: the rest has its waits, and a question, again."""
    desk = larger_stop()
    denied(desk, Leg.STOP, NANOS)
    desk.take(desk.setup.on_deadline(desk.setup.deadline_ns))
    desk.fill(Leg.STOP, "4", "99.9")
    stop = desk.id_of(Leg.STOP)
    desk.take(desk.setup.on_canceled(stop, 2 * NANOS))
    desk.take(desk.setup.on_deadline(desk.setup.deadline_ns))
    denied(desk, desk.submits[-1].order.leg, 5 * NANOS)
    assert desk.balances_asked == 2
    assert desk.setup.deadline_ns == 5 * NANOS + round(STALE_SECS[0] * NANOS)


@pytest.mark.parametrize("account", [SimpleNamespace(id="BINANCE-1"), None])
def test_the_question_goes_to_the_account_of_the_venue(account: Any) -> None:
    """Before there is one nobody can be asked."""
    asked: list[str] = []
    host = SimpleNamespace(
        portfolio=SimpleNamespace(account=lambda _venue: account), query_account=asked.append
    )
    desk: Any = SetupDesk(host, InstrumentId.from_str("XYZUSDT.BINANCE"), "OTE", Any, {})  # type: ignore[arg-type]
    desk._perform(None, AskBalance())
    assert asked == ([] if account is None else ["BINANCE-1"])


@pytest.mark.parametrize(("is_real", "account"), [(False, "cash"), (True, "margin")])
def test_elsewhere_a_denial_is_a_refusal(is_real: bool, account: AccountKind) -> None:
    """A backtest's balances are never old, and contracts lock no coins."""
    desk = entered(account)
    desk.setup.asks_about_entry = is_real
    denied(desk, Leg.STOP, NANOS)
    assert desk.setup.stage is Stage.EXITING
