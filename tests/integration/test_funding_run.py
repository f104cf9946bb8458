"""Funding in whole backtests from a catalog: settings, report, chunks, and an account that adds up."""

import csv
import json
import shutil
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from runtime.backtest import RunResult, run_backtest
from runtime.catalog import Catalog
from runtime.download.venue_rows import FundingRate
from runtime.funding import write_funding
from runtime.run_plan import plan_run
from runtime.run_request import RunRequest
from runtime.run_summary import summary_of
from runtime.settings import BacktestSettings, FundingSettings, Settings, StrategySettings
from tests.integration import tiny_strategy
from tests.integration.test_backtest_run import tape, write
from tests.integration.test_confluence_run import BAR_NS, BARS, EASY, NAMES, instrument_of, tapes
from ui.reports.run_figures import run_figures
from ui.reports.summary import format_summary

D = Decimal
SECOND = 1_000_000_000
HOUR_NS = 3600 * SECOND
MIDNIGHT = 1_773_792_000 * SECOND
LATE_NS = 13_000_000
PERP = "XRPUSDT-PERP.BINANCE"

type Run = Callable[..., tuple[RunResult, dict[str, Any]]]


@pytest.fixture(scope="module")
def klines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Store the coins of the confluence test with a funding rate each hour; one coin has none."""
    path = tmp_path_factory.mktemp("klines")
    catalog = Catalog(path, create=True)
    for coin, bars in tapes().items():
        catalog.write_bars(instrument_of(coin), "5m", bars)
    for number, name in enumerate(NAMES[:3]):
        write_funding(path, name, hourly(rate_of(number)))
    return path


def rate_of(number: int) -> Decimal:
    """Return the rate of a coin: one pays shorts, the others longs."""
    return D("0.0001") * (number - 1) + D("0.00005")


def hourly(rate: Decimal) -> list[FundingRate]:
    """Return a rate for each hour of the bars, stamped late."""
    hours = BARS * BAR_NS // HOUR_NS
    return [FundingRate(MIDNIGHT + n * HOUR_NS + LATE_NS, rate) for n in range(hours + 1)]


@pytest.fixture(scope="module")
def run(klines: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Give a function that runs confluence and returns the result and its summary."""
    runs = tmp_path_factory.mktemp("runs")

    def run(catalog: Path = klines, **backtest: Any) -> tuple[RunResult, dict[str, Any]]:
        entry = StrategySettings(strategy="confluence", parameters=EASY)
        settings = Settings(backtest=BacktestSettings(runs=str(runs), **backtest), strategies=(entry,))
        request = RunRequest(settings=settings, source="config.yaml", catalog=catalog, instruments=NAMES)
        return finish(request)

    return run


def finish(request: RunRequest) -> tuple[RunResult, dict[str, Any]]:
    """Run a request."""
    result = run_backtest(plan_run(request))
    return result, summary_of(result, run_figures(result.trades, result.marks, result.starting_balance))


def events(result: RunResult) -> list[dict[str, Any]]:
    """Read the event log of a run."""
    return [json.loads(one) for one in (result.folder.path / "events.jsonl").read_text().splitlines()]


def payments(result: RunResult) -> list[dict[str, Any]]:
    """Read the payments of a run from its event log."""
    return [one for one in events(result) if one["record"] == "funding"]


def account_by_trades(result: RunResult, summary: dict[str, Any], taker: Decimal) -> Decimal:
    """Return what closed trades and open positions make of the starting balance."""
    worth = result.starting_balance + sum(D(one.pnl) for one in result.trades)
    for held in result.open_positions:
        worth += D(held["unrealized_pnl"]) - D(held["quantity"]) * D(held["entry_price"]) * taker
    return worth + D(str(round(summary["funding_of_open"], 8)))


@pytest.fixture(scope="module")
def funded(run: Run) -> tuple[RunResult, dict[str, Any]]:
    """Run once with the catalog's rates."""
    return run()


def test_the_account_is_what_trades_and_funding_made(funded: tuple[RunResult, dict[str, Any]]) -> None:
    """Every payment is in a trade, in the account and on record."""
    result, summary = funded
    paid = payments(result)
    assert len(paid) > 20
    assert {D(one["amount"]) > 0 for one in paid} == {True, False}
    assert sum(D(one["amount"]) for one in paid) == result.funding
    assert result.counters["funding_payments"] == len(paid)
    assert "funding_without_a_trade" not in result.counters
    if not result.open_positions:
        assert result.funding == sum(D(one.funding) for one in result.trades)
    taker = instrument_of("BTCUSDT").taker_fee
    assert abs(result.final_balance - account_by_trades(result, summary, taker)) < D("0.000001")
    with (result.folder.path / "trades.csv").open() as file:
        assert [row["funding"] for row in csv.DictReader(file)] == [one.funding for one in result.trades]


def test_each_payment_is_that_of_the_position_at_its_time(
    funded: tuple[RunResult, dict[str, Any]],
) -> None:
    """Recomputed from the event log and the bars: full hours, the close of then, what had filled by then."""
    closes = {
        f"{coin}-PERP.BINANCE": dict(zip(bars.ts_close_ns.tolist(), bars.close_ticks.tolist(), strict=True))
        for coin, bars in tapes().items()
    }
    held = dict.fromkeys(NAMES, D(0))
    last_ns = 0
    for one in events(funded[0]):
        if one["record"] == "funding":
            last_ns, name = one["ts_ns"], one["instrument_id"]
            assert last_ns % HOUR_NS == 0
            assert D(one["signed_qty"]) == held[name] != 0
            assert D(one["price"]) == D(closes[name][last_ns]) / 100
            assert D(one["amount"]) == round(-held[name] * D(one["price"]) * D(one["rate"]), 8)
        elif one.get("event") == "OrderFilled":
            assert one["ts_ns"] >= last_ns
            held[one["instrument_id"]] += D(one["last_qty"]) * (1 if one["order_side"] == "BUY" else -1)


