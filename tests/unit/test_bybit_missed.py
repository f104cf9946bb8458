"""What Bybit's stream did not tell: asked for, handed over, and given up where the engine refuses it."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from nautilus_trader.adapters.bybit.constants import BYBIT_VENUE
from nautilus_trader.model.enums import OrderStatus
from nautilus_trader.model.identifiers import ClientOrderId, InstrumentId, TradeId, VenueOrderId

from runtime.errors import VenueError
from runtime.live import bybit_missed
from runtime.live.bybit_missed import FAILURES, HAND_OVERS, ORDERS_EVERY, MissedReports

IID = InstrumentId.from_str("BTCUSDT-LINEAR.BYBIT")


class Venue:
    """Answers with what it is given; it holds open what `open_ids` says."""

    def __init__(self) -> None:
        self.executions: list[dict[str, Any]] = []
        self.open_ids: list[str] = []
        self.asked: list[str] = []

    async def get(self, path: str, params: dict[str, str]) -> dict[str, Any]:
        """Answer."""
        assert params["category"] == "linear"
        self.asked.append(path)
        if path == "/v5/execution/list":
            return {"list": self.executions}
        return {"list": [{"orderId": one} for one in self.open_ids]}

    def execute(self, name: str, order_id: str, **more: Any) -> None:
        """Let an order fill."""
        said = {"execId": name, "orderId": order_id, "orderLinkId": "", "symbol": "BTCUSDT", "execTime": "9"}
        self.executions.append(said | more)


class Cache:
    """Open orders by the venue's id."""

    def __init__(self, *names: str) -> None:
        self.open = {
            name: SimpleNamespace(
                client_order_id=ClientOrderId(f"C-{name}"),
                venue_order_id=VenueOrderId(name),
                instrument_id=IID,
                trade_ids=[],
                status=OrderStatus.ACCEPTED,
                filled_qty=0,
                is_closed=False,
            )
            for name in names
        }

    def add(self, name: str, trade_id: str) -> None:
        """Know an order of somebody else, with a fill."""
        self.open[name] = Cache(name).open[name]
        self.open[name].trade_ids.append(TradeId(trade_id))

    def orders_open(self, venue: Any) -> list[Any]:
        """Return them."""
        assert venue == BYBIT_VENUE
        return list(self.open.values())

    def orders_inflight(self, venue: Any) -> list[Any]:
        """Return none."""
        assert venue == BYBIT_VENUE
        return []

    def client_order_id(self, venue_order_id: VenueOrderId) -> ClientOrderId | None:
        """Return our id of an order."""
        found = self.open.get(venue_order_id.value)
        return None if found is None else found.client_order_id

    def order(self, client_id: ClientOrderId) -> Any:
        """Return an order."""
        return self.open.get(client_id.value.removeprefix("C-"))

    def instrument(self, instrument_id: InstrumentId) -> Any:
        """Return what settles in USDT."""
        return (
            None
            if instrument_id != IID
            else SimpleNamespace(settlement_currency=SimpleNamespace(code="USDT"))
        )


class Client:
    """The execution client: its engine takes a fill, unless it is one of `refused`."""

    def __init__(self, venue: Venue, cache: Cache, *, refused: tuple[str, ...] = ()) -> None:
        self._cache, self.venue = cache, BYBIT_VENUE
        self._clock = SimpleNamespace(timestamp_ns=lambda: 1_700_000_000_000_000_000)
        self._product_types = [SimpleNamespace(name="LINEAR")]
        self.warnings: list[str] = []
        self.errors: list[str] = []
        self._log = SimpleNamespace(warning=self.warnings.append, error=self.errors.append)
        self.handed: list[str] = []
        self.ended: list[str] = []
        self.balances = 0
        self.is_cut = False
        self._bybit, self._refused = venue, refused

    async def _update_account_state(self) -> None:
        if self.is_cut:
            raise OSError("no way there")
        self.balances += 1

    async def generate_fill_reports(self, _command: Any) -> list[Any]:
        """Return the venue's executions."""
        return [
            SimpleNamespace(
                trade_id=TradeId(one["execId"]),
                order_id=one["orderId"],
                venue_order_id=VenueOrderId(one["orderId"]),
                ts_event=number,
            )
            for number, one in enumerate(self._bybit.executions)
        ]

    def _send_fill_report(self, report: Any) -> None:
        self.handed.append(report.trade_id.value)
        if report.trade_id.value not in self._refused:
            self._cache.open[report.order_id].trade_ids.append(report.trade_id)

    async def generate_order_status_report(self, command: Any) -> Any:
        """Return that the order ended unfilled."""
        return SimpleNamespace(
            client_order_id=command.client_order_id,
            is_open=False,
            filled_qty=0,
            order_status=OrderStatus.CANCELED,
        )

    def _send_order_status_report(self, report: Any) -> None:
        name = report.client_order_id.value.removeprefix("C-")
        self.ended.append(name)
        del self._cache.open[name]


