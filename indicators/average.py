"""Average true range, exponential average and relative strength of one stream of closed bars."""

import hashlib
from math import inf, isfinite
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from indicators import state_bytes
from indicators.kernels import average as kernel
from indicators.kernels.bar import RING


class _Average:
    """State and saving, common to the averages below."""

    def __init__(self, length: int, longest: int) -> None:
        if not 1 <= length <= longest:
            raise ValueError(f"length must be in 1..{longest}, got {length}")
        self._states = np.zeros(1, kernel.LONE_DTYPE)
        self._states["length"] = length
        self._states["mean"]["length"] = length
        self._states["strength"]["length"] = length
        self._states["close"] = np.nan
        self._states["ema"] = np.nan
        self._states["strength"]["close"] = np.nan
        self._fresh = self._states.tobytes()

    @classmethod
    def _kind(cls) -> bytes:
        return hashlib.sha256(cls.__name__.encode()).digest()

    def reset(self) -> None:
        """Forget every bar."""
        self._states = np.frombuffer(self._fresh, kernel.LONE_DTYPE).copy()

    def to_bytes(self) -> bytes:
        """Return the whole state: lengths, kind and history."""
        fresh = np.frombuffer(self._fresh, kernel.LONE_DTYPE)
        return state_bytes.pack(np.concatenate([self._states, fresh]), self._kind())

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Return an average in the state that `to_bytes` saved; ValueError for other bytes."""
        both = state_bytes.unpack(data, kernel.LONE_DTYPE, cls._kind(), rows=2)
        restored = cls.__new__(cls)
        restored._adopt(both[:1].copy(), both[1:].tobytes())  # noqa: SLF001 - our own
        return restored

    def _adopt(self, states: NDArray[np.void], fresh: bytes) -> None:
        self._states, self._fresh = states, fresh


class AverageTrueRange(_Average):
    """Average true range (Wilder 1978) over `length` bars, as plain mean or with his smoothing.

    Parameters
    ----------
    length
        Bars, 1..256.
    kind
        ``sma`` plain mean, ``rma`` Wilder's smoothing.
    """

    def __init__(self, length: int = 14, kind: Literal["sma", "rma"] = "sma") -> None:
        if kind not in ("sma", "rma"):
            raise ValueError(f"kind must be sma or rma, got {kind!r}")
        super().__init__(length, RING)
        self._states["kind"] = kind == "rma"
        self._fresh = self._states.tobytes()

    def update(self, high: float, low: float, close: float) -> float:
        """Take one closed bar; return the ATR in price units, NaN before `length` bars.

        Raises
        ------
        ValueError
            Unless low <= close <= high, all finite; the state is untouched.
        """
        if not -inf < low <= close <= high < inf:
            raise ValueError(f"bar is impossible: high {high} low {low} close {close}: drop or repair it")
        return float(kernel.atr_step(self._states, high, low, close))


class ExponentialAverage(_Average):
    """Exponential average with weight 2 / (length + 1), recursive, seeded by the first close.

    Parameters
    ----------
    length
        Bars, 1..100,000.
    """

    def __init__(self, length: int = 20) -> None:
        super().__init__(length, 100_000)

    def update(self, close: float) -> float:
        """Take one close; return the average after it. ValueError if it is not finite."""
        if not isfinite(close):
            raise ValueError(f"close must be finite, got {close}: drop or repair the bar")
        return float(kernel.lone_ema_step(self._states, close))


class RelativeStrength(_Average):
    """Relative strength index (Wilder 1978) over `length` changes of close.

    Parameters
    ----------
    length
        Changes, 1..100,000.
    """

    def __init__(self, length: int = 14) -> None:
        super().__init__(length, 100_000)

    def update(self, close: float) -> float:
        """Take one close; return the RSI in 0..100, NaN before `length` changes.

        Raises
        ------
        ValueError
            If the close is not finite; the state is untouched.
        """
        if not isfinite(close):
            raise ValueError(f"close must be finite, got {close}: drop or repair the bar")
        return float(kernel.rsi_step(self._states, close))
