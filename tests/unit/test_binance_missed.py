"""The look for what Binance's user stream did not tell, against a venue and a cache of plain objects."""

import asyncio
from dataclasses import dataclass, field
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from nautilus_trader.core.uuid import UUID4
from nautilus_trader.execution.reports import OrderStatusReport
from nautilus_trader.model.enums import OrderSide, OrderStatus, OrderType, PositionSide, TimeInForce
from nautilus_trader.model.identifiers import AccountId, ClientOrderId, InstrumentId, TradeId, VenueOrderId
from nautilus_trader.model.objects import Price, Quantity

from runtime.live.binance_missed import LOOK_SECS, RECONCILIATIONS, MissedReports
from runtime.live.binance_repairs import StreamRepairs
from runtime.live.order_lookup import Answer, Lookup, hand_over

INSTRUMENT = InstrumentId.from_str("BTCUSDT.BINANCE")
NAME = "SCR-BTCUSDT-L1-E1"
OWN = ClientOrderId(NAME)
AT_VENUE = VenueOrderId("7")
NOTHING = Quantity.from_str("0.0")


@dataclass
class FakeOrder:
    """An order as the cache has it."""

    client_order_id: ClientOrderId = OWN
    instrument_id: InstrumentId = INSTRUMENT
    venue_order_id: VenueOrderId | None = AT_VENUE
    status: OrderStatus = OrderStatus.ACCEPTED
    filled_qty: Quantity = NOTHING
    trade_ids: list[TradeId] = field(default_factory=list)

    @property
    def is_closed(self) -> bool:
        """Tell whether it has ended."""
        return self.status in {OrderStatus.FILLED, OrderStatus.CANCELED}


class FakeEngine:
    """The cache, and an engine that takes reports in the way Nautilus' does."""

    def __init__(self, *orders: FakeOrder) -> None:
        self.known = {one.client_order_id: one for one in orders}
        self.taken: list[str] = []

    def order(self, client_order_id: ClientOrderId) -> FakeOrder | None:
        """Return an order."""
        return self.known.get(client_order_id)

    def orders_open(self, venue: Any = None) -> list[FakeOrder]:
        """Return what has not ended."""
        del venue
        return [one for one in self.known.values() if not one.is_closed]

    def positions_open(self, venue: Any = None) -> list[Any]:
        """Return nothing: spot has none."""
        del venue
        return []

    def orders_inflight(self, venue: Any = None) -> list[FakeOrder]:
        """Return nothing: all is acknowledged."""
        del venue
        return []

    def take(self, report: Any) -> None:
        """Take a report."""
        if hasattr(report, "trade_id"):
            (order,) = self.known.values()
            order.trade_ids.append(report.trade_id)
            order.filled_qty = Quantity.from_str(str(order.filled_qty.as_decimal() + report.qty))
            self.taken.append(f"fill {report.trade_id}")
            return
        assert repr(report)  # the engine writes it into its log
        known = self.known.setdefault(
            report.client_order_id, FakeOrder(report.client_order_id, status=OrderStatus.SUBMITTED)
        )
        known.status = report.order_status
        self.taken.append(report.order_status.name)


def fill(number: int, qty: str) -> Any:
    """Return a fill as the venue reports it."""
    return SimpleNamespace(
        trade_id=TradeId(str(number)),
        qty=Decimal(qty),
        last_qty=Quantity.from_str(qty),
        ts_event=number,
        venue_order_id=AT_VENUE,
    )


def report(status: OrderStatus, filled: str) -> OrderStatusReport:
    """Return the venue's word about the order; Nautilus' own kind, which cannot be copied."""
    return OrderStatusReport(
        account_id=AccountId("BINANCE-001"),
        instrument_id=INSTRUMENT,
        client_order_id=OWN,
        venue_order_id=AT_VENUE,
        order_side=OrderSide.BUY,
        order_type=OrderType.LIMIT,
        time_in_force=TimeInForce.GTC,
        order_status=status,
        price=Price.from_str("49900.0"),
        quantity=Quantity.from_str("0.6"),
        filled_qty=Quantity.from_str(filled),
        report_id=UUID4(),
        ts_accepted=1,
        ts_last=2,
        ts_init=3,
    )


