"""The bars of a recorded session as a catalog, so that an ordinary backtest can decide about them."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from nautilus_trader.serialization.serializer import MsgSpecSerializer

from runtime.arrow_schema import BarColumns
from runtime.catalog import Catalog
from runtime.live.recorded_values import plain_bar
from runtime.live.recording_files import CHECKPOINT_FILE, SESSION_FILE, RowKind, read_json, read_rows
from strategies.bar_times import close_of

SERIALIZER: Final = MsgSpecSerializer(encoding=msgspec.json)
SECOND_NS: Final = 1_000_000_000

type Levels = tuple[int, float, float, float, float, float]
"""Close time, open, high, low, close and volume."""


def bars_of(recording: Path, bar_ns: int) -> Iterator[tuple[str, Levels]]:
    """Yield instrument and bar of everything that the strategy was shown, those of before the start first."""
    for _seq, _now_ns, kind, key, payload, _tick in read_rows(recording):
        if kind is RowKind.CALL and key.startswith("warm_up:"):
            close_ns, bars = msgspec.msgpack.decode(payload)
            for name, levels in bars.items():
                yield name, (close_ns, *levels[1:])
        elif kind is RowKind.CALL and key.startswith("take_history:"):
            name, history = msgspec.msgpack.decode(payload)
            for levels in history:
                yield name, tuple(levels)
        elif kind is RowKind.BAR:
            bar = plain_bar(payload)
            prices = (one.as_double() for one in (bar.open, bar.high, bar.low, bar.close, bar.volume))
            yield bar.bar_type.instrument_id.value, (close_of(bar.ts_event, bar_ns), *prices)


def traded_from_ns(recording: Path) -> int:
    """Return when the warm-up was over, UNIX nanoseconds."""
    return next(
        row[1] for row in read_rows(recording) if row[2] is RowKind.CALL and row[3].startswith("go_on:")
    )


def make_catalog(recording: Path, folder: Path, bar_secs: int) -> int:
    """Write the bars of a session, and its instruments, into a catalog; return how many there are.

    Parameters
    ----------
    recording
        Folder of the session.
    folder
        Of the new catalog.
    bar_secs
        Length of a bar: whole minutes.
    """
    session = read_json(recording, SESSION_FILE)
    checkpoint = read_json(recording, CHECKPOINT_FILE, session["checkpoint_sha256"])
    instruments = {str(one.id): one for one in map(_instrument, checkpoint["instruments"])}
    found: dict[str, dict[int, Levels]] = {}
    for name, levels in bars_of(recording, bar_secs * SECOND_NS):
        # A bar that came live while the warm-up fetched it is the same bar.
        found.setdefault(name, {}).setdefault(levels[0], levels)
    catalog = Catalog(folder, create=True)
    for name, bars in found.items():
        columns = _columns(instruments[name], [bars[one] for one in sorted(bars)], bar_secs * SECOND_NS)
        catalog.write_bars(instruments[name], f"{bar_secs // 60}m", columns)
    return sum(map(len, found.values()))


def _instrument(text: str) -> Any:
    return SERIALIZER.deserialize(text.encode())


def _columns(instrument: Any, bars: list[Levels], bar_ns: int) -> BarColumns:
    rows = np.array(bars, dtype=object)
    close_ns = rows[:, 0].astype(np.int64)
    steps: Mapping[int, float] = {5: float(instrument.size_increment)}
    grids = (
        np.round(rows[:, column].astype(np.float64) / steps.get(column, float(instrument.price_increment)))
        for column in range(1, 6)
    )
    return BarColumns(close_ns - bar_ns, close_ns, *(one.astype(np.int64) for one in grids))
