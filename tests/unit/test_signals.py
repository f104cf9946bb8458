"""Signals become datasets and models of their own kind, by the same machinery and with the same caution."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml.__main__ import main
from ml.break_even import break_even
from ml.dataset import Dataset, DatasetError
from ml.model import ModelRefused, Refusal, load_for_study, load_model
from ml.signal_features import FEATURES, MEASURED, NAMES, RecentWins, schema_hash, signal_row, signal_wanted
from ml.signals import signal_dataset
from strategies.signal_filter import FilterRules, SignalModel
from tests.model_folder import WANTED, model_folder
from tests.signal_table import COINS, MINUTE_NS, START_NS, signals, write_lines, write_parquet
from tests.synthetic_dataset import planted

QUICK = ["--set", "rounds=40", "--set", "bootstrap_rounds=100"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with a table of planted skill, its dataset and its model, made by the commands."""
    base = tmp_path_factory.mktemp("signals")
    write_lines(base / "signals.jsonl", signals())
    assert main(["dataset", "--signals", str(base / "signals.jsonl"), "--out", str(base / "data")]) == 0
    assert main(["train", str(base / "data"), "--out", str(base / "model"), *QUICK]) == 0
    return base


def test_chain_finds_the_planted_skill(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From the table to a model that has skill, knows its kind and describes its columns."""
    passport, booster = load_for_study(place / "model")
    assert (passport.kind, passport.verdict, passport.reasons) == ("signal", "skill", ())
    assert passport.metrics.auc > 0.7
    gains = booster.get_score(importance_type="total_gain")
    assert max(gains, key=lambda name: gains[name]) == "atr_percentile"
    assert [one.name for one in passport.features] == list(NAMES)
    assert all(one.unit and one.source and one.lookback for one in passport.features)
    assert passport.symbols[COINS[0]].timeframe == "5m"
    assert main(["inspect", str(place / "model")]) == 0
    assert "leave the signal if p < pstar" in capsys.readouterr().out


def shuffled(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the signals with the outcomes of others, and everything else as it was."""
    order = np.random.default_rng(9).permutation(len(rows))
    return [row | {"net_r": rows[other]["net_r"]} for row, other in zip(rows, order.tolist(), strict=True)]


@pytest.mark.parametrize(
    "rows", [signals(strength=0.0, seed=3), shuffled(signals())], ids=["flips", "shuffled"]
)
def test_table_without_skill_has_none(
    tmp_path: Path, rows: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    """Coin flips, or planted signals with shuffled outcomes: an AUC around one half and `no_skill`."""
    write_parquet(tmp_path / "noise.parquet", rows)
    out = str(tmp_path / "data")
    assert main(["dataset", "--signals", str(tmp_path / "noise.parquet"), "--out", out]) == 0
    capsys.readouterr()
    assert main(["train", out, "--out", str(tmp_path / "model"), "--json", *QUICK]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["verdict"] == "no_skill"
    assert 0.42 < found["auc"] < 0.58


def test_both_formats_give_the_same_dataset(tmp_path: Path, place: Path) -> None:
    """JSON lines and Parquet, in any order of the rows, and written again from the file."""
    rows = signals()
    lines = signal_dataset(write_lines(tmp_path / "a.jsonl", rows[::-1]))
    parquet = signal_dataset(write_parquet(tmp_path / "a.parquet", rows))
    stored = Dataset.load(place / "data")
    for one in (parquet, stored):
        assert one.x.tobytes() == lines.x.tobytes()
        assert one.p_star.tobytes() == lines.p_star.tobytes()
    assert stored.meta["kind"] == "signal"


def test_labels_and_break_even(tmp_path: Path) -> None:
    """A win is a net profit, what never filled has no label, and p* is that of each order."""
    rows = signals(40)
    data = signal_dataset(write_lines(tmp_path / "t.jsonl", rows))
    expected = [math.nan if row["net_r"] is None else row["net_r"] for row in rows]
    np.testing.assert_array_equal(data.net_r, expected)
    assert data.y.tolist() == [int(one > 0) for one in expected]
    fees = {"entry_fee": 0.0002, "stop_fee": 0.0005, "target_fee": 0.0002}
    assert data.p_star[0] == break_even(100.0, 99.0, 101.5, **fees)
    assert data.p_star[1] == break_even(100.0, 101.0, 98.5, **fees)
    assert data.meta["rows_filled"] == sum(row["net_r"] is not None for row in rows)


def test_win_rates_know_only_what_was_over(tmp_path: Path) -> None:
    """Turning the outcomes of all signals that were open or later changes no feature of a signal."""
    rows = signals(120)
    at = 60
    before = signal_dataset(write_lines(tmp_path / "a.jsonl", rows)).x
    for row in rows:
        if row["closed_ns"] >= rows[at]["decided_ns"] and row["net_r"] is not None:
            row["net_r"] = -row["net_r"]
    after = signal_dataset(write_lines(tmp_path / "b.jsonl", rows)).x
    assert before[: at + 1].tobytes() == after[: at + 1].tobytes()
    column = NAMES.index("win_rate_overall")
    assert (before[at + 1 :, column] != after[at + 1 :, column]).any()


def test_look_back_is_the_longest_window_in_wall_time(tmp_path: Path) -> None:
    """Fifty bars of four hours; with rare signals the age of the coin's twentieth outcome."""
    often = signals(100)
    for number, row in enumerate(often):
        row["decided_ns"] = START_NS + number * MINUTE_NS
        row["known_ns"], row["closed_ns"] = row["decided_ns"] - 1, row["decided_ns"] + MINUTE_NS // 2
    assert signal_dataset(write_lines(tmp_path / "o.jsonl", often)).meta["lookback_secs"] == 200 * 3_600
    for number, row in enumerate(often):
        row["decided_ns"] = START_NS + number * 1_440 * MINUTE_NS
        row["known_ns"], row["closed_ns"] = row["decided_ns"] - 1, row["decided_ns"] + MINUTE_NS
        row["net_r"] = 1.0
    rare = signal_dataset(write_lines(tmp_path / "r.jsonl", often))
    assert rare.meta["lookback_secs"] == 60 * 86_400
    for row in often:
        row["timeframe"] = "soon"
    with pytest.raises(DatasetError, match="timeframe 'soon'"):
        signal_dataset(write_lines(tmp_path / "s.jsonl", often))


def test_derived_features() -> None:
    """Clock and week on a circle, the side, and win rates drawn towards one half."""
    wins = RecentWins()
    for won in (True, True, False):
        wins.add("A", won=won)
    wins.add("B", won=True)
    monday_noon = START_NS - START_NS % (7 * 1_440 * MINUTE_NS) + (4 * 1_440 + 720) * MINUTE_NS
    row = dict(zip(NAMES, signal_row(dict.fromkeys(MEASURED, 0.0), "A", -1, monday_noon, wins), strict=True))
    assert (row["side"], row["hour_cos"]) == (-1.0, pytest.approx(-1))
    assert row["hour_sin"] == pytest.approx(0, abs=1e-9)
    assert row["win_rate_coin"] == 3 / 5
    assert row["win_rate_overall"] == 4 / 6
    later = signal_row(dict.fromkeys(MEASURED, 0.0), "C", 1, monday_noon + 7 * 1_440 * MINUTE_NS, wins)
    assert later[NAMES.index("weekday_sin")] == pytest.approx(row["weekday_sin"])
    assert later[NAMES.index("win_rate_coin")] == 0.5


def test_list_of_features_is_complete() -> None:
    """Each with unit, look-back and words; the order of the names is part of the hash."""
    assert len(set(NAMES)) == len(NAMES) == 23
    assert {"score", "btc_correlation", "rsi_divergence", "win_rate_coin", "weekday_cos", "side"} <= set(
        NAMES
    )
    assert all(one.unit and one.lookback and one.doc for one in FEATURES)
    assert schema_hash() != schema_hash(NAMES[::-1])
    with pytest.raises(ValueError, match="no feature of a signal"):
        schema_hash(("speed",))


def test_signal_model_scores_for_its_host(place: Path) -> None:
    """Loaded for its timeframe it gives the probability of training; another timeframe is refused."""
    model = load_model(place / "model", signal_wanted(COINS[1], "5m", START_NS))
    model.scorer.row[:] = Dataset.load(place / "data").x[5]
    assert 0 < model.probability() < 1
    with pytest.raises(ModelRefused) as caught:
        load_model(place / "model", signal_wanted(COINS[1], "1h", START_NS))
    assert "timeframe 5m" in str(caught.value)


def test_kinds_are_never_confused(place: Path, tmp_path: Path) -> None:
    """A signal model gates no entries and a cancel model filters no signals, whatever else would fit."""
    gate = model_folder(tmp_path / "gate")
    for folder, wanted in ((place / "model", WANTED), (gate, signal_wanted(COINS[0], "5m", START_NS))):
        with pytest.raises(ModelRefused) as caught:
            load_model(folder, wanted)
        assert caught.value.reason is Refusal.OTHER_KIND
        assert "it decides about" in str(caught.value)


def test_kinds_are_not_evaluated_on_each_other(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, exit 2."""
    planted(100).save(tmp_path / "cancels")
    assert main(["evaluate", str(tmp_path / "cancels"), "--model", str(place / "model")]) == 2
    assert "of kind cancel, the model of kind signal" in capsys.readouterr().err


def test_few_signals_are_refused(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Below 500 with an outcome: an answer, exit 1; by setting fewer are enough."""
    write_lines(tmp_path / "few.jsonl", signals(520))
    assert main(["dataset", "--signals", str(tmp_path / "few.jsonl"), "--out", str(tmp_path / "few")]) == 0
    capsys.readouterr()
    assert main(["train", str(tmp_path / "few"), "--out", str(tmp_path / "none")]) == 1
    assert "at least 500 are needed" in capsys.readouterr().err
    fewer = ["--set", "min_signals=300", *QUICK]
    assert main(["train", str(tmp_path / "few"), "--out", str(tmp_path / "some"), *fewer]) == 0


def broken(**changes: Any) -> list[dict[str, Any]]:
    """Return rows of which the third is wrong; None as the name of a column takes it away."""
    rows = signals(5)
    for name, value in changes.items():
        if value is ...:
            del rows[2][name]
        else:
            rows[2][name] = value
    return rows


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (broken(score=...), "row 3: no column score"),
        (broken(score="high"), "row 3, score: 'high' is not a number"),
        (broken(decided_ns=1.5), "row 3, decided_ns: 1.5 is not int"),
        (broken(side="buy"), "row 3 .s2.: side is neither"),
        (broken(known_ns=START_NS + 10**15), "knows the future"),
        (broken(closed_ns=START_NS), "closed_ns is not after"),
        (broken(signal_id="s1"), "comes twice"),
        (broken(stop=101.0), "are no order"),
        (broken(schema_hash="f" * 64), "defined otherwise"),
        (broken(timeframe="1h", instrument_id=COINS[0]), "one table and model per timeframe"),
        ([], "holds no signal"),
    ],
)
def test_wrong_tables_are_refused(tmp_path: Path, rows: list[dict[str, Any]], message: str) -> None:
    """With file, row and column."""
    with pytest.raises(DatasetError, match=message):
        signal_dataset(write_lines(tmp_path / "t.jsonl", rows))


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [("t.jsonl", b'{"a": ', 1), ("t.jsonl", b"[1]\n", 1), ("t.parquet", b"PAR1", 1), (None, b"", 2)],
)
def test_unreadable_tables_are_one_line(
    tmp_path: Path, name: str | None, content: bytes, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 1 for damage, 2 for a file that is not there; and no dataset."""
    path = tmp_path / (name or "nowhere.jsonl")
    if name is not None:
        path.write_bytes(content)
    assert main(["dataset", "--signals", str(path), "--out", str(tmp_path / "out")]) == code
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert path.name in error
    assert not (tmp_path / "out.parquet").exists()


def test_filter_decides_by_the_threshold_of_each_signal(place: Path) -> None:
    """Break-even and margin, or the least that is asked for; unknown, absurd and late rows by setting."""
    model = load_model(place / "model", signal_wanted(COINS[0], "5m", START_NS))
    row = Dataset.load(place / "data").x[5].copy()
    gate = SignalModel(model, FilterRules())
    kept = gate.estimate(row, 0.0, None, START_NS)
    assert kept.probability is not None
    assert (kept.skips, kept.threshold) == (False, model.passport.decision.margin)
    model.scorer.row[:] = row
    assert kept.probability == model.probability()
    below = gate.estimate(row, 0.0, kept.probability + 1e-9, START_NS)
    assert (below.skips, below.reason, below.probability) == (True, "below_threshold", kept.probability)
    assert not gate.estimate(row, 1.0, kept.probability, START_NS).skips
    assert gate.estimate(row, 0.0, None, model.passport.expires_ns).skips
    row[NAMES.index("rsi")] = 1e9
    unfit = gate.estimate(row, 0.0, None, START_NS)
    assert (unfit.skips, unfit.probability, unfit.column) == (True, None, "rsi")
    lenient = SignalModel(model, FilterRules(on_unfit="keep"))
    assert not lenient.estimate(row, 0.0, None, START_NS).skips
    assert not lenient.estimate(row, 0.0, None, model.passport.expires_ns).skips
    assert gate.as_plain()["decisions"] == {"below_threshold": 1, "expired": 1, "kept": 2, "unfit_row": 1}


def test_signals_and_a_run_exclude_each_other(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One of the two."""
    assert main(["dataset", "--signals", str(place / "signals.jsonl"), "--run", "var/runs/x"]) == 2
    assert "--signals and --run" in capsys.readouterr().err
