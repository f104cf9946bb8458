"""How a trade came about: everything in the journal that led to it, in order."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Connection, Engine, Table, and_, func, or_, select
from sqlalchemy.exc import SQLAlchemyError

from runtime.cli import format_ns
from runtime.errors import DataError
from runtime.journal import models
from runtime.journal.database import masked, require_schema, short, snapshot

# What the chain has besides its keys, told by the order of events.
_HIDDEN: Final = frozenset(
    {"session_id", "mode", "hash", "seq", "ts_ns", "strategy_id", "instrument_id", "setup_id"}
)
_TELEMETRY: Final = frozenset({"features"})
_ZONE_KINDS: Final = ("zone", "zone_skipped", "zone_ended", "expired", "signal_taken", "signal_skipped")


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened: when, its row in the journal, and what it says.

    Parameters
    ----------
    ts_ns, time
        UNIX nanoseconds, and the same as ISO 8601.
    table, seq
        The row.
    what
        In a word: a decision's kind, an order's event, a command's action.
    facts
        The row's other columns that say something.
    """

    ts_ns: int
    time: str
    table: str
    seq: int
    what: str
    facts: dict[str, Any]


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """The causal chain of one trade.

    Parameters
    ----------
    trade
        The row of `trades`.
    session
        The row of `sessions`: which code, settings and model.
    span
        What was looked at: time and bucket of the first cause and of the exit.
    probability, threshold
        What the model said last before the first entry fill, None where it was not asked.
    steps
        Zone or signal, features, decisions, orders, fills, cancels and commands, as they were journaled: what
        a closed bar led to bears the bar's time, and comes after what was known before.
    """

    trade: dict[str, Any]
    session: dict[str, Any]
    span: dict[str, Any]
    probability: float | None
    threshold: float | None
    steps: list[Step]


def explain(engine: Engine, setup_id: str, session_id: str | None = None) -> Story:
    """Return what led to a trade and what became of it.

    Parameters
    ----------
    engine
        From :func:`runtime.journal.database.open_engine`.
    setup_id
        Of the trade.
    session_id
        Where several sessions traded that setup; None takes the only one.

    Raises
    ------
    DataError
        When there is no such trade, or several sessions have it, or the journal cannot be read.
    """
    require_schema(engine)
    try:
        with snapshot(engine) as connection:
            trade = _trade(connection, setup_id, session_id, masked(engine.url))
            return _story(connection, trade)
    except SQLAlchemyError as error:
        raise DataError(f"journal {masked(engine.url)} cannot be read: {short(error, engine.url)}") from error


def as_text(story: Story) -> str:
    """Return a story for a person: the trade in a line, then a line per step."""
    trade, span = story.trade, story.span
    head = [
        (
            f"{trade['instrument_id']} {trade['side']} {trade['qty']} from {trade['entry_price']} to "
            f"{trade['exit_price']}: pnl {trade['pnl']}, {_r(trade.get('r_multiple'))} R, "
            f"{trade['exit_reason']}"
        ),
        (
            f"session {trade['session_id']} ({trade['mode']}), code {story.session.get('code_version', '?')}"
            f", model {story.session.get('model_sha256') or 'none'}"
        ),
        (
            f"trades of the market from {span['start']} to {span['end']}, "
            f"buckets {span['first_bucket_seq']} to {span['last_bucket_seq']}"
        ),
    ]
    if story.probability is not None:
        head.append(f"model: probability {story.probability:.4f}, threshold {story.threshold}")
    return "\n".join([*head, *(_line(step) for step in story.steps)])


def _line(step: Step) -> str:
    facts = ", ".join(f"{name} {value}" for name, value in step.facts.items() if not isinstance(value, dict))
    more = "".join(
        f"\n    {name}: " + ", ".join(f"{key} {_short(inner)}" for key, inner in value.items())
        for name, value in step.facts.items()
        if isinstance(value, dict)
    )
    return f"{step.time} {step.table} {step.what} {facts}{more}".rstrip()


def _r(multiple: float | None) -> str:
    return "-" if multiple is None else f"{multiple:+.2f}"


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _trade(connection: Connection, setup_id: str, session_id: str | None, where: str) -> dict[str, Any]:
    table = _table(models.TradeRow)
    query = select(table).where(table.c.setup_id == setup_id).order_by(table.c.session_id)
    if session_id is not None:
        query = query.where(table.c.session_id == session_id)
    found = connection.execute(query).mappings().all()
    if not found:
        raise DataError(
            f"journal {where}: no trade of setup {setup_id}; trades.csv and the table trades list them"
        )
    if len({(row["session_id"], row["instrument_id"]) for row in found}) > 1:
        names = ", ".join(sorted({row["session_id"] for row in found}))
        raise DataError(f"journal {where}: setup {setup_id} was traded in {names}: name one by --session")
    return dict(found[-1])


