"""One backtest: replay a planned range of the catalog through Nautilus and hand back what happened.

Nothing here draws or judges: figures and pages are made by `ui.reports`, put together by the root script.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from nautilus_trader.accounting.error import AccountError
from nautilus_trader.model.instruments import Instrument

from runtime.bar_share import VolumeShares
from runtime.bar_venue import shares_endpoint
from runtime.cli import format_ns
from runtime.entry_watch import EntryWatch
from runtime.errors import DataError, OperatorError
from runtime.journal.backtests import backtest_journal
from runtime.live.limits import limit_entries
from runtime.memory import release_memory
from runtime.node_config import is_spot
from runtime.nodes import Node
from runtime.recorder import Recorder, RecorderConfig, last_price, unrealized_pnl
from runtime.run_columns import BarFeed, feed_columns, run_columns
from runtime.run_entries import EntryFile, keeps_all, origin_of
from runtime.run_folder import SIGNALS, RunFolder, new_run_id
from runtime.run_plan import RunPlan, node_of, read_whole_files
from runtime.run_telemetry import recorded_telemetry
from runtime.settings import as_plain, settings_hash
from runtime.signal_results import add_results
from strategies.trade_manager.record import ClosedTrade, Decision

ALL_INSTRUMENTS: Final = "*"
# Counters of a strategy that must be zero: a run that lost trades is no result.
LOST_TRADES: Final[Mapping[str, str]] = {
    "trades_dropped": "came back in the wrong order or twice",
    "trades_refused": "cannot be counted in the instrument's price and size increments",
}


@dataclass(frozen=True, slots=True)
class RunResult:
    """What happened in a run.

    Parameters
    ----------
    run_id, folder, plan
        Name of the run, its folder (open for the report), and what was run.
    trades
        Closed trades in order of exit.
    marks
        Equity every five minutes and at the end: (UNIX nanoseconds, quote currency).
    final_balance
        Equity at the last trade, quote currency, exact.
    counters
        Sum of the strategies' counters.
    open_positions
        Positions open at the end, valued at the last trade.
    engine_s
        Seconds the engine ran.
    started_s
        `time.perf_counter()` at the start of the command.
    config
        Effective settings.
    gates
        What the cancel policies did and were worth, by instrument id; empty without one.
    funding
        What all positions received at funding times, quote currency, open ones included.
    signal_model
        What filtered signals and what it decided, None without a model of signals.
    bar_feed
        How closed bars reached the strategy: as scored columns, or one event each.
    volume_shares
        How much of their bars' volume ``entries`` and ``exits`` took, see `runtime.bar_share.share_figures`;
        empty for a run on trades.
    """

    run_id: str
    folder: RunFolder
    plan: RunPlan
    trades: Sequence[ClosedTrade]
    marks: Sequence[tuple[int, float]]
    final_balance: Decimal
    counters: Mapping[str, int]
    open_positions: Sequence[Mapping[str, str]]
    engine_s: float
    started_s: float
    config: Mapping[str, Any]
    gates: Mapping[str, Any] = field(default_factory=dict)
    funding: Decimal = Decimal(0)
    signal_model: Mapping[str, Any] | None = None
    bar_feed: BarFeed = "events"
    volume_shares: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def starting_balance(self) -> Decimal:
        """What all accounts began with, quote currency."""
        venues = {one.id.venue.value for one in self.plan.instruments}
        return self.plan.request.settings.backtest.balance * len(venues)


def run_backtest(
    plan: RunPlan,
    on_time: Callable[[int], None] | None = None,
    more_actors: Callable[[Any], Iterable[Any]] = lambda _engine: (),
) -> RunResult:
    """Replay the planned data through the strategies.

    Parameters
    ----------
    plan
        From :func:`plan_run`.
    on_time
        Called every five simulated minutes with the simulated time, UNIX nanoseconds.
    more_actors
        Gets the engine before it runs and returns actors that listen to it (notifications, metrics).

    Raises
    ------
    DataError
        When the catalog turns out damaged, or trades were lost on the way.
    OperatorError
        When the account went negative.
    """
    backtest = plan.request.settings.backtest
    run_id = new_run_id(plan.spec.name, datetime.now(UTC))
    folder = RunFolder(
        Path(backtest.runs) / run_id, ClosedTrade.__struct_fields__, Decision.__struct_fields__
    )
    config = effective_config(plan)
    folder.write_config(config)
    columns = run_columns(plan)
    release_memory()
    node = node_of(plan)
    recorder = Recorder(RecorderConfig(mark_from_ns=plan.trade_from_ns or plan.first_ts_ns), folder, on_time)
    with (
        folder,
        _entry_file(plan, folder.path) as entries,
        backtest_journal(plan, run_id, config) as journal,
    ):
        node.build()
        (engine,) = node.get_engines()
        engine.add_actor(recorder)
        limit_entries(engine.trader.strategies(), backtest.limits)
        if columns is not None:
            feed_columns(columns, plan, node, engine)
        for actor in more_actors(engine):
            engine.add_actor(actor)
        if journal is not None:
            journal.listen(engine)
        watches = [] if entries is None else _watches(engine, entries)
        engine_started_s = time.perf_counter()
        with recorded_telemetry(plan, engine, folder.path, run_id, columns):
            run_node(node, plan)
        engine_s = time.perf_counter() - engine_started_s
        counters = summed_counters(strategy.counters for strategy in engine.trader.strategies())
        # Of columns the engine saw one bar per close time.
        require_replayed(plan, counters, engine.iteration if columns is None else None)
        gates = {
            strategy.instrument_id.value: report
            for strategy in engine.trader.strategies()
            if hasattr(strategy, "gate_report") and (report := strategy.gate_report()) is not None
        }
        reports = [one.filter_report() for one in engine.trader.strategies() if hasattr(one, "filter_report")]
        final_balance = recorder.mark(plan.last_ts_ns)
        if journal is not None:
            journal.final_balance, journal.counters = str(final_balance), counters
            journal.decision_sha256 = folder.decision_sha256
        for watch in watches:
            watch.finish()
        if entries is not None and watches:
            entries.finish(origin_of(plan, folder.decision_sha256, config["config_sha256"]))
        result = RunResult(
            run_id=run_id,
            folder=folder,
            plan=plan,
            trades=recorder.trades,
            marks=recorder.marks,
            final_balance=final_balance,
            counters=counters,
            open_positions=open_positions(engine.cache, plan.instruments),
            engine_s=engine_s,
            started_s=plan.request.started_s,
            config=config,
            gates=gates,
            funding=recorder.funding,
            signal_model=next((one for one in reports if one is not None), None),
            bar_feed="events" if columns is None else "columns",
            volume_shares=_volume_shares(engine, plan) if plan.on_bars else {},
        )
    node.dispose()  # type: ignore[no-untyped-call]
    release_memory()
    add_results(folder.path / SIGNALS, recorder.trades)
    return result


def _volume_shares(engine: Any, plan: RunPlan) -> dict[str, Any]:
    """Return how much of their bars' volume the fills at all venues took."""
    shares = VolumeShares()
    for venue in sorted({one.id.venue.value for one in plan.instruments}):
        engine.kernel.msgbus.send(endpoint=shares_endpoint(venue), msg=shares)
    return shares.as_plain()


