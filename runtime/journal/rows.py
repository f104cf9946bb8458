"""From a record to the row of its table, and back to the values that the hash chain covers.

Rows go past SQLAlchemy's type conversion as plain tuples: amounts and JSON are text, which both databases
convert themselves. It takes a third of the time.
"""

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any, Final

from sqlalchemy import JSON, Boolean, Float, String, Table
from sqlalchemy.types import TypeEngine

from runtime.journal import models
from runtime.journal.columns import Exact, exact, real, text, to_json
from runtime.journal.records import (
    AccessRecord,
    CancelRecord,
    CommandRecord,
    EquityRecord,
    FeatureRecord,
    FillRecord,
    OrderRecord,
    RejectedRecord,
    SessionEnd,
    SessionStart,
    SignalRecord,
)
from strategies.trade_manager.record import ClosedTrade, Decision

MODELS: Final[Mapping[type[Any], type[models.Base]]] = {
    SessionStart: models.Session,
    SessionEnd: models.SessionEnding,
    SignalRecord: models.SignalRow,
    Decision: models.DecisionRow,
    OrderRecord: models.OrderRow,
    FillRecord: models.FillRow,
    ClosedTrade: models.TradeRow,
    CancelRecord: models.CancelRow,
    FeatureRecord: models.FeatureRow,
    EquityRecord: models.EquityRow,
    CommandRecord: models.CommandRow,
    AccessRecord: models.AccessRow,
    RejectedRecord: models.RejectedRow,
}
KEYS: Final = ("session_id", "seq", "mode")
HASH: Final = "hash"
# A trade has no moment of its own: it is known at its last exit.
_MOMENT: Final[Mapping[type[Any], str]] = {ClosedTrade: "exit_ts_ns"}
POSTGRESQL: Final = "postgresql"
# In the text of a trade that another session has: it is kept as a refused record, and is no fault.
REPEATED: Final = "the trade is recorded already"


class Shape:
    """The columns of a table in the order in which its rows are hashed: keys, then the others by name.

    Parameters
    ----------
    table
        Of the journal.
    struct
        Whose records become its rows.
    """

    def __init__(self, table: Table, struct: type[Any]) -> None:
        self.table, self.name = table, str(table.name)
        self.is_chained = HASH in table.columns
        facts = sorted(str(column.name) for column in table.columns if column.name not in (*KEYS, HASH))
        self.names = (*KEYS, *facts)
        kinds = [table.columns[name].type for name in self.names]
        self._conversions = [
            (index, convert)
            for index, kind in enumerate(kinds[len(KEYS) :])
            if (convert := _converter(kind)) is not None
        ]
        self._booleans = [index for index, kind in enumerate(kinds) if isinstance(kind, Boolean)]
        self._as_text = [
            name for name, kind in zip(self.names, kinds, strict=True) if isinstance(kind, JSON | Exact)
        ]
        moment = _MOMENT.get(struct, "ts_ns")
        self._get = attrgetter(*(moment if name == "ts_ns" else name for name in facts))

    def values(self, record: Any) -> list[Any]:
        """Return a record's columns after the keys.

        Raises
        ------
        ValueError, decimal.InvalidOperation
            When a column cannot hold what the record says.
        """
        values = list(self._get(record))
        for index, convert in self._conversions:
            values[index] = convert(values[index])
        return values

    def insert(self, dialect: str) -> str:
        """Return the statement that adds rows of `names` and, in the chain, the hash; twice is once."""
        names = [*self.names, *((HASH,) if self.is_chained else ())]
        mark = "%s" if dialect == POSTGRESQL else "?"
        return (
            f"INSERT INTO {self.name} ({', '.join(names)}) "  # noqa: S608 - names of our own tables
            f"VALUES ({', '.join([mark] * len(names))}) ON CONFLICT (session_id, seq) DO NOTHING"
        )

    def select(self, dialect: str) -> str:
        """Return the statement that reads rows of one session after a number: `names`, then the hash."""
        mark, columns = ("%s", self._cast()) if dialect == POSTGRESQL else ("?", ", ".join(self.names))
        return (
            f"SELECT {columns}, {HASH} FROM {self.name} "  # noqa: S608 - names of our own tables
            f"WHERE session_id = {mark} AND seq > {mark} ORDER BY seq LIMIT {mark}"
        )

    def read(self, row: Any) -> list[Any]:
        """Return a row of :meth:`select` as it was hashed, the hash last."""
        values = list(row)
        for index in self._booleans:
            if values[index] in (0, 1):  # SQLite's; any other number was not written by us
                values[index] = bool(values[index])
        return values

    def _cast(self) -> str:
        return ", ".join(f"CAST({name} AS TEXT)" if name in self._as_text else name for name in self.names)


def _converter(kind: TypeEngine[Any]) -> Callable[[Any], Any] | None:
    if isinstance(kind, Exact):
        return exact
    if isinstance(kind, Float):
        return real
    if isinstance(kind, JSON):
        return to_json
    return text if isinstance(kind, String) else None


def _table(model: type[models.Base]) -> Table:
    table: Any = model.__table__
    return table  # type: ignore[no-any-return]


SHAPES: Final = {struct: Shape(_table(model), struct) for struct, model in MODELS.items()}
REJECTED: Final = SHAPES[RejectedRecord]
CHAINED: Final = [shape for shape in SHAPES.values() if shape.is_chained]
