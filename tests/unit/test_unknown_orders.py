"""Questions about orders in flight: exits early, one that fails keeps none waiting, a refusal ends them."""

import asyncio
import contextvars
from types import SimpleNamespace
from typing import Any

import pytest
from nautilus_trader.adapters.binance.http.error import BinanceClientError, BinanceServerError
from nautilus_trader.common.component import TestClock
from nautilus_trader.core.uuid import UUID4
from nautilus_trader.model.enums import OrderStatus
from nautilus_trader.model.events import OrderRejected
from nautilus_trader.model.identifiers import AccountId, ClientOrderId, InstrumentId, StrategyId, TraderId

from runtime.live.order_lookup import Answer, Lookup, look_up
from runtime.live.protection_settings import ProtectionSettings
from runtime.live.unknown_orders import (
    NANOS,
    SILENT_EXIT_SECS,
    SILENT_SECS,
    Question,
    UnknownOrdersActor,
)

ENTRY, STOP = "OTE-XRPUSDT-Lmmv7y0w014-E1", "OTE-XRPUSDT-Lmmv7y0w014-S1"
MARKET_EXIT = "OTE-XRPUSDT-Lmmv7y0w014-X1"
XRP = InstrumentId.from_str("XRPUSDT.BINANCE")
# As the adapter prints what the venue answers.
FILTER = str(BinanceClientError(400, {"code": -1013, "msg": "Filter failure: PERCENT_PRICE"}, {}))
NO_BALANCE = str(BinanceClientError(400, {"code": -2010, "msg": "Account has insufficient balance"}, {}))
TIMEOUT = str(BinanceServerError(504, {"code": -1007, "msg": "Timeout waiting for response"}, {}))
BANNED = str(BinanceClientError(429, {"code": -1003, "msg": "Too many requests"}, {}))


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


def rejected(client_id: str, reason: str) -> OrderRejected:
    """Return what an adapter says of an order."""
    return OrderRejected(
        trader_id=TraderId("TESTER-000"),
        strategy_id=StrategyId("OTE-000"),
        instrument_id=XRP,
        client_order_id=ClientOrderId(client_id),
        account_id=AccountId("BINANCE-001"),
        reason=reason,
        event_id=UUID4(),
        ts_event=0,
        ts_init=0,
    )


async def nothing(*_words: Any) -> None:
    """Do nothing."""


