"""Whole setups on Bybit, spot and linear, through the repaired client: every order is seen at the venue.

The desk is that of the product; a test says when to enter and what trades at the exchange.
"""

from collections.abc import Iterator
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from nautilus_trader.model.data import TradeTick

from runtime.live.state import StateFile, StateKeeper
from strategies.setup_strategy import SetupStrategy
from strategies.trade_manager.plan import EntryPlan
from strategies.trade_manager.setup_rules import ExitRules
from tests.bybit_client import account, markets
from tests.integration.bybit_node import HandConfig, NodeRun, Product, run_node
from tests.venue_simulator.bybit import Bybit
from tests.venue_simulator.faults import StreamFault
from tests.venue_thread import VenueThread, venue_thread

SPOT, LINEAR = "BTCUSDT-SPOT", "BTCUSDT-LINEAR"
pytestmark = pytest.mark.slow
PRODUCTS: tuple[Product, ...] = ("spot", "linear")


class Planner(SetupStrategy):
    """A desk that enters when it is told; its state is kept in a file."""

    def __init__(self, folder: Path, config: HandConfig) -> None:
        rules = ExitRules(exit_market_after_secs=2.0)
        super().__init__(config, config.instrument_id, "PLAN", rules)
        self.keeper = StateKeeper(StateFile(folder / "state.sqlite"))
        self.trades: list[Any] = []

    def on_start(self) -> None:
        """Take up what was kept, and listen."""
        self.msgbus.subscribe(topic="trades.*", handler=self.trades.append)
        assert self.prepare()
        self.subscribe_trade_ticks(self.instrument_id)

    def on_trade_tick(self, tick: TradeTick) -> None:
        """Show the setup every price."""
        setup = self.setup
        if setup is not None and not setup.is_closed:
            self.carry_out(setup, setup.on_price(tick.ts_event, float(tick.price)) or ())

    def on_stop(self) -> None:
        """Give the state file back."""
        keeper: Any = self.keeper
        keeper.file.close()

    def enter(self, number: int, entry: str = "49500") -> Any:
        """Open a setup of 0.010 BTC with a stop at 49,000 and a target at 50,500."""
        prices = (Decimal(entry), Decimal(49_000), Decimal(50_500))
        plan = EntryPlan(1, *prices, Decimal("0.010"), number, 49_000.0, 50_600.0)
        now_ns = self.clock.timestamp_ns()
        return self.open_setup(plan, now_ns, now_ns)


@pytest.fixture
def venue() -> Iterator[VenueThread]:
    """Give a running exchange whose markets traded at 50,000."""
    with venue_thread(Bybit, markets(), account(USDT=10_000)) as running:
        for key in (LINEAR, SPOT):
            running.trade(key, "BUY", "0.01", "50000")
        yield running


def sales(run: NodeRun) -> list[tuple[str, str, str, str]]:
    """Return (type, status, quantity, trigger or price) of the open sales at the exchange, by type."""
    return sorted(
        (one.type, one.status, str(one.qty), str(one.stop_price or one.price))
        for one in run.exchange_orders()
        if one.side == "SELL"
    )


def held(run: NodeRun) -> Decimal:
    """Return what the account holds, base currency."""
    if run.product == "linear":
        return run.exchange_position()
    return run.venue.call(lambda: run.venue.venue.exchange.accounts["main"].balance("BTC").total)


def stop_of(run: NodeRun, qty: str, trigger: str = "49000.00") -> list[tuple[str, str, str, str]]:
    """Return what protects a position of some size, as the exchange lists it."""
    if run.product == "spot":  # what the fee left, in whole lots; the target is watched
        whole = (Decimal(qty) * Decimal("0.999")).quantize(Decimal("0.001"), "ROUND_DOWN")
        return [("STOP_LIMIT", "UNTRIGGERED", str(whole), trigger)]
    return [("LIMIT", "NEW", qty, "50500.00"), ("STOP_MARKET", "UNTRIGGERED", qty, trigger)]


async def is_listening(run: NodeRun) -> None:
    """Wait until the trades are subscribed, so that the setup sees prices."""
    streams: Any = run.venue.venue.protocol
    topic = "publicTrade.BTCUSDT"
    await run.until(lambda: streams.public_stream._readers(run.product, topic), "the trades are subscribed")


@pytest.mark.parametrize("product", PRODUCTS)
def test_parts_are_protected_the_stop_follows_and_is_hit(
    venue: VenueThread, tmp_path: Path, product: Product
) -> None:
    """A part, the whole, a stop that trails: at each step the exchange lists exactly what protects it."""

    async def script(run: NodeRun) -> None:
        desk: Any = run.hand
        await is_listening(run)
        setup = desk.enter(1)
        await run.until(lambda: setup.entry_price is not None, "the entry rests")
        run.trade("SELL", "0.054", "49500")  # 0.050 stood before us
        await run.until(lambda: sales(run) == stop_of(run, "0.004"), "the part's stop")
        run.trade("SELL", "1", "49499")
        await run.until(lambda: sales(run) == stop_of(run, "0.010"), "the whole stop")
        run.trade("BUY", "1", "50200")
        desk.carry_out(setup, setup.move_stop(Decimal(49_800), "trailing", desk.clock.timestamp_ns()))
        await run.until(lambda: sales(run) == stop_of(run, "0.010", "49800.00"), "the stop that followed")
        run.trade("SELL", "1", "49790")
        await run.until(lambda: desk.trades, "the closed trade")
        assert desk.trades[0].exit_reason == "trailing"
        assert sales(run) == []
        assert held(run) < Decimal("0.001")  # on spot what the fee left of a lot
        assert not desk.is_halted

    run_node(venue, product, script, claims=True, strategy=partial(Planner, tmp_path))


