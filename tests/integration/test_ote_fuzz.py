"""Random prices and structure through the real engine: the rules of the checked strategy hold throughout."""

from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from indicators.events import EventKind
from strategies.trade_manager.lifecycle import Stage
from tests.integration.engine_harness import AccountName, Trade, event, run

ENDS = (
    EventKind.OTE_COMPLETED,
    EventKind.OTE_FAILED,
    EventKind.RANGE_INVALIDATED,
    EventKind.RANGE_OPPOSED,
    EventKind.RANGE_EXPIRED,
)


def random_tape(seed: int, count: int = 1500) -> tuple[list[Trade], dict[int, list[tuple[Any, ...]]]]:
    """Return a jumpy random walk and zones around it that form, extend, are touched and end.

    Jumps of up to 3 % cross entries, stops and targets; sizes are from a fraction of an order to several.
    """
    rng = np.random.default_rng(seed)
    steps = rng.normal(0, 6, count) + np.where(rng.random(count) < 0.01, rng.normal(0, 150, count), 0)
    ticks = np.clip(10_000 + np.cumsum(steps), 3_000, 30_000).astype(int)
    sizes = np.round(rng.exponential(600, count) + 0.1, 1)
    # The taker's side goes with the last move, as on a tape.
    buys = np.diff(ticks, prepend=ticks[0]) + rng.normal(0, 3, count) > 0
    trades = [
        (float(tick) / 10_000, float(size), "b" if buy else "s")
        for tick, size, buy in zip(ticks, sizes, buys, strict=True)
    ]
    script: dict[int, list[tuple[Any, ...]]] = {}
    zone = 0
    at = 5
    while at < count - 200:
        price = trades[at][0]
        direction = 1 if rng.random() < 0.6 else -1
        leg = price * rng.uniform(0.002, 0.012)
        near, far = price + direction * leg * 0.1, price - direction * leg * 0.9
        low, high = min(near, far), max(near, far)
        zone += 1
        script.setdefault(at, []).append(
            event(EventKind.RANGE_FORMED, direction=direction, low=low, high=high, zone=zone)
        )
        life = int(rng.integers(5, 150))
        for moment in sorted(rng.integers(1, life, int(rng.integers(0, 5)))):
            leg *= 1.0 + rng.uniform(0, 0.4)
            low, high = (low, low + leg) if direction > 0 else (high - leg, high)
            script.setdefault(at + int(moment), []).append(
                event(EventKind.RANGE_EXTENDED, direction=direction, low=low, high=high, zone=zone)
            )
        end = ENDS[int(rng.integers(len(ENDS)))]
        script.setdefault(at + life, []).append(event(end, direction=direction, zone=zone))
        at += int(rng.integers(10, 120))
    return trades, script


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("account", ["cash", "margin"])
@pytest.mark.parametrize("latency_ms", [0, 50])
def test_position_and_protection_agree_on_random_tapes(
    account: AccountName, latency_ms: int, seed: int
) -> None:
    """Fills, jumps, extensions and dying zones in any order: no rule broken, no illegal transition.

    The books balance as well: recorded profits, dust and the open rest are what the account gained.
    """
    trades, script = random_tape(1000 * seed + latency_ms)
    rng = np.random.default_rng(seed)
    result = run(
        trades,
        script,
        account=account,
        latency_ms=latency_ms,
        tainted=rng.integers(0, len(trades), 20).tolist(),
        min_reward_risk=0.5,
        exit_market_after_secs=0.5,
        max_notional_pct=50.0,
        entry_ttl_secs=float(rng.choice([0.0, 0.4])),
    )
    strategy = result.strategy
    assert strategy.counters["illegal_transitions"] == 0
    assert not strategy.is_halted
    assert strategy.checks > len(trades)
    ids = [order.client_order_id.value for order in result.orders]
    assert len(ids) == len(set(ids))
    if strategy.setup is not None and strategy.setup.is_closed:
        profit = sum((Decimal(trade.pnl) for trade in result.trades), Decimal(0))
        gained = result.balance + strategy._dust_value - 10_000
        assert gained == pytest.approx(profit, abs=Decimal("1e-5"))
    for trade in result.trades:
        assert trade.mae_r <= 0 <= trade.mfe_r
        assert trade.entry_ts_ns <= trade.exit_ts_ns


def test_equal_runs_decide_equally() -> None:
    """Same tape, same decisions to the last field: nothing depends on chance or on a clock."""
    trades, script = random_tape(7)
    first = run(trades, script, latency_ms=50, min_reward_risk=0.5)
    second = run(trades, script, latency_ms=50, min_reward_risk=0.5)
    assert first.decisions == second.decisions
    assert first.trades == second.trades


def test_random_tapes_reach_what_they_are_made_for() -> None:
    """The tapes above would prove little if nothing filled: together they go through every stage."""
    stages, reasons = set(), set()
    for seed in range(6):
        trades, script = random_tape(1000 * seed)
        result = run(trades, script, min_reward_risk=0.5, max_notional_pct=50.0)
        stages |= set(result.strategy.stages)
        reasons |= {trade.exit_reason for trade in result.trades}
    assert stages >= set(Stage) - {Stage.PLANNED, Stage.REPRICING, Stage.CANCELLING}
    assert reasons >= {"stop", "target"}
