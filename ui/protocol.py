"""What a node tells its terminals: one struct per kind of message, version 2.

A message is ``[epoch, seq, ts_ns, kind, payload]`` in msgpack: `epoch` is random text per start of a node,
`seq` grows by one over all kinds, `ts_ns` is UNIX nanoseconds. Names are short because they go over the
wire thousands of times a second. Times ``t``, ``t0``, ``t1``, ``ts`` are UNIX milliseconds; prices of charts
are floats, prices and quantities of orders, fills and positions are exact decimals as text.
"""

from typing import Any, Final, Literal, NamedTuple

import msgspec

VERSION: Final = 2
# Of recordings: 1 had no ``trade``.
READABLE: Final = frozenset({1, 2})

type Mode = Literal["live", "paper", "backtest", "replay"]
type Side = Literal["buy", "sell"]
type Held = Literal["long", "short", "flat"]


class Bucket(msgspec.Struct, frozen=True, kw_only=True):
    """``bkt``: a closed volume bucket.

    Parameters
    ----------
    ins, i
        Instrument id and number of the bucket, which is its place on the axis.
    t0, t1
        First and last trade, UNIX milliseconds.
    o, h, l, c
        Prices.
    v, bv, sv, n
        Value traded, by buyers, by sellers (quote currency), and number of trades.
    imb
        Signed imbalance, -1 to 1.
    vpin, vol, p
        VPIN 0 to 1, volatility, probability of the model; None where there is none.
    dir
        1, -1 or 0: the direction of the structure.
    tainted
        Built over a gap or a bad print.
    """

    ins: str
    i: int
    t0: int
    t1: int
    o: float
    h: float
    l: float  # noqa: E741 - low, as everywhere on the wire
    c: float
    v: float
    bv: float
    sv: float
    n: int
    imb: float
    vpin: float | None = None
    vol: float | None = None
    p: float | None = None
    dir: int = 0
    tainted: bool = False


class Developing(Bucket, frozen=True, kw_only=True):
    """``dev``: the bucket that is being filled; `fill` is how far, 0 to 1."""

    fill: float = 0.0


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """``bar``: a closed kline with the confluence strategy's scores; `t` is its open, UNIX milliseconds."""

    ins: str
    tf: str
    t: int
    o: float
    h: float
    l: float  # noqa: E741 - low, as everywhere on the wire
    c: float
    v: float
    score_long: float | None = None
    score_short: float | None = None
    factors: dict[str, float] = {}


class Zone(msgspec.Struct, frozen=True, kw_only=True):
    """``zone``: an area of the chart with its life; a later one of the same `id` replaces it.

    Parameters
    ----------
    id, ins
        Of the zone and its instrument.
    type, side
        What it is; 1 for long, -1 for short.
    i0, i1, t0, t1
        First and last bucket and their times, UNIX milliseconds; None while it lives.
    top, bot, sweet, stop, targets
        Prices.
    state, why
        Where in its life it is, and the reason in words.
    """

    id: str
    ins: str
    type: Literal["ote", "ob", "fvg", "liquidity", "range", "bos", "choch"]
    side: int
    i0: int
    t0: int
    top: float
    bot: float
    state: Literal["new", "active", "touched", "filled", "mitigated", "expired"]
    i1: int | None = None
    t1: int | None = None
    sweet: float | None = None
    stop: float | None = None
    targets: list[float] = []
    why: str = ""


class SignalMark(msgspec.Struct, frozen=True, kw_only=True):
    """``sig``: a possible trade, taken, or skipped for a reason; `ts` UNIX milliseconds.

    Parameters
    ----------
    confidence, factors
        0 to 1, and the points that make it up.
    skip, figure, limit, said
        Reason of a skip, what was compared with what (None where nothing was), more words where there are.
    p, thr, model
        What a model of signals said: its probability, what was asked for, and its answer as a word. None
        without a model; `p` alone where it could not score.
    why
        The reasons with their numbers, in words.
    """

    id: str
    ins: str
    ts: int
    kind: str
    side: int
    px: float
    taken: bool
    i: int | None = None
    stop: float | None = None
    target: float | None = None
    confidence: float | None = None
    factors: dict[str, float] = {}
    zone: str | None = None
    skip: str | None = None
    figure: float | None = None
    limit: float | None = None
    said: str = ""
    p: float | None = None
    thr: float | None = None
    model: str | None = None
    why: str = ""


