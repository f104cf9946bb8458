"""Warm-up: after a restart the state is that of a run that never stopped, and no entry comes before it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from nautilus_trader.cache.cache import Cache
from nautilus_trader.common.component import MessageBus, TestClock
from nautilus_trader.core.datetime import millis_to_nanos
from nautilus_trader.model.data import BarType, TradeTick
from nautilus_trader.model.identifiers import TraderId
from nautilus_trader.portfolio.portfolio import Portfolio

from indicators.events import Scope
from indicators.structure_config import StructureConfig
from runtime.arrow_schema import TradeColumns
from runtime.download.binance_rest import BinanceRest
from runtime.errors import VenueError
from runtime.live.backfill import BinanceTrades, RestTrade, tick_of
from runtime.live.freshness import DataSettings
from runtime.live.warmup import WarmUpActor
from strategies.bias_track import BiasState
from strategies.entry_halt import HOLD_TOPIC, RELEASE_TOPIC
from strategies.perception_state import BAR_OF_PACKET, Perceiver, PerceptionState
from tests.bucket_tapes import LOT, TICK, as_columns, seeded_tape
from tests.bucket_tapes import config as bucket_config
from tests.live_market import IID, Venue, tape_of

BUCKETS = bucket_config(100_000_000)
SECOND = 1_000_000_000
DAY = 86_400 * SECOND


def columns(count: int) -> TradeColumns:
    """Return a seeded tape, numbered without a hole, in whole milliseconds."""
    made = TradeColumns(*as_columns(seeded_tape(count)))
    return replace(made, trade_id=np.arange(1, count + 1))


ALL = columns(3000)
TAPE = [
    replace(one, trade_id=str(number + 1))
    for number, one in enumerate(
        tape_of(
            (ALL.ts_ns, ALL.price_ticks, ALL.size_lots, ALL.is_buyer, ALL.trade_id),
            float(TICK),
            float(LOT),
            8,
        )
    )
]


class Strategy:
    """Perceives as `OteStrategy` does, without orders."""

    instrument_id = IID

    def __init__(self) -> None:
        self.trade_gate: Any = None
        self.shown: list[float] = []
        self.perceiver = self.make_perceiver()

    def make_perceiver(self, state: PerceptionState | None = None) -> Perceiver:
        """Return what builds a perception."""
        return Perceiver(IID.value, BUCKETS, StructureConfig(tick_size=float(TICK)), Scope.EXTERNAL, state)

    def adopt(self, state: PerceptionState) -> None:
        """Go on from a state."""
        self.perceiver = self.make_perceiver(state)

    def perceived(self, names: Sequence[str] = ()) -> PerceptionState:
        """Return what was perceived."""
        return self.perceiver.state(names)

    @property
    def builder(self) -> Any:
        """Return the builder."""
        return self.perceiver.builder

    def end_past(self) -> None:
        """Bars of a higher timeframe do not matter here."""

    def taint_bucket(self) -> None:
        """Taint the bucket that forms."""
        self.builder.taint()

    def forget_prices(self) -> None:
        """Prices are not held against each other here."""

    def take_price(self, tick: TradeTick) -> None:
        """Show the setup a price."""
        self.shown.append(tick.price.as_double())

    def take_past_trade(self, tick: TradeTick) -> None:
        """Take a trade into buckets and structure."""
        one, name = self.perceiver, tick.trade_id.value
        price, size = tick.price.as_double(), tick.size.as_double()
        number = int(name) if name.isdigit() else -1
        if one.builder.push(tick.ts_event, price, size, tick.aggressor_side.name == "BUYER", number):
            for bar in BAR_OF_PACKET.iter_unpack(one.builder.closed.tobytes()):
                for _change in one.zones.take(one.structure.update(*bar)):
                    pass
            one.recent.extend(row.tobytes() for row in one.builder.closed)

    def take(self, tick: TradeTick) -> None:
        """Take a trade as it comes."""
        self.take_past_trade(tick)
        self.take_price(tick)


class Market(Venue):
    """A venue that also knows the day's first trade."""

    first: int | None = None

    async def first_id(self, symbol: str, since_ns: int, until_ns: int) -> int | None:
        """Return it."""
        assert (symbol, since_ns % DAY) == ("XRPUSDT", 0)
        assert until_ns > since_ns
        return self.first

    def stamps(self, ts_ns: Any) -> Any:
        """Return the times as they are."""
        return ts_ns


