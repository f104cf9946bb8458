"""What a passport remembers of its training, so that later days can be compared with it."""

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from ml.booster import margins
from ml.calibration import calibrate
from ml.dataset import Dataset
from ml.passport import Calibration, DriftReference
from ml.provenance import drift_bins
from ml.verdict import Scored


def drift_reference(
    data: Dataset, rows: Dataset, scored: Scored, booster: xgb.Booster, platt: Calibration
) -> DriftReference:
    """Return the reference of a training.

    Live, every order is looked at before anyone knows whether it fills. So the first looks are those of all
    orders, also of those that the model cannot learn from.

    Parameters
    ----------
    data
        All decisions, of orders that filled and others.
    rows
        Those learnt from.
    scored
        Out-of-fold predictions.
    booster, platt
        Final model: it scores the orders that it did not learn from.
    """
    first = _first_looks(data)
    return DriftReference(
        features={name: drift_bins(rows.x[:, at]) for at, name in enumerate(rows.names)},
        score=drift_bins(_scores(data.rows(first), scored, booster, platt)),
        first_looks={name: drift_bins(data.x[first, at]) for at, name in enumerate(data.names)},
        n_orders=len(first),
    )


def _first_looks(data: Dataset) -> NDArray[np.int64]:
    """Return the position of the first row of every order, ascending."""
    _, first = np.unique(data.order_id, return_index=True)
    return np.sort(first)


def _scores(looks: Dataset, scored: Scored, booster: xgb.Booster, platt: Calibration) -> NDArray[np.float64]:
    unfilled = looks.x[~np.isfinite(looks.net_r)]
    fresh = calibrate(margins(booster, unfilled), platt) if len(unfilled) else np.empty(0)
    tested = _first_looks(scored.data)
    began = dict(zip(looks.order_id.tolist(), looks.t0_ns.tolist(), strict=True))
    # A walk-forward may have tested an order from its second look on.
    is_first = [
        began.get(order) == t0_ns
        for order, t0_ns in zip(
            scored.data.order_id[tested].tolist(), scored.data.t0_ns[tested].tolist(), strict=True
        )
    ]
    return np.concatenate((scored.probability[tested[np.array(is_first, np.bool_)]], fresh))


__all__ = ["drift_reference"]
