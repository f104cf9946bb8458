"""Settings into the parts that a Nautilus node is built from.

:func:`strategy_configs` is the one way from settings to strategies: backtest, paper and live call it, so
the strategy cannot know where it runs.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec
from nautilus_trader.backtest.config import (
    BacktestDataConfig,
    BacktestEngineConfig,
    BacktestRunConfig,
    BacktestVenueConfig,
    ImportableFeeModelConfig,
    ImportableFillModelConfig,
    ImportableLatencyModelConfig,
)
from nautilus_trader.backtest.engine import BacktestEngine
from nautilus_trader.backtest.node import BacktestNode, get_instrument_ids
from nautilus_trader.cache.config import CacheConfig
from nautilus_trader.common.config import ImportableActorConfig
from nautilus_trader.config import ImportableStrategyConfig, LoggingConfig, MessageBusConfig
from nautilus_trader.core.data import Data
from nautilus_trader.core.message import Command, Document, Event
from nautilus_trader.core.nautilus_pyo3 import DataBackendSession, drop_cvec_pycapsule
from nautilus_trader.model.data import Bar, TradeTick, capsule_to_list
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.model.instruments import CurrencyPair, Instrument
from nautilus_trader.persistence.catalog import ParquetDataCatalog

from runtime.bar_venue import load_endpoint
from runtime.errors import ConfigurationError
from runtime.settings import (
    BacktestSettings,
    FeeSettings,
    StrategySettings,
    check_parameters,
    merged_parameters,
)
from strategies.registry import StrategySpec

NANOS_PER_MILLI: Final = 1_000_000
DAY_NS: Final = 86_400_000_000_000
END_OF_TIME_NS: Final = (1 << 63) - 1
# Only the last trade and bar are ever asked for; the default of 10,000 each is memory for nothing.
CACHE_CAPACITY: Final = 16
# The setting in which a strategy is told what its feed reports; a model was trained on one kind only.
FEED: Final = "model_stream"
CHUNKS: Final = "chunks"
BAR_MODULE: Final[Mapping[str, Any]] = {
    "actor_path": "runtime.bar_venue:BarVenue",
    "config_path": "runtime.bar_venue:BarVenueConfig",
    "config": {},
}
MESSAGES: Final = (Command, Document, Event, Data)
# Below it a chunk is all overhead; above it the whole history is one chunk. Never None: Nautilus then
# orders trades of equal time by another rule than when it streams.
ALL_IN_ONE_CHUNK: Final = 1_000_000_000_000


def strategy_configs(
    spec: StrategySpec,
    entry: StrategySettings,
    instrument_ids: Iterable[str],
    *,
    command_line: Mapping[str, str] | None = None,
    trade_from_ns: int = 0,
    streams: Mapping[str, str] | None = None,
    entry_path: str = "$.strategies[0]",
    source: str = "config.yaml",
) -> list[ImportableStrategyConfig]:
    """Return one strategy configuration per instrument, sorted by instrument id.

    A strategy for many instruments (its configuration has ``instrument_ids``) gets one for all of them.

    Parameters
    ----------
    spec
        The strategy, from ``strategies.registry``.
    entry
        Its entry in the settings.
    instrument_ids
        Nautilus instrument ids.
    command_line
        ``--set`` values as typed; they win over everything else.
    trade_from_ns
        No entries before this time (warm-up), UNIX nanoseconds.
    streams
        What the feed of each instrument reports, by id: ``trades`` or ``aggtrades``.
    entry_path, source
        Where the entry stands, for errors.

    Raises
    ------
    ConfigurationError
        Unknown parameter, wrong type or impossible combination, with its path; a feed that is not what the
        settings call it.
    """
    config_class = spec.config_class()
    if is_for_many(spec):
        names = sorted(instrument_ids)
        plain = _config_of_many(spec, entry, names, command_line or {}, entry_path, source)
        plain["trade_from_ns"] = trade_from_ns
        return [
            ImportableStrategyConfig(
                strategy_path=spec.strategy_path, config_path=spec.config_path, config=plain
            )
        ]
    configs = []
    for instrument_id in sorted(instrument_ids):
        parameters = merged_parameters(entry, instrument_id, command_line or {})
        checked = check_parameters(config_class, parameters, instrument_id, entry_path, source)
        # Every field goes in, so that the stored run says what a default was at the time.
        plain = msgspec.json.decode(checked.json())
        plain |= {
            "instrument_id": instrument_id,
            "order_id_tag": order_id_tag(instrument_id),
            "trade_from_ns": trade_from_ns,
        }
        if streams is not None and FEED in plain:
            plain[FEED] = _feed_of(instrument_id, streams[instrument_id], plain[FEED], source)
        configs.append(
            ImportableStrategyConfig(
                strategy_path=spec.strategy_path, config_path=spec.config_path, config=plain
            )
        )
    return configs


def is_for_many(spec: StrategySpec) -> bool:
    """Tell whether one instance of the strategy trades many instruments."""
    return "instrument_ids" in spec.config_class().__struct_fields__


def _config_of_many(
    spec: StrategySpec,
    entry: StrategySettings,
    names: Sequence[str],
    command_line: Mapping[str, str],
    entry_path: str,
    source: str,
) -> dict[str, Any]:
    """Return the configuration of one instance for all: ``symbols`` become the settings of single coins."""
    coins = {
        name: {key: value for key, value in own.items() if key not in command_line}
        for name, own in entry.symbols.items()
        if name in names
    }
    given: dict[str, Any] = {"instrument_ids": names, "coins": coins or None}
    checked = check_parameters(
        spec.config_class(), merged_parameters(entry, "", command_line), "", entry_path, source, given
    )
    plain: dict[str, Any] = msgspec.json.decode(checked.json())
    return plain


def _feed_of(instrument_id: str, fed: str, said: str, source: str) -> str:
    """Return what the feed is: the data decide, a setting may only agree."""
    if said not in ("", fed):
        raise ConfigurationError(
            f"{instrument_id}: {FEED} is {said}, but its feed gives {fed}: leave {FEED} out - at {source} "
            f"or --set {FEED}"
        )
    return fed


def order_id_tag(instrument_id: str) -> str:
    """Return the part of a strategy's id that names its instrument: letters and digits only.

    It depends on nothing but the instrument, so adding another one does not rename running strategies.

    Examples
    --------
    >>> order_id_tag("BTCUSDT-PERP.BINANCE")
    'BTCUSDTPERPBINANCE'
    """
    return re.sub(r"[^A-Za-z0-9]", "", instrument_id)


def venue_configs(
    instruments: Sequence[Instrument], settings: BacktestSettings, *, on_bars: bool = False
) -> list[BacktestVenueConfig]:
    """Return one simulated venue per venue of the instruments, with honest fills.

    Parameters
    ----------
    instruments
        What is traded.
    settings
        Account and fills.
    on_bars
        The run has bars and no trades: `runtime.bar_venue` walks them.

    Raises
    ------
    ConfigurationError
        When spot and perpetuals of one venue, or several quote currencies, are mixed.
    """
    quotes = sorted({settlement_currency(instrument) for instrument in instruments})
    if len(quotes) > 1:
        raise ConfigurationError(
            f"instruments settle in {' and '.join(quotes)}: one run has one account currency, run them apart"
        )
    by_venue: dict[str, list[Instrument]] = {}
    for instrument in instruments:
        by_venue.setdefault(instrument.id.venue.value, []).append(instrument)
    return [_venue_config(venue, by_venue[venue], settings, on_bars=on_bars) for venue in sorted(by_venue)]


def settlement_currency(instrument: Instrument) -> str:
    """Return the code of the currency in which profit and balance of the instrument are counted."""
    return str(instrument.get_cost_currency().code)


def is_spot(instrument: Instrument) -> bool:
    """Tell whether the instrument is bought and held (cash account) rather than margined."""
    return isinstance(instrument, CurrencyPair)


def _venue_config(
    venue: str, instruments: Sequence[Instrument], settings: BacktestSettings, *, on_bars: bool
) -> BacktestVenueConfig:
    kinds = {is_spot(instrument) for instrument in instruments}
    if len(kinds) > 1:
        raise ConfigurationError(
            f"{venue} has spot and perpetuals in one run: they are separate accounts, run them apart"
        )
    fills = settings.fills
    return BacktestVenueConfig(
        name=venue,
        oms_type="NETTING",
        account_type="CASH" if kinds == {True} else "MARGIN",
        starting_balances=[f"{settings.balance:f} {settlement_currency(instruments[0])}"],
        default_leverage=settings.leverage if kinds == {False} else 1.0,
        bar_execution=on_bars,  # where trades move the market, a bar would move it a second time
        bar_adaptive_high_low_ordering=False,
        modules=[ImportableActorConfig(**BAR_MODULE)] if on_bars else None,
        liquidity_consumption=fills.liquidity_consumption,
        queue_position=fills.queue_position and not on_bars,  # there is no queue in bars
        support_contingent_orders=False,  # as at the venues: protection is the strategy's own
        # Without it a market order that arrives right after a fill ate the print is forgotten.
        use_market_order_acks=True,
        fill_model=ImportableFillModelConfig(
            fill_model_path="runtime.fees:TakerSlippageModel",
            config_path="runtime.fees:TakerSlippageConfig",
            config={
                "slippage_ticks": fills.slippage_ticks,
                "slippage_bps": str(fills.slippage_bps),
                "seed": fills.seed,
                "limits_fill_on_touch": not (on_bars and fills.queue_position),
            },
        ),
        latency_model=ImportableLatencyModelConfig(
            latency_model_path="nautilus_trader.backtest.models:LatencyModel",
            config_path="nautilus_trader.backtest.config:LatencyModelConfig",
            config={"base_latency_nanos": round(fills.latency_ms * NANOS_PER_MILLI)},
        ),
        fee_model=ImportableFeeModelConfig(
            fee_model_path="runtime.fees:VenueFeeModel",
            config_path="runtime.fees:VenueFeeConfig",
            config={},
        ),
    )


def fill_assumptions(
    settings: BacktestSettings, instruments: Sequence[Instrument], *, on_bars: bool = False
) -> dict[str, Any]:
    """Return how fills were simulated, in the words and units of the report."""
    fills = settings.fills
    spot = is_spot(instruments[0])
    return {
        "data": "closed bars, adverse extreme first" if on_bars else "trades",
        "latency_ms": fills.latency_ms,
        "liquidity_consumption": fills.liquidity_consumption,
        "queue_position": fills.queue_position,
        "slippage_ticks": fills.slippage_ticks,
        "slippage_bps": str(fills.slippage_bps),
        "slippage_applies_to": "market orders, not the stop-limit orders that protect spot"
        if spot
        else "market and stop-market orders",
        "seed": fills.seed,
        "fees": {
            instrument.id.value: {"maker": str(instrument.maker_fee), "taker": str(instrument.taker_fee)}
            for instrument in instruments
        },
        "fee_of_a_purchase": "base currency" if spot else "quote currency",
        "account": "CASH, long only" if spot else f"MARGIN, leverage {settings.leverage:g}",
        "funding": "none" if spot else "not settled",
    }


def data_configs(
    catalog_path: str,
    instrument_ids: Iterable[str],
    bar_catalogs: Mapping[str, str],
    start_ns: int | None,
    end_ns: int | None,
) -> list[BacktestDataConfig]:
    """Return the data of a run: trades per instrument, then bars, each sorted by id.

    The order matters: it decides which of several instruments comes first at equal times.

    Parameters
    ----------
    catalog_path
        Folder of the catalog.
    instrument_ids
        Instruments whose trades are replayed.
    bar_catalogs
        Folder of the catalog of each type of external bars; they are loaded from their first one, since a
        higher timeframe needs a long warm-up.
    start_ns, end_ns
        First and last time of the trades, both included, UNIX nanoseconds; None is open.
    """
    trades = [
        BacktestDataConfig(
            catalog_path=catalog_path,
            data_cls=TradeTick.fully_qualified_name(),
            instrument_id=InstrumentId.from_str(instrument_id),
            start_time=start_ns,
            end_time=end_ns,
        )
        for instrument_id in sorted(instrument_ids)
    ]
    bars = [
        BacktestDataConfig(
            catalog_path=folder,
            data_cls=Bar,  # the class, not its name: a name makes Nautilus ignore the bar type
            bar_types=[bar_type],
            end_time=end_ns,
        )
        for bar_type, folder in sorted(bar_catalogs.items())
    ]
    return trades + bars


def run_config(
    venues: list[BacktestVenueConfig],
    data: list[BacktestDataConfig],
    strategies: list[ImportableStrategyConfig],
    chunk_size: int | str,
    *,
    least_chunk: int = 1,
) -> BacktestRunConfig:
    """Return the configuration of one backtest: silent, streamed, errors raised.

    A chunk has at least ``least_chunk`` objects: a venue that walks bars must see one close time ahead.
    """
    return BacktestRunConfig(
        engine=BacktestEngineConfig(
            strategies=[_told_of_fills(one, venues) for one in strategies],
            cache=CacheConfig(tick_capacity=CACHE_CAPACITY, bar_capacity=CACHE_CAPACITY),
            logging=LoggingConfig(bypass_logging=True),
            run_analysis=False,  # the figures are ours (ui/reports/metrics.py): 365 days, exact money
        ),
        venues=venues,
        data=data,
        chunk_size=ALL_IN_ONE_CHUNK if chunk_size == "all" else max(int(chunk_size), least_chunk),
        raise_exception=True,
        dispose_on_completion=False,
    )


def _told_of_fills(
    strategy: ImportableStrategyConfig, venues: Sequence[BacktestVenueConfig]
) -> ImportableStrategyConfig:
    """Return a strategy's configuration whose ledger follows cancelled orders as this run fills them."""
    if "ledger_latency_ms" not in strategy.config:
        return strategy
    latency, fills = venues[0].latency_model, venues[0].fill_model  # the same at every venue
    assumed = {
        "ledger_latency_ms": latency.config["base_latency_nanos"] / NANOS_PER_MILLI if latency else 0.0,
        "ledger_slippage_ticks": fills.config["slippage_ticks"] if fills else 0,
        "ledger_slippage_bps": float(fills.config["slippage_bps"]) if fills else 0.0,
    }
    return msgspec.structs.replace(strategy, config={**strategy.config, **assumed})


