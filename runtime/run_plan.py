"""A request checked against catalog, strategy and range: whatever is wrong is found before a run begins."""

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import numpy as np
from nautilus_trader.config import ImportableStrategyConfig
from nautilus_trader.model.instruments import Instrument

from ml.model import DAMAGED, ModelRefused
from runtime.catalog import Catalog, TradeColumns
from runtime.cli import did_you_mean, format_ns
from runtime.errors import ConfigurationError, DataError
from runtime.funding_schedule import FundingPlan, plan_funding
from runtime.node_config import data_configs, run_config, strategy_configs, venue_configs
from runtime.nodes import END_OF_TIME_NS, Node, with_fees
from runtime.run_bars import bar_catalogs
from runtime.run_request import RunRequest
from runtime.run_universe import RunUniverse, known_categories, run_universe, with_universe
from runtime.settings import RESERVED_PARAMETERS
from strategies.dynamic_cancel import load_policy
from strategies.registry import StrategySpec, discover, parameters, survey, symbol_parameters

DAY_NS: Final = 86_400_000_000_000
EXTERNAL_BARS: Final = "-EXTERNAL"
BASE_BARS: Final = "base_bar_types"
KLINES_ALONE: Final = (
    ", only klines (a strategy on bars takes them with --set bar_type=5-MINUTE-LAST-EXTERNAL)"
)
# A venue that walks bars must know the next close time before it comes.
LEAST_CLOSE_TIMES: Final = 4


@dataclass(frozen=True, slots=True)
class RunPlan:
    """A request that has been checked against the catalog and the strategy.

    Parameters
    ----------
    request, spec, catalog
        What was asked for, the strategy, and the data.
    instruments
        Sorted by id, with the fees of this run.
    strategies
        One configuration per instrument, in the same order.
    bar_catalogs
        The external bars that the strategies want, by bar type: the catalog in which the node finds them.
    data_from_ns
        First trade that is replayed: 00:00 UTC of the day before the start's; None from the beginning.
    trade_from_ns
        No entries before; 0 for none.
    last_ns
        Last trade that is replayed, included; None to the end.
    ticks, first_ts_ns, last_ts_ns
        Number of trades (or bars) in that range, and its real ends.
    on_bars
        The run has closed bars and no trades.
    universe
        Who belongs to which day, None for a run of few coins or without klines.
    funding
        Funding times of the perpetuals, and those without a rate.
    """

    request: RunRequest
    spec: StrategySpec
    catalog: Catalog
    instruments: tuple[Instrument, ...]
    strategies: tuple[ImportableStrategyConfig, ...]
    bar_catalogs: Mapping[str, Catalog]
    data_from_ns: int | None
    trade_from_ns: int
    last_ns: int | None
    ticks: int
    first_ts_ns: int
    last_ts_ns: int
    on_bars: bool = False
    universe: RunUniverse | None = None
    funding: FundingPlan = field(default_factory=FundingPlan)

    @property
    def retracements(self) -> tuple[float, float, float]:
        """Near edge of the OTE band, sweet spot and far edge, as shares of the range back from its end."""
        config = self.strategies[0].config
        return (
            float(config.get("retracement_min", 0.618)),
            float(config.get("sweet_spot", 0.705)),
            float(config.get("retracement_max", 0.79)),
        )


