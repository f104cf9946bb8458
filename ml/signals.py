"""From a table of recorded signals to a dataset: the labels are the outcomes that the strategy recorded.

One row per signal, in Parquet or JSON lines. ``docs/features.md`` describes the columns; every one of
`COLUMNS` and of `ml.signal_features.MEASURED` is needed, further ones are left alone.
"""

import hashlib
import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ml.break_even import break_even
from ml.dataset import Dataset, DatasetError
from ml.labels import order_uniqueness, sample_weights
from ml.passport import Setting, kernel_sha256
from ml.signal_features import (
    COIN_SIGNALS,
    MEASURED,
    NAMES,
    NANOS_PER_SECOND,
    OVERALL_SIGNALS,
    RecentWins,
    fixed_lookback_secs,
    schema_hash,
    signal_row,
)

TEXTS: Final = ("signal_id", "instrument_id", "timeframe", "side", "schema_hash")
TIMES: Final = ("known_ns", "decided_ns", "closed_ns")
NUMBERS: Final = ("entry", "stop", "target", "entry_fee", "stop_fee", "target_fee", "net_r")
COLUMNS: Final = (*TEXTS, *TIMES, *NUMBERS)
SIDES: Final[Mapping[str, int]] = {"long": 1, "short": -1}
DAY_NS: Final = 86_400_000_000_000
LOOKBACK_SHARE: Final = 0.99

type Columns = dict[str, NDArray[Any]]


def signal_dataset(path: str | Path) -> Dataset:
    """Return the dataset of a table of signals.

    Parameters
    ----------
    path
        ``.parquet``, else JSON lines.

    Raises
    ------
    DatasetError
        When the file is missing, empty or damaged, a column is missing or of another type, a signal knows
        more than its time allows, an id comes twice, or the features were defined otherwise.
    """
    file = Path(path)
    try:
        content = file.read_bytes()
    except OSError as error:
        raise DatasetError(f"{file}: {error.strerror or error}") from error
    rows = _parquet(content, file) if file.suffix == ".parquet" else _lines(content, file)
    return dataset_of_rows(rows, file, hashlib.sha256(content).hexdigest())


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalOrigin:
    """Whose signals they are: what a model of them is bound to.

    Parameters
    ----------
    strategy, strategy_version
        Name and version.
    parameters
        Settings that shape signals and outcomes, by Nautilus id and name.
    fees
        ``maker`` and ``taker`` as shares of the notional, by Nautilus id.
    """

    strategy: str
    strategy_version: str
    parameters: Mapping[str, Mapping[str, Setting]]
    fees: Mapping[str, Mapping[str, float]]


def dataset_of_rows(
    rows: Sequence[Mapping[str, Any]], file: Path, sha256: str, origin: SignalOrigin | None = None
) -> Dataset:
    """Return the dataset of signals that were read already.

    Parameters
    ----------
    rows
        With `COLUMNS` and the measured features, in the order of their recording.
    file, sha256
        Where they are from.
    origin
        Whose they are; None where that is not known, then a model of them fits no strategy.

    Raises
    ------
    DatasetError
        As `signal_dataset`.
    """
    columns = _columns(rows, file)
    _check(columns, file)
    order = np.argsort(columns["decided_ns"], kind="stable")
    columns = {name: column[order] for name, column in columns.items()}
    data = _dataset(columns, file, sha256)
    if origin is not None:
        data.meta.update(
            strategy=origin.strategy,
            strategy_version=origin.strategy_version,
            fills={
                "fees": {
                    name: {side: str(fee) for side, fee in one.items()} for name, one in origin.fees.items()
                }
            },
        )
        for name, stream in data.meta["streams"].items():
            stream["parameters"] = dict(origin.parameters[name])
    return data


def _parquet(content: bytes, file: Path) -> Sequence[Mapping[str, Any]]:
    try:
        rows: list[dict[str, Any]] = pq.read_table(pa.BufferReader(content)).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise DatasetError(f"{file} cannot be read as Parquet: {error}") from error
    return rows


def _lines(content: bytes, file: Path) -> Sequence[Mapping[str, Any]]:
    rows = []
    for number, line in enumerate(content.splitlines(), start=1):
        if line.strip():
            try:
                row = msgspec.json.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise DatasetError(f"{file} line {number}: {error}") from error
            if not isinstance(row, dict):
                raise DatasetError(f"{file} line {number}: expected an object with a signal's columns")
            rows.append(row)
    return rows


