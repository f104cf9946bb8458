"""A start must not forget a position because somebody edited the settings."""

import asyncio
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from runtime.errors import ConfigurationError
from runtime.live import recovery
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


@pytest.mark.parametrize(("arrives_after", "looks"), [(0, 1), (2, 3), (99, 4)])
def test_a_fill_of_our_own_gets_time_to_arrive(
    monkeypatch: pytest.MonkeyPatch, arrives_after: int, looks: int
) -> None:
    """The account is told first: only what stays away was sold by somebody else."""
    monkeypatch.setattr(recovery, "MISSING_SECS", 0.0)
    asked: list[int] = []

    def missing_qty() -> Decimal:
        asked.append(1)
        return Decimal(len(asked) <= arrives_after)

    desk: Any = SimpleNamespace(missing_qty=missing_qty)
    asyncio.run(RecoveryActor._let_arrive(cast("Any", None), desk))
    assert len(asked) == looks
