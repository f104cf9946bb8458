"""Klines checked against the trades they were made of, where a catalog has both."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from runtime.arrow_schema import NO_ID, BarColumns, TradeColumns, concatenate
from runtime.catalog import Catalog
from runtime.cli import format_ns
from runtime.intervals import bar_type_text, interval_nanos, interval_phase_ns
from runtime.manifest import Kind

COLUMNS: Final = ("open", "high", "low", "close", "volume")
MISSING: Final = "kline is missing"
NO_TRADES: Final = "no trades"
TRADE_KINDS: Final[tuple[Kind, Kind]] = ("trades", "aggtrades")


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing in which a kline and its trades contradict each other.

    Parameters
    ----------
    instrument, interval
        Such as ``BTCUSDT.BINANCE`` and ``5m``.
    open_ns
        Of the kline, UNIX nanoseconds UTC.
    what
        ``open``, ``high``, ``low``, ``close`` or ``volume``; ``kline is missing``; or ``no trades`` where the
        kline has a volume.
    in_kline, in_trades
        The two values in quote or base currency; None where there is none.
    """

    instrument: str
    interval: str
    open_ns: int
    what: str
    in_kline: float | None
    in_trades: float | None

    def words(self) -> str:
        """Return the difference as a line of text."""
        when = format_ns(self.open_ns)
        if self.what == MISSING:
            return f"{when}: the kline is missing, trades of {self.in_trades:.10g} are there"
        if self.what == NO_TRADES:
            return f"{when}: the kline has a volume of {self.in_kline:.10g}, but there are no trades"
        return f"{when}: {self.what} is {self.in_kline:.10g}, that of the trades {self.in_trades:.10g}"


@dataclass(frozen=True, slots=True)
class KlineCheck:
    """What was compared: `checked` klines, `tainted` ones left out for missing ids, and the differences."""

    checked: int
    tainted: int
    differences: list[Difference]


def compare_klines_with_trades(catalog: Catalog, instrument_id: str, interval: str) -> list[Difference]:
    """Return the differences of :func:`check_klines`."""
    return check_klines(catalog, instrument_id, interval).differences


