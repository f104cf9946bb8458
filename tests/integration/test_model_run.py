"""A backtest that a model gates: its decisions are explained, and days of the training are called so."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from nautilus_trader.model.identifiers import InstrumentId
from sqlalchemy import text

import backtest_node
from ml.contributions import Explainer
from ml.features import schema_hash, state_dtype_sha256
from ml.model import calibrated
from ml.passport import DataManifest, FeatureField, KernelInfo, Stream, SymbolScope, kernel_sha256
from runtime.catalog import Catalog
from runtime.contributions import explain_run
from runtime.errors import ConfigurationError
from runtime.instruments import make_instrument
from runtime.journal.database import open_engine
from runtime.run_plan import RunPlan, plan_run
from runtime.run_request import RunRequest
from runtime.run_summary import gate_of
from runtime.sample import SampleRequest, tape_of
from runtime.settings import Settings
from strategies.ote import SPEC
from strategies.ote_config import OteConfig
from tests.model_folder import passport_of, train, write
from tests.unit.test_model_policy import USED
from ui.reports.summary import format_summary

TRADES = 60_000
NAME = "ETHUSDT-PERP.BINANCE"
EVER = 1 << 62
TRAINED = OteConfig(instrument_id=InstrumentId.from_str(NAME), structure="internal")
SCOPE: dict[str, Any] = {"venue": "BINANCE", "bucket_usd": 20_000, "parameters": TRAINED.terms(),
                         "maker_fee_bps": 2.0, "taker_fee_bps": 5.0}  # fmt: skip
MARGIN = 0.1  # keeps some, and some of those fill; cancels some


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with the beginning of the toxic tape, and a model that fits its feed."""
    base = tmp_path_factory.mktemp("gated")
    instrument = make_instrument("binance", "usdm", "ETHUSDT", Decimal("0.01"), Decimal("0.0001"))
    request = SampleRequest(days=1, signature="toxic")
    Catalog(base / "catalog", create=True).write_trades(instrument, tape_of(request, "ETHUSDT")[:TRADES])
    model_of(base / "model", end_ns=EVER)
    return base


def model_of(
    folder: Path, stream: Stream = "trades", scope: Mapping[str, Any] | None = None, **span: int
) -> Path:
    """Write a model of three real features: the farther the price, the better."""
    booster = train()
    booster.feature_names = list(USED)
    passport = passport_of(
        booster,
        features=tuple(FeatureField(name=name) for name in USED),
        feature_schema_sha256=schema_hash(USED),
        kernel=KernelInfo(source_sha256=kernel_sha256(), state_dtype_sha256=state_dtype_sha256()),
        symbols={NAME: SymbolScope(**SCOPE | {"stream": stream} | dict(scope or {}))},
        strategy="ote",
        strategy_version=SPEC.version,
        data=DataManifest(files=(), **{"start_ns": 1, "end_ns": 2, **span}),
    )
    return write(folder, passport, booster)


@pytest.fixture(scope="module")
def run_folder(place: Path) -> Path:
    """Run the backtest once."""
    options = f"--catalog {place}/catalog --model {place}/model --json --set bucket_usd=20000"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("SMCBOT_JOURNAL_URL", "sqlite:///var/journal.sqlite")
        code = backtest_node.main(
            ["run", *options.split(), "--set", "structure=internal", "--set", f"model_margin={MARGIN}"]
        )
    assert code == 0
    (folder,) = (place / "var" / "runs").iterdir()
    return folder


def summary_of(folder: Path) -> dict[str, Any]:
    """Read the summary of a run."""
    found: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return found


