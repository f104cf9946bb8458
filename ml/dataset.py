"""A dataset: one row per decision that a resting order gave rise to, with its label and how it was made.

Two files, ``NAME.parquet`` with the columns and ``NAME.json`` with everything that is not a column. The
sidecar is written last and holds the hash of the other, so that a pair which does not belong together, or was
cut off while it was written, is refused.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

FORMAT: Final = "smcbot-dataset/1"
FEATURE_PREFIX: Final = "x."  # so that a feature may be called like a column of the label
ASIDE_PREFIX: Final = "aside."
# Columns beside the features, in the order of the file.
COLUMNS: Final[Mapping[str, Any]] = {
    "y": np.int8,
    "net_r": np.float64,
    "t0_ns": np.int64,
    "t1_ns": np.int64,
    "order_id": np.int64,
    "weight": np.float64,
    "day": np.int64,
    "p_star": np.float64,
}


class DatasetError(ValueError):
    """A dataset that is damaged, or that does not fit what it is wanted for."""


@dataclass(frozen=True)
class Dataset:
    """Rows to learn from, ordered by decision time.

    Parameters
    ----------
    names
        Features, in the order of the columns of `x`.
    schema_hash
        Hash of names, units and kernel version (`ml.features.schema_hash`), 64 hexadecimal digits.
    x
        Features, shape (n, f); NaN where one is not known.
    y
        Shape (n,): 1 when the order, kept and filled, ended with a net profit, else 0.
    net_r
        Shape (n,): profit after fees over the risk of the order; NaN when it never filled.
    t0_ns
        Shape (n,): time of the decision, UNIX nanoseconds.
    t1_ns
        Shape (n,): time at which the label is known, >= `t0_ns`.
    order_id
        Shape (n,): rows of one order share it.
    weight
        Shape (n,): uniqueness weights, mean 1.
    day
        Shape (n,): UTC day of `t0_ns`, days since 1970-01-01.
    p_star
        Shape (n,): probability at which keeping the order breaks even, (stop + fees) / (target + stop).
    meta
        Where the rows come from: plain values that JSON can hold.
    aside
        Further columns of shape (n,) that no model may see, int64: ``fill_ns`` and ``exit_ns`` (0 for never),
        ``outcome`` (`ml.labels.Outcome`), ``direction``, ``symbol`` (index into ``meta["symbols"]``),
        ``known_ns`` (close of the last bucket that the features know), ``is_tainted``.

    Raises
    ------
    DatasetError
        When lengths differ, times go backwards or a label is known before its decision.
    """

    names: tuple[str, ...]
    schema_hash: str
    x: NDArray[np.float64]
    y: NDArray[np.int8]
    net_r: NDArray[np.float64]
    t0_ns: NDArray[np.int64]
    t1_ns: NDArray[np.int64]
    order_id: NDArray[np.int64]
    weight: NDArray[np.float64]
    day: NDArray[np.int64]
    p_star: NDArray[np.float64]
    meta: dict[str, Any] = field(default_factory=dict)
    aside: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        count = len(self.t0_ns)
        if self.x.shape != (count, len(self.names)):
            raise DatasetError(
                f"x has shape {self.x.shape}, but there are {count} rows of {len(self.names)} names"
            )
        if self.x.dtype != np.float64:
            raise DatasetError(f"x is {self.x.dtype}, want float64")
        for name, dtype in COLUMNS.items():
            column = getattr(self, name)
            if column.shape != (count,) or column.dtype != dtype:
                raise DatasetError(
                    f"{name} is {column.dtype} of shape {column.shape}, want {np.dtype(dtype)} of ({count},)"
                )
        for name, column in self.aside.items():
            if column.shape != (count,) or column.dtype != np.int64:
                raise DatasetError(f"aside {name} is {column.dtype} of shape {column.shape}, want int64")
        if np.any(np.diff(self.t0_ns) < 0):
            raise DatasetError("t0_ns steps back: rows are ordered by the time of their decision")
        if np.any(self.t1_ns < self.t0_ns):
            raise DatasetError("t1_ns is before t0_ns: a label cannot be known before its decision")

    def __len__(self) -> int:
        return len(self.t0_ns)

    def rows(self, which: NDArray[np.bool_] | NDArray[np.int64]) -> Self:
        """Return the dataset of some rows, chosen by a mask or by ascending positions; `meta` is shared."""
        chosen: dict[str, Any] = {
            name: np.ascontiguousarray(getattr(self, name)[which]) for name in ("x", *COLUMNS)
        }
        aside = {name: np.ascontiguousarray(column[which]) for name, column in self.aside.items()}
        return replace(self, **chosen, aside=aside)

    def actionable(self, latency_ms: float) -> Self:
        """Return the rows whose entry could still be taken back: it had not filled `latency_ms` later.

        Raises
        ------
        DatasetError
            When the dataset does not say when orders filled.
        """
        if "fill_ns" not in self.aside:
            raise DatasetError("the dataset has no fill_ns: it does not say when orders filled")
        fill_ns = self.aside["fill_ns"]
        return self.rows((fill_ns == 0) | (fill_ns > self.t0_ns + round(latency_ms * 1_000_000)))

    def save(self, path: str | Path) -> Path:
        """Write ``path`` and its sidecar, each atomically; return the path of the Parquet file.

        Parameters
        ----------
        path
            With or without ``.parquet``; the folder is made.
        """
        table_path, side_path = paths(path)
        table_path.parent.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, Any] = {
            f"{FEATURE_PREFIX}{name}": self.x[:, at] for at, name in enumerate(self.names)
        }
        arrays |= {name: getattr(self, name) for name in COLUMNS}
        arrays |= {f"{ASIDE_PREFIX}{name}": column for name, column in self.aside.items()}
        table = pa.table({name: pa.array(values) for name, values in arrays.items()})
        table = table.replace_schema_metadata({"schema_hash": self.schema_hash})
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd", use_dictionary=False)
        content = sink.getvalue().to_pybytes()
        side = {
            "format": FORMAT,
            "names": list(self.names),
            "schema_hash": self.schema_hash,
            "rows": len(self),
            "table_sha256": hashlib.sha256(content).hexdigest(),
            "meta": self.meta,
        }
        text = json.dumps(side, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
        _write(table_path, content)
        _write(side_path, f"{text}\n".encode())
        return table_path

    @classmethod
    def load(cls, path: str | Path, schema_hash: str | None = None) -> Self:
        """Read what `save` wrote.

        Parameters
        ----------
        path
            With or without ``.parquet``.
        schema_hash
            Features that are wanted; None takes any.

        Raises
        ------
        DatasetError
            When a file is missing or damaged, the two do not belong together, or the features are others.
        """
        table_path, side_path = paths(path)
        try:
            side = json.loads(side_path.read_bytes())
            content = table_path.read_bytes()
        except (OSError, ValueError) as error:
            raise DatasetError(f"{table_path} is no dataset: {error}; make it with `ml dataset`") from error
        if not isinstance(side, dict) or side.get("format") != FORMAT:
            raise DatasetError(f"{side_path} is not of format {FORMAT}: make the dataset again")
        if hashlib.sha256(content).hexdigest() != side["table_sha256"]:
            raise DatasetError(
                f"{table_path} does not belong to {side_path.name} or is damaged: make it again"
            )
        if schema_hash is not None and side["schema_hash"] != schema_hash:
            raise DatasetError(
                f"{table_path} has features {side['schema_hash'][:12]}, wanted {schema_hash[:12]}: "
                "they were changed since, make the dataset again"
            )
        table = pq.read_table(pa.BufferReader(content))
        names = tuple(side["names"])
        aside = [name for name in table.column_names if name.startswith(ASIDE_PREFIX)]
        wanted = [*(f"{FEATURE_PREFIX}{name}" for name in names), *COLUMNS, *aside]
        stored_hash = (table.schema.metadata or {}).get(b"schema_hash", b"").decode()
        if table.column_names != wanted or stored_hash != side["schema_hash"]:
            raise DatasetError(f"{table_path} has other columns than {side_path.name} says: make it again")
        x = np.empty((table.num_rows, len(names)))
        for at, name in enumerate(names):
            x[:, at] = table.column(f"{FEATURE_PREFIX}{name}").to_numpy()
        columns = {name: table.column(name).to_numpy().astype(dtype) for name, dtype in COLUMNS.items()}
        return cls(
            names=names,
            schema_hash=side["schema_hash"],
            x=x,
            meta=side["meta"],
            aside={name.removeprefix(ASIDE_PREFIX): table.column(name).to_numpy() for name in aside},
            **columns,
        )


def paths(path: str | Path) -> tuple[Path, Path]:
    """Return the two files of a dataset.

    Examples
    --------
    >>> [one.name for one in paths("var/datasets/xrp")]
    ['xrp.parquet', 'xrp.json']
    """
    given = Path(path)
    base = given.with_name(given.name.removesuffix(".parquet"))
    return base.with_name(f"{base.name}.parquet"), base.with_name(f"{base.name}.json")


def _write(path: Path, content: bytes) -> None:
    # The name appears with the whole content or not at all.
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with unfinished.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
