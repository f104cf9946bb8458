"""A model finds what was planted, finds nothing in a random walk, and is the same bytes every time."""

import dataclasses
import json

import msgspec
import numpy as np
import pytest
import xgboost as xgb

from ml.booster import Machine, Rows, contributions, margins, train_booster
from ml.calibration import calibrate
from ml.cross_validation import TooFewEventsError, embargo_of, splits, usable
from ml.dataset import Dataset, DatasetError
from ml.evaluate import evaluate
from ml.labels import order_uniqueness
from ml.passport import HASH_ATTRIBUTE, Build, decode, encode, model_sha256, self_hash
from ml.scores import auc_of
from ml.train import Trained, TrainSettings, train, units_of
from ml.train_settings import TreeSettings
from ml.validation import DAY_NS
from ml.verdict import TrialRecord, measure, verdict
from tests.synthetic_dataset import planted, random_walk

BUILD = Build(created="2026-03-24T00:00:00Z")
QUICK = TrainSettings(rounds=60, bootstrap_rounds=200)


@pytest.fixture(scope="module")
def skilled() -> Trained:
    """Train once on planted flow."""
    return train(planted(), QUICK, BUILD)


@pytest.fixture(scope="module")
def walk() -> Dataset:
    """Make the random walk once."""
    return random_walk()


def test_planted_signal_is_skill(skilled: Trained) -> None:
    """Positive control: AUC, log-loss and money all say so, and the verdict has no objection."""
    metrics = skilled.passport.metrics
    assert (skilled.passport.verdict, skilled.passport.reasons) == ("skill", ())
    assert metrics.auc >= 0.65
    assert metrics.logloss < metrics.base_logloss
    assert metrics.kept_share >= 0.3
    assert metrics.expectancy_gain_ci is not None
    assert metrics.expectancy_gain_ci[0] > 0
    assert metrics.pbo is not None
    assert metrics.pbo < 0.2


@pytest.mark.parametrize(
    ("figures", "reason"),
    [
        ({"auc_ci": (0.49, 0.6)}, "does not exclude 0.5"),
        ({"logloss_gain_ci": (-0.01, 0.1)}, "log-loss"),
        ({"slope": 0.7}, "reliability slope 0.70"),
        ({"slope": None}, "probabilities are all equal"),
        ({"kept_share": 0.29}, "keeps 29% of the orders"),
        ({"expectancy_gain_ci": (-0.1, 0.5)}, "more than all"),
        ({"expectancy_gain_ci": None}, "no interval"),
        ({"dsr": 0.9}, "deflated Sharpe ratio 0.900"),
        ({"dsr": None}, "too few kept orders"),
        ({"pbo": 0.2}, "probability of overfitting 0.20"),
        ({"pbo": None, "n_trials": 2}, "no probability of overfitting for 2 trials"),
    ],
)
def test_one_condition_is_enough_for_no_skill(
    skilled: Trained, figures: dict[str, object], reason: str
) -> None:
    """Each bound alone takes the skill away, and its sentence says why."""
    metrics = msgspec.structs.replace(skilled.passport.metrics, **figures)
    decided, reasons = verdict(metrics, QUICK)
    assert decided == "no_skill"
    assert len(reasons) == 1
    assert reason in reasons[0]


def test_expiry_counts_from_the_data(skilled: Trained) -> None:
    """Ninety days after the last label, whenever the training was."""
    assert skilled.passport.expires_ns == planted().t1_ns.max() + 90 * DAY_NS


@pytest.mark.parametrize("scheme", ["kfold", "walk_forward"])
def test_random_walk_is_no_skill(walk: Dataset, scheme: str) -> None:
    """Negative control: the purged AUC is 0.45 to 0.55 and the verdict names its reasons."""
    passport = train(walk, msgspec.structs.replace(QUICK, scheme=scheme), BUILD).passport
    assert 0.45 <= passport.metrics.auc <= 0.55
    assert passport.verdict == "no_skill"
    assert any("does not exclude 0.5" in reason for reason in passport.reasons)


