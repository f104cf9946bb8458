"""A node on paper over its life: latency on the clock, a restart, what status and reset say."""

import time
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from nautilus_trader.config import StrategyConfig
from nautilus_trader.model.enums import OrderSide, OrderStatus
from nautilus_trader.model.events import OrderAccepted, OrderDenied, OrderFilled, OrderSubmitted
from nautilus_trader.model.identifiers import ClientOrderId, InstrumentId, Venue
from nautilus_trader.model.instruments import Instrument
from nautilus_trader.trading.strategy import Strategy

from runtime.errors import ConfigurationError
from runtime.journal.actor import JournalActor, JournalActorConfig
from runtime.live.hand_over import HandOver
from runtime.live.late_hearing import LateHearing
from runtime.live.paper_command import reset, status
from runtime.live.paper_settings import PaperSettings
from runtime.live.recovery import _entries_wait
from strategies.entry_halt import HALT_TOPIC
from strategies.trade_manager.record import Decision
from tests.integration.engine_harness import Trade, instrument_of, ticks_of
from tests.integration.paper_harness import Running, run_node

D = Decimal
PAPER = PaperSettings(latency_ms=25, time="data", funding="none")


class ByHandConfig(StrategyConfig, frozen=True, kw_only=True):
    """What is traded."""

    instrument_id: InstrumentId


class ByHand(Strategy):
    """Sends what a test tells it to and writes down what it hears."""

    def __init__(self, instrument: Instrument) -> None:
        super().__init__(ByHandConfig(instrument_id=instrument.id, external_order_claims=[instrument.id]))
        self.instrument = instrument
        self.events: list[Any] = []
        self.heard_ns: list[int] = []

    def on_start(self) -> None:
        self.subscribe_trade_ticks(self.instrument.id)

    def on_order_event(self, event: Any) -> None:
        self.events.append(event)
        self.heard_ns.append(time.monotonic_ns())

    def market(self, name: str, side: OrderSide, qty: float) -> None:
        """Send a market order."""
        self.submit_order(
            self.order_factory.market(
                self.instrument.id, side, self.instrument.make_qty(qty), client_order_id=ClientOrderId(name)
            )
        )

    def limit(self, name: str, side: OrderSide, qty: float, price: float) -> None:
        """Send a limit order."""
        self.submit_order(
            self.order_factory.limit(
                self.instrument.id,
                side,
                self.instrument.make_qty(qty),
                self.instrument.make_price(price),
                client_order_id=ClientOrderId(name),
            )
        )

    def kinds(self, name: str) -> list[str]:
        """Return the kinds of the events of an order."""
        return [type(one).__name__ for one in self.events if one.client_order_id.value == name]


def flat_prints(*prices: float, size: float = 500.0) -> list[Trade]:
    """Return prints at these prices, sellers and buyers in turn."""
    return [(price, size, "bs"[number % 2]) for number, price in enumerate(prices)]


def later(ticks: list[Any], instrument: Instrument, trades: list[Trade]) -> list[Any]:
    """Return prints behind others."""
    return ticks_of(instrument, [*flat_prints(*(1.5 for _tick in ticks)), *trades])[len(ticks) :]


