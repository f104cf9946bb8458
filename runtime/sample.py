"""``download_data.py sample``: put the synthetic tape into a catalog, labelled as what it is."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, fields
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Literal

from runtime.arrow_schema import TradeColumns
from runtime.catalog import Catalog
from runtime.cli import format_ns
from runtime.errors import ConfigurationError
from runtime.instruments import make_instrument
from runtime.manifest import SourceEntry
from runtime.sample_tape import DAY_NS, TapeTerms, make_tape

NOTE: Final = "synthetic tape, made by a random generator: no market ever printed these trades"
FIRST_DAY_NS: Final = 1_767_571_200_000_000_000  # Monday 2026-01-05
MOST_DAYS: Final = 60
UNFINISHED: Final = ".sample-unfinished"
SYMBOLS: Final = {
    "BTCUSDT": (TapeTerms(60_000.0, 0.01, 0.00001, 0.000010), Decimal("0.01"), Decimal("0.00001")),
    "ETHUSDT": (TapeTerms(2_500.0, 0.01, 0.0001, 0.000015), Decimal("0.01"), Decimal("0.0001")),
}

type Advance = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class SampleRequest:
    """The options of the command: seed >= 0, whole days, and whether failing retracements show it."""

    seed: int = 1
    days: int = 2
    signature: Literal["toxic", "none"] = "toxic"


def tape_of(request: SampleRequest, symbol: str) -> TradeColumns:
    """Make the trades of one of `SYMBOLS`, in ticks and lots."""
    terms, _, _ = SYMBOLS[symbol]
    seed = (request.seed, list(SYMBOLS).index(symbol))
    return make_tape(seed, terms, FIRST_DAY_NS, request.days, is_toxic=request.signature == "toxic")


def columns_sha256(trades: TradeColumns) -> str:
    """Return the SHA-256 over all columns, in their order."""
    digest = hashlib.sha256()
    for field in fields(trades):
        digest.update(getattr(trades, field.name).tobytes())
    return digest.hexdigest()


def make_sample(
    request: SampleRequest, folder: Path, advance: Advance = lambda _amount: None
) -> dict[str, Any]:
    """Write the tape of every symbol into the catalog at `folder` and describe it.

    Parameters
    ----------
    request
        What to make.
    folder
        The catalog; made if absent. The same request twice changes nothing, and completes a killed one.
        Until all symbols are there it holds a file `.sample-unfinished`.
    advance
        Called with the number of trades written since the last call.

    Returns
    -------
    dict
        The object that ``--json`` prints.

    Raises
    ------
    ConfigurationError
        On a negative seed, days outside 1..60, or when the catalog holds other trades of these symbols.
    """
    if request.seed < 0:
        raise ConfigurationError(f"--seed {request.seed}: must be 0 or more")
    if not 1 <= request.days <= MOST_DAYS:
        raise ConfigurationError(f"--days {request.days}: must be 1 to {MOST_DAYS}")
    catalog = Catalog(folder, create=True)
    label = f"synthetic seed={request.seed} days={request.days} signature={request.signature}"
    for symbol in SYMBOLS:
        _refuse_other_trades(catalog, f"{symbol}.BINANCE", f"{label} {symbol}")
    rows, digests = [], {}
    # A killed run leaves the manifest of one symbol; this file says that the other is still to come.
    (folder / UNFINISHED).touch()
    for symbol, (_, tick_size, lot_size) in SYMBOLS.items():
        trades = tape_of(request, symbol)
        digests[symbol] = columns_sha256(trades)
        source = SourceEntry(
            name=f"{label} {symbol}",
            sha256=digests[symbol],
            rows=len(trades),
            first_ns=int(trades.ts_ns[0]),
            last_ns=int(trades.ts_ns[-1]),
            missing_ids=0,
            id_gaps=0,
        )
        instrument = make_instrument("binance", "spot", symbol, tick_size, lot_size)
        report = catalog.write_trades(
            instrument, trades, sources=[source], synthetic=True, note=f"{NOTE} ({label})", advance=advance
        )
        rows.append(report.series.summary())
    (folder / UNFINISHED).unlink()
    return {
        "synthetic": True,
        "note": NOTE,
        "seed": request.seed,
        "days": request.days,
        "signature": request.signature,
        "first": format_ns(FIRST_DAY_NS),
        "end": format_ns(FIRST_DAY_NS + request.days * DAY_NS),
        "columns_sha256": digests,
        "series": rows,
    }


def _refuse_other_trades(catalog: Catalog, instrument_id: str, source: str) -> None:
    """Keep real and synthetic trades, and those of two seeds, apart."""
    for entry in catalog.manifest.series.values():
        if entry.instrument == instrument_id and source not in {known.name for known in entry.sources}:
            raise ConfigurationError(
                f"{catalog.path}: holds other {entry.kind} of {instrument_id}, "
                "give the sample its own --catalog"
            )
