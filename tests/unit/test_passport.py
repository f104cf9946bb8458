"""A passport is read as it was written, or not at all."""

import shutil
from pathlib import Path

import msgspec
import pytest

from ml.passport import (
    Bin,
    Build,
    Calibration,
    DataFile,
    DataManifest,
    DecisionRule,
    DriftBins,
    DriftReference,
    FeatureField,
    KernelInfo,
    LabelRule,
    Metrics,
    Passport,
    PassportError,
    Probe,
    SplitInfo,
    SymbolScope,
    decode,
    encode,
    kernel_sha256,
    seal,
    self_hash,
)

ROOT = Path(__file__).resolve().parents[2]
BINS = DriftBins(edges=(0.0,), freq=(0.5, 0.5))
PASSPORT = seal(
    Passport(
        model_id="xrp",
        model_sha256="0" * 64,
        features=(FeatureField(name="speed", unit="1/s"),),
        feature_schema_sha256="1" * 64,
        kernel=KernelInfo(source_sha256="2" * 64),
        symbols={"XRPUSDT.BINANCE": SymbolScope(venue="BINANCE", stream="trades", bucket_usd=10_000)},
        data=DataManifest(files=(DataFile(name="2026-03-17.parquet"),), start_ns=1, end_ns=2),
        label=LabelRule(latency_ms=50),
        split=SplitInfo(
            scheme="purged 5-fold",
            folds=5,
            embargo_secs=60.0,
            n_events=9,
            n_orders=3,
            n_effective=2.5,
            seed=1,
        ),
        metrics=Metrics(
            auc=0.5,
            auc_ci=(0.4, 0.6),
            logloss=0.7,
            base_logloss=0.69,
            logloss_gain_ci=(-0.1, 0.1),
            brier=0.25,
            slope=None,
            reliability=(Bin(predicted=0.5, observed=0.4, n=9),),
            kept_share=1.0,
            expectancy_kept_r=None,
            expectancy_all_r=0.1,
            expectancy_gain_r=None,
            expectancy_gain_ci=None,
            dsr=None,
            pbo=None,
            n_trials=1,
        ),
        calibration=Calibration(a=1.0, b=0.0),
        decision=DecisionRule(),
        verdict="no_skill",
        reasons=("AUC",),
        drift_ref=DriftReference(features={"speed": BINS}, score=BINS),
        probe=Probe(x=((None,),), margin=(0.0,), p=(0.5,), calibrated=(0.5,)),
        expires_ns=3,
        build=Build(created="2026-03-18T00:00:00Z"),
    )
)


def test_read_as_written() -> None:
    """Decoding gives the same passport, and its bytes are canonical."""
    assert decode(encode(PASSPORT)) == PASSPORT
    assert PASSPORT.symbols["XRPUSDT.BINANCE"].bucket_usd == 10_000.0


def test_every_flipped_bit_is_refused() -> None:
    """Whatever single bit changes, the passport is refused with a reason."""
    content = encode(PASSPORT)
    for at in range(len(content)):
        damaged = bytearray(content)
        damaged[at] ^= 1 << at % 8
        with pytest.raises(PassportError):
            decode(bytes(damaged))


def test_every_truncation_is_refused() -> None:
    """A passport cut anywhere is refused."""
    content = encode(PASSPORT)
    for length in range(0, len(content), 7):
        with pytest.raises(PassportError):
            decode(content[:length])


def test_edited_value_breaks_the_seal() -> None:
    """A verdict rewritten by hand is found although the JSON is in order."""
    edited = msgspec.structs.replace(PASSPORT, verdict="skill")
    with pytest.raises(PassportError, match="seal"):
        decode(encode(edited))


def test_other_version_is_refused() -> None:
    """A passport of a later program is not guessed at."""
    with pytest.raises(PassportError, match="schema_version 99"):
        decode(encode(seal(msgspec.structs.replace(PASSPORT, schema_version=99))))


def test_nan_cannot_be_sealed() -> None:
    """NaN has no JSON form, so it never reaches a file."""
    nan = msgspec.structs.replace(PASSPORT, expires_ns=3, calibration=Calibration(a=float("nan"), b=0.0))
    with pytest.raises(PassportError, match="calibration"):
        seal(nan)


def test_self_hash_leaves_out_the_circumstances() -> None:
    """Folder, time and threads do not change what the model carries; what it was trained on does."""
    elsewhere = msgspec.structs.replace(
        PASSPORT,
        model_id="other",
        model_sha256="9" * 64,
        build=Build(created="2027-01-01T00:00:00Z", threads=2),
    )
    later = msgspec.structs.replace(PASSPORT, expires_ns=4)
    assert self_hash(elsewhere) == self_hash(PASSPORT) != self_hash(later)


DEPENDS_ON = (
    "packet_builder/builder.py",
    "packet_builder/packet.py",
    "packet_builder/kernels/volume_bucket.py",
    "indicators/engine.py",
    "indicators/structure_config.py",
    "indicators/snapshot.py",
    "indicators/bias.py",
    "indicators/kernels/engine.py",
    "ml/decisions.py",
    "ml/features.py",
    "ml/market.py",
    "ml/kernels/features.py",
)


def test_kernel_hash_covers_every_source_of_a_feature(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One byte more in any file that a feature depends on, defaults of its settings included, is found."""
    for package in ("packet_builder", "indicators", "ml"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr("ml.passport._ROOT", tmp_path)
    assert kernel_sha256() == (before := kernel_sha256())
    for name in DEPENDS_ON:
        path = tmp_path / name
        content = path.read_bytes()
        path.write_bytes(content + b"#")
        assert kernel_sha256() != before, name
        path.write_bytes(content)
    (tmp_path / "ml" / "walker.py").write_bytes(b"#")
    assert kernel_sha256() == before


def test_kernel_hash_is_stable() -> None:
    """The hash of the feature kernels is the same on every call."""
    assert kernel_sha256() == kernel_sha256()
    assert len(kernel_sha256()) == 64
