"""The watch over streams and clocks on a real message bus: which holds it begins and ends, and when."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

from nautilus_trader.cache.cache import Cache
from nautilus_trader.common.component import MessageBus, TestClock
from nautilus_trader.model.data import BarType, TradeTick
from nautilus_trader.model.enums import AggressorSide
from nautilus_trader.model.identifiers import InstrumentId, TradeId, TraderId
from nautilus_trader.model.objects import Price, Quantity
from nautilus_trader.portfolio.portfolio import Portfolio

from runtime.download.budget import HostBudget
from runtime.errors import VenueError
from runtime.instruments import make_instrument
from runtime.live.freshness import DataSettings
from runtime.live.freshness_actor import FreshnessActor
from strategies.entry_halt import HOLD_TOPIC, RELEASE_TOPIC

XRP = InstrumentId.from_str("XRPUSDT.BINANCE")
SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
SETTINGS = DataSettings(heartbeat_secs=5, stale_secs=8, bar_late_secs=2)


@dataclass
class Node:
    """A bus, a clock, a venue that answers or does not, and what was said about entries."""

    clock: Any = field(default_factory=TestClock)
    said: list[tuple[str, str, str]] = field(default_factory=list)
    bars: list[BarType] = field(default_factory=list)
    answers: bool = True
    agrees: bool = True
    ahead_ms: int = 0
    comparisons: int = 0
    listed: list[Any] = field(default_factory=list)
    asked: list[tuple[str, int]] = field(default_factory=list)
    late_secs: float = 0.0

    def __post_init__(self) -> None:
        self.budget = HostBudget(lambda: self.clock.timestamp_ns() / SECOND)

    def _note(self, what: str) -> None:
        self.asked.append((what, (self.clock.timestamp_ns() - START) // (SECOND // 2)))

    async def server_ms(self) -> int:
        """Return the venue's time, or fail as when the network is cut."""
        self._note("time")
        if not self.answers:
            raise VenueError("no connection")
        told_ms = int(self.clock.timestamp_ns() // 1_000_000) + self.ahead_ms
        self.clock.set_time(self.clock.timestamp_ns() + round(self.late_secs * SECOND))
        return told_ms

    async def symbols(self) -> list[Any]:
        """Return what the venue lists."""
        self._note("symbols")
        if not self.answers:
            raise VenueError("no connection")
        return self.listed

    async def reconcile(self) -> bool:
        """Tell whether the venue agrees."""
        self.comparisons += 1
        return self.agrees

    def start(self, settings: DataSettings = SETTINGS) -> None:
        """Register and start the actor."""
        self.clock.set_time(START)
        self.bus = MessageBus(TraderId("T-001"), self.clock)
        cache = Cache()
        self.actor = FreshnessActor(
            settings,
            clocks={"BINANCE": self},
            instruments=[XRP.value, "ETHUSDT-LINEAR.BYBIT"],
            subscriptions=lambda: ([XRP], self.bars),
            reconcile=self.reconcile,
            call_soon=lambda call: call(),
            budgets={"BINANCE": self.budget},
            listings={"BINANCE": (self, {"XRPUSDT": XRP.value})} if self.listed else None,
        )
        self.actor.register_base(Portfolio(self.bus, cache, self.clock), self.bus, cache, self.clock)
        for topic, word in ((HOLD_TOPIC, "hold"), (RELEASE_TOPIC, "release")):
            self.bus.subscribe(topic=topic, handler=self.hears(word))
        self.actor.start()

    def hears(self, word: str) -> Callable[[Any], None]:
        """Return a handler that notes what is said of entries."""
        return lambda message: self.said.append((word, message.source, message.instrument_id))

    def tick(self, price: float = 1.25) -> None:
        """Publish a trade that arrives now."""
        now = self.clock.timestamp_ns()
        side = AggressorSide.BUYER
        trade = TradeTick(XRP, Price(price, 4), Quantity(1, 0), side, TradeId("1"), now, now)
        self.bus.publish(topic="data.trades.BINANCE.XRPUSDT", msg=trade)

    async def advance(self, secs: float, *, ticks: bool) -> None:
        """Let time pass in steps of half a second, with or without trades."""
        for _ in range(round(secs * 2)):
            self.clock.set_time(self.clock.timestamp_ns() + SECOND // 2)
            if ticks:
                self.tick()
            self.actor.look(self.clock.timestamp_ns())
            for _ in range(5):
                await asyncio.sleep(0)


def run(
    scenario: Callable[[Node], Awaitable[None]], settings: DataSettings = SETTINGS, listed: Sequence[Any] = ()
) -> Node:
    """Run a scenario on a fresh node; stop it at the end."""

    async def main() -> Node:
        node = Node(listed=list(listed))
        node.start(settings)
        await scenario(node)
        node.actor.stop()
        return node

    return asyncio.run(main())


def test_a_silent_instrument_is_held_until_data_and_the_comparison() -> None:
    """F18: the venue answers, the socket is open, no trade comes: held after the limit, not before."""

    async def scenario(node: Node) -> None:
        await node.advance(20, ticks=True)
        await node.advance(8, ticks=False)
        assert node.said == []
        await node.advance(1, ticks=False)
        assert node.said == [("hold", "stale", XRP.value)]
        node.agrees = False
        await node.advance(3, ticks=True)
        assert len(node.said) == 1
        assert node.comparisons > 1
        await node.advance(600, ticks=True)
        assert node.comparisons <= 18  # each costs the host a report of everything
        node.agrees = True
        await node.advance(60, ticks=True)

    node = run(scenario)
    assert node.said == [("hold", "stale", XRP.value), ("release", "stale", XRP.value)]


def test_a_cut_network_holds_all_instruments_of_the_venue_within_two_heartbeats() -> None:
    """F1: nothing comes and nothing answers; another venue's instruments are not concerned."""

    async def scenario(node: Node) -> None:
        await node.advance(10, ticks=True)
        node.answers = False
        await node.advance(10.5, ticks=False)
        assert ("hold", "venue", XRP.value) in node.said
        node.answers = True
        await node.advance(6, ticks=True)

    node = run(scenario)
    assert {one for _, _, one in node.said} == {XRP.value}
    assert [word for word, source, _ in node.said if source == "venue"] == ["hold", "release"]
    assert [word for word, source, _ in node.said if source == "stale"] == ["hold", "release"]


def test_a_missing_bar_is_stale_after_its_interval() -> None:
    """Bars of five seconds, with two of grace."""

    async def scenario(node: Node) -> None:
        node.bars.append(BarType.from_str(f"{XRP}-5-SECOND-LAST-EXTERNAL"))
        await node.advance(7, ticks=True)
        assert node.said == []
        await node.advance(1, ticks=True)

    assert run(scenario).said == [("hold", "stale", XRP.value)]


def test_a_frozen_price_is_stale_with_messages() -> None:
    """The same price for longer than the setting allows."""

    async def scenario(node: Node) -> None:
        await node.advance(20, ticks=True)
        assert node.said == []
        await node.advance(12, ticks=True)

    settings = DataSettings(heartbeat_secs=5, stale_secs=8, frozen_secs=30)
    assert run(scenario, settings).said == [("hold", "stale", XRP.value)]


def test_a_wrong_clock_holds_until_it_is_right_again() -> None:
    """F11: two seconds off, then stepped back."""

    async def scenario(node: Node) -> None:
        node.ahead_ms = 2000
        await node.advance(6, ticks=True)
        assert node.said == [("hold", "clock", XRP.value)]
        assert abs(node.actor.offsets["BINANCE"].offset_ns - 2 * SECOND) < SECOND // 100
        node.ahead_ms = 0
        await node.advance(6, ticks=True)

    assert run(scenario).said == [("hold", "clock", XRP.value), ("release", "clock", XRP.value)]


def test_an_answer_that_came_late_does_not_clear_a_wrong_clock() -> None:
    """It waited six seconds in a queue: three of uncertainty neither prove nor disprove two."""

    async def scenario(node: Node) -> None:
        node.ahead_ms = 2000
        await node.advance(6, ticks=True)
        known = node.actor.offsets["BINANCE"]
        node.late_secs = 6.0
        await node.advance(6, ticks=True)
        assert node.actor.offsets["BINANCE"] == known

    assert run(scenario).said == [("hold", "clock", XRP.value)]


def test_nothing_is_asked_while_the_host_wants_silence() -> None:
    """F10: neither the time nor the symbols; afterwards both, one after the other."""

    async def scenario(node: Node) -> None:
        await node.advance(6, ticks=True)
        node.asked.clear()
        node.budget.limit(12.25)
        await node.advance(12, ticks=True)
        assert node.asked == []
        await node.advance(3, ticks=True)

    settings = DataSettings(heartbeat_secs=5, stale_secs=8, instrument_secs=5)
    assert [what for what, _ in run(scenario, settings, [terms()]).asked] == ["time", "symbols"]


def test_two_questions_are_never_asked_in_the_same_moment() -> None:
    """F10: each of them would meet the limit that the first one tells of."""

    async def scenario(node: Node) -> None:
        await node.advance(60, ticks=True)

    settings = DataSettings(heartbeat_secs=5, stale_secs=8, instrument_secs=5)
    asked = run(scenario, settings, [terms()]).asked
    assert {what for what, _ in asked} == {"time", "symbols"}
    assert len({moment for _, moment in asked}) == len(asked)


def test_a_question_waits_for_those_that_are_under_way_but_not_long() -> None:
    """The history of a warm-up is under way for minutes; that the venue lives must be known all the same."""

    async def scenario(node: Node) -> None:
        await node.advance(1, ticks=True)
        node.asked.clear()
        node.budget.sent(1)
        await node.advance(5.5, ticks=True)
        assert node.asked == []
        await node.advance(1, ticks=True)
        assert [what for what, _ in node.asked] == ["time"]
        node.budget.answered(1)
        node.asked.clear()
        await node.advance(5, ticks=True)
        assert [what for what, _ in node.asked] == ["time"]

    assert run(scenario).said == []


def test_another_tick_size_holds_the_instrument_until_a_restart() -> None:
    """F24: the same definition again says nothing, another one holds for good, once."""

    async def scenario(node: Node) -> None:
        for tick in ("0.0001", "0.0001", "0.001", "0.001", "0.0001"):
            instrument = make_instrument("binance", "spot", "XRPUSDT", Decimal(tick), Decimal("0.1"))
            assert instrument.id == XRP
            node.bus.publish(topic="data.instrument.BINANCE.XRPUSDT", msg=instrument)
        await node.advance(3, ticks=True)

    assert run(scenario).said == [("hold", "instrument", XRP.value)]


def terms(tick: str = "0.0001", *, is_trading: bool = True) -> SimpleNamespace:
    """Return what the venue lists of XRPUSDT."""
    return SimpleNamespace(
        symbol="XRPUSDT", tick_size=Decimal(tick), lot_size=Decimal("0.1"), is_trading=is_trading
    )


def test_what_the_venue_lists_is_looked_at_while_the_node_runs() -> None:
    """F24: a halted instrument is held until it trades again, another tick size until a restart."""

    async def scenario(node: Node) -> None:
        await node.advance(25, ticks=True)  # the first look learns the terms
        for change in (terms(is_trading=False), terms(), terms("0.00010"), terms("0.001")):
            node.listed[:] = [change]
            await node.advance(11, ticks=True)
        node.answers = False  # no answer is no change
        await node.advance(11, ticks=True)

    settings = DataSettings(heartbeat_secs=5, stale_secs=8, instrument_secs=10)
    assert run(scenario, settings, [terms()]).said == [
        ("hold", "closed", XRP.value),
        ("release", "closed", XRP.value),
        ("hold", "instrument", XRP.value),
    ]
