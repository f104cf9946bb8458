"""A dataset against the engine: the same fills, exits and moments, and rows that a live policy would see."""

import hashlib
import importlib
import json
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

import backtest_node
from ml.dataset import Dataset
from ml.features import FeatureRing, OrderFacts, schema_hash, state_dtype_sha256
from ml.labels import Outcome, label_orders
from ml.passport import kernel_sha256
from ml.provenance import symbol_scopes
from runtime.catalog import Catalog
from runtime.datasets import build_dataset
from runtime.instruments import make_instrument
from runtime.recorder import Recorder, RecorderConfig
from runtime.run_entries import ENTRIES, read_entries
from runtime.run_plan import RunPlan, node_of, plan_run
from runtime.run_request import RunRequest
from runtime.sample import SampleRequest, tape_of
from runtime.settings import Settings, settings_hash
from runtime.sweeps.lookahead import Transcript
from strategies.dynamic_cancel import Approach, Verdict

cli = importlib.import_module("ml.__main__")

TRADES = 60_000
NAME = "ETHUSDT-PERP.BINANCE"
SETTINGS = {"bucket_usd": "20000", "structure": "internal"}
OPTIONS = [f"--set={name}={value}" for name, value in SETTINGS.items()]

type Damage = Callable[[Path], object]


@pytest.fixture(scope="module")
def catalog_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Store the beginning of the toxic tape as a perpetual: both sides are traded."""
    path = tmp_path_factory.mktemp("dataset") / "catalog"
    instrument = make_instrument("binance", "usdm", "ETHUSDT", Decimal("0.01"), Decimal("0.0001"))
    request = SampleRequest(days=1, signature="toxic")
    Catalog(path, create=True).write_trades(instrument, tape_of(request, "ETHUSDT")[:TRADES])
    return path


@pytest.fixture(scope="module")
def plan(catalog_path: Path) -> RunPlan:
    """Plan a run over all of it."""
    return plan_run(RunRequest(Settings(), "config.yaml", catalog_path, command_line=SETTINGS))


@dataclass
class Truth:
    """What Nautilus itself says about an entry order."""

    fill_ns: int = 0
    exit_ns: int = 0
    leg: str = ""
    profit: Decimal = Decimal(0)


class Peek:
    """Asked on every trade in the band, keeps the entry, and computes the row as live trading would."""

    wanted: set[int] = set()  # noqa: RUF012 - the strategy makes the object, the test reads the class
    rows: dict[tuple[int, float], list[bytes]] = {}  # noqa: RUF012
    ring = FeatureRing()
    placed: tuple[int, int] = (0, 0)

    def decide(self, approach: Approach) -> Verdict:
        """Keep."""
        if approach.ts_ns in self.wanted:
            order = OrderFacts(
                approach.direction,
                approach.entry_price,
                approach.stop_price,
                approach.target_price,
                approach.zone_low,
                approach.zone_high,
                *self.placed,
            )
            row = self.ring.vector(order, approach.ts_ns, approach.price)
            self.rows.setdefault((approach.ts_ns, approach.price), []).append(row.tobytes())
        return Verdict(cancel=False)


@pytest.fixture(scope="module")
def dataset(plan: RunPlan) -> Dataset:
    """Build the dataset, all looks included."""
    return build_dataset(plan, latency_ms=0)


@pytest.fixture(scope="module")
def engine_run(plan: RunPlan, dataset: Dataset) -> Iterator[tuple[dict[str, Truth], Transcript]]:
    """Run the engine with a policy that looks and keeps; give what its own cache knows of the orders."""
    Peek.wanted, Peek.rows, Peek.ring = set(dataset.t0_ns.tolist()), {}, FeatureRing()
    strategies = tuple(
        msgspec.structs.replace(one, config={**one.config, "cancel_policy": f"{__name__}:Peek"})
        for one in plan.strategies
    )
    node = node_of(replace(plan, strategies=strategies))
    node.build()
    (engine,) = node.get_engines()
    transcript = Transcript()
    engine.add_actor(Recorder(RecorderConfig(mark_from_ns=plan.last_ts_ns), transcript))
    (strategy,) = engine.trader.strategies()
    strategy.observe(lambda packet, _events: Peek.ring.push(packet, strategy.structure.snapshot))

    def note(decision: Any) -> None:
        if decision.kind in ("entry_submitted", "entry_repriced"):
            Peek.placed = decision.ts_ns, decision.bucket_seq

    engine.kernel.msgbus.subscribe(topic="decisions.*", handler=note)
    node.run()
    yield truths(engine.cache.orders()), transcript
    node.dispose()


def truths(orders: list[Any]) -> dict[str, Truth]:
    """Return per filled entry order its first fill, and last fill, leg and profit of its setup's exits."""
    by_setup: dict[str, list[Any]] = defaultdict(list)
    for order in orders:
        by_setup[order.client_order_id.value.rsplit("-", 1)[0]].append(order)
    found = {}
    for setup in by_setup.values():
        fills = sorted(
            ((event, order) for order in setup for event in order.events if hasattr(event, "last_px")),
            key=lambda pair: pair[0].ts_event,
        )
        exits = [pair for pair in fills if pair[1].tags != ["ENTRY"]]
        profit = Decimal(0)
        for event, _order in fills:
            sign = -1 if event.is_buy else 1
            profit += sign * event.last_px.as_decimal() * event.last_qty.as_decimal()
            profit -= event.commission.as_decimal()
        for order in setup:
            if order.tags == ["ENTRY"]:
                own = [event.ts_event for event, one in fills if one is order]
                truth = Truth(min(own)) if own else Truth()
                if own and exits:
                    truth = Truth(min(own), exits[-1][0].ts_event, exits[-1][1].tags[0], profit)
                found[order.client_order_id.value] = truth
    return found


