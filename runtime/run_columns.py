"""A run on bars whose scores are computed before it: what to score, and how strategy and venue get it."""

import importlib
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from runtime.column_feed import ColumnFeed, ColumnStore
from runtime.confluence_scan import SECOND_NS
from runtime.nodes import Node
from runtime.run_plan import RunPlan, base_bars
from runtime.score_columns import Columns, Series, TimeGrid, UnscoredBarsError, score_columns

type BarFeed = Literal["columns", "events"]

REQUEST: Final = "score_request"


def run_columns(plan: RunPlan) -> Columns | None:
    """Return the scored columns of a run, None where its bars must come one by one.

    That is so for a strategy whose module has no ``score_request(config, tick_sizes)``, for several venues,
    with the setting ``backtest.bar_feed: events``, and where a bar cannot be scored.

    Raises
    ------
    DataError
        When a file is damaged.
    """
    backtest = plan.request.settings.backtest
    module = importlib.import_module(plan.spec.strategy_path.partition(":")[0])
    venues = {one.id.venue for one in plan.instruments}
    if not plan.on_bars or backtest.bar_feed == "events" or len(venues) > 1 or not hasattr(module, REQUEST):
        return None
    config = _config(plan)
    ticks = {one.id.value: float(one.price_increment) for one in plan.instruments}
    step_ns = config.ltf_secs * SECOND_NS
    grid = TimeGrid(plan.first_ts_ns, step_ns, (plan.last_ts_ns - plan.first_ts_ns) // step_ns + 1)
    places = _bar_types(plan)
    series = [
        Series(
            one.id.value,
            plan.bar_catalogs[places[one.id.value]].path,
            one.price_increment.as_decimal(),
            one.size_increment.as_decimal(),
        )
        for one in plan.instruments
    ]
    request = getattr(module, REQUEST)(config, ticks)
    try:
        return score_columns(series, request, grid, last_ns=plan.last_ns, scratch=Path(backtest.runs))
    except UnscoredBarsError:
        return None


def feed_columns(columns: Columns, plan: RunPlan, node: Node, engine: Any) -> None:
    """Give the columns to a built node's venue and to the strategy."""
    node.bars = ColumnStore(columns, plan.instruments, _bar_types(plan))
    for strategy in engine.trader.strategies():
        strategy.use_feed(ColumnFeed(columns))


def _config(plan: RunPlan) -> Any:
    (strategy,) = plan.strategies
    return plan.spec.config_class().parse(msgspec.json.encode(strategy.config))


def _bar_types(plan: RunPlan) -> dict[str, str]:
    """Return the bar type of each instrument."""
    return {one.rsplit("-", 4)[0]: one for one in base_bars(plan.spec, plan.strategies[0])}