def check_klines(catalog: Catalog, instrument_id: str, interval: str) -> KlineCheck:
    """Compare the klines of an interval with the trades, where both are stored.

    Only intervals that the trades cover from beginning to end count: not those with the first and last
    trade, and none that a gap of ids touches, because what is missing there is not known. Trades are put
    into intervals by the exchange's own time, and first and last are those of the lowest and highest id.

    Raises
    ------
    ConfigurationError
        When the catalog has no such instrument.
    DataError
        When a file is damaged.
    """
    step_ns, phase_ns = interval_nanos(interval), interval_phase_ns(interval)
    klines = catalog.find_series(instrument_id, "klines", interval)
    trades = next((kind for kind in TRADE_KINDS if catalog.find_series(instrument_id, kind)), None)
    if klines is None or trades is None:
        return KlineCheck(0, 0, [])
    first_open, last_close = klines.files[0].first_ns - step_ns, klines.files[-1].last_ns
    # Trades before and after the klines say whether the first and the last of these are whole.
    blocks = catalog.read_trades(
        instrument_id, max(0, first_open - step_ns), last_close + step_ns, exchange_time=True
    )
    parts, tainted, last_number = _bars_of_trades(blocks, step_ns, phase_ns)
    if not parts:
        return KlineCheck(0, 0, [])
    traded = _merged(parts)
    stored = concatenate(list(catalog.read_bars(bar_type_text(instrument_id, interval))))
    numbers = (stored.ts_open_ns - phase_ns) // step_ns
    first_number = int((traded.ts_open_ns[0] - phase_ns) // step_ns)
    # All intervals between the first and the last trade, whether anything was traded in them or not.
    inside = np.arange(first_number + 1, last_number)
    inside = inside[(inside >= numbers[0]) & (inside <= numbers[-1])]
    is_tainted = np.isin(inside, tainted)
    differences = _differences(catalog, instrument_id, interval, inside[~is_tainted], stored, traded)
    return KlineCheck(int((~is_tainted).sum()), int(is_tainted.sum()), differences)


def _bars_of_trades(
    blocks: Iterator[TradeColumns], step_ns: int, phase_ns: int
) -> tuple[list[BarColumns], NDArray[np.int64], int]:
    """Return bars of runs of trades, the numbers of the intervals that id gaps touch, and the last number.

    An interval may come in several runs: at the ends of blocks, and where the time steps back.
    """
    parts: list[BarColumns] = []
    tainted: list[NDArray[np.int64]] = []
    last_id, last_number, highest = NO_ID, 0, 0
    for block in blocks:
        number = (block.ts_ns - phase_ns) // step_ns
        starts = np.flatnonzero(np.diff(number, prepend=number[0] - 1) != 0)
        ends = np.r_[starts[1:], len(block)]
        opens = number[starts] * step_ns + phase_ns
        parts.append(
            BarColumns(
                opens,
                opens + step_ns,
                block.price_ticks[starts],
                np.maximum.reduceat(block.price_ticks, starts),
                np.minimum.reduceat(block.price_ticks, starts),
                block.price_ticks[ends - 1],
                np.add.reduceat(block.size_lots, starts),
            )
        )
        if block.trade_id[0] != NO_ID:
            before = np.r_[last_number if last_id != NO_ID else number[0], number[:-1]]
            steps = np.diff(block.trade_id, prepend=last_id if last_id != NO_ID else block.trade_id[0])
            for row in np.flatnonzero(steps > 1).tolist():
                low, high = sorted((int(before[row]), int(number[row])))
                tainted.append(np.arange(low, high + 1))
            last_id = int(block.trade_id[-1])
        last_number = int(number[-1])
        highest = max(highest, int(number.max()))
    return parts, np.unique(np.concatenate(tainted)) if tainted else np.empty(0, dtype=np.int64), highest


def _merged(parts: list[BarColumns]) -> BarColumns:
    """Join the runs of each interval; they come in the order of the ids."""
    runs = concatenate(parts)
    runs = runs[np.argsort(runs.ts_open_ns, kind="stable")]
    starts = np.flatnonzero(np.diff(runs.ts_open_ns, prepend=runs.ts_open_ns[0] - 1) != 0)
    ends = np.r_[starts[1:], len(runs)] - 1
    return BarColumns(
        runs.ts_open_ns[starts],
        runs.ts_close_ns[starts],
        runs.open_ticks[starts],
        np.maximum.reduceat(runs.high_ticks, starts),
        np.minimum.reduceat(runs.low_ticks, starts),
        runs.close_ticks[ends],
        np.add.reduceat(runs.volume_lots, starts),
    )


def _differences(
    catalog: Catalog,
    instrument_id: str,
    interval: str,
    numbers: NDArray[np.int64],
    stored: BarColumns,
    traded: BarColumns,
) -> list[Difference]:
    opens = numbers * interval_nanos(interval) + interval_phase_ns(interval)
    kline, has_kline = _found(stored.ts_open_ns, opens)
    trade, has_trades = _found(traded.ts_open_ns, opens)
    units = _units(catalog, instrument_id)
    has_volume = has_kline & (stored.volume_lots[kline] > 0)
    has_both = has_kline & has_trades
    rules = [
        (~has_kline & has_trades, MISSING, "volume"),
        (has_volume & ~has_trades, NO_TRADES, "volume"),
    ]
    for what in COLUMNS:
        is_other = getattr(stored, _column(what))[kline] != getattr(traded, _column(what))[trade]
        rules.append((is_other & has_both, what, what))
    found = [
        Difference(
            instrument_id,
            interval,
            int(opens[row]),
            what,
            int(getattr(stored, _column(name))[kline[row]]) * units[name] if has_kline[row] else None,
            int(getattr(traded, _column(name))[trade[row]]) * units[name] if has_trades[row] else None,
        )
        for is_wrong, what, name in rules
        for row in np.flatnonzero(is_wrong).tolist()
    ]
    return sorted(found, key=lambda difference: difference.open_ns)


def _column(what: str) -> str:
    return "volume_lots" if what == "volume" else f"{what}_ticks"


def _found(keys: NDArray[np.int64], wanted: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return for each wanted key its place among sorted keys, and whether it is there."""
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return at, keys[at] == wanted


def _units(catalog: Catalog, instrument_id: str) -> dict[str, float]:
    instrument = catalog.instrument(instrument_id)
    units = dict.fromkeys(COLUMNS, float(instrument.price_increment))
    return {**units, "volume": float(instrument.size_increment)}
