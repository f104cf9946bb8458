"""Importing archive files into a catalog: parse, stage, count in ticks and lots, order by id, write.

Nothing is written to the catalog before every file has been read without a fault.
"""

import re
from pathlib import Path
from typing import Final

from runtime.catalog import Catalog
from runtime.download.records import BadRows
from runtime.errors import ConfigurationError, DataError
from runtime.importer.increments import settled_increments
from runtime.importer.klines import import_klines
from runtime.importer.request import ImportReport, ImportRequest, refuse_if_bad
from runtime.importer.staging import Advance, stage_files, staging_folder
from runtime.importer.trades import import_trades
from runtime.instruments import instrument_id_text, split_symbol
from runtime.intervals import interval_nanos

# Rows of Binance's archives do not say their symbol; only the name of the file does.
ARCHIVE_NAME: Final = re.compile(r"([A-Z0-9]+)-(?:trades|aggTrades|\d+(?:mo|[smhdw]))-\d{4}-", re.IGNORECASE)

__all__ = ["ImportReport", "ImportRequest", "check_request", "import_files"]


def ignore_progress(_amount: float) -> None:
    """Take progress and do nothing."""


def import_files(
    request: ImportRequest, folder: Path, advance: Advance = lambda _amount: None
) -> ImportReport:
    """Import archive files of one instrument into the catalog at `folder`.

    Parameters
    ----------
    request
        Files and what they are.
    folder
        The catalog; made if absent.
    advance
        Called with the number of bytes read since the last call.

    Raises
    ------
    ConfigurationError
        Missing file, wrong kind, symbol or increments.
    DataError
        Damaged or empty file, bad rows without `skip_bad_rows`.
    """
    check_request(request)
    catalog = Catalog(folder, create=True)
    bad = BadRows()
    with staging_folder(folder) as staging:
        stage = stage_files(request, staging, bad, advance)
        refuse_if_bad(bad, request)
        if not stage.rows:
            raise DataError(f"{request.files[0].name}: no good row is left")
        rows_read = stage.rows + bad.count
        write = import_klines if request.kind == "klines" else import_trades
        with settled_increments(request, catalog, stage) as settled:
            outcome = write(request, catalog, stage, settled.instrument, bad)
    return ImportReport(settled.instrument, settled.inferred, rows_read, bad, outcome, settled.refined)


def check_request(request: ImportRequest) -> None:
    """Raise ConfigurationError for what is wrong with a request before any file is read."""
    split_symbol(request.symbol)
    instrument_id_text(request.venue, request.market, request.symbol)
    if (request.kind == "klines") != (request.interval is not None):
        need = (
            "needs --interval, for example --interval 5m" if request.kind == "klines" else "has no --interval"
        )
        raise ConfigurationError(f"--kind {request.kind} {need}")
    if request.interval is not None:
        interval_nanos(request.interval)
    for path in request.files:
        if not path.is_file():
            raise ConfigurationError(f"{path}: no such file")
        named = ARCHIVE_NAME.match(path.name)
        if request.venue == "binance" and named and named[1].upper() != request.symbol:
            raise ConfigurationError(f"{path.name}: is of {named[1]}, not {request.symbol}: check --symbol")
