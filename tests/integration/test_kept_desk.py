"""A desk that loses its memory in the middle of a trade and takes it up from the state file.

The engine and the simulated venue go on, as a venue does while a node is restarted; `CheckedStrategy` asserts
after every event that position and protection agree.
"""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from nautilus_trader.core.uuid import UUID4
from nautilus_trader.model.enums import OrderSide
from nautilus_trader.model.events import OrderRejected
from nautilus_trader.model.identifiers import AccountId, ClientOrderId, InstrumentId, StrategyId, TraderId
from nautilus_trader.test_kit.providers import TestInstrumentProvider
from nautilus_trader.test_kit.stubs.events import TestEventStubs
from nautilus_trader.test_kit.stubs.execution import TestExecStubs

from runtime.live.state import StateFile, StateKeeper
from strategies.entry_halt import HaltEntries, Holds, RearmEntries, listen_to_holds
from strategies.kept_desk import KeptDesk
from strategies.order_forms import price_in, quantity_in
from strategies.protection import VENUES
from strategies.setup_desk import SetupDesk
from strategies.trade_manager.client_ids import client_order_id, parsed
from strategies.trade_manager.orders import Leg
from strategies.trade_manager.setup_rules import ExitRules
from tests.integration.engine_harness import AccountName, CheckedStrategy, run
from tests.integration.test_ote_fuzz import random_tape
from tests.integration.test_ote_orders import (
    AFTERWARDS,
    BEFORE_TARGET,
    DOWN_TO_ENTRY,
    FORMED,
    START,
    THROUGH_ENTRY,
    THROUGH_TARGET,
    flat,
)

CHART = [*BEFORE_TARGET, *THROUGH_TARGET, *AFTERWARDS]
type Hook = Callable[[int, CheckedStrategy], None]


def lose_memory(strategy: CheckedStrategy) -> None:
    """Forget everything of the setups, as a process does that is killed, and take up what was kept."""
    strategy.setup = None
    strategy._by_order.clear()
    strategy._remembered.clear()
    strategy._dust_qty = strategy._dust_value = Decimal(0)
    strategy.restore()
    strategy.take_picture(strategy.cached_orders(), is_complete=True)


class Forgetful:
    """A hook that gives a strategy a state file, and kills it at chosen trades."""

    def __init__(self, path: Path, deaths: set[int]) -> None:
        self.path = path
        self.deaths = deaths

    def __call__(self, number: int, strategy: CheckedStrategy) -> None:
        if strategy.keeper is None:
            strategy.keeper = StateKeeper(StateFile(self.path / "state.sqlite"))
        if number in self.deaths:
            keeper: Any = strategy.keeper
            keeper.file.close()
            strategy.keeper = StateKeeper(StateFile(self.path / "state.sqlite"))
            lose_memory(strategy)


def told(trade: Any) -> dict[str, Any]:
    """Return a trade without what single prices and buckets add: those are not stored one by one."""
    fields: dict[str, Any] = msgspec.to_builtins(trade)
    unstored = ("mae_", "mfe_", "entry_bucket", "exit_bucket")
    return {name: value for name, value in fields.items() if not name.startswith(unstored)}


def plain(decisions: list[Any]) -> list[Any]:
    """Return decisions without the record of restarts."""
    return [one for one in decisions if one.kind != "restored"]


