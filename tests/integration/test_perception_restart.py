"""Restarts at any trade: what is perceived afterwards is, byte for byte, what no restart would have shown."""

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nautilus_trader.model.data import Bar, BarType, TradeTick
from nautilus_trader.model.objects import Quantity

from indicators.events import Scope
from indicators.structure_config import StructureConfig
from packet_builder.builder import BucketConfig
from runtime.arrow_schema import TradeColumns
from runtime.errors import DataError
from runtime.live.bias_bars import BARS_BACK, bias_before
from runtime.live.checkpoint import read_checkpoint, write_checkpoint
from strategies.perception_state import LOOKED_BACK, Perceiver, PerceptionState, decode, encode
from tests.bucket_tapes import TICK, XRP_CONFIG, as_columns, real_tape, seeded_tape
from tests.bucket_tapes import config as bucket_config
from tests.integration.engine_harness import CheckedStrategy, run

NAME = "XRPUSDT.BINANCE"
BUCKETS = bucket_config(100_000_000)


def perceiver(
    state: PerceptionState | None = None, buckets: BucketConfig = BUCKETS, tick: Decimal = TICK
) -> Perceiver:
    """Return one that begins, or goes on."""
    return Perceiver(NAME, buckets, StructureConfig(tick_size=float(tick)), Scope.EXTERNAL, state)


def tape(count: int) -> TradeColumns:
    """Return a seeded tape as columns."""
    return TradeColumns(*as_columns(seeded_tape(count)))


WHOLE = tape(4000)


@given(st.lists(st.integers(0, 4000), max_size=4))
@settings(max_examples=25)
def test_a_restart_anywhere_changes_nothing(cuts: list[int]) -> None:
    """Any number of restarts, each from the bytes of the one before."""
    unbroken = perceiver()
    unbroken.take(WHOLE)
    one, start = perceiver(), 0
    for cut in sorted(cuts):
        one.take(WHOLE[start:cut])
        one, start = perceiver(decode(encode(one.state()))), cut
    one.take(WHOLE[start:])
    assert one.state() == unbroken.state()
    assert unbroken.state().zones
    assert len(unbroken.recent) == 128


def test_real_trades_over_restarts(shared_data: Path) -> None:
    """A day of XRPUSDT, restarted at five random trades."""
    columns = TradeColumns(*real_tape(shared_data))
    chance = random.Random(5)
    unbroken = perceiver(None, XRP_CONFIG, XRP_CONFIG.tick_size)
    unbroken.take(columns)
    one, start = perceiver(None, XRP_CONFIG, XRP_CONFIG.tick_size), 0
    for cut in sorted(chance.sample(range(len(columns)), 5)):
        one.take(columns[start:cut])
        one, start = perceiver(decode(encode(one.state())), XRP_CONFIG, XRP_CONFIG.tick_size), cut
    one.take(columns[start:])
    assert one.state() == unbroken.state()
    assert unbroken.builder.counters.packets > 1000


def trades(count: int = 3000) -> list[tuple[float, float, str]]:
    """Return a random walk as hand-made trades."""
    rng = np.random.default_rng(4)
    prices = 1.2 + 0.0004 * np.cumsum(rng.choice([-1, 0, 1], count))
    return [(round(float(p), 4), 100.0 + n % 7, "b" if n % 3 else "s") for n, p in enumerate(prices)]


def run_with(hook: Callable[[int, CheckedStrategy], None]) -> CheckedStrategy:
    """Run real buckets with a gate that calls this after each trade; return the strategy."""

    def gate(strategy: Any, take_trade: Callable[[TradeTick], None]) -> Callable[[TradeTick], None]:
        def take(tick: TradeTick) -> None:
            take_trade(tick)
            hook(int(tick.trade_id.value), strategy)

        return take

    def prepare(engine: Any) -> None:
        (strategy,) = engine.trader.strategies()
        strategy.trade_gate = gate

    return run(trades(), None, prepare=prepare, bucket_usd=500, side="both").strategy