@pytest.mark.node_starts(2)
@pytest.mark.parametrize("account", ["cash", pytest.param("margin", marks=pytest.mark.slow)])
def test_orders_and_positions_survive_a_restart(account: Any, tmp_path: Path) -> None:
    """After a restart the strategy owns its position and its resting order, whose fill still arrives."""
    instrument = instrument_of(account)
    folder = tmp_path / "paper"
    first = ticks_of(instrument, flat_prints(*[1.5] * 6))
    before, after = ByHand(instrument), ByHand(instrument)

    async def buy(running: Running) -> Any:
        await running.push(first[:2])
        before.market("B-1", OrderSide.BUY, 100)
        await running.push([])
        await running.push(later(first, instrument, flat_prints(1.5, 1.5, 1.5, 1.5, 1.5)), turns=8)
        before.limit("S-1", OrderSide.SELL, 99, 1.6)
        await running.push([])
        more = ticks_of(instrument, flat_prints(*[1.5] * 20))[11:]
        await running.push(more)
        return running.node.cache.account_for_venue(Venue("BINANCE")).balances_total()

    async def sell(running: Running) -> Any:
        cache = running.node.cache
        order = cache.order(ClientOrderId("S-1"))
        (position,) = cache.positions_open()
        seen = {
            "status": order.status,
            "strategy": order.strategy_id,
            "qty": position.signed_decimal_qty(),
            "entry": position.avg_px_open,
            "owner": position.strategy_id,
            "balances": cache.account_for_venue(Venue("BINANCE")).balances_total(),
        }
        through = ticks_of(instrument, flat_prints(*[1.5] * 20, 1.55, 1.55, 1.61, 1.62, 1.62))[20:]
        await running.push(through)
        return seen

    balances = run_node(instrument, [before], buy, paper=PAPER, folder=folder)
    assert "OrderFilled" in before.kinds("B-1")
    assert before.kinds("S-1")[-1] == "OrderAccepted"

    seen = run_node(instrument, [after], sell, paper=PAPER, folder=folder)
    assert seen["status"] == OrderStatus.ACCEPTED
    assert seen["strategy"] == seen["owner"] == after.id
    assert abs(seen["qty"] - 100) < D("0.1")
    assert seen["entry"] == 1.5
    assert seen["balances"] == balances
    assert "OrderFilled" in after.kinds("S-1")
    fill = next(
        one for one in after.events if isinstance(one, OrderFilled) and one.client_order_id.value == "S-1"
    )
    assert fill.trade_id.value == "BINANCE-T2"


@pytest.mark.slow
def test_latency_passes_on_the_clock_without_prints() -> None:
    """Nothing trades, and the order still is accepted, one latency after it was sent."""
    instrument = instrument_of("margin")
    paper = PaperSettings(latency_ms=80, funding="none", market_wait_secs=0)
    strategy = ByHand(instrument)

    async def drive(running: Running) -> None:
        strategy.limit("L-1", OrderSide.BUY, 100, 1.4)
        await running.until(lambda: "OrderAccepted" in strategy.kinds("L-1"))

    run_node(instrument, [strategy], drive, paper=paper)
    by_kind = dict(zip((type(one) for one in strategy.events), strategy.heard_ns, strict=True))
    assert by_kind[OrderAccepted] - by_kind[OrderSubmitted] >= 75_000_000


@pytest.mark.slow
def test_an_order_without_a_market_waits_for_the_first_print() -> None:
    """A market order for an instrument without a print is filled by the first one, asked for by the venue."""
    instrument = instrument_of("margin")
    paper = PaperSettings(latency_ms=1, funding="none", market_wait_secs=30)
    strategy = ByHand(instrument)

    async def drive(running: Running) -> list[str]:
        strategy.market("M-1", OrderSide.BUY, 100)
        await running.until(lambda: running.paper.paper_venue.next_ns is None and bool(strategy.events[1:]))
        assert "OrderAccepted" not in strategy.kinds("M-1")
        now_ns = time.time_ns()
        (tick,) = ticks_of(instrument, flat_prints(1.5))
        plain = type(tick).to_dict(tick) | {"ts_event": now_ns, "ts_init": now_ns}
        await running.push([type(tick).from_dict(plain)])
        await running.until(lambda: "OrderFilled" in strategy.kinds("M-1"))
        return list(running.data.subscribed)

    assert instrument.id.value in run_node(instrument, [strategy], drive, paper=paper)


class Broken:
    """A journal with a bug."""

    def append(self, _record: Any) -> None:
        """Be given a record, and fail."""
        raise KeyError("a bug")

    def refusal(self) -> None:
        """Have no other trouble."""

    trouble = refusal