def _columns(rows: Sequence[Mapping[str, Any]], file: Path) -> Columns:
    if not rows:
        raise DatasetError(f"{file} holds no signal")
    found: Columns = {}
    for name in (*COLUMNS, *MEASURED):
        kind = str if name in TEXTS else int if name in TIMES else float
        values = []
        for number, row in enumerate(rows, start=1):
            if name not in row:
                raise DatasetError(
                    f"{file} row {number}: no column {name}; docs/features.md lists all of them"
                )
            values.append(_value(row[name], kind, f"{file} row {number}, {name}"))
        found[name] = np.array(values, {str: np.object_, int: np.int64, float: np.float64}[kind])
    return found


def _value(value: Any, kind: type[Any], where: str) -> Any:
    if kind is float and value is None:
        return float("nan")  # not known; for net_r: never filled
    fits = isinstance(value, int | float) if kind is float else isinstance(value, kind)
    if not fits or isinstance(value, bool):
        raise DatasetError(f"{where}: {value!r} is not {'a number' if kind is float else kind.__name__}")
    if kind is int and not 0 <= value < 1 << 63:
        raise DatasetError(f"{where}: {value} is no time in UNIX nanoseconds")
    return kind(value)


def _check(columns: Columns, file: Path) -> None:
    def refuse(bad: NDArray[np.bool_], why: str) -> None:
        if bad.any():
            at = int(np.flatnonzero(bad)[0])
            raise DatasetError(f"{file} row {at + 1} ({columns['signal_id'][at]}): {why}")

    refuse(~np.isin(columns["side"], list(SIDES)), "side is neither long nor short")
    refuse(columns["schema_hash"] != schema_hash(), "its features were defined otherwise: record it again")
    refuse(columns["known_ns"] > columns["decided_ns"], "known_ns is after decided_ns: it knows the future")
    # Equal times cannot be told apart: the outcome must be later than what it is the outcome of.
    refuse(columns["closed_ns"] <= columns["decided_ns"], "closed_ns is not after decided_ns")
    _, first = np.unique(columns["signal_id"].astype(str), return_index=True)
    again = np.ones(len(columns["signal_id"]), np.bool_)
    again[first] = False
    refuse(again, "its signal_id comes twice")
    infinite = np.zeros(len(again), np.bool_)
    for name in (*MEASURED, "net_r"):
        infinite |= np.isinf(columns[name])
    refuse(infinite, "a value is infinite: leave out what is not known")
    refuse(~np.isfinite(_p_star(columns)), "entry, stop, target and fees are no order")


def _p_star(columns: Columns) -> NDArray[np.float64]:
    names = ("entry", "stop", "target", "entry_fee", "stop_fee", "target_fee")
    rows = zip(
        *(columns[name].tolist() for name in names),
        [SIDES.get(one, 0) for one in columns["side"]],
        strict=True,
    )
    return np.array(
        [
            break_even(entry, stop, target, entry_fee=fee, stop_fee=stop_fee, target_fee=target_fee)
            if (entry - stop) * direction > 0 and (target - entry) * direction > 0
            else np.nan
            for entry, stop, target, fee, stop_fee, target_fee, direction in rows
        ]
    )


def features_of(columns: Columns) -> NDArray[np.float64]:
    """Return the features of signals in order of time, shape (n, 23).

    An outcome counts in the win rates of the signals decided after it was known, never of its own.

    Parameters
    ----------
    columns
        As the table has them, ordered by ``decided_ns``.
    """
    wins = RecentWins()
    open_signals: list[tuple[int, int]] = []  # heap of (closed_ns, row)
    x = np.empty((len(columns["decided_ns"]), len(NAMES)))
    for at in range(len(x)):
        decided_ns = int(columns["decided_ns"][at])
        while open_signals and open_signals[0][0] < decided_ns:
            _, row = heapq.heappop(open_signals)
            wins.add(columns["instrument_id"][row], won=bool(columns["net_r"][row] > 0))
        measured = {name: float(columns[name][at]) for name in MEASURED}
        x[at] = signal_row(
            measured, columns["instrument_id"][at], SIDES[columns["side"][at]], decided_ns, wins
        )
        if np.isfinite(columns["net_r"][at]):
            heapq.heappush(open_signals, (int(columns["closed_ns"][at]), at))
    return x


