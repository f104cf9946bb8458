"""The win-probability filter on real bars: what is learnt from is what is decided upon, and its decisions."""

import json
import math
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from indicators.confluence.explain import explain
from ml.__main__ import main
from ml.dataset import Dataset
from ml.signal_features import MEASURED, NAMES
from ml.signal_measures import BarWindow, measure
from runtime.arrow_schema import BarColumns
from runtime.backtest import RunResult, run_backtest
from runtime.candles import CandleStore
from runtime.catalog import Catalog
from runtime.confluence_scan import score_candles
from runtime.errors import ConfigurationError
from runtime.instruments import make_instrument
from runtime.run_plan import plan_run
from runtime.run_request import RunRequest
from runtime.settings import BacktestSettings, FillSettings, Settings, StrategySettings
from strategies.confluence_config import ConfluenceConfig, coin_of, score_config
from tests.bars import load_klines

TICKS = {"ADAUSDT": "0.0001", "BTCUSDT": "0.01", "LTCUSDT": "0.01"}
NAMES_OF_COINS = tuple(f"{coin}-PERP.BINANCE" for coin in TICKS)
BARS = 2_200
# A short warm-up and a low threshold: eight days of three coins give a few hundred signals.
PARAMETERS: dict[str, Any] = {
    "htf_secs": 3600,
    "htf_warm_up_bars": 30,
    "min_confidence": 40,
    "record_from": 35,
    "correlation_sides": "off",
    "max_positions": 3,
    "rules": "off",
}
QUICK = ["--set", "rounds=20", "--set", "bootstrap_rounds=100", "--set", "min_signals=50"]
QUICK += ["--set", "min_effective=20"]

type Run = Callable[..., RunResult]