@pytest.mark.parametrize("product", PRODUCTS)
def test_a_target_is_hit_and_a_cancellation_comes_too_late(
    venue: VenueThread, tmp_path: Path, product: Product
) -> None:
    """The target sells and the stop goes; an entry that fills before its cancellation is protected."""

    async def script(run: NodeRun) -> None:
        desk: Any = run.hand
        await is_listening(run)
        setup = desk.enter(1)
        await run.until(lambda: setup.entry_price is not None, "the entry rests")
        run.trade("SELL", "1", "49499")
        await run.until(lambda: sales(run) == stop_of(run, "0.010"), "the stop")
        run.trade("BUY", "1", "50501")
        if product == "spot":  # seen by the desk, which takes the stop back and sells at the target
            await run.until(lambda: [one[0] for one in sales(run)] in (["LIMIT"], []), "the stop is gone")
            run.trade("BUY", "1", "50501")
        await run.until(lambda: desk.trades, "the closed trade")
        assert desk.trades[0].exit_reason == "target"
        await run.until(lambda: sales(run) == [], "nothing is left")

        run.trade("SELL", "0.001", "50000")
        late = desk.enter(2)
        await run.until(lambda: late.entry_price is not None, "the second entry rests")
        run.trade("SELL", "1", "49499")  # filled at the exchange before the node hears of it
        desk.carry_out(late, late.cancel_entry("dynamic", desk.clock.timestamp_ns()))
        # On spot the lot that the fees of the first trade left comes to it.
        whole = stop_of(run, "0.011" if product == "spot" else "0.010")
        await run.until(lambda: sales(run) == whole, "the late fill's stop")
        assert desk.close_by_hand("enough", "a test")
        await run.until(lambda: len(desk.trades) == 2, "the second trade")
        await run.until(lambda: sales(run) == [], "nothing is left")
        assert held(run) < Decimal("0.001")

    run_node(venue, product, script, claims=True, strategy=partial(Planner, tmp_path))


@pytest.mark.parametrize("product", PRODUCTS)
def test_a_fill_in_a_gap_is_protected_and_outlives_the_node(
    venue: VenueThread, tmp_path: Path, product: Product
) -> None:
    """What the stream missed is asked for and protected; the next node finds it and goes on."""
    dropped = [StreamFault("drop", f"private.{kind}", 10_000) for kind in ("order", "execution")]
    strategy = partial(Planner, tmp_path)

    async def first(run: NodeRun) -> None:
        desk: Any = run.hand
        await is_listening(run)
        setup = desk.enter(1)
        await run.until(lambda: setup.entry_price is not None, "the entry rests")
        venue.call(lambda: venue.venue.faults.stream_faults.extend(dropped))
        run.trade("SELL", "1", "49499")
        await run.until(lambda: setup.is_in_position, "the fill that was missed")
        venue.call(venue.venue.faults.clear)
        await run.until(lambda: sales(run) == stop_of(run, "0.010"), "the stop")
        await run.until(lambda: setup.protected_qty >= setup.exitable_qty, "the stop is known")

    async def second(run: NodeRun) -> None:
        desk: Any = run.hand
        await is_listening(run)
        desk.take_picture(desk.cached_orders(), is_complete=True)
        assert desk.setup is not None
        assert desk.setup.is_in_position
        assert sales(run) == stop_of(run, "0.010")
        run.trade("SELL", "1", "48990")
        await run.until(lambda: desk.trades, "the closed trade")
        assert desk.trades[0].exit_reason == "stop"
        assert held(run) < Decimal("0.001")
        assert desk.counters.get("external", 0) == 0

    run_node(venue, product, first, claims=True, strategy=strategy)
    run_node(venue, product, second, claims=True, strategy=strategy)


def test_an_entry_carries_a_stop_where_it_is_wanted(venue: VenueThread, tmp_path: Path) -> None:
    """It stands at the venue from the first fill, beyond ours; ours is hit first, nothing sells twice."""

    async def script(run: NodeRun) -> None:
        desk: Any = run.hand
        desk.carries_stop = True
        await is_listening(run)
        setup = desk.enter(1)
        await run.until(lambda: setup.entry_price is not None, "the entry rests")
        run.trade("SELL", "0.054", "49500")
        carried = ("STOP_MARKET", "UNTRIGGERED", "0", "48902.00")  # the whole position, whatever its size
        await run.until(lambda: sales(run) == sorted([carried, *stop_of(run, "0.004")]), "both stops")
        run.trade("SELL", "1", "49499")
        await run.until(
            lambda: sales(run) == sorted([carried, *stop_of(run, "0.010")]), "both stops of the whole"
        )
        (one,) = (
            row
            for row in desk.cache.orders_open(instrument_id=desk.instrument_id)
            if row.has_trigger_price and row.trigger_price == 48_902
        )
        assert desk.is_carried(one)
        run.trade("SELL", "1", "48800")  # beyond both at once
        await run.until(lambda: desk.trades, "the closed trade")
        await run.until(lambda: sales(run) == [], "nothing is left")
        assert run.exchange_position() == 0
        assert not desk.cache.positions_open()
        assert desk.trades[0].exit_reason == "stop"

    run_node(venue, "linear", script, claims=True, strategy=partial(Planner, tmp_path))
