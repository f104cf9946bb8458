"""Spot: a lost balance message is no sale by somebody else, and a sale is booked by its own fills."""

import asyncio
from collections.abc import Callable
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from nautilus_trader.common.component import MessageBus, TestClock
from nautilus_trader.model.enums import AccountType
from nautilus_trader.model.identifiers import InstrumentId, TraderId
from nautilus_trader.test_kit.stubs.component import TestComponentStubs

from runtime.live import missing_coins
from runtime.live.balance_check import ask_client
from runtime.live.recovery import RecoveryActor
from runtime.notify.actor import EVENTS_TOPIC
from strategies.entry_halt import HOLD_TOPIC, RELEASE_TOPIC
from strategies.setup_desk import SetupDesk
from strategies.trade_manager.orders import Fill, Leg, Note
from tests.unit.test_market_pieces import entered
from tests.unit.test_protection_of_setups import NANOS

ROUNDS = 3


class SpotDesk(SetupDesk):
    """A desk of 10 coins under a resting stop, whose account is what a test says."""

    def __init__(self, messages: list[tuple[str, Any]]) -> None:
        def publish(topic: str, msg: Any) -> None:
            messages.append((topic, msg))

        host = SimpleNamespace(
            clock=SimpleNamespace(timestamp_ns=lambda: NANOS),
            msgbus=SimpleNamespace(publish=publish),
            id=SimpleNamespace(value="OTE-000"),
        )
        super().__init__(host, InstrumentId.from_str("XYZUSDT.BINANCE"), "OTE", Any, {})  # type: ignore[arg-type]
        self.orders = entered("cash", most=None)
        self.setup = self.orders.setup
        self.market = SimpleNamespace(lot_size=Decimal("0.1"))  # type: ignore[assignment]
        self.instrument = SimpleNamespace(base_currency=SimpleNamespace(code="XYZ"))
        self.known_qty = Decimal(0)
        self.sold: list[Fill] = []
        self.notes: list[tuple[str, Decimal | None, Decimal | None]] = []

    def account_kind(self) -> Any:
        """Return spot."""
        return "cash"

    def held_qty(self, direction: int) -> Decimal:
        """Return what the node was told that the account holds."""
        return self.known_qty * direction

    def strange_fills(self) -> list[Fill]:
        """Return what others are known to have sold, but for what is booked."""
        return [one for one in self.sold if one.trade_id not in self._judged]

    def last_price(self) -> Decimal | None:
        """Return a price."""
        return Decimal(103)

    def unplanned_qty(self) -> Decimal:
        """Return nothing."""
        return Decimal(0)

    def carry_out(self, setup: Any, actions: Any) -> None:
        """Let the venue of the test do it."""
        del setup
        actions = list(actions)
        self.notes += [
            (one.reason, one.price, one.qty)
            for one in actions
            if isinstance(one, Note) and one.kind == "external"
        ]
        self.orders.take(actions)