def test_fills_come_before_the_end_and_nothing_is_invented() -> None:
    """Of an order that was filled in part and cancelled, Nautilus alone would take the end and no fill."""
    engine = FakeEngine(FakeOrder(trade_ids=[TradeId("1")], filled_qty=Quantity.from_str("0.2")))
    answer = Lookup(
        Answer.FOUND,
        report(OrderStatus.CANCELED, "0.6"),
        (fill(3, "0.3"), fill(1, "0.2"), fill(2, "0.1")),
    )
    unknown = hand_over(engine, answer, engine.take)
    assert engine.taken == ["fill 2", "fill 3", "CANCELED"]
    assert [one.trade_id.value for one in unknown] == ["3", "2"]


def test_an_order_without_an_acknowledgement_is_accepted_first() -> None:
    """The engine takes no fill of an order that it holds for submitted, or does not know."""
    waiting = FakeOrder(status=OrderStatus.SUBMITTED)
    for engine in (FakeEngine(waiting), FakeEngine()):
        hand_over(
            engine, Lookup(Answer.FOUND, report(OrderStatus.FILLED, "0.5"), (fill(1, "0.5"),)), engine.take
        )
        assert engine.taken == ["ACCEPTED", "fill 1", "FILLED"]


def test_a_report_that_is_ahead_of_its_fills_waits() -> None:
    """The venue's list of trades may lag: without all fills the order's end would invent the rest."""
    engine = FakeEngine(FakeOrder())
    hand_over(engine, Lookup(Answer.FOUND, report(OrderStatus.FILLED, "0.5"), (fill(1, "0.2"),)), engine.take)
    assert engine.taken == ["fill 1"]


class FakeClient:
    """Binance spot's execution client, as far as the look uses it."""

    def __init__(self, engine: FakeEngine) -> None:
        self.venue, self.account_id, self.use_position_ids = None, None, False
        self._cache = engine
        self._clock = SimpleNamespace(timestamp_ns=lambda: 1_000_000_000_000)
        self._log = SimpleNamespace(warning=lambda _text: None)
        self._msgbus = SimpleNamespace(send=lambda endpoint, msg: engine.take(msg) if endpoint else None)
        self._http_account = self
        self.resting: dict[str, str] = {NAME: "0"}
        self.asked: list[str] = []
        self.fills: list[Any] = []
        self.status = OrderStatus.ACCEPTED

    async def query_open_orders(self, symbol: str | None) -> list[Any]:
        """Return the venue's open orders."""
        self.asked.append(f"open {symbol}")
        return [
            SimpleNamespace(clientOrderId=name, executedQty=filled) for name, filled in self.resting.items()
        ]

    async def query_order(self, **_question: Any) -> Any:
        """Return that the venue knows the order."""
        self.asked.append("order")
        return self

    async def generate_order_status_report(self, _question: Any) -> Any:
        """Return what it says of it."""
        return report(self.status, str(sum((one.qty for one in self.fills), Decimal("0.0"))))

    async def query_user_trades(self, **_question: Any) -> list[Any]:
        """Return its fills, in the form that the adapter's parser has."""
        return [
            SimpleNamespace(parse_to_fill_report=lambda one=one, **_surroundings: one) for one in self.fills
        ]

    async def _update_account_state(self) -> None:
        self.asked.append("account")


@pytest.fixture
def client() -> FakeClient:
    """Give a client with one resting order."""
    return FakeClient(FakeEngine(FakeOrder()))


