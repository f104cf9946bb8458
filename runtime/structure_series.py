"""Structure signals on disk: BOS, CHoCH, gaps and sweeps of one instrument and timeframe, row by row.

A series is a folder ``<root>/<instrument>/<timeframe>`` with one Parquet file per UTC month of ``known_at``
and the state of the engine behind the last bar, so that the next bar continues where the last one ended:
appending bar by bar leaves the same rows as one pass over all of them.
"""

import zlib
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Self

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from indicators.engine import StructureEngine
from indicators.events import EventKind, EventTable, Scope
from indicators.structure_config import StructureConfig
from runtime.errors import ConfigurationError, DataError

STATE_FILE: Final = "state.bin"
VERSION: Final = 1
PIECE_BARS: Final = 100_000  # the engine writes 700 bytes per bar that nobody reads here
FAMILIES: Final[dict[str, tuple[EventKind, ...]]] = {
    "BOS": (EventKind.BOS,),
    "CHOCH": (EventKind.CHOCH,),
    "FVG": (EventKind.FVG,),
    "SWEEP": (EventKind.SWEEP_EXTREME, EventKind.SWEEP_SWING),
    "ALL": tuple(EventKind),
}
DEFAULT_KINDS: Final = ("BOS", "CHOCH", "FVG", "SWEEP")
_TIME: Final = pa.timestamp("ns", tz="UTC")
_WORD: Final = pa.dictionary(pa.int32(), pa.string())
SCHEMA: Final = pa.schema(
    [
        pa.field("instrument_id", _WORD, nullable=False),
        pa.field("timeframe", _WORD, nullable=False),
        pa.field("kind", _WORD, nullable=False),  # name of EventKind
        pa.field("direction", pa.int8(), nullable=False),  # +1 bullish or upper side, -1, 0 neither
        pa.field("scope", _WORD, nullable=False),  # name of Scope
        pa.field("known_at", _TIME, nullable=False),  # close of the bar that made it known
        pa.field("known_seq", pa.int64(), nullable=False),  # number of that bar in its series, from 0
        pa.field("origin_at", _TIME, nullable=False),  # close of the bar it speaks of
        pa.field("origin_seq", pa.int64(), nullable=False),
        pa.field("low", pa.float64(), nullable=False),
        pa.field("high", pa.float64(), nullable=False),
        pa.field("level", pa.float64(), nullable=False),
        pa.field("event_id", pa.int64(), nullable=False),
        pa.field("ref_id", pa.int64(), nullable=False),
    ]
)
BAR_DTYPE: Final = np.dtype(
    [("ts_open_ns", "<i8"), ("ts_close_ns", "<i8")]
    + [(name, "<f8") for name in ("open", "high", "low", "close", "volume")]
)
"""A closed bar: times in UNIX nanoseconds, prices in quote currency, base volume."""


class SavedState(msgspec.Struct, frozen=True):
    """What lies behind the last bar of a series.

    Parameters
    ----------
    version
        Of this format.
    kinds
        Names of the event kinds that are stored, sorted.
    tick_size
        Price increment, as text.
    bars, last_close_ns, missing_bars
        Bars taken, when the last one closed (UNIX nanoseconds), and bars that were missing between them.
    checksum
        CRC-32 of all bars taken, rows of `BAR_DTYPE`.
    engine
        ``StructureEngine.to_bytes``, compressed.
    """

    version: int
    kinds: tuple[str, ...]
    tick_size: str
    bars: int
    last_close_ns: int
    missing_bars: int
    checksum: int
    engine: bytes


def kinds_of(words: Sequence[str]) -> tuple[str, ...]:
    """Return the event kinds that families (``SWEEP``) and names (``SWEEP_SWING``) ask for, sorted.

    Raises
    ------
    ConfigurationError
        For any other word.

    Examples
    --------
    >>> kinds_of(["sweep", "BOS"])
    ('BOS', 'SWEEP_EXTREME', 'SWEEP_SWING')
    """
    found: set[str] = set()
    for word in words:
        name = word.upper()
        if name not in FAMILIES and name not in EventKind.__members__:
            raise ConfigurationError(f"kind {word}: use {', '.join(FAMILIES)} or a name of docs/structure.md")
        found |= {kind.name for kind in FAMILIES.get(name, ())} or {name}
    return tuple(sorted(found))


