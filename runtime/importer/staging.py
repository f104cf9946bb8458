"""Parsed rows on disk, one raw file per column, so that memory does not grow with the archives."""

import hashlib
import mmap
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from runtime.download.increments import DecimalsSeen, whole_units
from runtime.download.parquet_files import PARQUET_MAGIC, read_parquet
from runtime.download.records import BadRows, KlineBlock, TradeBlock
from runtime.download.text_files import read_text
from runtime.errors import ConfigurationError, DataError
from runtime.importer.request import ImportRequest
from runtime.instruments import decimals_of, increment_text
from runtime.trade_merge import BLOCK_ROWS

STAGING_PREFIX: Final = ".import-"
PRICE_COLUMNS: Final = ("price", "open", "high", "low", "close")
SIZE_COLUMNS: Final = ("qty", "volume")
MOST_UNITS: Final = 2.0**62
RELEASE_BLOCKS: Final = 32

type Advance = Callable[[float], None]


@contextmanager
def staging_folder(catalog: Path) -> Iterator[Path]:
    """Give a folder inside the catalog (same disk), and sweep those of killed imports."""
    sweep(catalog)
    with tempfile.TemporaryDirectory(dir=catalog, prefix=f"{STAGING_PREFIX}{os.getpid()}-") as name:
        yield Path(name)


