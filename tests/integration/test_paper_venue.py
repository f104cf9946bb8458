"""The simulated venue of a paper node by itself: filters, liquidity, fees, funding, memory."""

import asyncio
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from nautilus_trader.cache.cache import Cache
from nautilus_trader.common.component import MessageBus
from nautilus_trader.common.component import TestClock as VenueClock
from nautilus_trader.common.factories import OrderFactory
from nautilus_trader.core.uuid import UUID4
from nautilus_trader.execution.messages import CancelOrder, ModifyOrder, SubmitOrder
from nautilus_trader.model.data import TradeTick
from nautilus_trader.model.enums import OrderSide, OrderStatus
from nautilus_trader.model.events import (
    AccountState,
    OrderCancelRejected,
    OrderFilled,
    OrderModifyRejected,
    OrderRejected,
)
from nautilus_trader.model.identifiers import ClientOrderId, StrategyId, TraderId
from nautilus_trader.model.instruments import Instrument
from nautilus_trader.model.objects import Price, Quantity
from nautilus_trader.portfolio.portfolio import Portfolio

from runtime.live import paper_away
from runtime.live.order_lookup import Answer, look_up
from runtime.live.paper import backtest_settings
from runtime.live.paper_away import PaperAwayActor
from runtime.live.paper_settings import PaperSettings
from runtime.live.paper_state import PaperStore
from runtime.live.paper_venue import PaperVenue
from runtime.node_config import simulated_venue
from strategies.trade_manager.funding import FundingPayment
from tests.integration.engine_harness import START_NS, Trade, instrument_of, ticks_of

D = Decimal
TRADER, STRATEGY = TraderId("PAPER-001"), StrategyId("S-1")
HOUR_NS = 3_600_000_000_000


class Desk:
    """A paper venue, what it reported, and short ways to send orders."""

    def __init__(
        self,
        instrument: Instrument,
        store: PaperStore,
        paper: PaperSettings | None = None,
        report: Callable[[list[Any]], None] | None = None,
        market_wait_ns: int = 0,
    ) -> None:
        settings = paper or PaperSettings(latency_ms=0)
        self.instrument, self.heard = instrument, []  # type: Instrument, list[Any]
        self.venue = PaperVenue(
            simulated_venue(
                "BINANCE",
                "USDT",
                backtest_settings(settings),
                holds_spot=instrument.id.value == "XRPUSDT.BINANCE",
            ),
            TRADER,
            store,
            report or self.heard.extend,
            lambda instrument_id: instrument if instrument_id == instrument.id else None,
            START_NS,
            band_pct=settings.price_band_pct,
            market_wait_ns=market_wait_ns,
        )
        self.venue.restore()
        self.orders = OrderFactory(TRADER, STRATEGY, VenueClock())
        self.printed = 0

    def prints(self, trades: Sequence[Trade], later_ns: int = 0) -> None:
        """Give the venue prints, one per 10 ms, behind those of before, or later by a time."""
        filler: list[Trade] = [(1.5, 1.0, "b")] * self.printed
        for tick in ticks_of(self.instrument, [*filler, *trades])[self.printed :]:
            ts_ns = tick.ts_init + later_ns
            self.venue.on_trade(
                TradeTick(
                    tick.instrument_id,
                    tick.price,
                    tick.size,
                    tick.aggressor_side,
                    tick.trade_id,
                    ts_ns,
                    ts_ns,
                )
            )
        self.printed += len(trades)

    def limit(self, name: str, side: OrderSide, qty: str, price: str, **more: Any) -> None:
        """Send a limit order."""
        self.send(
            self.orders.limit(
                self.instrument.id,
                side,
                Quantity.from_str(qty),
                Price.from_str(price),
                client_order_id=ClientOrderId(name),
                **more,
            )
        )

    def market(self, name: str, side: OrderSide, qty: str, **more: Any) -> None:
        """Send a market order."""
        self.send(
            self.orders.market(
                self.instrument.id, side, Quantity.from_str(qty), client_order_id=ClientOrderId(name), **more
            )
        )

    def send(self, order: Any) -> None:
        """Send an order and let it arrive."""
        now_ns = self.venue.now_ns
        self.venue.send(SubmitOrder(TRADER, STRATEGY, order, UUID4(), now_ns), now_ns)
        self.venue.advance(now_ns)

    def cancel(self, name: str) -> None:
        """Send a cancel and let it arrive."""
        self.change(CancelOrder, name)

    def change(self, kind: Any, name: str, **more: Any) -> None:
        """Send a change and let it arrive."""
        now_ns = self.venue.now_ns
        command = kind(
            trader_id=TRADER,
            strategy_id=STRATEGY,
            instrument_id=self.instrument.id,
            client_order_id=ClientOrderId(name),
            venue_order_id=None,
            command_id=UUID4(),
            ts_init=now_ns,
            **more,
        )
        self.venue.send(command, now_ns)
        self.venue.advance(now_ns)

    def of(self, kind: type[Any]) -> list[Any]:
        """Return what was heard of a kind."""
        return [one for one in self.heard if isinstance(one, kind)]

    def balance(self, currency: str) -> Decimal:
        """Return the last reported balance."""
        state = self.of(AccountState)[-1]
        return next(
            (D(str(one.total.as_decimal())) for one in state.balances if one.currency.code == currency), D(0)
        )


