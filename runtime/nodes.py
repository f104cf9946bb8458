"""The backtest node: Nautilus' own, streaming one UTC day at a time, with the fee rates of the settings."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import msgspec
from nautilus_trader.backtest.config import (
    BacktestDataConfig,
    BacktestEngineConfig,
    BacktestRunConfig,
)
from nautilus_trader.backtest.engine import BacktestEngine
from nautilus_trader.backtest.node import BacktestNode, get_instrument_ids
from nautilus_trader.config import MessageBusConfig
from nautilus_trader.core.data import Data
from nautilus_trader.core.message import Command, Document, Event
from nautilus_trader.core.nautilus_pyo3 import DataBackendSession, drop_cvec_pycapsule
from nautilus_trader.model.data import TradeTick, capsule_to_list
from nautilus_trader.model.instruments import Instrument
from nautilus_trader.persistence.catalog import ParquetDataCatalog

from runtime.bar_venue import ahead_ns, load_endpoint, lookup_endpoint
from runtime.nautilus_catalog import nautilus_catalog
from runtime.node_config import ALL_IN_ONE_CHUNK
from runtime.settings import (
    FeeSettings,
)

if TYPE_CHECKING:  # brings kernels and models: a live node has no use for columns
    from runtime.column_feed import ColumnStore

DAY_NS: Final = 86_400_000_000_000
END_OF_TIME_NS: Final = (1 << 63) - 1
CHUNKS: Final = "chunks"
MESSAGES: Final = (Command, Document, Event, Data)


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
        self.bars: ColumnStore | None = None
        """Bars that are columns: the venue looks them up, and the engine gets one per close time."""

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
            made = super()._create_engine(run_config_id)
        finally:
            self._configs[run_config_id] = config
        # Two pandas series copied for every closed position; no figure of ours comes from them.
        made.kernel.portfolio.analyzer.record_trade = _pass_over
        return made

    def load_catalog(self, config: BacktestDataConfig) -> ParquetDataCatalog:  # type: ignore[override]
        """Return the catalog of a data configuration, see :class:`FeeOverrideCatalog`."""
        catalog: FeeOverrideCatalog = nautilus_catalog(config.catalog_path, FeeOverrideCatalog)
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
        venues = [one.name for one in self._configs[run_config_id].venues if one.bar_execution]
        if self.bars is not None:
            for venue in venues:
                engine.kernel.msgbus.send(endpoint=lookup_endpoint(venue), msg=self.bars)
            _run_chunks(engine, self.bars.beats(), run_config_id)
            return
        sources = [_Source(config, self.load_catalog(config)) for config in data_configs]
        files_ns = [span for source in sources if source.kind is TradeTick for span in source.files_ns()]
        windows = uncrossed(self._windows, files_ns)
        chunks: Iterator[list[Any]] = (
            chunk for window in windows for chunk in _chunks(sources, window, chunk_size)
        )
        if chunk_size == ALL_IN_ONE_CHUNK:
            chunks = iter([[one for chunk in chunks for one in chunk]])
        _run_chunks(engine, _told_ahead(engine, venues, chunks), run_config_id, start, end)


def _pass_over(*_arguments: object) -> None:
    """Do nothing."""


def _run_chunks(
    engine: BacktestEngine,
    chunks: Iterable[list[Any]],
    run_config_id: str,
    start: str | int | None = None,
    end: str | int | None = None,
) -> None:
    """Run an engine over chunks of data, one in memory at a time."""
    for number, chunk in enumerate(chunks):
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
    """Yield chunks; venues that walk bars are told of the bars that they look ahead to before one runs."""
    if not venues:
        yield from chunks
        return
    waiting: deque[list[Any]] = deque()
    for chunk in chunks:
        for venue in venues:
            bars = chunk
            if len(venues) > 1:
                bars = [one for one in chunk if one.bar_type.instrument_id.venue.value == venue]
            engine.kernel.msgbus.send(endpoint=load_endpoint(venue), msg=bars)
        waiting.append(chunk)
        while chunk[-1].ts_init >= waiting[0][-1].ts_init + ahead_ns(waiting[0]):
            yield waiting.popleft()
    yield from waiting


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