def lines_of(path: Path) -> list[dict[str, Any]]:
    """Read lines of JSON."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_each_published_decision_is_explained(place: Path, run_folder: Path) -> None:
    """The file has the decisions of the log, in order; base, top five and rest give the probability."""
    asked = [one for one in lines_of(run_folder / "events.jsonl") if one.get("kind") == "cancel_asked"]
    explained = lines_of(run_folder / "contributions.jsonl")
    for name in ("ts_ns", "setup_id", "probability", "threshold", "reason"):
        assert [one[name] for one in explained] == [one[name] for one in asked]
    assert {one["action"] for one in explained} == {"cancel", "keep"}
    explainer = Explainer.load(place / "model")
    scored = [one for one in explained if one["probability"] is not None]
    for one in scored:
        margin = one["base"] + one["rest"] + sum(part["contribution"] for part in one["top"])
        assert calibrated(margin, 0.9, -0.1) == pytest.approx(one["probability"], abs=1e-6)
        sizes = [abs(part["contribution"]) for part in one["top"]]
        assert sizes == sorted(sizes, reverse=True)
        assert {part["feature"] for part in one["top"]} <= set(explainer.names)


def test_outcomes_are_joined(run_folder: Path) -> None:
    """A cancel carries what the venue said, a keep how its trade ended, if there was one."""
    explained = lines_of(run_folder / "contributions.jsonl")
    cancels = {one["outcome"] for one in explained if one["action"] == "cancel"}
    assert cancels <= {"cancelled_in_time", "filled_first", None}
    assert "cancelled_in_time" in cancels
    exits = {one["setup_id"]: one["exit_reason"] for one in lines_of(run_folder / "events.jsonl")
             if one["record"] == "trade"}  # fmt: skip
    keeps = [one for one in explained if one["action"] == "keep"]
    assert {one["outcome"] for one in keeps} & set(exits.values())
    assert all(one["outcome"] == exits.get(one["setup_id"]) for one in keeps)


def test_log_and_its_hash_do_not_know_of_it(run_folder: Path) -> None:
    """The hash of the decisions is that of the log, which was closed before anything was explained."""
    content = (run_folder / "events.jsonl").read_bytes()
    assert hashlib.sha256(content).hexdigest() == summary_of(run_folder)["decision_sha256"]
    assert b"contribution" not in content


def test_summary_says_what_made_it_cancel(run_folder: Path) -> None:
    """The features that lowered the probability most, and how many rows could not be scored."""
    gate = summary_of(run_folder)["model"][NAME]
    found = gate["contributions"]
    assert found["disagreeing"] == found["left_out"] == 0
    assert found["decisions"] == len(lines_of(run_folder / "contributions.jsonl")) - found["unscored"]
    cancels = sum(one["action"] == "cancel" for one in lines_of(run_folder / "contributions.jsonl"))
    assert 0 < sum(one["cancels"] for one in found["lowered_most"]) <= cancels
    assert gate["unfit_share"] < 0.02
    page = (run_folder / "tearsheet.html").read_text()
    for words in (format_summary(summary_of(run_folder)), page):
        assert found["lowered_most"][0]["feature"] in words
        assert "contributions.jsonl" in words


def test_days_of_the_training_are_called_in_sample(run_folder: Path) -> None:
    """Summary, terminal and tearsheet say so, and the gate has no skill there."""
    summary = summary_of(run_folder)
    assert summary["model"][NAME]["in_sample"] is True
    assert "IN-SAMPLE" in format_summary(summary)
    assert "IN-SAMPLE" in (run_folder / "tearsheet.html").read_text()
    assert "no skill" in format_summary(summary)
    summary["model"][NAME]["in_sample"] = False
    assert "IN-SAMPLE" not in format_summary(summary)


def test_expiry_in_the_run_is_said(run_folder: Path) -> None:
    """How many decisions were taken without the model, and what became of the entries."""
    summary = summary_of(run_folder)
    gate = summary["model"][NAME]
    assert not gate["expired"]
    assert "EXPIRED" not in format_summary(summary)
    gate["decisions"]["expired"] = 12
    assert "12 decisions without it, entries taken back" in format_summary(summary)


def test_replaced_model_explains_nothing(place: Path, run_folder: Path, tmp_path: Path) -> None:
    """The model that decided is gone: a reason in the summary, no wrong explanation, and the run stands."""
    other = model_of(tmp_path / "model", start_ns=7)
    sha256 = str(summary_of(run_folder)["model"][NAME]["model_sha256"])
    copy = shutil.copytree(run_folder, tmp_path / "run")
    for folder in (other, tmp_path / "nowhere"):
        (found,) = explain_run(copy, {NAME: (str(folder), sha256)}).values()
        assert "model refused" in found["refused"]
        assert lines_of(copy / "contributions.jsonl") == []


def test_many_decisions_are_thinned_but_for_the_cancels(
    place: Path, run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the limit all cancels stay, keeps are taken evenly, and the summary counts the others."""
    everything = lines_of(run_folder / "contributions.jsonl")
    cancels = [one for one in everything if one["action"] == "cancel"]
    monkeypatch.setattr("runtime.contributions.MOST_ROWS", len(cancels) + 3)
    copy = shutil.copytree(run_folder, tmp_path / "run")
    sha256 = str(summary_of(run_folder)["model"][NAME]["model_sha256"])
    (found,) = explain_run(copy, {NAME: (str(place / "model"), sha256)}).values()
    kept = lines_of(copy / "contributions.jsonl")
    assert len(kept) == len(cancels) + 3
    assert [one for one in kept if one["action"] == "cancel"] == cancels
    assert found["left_out"] == len(everything) - len(kept)
    assert [one["ts_ns"] for one in kept] == sorted(one["ts_ns"] for one in kept)