@pytest.mark.parametrize("account", ["cash", "margin"])
@pytest.mark.parametrize("latency_ms", [0, 50])
def test_a_trade_ends_as_if_the_node_had_never_died(
    tmp_path: Path, account: AccountName, latency_ms: int
) -> None:
    """Killed after every trade: the same trade, the same decisions, no order more."""
    usual = run(CHART, {2: [FORMED]}, account=account, latency_ms=latency_ms)
    hook = Forgetful(tmp_path, set(range(3, len(CHART))))
    mortal = run(CHART, {2: [FORMED]}, account=account, latency_ms=latency_ms, hook=hook)
    assert [told(one) for one in mortal.trades] == [told(one) for one in usual.trades]
    assert plain(mortal.decisions) == plain(usual.decisions)
    assert len(mortal.orders) == len(usual.orders)
    assert mortal.strategy.counters["setups_restored"] > 20


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("account", ["cash", "margin"])
def test_deaths_on_random_tapes_break_no_rule(tmp_path: Path, account: AccountName, seed: int) -> None:
    """Every 7th trade: position and protection agree throughout, and no id is used twice."""
    trades, script = random_tape(1000 * seed)
    hook = Forgetful(tmp_path, set(range(5, len(trades), 7)))
    result = run(
        trades, script, account=account, latency_ms=50, hook=hook, min_reward_risk=0.5, max_notional_pct=50.0
    )
    assert result.strategy.counters["illegal_transitions"] == 0
    assert result.strategy.counters["setups_restored"] > 10
    assert result.trades
    ids = [order.client_order_id.value for order in result.orders]
    assert len(ids) == len(set(ids))


def test_a_zone_is_not_entered_again_after_a_restart(tmp_path: Path) -> None:
    """Its entry was sent before; the structure that is built anew finds the same zone, with the same id."""

    def hook(number: int, strategy: CheckedStrategy) -> None:
        forget(number, strategy)
        if number == 15:
            assert strategy.setup is None  # the closed one is only listened to
            for zone in strategy.zones.live.values():
                zone.is_used = False
                strategy.entries.waiting[zone.zone_id] = zone

    forget = Forgetful(tmp_path, {14})

    def taken_back(number: int, strategy: CheckedStrategy) -> None:
        if number == 8:
            strategy.cancel_entry_by_hand("anna")
        hook(number, strategy)

    result = run([*START, *DOWN_TO_ENTRY], {2: [FORMED]}, hook=taken_back)
    assert len(result.orders) == 1
    assert [one.reason for one in result.kinds("zone_skipped")] == ["used"]


def test_nothing_is_opened_that_cannot_be_kept(tmp_path: Path) -> None:
    """The state file fails before the entry: no order leaves, and the desk halts."""

    def hook(number: int, strategy: CheckedStrategy) -> None:
        if number == 0:
            strategy.keeper = StateKeeper(StateFile(tmp_path / "state.sqlite"))
            strategy.keeper.file.close()  # every write fails from now on

    result = run([*START, *DOWN_TO_ENTRY], {2: [FORMED]}, hook=hook)
    assert result.orders == []
    assert [one.reason for one in result.kinds("entry_rejected")] == ["not_stored"]
    assert result.strategy.is_halted


def test_a_position_is_protected_though_it_cannot_be_kept(tmp_path: Path) -> None:
    """The disk fills up between entry and fill: stop and target go out all the same."""

    def hook(number: int, strategy: CheckedStrategy) -> None:
        if number == 0:
            strategy.keeper = StateKeeper(StateFile(tmp_path / "state.sqlite"))
        elif number == 10:
            keeper: Any = strategy.keeper
            keeper.file.close()

    result = run(CHART, {2: [FORMED]}, hook=hook)
    assert [one.exit_reason for one in result.trades] == ["target"]


def test_room_is_made_for_every_exit_and_for_no_entry() -> None:
    """The limits may have been lowered since: Nautilus' risk engine would refuse the stop of what is held."""
    rooms: list[Decimal] = []

    def hook(number: int, strategy: CheckedStrategy) -> None:
        strategy.make_room = lambda _instrument_id, notional: rooms.append(notional)

    result = run(CHART, {2: [FORMED]}, hook=hook)
    exits = [one for one in result.orders if one.tags != ["ENTRY"]]
    assert len(rooms) == len(exits) > 1
    for room, order in zip(rooms, exits, strict=True):
        price = order.price if order.has_price else order.trigger_price
        assert room >= order.quantity.as_decimal() * price.as_decimal()