def test_shuffled_split_would_have_found_skill(walk: Dataset) -> None:
    """The control of the control: on the same walk a shuffled split shows more than 0.8."""
    fold = np.random.default_rng(0).permutation(len(walk)) % 3
    margin = np.zeros(len(walk))
    trees = TreeSettings(max_depth=8, learning_rate=0.3, min_child_weight=1.0, reg_lambda=1.0)
    for number in range(3):
        learnt, tested = fold != number, fold == number
        booster, _ = train_booster(
            Rows(walk.x[learnt], walk.y[learnt], walk.weight[learnt]),
            walk.names,
            trees,
            Machine(1, "cpu", 1),
            60,
            monotone={},
        )
        margin[tested] = margins(booster, walk.x[tested])
    assert auc_of(margin, walk.y, walk.weight, fold)(np.ones(len(walk))) > 0.8


def test_labels_that_leak_are_why_purging_matters(walk: Dataset) -> None:
    """Every split of the walk drops rows on purpose: those whose labels overlap the test."""
    rows, effective, _ = usable(walk, QUICK)
    for fold in splits(rows, QUICK, embargo_of(rows, QUICK).used_ns):
        learnt_end = rows.t1_ns[fold.train]
        before = fold.train < fold.test[0]
        assert len(fold.train) + len(fold.test) < len(rows)
        assert np.all(learnt_end[before] <= rows.t0_ns[fold.test[0]])
    assert effective < len(rows) / 10


def test_capped_embargo_is_no_skill(skilled: Trained) -> None:
    """Features that look back over more than half a test: said in words, with both in the passport."""
    split = skilled.passport.split
    assert split.embargo_secs == split.embargo_wanted_secs == 60 + 20 * 60
    data = planted()
    far = dataclasses.replace(data, meta={**data.meta, "lookback_secs": 30 * 86_400.0})
    passport = train(far, msgspec.structs.replace(QUICK, rounds=20), BUILD).passport
    assert passport.verdict == "no_skill"
    assert passport.reasons[-1].startswith("embargo of 10")
    assert passport.split.embargo_wanted_secs == 30 * 86_400 + 20 * 60
    assert passport.split.embargo_secs == pytest.approx(699 * 25 * 60 / 10, rel=0.01)


def test_walk_forward_leaves_the_gap(walk: Dataset) -> None:
    """What a test's features look back on is not learnt from, and the passport's embargo is the one used."""
    settings = msgspec.structs.replace(QUICK, scheme="walk_forward")
    rows = usable(walk, settings).rows
    gap_ns = embargo_of(rows, settings).used_ns
    assert gap_ns > 60 * 10**9
    for fold in splits(rows, settings, gap_ns):
        assert rows.t1_ns[fold.train].max() <= rows.t0_ns[fold.test[0]] - gap_ns


def test_same_seed_same_bytes_whatever_the_threads(skilled: Trained) -> None:
    """One and two threads, another time and another commit: the same model bytes."""
    again = train(
        planted(),
        msgspec.structs.replace(QUICK, threads=2),
        Build(created="2027-01-01T00:00:00Z", git="abc"),
    )
    assert again.model == skilled.model
    assert again.passport.build.threads == 2


def test_another_seed_is_another_model(skilled: Trained) -> None:
    """The seed does reach the sampling."""
    assert train(planted(), msgspec.structs.replace(QUICK, seed=2), BUILD).model != skilled.model


def test_search_is_counted_and_repeatable() -> None:
    """Two more settings are three trials, the earlier ones are added, and a second search is the same."""
    settings = msgspec.structs.replace(QUICK, trials=2, earlier_trials=5, rounds=25)
    found = [train(planted(400), settings, BUILD) for _ in range(2)]
    assert found[0].model == found[1].model
    assert [trial.params for trial in found[0].trials] == [trial.params for trial in found[1].trials]
    assert len(found[0].trials) == 3
    assert found[0].passport.metrics.n_trials == 8
    best = min(found[0].trials, key=lambda trial: trial.logloss)
    assert {name: found[0].passport.params[name] for name in best.params} == best.params