@pytest.mark.parametrize("cut", [1, 1234, 2990])
def test_a_strategy_goes_on_from_its_state(cut: int) -> None:
    """`OteStrategy` in the engine: adopted in the middle of a run, it perceives as if nothing had been."""
    kept: dict[int, PerceptionState] = {}

    def keep(number: int, strategy: CheckedStrategy) -> None:
        if number in (1, cut):
            kept[number] = strategy.perceived()

    whole = run_with(keep).perceived()

    def restart(number: int, strategy: CheckedStrategy) -> None:
        if number == cut:
            strategy.adopt(kept[1])  # forget all but the first trade
            assert (strategy.perceived() == kept[cut]) == (cut == 1)
            strategy.adopt(decode(encode(kept[cut])))

    again = run_with(restart)
    assert (again.builder.to_bytes(), again.structure.to_bytes()) == (whole.builder, whole.structure)
    assert again.perceived().zones == whole.zones
    assert again.builder.counters.packets > 100


def test_a_state_of_others_is_refused() -> None:
    """Another instrument, another bucket, another version, and bytes that are none."""
    state = perceiver().state()
    with pytest.raises(ValueError, match="is of XRPUSDT"):
        Perceiver("ADAUSDT.BINANCE", BUCKETS, StructureConfig(tick_size=0.01), Scope.EXTERNAL, state)
    with pytest.raises(ValueError, match="checkpoint"):
        perceiver(state, bucket_config(200_000_000))
    with pytest.raises(ValueError, match="version 9"):
        perceiver(decode(encode(state).replace(b"\xa7version\x01", b"\xa7version\x09")))
    with pytest.raises(ValueError, match="not a saved perception"):
        decode(b"\x93\x01\x02\x03")


def test_a_checkpoint_is_whole_or_refused(tmp_path: Path) -> None:
    """No file, a good one, a cut one, one with a changed byte, one of another program."""
    path = tmp_path / "warm" / "x.checkpoint"
    assert read_checkpoint(path) is None
    write_checkpoint(path, b"first")
    write_checkpoint(path, b"second")
    assert read_checkpoint(path) == b"second"
    assert [one.name for one in path.parent.iterdir()] == ["x.checkpoint"]
    data = path.read_bytes()
    for wrong in (data[:-1], data[:-1] + b"!", b"{}", b""):
        path.write_bytes(wrong)
        with pytest.raises(DataError, match="delete it"):
            read_checkpoint(path)


# -- the bias of a higher timeframe --------------------------------------------------------------------------

MINUTE_NS = 60 * 10**9
BARS = BarType.from_str("XRPUSDT-PERP.BINANCE-1-MINUTE-LAST-EXTERNAL")