@pytest.mark.parametrize("has_looked", [True, False])
def test_a_halt_and_a_strangers_trade_outlive_the_process(tmp_path: Path, *, has_looked: bool) -> None:
    """A supervisor that starts the node again is no person who has looked; a rearm is."""
    seen: list[tuple[bool, str]] = []

    def hook(number: int, strategy: CheckedStrategy) -> None:
        forget(number, strategy)
        if number == 1:
            strategy.halt("exits were refused")
            strategy.hold_for_external("somebody bought here")
        if number == 2 and has_looked:
            strategy.on_rearm_entries(RearmEntries(ts_ns=1, actor="anna"))
        if number == 3:  # as a new process begins, before it hears anything
            strategy.is_halted, strategy.kept_halt = False, ""
            strategy.holds = Holds(strategy.instrument_id.value)
            listen_to_holds(strategy.msgbus, strategy)
            strategy.restore()
            seen.append((strategy.is_halted, strategy.holds.text))

    forget = Forgetful(tmp_path, set())
    result = run([*START, *DOWN_TO_ENTRY], {2: [FORMED]}, hook=hook)
    assert seen == [(False, "") if has_looked else (True, "external")]
    assert bool(result.orders) == has_looked
    reasons = [one.reason for one in result.kinds("halted")]
    assert reasons == ["exits were refused"] * (1 if has_looked else 2)


def test_a_halt_of_the_whole_node_is_not_the_desks_to_keep(tmp_path: Path) -> None:
    """The kill file keeps that one; a person who removes it and starts the node anew means it."""

    def hook(number: int, strategy: CheckedStrategy) -> None:
        forget(number, strategy)
        if number == 1:
            strategy.on_halt_entries(HaltEntries(ts_ns=1, source="kill", reason="x", remedy="y"))
            assert strategy.is_halted
            assert strategy.memory().halted == ""

    forget = Forgetful(tmp_path, set())
    run(START, {2: [FORMED]}, hook=hook)


def test_orphans_are_cancelled_once_and_other_orders_never(tmp_path: Path) -> None:
    """An order with an id of ours and no living setup goes; those of the setup and a stranger's stay."""
    swept: list[list[str]] = []
    own = client_order_id("OTE", "XRPUSDT-PERP", "Lgone", Leg.TARGET.value, 1)

    def hook(number: int, strategy: CheckedStrategy) -> None:
        forget(number, strategy)
        if number == len(START) + 1:
            assert strategy.setup is not None
            assert not strategy.setup.is_closed
            assert parsed(strategy.tag, strategy.instrument_id.symbol.value, names[0]) is not None
            for name in names:
                order = strategy.order_factory.limit(
                    strategy.instrument_id,
                    OrderSide.SELL,
                    quantity_in(strategy.instrument, Decimal(1)),
                    price_in(strategy.instrument, Decimal("9.0000")),
                    client_order_id=ClientOrderId(name),
                )
                strategy.submit_order(order)
        if number in (len(START) + 3, len(START) + 4):
            swept.append(strategy.sweep_orphans())

    forget = Forgetful(tmp_path, set())
    names = [own, "by-hand"]
    run(CHART, {2: [FORMED]}, hook=hook)
    assert swept[0] == [own]
    assert own not in swept[1]


