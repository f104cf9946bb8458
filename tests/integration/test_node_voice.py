"""Notifications and metrics of a real node: a backtest with both actors, scraped over HTTP while it runs."""

import json
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from runtime.backtest import RunResult, run_backtest
from runtime.catalog import Catalog
from runtime.instruments import make_instrument
from runtime.metrics.collector import NodeCollector, NodeSources
from runtime.metrics.families import METRICS
from runtime.metrics.meter import Meter, MeterConfig
from runtime.metrics.server import MetricsServer
from runtime.notify.actor import NotifyActor, NotifyActorConfig
from runtime.notify.events import EventKind
from runtime.notify.notifier import Notifier
from runtime.notify.outbox import Message
from runtime.notify.settings import NotifySettings
from runtime.run_plan import plan_run
from runtime.run_request import RunRequest
from runtime.sample import SampleRequest, tape_of
from runtime.settings import BacktestSettings, Settings

ETH = "ETHUSDT.BINANCE"
TRADES = 30_000


class Ear:
    """A channel that keeps what it hears."""

    name = "ear"
    tags = frozenset({"ear"})

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def send(self, message: Message, timeout_secs: float) -> None:
        """Keep it."""
        self.messages.append(message)

    def events(self, kind: EventKind) -> list[Any]:
        """Return the events of one kind."""
        return [one for message in self.messages for one in message.events if one.kind is kind]


@dataclass
class Heard:
    """A finished run, what was told, and the last scrape of it."""

    result: RunResult
    ear: Ear
    scrape: dict[str, dict[tuple[tuple[str, str], ...], float]]
    scrapes: int
    plain_sha256: str


def read(address: str) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Scrape; series name -> labels -> value."""
    with urllib.request.urlopen(address, timeout=20) as answer:
        text = answer.read().decode()
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Heard]:
    """Run the first hours of the sample tape with both actors; scrape now and then and at the end."""
    folder = tmp_path_factory.mktemp("voice")
    instrument = make_instrument("binance", "spot", "ETHUSDT", Decimal("0.01"), Decimal("0.0001"))
    catalog = folder / "catalog"
    Catalog(catalog, create=True).write_trades(instrument, tape_of(SampleRequest(days=1), "ETHUSDT")[:TRADES])
    settings = Settings(backtest=BacktestSettings(runs=str(folder / "runs")))
    request = RunRequest(
        settings=settings, source="", catalog=catalog, strategy="ote", start_ns=None, end_ns=None,
        instruments=(ETH,), command_line={},
    )  # fmt: skip
    ear, scrapes, servers = Ear(), [], []
    quiet = NotifySettings(console=False, per_minute=0, batch_secs=0, queue=100_000)
    notifier = Notifier(quiet, "paper", [ear])

    def actors(engine: Any) -> list[Any]:
        meter = Meter(MeterConfig(mark_secs=0), engine.trader.strategies)
        sources = NodeSources(
            cache=engine.cache,
            meter=meter,
            strategies=engine.trader.strategies,
            data_count=lambda: engine.kernel.data_engine.data_count,
            now_ns=engine.kernel.clock.timestamp_ns,
            channels=notifier.states,
            spool_bytes=lambda: 4096,
            reconnects=lambda: {"binance": 2},
            health=lambda: {"disk": "degraded"},
        )
        servers.append(MetricsServer(NodeCollector(sources), 0))
        return [meter, NotifyActor(NotifyActorConfig(poll_secs=0), notifier, engine.trader.strategies)]

    def on_time(_ts_ns: int) -> None:
        scrapes.append(0)
        if len(scrapes) % 20 == 1:
            read(servers[0].address)

    kept: dict[str, Any] = {}

    def last_words(engine: Any) -> list[Any]:
        made = actors(engine)
        stop = made[0].on_stop

        def on_stop() -> None:
            stop()
            kept["scrape"] = read(servers[0].address)

        made[0].on_stop = on_stop
        return made

    plain = run_backtest(plan_run(request))
    result = run_backtest(plan_run(request), on_time, last_words)
    assert notifier.close(60.0)
    yield Heard(result, ear, kept.get("scrape", {}), len(scrapes), plain.folder.decision_sha256)
    servers[0].close()


def total(heard: Heard, name: str, **labels: str) -> float:
    """Sum a series over the labels that are not asked for."""
    wanted = set(labels.items())
    return sum(value for key, value in heard.scrape[name].items() if wanted <= set(key))


def test_what_people_hear_is_what_the_records_say(heard: Heard) -> None:
    """Each entry, first fill and closed trade of the run is one event, with its money."""
    counters = heard.result.counters
    assert counters["entries_submitted"] > 3
    assert len(heard.ear.events(EventKind.ENTRY)) == counters["entries_submitted"]
    closed = [
        one
        for kind in (EventKind.TARGET_HIT, EventKind.STOP_HIT, EventKind.POSITION_CLOSED)
        for one in heard.ear.events(kind)
    ]
    assert sorted(one.data["setup_id"] for one in closed) == sorted(
        one.setup_id for one in heard.result.trades
    )
    told = sum(Decimal(one.data["pnl"]) for one in closed)
    assert told == sum(Decimal(one.pnl) for one in heard.result.trades)
    assert all(one.text.startswith(ETH) for one in closed)
    assert heard.ear.events(EventKind.SIGNAL_SKIPPED) == []  # off by default


def test_start_and_stop_are_told_once(heard: Heard) -> None:
    """The first word and the last one."""
    kinds = [one.kind for message in heard.ear.messages for one in message.events]
    assert (kinds[0], kinds[-1]) == (EventKind.START, EventKind.STOP)
    assert kinds.count(EventKind.START) == kinds.count(EventKind.STOP) == 1


def test_the_scrape_agrees_with_the_run(heard: Heard) -> None:
    """Trades, buckets, orders and money are the engine's own."""
    counters, trades = heard.result.counters, heard.result.trades
    assert total(heard, "smcbot_data_total") == TRADES + 1  # and the definition of the instrument
    assert total(heard, "smcbot_buckets_total") == counters["buckets"]
    assert total(heard, "smcbot_trades_total") == len(trades) > 0
    assert total(heard, "smcbot_pnl_quote") == pytest.approx(float(sum(Decimal(one.pnl) for one in trades)))
    log = (heard.result.folder.path / "events.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in log]
    filled = sum(one.get("event") == "OrderFilled" for one in records)
    assert total(heard, "smcbot_order_events_total", event="OrderFilled") == filled > 0
    assert total(heard, "smcbot_unprotected_seconds_total") > 0  # 50 ms of latency per stop
    assert total(heard, "smcbot_equity_quote") > 0
    assert total(heard, "smcbot_reconnects_total", stream="binance") == 2
    assert total(heard, "smcbot_health", check="disk") == 2
    assert not heard.scrape.get("smcbot_scrape_errors_total")


def test_no_series_is_unknown_and_no_metric_is_without_a_name(heard: Heard) -> None:
    """What is served is what is documented, and nothing that belongs to another registry."""
    known = {series for one in METRICS.values() for series in one.series()}
    assert set(heard.scrape) <= known
    assert "smcbot_build_info" in heard.scrape


def test_listening_changes_no_decision(heard: Heard) -> None:
    """The same events at the same times as in a run that nobody listens to."""
    assert heard.result.folder.decision_sha256 == heard.plain_sha256
