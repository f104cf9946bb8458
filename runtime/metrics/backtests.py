"""Metrics of a backtest while it runs: for trying a dashboard, and for watching a long replay."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from runtime.cli import say

type Actors = Callable[[Any], Sequence[Any]]


@contextmanager
def scraped(port: int | None) -> Iterator[Actors]:
    """Give the actors of a run that Prometheus can scrape: none, and no endpoint, without a port.

    The endpoint answers in the whole block. Decisions stay the same: the meter sets no timer, and a scrape
    only reads.

    Parameters
    ----------
    port
        On loopback, 1 to 65535; None or 0 serves nothing.

    Raises
    ------
    ConfigurationError
        When the port is taken or out of range.
    """
    if not port:
        yield lambda _engine: ()
        return
    # Prometheus' client: runs without the option need not load it.
    from runtime.metrics.collector import NodeCollector, NodeSources
    from runtime.metrics.meter import Meter, MeterConfig
    from runtime.metrics.server import MetricsServer

    collector = NodeCollector(NodeSources())  # the port is refused before anything is computed
    with MetricsServer(collector, port) as server:
        say(f"metrics: {server.address}")

        def actors(engine: Any) -> Sequence[Any]:
            meter = Meter(MeterConfig(mark_secs=0), engine.trader.strategies)
            collector.sources = NodeSources(
                cache=engine.cache,
                meter=meter,
                strategies=engine.trader.strategies,
                data_count=lambda: engine.kernel.data_engine.data_count,
                now_ns=engine.kernel.clock.timestamp_ns,
            )
            return [meter]

        yield actors
