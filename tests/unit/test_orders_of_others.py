"""Orders that are not ours, told to a real engine: by their own fills, whatever of them the stream brings."""

import asyncio
from collections.abc import Callable
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from nautilus_trader.cache.cache import Cache
from nautilus_trader.common.component import LiveClock, MessageBus
from nautilus_trader.common.providers import InstrumentProvider
from nautilus_trader.core.uuid import UUID4
from nautilus_trader.execution.messages import GenerateOrderStatusReports
from nautilus_trader.execution.reports import FillReport, OrderStatusReport
from nautilus_trader.live.config import LiveExecEngineConfig
from nautilus_trader.live.execution_client import LiveExecutionClient
from nautilus_trader.live.execution_engine import LiveExecutionEngine
from nautilus_trader.model.enums import (
    AccountType,
    LiquiditySide,
    OmsType,
    OrderSide,
    OrderStatus,
    OrderType,
    TimeInForce,
)
from nautilus_trader.model.events import OrderFilled
from nautilus_trader.model.identifiers import (
    AccountId,
    ClientId,
    ClientOrderId,
    TradeId,
    TraderId,
    Venue,
    VenueOrderId,
)
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.portfolio.portfolio import Portfolio
from nautilus_trader.test_kit.providers import TestInstrumentProvider

from runtime.errors import VenueError
from runtime.live import open_reports
from runtime.live.binance_repairs import StreamRepairs
from runtime.live.open_reports import OpenReports
from runtime.live.untold_trades import tell_trades

BTCUSDT = TestInstrumentProvider.btcusdt_binance()
ACCOUNT = AccountId("BINANCE-001")
SALES = (("71", "0.060000", "49900.00", "2.99400000"), ("72", "0.040000", "49810.01", "1.99240040"))

type Sales = tuple[tuple[str, str, str, str], ...]
type Told = list[tuple[str, Decimal, Decimal, Decimal]]


class Adapter(LiveExecutionClient):
    """An adapter whose venue lists open orders."""

    def __init__(self, **surroundings: Any) -> None:
        super().__init__(**surroundings)
        self.open: list[OrderStatusReport] = []

    async def generate_order_status_reports(self, _command: Any) -> list[OrderStatusReport]:
        """Answer."""
        return list(self.open)


class Client(OpenReports, Adapter):
    """An adapter's client whose venue lists the fills of one order."""

    pyo3_account_id = None

    def __init__(self, **surroundings: Any) -> None:
        super().__init__(
            client_id=ClientId("BINANCE"),
            venue=Venue("BINANCE"),
            oms_type=OmsType.NETTING,
            account_type=AccountType.CASH,
            base_currency=None,
            instrument_provider=InstrumentProvider(),
            **surroundings,
        )
        self._set_account_id(ACCOUNT)
        self.name: str | None = "web_1"
        self.sales: Sales = SALES
        self.is_silent = self.is_asking = False
        self.asked_soon: list[str] = []

    def _ask_soon(self, client_id: str) -> None:
        self.asked_soon.append(client_id)
        if self.is_asking:
            super()._ask_soon(client_id)

    def report(
        self, status: OrderStatus = OrderStatus.FILLED, filled: str = "0.100000", qty: str = "0.100000"
    ) -> OrderStatusReport:
        """Return what the venue says of the order."""
        return OrderStatusReport(
            account_id=ACCOUNT,
            instrument_id=BTCUSDT.id,
            client_order_id=None if self.name is None else ClientOrderId(self.name),
            venue_order_id=VenueOrderId("9"),
            order_side=OrderSide.SELL,
            order_type=OrderType.MARKET,
            time_in_force=TimeInForce.GTC,
            order_status=status,
            quantity=Quantity.from_str(qty),
            filled_qty=Quantity.from_str(filled),
            avg_px=Decimal("49864.004"),
            report_id=UUID4(),
            ts_accepted=5,
            ts_last=5,
            ts_init=5,
        )

    def fills(self) -> list[FillReport]:
        """Return its fills."""
        return [
            FillReport(
                account_id=ACCOUNT,
                instrument_id=BTCUSDT.id,
                client_order_id=None,
                venue_order_id=VenueOrderId("9"),
                trade_id=TradeId(name),
                order_side=OrderSide.SELL,
                last_qty=Quantity.from_str(qty),
                last_px=Price.from_str(price),
                commission=Money.from_str(f"{fee} USDT"),
                liquidity_side=LiquiditySide.TAKER,
                report_id=UUID4(),
                ts_event=6,
                ts_init=6,
            )
            for name, qty, price, fee in self.sales
        ]

    async def generate_fill_reports(self, _command: Any) -> list[FillReport]:
        """Answer."""
        return self.fills()

    async def generate_order_status_report(self, command: Any) -> OrderStatusReport | None:
        """Answer, or not."""
        assert command.venue_order_id == VenueOrderId("9")
        return None if self.is_silent else self.report()