@dataclass
class Session:
    """One life of a node with one strategy."""

    folder: Path
    market: Market
    history: Callable[[str, int], Iterator[TradeColumns]] = lambda _name, _start: iter(())
    said: list[tuple[str, str]] = field(default_factory=list)
    progress: list[tuple[int, int]] = field(default_factory=list)
    strategy: Strategy = field(default_factory=Strategy)
    clock: Any = field(default_factory=TestClock)
    bars_of: Any = None

    def start(self) -> Callable[[TradeTick], None]:
        """Start the actor, then the strategy; return what takes the stream's trades."""
        self.clock.set_time(int(ALL.ts_ns[-1]))
        bus, cache = MessageBus(TraderId("T-001"), self.clock), Cache()
        self.actor = WarmUpActor(
            DataSettings(checkpoint_secs=0),
            strategies=lambda: [self.strategy],
            source_of=lambda _name: self.market,
            history=self.history,
            folder=self.folder,
            call_soon=lambda call: call(),
            on_progress=lambda _name, done, total: self.progress.append((done, total)),
            bars_of=self.bars_of,
        )
        self.actor.register_base(Portfolio(bus, cache, self.clock), bus, cache, self.clock)
        bus.subscribe(topic=HOLD_TOPIC, handler=lambda one: self.said.append(("hold", one.source)))
        bus.subscribe(topic=RELEASE_TOPIC, handler=lambda one: self.said.append(("release", one.source)))
        self.actor.start()
        taking: Callable[[TradeTick], None] = self.strategy.trade_gate(self.strategy, self.strategy.take)
        return taking

    async def bring(self, take: Callable[[TradeTick], None], trades: Sequence[RestTrade]) -> None:
        """Bring live trades, the loop running in between."""
        for number, one in enumerate(trades):
            take(tick_of(IID, one, self.market, 0))
            if number % 50 == 0:
                await asyncio.sleep(0)

    async def ready(self) -> None:
        """Wait for the end of the warm-up."""
        while IID.value not in self.actor.ready:
            await asyncio.sleep(0.01)


def live(session: Session, first: int, last: int, *, wait: bool = True) -> Session:
    """Run a session in which the trades [first, last) come by the stream."""

    async def main() -> None:
        take = session.start()
        await session.bring(take, TAPE[first : first + 20])
        if wait:
            await asyncio.wait_for(session.ready(), 20)
        await session.bring(take, TAPE[first + 20 : last])
        session.actor.stop()

    asyncio.run(main())
    return session


def uninterrupted(last: int) -> PerceptionState:
    """Return what a run without any restart perceived."""
    one = Strategy().perceiver
    one.take(ALL[:last])
    return one.state()


@pytest.mark.parametrize(("cut", "back"), [(400, 401), (1000, 1900), (1777, 1777), (50, 2500)])
def test_a_restart_from_the_checkpoint_is_as_if_there_had_been_none(
    tmp_path: Path, cut: int, back: int
) -> None:
    """Stopped at one trade, back at another: what was missed is fetched by id."""

    def history(_name: str, _start_ns: int) -> Iterator[TradeColumns]:
        yield ALL[:10]

    first = live(Session(tmp_path, Market(TAPE, page=100), history), 10, cut)
    assert first.strategy.perceived() == uninterrupted(cut)
    second = live(Session(tmp_path, Market(TAPE, page=100)), back, 2900)
    assert second.strategy.perceived() == uninterrupted(2900)
    assert second.said == [("hold", "warmup"), ("release", "warmup")]
    if back > cut:
        assert second.progress[-1] == (back - cut, back - cut)