class Klines:
    """A market that knows the closed bars of a run."""

    def __init__(self, bars: Sequence[tuple[int, float]]) -> None:
        self.bars = list(bars)
        self.asked: list[tuple[int, int]] = []

    async def klines(self, symbol: str, interval: str, start_ns: int, end_ns: int) -> AsyncIterator[Any]:
        """Yield pages of seven."""
        assert (symbol, interval) == ("XRPUSDT", "1m")
        self.asked.append((start_ns, end_ns))
        opens = [(one - MINUTE_NS, close) for one, close in self.bars]
        rows = [[one // 10**6, 0, 0, 0, close] for one, close in opens if start_ns <= one < end_ns]
        for first in range(0, len(rows), 7):
            yield rows[first : first + 7]


RESTARTS = [(5, 8), (700, 1604), (1777, 1777), (2000, 2895), (1, 2999)]


class BiasRun:
    """A run of the strategy with a bar a minute, every ten trades, that may go back once and catch up.

    Parameters
    ----------
    cut, back
        Trades: after the second only what is known after the first is left, and the venue has the rest.
    known
        A run without that; None for such a one.
    """

    def __init__(self, cut: int = 0, back: int = 0, known: "BiasRun | None" = None) -> None:
        self.ticks: list[TradeTick] = []
        self.bars: list[tuple[int, float]] = []
        self.states: dict[int, PerceptionState] = {}
        self.seen: dict[int, int | None] = {}
        self.asked: list[tuple[int, int]] = []
        self._cut, self._back, self._known = cut, back, known
        self.last = run(
            trades(),
            None,
            prepare=self._prepare,
            bucket_usd=500,
            side="both",
            htf_bar_type=BARS,
            step_ns=MINUTE_NS // 10,
        ).strategy.perceived()

    def _prepare(self, engine: Any) -> None:
        (strategy,) = engine.trader.strategies()
        strategy.trade_gate = self._gate
        strategy.observe(lambda packet, _events: self.seen.update({int(packet["seq"]): strategy.bias}))

    def _gate(self, strategy: Any, take_trade: Callable[[TradeTick], None]) -> Callable[[TradeTick], None]:
        def take(tick: TradeTick) -> None:
            number = int(tick.trade_id.value)
            boundary_ns = tick.ts_event // MINUTE_NS * MINUTE_NS
            if self.ticks and self.ticks[-1].ts_event < boundary_ns:
                close = self.ticks[-1].price
                self.bars.append((boundary_ns, close.as_double()))
                early_ns = boundary_ns - 1_000_064  # as Binance's adapter stamps them
                strategy.on_bar(Bar(BARS, close, close, close, close, Quantity(1, 1), early_ns, early_ns))
            if not self.ticks:
                strategy.recent_packets = deque(maxlen=LOOKED_BACK)  # as in a live node
            self.ticks.append(tick)
            take_trade(tick)
            if self._known is None and number in {1500, *(cut for cut, _ in RESTARTS)}:
                self.states[number] = strategy.perceived()
            elif self._known is not None and number == self._back:
                self._go_back(strategy, self._known, tick.ts_event)

        return take

    def _go_back(self, strategy: Any, known: "BiasRun", now_ns: int) -> None:
        kept = decode(encode(known.states[self._cut]))
        market = Klines([one for one in known.bars if one[0] <= now_ns])
        bias = asyncio.run(bias_before(market, BARS, kept.bias, lambda: now_ns))
        self.asked = market.asked
        strategy.adopt(msgspec.structs.replace(kept, bias=bias))
        for seq in [one for one in self.seen if one > strategy.bucket_seq]:
            del self.seen[seq]
        for past in known.ticks[self._cut : self._back]:
            strategy.take_past_trade(past)
        strategy.end_past()


@pytest.fixture(scope="module")
def unbroken() -> BiasRun:
    """Run once without a restart."""
    return BiasRun()


@pytest.mark.parametrize(("cut", "back"), RESTARTS)
def test_the_bias_after_a_restart_is_that_of_no_restart(unbroken: BiasRun, cut: int, back: int) -> None:
    """Byte for byte, and the same at each bucket of before: a bar counts from its own close on."""
    again = BiasRun(cut, back, unbroken)
    assert encode(again.last) == encode(unbroken.last)
    assert again.seen == unbroken.seen
    assert set(unbroken.seen.values()) == {-1, 0, 1}
    kept = unbroken.states[cut].bias
    assert kept is not None
    kept_ns = kept.close_ns
    far_ns = (unbroken.ticks[back - 1].ts_event // MINUTE_NS - BARS_BACK) * MINUTE_NS
    assert [start for start, _ in again.asked] == [kept_ns if kept_ns > 0 else far_ns]


def test_a_hole_in_the_venues_bars_begins_the_bias_anew(unbroken: BiasRun) -> None:
    """Averages that lack a bar are wrong for long; without one they are unknown, and say so."""
    now_ns = unbroken.ticks[2004].ts_event
    kept = unbroken.states[1500].bias
    bars = [one for one in unbroken.bars if one[0] <= now_ns]
    del bars[-20]
    bias = asyncio.run(bias_before(Klines(bars), BARS, kept, lambda: now_ns))
    assert (bias.averages, bias.waiting) == (b"", tuple(bars[-19:]))