def plan_run(request: RunRequest) -> RunPlan:
    """Check a request completely, before any run folder exists.

    Raises
    ------
    ConfigurationError
        Unknown strategy, instrument or setting; no catalog; nothing in the range.
    DataError
        A damaged file in the range.
    """
    entry, entry_path = request.settings.strategy(request.strategy)
    spec = find_strategy(entry.strategy)
    catalog = Catalog(request.catalog)

    def configured(names: Sequence[str]) -> list[ImportableStrategyConfig]:
        return strategy_configs(
            spec,
            entry,
            names,
            command_line=request.command_line,
            trade_from_ns=request.start_ns or 0,
            streams=trade_streams(catalog),
            categories=known_categories(
                catalog, [catalog.instrument(name) for name in names], entry.categories
            ),
            entry_path=entry_path,
            source=request.source,
        )

    on_bars = lives_on_bars(spec, catalog, request.instruments or entry.instruments, configured)
    names = sorted(set(request.instruments or entry.instruments or tradable(catalog, on_bars=on_bars)))
    _require_known(catalog, names, on_bars=on_bars)
    instruments = tuple(with_fees(catalog.instrument(name), request.settings.backtest.fees) for name in names)
    if request.start_ns is not None and request.end_ns is not None and request.start_ns >= request.end_ns:
        raise ConfigurationError(
            f"--start {format_ns(request.start_ns)} is not before --end {format_ns(request.end_ns)}"
        )
    strategies = configured(names)
    last_ns = None if request.end_ns is None else request.end_ns - 1
    if on_bars:
        # From the first bar on: a higher timeframe needs a long warm-up.
        data_from_ns = None
        bars = bar_catalogs(catalog, (name for one in strategies for name in base_bars(spec, one)))
        spans = [_bar_span(one, name, request.start_ns, last_ns) for name, one in bars.items()]
        first_ts_ns = min(first for _count, first, _last in spans)
        for strategy in strategies:
            require_signal_model(spec, strategy, instruments, first_ts_ns)
    else:
        for strategy, instrument in zip(strategies, instruments, strict=True):
            _require_workable(spec, strategy, instrument, request)
        bars = bar_catalogs(catalog, (name for one in strategies for name in external_bars(one.config)))
        data_from_ns = _anchor(request.start_ns)
        spans = [_span(catalog, name, data_from_ns, request.start_ns, last_ns) for name in names]
        first_ts_ns = min(first for _count, first, _last in spans)
        for strategy, instrument in zip(strategies, instruments, strict=True):
            require_model(spec, strategy, instrument, first_ts_ns)
    last_ts_ns = max(last for _count, _first, last in spans)
    span_ns = (request.start_ns or first_ts_ns, last_ts_ns)
    rule = request.settings.universe
    universe = run_universe(rule, catalog, instruments, bars, span_ns, strategies)
    open_from_ns = max(first_ts_ns, request.start_ns or 0)
    return RunPlan(
        request=request,
        spec=spec,
        catalog=catalog,
        instruments=instruments,
        strategies=tuple(with_universe(strategies, universe)),
        bar_catalogs=bars,
        data_from_ns=data_from_ns,
        trade_from_ns=request.start_ns or 0,
        last_ns=last_ns,
        ticks=sum(count for count, _first, _last in spans),
        first_ts_ns=first_ts_ns,
        last_ts_ns=last_ts_ns,
        on_bars=on_bars,
        universe=universe,
        funding=plan_funding(
            request.settings.backtest.funding, catalog.path, instruments, (open_from_ns, last_ts_ns)
        ),
    )


def require_trades(plan: RunPlan, what: str) -> None:
    """Raise ConfigurationError for a strategy on closed bars where a command needs trades."""
    if plan.on_bars:
        raise ConfigurationError(f"{what} works on trades, and {plan.spec.name} reads closed bars alone")


def percent_of(plan: RunPlan, advance: Callable[[float], None]) -> Callable[[int], None]:
    """Return a function of the simulated time (UNIX nanoseconds) that advances a bar of 100 percent."""
    span_ns = max(plan.last_ts_ns - plan.first_ts_ns, 1)
    done = 0.0

    def on_time(ts_ns: int) -> None:
        nonlocal done
        percent = min(max(100 * (ts_ns - plan.first_ts_ns) / span_ns, done), 100.0)
        advance(percent - done)
        done = percent

    return on_time


def describe_strategies() -> list[dict[str, Any]]:
    """Return every strategy by name: version, summary, parameters, and ``error``, None where it can run.

    ``symbol_parameters`` are what a single instrument may have of its own where that is less than all. A
    broken one has the reason there and no parameters. Of one name the broken come first.
    """
    strategies, broken = survey()
    described = [
        {
            "name": spec.name,
            "version": spec.version,
            "summary": spec.summary,
            "parameters": [one for one in parameters(spec) if one["name"] not in RESERVED_PARAMETERS],
            "symbol_parameters": symbol_parameters(spec),
            "error": None,
        }
        for spec in strategies.values()
    ]
    described += [
        {
            "name": one.name,
            "version": one.version,
            "summary": one.summary,
            "parameters": [],
            "symbol_parameters": [],
            "error": f"{one.module}: {one.reason}",
        }
        for one in broken
    ]
    return sorted(described, key=lambda one: (one["name"], one["error"] is None))