def test_search_is_judged_by_rows_that_had_no_part_in_it() -> None:
    """The figures are of the last quarter: with its outcomes turned round, the same choice has none."""
    settings = msgspec.structs.replace(QUICK, trials=3, rounds=25)
    data = planted()
    trained = train(data, settings, BUILD)
    judged = trained.scored.data
    rows = usable(data, settings).rows
    assert judged.t0_ns[0] == rows.t0_ns[-len(judged)]
    assert len(judged) == round(len(rows) / 4)
    assert trained.passport.split.n_judged == len(np.unique(judged.order_id)) < 200
    assert trained.passport.metrics.n_trials == 4
    assert trained.passport.metrics.auc_ci[0] > 0.6
    last = data.t0_ns >= judged.t0_ns[0]
    turned = dataclasses.replace(
        data,
        y=np.where(last & np.isfinite(data.net_r), 1 - data.y, data.y).astype(np.int8),
        net_r=np.where(last, 0.8 - data.net_r, data.net_r),
    )
    again = train(turned, settings, BUILD)
    assert [one.logloss for one in again.trials] == [one.logloss for one in trained.trials]
    assert again.passport.verdict == "no_skill"
    assert again.passport.metrics.auc < 0.4


@pytest.mark.parametrize("count", [1, 10, 200])
def test_probability_of_overfitting_stays_however_many_are_tried(skilled: Trained, count: int) -> None:
    """More trials than the orders can tell apart: an even part of them is compared, with the best in it."""
    generator = np.random.default_rng(1)
    noise = [
        TrialRecord({}, 0.7, 0.0, generator.normal(size=120), generator.normal(size=(3, 120)))
        for _ in range(count - 1)
    ]
    good = TrialRecord({}, 0.5, 1.0, generator.normal(1.5, 1.0, 120), generator.normal(size=(3, 120)))
    found = measure(skilled.scored, QUICK, [*noise[:77], good, *noise[77:]])
    assert (found.n_trials, found.pbo) == (count, 0.0)
    few = dataclasses.replace(good, series=good.series[:39], by_chance=good.by_chance[:, :39])
    untold = measure(skilled.scored, QUICK, [few] * count)
    assert untold.pbo is None
    assert verdict(untold, QUICK)[0] == ("skill" if count == 1 else "no_skill")


def test_progress_counts_every_booster() -> None:
    """The bar reaches its end."""
    settings = msgspec.structs.replace(QUICK, scheme="cpcv", folds=3, rounds=10, trials=1)
    steps: list[float] = []
    trained = train(planted(400), settings, BUILD, advance=steps.append)
    assert sum(steps) == units_of(settings) == 14
    assert len(trained.path_aucs) == 3


def test_too_few_events_are_refused() -> None:
    """Eighty orders are refused with their number; so is one moment looked at a thousand times."""
    with pytest.raises(TooFewEventsError, match=r"too few events: .* filled orders are worth"):
        train(planted(80), QUICK, BUILD)
    data = planted(600)
    one_moment = dataclasses.replace(
        data,
        t0_ns=np.full(len(data), 5),
        t1_ns=np.full(len(data), 9),
        day=np.zeros(len(data), dtype=np.int64),
    )
    with pytest.raises(TooFewEventsError, match=r"worth 1\.0 independent"):
        train(one_moment, QUICK, BUILD)


def test_orders_that_never_filled_are_not_learnt(skilled: Trained) -> None:
    """Unfilled is neither won nor lost: only filled orders are counted as events."""
    data = planted()
    filled = np.isfinite(data.net_r)
    assert 0 < filled.sum() < len(data)
    assert skilled.passport.split.n_events == filled.sum()


def test_tainted_orders_are_left_out_and_counted() -> None:
    """Orders in whose position trades were missing teach nothing, unless a setting says so."""
    data = planted()
    tainted = np.isin(data.order_id, np.arange(0, 700, 7))
    data = dataclasses.replace(data, aside={"is_tainted": tainted.astype(np.int64)})
    filled = np.isfinite(data.net_r)
    found = usable(data, QUICK)
    assert len(found.rows) == (filled & ~tainted).sum()
    assert found.n_tainted == len(np.unique(data.order_id[filled & tainted]))
    passport = train(data, msgspec.structs.replace(QUICK, rounds=10), BUILD).passport
    assert passport.split.n_tainted == found.n_tainted > 50
    kept = usable(data, msgspec.structs.replace(QUICK, drop_tainted=False))
    assert (len(kept.rows), kept.n_tainted) == (filled.sum(), 0)
    few = msgspec.structs.replace(QUICK, min_effective=1_000.0)
    with pytest.raises(TooFewEventsError, match=f"tainted orders left out: {found.n_tainted}"):
        usable(data, few)