def _story(connection: Connection, trade: Mapping[str, Any]) -> Story:
    steps = _in_order(list(_steps(connection, trade)))
    buckets = [step.facts["bucket_seq"] for step in steps if step.facts.get("bucket_seq", -1) >= 0]
    start_ns = min([step.ts_ns for step in steps if step.table != "commands"], default=trade["entry_ts_ns"])
    sessions = _table(models.Session)
    session = (
        connection.execute(select(sessions).where(sessions.c.session_id == trade["session_id"]))
        .mappings()
        .one_or_none()
    )
    asked = [
        step for step in steps
        if step.table == "decisions" and step.what == "cancel_asked" and step.ts_ns <= trade["entry_ts_ns"]
    ]  # fmt: skip
    return Story(
        trade=_plain(trade, frozenset({"hash"})),
        session={} if session is None else _plain(dict(session), frozenset({"hash", "detail"})),
        span={
            "start_ns": start_ns,
            "end_ns": trade["exit_ts_ns"],
            "start": format_ns(start_ns),
            "end": format_ns(trade["exit_ts_ns"]),
            "first_bucket_seq": min([*buckets, trade["entry_bucket_seq"]]),
            "last_bucket_seq": trade["exit_bucket_seq"],
        },
        probability=asked[-1].facts.get("probability") if asked else None,
        threshold=asked[-1].facts.get("threshold") if asked else None,
        steps=steps,
    )


def _in_order(steps: list[Step]) -> list[Step]:
    """Sort by number; features have numbers of their own, they follow what they were computed for."""
    journal = sorted((step for step in steps if step.table not in _TELEMETRY), key=lambda step: step.seq)

    def place(step: Step) -> tuple[int, bool, int]:
        if step.table not in _TELEMETRY:
            return step.seq, False, 0
        before = [one for one in journal if one.table == "decisions" and one.ts_ns <= step.ts_ns]
        asked = [one for one in before if one.what == "cancel_asked" and one.ts_ns == step.ts_ns]
        return max((one.seq for one in asked or before), default=-1), True, step.seq

    return sorted(steps, key=place)


def _first_ns(connection: Connection, trade: Mapping[str, Any]) -> int:
    """Return when the setup's first decision or order was, UNIX nanoseconds."""
    found: list[int | None] = [trade["entry_ts_ns"]]
    for table in (_table(models.DecisionRow), _table(models.OrderRow)):
        query = select(func.min(table.c.ts_ns)).where(
            table.c.session_id == trade["session_id"],
            table.c.setup_id == trade["setup_id"],
            table.c.instrument_id == trade["instrument_id"],
        )
        found.append(connection.scalar(query))
    return min(int(ts_ns) for ts_ns in found if ts_ns is not None)


def _steps(connection: Connection, trade: Mapping[str, Any]) -> Iterator[Step]:
    decisions, signals = _table(models.DecisionRow), _table(models.SignalRow)
    setup_id, zone_id = trade["setup_id"], trade["zone_id"]
    of_zone = and_(decisions.c.zone_id == zone_id, decisions.c.kind.in_(_ZONE_KINDS))
    of_strategy = decisions.c.strategy_id == trade["strategy_id"]
    of_signal = or_(
        signals.c.setup_id == setup_id, and_(signals.c.signal_id == zone_id, signals.c.setup_id == "")
    )
    commands = _table(models.CommandRow)
    wanted: list[tuple[type[models.Base], str, ColumnElement[bool]]] = [
        (models.SignalRow, "is_taken", and_(of_signal, signals.c.strategy_id == trade["strategy_id"])),
        (models.DecisionRow, "kind", and_(or_(decisions.c.setup_id == setup_id, of_zone), of_strategy)),
    ]
    wanted += [
        (model, what, _table(model).c.setup_id == setup_id)
        for model, what in (
            (models.FeatureRow, "verdict"),
            (models.OrderRow, "event"),
            (models.FillRow, "liquidity"),
            (models.CancelRow, "step"),
        )
    ]
    for model, what, condition in wanted:
        table = _table(model)
        yield from _rows(
            connection, trade, table, what, and_(condition, table.c.instrument_id == trade["instrument_id"])
        )
    between = commands.c.ts_ns.between(_first_ns(connection, trade), trade["exit_ts_ns"])
    yield from _rows(connection, trade, commands, "action", between)


def _rows(
    connection: Connection, trade: Mapping[str, Any], table: Table, what: str, condition: ColumnElement[bool]
) -> Iterator[Step]:
    query = select(table).where(
        table.c.session_id == trade["session_id"], condition, table.c.ts_ns <= trade["exit_ts_ns"]
    )
    for row in connection.execute(query.order_by(table.c.seq)).mappings():
        word = row[what]
        if isinstance(word, bool):
            word = "taken" if word else "skipped"
        yield Step(
            ts_ns=row["ts_ns"],
            time=format_ns(row["ts_ns"]),
            table=str(table.name),
            seq=row["seq"],
            what=str(word),
            facts=_plain(dict(row), _HIDDEN | {what}),
        )


def _plain(row: Mapping[str, Any], hidden: frozenset[str]) -> dict[str, Any]:
    return {
        str(name): format(value, "f") if isinstance(value, Decimal) else value
        for name, value in row.items()
        if name not in hidden and value is not None and value not in ("", {})
    }


def _table(model: type[models.Base]) -> Table:
    table: Any = model.__table__
    return table  # type: ignore[no-any-return]