def strategies_text(strategies: Sequence[Mapping[str, Any]]) -> str:
    """Return what :func:`describe_strategies` gives as lines of text."""
    lines = []
    for one in strategies:
        if one["error"] is not None:
            lines.append(f"{one['name']}: cannot run: {one['error']}")
            continue
        lines.append(f"{one['name']} {one['version']}: {one['summary']}")
        for parameter in one["parameters"]:
            lines.append(f"  {parameter['name']} ({parameter['type']}) = {parameter['default']}")
            lines.append(f"      {parameter['doc']}")
    return "\n".join(lines)


def node_of(plan: RunPlan) -> Node:
    """Return the node that replays a plan: its venues, data and strategies, not built yet."""
    backtest = plan.request.settings.backtest
    names = [one.id.value for one in plan.instruments]
    bars = {bar_type: str(catalog.path) for bar_type, catalog in plan.bar_catalogs.items()}
    traded = [] if plan.on_bars else names
    data = data_configs(str(plan.catalog.path), traded, bars, plan.data_from_ns, plan.last_ns)
    venues = venue_configs(plan.instruments, backtest, on_bars=plan.on_bars, funding=plan.funding.module)
    least = LEAST_CLOSE_TIMES * len(names) if plan.on_bars else 1
    config = run_config(venues, data, list(plan.strategies), backtest.chunk_size, least_chunk=least)
    # Files of bars hold a year: cut into days each would be read once for every day.
    return Node(config, backtest.fees, None if plan.on_bars else (plan.first_ts_ns, plan.last_ts_ns))


def find_strategy(name: str) -> StrategySpec:
    """Return the strategy of that name.

    Raises
    ------
    ConfigurationError
        When there is none (with a suggestion), or its file is broken (with the reason).
    """
    known = discover()
    if name in known:
        return known[name]
    for one in survey()[1]:
        if name == one.name:
            raise ConfigurationError(f"strategy {name} cannot run: {one.module}: {one.reason}")
    hint = did_you_mean(name, list(known))
    raise ConfigurationError(f"unknown strategy {name}{hint or '; known: ' + ', '.join(sorted(known))}")


def lives_on_bars(
    spec: StrategySpec,
    catalog: Catalog,
    names: Sequence[str],
    configured: Callable[[Sequence[str]], Sequence[ImportableStrategyConfig]],
) -> bool:
    """Tell whether a run has closed bars and no trades.

    A strategy that needs no trades says so with ``base_bar_types(config)``. As a function of its module
    it never has any. As a method of its class it has trades where the catalog has them, else it lives on
    bars if its settings name bars of the catalog, not such as are made of trades.

    Parameters
    ----------
    spec, catalog
        Strategy and data.
    names
        What shall be traded, empty for everything in the catalog.
    configured
        Gives the configurations for instruments.
    """
    if hasattr(_module_of(spec), BASE_BARS):
        return True
    if not hasattr(spec.strategy_class(), BASE_BARS):
        return False
    traded = tradable(catalog)
    if set(traded) & set(names or traded):
        return False
    stored = tradable(catalog, on_bars=True)
    wanted = [name for name in names or stored if name in stored]
    return bool(wanted) and all(base_bars(spec, one) for one in configured(wanted))


def base_bars(spec: StrategySpec, strategy: ImportableStrategyConfig) -> list[str]:
    """Return the bar types on which a strategy lives, by its ``base_bar_types(config)``."""
    base_bar_types = getattr(_module_of(spec), BASE_BARS, None) or getattr(spec.strategy_class(), BASE_BARS)
    found: list[str] = base_bar_types(spec.config_class().parse(msgspec.json.encode(strategy.config)))
    return found


def _module_of(spec: StrategySpec) -> Any:
    return importlib.import_module(spec.strategy_path.partition(":")[0])


