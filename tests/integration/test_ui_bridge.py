"""What a terminal is told of a run through a real engine: the chart, the orders, the money."""

from collections import deque
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from nautilus_trader.backtest.engine import BacktestEngine
from nautilus_trader.model.enums import OrderSide

from indicators.events import EVENT_DTYPE, EventKind
from ml.latency import LatencyHistogram
from packet_builder.packet import PACKET_DTYPE
from runtime.recorder import Listings, account_equity
from strategies.order_forms import quantity_in
from strategies.trade_manager.record import CancelShadow
from tests.integration.engine_harness import START_NS, CheckedStrategy, Trade, event, run
from ui.bridge import TelemetryActor
from ui.protocol import ClosedTrades, Message, decode, encode
from ui.protocol import Trade as Closed
from ui.telemetry.ledger import DayLedger
from ui.telemetry.looks import Looks
from ui.telemetry.models import last_inference_us
from ui.telemetry.sources import TelemetrySources
from ui.terminal_state import TerminalState

RANGE = {2: [event(EventKind.RANGE_FORMED, low=1.0, high=1.1)]}  # entry 1.0295, stop 0.999, target 1.1
DOWN: list[Trade] = [(1.09, 100.0, "b")] * 3 + [(1.05, 100.0, "s"), (1.0290, 5_000.0, "s")]
TO_TARGET: list[Trade] = [(1.06, 100.0, "b"), (1.1005, 50_000.0, "b"), (1.1005, 50_000.0, "b")]
DAY_MS = 86_400_000
DAY_NS = DAY_MS * 1_000_000
FIRST_DAY = START_NS // DAY_NS
REST = {"qty": "1", "entry": "1", "exit": "1", "fees": "0", "reason": "stop"}


