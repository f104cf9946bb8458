"""The causality proof passes on honest code and fails on every leak that is planted."""

import json
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nautilus_trader.model.data import Bar
from nautilus_trader.model.identifiers import InstrumentId

import backtest_node
from indicators.engine import StructureEngine
from packet_builder.builder import VolumeBucketBuilder
from runtime.catalog import BarColumns, Catalog, TradeColumns
from runtime.instruments import make_instrument
from runtime.run_plan import RunPlan, plan_run
from runtime.run_request import RunRequest
from runtime.settings import Settings
from runtime.sweeps.findings import Findings
from runtime.sweeps.lookahead import (
    Transcript,
    choose_cuts,
    compare_transcripts,
    load_data,
    prove,
    prove_kernels,
)
from runtime.sweeps.truncated import truncated
from strategies.ote import OteConfig, OteStrategy, perception
from strategies.registry import StrategySpec

XRP = "XRPUSDT-PERP.BINANCE"
MIDNIGHT = 1_773_792_000_000_000_000  # 2026-03-18
PARAMETERS = {
    "bucket_usd": "6000",
    "structure": "internal",
    "min_reward_risk": "0",
    "stop_buffer_pct": "0.01",
}
SPEC = StrategySpec("leaky", "1", "Peeks.", f"{__name__}:LeakyStrategy", f"{__name__}:LeakyConfig")


class LeakyConfig(OteConfig, frozen=True, kw_only=True):
    """Settings of a strategy that reads the catalog by itself.

    Parameters
    ----------
    catalog
        Folder of the catalog.
    """

    catalog: str = ""


class LeakyStrategy(OteStrategy):
    """Drops a zone when the bucket after it closes lower: one bar of look-ahead."""

    def build_perception(self) -> None:
        """Read all buckets before the first trade."""
        super().build_perception()
        trades = Catalog(self.config.catalog).read_trades_all(XRP)
        columns = (trades.ts_ns, trades.price_ticks, trades.size_lots, trades.is_buyer, trades.trade_id)
        self.closes = VolumeBucketBuilder(self.builder.config).scan(*columns)["close"]

    def on_structure(self, rows: Any, ts_ns: int) -> None:
        """Look at the next bucket."""
        after = self.bucket_seq + 1
        if after < len(self.closes) and self.closes[after] >= self.closes[self.bucket_seq]:
            super().on_structure(rows, ts_ns)


