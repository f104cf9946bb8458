"""A model decides only if every doubt about it was settled; otherwise it is refused with a reason."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import xgboost as xgb

from ml import model as model_module
from ml import model_guard
from ml.model import ModelRefused, Refusal, calibrated, load_for_study, load_model
from ml.passport import (
    MODEL_FILE,
    PASSPORT_FILE,
    Calibration,
    KernelInfo,
    Passport,
    Probe,
    SymbolScope,
    decode,
)
from tests.model_folder import (
    EXPIRES_NS,
    INSTRUMENT,
    NAMES,
    WANTED,
    model_folder,
    passport_of,
    rows,
    train,
    write,
)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder that loads; tests that damage it copy it first."""
    return model_folder(tmp_path_factory.mktemp("models") / "sound")


@pytest.fixture
def copy(sound: Path, tmp_path: Path) -> Path:
    """Give a copy that may be damaged."""
    return Path(shutil.copytree(sound, tmp_path / sound.name))


@pytest.fixture
def no_child(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail if a process is started: the doubt must be settled before."""

    def started(*_: Any) -> dict[str, Any]:
        pytest.fail("a child process was started for bytes that fail their hash")

    monkeypatch.setattr(model_module, "ask_child", started)


def refusal(folder: Path, **wanted: Any) -> Refusal:
    """Return why a folder is refused."""
    with pytest.raises(ModelRefused) as caught:
        load_model(folder, dataclasses.replace(WANTED, **wanted))
    assert len(str(caught.value)) > 30
    return caught.value.reason


def test_sound_model_scores_as_xgboost(sound: Path) -> None:
    """A loaded model gives the calibrated probability of XGBoost's margin, and says that it has skill."""
    model = load_model(sound, WANTED)
    booster = xgb.Booster(model_file=sound / MODEL_FILE)
    x = rows(50, seed=9)
    margins = booster.inplace_predict(x, predict_type="margin", validate_features=False)
    for row, margin in zip(x, margins, strict=True):
        model.scorer.row[:] = row
        assert model.probability() == calibrated(float(margin), 0.9, -0.1)
    assert (model.kind, model.has_skill, model.notes) == ("walker", True, ())


@pytest.mark.usefixtures("no_child")
def test_truncated_anywhere(copy: Path) -> None:
    """Both files, cut at 50 points each."""
    for name, reason in ((MODEL_FILE, Refusal.MODEL_DAMAGED), (PASSPORT_FILE, Refusal.PASSPORT_DAMAGED)):
        content = (copy / name).read_bytes()
        for length in np.linspace(0, len(content) - 1, 50).astype(int):
            (copy / name).write_bytes(content[:length])
            assert refusal(copy) is reason
        (copy / name).write_bytes(content)


@pytest.mark.usefixtures("no_child")
def test_flipped_anywhere(copy: Path) -> None:
    """Both files, one bit flipped at 200 points each."""
    for name, reason in ((MODEL_FILE, Refusal.MODEL_DAMAGED), (PASSPORT_FILE, Refusal.PASSPORT_DAMAGED)):
        content = (copy / name).read_bytes()
        for number, at in enumerate(np.linspace(0, len(content) - 1, 200).astype(int)):
            damaged = bytearray(content)
            damaged[at] ^= 1 << number % 8
            (copy / name).write_bytes(damaged)
            assert refusal(copy) is reason
        (copy / name).write_bytes(content)


@pytest.mark.parametrize("name", [MODEL_FILE, PASSPORT_FILE])
def test_file_is_missing(copy: Path, name: str) -> None:
    """A folder without one of its files, or no folder at all, is refused as such."""
    (copy / name).unlink()
    assert refusal(copy) is Refusal.MISSING
    assert refusal(copy / "nowhere") is Refusal.MISSING


@pytest.mark.usefixtures("no_child")
def test_swapped_and_renamed(copy: Path, tmp_path: Path) -> None:
    """The model of another training, or a folder under another name, is refused."""
    other = model_folder(tmp_path / "other", {"max_depth": 1})
    shutil.copy(other / MODEL_FILE, copy / MODEL_FILE)
    assert refusal(copy) is Refusal.MODEL_DAMAGED
    assert refusal(other.rename(tmp_path / "mine")) is Refusal.RENAMED


HOST = {
    "columns in another order": ({"feature_names": NAMES[::-1]}, Refusal.OTHER_FEATURES),
    "a column less": ({"feature_names": NAMES[1:]}, Refusal.OTHER_FEATURES),
    "other definition": ({"feature_schema": lambda _names: "c" * 64}, Refusal.OTHER_FEATURES),
    "other kernel": ({"kernel_sha256": "c" * 64}, Refusal.OTHER_KERNEL),
    "other bucket size": ({"bucket_usd": 20_000.0}, Refusal.OTHER_BUCKET),
    "other stream": ({"stream": "aggtrades"}, Refusal.OTHER_STREAM),
    "other instrument": ({"instrument_id": "BTCUSDT.BINANCE"}, Refusal.OTHER_INSTRUMENT),
    "expired this moment": ({"now_ns": EXPIRES_NS}, Refusal.EXPIRED),
}


@pytest.mark.usefixtures("no_child")
@pytest.mark.parametrize(("wanted", "reason"), HOST.values(), ids=HOST)
def test_host_gives_something_else(sound: Path, wanted: dict[str, Any], reason: Refusal) -> None:
    """A model made for another feed, feature, kernel or time is refused."""
    assert refusal(sound, **wanted) is reason


@pytest.mark.usefixtures("no_child")
def test_other_layout_of_the_records(tmp_path: Path) -> None:
    """A model whose features were read from other records is refused where the host names its own."""
    kernel = KernelInfo(source_sha256=WANTED.kernel_sha256, state_dtype_sha256="e" * 64)
    folder = model_folder(tmp_path / "layout", kernel=kernel)
    assert refusal(folder, state_dtype_sha256="f" * 64) is Refusal.OTHER_KERNEL


def test_program_may_compute_more(sound: Path) -> None:
    """A model that uses some of the program's features, in their order, is taken."""
    wanted = dataclasses.replace(WANTED, feature_names=("first", *NAMES, "last"))
    assert load_model(sound, wanted).kind == "walker"


def test_facts_known_to_both_sides_must_agree(sound: Path, tmp_path: Path) -> None:
    """Decimals and the VPIN window are compared where the passport has them."""
    scope = decode((sound / PASSPORT_FILE).read_bytes()).symbols[INSTRUMENT]
    symbols = {INSTRUMENT: msgspec.structs.replace(scope, vpin_window=50)}
    folder = model_folder(tmp_path / "vpin", symbols=symbols)
    assert refusal(folder, vpin_window=20) is Refusal.OTHER_BUCKET
    assert load_model(folder, WANTED).kind == "walker"


STRATEGY = {"strategy": "ote", "strategy_version": "1", "parameters": {"structure": "external", "bars": None}}
OTHERS = {
    "name": ({"strategy": "other"}, "strategy ote, .* other"),
    "version": ({"strategy_version": "2"}, "strategy_version 1, .* 2"),
    "value": ({"parameters": {"structure": "internal", "bars": None}}, "structure external, .* internal"),
    "set here only": ({"parameters": {"structure": "external", "bars": "1h"}}, "bars none, .* 1h"),
    "unknown then": ({"parameters": {**STRATEGY["parameters"], "new": 1}}, "new none, .* 1"),
}


@pytest.mark.usefixtures("no_child")
@pytest.mark.parametrize(("changes", "words"), OTHERS.values(), ids=OTHERS)
def test_other_strategy(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    """The first difference to the strategy of the training is named, trained and given value."""
    scope = SymbolScope(
        venue="BINANCE", stream="trades", bucket_usd=10_000, parameters=STRATEGY["parameters"]
    )
    folder = model_folder(
        tmp_path / "bound", strategy="ote", strategy_version="1", symbols={INSTRUMENT: scope}
    )
    with pytest.raises(ModelRefused, match=rf"\(other_strategy\): trained with {words}"):
        load_model(folder, dataclasses.replace(WANTED, **{**STRATEGY, **changes}))


@pytest.mark.usefixtures("no_child")
def test_model_that_names_no_strategy(sound: Path) -> None:
    """A host of entries takes no model that does not say whose entries it knows."""
    assert refusal(sound, strategy="ote") is Refusal.OTHER_STRATEGY


def test_other_fees_are_a_note(tmp_path: Path) -> None:
    """Fees of the account that are not those of the training are noted, equal ones are not."""
    scope = SymbolScope(
        venue="BINANCE", stream="trades", bucket_usd=10_000, maker_fee_bps=2.0, taker_fee_bps=5.0
    )
    folder = model_folder(tmp_path / "fees", symbols={INSTRUMENT: scope})
    wanted = dataclasses.replace(WANTED, maker_fee_bps=1.0, taker_fee_bps=5.0)
    (note,) = load_model(folder, wanted).notes
    assert "maker fee: trained with 2 bps, XRPUSDT.BINANCE pays 1 bps" in note


def probe_with(**changes: Any) -> Callable[[Passport], Passport]:
    """Return a change of the passport's probe; values may be functions of the old ones."""

    def change(passport: Passport) -> Passport:
        new = {name: one(getattr(passport.probe, name)) for name, one in changes.items()}
        return msgspec.structs.replace(passport, probe=msgspec.structs.replace(passport.probe, **new))

    return change


NO_PROBE = {
    "empty": lambda passport: msgspec.structs.replace(
        passport, probe=Probe(x=(), margin=(), p=(), calibrated=())
    ),
    "NaN everywhere": probe_with(x=lambda x: tuple((None,) * len(row) for row in x)),
    "a row too short": probe_with(x=lambda x: (x[0][:-1], *x[1:])),
    "an answer too few": probe_with(p=lambda p: p[1:]),
}


@pytest.mark.usefixtures("no_child")
@pytest.mark.parametrize("change", NO_PROBE.values(), ids=NO_PROBE)
def test_probe_that_proves_nothing(tmp_path: Path, change: Callable[[Passport], Passport]) -> None:
    """A sealed passport whose probe is empty, NaN or of the wrong shape is refused."""
    booster = train()
    assert refusal(write(tmp_path / "probe", change(passport_of(booster)), booster)) is Refusal.NO_PROBE


@pytest.mark.usefixtures("no_child")
def test_probe_answer_that_is_nan(sound: Path, copy: Path) -> None:
    """JSON has no NaN: a passport with one as an answer is damaged."""
    content = (sound / PASSPORT_FILE).read_bytes()
    first = content.index(b'"margin":[') + len(b'"margin":[')
    end = content.index(b",", first)
    for word in (b"NaN", b"null"):
        (copy / PASSPORT_FILE).write_bytes(content[:first] + word + content[end:])
        assert refusal(copy) is Refusal.PASSPORT_DAMAGED


ANSWERS = {
    "another margin": probe_with(margin=lambda m: (np.nextafter(np.float32(m[0]), 9).item(), *m[1:])),
    "another probability": probe_with(p=lambda p: (0.5, *p[1:])),
    "another calibration": lambda passport: msgspec.structs.replace(
        passport, calibration=Calibration(a=1.1, b=0.0)
    ),
}


@pytest.mark.parametrize("change", ANSWERS.values(), ids=ANSWERS)
def test_other_answers_than_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Passport], Passport]
) -> None:
    """One bit of difference in a probe answer is enough."""
    booster = train()
    passport = passport_of(booster)
    folder = write(tmp_path / "answers", change(passport), booster)
    attributes = booster.attributes()
    answer = {
        "num_features": 3,
        "names": list(NAMES),
        "attributes": attributes,
        "margin": list(passport.probe.margin),
        "p": list(passport.probe.p),
    }
    # What the child said of this model in the first test: a process for each would only cost time.
    monkeypatch.setattr(model_module, "ask_child", lambda *_: answer)
    assert refusal(folder) is Refusal.PROBE_FAILED


