"""What can be journaled: one frozen struct per stream, small enough to encode in a microsecond.

Money, prices and quantities are exact decimals as text, empty where there is none. Times are UNIX
nanoseconds: of the event, which is simulated time in a backtest.
"""

from typing import Any, Final, Literal

import msgspec

from strategies.trade_manager.record import ClosedTrade, Decision

type Mode = Literal["backtest", "paper", "live"]
type Plain = dict[str, Any]


class SessionStart(msgspec.Struct, frozen=True, kw_only=True):
    """The first record of a session: what runs, and with what.

    Parameters
    ----------
    ts_ns
        Wall clock, UNIX nanoseconds.
    mode
        Keeps backtests, paper and live apart in every table.
    strategy, strategy_version
        As ``backtest_node.py strategies`` lists them.
    config_sha256, model_sha256
        Hashes of the effective settings and of the model, empty without a model.
    code_version
        See :func:`runtime.journal.session.code_version`.
    instruments
        Nautilus ids.
    detail
        Further facts by name.
    """

    ts_ns: int
    mode: Mode
    strategy: str
    strategy_version: str = ""
    config_sha256: str = ""
    model_sha256: str = ""
    code_version: str = ""
    instruments: list[str] = []
    detail: Plain = {}


class SessionEnd(msgspec.Struct, frozen=True, kw_only=True):
    """The last record of a session that ended in order.

    Parameters
    ----------
    ts_ns
        Wall clock, UNIX nanoseconds.
    reason
        Why it ended: ``finished``, ``stopped``, or an error in words.
    final_balance
        Equity at the end, quote currency.
    telemetry_dropped
        Telemetry records that the bounded queue dropped.
    records_lost
        Other records of which the journal has a cut text only, or that the disk never took.
    detail
        Counters and the like.
    """

    ts_ns: int
    reason: str
    final_balance: str = ""
    telemetry_dropped: int = 0
    records_lost: int = 0
    detail: Plain = {}


class SignalRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A possible trade, taken or not.

    Parameters
    ----------
    ts_ns
        When it was known, UNIX nanoseconds.
    strategy_id, instrument_id, side
        Nautilus ids; ``long`` or ``short``.
    signal_id
        Number of the signal within its strategy and instrument, for setups the zone's event id.
    setup_id
        The setup that trades it, empty if none does (yet).
    is_taken, skip_reason
        Whether it was traded, and why not.
    timeframe
        Interval of the bars, or the bucket's size.
    confidence
        0 to 1, None where the strategy states none.
    factors
        Points by factor.
    price, stop, target, qty
        As planned.
    btc_price, btc_change_1h_pct, market_volatility_pct
        Bitcoin's last price, its change over one hour, and its realised volatility over that hour (root
        of the sum of squared five-minute returns), percent; None where Bitcoin is not watched.
    detail
        Everything else the strategy said.
    """

    ts_ns: int
    strategy_id: str
    instrument_id: str
    side: str
    signal_id: int
    is_taken: bool
    setup_id: str = ""
    skip_reason: str = ""
    timeframe: str = ""
    confidence: float | None = None
    factors: dict[str, float] = {}
    price: str = ""
    stop: str = ""
    target: str = ""
    qty: str = ""
    btc_price: str = ""
    btc_change_1h_pct: float | None = None
    market_volatility_pct: float | None = None
    detail: Plain = {}


class OrderRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One change of an order's state, as the node heard it.

    Parameters
    ----------
    ts_ns, event
        When, UNIX nanoseconds, and the name of Nautilus' event (``OrderAccepted``).
    strategy_id, instrument_id, client_order_id, venue_order_id
        Ids; the venue's is empty before it gave one.
    setup_id, leg
        From the client order id: which setup, and which part of it (E entry, S stop, T target, X exit).
    side, order_type, time_in_force, qty, price, trigger_price, is_post_only, is_reduce_only
        Of the order, where the event says them.
    reason
        Of a refusal.
    is_reconciliation
        The node learnt it from the venue's report after a restart.
    """

    ts_ns: int
    event: str
    strategy_id: str
    instrument_id: str
    client_order_id: str
    venue_order_id: str = ""
    setup_id: str = ""
    leg: str = ""
    side: str = ""
    order_type: str = ""
    time_in_force: str = ""
    qty: str = ""
    price: str = ""
    trigger_price: str = ""
    is_post_only: bool | None = None
    is_reduce_only: bool | None = None
    reason: str = ""
    is_reconciliation: bool = False


class FillRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One execution.

    Parameters
    ----------
    ts_ns
        Time at the venue, UNIX nanoseconds.
    strategy_id, instrument_id, client_order_id, venue_order_id, trade_id, position_id
        Ids of node and venue.
    setup_id, leg
        As in :class:`OrderRecord`.
    side, qty, price
        ``BUY`` or ``SELL``, base and quote currency.
    commission, commission_currency
        What the venue took.
    liquidity
        ``MAKER`` or ``TAKER``.
    is_reconciliation
        As in :class:`OrderRecord`.
    """

    ts_ns: int
    strategy_id: str
    instrument_id: str
    client_order_id: str
    trade_id: str
    side: str
    qty: str
    price: str
    commission: str
    commission_currency: str
    liquidity: str
    venue_order_id: str = ""
    position_id: str = ""
    setup_id: str = ""
    leg: str = ""
    is_reconciliation: bool = False


class CancelRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One step in the ledger of entries that the model asked to take back.

    Parameters
    ----------
    ts_ns
        UNIX nanoseconds.
    strategy_id, instrument_id, setup_id, client_order_id
        Which entry.
    step
        ``asked`` when the model wanted it cancelled, ``venue`` with the venue's answer, ``shadow`` with what
        the order would have become.
    outcome
        Of the step: ``cancelled``, ``filled_first``, ``rejected``, or how the shadow ended.
    probability, threshold
        Of the decision.
    after_ms
        From asking to the venue's answer, milliseconds.
    net_r, money
        What the shadow earned after fees, multiples of the risk and quote currency.
    """

    ts_ns: int
    strategy_id: str
    instrument_id: str
    step: str
    setup_id: str = ""
    client_order_id: str = ""
    outcome: str = ""
    probability: float | None = None
    threshold: float | None = None
    after_ms: float | None = None
    net_r: float | None = None
    money: float | None = None


class FeatureRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What the model looked at, and what became of it. Telemetry: dropped when the queue is full.

    Parameters
    ----------
    ts_ns, strategy_id, instrument_id, setup_id, bucket_seq
        Which decision.
    probability, threshold, verdict
        What the model said: ``keep`` or ``cancel``.
    outcome, r_multiple
        What became of the setup, where it is known: an exit reason or the cancel's outcome.
    schema_sha256
        Hash of the ordered feature names.
    features
        Value by name; features that are not finite are absent.
    """

    ts_ns: int
    strategy_id: str
    instrument_id: str
    setup_id: str = ""
    bucket_seq: int = -1
    probability: float | None = None
    threshold: float | None = None
    verdict: str = ""
    outcome: str = ""
    r_multiple: float | None = None
    schema_sha256: str = ""
    features: dict[str, float] = {}


class EquityRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What the account was worth, quote currency, at a time. Telemetry."""

    ts_ns: int
    equity: str


class CommandRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Something a person or program asked the node to do. Appended with fsync before it is executed.

    Parameters
    ----------
    ts_ns
        UNIX nanoseconds.
    command_id, nonce
        Ids of the command; the outcome is a second record with the same id.
    actor, origin
        Who, and from where: ``socket``, ``rest``, ``cli`` and an address.
    action, args
        What; arguments hold no secrets.
    outcome, reason
        ``received``, ``refused``, ``done``, ``failed``, and why.
    """

    ts_ns: int
    command_id: str
    actor: str
    origin: str
    action: str
    args: Plain = {}
    nonce: str = ""
    outcome: str = "received"
    reason: str = ""


class AccessRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A login or connect of the terminal: who, from where, what (``login``, ``connect``), and its outcome."""

    ts_ns: int
    actor: str
    origin: str
    action: str
    outcome: str
    reason: str = ""


class RejectedRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in the spool for a record that cannot be encoded: its text, mended and cut.

    Parameters
    ----------
    ts_ns
        Wall clock, UNIX nanoseconds.
    stream
        Code of the record's stream, 0 of a struct that is no record.
    body_hex
        UTF-8 of its text as Python shows it, as hex digits.
    error
        Why it cannot be encoded.
    """

    ts_ns: int
    stream: int
    body_hex: str
    error: str


type Record = (
    SessionStart
    | SessionEnd
    | SignalRecord
    | Decision
    | OrderRecord
    | FillRecord
    | ClosedTrade
    | CancelRecord
    | FeatureRecord
    | EquityRecord
    | CommandRecord
    | AccessRecord
    | RejectedRecord
)

# Code in the frame -> struct. Codes are for ever: spools outlive the program that wrote them.
STREAMS: Final[dict[int, type[Any]]] = {
    1: SessionStart,
    2: SessionEnd,
    3: SignalRecord,
    4: Decision,
    5: OrderRecord,
    6: FillRecord,
    7: ClosedTrade,
    8: CancelRecord,
    9: FeatureRecord,
    10: EquityRecord,
    11: CommandRecord,
    12: AccessRecord,
    13: RejectedRecord,
}
CODES: Final = {struct: code for code, struct in STREAMS.items()}
# Dropped rather than waited for; they have numbers of their own and no place in the hash chain.
TELEMETRY: Final = frozenset({FeatureRecord, EquityRecord})
# On the platter before the caller goes on: a command is audited before it is executed.
SYNCED: Final = frozenset({CommandRecord, AccessRecord})