class Unknown(UnknownOrdersActor):
    """The actor on a cache and a clock of the test."""

    def __init__(self, orders: Orders, at_secs: float, failing: str = "") -> None:
        self.asked: list[str] = []
        self.handed: list[str] = []
        self.passed: list[OrderRejected] = []
        self.answers: Any = None  # how the venue answers, where not with an order

        async def lookup(_where: Any, client_id: str) -> Lookup:
            self.asked.append(client_id)
            if self.answers is not None:
                answer: Lookup = await self.answers(client_id)
                return answer
            if client_id == failing:
                raise RuntimeError("a bug in an adapter")
            report = SimpleNamespace(client_order_id=ClientOrderId(client_id), filled_qty=0)
            return Lookup(Answer.FOUND, report)

        super().__init__(
            ProtectionSettings(),
            process=self.passed.append,
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
    actor = Unknown(Orders(ENTRY, STOP), at_secs=SILENT_SECS, failing=STOP)
    asyncio.run(actor.look())
    assert (actor.asked, actor.handed) == ([STOP, ENTRY], [ENTRY])
    assert actor.counters["failed"] == 1
    asyncio.run(actor.look())
    assert actor.asked.count(STOP) == 2


def test_exits_are_asked_about_first() -> None:
    """Questions follow each other: an exit must not wait for the answers about entries that are older."""
    entries = [f"OTE-XRPUSDT-Lmmv7y0w01{number}-E1" for number in range(3)]
    actor = Unknown(Orders(*entries, MARKET_EXIT, STOP), at_secs=SILENT_SECS)
    for name in entries:
        actor.questions[name] = Question(0)
    asyncio.run(actor.look())
    assert actor.asked == [MARKET_EXIT, STOP, *entries]


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


async def does_not_answer(_client_id: str) -> Lookup:
    """Answer as a venue that cannot be asked."""
    return Lookup(Answer.SILENT)


@pytest.mark.parametrize(("client_id", "reason"), [(STOP, FILTER), (MARKET_EXIT, NO_BALANCE)])
def test_a_refusal_that_comes_late_is_a_refusal(client_id: str, reason: str) -> None:
    """The order was asked about by then: it is refused now, in the venue's words, and asked about no more."""
    orders = Orders(client_id)
    actor = Unknown(orders, at_secs=SILENT_EXIT_SECS)
    actor.answers = does_not_answer
    asyncio.run(actor.look())
    assert list(actor.questions) == [client_id]

    event = rejected(client_id, reason)
    actor.take(event)
    assert actor.passed == [event]
    assert actor.questions == {}

    orders._orders[client_id].status = OrderStatus.REJECTED
    orders.orders_inflight = list  # type: ignore[method-assign]
    asyncio.run(actor.look())
    assert actor.asked == [client_id]
    assert actor.counters["never_arrived"] == 0


def test_a_timeout_that_is_told_late_stays_a_question() -> None:
    """Of an error of the venue nobody knows what became of the order, however long it took."""
    actor = Unknown(Orders(STOP), at_secs=SILENT_EXIT_SECS)
    actor.answers = does_not_answer
    asyncio.run(actor.look())
    actor.take(rejected(STOP, TIMEOUT))
    assert actor.passed == []
    assert list(actor.questions) == [STOP]
    asyncio.run(actor.look())
    assert actor.asked == [STOP, STOP]


def test_an_adapter_that_could_not_ask_has_refused_nothing() -> None:
    """It calls the order rejected from within the question; the words of a failed question prove nothing."""
    actor = Unknown(Orders(STOP), at_secs=SILENT_EXIT_SECS)
    said: list[OrderRejected] = []

    async def knows(**_question: Any) -> Any:
        return SimpleNamespace()

    async def fails(_question: Any) -> None:
        await asyncio.sleep(0)
        said.append(rejected(STOP, BANNED))
        actor.take(said[-1])

    client = SimpleNamespace(
        _http_account=SimpleNamespace(query_order=knows),
        _clock=TestClock(),
        generate_order_status_report=fails,
    )

    async def ask(client_id: str) -> Lookup:
        return await look_up(client, XRP, client_id)

    actor.answers = ask
    asyncio.run(actor.look())
    assert len(said) == 1
    assert actor.passed == []
    assert list(actor.questions) == [STOP]
    # The same words as the answer to the order itself: it was not let in.
    actor.take(rejected(STOP, BANNED))
    assert len(actor.passed) == 1


def test_a_question_that_hangs_is_one_without_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its connection was swallowed by a cut; other questions, an exit's among them, wait behind it."""
    monkeypatch.setattr("runtime.live.order_lookup.LONGEST_SECS", 0.01)

    async def hangs(**_question: Any) -> None:
        await asyncio.sleep(60)

    client = SimpleNamespace(_http_account=SimpleNamespace(query_order=hangs), _clock=TestClock())
    assert asyncio.run(look_up(client, XRP, STOP)).answer is Answer.SILENT


def test_a_refusal_that_comes_while_the_venue_is_asked_is_the_answer() -> None:
    """The client that sent the order hears it, in a task of its own; what the question brings is moot."""
    actor = Unknown(Orders(STOP, MARKET_EXIT), at_secs=SILENT_EXIT_SECS)
    actor.questions[STOP] = Question(0, absent=1)  # one more would make it one that never arrived
    refusals = {STOP: rejected(STOP, FILTER), MARKET_EXIT: rejected(MARKET_EXIT, NO_BALANCE)}

    async def hear() -> None:
        for event in refusals.values():
            actor.take(event)

    async def knows(**_question: Any) -> Any:
        return SimpleNamespace()

    async def report(_question: Any) -> None:
        await asyncio.get_running_loop().create_task(hear(), context=plain)

    client = SimpleNamespace(
        _http_account=SimpleNamespace(query_order=knows),
        _clock=TestClock(),
        generate_order_status_report=report,
    )

    async def ask(client_id: str) -> Lookup:
        await look_up(client, XRP, client_id)
        return Lookup(Answer.ABSENT)

    plain = contextvars.copy_context()
    actor.answers = ask
    asyncio.run(actor.look())
    assert actor.passed == list(refusals.values())
    assert actor.questions == {}
    assert actor.asked == [STOP]
    assert (actor.counters["never_arrived"], len(actor.late)) == (0, 0)
