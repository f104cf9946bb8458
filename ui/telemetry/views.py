"""What happens in a node, as a terminal shows it: pure functions from our records to structs."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

import numpy as np

from indicators.confluence.config import ConfluenceConfig, ConfluenceWeights
from indicators.confluence.explain import FACTORS
from packet_builder.packet import PACKET_DTYPE
from strategies.trade_manager.client_ids import setup_and_leg
from strategies.trade_manager.record import CancelShadow, ClosedTrade, Decision
from ui.protocol import (
    Bar,
    Bucket,
    CancelEntry,
    Developing,
    LogLine,
    ModelDecision,
    OrderView,
    PositionView,
    SignalMark,
    Trade,
)

MS: Final = 1_000_000
NANOS: Final = 1_000_000_000
# In the place of a setup's id, of a position that no setup explains.
EXTERNAL_SETUP: Final = "external"
ROLES: Final = {"E": "entry", "S": "stop", "T": "target", "X": "exit"}
# Decisions that a person should read among the events, and how loud they are.
_WORDS: Final[Mapping[str, str]] = {
    "entry_rejected": "warning",
    "entry_refused": "warning",
    "entry_unknown": "warning",
    "halted": "error",
    "rearmed": "info",
    "held": "info",
    "released": "info",
    "pause_began": "warning",
    "pause_extended": "warning",
    "pause_ended": "info",
    "commanded": "info",
    "external": "warning",
    "restored": "info",
    "watchdog": "error",
    "dust": "info",
}
# Before the names of what adds up to a signal's confidence, in the details of a decision.
FACTOR: Final = "factor_"
_SIGNALS: Final = frozenset({"zone_skipped", "signal_skipped", "signal_taken", "entry_submitted"})


def bucket_view(ins: str, packet: Any, direction: int, probability: float | None) -> Bucket:
    """Return a closed bucket.

    Parameters
    ----------
    ins
        Instrument id.
    packet
        Row of ``PACKET_DTYPE``.
    direction
        Of the structure: 1, -1, 0.
    probability
        Last of the model within it, None where it was not asked.
    """
    return Bucket(ins=ins, **_columns(packet), dir=direction, p=probability)


def developing_view(ins: str, columns: Mapping[str, Any], direction: int) -> Developing:
    """Return the bucket that is being filled, from ``VolumeBucketBuilder.forming``."""
    return Developing(ins=ins, **_columns(columns), dir=direction, fill=float(columns["fill_ratio"]))


def bar_view(ins: str, interval_secs: int, bar: Any, scoring: ConfluenceConfig) -> Bar:
    """Return a closed kline with its scores.

    Parameters
    ----------
    ins
        Instrument id.
    interval_secs
        Its length.
    bar
        `strategies.close_bars.CoinBar`.
    scoring
        By which it was scored.
    """
    row = bar.row
    return Bar(
        ins=ins,
        tf=timeframe(interval_secs),
        t=bar.close_ns // MS - interval_secs * 1_000,
        o=bar.open,
        h=bar.high,
        l=bar.low,
        c=bar.close,
        v=bar.volume,
        score_long=None if row is None else _finite(row["score_long"]),
        score_short=None if row is None else _finite(row["score_short"]),
        factors={} if row is None else _points(row, scoring.weights),
    )


def _points(row: Any, weights: ConfluenceWeights) -> dict[str, float]:
    """Return what `indicators.confluence.explain` says of the side that is ahead, without its sentences.

    A node tells thirty thousand klines when it has warmed up: nine tenths of it would be words for nobody.
    """
    side = "long" if row["score_long"] >= row["score_short"] else "short"
    bias = (0.0, weights.htf_neutral, weights.htf_aligned)[int(row[f"{side}_htf"])]
    points = [("htf", bias)]
    points += [(name, getattr(weights, name) if row[f"{side}_{name}"] else 0.0) for name in FACTORS[1:]]
    return _shared(tuple(sorted(points, key=lambda one: one[1] == 0.0)))


@lru_cache(maxsize=1_024)
def _shared(points: tuple[tuple[str, float], ...]) -> dict[str, float]:
    """Return points by factor: few sums are possible, and two hundred thousand klines are kept."""
    return dict(points)


def most_points(scoring: ConfluenceConfig) -> dict[str, float]:
    """Return the most that each factor can add to a score."""
    weights = asdict(scoring.weights)
    return {name: weights.get(name, scoring.weights.htf_aligned) for name in FACTORS}


def market_bar_view(bar: Any, interval_secs: int) -> Bar:
    """Return a closed kline that nothing has scored, from a bar of Nautilus' of so many seconds."""
    prices = {"o": bar.open, "h": bar.high, "l": bar.low, "c": bar.close, "v": bar.volume}
    return Bar(
        ins=bar.bar_type.instrument_id.value,
        tf=timeframe(interval_secs),
        t=bar.ts_event // MS - interval_secs * 1_000,
        **{name: value.as_double() for name, value in prices.items()},
    )


