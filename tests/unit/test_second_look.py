"""Of a position that contradicts the books the engine invents no fill before the venue stands by it."""

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from nautilus_trader.core.uuid import UUID4
from nautilus_trader.execution.reports import FillReport, OrderStatusReport, PositionStatusReport
from nautilus_trader.model.enums import PositionSide
from nautilus_trader.model.identifiers import ClientId, InstrumentId, Venue
from nautilus_trader.model.objects import Quantity
from nautilus_trader.test_kit.stubs.events import TestEventStubs
from nautilus_trader.test_kit.stubs.execution import TestExecStubs

from runtime.live import second_look
from runtime.live.second_look import CLOCK_NS, CONFIRMATIONS, LOOKS, SecondLook
from tests.unit.test_history import ACCOUNT, XRP, closed_order, status, world

__all__ = ["world"]

NOW_NS = time.time_ns() + 3600 * CLOCK_NS  # after the engine's clock
MOMENTS = itertools.count()
# The first time, so often again, and once when the books have followed.
ASKED = 1 + CONFIRMATIONS + 1


def position(qty: str, instrument_id: InstrumentId = XRP.id) -> PositionStatusReport:
    """Return what a venue tells of a position: signed, base currency."""
    signed = Decimal(qty)
    sides = {True: PositionSide.LONG, False: PositionSide.SHORT}
    return PositionStatusReport(
        account_id=ACCOUNT,
        instrument_id=instrument_id,
        position_side=sides[signed > 0] if signed else PositionSide.FLAT,
        quantity=Quantity(abs(signed), max(3, -signed.as_tuple().exponent)),
        report_id=UUID4(),
        ts_last=NOW_NS + next(MOMENTS),
        ts_init=NOW_NS,
        avg_px_open=Decimal(50_000) if signed else None,
    )


class Client:
    """Binance's execution client, as far as it is asked; `told` are its answers, the last one stays."""

    def __init__(self, *told: str | Exception) -> None:
        self.venue = Venue("BINANCE")
        self.account_id = ACCOUNT
        self.told = list(told)
        self.asked = 0
        self.on_asked: Callable[[], Any] = lambda: None
        self._clock = SimpleNamespace(timestamp_ns=lambda: NOW_NS + next(MOMENTS))
        self._http_account = self
        self._cache = SimpleNamespace(instrument=lambda _name: XRP)

    async def _get_binance_position_status_reports(self, symbol: str | None) -> list[Any]:
        if symbol is not None:  # flat: not in the list of all
            return []
        self.asked += 1
        self.on_asked()
        said = self.told.pop(0) if len(self.told) > 1 else self.told[0]
        if isinstance(said, Exception):
            raise said
        return [position(said)] if Decimal(said) else []