def test_without_a_checkpoint_history_and_tail_give_the_same(tmp_path: Path) -> None:
    """The catalog in blocks up to some trade, the venue from there to the first live one."""

    def history(name: str, start_ns: int) -> Iterator[TradeColumns]:
        assert (name, start_ns % DAY) == (IID.value, 0)
        yield ALL[:700]
        yield ALL[700:1500]

    session = live(Session(tmp_path, Market(TAPE), history), 2000, 2600)
    assert session.strategy.perceived() == uninterrupted(2600)


def test_without_any_history_the_day_is_fetched_from_its_anchor(tmp_path: Path) -> None:
    """The venue tells the day's first trade; here all trades are of one day."""
    market = Market(TAPE)
    market.first = 1
    session = live(Session(tmp_path, market), 1200, 1300)
    mine, whole = session.strategy.perceived(), uninterrupted(1300)
    assert (mine.structure, mine.zones, mine.packets) == (whole.structure, whole.zones, whole.packets)


def test_a_start_before_the_days_first_trade_is_complete_with_it(tmp_path: Path) -> None:
    """Just after midnight the venue knows of no trade yet; the first one is asked about when it has come."""
    session = Session(tmp_path, Market(TAPE))

    async def main() -> None:
        take = session.start()
        await asyncio.sleep(0.05)
        session.market.first = 1
        await session.bring(take, TAPE[:20])
        await asyncio.wait_for(session.ready(), 20)
        await session.bring(take, TAPE[20:300])

    asyncio.run(main())
    assert session.said == [("hold", "warmup"), ("release", "warmup")]
    mine, whole = session.strategy.perceived(), uninterrupted(300)
    assert (mine.structure, mine.zones, mine.packets) == (whole.structure, whole.zones, whole.packets)


def test_the_setup_sees_prices_from_the_first_live_trade_on(tmp_path: Path) -> None:
    """A position that was restored is watched while history is read."""
    market = Market(TAPE)
    market.first = 1
    session = live(Session(tmp_path, market), 1000, 1100)
    assert len(session.strategy.shown) == 100


def test_a_damaged_checkpoint_is_passed_over(tmp_path: Path) -> None:
    """History is read in its place."""

    def history(_name: str, _start_ns: int) -> Iterator[TradeColumns]:
        yield ALL[:1500]

    (tmp_path / f"{IID.value}.checkpoint").write_bytes(b"SMCLIVE1 and something else that is too short to be")
    session = live(Session(tmp_path, Market(TAPE), history), 1600, 1700)
    assert session.strategy.perceived() == uninterrupted(1700)


def test_a_state_that_is_ahead_of_the_stream_is_of_another_market(tmp_path: Path) -> None:
    """A testnet began anew: numbers start again, and what was saved is not gone on with."""

    def history(_name: str, _start_ns: int) -> Iterator[TradeColumns]:
        yield ALL[:1500]

    market = Market(TAPE)
    market.first = 1
    session = live(Session(tmp_path, market, history), 300, 400)
    assert session.strategy.perceived().last_trade_id == 400
    assert session.said == [("hold", "warmup"), ("release", "warmup")]