def timeframe(secs: int) -> str:
    """Return the usual name of an interval.

    Examples
    --------
    >>> timeframe(300), timeframe(14_400), timeframe(86_400), timeframe(45)
    ('5m', '4h', '1d', '45s')
    """
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if secs % length == 0:
            return f"{secs // length}{unit}"
    return f"{secs}s"


def signal_of(decision: Decision) -> SignalMark | None:
    """Return the signal that a decision speaks of, None where it speaks of none."""
    if decision.kind not in _SIGNALS or not decision.price:
        return None
    is_taken = decision.kind in ("signal_taken", "entry_submitted")
    figures = _figures(decision.detail)
    confidence = figures.pop("confidence", figures.get("score"))
    # Where nothing was compared both are zero.
    is_compared = bool(figures.get("figure") or figures.get("limit"))
    return SignalMark(
        id=f"{decision.strategy_id}:{decision.instrument_id}:{decision.zone_id}:{decision.ts_ns}",
        ins=decision.instrument_id,
        ts=decision.ts_ns // MS,
        i=decision.bucket_seq if decision.bucket_seq >= 0 else None,
        kind=decision.kind,
        side=-1 if decision.side == "short" else 1,
        px=float(decision.price),
        stop=_number(decision.stop),
        target=_number(decision.target),
        confidence=confidence,
        # Prices, sizes and features of a model add nothing up, nor does the range that a zone lies in.
        factors={
            name.removeprefix(FACTOR): points for name, points in figures.items() if name.startswith(FACTOR)
        },
        zone=str(decision.zone_id) if decision.zone_id >= 0 else None,
        taken=is_taken,
        skip=None if is_taken else decision.reason,
        figure=figures.get("figure") if is_compared else None,
        limit=figures.get("limit") if is_compared else None,
        said=str(decision.detail.get("text", "")),
        p=decision.probability,
        thr=decision.threshold,
        model=str(decision.detail["model"]) if "model" in decision.detail else None,
        why=str(decision.detail.get("why", "")),
    )


def model_decision(
    decision: Decision, *, with_inputs: bool = False, infer_us: float | None = None
) -> ModelDecision | None:
    """Return what the model said, with what it saw where that is wanted; None for decisions of others."""
    if decision.kind != "cancel_asked" or decision.probability is None:
        return None
    return ModelDecision(
        ins=decision.instrument_id,
        ts=decision.ts_ns // MS,
        i=decision.bucket_seq,
        setup=decision.setup_id,
        p=decision.probability,
        thr=decision.threshold or 0.0,
        verdict="cancel" if decision.detail.get("action") == "cancel" else "keep",
        infer_us=infer_us,
        inputs=_figures(decision.detail) if with_inputs else {},
    )


def cancelled_entry(decision: Decision) -> CancelEntry | None:
    """Return the line of the cancel ledger that a decision begins, None where it begins none."""
    if decision.kind != "cancel_asked" or decision.detail.get("action") != "cancel":
        return None
    return CancelEntry(
        setup=decision.setup_id,
        ins=decision.instrument_id,
        ts=decision.ts_ns // MS,
        p=decision.probability,
        thr=decision.threshold,
        reason=decision.reason,
    )


def ended_shadow(shadow: CancelShadow, began: CancelEntry | None) -> CancelEntry:
    """Return the line of the ledger with what the cancelled entry would have become."""
    setup, _ = setup_and_leg(shadow.client_order_id)
    return CancelEntry(
        setup=setup,
        ins=shadow.instrument_id,
        ts=shadow.ts_ns // MS if began is None else began.ts,
        p=None if began is None else began.p,
        thr=None if began is None else began.thr,
        reason="" if began is None else began.reason,
        outcome=shadow.outcome,
        would_r=shadow.net_r,
    )


