"""Decisions, closed trades, order events and states in, events for people out. Pure but for its memory."""

import math
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

from runtime.notify.events import Event, EventKind, Severity
from strategies.entry_halt import HaltEntries, RearmEntries
from strategies.guards import FOREVER_NS, Pause
from strategies.trade_manager.record import ClosedTrade, Decision, ExitReason
from strategies.venue_reports import RATE_LIMIT

_CLOSED: Final[Mapping[str, EventKind]] = {
    ExitReason.TARGET: EventKind.TARGET_HIT,
    ExitReason.STOP: EventKind.STOP_HIT,
    ExitReason.BREAK_EVEN: EventKind.STOP_HIT,
    ExitReason.TRAILING: EventKind.STOP_HIT,
}
# A position that ended so is a matter for a person.
_ALARMING: Final = frozenset({ExitReason.BUG, ExitReason.PROTECTION_REFUSED})
_PROTECTION_ENDS: Final = ("_refused", "_unanswered")
_PROTECTION_BACK: Final = ("_placed", "_moved", "_resized")
_REFUSED: Final = frozenset({"OrderDenied", "OrderRejected", "OrderCancelRejected", "OrderModifyRejected"})
DRIFT_SEVERITY: Final[Mapping[str, Severity]] = {
    "waiting": Severity.INFO,
    "ok": Severity.INFO,
    "warn": Severity.WARNING,
    "alarm": Severity.CRITICAL,
}


class Translator:
    """Turns what happens on the bus into events.

    It remembers which setups lost their protection, which pauses were told, and the last state of each model.
    """

    def __init__(self) -> None:
        self._unprotected: dict[str, str] = {}
        self._pauses: dict[tuple[str, str, str], Pause] = {}
        self._drift: dict[str, str] = {}

    # -- decisions -----------------------------------------------------------------------------------------

    def decision(self, decision: Decision) -> Event | None:
        """Return what a decision means to a person, None for those that only the journal wants."""
        match decision.kind:
            case "entry_submitted":
                return _said(EventKind.ENTRY, decision, f"entry {_order(decision)}{_exits(decision)}")
            case "entry_filled":
                return _said(EventKind.FILL, decision, f"filled {_order(decision)}{_exits(decision)}")
            case "cancel_asked" if decision.detail.get("action") == "cancel":
                # What could not be scored is a fault of data or model, not an opinion of it.
                severity = Severity.WARNING if decision.reason == "unfit_row" else None
                words = f"entry cancelled: {_verdict(decision)}"
                return _said(EventKind.CANCEL_BY_MODEL, decision, words, severity)
            case "halted" if "source" not in decision.detail:  # that of all desks is told once, by `halt`
                return _said(EventKind.HALT, decision, f"halted: {decision.reason}; exits go on")
            case "protection":
                return self._protection(decision)
            case "zone" | "signal_taken":
                return _said(EventKind.SIGNAL, decision, f"signal {_order(decision)}{_exits(decision)}")
            case "zone_skipped" | "signal_skipped":
                return _said(EventKind.SIGNAL_SKIPPED, decision, f"signal skipped: {decision.reason}")
            case "position_closed":
                self._unprotected.pop(decision.setup_id, None)
        return None

    def _protection(self, decision: Decision) -> Event | None:
        setup, reason = decision.setup_id, decision.reason
        leg = reason.partition("_")[0]
        # The old stop still stands where only its move was refused.
        if reason.endswith(_PROTECTION_ENDS) and reason != "stop_move_refused":
            self._unprotected[setup] = leg
            text = decision.detail.get("text", "")
            return _said(
                EventKind.PROTECTION_LOST,
                decision,
                f"{reason.replace('_', ' ')}{f': {text}' if text else ''}; another way is tried",
                Severity.CRITICAL if leg == "stop" else Severity.WARNING,
            )
        if self._unprotected.get(setup) == leg and reason.endswith(_PROTECTION_BACK):
            del self._unprotected[setup]
            qty = f" for {decision.qty}" if decision.qty else ""
            return _said(EventKind.PROTECTION_RESTORED, decision, f"{leg} sent again{qty}")
        return None

    def halt(self, message: HaltEntries) -> Event:
        """Return the end of all entries."""
        return Event(
            kind=EventKind.HALT,
            ts_ns=message.ts_ns,
            text=f"entries halted: {message.text}; exits go on, entries wait for a person's rearm",
            data={"source": message.source, "reason": message.reason, "remedy": message.remedy},
        )

    def rearm(self, message: RearmEntries) -> Event:
        """Return that a person allowed entries again."""
        return Event(
            kind=EventKind.HALT,
            ts_ns=message.ts_ns,
            text=f"entries rearmed by {message.actor}{f': {message.reason}' if message.reason else ''}",
            severity=Severity.INFO,
            data={"actor": message.actor},
        )

    # -- trades and orders -----------------------------------------------------------------------------------

    def trade(self, trade: ClosedTrade) -> Event:
        """Return the end of a position, with its money."""
        has_r = math.isfinite(trade.r_multiple)
        r = f"{trade.r_multiple:+.2f}" if has_r else "-"
        text = (
            f"{trade.instrument_id} {trade.side} closed at {_short(trade.exit_price)} "
            f"({trade.exit_reason.replace('_', ' ')}): "
            f"PnL {Decimal(trade.pnl):+.2f}, {r} R, fees {Decimal(trade.fees):.2f}"
        )
        return Event(
            kind=_CLOSED.get(trade.exit_reason, EventKind.POSITION_CLOSED),
            ts_ns=trade.exit_ts_ns,
            text=text,
            severity=Severity.CRITICAL if trade.exit_reason in _ALARMING else None,
            data={
                "instrument_id": trade.instrument_id,
                "strategy_id": trade.strategy_id,
                "setup_id": trade.setup_id,
                "side": trade.side,
                "exit_reason": trade.exit_reason,
                "pnl": trade.pnl,
                "fees": trade.fees,
                "r_multiple": trade.r_multiple if has_r else None,
            },
        )

    def order(self, name: str, event: Any) -> Event | None:
        """Return a refusal as an event; `name` is the type of the order event.

        A post-only order that would have taken liquidity is sent again at another price: no news. Nor is each
        entry that the venue's limits have no room for: that they are near is told once.
        """
        if name not in _REFUSED or getattr(event, "due_post_only", False):
            return None
        if name == "OrderDenied" and event.reason == RATE_LIMIT:
            return None
        what = {
            "OrderCancelRejected": "cancel rejected",
            "OrderModifyRejected": "change rejected",
            "OrderDenied": "order denied by the node",
        }.get(name, "order rejected")
        reason = str(event.reason)
        return Event(
            kind=EventKind.ORDER_REFUSED,
            ts_ns=event.ts_event,
            text=f"{event.instrument_id} {what}: {reason} ({event.client_order_id})",
            data={
                "instrument_id": str(event.instrument_id),
                "client_order_id": str(event.client_order_id),
                "event": name,
                "reason": reason,
            },
        )

    # -- states --------------------------------------------------------------------------------------------

    def pauses(self, owner: str, pauses: Iterable[Pause], ts_ns: int) -> list[Event]:
        """Return the pauses of a strategy's guards that are new since the last call."""
        now = {(owner, one.reason.value, one.scope): one for one in pauses}
        # A longer pause of the same guard is news, the same pause is not.
        new = [one for key, one in now.items() if self._pauses.get(key) != one]
        self._pauses = {key: one for key, one in self._pauses.items() if key[0] != owner} | now
        return [_pause_event(owner, one, ts_ns) for one in new]

    def drift(self, owner: str, state: str, moved: Iterable[str], ts_ns: int) -> Event | None:
        """Return a change of a model's drift state; ``waiting`` and ``ok`` are both calm."""
        before, self._drift[owner] = self._drift.get(owner, "ok"), state
        if state == before or {state, before} == {"waiting", "ok"}:
            return None
        names = ", ".join(list(moved)[:5])
        return Event(
            kind=EventKind.DRIFT,
            ts_ns=ts_ns,
            text=f"{owner} model drift {before} -> {state}{f': {names}' if names else ''}",
            severity=DRIFT_SEVERITY.get(state, Severity.WARNING),
            data={"owner": owner, "state": state, "before": before},
        )