def test_what_a_person_does_at_the_venue_is_external(tmp_path: Path) -> None:
    """F25: half of the position is sold by somebody else: booked, the exits follow, entries are held."""

    def hook(number: int, strategy: CheckedStrategy) -> None:
        if number == 0:
            strategy.keeper = StateKeeper(StateFile(tmp_path / "state.sqlite"))
        if number == len(START) + len(DOWN_TO_ENTRY) + len(THROUGH_ENTRY) + 10:
            assert strategy.setup is not None
            half = (strategy.setup.position_qty / 2).quantize(Decimal("0.1"))
            order = strategy.order_factory.market(
                strategy.instrument_id, OrderSide.SELL, quantity_in(strategy.instrument, half)
            )
            strategy.submit_order(order)

    result = run([*BEFORE_TARGET, *flat(1.08, 30)], {2: [FORMED]}, hook=hook)
    gone = sum((Decimal(one.qty) for one in result.kinds("external")), Decimal(0))
    setup = result.strategy.setup
    assert setup is not None
    assert 0 < gone == result.strategy.setup.ledger.exit_qty
    assert gone + setup.position_qty == setup.ledger.entry_qty
    stops = [one for one in setup.orders.values() if one.leg is Leg.STOP and one.is_alive]
    assert [one.leaves_qty for one in stops] == [setup.position_qty]
    assert [one.source for one in result.strategy.holds.standing] == ["external"]


def test_an_unplanned_position_gets_a_stop(tmp_path: Path) -> None:
    """A position that no setup explains is protected at the set distance and then followed like a setup."""

    def hook(number: int, strategy: CheckedStrategy) -> None:
        if number == 0:
            strategy.keeper = StateKeeper(StateFile(tmp_path / "state.sqlite"))
        if number == 5:
            order = strategy.order_factory.market(
                strategy.instrument_id, OrderSide.BUY, quantity_in(strategy.instrument, Decimal(100))
            )
            strategy.submit_order(order)
            strategy.on_trade_hook = None
            strategy.clock.set_time_alert_ns(
                "later",
                strategy.clock.timestamp_ns() + 100_000_000,
                lambda _event: strategy.protect_unplanned(2.0),
            )

    # The checks of the harness know planned positions alone until the stop is placed.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CheckedStrategy, "check_against_cache", lambda _self: None)
        result = run([*flat(1.0, 30), *flat(0.97, 10)], {}, hook=hook)
    (trade,) = result.trades
    assert (trade.exit_reason, trade.stop_price, trade.qty) == ("stop", "0.98", "100")
    assert result.open_positions == 0