class FeeOverrideCatalog(ParquetDataCatalog):
    """A catalog whose instruments carry the fee rates of the settings."""

    fees: FeeSettings = FeeSettings()

    def instruments(self, *args: Any, **kwargs: Any) -> list[Instrument]:
        """Return the catalog's instruments with the overridden rates."""
        return [with_fees(one, self.fees) for one in super().instruments(*args, **kwargs)]


class Node(BacktestNode):
    """A backtest node that trades at the fee rates of the settings and streams day by day.

    Nautilus opens every file of a run at once and keeps a decoded block of each, so its memory grows with
    the length of the history. Here one UTC day is open at a time, for every chunk size alike: which of two
    instruments comes first at equal times may depend on the files that are merged.

    Parameters
    ----------
    config
        From :func:`run_config`.
    fees
        Rates that replace the instruments' own.
    span_ns
        Times of the first and the last trade, UNIX nanoseconds; None opens everything at once.
    """

    def __init__(
        self, config: BacktestRunConfig, fees: FeeSettings, span_ns: tuple[int, int] | None = None
    ) -> None:
        super().__init__([config])
        self._fees = fees
        self._windows = [(0, END_OF_TIME_NS)] if span_ns is None else day_windows(*span_ns)

    def _create_engine(self, run_config_id: str) -> BacktestEngine:
        """Create the engine with a message bus that publishes nothing outside of the process.

        Asked of every message, whether its type is one of 70 that may be published, in an order that changes
        from process to process, costs 1 to 4 us per trade. The engine empties the list of the configuration,
        which its id is made of, so the list must not be that of the run.
        """
        config = self._configs[run_config_id]
        bus = MessageBusConfig(types_filter=published_types())
        engine_config = msgspec.structs.replace(config.engine or BacktestEngineConfig(), message_bus=bus)
        self._configs[run_config_id] = msgspec.structs.replace(config, engine=engine_config)
        try:
            return super()._create_engine(run_config_id)
        finally:
            self._configs[run_config_id] = config

    def load_catalog(self, config: BacktestDataConfig) -> ParquetDataCatalog:  # type: ignore[override]
        """Return the catalog of a data configuration, see :class:`FeeOverrideCatalog`."""
        catalog = FeeOverrideCatalog(config.catalog_path)
        catalog.fees = self._fees
        return catalog

    def _run_streaming(
        self,
        run_config_id: str,
        engine: BacktestEngine,
        data_configs: list[BacktestDataConfig],
        chunk_size: int,
        start: str | int | None = None,
        end: str | int | None = None,
    ) -> None:
        """Replace the base method of the pinned Nautilus; a test compares the results of both."""
        sources = [_Source(config, self.load_catalog(config)) for config in data_configs]
        files_ns = [span for source in sources if source.kind is TradeTick for span in source.files_ns()]
        windows = uncrossed(self._windows, files_ns)
        chunks: Iterator[list[Any]] = (
            chunk for window in windows for chunk in _chunks(sources, window, chunk_size)
        )
        if chunk_size == ALL_IN_ONE_CHUNK:
            chunks = iter([[one for chunk in chunks for one in chunk]])
        venues = [one.name for one in self._configs[run_config_id].venues if one.modules]
        for number, chunk in enumerate(_told_ahead(engine, venues, chunks)):
            if number == 0:  # so that the engine knows of which instruments there is data
                engine.add_data(data=chunk, validate=False, sort=True)
                engine.run(start=start, end=end, run_config_id=run_config_id, streaming=True)
            else:
                # `add_data` writes out the instrument's name for each trade: 1 us.
                engine.add_data_iterator(CHUNKS, iter([chunk]))
                first = chunk[0].ts_init if start is None else start
                last = chunk[-1].ts_init if end is None else end
                engine.run(start=first, end=last, run_config_id=run_config_id, streaming=True)
            engine.clear_data()
        engine.end()


