"""Tape, dataset, model, gated backtest: the whole chain, and its positive and negative control."""

import importlib
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import backtest_node
import download_data
from runtime.catalog import Catalog
from runtime.instruments import make_instrument
from runtime.sample import SampleRequest, tape_of

cli = importlib.import_module("ml.__main__")

NAME = "BTCUSDT-PERP.BINANCE"
SECOND_DAY, FOURTH_DAY = "2026-01-06", "2026-01-08"
# Of 160,000 trades per day: two thirds of the first day to learn from, a quarter of the second to trade.
TRADES = slice(50_000, 200_000)
QUICK = ("--set", "rounds=80", "--set", "bootstrap_rounds=200", "--set", "min_effective=100")


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run without a config.yaml and with our own var/."""
    monkeypatch.chdir(tmp_path)


def said(capsys: pytest.CaptureFixture[str], main: Any, *words: str | Path) -> dict[str, Any]:
    """Run a command that succeeds and return its one JSON object."""
    capsys.readouterr()
    code = main([str(word) for word in (*words, "--json")])
    captured = capsys.readouterr()
    assert code == 0, captured.err
    value = json.loads(captured.out)
    assert isinstance(value, dict)
    return value


def gated(capsys: pytest.CaptureFixture[str], start: str, *words: str | Path) -> dict[str, Any]:
    """Run a backtest from `start` on."""
    return said(capsys, backtest_node.main, "run", "--start", start, *words)


def test_the_chain_on_a_perpetual(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A model of the first day keeps and cancels orders on the second, and the summary accounts for them."""
    instrument = make_instrument("binance", "usdm", "BTCUSDT", Decimal("0.01"), Decimal("0.00001"))
    trades = tape_of(SampleRequest(days=2), "BTCUSDT")[TRADES]
    Catalog(tmp_path / "catalog", create=True).write_trades(instrument, trades)
    found = said(capsys, cli.main, "dataset", "--catalog", "catalog", "--end", SECOND_DAY, "--out", "day")
    assert found["leaking"] == 0
    trained = said(capsys, cli.main, "train", "day.parquet", "--out", "model", *QUICK)
    assert trained["auc"] >= 0.65
    assert trained["auc_ci"][0] > 0.5
    # What is tested here is the way, not the judge: so small a sample may well be found without skill.
    summary = gated(
        capsys, SECOND_DAY, "--catalog", "catalog", "--model", "model", "--set", "model_without_skill=obey"
    )
    assert summary["entries_cancelled_by_model"] > 0
    assert summary["entries_filled"] > 0
    report = summary["model"][NAME]
    assert report["in_sample"] is False
    assert report["unfit_share"] < 0.01
    ledger = report["ledger"]
    assert ledger["orders_kept"] == summary["positions_closed"]
    assert 0 < ledger["orders_cancelled"] == summary["entries_cancelled_by_model"]
    assert ledger["expectancy_kept_r"] > ledger["expectancy_ungated_r"]
    assert report["latency"]["count"] > 0
    page = (tmp_path / summary["run_dir"] / "tearsheet.html").read_text()
    assert NAME in page


@pytest.mark.slow
def test_a_planted_signature_is_found_and_pays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Positive control: skill on three days, and more money on the fourth, which the model never saw."""
    said(capsys, download_data.main, "sample", "--days", "4", "--catalog", "catalog")
    found = said(capsys, cli.main, "dataset", "--catalog", "catalog", "--end", FOURTH_DAY, "--out", "days")
    assert found["n_effective"] >= 200
    trained = said(capsys, cli.main, "train", "days.parquet", "--out", "model")
    assert trained["verdict"] == "skill", trained["reasons"]
    assert 0.65 <= trained["auc"] <= 0.95
    with_model = gated(capsys, FOURTH_DAY, "--catalog", "catalog", "--model", "model")
    without = gated(capsys, FOURTH_DAY, "--catalog", "catalog")
    assert without["entries_cancelled_by_model"] == 0
    assert float(with_model["pnl"]) > float(without["pnl"])
    assert with_model["expectancy_r"] > without["expectancy_r"]
    for report in with_model["model"].values():
        ledger = report["ledger"]
        assert min(ledger["orders_kept"], ledger["orders_cancelled"]) >= 10
        # False alarms are planted too: a gate that never cancelled a winner would have seen the future.
        assert ledger["cancelled_would_have_reached"]["target"] > 0
        assert ledger["saved_r"] > 0
        assert report["in_sample"] is False


@pytest.mark.slow
def test_no_skill_is_found_where_none_is_planted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Negative control: the same tape without the signature, and a model that is told so gates nothing."""
    said(capsys, download_data.main, "sample", "--days", "4", "--signature", "none", "--catalog", "catalog")
    said(capsys, cli.main, "dataset", "--catalog", "catalog", "--out", "days")
    trained = said(capsys, cli.main, "train", "days.parquet", "--out", "model")
    assert trained["verdict"] == "no_skill"
    assert 0.45 <= trained["auc"] <= 0.55
    assert trained["auc_ci"][0] <= 0.5 <= trained["auc_ci"][1]
    ignored = gated(capsys, "2026-01-08", "--catalog", "catalog", "--model", "model")
    assert ignored["entries_cancelled_by_model"] == 0