class ModelDecision(msgspec.Struct, frozen=True, kw_only=True):
    """``mdl``: what the model said of a setup; `why` are (feature, contribution).

    A node sends the `inputs` of the decision instead, which costs it nothing; its server explains them.
    `infer_us` is how long the answer took, in a backtest too; None where a rule decides, and in version 1.
    """

    ins: str
    ts: int
    i: int
    setup: str
    p: float
    thr: float
    verdict: Literal["keep", "cancel"]
    why: list[tuple[str, float]] = []
    infer_us: float | None = None
    inputs: dict[str, float] = {}


class OrderView(msgspec.Struct, frozen=True, kw_only=True):
    """``ord``: an order as it stands; a later one of the same `coid` replaces it."""

    coid: str
    ins: str
    setup: str
    role: Literal["entry", "stop", "target", "exit", "manual", "other"]
    side: Side
    type: str
    tif: str
    qty: str
    filled: str
    status: str
    ts: int
    px: str | None = None
    trig: str | None = None
    avg: str | None = None
    reason: str | None = None
    venue_id: str | None = None


class Fill(msgspec.Struct, frozen=True, kw_only=True):
    """``fill``: an execution."""

    coid: str
    trade: str
    ins: str
    setup: str
    px: str
    qty: str
    side: Side
    liq: Literal["maker", "taker"]
    fee: str
    ccy: str
    ts: int
    i: int | None = None


class PositionView(msgspec.Struct, frozen=True, kw_only=True):
    """``pos``: a position of a setup; `unprotected_ms` is how long it was without a stop at the venue.

    One that no setup explains has the `setup` "external": neither stop nor target of ours, unprotected
    since it was opened, and `avg` is that of all that is held of the instrument.
    """

    ins: str
    setup: str
    side: Held
    qty: str
    avg: str
    rpnl: str
    since: int
    upnl: str | None = None
    r: float | None = None
    stop: str | None = None
    targets: list[str] = []
    unprotected_ms: float = 0.0


class Trade(msgspec.Struct, frozen=True, kw_only=True):
    """``trade``: a setup from its first fill to its last; `ts` and `since` are those, UNIX milliseconds.

    Parameters
    ----------
    setup, ins, side, qty
        Which, and how much of it.
    entry, exit
        Average prices.
    pnl, fees, funding, ccy
        What it made after fees and funding, and those, quote currency.
    r
        `pnl` in multiples of the risk; None where nothing was at risk.
    reason
        Why it ended, as a snake_case word (`strategies.trade_manager.record.ExitReason`).
    tainted
        Trades were missing meanwhile.
    """

    setup: str
    ins: str
    side: Held
    ts: int
    since: int
    qty: str
    entry: str
    exit: str
    pnl: str
    fees: str
    reason: str
    funding: str = "0"
    ccy: str = ""
    r: float | None = None
    tainted: bool = False


class CancelEntry(msgspec.Struct, frozen=True, kw_only=True):
    """``cancel``: a line of the ledger of cancelled entries; a later one of the same `setup` replaces it."""

    setup: str
    ins: str
    ts: int
    reason: str
    p: float | None = None
    thr: float | None = None
    outcome: str | None = None
    would_r: float | None = None


class ClosedTrades(msgspec.Struct, frozen=True, kw_only=True):
    """Trades of one quote currency together: `n`, profit after fees and funding, multiples of the risk.

    `r` is the sum of those with something at risk, None where none had.
    """

    n: int
    pnl: str
    r: float | None = None


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """``acct``: what the account is worth; `balances` are (free, locked) by currency.

    `day_pnl` is how `equity` changed since 00:00 UTC, deposits and withdrawals included. `closed` are the
    trades that closed since then, by quote currency, those of before a restart too; None where the node does
    not tell it.
    """

    ts: int
    equity: str
    day_pnl: str
    dd_pct: float
    fees: str
    balances: dict[str, tuple[str, str]] = {}
    closed: dict[str, ClosedTrades] | None = None


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """One limit of `risk`, and how much of it is used."""

    name: str
    used: float
    limit: float


