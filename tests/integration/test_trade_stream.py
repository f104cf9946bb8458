"""Gaps in a stream of trades (F2): what was perceived is what an unbroken stream would have shown."""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from nautilus_trader.common.component import TestClock
from nautilus_trader.model.data import TradeTick

from packet_builder.builder import BucketConfig
from runtime.live.backfill import RestTrade, tick_of
from runtime.live.freshness import DataSettings
from runtime.live.trade_stream import TradeStream
from tests.bucket_tapes import LOT, TICK, XRP_CONFIG, as_columns, real_tape, seeded_tape
from tests.bucket_tapes import config as bucket_config
from tests.live_market import IID, Perception, Venue, tape_of

SETTINGS = DataSettings(gap_secs=2, gap_trades=50_000, quiet_secs=5)
type Stream = Callable[[TradeStream, Sequence[TradeTick]], None]


def made_up(count: int = 3000) -> list[RestTrade]:
    """Return a seeded tape, numbered without a hole."""
    tape = tape_of(as_columns(seeded_tape(count)), float(TICK), float(LOT), 8)
    return [replace(one, trade_id=str(number + 1)) for number, one in enumerate(tape)]


class Session:
    """A stream into a perception, and what it said about gaps."""

    def __init__(self, venue: Venue, buckets: BucketConfig, settings: DataSettings = SETTINGS) -> None:
        self.venue = venue
        self.perception = Perception(buckets)
        self.said: list[str | None] = []
        self.stream = TradeStream(
            IID,
            self.perception,
            self.perception.take,
            source=venue,
            settings=settings,
            clock=TestClock(),
            say=self.said.append,
        )

    def tick(self, trade: RestTrade, now_ns: int = 0) -> TradeTick:
        """Return a trade as the stream brings it."""
        return tick_of(IID, trade, self.venue, now_ns)

    def bring(self, trades: Sequence[RestTrade]) -> None:
        """Bring trades."""
        for one in trades:
            self.stream.take(self.tick(one))

    async def settle(self) -> None:
        """Wait until nothing is being fetched."""
        while self.stream.order.wanted is not None:
            await asyncio.sleep(0.01)


def unbroken(tape: Sequence[RestTrade], buckets: BucketConfig) -> Perception:
    """Return what a stream without any fault shows."""
    session = Session(Venue(tape), buckets)
    for one in tape:
        session.perception.take(session.tick(one))
    return session.perception


def test_a_gap_is_filled_and_buckets_and_structure_are_those_of_an_unbroken_stream() -> None:
    """Several gaps, a gap while one is filled, pages of 100; the setup sees each price when it comes."""
    tape = made_up()
    buckets = bucket_config(100_000_000)

    async def main() -> Session:
        session = Session(Venue(tape, page=100), buckets)
        session.bring(tape[:500])
        session.bring(tape[900:1000])
        await asyncio.sleep(0)
        session.bring(tape[1400:1401])
        assert len(session.perception.shown) == 500 + 101
        assert len(session.perception.taken) == 500
        await session.settle()
        session.bring(tape[1401:2000])
        session.bring(tape[2001:])
        await session.settle()
        return session

    session = asyncio.run(main())
    assert session.perception.state() == unbroken(tape, buckets).state()
    assert session.said == [
        "400 trades are missing before XRPUSDT.BINANCE's newest",
        None,
        "1 trades are missing before XRPUSDT.BINANCE's newest",
        None,
    ]
    assert session.perception.builder.counters.missing_ids == 0
    assert session.perception.forgot == 2  # once per gap: prices of before it judge none


@pytest.mark.parametrize("kind", ["numbered", "named"])
def test_prices_of_before_a_broken_connection_judge_none_after_it(kind: str) -> None:
    """What happened during the cut, nobody has seen."""
    session = Session(Venue(made_up(), has_ids=kind == "numbered"), bucket_config(100_000_000))
    session.stream.suspect()
    assert session.perception.forgot == 1