@pytest.mark.node_starts(1)
def test_an_entry_in_the_moment_of_a_bug_of_the_journal_does_not_leave() -> None:
    """As in a live node: what it was decided for is not journaled. The exit that follows leaves."""
    instrument = instrument_of("margin")
    strategy, halts = ByHand(instrument), []

    def order(name: str, leg: str, side: OrderSide) -> Any:
        qty = instrument.make_qty(100)
        client_id = ClientOrderId(name)
        return strategy.order_factory.market(instrument.id, side, qty, client_order_id=client_id, tags=[leg])

    def on_trade(_tick: Any) -> None:
        if not strategy.events:
            decision = Decision(
                strategy_id="S-1", instrument_id=instrument.id.value, zone_id=1, ts_ns=1, kind="planned"
            )
            strategy.msgbus.publish(topic="decisions.S-1", msg=decision)
            strategy.submit_order(order("E-1", "ENTRY", OrderSide.BUY))
            strategy.submit_order(order("X-1", "EXIT", OrderSide.SELL))

    strategy.on_trade_tick = on_trade
    strategy.desks = [SimpleNamespace(wants_entry=lambda _client_id: not halts)]

    def journal(node: Any) -> JournalActor:
        late = LateHearing()
        HandOver(node.kernel, node.kernel.loop, late)
        actor = JournalActor(JournalActorConfig(), Broken())
        late.attach([actor])
        node.kernel.msgbus.subscribe(topic=HALT_TOPIC, handler=halts.append)
        context: Any = SimpleNamespace(mode="paper", strategies=node.trader.strategies)
        _entries_wait(context, None, node.kernel.exec_engine._clients.values())  # type: ignore[arg-type]
        return actor

    async def drive(running: Running) -> None:
        await running.push(ticks_of(instrument, flat_prints(1.5)))
        await running.until(lambda: "OrderSubmitted" in strategy.kinds("X-1"))
        assert running.paper.paper_venue.cache.order(ClientOrderId("E-1")) is None

    run_node(instrument, [strategy], drive, paper=PAPER, recorder=journal)
    assert [one.source for one in halts] == ["journal"]
    assert strategy.kinds("E-1") == ["OrderInitialized", "OrderDenied"]
    assert [one.reason for one in strategy.events if isinstance(one, OrderDenied)] == ["withdrawn"]


@pytest.mark.node_starts(1)
def test_status_and_reset(tmp_path: Path) -> None:
    """Status tells what the account has, also while it runs; reset waits for the node's end and for --yes."""
    instrument = instrument_of("margin")
    folder = tmp_path / "paper"
    strategy = ByHand(instrument)

    async def drive(running: Running) -> dict[str, Any]:
        await running.push(ticks_of(instrument, flat_prints(1.5, 1.5)))
        strategy.market("B-1", OrderSide.BUY, 100)
        strategy.limit("S-1", OrderSide.SELL, 100, 1.6)
        await running.push([])
        await running.push(ticks_of(instrument, flat_prints(*[1.5] * 12))[2:])
        with pytest.raises(ConfigurationError, match="running"):
            reset(folder, is_sure=True)
        return status(folder)

    found = run_node(instrument, [strategy], drive, paper=PAPER, folder=folder)
    assert found["running"]
    (account,) = found["accounts"]
    assert account["positions"][0]["qty"] == "100.0"
    assert [one["client_order_id"] for one in account["open_orders"]] == ["S-1"]
    # 10,000 less the taker's fee of 0.0005 of 150, at an unchanged price
    assert D(account["equity"]["USDT"]) == D("9999.925")

    assert not status(folder)["running"]
    with pytest.raises(ConfigurationError, match="--yes"):
        reset(folder, is_sure=False)
    for name in ("state.sqlite", "state.sqlite-wal", "limits.json", "day.json", "KILL"):
        (folder / name).touch()
    reset(folder, is_sure=True)
    assert status(folder)["accounts"] == []
    # No trade of the account that is gone is looked for in the new one; a kill is a person's word.
    kept = {one.name for one in folder.iterdir()}
    assert "KILL" in kept
    # Nor is anything lost from what the other one was worth at its best.
    assert not kept & {"state.sqlite", "state.sqlite-wal", "limits.json", "day.json"}


def test_reset_leaves_the_folder_of_live_trading_alone(tmp_path: Path) -> None:
    """A folder that is not called paper is refused whatever is in it."""
    (tmp_path / "live").mkdir()
    with pytest.raises(ConfigurationError, match="not the folder of a paper node"):
        reset(tmp_path / "live", is_sure=True)
