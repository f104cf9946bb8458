"""Records for the journal's tests: one of every stream, and endless scripted ones."""

from typing import Any

from runtime.journal.records import (
    AccessRecord,
    CancelRecord,
    CommandRecord,
    FillRecord,
    OrderRecord,
    SessionStart,
    SignalRecord,
)
from strategies.trade_manager.record import ClosedTrade, Decision

COIN = "XRPUSDT.BINANCE"
START = SessionStart(
    ts_ns=1_773_792_000_000_000_000, mode="paper", strategy="ote", config_sha256="ab" * 32, instruments=[COIN]
)


def decision(number: int, **facts: Any) -> Decision:
    """Return the decision of that number."""
    return Decision(
        ts_ns=1_773_792_000_000_000_000 + number,
        strategy_id="OTE-000",
        instrument_id=COIN,
        **({"kind": "cancel_asked", "setup_id": f"L{number}", "probability": 0.25, "threshold": 0.3} | facts),
    )


def order(number: int) -> OrderRecord:
    """Return an order's acceptance."""
    return OrderRecord(
        ts_ns=number,
        event="OrderAccepted",
        strategy_id="OTE-000",
        instrument_id=COIN,
        client_order_id=f"OTE-XRPUSDT-L{number}-E1",
        setup_id=f"L{number}",
        leg="E",
        qty="100.0",
        price="0.51230",
    )


def fill(number: int) -> FillRecord:
    """Return the fill of that order."""
    return FillRecord(
        ts_ns=number,
        strategy_id="OTE-000",
        instrument_id=COIN,
        client_order_id=f"OTE-XRPUSDT-L{number}-E1",
        trade_id=str(number),
        side="BUY",
        qty="100.0",
        price="0.51230",
        commission="0.01024600",
        commission_currency="USDT",
        liquidity="MAKER",
        setup_id=f"L{number}",
        leg="E",
    )


def trade(number: int, **facts: Any) -> ClosedTrade:
    """Return the trade that came of it."""
    plain: dict[str, Any] = {
        "setup_id": f"L{number}",
        "strategy_id": "OTE-000",
        "instrument_id": COIN,
        "side": "long",
        "entry_ts_ns": 1_773_792_060_000_000_000,
        "exit_ts_ns": 1_773_795_600_000_000_000,
        "entry_price": "0.51230",
        "exit_price": "0.51500",
        "qty": "100.0",
        "pnl": "0.2490270",
        "fees": "0.02097300",
        "dust_qty": "0",
        "r_multiple": 1.3,
        "mae_r": -0.2,
        "mfe_r": 1.4,
        "exit_reason": "target",
        "stop_price": "0.51000",
        "target_price": "0.51500",
        "zone_id": number,
        "zone_low": 0.509,
        "zone_high": 0.513,
        "tainted": False,
        "entry_bucket_seq": 1,
        "exit_bucket_seq": 9,
    }
    return ClosedTrade(**(plain | facts))


def command(number: int) -> CommandRecord:
    """Return a command."""
    return CommandRecord(
        ts_ns=number,
        command_id=f"c{number}",
        actor="operator",
        origin="cli",
        action="pause",
        args={"n": number},
    )


def signal(number: int, **facts: Any) -> SignalRecord:
    """Return a taken signal."""
    plain: dict[str, Any] = {
        "ts_ns": number,
        "strategy_id": "OTE-000",
        "instrument_id": COIN,
        "side": "long",
        "signal_id": number,
        "is_taken": True,
        "confidence": 0.82,
        "factors": {"trend": 12.0, "volume": 0.0},
        "price": "0.51230",
    }
    return SignalRecord(**(plain | facts))


def cancel(number: int) -> CancelRecord:
    """Return a step of the cancel ledger."""
    return CancelRecord(ts_ns=number, strategy_id="OTE-000", instrument_id=COIN, step="venue", after_ms=51.5)


def access(number: int) -> AccessRecord:
    """Return a login."""
    return AccessRecord(ts_ns=number, actor="viewer", origin="127.0.0.1", action="login", outcome="refused")


DURABLE = (decision, order, fill, trade, command, signal, cancel, access)
SCRIPT = (decision, order, fill, decision, decision, trade, command)


def scripted(number: int) -> Any:
    """Return the record of that number of a long session."""
    return SCRIPT[number % len(SCRIPT)](number)