class Rig:
    """A recovery that is done, one desk, and a venue that answers as a test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, answer: Callable[[SpotDesk], None]) -> None:
        monkeypatch.setattr(missing_coins, "ARRIVE_SECS", 0.0)
        self.messages: list[tuple[str, Any]] = []
        self.desk = SpotDesk(self.messages)
        self.answer = answer
        self.asked = 0
        self.trades: Callable[[SpotDesk], None] = lambda _desk: None
        clock = TestClock()
        bus = MessageBus(trader_id=TraderId("T-001"), clock=clock)
        for topic in (HOLD_TOPIC, RELEASE_TOPIC, EVENTS_TOPIC):
            bus.subscribe(topic, lambda one, topic=topic: self.messages.append((topic, one)))
        strategy: Any = SimpleNamespace(id=SimpleNamespace(value="OTE-000"), desks=[self.desk])
        file = SimpleNamespace(strategy=lambda _name: None)
        self.actor = RecoveryActor(
            SimpleNamespace(file=file),  # type: ignore[arg-type]
            SimpleNamespace(carried_stop=False, unplanned="report"),  # type: ignore[arg-type]
            strategies=lambda: [strategy],
            lookup=lambda *_words: None,
            ask_balance=self._ask,
            ask_trades=self._ask_trades,
            reconcile_report=lambda _report: None,
            call_soon=lambda function: function(),
            journal=lambda _record: None,
            make_room=lambda *_words: None,
        )
        self.actor.register_base(TestComponentStubs.portfolio(), bus, TestComponentStubs.cache(), clock)
        self.actor.is_done = True

    async def _ask(self, _instrument_id: Any) -> None:
        self.asked += 1
        self.answer(self.desk)

    async def _ask_trades(self, _instrument_id: Any, since_ns: int) -> None:
        assert self.desk.setup is not None
        assert since_ns == self.desk.setup.ledger.entry_ts_ns
        self.trades(self.desk)

    def sweep(self, rounds: int = ROUNDS) -> None:
        """Look at the holdings as often as the timer does, each time to the end."""

        async def run() -> None:
            for _ in range(rounds):
                self.actor.look_at_holdings()
                await asyncio.gather(*self.actor._looks)

        asyncio.run(run())

    def sources(self, topic: str) -> list[str]:
        """Return who held or released."""
        return [message.source for name, message in self.messages if name == topic]


def test_a_lost_balance_message_leaves_the_stop_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """The venue says that the coins are there: nothing is booked, nobody is held."""

    def answer(desk: SpotDesk) -> None:
        desk.known_qty = Decimal(10)

    rig = Rig(monkeypatch, answer)
    rig.sweep()
    assert rig.asked == 1
    assert rig.desk.setup is not None
    assert rig.desk.setup.position_qty == 10
    assert rig.desk.orders.alive(Leg.STOP) == [10]
    assert rig.messages == []


def test_a_venue_that_does_not_answer_holds_entries_and_leaves_the_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is said once, asked again each time, and released with the answer."""

    def silent(_desk: SpotDesk) -> None:
        raise ConnectionError("no route")

    rig = Rig(monkeypatch, silent)
    rig.sweep()
    assert rig.asked == ROUNDS - 1  # what is short at one look alone may be our own fill
    assert rig.desk.setup is not None
    assert rig.desk.setup.position_qty == 10
    assert rig.desk.orders.alive(Leg.STOP) == [10]
    assert rig.sources(HOLD_TOPIC) == ["balance"]
    events = [one.text for name, one in rig.messages if name == EVENTS_TOPIC]
    assert len(events) == 1
    assert "10 less than our setup" in events[0]

    def answer(desk: SpotDesk) -> None:
        desk.known_qty = Decimal(10)

    rig.answer = answer
    rig.sweep(1)
    assert rig.sources(RELEASE_TOPIC) == ["balance"]
    assert rig.desk.orders.alive(Leg.STOP) == [10]


