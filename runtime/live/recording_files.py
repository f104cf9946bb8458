"""Files of a recorded session: what begins it, and its rows as Parquet, one file after the other."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import IntEnum
from itertools import islice
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
from nautilus_trader.model.data import TradeTick
from nautilus_trader.model.enums import AggressorSide
from nautilus_trader.model.identifiers import InstrumentId, TradeId
from nautilus_trader.model.objects import Price, Quantity

from runtime.errors import ConfigurationError, DataError

SESSION_FILE: Final = "session.json"
CHECKPOINT_FILE: Final = "checkpoint.json"
ROWS: Final = "rows"
RAW_BYTES: Final = 16
# Rows that become columns in one go: a conversion keeps the interpreter from the node's loop until it ends.
PART: Final = 500


class RowKind(IntEnum):
    """What a row is; the first ones move strategies, the last ones are what strategies did."""

    TRADE = 1
    BAR = 2
    ORDER_EVENT = 3
    ACCOUNT = 4
    MESSAGE = 5
    TIMER = 6
    INSTRUMENT = 7
    CALL = 8
    HAND = 9
    STOP = 10
    START = 11
    MARK_PRICE = 12
    DECISION = 20
    ORDER_SENT = 21
    STATE = 22
    ANSWER = 23


# Compared, not fed: what strategies did, what they know at some moments, and what they were told when they
# asked (`runtime.live.recorded_answers`).
OUTPUTS: Final = frozenset({RowKind.DECISION, RowKind.ORDER_SENT, RowKind.STATE, RowKind.ANSWER})

type Row = tuple[int, int, RowKind, str, bytes, TradeTick | None]
"""Number, the node's time (UNIX nanoseconds), kind, key (an id or a type), content, and the print."""

SCHEMA: Final = pa.schema(
    [
        pa.field("seq", pa.int64(), nullable=False),
        pa.field("now_ns", pa.int64(), nullable=False),
        pa.field("kind", pa.uint8(), nullable=False),
        pa.field("key", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("payload", pa.binary()),
        # A print, in the words of Nautilus' own schema; null in other rows.
        pa.field("price", pa.binary(RAW_BYTES)),
        pa.field("size", pa.binary(RAW_BYTES)),
        pa.field("precisions", pa.uint16()),
        pa.field("aggressor_side", pa.uint8()),
        pa.field("trade_id", pa.string()),
        pa.field("ts_event", pa.uint64()),
        pa.field("ts_init", pa.uint64()),
    ]
)


def write_json(file: Path, content: Mapping[str, Any]) -> str:
    """Write a file at once: it is there completely, or not at all. Return its SHA-256."""
    data = json.dumps(content, indent=1).encode()
    part = file.with_suffix(".part")
    part.write_bytes(data)
    part.replace(file)
    return hashlib.sha256(data).hexdigest()


def write_rows(folder: Path, number: int, rows: Iterable[Row]) -> Path:
    """Write one file of rows at once; they are taken `PART` by `PART`, so that they may be let go of."""
    target = folder / ROWS / f"{number:06d}.parquet"
    target.parent.mkdir(exist_ok=True)
    part = target.with_suffix(".part")
    pq.write_table(_table(rows), part, compression="zstd")
    part.replace(target)
    return target


def read_json(folder: Path, name: str, sha256: str = "") -> dict[str, Any]:
    """Return one of the two files that begin a session.

    Parameters
    ----------
    folder
        Of the session.
    name
        Of the file.
    sha256
        What it must be; empty for anything.

    Raises
    ------
    ConfigurationError
        There is none: the folder is no recording.
    DataError
        It is damaged.
    """
    try:
        data = (folder / name).read_bytes()
        content = json.loads(data)
    except FileNotFoundError:
        raise ConfigurationError(
            f"{folder}: not a recorded session (no {name}); give a folder such as "
            "var/live/paper/recordings/SESSION"
        ) from None
    except (OSError, ValueError) as error:
        raise DataError(f"{folder / name}: damaged: {error}") from error
    if not isinstance(content, dict):
        raise DataError(f"{folder / name}: damaged: not an object")
    if sha256 and hashlib.sha256(data).hexdigest() != sha256:
        raise DataError(
            f"{folder / name}: changed since it was recorded, its digest is another than "
            f"{SESSION_FILE} says: take it from a backup"
        )
    return content


def read_answers(folder: Path) -> dict[str, bytes]:
    """Return what a session's desks were told, by question.

    Raises
    ------
    DataError
        A file is damaged.
    """
    found: dict[str, bytes] = {}
    for file in sorted((folder / ROWS).glob("*.parquet")):
        try:
            table = pq.read_table(
                file, columns=["key", "payload"], filters=[("kind", "==", int(RowKind.ANSWER))]
            )
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"{file}: damaged: {error}") from error
        found.update((one["key"], one["payload"]) for one in table.to_pylist())
    return found