def tradable(catalog: Catalog, *, on_bars: bool = False) -> list[str]:
    """Return the ids of the catalog's instruments that have trades (or klines), sorted."""
    return sorted({one["instrument"] for one in catalog.series() if (one["kind"] == "klines") is on_bars})


def trade_streams(catalog: Catalog) -> dict[str, str]:
    """Return what the trades of each instrument of a catalog are, ``trades`` or ``aggtrades``, by id."""
    entries = catalog.manifest.series.values()
    return {one.instrument: one.kind for one in entries if one.kind != "klines"}


def external_bars(config: Mapping[str, Any]) -> list[str]:
    """Return the external bar types that a strategy configuration names, in any of its fields."""
    return [value for value in config.values() if isinstance(value, str) and value.endswith(EXTERNAL_BARS)]


def _require_known(catalog: Catalog, names: Sequence[str], *, on_bars: bool) -> None:
    known, what = tradable(catalog, on_bars=on_bars), "klines" if on_bars else "trades"
    if not known:
        other = "" if on_bars or not tradable(catalog, on_bars=True) else KLINES_ALONE
        raise ConfigurationError(
            f"{catalog.path} holds no {what}{other}: fill it with `download_data.py import`"
        )
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known) or "."
            if not on_bars and name in tradable(catalog, on_bars=True):
                hint = f"{KLINES_ALONE}."
            raise ConfigurationError(
                f"{catalog.path} has no {what} of {name}{hint} It holds {', '.join(known)}"
            )


def perception_of(spec: StrategySpec, strategy: Any, instrument: Instrument) -> tuple[Any, Any] | None:
    """Return the parameters of buckets and structure of a strategy, None where it has neither.

    A strategy's module says so with a function ``perception(config, tick_size, lot_size)``.

    Raises
    ------
    ValueError, ArithmeticError
        When they do not fit the instrument.
    """
    perception = getattr(importlib.import_module(spec.strategy_path.partition(":")[0]), "perception", None)
    if perception is None:
        return None
    config = spec.config_class().parse(msgspec.json.encode(strategy.config))
    found: tuple[Any, Any] = perception(
        config, instrument.price_increment.as_decimal(), instrument.size_increment.as_decimal()
    )
    return found


def terms_of(spec: StrategySpec, strategy: Any) -> dict[str, Any]:
    """Return the settings of a strategy that a model is bound to, empty where its configuration names none.

    A configuration says so with a method ``terms()``.
    """
    config = spec.config_class().parse(msgspec.json.encode(strategy.config))
    terms = getattr(config, "terms", None)
    return {} if terms is None else dict(terms())


def _require_workable(spec: StrategySpec, strategy: Any, instrument: Instrument, request: RunRequest) -> None:
    """Try what a strategy does with its settings when it starts, while the user can still be told."""

    def refused(error: Exception) -> ConfigurationError:
        text = str(error) or type(error).__name__
        name = next((one for one in strategy.config if one in text), None)
        where = f"--set {name}" if name in request.command_line else f"{request.source}, strategy {spec.name}"
        return ConfigurationError(f"{instrument.id}: {text} - at {where}")

    try:
        perception_of(spec, strategy, instrument)
    except ArithmeticError as error:  # has no words of its own, and only the bucket is exact arithmetic
        bucket = strategy.config.get("bucket_usd")
        text = f"bucket_usd {bucket} cannot be counted in the instrument's price and size increments"
        raise refused(ValueError(text)) from error
    except ValueError as error:
        raise refused(error) from error
    policy = strategy.config.get("cancel_policy")
    if policy is not None:
        try:
            load_policy(policy)
        except (ValueError, ArithmeticError, ImportError, AttributeError, TypeError) as error:
            # A class of the user's own may raise without saying which setting named it.
            text = str(error) if "cancel_policy" in str(error) else f"cancel_policy {policy!r}: {error}"
            raise refused(ValueError(text)) from error


