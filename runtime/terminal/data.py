"""Answers from catalogs and the registry, as plain data; runs in a worker process of the terminal's server.

They need Nautilus, numpy and Parquet, which take seconds to import and the interpreter from the frames.
"""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from runtime.cli import format_ns
from runtime.errors import ConfigurationError

MAX_CANDLES: Final = 5_000
MAX_SIGNALS: Final = 5_000
DEFAULT_TIMEFRAMES: Final = ("1h",)
TIMES: Final = ("known_at", "origin_at")

if TYPE_CHECKING:
    from ml.passport import Passport

type Plain = dict[str, Any]


def pairs(catalog: str) -> list[Plain]:
    """Return the series of a catalog: instrument, kind, interval, rows, span."""
    from runtime.catalog import Catalog

    shown = ("instrument", "kind", "interval", "rows", "first", "last", "missing_ids", "longest_gap_s")
    return [{name: row.get(name) for name in shown} for row in Catalog(catalog).series()]


def candles(
    catalog: str, instrument: str, timeframe: str, from_ns: int, to_ns: int | None, limit: int
) -> Plain:
    """Return closed bars by column, the newest `limit` that close from `from_ns` to `to_ns`."""
    from runtime.candles import CandleStore
    from runtime.catalog import Catalog

    store = CandleStore(Catalog(catalog), max_bytes=0)
    found = store.read(instrument, timeframe, from_ns or None, to_ns)
    bars, last = found.bars, slice(max(0, len(found) - limit), None)
    names = ("open", "high", "low", "close")
    return {
        "instrument": instrument,
        "timeframe": timeframe,
        "timeframes": list(store.intervals(instrument)),
        "t": (bars.ts_open_ns[last] // 1_000_000).tolist(),
        **{name: found.prices(name)[last].tolist() for name in names},
        "volume": (bars.volume_lots[last] * found.lot_size).tolist(),
    }


def structure(
    root: str, instrument: str, timeframe: str, kinds: list[str], from_ns: int, limit: int
) -> Plain:
    """Return stored structure signals, the newest `limit` that became known from a time on."""
    from runtime.structure_series import kinds_of, read_structure, series_folder

    folder = series_folder(Path(root), instrument, timeframe)
    if not folder.is_dir():
        raise ConfigurationError(
            f"{folder}: no structure of {instrument} {timeframe}; `download_data.py structure` makes it"
        )
    asked = kinds_of(kinds) if kinds else None
    table = read_structure(Path(root), instrument, timeframe, kinds=asked, from_ns=from_ns)
    rows = table.slice(max(0, table.num_rows - limit)).to_pylist()
    for row in rows:
        for name in TIMES:
            row[name] = format_ns(row[name].value if hasattr(row[name], "value") else int(row[name]))
    return {"instrument": instrument, "timeframe": timeframe, "events": rows}


def volatility(catalog: str, timeframes: list[str], bars: int, top: int, by: Any) -> Plain:
    """Return instruments ranked by volatility, one ranking per timeframe."""
    from runtime.candles import CandleStore
    from runtime.catalog import Catalog
    from runtime.volatility import rank

    opened = Catalog(catalog)
    klines = [entry for entry in opened.manifest.series.values() if entry.kind == "klines"]
    if not klines:
        raise ConfigurationError(f"{opened.path}: no klines: import or download some")
    as_of_ns = max(entry.files[-1].last_ns for entry in klines)
    instruments = sorted({entry.instrument for entry in klines})
    store = CandleStore(opened)
    rankings = [rank(store, instruments, one, as_of_ns, bars, by) for one in timeframes or DEFAULT_TIMEFRAMES]
    return {
        "by": by,
        "bars": bars,
        "timeframes": [
            {
                "timeframe": one.interval,
                "as_of": format_ns(one.as_of_ns),
                "rows": [{"rank": at, **asdict(row)} for at, row in enumerate(one.rows[:top], 1)],
                "skipped": [{"instrument": name, "reason": why} for name, why in one.skipped.items()],
            }
            for one in rankings
        ],
    }


def strategies() -> list[Plain]:
    """Return the strategies with their parameters, as ``backtest_node.py strategies`` lists them."""
    from runtime.run_plan import describe_strategies

    return describe_strategies()


def models(folder: str) -> list[Plain]:
    """Return the models of a folder: what their passports say, or what is wrong with them."""
    from ml.passport import PASSPORT_FILE, PassportError, decode

    found: list[Plain] = []
    for path in sorted(Path(folder).glob(f"*/{PASSPORT_FILE}")):
        row: Plain = {"name": path.parent.name, "error": None, "passport": {}}
        try:
            row["passport"] = _shown(decode(path.read_bytes()))
        except PassportError as error:
            row["error"] = str(error)
        found.append(row)
    return found


def _shown(passport: "Passport") -> Plain:
    return {
        "kind": passport.kind,
        "verdict": passport.verdict,
        "reasons": list(passport.reasons),
        "strategy": passport.strategy,
        "symbols": sorted(passport.symbols),
        "features": [one.name for one in passport.features],
        "rule": passport.decision.rule,
        "margin": passport.decision.margin,
        "expires": format_ns(passport.expires_ns),
        "model_sha256": passport.model_sha256,
        "metrics": msgspec.to_builtins(passport.metrics),
    }


def paper_status(folder: str) -> Plain:
    """Return what the simulated venues of a folder have."""
    from runtime.live.paper_command import status

    return status(Path(folder))


def paper_reset(folder: str) -> Plain:
    """Forget what the simulated venues of a folder keep."""
    from runtime.live.paper_command import reset

    reset(Path(folder), is_sure=True)
    return {"reset": True}