class StructureSeries:
    """The structure signals of one instrument and timeframe; `open_series` makes or continues one.

    Parameters
    ----------
    folder
        Of the series.
    instrument_id, timeframe
        Such as ``BTCUSDT.BINANCE`` and ``15m``.
    tick_size
        Price increment.
    kinds
        Names of `EventKind` that are stored.
    """

    def __init__(
        self, folder: Path, instrument_id: str, timeframe: str, tick_size: Decimal, kinds: Sequence[str]
    ) -> None:
        self.folder = folder
        self.instrument_id = instrument_id
        self.timeframe = timeframe
        self.tick_size = tick_size
        self.kinds = tuple(sorted(kinds))
        self.last_close_ns = 0
        self.missing_bars = 0
        self.checksum = 0
        self._engine = StructureEngine(StructureConfig(tick_size=float(tick_size)))
        self._is_kept = np.zeros(max(EventKind) + 1, np.bool_)
        self._is_kept[[int(EventKind[name]) for name in self.kinds]] = True

    @property
    def bars(self) -> int:
        """Number of bars taken."""
        return self._engine.bars

    def append(self, bars: NDArray[np.void]) -> int:
        """Take closed bars, find what they make known, and store it; return the number of new rows.

        Parameters
        ----------
        bars
            Rows of `BAR_DTYPE`, shape (n,), later than all before.

        Raises
        ------
        ValueError
            If a bar is impossible, or not later than the one before; then nothing was stored.
        """
        if not len(bars):
            return 0
        before = np.r_[self.last_close_ns, bars["ts_close_ns"][:-1]]
        late = np.flatnonzero(bars["ts_open_ns"] < before)
        if len(late):
            raise ValueError(f"bar in row {late[0]} opens before the one before it closes: drop or repair it")
        taken = self.bars
        pieces = [self._kept(bars[at : at + PIECE_BARS]) for at in range(0, len(bars), PIECE_BARS)]
        rows = np.concatenate(pieces)
        length_ns = int(bars["ts_close_ns"][0] - bars["ts_open_ns"][0])
        gaps = (bars["ts_open_ns"] - before)[0 if taken else 1 :]
        self.missing_bars += int((gaps // length_ns).sum())
        self.last_close_ns = int(bars["ts_close_ns"][-1])
        self.checksum = checksum_of(bars, self.checksum)
        self._store(rows)
        self._save()
        return len(rows)

    def clear(self) -> None:
        """Delete what is stored; only the files of the series itself."""
        for path in (*self.files(), self.folder / STATE_FILE):
            path.unlink(missing_ok=True)

    def files(self) -> list[Path]:
        """Return the Parquet files, in the order of time."""
        return sorted(self.folder.glob("structure-*.parquet"))

    def resume(self, saved: SavedState) -> Self:
        """Go on behind the last bar of a saved state.

        Raises
        ------
        ValueError
            When the engine's state is of another version or other parameters.
        """
        config = self._engine.config
        self._engine = StructureEngine.from_bytes(zlib.decompress(saved.engine), config)
        self.last_close_ns, self.missing_bars = saved.last_close_ns, saved.missing_bars
        self.checksum = saved.checksum
        # Rows are written before the state: after a crash there may be rows of bars that count as not taken.
        for path in self.files():
            table = read_table(path)
            known = table.filter(pc.less(table["known_seq"], self.bars))
            if not len(known):
                path.unlink()
            elif len(known) < len(table):
                _write(path, known)
        return self

    def _kept(self, bars: NDArray[np.void]) -> EventTable:
        """Take bars and return those of their events that are stored."""
        times = bars["ts_open_ns"], bars["ts_close_ns"]
        open_, high, low, close, volume = (bars[name] for name in ("open", "high", "low", "close", "volume"))
        unknown = np.full(len(bars), np.nan)
        events, _snapshots = self._engine.scan(*times, open_, high, low, close, volume, unknown)
        kept: EventTable = events[self._is_kept[events["kind"]]]
        return kept

    def _store(self, events: EventTable) -> None:
        months = events["known_ts_ns"].astype("datetime64[ns]").astype("datetime64[M]")
        for month in np.unique(months):
            path = self.folder / f"structure-{month}.parquet"
            table = self._table(events[months == month])
            if path.exists():
                table = pa.concat_tables([read_table(path), table]).unify_dictionaries()
            self.folder.mkdir(parents=True, exist_ok=True)
            _write(path, table)

    def _table(self, events: EventTable) -> pa.Table:
        count = len(events)
        names = [EventKind(int(kind)).name for kind in events["kind"]]
        scopes = [Scope(int(scope)).name for scope in events["scope"]]
        columns: list[Any] = [
            [self.instrument_id] * count,
            [self.timeframe] * count,
            names,
            events["direction"],
            scopes,
            events["known_ts_ns"],
            events["known_seq"],
            events["origin_ts_ns"],
            events["origin_seq"],
            *(events[name] for name in ("low", "high", "level", "event_id", "ref_id")),
        ]
        arrays = [pa.array(values, field.type) for values, field in zip(columns, SCHEMA, strict=True)]
        return pa.table(arrays, schema=SCHEMA)

    def _save(self) -> None:
        state = SavedState(
            VERSION,
            self.kinds,
            str(self.tick_size),
            self.bars,
            self.last_close_ns,
            self.missing_bars,
            self.checksum,
            zlib.compress(self._engine.to_bytes(), 1),
        )
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = self.folder / f".{STATE_FILE}.partial"
        partial.write_bytes(msgspec.msgpack.encode(state))
        partial.replace(self.folder / STATE_FILE)


def series_folder(root: Path, instrument_id: str, timeframe: str) -> Path:
    """Return the folder of a series."""
    return root / instrument_id / timeframe


def saved_state(folder: Path) -> SavedState | None:
    """Return the state of a stored series, None where there is none.

    Raises
    ------
    DataError
        When the file is damaged or of another version.
    """
    path = folder / STATE_FILE
    try:
        state = msgspec.msgpack.decode(path.read_bytes(), type=SavedState)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise DataError(f"{path}: is damaged ({error}): make it anew with --rebuild") from error
    if state.version != VERSION:
        raise DataError(f"{path}: has version {state.version}, not {VERSION}: make it anew with --rebuild")
    return state


def open_series(
    root: Path, instrument_id: str, timeframe: str, tick_size: Decimal, kinds: Sequence[str] | None = None
) -> StructureSeries:
    """Return a series, continued where it is stored, else empty.

    Parameters
    ----------
    root
        Folder of all series.
    instrument_id, timeframe, tick_size
        See `StructureSeries`.
    kinds
        From `kinds_of`; None takes those of the stored series, or the default ones.

    Raises
    ------
    ConfigurationError
        When it is stored with other kinds or another increment.
    DataError
        When its state is damaged, or of another version of the detectors.
    """
    folder = series_folder(root, instrument_id, timeframe)
    saved = saved_state(folder)
    wanted = tuple(kinds) if kinds is not None else saved.kinds if saved else kinds_of(DEFAULT_KINDS)
    series = StructureSeries(folder, instrument_id, timeframe, tick_size, wanted)
    if saved is None:
        series.clear()
        return series
    for what, stored, asked in (
        ("kinds", ", ".join(saved.kinds), ", ".join(series.kinds)),
        ("a tick of", saved.tick_size, str(tick_size)),
    ):
        if stored != asked:
            raise ConfigurationError(f"{folder}: is stored with {what} {stored}, not {asked}: use --rebuild")
    try:
        return series.resume(saved)
    except (ValueError, zlib.error) as error:
        raise DataError(f"{folder / STATE_FILE}: {error}: make it anew with --rebuild") from error


def checksum_of(bars: NDArray[np.void], before: int = 0) -> int:
    """Return the CRC-32 of rows of `BAR_DTYPE` behind others, so that pieces give that of the whole."""
    return zlib.crc32(np.ascontiguousarray(bars).tobytes(), before)


def read_table(path: Path) -> pa.Table:
    """Read one file; DataError when it is damaged."""
    try:
        return pq.read_table(path, schema=SCHEMA, partitioning=None)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: cannot be read ({error}): make it anew with --rebuild") from error


def read_structure(
    root: Path,
    instrument_id: str,
    timeframe: str,
    *,
    kinds: Sequence[str] | None = None,
    from_ns: int = 0,
) -> pa.Table:
    """Return stored signals in the order in which they became known.

    Parameters
    ----------
    root, instrument_id, timeframe
        The series.
    kinds
        From `kinds_of`; None for all that are stored.
    from_ns
        Of ``known_at``, included, UNIX nanoseconds.

    Returns
    -------
    pyarrow.Table
        With `SCHEMA`; empty where nothing is stored.
    """
    first = datetime.fromtimestamp(from_ns // 1_000_000_000, UTC).strftime("structure-%Y-%m.parquet")
    folder = series_folder(root, instrument_id, timeframe)
    paths = [path for path in sorted(folder.glob("structure-*.parquet")) if path.name >= first]
    table = pa.concat_tables([SCHEMA.empty_table(), *map(read_table, paths)]).unify_dictionaries()
    table = table.filter(pc.greater_equal(table["known_at"], pa.scalar(from_ns, _TIME)))
    if kinds is not None:
        table = table.filter(pc.is_in(pc.cast(table["kind"], pa.string()), pa.array(kinds, pa.string())))
    return table


def _write(path: Path, table: pa.Table) -> None:
    partial = path.with_name(f".{path.name}.partial")
    pq.write_table(table.combine_chunks(), partial, compression="zstd")
    partial.replace(path)