def test_ids_that_begin_anew_are_told_once_and_held() -> None:
    """A late trade is dropped without a word; a venue that counts from one again is said to do so."""
    tape = made_up(1000)
    session = Session(
        Venue(tape), bucket_config(100_000_000), msgspec.structs.replace(SETTINGS, gap_trades=500)
    )
    session.bring(tape)
    session.bring(tape[900:910])
    assert session.said == []
    session.bring(tape[:20])
    (said,) = session.said
    assert said is not None
    assert "counts anew" in said
    assert len(session.perception.taken) == 1000


def test_doubled_and_shuffled_trades_change_nothing() -> None:
    """Neighbours change places and trades come twice; nothing is fetched."""
    tape = made_up(1000)
    buckets = bucket_config(100_000_000)
    chance = random.Random(3)
    stream = list(tape)
    for at in range(1, len(stream) - 1, 7):
        stream[at], stream[at + 1] = stream[at + 1], stream[at]
    doubled = [two for one in stream for two in ([one, one] if chance.random() < 0.1 else [one])]

    async def main() -> Session:
        session = Session(Venue(tape), buckets)
        session.bring(doubled)
        await asyncio.sleep(0.1)
        return session

    session = asyncio.run(main())
    assert session.perception.state() == unbroken(tape, buckets).state()
    assert session.venue.asked == []


def test_a_gap_that_cannot_be_filled_taints_its_bucket_and_the_stream_goes_on() -> None:
    """The venue is down: after the limit all trades that came are taken, and ids are missing in a bucket."""
    tape = made_up(1000)

    async def main() -> Session:
        venue = Venue(tape)
        venue.is_down = True
        session = Session(venue, bucket_config(100_000_000))
        session.bring(tape[:500])
        session.bring(tape[510:600])
        await session.settle()
        session.bring(tape[600:])
        return session

    session = asyncio.run(main())
    taken = [one.trade_id for one in (*tape[:500], *tape[510:])]
    assert session.perception.taken == taken
    assert session.perception.builder.counters.missing_ids == 10
    assert session.stream.last_given_up == "no connection"
    assert session.said[-1] is None


def test_a_venue_that_is_slow_or_a_gap_that_is_long_is_not_waited_for() -> None:
    """Time limit and size limit."""
    tape = made_up(300)

    async def main(settings: DataSettings, delay_secs: float) -> TradeStream:
        session = Session(Venue(tape), bucket_config(100_000_000), settings)
        session.venue.delay_secs = delay_secs
        session.bring(tape[:100])
        session.bring(tape[200:])
        await session.settle()
        assert len(session.perception.taken) == 200
        return session.stream

    slow = asyncio.run(main(DataSettings(gap_secs=0.05), 5.0))
    assert slow.last_given_up == "not there after 0.05 s"
    long = asyncio.run(main(DataSettings(gap_trades=50), 0.0))
    assert long.last_given_up == "more than 50"


def test_a_venue_behind_its_stream_is_asked_again() -> None:
    """The newest trades are not in its REST interface yet."""
    tape = made_up(300)
    buckets = bucket_config(100_000_000)

    async def main() -> Session:
        session = Session(Venue(tape), buckets)
        session.venue.newest = 150
        session.bring(tape[:100])
        session.bring(tape[200:])
        await asyncio.sleep(0.2)
        session.venue.newest = len(tape)
        await session.settle()
        return session

    session = asyncio.run(main())
    assert len(session.venue.asked) > 1
    assert session.perception.state() == unbroken(tape, buckets).state()


def renamed(tape: Sequence[RestTrade]) -> list[RestTrade]:
    """Return trades with names in the place of numbers."""
    return [replace(one, trade_id=f"name-{one.trade_id}") for one in tape]


def silence(missed: int) -> Session:
    """Bring a hundred named trades, miss some in a silence of six seconds, and bring three more."""
    tape = renamed(made_up(400))

    async def main() -> Session:
        venue = Venue(tape, page=60, has_ids=False)
        session = Session(venue, bucket_config(100_000_000), DataSettings(gap_secs=0.4))
        for number, one in enumerate(tape[:100]):
            session.stream.take(session.tick(one, 1 + number))
        venue.newest = 100 + missed + 2
        for number, one in enumerate(tape[100 + missed : 103 + missed]):
            session.stream.take(session.tick(one, 6_000_000_000 + number))
        await session.settle()
        return session

    return asyncio.run(main())


