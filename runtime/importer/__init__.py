"""Importing archive files into a catalog: parse, stage, count in ticks and lots, order by id, write.

Nothing is written to the catalog before every file has been read without a fault.
"""

import re
from decimal import Decimal
from pathlib import Path
from typing import Final

from nautilus_trader.model.instruments import Instrument

from runtime.catalog import Catalog
from runtime.download.records import BadRows
from runtime.errors import ConfigurationError, DataError
from runtime.importer.klines import import_klines
from runtime.importer.request import ImportReport, ImportRequest, refuse_if_bad
from runtime.importer.staging import Advance, Stage, stage_files, staging_folder
from runtime.importer.trades import import_trades
from runtime.instruments import instrument_id_text, make_instrument, split_symbol
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
        instrument, inferred = _instrument(request, catalog, stage)
        write = import_klines if request.kind == "klines" else import_trades
        outcome = write(request, catalog, stage, instrument, bad)
    return ImportReport(instrument, inferred, rows_read, bad, outcome)


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


def _instrument(request: ImportRequest, catalog: Catalog, stage: Stage) -> tuple[Instrument, tuple[str, ...]]:
    """Return the instrument and which of its increments were inferred.

    An option wins; then the stored instrument, or the venue's own; else the decimals seen in the files.
    """
    stored = catalog.find_instrument(instrument_id_text(request.venue, request.market, request.symbol))
    stored = stored or request.definition
    chosen: list[Decimal] = []
    inferred: list[str] = []
    for name, option, attribute, seen in (
        ("tick_size", request.tick_size, "price_increment", stage.price_decimals),
        ("lot_size", request.lot_size, "size_increment", stage.size_decimals),
    ):
        if option is not None:
            chosen.append(option)
        elif stored is not None:
            chosen.append(Decimal(str(getattr(stored, attribute))))
        else:
            chosen.append(seen.increment)
            inferred.append(name)
    instrument = make_instrument(request.venue, request.market, request.symbol, chosen[0], chosen[1])
    catalog.require_increments(instrument)
    # The stored definition stays: it may be the venue's own, or have the decimals of an older import.
    return stored or instrument, tuple(inferred)
