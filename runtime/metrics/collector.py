"""Reads a node's objects when Prometheus scrapes: between scrapes the node pays nothing for a metric."""

import platform
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from ml.latency import LatencyHistogram
from runtime.metrics.families import METRICS, PREFIX
from runtime.metrics.meter import Meter, setups_of, uncovered_qty

NANOS: Final = 1_000_000_000
DRIFT: Final = ("waiting", "ok", "warn", "alarm")
HEALTH: Final = ("ok", "unknown", "degraded", "failing")
# Upper ends in seconds: 1 us to 10 s, three per decade.
EDGES: Final = (*(round(step * 10.0**power, 9) for power in range(-6, 1) for step in (1, 2, 5)), 10.0)
_FAMILIES: Final[dict[str, Any]] = {
    "gauge": GaugeMetricFamily,
    "counter": CounterMetricFamily,
    "histogram": HistogramMetricFamily,
}

type Figures = Callable[[], Mapping[str, float]]


def _nothing() -> dict[str, float]:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSources:
    """What a collector reads. Callables are asked at each scrape and may raise: that part is left out then.

    Parameters
    ----------
    cache
        Nautilus' cache of the node; None without one.
    meter
        The node's meter.
    strategies
        Its strategies.
    data_count
        Data objects taken so far: the data engine counts them anyway.
    now_ns
        The node's clock, UNIX nanoseconds.
    channels
        States of notification channels, `Notifier.states`.
    queues, drops
        Queue name -> entries that wait, and that were dropped.
    spool_bytes, database_bytes
        Sizes of the journal; None where there is none.
    reconnects
        Stream -> times it was connected again.
    health
        Check -> status.
    protection
        What the watchdog measured, see `runtime.live.watchdog.WatchdogActor.report`; None without one: then
        the meter's own time counts, which takes a stop on its way for one that works.
    """

    cache: Any = None
    meter: Meter | None = None
    strategies: Callable[[], Iterable[Any]] = tuple
    data_count: Callable[[], int] | None = None
    now_ns: Callable[[], int] = time.time_ns
    channels: Callable[[], Iterable[Any]] = tuple
    queues: Figures = _nothing
    drops: Figures = _nothing
    spool_bytes: Callable[[], int] | None = None
    database_bytes: Callable[[], int] | None = None
    reconnects: Figures = _nothing
    health: Callable[[], Mapping[str, str]] = dict
    protection: Callable[[], Mapping[str, Any]] | None = None


class NodeCollector:
    """A Prometheus collector of one node.

    Parameters
    ----------
    sources
        What to read; may be replaced when there is more.
    """

    def __init__(self, sources: NodeSources) -> None:
        self.sources = sources
        self._started_s = time.monotonic()
        self._errors: Counter[str] = Counter()

    def collect(self) -> Iterator[Metric]:
        """Yield every family; a section that fails is counted and left out, the others come."""
        for section in (_process, _data, _strategies, _model, _orders, _money, _meters, _queues, _states):
            try:
                yield from list(section(self.sources))
            except Exception:  # a dictionary that grew while it was read, an object that is gone
                self._errors[section.__name__.strip("_")] += 1
        yield _family("uptime_seconds", [((), time.monotonic() - self._started_s)])
        yield _family("scrape_errors", [((name,), count) for name, count in self._errors.items()])


def _family(name: str, samples: Iterable[tuple[tuple[str, ...], float]]) -> Metric:
    terms = METRICS[name]
    family = _FAMILIES[terms.kind](PREFIX + name, terms.meaning, labels=terms.labels)
    for labels, value in samples:
        family.add_metric(list(labels), float(value))
    metric: Metric = family
    return metric


def histogram_family(name: str, samples: Iterable[tuple[tuple[str, ...], LatencyHistogram, float]]) -> Metric:
    """Return a histogram in seconds; a bin of ours counts where its upper end lies.

    Parameters
    ----------
    name
        Of a metric.
    samples
        (labels, histogram, sum of all durations in seconds).
    """
    terms = METRICS[name]
    family = HistogramMetricFamily(PREFIX + name, terms.meaning, labels=terms.labels)
    for labels, histogram, total_s in samples:
        plain: Any = histogram.as_plain()["bins"]
        bins = [(one["below_us"] / 1e6, one["count"]) for one in plain]
        buckets = [
            (repr(edge), float(sum(count for below_s, count in bins if below_s <= edge))) for edge in EDGES
        ]
        buckets.append(("+Inf", float(sum(count for _below, count in bins))))
        family.add_metric(list(labels), buckets, total_s)
    return family


def _process(_sources: NodeSources) -> Iterator[Metric]:
    try:
        own = version("smcbot")
    except PackageNotFoundError:
        own = "unknown"
    labels = (own, platform.python_version(), version("nautilus_trader"))
    yield _family("build_info", [(labels, 1)])
    yield _family("rss_bytes", [((), rss_bytes())])