def _entry_file(plan: RunPlan, folder: Path) -> AbstractContextManager[EntryFile | None]:
    """Return the file for what entries wanted, nothing for a run whose entries a policy chooses."""
    return EntryFile(folder) if all(keeps_all(one.config) for one in plan.strategies) else nullcontext()


def _watches(engine: Any, entries: EntryFile) -> list[EntryWatch]:
    return [
        EntryWatch(strategy, entries.taker(strategy.instrument_id.value))
        for strategy in engine.trader.strategies()
        if hasattr(strategy, "observe")
    ]


def effective_config(plan: RunPlan) -> dict[str, Any]:
    """Return the settings of a run with every default written out, and their hash."""
    request = plan.request
    plain = as_plain(request.settings)
    plain["catalog"] = str(request.catalog)
    plain["strategies"] = [
        {
            "strategy": plan.spec.name,
            "instruments": [one.id.value for one in plan.instruments],
            "symbols": {
                str(one.config.get("instrument_id", ALL_INSTRUMENTS)): {
                    key: value for key, value in one.config.items() if key != "instrument_id"
                }
                for one in plan.strategies
            },
        }
    ]
    plain["run"] = {
        "start": None if request.start_ns is None else format_ns(request.start_ns),
        "end": None if request.end_ns is None else format_ns(request.end_ns),
        "strategy_version": plan.spec.version,
    }
    return {**plain, "config_sha256": settings_hash(plain)}