class Books:
    """A real engine with the second look before it, after a start that told of one sale: short 1.000."""

    def __init__(self, world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.engine, self.heard = world
        self.engine._cache.add_account(TestExecStubs.margin_account(ACCOUNT))
        self.look = SecondLook(self.engine, self.engine._loop)
        self.explain: Callable[[], Any] = lambda: None
        self.asked_since: list[int] = []
        sold = closed_order(1, 1)
        self.engine._reconcile_execution_mass_status(status(sold))
        self.engine._startup_reconciliation_event.set()
        assert self.qty == -1

        async def tell(_client: Any, _name: InstrumentId, since_ns: int) -> int:
            self.asked_since.append(since_ns)
            self.explain()
            return 0

        monkeypatch.setattr(second_look, "tell_trades", tell)
        for name in ("AGAIN_SECS", "SECS_PER_DOUBT", "RARELY_SECS"):
            monkeypatch.setattr(second_look, name, 0.001)
        monkeypatch.setattr(second_look, "WATCH_SECS", 0)

    @property
    def qty(self) -> Decimal:
        """Return what the books hold."""
        found = self.engine._cache.positions_open(instrument_id=XRP.id)
        return sum((one.signed_decimal_qty() for one in found), Decimal(0))

    @property
    def fills(self) -> int:
        """Return how many fills were booked, invented ones too."""
        return int(self.heard.count("OrderFilled"))

    def compare(self, client: Client, *told: tuple[OrderStatusReport, FillReport], qty: str) -> bool:
        """Compare with what the venue tells, and look again until nothing is in doubt; return its result."""
        self.engine._clients[ClientId("BINANCE")] = client

        whole = status(*told)
        whole.add_position_reports([position(qty)])
        agreed = bool(self.engine._reconcile_execution_mass_status(whole))
        self.settle()
        return agreed

    def settle(self) -> None:
        """Look again until nothing is in doubt."""
        if self.look._task is not None:
            self.engine._loop.run_until_complete(asyncio.wait_for(self.look._task, 10))


@pytest.fixture
def books(world: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Books]:
    """Give them."""
    return Books(world, monkeypatch)


def test_an_exit_that_fills_between_the_questions_invents_nothing(books: Books) -> None:
    """The positions were asked for before it filled, the trades after it: another sale of 1.000."""
    client = Client("-2")
    assert books.compare(client, closed_order(2, 2), qty="-1") is False
    assert books.qty == -2
    assert books.fills == 2
    assert client.asked == 1


def test_a_position_that_was_asked_for_after_its_trades_waits_for_them(books: Books) -> None:
    """The other way round: the trade is told by the stream a moment later, and booked once."""
    trades = [closed_order(2, 2)]
    books.explain = lambda: (
        books.engine._reconcile_execution_mass_status(status(trades.pop())) if trades else None
    )
    assert books.compare(Client("-2"), qty="-2") is False
    assert books.qty == -2
    assert books.fills == 2


def test_what_the_venue_stands_by_is_taken(books: Books) -> None:
    """No trade explains it, and it stays: the books follow, no sooner and no later."""
    client = Client("-3")
    assert books.compare(client, qty="-3") is False
    assert client.asked == ASKED
    assert books.qty == -3
    assert books.compare(client, qty="-3") is True
    assert client.asked == ASKED


def test_a_position_that_is_gone_is_closed(books: Books) -> None:
    """The venue lists none: flat, and not unknown."""
    assert books.compare(Client("0"), qty="0") is False
    assert books.qty == 0


def test_what_changes_while_it_is_looked_at_begins_anew(books: Books) -> None:
    """Somebody trades there meanwhile: only what was told alike counts."""
    client = Client("-3", "-4", "-3", "-5")
    books.compare(client, qty="-3")
    assert client.asked == 3 + ASKED
    assert books.qty == -5


def test_an_error_is_no_answer(books: Books) -> None:
    """A venue that cannot be asked holds no flat position; it is asked until it answers."""
    client = Client(*[OSError("no way there")] * 5, "-3")
    books.compare(client, qty="-3")
    assert client.asked == 5 + ASKED
    assert books.qty == -3


def test_nothing_counts_while_the_trades_are_not_known(books: Books) -> None:
    """The venue tells its positions and not its trades: one of them may be the difference."""
    answers = iter([True] * 4)

    def explain() -> None:
        if next(answers, False):
            raise OSError("no way there")

    books.explain = explain
    client = Client("-3")
    books.compare(client, qty="-3")
    assert client.asked == 4 + ASKED
    assert books.qty == -3


def test_an_order_without_an_answer_may_be_the_difference(books: Books) -> None:
    """Nothing is taken while one is under way, however long that lasts; then the doubt is settled."""
    order = TestExecStubs.market_order(XRP)
    books.engine._cache.add_order(order)
    order.apply(TestEventStubs.order_submitted(order, account_id=ACCOUNT))
    books.engine._cache.update_order(order)
    client, last = Client("-3"), LOOKS + 5

    def on_asked() -> None:
        assert books.qty == -1 or client.asked > last + CONFIRMATIONS - 1
        if client.asked == last:
            order.apply(TestEventStubs.order_rejected(order, account_id=ACCOUNT))
            books.engine._cache.update_order(order)

    client.on_asked = on_asked
    books.compare(client, qty="-3")
    assert client.asked == last + CONFIRMATIONS
    assert books.qty == -3


def test_a_difference_of_less_than_a_lot_is_in_doubt_once(books: Books) -> None:
    """The engine cannot make it alike: entries must not be held for it for ever."""
    client = Client("-1.0004")
    assert books.compare(client, qty="-1.0004") is False
    asked = client.asked
    assert books.qty == -1
    assert books.compare(client, qty="-1.0004") is True
    assert client.asked == asked


def test_the_same_position_may_come_and_go(books: Books) -> None:
    """The engine would take the second one for the order that filled the first, and do nothing."""
    for qty in ("0", "-1", "0", "-1"):
        assert books.compare(Client(qty), qty=qty) is False
        assert books.qty == Decimal(qty)


def test_a_trade_that_is_told_late_is_made_good(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    """It counts beside the fill that was invented for it: the books are watched for a while."""
    monkeypatch.setattr(second_look, "WATCH_SECS", 0.5)
    client = Client("-3")

    def on_asked() -> None:
        if client.asked == ASKED + 5:
            assert books.qty == -3
            books.engine._reconcile_execution_mass_status(status(closed_order(2, 2)))
            assert books.qty == -4

    client.on_asked = on_asked
    books.compare(client, qty="-3")
    assert client.asked > ASKED + 5
    assert books.qty == -3


def test_a_stop_has_the_id_of_its_fills_before_they_are_asked_for(books: Books) -> None:
    """On USD-M a stop that triggers becomes another order: without that its fill would be a stranger's."""
    client: Any = Client("-3")
    answers = iter([False, True, True, True, True])

    async def adopt_stops() -> bool:
        return next(answers)

    client.adopt_stops = adopt_stops
    books.compare(client, qty="-3")
    assert client.asked == 1 + ASKED


def test_one_that_cannot_be_taken_keeps_no_other_waiting(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine dies of a report: said, and looked at again."""
    believe, deaths = books.look._believe, iter([True])

    def die_once(report: Any) -> Any:
        if next(deaths, False):
            raise RuntimeError("of a report")
        return believe(report)

    monkeypatch.setattr(books.look, "_believe", die_once)
    client = Client("-3")
    books.compare(client, qty="-3")
    assert books.qty == -3
    assert client.asked > ASKED


def test_the_start_takes_what_it_is_told_and_asks_once_more(world: Any, books: Books) -> None:
    """Before the first comparison is over the books are empty; what was told may be old by the end of it."""
    engine, heard = world
    engine._startup_reconciliation_event.clear()
    client = Client("-1")
    engine._clients[ClientId("BINANCE")] = client
    whole = status()
    whole.add_position_reports([position("-3")])
    assert engine._reconcile_execution_mass_status(whole) is True
    assert books.qty == -3
    assert heard.count("OrderFilled") == 2
    engine._startup_reconciliation_event.set()
    books.settle()
    assert books.qty == -1
    assert client.asked == ASKED


def test_trades_of_before_the_start_are_not_told_again(world: Any, books: Books) -> None:
    """The engine may have summed them up in fills of its own."""
    engine, _heard = world
    engine._startup_reconciliation_event.clear()
    engine._clients[ClientId("BINANCE")] = Client("-1")
    whole = status()
    whole.add_position_reports([position("-3")])
    engine._reconcile_execution_mass_status(whole)
    engine._startup_reconciliation_event.set()
    books.settle()
    assert set(books.asked_since) == {NOW_NS - CLOCK_NS}


def test_positions_of_others_where_nobody_trades_pass(books: Books) -> None:
    """Binance tells of all that the account holds; the engine leaves it alone and so do we."""
    whole = status()
    other = InstrumentId.from_str("DOGEUSDT-PERP.BINANCE")
    whole.add_position_reports([position("-7", other)])
    assert books.engine._reconcile_execution_mass_status(whole) is True
    assert books.look._doubts == {}


def test_spot_passes(world: Any) -> None:
    """It reports itself flat whatever is held; the engine knows that, and must not wait for ever."""
    engine, heard = world
    engine.generate_missing_orders = False
    engine._startup_reconciliation_event.set()
    SecondLook(engine, engine._loop, {"BINANCE"})
    whole = status()
    whole.add_position_reports([position("-1")])
    assert engine._reconcile_execution_mass_status(whole) is True
    assert heard == []