@pytest.fixture(scope="module")
def catalog(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Store real five-minute bars of three coins as perpetuals."""
    made = Catalog(tmp_path_factory.mktemp("catalog"), create=True)
    for coin, tick in TICKS.items():
        bars = load_klines(shared_data, coin, 0, BARS)
        prices = [
            np.rint(one / float(tick)).astype(np.int64)
            for one in (bars.open, bars.high, bars.low, bars.close)
        ]
        lots = np.rint(bars.volume / 0.001).astype(np.int64)
        columns = BarColumns(bars.ts_open_ns, bars.ts_close_ns, *prices, lots)
        made.write_bars(
            make_instrument("binance", "usdm", coin, Decimal(tick), Decimal("0.001")), "5m", columns
        )
    return made


@pytest.fixture(scope="module")
def run(catalog: Catalog, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Give a function that runs the strategy with some settings changed."""
    runs = tmp_path_factory.mktemp("runs")

    def run(
        symbols: dict[str, Any] | None = None,
        feed: Literal["columns", "events"] = "columns",
        **changes: Any,
    ) -> RunResult:
        entry = StrategySettings(
            strategy="confluence", parameters=PARAMETERS | changes, symbols=symbols or {}
        )
        # So small an account takes no more than the first price has: fills of one price each.
        fills = FillSettings(impact_bps=Decimal(0))  # a label knows no size
        backtest = BacktestSettings(runs=str(runs), balance=Decimal(1_000), bar_feed=feed, fills=fills)
        settings = Settings(backtest=backtest, strategies=(entry,))
        request = RunRequest(
            settings=settings, source="config.yaml", catalog=catalog.path, instruments=NAMES_OF_COINS
        )
        result = run_backtest(plan_run(request))
        result.folder.write_summary({"decision_sha256": result.folder.decision_sha256})
        return result

    return run


@pytest.fixture(scope="module")
def recorded(run: Run) -> RunResult:
    """Run once without a model: positions end at stop or target only."""
    return run()


@pytest.fixture(scope="module")
def model(recorded: RunResult, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train on that run, by the commands; whether it has skill does not matter here."""
    place = tmp_path_factory.mktemp("model")
    assert main(["dataset", "--signals", str(recorded.folder.path), "--out", str(place / "data")]) == 0
    assert main(["train", str(place / "data"), "--out", str(place / "gate"), *QUICK]) == 0
    return place / "gate"


def decisions(result: RunResult, *kinds: str) -> list[dict[str, Any]]:
    """Read the decisions of these kinds."""
    lines = (result.folder.path / "events.jsonl").read_text().splitlines()
    records = (json.loads(line) for line in lines)
    return [one for one in records if one["record"] == "decision" and one["kind"] in kinds]


def signals_of(result: RunResult) -> list[dict[str, Any]]:
    """Read all signals."""
    return decisions(result, "signal_taken", "signal_skipped")


def test_dataset_holds_what_was_decided_upon_bit_for_bit(recorded: RunResult, model: Path) -> None:
    """Also the win rates, which the strategy and the dataset compute each for themselves."""
    data = Dataset.load(model.parent / "data")
    ended = {one["zone_id"] for one in decisions(recorded, "signal_outcome")}
    signals = [one for one in signals_of(recorded) if one["zone_id"] in ended]
    signals.sort(key=lambda one: int(one["ts_ns"]))
    decided = np.array(
        [[one["detail"].get(f"feature_{name}", math.nan) for name in NAMES] for one in signals]
    )
    assert len(data) == len(signals) > 150
    assert data.x.tobytes() == decided.tobytes()
    assert len(np.unique(data.x[:, NAMES.index("win_rate_coin")])) > 5
    assert data.meta["strategy"] == "confluence"


def test_features_are_those_of_closed_bars_alone(recorded: RunResult, catalog: Catalog) -> None:
    """Computed from the catalog, cut off after each signal's bar, they are the same bits."""
    config = ConfluenceConfig.parse(json.dumps({**PARAMETERS, "instrument_ids": NAMES_OF_COINS}))
    store, tables = CandleStore(catalog, max_bytes=0), {}
    for instrument_id in config.instrument_ids:
        name = instrument_id.value
        candles = store.read(name, "5m", None, None)
        increment = catalog.instrument(name).price_increment.as_decimal()
        score = score_config(config, coin_of(config, instrument_id), float(increment))
        rows, bars = score_candles(candles, increment, score).copy(), candles.bars
        decimals = -int(increment.as_tuple().exponent)
        prices = [
            [round(int(one) * float(increment), decimals) for one in column]
            for column in (bars.high_ticks, bars.low_ticks, bars.close_ticks)
        ]
        volume = [round(one, 8) for one in (bars.volume_lots * candles.lot_size).tolist()]
        secs = (bars.ts_close_ns // 10**9).tolist()
        tables[name] = (
            rows,
            score,
            list(zip(secs, *prices, volume, rows["atr"], rows["mtf_rsi"], strict=True)),
        )

    def window(name: str, until_secs: int) -> BarWindow:
        made = BarWindow()
        for bar in [one for one in tables[name][2] if one[0] <= until_secs][-600:]:
            made.push(*bar)
        return made

    for signal in signals_of(recorded)[::7]:
        name, secs = signal["instrument_id"], signal["ts_ns"] // 10**9
        rows, score, bars = tables[name]
        row = rows[[one[0] for one in bars].index(secs)]
        texts = explain(row, score, signal["side"])
        found = measure(
            window(name, secs),
            window("BTCUSDT-PERP.BINANCE", secs),
            1 if signal["side"] == "long" else -1,
            float(row[f"score_{signal['side']}"]),
            {one.factor: one.points for one in texts},
        )
        known = {one: value for one, value in found.items() if math.isfinite(value)}
        recorded_values = {one: signal["detail"].get(f"feature_{one}") for one in MEASURED}
        assert known == {one: value for one, value in recorded_values.items() if value is not None}


def test_outcomes_are_those_of_the_engine(recorded: RunResult) -> None:
    """A signal that was traded ended in the same bar, for the same reason, with the same profit."""
    outcomes = {one["zone_id"]: one for one in decisions(recorded, "signal_outcome")}
    signals = {one["zone_id"]: one for one in signals_of(recorded)}
    assert len(recorded.trades) > 40
    for trade in recorded.trades:
        outcome, signal = outcomes[trade.zone_id], signals[trade.zone_id]
        assert outcome["reason"] == trade.exit_reason
        assert 0 <= outcome["ts_ns"] - trade.exit_ts_ns <= 300_000_000_000
        risk = abs(float(signal["price"]) - float(signal["stop"]))
        won = outcome["detail"]["net_r"] * risk * float(trade.qty)
        assert won == pytest.approx(float(trade.pnl), rel=1e-5, abs=1e-5)


def test_without_a_model_nothing_is_asked(recorded: RunResult) -> None:
    """Off by default: no probability, no skip for it, no report."""
    assert recorded.signal_model is None
    assert all(one["probability"] is None and one["reason"] != "model" for one in signals_of(recorded))


def test_model_without_skill_only_advises(run: Run, recorded: RunResult, model: Path) -> None:
    """The same trades as without it; each signal that could be scored has its probability on record."""
    advised = run(model=str(model), model_missing="as_trained")
    report = advised.signal_model
    assert report is not None
    assert (report["verdict"], report["in_force"]) == ("no_skill", False)
    assert [one.pnl for one in advised.trades] == [one.pnl for one in recorded.trades]
    signals = signals_of(advised)
    assert all(one["detail"]["model"] in ("no_skill", "unfit_row") for one in signals)
    assert sum(one["probability"] is not None for one in signals) > 0.9 * len(signals)


def test_what_is_below_the_threshold_is_left(run: Run, model: Path) -> None:
    """Obeyed, every signal's own threshold decides; its figure and limit stand in the record."""
    gated = run(model=str(model), model_missing="as_trained", model_without_skill="obey")
    skipped = [one for one in signals_of(gated) if one["reason"] == "model"]
    assert len(skipped) == gated.counters["signals_skipped_model"] > 20
    for one in skipped:
        if one["probability"] is not None:
            assert one["probability"] < one["threshold"]
            assert (one["detail"]["figure"], one["detail"]["limit"]) == (one["probability"], one["threshold"])
    taken = [one for one in signals_of(gated) if one["kind"] == "signal_taken"]
    assert all(one["probability"] >= one["threshold"] for one in taken)


@pytest.mark.slow
def test_columns_and_events_ask_the_model_alike(run: Run, model: Path) -> None:
    """Each feature, probability and decision is the same bits, whatever brings the bars."""
    settings = {"model": str(model), "model_missing": "as_trained", "model_without_skill": "obey"}
    columns, events = (run(feed=feed, **settings) for feed in ("columns", "events"))
    assert (columns.bar_feed, events.bar_feed) == ("columns", "events")
    assert columns.counters["signals_skipped_model"] > 20
    for name in ("events.jsonl", "signals.csv", "trades.csv", "equity.csv"):
        assert (columns.folder.path / name).read_bytes() == (events.folder.path / name).read_bytes(), name


@pytest.mark.slow
def test_a_coin_may_have_its_own_threshold(run: Run, model: Path) -> None:
    """All that is asked for in one coin, everything in another."""
    ada, btc, _ltc = NAMES_OF_COINS
    result = run(
        symbols={ada: {"ml_min_confidence": 100}},
        model=str(model),
        model_missing="as_trained",
        model_without_skill="obey",
        ml_min_confidence=0,
    )
    taken = {one["instrument_id"] for one in signals_of(result) if one["kind"] == "signal_taken"}
    assert btc in taken
    assert ada not in taken
    limits = {
        (one["instrument_id"], one["threshold"]) for one in signals_of(result) if one["threshold"] is not None
    }
    assert limits == {(name, 1.0 if name == ada else 0.0) for name in NAMES_OF_COINS}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stop_atr": 1.2}, "other_strategy.*stop_atr 1.0, .* runs with 1.2"),
        ({"record_from": 40}, "other_strategy.*record_from"),
        ({"points_fvg": 20.0}, "other_strategy.*points_fvg"),
        ({"entry": "hybrid"}, "entry .*hybrid.* and model"),
        ({"ml_min_confidence": 101}, "ml_min_confidence"),
    ],
)
def test_model_of_other_settings_is_refused_before_the_run(
    run: Run, model: Path, changes: dict[str, Any], message: str
) -> None:
    """One line that names the setting; no run begins."""
    with pytest.raises(ConfigurationError, match=message):
        run(model=str(model), **changes)


def test_missing_model_is_refused(run: Run, model: Path, tmp_path: Path) -> None:
    """Before the run begins."""
    with pytest.raises(ConfigurationError, match="missing"):
        run(model=str(tmp_path / "nowhere"))


def test_damaged_or_unfinished_runs_make_no_dataset(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An edited event is damage (1), a run without a summary is not finished (2)."""
    folder = run(record_from=50).folder.path
    events = folder / "events.jsonl"
    events.write_text(events.read_text().replace('"net_r":-', '"net_r":', 1))
    command = ["dataset", "--signals", str(folder), "--out", str(tmp_path / "data")]
    assert main(command) == 1
    assert "was edited or damaged" in capsys.readouterr().err
    (folder / "summary.json").unlink()
    assert main(command) == 2
    assert "not finished" in capsys.readouterr().err
