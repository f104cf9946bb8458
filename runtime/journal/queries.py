"""Rows of the journal for those who show them: newest first, filtered, a page at a time."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import ColumnElement, Engine, Table, and_, case, func, or_, select
from sqlalchemy.exc import SQLAlchemyError

from runtime.errors import DataError
from runtime.journal import models
from runtime.journal.database import masked, open_engine, require_schema, short, snapshot

MAX_ROWS: Final = 1_000
# Name of a question -> table, and the column that orders its rows.
TABLES: Final[Mapping[str, tuple[type[models.Base], str]]] = {
    "trades": (models.TradeRow, "exit_ts_ns"),
    "signals": (models.SignalRow, "ts_ns"),
    "orders": (models.OrderRow, "ts_ns"),
    "fills": (models.FillRow, "ts_ns"),
    "decisions": (models.DecisionRow, "ts_ns"),
    "cancels": (models.CancelRow, "ts_ns"),
    "commands": (models.CommandRow, "ts_ns"),
    "accesses": (models.AccessRow, "ts_ns"),
    "sessions": (models.Session, "ts_ns"),
}
_HIDDEN: Final = "hash"
_DAY_NS: Final = 86_400_000_000_000

type Row = dict[str, Any]


class JournalQueries:
    """Reads a journal; opens it at the first question, so that it may be made later.

    Parameters
    ----------
    url
        Of the database.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._engine: Engine | None = None

    def rows(
        self,
        name: str,
        equal: Mapping[str, Any],
        from_ns: int = 0,
        to_ns: int | None = None,
        before: tuple[int, str, int] | None = None,
        limit: int = MAX_ROWS,
    ) -> list[Row]:
        """Return rows, newest first.

        Parameters
        ----------
        name
            Of `TABLES`.
        equal
            Column -> value that it has.
        from_ns, to_ns
            UNIX nanoseconds; from included, to not.
        before
            Time, session and number of a row: only those that come after it in this order.
        limit
            Most rows.

        Raises
        ------
        ConfigurationError, DataError
            When there is no journal yet, or it cannot be read.
        """
        model, moment = TABLES[name]
        table = _table(model)
        ts = table.c[moment]
        wanted = _wanted(table, ts, equal, from_ns, to_ns)
        if before is not None:
            wanted.append(_after(table, ts, before))
        query = (
            select(table).where(*wanted).order_by(ts.desc(), table.c.session_id.desc(), table.c.seq.desc())
        )
        return [_plain(row, moment) for row in self._ask(query.limit(min(limit, MAX_ROWS)))]

    def signal_stats(self, equal: Mapping[str, Any], from_ns: int = 0, to_ns: int | None = None) -> Row:
        """Return how many signals there were, how many were taken, and why the others were not."""
        table = _table(models.SignalRow)
        wanted = _wanted(table, table.c.ts_ns, equal, from_ns, to_ns)
        taken = func.sum(case((table.c.is_taken, 1), else_=0))
        count, confidence = func.count(), func.avg(table.c.confidence)
        total = self._ask(select(count.label("signals"), taken.label("taken"), confidence.label("confidence"))
                          .select_from(table).where(*wanted))[0]  # fmt: skip
        reasons = self._ask(
            select(table.c.skip_reason, count.label("signals"))
            .where(*wanted, table.c.is_taken.is_(False))
            .group_by(table.c.skip_reason)
            .order_by(count.desc())
            .limit(50)
        )
        sides = self._ask(
            select(table.c.instrument_id, table.c.side, count.label("signals"), taken.label("taken"))
            .where(*wanted)
            .group_by(table.c.instrument_id, table.c.side)
            .order_by(table.c.instrument_id, table.c.side)
        )
        found = total["signals"]
        return {
            "signals": found,
            "taken": int(total["taken"] or 0),
            "skipped": found - int(total["taken"] or 0),
            "average_confidence": total["confidence"],
            "skip_reasons": [
                {"reason": one["skip_reason"] or "", "signals": one["signals"]} for one in reasons
            ],
            "by_instrument": [{**one, "taken": int(one["taken"] or 0)} for one in map(dict, sides)],
        }

    def signal_summary(self, equal: Mapping[str, Any], now_ns: int) -> list[Row]:
        """Return each instrument's signals of before a time: in all, of the last day, and the newest."""
        table = _table(models.SignalRow)
        wanted = _wanted(table, table.c.ts_ns, equal, 0, now_ns)
        recent = func.sum(case((table.c.ts_ns >= now_ns - _DAY_NS, 1), else_=0))
        groups = self._ask(
            select(
                table.c.instrument_id,
                func.count().label("signals"),
                func.sum(case((table.c.is_taken, 1), else_=0)).label("taken"),
                recent.label("last_24h"),
                func.max(table.c.ts_ns).label("last_ts_ns"),
            )
            .where(*wanted)
            .group_by(table.c.instrument_id)
            .order_by(table.c.instrument_id)
            .limit(MAX_ROWS)
        )
        return [
            {**one, "taken": int(one["taken"]), "last_24h": int(one["last_24h"])} for one in map(dict, groups)
        ]

    def trade_stats(self, equal: Mapping[str, Any], from_ns: int = 0, to_ns: int | None = None) -> Row:
        """Return how many trades there were, how many won, and what they earned in multiples of risk."""
        table = _table(models.TradeRow)
        wanted = _wanted(table, table.c.exit_ts_ns, equal, from_ns, to_ns)
        found = self._ask(
            select(
                func.count().label("trades"),
                func.sum(case((table.c.r_multiple > 0, 1), else_=0)).label("wins"),
                func.avg(table.c.r_multiple).label("average_r"),
                func.sum(table.c.r_multiple).label("total_r"),
            )
            .select_from(table)
            .where(*wanted)
        )[0]
        return {**found, "wins": int(found["wins"] or 0)}

    def close(self) -> None:
        """Let the database go."""
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None

    def _ask(self, query: Any) -> list[Any]:
        if self._engine is None:
            engine = open_engine(self._url, read_only=True)
            require_schema(engine)
            self._engine = engine
        try:
            with snapshot(self._engine) as connection:
                return list(connection.execute(query).mappings().all())
        except SQLAlchemyError as error:
            raise DataError(
                f"journal {masked(self._engine.url)} cannot be read: {short(error, self._engine.url)}"
            ) from error

    def explain(self, setup_id: str, session_id: str | None = None) -> Any:
        """Return how a trade came about; see :func:`runtime.journal.explain.explain`."""
        from runtime.journal.explain import explain

        engine = open_engine(self._url, read_only=True)
        try:
            return explain(engine, setup_id, session_id)
        finally:
            engine.dispose()


def _table(model: type[models.Base]) -> Table:
    table: Any = model.__table__
    return table  # type: ignore[no-any-return]


def _wanted(
    table: Table, ts: Any, equal: Mapping[str, Any], from_ns: int, to_ns: int | None
) -> list[ColumnElement[bool]]:
    """Return what rows must fulfil: their values, and their time, from included, to not."""
    wanted: list[ColumnElement[bool]] = [table.c[column] == value for column, value in equal.items()]
    wanted.append(ts >= from_ns)
    if to_ns is not None:
        wanted.append(ts < to_ns)
    return wanted


def _after(table: Table, ts: Any, before: tuple[int, str, int]) -> ColumnElement[bool]:
    ts_ns, session_id, seq = before
    is_same = ts == ts_ns
    return or_(
        ts < ts_ns,
        and_(is_same, table.c.session_id < session_id),
        and_(is_same, table.c.session_id == session_id, table.c.seq < seq),
    )


def _plain(row: Mapping[str, Any], moment: str) -> Row:
    plain = {name: str(value) if isinstance(value, Decimal) else value for name, value in row.items()}
    del plain[_HIDDEN]
    plain["cursor"] = f"{row[moment]}.{row['seq']}.{row['session_id']}"
    return plain
