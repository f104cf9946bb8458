"""The bars of a run: any timeframe that the candle store can read, stored or derived.

Nautilus' node reads bars from Parquet. Series that are stored whole it finds in the catalog; a series with
derived bars is written below ``<catalog>/.derived``, under the fingerprint of the files it comes from, so
that it is made once and never outlives a change of them.
"""

import hashlib
import shutil
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import msgspec

from runtime.candles import Candles, CandleStore
from runtime.catalog import Catalog
from runtime.errors import ConfigurationError
from runtime.intervals import interval_of_bar_type

DERIVED: Final = ".derived"
# A run that began before the catalog changed may still read the old one.
KEPT_SECS: Final = 86_400.0


def bar_catalogs(catalog: Catalog, bar_types: Iterable[str]) -> Mapping[str, Catalog]:
    """Return where a run finds the bars of each type.

    Parameters
    ----------
    catalog
        The data of the run.
    bar_types
        Such as ``BTCUSDT.BINANCE-4-HOUR-LAST-EXTERNAL``.

    Raises
    ------
    ConfigurationError
        When a type is neither stored nor can be derived.
    DataError
        When a file is damaged: Nautilus reads whole files, and damage that only it meets ends the process.
    """
    store = CandleStore(catalog, max_bytes=0)
    return MappingProxyType(
        {bar_type: _place(store, catalog, bar_type) for bar_type in sorted(set(bar_types))}
    )


def read_candles(catalog: Catalog, bar_type: str, last_ns: int | None) -> Candles:
    """Return the closed bars of a type up to a time (UNIX nanoseconds, included)."""
    return CandleStore(catalog, max_bytes=0).read(*_series_of(bar_type), None, last_ns)


def _series_of(bar_type: str) -> tuple[str, str]:
    return bar_type.rsplit("-", 4)[0], interval_of_bar_type(bar_type)


def _place(store: CandleStore, catalog: Catalog, bar_type: str) -> Catalog:
    instrument_id, interval = _series_of(bar_type)
    candles = None
    if interval in store.intervals(instrument_id):
        candles = store.read(instrument_id, interval)
    if candles is None or not len(candles):
        raise ConfigurationError(
            f"{catalog.path} has no bars {bar_type}, which the strategy's settings ask for, and none to "
            "derive them from: import klines, or take the setting out"
        )
    if not candles.is_derived.any():
        return catalog
    return _derived(store, catalog, bar_type, candles)


def _derived(store: CandleStore, catalog: Catalog, bar_type: str, candles: Candles) -> Catalog:
    """Return the catalog that holds the derived bars, made anew when the files they come from are others."""
    root = catalog.path / DERIVED
    folder = root / f"{bar_type}-{_fingerprint(store, catalog, candles.instrument_id)}"
    if not folder.exists():
        root.mkdir(exist_ok=True)
        _drop_old(root, bar_type)
        with tempfile.TemporaryDirectory(dir=root, prefix=".new-") as scratch:
            made = Catalog(Path(scratch) / "catalog", create=True)
            made.write_bars(catalog.instrument(candles.instrument_id), candles.interval, candles.bars)
            try:
                made.path.rename(folder)
            except OSError:  # another run was first
                if not folder.exists():
                    raise
    return Catalog(folder)


def _fingerprint(store: CandleStore, catalog: Catalog, instrument_id: str) -> str:
    found = [
        catalog.find_series(instrument_id, "klines", one) for one in store.stored_intervals(instrument_id)
    ]
    files = [(entry.interval, entry.files) for entry in found if entry is not None]
    instrument = catalog.instrument(instrument_id)
    increments = [str(instrument.price_increment), str(instrument.size_increment)]  # they may be refined
    return hashlib.sha256(msgspec.json.encode([files, increments])).hexdigest()[:16]


def _drop_old(root: Path, bar_type: str) -> None:
    for folder in root.glob(f"{bar_type}-*"):
        if time.time() - folder.stat().st_mtime > KEPT_SECS:
            shutil.rmtree(folder, ignore_errors=True)
