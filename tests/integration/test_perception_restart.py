"""Restarts at any trade: what is perceived afterwards is, byte for byte, what no restart would have shown."""

import random
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nautilus_trader.model.data import TradeTick

from indicators.events import Scope
from indicators.structure_config import StructureConfig
from packet_builder.builder import BucketConfig
from runtime.arrow_schema import TradeColumns
from runtime.errors import DataError
from runtime.live.checkpoint import read_checkpoint, write_checkpoint
from strategies.perception_state import Perceiver, PerceptionState, decode, encode
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
