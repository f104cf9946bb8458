"""``entries.parquet`` of a run: what its entries wanted from bucket to bucket, and from what they were made.

Orders, fills and exits are in ``events.jsonl``. Together they are all that a dataset needs of a run, so none
has to be repeated. Only a run that kept every entry has the file: what a gate left over is a selection.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from ml.decisions import Stretch
from ml.passport import kernel_sha256
from runtime.entry_watch import Taker
from runtime.errors import DataError
from runtime.manifest import FileEntry
from runtime.node_config import fill_assumptions
from runtime.run_plan import RunPlan
from strategies.dynamic_cancel import KEEP

ENTRIES: Final = "entries.parquet"
FORMAT: Final = "smcbot-entries/1"
ORIGIN_KEY: Final = "origin"
ROWS_IN_MEMORY: Final = 8_192  # memory does not grow with the length of the run
PRICES: Final = ("entry", "stop", "target", "range_low", "range_high", "bias")
SCHEMA: Final = pa.schema(
    [
        ("instrument_id", pa.string()),
        ("client_order_id", pa.string()),
        ("bucket_seq", pa.int64()),
        *((name, pa.float64()) for name in PRICES),
    ]
)


class FileHash(msgspec.Struct, frozen=True, kw_only=True):
    """One Parquet file of the catalog that a run read: name within the catalog, and SHA-256."""

    name: str
    sha256: str


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """What a run was made from: another one that says the same made the same orders.

    Parameters
    ----------
    format
        Of the file.
    decision_sha256, config_sha256
        Of the events and of the effective settings.
    kernel_sha256
        Of the sources of buckets, structure and features.
    strategy_version
        Of the strategy.
    ticks, first_ns, last_ns
        Trades that were replayed, and times of the first and the last, UNIX nanoseconds.
    fills
        How fills were simulated, fees included.
    files
        Files with the trades, by instrument id.
    """

    format: str
    decision_sha256: str
    config_sha256: str
    kernel_sha256: str
    strategy_version: str
    ticks: int
    first_ns: int
    last_ns: int
    fills: dict[str, Any]
    files: dict[str, tuple[FileHash, ...]]


class EntryFile:
    """Writes `entries.parquet` while a run goes on; use it as a context manager.

    The name appears with the whole content: a run that fails leaves nothing behind.

    Parameters
    ----------
    folder
        Of the run.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / ENTRIES
        self._unfinished = folder / f".{ENTRIES}.partial"
        self._writer = pq.ParquetWriter(self._unfinished, SCHEMA, compression="zstd")
        self._rows: list[tuple[Any, ...]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._writer.close()
        self._unfinished.unlink(missing_ok=True)

    def taker(self, instrument_id: str) -> Taker:
        """Return where to send what the entries of an instrument want."""

        def take(client_order_id: str, one: Stretch) -> None:
            prices = (getattr(one, name) for name in PRICES)
            self._rows.append((instrument_id, client_order_id, one.bucket_seq, *prices))
            if len(self._rows) >= ROWS_IN_MEMORY:
                self._flush()

        return take

    def finish(self, origin: Origin) -> None:
        """Write what is left and where it comes from, and give the file its name."""
        self._flush()
        self._writer.add_key_value_metadata({ORIGIN_KEY: msgspec.json.encode(origin, order="sorted")})
        self._writer.close()
        self._unfinished.replace(self._path)

    def _flush(self) -> None:
        columns = list(zip(*self._rows, strict=True)) or [()] * len(SCHEMA)
        arrays = [pa.array(values, field.type) for values, field in zip(columns, SCHEMA, strict=True)]
        self._writer.write_table(pa.table(arrays, schema=SCHEMA))
        self._rows.clear()


def read_entries(folder: Path) -> tuple[Origin, dict[str, list[tuple[str, Stretch]]]]:
    """Read `entries.parquet`; return its origin, and client order ids with what they wanted by instrument.

    Raises
    ------
    FileNotFoundError
        When the run has none.
    DataError
        When it is damaged.
    """
    path = folder / ENTRIES
    try:
        with pq.ParquetFile(path) as file:
            table = file.read()
            metadata = file.metadata.metadata or {}
        origin = msgspec.json.decode(metadata.get(ORIGIN_KEY.encode(), b""), type=Origin)
    except (pa.ArrowInvalid, msgspec.DecodeError, OSError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise DataError(f"{path} is damaged: {error}; make the run again") from error
    if origin.format != FORMAT or table.schema.remove_metadata() != SCHEMA:
        raise DataError(f"{path} is not of format {FORMAT}: make the run again")
    wanted: dict[str, list[tuple[str, Stretch]]] = {name: [] for name in origin.files}
    for name, client_id, seq, *prices in zip(*(column.to_pylist() for column in table.columns), strict=True):
        wanted[name].append((client_id, Stretch(seq, -1, *prices)))
    return origin, wanted


def origin_of(plan: RunPlan, decision_sha256: str, config_sha256: str) -> Origin:
    """Return what a finished run was made from; the files of its catalog are read for it."""
    return Origin(
        format=FORMAT,
        decision_sha256=decision_sha256,
        config_sha256=config_sha256,
        kernel_sha256=kernel_sha256(),
        strategy_version=plan.spec.version,
        ticks=plan.ticks,
        first_ns=plan.first_ts_ns,
        last_ns=plan.last_ts_ns,
        fills=fill_assumptions(plan.request.settings.backtest, plan.instruments),
        files={
            one.id.value: tuple(
                FileHash(name=file.path, sha256=sha256_of(plan.catalog.path / file.path))
                for file in trade_files(plan, one.id.value)
            )
            for one in plan.instruments
        },
    )


def trade_files(plan: RunPlan, instrument_id: str) -> Sequence[FileEntry]:
    """Return the files with the trades of an instrument that reach into the range of a plan."""
    return [
        file
        for entry in plan.catalog.manifest.series.values()
        if entry.instrument == instrument_id and entry.kind != "klines"
        for file in entry.files
        if file.first_ns <= plan.last_ts_ns and file.last_ns >= plan.first_ts_ns
    ]


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def keeps_all(parameters: Mapping[str, Any]) -> bool:
    """Tell whether a strategy with these parameters keeps every entry, as labels need it."""
    return parameters.get("cancel_policy") == KEEP and not parameters.get("model")
