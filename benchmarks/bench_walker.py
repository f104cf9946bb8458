"""How fast one row is scored: the walker against XGBoost's own call.

Goal: a call for one row takes at most a sixtieth of `inplace_predict` for one row, 200 trees of depth 5 over
25 features. Medians of wall time per call, in alternating blocks of calls, every call another row, after the
bits of 20,000 rows were compared. A regression here means that the policy, asked on every trade of the
approach, slows the engine down.

    python benchmarks/bench_walker.py [--calls 3000]
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import xgboost as xgb

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from ml.walker import Walker  # noqa: E402

ROWS, FEATURES, TREES, DEPTH = 20_000, 25, 200, 5
BLOCK = 100  # calls in a row by one of the two: neither starts with what the other left in the cache


def model() -> tuple[xgb.Booster, np.ndarray]:
    """Return a model of the usual size, as loaded for live use, and rows with 3 % missing values."""
    generator = np.random.default_rng(11)
    x = generator.normal(size=(ROWS, FEATURES))
    x[generator.random(x.shape) < 0.03] = np.nan
    y = (generator.random(ROWS) < 1 / (1 + np.exp(-np.nan_to_num(x[:, :5]).sum(1)))).astype(float)
    trained = xgb.train(
        {"objective": "binary:logistic", "max_depth": DEPTH, "eta": 0.1, "nthread": 1},
        xgb.QuantileDMatrix(x, y),
        TREES,
    )
    return xgb.Booster({"nthread": 1}, model_file=bytearray(trained.save_raw("json"))), x


def nanoseconds(call: Callable[[], object]) -> int:
    """Return the wall time of one call."""
    start = time.perf_counter_ns()
    call()
    return time.perf_counter_ns() - start


def measure(calls: int) -> dict[str, float]:
    """Return medians and ratios; both score the same rows."""
    booster, x = model()
    walker = Walker(bytes(booster.save_raw("json")))
    assert walker.predict(x).tobytes() == booster.inplace_predict(x).tobytes()
    one = np.empty((1, FEATURES))
    times: dict[str, list[int]] = {"walker": [], "xgboost": [], "empty": []}
    for first in range(0, calls, BLOCK):
        block = x[np.arange(first, first + BLOCK) % ROWS]
        for row in block:
            walker.row[:] = row
            times["walker"].append(nanoseconds(walker.probability))
        for row in block:
            one[:] = row
            times["xgboost"].append(
                nanoseconds(lambda: booster.inplace_predict(one, validate_features=False))
            )
        times["empty"] += [nanoseconds(int) for _ in block]
    middle = {name: median(values[calls // 10 :]) for name, values in times.items()}
    return {
        "rows_equal_in_every_bit": ROWS,
        "walker_us": middle["walker"] / 1e3,
        "walker_p99_us": float(np.quantile(times["walker"][calls // 10 :], 0.99)) / 1e3,
        "inplace_predict_us": middle["xgboost"] / 1e3,
        "timer_us": middle["empty"] / 1e3,
        "times_faster": middle["xgboost"] / middle["walker"],
        "goal": 60,
    }


def main(argv: list[str] | None = None) -> int:
    """Measure and print one JSON object; 1 when the goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--calls", type=int, default=3_000, help="rows scored by each (3000)")
    figures = measure(parser.parse_args(argv).calls)
    print(json.dumps(figures))
    return 0 if figures["times_faster"] >= figures["goal"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
