"""`python -m ml` from dataset to model and report, its JSON and its exit codes."""

import json
import re
import shutil
from pathlib import Path

import pytest

from ml.__main__ import main
from ml.model import load_for_study
from ml.passport import decode
from tests.synthetic_dataset import planted

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
