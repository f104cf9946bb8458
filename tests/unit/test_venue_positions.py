"""A mass status is of one moment: what moved while it was asked for is asked again."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from nautilus_trader.execution.reports import ExecutionMassStatus

from runtime.live import venue_positions
from runtime.live.venue_positions import ATTEMPTS, still_status
from tests.unit.test_history import status
from tests.unit.test_second_look import Client


class Asked(Client):
    """A venue that tells positions in turn, and a mass status each time."""

    def __init__(self, *told: str | Exception) -> None:
        super().__init__(*told)
        self.statuses = 0
        self.is_whole = True
        self._log = SimpleNamespace(warning=lambda _text: None)

    async def ask(self) -> ExecutionMassStatus | None:
        """Return one, or none where a part of it could not be had."""
        self.statuses += 1
        return status() if self.is_whole else None


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(venue_positions, "AGAIN_SECS", 0.0)


def asked(client: Asked) -> Any:
    """Ask."""
    return asyncio.run(still_status(client, client.ask))


@pytest.mark.parametrize("qty", ["0", "-2"])
def test_what_stays_is_asked_for_once(qty: str) -> None:
    """Flat or not."""
    client = Asked(qty)
    assert asked(client) is not None
    assert client.statuses == 1


def test_what_moved_meanwhile_is_asked_for_again() -> None:
    """A stop was hit between the questions: position before, none after."""
    client = Asked("-2", "0")
    assert asked(client) is not None
    assert client.statuses == 2


def test_what_never_stands_still_is_taken_in_the_end() -> None:
    """The engine starts nothing without a status."""
    client = Asked(*[str(one) for one in range(1, 20)])
    assert asked(client) is not None
    assert client.statuses == ATTEMPTS


def test_a_part_is_never_taken() -> None:
    """Rather none; one that was whole and moved is better than that."""
    client = Asked("0")
    client.is_whole = False
    assert asked(client) is None
    assert client.statuses == ATTEMPTS
    assert asked(Asked("-1", "-2", OSError("no way there"))) is not None


def test_positions_of_others_may_move() -> None:
    """A second program on the account trades what nobody here trades."""
    client = Asked(*[str(one) for one in range(1, 20)])
    client._cache = SimpleNamespace(instrument=lambda _name: None)
    assert asked(client) is not None
    assert client.statuses == 1
