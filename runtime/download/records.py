"""Blocks of parsed rows, what makes a row bad, and the book in which bad rows are reported."""

from dataclasses import dataclass, field, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray

NO_ID: Final = -1
NO_CLOSE: Final = -1
FIRST_NS: Final = 1_230_768_000_000_000_000  # 2009-01-01: before that no coin was traded
LAST_NS: Final = 4_102_444_800_000_000_000  # 2100-01-01
# Nautilus' largest price is 1.7e13; a number beyond it is damage, not a market.
LARGEST: Final = 1e13
EXAMPLES: Final = 20


@dataclass(frozen=True, slots=True, eq=False)
class TradeBlock:
    """Some trades of one file, shape (n,) each, in the file's order.

    Parameters
    ----------
    ts_ns
        int64, UNIX nanoseconds UTC.
    price, qty
        float64, quote currency per base currency, and base currency.
    is_buyer
        bool, True when the taker bought.
    trade_id
        int64, -1 where the format has none.
    line
        int64, line of the text file or row of the Parquet file, from 1.
    """

    ts_ns: NDArray[np.int64]
    price: NDArray[np.float64]
    qty: NDArray[np.float64]
    is_buyer: NDArray[np.bool_]
    trade_id: NDArray[np.int64]
    line: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class KlineBlock:
    """Some klines of one file, shape (n,) each: open time in UNIX nanoseconds, float64 prices and volume.

    `close_ns` is the close time as the file has it, NO_CLOSE where its format has none.
    """

    ts_ns: NDArray[np.int64]
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    volume: NDArray[np.float64]
    close_ns: NDArray[np.int64]
    line: NDArray[np.int64]


type Block = TradeBlock | KlineBlock


def select[B: (TradeBlock, KlineBlock)](block: B, rows: NDArray[np.bool_] | NDArray[np.int64] | slice) -> B:
    """Return the given rows of a block."""
    return type(block)(*(getattr(block, column.name)[rows] for column in fields(block)))


@dataclass(slots=True)
class BadRows:
    """Counts bad rows and keeps the first of them with file and line.

    Parameters
    ----------
    count
        All bad rows.
    examples
        The first 20 as ``file:line: reason``.
    by_file
        Count per file name.
    """

    count: int = 0
    examples: list[str] = field(default_factory=list)
    by_file: dict[str, int] = field(default_factory=dict)

    def report(self, file: str, line: int, reason: str) -> None:
        """Note one bad row."""
        self.count += 1
        self.by_file[file] = self.by_file.get(file, 0) + 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(f"{file}:{line}: {reason}")


def faults(block: Block) -> list[tuple[NDArray[np.bool_], str]]:
    """Return for each rule the rows, shape (n,), that break it, with the rule's words."""
    rules = [(~((block.ts_ns >= FIRST_NS) & (block.ts_ns < LAST_NS)), "time is not between 2009 and 2100")]
    if isinstance(block, TradeBlock):
        rules += [
            (~_is_positive(block.price), "price is not a positive number"),
            (~_is_positive(block.qty), "quantity is not a positive number"),
            (block.trade_id < NO_ID, "trade id is negative"),
        ]
        return rules
    prices = np.stack([block.open, block.high, block.low, block.close])
    body_low, body_high = np.minimum(block.open, block.close), np.maximum(block.open, block.close)
    rules += [
        (~_is_positive(prices).all(axis=0), "a price is not a positive number"),
        (~((block.volume >= 0) & (block.volume < LARGEST)), "volume is not a number >= 0"),
        ((block.low > body_low) | (block.high < body_high), "open or close lies outside low and high"),
    ]
    return rules


def _is_positive(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    positive: NDArray[np.bool_] = (values > 0) & (values < LARGEST)  # False for NaN and infinities
    return positive


def without_faults[B: (TradeBlock, KlineBlock)](block: B, file: str, bad: BadRows) -> B:
    """Report the bad rows of a block and return the good ones."""
    is_good = np.ones(len(block.ts_ns), dtype=np.bool_)
    for is_bad, reason in faults(block):
        for row in np.flatnonzero(is_bad & is_good):
            bad.report(file, int(block.line[row]), reason)
        is_good &= ~is_bad
    return block if is_good.all() else select(block, is_good)