def test_every_label_is_what_the_engine_did(
    plan: RunPlan, engine_run: tuple[dict[str, Truth], Transcript]
) -> None:
    """Outcome, fill, exit and the sign of the result of every order, from Nautilus' own cache."""
    truth, transcript = engine_run
    records = [
        {"record": kind, **json.loads(content)}
        for _ts_ns, kind, content in transcript.records
        if kind in ("decision", "order", "trade")
    ]
    labels = label_orders(records, plan.last_ts_ns)
    assert {one.client_order_id for one in labels} == set(truth)
    counts = dict.fromkeys(Outcome, 0)
    for label in labels:
        one = truth[label.client_order_id]
        counts[label.outcome] += 1
        assert label.fill_ns == one.fill_ns
        assert label.exit_ns == one.exit_ns
        if label.outcome is Outcome.TARGET:
            assert one.leg == "TARGET"
        elif label.outcome is Outcome.STOP:
            assert one.leg in ("STOP", "EXIT")  # at market, where the stop was left behind
        elif label.outcome is Outcome.NOT_FILLED:
            assert one.fill_ns == 0
        if label.exit_ns:
            assert (label.net_r > 0) == (one.profit > 0)
            assert label.resting_ns < label.fill_ns <= label.exit_ns
    assert min(counts[one] for one in (Outcome.NOT_FILLED, Outcome.TARGET, Outcome.STOP)) >= 5


def test_every_row_is_what_a_live_policy_would_see(
    dataset: Dataset, engine_run: tuple[dict[str, Truth], Transcript]
) -> None:
    """At each moment the strategy asks its policy, and the row it can compute then has the same bytes."""
    del engine_run  # it filled the rows
    assert len(dataset) > 200
    by_time: dict[int, list[bytes]] = defaultdict(list)
    for (ts_ns, _price), rows in Peek.rows.items():
        by_time[ts_ns] += rows
    missing = [
        at for at, ts_ns in enumerate(dataset.t0_ns.tolist()) if dataset.x[at].tobytes() not in by_time[ts_ns]
    ]
    assert missing == []


