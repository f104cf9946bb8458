"""Scored columns of a run as the bars that a terminal shows; see `ui.telemetry.run_bars.BarSource`."""

from collections.abc import Callable, Iterable

import numpy as np

from indicators.confluence.config import ConfluenceWeights
from runtime.factor_bits import scored
from runtime.score_columns import PRICES, Columns, Scale
from ui.protocol import Bar
from ui.telemetry.views import timeframe

NANOS_PER_SEC = 1_000_000_000
NANOS_PER_MILLI = 1_000_000


class ColumnRunBars:
    """Makes bars out of columns when they are asked for.

    Parameters
    ----------
    columns
        From `runtime.score_columns.score_columns`.
    weights
        Gives the points of the factors of an instrument.
    """

    def __init__(self, columns: Columns, weights: Callable[[str], ConfluenceWeights]) -> None:
        self._columns, self._weights = columns, weights
        self._numbers = {one.instrument_id: number for number, one in enumerate(columns.series)}
        self.step_ns = columns.grid.step_ns
        self._timeframe = timeframe(self.step_ns // NANOS_PER_SEC)

    def names(self) -> Iterable[str]:
        """Return the instruments of the run."""
        return self._numbers

    def closed(self, name: str, after_ns: int, until_ns: int) -> list[Bar]:
        """Return the bars of an instrument that closed after a time and until another one, oldest first."""
        grid, number, arrays = self._columns.grid, self._numbers[name], self._columns.arrays
        first, end = max(0, grid.index(after_ns) + 1), max(0, grid.index(until_ns) + 1)
        places = first + np.flatnonzero(arrays["close_ticks"][number, first:end])
        series, weights = self._columns.series[number], self._weights(name)
        price, size = Scale.of(series.price_increment), Scale.of(series.size_increment)
        columns = [price.float_of(arrays[one][number, places]).tolist() for one in PRICES]
        volumes = size.float_of(arrays["volume_lots"][number, places]).tolist()
        opens_ms = ((grid.first_ns + (places - 1) * grid.step_ns) // NANOS_PER_MILLI).tolist()
        factors = [scored(bits, weights) for bits in arrays["factors"][number, places].tolist()]
        bars = zip(opens_ms, *columns, volumes, factors, strict=True)
        return [
            Bar(
                ins=name,
                tf=self._timeframe,
                t=opened,
                o=open_,
                h=high,
                l=low,
                c=close,
                v=volume,
                score_long=long,
                score_short=short,
                factors=points,
            )
            for opened, open_, high, low, close, volume, (long, short, points) in bars
        ]


__all__ = ["ColumnRunBars"]
