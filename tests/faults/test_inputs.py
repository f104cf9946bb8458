"""F11, F15, F16, F17, F19: what a node is given before and while it decides; refused at the door.

Nothing here needs a running node: what refuses a start, and the strategy inside of Nautilus' engine.
"""

import io
import json
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
import yaml
from nautilus_trader.model.identifiers import InstrumentId

import live_node
from indicators.events import EventKind
from ml.features import schema_hash, state_dtype_sha256
from ml.gate import Gate, GateRules
from ml.model import Model
from ml.passport import (
    DataManifest,
    DriftBins,
    DriftReference,
    FeatureField,
    KernelInfo,
    SymbolScope,
    kernel_sha256,
)
from runtime.notify.events import Severity
from runtime.notify.translate import Translator
from strategies.model_policy import ModelPolicy
from strategies.ote import SPEC
from strategies.ote_config import OteConfig
from strategies.trade_manager.record import Decision
from tests.fake_binance import KEY, SECRET, FakeBinance
from tests.faults.recorder import record
from tests.integration.engine_harness import Trade, event, run
from tests.local_server import local_server
from tests.model_folder import passport_of, train, write
from tests.unit.test_model_policy import ENTRY, FEES, NOW, PRICE, USED, Structure, Sure, bucket, see
from tests.venue_simulator.process import API_KEY, API_SECRET, VenueProcess

pytestmark = pytest.mark.fault

IID: Final = "XRPUSDT.BINANCE"
MISUSE: Final = 2


@pytest.fixture
def venue(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeBinance]:
    """Give a venue that is well, and the keys of an account there."""
    monkeypatch.setenv("BINANCE_API_KEY", KEY)
    monkeypatch.setenv("BINANCE_API_SECRET", SECRET)
    monkeypatch.delenv("SMCBOT_JOURNAL_URL", raising=False)
    fake = FakeBinance()
    with local_server(fake) as server:
        fake.address = server.address
        yield fake


def settings_of(folder: Path, address: str, **strategy: Any) -> dict[str, Any]:
    """Return the settings of a node on a local venue."""
    return {
        "journal": {"url": f"sqlite:///{folder}/journal.sqlite", "spool": str(folder / "spool")},
        "download": {"retries": 0, "timeout_secs": 5},
        "live": {
            "folder": str(folder / "live"),
            "min_disk_mb": 1,
            "venues": [{"venue": "binance", "market": "spot", "hosts": {"http": address}}],
        },
        "strategies": [{"strategy": "ote", "instruments": [IID], **strategy}],
    }


def written(folder: Path, content: dict[str, Any] | str) -> Path:
    """Write a settings file."""
    text = content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False)
    file = folder / "config.yaml"
    file.write_text(text)
    return file


def asked(file: Path, *words: str) -> tuple[int, str]:
    """Run the command line in this process; return its exit code and what it said."""
    said, errors = io.StringIO(), io.StringIO()
    with redirect_stdout(said), redirect_stderr(errors):
        code = live_node.main(["run", *words, "--config", str(file)])
    return code, said.getvalue() + errors.getvalue()


# -- F11: before the start -----------------------------------------------------------------------------------


@pytest.mark.parametrize("secs", [2, -2])
def test_F11_a_start_with_a_wrong_clock_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secs: int
) -> None:
    """Two seconds off, either way: refused by the check and by the start, with the figure and the remedy."""
    monkeypatch.setenv("BINANCE_API_KEY", API_KEY)
    monkeypatch.setenv("BINANCE_API_SECRET", API_SECRET)
    monkeypatch.delenv("SMCBOT_JOURNAL_URL", raising=False)
    with VenueProcess("--venues", "binance_spot", "--market", "XRPUSDT:0.0001:0.1:1.25") as exchange:
        exchange.fault("skew", secs=secs)
        settings = settings_of(tmp_path, exchange.http("binance_spot"))
        file = written(tmp_path, settings)
        code, said = asked(file, "--mode", "live", "--check")
        start, told = asked(file, "--mode", "paper")
    assert (code, start) == (MISUSE, MISUSE)
    for words in (said, told):
        assert "synchronise it (NTP)" in words
        assert f"{-secs:+d}." in words or f"{-secs + (1 if secs > 0 else -1):+d}.9" in words
    record(
        "F11 start", "binance_spot", f"clock {secs:+d} s off before the start", measured={"exit code": code}
    )


# -- F15 -----------------------------------------------------------------------------------------------------

