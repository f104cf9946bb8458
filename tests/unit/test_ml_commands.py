"""`python -m ml` from dataset to model and report, its JSON and its exit codes."""

import errno
import hashlib
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml.__main__ import main
from ml.dataset import paths
from ml.model import load_for_study
from ml.passport import decode
from tests.synthetic_dataset import META, planted

QUICK = ["--set", "rounds=40", "--set", "bootstrap_rounds=100"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make datasets and a model that all tests share."""
    base = tmp_path_factory.mktemp("models")
    planted(500).save(base / "data")
    planted(60).save(base / "few")
    assert main(["train", str(base / "data"), "--out", str(base / "xrp"), *QUICK]) == 0
    return base


def run_json(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, dict[str, object]]:
    """Run a command and read its one JSON object."""
    code = main(list(argv))
    value = json.loads(capsys.readouterr().out)
    assert isinstance(value, dict)
    return code, value


def test_train_prints_one_object(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The promised keys, and a folder with three files."""
    out = folder / "again"
    code, value = run_json(capsys, "train", str(folder / "data"), "--out", str(out), "--json", *QUICK)
    assert code == 0
    wanted = {"verdict", "auc", "auc_ci", "logloss", "base_logloss", "n_events", "n_effective", "model_dir"}
    assert wanted <= value.keys()
    assert value["model_dir"] == str(out)
    assert sorted(path.name for path in out.iterdir()) == ["model.json", "passport.json", "report.html"]
    assert (out / "model.json").read_bytes() == (folder / "xrp" / "model.json").read_bytes()
    assert decode((out / "passport.json").read_bytes()).model_id == "again"


def test_report_asks_nobody(folder: Path) -> None:
    """The page holds all its drawings and no address outside of itself."""
    page = (folder / "xrp" / "report.html").read_text()
    for title in ("Reliability", "ROC", "Money", "Threshold", "Importance", "SHAP"):
        assert f"<h2>{title}" in page
    assert page.count("<svg") == 8
    assert not re.search(r"https?:|src=|href=|@import|url\(", page)
    assert not re.search(r"\b(nan|inf)\b", page)


def test_too_few_events_is_an_answer(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 1, `refused` in the object, and no folder of a model."""
    code, value = run_json(capsys, "train", str(folder / "few"), "--out", str(folder / "none"), "--json")
    assert (code, value["verdict"], value["model_dir"]) == (1, "refused", None)
    assert value["n_effective"] < 60 < value["n_events"]
    assert not (folder / "none").exists()


def test_evaluate_tells_in_sample_from_out_of_sample(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rows after `--end` of the training are out of sample; its own are not, and the page says so."""
    half = "2024-10-08"
    out = str(folder / "half")
    assert main(["train", str(folder / "data"), "--end", half, "--out", out, *QUICK, "--set", "folds=3",
                 "--set", "min_effective=100"]) == 0  # fmt: skip
    capsys.readouterr()
    common = ("evaluate", str(folder / "data"), "--model", out, "--json", "--set", "bootstrap_rounds=100")
    _, after = run_json(capsys, *common, "--start", half)
    page = folder / "page.html"
    _, before = run_json(capsys, *common, "--end", half, "--report", str(page))
    assert (after["in_sample"], before["in_sample"]) == (False, True)
    assert after["auc"] > 0.65
    for said in ("<title>Model half IN-SAMPLE", '<p class="bad">In-sample: '):
        assert said in page.read_text()
    assert before["verdict"] == "no_skill"
    assert before["in_sample_events"] == before["n_events"]
    assert str(before["reasons"][0]).startswith("in-sample: ")
    assert after["in_sample_events"] == 0
    assert main([*common[:-3], "--end", half, "--report", str(page), "--set", "bootstrap_rounds=100"]) == 0
    printed = capsys.readouterr()
    assert re.search(r"in_sample +True", printed.out)
    assert "warning: in-sample" in printed.err


def test_inspect_checks_before_it_prints(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The passport as JSON; with a byte of the model changed, exit 1 and one line."""
    code, value = run_json(capsys, "inspect", str(folder / "xrp"), "--json")
    assert (code, value["model_id"]) == (0, "xrp")
    damaged = folder / "damaged"
    shutil.copytree(folder / "xrp", damaged)
    content = bytearray((damaged / "model.json").read_bytes())
    content[len(content) // 2] ^= 1
    (damaged / "model.json").write_bytes(content)
    assert main(["inspect", str(damaged)]) == 1
    assert "damaged or swapped" in capsys.readouterr().err


def test_swapped_model_is_found(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A model beside the passport of another is refused in one line."""
    other = str(folder / "other")
    assert main(["train", str(folder / "data"), "--out", other, *QUICK, "--set", "seed=9"]) == 0
    mixed = folder / "mixed"
    shutil.copytree(folder / "xrp", mixed)
    shutil.copy(folder / "other" / "model.json", mixed / "model.json")
    capsys.readouterr()
    assert main(["evaluate", str(folder / "data"), "--model", str(mixed)]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert load_for_study(folder / "other")[0].split.seed == 9


def resealed(path: Path, **changes: Any) -> None:
    """Write the planted dataset with columns or parts of the sidecar replaced, under right hashes."""
    planted(100).save(path)
    table_path, side_path = paths(path)
    side, table = json.loads(side_path.read_text()), pq.read_table(table_path)
    for name, value in changes.items():
        if name in table.column_names:
            column = pa.array([value] * len(table))
            table = table.set_column(table.column_names.index(name), name, column)
        elif value is ...:
            del side[name]
        else:
            side[name] = value
    pq.write_table(table, table_path)
    if "table_sha256" in side:
        side["table_sha256"] = hashlib.sha256(table_path.read_bytes()).hexdigest()
    side_path.write_text(json.dumps(side))


DAMAGE: dict[str, dict[str, Any]] = {
    "text for a number": {"net_r": "x"},
    "text for a feature": {"x.flow": "x"},
    "nothing for an outcome": {"y": None},
    "an outcome of 7": {"y": 7},
    "outcomes that contradict": {"y": 0},
    "no weight": {"weight": 0.0},
    "NaN weight": {"weight": float("nan")},
    "infinite feature": {"x.flow": float("inf")},
    "infinite result": {"net_r": float("inf")},
    "NaN break-even": {"p_star": float("nan")},
    "no hash": {"table_sha256": ...},
    "no names": {"names": ...},
    "other names": {"names": ["a", "b"]},
    "a list for meta": {"meta": []},
    "no streams": {"meta": {}},
    "unknown kind": {"meta": {**META, "kind": "other"}},
}


@pytest.mark.parametrize("changes", DAMAGE.values(), ids=DAMAGE)
def test_nonsense_under_right_hashes_is_one_line(
    folder: Path, tmp_path: Path, changes: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 1, the file by name, no warning of a library, and nothing written."""
    resealed(tmp_path / "wrong", **changes)
    commands = [
        ["train", str(tmp_path / "wrong"), "--out", str(tmp_path / "out"), "--set", "min_effective=1"]
    ]
    if changes != {"meta": {}}:  # to be evaluated, rows need no origin
        commands.append(["evaluate", str(tmp_path / "wrong"), "--model", str(folder / "xrp")])
    for command in commands:
        assert main(command) == 1
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.count("\n") == 1
        assert "wrong" in captured.err
        assert "internal error" not in captured.err
    assert not (tmp_path / "out").exists()


def test_cut_off_and_empty_datasets(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Damage is exit 1; no rows, a folder and no file are wrong usage, exit 2."""
    planted(100).rows(np.zeros(200, np.bool_)).save(tmp_path / "empty")
    planted(100).save(tmp_path / "cut")
    content = (tmp_path / "cut.parquet").read_bytes()
    (tmp_path / "cut.parquet").write_bytes(content[: len(content) // 2])
    for name, code in (("cut", 1), ("empty", 2), ("", 2), ("nowhere", 2)):
        for command in (["train"], ["evaluate", "--model", str(folder / "xrp")]):
            assert main([command[0], str(tmp_path / name), *command[1:]]) == code
            captured = capsys.readouterr()
            assert captured.err.count("\n") == 1
            assert "internal error" not in captured.err


def test_one_outcome_and_no_fill_are_answers(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Training refuses both; an evaluation needs fills."""
    data = planted(100)
    replace(data, y=np.ones_like(data.y), net_r=np.ones_like(data.net_r)).save(tmp_path / "won")
    replace(data, y=np.zeros_like(data.y), net_r=np.full_like(data.net_r, np.nan)).save(tmp_path / "unfilled")
    for name in ("won", "unfilled"):
        assert main(["train", str(tmp_path / name), "--json", "--set", "min_effective=1"]) == 1
        assert json.loads(capsys.readouterr().out)["verdict"] == "refused"
    assert main(["evaluate", str(tmp_path / "unfilled"), "--model", str(folder / "xrp")]) == 2
    assert "0 filled orders are too few" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["train", "{data}", "--out", "{file}"], "is a file, not a folder"),
        (["train", "{data}", "--out", "{file}/model"], "is a file, not a folder"),
        (["evaluate", "{data}", "--model", "{model}", "--report", "{folder}"], "is a folder: name a file"),
        (["evaluate", "{data}", "--model", "{model}", "--report", "{file}/page"], "is a file, not a folder"),
        (["evaluate", "{data}", "--model", "{model}", "--report", "/dev/null"], "is no regular file"),
        (["evaluate", "{data}", "--model", "{file}"], "is no folder of a model"),
        (["inspect", "{folder}"], "no such file"),
        (["inspect", "{file}"], "is no folder of a model"),
    ],
)
def test_places_are_checked_before_the_work(
    folder: Path, tmp_path: Path, options: list[str], message: str,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Exit 2 and one line, before a minute of training is lost."""
    monkeypatch.setattr("runtime.model_commands.train.train", lambda *_: pytest.fail("it was trained"))
    (tmp_path / "file").write_text("x")
    words = {"data": folder / "data", "model": folder / "xrp", "file": tmp_path / "file", "folder": tmp_path}
    assert main([one.format(**words) for one in options]) == 2
    error = capsys.readouterr().err
    assert message in error.lower()
    assert error.count("\n") == 1
    assert (tmp_path / "file").read_text() == "x"


def test_full_disk_leaves_the_old_model(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Writing the last file fails: exit 1 with the folder's name, and the model before is whole."""
    model = Path(shutil.copytree(folder / "xrp", folder / "old" / "xrp"))
    before = {path.name: path.read_bytes() for path in model.iterdir()}
    written = Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        if "passport" in path.name:
            written(path, content[:10])
            raise OSError(errno.ENOSPC, "No space left on device")
        return written(path, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    assert (
        main(["train", str(folder / "data"), "--out", str(model), "--replace", *QUICK, "--set", "seed=3"])
        == 1
    )
    error = capsys.readouterr().err
    assert f"{model} cannot be written: No space left on device" in error
    assert error.count("\n") == 1
    assert {path.name: path.read_bytes() for path in model.iterdir()} == before


def test_interrupted_training_leaves_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C: one line, exit 1, no folder."""

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ml.search.score", interrupted)
    assert main(["train", str(folder / "data"), "--out", str(folder / "stopped"), *QUICK]) == 1
    assert capsys.readouterr().err == "python -m ml: error: interrupted\n"
    assert not (folder / "stopped").exists()


def test_settings_come_from_the_file_and_then_the_command_line(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--set` and `--monotone` are above `training` of config.yaml, and the passport has their hash."""
    (tmp_path / "config.yaml").write_text(
        "training: {rounds: 25, bootstrap_rounds: 100, seed: 5, monotone: {flow: 1}, trees: {max_depth: 2}}"
    )
    monkeypatch.chdir(tmp_path)
    base = ("train", str(folder / "data"))
    assert main([*base, "--out", "file"]) == 0
    assert (
        main([*base, "--out", "line", "--set", "seed=6", "--set", "max_depth=1", "--monotone", "noise_a=-1"])
        == 0
    )
    assert main([*base, "--out", "again", "--set", "threads=2"]) == 0
    file, line, again = (
        decode(Path(name, "passport.json").read_bytes()) for name in ("file", "line", "again")
    )
    assert (file.split.seed, file.params["max_depth"], file.params["monotone.flow"]) == (5, 2, 1)
    assert (line.split.seed, line.params["max_depth"]) == (6, 1)
    assert (line.params["monotone.flow"], line.params["monotone.noise_a"]) == (1, -1)
    assert len({one.build.config_sha256 for one in (file, line, again)}) == 3
    assert len(file.build.config_sha256) == 64
    assert Path("again/model.json").read_bytes() == Path("file/model.json").read_bytes()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("training: {round: 3}", "unknown setting $.training.round, did you mean rounds?"),
        ("training: {folds: 1}", "folds is 1, want 2 or more - at $.training"),
        ("training: {trees: {max_depth: 9}}", "max_depth is 9, want 1 to 8 - at $.training.trees"),
        ("training: {margin: .nan}", "margin is nan"),
        ("training: {scheme: shuffled}", "$.training.scheme"),
        ("training: {monotone: {flow: 2}}", "monotone takes -1 or 1"),
    ],
)
def test_wrong_settings_name_file_and_place(
    folder: Path, tmp_path: Path, text: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, exit 2."""
    config = tmp_path / "my.yaml"
    config.write_text(text)
    assert main(["train", str(folder / "data"), "--config", str(config)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "my.yaml" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["{data}", "--out", "{model}"], "add --replace"),
        (["{data}.nothing"], "is no dataset"),
        (["{data}", "--set", "round=3"], "did you mean rounds?"),
        (["{data}", "--set", "folds=1"], "folds is 1"),
        (["{data}", "--monotone", "speed=1"], "speed"),
        (["{data}", "--start", "2030-01-01"], "the dataset is 2024-10-04"),
    ],
)
def test_misuse_is_one_line_and_exit_2(
    folder: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Says what and how to mend it, without a traceback."""
    filled = [one.format(data=folder / "data", model=folder / "xrp") for one in options]
    assert main(["train", *filled]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