def run_node(node: Node, plan: RunPlan) -> None:
    """Run a built node; where it fails on a damaged file, say which."""
    try:
        node.run()
    except AccountError as error:
        raise OperatorError(f"the simulated account cannot go on: {error}") from error
    except OperatorError:
        raise
    except BaseException as error:
        # Nautilus reads Parquet in Rust, whose panics are no ordinary exceptions. Only when our own
        # reader also finds damage is the file to blame; otherwise the error is a bug and stays one.
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        for instrument in () if plan.on_bars else plan.instruments:
            for _block in read_whole_files(
                plan.catalog, instrument.id.value, plan.data_from_ns, plan.last_ns
            ):
                pass
        raise


def require_replayed(plan: RunPlan, counters: Mapping[str, int], iterations: int | None) -> None:
    """Make sure that a run is a result: everything planned was replayed, and no strategy lost a trade.

    Parameters
    ----------
    plan
        Of the run.
    counters
        Of its strategies, summed.
    iterations
        What the engine counted; None where the strategies counted their bars themselves.

    Raises
    ------
    DataError
        When it is none.
    """
    if iterations is None:
        replayed = counters["bars"]
    else:
        replayed = iterations - (0 if plan.on_bars else _bars_before(plan, plan.last_ns))
    if replayed != plan.ticks:
        what = "bars" if plan.on_bars else "trades"
        raise DataError(
            f"{plan.catalog.path}: {plan.ticks:,} {what} in the range but {replayed:,} reached the engine"
        )
    for name, meaning in LOST_TRADES.items():
        if counters.get(name, 0):
            raise DataError(
                f"{plan.catalog.path}: {counters[name]:,} trades {meaning}: import the source again"
            )


def _bars_before(plan: RunPlan, last_ns: int | None) -> int:
    return sum(
        len(block.ts_open_ns)
        for bar_type, catalog in plan.bar_catalogs.items()
        for block in catalog.read_bars(bar_type, None, last_ns)
    )


def summed_counters(counters: Iterator[Mapping[str, int]]) -> dict[str, int]:
    """Return the sum of the counters of several strategies."""
    total: dict[str, int] = {}
    for one in counters:
        for name, count in one.items():
            total[name] = total.get(name, 0) + count
    return total


def open_positions(cache: Any, instruments: Sequence[Instrument]) -> list[dict[str, str]]:
    """Return what is held at the end, valued at the last trade.

    Perpetuals: Nautilus' positions. Spot: the coins of the account, if there is a lot to sell; Nautilus'
    position is an estimate there, it takes the fee off each fill in whole lots and drifts away.
    """
    found = []
    for instrument in instruments:
        positions = cache.positions_open(instrument_id=instrument.id)
        if is_spot(instrument):
            found += _coins(cache, instrument, positions)
        else:
            found += [_open_position(cache, position) for position in positions]
    return found


def _coins(cache: Any, instrument: Instrument, positions: Sequence[Any]) -> list[dict[str, str]]:
    total = cache.account_for_venue(instrument.id.venue).balance_total(instrument.base_currency)
    quantity = Decimal(0) if total is None else total.as_decimal()
    if quantity < instrument.size_increment.as_decimal():
        return []
    price = last_price(cache, instrument.id)
    # Coins that fees and rounding left of closed positions have no price of entry of their own.
    entry = next((Decimal(str(one.avg_px_open)) for one in positions if one.is_long), price)
    return [
        {
            "instrument_id": instrument.id.value,
            "side": "long",
            "quantity": str(quantity.normalize() if quantity % 1 else quantity.to_integral_value()),
            "entry_price": f"{entry:.12g}",
            "last_price": str(price),
            "value": str(quantity * price),
            "unrealized_pnl": f"{quantity * (price - entry):.8f}",
        }
    ]


def _open_position(cache: Any, position: Any) -> dict[str, str]:
    price = last_price(cache, position.instrument_id)
    return {
        "instrument_id": position.instrument_id.value,
        "side": position.side.name.lower() if hasattr(position.side, "name") else str(position.side),
        "quantity": str(position.quantity),
        "entry_price": f"{position.avg_px_open:.12g}",
        "last_price": str(price),
        "value": str(position.quantity.as_decimal() * price),
        "unrealized_pnl": str(unrealized_pnl(cache, position)),
    }
