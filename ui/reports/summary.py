"""The summary of a run as text for a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from ui.reports.gate import gate_lines
from ui.reports.gate import number as _number

WIDTH: Final = 24


def format_summary(summary: Mapping[str, Any]) -> str:
    """Return the summary as lines of text: result, trades, exits, and how fills were simulated.

    Parameters
    ----------
    summary
        As in `summary.json`.
    """
    currency = summary["currency"]
    fills = summary["fills"]
    blocks = [
        (
            f"{summary['strategy']} on {', '.join(summary['instruments'])}\n"
            f"{summary['start']} to {summary['end']}"
        ),
        _pairs(
            (
                ("trades replayed", f"{summary['ticks']:,} into {summary['buckets']:,} buckets"),
                ("zones", f"{summary['zones']:,}{_skipped(summary['zones_skipped'])}"),
                (
                    "entries",
                    (
                        f"{summary['entries_submitted']:,} submitted, {summary['entries_filled']:,} filled, "
                        f"{summary['entries_cancelled_by_model']:,} cancelled by the model"
                    ),
                ),
            )
        ),
        _pairs(
            (
                ("closed positions", f"{summary['positions_closed']:,}"),
                ("win rate", _number(summary["win_rate"], 100, ".1f", " %")),
                ("profit factor", _number(summary["profit_factor"], 1, ".2f")),
                ("expectancy", _number(summary["expectancy_r"], 1, "+.3f", " R")),
                ("profit", _number(summary["pnl"], 1, "+,.2f", f" {currency}")),
                ("of which fees", _number(summary["fees"], 1, ",.2f", f" {currency}")),
                (
                    "final balance",
                    _number(summary["final_balance"], 1, ",.2f", f" {currency}")
                    + _number(summary["total_return_pct"], 1, "+.2f", " %", before=", "),
                ),
                ("max drawdown", _number(summary["max_drawdown_pct"], 1, ".2f", " %")),
                (
                    "Sharpe, Sortino (365 d)",
                    f"{_number(summary['sharpe'], 1, '.2f')}, {_number(summary['sortino'], 1, '.2f')}",
                ),
                ("time in market", _number(summary["time_in_market_pct"], 1, ".1f", " %")),
                *(
                    (
                        "open at the end",
                        (
                            f"{one['side']} {one['quantity']} {one['instrument_id']} from "
                            f"{one['entry_price']}, {one['unrealized_pnl']}"
                        ),
                    )
                    for one in summary["open_positions"]
                ),
            )
        ),
        _pairs(
            [
                (
                    f"exit: {reason.replace('_', ' ')}",
                    f"{figures['positions_closed']:,}, {_number(figures['pnl'], 1, '+,.2f')} {currency}",
                )
                for reason, figures in summary["by_exit_reason"].items()
            ]
        ),
        _pairs(
            (
                (
                    "fills",
                    (
                        f"latency {fills['latency_ms']:g} ms, "
                        f"liquidity consumption {_on(fills['liquidity_consumption'])}, "
                        f"queue position {_on(fills['queue_position'])}, slippage {_slippage(fills)}"
                    ),
                ),
                *(
                    (f"fees {name}", f"maker {rates['maker']}, taker {rates['taker']}")
                    for name, rates in fills["fees"].items()
                ),
                ("account", fills["account"]),
            )
        ),
        *(
            _pairs(gate_lines(name, report, currency))
            for name, report in (summary.get("model") or {}).items()
        ),
        _pairs(
            (
                ("speed", _number(summary["engine_ticks_per_s"], 1, ",.0f", " trades/s in the engine")),
                ("wall time, memory", f"{summary['wall_s']:.1f} s, {summary['peak_rss_mb']:.0f} MB"),
                ("decision_sha256", summary["decision_sha256"]),
                ("run", summary["run_dir"]),
            )
        ),
    ]
    if summary["tainted_trades"]:
        clean = summary["without_tainted"]
        blocks.append(
            f"{summary['tainted_trades']} trades in buckets with missing ids; without them: "
            f"{clean['positions_closed']} trades, {_number(clean['expectancy_r'], 1, '+.3f', ' R')}, "
            f"{_number(clean['pnl'], 1, '+,.2f', ' ' + currency)}"
        )
    if summary["synthetic"]:
        blocks.append("Synthetic data: these figures say nothing about a market.")
    return "\n\n".join(block for block in blocks if block)


def _pairs(rows: Sequence[tuple[str, str]]) -> str:
    return "\n".join(f"{name:<{WIDTH}} {value}" for name, value in rows)


def _skipped(reasons: Mapping[str, int]) -> str:
    if not reasons:
        return ""
    return ", skipped: " + ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in reasons.items())


def _slippage(fills: Mapping[str, Any]) -> str:
    ticks, bps = fills["slippage_ticks"], fills["slippage_bps"]
    if not ticks and not float(bps):
        return f"{bps} bps"
    amount = f"{ticks} ticks" if ticks else f"{bps} bps"
    return f"{amount} ({fills['slippage_applies_to']})"


def _on(value: bool) -> str:
    return "on" if value else "off"