class BinanceClient(StreamRepairs, Client):
    """With Binance's repairs; the venue knows no order of that name."""

    def __init__(self, **surroundings: Any) -> None:
        self._http_client: Any = SimpleNamespace(send_request=None)
        super().__init__(**surroundings)
        self.asked_about: list[str] = []
        self._missed: Any = SimpleNamespace(ask_about=self._ask_about)

    async def _ask_about(self, client_id: str) -> None:
        self.asked_about.append(client_id)


def told(story: Callable[[Any], Any], make: type[Client] = Client) -> Told:
    """Return the fills that the engine knows after a story."""

    async def run() -> Told:
        clock, cache = LiveClock(), Cache()
        bus = MessageBus(trader_id=TraderId("TESTER-001"), clock=clock)
        Portfolio(msgbus=bus, cache=cache, clock=clock)
        common: dict[str, Any] = {"msgbus": bus, "cache": cache, "clock": clock}
        loop = asyncio.get_running_loop()
        engine = LiveExecutionEngine(loop=loop, config=LiveExecEngineConfig(), **common)
        client = make(loop=loop, **common)
        engine.register_client(client)
        cache.add_instrument(BTCUSDT)
        answer = story(client)
        if asyncio.iscoroutine(answer):
            await answer
        return [
            (
                one.trade_id.value,
                one.last_qty.as_decimal(),
                one.last_px.as_decimal(),
                one.commission.as_decimal(),
            )
            for order in cache.orders()
            for one in order.events
            if isinstance(one, OrderFilled)
        ]

    return asyncio.run(run())


def own(sales: Sales) -> Told:
    """Return fills as the engine should know them."""
    return [(name, Decimal(qty), Decimal(price), Decimal(fee)) for name, qty, price, fee in sales]


OWN = own(SALES)
PARTS = (
    ("71", "0.030000", "49900.00", "1.1"),
    ("72", "0.020000", "49810.01", "0.9"),
    ("73", "0.010000", "49800.00", "0.4"),
)
SETUP = "OTE-BTCUSDT-Lmmv7y0w014-S1"


def status_of(client: Client) -> OrderStatus:
    """Return the state of the one order that the engine knows."""
    (order,) = client._cache.orders()
    status: OrderStatus = order.status
    return status


@pytest.mark.parametrize("name", ["web_1", None])
@pytest.mark.parametrize("first", ["report", "fills", "between"])
def test_an_order_of_others_is_told_by_its_own_fills(first: str, name: str | None) -> None:
    """No invented fill at the rounded average, whichever message comes first, with or without a client id."""

    def story(client: Client) -> None:
        client.name = name
        fills = client.fills()
        number = {"report": 0, "between": 1, "fills": 2}[first]
        for one in fills[:number]:
            client._send_fill_report(one)
        client._send_order_status_report(client.report())
        assert bool(client.asked_soon) is (first != "fills")
        for one in fills[number:]:
            client._send_fill_report(one)

    assert told(story) == OWN