def test_warm_up_in_the_training_is_not_in_sample() -> None:
    """What is replayed before the first entry may happen decides nothing."""
    ledger = {"has_skill": True, "doubts": []}
    report = {"trained_ns": [100, 200], "decisions": {}, "ledger": ledger}
    for trade_from_ns, in_sample in ((0, True), (200, True), (201, False)):
        plan = SimpleNamespace(first_ts_ns=150, last_ts_ns=300, trade_from_ns=trade_from_ns)
        found = gate_of(report, plan, None)
        assert found["in_sample"] is in_sample
        assert found["ledger"]["has_skill"] is not in_sample
        assert bool(found["ledger"]["doubts"]) is in_sample


def test_days_before_the_training_are_in_sample() -> None:
    """A model knows what followed on days that came before those it learnt from."""
    report = {"trained_ns": [301, 400], "decisions": {}, "ledger": {"has_skill": True, "doubts": []}}
    for first_ns, in_sample in ((150, True), (400, True), (401, False)):
        plan = SimpleNamespace(first_ts_ns=first_ns, last_ts_ns=first_ns + 50, trade_from_ns=0)
        assert gate_of(report, plan, None)["in_sample"] is in_sample


def plan_of(place: Path, catalog: str, model: str, **settings: str) -> RunPlan:
    """Plan a run with a model, as the command does; the settings are those of its training."""
    words = {"bucket_usd": "20000", "structure": "internal", **settings}
    words |= {"model": str(place / model)} if model else {}
    return plan_run(RunRequest(Settings(), "defaults", place / catalog, command_line=words))


@pytest.fixture(scope="module")
def aggregated(place: Path) -> Path:
    """Add a catalog of the same tape that says its trades are aggregates, and a model of such trades."""
    catalog = Catalog(place / "catalog")
    trades = catalog.read_trades_all(NAME)
    other = Catalog(place / "aggregated", create=True)
    other.write_trades(catalog.instrument(NAME), trades, kind="aggtrades")
    model_of(place / "aggregates", "aggtrades", end_ns=EVER)
    return place


def test_kind_of_the_feed_is_that_of_the_catalog(aggregated: Path) -> None:
    """A model meets the kind of trades that it learnt from, whatever the settings leave out or claim."""
    for catalog, model, kind in (("catalog", "model", "trades"), ("aggregated", "aggregates", "aggtrades")):
        for said in ({}, {"model_stream": kind}):
            plan = plan_of(aggregated, catalog, model, **said)
            assert plan.strategies[0].config["model_stream"] == kind
    for catalog, model in (("aggregated", "model"), ("catalog", "aggregates")):
        with pytest.raises(ConfigurationError, match=r"model refused \(other_stream\)"):
            plan_of(aggregated, catalog, model)


def test_setting_cannot_change_the_feed(aggregated: Path) -> None:
    """A setting that contradicts the catalog is refused, with a model of its kind and without one."""
    for model in ("model", "aggregates"):
        with pytest.raises(ConfigurationError, match="model_stream is trades, but its feed gives aggtrades"):
            plan_of(aggregated, "aggregated", model, model_stream="trades")
    with pytest.raises(ConfigurationError, match="model_stream is aggtrades, but its feed gives trades"):
        plan_of(aggregated, "catalog", "", model_stream="aggtrades")


