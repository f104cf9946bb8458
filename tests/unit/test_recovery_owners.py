"""A start must not forget a position because somebody edited the settings."""

from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runtime.errors import ConfigurationError
from runtime.live.holdings_watch import HoldingsWatch
from runtime.live.recovery import RecoveryActor, require_owners

FILE = Path("var/live/live/state.sqlite")


def strategy(name: str, *instruments: str) -> Any:
    """Return what a node's strategy shows of itself."""
    desks = tuple(SimpleNamespace(instrument_id=SimpleNamespace(value=one)) for one in instruments)
    return SimpleNamespace(id=SimpleNamespace(value=name), desks=desks)


def test_setups_of_desks_that_exist_may_go_on() -> None:
    """Two strategies, one with two coins; an empty file asks for nothing."""
    strategies = [strategy("OTE-1", "XRPUSDT.BINANCE"), strategy("CON-1", "A.BYBIT", "B.BYBIT")]
    require_owners([("OTE-1", "XRPUSDT.BINANCE", "L1"), ("CON-1", "B.BYBIT", "S2")], strategies, FILE)
    require_owners([], [], FILE)


@pytest.mark.parametrize(("name", "instrument"), [("OTE-1", "C.BYBIT"), ("OTE-2", "XRPUSDT.BINANCE")])
def test_a_setup_without_a_desk_forbids_the_start(name: str, instrument: str) -> None:
    """Instrument or strategy taken out: the message names both and says what to do."""
    strategies = [strategy("OTE-1", "XRPUSDT.BINANCE")]
    with pytest.raises(ConfigurationError, match=f"{instrument} of {name}.*put them back"):
        require_owners([(name, instrument, "L1")], strategies, FILE)


def test_orphans_are_swept_again_but_not_before_everything_is_known() -> None:
    """What belongs to a setup is known after the recovery alone; then it is looked at again and again."""
    found = [["OTE-XRPUSDT-L1-E1"], [], ["OTE-XRPUSDT-L2-T1"]]
    desk = SimpleNamespace(sweep_orphans=lambda: found.pop(0))
    actor: Any = SimpleNamespace(
        is_done=False, swept=[], _started=lambda: [desk], log=SimpleNamespace(warning=lambda _text: None)
    )
    RecoveryActor.sweep(actor)
    assert len(found) == 3
    actor.is_done = True
    for _ in range(3):
        RecoveryActor.sweep(actor)
    assert actor.swept == ["OTE-XRPUSDT-L1-E1", "OTE-XRPUSDT-L2-T1"]


class Holding:
    """A desk in a position, on an account whose coins it may share with others."""

    def __init__(
        self, strategy: str, coin: str, qty: str, account: dict[str, Decimal], kind: str = "cash"
    ) -> None:
        self.strategy_id, self.account, self.kind = strategy, account, kind
        self.instrument_id: Any = SimpleNamespace(
            value=f"{coin}USDT.BYBIT", venue=SimpleNamespace(value="BYBIT")
        )
        self.instrument: Any = SimpleNamespace(base_currency=SimpleNamespace(code=coin))
        self.market: Any = SimpleNamespace(lot_size=Decimal("0.1"))
        self.setup: Any = SimpleNamespace(is_closed=False, is_in_position=True, position_qty=Decimal(qty))
        self.holds: Any = SimpleNamespace(standing=[])

    def account_kind(self) -> str:
        """Return spot or margin."""
        return self.kind

    def held_qty(self, direction: int) -> Decimal:
        """Return what the account holds."""
        return self.account[self.instrument.base_currency.code] * direction

    def missing_qty(self) -> Decimal:
        """Return what it holds less than this setup."""
        needed: Decimal = self.setup.position_qty
        return max(needed - self.held_qty(1), Decimal(0))

    def hold_for_external(self, reason: str) -> None:
        """Note the hold."""
        self.holds.standing.append(SimpleNamespace(source="external", reason=reason))


def test_coins_that_left_the_account_are_found_at_the_second_look() -> None:
    """A withdrawal is told by the balance alone; what an own fill took meanwhile is no reason."""
    account = {"ADA": Decimal(10), "XRP": Decimal(5)}
    ada, xrp = Holding("A", "ADA", "10", account), Holding("A", "XRP", "5", account)
    watch = HoldingsWatch()
    assert watch.look([ada, xrp]) == ([], {})
    account |= {"ADA": Decimal(4), "XRP": Decimal(3)}
    assert watch.look([ada, xrp]) == ([], {})
    account["XRP"] = Decimal(1)  # our exit is filled bit by bit
    assert watch.look([ada, xrp]) == ([ada], {})
    assert watch.look([xrp]) == ([xrp], {})
    xrp.setup.is_closed, xrp.setup.position_qty = True, Decimal(0)
    assert watch.look([xrp]) == ([], {})


def test_coins_that_two_strategies_share_are_held_where_they_lack_together() -> None:
    """Each setup alone would find enough; nobody knows whose are gone, so no setup is booked as closed."""
    account = {"ADA": Decimal(20)}
    both = [Holding("A", "ADA", "10", account), Holding("B", "ADA", "10", account)]
    contract = Holding("C", "ADA", "10", account, kind="margin")
    said: list[str] = []
    actor: Any = SimpleNamespace(
        is_done=True,
        _holdings=HoldingsWatch(),
        _started=lambda: [*both, contract],
        log=SimpleNamespace(error=said.append),
    )
    RecoveryActor.look_at_holdings(actor)
    account["ADA"] = Decimal(12)
    RecoveryActor.look_at_holdings(actor)
    assert not said
    for _ in range(3):
        RecoveryActor.look_at_holdings(actor)
    assert [len(one.holds.standing) for one in (*both, contract)] == [1, 1, 0]
    assert len(said) == 2
    assert "8 ADA less than the setups of 2 strategies" in said[0]
