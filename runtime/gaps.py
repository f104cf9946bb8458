"""The gaps of a stored series: which trade ids, or bars, are missing, one by one."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from runtime.catalog import Catalog
from runtime.intervals import bar_type_text, interval_nanos
from runtime.manifest import Kind


@dataclass(frozen=True, slots=True)
class Gap:
    """A stretch of missing ids between two stored records.

    Parameters
    ----------
    first_id, last_id
        Lowest and highest missing id; of klines the bar's number, its open time divided by the interval.
    before_ns, after_ns
        ``ts_init`` of the stored records on both sides, UNIX nanoseconds UTC.
    """

    first_id: int
    last_id: int
    before_ns: int
    after_ns: int

    @property
    def missing(self) -> int:
        """How many ids are missing, > 0."""
        return self.last_id - self.first_id + 1


def gaps_of(
    catalog: Catalog, instrument_id: str, kind: Kind = "trades", interval: str | None = None
) -> Iterator[Gap]:
    """Yield the gaps of a series in order, reading it once in little memory; none for trades without ids.

    Raises
    ------
    ConfigurationError
        When the catalog has no such instrument.
    DataError
        When a file is damaged.
    """
    if kind == "klines":
        step_ns = interval_nanos(interval or "")
        bars = catalog.read_bars(bar_type_text(instrument_id, interval or ""))
        blocks = ((block.ts_open_ns // step_ns, block.ts_close_ns) for block in bars)
    else:
        blocks = ((block.trade_id, block.ts_ns) for block in catalog.read_trades(instrument_id))
    last_id = last_ns = None
    for ids, ts_ns in blocks:
        before = ids[0] if last_id is None else last_id
        steps = np.diff(ids, prepend=before)
        for row in np.flatnonzero(steps > 1).tolist():
            after = int(ids[row])
            before_ns = int(ts_ns[row - 1]) if row else last_ns
            assert before_ns is not None
            yield Gap(after - int(steps[row]) + 1, after - 1, before_ns, int(ts_ns[row]))
        last_id, last_ns = int(ids[-1]), int(ts_ns[-1])