SECRET_SHAPED: Final = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
WRONG: Final = {
    "unknown key": ("live.limits.max_daily_los_pct", 3, "max_daily_loss_pct", "$.live.limits"),
    "wrong type": ("live.data.stale_secs", "soon", "", "$.live.data.stale_secs"),
    "key in the file": ("live.trader_id", SECRET_SHAPED, "environment", "$.live.trader_id"),
    "out of range": ("strategies.0.sweet_spot", 7, "", "$.strategies[0]"),
}


@pytest.mark.parametrize("case", WRONG)
def test_F15_wrong_settings_are_refused_with_their_place(
    tmp_path: Path, venue: FakeBinance, case: str
) -> None:
    """Exit 2 before anything is asked of a venue; file, line, path, and what was probably meant."""
    path, value, hint, place = WRONG[case]
    settings = settings_of(tmp_path, venue.address)
    *folders, last = path.split(".")
    target: Any = settings
    for one in folders:
        target = target[int(one)] if one.isdigit() else target.setdefault(one, {})
    target[last] = value
    file = written(tmp_path, settings)
    line = next(
        number
        for number, text in enumerate(file.read_text().splitlines(), 1)
        if text.strip().startswith(last)
    )
    answers = [
        asked(file, "--mode", mode, *more) for mode in ("paper", "live") for more in ((), ("--check",))
    ]
    assert {code for code, _said in answers} == {MISUSE}
    for _code, said in answers:
        assert place in said
        assert hint in said
        assert str(file) in said
        assert f"(line {line})" in said
        assert SECRET_SHAPED not in said
    record(
        "F15",
        "-",
        ", ".join(WRONG),
        measured={"exit code": MISUSE, case: answers[0][1].strip().replace(f"{tmp_path}/", "")},
    )


def test_F15_paper_shows_no_live_key_to_anybody(tmp_path: Path, venue: FakeBinance) -> None:
    """A live key in the environment of a paper node is neither needed nor sent."""
    code, said = asked(written(tmp_path, settings_of(tmp_path, venue.address)), "--mode", "paper", "--check")
    assert code == 0
    assert KEY not in said
    assert "paper needs none and uses none" in said
    record("F15 live key", "binance_spot", "paper with live keys set", measured={"exit code": code})


# -- F16 -----------------------------------------------------------------------------------------------------


def model_in(folder: Path, instrument: str = IID, expires_ns: int = 1 << 62) -> Path:
    """Write a model that may decide about an instrument until a time, UNIX nanoseconds."""
    booster = train()
    booster.feature_names = list(USED)
    terms = OteConfig(instrument_id=InstrumentId.from_str(instrument)).terms()
    scope = SymbolScope(
        venue="BINANCE",
        bucket_usd=10_000,
        parameters=terms,
        maker_fee_bps=10.0,
        taker_fee_bps=10.0,
        stream="trades",
    )
    passport = passport_of(
        booster,
        features=tuple(FeatureField(name=name) for name in USED),
        feature_schema_sha256=schema_hash(USED),
        kernel=KernelInfo(source_sha256=kernel_sha256(), state_dtype_sha256=state_dtype_sha256()),
        symbols={instrument: scope},
        strategy="ote",
        strategy_version=SPEC.version,
        data=DataManifest(files=(), start_ns=1, end_ns=2),
        expires_ns=expires_ns,
    )
    return write(folder, passport, booster)