def test_the_dataset_says_what_it_is(dataset: Dataset, plan: RunPlan) -> None:
    """Nothing later than the decision is known; the label comes after it; counts and weights add up."""
    assert np.all(dataset.aside["known_ns"] <= dataset.t0_ns)
    assert np.all(dataset.t0_ns < dataset.t1_ns)
    filled = np.isfinite(dataset.net_r)
    assert np.array_equal(filled, dataset.aside["fill_ns"] > 0)
    assert np.all(dataset.t0_ns[filled] < dataset.aside["fill_ns"][filled])
    assert np.array_equal(dataset.y == 1, dataset.net_r > 0)
    assert set(dataset.aside["direction"].tolist()) == {1, -1}
    assert dataset.weight.mean() == pytest.approx(1)
    assert np.all((dataset.p_star > 0) & (dataset.p_star < 1))
    assert not np.isinf(dataset.x).any()
    meta = dataset.meta
    assert meta["n_effective"] == pytest.approx(len(set(dataset.order_id[filled].tolist())))
    assert sum(meta["orders"].values()) >= len(set(dataset.order_id.tolist()))
    assert meta["streams"][NAME]["stream"] == "trades"
    assert meta["streams"][NAME]["files"][0]["rows"] == TRADES
    assert meta["bucket_usd"] == "20000"
    assert dataset.schema_hash == schema_hash()
    assert meta["kernel_sha256"] == kernel_sha256()
    assert meta["state_dtype_sha256"] == state_dtype_sha256()
    scope = symbol_scopes(meta)[NAME]
    assert (scope.vpin_window, scope.price_decimals, scope.size_decimals) == (50, 2, 4)
    assert scope.parameters["sweet_spot"] == 0.705
    assert "risk_per_trade_pct" not in scope.parameters
    assert scope.maker_fee_bps is not None
    # A window of 128 buckets takes about the time of 128 buckets.
    span_secs = (dataset.t0_ns[-1] - dataset.t0_ns[0]) / 1e9
    assert 0 < meta["lookback_secs"] < span_secs
    rows = [one["rows"] for one in meta["latency_variants"]]
    assert rows == sorted(rows, reverse=True)
    assert rows[0] == filled.sum() > rows[-1] > 0
    assert rows == [
        int(np.isfinite(dataset.actionable(one["latency_ms"]).net_r).sum())
        for one in meta["latency_variants"]
    ]
    assert plan.ticks == meta["ticks"]


def run(*words: str | Path) -> int:
    """Run ``python -m ml`` in this process."""
    code: int = cli.main([str(word) for word in words])
    return code