def test_what_no_message_told_is_asked_for() -> None:
    """Report and fills are lost: the venue's list of trades has them, once however often it is asked."""

    async def story(client: Client) -> None:
        assert await tell_trades(client, BTCUSDT.id, 6) == 2
        assert await tell_trades(client, BTCUSDT.id, 6) == 0

    assert told(story) == OWN


def test_trades_of_before_are_left_alone() -> None:
    """They were somebody's long before the position."""

    async def story(client: Client) -> None:
        assert await tell_trades(client, BTCUSDT.id, 7) == 0

    assert told(story) == []


def test_a_venue_that_does_not_say_whose_order_it_is_has_told_nothing() -> None:
    """The caller asks again, and in the end says so."""

    async def story(client: Client) -> None:
        client.is_silent = True
        with pytest.raises(VenueError, match="order 9"):
            await tell_trades(client, BTCUSDT.id, 6)

    assert told(story) == []


# -- orders that the engine knows already --------------------------------------------------------------------


@pytest.mark.parametrize("name", ["web_1", None])
def test_a_known_order_is_told_by_its_own_fills(name: str | None) -> None:
    """New, a report of a part, its execution, and so on: as Bybit tells a limit order placed by hand."""

    def story(client: Client) -> None:
        client.name, client.sales = name, PARTS
        client._send_order_status_report(client.report(OrderStatus.ACCEPTED, "0.000000", "0.060000"))
        first, second, third = client.fills()
        for status, filled, fill in (
            (OrderStatus.PARTIALLY_FILLED, "0.030000", first),
            (OrderStatus.PARTIALLY_FILLED, "0.050000", second),
            (OrderStatus.FILLED, "0.060000", third),
        ):
            client._send_order_status_report(client.report(status, filled, "0.060000"))
            client._send_fill_report(fill)
        assert status_of(client) is OrderStatus.FILLED
        assert len(client.asked_soon) == 3
        assert not client._held_back

    assert told(story) == own(PARTS)


@pytest.mark.parametrize("is_new_told", [True, False])
def test_reports_before_their_fills_invent_none(is_new_told: bool) -> None:
    """Two reports, then the two fills; it is asked for once, and the last report is told at the end."""

    def story(client: Client) -> None:
        client.name = None
        if is_new_told:
            client._send_order_status_report(client.report(OrderStatus.ACCEPTED, "0.000000"))
        client._send_order_status_report(client.report(OrderStatus.PARTIALLY_FILLED, "0.060000"))
        client._send_order_status_report(client.report())
        assert len(client.asked_soon) == 1
        for one in client.fills():
            client._send_fill_report(one)
        assert status_of(client) is OrderStatus.FILLED

    assert told(story) == OWN


def test_a_liquidation_in_parts_is_booked_once() -> None:
    """USD-M: the adapter tells of each part the order, then the fill."""

    def story(client: Client) -> None:
        client.name, client.sales = "autoclose-1", PARTS
        filled = Decimal(0)
        for one in client.fills():
            filled += one.last_qty.as_decimal()
            client._send_order_status_report(client.report(OrderStatus.PARTIALLY_FILLED, f"{filled:.6f}"))
            client._send_fill_report(one)

    assert told(story) == own(PARTS)


def test_a_report_after_the_fills_adds_none() -> None:
    """New, the fills, then what the reports say of them."""

    def story(client: Client) -> None:
        client.name = None
        client._send_order_status_report(client.report(OrderStatus.ACCEPTED, "0.000000"))
        first, second = client.fills()
        client._send_fill_report(first)
        client._send_order_status_report(client.report(OrderStatus.PARTIALLY_FILLED, "0.060000"))
        client._send_order_status_report(client.report())
        client._send_fill_report(second)
        client._send_order_status_report(client.report())
        assert len(client.asked_soon) == 1

    assert told(story) == OWN


def test_the_end_of_a_part_is_told_when_its_fills_are() -> None:
    """Cancelled after a part: the end first would leave the fill out."""

    def story(client: Client) -> None:
        client.name = None
        client._send_order_status_report(client.report(OrderStatus.ACCEPTED, "0.000000"))
        client._send_order_status_report(client.report(OrderStatus.CANCELED, "0.060000"))
        assert status_of(client) is OrderStatus.ACCEPTED
        client._send_fill_report(client.fills()[0])
        assert status_of(client) is OrderStatus.CANCELED

    assert told(story) == OWN[:1]


