"""The folder of one run: what was decided, ordered and earned, written while it happens.

Rows go to disk as they arrive, so memory does not grow with the length of the run. `decision_sha256` is
the SHA-256 of `events.jsonl` itself, so ``sha256sum events.jsonl`` checks it.
"""

import csv
import hashlib
import io
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO, Final, Self

import msgspec
import yaml

from runtime.errors import OperatorError

EVENTS: Final = "events.jsonl"
TRADES: Final = "trades.csv"
SIGNALS: Final = "signals.csv"
EQUITY: Final = "equity.csv"
SUMMARY: Final = "summary.json"
TEARSHEET: Final = "tearsheet.html"
EFFECTIVE_CONFIG: Final = "config.effective.yaml"
# Decisions that describe a setup, and its entries with their prices and quantity; the others (fills,
# protection) are in events.jsonl only.
SIGNAL_KINDS: Final = frozenset(
    {"zone", "zone_skipped", "signal_taken", "signal_skipped", "entry_submitted", "entry_repriced"}
)
WRITE_BUFFER: Final = 1 << 20

# Keys sorted: the same record is the same bytes, whatever order a dictionary was filled in.
_ENCODER: Final = msgspec.json.Encoder(order="sorted", enc_hook=str)


class RunFolder:
    """Writes the files of one run; use it as a context manager.

    Parameters
    ----------
    path
        New folder of the run.
    trade_fields, signal_fields
        Columns of `trades.csv` and `signals.csv`: field names of the structs that will be written.
    """

    def __init__(self, path: Path, trade_fields: Sequence[str], signal_fields: Sequence[str]) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=False)
        self._events: BinaryIO = (path / EVENTS).open("wb", buffering=WRITE_BUFFER)
        self._sha256 = hashlib.sha256()
        self.config_text = ""
        self._trades = _Table(path / TRADES, trade_fields)
        self._signals = _Table(path / SIGNALS, signal_fields)
        self._equity = _Table(path / EQUITY, ("ts_ns", "equity"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    @property
    def decision_sha256(self) -> str:
        """SHA-256, in hex, of every record written so far."""
        return self._sha256.hexdigest()

    def record(self, name: str, content: Mapping[str, Any] | msgspec.Struct) -> None:
        """Append one record of kind `name` (decision, order, trade) to the event log and to the hash."""
        line = b'{"record":"%s",%s\n' % (name.encode(), _ENCODER.encode(content)[1:])
        self._sha256.update(line)
        self._events.write(line)

    def decision(self, decision: Any) -> None:
        """Record a decision; a setup or an entry also becomes a row of `signals.csv`."""
        self.record("decision", decision)
        if decision.kind in SIGNAL_KINDS:
            self._signals.write(msgspec.structs.asdict(decision))

    def trade(self, trade: msgspec.Struct) -> None:
        """Record a closed trade, also as a row of `trades.csv`."""
        self.record("trade", trade)
        self._trades.write(msgspec.structs.asdict(trade))

    def equity(self, ts_ns: int, equity: Decimal) -> None:
        """Append one mark of the account to `equity.csv`; it is a measurement, not a decision."""
        self._equity.write({"ts_ns": ts_ns, "equity": equity})

    def close(self) -> None:
        """Flush and close the files."""
        for file in (self._events, self._trades, self._signals, self._equity):
            file.close()

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Write `summary.json`."""
        self._write(SUMMARY, msgspec.json.format(msgspec.json.encode(summary, enc_hook=str), indent=2))

    def write_config(self, plain: Mapping[str, Any]) -> None:
        """Write `config.effective.yaml`: the settings this run had, defaults included."""
        self.config_text = yaml.safe_dump(dict(plain), sort_keys=False, allow_unicode=True)
        self._write(EFFECTIVE_CONFIG, self.config_text.encode())

    def write_tearsheet(self, html: str) -> None:
        """Write `tearsheet.html`."""
        self._write(TEARSHEET, html.encode())

    def _write(self, name: str, content: bytes) -> None:
        # A reader (`make terminal`) never sees half a file.
        partial = self.path / f".{name}.partial"
        partial.write_bytes(content)
        partial.replace(self.path / name)


class _Table:
    """A CSV file with fixed columns; nested values become JSON text."""

    def __init__(self, path: Path, fields: Sequence[str]) -> None:
        self._file: io.TextIOWrapper = path.open("w", encoding="utf-8", newline="")
        self._writer = csv.DictWriter(self._file, fields, lineterminator="\n")
        self._writer.writeheader()

    def write(self, row: Mapping[str, Any]) -> None:
        self._writer.writerow({key: _cell(value) for key, value in row.items()})

    def close(self) -> None:
        self._file.close()


def _cell(value: Any) -> Any:
    return _ENCODER.encode(value).decode() if isinstance(value, dict | list | tuple) else value


def new_run_id(strategy: str, now: datetime, process_id: int | None = None) -> str:
    """Return a run id that sorts by time: `20260318T130500123456Z-ote-4711`.

    Parameters
    ----------
    strategy
        Name of the strategy.
    now
        Wall-clock time, with its time zone.
    process_id
        Separates runs started in the same microsecond; None takes this process's.
    """
    moment = now.astimezone(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    return f"{moment}-{strategy}-{os.getpid() if process_id is None else process_id}"


def read_trades(path: Path, trade_type: type[Any]) -> list[Any]:
    """Read the closed trades of a run's `events.jsonl` back as structs.

    Raises
    ------
    OperatorError
        When a line is not a record, with its number.
    """
    return _read_records(path, trade_type, "trade", b"")


def read_decisions(path: Path, decision_type: type[Any], kind: str) -> list[Any]:
    """Read the decisions of one kind of a run's `events.jsonl` back as structs.

    Raises
    ------
    OperatorError
        When a line is not a record, with its number.
    """
    return _read_records(path, decision_type, "decision", f'"kind":"{kind}"'.encode())


def _read_records(path: Path, record_type: type[Any], name: str, part: bytes) -> list[Any]:
    decoder, start = msgspec.json.Decoder(record_type), f'{{"record":"{name}"'.encode()
    records = []
    with (path / EVENTS).open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.startswith(start) and part in line:
                try:
                    records.append(decoder.decode(line))
                except msgspec.DecodeError as error:
                    raise OperatorError(f"{path / EVENTS} line {number}: {error}") from error
    return records
