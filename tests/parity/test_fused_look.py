"""The compiled chain from a trade to a probability = the rows of training, scored by XGBoost itself."""

from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import pytest
import xgboost as xgb
from hypothesis import given, settings
from hypothesis import strategies as st

from indicators.engine import StructureEngine
from indicators.structure_config import StructureConfig
from ml.features import NAMES, FeatureRing, OrderFacts, feature_matrix
from ml.look import Look
from ml.market import Market, Tape, perceive
from ml.model import Model, Scorer, calibrated
from ml.passport import DriftBins, DriftReference, FeatureField, Passport
from ml.walker import Walker
from packet_builder.builder import BucketConfig
from runtime.sample import SampleRequest, tape_of
from tests.model_folder import passport_of, train

TICK = Decimal("0.01")
USED = NAMES[1::3]  # a model may use some of the columns, in their order


@dataclass(frozen=True)
class Bench:
    """Buckets of the sample tape, a model over some columns, and XGBoost with the same trees."""

    market: Market
    booster: xgb.Booster
    walker: Walker
    passport: Passport


class AskXgboost:
    """Scores by XGBoost's own call, as where the walker does not cover a model."""

    def __init__(self, booster: xgb.Booster) -> None:
        self._booster = booster
        self._rows = np.zeros((1, len(USED)))
        self.row = self._rows[0]

    def score(self) -> float:
        """Return the margin."""
        return float(self._booster.inplace_predict(self._rows, predict_type="margin")[0])


@pytest.fixture(scope="module")
def bench() -> Bench:
    """Train on random rows: what the trees say does not matter, only that they are asked the same."""
    trades = tape_of(SampleRequest(days=1), "ETHUSDT")[:40_000]
    market = perceive(
        Tape(trades.ts_ns, trades.price_ticks, trades.size_lots, trades.is_buyer),
        buckets=BucketConfig(bucket_usd=10_000, tick_size=TICK, lot_size=Decimal("0.0001")),
        structure=StructureConfig(tick_size=float(TICK)),
    )
    random = np.random.default_rng(4)
    x = random.normal(0, 3, (2_000, len(USED)))
    x[random.random(x.shape) < 0.05] = np.nan
    booster = xgb.train(
        {"objective": "binary:logistic", "max_depth": 5, "eta": 0.3, "nthread": 1},
        xgb.DMatrix(x, (random.random(len(x)) < 0.4).astype(float)),
        60,
    )
    bins = DriftBins(edges=(-40.0, 40.0), freq=(0.1, 0.8, 0.1), low=-600.0, high=600.0)
    passport = passport_of(
        train(),
        features=tuple(FeatureField(name=name) for name in USED),
        drift_ref=DriftReference(features=dict.fromkeys(USED, bins), score=bins),
    )
    return Bench(market, booster, Walker(bytes(booster.save_raw("json"))), passport)


def look_of(bench: Bench, scorer: Scorer, may_miss: bool) -> Look:
    """Return a look by a scorer."""
    return Look(Model(bench.passport, scorer, "walker"), np.full(len(USED), may_miss, np.uint8))


@st.composite
def orders(draw: st.DrawFn) -> tuple[int, float, float, float, float, float, int, float]:
    """Draw direction, distances of entry, stop, target and range from the price in percent, age, bias."""
    distance = st.floats(0.01, 3.0)
    return (
        draw(st.sampled_from([-1, 1])),
        draw(distance),
        draw(distance),
        draw(distance),
        draw(distance),
        draw(distance),
        draw(st.integers(0, 200)),
        draw(st.sampled_from([-1.0, 0.0, 1.0, np.nan])),
    )


LOOKS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 10**11), st.floats(-0.01, 0.01)), min_size=1, max_size=8
)


