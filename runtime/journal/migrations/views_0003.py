"""The views of schema 0003: what came of the model's decisions, of its cancels, and of scored signals."""

from collections.abc import Mapping
from typing import Final

# Of an order that filled before its cancellation the trade is the outcome, not the shadow.
_IS_CANCELLED: Final = """NOT EXISTS (
        SELECT 1 FROM cancels f WHERE f.session_id = {name}.session_id
        AND f.client_order_id = {name}.client_order_id AND f.step = 'venue' AND f.outcome = 'filled_first')"""


def views(dialect: str) -> Mapping[str, str]:
    """Return view name -> query, in the order in which they can be made.

    Parameters
    ----------
    dialect
        ``sqlite`` or ``postgresql``.
    """
    return {
        "cancel_ledger": _cancel_ledger(),
        "decision_outcomes": _decision_outcomes(dialect),
        "signal_outcomes": _signal_outcomes(),
        "win_rate_by_model_verdict": _by_verdict(),
    }


def _cancel_ledger() -> str:
    counted = ", ".join(
        f"SUM(CASE WHEN s.outcome = '{end}' THEN 1 ELSE 0 END) AS {name}"
        for name, end in {
            "never_filled": "not_filled",
            "still_open": "open",
            "reached_target": "target",
            "reached_stop": "stop",
        }.items()
    )
    return f"""
SELECT s.session_id, s.mode, s.strategy_id, s.instrument_id, COUNT(*) AS orders_cancelled,
    COUNT(s.net_r) AS would_have_filled, {counted},
    COALESCE(-SUM(s.net_r), 0.0) AS saved_r, COALESCE(-SUM(s.money), 0.0) AS saved_money
FROM cancels s
WHERE s.step = 'shadow' AND {_IS_CANCELLED.format(name="s")}
GROUP BY s.session_id, s.mode, s.strategy_id, s.instrument_id"""


def _decision_outcomes(dialect: str) -> str:
    """Return each decision of the model on an entry, with the trade or the shadow that followed it."""
    action = "json_extract(d.detail, '$.action')" if dialect == "sqlite" else "d.detail ->> 'action'"
    return f"""
SELECT d.session_id, d.mode, d.seq, d.ts_ns, d.strategy_id, d.instrument_id, d.setup_id, d.probability,
    d.threshold, d.reason, {action} AS action,
    (SELECT v.outcome FROM cancels v WHERE v.session_id = d.session_id
        AND v.client_order_id = s.client_order_id AND v.step = 'venue' ORDER BY v.seq DESC LIMIT 1)
        AS venue_outcome,
    COALESCE(t.exit_reason, s.outcome) AS outcome,
    COALESCE(t.r_multiple, s.net_r) AS r_multiple,
    t.seq IS NOT NULL AS is_traded
FROM decisions d
LEFT JOIN trades t ON t.session_id = d.session_id AND t.setup_id = d.setup_id
    AND t.instrument_id = d.instrument_id
LEFT JOIN cancels s ON {action} = 'cancel' AND s.session_id = d.session_id AND s.step = 'shadow'
    AND s.setup_id = d.setup_id AND s.instrument_id = d.instrument_id
    AND {_IS_CANCELLED.format(name="s")}
WHERE d.kind = 'cancel_asked'"""


def _signal_outcomes() -> str:
    """Return each scored signal, taken or not, with what became of it or would have."""
    return """
SELECT d.session_id, d.mode, d.seq, d.ts_ns, d.strategy_id, d.instrument_id, d.zone_id AS signal_id, d.side,
    d.kind = 'signal_taken' AS is_taken, d.reason AS skip_reason, d.probability, d.threshold,
    s.confidence, s.btc_price, s.btc_change_1h_pct, s.market_volatility_pct,
    o.reason AS outcome, o.ts_ns AS outcome_ts_ns
FROM decisions d
LEFT JOIN signals s ON s.session_id = d.session_id AND s.strategy_id = d.strategy_id
    AND s.instrument_id = d.instrument_id AND s.signal_id = d.zone_id
JOIN decisions o ON o.session_id = d.session_id AND o.strategy_id = d.strategy_id
    AND o.instrument_id = d.instrument_id AND o.zone_id = d.zone_id AND o.kind = 'signal_outcome'
WHERE d.kind IN ('signal_taken', 'signal_skipped')"""


def _by_verdict() -> str:
    """Return win rates of what the model kept, of what it cancelled, and of what filled before that."""
    return f"""
SELECT session_id, mode, verdict, COUNT(*) AS orders, SUM(CASE WHEN r > 0 THEN 1 ELSE 0 END) AS wins,
    AVG(CASE WHEN r > 0 THEN 1.0 ELSE 0.0 END) AS win_rate, AVG(r) AS average_r, SUM(money) AS pnl
FROM (
    SELECT t.session_id, t.mode, t.r_multiple AS r, CAST(t.pnl AS DOUBLE PRECISION) AS money,
        CASE WHEN EXISTS (
            SELECT 1 FROM cancels f WHERE f.session_id = t.session_id AND f.setup_id = t.setup_id
            AND f.instrument_id = t.instrument_id AND f.step = 'venue' AND f.outcome = 'filled_first'
        ) THEN 'cancel, filled first'
        WHEN EXISTS (
            SELECT 1 FROM decisions d WHERE d.session_id = t.session_id AND d.setup_id = t.setup_id
            AND d.instrument_id = t.instrument_id AND d.kind = 'cancel_asked'
        ) THEN 'keep' ELSE 'not asked' END AS verdict
    FROM trades t
    UNION ALL
    SELECT s.session_id, s.mode, s.net_r, s.money, 'cancel, would have been'
    FROM cancels s
    WHERE s.step = 'shadow' AND s.net_r IS NOT NULL AND {_IS_CANCELLED.format(name="s")}
) AS judged
GROUP BY session_id, mode, verdict"""