def sweep(catalog: Path) -> None:
    """Remove the staging folders of imports that are no longer running."""
    for old in catalog.glob(f"{STAGING_PREFIX}*"):
        process = old.name.removeprefix(STAGING_PREFIX).split("-")[0]
        if not process.isdigit() or not _is_running(int(process)):
            shutil.rmtree(old, ignore_errors=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@dataclass(slots=True)
class Stage:
    """Rows of all files on disk, one raw file per column, and where each file's rows begin."""

    folder: Path
    dtypes: dict[str, np.dtype[Any]]
    files: list[Path] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    maps: list[mmap.mmap] = field(default_factory=list)
    rows: int = 0
    price_decimals: DecimalsSeen = field(default_factory=DecimalsSeen)
    size_decimals: DecimalsSeen = field(default_factory=DecimalsSeen)

    def column(self, name: str) -> NDArray[Any]:
        """Map a staged column of shape (rows,) into memory."""
        return self.map(self.folder / name, self.dtypes[name])

    def map(self, path: Path, dtype: np.dtype[Any]) -> NDArray[Any]:
        """Map a raw file into memory as a read-only array."""
        with path.open("rb") as stream:
            mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        self.maps.append(mapped)
        return np.frombuffer(mapped, dtype=dtype)

    def release(self) -> None:
        """Give the pages of all mapped columns back; they are read again where they are needed.

        Without it the resident memory of an import grows by 40 bytes per trade.
        """
        for mapped in self.maps:
            mapped.madvise(mmap.MADV_DONTNEED)

    def blocks(self, values: NDArray[Any], overlap: int = 0) -> Iterator[NDArray[Any]]:
        """Yield a mapped column of shape (n,) in blocks and give its pages back in between.

        Each block but the last ends with the first `overlap` values of the next one.
        """
        for number, low in enumerate(range(0, len(values), BLOCK_ROWS)):
            yield values[low : low + BLOCK_ROWS + overlap]
            if number % RELEASE_BLOCKS == RELEASE_BLOCKS - 1:
                self.release()

    def is_sorted(self, keys: NDArray[np.int64], smallest_step: int) -> bool:
        """Tell whether each key, shape (n,), is at least `smallest_step` above the one before."""
        return not any((np.diff(block) < smallest_step).any() for block in self.blocks(keys, overlap=1))

    def bounds(self, values: NDArray[np.int64]) -> tuple[int | None, int | None]:
        """Return the smallest and the largest of mapped values, shape (n,); None, None without values."""
        found = [(int(block.min()), int(block.max())) for block in self.blocks(values)]
        return min((low for low, _ in found), default=None), max((high for _, high in found), default=None)

    def count_by_file(self, rows: NDArray[np.int64]) -> list[int]:
        """Count how many of the given rows lie in each file."""
        file = np.searchsorted(self.starts, rows, side="right") - 1
        return np.bincount(file, minlength=len(self.starts)).tolist()

    def place(self, row: int) -> tuple[str, int]:
        """Return file name and line of a staged row."""
        at = int(np.searchsorted(self.starts, row, side="right")) - 1
        return self.files[at].name, int(self.column("line")[row])

    def spans(self) -> list[slice]:
        """Return the rows of each file."""
        ends = [*self.starts[1:], self.rows]
        return [slice(low, high) for low, high in zip(self.starts, ends, strict=True)]

    def is_on_grid(self, name: str, increment: Decimal) -> bool:
        """Tell whether every value of a column is a multiple of an increment."""
        return all(bool(whole_units(block, increment)[1].all()) for block in self.blocks(self.column(name)))

    def count_units(self, name: str, increment: Decimal, *, rounds: bool = False) -> NDArray[np.int64]:
        """Count a column in increments, shape (rows,), and map the result.

        Raises
        ------
        ConfigurationError
            When a value is no positive multiple and `rounds` is False, or its count would not fit int64;
            with its file and line.
        """
        target = self.folder / f"{name}_units"
        values = self.column(name)
        with target.open("wb") as stream:
            for number, block in enumerate(self.blocks(values)):
                low = number * BLOCK_ROWS
                flag = "--lot-size" if name in SIZE_COLUMNS else "--tick-size"
                is_huge = block * 10.0 ** decimals_of(increment) >= MOST_UNITS
                if is_huge.any():
                    file, line = self.place(low + int(np.argmax(is_huge)))
                    raise ConfigurationError(
                        f"{file}:{line}: {name} {block[np.argmax(is_huge)]:.12g} is too large for steps of "
                        f"{increment_text(increment)}: give a coarser {flag}"
                    )
                units, is_on_grid = whole_units(block, increment)
                is_on_grid &= units > 0
                if not (rounds or is_on_grid.all()):
                    row = low + int(np.argmin(is_on_grid))
                    file, line = self.place(row)
                    raise ConfigurationError(
                        f"{file}:{line}: {name} {values[row]:.12g} is no multiple of "
                        f"{increment_text(increment)}: give a finer {flag}"
                    )
                units.tofile(stream)
        self.release()
        return self.map(target, np.dtype(np.int64))


def stage_files(request: ImportRequest, folder: Path, bad: BadRows, advance: Advance) -> Stage:
    """Parse all files of a request into `folder`; bad rows go to `bad`, progress in bytes to `advance`."""
    block_type = KlineBlock if request.kind == "klines" else TradeBlock
    names = [column.name for column in fields(block_type)]
    kinds = {
        "ts_ns": np.int64,
        "trade_id": np.int64,
        "line": np.int64,
        "close_ns": np.int64,
        "is_buyer": np.bool_,
    }
    dtypes = {name: np.dtype(kinds.get(name, np.float64)) for name in names}
    stage = Stage(folder, dtypes)
    prices = [name for name in names if name in PRICE_COLUMNS]
    size = next(name for name in names if name in SIZE_COLUMNS)
    streams = {name: (folder / name).open("wb") for name in names}
    try:
        for path in request.files:
            digest = _sha256(path)
            if digest in stage.digests:
                continue  # the same file named twice
            stage.files.append(path)
            stage.digests.append(digest)
            stage.starts.append(stage.rows)
            for block in _read(path, request, bad):
                for name in names:
                    getattr(block, name).tofile(streams[name])
                for name in prices:
                    stage.price_decimals.add(getattr(block, name))
                stage.size_decimals.add(getattr(block, size))
                stage.rows += len(block.ts_ns)
            if stage.rows == stage.starts[-1] and path.name not in bad.by_file:
                raise DataError(f"{path.name}: has a header but no rows")
            advance(path.stat().st_size)
    finally:
        for stream in streams.values():
            stream.close()
    return stage


def _read(path: Path, request: ImportRequest, bad: BadRows) -> Iterator[Any]:
    with path.open("rb") as stream:
        magic = stream.read(4)
    if magic == PARQUET_MAGIC or path.suffix == ".parquet":
        return read_parquet(path, request.venue, request.market, request.kind, request.symbol, bad)
    return read_text(path, request.venue, request.market, request.kind, request.symbol, bad)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
