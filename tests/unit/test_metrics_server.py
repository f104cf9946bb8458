"""The metrics endpoint and the dashboard: loopback only, clear errors, every query names a metric."""

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from prometheus_client.core import GaugeMetricFamily

from ml.latency import LatencyHistogram
from runtime.errors import ConfigurationError
from runtime.metrics.collector import NodeCollector, NodeSources, histogram_family
from runtime.metrics.families import METRICS, PREFIX
from runtime.metrics.meter import Meter, MeterConfig
from runtime.metrics.server import MetricsServer
from tests.integration.test_node_voice import read

ROOT = Path(__file__).resolve().parents[2]


def test_figures_leave_loopback_by_no_setting() -> None:
    """An account's figures are nobody else's business."""
    with pytest.raises(ConfigurationError, match="only loopback"):
        MetricsServer(NodeCollector(NodeSources()), 0, "0.0.0.0")


def test_a_bad_port_is_named_with_what_to_do() -> None:
    """Taken and out of range."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=rf"metrics port {port} .* choose another port"):
            MetricsServer(NodeCollector(NodeSources()), port)
    with pytest.raises(ConfigurationError, match="70000 is not between"):
        MetricsServer(NodeCollector(NodeSources()), 70_000)


def test_a_section_that_fails_is_counted_and_the_others_come() -> None:
    """A scrape never fails as a whole, and says which part is missing."""

    def broken() -> dict[str, float]:
        raise RuntimeError("dictionary changed size during iteration")

    with MetricsServer(
        NodeCollector(NodeSources(reconnects=broken, queues=lambda: {"spool": 7})), 0
    ) as server:
        found = read(server.address)
    assert found["smcbot_queue_depth"] == {(("queue", "spool"),): 7}
    assert found["smcbot_scrape_errors_total"] == {(("section", "states"),): 1}
    assert found["smcbot_rss_bytes"][()] > 1_000_000


def test_the_watchdog_s_figures_are_exported() -> None:
    """Sum, longest time and violations, as it measured them at acknowledged stops."""
    report = {"sum_secs": {"XRP": 1.5}, "longest_secs": {"XRP": 0.9}, "violations": 2}
    sources = NodeSources(meter=Meter(MeterConfig(), tuple), protection=lambda: report)
    with MetricsServer(NodeCollector(sources), 0) as server:
        found = read(server.address)
    assert found["smcbot_unprotected_seconds_total"] == {(("instrument", "XRP"),): 1.5}
    assert found["smcbot_unprotected_longest_seconds"] == {(("instrument", "XRP"),): 0.9}
    assert found["smcbot_unprotected_violations_total"] == {(): 2}


def test_a_histogram_counts_below_each_edge() -> None:
    """Two of three durations lie below a millisecond; the sum is exact."""
    histogram = LatencyHistogram()
    for duration_ns in (3_000, 400_000, 70_000_000):
        histogram.add(duration_ns)
    family = histogram_family("tick_to_cancel_seconds", [((), histogram, 0.070403)])
    values = {(one.name, one.labels.get("le")): one.value for one in family.samples}
    name = PREFIX + "tick_to_cancel_seconds"
    assert values[f"{name}_bucket", "0.001"] == 2
    assert values[f"{name}_bucket", "1e-06"] == 0
    assert values[f"{name}_bucket", "+Inf"] == values[f"{name}_count", None] == 3
    assert values[f"{name}_sum", None] == 0.070403


def test_every_query_of_the_dashboard_names_a_metric_and_every_metric_is_shown() -> None:
    """The dashboard and the code cannot drift apart."""
    panels = json.loads((ROOT / "docs" / "grafana" / "smcbot.json").read_text())["panels"]
    used = {
        name
        for panel in panels
        for target in panel["targets"]
        for name in re.findall(rf"\b{PREFIX}\w+", target["expr"])
    }
    series = {one: metric.name for metric in METRICS.values() for one in metric.series()}
    assert used <= set(series)
    assert {series[one] for one in used} == set(METRICS)


def test_the_guide_lists_every_metric() -> None:
    """docs/how-to/metrics.md names each one."""
    guide = (ROOT / "docs" / "how-to" / "metrics.md").read_text()
    assert [name for name in METRICS if f"`{PREFIX}{name}`" not in guide] == []


class _One:
    """A collector of one gauge."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield it."""
        yield GaugeMetricFamily("one", "One.", 1.0)


def test_each_endpoint_has_a_registry_of_its_own() -> None:
    """Two nodes in one process do not mix, and nothing of the default registry shows."""
    with MetricsServer(_One(), 0) as first, MetricsServer(NodeCollector(NodeSources()), 0) as second:
        assert set(read(first.address)) == {"one"}
        assert "one" not in read(second.address)


def test_channels_are_shown_with_their_outcomes() -> None:
    """What notifications did is visible where nobody reads notifications."""
    state = SimpleNamespace(name="1:tgram", queued=3, dropped=2, delivered=9, failures=1, held=4)
    with MetricsServer(NodeCollector(NodeSources(channels=lambda: [state])), 0) as server:
        found = read(server.address)
    assert found["smcbot_dropped_total"] == {(("queue", "notify-1:tgram"),): 2}
    assert found["smcbot_notifications_total"][("channel", "1:tgram"), ("outcome", "held")] == 4


def test_an_address_of_version_6_can_be_read() -> None:
    """In brackets, as in every URL."""
    try:
        server = MetricsServer(NodeCollector(NodeSources()), 0, "::1")
    except ConfigurationError as error:
        pytest.skip(f"no IPv6 on this machine: {error}")
    with server:
        assert server.address == f"http://[::1]:{server.port}/metrics"
        assert "smcbot_rss_bytes" in read(server.address)
