"""Reconciliations of one account follow each other: each counts its own failed requests."""

import asyncio
from typing import Any

from nautilus_trader.execution.reports import ExecutionMassStatus

from runtime.live.binance_repairs import StreamRepairs
from tests.unit.test_history import status

type Step = tuple[str, bool]


class Adapter:
    """Asks twice for a report, with a pause between; the first question may fail."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.fails = [True, False]
        self._log = self
        self._failed_requests = 0
        self._reconciling = asyncio.Lock()

    def error(self, _text: str) -> None:
        """Hear what goes into the log."""

    async def generate_mass_status(self, _lookback_mins: int | None) -> ExecutionMassStatus:
        """Ask."""
        fails = self.fails.pop(0)
        self.steps.append(("begin", fails))
        self._failed_requests += fails
        await asyncio.sleep(0.01)
        self.steps.append(("end", fails))
        return status()


class Client(StreamRepairs, Adapter):
    """The repairs over that adapter."""

    def __init__(self) -> None:
        Adapter.__init__(self)


def test_a_part_is_never_taken_for_the_whole() -> None:
    """Two at a time: the second must not forget the failure of the first, nor inherit it."""

    async def both() -> list[Any]:
        client = Client()
        found = await asyncio.gather(client._whole_mass_status(None), client._whole_mass_status(None))
        assert client.steps == [("begin", True), ("end", True), ("begin", False), ("end", False)]
        return list(found)

    first, second = asyncio.run(both())
    assert first is None
    assert second is not None