def looked(client: Client, venue: Venue, times: int) -> MissedReports:
    """Look so many times."""
    rest: Any = venue
    missed = MissedReports(client, rest)

    async def look() -> None:
        for _ in range(times):
            await missed.look()

    asyncio.run(look())
    return missed


def test_a_missing_fill_is_handed_over_once_it_is_missing_twice() -> None:
    """The first look may be ahead of the stream; the second finds it missing still; then it is known."""
    venue, cache = Venue(), Cache("7")
    venue.open_ids = ["7"]
    venue.execute("f1", "7")
    client = Client(venue, cache)
    assert looked(client, venue, 1).found_fills == 0
    assert client.handed == []
    assert looked(client, venue, 6).found_fills == 1
    assert client.handed == ["f1"]


def test_the_balance_is_asked_for_with_a_missed_fill_until_it_is_told() -> None:
    """The message of the wallet came with the fill, and was lost with it; without one nobody asks."""
    venue, cache = Venue(), Cache("7")
    venue.open_ids = ["7"]
    client = Client(venue, cache)
    looked(client, venue, ORDERS_EVERY)
    assert client.balances == 0
    venue.execute("f1", "7")
    client.is_cut = True
    missed = looked(client, venue, 3)
    assert client.handed == ["f1"]
    client.is_cut = False
    for _ in range(3):
        asyncio.run(missed.look())
    assert client.balances == 1


@pytest.mark.parametrize("refused", ["f1", "f2"])
def test_a_fill_that_the_engine_never_takes_is_given_up_and_holds_nothing_back(refused: str) -> None:
    """It may know the fill by another id. Said once; other fills and ends of orders are found."""
    venue, cache = Venue(), Cache("7", "8")
    venue.open_ids = ["7"]  # the end of the other was not told
    venue.execute("f1", "7")
    venue.execute("f2", "7")
    client = Client(venue, cache, refused=(refused,))
    looked(client, venue, HAND_OVERS + 2 * ORDERS_EVERY + 2)
    (other,) = {"f1", "f2"} - {refused}
    assert client.handed.count(refused) == HAND_OVERS
    assert client.handed.count(other) == 1
    assert len(client.errors) == 1
    assert refused in client.errors[0]
    assert client.ended == ["8"]


def test_executions_of_others_are_told_once_they_are_missing_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where we trade; not funding, nor what is of before the start or ours by its name."""
    venue, cache = Venue(), Cache("7")
    venue.open_ids = ["7"]
    for number, more in enumerate(({"symbol": "ETHUSDT"}, {"orderLinkId": "OTE-BTCUSDT-L1-S1"})):
        venue.execute(f"left{number}", "98", **more)
    venue.execute("left2", "7", execType="Funding")
    venue.execute("f1", "99", orderLinkId="web_1")
    client = Client(venue, cache)
    told: list[tuple[InstrumentId, int]] = []

    async def tell(_client: Any, instrument_id: InstrumentId, since_ns: int) -> int:
        told.append((instrument_id, since_ns))
        cache.add("99", "f1")
        return 1

    monkeypatch.setattr(bybit_missed, "tell_trades", tell)
    assert looked(client, venue, 6).found_fills == 1
    assert told == [(IID, 3)]
    assert client.handed == []


def test_an_order_of_others_that_is_not_told_hides_no_fill_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours is taken though it fills while the venue keeps failing; theirs is tried for long, not for ever."""
    venue, cache = Venue(), Cache("7", "8")
    venue.open_ids = ["7"]  # the end of the other was not told
    venue.execute("theirs", "99")
    client = Client(venue, cache)

    async def tell(_client: Any, _instrument_id: InstrumentId, _since_ns: int) -> int:
        raise VenueError("not told")

    monkeypatch.setattr(bybit_missed, "tell_trades", tell)
    missed = looked(client, venue, HAND_OVERS + 2)
    venue.execute("ours", "7")

    async def go_on(times: int) -> None:
        for _ in range(times):
            await missed.look()

    asyncio.run(go_on(2))
    assert client.handed == ["ours"]
    assert client.ended == []
    asyncio.run(go_on(HAND_OVERS * FAILURES + ORDERS_EVERY))
    assert len([one for one in client.errors if "theirs" in one]) == 1
    assert client.handed == ["ours"]
    assert client.ended == ["8"]


def test_nothing_is_asked_while_nothing_is_open() -> None:
    """No order of ours, none a minute ago: no request."""
    venue = Venue()
    looked(Client(venue, Cache()), venue, 5)
    assert venue.asked == []