def test_evaluation_leaves_tainted_orders_out_as_well(skilled: Trained) -> None:
    """Training and evaluation judge the same orders."""
    data = planted()
    tainted = np.isin(data.order_id, np.arange(0, 700, 7))
    data = dataclasses.replace(data, aside={"is_tainted": tainted.astype(np.int64)})
    booster = xgb.Booster(model_file=bytearray(skilled.model))
    found = evaluate(skilled.passport, booster, data, QUICK)
    assert len(found.scored.data) == (np.isfinite(data.net_r) & ~tainted).sum()


def test_weights_are_of_the_rows_learnt_from() -> None:
    """Unfilled orders that live at the same time take no weight from filled ones: weights and n agree."""
    data = planted()
    crowded = np.isfinite(data.net_r) & (data.order_id < 100)
    rows, effective, _ = usable(dataclasses.replace(data, weight=np.where(crowded, 0.1, 1.0)), QUICK)
    unique = order_uniqueness(rows.order_id, rows.t0_ns, rows.t1_ns)
    assert effective == pytest.approx(unique.sum())
    np.testing.assert_allclose(rows.weight * effective / len(rows), unique)


def test_model_and_passport_name_each_other(skilled: Trained) -> None:
    """The hash of the model is in the passport, that of the passport in the model."""
    passport = decode(encode(skilled.named("xrp")))
    learner = json.loads(skilled.model)["learner"]
    assert passport.model_sha256 == model_sha256(skilled.model)
    assert learner["attributes"] == {HASH_ATTRIBUTE: self_hash(passport)}
    assert tuple(learner["feature_names"]) == tuple(one.name for one in passport.features)


def test_probe_repeats_the_model(skilled: Trained) -> None:
    """The stored answers, some of rows with holes, come out again bit for bit."""
    probe = skilled.passport.probe
    x = np.array([[np.nan if value is None else value for value in row] for row in probe.x])
    assert np.isnan(x).any()
    again = margins(skilled.booster, x)
    np.testing.assert_array_equal(again, probe.margin)
    np.testing.assert_array_equal(calibrate(again, skilled.passport.calibration), probe.calibrated)


def test_contributions_sum_to_the_margin(skilled: Trained) -> None:
    """SHAP values and base add up within what float32 allows."""
    x = planted().x[:50]
    np.testing.assert_allclose(
        contributions(skilled.booster, x).sum(axis=1), margins(skilled.booster, x), atol=1e-5
    )


def test_monotone_constraint_binds() -> None:
    """With -1 the probability never rises with the flow, although the flow helps."""
    settings = msgspec.structs.replace(QUICK, monotone={"flow": -1}, rounds=30)
    booster = train(planted(400), settings, BUILD).booster
    x = np.zeros((200, 5))
    x[:, 1] = np.linspace(-4, 4, 200)
    assert np.all(np.diff(margins(booster, x)) <= 0)


def test_drift_reference_covers_every_feature(skilled: Trained) -> None:
    """Ten bins of a tenth each for continuous features, and their range."""
    reference = skilled.passport.drift_ref.features["noise_a"]
    assert np.sum(reference.freq) == pytest.approx(1.0)
    np.testing.assert_allclose(reference.freq, 0.1, atol=0.01)
    assert reference.low is not None
    assert reference.low < reference.edges[0]
    assert 0 < reference.missing < 0.05


def test_infinite_features_and_unknown_origin_are_refused() -> None:
    """Infinity is not "unknown", and a model without a scope fits nothing."""
    data = planted(300)
    x = data.x.copy()
    x[3, 2] = np.inf
    with pytest.raises(ValueError, match="infinite values in noise_b"):
        train(dataclasses.replace(data, x=x), QUICK, BUILD)
    with pytest.raises(DatasetError, match="streams"):
        train(dataclasses.replace(data, meta={}), msgspec.structs.replace(QUICK, rounds=5), BUILD)


@pytest.mark.parametrize(
    "wrong",
    [{"folds": 1}, {"stop_share": 0.5}, {"margin": 1.0}, {"monotone": {"flow": 2}}, {"valid_days": 0.0}],
)
def test_impossible_settings_are_refused(wrong: dict[str, object]) -> None:
    """Checked in the constructor too, not only when decoding."""
    with pytest.raises(ValueError):
        TrainSettings(**wrong)


def test_depth_beyond_the_walker_is_refused() -> None:
    """Deeper trees could not be walked live."""
    with pytest.raises(ValueError, match="max_depth is 9"):
        TreeSettings(max_depth=9)