def _lookback_secs(columns: Columns, file: Path) -> float:
    """Return how far signals look back: the longest window of bars, or of outcomes (99th percentile)."""
    try:
        fixed = max(fixed_lookback_secs(one) for one in set(columns["timeframe"].tolist()))
    except ValueError as error:
        raise DatasetError(f"{file}: {error}") from error
    every = np.ones(len(columns["decided_ns"]), np.bool_)
    reach = _reach_ns(columns, every, OVERALL_SIGNALS)
    for name in set(columns["instrument_id"].tolist()):
        coin = columns["instrument_id"] == name
        reach[coin] = np.maximum(reach[coin], _reach_ns(columns, coin, COIN_SIGNALS)[coin])
    return max(fixed, float(np.quantile(reach, LOOKBACK_SHARE)) / NANOS_PER_SECOND)


def _reach_ns(columns: Columns, which: NDArray[np.bool_], outcomes: int) -> NDArray[np.int64]:
    """Return the age of the oldest of the last outcomes that a signal knows, 0 for none, shape (n,)."""
    known = np.flatnonzero(which & np.isfinite(columns["net_r"]))
    known = known[np.argsort(columns["closed_ns"][known], kind="stable")]
    reach = np.zeros(len(which), np.int64)
    if len(known):
        count = np.searchsorted(columns["closed_ns"][known], columns["decided_ns"])
        oldest = columns["decided_ns"][known[np.clip(count - outcomes, 0, len(known) - 1)]]
        reach = np.where(count > 0, columns["decided_ns"] - oldest, 0)
    return reach


def _dataset(columns: Columns, file: Path, sha256: str) -> Dataset:
    count = len(columns["decided_ns"])
    t0_ns, t1_ns, net_r = columns["decided_ns"], columns["closed_ns"], columns["net_r"]
    order_id = np.arange(count, dtype=np.int64)
    unique = order_uniqueness(order_id, t0_ns, t1_ns)
    filled = np.isfinite(net_r)
    symbols = sorted(set(columns["instrument_id"].tolist()))
    effective = (
        order_uniqueness(order_id[filled], t0_ns[filled], t1_ns[filled]).sum() if filled.any() else 0.0
    )
    return Dataset(
        names=NAMES,
        schema_hash=schema_hash(),
        x=features_of(columns),
        y=(net_r > 0).astype(np.int8),
        net_r=net_r,
        t0_ns=t0_ns,
        t1_ns=t1_ns,
        order_id=order_id,
        weight=sample_weights(unique),
        day=t0_ns // DAY_NS,
        p_star=_p_star(columns),
        meta={
            "kind": "signal",
            "symbols": symbols,
            "streams": {name: _stream(columns, name, file, sha256) for name in symbols},
            "kernel_sha256": kernel_sha256("signal"),
            "lookback_secs": _lookback_secs(columns, file),
            "rows": count,
            "rows_filled": int(filled.sum()),
            "n_effective": float(effective),
        },
        aside={
            "symbol": np.searchsorted(symbols, columns["instrument_id"].astype(str)).astype(np.int64),
            "direction": np.array([SIDES[one] for one in columns["side"]], np.int64),
            "known_ns": columns["known_ns"],
        },
    )


def _stream(columns: Columns, name: str, file: Path, sha256: str) -> dict[str, Any]:
    chosen = columns["instrument_id"] == name
    timeframes = sorted(set(columns["timeframe"][chosen].tolist()))
    if len(timeframes) > 1:
        raise DatasetError(
            f"{file}: signals of {name} on {' and '.join(timeframes)}: one table and model per timeframe"
        )
    return {
        "venue": name.rpartition(".")[2],
        "stream": "klines",
        "bucket_usd": 0,
        "timeframe": timeframes[0],
        "files": [{"name": file.name, "rows": int(chosen.sum()), "sha256": sha256}],
    }


__all__ = ["COLUMNS", "SignalOrigin", "dataset_of_rows", "features_of", "signal_dataset"]
