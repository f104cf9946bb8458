"""Bias of a higher time frame, from the closes of its completed bars."""

import hashlib
from math import isfinite
from typing import Self

import numpy as np
from numpy.typing import NDArray

from indicators import state_bytes
from indicators.kernels import bias as kernel

_KIND = hashlib.sha256(b"HtfBias").digest()


class HtfBias:
    """Direction of a higher time frame: close, EMA 20 and EMA 50 in order.

    The caller feeds closed higher bars only, as of their close: a forming one would look ahead.

    Parameters
    ----------
    fast_length, slow_length
        Lengths of the exponential averages (recursive, seeded by the first close).
    warm_up
        Closes that must have been seen before the bias is told.

    Raises
    ------
    ValueError
        Unless 1 <= fast_length < slow_length and warm_up >= 1.
    """

    def __init__(self, fast_length: int = 20, slow_length: int = 50, warm_up: int = 150) -> None:
        if not 1 <= fast_length < slow_length or warm_up < 1:
            raise ValueError(
                f"want 1 <= fast_length < slow_length and warm_up >= 1, got {fast_length}, {slow_length}, "
                f"{warm_up}"
            )
        self._states = np.zeros(1, kernel.BIAS_DTYPE)
        self._states["fast_length"] = fast_length
        self._states["slow_length"] = slow_length
        self._states["warm_up"] = warm_up
        self.reset()

    def reset(self) -> None:
        """Forget every close."""
        self._states["count"] = 0
        self._states["fast"] = np.nan
        self._states["slow"] = np.nan

    def update(self, close: float) -> int:
        """Take the close of one completed bar; return +1 bullish, -1 bearish, 0 neutral or in warm-up.

        Raises
        ------
        ValueError
            If the close is not finite; the state is untouched.
        """
        if not isfinite(close):
            raise ValueError(f"close must be finite, got {close}: drop or repair the bar")
        return int(kernel.step(self._states, close))

    def scan(self, close: NDArray[np.float64]) -> NDArray[np.int64]:
        """Take closes, shape (n,), as if `update` were called n times; return the bias after each.

        Raises
        ------
        ValueError
            If any close is not finite; then none was taken.
        """
        closes = np.ascontiguousarray(close, np.float64)
        if not np.isfinite(closes).all():
            raise ValueError(f"close in row {int(np.argmin(np.isfinite(closes)))} is not finite")
        out = np.empty(len(closes), np.int64)
        kernel.scan(self._states, closes, out)
        return out

    def to_bytes(self) -> bytes:
        """Return the whole state, lengths included."""
        return state_bytes.pack(self._states, _KIND)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Return a bias in the state that `to_bytes` saved; ValueError for other bytes."""
        restored = cls()
        restored._states = state_bytes.unpack(data, kernel.BIAS_DTYPE, _KIND)
        return restored