def _told_ahead(
    engine: BacktestEngine, venues: Sequence[str], chunks: Iterable[list[Any]]
) -> Iterator[list[Any]]:
    """Yield chunks; venues that walk bars are told of each one before the one ahead of it runs."""
    if not venues:
        yield from chunks
        return
    before: list[Any] = []
    for chunk in chunks:
        for venue in venues:
            bars = chunk
            if len(venues) > 1:
                bars = [one for one in chunk if one.bar_type.instrument_id.venue.value == venue]
            engine.kernel.msgbus.send(endpoint=load_endpoint(venue), msg=bars)
        if before:
            yield before
        before = chunk
    if before:
        yield before


def _chunks(sources: Sequence["_Source"], window: tuple[int, int], chunk_size: int) -> Iterator[list[Any]]:
    """Yield the data of all sources within a window, merged by time."""
    session = DataBackendSession(chunk_size=chunk_size)
    if not sum([source.add_to(session, *window) for source in sources]):
        return
    bounds = {source.kind: source.bounds(*window) for source in sources}
    for capsule in session.to_query_result():
        chunk = within(capsule_to_list(capsule), bounds)
        drop_cvec_pycapsule(capsule)
        if chunk:
            yield chunk


def published_types() -> list[type]:
    """Return every type that Nautilus' message bus would offer to a database or a stream outside."""
    return [str, int, float, bytes, *(one for base in MESSAGES for one in _descendants(base))]