def test_coins_that_the_venue_says_are_gone_are_booked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its answer agrees with what was known: six were sold or sent away, the stop follows."""

    def answer(desk: SpotDesk) -> None:
        desk.known_qty = Decimal(4)

    rig = Rig(monkeypatch, answer)
    rig.sweep()
    assert rig.desk.setup is not None
    assert rig.desk.setup.position_qty == 4
    assert rig.sources(HOLD_TOPIC) == ["external"]
    assert rig.desk.notes == [("estimated", Decimal(103), Decimal(6))]  # no trade: sent away, it has no price


SALES = (Fill(NANOS, "a", Decimal(4), Decimal(99), Decimal("0.4")), Fill(NANOS, "b", Decimal(3), Decimal(98)))


def sell(desk: SpotDesk, *, left: int | None = 4, fills: tuple[Fill, ...] = SALES) -> None:
    """Let somebody sell: what the node hears of the coins that are left, and of the fills."""
    if left is not None:
        desk.known_qty = Decimal(left)
    desk.sold += [one for one in fills if one not in desk.sold]


def heard_first(rig: Rig, what: str, left: int = 10) -> None:
    """Let one message of the sale come, another later or never, and look."""
    desk = rig.desk
    desk.known_qty = Decimal(left)
    if what == "fills":
        sell(desk, left=None)
    elif what == "balance":
        desk.known_qty = Decimal(4)
    elif what == "both":
        sell(desk)

    async def look() -> None:
        rig.actor._begin_look(desk.instrument_id.value)
        await asyncio.gather(*rig.actor._looks)

    asyncio.run(look())


@pytest.mark.parametrize("first", ["fills", "balance", "both"])
def test_a_sale_by_others_is_booked_by_its_fills(monkeypatch: pytest.MonkeyPatch, first: str) -> None:
    """Whichever message comes first, or alone: the newest fills, as many as are missing, with their fee."""
    rig = Rig(monkeypatch, lambda desk: sell(desk, fills=()))
    rig.trades = lambda desk: sell(desk, left=None)
    heard_first(rig, first)
    assert rig.asked == 1
    assert rig.desk.notes == [("reduced", Decimal(99), Decimal(3)), ("reduced", Decimal(98), Decimal(3))]
    assert rig.desk.setup is not None
    assert rig.desk.setup.position_qty == 4
    assert rig.desk.setup.ledger.exit_value == 3 * 99 + 3 * 98
    assert (
        rig.desk.setup.ledger.fees_taken_quote - Decimal("0.3")
        == entered("cash", most=None).setup.ledger.fees
    )
    heard_first(rig, "nothing more", left=4)
    assert len(rig.desk.notes) == 2


def test_a_sale_that_is_told_whole_needs_no_question(monkeypatch: pytest.MonkeyPatch) -> None:
    """They took our stop away and sold; balance and fills agree: booked though the venue answers nobody."""

    def silent(_desk: SpotDesk) -> None:
        raise ConnectionError("banned")

    rig = Rig(monkeypatch, silent)
    rig.trades = silent
    monkeypatch.setattr(rig.desk, "has_living_exit", lambda: False)
    sell(rig.desk, left=None)
    rig.desk.known_qty = Decimal(3)
    heard_first(rig, "nothing more", left=3)
    assert rig.asked == 0
    assert rig.desk.notes == [("reduced", Decimal(99), Decimal(4)), ("reduced", Decimal(98), Decimal(3))]


def test_coins_of_nobody_that_others_sell_are_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """The account held more than the setup: all of that is there still."""
    rig = Rig(monkeypatch, lambda desk: sell(desk, left=11, fills=()))
    heard_first(rig, "fills")
    assert rig.asked == 1
    assert rig.desk.notes == []


def test_trades_that_cannot_be_had_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Booked at the last price then, marked as an estimate, and people are told."""

    def silent(_desk: SpotDesk) -> None:
        raise ConnectionError("no route")

    rig = Rig(monkeypatch, lambda desk: sell(desk, fills=()))
    rig.trades = silent
    heard_first(rig, "balance")
    assert rig.desk.notes == []  # our stop is alive: it may have sold them
    rig.messages.clear()
    monkeypatch.setattr(rig.desk, "has_living_exit", lambda: False)
    heard_first(rig, "balance")
    assert rig.desk.notes == [("estimated", Decimal(103), Decimal(6))]
    (event,) = [one.text for name, one in rig.messages if name == EVENTS_TOPIC]
    assert "trades that explain what is missing are not known" in event
    assert "no route" in event


def test_a_fill_of_ours_that_was_lost_is_no_sale_by_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """The venue's trades bring it: the setup has what the account has."""
    rig = Rig(monkeypatch, lambda desk: sell(desk, fills=()))

    def own(desk: SpotDesk) -> None:
        setup = desk.setup
        assert setup is not None
        stop = desk.orders.id_of(Leg.STOP)
        if setup.position_qty == 10:
            desk.orders.take(setup.on_filled(stop, Fill(NANOS, "s", Decimal(6), Decimal(97))))

    rig.trades = own
    heard_first(rig, "balance")
    assert rig.desk.notes == []
    assert rig.desk.setup is not None
    assert rig.desk.setup.position_qty == 4


