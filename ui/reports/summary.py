"""The summary of a run as text for a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from ui.reports.gate import gate_lines
from ui.reports.gate import number as _number
from ui.reports.guards import guard_lines
from ui.reports.signals import signal_lines
from ui.reports.universe import universe_lines

WIDTH: Final = 24
SHOWN: Final = 3
TWICE: Final = 2.0


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
            f"{summary['strategy']} on {instruments_text(summary['instruments'])}\n"
            f"{summary['start']} to {summary['end']}"
        ),
        _pairs(
            (
                *_perceived(summary),
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
                (
                    "expectancy",
                    _number(summary["expectancy_r"], 1, "+.3f", " R")
                    + _limits(summary["expectancy_r_ci"], "+.3f")
                    + (
                        f", {summary['trades_without_r']} trades without R"
                        * bool(summary["trades_without_r"])
                    ),
                ),
                ("profit", _number(summary["pnl"], 1, "+,.2f", f" {currency}")),
                ("of which fees", _number(summary["fees"], 1, ",.2f", f" {currency}")),
                *_funding(summary, currency),
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
                ("slippage of exits", _slipped(summary["execution"]["exit_slippage"], currency)),
                ("profit at twice the fees", _doubled(summary["sensitivity"], currency)),
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
        _pairs(signal_lines(summary)),
        _pairs(universe_lines(summary)),
        _pairs(guard_lines(summary.get("guards"))),
        _pairs(
            (
                (
                    "fills",
                    f"latency {fills['latency_ms']:g} ms, {_liquidity(fills)}, slippage {_slippage(fills)}",
                ),
                *_shares(summary.get("volume_shares") or {}),
                *fee_lines(fills["fees"]),
                ("account", fills["account"]),
            )
        ),
        *(
            _pairs(gate_lines(name, report, currency))
            for name, report in (summary.get("model") or {}).items()
        ),
        _pairs(
            (
                (
                    "speed",
                    _number(summary["engine_ticks_per_s"], 1, ",.0f", f" {_unit(summary)}/s in the engine"),
                ),
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


def instruments_text(names: Sequence[str]) -> str:
    """Return the names of a few instruments, of many the first ones and their number.

    Examples
    --------
    >>> instruments_text(["A", "B", "C", "D", "E"])
    'A, B, C and 2 more'
    """
    if len(names) <= SHOWN + 1:
        return ", ".join(names)
    return f"{', '.join(names[:SHOWN])} and {len(names) - SHOWN} more"


def fee_lines(fees: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Return the fee rates, one line for all instruments that pay the same."""
    same: dict[str, list[str]] = {}
    for name, rates in fees.items():
        same.setdefault(f"maker {rates['maker']}, taker {rates['taker']}", []).append(name)
    if len(same) == 1 and len(fees) > SHOWN + 1:
        return [("fees of all", next(iter(same)))]
    return [(f"fees {name}", text) for text, names in same.items() for name in names]


def missing_rates(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return which funding rates a run did not have, nothing where none was missing.

    Parameters
    ----------
    summary
        As in `summary.json`.
    """
    missing = summary.get("funding_missing") or {}
    if not missing:
        return []
    count = sum(missing.values())
    return [("funding rates missing", f"at least {count:,}, {instruments_text(sorted(missing))}")]


def _funding(summary: Mapping[str, Any], currency: str) -> list[tuple[str, str]]:
    """Return what funding came to, nothing where no instrument has any."""
    missing = missing_rates(summary)
    if not summary.get("funding_times") and not missing:
        return []
    return [("and funding", _number(summary["funding"], 1, "+,.2f", f" {currency}")), *missing]


def _limits(interval: Sequence[float] | None, form: str) -> str:
    return "" if interval is None else f" ({format(interval[0], form)} to {format(interval[1], form)}, 95 %)"


def _slipped(exits: Mapping[str, Any], currency: str) -> str:
    if not exits["trades"]:
        return "-"
    return _number(exits["quote"], 1, "+,.2f", f" {currency}") + _number(
        exits["bps"], 1, "+.2f", " bps", ", "
    )


def _doubled(sensitivity: Mapping[str, Any], currency: str) -> str:
    twice = next(one for one in sensitivity["fees"] if one["factor"] == TWICE)
    return _number(twice["pnl"], 1, "+,.2f", f" {currency}, first order")


def _perceived(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    if summary.get("data") == "bars":
        return [("bars replayed", f"{summary['ticks']:,}")]
    return [
        ("trades replayed", f"{summary['ticks']:,} into {summary['buckets']:,} buckets"),
        ("zones", f"{summary['zones']:,}{_skipped(summary['zones_skipped'])}"),
    ]


def _unit(summary: Mapping[str, Any]) -> str:
    return str(summary.get("data", "trades"))


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


def _liquidity(fills: Mapping[str, Any]) -> str:
    """Return what limits the size of fills: other things on trades than on bars."""
    if "queue_position" in fills:
        return (
            f"liquidity consumption {_on(fills['liquidity_consumption'])}, "
            f"queue position {_on(fills['queue_position'])}"
        )
    return (
        f"bars ({fills['data'].removeprefix('closed bars, ')}), limits fill {fills['limits_fill']}, "
        f"impact {fills['impact_bps']} bps at a bar's whole volume"
    )


def _shares(shares: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Return how much of their bars' volume entries and exits took."""
    return [
        (
            f"{name} of their bars",
            (
                f"{one['above_10_pct']:,} of {one['orders']:,} above 10 % of its volume, "
                f"{one['above_100_pct']:,} above all of it, {one['without_volume']:,} without any, "
                f"worst {_number(one['worst_pct'], 1, ',.1f', ' %')}"
            ),
        )
        for name, one in shares.items()
        if one["orders"]
    ]


def _on(value: bool) -> str:
    return "on" if value else "off"
