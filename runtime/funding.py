"""Funding rates beside the klines: Nautilus' ``FundingRateUpdate``, one Parquet file per month.

``<catalog>/data/funding_rate_update/<instrument>/`` is what ``ParquetDataCatalog.funding_rates`` reads;
``<catalog>/funding/<instrument>.json`` says for each month where it came from and what it holds.
"""

import itertools
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgspec
from nautilus_trader.model.data import FundingRateUpdate
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.persistence.catalog import ParquetDataCatalog

from runtime.errors import DataError
from runtime.manifest import replace_file

INDEX_FOLDER: Final = "funding"
DATA_FOLDER: Final = "data/funding_rate_update"
MINUTES_PER_HOUR: Final = 60
HOUR_NS: Final = 3_600_000_000_000
# The venue stamps a payment when it computes it: some milliseconds, rarely seconds, after the hour.
LATENESS_NS: Final = 60_000_000_000


class FundingPayment(msgspec.Struct, frozen=True):
    """One payment: UNIX nanoseconds, the rate as the venue wrote it, hours since the last or None."""

    ts_ns: int
    rate: Decimal
    interval_hours: int | None = None


class FundingMonth(msgspec.Struct, frozen=True, kw_only=True):
    """What the index says about a month.

    Parameters
    ----------
    file
        Parquet file, relative to the catalog; empty for a month without payments.
    rows, first_ns, last_ns
        Payments, and the times of the first and last.
    gaps
        Times between two payments that are longer than the interval that the venue gives.
    url_path, sha256
        Of the archive file; None when it came by REST.
    is_final
        Whether the month was over when it was fetched.
    """

    file: str
    rows: int
    first_ns: int | None
    last_ns: int | None
    gaps: int
    url_path: str | None
    sha256: str | None
    is_final: bool


class FundingStore:
    """The funding rates of one instrument in a catalog.

    Parameters
    ----------
    catalog
        The catalog's folder.
    instrument_id
        Such as ``BTCUSDT-PERP.BINANCE``.

    Raises
    ------
    DataError
        When its index is damaged.
    """

    def __init__(self, catalog: Path, instrument_id: str) -> None:
        self._catalog = catalog
        self._instrument_id = InstrumentId.from_str(instrument_id)
        self._index = catalog / INDEX_FOLDER / f"{instrument_id}.json"
        self.months: dict[str, FundingMonth] = {}
        if self._index.exists():
            try:
                self.months = msgspec.json.decode(self._index.read_bytes(), type=dict[str, FundingMonth])
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise DataError(f"{self._index}: damaged ({error}); delete it and fetch again") from error

    def has(self, month: date) -> bool:
        """Whether a month is there for good, its file included."""
        known = self.months.get(f"{month:%Y-%m}")
        return (
            known is not None and known.is_final and (not known.file or (self._catalog / known.file).exists())
        )

    def write(
        self,
        month: date,
        payments: Sequence[FundingPayment],
        *,
        url_path: str | None = None,
        sha256: str | None = None,
        is_final: bool,
    ) -> FundingMonth:
        """Replace a month; a crash leaves the old or the new one."""
        ordered = sorted({one.ts_ns: one for one in payments}.values(), key=lambda one: one.ts_ns)
        file = self._write_file(ordered) if ordered else ""
        entry = FundingMonth(
            file=file,
            rows=len(ordered),
            first_ns=ordered[0].ts_ns if ordered else None,
            last_ns=ordered[-1].ts_ns if ordered else None,
            gaps=gaps_of(ordered),
            url_path=url_path,
            sha256=sha256,
            is_final=is_final,
        )
        name = f"{month:%Y-%m}"
        old = self.months.get(name)
        self.months = dict(sorted((self.months | {name: entry}).items()))
        self._index.parent.mkdir(exist_ok=True)
        replace_file(self._index, msgspec.json.format(msgspec.json.encode(self.months), indent=2) + b"\n")
        if old is not None and old.file and old.file != file:
            (self._catalog / old.file).unlink(missing_ok=True)
        return entry

    def _write_file(self, payments: Sequence[FundingPayment]) -> str:
        updates = [
            FundingRateUpdate(
                self._instrument_id,
                one.rate,
                one.ts_ns,
                one.ts_ns,
                None if one.interval_hours is None else one.interval_hours * MINUTES_PER_HOUR,
            )
            for one in payments
        ]
        with TemporaryDirectory(dir=self._catalog, prefix=".funding-") as folder:
            ParquetDataCatalog(folder).write_data(updates)
            (path,) = Path(folder).rglob("*.parquet")
            target = self._catalog / DATA_FOLDER / str(self._instrument_id) / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
        return target.relative_to(self._catalog).as_posix()


def gaps_of(payments: Sequence[FundingPayment]) -> int:
    """Count the times between two payments that exceed the interval that comes with the later one.

    Examples
    --------
    >>> eight = [FundingPayment(hour * HOUR_NS, Decimal("0.0001"), 8) for hour in (0, 8, 24)]
    >>> gaps_of(eight)
    1
    """
    return sum(
        after.interval_hours is not None
        and after.ts_ns - before.ts_ns > after.interval_hours * HOUR_NS + LATENESS_NS
        for before, after in itertools.pairwise(payments)
    )


def read_funding(catalog: Path, instrument_id: str) -> list[FundingPayment]:
    """Return all payments of an instrument in order of time, [] where none are stored."""
    if not (catalog / DATA_FOLDER / instrument_id).is_dir():
        return []
    updates = ParquetDataCatalog(str(catalog)).query(FundingRateUpdate, identifiers=[instrument_id])
    return [
        FundingPayment(
            # Nautilus gives the rate back as text.
            one.ts_event,
            Decimal(str(one.rate)),
            None if one.interval is None else one.interval // MINUTES_PER_HOUR,
        )
        for one in updates
    ]
