"""A session read back from the journal, in the shape of a finished run: for comparisons with backtests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Engine, Table, select
from sqlalchemy.exc import SQLAlchemyError

from runtime.cli import format_ns
from runtime.errors import ConfigurationError, DataError
from runtime.journal import models
from runtime.journal.database import masked, require_schema, short
from strategies.trade_manager.record import ClosedTrade

CONFIG: Final = "config"
# What a session's first record may say in `detail`, in the words of a run's summary.
FACTS: Final = ("ticks", "data", "synthetic", "currency", "fills")
_NAN: Final = float("nan")
# NaN is absent in SQL; these are numbers in a trade, the others may be None there too.
_NUMBERS: Final = frozenset(
    field.name for field in msgspec.structs.fields(ClosedTrade) if field.type is float
)
_TEXTS: Final = frozenset(field.name for field in msgspec.structs.fields(ClosedTrade) if field.type is str)


@dataclass(frozen=True, slots=True)
class SessionRecords:
    """A session's contents, in the shape of `ui.reports.compare.RunRecords`.

    Parameters
    ----------
    name
        Id of the session.
    summary
        What it was, in the words of `summary.json`, amounts exact; figures are not among it.
    config
        Effective settings as of the start; empty where the session did not tell them.
    trades
        Closed trades in order of exit.
    marks
        Equity: (UNIX nanoseconds, quote currency), ascending; the last one is the session's end, if it ended.
    starting_balance
        Quote currency; of the first mark where the session did not tell it, zero without any.
    """

    name: str
    summary: Mapping[str, Any]
    config: Mapping[str, Any]
    trades: Sequence[ClosedTrade]
    marks: Sequence[tuple[int, float]]
    starting_balance: Decimal


def read_session(engine: Engine, session_id: str) -> SessionRecords:
    """Read a session back: of a backtest, of paper or of live, one that still runs as well.

    Parameters
    ----------
    engine
        From :func:`runtime.journal.database.open_engine`.
    session_id
        As in the table `sessions`; of a backtest the run id.

    Raises
    ------
    ConfigurationError
        When the journal has no such session.
    DataError
        When the journal cannot be read.
    """
    require_schema(engine)
    where = masked(engine.url)
    try:
        with engine.connect() as connection:
            found = _rows(connection, models.Session, session_id)
            if not found:
                raise ConfigurationError(
                    f"journal {where}: no session {session_id}; the table sessions lists them"
                )
            endings = _rows(connection, models.SessionEnding, session_id)
            trades = [_trade(row) for row in _rows(connection, models.TradeRow, session_id)]
            points = _rows(connection, models.EquityRow, session_id)
    except SQLAlchemyError as error:
        raise DataError(f"journal {where} cannot be read: {short(error)}") from error
    marks = [(int(row["ts_ns"]), Decimal(row["equity"])) for row in points]
    return _records(found[0], endings[0] if endings else None, trades, marks)


def _records(
    start: Mapping[str, Any],
    end: Mapping[str, Any] | None,
    trades: Sequence[ClosedTrade],
    marks: list[tuple[int, Decimal]],
) -> SessionRecords:
    detail, told = dict(start["detail"] or {}), dict((end or {}).get("detail") or {})
    # Simulated time has its span in the detail; a node's is the clock's.
    start_ns = int(detail.get("trade_from_ns") or detail.get("first_ts_ns") or start["ts_ns"])
    known = [ts_ns for ts_ns, _equity in marks] + [one.exit_ts_ns for one in trades]
    end_ns = int(detail.get("last_ts_ns") or (max(known, default=start_ns) if end is None else end["ts_ns"]))
    balance = detail.get("starting_balance")
    if balance is None:
        balance = marks[0][1] if marks else 0
    if end is not None and end["final_balance"] is not None:
        marks.append((end_ns, end["final_balance"]))
    summary = {
        "run_id": start["session_id"],
        "mode": start["mode"],
        "strategy": start["strategy"],
        "strategy_version": start["strategy_version"],
        "instruments": list(start["instruments"] or ()),
        "start": format_ns(start_ns),
        "end": format_ns(end_ns),
        "is_ended": end is not None,
        "starting_balance": Decimal(balance),
        "final_balance": marks[-1][1] if marks else None,
        "config_sha256": start["config_sha256"],
        "decision_sha256": told.get("decision_sha256"),
        **{name: detail[name] for name in FACTS if name in detail},
    }
    plain = [(ts_ns, float(equity)) for ts_ns, equity in marks]
    config = dict(detail.get(CONFIG) or {})
    return SessionRecords(start["session_id"], summary, config, trades, plain, Decimal(balance))


def _rows(connection: Connection, model: type[models.Base], session_id: str) -> list[Mapping[str, Any]]:
    table: Table = model.__table__  # type: ignore[assignment]
    query = select(table).where(table.c.session_id == session_id).order_by(table.c.seq)
    return [dict(row) for row in connection.execute(query).mappings()]


def _trade(row: Mapping[str, Any]) -> ClosedTrade:
    return ClosedTrade(**{name: _field(name, row[name]) for name in ClosedTrade.__struct_fields__})


def _field(name: str, value: Any) -> Any:
    if isinstance(value, Decimal):
        return format(value, "f")
    if value is None:
        return _NAN if name in _NUMBERS else "" if name in _TEXTS else None
    return value
