"""The order of staged trades by id, found on disk: memory does not grow with the archive.

An archive is nearly always in order, and then nothing is done. Otherwise the rows are dealt out to parts
by ranges of ids, small enough to be sorted in memory one after the other; equal ids meet in one part.
"""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from runtime.arrow_schema import TradeColumns
from runtime.importer.staging import Stage
from runtime.trade_merge import is_same_trade

PART_ROWS: Final = 1 << 21
SAMPLES_PER_PART: Final = 256


@dataclass(frozen=True, slots=True)
class RowOrder:
    """In which order staged rows belong, each trade once.

    Parameters
    ----------
    positions
        Rows to keep, in order, int64; None for all rows as they are.
    duplicates
        Rows dropped because the same trade came before, per file.
    conflicts
        Rows dropped because their id came before with other content.
    """

    positions: NDArray[np.int64] | None
    duplicates: list[int]
    conflicts: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))


def order_by_id(rows: TradeColumns, stage: Stage) -> RowOrder:
    """Order trades by id, never by time; the first row of an id stays."""
    if stage.is_sorted(rows.trade_id, 1):
        return RowOrder(None, [0] * len(stage.files))
    duplicates = np.zeros(len(stage.files), dtype=np.int64)
    conflicts = []
    target = stage.folder / "order"
    with target.open("wb") as stream:
        for positions in _parts(rows.trade_id, stage):
            # Positions increase within a part, so a stable sort keeps the file's order of equal ids.
            part = positions[np.argsort(rows.trade_id[positions], kind="stable")]
            ids = rows.trade_id[part]
            is_repeat = np.r_[False, ids[1:] == ids[:-1]]
            firsts, at = np.flatnonzero(~is_repeat), np.flatnonzero(is_repeat)
            first_of = part[firsts[np.searchsorted(firsts, at, side="right") - 1]]
            is_same = is_same_trade(rows[first_of], rows[part[at]])
            duplicates += stage.count_by_file(part[at[is_same]])
            conflicts.append(part[at[~is_same]])
            part[~is_repeat].tofile(stream)
            stage.release()
    return RowOrder(stage.map(target, np.dtype(np.int64)), duplicates.tolist(), np.concatenate(conflicts))


def _parts(ids: NDArray[np.int64], stage: Stage) -> "list[NDArray[np.int64]] | _PartFiles":
    count = -(-len(ids) // PART_ROWS)
    if count == 1:
        return [np.arange(len(ids))]
    return _PartFiles(ids, stage, count)


class _PartFiles:
    """Positions of rows, dealt out by ranges of ids to one file per part; iterates over the parts."""

    def __init__(self, ids: NDArray[np.int64], stage: Stage, count: int) -> None:
        step = max(1, len(ids) // (count * SAMPLES_PER_PART))
        sample = np.sort(ids[::step])
        stage.release()
        bounds = sample[np.arange(1, count) * len(sample) // count]
        self._paths = [stage.folder / f"part{number}" for number in range(count)]
        streams = [path.open("wb") for path in self._paths]
        try:
            start = 0
            for block in stage.blocks(ids):
                part = np.searchsorted(bounds, block, side="right")
                for number in np.unique(part).tolist():
                    (np.flatnonzero(part == number) + start).tofile(streams[number])
                start += len(block)
        finally:
            for stream in streams:
                stream.close()

    def __iter__(self) -> "_PartFiles":
        return self

    def __next__(self) -> NDArray[np.int64]:
        while self._paths:
            path = self._paths.pop(0)
            positions = np.fromfile(path, dtype=np.int64)
            path.unlink()
            if len(positions):
                return positions
        raise StopIteration