def test_two_balances_at_once_begin_one_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look begins a moment after its balance: the next balance may come before."""
    rig = Rig(monkeypatch, lambda desk: sell(desk, fills=()))
    soon: list[Callable[[], Any]] = []
    rig.actor._call_soon = soon.append  # type: ignore[assignment]
    rig.actor._started = lambda: [rig.desk]  # type: ignore[method-assign, list-item]
    rig.desk.known_qty = Decimal(4)
    state: Any = SimpleNamespace(account_type=AccountType.CASH)

    async def look() -> None:
        for _ in range(2):
            rig.actor._on_account(state)
        assert len(soon) == 2
        for begin in soon:
            begin()
        assert len(rig.actor._looks) == 1
        await asyncio.gather(*rig.actor._looks)
        rig.actor._begin_only_look(rig.desk.instrument_id.value)  # that one is over
        assert len(rig.actor._looks) == 1
        await asyncio.gather(*rig.actor._looks)

    asyncio.run(look())


def test_a_fill_of_our_own_gets_time_to_arrive(monkeypatch: pytest.MonkeyPatch) -> None:
    """The account is told of it first: nobody is asked."""
    rig = Rig(monkeypatch, lambda desk: sell(desk, fills=()))
    monkeypatch.setattr(missing_coins, "ARRIVE_SECS", 30.0)
    setup, stop = rig.desk.setup, rig.desk.orders.id_of(Leg.STOP)
    assert setup is not None
    rig.desk.known_qty = Decimal(4)

    async def look() -> None:
        rig.actor._begin_look(rig.desk.instrument_id.value)
        await asyncio.sleep(0.1)
        rig.desk.orders.take(setup.on_filled(stop, Fill(NANOS, "s", Decimal(6), Decimal(97))))
        await asyncio.gather(*rig.actor._looks)

    asyncio.run(look())
    assert rig.asked == 0
    assert rig.desk.notes == []
    assert setup.position_qty == 4


@pytest.mark.parametrize("is_looked_at", [True, False])
def test_a_sale_of_nobodys_coins_explains_no_fill_of_ours(
    monkeypatch: pytest.MonkeyPatch, is_looked_at: bool
) -> None:
    """The account had more than the setup; then our stop sells, and the balance tells it first."""
    rig = Rig(monkeypatch, lambda _desk: None)
    if is_looked_at:
        heard_first(rig, "fills")  # 7 of 17: all of ours are there
    else:
        sell(rig.desk, left=None)
    setup, stop = rig.desk.setup, rig.desk.orders.id_of(Leg.STOP)
    assert setup is not None

    def own(desk: SpotDesk) -> None:
        if setup.position_qty == 10:
            desk.orders.take(setup.on_filled(stop, Fill(NANOS, "s", Decimal(7), Decimal(97))))

    rig.trades = own
    heard_first(rig, "nothing more", left=3)
    assert rig.desk.notes == []
    assert setup.position_qty == 3
    assert rig.desk.orders.alive(Leg.STOP) == [3]


@pytest.mark.parametrize("were_ours", [True, False])
def test_a_sale_that_was_judged_has_no_part_in_what_is_missing_later(
    monkeypatch: pytest.MonkeyPatch, were_ours: bool
) -> None:
    """Booked, or found to be of nobody's coins: a withdrawal after it has no price."""
    rig = Rig(monkeypatch, lambda _desk: None)
    rig.trades = lambda _desk: None
    monkeypatch.setattr(rig.desk, "has_living_exit", lambda: False)
    sell(rig.desk, left=None)
    left = 3 if were_ours else 10
    heard_first(rig, "nothing more", left=left)
    assert [reason for reason, _price, _qty in rig.desk.notes] == ["reduced", "reduced"] * were_ours
    rig.desk.notes.clear()
    heard_first(rig, "nothing more", left=left - 2)
    assert rig.desk.notes == [("estimated", Decimal(103), Decimal(2))]


@pytest.mark.parametrize("has_update", [True, False])
def test_a_client_is_asked_as_it_can_be(has_update: bool) -> None:
    """A venue's adapter asks and waits; a simulated account is told at once."""
    asked: list[str] = []

    async def update() -> None:
        asked.append("venue")

    client: Any = SimpleNamespace(query_account=lambda _command: asked.append("simulated"))
    if has_update:
        client._update_account_state = update
    asyncio.run(ask_client(client))
    assert asked == ["venue" if has_update else "simulated"]
