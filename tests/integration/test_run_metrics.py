"""`backtest_node.py run --metrics-port`: a run with a model, scraped while it goes on."""

import json
import socket
import threading
import urllib.error
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import backtest_node
from runtime.catalog import Catalog
from runtime.instruments import make_instrument
from runtime.sample import SampleRequest, tape_of
from tests.integration.test_model_run import EVER, MARGIN, model_of
from tests.integration.test_node_voice import read

TRADES = 40_000


def free_port() -> int:
    """Return a port that nobody has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Scraper:
    """Scrapes an address from a thread of its own, as often as it answers."""

    address: str
    scrapes: list[dict[str, dict[tuple[tuple[str, str], ...], float]]] = field(default_factory=list)
    _ended: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        """End it."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(0.2):
            try:
                self.scrapes.append(read(self.address))
            except (urllib.error.URLError, ConnectionError):
                continue

    def last(self, name: str) -> dict[tuple[tuple[str, str], ...], float]:
        """Return the last samples of a series that was ever served."""
        return next(one[name] for one in reversed(self.scrapes) if one.get(name))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with the beginning of the toxic tape, and a model that fits its feed."""
    base = tmp_path_factory.mktemp("scraped")
    instrument = make_instrument("binance", "usdm", "ETHUSDT", Decimal("0.01"), Decimal("0.0001"))
    tape = tape_of(SampleRequest(days=1, signature="toxic"), "ETHUSDT")[:TRADES]
    Catalog(base / "catalog", create=True).write_trades(instrument, tape)
    model_of(base / "model", end_ns=EVER)
    return base


def run(place: Path, capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """Run the backtest; return its summary."""
    options = f"--catalog {place}/catalog --model {place}/model --json --set bucket_usd=20000".split()
    more = ["--set", "structure=internal", "--set", f"model_margin={MARGIN}", *words]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        assert backtest_node.main(["run", *options, *more]) == 0
    summary: dict[str, Any] = json.loads(capsys.readouterr().out)
    return summary


def test_a_run_with_a_model_is_scraped_and_decides_the_same(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Score, drift and what the model cost are served, and no decision differs from a run without."""
    plain = run(place, capsys)
    port = free_port()
    scraper = Scraper(f"http://127.0.0.1:{port}/metrics")
    try:
        watched = run(place, capsys, "--metrics-port", str(port))
    finally:
        scraper.close()
    assert watched["decision_sha256"] == plain["decision_sha256"]
    (score,) = scraper.last("smcbot_model_score").values()
    assert 0 < score < 1
    assert {*scraper.last("smcbot_model_drift").values()} <= {0.0, 1.0, 2.0, 3.0}
    (looks,) = scraper.last("smcbot_model_latency_seconds_count").values()
    gate = next(iter(watched["model"].values()))
    assert 0 < looks <= sum(gate["decisions"].values())
    counts = [sum(one["smcbot_data_total"].values()) for one in scraper.scrapes if "smcbot_data_total" in one]
    assert counts == sorted(counts)
    assert len(set(counts)) > 1  # while it ran, not only before or after
    with pytest.raises((urllib.error.URLError, ConnectionError)):
        read(scraper.address)


def test_a_port_that_cannot_be_opened_is_named(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Taken, or no port at all: one line, exit code 2, and no run that looks finished."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        for port, said in ((taken.getsockname()[1], "cannot be opened"), (70_000, "not between 0 and 65535")):
            words = ["--catalog", f"{place}/catalog", "--metrics-port", str(port)]
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(place)
                assert backtest_node.main(["run", *words]) == 2
            error = capsys.readouterr().err
            assert f"metrics port {port}" in error
            assert said in error