def test_permuted_columns_inside_of_the_model(tmp_path: Path) -> None:
    """A model whose own names are in another order than the passport's is refused."""
    booster = train()
    passport = passport_of(booster)
    booster.feature_names = list(NAMES[::-1])
    assert refusal(write(tmp_path / "permuted", passport, booster)) is Refusal.OTHER_FEATURES


def test_model_of_another_passport(tmp_path: Path) -> None:
    """A model that carries another passport's hash is refused though every file hash fits."""
    booster = train()
    passport = passport_of(booster)
    write(tmp_path / "one", passport, booster)
    content = (tmp_path / "one" / MODEL_FILE).read_bytes()
    changed = msgspec.structs.replace(
        passport, kernel=KernelInfo(source_sha256="b" * 64, state_dtype_sha256="x")
    )
    assert refusal(write(tmp_path / "two", changed, booster, content)) is Refusal.MODEL_DAMAGED


@pytest.mark.parametrize("content", [b"{", b"\x00" * 4096], ids=["cut", "zeros"])
def test_unreadable_model_under_a_right_hash(tmp_path: Path, content: bytes) -> None:
    """What XGBoost cannot read ends the child and not this process."""
    booster = train()
    folder = write(tmp_path / "unreadable", passport_of(booster), booster, content)
    assert refusal(folder) is Refusal.CHILD_FAILED


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", Refusal.CHILD_FAILED),
        ("import time; time.sleep(600)", Refusal.CHILD_TIMEOUT),
        ("print('no json')", Refusal.CHILD_FAILED),
        ("print([])", Refusal.CHILD_FAILED),
    ],
    ids=["crash", "hang", "babble", "list"],
)
def test_child_that_dies_or_hangs(
    sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, reason: Refusal
) -> None:
    """A crash, a hang and nonsense of the child each end in a refusal."""
    path = tmp_path / "child.py"
    path.write_text(script)
    monkeypatch.setattr(model_guard, "CHILD", path)
    with pytest.raises(ModelRefused) as caught:
        load_model(sound, WANTED, time_limit_secs=0.5 if reason is Refusal.CHILD_TIMEOUT else 60)
    assert caught.value.reason is reason