def test_what_is_missing_once_may_be_on_its_way(client: FakeClient) -> None:
    """Asked about when it is missing for the second time in a row; the balance is known before the fill."""
    missed = MissedReports(client)
    client.resting, client.fills, client.status = {}, [fill(1, "0.5")], OrderStatus.FILLED
    asyncio.run(missed.look())
    assert client.asked == ["open BTCUSDT"]
    asyncio.run(missed.look())
    assert client.asked == ["open BTCUSDT", "open BTCUSDT", "order", "account"]
    assert client._cache.taken == ["fill 1", "FILLED"]
    asyncio.run(missed.look())  # nothing is open: lingers, and has nothing to compare
    assert missed.found == 1


def test_a_part_that_nobody_told_is_found(client: FakeClient) -> None:
    """The order still rests, and more of it has filled than the node knows."""
    missed = MissedReports(client)
    client.resting, client.fills, client.status = (
        {NAME: "0.2"},
        [fill(1, "0.2")],
        OrderStatus.PARTIALLY_FILLED,
    )
    for _ in range(3):
        asyncio.run(missed.look())
    assert client._cache.taken == ["fill 1", "PARTIALLY_FILLED"]
    assert client.asked.count("order") == 1


def test_many_symbols_are_looked_at_less_often_and_all_at_once() -> None:
    """A look takes a fifth of the venue's limit at most: 80 of weight every four seconds on spot."""
    orders = [
        FakeOrder(ClientOrderId(f"SCR-C{number}-L1-E1"), InstrumentId.from_str(f"C{number}USDT.BINANCE"))
        for number in range(20)
    ]
    few, many = FakeClient(FakeEngine(*orders[:1])), FakeClient(FakeEngine(*orders))
    assert MissedReports(few).pause_secs() == LOOK_SECS
    assert MissedReports(many).pause_secs() == 4.0
    many.resting = {one.client_order_id.value: "0" for one in orders}
    asyncio.run(MissedReports(many).look())
    assert many.asked == ["open None"]


def test_a_reconciliation_waits_for_trades_that_are_not_listed_yet(client: FakeClient) -> None:
    """It asks for the trades of the order itself, and is not whole while the venue does not list them."""
    status: Any = SimpleNamespace(
        order_reports={AT_VENUE: report(OrderStatus.FILLED, "0.6")}, fill_reports={}, add_fill_reports=None
    )
    added: list[Any] = []
    status.add_fill_reports = added.extend
    repairs: Any = StreamRepairs._has_all_fills
    client.fills = [fill(1, "0.4")]
    assert asyncio.run(repairs(client, status)) is False
    client.fills += [fill(2, "0.2")]
    assert asyncio.run(repairs(client, status)) is True
    assert [one.trade_id.value for one in added] == ["1", "2"]
    status.fill_reports = {AT_VENUE: added}
    client.fills = []  # nothing is missing: nobody is asked
    assert asyncio.run(repairs(client, status)) is True


def test_a_position_that_differs_again_is_compared_again() -> None:
    """What three comparisons do not mend is left alone, until it was alike meanwhile."""
    told, compared = ["0.5"], [0]

    async def positions() -> list[Any]:
        quantity = Quantity.from_str(told[0])
        side = PositionSide.LONG if quantity else PositionSide.FLAT
        return [SimpleNamespace(instrument_id=INSTRUMENT, position_side=side, quantity=quantity)]

    async def reconcile() -> bool:
        compared[0] += 1
        return True

    client = SimpleNamespace(
        _cache=SimpleNamespace(positions_open=lambda venue: [], instrument=lambda _name: "known"),
        _get_binance_position_status_reports=positions,
        _reconcile=reconcile,
        _log=SimpleNamespace(warning=lambda _text: None),
        _futures_http_account=None,
        venue=None,
    )
    missed = MissedReports(client)

    def look(times: int) -> int:
        for _ in range(times):
            asyncio.run(missed._look_at_positions())
        return compared[0]

    assert look(20) == RECONCILIATIONS
    told[0] = "0.0"
    look(1)
    told[0] = "0.5"
    assert look(20) == 2 * RECONCILIATIONS
