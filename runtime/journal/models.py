"""The tables of the journal.

Rows are only ever added. Every row names its session and mode (backtest, paper, live) and has the number
that its record has in the spool, which makes adding it twice impossible. Rows of the hash chain carry the
hash over the chain up to and including themselves. Times are UNIX nanoseconds.
"""

from decimal import Decimal
from typing import Any, ClassVar, Final

from sqlalchemy import JSON, BigInteger, Boolean, Float, Index, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from runtime.journal.columns import Exact

PLAIN: Final = JSON(none_as_null=True)
REAL: Final = Float(53)  # double precision


class Base(DeclarativeBase):
    """What all tables share: their metadata."""

    type_annotation_map: ClassVar[dict[Any, Any]] = {
        int: BigInteger(),
        str: Text(),
        bool: Boolean(),
        float: REAL,
        Decimal: Exact(),
        dict[str, Any]: PLAIN,
        list[str]: PLAIN,
    }


class Numbered:
    """Key of every row: the session, and the number of the record in its lane of the spool."""

    session_id: Mapped[str] = mapped_column(String(96), primary_key=True, sort_order=-30)
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, sort_order=-29)
    mode: Mapped[str] = mapped_column(String(8), sort_order=-28)
    ts_ns: Mapped[int] = mapped_column(sort_order=-27)


class Chained(Numbered):
    """A row of the hash chain."""

    hash: Mapped[str] = mapped_column(String(64), sort_order=99)


class Session(Chained, Base):
    """One run of a node, as of its start."""

    __tablename__ = "sessions"
    strategy: Mapped[str]
    strategy_version: Mapped[str]
    config_sha256: Mapped[str]
    model_sha256: Mapped[str]
    code_version: Mapped[str]
    instruments: Mapped[list[str] | None]
    detail: Mapped[dict[str, Any] | None]


class SessionEnding(Chained, Base):
    """How a session ended; absent while it runs and after a crash."""

    __tablename__ = "session_ends"
    reason: Mapped[str]
    final_balance: Mapped[Decimal | None]
    telemetry_dropped: Mapped[int]
    records_lost: Mapped[int]
    detail: Mapped[dict[str, Any] | None]


class SignalRow(Chained, Base):
    """A possible trade, taken or not."""

    __tablename__ = "signals"
    __table_args__ = (Index("ix_signals_setup", "session_id", "setup_id", "signal_id"),)
    strategy_id: Mapped[str]
    instrument_id: Mapped[str]
    side: Mapped[str]
    signal_id: Mapped[int]
    is_taken: Mapped[bool]
    setup_id: Mapped[str]
    skip_reason: Mapped[str]
    timeframe: Mapped[str]
    confidence: Mapped[float | None]
    factors: Mapped[dict[str, Any] | None]
    price: Mapped[Decimal | None]
    stop: Mapped[Decimal | None]
    target: Mapped[Decimal | None]
    qty: Mapped[Decimal | None]
    btc_price: Mapped[Decimal | None]
    btc_change_1h_pct: Mapped[float | None]
    market_volatility_pct: Mapped[float | None]
    detail: Mapped[dict[str, Any] | None]


class DecisionRow(Chained, Base):
    """What was decided, on which inputs."""

    __tablename__ = "decisions"
    __table_args__ = (Index("ix_decisions_setup", "session_id", "setup_id", "kind", "seq"),)
    strategy_id: Mapped[str]
    instrument_id: Mapped[str]
    kind: Mapped[str]
    setup_id: Mapped[str]
    side: Mapped[str]
    bucket_seq: Mapped[int]
    zone_id: Mapped[int]
    reason: Mapped[str]
    price: Mapped[Decimal | None]
    stop: Mapped[Decimal | None]
    target: Mapped[Decimal | None]
    qty: Mapped[Decimal | None]
    probability: Mapped[float | None]
    threshold: Mapped[float | None]
    detail: Mapped[dict[str, Any] | None]


class OrderRow(Chained, Base):
    """One change of an order's state."""

    __tablename__ = "orders"
    __table_args__ = (Index("ix_orders_setup", "session_id", "setup_id"),)
    event: Mapped[str]
    strategy_id: Mapped[str]
    instrument_id: Mapped[str]
    client_order_id: Mapped[str]
    venue_order_id: Mapped[str]
    setup_id: Mapped[str]
    leg: Mapped[str]
    side: Mapped[str]
    order_type: Mapped[str]
    time_in_force: Mapped[str]
    qty: Mapped[Decimal | None]
    price: Mapped[Decimal | None]
    trigger_price: Mapped[Decimal | None]
    is_post_only: Mapped[bool | None]
    is_reduce_only: Mapped[bool | None]
    reason: Mapped[str]
    is_reconciliation: Mapped[bool]


class FillRow(Chained, Base):
    """One execution."""

    __tablename__ = "fills"
    __table_args__ = (Index("ix_fills_setup", "session_id", "setup_id"),)
    strategy_id: Mapped[str]
    instrument_id: Mapped[str]
    client_order_id: Mapped[str]
    venue_order_id: Mapped[str]
    trade_id: Mapped[str]
    position_id: Mapped[str]
    setup_id: Mapped[str]
    leg: Mapped[str]
    side: Mapped[str]
    qty: Mapped[Decimal]
    price: Mapped[Decimal]
    commission: Mapped[Decimal]
    commission_currency: Mapped[str]
    liquidity: Mapped[str]
    is_reconciliation: Mapped[bool]


