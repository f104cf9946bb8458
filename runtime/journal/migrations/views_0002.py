"""The views of schema 0002: what traders ask, per session; trades and wins are there to add sessions up.

`trade_facts` joins each trade with the signal it came from and with the model's last word on its entry; the
others group it. Sums are double precision here; the tables hold the exact amounts.
"""

from collections.abc import Mapping
from typing import Final

_FIGURES: Final = """
    COUNT(*) AS trades,
    SUM(CASE WHEN pnl > 0 THEN 1 ELSE 0 END) AS wins,
    AVG(CASE WHEN pnl > 0 THEN 1.0 ELSE 0.0 END) AS win_rate,
    AVG(r_multiple) AS average_r,
    SUM(pnl) AS pnl,
    SUM(fees) AS fees,
    SUM(CASE WHEN pnl > 0 THEN pnl ELSE 0.0 END)
        / NULLIF(-SUM(CASE WHEN pnl < 0 THEN pnl ELSE 0.0 END), 0.0) AS profit_factor"""
_LAST_WORD: Final = """(
        SELECT d.reason FROM decisions d
        WHERE d.session_id = t.session_id AND d.setup_id = t.setup_id AND d.kind = 'cancel_asked'
        ORDER BY d.seq DESC LIMIT 1)"""
_HOUR_NS: Final = 3_600_000_000_000
_SECOND_NS: Final = 1_000_000_000


def views(dialect: str) -> Mapping[str, str]:
    """Return view name -> query, in the order in which they can be made.

    Parameters
    ----------
    dialect
        ``sqlite`` or ``postgresql``.
    """
    return {
        "trade_facts": _trade_facts(dialect),
        "win_rate_by_confidence": _grouped("confidence_bucket", "confidence IS NOT NULL"),
        "performance_by_factor": _by_factor(dialect),
        "performance_by_exit_reason": _grouped("exit_reason"),
        "performance_by_hour": _grouped("entry_hour_utc"),
        "performance_by_model_verdict": _grouped("model_verdict"),
        "performance_by_coin": _grouped("instrument_id"),
        "daily_stats": _grouped("exit_date"),
        "coin_performance": _coin_performance(),
        "skipped_signals": (
            "SELECT session_id, mode, strategy_id, instrument_id, skip_reason, COUNT(*) AS signals, "
            "AVG(confidence) AS average_confidence FROM signals WHERE NOT is_taken "
            "GROUP BY session_id, mode, strategy_id, instrument_id, skip_reason"
        ),
        "session_overview": (
            "SELECT s.session_id, s.mode, s.strategy, s.strategy_version, s.code_version, s.config_sha256, "
            "s.model_sha256, s.ts_ns AS started_ns, e.ts_ns AS ended_ns, e.reason AS end_reason, "
            "e.final_balance, e.telemetry_dropped, "
            "(SELECT COUNT(*) FROM trades t WHERE t.session_id = s.session_id) AS trades, "
            "(SELECT COUNT(*) FROM decisions d WHERE d.session_id = s.session_id) AS decisions "
            "FROM sessions s LEFT JOIN session_ends e ON e.session_id = s.session_id"
        ),
    }


def _trade_facts(dialect: str) -> str:
    seconds = f"t.exit_ts_ns / {_SECOND_NS}"
    day = (
        f"date({seconds}, 'unixepoch')"
        if dialect == "sqlite"
        else f"to_char(to_timestamp({seconds}) AT TIME ZONE 'UTC', 'YYYY-MM-DD')"
    )
    hour = f"(t.entry_ts_ns / {_HOUR_NS}) % 24"
    confidence = "COALESCE(a.confidence, b.confidence)"
    return f"""
SELECT t.session_id, t.mode, t.strategy_id, t.instrument_id, t.setup_id, t.side, t.entry_ts_ns, t.exit_ts_ns,
    {day} AS exit_date,
    {hour} AS entry_hour_utc,
    CASE WHEN {hour} < 7 THEN 'asia' WHEN {hour} < 13 THEN 'london' WHEN {hour} < 21 THEN 'new_york'
        ELSE 'late' END AS trading_session,
    t.exit_reason, t.r_multiple, t.mae_r, t.mfe_r, t.tainted,
    CAST(t.pnl AS DOUBLE PRECISION) AS pnl,
    CAST(t.fees AS DOUBLE PRECISION) AS fees,
    (t.exit_ts_ns - t.entry_ts_ns) / {_SECOND_NS} AS held_secs,
    {confidence} AS confidence,
    {_bucket(confidence)} AS confidence_bucket,
    COALESCE(a.timeframe, b.timeframe, '') AS timeframe,
    COALESCE(a.seq, b.seq) AS signal_seq,
    COALESCE({_LAST_WORD}, 'not asked') AS model_verdict
FROM trades t
LEFT JOIN signals a ON a.session_id = t.session_id AND a.setup_id = t.setup_id AND a.is_taken
    AND a.instrument_id = t.instrument_id
LEFT JOIN signals b ON b.session_id = t.session_id AND b.setup_id = '' AND b.is_taken
    AND b.instrument_id = t.instrument_id AND b.strategy_id = t.strategy_id AND b.signal_id = t.zone_id"""


def _bucket(confidence: str) -> str:
    cases = " ".join(
        f"WHEN {confidence} < {low + 5}e-2 THEN '{low / 100:.2f} to {(low + 5) / 100:.2f}'"
        for low in range(0, 95, 5)
    )
    return f"CASE WHEN {confidence} IS NULL THEN NULL {cases} ELSE '0.95 to 1.00' END"


def _grouped(column: str, condition: str = "1 = 1") -> str:
    return (
        f"SELECT session_id, mode, {column}, {_FIGURES} FROM trade_facts WHERE {condition} "
        f"GROUP BY session_id, mode, {column}"
    )


def _by_factor(dialect: str) -> str:
    expanded = (
        "json_each(s.factors) AS f"
        if dialect == "sqlite"
        else "LATERAL json_each_text(s.factors) AS f(key, value)"
    )
    return f"""
SELECT session_id, mode, factor, {_FIGURES}, AVG(points) AS average_points FROM (
    SELECT t.session_id, t.mode, f.key AS factor, CAST(f.value AS DOUBLE PRECISION) AS points,
        t.pnl, t.fees, t.r_multiple
    FROM trade_facts t
    JOIN signals s ON s.session_id = t.session_id AND s.seq = t.signal_seq
    CROSS JOIN {expanded}
) AS by_factor
WHERE points <> 0
GROUP BY session_id, mode, factor"""


def _coin_performance() -> str:
    best = {
        name: f"(SELECT i.{name} FROM trade_facts i WHERE i.session_id = c.session_id AND i.mode = c.mode "
        f"AND i.instrument_id = c.instrument_id GROUP BY i.{name} ORDER BY SUM(i.pnl) DESC, i.{name} LIMIT 1)"
        for name in ("timeframe", "trading_session")
    }
    return f"""
SELECT c.session_id, c.mode, c.instrument_id, c.trades, c.wins, c.win_rate, c.average_r, c.pnl, c.fees,
    c.profit_factor, {best["timeframe"]} AS best_timeframe, {best["trading_session"]} AS best_trading_session
FROM performance_by_coin c"""