def _pause_event(owner: str, pause: Pause, ts_ns: int) -> Event:
    scope = "all entries" if pause.scope == "*" else pause.scope
    is_open = pause.until_ns >= FOREVER_NS
    until = "until it is rearmed" if is_open else f"for {(pause.until_ns - ts_ns) / 6e10:.0f} min"
    return Event(
        kind=EventKind.PAUSE,
        ts_ns=ts_ns,
        text=f"{owner} pauses {scope} {until}: {pause.text or pause.reason.value}",
        data={
            "owner": owner,
            "reason": pause.reason.value,
            "scope": pause.scope,
            "until_ns": pause.until_ns,
        },
    )


def _said(kind: EventKind, decision: Decision, words: str, severity: Severity | None = None) -> Event:
    data = {
        "instrument_id": decision.instrument_id,
        "strategy_id": decision.strategy_id,
        "setup_id": decision.setup_id,
        "decision": decision.kind,
        "reason": decision.reason,
        "probability": decision.probability,
    }
    return Event(
        kind=kind,
        ts_ns=decision.ts_ns,
        text=f"{decision.instrument_id} {words}",
        severity=severity,
        data={key: value for key, value in data.items() if value not in ("", None)},
    )


def _order(decision: Decision) -> str:
    parts = [decision.side, _short(decision.qty), f"at {_short(decision.price)}" if decision.price else ""]
    return " ".join(part for part in parts if part)


def _exits(decision: Decision) -> str:
    stop = f", stop {_short(decision.stop)}" if decision.stop else ""
    return stop + (f", target {_short(decision.target)}" if decision.target else "")


def _verdict(decision: Decision) -> str:
    if decision.probability is None:
        return decision.reason
    threshold = "" if decision.threshold is None else f" < {decision.threshold:.3f}"
    return f"p {decision.probability:.3f}{threshold} ({decision.reason})"


def _short(value: str) -> str:
    """Return an exact decimal without the digits that a sentence does not need: eight significant ones."""
    return f"{Decimal(value):.8g}" if value else ""