class Stranger:
    """A desk under a position that nobody planned, and the orders that it sends to close it."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.now_ns = 1_000_000_000
        host = SimpleNamespace(
            clock=SimpleNamespace(timestamp_ns=lambda: self.now_ns),
            cache=SimpleNamespace(
                order=lambda name: {one.client_order_id: one for one in self.sent}.get(name)
            ),
            order_factory=SimpleNamespace(market=self._market),
            submit_order=self.sent.append,
        )
        name = InstrumentId.from_str("XYZUSDT-PERP.BINANCE")
        self.desk: Any = SetupDesk(host, name, "OTE", ExitRules(answer_secs=10.0), {})
        self.desk.market = SimpleNamespace(lot_size=Decimal(1), max_qty=None)
        self.desk.venue = VENUES["BINANCE", "margin"]
        self.desk.unplanned_qty = lambda: Decimal(-7)
        self.desk.instrument = SimpleNamespace(size_precision=0)
        host.log = SimpleNamespace(warning=lambda _text: None, error=lambda _text: None)
        self.desk.decide = lambda *words, **_facts: words

    def _market(self, **words: Any) -> Any:
        return SimpleNamespace(
            is_closed=False,
            is_open=False,
            is_inflight=False,
            ts_init=self.now_ns,
            last_event=None,
            **words,
        )

    def refuse(self, order: Any, reason: str) -> None:
        """Let the venue refuse an order."""
        order.is_closed = True
        order.last_event = OrderRejected(
            TraderId("T-001"), StrategyId("S-1"), self.desk.instrument_id, order.client_order_id,
            AccountId("BINANCE-1"), reason, UUID4(), 0, 0,
        )  # fmt: skip

    def fill(self, order: Any) -> None:
        """Let the venue fill an order."""
        order.is_closed = True
        order.last_event = TestEventStubs.order_filled(
            TestExecStubs.limit_order(), TestInstrumentProvider.default_fx_ccy("AUD/USD")
        )

    def watchdog_after(self, secs: float) -> int:
        """Let the watchdog ask again; return how many orders were sent so far."""
        self.now_ns += round(secs * 1_000_000_000)
        self.desk.close_unplanned(2.1)
        return len(self.sent)


def test_what_closes_a_strangers_position_is_sent_once_at_a_time() -> None:
    """The watchdog asks every two seconds; an order whose answer is out is not followed by another."""
    stranger = Stranger()
    assert stranger.watchdog_after(0) == 1
    assert stranger.watchdog_after(2.1) == 1
    stranger.sent[0].is_closed = True  # refused: the next one may go
    assert stranger.watchdog_after(2.1) == 2
    assert len({one.client_order_id for one in stranger.sent}) == 2


def test_a_person_closes_a_strangers_position_once() -> None:
    """Reduce-only, at market, the side that ends it; asked again while the order is out, nothing leaves."""
    stranger = Stranger()
    desk = stranger.desk
    assert [desk.close_unplanned_by_hand("enough", "anna") for _ in range(2)] == [True, False]
    (order,) = stranger.sent
    assert (str(order.quantity), order.order_side.name, order.reduce_only) == ("7", "BUY", True)
    desk.unplanned_qty = lambda: Decimal("0.5")  # less than a lot
    order.is_closed = True
    assert not desk.close_unplanned_by_hand("enough", "anna")
    assert desk.counters["commanded_close_unplanned"] == 1


def test_a_strangers_position_is_closed_in_pieces_that_the_venue_takes() -> None:
    """Together and of about one size; the next ones go when all of them are over."""
    stranger = Stranger()
    stranger.desk.market.max_qty = Decimal("3.5")
    assert stranger.watchdog_after(0) == 3
    assert [str(one.quantity) for one in stranger.sent] == ["3", "2", "2"]
    assert [one.client_order_id.value[-2:] for one in stranger.sent] == ["X1", "X2", "X3"]
    assert {one.reduce_only for one in stranger.sent} == {True}
    stranger.sent[0].is_closed = stranger.sent[2].is_closed = True
    assert stranger.watchdog_after(2.1) == 3
    stranger.sent[1].is_closed = True
    assert stranger.watchdog_after(2.1) == 6


def test_a_strangers_position_is_closed_by_halves_where_nobody_told_the_limit() -> None:
    """What was refused as too large is not sent again as it was; another refusal says nothing of the size."""
    stranger = Stranger()
    stranger.watchdog_after(0)
    stranger.refuse(stranger.sent[0], "{'code': -1008, 'msg': 'throttled'}")
    assert stranger.watchdog_after(2.1) == 2
    stranger.refuse(stranger.sent[1], "{'code': -4005, 'msg': 'Quantity greater than max quantity.'}")
    stranger.watchdog_after(2.1)
    assert [str(one.quantity) for one in stranger.sent] == ["7", "7", "3", "2", "2"]


def test_a_limit_learnt_from_a_stranger_grows_again() -> None:
    """It doubles with each position that left whole, not between the pieces of one."""
    stranger = Stranger()
    stranger.watchdog_after(0)
    stranger.refuse(stranger.sent[0], "{'code': -4005, 'msg': 'Quantity greater than max quantity.'}")
    sizes = []
    for _ in range(3):
        before = len(stranger.sent)
        stranger.watchdog_after(2.1)
        sizes.append([str(one.quantity) for one in stranger.sent[before:]])
        for order in stranger.sent[before:]:
            stranger.fill(order)
    assert sizes == [["3", "2", "2"], ["4", "3"], ["7"]]


def test_pieces_of_a_strangers_position_leave_a_few_at_a_time() -> None:
    """More in a second would be denied, and with them the stops of others; the rest follows the last one."""
    stranger = Stranger()
    stranger.desk.keeper = SimpleNamespace(keep_memory=lambda _desk: None)
    stranger.desk.market.max_qty, stranger.desk.market.lot_size = Decimal(1), Decimal("0.5")
    stranger.desk.instrument.size_precision = 1
    assert stranger.watchdog_after(0) == 5
    for order in stranger.sent[:5]:
        assert len(stranger.sent) == 5
        stranger.refuse(order, "{'code': -4005, 'msg': 'Quantity greater than max quantity.'}")
        stranger.desk.on_order_event(order.last_event)
    assert len(stranger.sent) == 10
    assert len({one.client_order_id for one in stranger.sent}) == 10


def test_a_too_large_order_of_a_strangers_position_is_halved_at_once() -> None:
    """The answer was an answer: nobody waits for the watchdog; after another refusal it is waited."""
    stranger = Stranger()
    stranger.desk.keeper = SimpleNamespace(keep_memory=lambda _desk: None)
    stranger.watchdog_after(0)
    stranger.refuse(stranger.sent[0], "{'code': -4005, 'msg': 'Quantity greater than max quantity.'}")
    stranger.desk.on_order_event(stranger.sent[0].last_event)
    assert [str(one.quantity) for one in stranger.sent] == ["7", "3", "2", "2"]
    for order in stranger.sent[1:]:
        stranger.refuse(order, "{'code': -1008, 'msg': 'throttled'}")
        stranger.desk.on_order_event(order.last_event)
    assert len(stranger.sent) == 4


@pytest.mark.parametrize("state", ["is_inflight", "is_open"])
def test_what_closes_a_strangers_position_is_waited_for_where_the_venue_may_have_it(state: str) -> None:
    """However long the answer takes: who asks about orders ends it, and a second one might sell twice."""
    stranger = Stranger()
    stranger.watchdog_after(0)
    setattr(stranger.sent[0], state, True)
    assert stranger.watchdog_after(3_600) == 1


def test_what_never_left_does_not_keep_a_strangers_position_open() -> None:
    """A client that failed before it sent the order says nothing of it: it stays new for ever."""
    stranger = Stranger()
    stranger.watchdog_after(0)
    assert stranger.watchdog_after(9.9) == 1
    assert stranger.watchdog_after(0.1) == 2
    assert stranger.watchdog_after(2.1) == 2  # the new one has its time
    assert len({one.client_order_id for one in stranger.sent}) == 2


@pytest.mark.parametrize("leg", [Leg.STOP, Leg.TARGET, Leg.EXIT])
def test_coins_of_somebody_else_are_not_protected_while_an_exit_is_unanswered(leg: Leg) -> None:
    """Spot: the stop may have sold the setup's coins while no node ran; a new one would sell the others."""
    own = SimpleNamespace(leg=leg, client_id="X-1")
    setup = cast("Any", SimpleNamespace(
        orders={"X-1": own}, position_qty=Decimal(1), plan=SimpleNamespace(direction=1)
    ))  # fmt: skip

    def is_held(*unanswered: str) -> bool:
        desk = cast("Any", SimpleNamespace(
            account_kind=lambda: "cash", unanswered_orders=lambda: list(unanswered), held_qty=lambda _side: 5
        ))  # fmt: skip
        return KeptDesk._is_really_held(desk, setup)

    assert not is_held("X-1")
    assert is_held()


def test_a_fill_of_long_ago_is_no_strangers_trade() -> None:
    """A report of the whole account brings back a sale that Nautilus had purged: nothing changes."""
    said: list[str] = []
    event = cast("Any", SimpleNamespace(ts_event=99, client_order_id=ClientOrderId("OTE-XYZUSDT-L1-T1")))
    desk = cast("Any", SimpleNamespace(began_ns=100, log_error=said.append))
    KeptDesk.on_foreign_fill(desk, event)  # anything more would ask the desk for what it does not have
    assert "older than this node" in said[0]