@pytest.mark.parametrize("name", ["vpin_window", "price_decimals", "size_decimals"])
def test_facts_of_the_feed_are_compared(place: Path, tmp_path: Path, name: str) -> None:
    """The run gives what its passport may hold against it: window of VPIN and decimals of the instrument."""
    model_of(tmp_path / "model", scope={name: 7}, end_ns=EVER)
    with pytest.raises(ConfigurationError, match=rf"\(other_bucket\): trained with {name} 7"):
        plan_of(place, "catalog", str(tmp_path / "model"))


OTHER_TERMS = {
    "structure": "external",
    "target": "extension_1.27",
    "sweet_spot": "0.68",
    "stop_buffer_pct": "0.2",
    "htf_bar_type": f"{NAME}-1-HOUR-LAST-INTERNAL",
    "approach_band_pct": "0.5",
    "side": "long",
}


@pytest.mark.parametrize(("name", "value"), OTHER_TERMS.items(), ids=OTHER_TERMS)
def test_model_is_bound_to_its_strategy(place: Path, name: str, value: str) -> None:
    """One setting that gives other entries or exits is refused, with both values."""
    trained = TRAINED.terms()[name]
    words = rf"\(other_strategy\): trained with {name} {'none' if trained is None else trained}, .*{value}"
    with pytest.raises(ConfigurationError, match=words):
        plan_of(place, "catalog", "model", **{name: value})


def test_model_is_not_bound_to_sizes_and_its_own_settings(place: Path) -> None:
    """What changes neither entries nor exits may differ from the training."""
    plan_of(place, "catalog", "model", risk_per_trade_pct="0.5", model_margin="0.2", rearm_max="2")


def test_other_fees_are_noted(run_folder: Path) -> None:
    """The tape's fees are those of the training: no note; with others the summary and the terminal say so."""
    summary = summary_of(run_folder)
    assert summary["model"][NAME]["notes"] == []
    summary["model"][NAME]["notes"] = ["maker fee: trained with 3 bps"]
    assert "maker fee: trained with 3 bps" in format_summary(summary)


def test_the_journal_knows_what_came_of_each_decision(run_folder: Path) -> None:
    """The cancel ledger in SQL adds up to that of the summary, and each decision has its outcome."""
    engine = open_engine(f"sqlite:///{run_folder.parents[1]}/journal.sqlite", read_only=True)
    with engine.connect() as connection:
        (found,) = connection.execute(text("SELECT * FROM cancel_ledger")).all()
        verdicts = {
            row.verdict: row for row in connection.execute(text("SELECT * FROM win_rate_by_model_verdict"))
        }
        outcomes = connection.execute(text("SELECT * FROM decision_outcomes ORDER BY seq")).all()
        kept = connection.execute(text("SELECT COUNT(*), SUM(pnl > 0) FROM trade_facts")).one()
    engine.dispose()
    ledger = summary_of(run_folder)["model"][NAME]["ledger"]
    assert ledger["orders_cancelled"] > 5
    for column, key in {
        "orders_cancelled": "orders_cancelled",
        "would_have_filled": "cancelled_would_have_filled",
        "never_filled": "cancelled_never_filled",
        "still_open": "cancelled_still_open",
    }.items():
        assert getattr(found, column) == ledger[key], key
    reached = ledger["cancelled_would_have_reached"]
    assert (found.reached_target, found.reached_stop) == (reached["target"], reached["stop"])
    assert found.saved_r == pytest.approx(ledger["saved_r"], rel=1e-12, abs=1e-12)
    assert found.saved_money == pytest.approx(ledger["saved_money"], rel=1e-12, abs=1e-12)
    asked = [one for one in lines_of(run_folder / "events.jsonl") if one.get("kind") == "cancel_asked"]
    assert [(one.ts_ns, one.probability) for one in outcomes] == [
        (one["ts_ns"], one["probability"]) for one in asked
    ]
    assert [one.action for one in outcomes] == [one["detail"]["action"] for one in asked]
    assert verdicts["cancel, would have been"].orders == found.would_have_filled
    traded = [row for name, row in verdicts.items() if name != "cancel, would have been"]
    assert (sum(row.orders for row in traded), sum(row.wins for row in traded)) == tuple(kept)
    assert {one.outcome for one in outcomes if one.action == "cancel" and not one.is_traded} <= {
        "target", "stop", "not_filled", "open", None,
    }  # fmt: skip
    assert any(one.is_traded and one.action == "keep" for one in outcomes)
