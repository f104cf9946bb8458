"""Every metric once: name, type, labels and meaning. The dashboard may use these and no others."""

from dataclasses import dataclass
from typing import Final, Literal

PREFIX: Final = "smcbot_"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Parameters
    ----------
    name
        With its unit, without the prefix; counters without ``_total``.
    kind
        As Prometheus calls it.
    meaning
        One sentence.
    labels
        Label names.
    """

    name: str
    kind: Literal["gauge", "counter", "histogram"]
    meaning: str
    labels: tuple[str, ...] = ()

    def series(self) -> tuple[str, ...]:
        """Return the names under which Prometheus stores it."""
        name = PREFIX + self.name
        if self.kind == "counter":
            return (f"{name}_total",)
        if self.kind == "histogram":
            return (f"{name}_bucket", f"{name}_count", f"{name}_sum")
        return (name,)


METRICS: Final = {
    one.name: one
    for one in (
        Metric("build_info", "gauge", "Always 1; versions as labels.", ("version", "python", "nautilus")),
        Metric("uptime_seconds", "gauge", "Time since the node started."),
        Metric("rss_bytes", "gauge", "Resident memory of the process."),
        Metric("data", "counter", "Trades, bars and other data that the node took; its rate is ticks/s."),
        Metric("trade_age_seconds", "gauge", "Age of the last trade by the node's clock.", ("instrument",)),
        Metric("data_lag_seconds", "gauge", "Last trade: arrival minus venue time.", ("instrument",)),
        Metric("buckets", "counter", "Closed volume buckets.", ("strategy",)),
        Metric("strategy_events", "counter", "Counters of the strategies.", ("strategy", "name")),
        Metric("decisions", "counter", "Decisions by kind.", ("kind",)),
        Metric("tick_to_decision_seconds", "histogram", "Arrival of a trade to the decision to cancel."),
        Metric("decision_to_sent_seconds", "histogram", "Decision to cancel to the cancel on its way."),
        Metric("tick_to_cancel_seconds", "histogram", "Arrival of a trade to the cancel that it caused."),
        Metric("cancel_to_ack_seconds", "histogram", "Cancel sent to its confirmation by the venue."),
        Metric("model_latency_seconds", "histogram", "Time that the model took to decide.", ("strategy",)),
        Metric("model_score", "gauge", "Last probability.", ("strategy",)),
        Metric("model_drift", "gauge", "0 waiting, 1 ok, 2 warn, 3 alarm.", ("strategy",)),
        Metric("orders", "gauge", "Orders by state: open, inflight, closed.", ("state",)),
        Metric("order_events", "counter", "Order events by type.", ("event",)),
        Metric("positions_open", "gauge", "Open positions."),
        Metric("unprotected_seconds", "counter", "Time with position and no working stop.", ("instrument",)),
        Metric("unprotected_longest_seconds", "gauge", "Longest such time of the session.", ("instrument",)),
        Metric("unprotected_violations", "counter", "Times that the watchdog closed a position."),
        Metric("unprotected_qty", "gauge", "Position without a working stop, now.", ("instrument",)),
        Metric("halted", "gauge", "1 where nothing is opened any more.", ("instrument",)),
        Metric("trades", "counter", "Closed trades.", ("instrument", "exit_reason")),
        Metric("pnl_quote", "gauge", "Sum of closed trades after fees, quote currency.", ("instrument",)),
        Metric("fees_quote", "gauge", "Sum of fees of closed trades, quote currency.", ("instrument",)),
        Metric("equity_quote", "gauge", "Equity at the last mark, quote currency."),
        Metric("drawdown_ratio", "gauge", "Loss from the highest equity, 0 to 1."),
        Metric("queue_depth", "gauge", "Entries that wait, by queue.", ("queue",)),
        Metric("dropped", "counter", "Entries that a full queue dropped.", ("queue",)),
        Metric("notifications", "counter", "Messages by channel and outcome.", ("channel", "outcome")),
        Metric("spool_bytes", "gauge", "Journal spool not yet in the database."),
        Metric("database_bytes", "gauge", "Size of the journal database."),
        Metric("reconnects", "counter", "Reconnects by stream.", ("stream",)),
        Metric("health", "gauge", "0 ok, 1 unknown, 2 degraded, 3 failing.", ("check",)),
        Metric("scrape_errors", "counter", "Sections that could not be read, by section.", ("section",)),
    )
}