class Risk(msgspec.Struct, frozen=True, kw_only=True):
    """``risk``: limits, and what Nautilus' risk engine allows."""

    limits: list[Limit] = []
    trading: Literal["ACTIVE", "REDUCING", "HALTED"] = "ACTIVE"


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """Something that holds entries back in an instrument."""

    source: str
    reason: str
    ins: str = ""


class InstrumentView(msgspec.Struct, frozen=True, kw_only=True):
    """An instrument of the node: tick and lot as decimal text; `kind` says which chart it has.

    `min_score` is the confluence score, 0 to 100, from which a signal may be taken; None where none is made.
    """

    id: str
    tick: str
    lot: str
    bucket_usd: float | None = None
    kind: Literal["buckets", "bars"] = "buckets"
    min_score: float | None = None


class ModelView(msgspec.Struct, frozen=True, kw_only=True):
    """The model of an instrument (``*``: of all) with its verdict.

    `threshold` is that of its last decision, since each entry has its own: its break-even and a margin. None
    before the first decision, and where one model is of all.
    """

    ins: str
    verdict: str
    threshold: float | None = None
    digest: str = ""


class Replaying(msgspec.Struct, frozen=True, kw_only=True):
    """Where a replay is: times are UNIX milliseconds of the recording; `speed` 0 is as fast as it goes.

    `protocol` is the version of what was recorded: 1 knows no closed trades.
    """

    from_: int = msgspec.field(name="from")
    to: int
    at: int
    speed: float
    paused: bool
    protocol: int = VERSION


class NodeState(msgspec.Struct, frozen=True, kw_only=True):
    """``st``: what the node is and whether it may trade.

    `factors` are those of confluence scores, and the most points of each.
    """

    mode: Mode
    session: str
    trader: str = ""
    version: str = ""
    config_hash: str = ""
    paused: list[str] = []
    holds: list[Hold] = []
    halted: list[str] = []
    killed: bool = False
    kill_reason: str | None = None
    instruments: list[InstrumentView] = []
    models: list[ModelView] = []
    drift: str | None = None
    factors: dict[str, float] = {}
    replay: Replaying | None = None


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """``lat``: median and 99th percentile of the last seconds, and how old the last trade is."""

    feed_ms: tuple[float | None, float | None] = (None, None)
    decision_us: tuple[float | None, float | None] = (None, None)
    ack_ms: tuple[float | None, float | None] = (None, None)
    loop_lag_ms: float | None = None
    last_tick_age_ms: float | None = None


class LogLine(msgspec.Struct, frozen=True, kw_only=True):
    """``log``: a line of the node's log, for a person."""

    ts: int
    level: str
    src: str
    text: str


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """``hb``: twice a second."""

    last_tick_age_ms: float | None = None
    loop_lag_ms: float | None = None


type Payload = (
    Bucket
    | Developing
    | Bar
    | Zone
    | SignalMark
    | ModelDecision
    | OrderView
    | Fill
    | PositionView
    | Trade
    | CancelEntry
    | Account
    | Risk
    | NodeState
    | Latency
    | LogLine
    | Heartbeat
)


class Snapshot(msgspec.Struct, kw_only=True):
    """``snap``: everything that a terminal needs which has just come; lists are in order of arrival.

    `past` is how many ``past`` went before it, with the buckets and bars that it then lacks.
    """

    st: NodeState | None = None
    acct: Account | None = None
    risk: Risk | None = None
    lat: Latency | None = None
    hb: Heartbeat | None = None
    ord: list[OrderView] = []
    pos: list[PositionView] = []
    zone: list[Zone] = []
    sig: list[SignalMark] = []
    mdl: list[ModelDecision] = []
    fill: list[Fill] = []
    trade: list[Trade] = []
    cancel: list[CancelEntry] = []
    log: list[LogLine] = []
    dev: list[Developing] = []
    bkt: list[Bucket] = []
    bar: list[Bar] = []
    past: int = 0