@pytest.fixture(name="desk")
def _desk() -> Desk:
    desk = Desk(instrument_of("margin"), PaperStore(None))
    desk.prints([(1.5, 500.0, "b")])
    return desk


REFUSED = {
    "below the smallest notional": ({"qty": "3.0", "price": "1.5000"}, "MIN_NOTIONAL"),
    "no multiple of the lot": ({"qty": "10.05", "price": "1.5000"}, "LOT_SIZE"),
    "no multiple of the tick": ({"qty": "10.0", "price": "1.50005"}, "PRICE_FILTER"),
    "too far from the last price": ({"qty": "10.0", "price": "1.3000"}, "PERCENT_PRICE"),
    "more than the account has": ({"qty": "90000.0", "price": "1.5000"}, "INSUFFICIENT_BALANCE"),
}


@pytest.mark.parametrize(("order", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_orders_that_a_venue_refuses(order: dict[str, str], reason: str) -> None:
    """The filters of a venue hold, and the reason names the filter."""
    desk = Desk(instrument_of("margin"), PaperStore(None), PaperSettings(latency_ms=0, price_band_pct=10.0))
    desk.prints([(1.5, 500.0, "b")])
    desk.limit("A", OrderSide.BUY, order["qty"], order["price"])
    (rejected,) = desk.of(OrderRejected)
    assert rejected.reason.startswith(reason)


def test_the_percent_price_filter_of_binance_comes_from_the_instrument() -> None:
    """An instrument that says how far orders may be from the price is believed."""
    plain = type(instrument_of("cash")).to_dict(instrument_of("cash"))
    by_side = {
        "filterType": "PERCENT_PRICE_BY_SIDE",
        "bidMultiplierUp": "5",
        "bidMultiplierDown": "0.2",
        "askMultiplierUp": "1.1",
        "askMultiplierDown": "0.9",
    }
    instrument = type(instrument_of("cash")).from_dict(plain | {"info": {"filters": [by_side]}})
    desk = Desk(instrument, PaperStore(None))
    desk.prints([(1.5, 500.0, "b")])
    desk.limit("A", OrderSide.BUY, "100.0", "1.0000")
    assert not desk.of(OrderRejected)
    desk.market("B", OrderSide.BUY, "20.0")
    desk.limit("C", OrderSide.SELL, "10.0", "1.7000")
    assert desk.of(OrderRejected)[0].reason.startswith("PERCENT_PRICE")


def test_the_largest_order_at_market_comes_from_the_instrument() -> None:
    """More may rest than may be sold at once, as on Binance; a stop at market counts as one."""
    plain = type(instrument_of("margin")).to_dict(instrument_of("margin"))
    at_market = {"filterType": "MARKET_LOT_SIZE", "maxQty": "30"}
    instrument = type(instrument_of("margin")).from_dict(plain | {"info": {"filters": [at_market]}})
    desk = Desk(instrument, PaperStore(None))
    desk.prints([(1.5, 500.0, "b")])
    desk.market("A", OrderSide.BUY, "30.0")
    desk.limit("B", OrderSide.BUY, "30.1", "1.4000")
    assert not desk.of(OrderRejected)
    desk.market("C", OrderSide.BUY, "30.1")
    stop = desk.orders.stop_market(
        instrument.id, OrderSide.SELL, Quantity.from_str("30.1"), Price.from_str("1.3000")
    )
    desk.send(stop)
    reasons = [one.reason for one in desk.of(OrderRejected)]
    assert reasons == ["MARKET_LOT_SIZE: quantity 30.1 is above 30"] * 2


def test_an_order_that_waits_for_its_market_is_known_to_be_on_its_way() -> None:
    """Nobody may say that it never arrived; without any print it is refused in the end, with the reason."""
    desk = Desk(instrument_of("margin"), PaperStore(None), market_wait_ns=10**9)
    desk.market("M-1", OrderSide.SELL, "10.0")
    client: Any = SimpleNamespace(paper_venue=desk.venue)
    answer = asyncio.run(look_up(client, desk.instrument.id, "M-1"))
    assert (answer.answer, desk.venue.is_on_its_way("M-2")) == (Answer.WAITING, False)
    desk.venue.give_up_waiting(desk.instrument.id)
    assert [one.reason for one in desk.of(OrderRejected)] == [f"no market for {desk.instrument.id}"]
    assert not desk.venue.is_on_its_way("M-1")


def test_an_id_is_taken_once(desk: Desk) -> None:
    """A second order of one client order id is refused, also when the first is done."""
    desk.market("A", OrderSide.BUY, "10.0")
    desk.market("A", OrderSide.BUY, "10.0")
    assert len(desk.of(OrderFilled)) == 1
    assert desk.of(OrderRejected)[0].reason.startswith("DUPLICATE_ID")


def test_changes_of_unknown_orders_are_refused(desk: Desk) -> None:
    """The node hears that a cancel or a change met no order, and why."""
    desk.cancel("NONE")
    desk.change(ModifyOrder, "NONE", quantity=Quantity.from_str("1.0"), price=None, trigger_price=None)
    assert desk.of(OrderCancelRejected)[0].reason.startswith("UNKNOWN_ORDER")
    assert desk.of(OrderModifyRejected)[0].reason.startswith("UNKNOWN_ORDER")


def test_a_print_fills_at_most_its_size(desk: Desk) -> None:
    """Three prints of 30 through a resting order of 100 leave 10 of it."""
    desk.limit("A", OrderSide.BUY, "100.0", "1.4990")
    desk.prints([(1.498, 30.0, "s"), (1.497, 30.0, "s"), (1.496, 30.0, "s")])
    assert [str(one.last_qty) for one in desk.of(OrderFilled)] == ["30.0", "30.0", "30.0"]


def test_a_print_at_the_price_of_an_order_finds_others_before_it(desk: Desk) -> None:
    """With the queue, prints at the price do not fill what arrived later; one through it does."""
    desk.limit("A", OrderSide.BUY, "20.0", "1.4990")
    desk.prints([(1.499, 30.0, "s"), (1.499, 30.0, "s")])
    before = len(desk.of(OrderFilled))
    desk.prints([(1.498, 30.0, "s")])
    assert (before, len(desk.of(OrderFilled))) == (0, 1)


def test_a_spot_purchase_pays_in_coins() -> None:
    """Of 100 bought 0.05 go to the venue; the quote currency pays for all 100."""
    desk = Desk(instrument_of("cash"), PaperStore(None))
    desk.prints([(1.5, 500.0, "b")])
    desk.market("A", OrderSide.BUY, "100.0")
    assert str(desk.of(OrderFilled)[0].commission) == "0.050000 XRP"
    assert (desk.balance("XRP"), desk.balance("USDT")) == (D("99.95"), D(9850))


def test_funding_is_settled_while_nothing_trades(desk: Desk) -> None:
    """What the venue announced last before the funding time is paid, at that time, once."""
    desk.market("A", OrderSide.BUY, "100.0")
    had = desk.balance("USDT")
    due_ns = START_NS // HOUR_NS * HOUR_NS + HOUR_NS
    desk.venue.funding.announce(desk.instrument.id, D("0.0005"), due_ns)
    desk.venue.funding.announce(desk.instrument.id, D("0.0001"), due_ns)
    desk.venue.advance(due_ns - 1_000_000_000)
    assert not desk.of(FundingPayment)
    desk.venue.advance(due_ns + 1_000_000_000)
    desk.venue.advance(due_ns + 9_000_000_000)
    (payment,) = desk.of(FundingPayment)
    assert (payment.amount, payment.ts_ns) == (D("-0.015"), due_ns)
    assert desk.balance("USDT") - had == D("-0.015")


def test_funding_of_the_time_away_is_settled_once() -> None:
    """Two funding times passed while nobody ran: at the kept price; a third start finds nothing to settle."""
    instrument, store = instrument_of("margin"), PaperStore(None)
    before = Desk(instrument, store)
    before.prints([(1.5, 500.0, "b")])
    before.market("A", OrderSide.SELL, "100.0")
    before.venue.note_prices()
    first_ns = START_NS // HOUR_NS * HOUR_NS + HOUR_NS
    asked: list[tuple[int, int]] = []

    async def rates(_id: Any, since_ns: int, until_ns: int) -> dict[int, Decimal]:
        asked.append((since_ns, until_ns))
        return {START_NS - 1: D(1), first_ns: D("0.0002"), first_ns + HOUR_NS: D("-0.0001")}

    def back(desk: Desk) -> list[FundingPayment]:
        clock = VenueClock()
        clock.set_time(first_ns + 3 * HOUR_NS)
        bus, cache = MessageBus(TRADER, clock), Cache()

        async def main() -> None:
            actor = PaperAwayActor(lambda: [desk.venue], rates)
            actor.register_base(Portfolio(bus, cache, clock), bus, cache, clock)
            await actor._run()

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(paper_away, "START_SECS", 0.0)
            asyncio.run(main())
        return desk.of(FundingPayment)

    paid = back(Desk(instrument, store))
    assert [(one.ts_ns, one.amount, one.price) for one in paid] == [
        (first_ns, D("0.03"), D("1.5")),
        (first_ns + HOUR_NS, D("-0.015"), D("1.5")),
    ]
    again = Desk(instrument, store)
    assert back(again) == []
    assert asked[0][0] >= START_NS
    assert asked[1][0] == first_ns + HOUR_NS
    had = again.balance("USDT")
    assert had == D(10_000) - D("0.075") + D("0.015")


def test_funding_of_the_time_away_is_that_of_what_was_held_then() -> None:
    """The venue tells the rates late: meanwhile the position grew, was closed, and the node started anew."""
    instrument, store = instrument_of("margin"), PaperStore(None)
    before = Desk(instrument, store)
    before.prints([(1.5, 500.0, "b")])
    before.market("A", OrderSide.SELL, "100.0")
    before.venue.note_prices()
    first_ns = START_NS // HOUR_NS * HOUR_NS + HOUR_NS
    rates = {first_ns: D("0.0002"), first_ns + HOUR_NS: D("-0.0001"), first_ns + 2 * HOUR_NS: D("0.0003")}

    second = Desk(instrument, store)
    second.printed = before.printed
    second.prints([(1.7, 900.0, "b")], first_ns + HOUR_NS // 2 - START_NS)
    second.market("B", OrderSide.SELL, "50.0")
    second.venue.note_prices()
    second.prints([(1.7, 900.0, "b")], first_ns + HOUR_NS + HOUR_NS // 2 - START_NS)
    second.market("C", OrderSide.BUY, "150.0", reduce_only=True)
    assert not second.venue.cache.positions_open()

    third = Desk(instrument, store)
    assert list(third.venue.missed.owed) == [instrument.id]
    assert third.venue.remembered() == {instrument.id}
    third.venue.settle_missed(instrument.id, rates, first_ns + 3 * HOUR_NS)
    assert [(one.ts_ns, one.signed_qty, one.amount) for one in third.of(FundingPayment)] == [
        (first_ns, D("-100.0"), D("0.03")),
        (first_ns + HOUR_NS, D("-150.0"), D("-0.0225")),
    ]
    assert not Desk(instrument, store).venue.missed.owed


def test_funding_that_a_running_venue_settled_is_not_settled_again() -> None:
    """The rates of the time away came after a funding time of the running node."""
    instrument, store = instrument_of("margin"), PaperStore(None)
    before = Desk(instrument, store)
    before.prints([(1.5, 500.0, "b")])
    before.market("A", OrderSide.SELL, "100.0")
    before.venue.note_prices()
    due_ns = START_NS // HOUR_NS * HOUR_NS + HOUR_NS
    after = Desk(instrument, store)
    after.printed = before.printed
    after.prints([(1.5, 1.0, "b")])
    after.venue.funding.announce(instrument.id, D("0.0002"), due_ns)
    after.venue.advance(due_ns + 1)
    after.venue.settle_missed(instrument.id, {due_ns: D("0.0002")}, due_ns + 1)
    assert [one.amount for one in after.of(FundingPayment)] == [D("0.03")]


def test_a_partly_filled_order_survives_a_restart() -> None:
    """40 of 100 were filled before; after it the rest is, not one coin more, and ids go on."""
    instrument, store = instrument_of("margin"), PaperStore(None)
    before = Desk(instrument, store)
    before.prints([(1.5, 500.0, "b")])
    before.limit("A", OrderSide.BUY, "100.0", "1.4990")
    before.prints([(1.498, 40.0, "s")])
    assert len(before.of(OrderFilled)) == 1

    after = Desk(instrument, store)
    after.printed = before.printed
    after.prints([(1.4995, 10.0, "b"), (1.497, 500.0, "s"), (1.496, 500.0, "s")])
    fills = after.of(OrderFilled)
    assert [str(one.last_qty) for one in fills] == ["60.0"]
    assert fills[0].trade_id.value == "BINANCE-T2"
    order = after.venue.cache.order(ClientOrderId("A"))
    assert (order.status, str(order.filled_qty)) == (OrderStatus.FILLED, "100.0")
    (position,) = after.venue.cache.positions_open()
    assert str(position.quantity) == "100.0"


@pytest.mark.parametrize("is_sale", [True, False])
def test_coins_that_were_locked_before_a_restart_are_freed_by_a_cancel(*, is_sale: bool) -> None:
    """A stop of before is replaced by one of another size: the account must have the coins for it."""
    instrument, store = instrument_of("cash"), PaperStore(None)
    before = Desk(instrument, store)
    before.prints([(1.5, 500.0, "b")])
    before.market("A", OrderSide.BUY, "100.0")
    side, price = (OrderSide.SELL, "1.5100") if is_sale else (OrderSide.BUY, "1.4900")
    before.limit("B", side, "60.0", price)
    after = Desk(instrument, store)
    after.printed = before.printed
    after.prints([(1.5, 1.0, "b")])
    assert any(one.locked.as_decimal() for one in after.of(AccountState)[-1].balances)
    after.cancel("B")
    state = after.of(AccountState)[-1]
    assert [one.locked.as_decimal() for one in state.balances] == [0, 0]
    if is_sale:
        after.limit("C", OrderSide.SELL, "99.0", "1.5100")
        assert not after.of(OrderRejected)


def test_the_first_print_after_a_restart_does_not_fill_a_queued_order() -> None:
    """Its place in the queue is lost: it stands behind what that print shows, as a new one would."""
    instrument, store = instrument_of("margin"), PaperStore(None)
    before = Desk(instrument, store)
    before.prints([(1.5, 500.0, "b")])
    before.limit("A", OrderSide.BUY, "20.0", "1.4990")
    after = Desk(instrument, store)
    after.printed = before.printed
    after.prints([(1.499, 500.0, "s")])
    assert not after.of(OrderFilled)
    after.prints([(1.499, 400.0, "s"), (1.499, 130.0, "s")])
    assert len(after.of(OrderFilled)) == 1


def test_prints_of_other_decimals_are_counted_not_matched(desk: Desk) -> None:
    """A change of the tick size at the venue does not stop the node."""
    (tick,) = ticks_of(desk.instrument, [(1.5, 500.0, "b")])
    plain = type(tick).to_dict(tick) | {"price": "1.50000"}
    desk.venue.on_trade(type(tick).from_dict(plain))
    assert desk.venue.refused_ticks == 1


class FullDisk(PaperStore):
    """A store whose disk is full for a while."""

    is_full = False

    def write(self, venue: str, change: Any, now_ns: int) -> None:
        if self.is_full:
            raise sqlite3.OperationalError("database or disk is full")
        super().write(venue, change, now_ns)


def test_a_full_disk_stops_no_trade() -> None:
    """Fills are reported while nothing can be written, and are written when it can be again."""
    store = FullDisk(None)
    desk = Desk(instrument_of("margin"), store)
    desk.prints([(1.5, 500.0, "b")])
    store.is_full = True
    desk.market("A", OrderSide.BUY, "100.0")
    assert len(desk.of(OrderFilled)) == 1
    assert "disk is full" in desk.venue.trouble
    assert store.fills("BINANCE") == []
    store.is_full = False
    desk.market("B", OrderSide.SELL, "40.0")
    assert not desk.venue.trouble
    assert [one.trade_id for one in store.fills("BINANCE")] == ["BINANCE-T1", "BINANCE-T2"]
    assert Desk(instrument_of("margin"), store).venue.cache.positions_open()[0].quantity == 60


def test_a_process_killed_at_a_report_has_lost_nothing(tmp_path: Path) -> None:
    """The files as they are in the moment in which a strategy hears of a fill hold that fill."""
    folder, found = tmp_path / "paper", tmp_path / "found"

    def report(heard: list[Any]) -> None:
        if any(isinstance(one, OrderFilled) for one in heard):  # what a killed process leaves behind
            shutil.copytree(folder, found)

    with PaperStore(folder) as store:
        desk = Desk(instrument_of("margin"), store, report=report)
        desk.prints([(1.5, 500.0, "b")])
        desk.market("A", OrderSide.BUY, "100.0")
    with PaperStore(found) as store:
        (fill,) = store.fills("BINANCE")
        (position,) = store.positions("BINANCE")
        desk = Desk(instrument_of("margin"), store)
    assert fill.trade_id == "BINANCE-T1"
    assert position.summary["qty"] == "100.0"
    assert desk.balance("USDT") == D("9999.925")
