"""Keeps structure signals current: an actor that takes each closed bar and stores what that makes known."""

from decimal import Decimal
from pathlib import Path

import numpy as np
from nautilus_trader.common.actor import Actor
from nautilus_trader.common.config import ActorConfig
from nautilus_trader.model.data import Bar, BarType

from runtime.intervals import interval_nanos, interval_of_bar_type
from runtime.structure_series import BAR_DTYPE, StructureSeries, kinds_of, open_series

__all__ = ["StructureWatch", "StructureWatchConfig", "bar_row"]


class StructureWatchConfig(ActorConfig, frozen=True):
    """What to watch.

    Parameters
    ----------
    folder
        Of all series, as ``download_data.py structure --out``.
    bar_types
        Closed bars to take, such as ``BTCUSDT.BINANCE-15-MINUTE-LAST-EXTERNAL``.
    kinds
        Families or event kinds to store; empty: those of the stored series, or the default ones.
    """

    folder: str
    bar_types: tuple[str, ...]
    kinds: tuple[str, ...] = ()


class StructureWatch(Actor):
    """Appends to stored series on each closed bar; it trades nothing.

    Parameters
    ----------
    config
        See `StructureWatchConfig`.
    """

    def __init__(self, config: StructureWatchConfig) -> None:
        super().__init__(config)
        self.series: dict[BarType, StructureSeries] = {}
        self.bars_ignored = 0

    def on_start(self) -> None:
        """Open every series and subscribe to its bars; a bar type without an instrument is left out."""
        kinds = kinds_of(self.config.kinds) if self.config.kinds else None
        for text in self.config.bar_types:
            bar_type = BarType.from_str(text)
            instrument = self.cache.instrument(bar_type.instrument_id)
            if instrument is None:
                self.log.error(f"{bar_type.instrument_id} is not in the cache: {text} is not watched")
                continue
            self.series[bar_type] = open_series(
                Path(self.config.folder),
                bar_type.instrument_id.value,
                interval_of_bar_type(text),
                instrument.price_increment.as_decimal(),
                kinds,
            )
            self.subscribe_bars(bar_type)

    def on_bar(self, bar: Bar) -> None:
        """Take a closed bar; a repeated one is left out, an impossible one too, with a warning."""
        series = self.series[bar.bar_type]
        if bar.ts_event <= series.last_close_ns:
            self.bars_ignored += 1  # repeated by the venue after a reconnect, or stored before the start
            return
        missing = series.missing_bars
        try:
            series.append(bar_row(bar, interval_nanos(series.timeframe)))
        except ValueError as error:
            self.bars_ignored += 1
            self.log.warning(f"{bar.bar_type} {bar.ts_event}: {error}")
            return
        if series.missing_bars > missing:
            self.log.warning(
                f"{bar.bar_type}: {series.missing_bars - missing} bars are missing before this one"
            )


def bar_row(bar: Bar, length_ns: int) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    """Return a bar as one row of `BAR_DTYPE`, shape (1,), with the floats that the catalog's columns give.

    Parameters
    ----------
    bar
        Closed at ``ts_event``.
    length_ns
        Of its interval, nanoseconds.
    """
    row = np.zeros(1, BAR_DTYPE)
    row["ts_open_ns"], row["ts_close_ns"] = bar.ts_event - length_ns, bar.ts_event
    for name in ("open", "high", "low", "close"):
        row[name] = float(Decimal(str(getattr(bar, name))))
    row["volume"] = float(Decimal(str(bar.volume)))
    return row