class Past(msgspec.Struct, kw_only=True):
    """``past``: some closed buckets and bars for who has just come, in order; `part` counts from 0.

    They have the number of the message before them: who is in step has them, and leaves them out.
    """

    part: int
    bkt: list[Bucket] = []
    bar: list[Bar] = []


SNAP: Final = "snap"
PAST: Final = "past"
KINDS: Final[dict[str, type[Any]]] = {
    "bkt": Bucket,
    "dev": Developing,
    "bar": Bar,
    "zone": Zone,
    "sig": SignalMark,
    "mdl": ModelDecision,
    "ord": OrderView,
    "fill": Fill,
    "pos": PositionView,
    "trade": Trade,
    "cancel": CancelEntry,
    "acct": Account,
    "risk": Risk,
    "st": NodeState,
    "lat": Latency,
    "log": LogLine,
    "hb": Heartbeat,
}
# Which fields tell two things of a kind apart; of the same thing only the last message counts. Kinds that are
# not here are appended: none of theirs may be left out.
IDENTITY: Final[dict[str, tuple[str, ...]]] = {
    "dev": ("ins",),
    "zone": ("id",),
    "mdl": ("ins", "setup", "i"),  # a setup is asked about at several buckets
    "ord": ("coid",),
    "pos": ("ins", "setup"),
    "cancel": ("setup",),
    "acct": (),
    "risk": (),
    "st": (),
    "lat": (),
    "hb": (),
}
# Only who looks at the instrument gets these.
CHART_KINDS: Final = frozenset({"bkt", "dev", "bar", "zone"})

_ENCODE: Final = msgspec.msgpack.Encoder().encode
_HEAD: Final = msgspec.msgpack.Decoder(tuple[str, int, int, str, msgspec.Raw])
_DECODE: Final = {
    kind: msgspec.msgpack.Decoder(struct).decode
    for kind, struct in {**KINDS, SNAP: Snapshot, PAST: Past}.items()
}


class Message(NamedTuple):
    """One message: see the module; `payload` is the struct of its kind."""

    epoch: str
    seq: int
    ts_ns: int
    kind: str
    payload: Any


class ProtocolError(ValueError):
    """Bytes that are no message of this version; says which part is wrong."""


def encode(message: Message) -> bytes:
    """Return a message as msgpack.

    Examples
    --------
    >>> decode(encode(Message("a", 1, 0, "hb", Heartbeat(loop_lag_ms=2.0)))).payload.loop_lag_ms
    2.0
    """
    return _ENCODE(message)


def decode(frame: bytes) -> Message:
    """Return the message of some bytes.

    Raises
    ------
    ProtocolError
        When they are none, of an unknown kind, or a field of the payload is wrong.
    """
    try:
        epoch, seq, ts_ns, kind, payload = _HEAD.decode(frame)
        return Message(epoch, seq, ts_ns, kind, _DECODE[kind](payload))
    except KeyError:
        raise ProtocolError(f"unknown kind of message: {kind[:20]!r}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ProtocolError(f"no message of protocol {VERSION}: {error}") from error


def key_of(kind: str, payload: Any) -> tuple[str, ...] | None:
    """Return what the message is about, None where it is appended and replaces nothing.

    Examples
    --------
    >>> key_of("hb", Heartbeat()), key_of("log", LogLine(ts=0, level="INFO", src="", text=""))
    (('hb',), None)
    """
    fields = IDENTITY.get(kind)
    if fields is None:
        return None
    if not fields:
        return (kind,)
    if len(fields) == 1:
        return (kind, getattr(payload, fields[0]))
    key = (kind, getattr(payload, fields[0]), getattr(payload, fields[1]))
    return key if len(fields) == 2 else (*key, *(str(getattr(payload, name)) for name in fields[2:]))
