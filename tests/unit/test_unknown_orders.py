"""Questions about orders in flight: exits early, and one that fails keeps no other waiting."""

import asyncio
from types import SimpleNamespace
from typing import Any

from nautilus_trader.common.component import TestClock
from nautilus_trader.model.enums import OrderStatus
from nautilus_trader.model.identifiers import ClientOrderId

from runtime.live.order_lookup import Answer, Lookup
from runtime.live.protection_settings import ProtectionSettings
from runtime.live.unknown_orders import NANOS, SILENT_EXIT_SECS, SILENT_SECS, UnknownOrdersActor

ENTRY, STOP = "OTE-XRPUSDT-Lmmv7y0w014-E1", "OTE-XRPUSDT-Lmmv7y0w014-S1"


class Orders:
    """A cache of orders in flight, sent at time 0, none of them acknowledged."""

    def __init__(self, *names: str) -> None:
        self._orders = {
            name: SimpleNamespace(
                client_order_id=ClientOrderId(name),
                instrument_id="XRPUSDT",
                status=OrderStatus.SUBMITTED,
                ts_last=0,
                ts_init=0,
                is_reduce_only=False,
                is_closed=False,
                filled_qty=0,
                trade_ids=(),
            )
            for name in names
        }

    def orders_inflight(self) -> list[Any]:
        """Return all."""
        return list(self._orders.values())

    def order(self, client_id: ClientOrderId) -> Any:
        """Return one."""
        return self._orders.get(client_id.value)


async def nothing(*_words: Any) -> None:
    """Do nothing."""


class Unknown(UnknownOrdersActor):
    """The actor on a cache and a clock of the test."""

    def __init__(self, orders: Orders, at_secs: float, failing: str = "") -> None:
        self.asked: list[str] = []
        self.handed: list[str] = []

        async def lookup(_where: Any, client_id: str) -> Lookup:
            self.asked.append(client_id)
            if client_id == failing:
                raise RuntimeError("a bug in an adapter")
            report = SimpleNamespace(client_order_id=ClientOrderId(client_id), filled_qty=0)
            return Lookup(Answer.FOUND, report)

        super().__init__(
            ProtectionSettings(),
            process=lambda _event: None,
            lookup=lookup,
            reconcile_report=lambda report: self.handed.append(report.client_order_id.value),
            withdraw=nothing,
            reconcile=nothing,
            call_soon=lambda call: call(),
        )
        self._orders, self._at_ns = orders, round(at_secs * NANOS)

    @property
    def cache(self) -> Any:
        """Return the orders."""
        return self._orders

    @property
    def clock(self) -> Any:
        """Return a clock that stands."""
        clock = TestClock()
        clock.set_time(self._at_ns)
        return clock


def test_an_exit_is_asked_about_before_the_watchdog_would_close_its_position() -> None:
    """Half a second without an acknowledgement is enough; an entry may wait."""
    actor = Unknown(Orders(ENTRY, STOP), at_secs=SILENT_EXIT_SECS)
    asyncio.run(actor.look())
    assert (actor.asked, actor.handed) == ([STOP], [STOP])
    assert ProtectionSettings().unprotected_secs > SILENT_EXIT_SECS * 2

    late = Unknown(Orders(ENTRY), at_secs=SILENT_SECS)
    asyncio.run(late.look())
    assert late.handed == [ENTRY]


def test_a_question_that_fails_keeps_no_other_waiting() -> None:
    """The one is tried again with the next look, the other has its answer."""
    actor = Unknown(Orders(ENTRY, STOP), at_secs=SILENT_SECS, failing=ENTRY)
    asyncio.run(actor.look())
    assert (actor.asked, actor.handed) == ([ENTRY, STOP], [STOP])
    assert actor.counters["failed"] == 1
    asyncio.run(actor.look())
    assert actor.asked.count(ENTRY) == 2


def test_a_look_that_is_asked_for_meanwhile_follows() -> None:
    """A stop that is sent while the venue is asked about another order must not wait for the timer."""
    orders = Orders(ENTRY)

    async def main() -> list[str]:
        actor = Unknown(orders, at_secs=SILENT_SECS)
        actor.begin_look()
        await asyncio.sleep(0)
        orders._orders |= Orders(STOP)._orders
        actor.begin_look()
        for _ in range(10):
            await asyncio.sleep(0)
        return actor.handed

    assert STOP in asyncio.run(main())