def test_named_trades_are_filled_after_a_silence_where_the_page_overlaps() -> None:
    """Bybit: what was missed comes before what came since, and nothing is tainted."""
    session = silence(missed=30)
    assert session.perception.taken == [f"name-{number + 1}" for number in range(133)]
    assert session.perception.builder.counters.missing_ids == 0
    assert session.said[-1] is None


def test_named_trades_are_tainted_where_the_page_does_not_overlap() -> None:
    """The venue shows 60 trades and 80 were missed: the bucket lacks some, and says so."""
    session = silence(missed=80)
    assert session.perception.taken == [f"name-{n + 1}" for n in (*range(100), *range(180, 183))]
    assert session.perception.builder.forming["is_tainted"]
    assert session.perception.builder.counters.missing_ids == 1
    assert session.stream.last_given_up == "not there after 0.4 s"


def broken_after_a_hundred(tape: Sequence[RestTrade], gap_secs: float) -> Session:
    """Return a session that heard a hundred named trades before its connection broke; a loop must run."""
    venue = Venue(tape, page=60, has_ids=False)
    session = Session(venue, bucket_config(100_000_000), DataSettings(gap_secs=gap_secs))
    session.bring(tape[:100])
    session.stream.suspect()
    return session


def test_named_trades_are_filled_after_a_break_however_short() -> None:
    """A reconnect without a silence: what it lost is fetched after the first trade of the new connection."""
    tape = renamed(made_up(400))

    async def main() -> Session:
        session = broken_after_a_hundred(tape, gap_secs=2)
        venue = session.venue
        await asyncio.sleep(0.1)
        assert venue.asked == []  # nobody knows yet what is lost
        venue.newest = 131
        session.bring(tape[130:131])
        await session.settle()
        session.bring(tape[131:140])
        return session

    session = asyncio.run(main())
    assert session.perception.taken == [f"name-{number + 1}" for number in range(140)]
    assert not session.perception.builder.forming["is_tainted"]


def test_a_page_of_before_a_second_break_is_not_used() -> None:
    """While a gap is being filled the connection breaks again: that page knows nothing of it."""
    tape = renamed(made_up(400))

    async def main() -> Session:
        session = broken_after_a_hundred(tape, gap_secs=5)
        venue = session.venue
        venue.newest, venue.delay_secs = 111, 0.3
        session.bring(tape[110:111])
        await asyncio.sleep(0.15)  # the page is on its way
        session.stream.suspect()
        venue.newest = 131
        session.bring(tape[130:131])
        await session.settle()
        return session

    session = asyncio.run(main())
    assert session.perception.taken == [f"name-{number + 1}" for number in range(131)]
    assert len(session.venue.asked) == 2


def test_a_break_whose_trades_are_out_of_reach_taints() -> None:
    """More trades were lost than a page has: the bucket is tainted."""
    tape = renamed(made_up(400))

    async def main() -> Session:
        session = broken_after_a_hundred(tape, gap_secs=0.4)
        venue = session.venue
        venue.newest = 181
        session.bring(tape[180:181])
        await session.settle()
        return session

    assert asyncio.run(main()).perception.builder.forming["is_tainted"]


def test_real_trades_with_gaps_are_perceived_as_without(shared_data: Path) -> None:
    """XRPUSDT of one day, 20,000 trades, five gaps of up to 1,500 trades."""
    columns = tuple(column[:20_000] for column in real_tape(shared_data))
    tape = tape_of(columns, 1e-4, 0.1, 8)
    chance = random.Random(1)
    cuts = sorted(chance.sample(range(1_000, 16_000, 2_000), 5))

    async def main() -> Session:
        session = Session(Venue(tape), XRP_CONFIG)
        start = 0
        for cut in cuts:
            session.bring(tape[start:cut])
            start = cut + chance.randrange(1, 1_500)
            session.bring(tape[start : start + 50])
            start += 50
            await session.settle()
        session.bring(tape[start:])
        await session.settle()  # ids are missing in the market itself
        return session

    session = asyncio.run(main())
    assert len(session.venue.asked) >= 5
    assert session.perception.state() == unbroken(tape, XRP_CONFIG).state()