@pytest.fixture(scope="module")
def ungated_run(catalog_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a run that keeps every entry."""
    base = tmp_path_factory.mktemp("ungated")
    settings = base / "config.yaml"
    settings.write_text(f"backtest: {{runs: {base / 'runs'}}}\n", encoding="utf-8")
    assert backtest_node.main(["run", f"--config={settings}", f"--catalog={catalog_path}", *OPTIONS]) == 0
    (folder,) = (base / "runs").iterdir()
    return folder


@pytest.fixture
def own_run(ungated_run: Path, tmp_path: Path) -> Path:
    """Give a copy of it, to be damaged."""
    return Path(shutil.copytree(ungated_run, tmp_path / "run"))


def test_a_run_gives_the_dataset_of_its_catalog(
    catalog_path: Path,
    ungated_run: Path,
    dataset: Dataset,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Both files byte for byte, with and without a replay; one JSON object."""
    every_look = ["--latency-ms", "0", "--json"]
    assert (
        run("dataset", "--catalog", catalog_path, *OPTIONS, *every_look, "--out", tmp_path / "replayed") == 0
    )
    replayed = json.loads(capsys.readouterr().out)
    assert run("dataset", "--run", ungated_run, *every_look, "--out", tmp_path / "read") == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures == {**replayed, "dataset": str(tmp_path / "read.parquet")}
    for ending in (".parquet", ".json"):
        assert (tmp_path / f"read{ending}").read_bytes() == (tmp_path / f"replayed{ending}").read_bytes()
    made = Dataset.load(tmp_path / "read", schema_hash())
    assert made.x.tobytes() == dataset.x.tobytes()
    assert made.meta == dataset.meta


def test_the_events_of_a_run_do_not_know_that_entries_are_watched(ungated_run: Path) -> None:
    """What each entry wanted lies beside the events, and their hash is that of the file."""
    summary = json.loads((ungated_run / "summary.json").read_text())
    events = (ungated_run / "events.jsonl").read_bytes()
    assert hashlib.sha256(events).hexdigest() == summary["decision_sha256"]
    origin, wanted = read_entries(ungated_run)
    assert origin.decision_sha256 == summary["decision_sha256"]
    assert {name for name, _stretch in wanted[NAME]} <= {
        record["client_order_id"]
        for record in map(json.loads, events.splitlines())
        if record["record"] == "order"
    }


def test_a_gated_run_is_refused(
    catalog_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its orders are what a policy left over; it has no file of entries either."""
    monkeypatch.chdir(tmp_path)
    policy = f"--set=cancel_policy={__name__}:Never"
    assert backtest_node.main(["run", f"--catalog={catalog_path}", *OPTIONS, policy, "--json"]) == 0
    folder = Path(json.loads(capsys.readouterr().out)["run_dir"])
    assert not (folder / ENTRIES).exists()
    refused(capsys, 2, "was gated by policy", "--run", folder)


def refused(capsys: pytest.CaptureFixture[str], code: int, text: str, *words: str | Path) -> None:
    """Expect one line on stderr, and nothing else."""
    assert run("dataset", *words, "--out", "nowhere") == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert text in captured.err
    assert captured.err.count("\n") == 1
    assert "internal error" not in captured.err
    assert not Path("nowhere.parquet").exists()


def without(name: str) -> Damage:
    """Delete a file of the run."""
    return lambda folder: (folder / name).unlink()


def edited(name: str, old: bytes, new: bytes) -> Damage:
    """Replace the first occurrence of some bytes."""

    def damage(folder: Path) -> None:
        content = (folder / name).read_bytes()
        assert old in content
        (folder / name).write_bytes(content.replace(old, new, 1))

    return damage


def cut(name: str) -> Damage:
    """Leave the first half of a file."""

    def damage(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])

    return damage


def with_fee(folder: Path) -> None:
    """Write settings with another fee, and the hash that belongs to them."""
    path = folder / "config.effective.yaml"
    content = yaml.safe_load(path.read_text())
    content["backtest"]["fees"]["maker"] = "0.0007"
    del content["config_sha256"]
    path.write_text(yaml.safe_dump({**content, "config_sha256": settings_hash(content)}))


DAMAGES: dict[str, tuple[Damage, int, str]] = {
    "settings gone": (without("config.effective.yaml"), 2, "is no run"),
    "not finished": (without("summary.json"), 2, "was not finished"),
    "older version": (without("entries.parquet"), 2, "has no entries.parquet"),
    "entries cut off": (cut("entries.parquet"), 1, "is damaged"),
    "events gone": (without("events.jsonl"), 1, "is missing"),
    "events cut off": (cut("events.jsonl"), 1, "is damaged"),
    "a line of events gone": (
        lambda folder: (folder / "events.jsonl").write_bytes(
            b"".join((folder / "events.jsonl").read_bytes().splitlines(keepends=True)[:-1])
        ),
        1,
        "has events that were edited",
    ),
    "an event edited": (edited("events.jsonl", b"OrderFilled", b"OrderDenied"), 1, "has events that were"),
    "a setting edited": (edited("config.effective.yaml", b"'20000'", b"'40000'"), 1, "was edited after"),
    "another fee": (with_fee, 1, "other rules or fees"),
}


@pytest.mark.parametrize(("damage", "code", "text"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_run_is_refused(
    own_run: Path, damage: Damage, code: int, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever of it is missing or was changed."""
    damage(own_run)
    refused(capsys, code, text, "--run", own_run)


def test_another_catalog_or_kernel_is_refused(
    catalog_path: Path,
    own_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A moved catalog will do; one in which a trade differs, or other code, will not."""
    shutil.copytree(catalog_path, tmp_path / "moved")
    where = ["--run", own_run, "--catalog", tmp_path / "moved"]
    assert run("dataset", *where, "--out", tmp_path / "moved-dataset") == 0
    (stored,) = (tmp_path / "moved" / "data" / "trade_tick" / NAME).glob("*.parquet")
    table = pq.read_table(stored)
    prices = table.column("price").to_pylist()
    prices[-1] = prices[-2]
    table = table.set_column(0, table.schema.field(0), pa.array(prices, table.schema.field(0).type))
    pq.write_table(table, stored)
    capsys.readouterr()
    refused(capsys, 1, "the catalog has changed since (files differs)", *where)
    monkeypatch.setattr("runtime.run_entries.kernel_sha256", lambda: "0" * 64)
    refused(capsys, 2, "another version of buckets", "--run", own_run)


class Never:
    """Takes every entry back."""

    def decide(self, approach: Approach) -> Verdict:
        """Cancel."""
        del approach
        return Verdict(cancel=True)


def test_wrong_usage_is_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No catalog, no run, no latency."""
    for words, text in [
        (["--catalog", str(tmp_path / "none")], "no such catalog"),
        (["--run", str(tmp_path)], "is no run"),
        (["--latency-ms", "-1"], "milliseconds"),
        (["--run", str(tmp_path), "--set", "bucket_usd=1"], "--set does not go with --run"),
        (["--run", str(tmp_path), "--maker-fee", "0"], "--maker-fee does not go with --run"),
        (["--model", "x"], "unrecognized arguments: --model"),
    ]:
        assert run("dataset", *words) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert text in captured.err
        assert "Traceback" not in captured.err
