"""A look at a resting entry: from a trade to the model's probability, in one compiled call if it can be."""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ml.features import NAMES, FeatureRing
from ml.kernels.gate import SCORING_DTYPE, probability_at, score_at
from ml.model import Model
from ml.walker import Walker

_UNFIT: Final = (SCORING_DTYPE.names or ()).index("unfit")


class Look:
    """Scores rows of a model, and says which may not be scored.

    Parameters
    ----------
    model
        Loaded by `ml.model.load_model`.
    may_miss
        Columns in which NaN may be scored, shape (f,), 0 or 1.

    Notes
    -----
    With a model that the walker covers, a look is one call of 2 to 4 us: it fills the columns that the trade
    changes, checks all, and walks the trees. Any other model is asked by XGBoost's own call, about a hundred
    times slower, behind the same methods.
    """

    def __init__(self, model: Model, may_miss: NDArray[np.uint8]) -> None:
        self._model = model
        self._may_miss = np.ascontiguousarray(may_miss, np.uint8)
        self._bounds = np.ascontiguousarray(model.bounds, np.float64)
        self.row = model.scorer.row
        """Shape (f,): the features that were scored last."""
        self._columns = np.zeros(len(self.row), np.int64)
        self._ring: FeatureRing | None = None
        self._record = np.zeros(1, SCORING_DTYPE)
        record = self._record[0]
        record["width"] = len(self.row)
        record["row_at"] = self.row.ctypes.data
        record["columns_at"] = self._columns.ctypes.data
        record["bounds_at"] = self._bounds.ctypes.data
        record["may_miss_at"] = self._may_miss.ctypes.data
        record["unfit"] = -1
        record["a"], record["b"] = model.passport.calibration.a, model.passport.calibration.b
        self._is_walked = isinstance(model.scorer, Walker)
        if isinstance(model.scorer, Walker):
            record["walk_at"] = model.scorer.address
        self._address = self._record.ctypes.data
        self._words = memoryview(self._record.view(np.int64))

    @property
    def unfit(self) -> int:
        """Return the first column because of which the last row was not scored, -1 when it was."""
        return self._words[_UNFIT]

    def score(self) -> float:
        """Return the calibrated probability of `row` as it stands, 0..1; NaN when it must not be scored."""
        return self._or_ask(score_at(self._address))

    def from_ring(self, ring: FeatureRing) -> Callable[[int, float], float]:
        """Return the call that scores a trade: its time, UNIX nanoseconds, and price to what `score` returns.

        Parameters
        ----------
        ring
            Holds buckets and order; without a bucket nothing is scored.

        Raises
        ------
        ValueError
            When the model has a column that is no feature.
        """
        names = [one.name for one in self._model.passport.features]
        unknown = [name for name in names if name not in NAMES]
        if unknown:
            raise ValueError(
                f"no feature is called {', '.join(unknown)}: this model is scored from rows only"
            )
        self._columns[:] = [NAMES.index(name) for name in names]
        self._ring = ring  # the record only has its address
        self._record[0]["ring_at"] = ring.address
        address = self._address

        def walked(ts_ns: int, price: float) -> float:
            return probability_at(address, ts_ns, price)

        def asked(ts_ns: int, price: float) -> float:
            return self._or_ask(probability_at(address, ts_ns, price))

        return walked if self._is_walked else asked

    def _or_ask(self, probability: float) -> float:
        if self._is_walked or self.unfit >= 0:
            return probability
        return self._model.probability()


__all__ = ["Look"]