def test_secrets_stay_out_of_the_child(sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The child sees no variable of the environment that it does not need."""
    path = tmp_path / "child.py"
    path.write_text("import os, sys; sys.exit('API_SECRET' in os.environ and 'seen' or 'not seen')")
    monkeypatch.setattr(model_guard, "CHILD", path)
    monkeypatch.setenv("API_SECRET", "x")
    with pytest.raises(ModelRefused, match="not seen"):
        load_model(sound, WANTED)


def test_not_covered_by_the_walker(tmp_path: Path) -> None:
    """A model deeper than the walker goes is scored by XGBoost, with a warning and the same result."""
    deep = {"max_depth": 11, "min_child_weight": 0, "eta": 1.0}
    folder = model_folder(tmp_path / "deep", deep)
    with pytest.warns(RuntimeWarning, match="does not cover"):
        model = load_model(folder, WANTED)
    assert (model.kind, len(model.notes)) == ("xgboost", 1)
    booster = xgb.Booster(model_file=folder / MODEL_FILE)
    x = rows(1)
    model.scorer.row[:] = x[0]
    margin = booster.inplace_predict(x, predict_type="margin", validate_features=False)[0]
    assert model.scorer.score() == margin


def test_model_without_skill_loads_and_says_so(tmp_path: Path) -> None:
    """The verdict is no reason to refuse: the policy decides what it means."""
    folder = model_folder(tmp_path / "plain", verdict="no_skill", reasons=("AUC",))
    assert not load_model(folder, WANTED).has_skill


@pytest.mark.slow
def test_damage_under_a_right_hash(tmp_path: Path) -> None:
    """Cut at 50 and flipped at 200 points with the hash made to fit: refused, or the probe came out."""
    booster = train()
    folder = write(tmp_path / "resealed", passport_of(booster), booster)
    content = (folder / MODEL_FILE).read_bytes()
    damaged = [content[:length] for length in np.linspace(0, len(content) - 1, 50).astype(int)]
    for number, at in enumerate(np.linspace(0, len(content) - 1, 200).astype(int)):
        flipped = bytearray(content)
        flipped[at] ^= 1 << number % 8
        damaged.append(bytes(flipped))
    refused = 0
    for one in damaged:
        write(folder, passport_of(booster), booster, one)
        try:
            load_model(folder, WANTED)
        except ModelRefused:
            refused += 1
    assert refused >= 100  # a flip in a statistic that no prediction reads changes nothing


def test_study_is_as_guarded_and_asks_for_no_host(sound: Path, copy: Path, tmp_path: Path) -> None:
    """Expired and renamed models can be looked at; a damaged one, or one that fails its probe, cannot."""
    old = model_folder(tmp_path / "old", expires_ns=1).rename(tmp_path / "elsewhere")
    passport, booster = load_for_study(old)
    assert (passport.model_id, booster.num_features()) == ("old", len(NAMES))
    (copy / MODEL_FILE).write_bytes((copy / MODEL_FILE).read_bytes()[:-1])
    with pytest.raises(ModelRefused) as caught:
        load_for_study(copy)
    assert caught.value.reason is Refusal.MODEL_DAMAGED
    booster = train()
    passport = probe_with(margin=lambda found: (found[0] + 1, *found[1:]))(passport_of(booster))
    with pytest.raises(ModelRefused) as caught:
        load_for_study(write(tmp_path / "lies", passport, booster))
    assert caught.value.reason is Refusal.PROBE_FAILED
