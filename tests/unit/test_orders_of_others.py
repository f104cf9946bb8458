"""Orders that are not ours, told to a real engine: by their own fills, whatever of them the stream brings."""

import asyncio
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from nautilus_trader.cache.cache import Cache
from nautilus_trader.common.component import LiveClock, MessageBus
from nautilus_trader.common.providers import InstrumentProvider
from nautilus_trader.core.uuid import UUID4
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
from runtime.live.open_reports import OpenReports
from runtime.live.untold_trades import tell_trades

BTCUSDT = TestInstrumentProvider.btcusdt_binance()
ACCOUNT = AccountId("BINANCE-001")
SALES = (("71", "0.060000", "49900.00", "2.99400000"), ("72", "0.040000", "49810.01", "1.99240040"))

type Told = list[tuple[str, Decimal, Decimal, Decimal]]


class Client(OpenReports, LiveExecutionClient):
    """An adapter's client whose venue lists two fills of one order."""

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
        self.is_silent = False
        self.asked_soon: list[str] = []

    def _ask_soon(self, client_id: str) -> None:
        self.asked_soon.append(client_id)

    def report(self, status: OrderStatus = OrderStatus.FILLED, filled: str = "0.100000") -> OrderStatusReport:
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
            quantity=Quantity.from_str("0.100000"),
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
            for name, qty, price, fee in SALES
        ]

    async def generate_fill_reports(self, _command: Any) -> list[FillReport]:
        """Answer."""
        return self.fills()

    async def generate_order_status_report(self, command: Any) -> OrderStatusReport | None:
        """Answer, or not."""
        assert command.venue_order_id == VenueOrderId("9")
        return None if self.is_silent else self.report()


def told(story: Callable[[Client], Any]) -> Told:
    """Return the fills that the engine knows after a story."""

    async def run() -> Told:
        clock, cache = LiveClock(), Cache()
        bus = MessageBus(trader_id=TraderId("TESTER-001"), clock=clock)
        Portfolio(msgbus=bus, cache=cache, clock=clock)
        common: dict[str, Any] = {"msgbus": bus, "cache": cache, "clock": clock}
        loop = asyncio.get_running_loop()
        engine = LiveExecutionEngine(loop=loop, config=LiveExecEngineConfig(), **common)
        client = Client(loop=loop, **common)
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


OWN = [(name, Decimal(qty), Decimal(price), Decimal(fee)) for name, qty, price, fee in SALES]


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