def test_the_report_says_what_was_settled_and_what_is_missing(
    funded: tuple[RunResult, dict[str, Any]],
) -> None:
    """Total, by coin, rates known, and at least how many are missing for the coin without any."""
    result, summary = funded
    assert summary["funding"] == pytest.approx(float(sum(D(one.funding) for one in result.trades)))
    by_coin = summary["by_symbol"]
    assert sum(one["funding"] for one in by_coin.values()) == pytest.approx(summary["funding"])
    assert by_coin[NAMES[3]]["funding"] == 0
    assert summary["fills"]["funding"] == "rates of the catalog, at the last close"
    assert set(summary["funding_missing"]) == {NAMES[3]}
    assert summary["funding_missing"][NAMES[3]] == 6  # 8, 16, 24, ... 48 hours
    assert summary["funding_times"][NAMES[0]] == 50
    text = format_summary(summary)
    assert "and funding" in text
    assert "funding rates missing    at least 6" in text


@pytest.mark.slow
def test_no_chunk_size_changes_anything(run: Run, funded: tuple[RunResult, dict[str, Any]]) -> None:
    """The event log, payments included, is the same for small odd chunks as for one that holds all."""
    assert run(chunk_size=17)[1]["decision_sha256"] == funded[1]["decision_sha256"]


@pytest.mark.slow
def test_a_rate_is_used_at_its_own_time_only(
    run: Run, funded: tuple[RunResult, dict[str, Any]], klines: Path, tmp_path: Path
) -> None:
    """Rates after an hour changed: everything recorded before it stays byte for byte."""
    changed = tmp_path / "changed"
    shutil.copytree(klines, changed)
    until_ns = MIDNIGHT + 30 * HOUR_NS
    for number, name in enumerate(NAMES[:3]):
        shutil.rmtree(changed / "data" / "funding_rate_update" / name)
        rates = [
            FundingRate(one.ts_ns, one.rate if one.ts_ns < until_ns else D("0.001"))
            for one in hourly(rate_of(number))
        ]
        write_funding(changed, name, rates)

    def before(result: RunResult) -> list[dict[str, Any]]:
        return [one for one in events(result) if one.get("ts_ns", one.get("exit_ts_ns")) < until_ns]

    other = run(changed)[0]
    assert before(other) == before(funded[0])
    assert len(before(other)) > 100
    assert payments(other) != payments(funded[0])


# -- trades ------------------------------------------------------------------------------------------------


@pytest.fixture
def run_tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Give a function that runs the tiny strategy over a thousand seconds of trades."""
    monkeypatch.setattr("runtime.run_plan.discover", lambda: {"tiny": tiny_strategy.SPEC})
    catalog = Catalog(tmp_path / "catalog", create=True)
    write(catalog, "XRPUSDT", tape(3_000, 1), market="usdm")
    write(catalog, "XRPUSDT", tape(3_000, 1))
    rates = [FundingRate(MIDNIGHT + n * 60 * SECOND + LATE_NS, D("0.0001") * (-1) ** n) for n in range(17)]
    write_funding(catalog.path, PERP, rates)

    def run(name: str = PERP, **backtest: Any) -> tuple[RunResult, dict[str, Any]]:
        settings = Settings(backtest=BacktestSettings(runs=str(tmp_path / "runs"), **backtest))
        request = RunRequest(
            settings=settings, source="", catalog=catalog.path, strategy="tiny", instruments=(name,)
        )
        return finish(request)

    return run


def test_funding_of_trades_does_not_depend_on_chunks_and_adds_up(run_tiny: Run) -> None:
    """Trades of a whole minute come after its funding; chunks of 7 and all give one event log."""
    results = [run_tiny(chunk_size=size) for size in (7, 500, "all")]
    assert len({summary["decision_sha256"] for _result, summary in results}) == 1
    result, summary = results[0]
    paid = payments(result)
    assert len(paid) >= 4
    assert sum(D(one["amount"]) for one in paid) == result.funding != 0
    assert summary["fills"]["funding"] == "rates of the catalog, at the last trade"
    taker = result.plan.instruments[0].taker_fee
    difference = abs(result.final_balance - account_by_trades(result, summary, taker))
    assert difference < D("0.02")  # an open position's entry may have been made or taken


def test_spot_has_no_funding(run_tiny: Run) -> None:
    """Whatever the settings say, coins that are owned pay none."""
    constant = FundingSettings(source="constant", rate_pct=D(1), interval_hours=1)
    result, summary = run_tiny("XRPUSDT.BINANCE", funding=constant)
    assert (payments(result), summary["fills"]["funding"]) == ([], "none")
    assert (summary["funding_times"], summary["funding_missing"]) == ({}, {})


def test_none_settles_nothing_and_says_so(run_tiny: Run) -> None:
    """A run that leaves funding out is no run without costs by accident."""
    result, summary = run_tiny(funding=FundingSettings(source="none"))
    assert (payments(result), result.funding, summary["funding"]) == ([], 0, 0)
    assert summary["fills"]["funding"] == "not settled"
