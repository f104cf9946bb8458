"""The features of a signal of the kline strategy: names, units and look-back, and what is derived from them.

What the strategy measures on closed bars comes with the signal. What follows from time, side and the outcomes
of earlier signals is derived here, by the same functions in training and live, so that no recorded table can
hold a win rate that knew its own signal.
"""

import hashlib
import json
import math
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from ml.model_fit import Wanted
from ml.passport import kernel_sha256

VERSION: Final = 1  # of the definitions: a change that moves any value raises it
COIN_SIGNALS: Final = 20
OVERALL_SIGNALS: Final = 50
SECONDS_PER_DAY: Final = 86_400
SECONDS_OF: Final = {"m": 60, "h": 3_600, "d": SECONDS_PER_DAY, "w": 7 * SECONDS_PER_DAY}
HIGHER_SECS: Final = 4 * 3_600  # the longer of the two that the score allows
NANOS_PER_SECOND: Final = 1_000_000_000

type Source = Literal["measured", "derived"]


@dataclass(frozen=True, slots=True)
class SignalFeature:
    """One column.

    Parameters
    ----------
    name
        Of the column.
    unit
        ``points``, ``ratio``, ``log``, ``atr``, ``sign``.
    lookback
        What it needs, in closed bars of the signal's timeframe unless it says otherwise.
    doc
        What it says.
    source
        ``measured`` by the strategy and part of the table, or ``derived`` by this module.
    """

    name: str
    unit: str
    lookback: str
    doc: str
    source: Source = "measured"


FEATURES: Final[tuple[SignalFeature, ...]] = (
    SignalFeature("score", "points", "1 bar", "confluence score of the signal's side, 0 to 100"),
    SignalFeature("factor_htf", "points", "50 bars of the higher timeframe", "its part: higher timeframe"),
    SignalFeature("factor_sweep", "points", "1 bar", "its part: liquidity sweep"),
    SignalFeature("factor_order_block", "points", "1 bar", "its part: order block"),
    SignalFeature("factor_fvg", "points", "1 bar", "its part: fair value gap"),
    SignalFeature("factor_rsi", "points", "14 bars", "its part: relative strength index"),
    SignalFeature("factor_structure", "points", "1 bar", "its part: break of structure"),
    SignalFeature("atr_percentile", "ratio", "200 bars", "rank of the average true range, 0 to 1"),
    SignalFeature("btc_correlation", "ratio", "100 bars", "correlation of the returns with those of BTC"),
    SignalFeature("btc_change_1h", "log", "1 hour", "change of BTC"),
    SignalFeature("btc_change_4h", "log", "4 hours", "change of BTC"),
    SignalFeature("rsi", "points", "14 bars", "relative strength index, 0 to 100"),
    SignalFeature("rsi_divergence", "sign", "50 bars", "+1 bullish, -1 bearish, 0 none"),
    SignalFeature("volume_ratio", "ratio", "20 bars", "volume of the bar over the mean of 20"),
    SignalFeature("day_high_atr", "atr", "1 day", "from the price up to the high of the UTC day so far"),
    SignalFeature("day_low_atr", "atr", "1 day", "from the low of the UTC day so far up to the price"),
    SignalFeature("hour_sin", "ratio", "none", "time of day in UTC, as a point on a circle", "derived"),
    SignalFeature("hour_cos", "ratio", "none", "time of day in UTC, as a point on a circle", "derived"),
    SignalFeature("weekday_sin", "ratio", "none", "time of week in UTC, as a point on a circle", "derived"),
    SignalFeature("weekday_cos", "ratio", "none", "time of week in UTC, as a point on a circle", "derived"),
    SignalFeature("win_rate_coin", "ratio", "20 signals", "won of the coin's last outcomes", "derived"),
    SignalFeature("win_rate_overall", "ratio", "50 signals", "won of all last outcomes", "derived"),
    SignalFeature("side", "sign", "none", "+1 long, -1 short", "derived"),
)
NAMES: Final = tuple(one.name for one in FEATURES)
MEASURED: Final = tuple(one.name for one in FEATURES if one.source == "measured")


def schema_hash(names: Sequence[str] = NAMES) -> str:
    """Return what identifies a signal's feature vector: its ordered names with units, look-back and version.

    Parameters
    ----------
    names
        Columns in their order.

    Returns
    -------
    str
        64 hexadecimal digits, never those of another kind of model.

    Raises
    ------
    ValueError
        For a name that is no feature of a signal.
    """
    by_name = {one.name: one for one in FEATURES}
    unknown = [name for name in names if name not in by_name]
    if unknown:
        raise ValueError(
            f"no feature of a signal is called {', '.join(unknown)}; there are {', '.join(NAMES)}"
        )
    columns = [[name, "float64", by_name[name].unit, by_name[name].lookback] for name in names]
    return hashlib.sha256(json.dumps(["signal", VERSION, columns]).encode()).hexdigest()


