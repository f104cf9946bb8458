"""Two strategies on one account: what one of them spends, the other one does not have."""

from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from runtime.backtest import run_backtest
from runtime.catalog import Catalog, TradeColumns
from runtime.instruments import make_instrument
from runtime.run_plan import plan_run
from runtime.run_request import RunRequest
from runtime.settings import BacktestSettings, Settings

MIDNIGHT = 1_773_792_000_000_000_000  # 2026-03-18


def tape(count: int = 20_000) -> TradeColumns:
    """Make a random walk with legs far beyond the fees."""
    random = np.random.default_rng(5)
    return TradeColumns(
        ts_ns=MIDNIGHT + np.arange(count) * 2_000_000_000,
        price_ticks=15_000 + np.cumsum(random.integers(-12, 13, count)),
        size_lots=random.integers(5_000, 90_000, count),
        is_buyer=random.random(count) < 0.5,
        trade_id=np.arange(1, count + 1),
    )


@pytest.mark.parametrize("market", [pytest.param("spot", marks=pytest.mark.slow), "usdm"])
def test_strategies_that_act_at_once_share_one_balance(tmp_path: Path, market: str) -> None:
    """Two symbols with the same trades want all the money in the same instant; together they get it once."""
    catalog = Catalog(tmp_path / "catalog", create=True)
    for symbol in ("ETHUSDT", "XRPUSDT"):
        instrument = make_instrument("binance", market, symbol, Decimal("0.0001"), Decimal("0.1"))
        catalog.write_trades(instrument, tape())
    parameters = {
        "bucket_usd": "20000",
        "structure": "internal",
        "min_reward_risk": "0.3",
        "stop_buffer_pct": "0.02",
        "target": "extension_1.618",
        "risk_per_trade_pct": "20",
    }
    settings = Settings(backtest=BacktestSettings(runs=str(tmp_path / "runs"), leverage=1))
    result = run_backtest(
        plan_run(RunRequest(settings=settings, source="", catalog=catalog.path, command_line=parameters))
    )
    assert {trade.instrument_id.split(".")[0][:3] for trade in result.trades} == {"ETH", "XRP"}
    assert len(result.trades) > 20
    open_notional = Decimal(0)
    largest = Decimal(0)
    steps = [
        (ts_ns, sign * Decimal(trade.qty) * Decimal(trade.entry_price))
        for trade in result.trades
        for ts_ns, sign in ((trade.entry_ts_ns, 1), (trade.exit_ts_ns, -1))
    ]
    for _ts_ns, step in sorted(steps, key=lambda one: (one[0], one[1])):
        open_notional += step
        largest = max(largest, open_notional)
    assert largest < Decimal(10_000) * Decimal("1.2"), "positions of both together exceed the account"
