"""What a node says of itself: journal, notifications, metrics, health. It adds nothing to a tick's way."""

import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from nautilus_trader.model.identifiers import InstrumentId

from runtime.health import (
    HealthChecks,
    disk_check,
    lag_check,
    model_check,
    records_check,
    spool_check,
    streams_check,
    unhealthy,
    writer_check,
)
from runtime.journal.actor import JournalActor, JournalActorConfig
from runtime.journal.status import pending_bytes, writer_trouble
from runtime.live.context import LiveContext
from runtime.metrics.collector import NodeCollector, NodeSources
from runtime.metrics.meter import Meter, MeterConfig
from runtime.metrics.server import MetricsServer
from runtime.notify.actor import NotifyActor, NotifyActorConfig
from runtime.notify.events import EventKind
from strategies.market_context import BITCOIN

log = logging.getLogger("smcbot.health")

WATCH_SECS: Final = 2.0
HEALTH_SECS: Final = 10.0
STREAM_WARN_SECS: Final = 60.0
STREAM_FAIL_SECS: Final = 300.0
LAG_WARN_SECS: Final = 1.0
LAG_FAIL_SECS: Final = 5.0
MIB: Final = 1 << 20
NANOS: Final = 1e9


class NodeVoice:
    """Makes the actors that listen, and serves what they know; a context manager while the node runs.

    Parameters
    ----------
    context
        Of the node.
    timeframes
        Strategy id -> interval of its bars or size of its buckets.
    """

    def __init__(self, context: LiveContext, timeframes: Mapping[str, str]) -> None:
        self._context = context
        self._timeframes = dict(timeframes)
        self.meter = Meter(MeterConfig(), context.strategies)
        context.facts["latency"] = self.meter.latencies
        context.probes.update(_probes(context))
        self.health = HealthChecks(context.probes)
        self._parts = ExitStack()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="health", daemon=True)
        self._worst = "ok"

    def actors(self) -> Iterator[Any]:
        """Yield journal, meter and notifications, in the order in which they hear of things."""
        bitcoin = (name for name in self._context.instruments if name.startswith(BITCOIN))
        config = JournalActorConfig(
            context_id=next(bitcoin, ""), timeframes=self._timeframes, watch_secs=WATCH_SECS
        )
        yield JournalActor(config, self._context.journal)
        yield self.meter
        yield NotifyActor(NotifyActorConfig(), self._context.notifier, self._context.strategies)

    def __enter__(self) -> Self:
        # Parts that were added after the first look are asked too.
        self.health = HealthChecks(self._context.probes)
        port = self._context.settings.live.metrics_port
        if port:
            server = self._parts.enter_context(MetricsServer(NodeCollector(self._sources()), port))
            log.info("metrics: %s", server.address)
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._parts.close()

    def _sources(self) -> NodeSources:
        kernel = self._context.node.kernel
        spool = self._context.journal.root
        return NodeSources(
            cache=kernel.cache,
            meter=self.meter,
            strategies=self._context.strategies,
            data_count=lambda: kernel.data_engine.data_count,
            now_ns=kernel.clock.timestamp_ns,
            channels=self._context.notifier.states,
            queues=lambda: _queues(kernel),
            drops=lambda: {"telemetry": self._context.journal.telemetry_dropped},
            spool_bytes=lambda: pending_bytes(spool),
            reconnects=lambda: dict(self._context.reconnects),
            health=self.health.statuses,
            protection=self._context.facts.get("unprotected"),
        )

    def _watch(self) -> None:
        """Tell people when the node's health changes, and what is wrong."""
        while not self._ended.wait(HEALTH_SECS):
            report = self.health.health_detailed()
            if report["status"] == self._worst:
                continue
            self._worst = report["status"]
            bad = unhealthy(report)
            words = "; ".join(f"{one['name']} {one['status']}: {one['what']}" for one in bad) or "all is well"
            self._context.notifier.tell(EventKind.HEALTH, f"health is {self._worst}: {words}")


def _queues(kernel: Any) -> dict[str, float]:
    return {
        "data": kernel.data_engine.data_qsize(),
        "commands": kernel.exec_engine.cmd_qsize(),
        "events": kernel.exec_engine.evt_qsize(),
    }


def _probes(context: LiveContext) -> dict[str, Any]:
    """Return the checks of a node; they read what is there anyway."""
    journal = context.journal
    cache = context.node.kernel.cache
    least = context.settings.live.min_disk_mb * MIB

    def last_trades() -> dict[str, Any]:
        found = {name: cache.trade_tick(InstrumentId.from_str(name)) for name in context.instruments}
        return {name: tick for name, tick in found.items() if tick is not None}

    def ages() -> dict[str, float]:
        now_ns = time.time_ns()
        return {name: (now_ns - tick.ts_init) / NANOS for name, tick in last_trades().items()}

    def lags() -> dict[str, float]:
        return {name: (tick.ts_init - tick.ts_event) / NANOS for name, tick in last_trades().items()}

    probes = {
        "streams": streams_check(ages, STREAM_WARN_SECS, STREAM_FAIL_SECS),
        "lag": lag_check(lags, LAG_WARN_SECS, LAG_FAIL_SECS),
        "spool": spool_check(lambda: pending_bytes(journal.root)),
        "writer": writer_check(lambda: writer_trouble(journal.root)),
        "records": records_check(lambda: journal.records_lost),
        "disk": disk_check(Path(context.folder), 5 * least, least),
    }
    for strategy in context.strategies():
        folder = getattr(strategy.config, "model", "")
        if folder:
            probes[f"model {strategy.id}"] = model_check(_passport(folder))
    return probes


def _passport(folder: str) -> Any:
    from ml.passport import PASSPORT_FILE, decode

    return decode((Path(folder) / PASSPORT_FILE).read_bytes())