def test_where_the_tail_cannot_be_had_entries_wait_for_the_anchor(tmp_path: Path) -> None:
    """The venue is down: trades go on, tainted; held until the first trade after midnight."""
    market = Market(TAPE)
    market.is_down = True

    def history(_name: str, _start_ns: int) -> Iterator[TradeColumns]:
        yield ALL[:1500]

    session = Session(tmp_path, market, history)

    async def main() -> None:
        take = session.start()
        await session.bring(take, TAPE[1600:1700])
        while not session.actor.streams[IID.value].is_flowing:
            await asyncio.sleep(0.01)
        await session.bring(take, TAPE[1700:1800])
        session.actor.look(session.clock.timestamp_ns())
        assert session.said == [("hold", "warmup")]
        midnight_ms = (session.clock.timestamp_ns() // DAY + 1) * DAY // 1_000_000
        await session.bring(take, [replace(TAPE[1800], ts_ms=midnight_ms + 5)])
        session.actor.look(session.clock.timestamp_ns())

    asyncio.run(main())
    assert session.said == [("hold", "warmup"), ("release", "warmup")]
    assert session.strategy.perceiver.builder.counters.missing_ids == 100


def test_named_trades_overlap_or_wait_for_the_anchor(tmp_path: Path) -> None:
    """Bybit: after a short stop the newest page reaches back, after a long one it does not."""
    named = [replace(one, trade_id=f"n{one.trade_id}") for one in TAPE]

    def session(first: int, last: int, newest: int) -> Session:
        market = Market(named, page=60, has_ids=False)
        market.newest = newest
        one = Session(tmp_path, market)

        async def main() -> None:
            take = one.start()
            await one.bring(take, named[first : first + 5])
            stream = one.actor.streams[IID.value]
            while not stream.is_flowing:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.02)
            await one.bring(take, named[first + 5 : last])
            one.actor.ready.add(IID.value)  # for the first session: its checkpoint is of no use otherwise
            one.actor.stop()

        asyncio.run(main())
        return one

    session(0, 500, 5)
    soon = session(530, 600, 535)
    assert soon.said == [("hold", "warmup"), ("release", "warmup")]
    assert soon.strategy.builder.counters.missing_ids == 0
    late = session(800, 850, 805)
    assert late.said == [("hold", "warmup")]
    assert late.strategy.builder.counters.missing_ids == 1


def test_history_is_stamped_as_the_stream_would_have() -> None:
    """To the nanosecond, the adapter's detour over a float included."""
    source = BinanceTrades(BinanceRest.__new__(BinanceRest), is_spot=True)
    rng = np.random.default_rng(2)
    millis = rng.integers(1_500_000_000_000, 2_000_000_000_000, 5000)
    stamped = source.stamps(millis * 1_000_000 + 123_000)
    assert stamped.tolist() == [millis_to_nanos(one) for one in millis.tolist()]
    assert stamped.tolist() == [source.stamp_ns(one) for one in millis.tolist()]
    assert (stamped != millis * 1_000_000).any()


# -- the bias of a higher timeframe --------------------------------------------------------------------------


class Biased(Strategy):
    """A strategy with a filter by the bias of hourly bars."""

    config = SimpleNamespace(htf_bar_type=BarType.from_str(f"{IID}-1-HOUR-LAST-EXTERNAL"))
    bias: BiasState | None = None
    is_past = True

    def adopt(self, state: PerceptionState) -> None:
        """Go on from a state."""
        super().adopt(state)
        self.bias = state.bias

    def end_past(self) -> None:
        """Note it."""
        self.is_past = False


class Hours:
    """A market whose klines close at their number; unreachable when told so."""

    def __init__(self, *, is_down: bool = False) -> None:
        self.is_down = is_down

    async def klines(self, symbol: str, interval: str, start_ns: int, end_ns: int) -> AsyncIterator[Any]:
        """Yield them in one page."""
        assert (symbol, interval) == ("XRPUSDT", "1h")
        if self.is_down:
            raise VenueError("no connection")
        hour = 3600 * SECOND
        yield [[one // 10**6, 0, 0, 0, one // hour] for one in range(start_ns, end_ns - hour + 1, hour)]


@pytest.mark.parametrize("is_down", [False, True])
def test_the_bias_is_warmed_up_before_the_trades_are(tmp_path: Path, is_down: bool) -> None:
    """A thousand hours of before; where the venue does not give them it is unknown, and trades go on."""
    market = Market(TAPE)
    market.first = 1
    strategy = Biased()
    session = Session(tmp_path, market, strategy=strategy, bars_of=lambda _name: Hours(is_down=is_down))
    live(session, 1200, 1300)
    last_hour = int(ALL.ts_ns[-1]) // (3600 * SECOND)
    waiting = [] if strategy.bias is None else [int(close) + 1 for _ts_ns, close in strategy.bias.waiting]
    assert waiting == ([] if is_down else list(range(last_hour - 999, last_hour + 1)))
    assert not strategy.is_past
    assert session.said == [("hold", "warmup"), ("release", "warmup")]