def rss_bytes() -> int:
    """Return the resident memory of this process, bytes; the highest so far where only that is known."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - no file of ours
            import resource

            return int(file.read().split()[1]) * resource.getpagesize()
    except OSError:
        import resource
        import sys

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def _data(sources: NodeSources) -> Iterator[Metric]:
    if sources.data_count is not None:
        yield _family("data", [((), sources.data_count())])
    if sources.cache is None:
        return
    ticks = {one.value: sources.cache.trade_tick(one) for one in sources.cache.instrument_ids()}
    known = {name: tick for name, tick in ticks.items() if tick is not None}
    now_ns = sources.now_ns()
    yield _family(
        "trade_age_seconds",
        [((name,), max(0, now_ns - tick.ts_init) / NANOS) for name, tick in known.items()],
    )
    yield _family(
        "data_lag_seconds",
        [((name,), (tick.ts_init - tick.ts_event) / NANOS) for name, tick in known.items()],
    )


def _strategies(sources: NodeSources) -> Iterator[Metric]:
    counters = {str(one.id): dict(one.counters) for one in sources.strategies() if hasattr(one, "counters")}
    yield _family("buckets", [((name,), own.get("buckets", 0)) for name, own in counters.items()])
    yield _family(
        "strategy_events",
        [((name, key), value) for name, own in counters.items() for key, value in own.items()],
    )
    setups = [
        (name, setup) for one in sources.strategies() for name, setup in setups_of(one) if setup is not None
    ]
    yield _family("unprotected_qty", [((name,), float(uncovered_qty(setup))) for name, setup in setups])
    halted: list[tuple[tuple[str, ...], float]] = []
    for one in sources.strategies():
        owners = getattr(one, "desks", ())
        halted += [((own.instrument_id.value,), float(own.is_halted)) for own in owners]
    yield _family("halted", halted)


def _model(sources: NodeSources) -> Iterator[Metric]:
    judges = [
        (str(one.id), one.gate.judge)
        for one in sources.strategies()
        if getattr(one, "gate", None) is not None
    ]
    scores = [((name,), judge.probability) for name, judge in judges if judge.probability is not None]
    yield _family("model_score", scores)
    monitors = [(name, judge.drift) for name, judge in judges if hasattr(judge, "drift")]
    yield _family("model_drift", [((name,), DRIFT.index(str(one.state))) for name, one in monitors])
    latencies = [(name, judge.latency) for name, judge in judges if hasattr(judge, "latency")]
    # The sum is not kept there; the middle of the bins would look exact and is not.
    yield histogram_family("model_latency_seconds", [((name,), one, 0.0) for name, one in latencies])


def _orders(sources: NodeSources) -> Iterator[Metric]:
    cache = sources.cache
    if cache is None:
        return
    counts = {
        "open": cache.orders_open_count(),
        "inflight": cache.orders_inflight_count(),
        "closed": cache.orders_closed_count(),
    }
    yield _family("orders", [((state,), count) for state, count in counts.items()])
    yield _family("positions_open", [((), cache.positions_open_count())])


def _money(sources: NodeSources) -> Iterator[Metric]:
    meter = sources.meter
    if meter is None:
        return
    yield _family("trades", [(key, count) for key, count in dict(meter.trades).items()])
    yield _family("pnl_quote", [((name,), float(value)) for name, value in dict(meter.pnl).items()])
    yield _family("fees_quote", [((name,), float(value)) for name, value in dict(meter.fees).items()])
    if meter.equity is not None:
        yield _family("equity_quote", [((), meter.equity)])
        yield _family("drawdown_ratio", [((), meter.drawdown_ratio)])


def _meters(sources: NodeSources) -> Iterator[Metric]:
    meter = sources.meter
    if meter is None:
        return
    yield _family("decisions", [((kind,), count) for kind, count in dict(meter.decisions).items()])
    yield _family("order_events", [((name,), count) for name, count in dict(meter.order_events).items()])
    yield from _unprotected(sources, meter)
    total_s = meter.tick_to_decision_sum_ns / NANOS
    yield histogram_family("tick_to_decision_seconds", [((), meter.tick_to_decision, total_s)])
    total_s = meter.decision_to_sent_sum_ns / NANOS
    yield histogram_family("decision_to_sent_seconds", [((), meter.decision_to_sent, total_s)])
    total_s = meter.tick_to_cancel_sum_ns / NANOS
    yield histogram_family("tick_to_cancel_seconds", [((), meter.tick_to_cancel, total_s)])
    total_s = meter.cancel_to_ack_sum_ns / NANOS
    yield histogram_family("cancel_to_ack_seconds", [((), meter.cancel_to_ack, total_s)])


def _unprotected(sources: NodeSources, meter: Meter) -> Iterator[Metric]:
    if sources.protection is None:
        unprotected = dict(meter.unprotected_ns)
        yield _family("unprotected_seconds", [((name,), ns / NANOS) for name, ns in unprotected.items()])
        return
    report = sources.protection()
    yield _family("unprotected_seconds", [((name,), secs) for name, secs in report["sum_secs"].items()])
    longest = report["longest_secs"].items()
    yield _family("unprotected_longest_seconds", [((name,), secs) for name, secs in longest])
    yield _family("unprotected_violations", [((), report["violations"])])


def _queues(sources: NodeSources) -> Iterator[Metric]:
    channels = list(sources.channels())
    depths = {**sources.queues(), **{f"notify-{one.name}": one.queued for one in channels}}
    drops = {**sources.drops(), **{f"notify-{one.name}": one.dropped for one in channels}}
    yield _family("queue_depth", [((name,), count) for name, count in depths.items()])
    yield _family("dropped", [((name,), count) for name, count in drops.items()])
    outcomes = [
        ((one.name, outcome), getattr(one, outcome))
        for one in channels
        for outcome in ("delivered", "failures", "held")
    ]
    yield _family("notifications", outcomes)
    if sources.spool_bytes is not None:
        yield _family("spool_bytes", [((), sources.spool_bytes())])
    if sources.database_bytes is not None:
        yield _family("database_bytes", [((), sources.database_bytes())])


def _states(sources: NodeSources) -> Iterator[Metric]:
    yield _family("reconnects", [((name,), count) for name, count in sources.reconnects().items()])
    yield _family("health", [((name,), HEALTH.index(status)) for name, status in sources.health().items()])