def tape(count: int = 24_000) -> TradeColumns:
    """Make a random walk whose trades often share a timestamp."""
    random = np.random.default_rng(7)
    return TradeColumns(
        ts_ns=MIDNIGHT + np.sort(random.integers(0, count * 4 // 3, count)) * 1_000_000_000,
        price_ticks=15_000 + np.cumsum(random.integers(-6, 7, count)),
        size_lots=random.integers(500, 9_000, count),
        is_buyer=random.random(count) < 0.5,
        trade_id=np.arange(1, count + 1),
    )


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Store the tape."""
    catalog = Catalog(tmp_path_factory.mktemp("lookahead") / "catalog", create=True)
    instrument = make_instrument("binance", "usdm", "XRPUSDT", Decimal("0.0001"), Decimal("0.1"))
    catalog.write_trades(instrument, tape())
    return catalog


def findings_of(catalog: Catalog, strategy: str, parameters: dict[str, str]) -> Findings:
    """Run the whole proof."""
    request = RunRequest(
        settings=Settings(),
        source="config.yaml",
        catalog=catalog.path,
        strategy=strategy,
        command_line=PARAMETERS | parameters,
    )
    return prove(plan_run(request), lambda _amount: None)


def kernel_findings() -> Findings:
    """Run the kernel proof on prefixes of the tape."""
    findings = Findings()
    config = OteConfig(instrument_id=InstrumentId.from_str(XRP), bucket_usd=Decimal(2000))
    buckets, structure = perception(config, Decimal("0.0001"), Decimal("0.1"))
    cuts = list(range(4_000, 24_000, 4_000))
    prove_kernels(
        tape(), cuts, partial(VolumeBucketBuilder, buckets), partial(StructureEngine, structure), findings
    )
    return findings


def test_kernels_pass() -> None:
    """Buckets, events and snapshots of each prefix are those of the whole."""
    findings = kernel_findings()
    assert (findings.differences, findings.first) == (0, None)
    assert min(findings.compared.values()) > 1000


def test_honest_strategy_passes(catalog: Catalog, capsys: pytest.CaptureFixture[str]) -> None:
    """The command finds no difference, among decisions, orders, buckets, events and every column."""
    options = [word for name, value in PARAMETERS.items() for word in ("--set", f"{name}={value}")]
    code = backtest_node.main(["lookahead", "--catalog", str(catalog.path), "--json", *options])
    result = json.loads(capsys.readouterr().out)
    assert (code, result["differences"], result["first"]) == (0, 0, None)
    assert result["cuts"] >= 50
    assert result["checked"] == sum(result["compared"].values())
    for kind in ("bucket", "structure event", "decision", "order", "trade", "bucket row", "snapshot row"):
        assert result["compared"][kind] > 20, kind


def test_derived_bars_of_a_prefix_know_nothing_of_the_rest(tmp_path: Path) -> None:
    """A prefix that ends within a 15-minute bar has the bars before it and not that one."""
    whole = Catalog(tmp_path / "whole", create=True)
    instrument = make_instrument("binance", "usdm", "XRPUSDT", Decimal("0.0001"), Decimal("0.1"))
    whole.write_trades(instrument, tape(6_000))
    step_ns = 300_000_000_000
    opens = MIDNIGHT + np.arange(24) * step_ns
    prices = 15_000 + np.arange(24)
    whole.write_bars(
        instrument,
        "5m",
        BarColumns(opens, opens + step_ns, prices, prices, prices, prices, np.full(24, 10)),
    )
    request = RunRequest(
        settings=Settings(),
        source="config.yaml",
        catalog=whole.path,
        strategy="ote",
        command_line=PARAMETERS | {"htf_bar_type": f"{XRP}-15-MINUTE-LAST-EXTERNAL"},
    )
    plan = plan_run(request)
    prefix = truncated(plan, MIDNIGHT + 11 * step_ns, tmp_path / "prefix")

    def closes(of: RunPlan) -> list[tuple[int, float]]:
        return [(one.ts_init, one.close.as_double()) for one in load_data(of) if isinstance(one, Bar)]

    assert len(closes(plan)) == 8
    assert closes(prefix) == closes(plan)[:3]


def test_strategy_that_peeks_one_bucket_ahead_fails(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A strategy that reads the next bucket from the catalog is caught: a prefix does not hold it."""
    monkeypatch.setattr("runtime.run_plan.discover", lambda: {"leaky": SPEC})
    findings = findings_of(catalog, "leaky", {"catalog": str(catalog.path)})
    assert findings.differences > 0
    assert findings.first is not None
    assert "with all data" in findings.first


def test_events_stamped_one_bar_early_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """Structure that claims to be known on the bar before it is caught."""
    honest = StructureEngine.scan

    def early(self: StructureEngine, *columns: Any) -> tuple[Any, Any]:
        events, snapshots = honest(self, *columns)
        events["known_seq"] -= 1
        return events, snapshots

    monkeypatch.setattr(StructureEngine, "scan", early)
    findings = kernel_findings()
    assert findings.differences > 0
    assert "structure" in (findings.first or "")


@pytest.mark.parametrize("column", ["close", "atr", "rsi"])
def test_snapshot_of_the_next_bar_fails(monkeypatch: pytest.MonkeyPatch, column: str) -> None:
    """A column shifted by one bar, the classic leak of vectorised code, is caught and named."""
    honest = StructureEngine.scan

    def shifted(self: StructureEngine, *columns: Any) -> tuple[Any, Any]:
        events, snapshots = honest(self, *columns)
        snapshots[column][:-1] = snapshots[column][1:].copy()
        return events, snapshots

    monkeypatch.setattr(StructureEngine, "scan", shifted)
    findings = kernel_findings()
    assert findings.differences > 0
    assert f"column {column}" in (findings.first or "")


def test_bucket_that_knows_its_successor_fails(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bucket column filled from the bucket after it is caught; the command says so and exits with 1."""
    honest = VolumeBucketBuilder.scan

    def shifted(self: VolumeBucketBuilder, *columns: Any) -> Any:
        packets = honest(self, *columns)
        packets["vpin"][:-1] = packets["vpin"][1:].copy()
        return packets

    monkeypatch.setattr(VolumeBucketBuilder, "scan", shifted)
    options = [word for name, value in PARAMETERS.items() for word in ("--set", f"{name}={value}")]
    assert backtest_node.main(["lookahead", "--catalog", str(catalog.path), *options]) == 1


def test_cuts_hold_each_entry_and_at_least_fifty() -> None:
    """Evenly spread cuts, and one right after the data of each entry's time."""
    times_ns = np.repeat(np.arange(0, 5_000, 2), 2)
    cuts = choose_cuts(times_ns, [4001, 3000])
    assert len(cuts) >= 50
    assert {4002, 3002} <= set(cuts)
    assert all(times_ns[cut - 1] < times_ns[cut] for cut in cuts), "a cut never splits data of one time"
    assert cuts == sorted(set(cuts))
    assert cuts[0] > 0
    assert cuts[-1] < len(times_ns)


def transcript(*records: tuple[int, str]) -> Transcript:
    """Make a transcript of decisions."""
    made = Transcript()
    made.records = [(ts_ns, "decision", content.encode()) for ts_ns, content in records]
    return made


@pytest.mark.parametrize(
    ("full", "growing", "differences"),
    [
        ([(1, "{a}"), (5, "{b}")], [(1, "{a}"), (5, "{b}")], 0),
        ([(1, "{x}"), (5, "{b}")], [(1, "{a}"), (5, "{b}")], 1),
        ([(1, "{a}"), (2, "{early}"), (5, "{b}")], [(1, "{a}"), (5, "{b}")], 1),
        ([(1, "{a}")], [(1, "{a}"), (5, "{b}")], 1),
    ],
    ids=["equal", "other content", "known early", "missing"],
)
def test_transcripts_differ(
    full: list[tuple[int, str]], growing: list[tuple[int, str]], differences: int
) -> None:
    """A record that differs, is known early, or is missing is a difference; the first cut is at 3."""
    findings = Findings()
    cuts = [(1, 3, 1), (2, 5, 2)]
    compare_transcripts(transcript(*full), transcript(*growing), cuts, findings)
    assert findings.differences == differences


def test_too_little_data_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A catalog with a handful of trades gives one line and exit code 2."""
    catalog = Catalog(tmp_path / "small", create=True)
    instrument = make_instrument("binance", "usdm", "XRPUSDT", Decimal("0.0001"), Decimal("0.1"))
    catalog.write_trades(instrument, tape(20))
    assert backtest_node.main(["lookahead", "--catalog", str(catalog.path)]) == 2
    assert "take a longer one" in capsys.readouterr().err