class TradeRow(Chained, Base):
    """One setup from first entry fill to last exit fill; columns as in `ClosedTrade`."""

    __tablename__ = "trades"
    __table_args__ = (Index("ix_trades_setup", "setup_id"), Index("ix_trades_exit", "mode", "exit_ts_ns"))
    setup_id: Mapped[str]
    strategy_id: Mapped[str]
    instrument_id: Mapped[str]
    side: Mapped[str]
    entry_ts_ns: Mapped[int]
    exit_ts_ns: Mapped[int]
    entry_price: Mapped[Decimal]
    exit_price: Mapped[Decimal]
    qty: Mapped[Decimal]
    pnl: Mapped[Decimal]
    fees: Mapped[Decimal]
    dust_qty: Mapped[Decimal]
    r_multiple: Mapped[float | None]
    mae_r: Mapped[float | None]
    mfe_r: Mapped[float | None]
    mae_price: Mapped[float | None]
    mfe_price: Mapped[float | None]
    exit_reason: Mapped[str]
    stop_price: Mapped[Decimal | None]
    target_price: Mapped[Decimal | None]
    last_stop_price: Mapped[Decimal | None]
    zone_id: Mapped[int]
    zone_low: Mapped[float | None]
    zone_high: Mapped[float | None]
    tainted: Mapped[bool]
    entry_bucket_seq: Mapped[int]
    exit_bucket_seq: Mapped[int]
    funding: Mapped[Decimal]
    held_secs: Mapped[float | None]
    entry_decision_price: Mapped[Decimal | None]
    exit_decision_price: Mapped[Decimal | None]
    entry_slippage: Mapped[Decimal | None]
    exit_slippage: Mapped[Decimal | None]
    entry_slippage_bps: Mapped[float | None]
    exit_slippage_bps: Mapped[float | None]
    market_exit_value: Mapped[Decimal]


class CancelRow(Chained, Base):
    """One step in the ledger of cancelled entries."""

    __tablename__ = "cancels"
    __table_args__ = (
        Index("ix_cancels_order", "session_id", "client_order_id"),
        Index("ix_cancels_setup", "session_id", "setup_id"),
    )
    strategy_id: Mapped[str]
    instrument_id: Mapped[str]
    step: Mapped[str]
    setup_id: Mapped[str]
    client_order_id: Mapped[str]
    outcome: Mapped[str]
    probability: Mapped[float | None]
    threshold: Mapped[float | None]
    after_ms: Mapped[float | None]
    net_r: Mapped[float | None]
    money: Mapped[float | None]


class CommandRow(Chained, Base):
    """A command, or its outcome."""

    __tablename__ = "commands"
    command_id: Mapped[str]
    actor: Mapped[str]
    origin: Mapped[str]
    action: Mapped[str]
    args: Mapped[dict[str, Any] | None]
    nonce: Mapped[str]
    outcome: Mapped[str]
    reason: Mapped[str]


class AccessRow(Chained, Base):
    """A login or connect of the terminal."""

    __tablename__ = "accesses"
    actor: Mapped[str]
    origin: Mapped[str]
    action: Mapped[str]
    outcome: Mapped[str]
    reason: Mapped[str]


class RejectedRow(Chained, Base):
    """A record that the database refused for its content, kept whole; or the text of one without encoding."""

    __tablename__ = "rejected_records"
    stream: Mapped[int]
    body_hex: Mapped[str]
    error: Mapped[str]


class FeatureRow(Numbered, Base):
    """What the model looked at, and what became of it."""

    __tablename__ = "features"
    __table_args__ = (Index("ix_features_setup", "session_id", "setup_id"),)
    strategy_id: Mapped[str]
    instrument_id: Mapped[str]
    setup_id: Mapped[str]
    bucket_seq: Mapped[int]
    probability: Mapped[float | None]
    threshold: Mapped[float | None]
    verdict: Mapped[str]
    outcome: Mapped[str]
    r_multiple: Mapped[float | None]
    schema_sha256: Mapped[str]
    features: Mapped[dict[str, Any] | None]


class EquityRow(Numbered, Base):
    """A mark of the account."""

    __tablename__ = "equity_points"
    equity: Mapped[Decimal]


class Position(Base):
    """How far the writer is with a lane of a session; written in the transaction that adds the rows."""

    __tablename__ = "spool_positions"
    session_id: Mapped[str] = mapped_column(String(96), primary_key=True)
    lane: Mapped[str] = mapped_column(String(16), primary_key=True)
    next_seq: Mapped[int]
    row_count: Mapped[int]
    last_hash: Mapped[str] = mapped_column(String(64))
    damaged_bytes: Mapped[int]
    nonce: Mapped[str] = mapped_column(String(32))  # of the session whose records these are
    updated_ns: Mapped[int]


class Checkpoint(Base):
    """How long the chain was and what its last hash was: stored every ten seconds and at the end."""

    __tablename__ = "chain_checkpoints"
    session_id: Mapped[str] = mapped_column(String(96), primary_key=True)
    row_count: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    next_seq: Mapped[int]
    last_hash: Mapped[str] = mapped_column(String(64))
    ts_ns: Mapped[int]