def read_rows(folder: Path) -> Iterator[Row]:
    """Yield the rows of a session in their order.

    Raises
    ------
    DataError
        A file is damaged or missing.
    """
    expected = 1
    for file in sorted((folder / ROWS).glob("*.parquet")):
        try:
            table = pq.read_table(file, schema=SCHEMA)
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"{file}: damaged: {error}") from error
        for row in _rows(table):
            if row[0] != expected:
                raise DataError(f"{file}: row {row[0]} where {expected} is due: a file before it is missing")
            expected += 1
            yield row


def _table(rows: Iterable[Row]) -> pa.Table:
    remaining = iter(rows)
    keys: dict[str, int] = {}
    batches: list[dict[str, pa.Array]] = []
    while part := list(islice(remaining, PART)):
        batches.append(_columns(part, keys))
    names = pa.array(list(keys), pa.string())
    for one in batches:
        one["key"] = pa.DictionaryArray.from_arrays(one["key"], names)
    return pa.Table.from_batches([pa.RecordBatch.from_pydict(one, schema=SCHEMA) for one in batches], SCHEMA)


def _columns(rows: Sequence[Row], keys: dict[str, int]) -> dict[str, pa.Array]:
    """Return the columns of some rows, keys as numbers; `keys` learns those that are new."""
    seqs, nows, kinds, names, payloads, ticks = zip(*rows, strict=True)
    columns: dict[str, Any] = {
        "seq": seqs,
        "now_ns": nows,
        "kind": [int(kind) for kind in kinds],
        "key": [keys.setdefault(name, len(keys)) for name in names],
        "payload": [one or None for one in payloads],
        "price": [None if one is None else _raw(one.price.raw) for one in ticks],
        "size": [None if one is None else _raw(one.size.raw) for one in ticks],
        "precisions": [
            None if one is None else one.price.precision * 256 + one.size.precision for one in ticks
        ],
        "aggressor_side": [None if one is None else int(one.aggressor_side) for one in ticks],
        "trade_id": [None if one is None else one.trade_id.value for one in ticks],
        "ts_event": [None if one is None else one.ts_event for one in ticks],
        "ts_init": [None if one is None else one.ts_init for one in ticks],
    }
    types = {one.name: pa.int32() if one.name == "key" else one.type for one in SCHEMA}
    return {name: pa.array(values, types[name]) for name, values in columns.items()}


def _raw(value: int) -> bytes:
    return value.to_bytes(RAW_BYTES, "little", signed=True)


def _rows(table: pa.Table) -> Iterator[Row]:
    for batch in table.to_batches(max_chunksize=50_000):
        for one in batch.to_pylist():
            kind = RowKind(one["kind"])
            tick = None if one["price"] is None else _tick(one)
            yield one["seq"], one["now_ns"], kind, one["key"], one["payload"] or b"", tick


def _tick(one: Mapping[str, Any]) -> TradeTick:
    price_decimals, size_decimals = divmod(one["precisions"], 256)
    return TradeTick(
        InstrumentId.from_str(one["payload"].decode() if one["payload"] else one["key"]),
        Price.from_raw(int.from_bytes(one["price"], "little", signed=True), price_decimals),
        Quantity.from_raw(int.from_bytes(one["size"], "little", signed=True), size_decimals),
        AggressorSide(one["aggressor_side"]),
        TradeId(one["trade_id"]),
        one["ts_event"],
        one["ts_init"],
    )