def _descendants(base: type) -> list[type]:
    found: list[type] = [base]
    for kind in found:  # grows while it is walked
        found += kind.__subclasses__()
    return found


def uncrossed(
    windows: Sequence[tuple[int, int]], files_ns: Sequence[tuple[int, int]]
) -> list[tuple[int, int]]:
    """Join windows where a file reaches over their border, so that each file is read once.

    Our own catalogs are cut at midnight and keep their days; one that Nautilus wrote may be a single file.

    Examples
    --------
    >>> uncrossed([(0, 9), (10, 19), (20, 29)], [(0, 9), (12, 25)])
    [(0, 9), (10, 29)]
    """
    joined = [windows[0]]
    for first_ns, last_ns in windows[1:]:
        if any(file_first < first_ns <= file_last for file_first, file_last in files_ns):
            joined[-1] = (joined[-1][0], last_ns)
        else:
            joined.append((first_ns, last_ns))
    return joined


class _Source:
    """The files of one data configuration."""

    def __init__(self, config: BacktestDataConfig, catalog: ParquetDataCatalog) -> None:
        self.kind: type[Any] = config.data_type
        self._config = config
        self._catalog = catalog
        self._files = catalog.get_file_list_from_data_cls(config.data_type)
        self._identifiers = config.bar_types or get_instrument_ids(config)

    def files_ns(self) -> list[tuple[int, int]]:
        """Return first and last time of each file, UNIX nanoseconds."""
        return [
            (int(first_ns), int(last_ns))
            for name in self._identifiers
            for first_ns, last_ns in self._catalog.get_intervals(self.kind, str(name))
        ]

    def bounds(self, first_ns: int, last_ns: int) -> tuple[int, int]:
        """Return first and last time wanted in the window, both included, UNIX nanoseconds."""
        start, end = self._config.start_time, self._config.end_time  # integers, see `data_configs`
        return max(first_ns, int(start or 0)), last_ns if end is None else min(last_ns, int(end))

    def add_to(self, session: DataBackendSession, first_ns: int, last_ns: int) -> int:
        """Register the files that reach into the window; return their number.

        The files are read whole. Nautilus' query engine, given a time range, splits a lone file into streams
        and merges them by time: trades of equal time then come back in another order than that of their
        ids (docs/decisions/0003-no-time-filter-in-catalog-queries.md).
        """
        start, end = self.bounds(first_ns, last_ns)
        if start > end:
            return 0
        names = self._identifiers
        files: list[str] = self._catalog.filter_files(self.kind, self._files, names, start, end)
        if files:
            self._catalog.backend_session(self.kind, names, session=session, files=files)
        return len(files)