def damaged(folder: Path) -> Path:
    """Write a model with one byte changed."""
    place = model_in(folder)
    content = bytearray((place / "model.json").read_bytes())
    content[len(content) // 2] ^= 1
    (place / "model.json").write_bytes(content)
    return place


def swapped(folder: Path) -> Path:
    """Write a sound model with the passport of another one."""
    place, other = model_in(folder), model_in(folder.with_name("other"), expires_ns=(1 << 62) - 1)
    content = json.loads((other / "model.json").read_text())
    content["learner"]["attributes"]["noted"] = "another"
    (place / "model.json").write_text(json.dumps(content))
    return place


MODELS: Final[dict[str, Callable[[Path], Path]]] = {
    "damaged": damaged,
    "swapped": swapped,
    "stale": lambda folder: model_in(folder, expires_ns=time.time_ns() - 1),
    "of another market": lambda folder: model_in(folder, "ADAUSDT.BINANCE"),
    "not there": lambda folder: folder,
}


def test_F16_a_model_that_must_not_decide_forbids_the_start(tmp_path: Path, venue: FakeBinance) -> None:
    """The sound one passes the check; each other is refused by check and start, and this process lives on."""
    reasons = {}
    sound = written(tmp_path, settings_of(tmp_path, venue.address, model=str(model_in(tmp_path / "sound"))))
    code, said = asked(sound, "--mode", "paper", "--check")
    assert (code, "may decide here" in said) == (0, True), said
    for case, make in MODELS.items():
        folder = make(tmp_path / case.replace(" ", "_"))
        file = written(tmp_path, settings_of(tmp_path, venue.address, model=str(folder)))
        for words in (("--mode", "paper", "--check"), ("--mode", "paper")):
            code, said = asked(file, *words)
            assert code != 0, (case, words)
            assert "Traceback" not in said
        reasons[case] = said.strip().splitlines()[-1].replace(str(tmp_path), "")
    assert len(set(reasons.values())) == len(MODELS)
    record(
        "F16",
        "binance_spot",
        "models: " + ", ".join(MODELS),
        measured=reasons,
    )


# -- F17 -----------------------------------------------------------------------------------------------------

# Volume bought in a bucket, and the price of the trade at which the model is asked.
UNFIT: Final = {
    "NaN": (np.nan, PRICE),
    "infinite": (np.inf, PRICE),
    "minus infinite": (-np.inf, PRICE),
    "price out of range": (6_000.0, 1e9),
}


def learnt_policy() -> ModelPolicy:
    """Return a policy whose model knows between which values its training lay."""
    bins = DriftBins(edges=(-100.0, 100.0), freq=(0.3, 0.4, 0.3), low=-100.0, high=100.0)
    passport = passport_of(
        train(),
        features=tuple(FeatureField(name=name) for name in USED),
        drift_ref=DriftReference(features=dict.fromkeys(USED, bins), score=bins),
    )
    policy = ModelPolicy(Gate(Model(passport, Sure(len(USED)), "xgboost"), GateRules()), **FEES)
    policy.open_order()
    policy.hold(ENTRY)
    return policy


@pytest.mark.parametrize("case", UNFIT)
def test_F17_a_feature_that_is_no_figure_is_never_scored(case: str) -> None:
    """A bucket's volume goes wrong: the order is cancelled, it is counted, and a person is told."""
    policy = learnt_policy()
    for seq in range(5):
        see(policy, seq)
    sound = policy.ask(NOW, PRICE)
    assert sound is not None
    assert sound.probability is not None
    packet, snapshot = bucket(5)
    packet["buy_usd"], price = UNFIT[case]
    policy.observe(packet, Structure(snapshot), None)
    verdict = policy.ask(NOW, price)
    assert verdict is not None
    assert (verdict.cancel, verdict.reason, verdict.probability) == (True, "unfit_row", None)
    counts = policy.as_plain()["decisions"]
    assert counts["unfit_row"] == 1
    decision = Decision(
        ts_ns=NOW,
        strategy_id="Ote-001",
        instrument_id=IID,
        kind="cancel_asked",
        bucket_seq=5,
        reason=verdict.reason,
        detail={"action": "cancel"},
    )
    told = Translator().decision(decision)
    assert told is not None
    assert told.severity is Severity.WARNING
    record(
        "F17", "-", f"volume of a bucket: {', '.join(UNFIT)}", measured={case: "cancelled, told", **counts}
    )


# -- F19 -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [1.3, 0.7])
def test_F19_a_bad_print_is_not_believed(share: float) -> None:
    """The bucket is tainted, nothing is entered on it, and the level is believed once fifty trades agree."""
    tape: list[Trade] = [(1.035, 100.0 + n, "b") for n in range(30)]
    tape[5] = (round(1.035 * share, 4), 1.0, "s")
    formed = event(EventKind.RANGE_FORMED, low=1.0, high=1.1)
    spike = run(tape, {5: [formed]})
    calm = run([(1.035, one[1], "b") for one in tape], {5: [formed]})
    assert [one.reason for one in spike.kinds("zone_skipped")] == ["tainted"]
    assert [one.bucket_seq for one in calm.kinds("entry_submitted")] == [5]
    entered = [one.bucket_seq for one in spike.kinds("entry_submitted")]
    assert min(entered) > 6
    record(
        "F19",
        "-",
        "one print 30 % away, either way",
        measured={"trades not believed": spike.strategy.counters["trades_far"], "orders on its bucket": 0},
    )
