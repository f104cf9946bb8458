"""Tapes: the public trades of one or several symbols, from the sample, a file, or a catalog.

A tape keeps the recorded times; the runner (`tests.venue_simulator.tape_runner`) moves and compresses them.
"""

import re
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from tests.venue_simulator.core import Trade
from tests.venue_simulator.protocol import SymbolTerms

if TYPE_CHECKING:
    import pyarrow as pa

QUOTES: Final = ("USDT", "USDC", "FDUSD", "BTC", "ETH", "BNB")
MOST_DECIMALS: Final = 8
LEVEL_TRADES: Final = 10  # a price level displays as much as so many average trades


@dataclass(frozen=True, slots=True)
class Series:
    """The trades of one symbol, all arrays of shape (n,), times never decreasing."""

    terms: SymbolTerms
    ts_ns: NDArray[np.int64]
    price_ticks: NDArray[np.int64]
    size_lots: NDArray[np.int64]
    is_buyer: NDArray[np.bool_]
    trade_id: NDArray[np.int64]
    interval_ns: int = 0  # of the klines that the trades were made from

    def __len__(self) -> int:
        return len(self.ts_ns)

    def trades(self, low: int, high: int, ts_ns: NDArray[np.int64]) -> list[Trade]:
        """Return rows low..high with other times."""
        rows = zip(
            self.trade_id[low:high].tolist(),
            self.price_ticks[low:high].tolist(),
            self.size_lots[low:high].tolist(),
            self.is_buyer[low:high].tolist(),
            ts_ns.tolist(),
            strict=True,
        )
        return [Trade(*row) for row in rows]


type Span = tuple[int, int]

EVER: Final[Span] = (0, 2**63 - 1)

type Prints = tuple[int, int]
"""Trades that a kline becomes, and from which open on (UNIX nanoseconds of the recording); before it 4."""

FOUR: Final[Prints] = (4, 0)


def load(name: str, span: Span = EVER, prints: Prints = FOUR) -> list[Series]:
    """Load a tape.

    Parameters
    ----------
    name
        ``sample``, ``FILE.parquet`` (trades or klines), a folder of such files, or ``CATALOG:INSTRUMENT``.
    span
        Only what lies in [first, end), UNIX nanoseconds of the recording.
    prints
        Of a tape of klines, see `Prints`.

    Raises
    ------
    SystemExit
        When there is no such tape: one line that says what is possible.
    """
    path = Path(name)
    folder, _, instrument = name.rpartition(":")
    if name == "sample":
        found = [cut_span(one, span) for one in _sample()]
    elif path.suffix == ".parquet" and path.is_file():
        found = [_file(path, span, prints)]
    elif path.is_dir():
        found = [_file(one, span, prints) for one in sorted(path.glob("*.parquet"))]
    elif folder and Path(folder).is_dir():
        found = [_catalog(Path(folder), instrument, span)]
    else:
        raise SystemExit(f"--tape {name}: neither `sample`, nor .parquet files, nor CATALOG:INSTRUMENT")
    kept = [one for one in found if one is not None]
    if not kept:
        raise SystemExit(f"--tape {name}: no trade in the span that was asked for")
    return kept


def cut_span(series: Series, span: Span) -> Series | None:
    """Return the trades of a span; None without one."""
    low, high = (int(row) for row in np.searchsorted(series.ts_ns, span))
    if low == high:
        return None
    names = ("ts_ns", "price_ticks", "size_lots", "is_buyer", "trade_id")
    return replace(series, **{name: getattr(series, name)[low:high] for name in names})


def make_series(
    symbol: str, tick: Decimal, lot: Decimal, columns: tuple[NDArray[Any], ...], *, has_ids: bool = True
) -> Series:
    """Put columns (time, ticks, lots, buyer, id) together and add the terms."""
    ts_ns, price_ticks, size_lots, is_buyer, trade_id = columns
    if not has_ids:
        trade_id = np.arange(1, len(ts_ns) + 1, dtype=np.int64)
    level_lots = max(1, round(float(np.mean(size_lots)) * LEVEL_TRADES))
    base, quote = split_symbol(symbol)
    terms = SymbolTerms(symbol, base, quote, tick, lot, tick * int(price_ticks[0]), lot * level_lots)
    # Recorded times may step back by a millisecond; what leaves first has the earlier time.
    ts_ns = np.maximum.accumulate(ts_ns.astype(np.int64))
    return Series(terms, ts_ns, price_ticks, size_lots, is_buyer, trade_id)


