"""The bars of one close time, as decisions see them: arrived one by one, or read from columns.

A strategy decides in one way, whatever its bars come from. `ArrivedBars` holds what the engine handed over;
in a backtest a `ScoreFeed` knows the scores of all bars, and shows one close time after another.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from indicators.confluence.config import ConfluenceConfig as ScoreConfig
from indicators.confluence.row import CONFLUENCE_DTYPE
from ml.signal_measures import Window
from strategies.row_struct import row_struct

SCORED: Final = row_struct(
    CONFLUENCE_DTYPE, "atr", "score_long", "score_short", "mtf_rsi", "htf_bias", "colour", "is_ready"
)


@dataclass(slots=True)
class CoinBar:
    """A closed bar of a coin and what it scored.

    Parameters
    ----------
    close_ns
        UNIX nanoseconds.
    open, high, low, close
        Quote currency.
    volume
        Base currency.
    rsi
        RSI 14 of the middle timeframe; NaN in warm-up.
    bias
        Of the highest timeframe: +1, 0, -1.
    row
        The whole row, of `CONFLUENCE_DTYPE`; None where bars come from columns and this one scored too little
        to be a signal. Then the fields below keep their defaults.
    atr
        ATR 14 of these bars; NaN in warm-up.
    side
        +1 or -1 where the higher score has the bar's colour and everything is known, else 0.
    score
        The higher score, 0 to 100.
    is_ready
        ATR, bias and RSI are all known.
    """

    close_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    rsi: float
    bias: int
    row: Any = None
    atr: float = math.nan
    side: int = 0
    score: float = 0.0
    is_ready: bool = False


type Levels = tuple[int, float, float, float, float, float]
"""Close time, open, high, low, close and volume of a bar."""


def scored_bar(levels: Levels, row: np.void) -> CoinBar:
    """Return a closed bar with what its row of `CONFLUENCE_DTYPE` says."""
    # As bytes: asked for a buffer, numpy spells out the format of all columns first.
    atr, long_score, short_score, rsi, bias, colour, is_ready = SCORED.unpack(row.tobytes())
    side = (long_score > short_score) - (short_score > long_score)
    if not is_ready or side != colour:
        side = 0
    return CoinBar(*levels, rsi, bias, row, atr, side, max(long_score, short_score), bool(is_ready))


class CloseBars(Protocol):
    """The bars of one close time."""

    @property
    def closes(self) -> NDArray[np.float64]:
        """Return the closes in the order of the strategy's instruments, NaN without a bar, shape (n,)."""

    def get(self, name: str) -> CoinBar | None:
        """Return an instrument's bar, None where it has none."""

    def candidates(self, least: float) -> dict[str, CoinBar]:
        """Return the bars with a side and at least this score, in the order of the names."""

    def arrived(self) -> Iterable[tuple[str, CoinBar]]:
        """Return bars that nothing but their reader keeps; those of columns can be read again."""

    def window(self, name: str) -> Window | None:
        """Return an instrument's last bars up to this close time where columns hold them."""


class ArrivedBars:
    """The bars of one close time that came one by one.

    Parameters
    ----------
    names
        All instruments of the strategy, sorted.
    bars
        By instrument.
    """

    def __init__(self, names: Sequence[str], bars: Mapping[str, CoinBar]) -> None:
        self._names = names
        self._bars = bars

    @property
    def closes(self) -> NDArray[np.float64]:
        """Return the closes in the order of the names, NaN without a bar, shape (n,)."""
        bars = self._bars
        return np.array([bars[name].close if name in bars else math.nan for name in self._names])

    def get(self, name: str) -> CoinBar | None:
        """Return an instrument's bar, None where it has none."""
        return self._bars.get(name)

    def candidates(self, least: float) -> dict[str, CoinBar]:
        """Return the bars with a side and at least this score, in the order of the names."""
        bars = ((name, self._bars[name]) for name in sorted(self._bars))
        return {name: bar for name, bar in bars if bar.side and bar.score >= least}

    def arrived(self) -> Iterable[tuple[str, CoinBar]]:
        """Return all bars with their instruments: nothing else keeps them."""
        return self._bars.items()

    def window(self, name: str) -> None:
        """Return None: who wants a window has kept the bars."""


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """What a strategy wants scored before a run.

    Parameters
    ----------
    configs
        Parameters of the score by instrument id.
    signals_from
        Bars with a side and at least this score are signals: their rows are kept.
    counted_from
        So are the rows of bars with at least this score, side or not.
    """

    configs: Mapping[str, ScoreConfig]
    signals_from: float
    counted_from: float


class FeedRound(CloseBars, Protocol):
    """The bars of one close time out of columns."""

    close_ns: int
    count: int
    ready: int

    @property
    def present(self) -> frozenset[str]:
        """Return the instruments that have a bar."""

    def scored(self) -> list[tuple[str, CoinBar]]:
        """Return every bar that was kept for its score, with its instrument, in the order of the names."""


class ScoreFeed(Protocol):
    """Scores and bars of a whole backtest, of which nothing beyond the close time reached is shown."""

    def advance(self, close_ns: int) -> FeedRound:
        """Go on to a close time (UNIX nanoseconds), and return its bars."""

    def bars_seen(self, name: str) -> int:
        """Return how many bars of an instrument have closed."""

    def last_close(self, name: str) -> float | None:
        """Return an instrument's last close, None before its first bar."""

    def turnovers(self, name: str, count: int) -> list[float]:
        """Return volume x close of an instrument's last bars, at most `count`, oldest first."""

    def volumes(self, name: str, count: int) -> list[float]:
        """Return the volumes of an instrument's last bars (base currency), at most `count`, oldest first."""