def words_of(decision: Decision) -> LogLine | None:
    """Return a line for people, None for decisions that only the chart shows."""
    level = _WORDS.get(decision.kind)
    if level is None:
        return None
    figures = ", ".join(f"{name} {one}" for name, one in decision.detail.items())
    text = " ".join(
        word
        for word in (decision.kind.replace("_", " "), decision.setup_id, decision.reason, figures)
        if word
    )
    return LogLine(ts=decision.ts_ns // MS, level=level, src=decision.instrument_id, text=text)


def order_view(order: Any, *, side: str, kind: str, tif: str, status: str, reason: str | None) -> OrderView:
    """Return an order as it stands.

    Parameters
    ----------
    order
        Nautilus' order.
    side, kind, tif, status
        Its enumerations as text.
    reason
        Of its end in the venue's words, None where there is none.
    """
    coid = order.client_order_id.value
    setup, leg = setup_and_leg(coid)
    venue_id = order.venue_order_id
    return OrderView(
        coid=coid,
        ins=order.instrument_id.value,
        setup=setup,
        role=ROLES.get(leg, "other"),  # type: ignore[arg-type]
        side=side.lower(),  # type: ignore[arg-type]
        type=kind,
        tif=tif,
        px=str(order.price) if order.has_price else None,
        trig=str(order.trigger_price) if order.has_trigger_price else None,
        qty=str(order.quantity),
        filled=str(order.filled_qty),
        avg=format(_rounded(Decimal(str(order.avg_px))), "f") if order.avg_px else None,
        status=status,
        reason=reason,
        ts=order.ts_last // MS,
        venue_id=None if venue_id is None else venue_id.value,
    )


def position_view(ins: str, setup: Any, last: Decimal | None, unprotected_ms: float) -> PositionView:
    """Return the position of a setup, flat where it holds none.

    Parameters
    ----------
    ins
        Instrument id.
    setup
        `strategies.trade_manager.setup.Setup`.
    last
        Last price, None before the first.
    unprotected_ms
        How long it had no stop at the venue.
    """
    ledger, direction = setup.ledger, setup.plan.direction
    qty = ledger.position_qty if setup.is_in_position else Decimal(0)
    open_pnl = None if last is None or not qty else (last - ledger.entry_price) * qty * direction
    realized = (ledger.exit_value - ledger.exit_qty * ledger.entry_price) * direction - ledger.fees
    total = realized if open_pnl is None else realized + open_pnl
    return PositionView(
        ins=ins,
        setup=setup.identity.setup_id,
        side=("long" if direction > 0 else "short") if qty else "flat",
        qty=format(qty, "f"),
        avg=format(_rounded(ledger.entry_price), "f"),
        upnl=None if open_pnl is None else format(_rounded(open_pnl), "f"),
        rpnl=format(_rounded(realized + ledger.funding), "f"),
        r=float(total / ledger.risk) if ledger.risk else None,
        stop=format(setup.stop_price, "f"),
        targets=[format(setup.plan.target_price, "f")],
        since=ledger.entry_ts_ns // MS,
        unprotected_ms=unprotected_ms,
    )


def trade_view(trade: ClosedTrade, currency: str) -> Trade:
    """Return a closed trade whose figures are in a currency."""
    return Trade(
        setup=trade.setup_id,
        ins=trade.instrument_id,
        side=trade.side,
        ts=trade.exit_ts_ns // MS,
        since=trade.entry_ts_ns // MS,
        qty=trade.qty,
        entry=trade.entry_price,
        exit=trade.exit_price,
        pnl=trade.pnl,
        fees=trade.fees,
        funding=trade.funding,
        ccy=currency,
        r=trade.r_multiple if math.isfinite(trade.r_multiple) else None,
        reason=str(trade.exit_reason),
        tainted=trade.tainted,
    )


def external_view(
    ins: str, qty: Decimal, avg: Decimal, since_ns: int, last: Decimal | None, now_ns: int
) -> PositionView:
    """Return a position that no setup explains: traded by hand, by another program, or by the venue.

    Parameters
    ----------
    ins
        Instrument id.
    qty
        Signed, base currency; 0 where it is gone.
    avg
        Price at which the instrument's whole position was opened, quote currency: of a part nobody knows.
    since_ns
        When that was, UNIX nanoseconds.
    last
        Last price, None before the first.
    now_ns
        It never had a stop of ours: it is unprotected since then, in whole seconds.
    """
    return PositionView(
        ins=ins,
        setup=EXTERNAL_SETUP,
        side="long" if qty > 0 else "short" if qty < 0 else "flat",
        qty=format(abs(qty), "f"),
        avg=format(_rounded(avg), "f"),
        upnl=None if last is None or not qty else format(_rounded((last - avg) * qty), "f"),
        rpnl="0",
        since=since_ns // MS,
        unprotected_ms=1e3 * max(0, (now_ns - since_ns) // NANOS) if qty else 0.0,
    )


def _columns(packet: Any) -> dict[str, Any]:
    """Return the columns that closed and developing buckets share."""
    if isinstance(packet, np.void):  # asked for them one by one, numpy takes many times as long
        packet = dict(zip(PACKET_DTYPE.names or (), packet.item(), strict=True))
    return {
        "i": int(packet["seq"]),
        "t0": int(packet["ts_open_ns"]) // MS,
        "t1": int(packet["ts_close_ns"]) // MS,
        "o": float(packet["open"]),
        "h": float(packet["high"]),
        "l": float(packet["low"]),
        "c": float(packet["close"]),
        "v": float(packet["total_usd"]),
        "bv": float(packet["buy_usd"]),
        "sv": float(packet["sell_usd"]),
        "n": int(packet["trade_count"]),
        "imb": float(packet["imbalance"]),
        "vpin": _finite(packet["vpin"]),
        "vol": _finite(math.sqrt(max(0.0, float(packet["realized_variance"])))),
        "tainted": bool(packet["is_tainted"]),
    }


def _finite(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None


def _figures(detail: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(one) for name, one in detail.items() if _is_number(one)}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _number(text: str) -> float | None:
    return float(text) if text else None


def _rounded(value: Decimal) -> Decimal:
    """Return a figure that was divided, to eight decimals: enough for people, exact where it was exact."""
    return value.quantize(Decimal("1e-8")).normalize()


__all__ = [
    "EXTERNAL_SETUP",
    "bar_view",
    "bucket_view",
    "cancelled_entry",
    "developing_view",
    "ended_shadow",
    "external_view",
    "market_bar_view",
    "model_decision",
    "most_points",
    "order_view",
    "position_view",
    "signal_of",
    "trade_view",
    "words_of",
]