def test_an_order_made_larger_takes_all_its_fills() -> None:
    """The report that says so says of fills as well: those beyond the old quantity are not refused."""

    def story(client: Client) -> None:
        client.name = None
        client._send_order_status_report(client.report(OrderStatus.ACCEPTED, "0.000000", "0.060000"))
        client._send_order_status_report(client.report())
        for one in client.fills():
            client._send_fill_report(one)
        assert status_of(client) is OrderStatus.FILLED

    assert told(story) == OWN


@pytest.mark.parametrize("lost", [0, 1, 2])
@pytest.mark.parametrize("is_new_told", [True, False])
def test_fills_that_were_lost_are_asked_for(
    monkeypatch: pytest.MonkeyPatch, is_new_told: bool, lost: int
) -> None:
    """The venue's list has what the stream does not bring; what it brought is not taken twice."""
    monkeypatch.setattr(open_reports, "ASK_SECS", 0.001)

    async def story(client: Client) -> None:
        client.name, client.is_asking = None, True
        if is_new_told:
            client._send_order_status_report(client.report(OrderStatus.ACCEPTED, "0.000000"))
        client._send_order_status_report(client.report(OrderStatus.PARTIALLY_FILLED, "0.060000"))
        client._send_order_status_report(client.report())
        for one in client.fills()[lost:]:
            client._send_fill_report(one)
        await asyncio.sleep(0.05)
        assert status_of(client) is OrderStatus.FILLED
        assert not client._questions

    assert sorted(told(story)) == OWN


def test_what_is_listed_late_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The venue lists the fills a moment after it told of the order."""
    monkeypatch.setattr(open_reports, "ASK_SECS", 0.01)

    async def story(client: Client) -> None:
        client.name, client.is_asking, client.sales = None, True, ()
        client._send_order_status_report(client.report())
        await asyncio.sleep(0.02)
        client.sales = SALES
        await asyncio.sleep(0.1)

    assert told(story) == OWN


def test_binance_is_asked_by_name_first_and_then_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a liquidation the venue may know no name."""
    monkeypatch.setattr(open_reports, "ASK_SECS", 0.001)

    async def story(client: BinanceClient) -> None:
        client.name, client.is_asking = "autoclose-1", True
        client._send_order_status_report(client.report())
        await asyncio.sleep(0.05)
        assert client.asked_about == ["autoclose-1"]

    assert told(story, BinanceClient) == OWN


@pytest.mark.parametrize("is_known", [True, False])
def test_the_check_of_open_orders_invents_no_fill_of_others(is_known: bool) -> None:
    """The list of open orders tells of a part that no message did: its fills are asked for."""

    async def story(client: Client) -> None:
        client.name = None
        if is_known:
            client._send_order_status_report(client.report(OrderStatus.ACCEPTED, "0.000000"))
        client.open = [client.report(OrderStatus.PARTIALLY_FILLED, "0.060000")]
        command = GenerateOrderStatusReports(
            instrument_id=None, start=None, end=None, open_only=True, command_id=UUID4(), ts_init=0
        )
        assert await client.generate_order_status_reports(command) == []
        assert len(client.asked_soon) == 1
        client._send_fill_report(client.fills()[0])
        assert await client.generate_order_status_reports(command) == client.open

    assert told(story) == OWN[:1]


def test_reports_of_our_own_orders_pass() -> None:
    """Who asks about ours hands over the fills first; nothing of them is held back."""

    def story(client: Client) -> None:
        client.name = SETUP
        client._send_order_status_report(client.report(OrderStatus.ACCEPTED, "0.000000"))
        client._send_order_status_report(client.report())
        assert status_of(client) is OrderStatus.FILLED
        assert not client.asked_soon
        assert not client._held_back

    told(story)