def within(data: list[Any], bounds: Mapping[type[Any], tuple[int, int]]) -> list[Any]:
    """Return the objects whose ``ts_init`` is within the bounds of their type, both ends included.

    Parameters
    ----------
    data
        Nautilus objects, ascending by ``ts_init``.
    bounds
        Type -> first and last time, UNIX nanoseconds.
    """
    latest = max(first for first, _last in bounds.values())
    earliest = min(last for _first, last in bounds.values())
    if not data or (data[0].ts_init >= latest and data[-1].ts_init <= earliest):
        return data  # nearly always: files are cut at midnight, as the windows are
    kept = []
    for one in data:
        first, last = bounds[type(one)]
        if first <= one.ts_init <= last:
            kept.append(one)
    return kept


def day_windows(first_ns: int, last_ns: int) -> list[tuple[int, int]]:
    """Return consecutive UTC days as (first, last) nanosecond, both included, without a gap.

    The first one begins with time itself, since bars may be older than the first trade.

    Examples
    --------
    >>> day_windows(DAY_NS + 5, 2 * DAY_NS + 5)
    [(0, 172799999999999), (172800000000000, 259199999999999)]
    """
    starts = range(first_ns // DAY_NS * DAY_NS, last_ns + 1, DAY_NS)
    return [(start if start > starts[0] else 0, start + DAY_NS - 1) for start in starts]


def with_fees(instrument: Instrument, fees: FeeSettings) -> Instrument:
    """Return the instrument with maker and taker rates replaced where the settings give them."""
    rates: dict[str, Decimal | None] = {"maker_fee": fees.maker, "taker_fee": fees.taker}
    chosen = {name: str(rate) for name, rate in rates.items() if rate is not None}
    if not chosen:
        return instrument
    return type(instrument).from_dict(type(instrument).to_dict(instrument) | chosen)
