"""Importing files of many symbols: the symbol from each file's name, symbols side by side in processes."""

import os
import re
from collections.abc import Callable, Sequence
from concurrent.futures import Future, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from runtime.download.workers import worker_pool
from runtime.errors import ConfigurationError, OperatorError
from runtime.importer import ImportRequest, ignore_progress, import_files
from runtime.instruments import split_symbol

AUTO: Final = "auto"
# XRPUSDT-trades-2026-03.zip, BTCUSDT2024-01-01.csv.gz, binance-spot_XRPUSDT_2026-03-17.parquet
WORD: Final = re.compile(r"(?<![A-Za-z0-9])([A-Z0-9]+?)(?:\d{4}-\d{2}-\d{2})?(?![A-Za-z0-9])")

type Advance = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class SymbolImport:
    """What became of one symbol: `report` is that of ``import --json``, or `error` says why there is none."""

    symbol: str
    report: dict[str, Any] | None
    error: str = ""
    exit_code: int = 0


def symbol_of_file(path: Path) -> str:
    """Read the symbol from a file's name.

    Raises
    ------
    ConfigurationError
        When the name holds none, or several.

    Examples
    --------
    >>> symbol_of_file(Path("1000PEPEUSDT-5m-2024-01.zip")), symbol_of_file(Path("BTCUSDT2024-01-01.csv.gz"))
    ('1000PEPEUSDT', 'BTCUSDT')
    """
    found: list[str] = sorted({word for word in WORD.findall(path.name) if _is_symbol(word)})
    if len(found) != 1:
        what = " and ".join(found) if found else "none"
        raise ConfigurationError(
            f"{path.name}: its name must hold one symbol, such as XRPUSDT, not {what}: give --symbol"
        )
    return found[0]


def _is_symbol(word: str) -> bool:
    try:
        split_symbol(word)
    except ConfigurationError:
        return False
    return True


def requests_by_symbol(request: ImportRequest) -> list[ImportRequest]:
    """Split a request whose symbol is ``auto`` into one per symbol, sorted.

    Raises
    ------
    ConfigurationError
        When a file's name tells no symbol, or increments are given for several symbols.
    """
    files: dict[str, list[Path]] = {}
    for path in request.files:
        files.setdefault(symbol_of_file(path), []).append(path)
    if len(files) > 1 and (request.tick_size or request.lot_size):
        raise ConfigurationError(
            "--tick-size and --lot-size are those of one instrument: leave them out with --symbol auto"
        )
    return [replace(request, symbol=symbol, files=tuple(paths)) for symbol, paths in sorted(files.items())]


def import_many(
    requests: Sequence[ImportRequest], folder: Path, workers: int, advance: Advance = ignore_progress
) -> list[SymbolImport]:
    """Import several symbols in worker processes; one that fails does not stop the others.

    Parameters
    ----------
    requests
        One per symbol.
    folder
        The catalog; made if absent.
    workers
        Processes at a time, >= 1; with one, or one symbol, it is this process.
    advance
        Called with the bytes of the files that were read since the last call.

    Returns
    -------
    list of SymbolImport
        In the order of `requests`.
    """
    done: dict[str, SymbolImport] = {}
    if min(workers, len(requests)) == 1:
        for request in requests:
            done[request.symbol] = _import_one(request, folder, advance)
        return list(done.values())
    with worker_pool(min(workers, len(requests))) as pool:
        futures = {pool.submit(_import_one, request, folder): request for request in requests}
        for future in as_completed(futures):
            request = futures[future]
            done[request.symbol] = _result(future, request.symbol)
            advance(sum(path.stat().st_size for path in request.files if path.exists()))
    return [done[request.symbol] for request in requests]


def _import_one(request: ImportRequest, folder: Path, advance: Advance = ignore_progress) -> SymbolImport:
    try:
        report = import_files(request, folder, advance)
    except OperatorError as error:
        return SymbolImport(request.symbol, None, str(error), error.exit_code)
    return SymbolImport(request.symbol, report.as_json())


def _result(future: "Future[SymbolImport]", symbol: str) -> SymbolImport:
    error = future.exception()
    if error is None:
        return future.result()
    return SymbolImport(symbol, None, f"internal error: {type(error).__name__}: {error}", 1)


def default_workers() -> int:
    """Return the number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