def split_symbol(symbol: str) -> tuple[str, str]:
    """Return base and quote of a symbol such as BTCUSDT."""
    for quote in QUOTES:
        if symbol.endswith(quote) and symbol != quote:
            return symbol.removesuffix(quote), quote
    raise SystemExit(f"{symbol}: its quote currency is none of {', '.join(QUOTES)}")


def increment_of(values: NDArray[np.float64]) -> Decimal:
    """Return the largest power of ten, at most 1, of which all values are multiples."""
    for decimals in range(MOST_DECIMALS):
        if np.all(np.abs(values * 10**decimals - np.round(values * 10**decimals)) < 1e-6):
            return Decimal(1).scaleb(-decimals)
    return Decimal(1).scaleb(-MOST_DECIMALS)


def whole_steps(values: NDArray[np.float64], step: Decimal) -> NDArray[np.int64]:
    """Return values as whole numbers of a step."""
    return np.round(values * float(1 / step)).astype(np.int64)


def _sample() -> list[Series]:
    # Imported here: it compiles a kernel, and the other tapes need none.
    from runtime.sample import SYMBOLS, SampleRequest, tape_of

    series = []
    for symbol, (_, tick, lot) in SYMBOLS.items():
        tape = tape_of(SampleRequest(), symbol)
        columns = (tape.ts_ns, tape.price_ticks, tape.size_lots, tape.is_buyer, tape.trade_id)
        series.append(make_series(symbol, tick, lot, columns))
    return series


def _file(path: Path, span: Span, prints: Prints) -> Series | None:
    # Imported here: a simulator with --market only, as most tests start it, is up sooner.
    import pyarrow.parquet as pq

    is_klines = "open" in pq.read_schema(path).names
    column = "ts_open_ns" if is_klines else "ts_ns"
    # Cut before anything is made of it: years of klines of a hundred symbols are many trades.
    table = pq.read_table(path, filters=[(column, ">=", span[0]), (column, "<", span[1])])
    if table.num_rows == 0:
        return None
    return _klines(path, table, prints) if is_klines else _trades(path, table)


def _trades(path: Path, table: "pa.Table") -> Series:
    prices, sizes = table["price"].to_numpy(), table["qty"].to_numpy()
    tick, lot = increment_of(prices), increment_of(sizes)
    has_ids = table["trade_id"].null_count == 0
    ids = table["trade_id"].to_numpy() if has_ids else np.empty(0, np.int64)
    columns = (
        table["ts_ns"].to_numpy(),
        whole_steps(prices, tick),
        whole_steps(sizes, lot),
        ~table["buyer_maker"].to_numpy(),
        ids,
    )
    return make_series(_symbol_of(path), tick, lot, columns, has_ids=has_ids)


def _klines(path: Path, table: "pa.Table", prints: Prints) -> Series:
    from tests.venue_simulator.kline_tape import trades_of_klines

    columns = {name: table[name].to_numpy() for name in table.column_names}
    return trades_of_klines(_symbol_of(path), columns, *prints)


def _catalog(folder: Path, instrument: str, span: Span) -> Series:
    from runtime.catalog import Catalog

    catalog = Catalog(folder)
    found = catalog.instrument(instrument)
    tape = catalog.read_trades_all(instrument, span[0], span[1] - 1)
    tick, lot = (Decimal(str(step)) for step in (found.price_increment, found.size_increment))
    columns = (tape.ts_ns, tape.price_ticks, tape.size_lots, tape.is_buyer, tape.trade_id)
    return make_series(
        str(found.raw_symbol),
        tick.normalize(),
        lot.normalize(),
        columns,
        has_ids=bool(tape.trade_id.min() >= 0),
    )


def _symbol_of(path: Path) -> str:
    found = re.search(r"(?:^|_)([A-Z0-9]{5,})(?:_|$)", path.stem)
    if found is None:
        raise SystemExit(f"{path.name}: no symbol such as BTCUSDT in the file's name")
    return found[1]