def require_model(spec: StrategySpec, strategy: Any, instrument: Instrument, now_ns: int) -> None:
    """Load the model of the settings as the strategy will, while the user can still be told."""
    if not strategy.config.get("model"):
        return
    module = importlib.import_module(spec.strategy_path.partition(":")[0])
    try:
        module.model_policy(
            spec.config_class().parse(msgspec.json.encode(strategy.config)),
            spec,
            now_ns=now_ns,
            tick_size=instrument.price_increment.as_decimal(),
            lot_size=instrument.size_increment.as_decimal(),
            maker_fee=instrument.maker_fee,
            taker_fee=instrument.taker_fee,
            target_rests=True,  # fees move the threshold, not what is checked here
        )
    except ModelRefused as error:
        kind = DataError if error.reason in DAMAGED else ConfigurationError
        raise kind(f"{instrument.id}: {error} - at --model {strategy.config['model']}") from error


def require_signal_model(
    spec: StrategySpec, strategy: Any, instruments: Sequence[Instrument], now_ns: int
) -> None:
    """Load the model of a strategy on closed bars as it will, for all of its instruments."""
    folder = strategy.config.get("model")
    if not folder:
        return
    module = importlib.import_module(spec.strategy_path.partition(":")[0])
    config = spec.config_class().parse(msgspec.json.encode(strategy.config))
    fees = {one.id.value: (one.maker_fee, one.taker_fee) for one in instruments}
    try:
        module.signal_model(config, spec, fees, now_ns)
    except ModelRefused as error:
        kind = DataError if error.reason in DAMAGED else ConfigurationError
        raise kind(f"{error} - at --model {folder}") from error


def _anchor(start_ns: int | None) -> int | None:
    """Return where the data must begin: a midnight, as buckets do, and a whole day early, to warm up."""
    return None if start_ns is None else max(start_ns // DAY_NS - 1, 0) * DAY_NS


def read_whole_files(
    catalog: Catalog, name: str, from_ns: int | None, last_ns: int | None
) -> Iterator[TradeColumns]:
    """Yield all trades of every file that reaches into the range, also those outside of it.

    Nautilus reads files whole, and damage that only it meets ends the process without a word.
    """
    low, high = from_ns or 0, END_OF_TIME_NS if last_ns is None else last_ns
    spans = [
        (file.first_ns, file.last_ns)
        for entry in catalog.manifest.series.values()
        if entry.instrument == name and entry.kind != "klines"
        for file in entry.files
        if file.first_ns <= high and file.last_ns >= low
    ]
    if spans:
        yield from catalog.read_trades(name, min(first for first, _ in spans), max(last for _, last in spans))


def _bar_span(
    catalog: Catalog, bar_type: str, start_ns: int | None, last_ns: int | None
) -> tuple[int, int, int]:
    """Count the bars of a type up to a time; their ends are close times."""
    count, first, last = 0, 0, -1
    for bars in catalog.read_bars(bar_type, None, last_ns):
        if len(bars):
            first = first if count else int(bars.ts_close_ns[0])
            last = int(bars.ts_close_ns[-1])
            count += len(bars)
    if count == 0 or last < (start_ns or 0):
        raise ConfigurationError(f"{catalog.path}: no bars {bar_type} in the chosen range")
    return count, first, last


def _span(
    catalog: Catalog, name: str, from_ns: int | None, start_ns: int | None, last_ns: int | None
) -> tuple[int, int, int]:
    """Count an instrument's trades in the range; reading all files finds a damaged one before the run."""
    count, first, last = 0, 0, -1
    low, high = from_ns or 0, END_OF_TIME_NS if last_ns is None else last_ns
    for trades in read_whole_files(catalog, name, from_ns, last_ns):
        begin, end = np.searchsorted(trades.ts_ns, low), np.searchsorted(trades.ts_ns, high, side="right")
        ts_ns = trades.ts_ns[begin:end]
        if len(ts_ns):
            first = first if count else int(ts_ns[0])
            last = int(ts_ns[-1])
            count += len(ts_ns)
    if count == 0 or last < (start_ns or 0):
        held = next(one for one in catalog.series() if one["instrument"] == name and one["kind"] != "klines")
        raise ConfigurationError(
            f"no trades of {name} in the chosen range: {catalog.path} holds {held['first']} to {held['last']}"
        )
    return count, first, last