class Told:
    """Takes messages, folds them, and checks that a terminal could read each."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, Any, int]] = []
        self.state = TerminalState()
        self.are_all_readable = True

    def publish(self, kind: str, payload: Any, ts_ns: int) -> None:
        """Take a message; whatever is raised here is kept from the run."""
        message = Message("epoch", len(self.messages), ts_ns, kind, payload)
        self.are_all_readable &= decode(encode(message)) == message
        self.messages.append((kind, payload, ts_ns))
        self.state.apply(kind, payload)

    def of(self, kind: str) -> list[Any]:
        """Return the payloads of a kind, in order."""
        return [payload for one, payload, _ in self.messages if one == kind]


def watch(trades: list[Trade], script: Any = None, **options: Any) -> tuple[Told, Any]:
    """Run trades with the actor beside the strategy."""
    told = Told()
    done = watch_by(told, trades, script, **options)
    assert told.are_all_readable, "a terminal would refuse a message"
    return told, done


def watch_by(told: Told, trades: list[Trade], script: Any = None, **options: Any) -> Any:
    """Run trades with the actor beside the strategy, and somebody who takes its messages."""

    def prepare(engine: BacktestEngine) -> None:
        actor = TelemetryActor(
            TelemetrySources(
                mode="backtest",
                session="S1",
                strategies=engine.trader.strategies,
                equity=lambda: account_equity(engine.cache, Listings(engine.cache)),
            ),
            told,
        )
        engine.add_actor(actor)
        actor.adopt()

    return run(trades, RANGE if script is None else script, prepare=prepare, **options)


def test_a_trade_is_told_from_its_zone_to_its_end() -> None:
    """Zone with prices, signal, orders up to their last status, fills, and a flat position at the end."""
    told, done = watch([*DOWN, *TO_TARGET])
    assert [one.exit_reason for one in done.trades] == ["target"]
    (ote,) = [one for one in told.state.snapshot().zone if one.type == "ote"]
    assert (ote.sweet, ote.stop, ote.targets) == (1.0295, 0.999, [1.1])
    (signal,) = [one for one in told.of("sig") if one.taken]
    assert (signal.side, signal.px, signal.zone) == (1, 1.0295, "0")
    last = {one.role: one.status for one in told.state.snapshot().ord}
    assert last == {"entry": "FILLED", "stop": "CANCELED", "target": "FILLED"}
    assert told.state.snapshot().pos == []
    assert told.of("pos")[-1].side == "flat"


def test_a_closed_trade_is_told_with_what_it_made() -> None:
    """In money and in multiples of the risk, with the reason; after the order that closed it."""
    told, done = watch([*DOWN, *TO_TARGET])
    ((kind, said, _),) = [one for one in told.messages if one[0] == "trade"]
    (trade,) = done.trades
    assert kind == "trade"
    assert (said.setup, said.pnl, said.r) == (trade.setup_id, trade.pnl, trade.r_multiple)
    assert (said.reason, said.side, said.ccy) == ("target", "long", "USDT")
    assert (said.since, said.ts) == (trade.entry_ts_ns // 1_000_000, trade.exit_ts_ns // 1_000_000)
    assert told.state.snapshot().trade == [said]


def test_a_day_of_a_backtest_begins_at_midnight() -> None:
    """With what an open position is worth then; the fees and trades of the day are no other day's."""
    told, done = watch([*DOWN, (1.06, 100.0, "b"), (1.05, 100.0, "b"), *TO_TARGET[1:]], step_ns=DAY_NS // 6)
    (trade,) = done.trades
    days = [[one for one in told.of("acct") if one.ts // DAY_MS == FIRST_DAY + day] for day in (0, 1)]
    assert [Decimal(one[0].day_pnl) for one in days] == [0, 0]
    assert days[1][0].ts % DAY_MS == 0, "a header that waits for a fill shows the day before"
    last = days[1][-1]
    assert Decimal(last.day_pnl) == Decimal(last.equity) - Decimal(days[1][0].equity)
    assert Decimal(last.day_pnl) > 0
    entry, *exits = told.of("fill")
    assert Decimal(days[0][-1].fees) == Decimal(entry.fee)
    assert Decimal(last.fees) == sum(Decimal(one.fee) for one in exits)
    assert (days[0][-1].closed, last.closed) == (
        {},
        {"USDT": ClosedTrades(n=1, pnl=trade.pnl, r=trade.r_multiple)},
    )


HELD = [(1.03 + 0.002 * (one % 20), 100.0, "b") for one in range(40)]
FIVE_MINUTES_NS = 300_000_000_000


@pytest.mark.parametrize("account", ["margin", "cash"])
def test_equity_and_the_open_position_are_of_one_moment(account: Any) -> None:
    """Of a replay they are read side by side: what is not in the position changes with fills alone."""
    told, _ = watch([*DOWN, *HELD, *TO_TARGET], account=account)
    entered, *_, out = (at for at, (kind, _, _) in enumerate(told.messages) if kind == "fill")
    held = [one for one in told.messages[entered:out] if one[0] in ("pos", "acct")]
    accounts = [one for kind, one, _ in held if kind == "acct"]
    assert len(accounts) >= 20
    apart = set()
    for (kind, position, _), (other, worth, _) in pairwise(held):
        if (kind, other) == ("pos", "acct"):
            apart.add(Decimal(worth.equity) - Decimal(position.upnl))
    assert len(apart) == 1, "a position is shown whose profit is not in the equity beside it"
    assert len({one.equity for one in accounts}) > 5
    assert [Decimal(one.day_pnl) for one in accounts] == [Decimal(one.equity) - 10_000 for one in accounts]
    top = Decimal(0)
    for one in told.of("acct"):
        top = max(top, Decimal(one.equity))
        assert one.dd_pct == pytest.approx(float(100 * (1 - Decimal(one.equity) / top)))


def test_a_backtest_without_buckets_is_marked_every_five_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    """As its equity curve is, so that both say the same; and only while it holds something."""
    monkeypatch.setattr(TelemetryActor, "_on_bucket", lambda *_: None)
    monkeypatch.setattr(TelemetryActor, "_on_decision", lambda *_: None)
    told, _ = watch([*DOWN, *HELD, *TO_TARGET], step_ns=FIVE_MINUTES_NS // 4)
    entered, *_, out = (ts for kind, _, ts in told.messages if kind == "fill")
    marks = {ts: one for kind, one, ts in told.messages if kind == "acct" and ts % FIVE_MINUTES_NS == 0}
    first_ns = -(-entered // FIVE_MINUTES_NS) * FIVE_MINUTES_NS
    assert sorted(marks) == list(range(first_ns, out + 1, FIVE_MINUTES_NS))
    assert len({one.equity for one in marks.values()}) > 5


def test_the_fee_of_a_fill_that_begins_a_day_is_of_the_day() -> None:
    """Nothing else was told since midnight."""
    told = Told()
    coin = SimpleNamespace(code="USDT")
    cache = SimpleNamespace(instrument=lambda _id: SimpleNamespace(quote_currency=coin), accounts=tuple)
    worth = [Decimal(1_000), Decimal(997), Decimal(950)]
    sources = TelemetrySources(mode="backtest", session="S1", strategies=tuple, equity=lambda: worth.pop(0))
    looks = Looks(sources, told, cache, "T", has_chart=lambda _name: True)
    looks.account(DAY_NS - 1)
    looks.pay(Decimal(3), "USDT", Decimal(1), None, DAY_NS)
    looks.account(DAY_NS + 1)
    assert [(one.day_pnl, one.fees) for one in told.of("acct")] == [("0", "0"), ("-50", "3")]


def test_a_closed_trade_is_counted_after_a_restart(tmp_path: Path) -> None:
    """The terminals of a node that was started anew are told of the whole day."""
    file = tmp_path / "day.json"
    before = DayLedger(file)
    before.take(Decimal(100), 1)
    before.close(Closed(setup="A", ins="X", side="long", ts=0, since=0, ccy="USDT", r=-1.0, pnl="-2", **REST))
    told = Told()
    sources = TelemetrySources(
        mode="paper", session="S2", strategies=tuple, equity=lambda: Decimal(98), day_file=file
    )
    looks = Looks(sources, told, SimpleNamespace(accounts=tuple), "T", has_chart=lambda _name: True)
    looks.account(2)
    (said,) = told.of("acct")
    assert said.closed == {"USDT": ClosedTrades(n=1, pnl="-2", r=-1.0)}


def test_fills_are_those_of_the_engine_to_the_last_unit() -> None:
    """Quantities, prices and fees as exact decimals."""
    told, done = watch([*DOWN, *TO_TARGET])
    fills = [
        (event.client_order_id.value, str(event.last_qty), str(event.last_px), event.commission.as_decimal())
        for order in done.orders
        for event in order.events
        if type(event).__name__ == "OrderFilled"
    ]
    said = [(one.coid, one.qty, one.px, Decimal(one.fee)) for one in told.of("fill")]
    assert sorted(said) == sorted(fills)
    assert fills


def test_a_backtests_state_is_told_when_something_is_decided() -> None:
    """A strategy loads its model after the actor began: header and pane must not wait for the end."""
    passport = SimpleNamespace(verdict="skill", model_sha256="ab")
    model = SimpleNamespace(model=SimpleNamespace(model=SimpleNamespace(passport=passport)))

    def load(number: int, strategy: Any) -> None:
        if number == 1:
            strategy.filter = model

    told, done = watch([*DOWN, *TO_TARGET], hook=load)
    first = done.kinds("entry_submitted")[0].ts_ns
    told_ns = next(ts_ns for kind, one, ts_ns in told.messages if kind == "st" and one.models)
    assert told_ns <= first
    assert [one.verdict for one in told.of("st")[-1].models] == ["skill"]


def test_a_position_says_what_it_is_worth() -> None:
    """Open profit at the last price, and how much of the risk that is."""
    told, _ = watch([*DOWN, (1.06, 100.0, "b")])
    (position,) = told.state.snapshot().pos
    assert (position.side, position.stop, position.targets) == ("long", "0.9990", ["1.1000"])
    assert Decimal(position.avg) == Decimal("1.0295")


def test_every_bucket_is_told_once_and_in_order() -> None:
    """The axis of the chart has no hole."""
    told, done = watch([*DOWN, *TO_TARGET])
    assert [one.i for one in told.of("bkt")] == list(range(len(DOWN) + len(TO_TARGET)))
    assert done.strategy.bucket_seq == told.of("bkt")[-1].i


def test_zones_of_before_the_start_are_told_with_its_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chart after a restart has what lives, not only what arises from then on."""
    gap = np.array([event(EventKind.FVG, low=1.0, high=1.1)], EVENT_DTYPE)
    monkeypatch.setattr("ui.bridge.living_events", lambda _structure, _newest: gap)

    def warm_up(number: int, strategy: Any) -> None:
        if number == 2:
            strategy.recent_packets = deque([bytes(PACKET_DTYPE.itemsize)])

    told, _ = watch([*DOWN, *TO_TARGET], {}, hook=warm_up)
    (zone,) = told.of("zone")
    assert (zone.type, zone.bot, zone.top) == ("fvg", 1.0, 1.1)
    kinds = [kind for kind, _one, _ts_ns in told.messages if kind in ("bkt", "zone")]
    assert kinds.index("zone") < len(DOWN)


def test_a_policys_cancel_is_told_with_its_probability() -> None:
    """What it said, the threshold, and the line of the ledger with what the entry would have become."""
    near: list[Trade] = [(1.036, 100.0, "s"), (1.0299, 100.0, "s"), (1.05, 100.0, "b")]

    def end_shadow(number: int, strategy: Any) -> None:
        if number == len(DOWN[:3]) + len(near):
            (order,) = strategy.cache.orders()
            shadow = CancelShadow(
                ts_ns=strategy.clock.timestamp_ns(),
                strategy_id=strategy.id.value,
                instrument_id=strategy.instrument_id.value,
                client_order_id=order.client_order_id.value,
                outcome="target",
                net_r=1.5,
            )
            strategy.msgbus.publish(topic=f"shadows.{strategy.instrument_id.value}", msg=shadow)

    policy = "tests.integration.test_ote_gate:Scripted"
    told, done = watch(
        [*DOWN[:3], *near, *TO_TARGET], hook=end_shadow, cancel_policy=policy, approach_band_pct=1.0
    )
    asked = done.kinds("cancel_asked")
    assert [(one.p, one.thr, one.verdict) for one in told.of("mdl")] == [
        (one.probability, one.threshold, one.detail["action"]) for one in asked
    ]
    assert told.of("mdl")[-1].verdict == "cancel"
    assert {one.infer_us for one in told.of("mdl")} == {None}, "nothing measures a rule"
    (line,) = told.state.snapshot().cancel
    assert (line.p, line.thr, line.outcome, line.would_r) == (0.2, 0.4, "target", 1.5)
    assert line.ts == asked[-1].ts_ns // 1_000_000


def test_a_model_is_told_with_its_threshold_and_how_long_it_took() -> None:
    """Each entry has its own threshold, so the state of a node has that of the last decision."""
    passport = SimpleNamespace(verdict="skill", model_sha256="ab")
    latency = LatencyHistogram()
    judge = SimpleNamespace(
        latency=latency,
        gate=SimpleNamespace(is_expired=False, model=SimpleNamespace(passport=passport)),
    )
    told = Told()
    ins = SimpleNamespace(value="XRPUSDT.BINANCE")
    strategy = SimpleNamespace(instrument_id=ins, gate=SimpleNamespace(judge=judge))
    sources = TelemetrySources(
        mode="backtest", session="S1", strategies=lambda: [strategy], equity=lambda: None
    )
    looks = Looks(sources, told, SimpleNamespace(), "T", has_chart=lambda _name: True)
    looks.state(0)
    assert last_inference_us(strategy) is None
    for took_ns in (90_000, 42_000):
        latency.add(took_ns)
    looks.thresholds[ins.value] = 0.41
    looks.state(1)
    assert last_inference_us(strategy) == 42.0
    assert [[model.threshold for model in one.models] for one in told.of("st")] == [[None], [0.41]]


def test_the_run_decides_the_same_with_and_without_it() -> None:
    """A terminal only watches."""
    _, with_terminal = watch([*DOWN, *TO_TARGET])
    without = run([*DOWN, *TO_TARGET], RANGE)
    assert with_terminal.decisions == without.decisions
    assert with_terminal.balance == without.balance


def test_a_terminal_that_cannot_be_told_harms_nothing() -> None:
    """Whoever decides calls the actor, and must not be stopped by it."""

    class Broken(Told):
        def publish(self, kind: str, payload: Any, ts_ns: int) -> None:
            super().publish(kind, payload, ts_ns)
            raise RuntimeError("no room")

    _, without = watch([*DOWN, *TO_TARGET])
    told = Broken()
    with_broken = watch_by(told, [*DOWN, *TO_TARGET])
    assert told.messages
    assert with_broken.decisions == without.decisions


def test_what_no_setup_explains_is_told_and_can_be_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A position bought by hand: its side, size and worth, and that it is gone once it was closed."""
    told = Told()
    # The harness knows planned positions alone.
    monkeypatch.setattr(CheckedStrategy, "check_against_cache", lambda _self: None)

    def hook(number: int, strategy: CheckedStrategy) -> None:
        if number == 1:
            sources = TelemetrySources(
                mode="live", session="S1", strategies=lambda: [strategy], equity=lambda: None
            )
            strategy.looks = Looks(sources, told, strategy.cache, "T-001", lambda _name: True)
        if number == 2:
            strategy.looks.externals(1)
            hundred = quantity_in(strategy.instrument, Decimal(100))
            strategy.submit_order(
                strategy.order_factory.market(strategy.instrument_id, OrderSide.BUY, hundred)
            )
        if number == 10:
            opened_ns = strategy.cache.positions_open()[0].ts_opened
            strategy.looks.externals(opened_ns + 90_400_000_000)
            assert [strategy.close_unplanned_by_hand("enough", "anna") for _ in range(2)] == [True, False]
        if number == 18:
            strategy.looks.externals(3)
            strategy.looks.externals(4)

    run([(1.0, 100.0, "b")] * 4 + [(1.01, 100.0, "b")] * 20, {}, hook=hook)
    held, gone = told.of("pos")
    assert (held.setup, held.side, held.qty, held.stop, held.targets) == (
        "external",
        "long",
        "100.0",
        None,
        [],
    )
    assert Decimal(held.avg) < Decimal("1.01")
    assert Decimal(held.upnl) == (Decimal("1.01") - Decimal(held.avg)) * 100
    # It never had a stop of ours.
    assert held.unprotected_ms == 90_000
    assert (gone.setup, gone.side) == ("external", "flat")
    assert told.state.snapshot().pos == []