def fixed_lookback_secs(timeframe: str) -> float:
    """Return the longest look-back in bars, hours or days, seconds; the higher timeframe counts as 4 h.

    Parameters
    ----------
    timeframe
        Of the signals, for example ``5m``.

    Raises
    ------
    ValueError
        When it is no such text.

    Examples
    --------
    >>> fixed_lookback_secs("5m") / 3_600, fixed_lookback_secs("4h") / 3_600
    (200.0, 800.0)
    """
    unit = SECONDS_OF.get(timeframe[-1:])
    if unit is None or not timeframe[:-1].isdecimal() or int(timeframe[:-1]) == 0:
        raise ValueError(f"timeframe {timeframe!r}: want for example 5m, 1h or 1d")
    bar_secs = int(timeframe[:-1]) * unit
    return max(_secs(one.lookback, bar_secs) for one in FEATURES)


def _secs(lookback: str, bar_secs: int) -> float:
    count, _, of = lookback.partition(" ")
    each = {
        "bar": bar_secs,
        "bars": bar_secs,
        "bars of the higher timeframe": max(HIGHER_SECS, bar_secs),
        "hour": 3_600,
        "hours": 3_600,
        "day": SECONDS_PER_DAY,
    }
    return float(count) * each[of] if of in each else 0.0  # outcomes of signals have no length of their own


def signal_wanted(instrument_id: str, timeframe: str, now_ns: int) -> Wanted:
    """Return what the host of a signal model can give it, for `ml.model.load_model`.

    Parameters
    ----------
    instrument_id
        Nautilus id.
    timeframe
        Of the signals, for example ``5m``.
    now_ns
        Time of the first decision, UNIX nanoseconds.
    """
    return Wanted(
        kind="signal",
        feature_names=NAMES,
        feature_schema=schema_hash,
        kernel_sha256=kernel_sha256("signal"),
        instrument_id=instrument_id,
        stream="klines",
        bucket_usd=0.0,
        timeframe=timeframe,
        now_ns=now_ns,
    )


class RecentWins:
    """Win rates of the last signals whose outcome is known; outcomes come in the order of their time."""

    def __init__(self) -> None:
        self._coins: dict[str, deque[bool]] = defaultdict(lambda: deque(maxlen=COIN_SIGNALS))
        self._overall: deque[bool] = deque(maxlen=OVERALL_SIGNALS)

    def add(self, instrument_id: str, *, won: bool) -> None:
        """Take the outcome of a signal that was filled."""
        self._coins[instrument_id].append(won)
        self._overall.append(won)

    def rates(self, instrument_id: str) -> tuple[float, float]:
        """Return the share won of the coin's and of all last signals; one half before there are any."""
        return _share(self._coins[instrument_id]), _share(self._overall)


def _share(won: deque[bool]) -> float:
    # Drawn towards one half like two earlier outcomes, so that the first win is no certainty.
    return (sum(won) + 1) / (len(won) + 2)


def signal_row(
    measured: Mapping[str, float], instrument_id: str, direction: int, decided_ns: int, wins: RecentWins
) -> NDArray[np.float64]:
    """Return the feature vector of a signal, shape (23,).

    Parameters
    ----------
    measured
        A value for each of `MEASURED`; NaN where it is not known.
    instrument_id
        Nautilus id.
    direction
        +1 long, -1 short.
    decided_ns
        UNIX nanoseconds.
    wins
        With the outcomes known before the decision.

    Raises
    ------
    KeyError
        When a measured value is missing.
    """
    seconds = decided_ns / NANOS_PER_SECOND
    day = 2 * math.pi * (seconds % SECONDS_PER_DAY) / SECONDS_PER_DAY
    # 1970-01-01 was a Thursday: any origin serves on a circle.
    week = 2 * math.pi * (seconds % (7 * SECONDS_PER_DAY)) / (7 * SECONDS_PER_DAY)
    values = dict(measured) | {
        "hour_sin": math.sin(day),
        "hour_cos": math.cos(day),
        "weekday_sin": math.sin(week),
        "weekday_cos": math.cos(week),
        "side": float(direction),
    }
    values["win_rate_coin"], values["win_rate_overall"] = wins.rates(instrument_id)
    return np.array([values[name] for name in NAMES], np.float64)


__all__ = [
    "FEATURES",
    "MEASURED",
    "NAMES",
    "RecentWins",
    "SignalFeature",
    "fixed_lookback_secs",
    "schema_hash",
    "signal_row",
    "signal_wanted",
]