@settings(max_examples=60, deadline=None)
@given(start=st.integers(1, 400), drawn=orders(), looks=LOOKS, may_miss=st.booleans())
def test_chain_is_the_rows_of_training(
    bench: Bench, start: int, drawn: tuple[int, ...], looks: list[tuple[int, int, float]], may_miss: bool
) -> None:
    """Rows and probabilities agree in every bit, for several trades of a bucket and for unfit rows."""
    packets, snapshots = bench.market.packets, bench.market.snapshots
    ring = FeatureRing()
    walked = look_of(bench, bench.walker, may_miss)
    asked = look_of(bench, AskXgboost(bench.booster), may_miss)
    by_walker, by_xgboost = walked.from_ring(ring), asked.from_ring(ring)
    close = float(packets["close"][start])
    side, entry, stop, target, below, above, age, bias = drawn
    facts = OrderFacts(
        side,
        close * (1 - side * entry / 100),
        close * (1 - side * (entry + stop) / 100),
        close * (1 + side * target / 100),
        close * (1 - below / 100),
        close * (1 + above / 100),
        int(packets["ts_close_ns"][start]) - age * 10**9,
        start - age,
        bias,
    )
    for at in range(max(start - 300, 0), start):
        ring.push(packets[at], snapshots[at])
    ring.hold(facts)
    last = start - 1
    for closed, wait_ns, moved in looks:
        for _ in range(closed):
            last += 1
            ring.push(packets[last], snapshots[last])
        ts_ns, price = int(packets["ts_close_ns"][last]) + wait_ns, close * (1 + moved)
        probability = by_walker(ts_ns, price)
        (row,) = feature_matrix(
            packets,
            snapshots,
            np.array([last]),
            facts.row()[None, :],
            np.array([facts.placed_ns]),
            np.array([ts_ns]),
            np.array([price]),
        )
        assert ring.row.tobytes() == row.tobytes()
        used = row[[NAMES.index(name) for name in USED]]
        assert walked.row.tobytes() == used.tobytes()
        np.testing.assert_equal(by_xgboost(ts_ns, price), probability)
        assert walked.unfit == asked.unfit
        if walked.unfit >= 0:
            assert np.isnan(probability)
            continue
        (margin,) = bench.booster.inplace_predict(used[None, :], predict_type="margin")
        a, b = bench.passport.calibration.a, bench.passport.calibration.b
        assert probability == calibrated(float(margin), a, b)
        assert walked.score() == probability


@settings(max_examples=300, deadline=None)
@given(value=st.floats(width=32, allow_infinity=False), place=st.integers(0, len(USED) - 1))
def test_unfit_value_is_never_scored(bench: Bench, value: float, place: int) -> None:
    """What lies beyond the bounds or is missing gives NaN and its column, anything else a probability."""
    look = look_of(bench, bench.walker, may_miss=False)
    look.row[:] = 0.0
    look.row[place] = value
    probability = look.score()
    is_fit = -8_040 <= value <= 8_040  # a hundred times the width of the reference's inner bin
    assert (look.unfit, np.isnan(probability)) == ((-1, False) if is_fit else (place, True))


def test_model_of_other_columns_is_no_chain(bench: Bench) -> None:
    """A column that is no feature cannot be filled."""
    passport = passport_of(train())
    look = Look(Model(passport, Walker(bytes(train().save_raw("json"))), "walker"), np.zeros(3, np.uint8))
    with pytest.raises(ValueError, match="flow"):
        look.from_ring(FeatureRing())


def test_structure_gives_the_bytes_of_its_snapshot(bench: Bench) -> None:
    """What live trading copies is the row that training reads."""
    engine = StructureEngine(StructureConfig(tick_size=float(TICK)))
    names = ("ts_open_ns", "ts_close_ns", "open", "high", "low", "close", "total_qty", "buy_qty")
    for at in range(300):
        engine.update(*(bench.market.packets[at][name].item() for name in names))
        assert engine.snapshot_bytes.tobytes() == bench.market.snapshots[at].tobytes()
        assert engine.snapshot.tobytes() == engine.snapshot_bytes.tobytes()
    engine.reset()
    assert engine.snapshot_bytes.tobytes() == bytes(len(engine.snapshot_bytes))
