"""The zigzag behind the synthetic tape: which legs there are, and which of them show what is coming.

Impulse legs and retracements take turns. A retracement is *shallow* (it turns before the sweet spot of the
optimal trade entry), *holds* (it turns beyond it, before the origin of the impulse), or *fails* (it runs
through the origin and the stops behind it, and is the impulse of the other side).

The rule that makes the tape fit for controls: **whether a deep retracement holds or fails is a coin that
nothing else knows.** Until it has passed the sweet spot, the dollars it takes per step of price, its regime,
its impulse, the legs before it and its place on the chart come from one distribution for both. So an entry
that has not filled yet carries no trace of its outcome, except for the signature that is planted on purpose:
most failing retracements show it, and some that hold.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

TREND, RANGE, VOLATILE = range(3)
LEGS_PER_REGIME: Final = (12, 30)

# --- sizes, as fractions of the price; by regime ------------------------------------------------------
IMPULSE: Final = ((0.009, 0.016), (0.009, 0.012), (0.014, 0.022))
# A new impulse must pass the end of the one before, or nothing breaks. Towards the start price it does so
# by more: that keeps a long tape near home, and tells nothing about the coin.
OVERSHOOT: Final = 1.08
HOME: Final = 0.08
HOME_PULL: Final = 0.5

# --- how much of its impulse a retracement takes back -------------------------------------------------
SHALLOW_DEPTH: Final = (0.30, 0.50)
HOLD_DEPTH: Final = ((0.78, 0.92), (0.84, 0.94), (0.78, 0.92))
# Beyond the origin: room for the stop, a fraction of the price, then a share of the impulse.
STOP_ROOM: Final = 0.0025
FAIL_BEYOND: Final = (0.05, 0.25)
FAIL_SHARE: Final = 0.46
SHALLOW_SHARE: Final = 0.12
# After a longer leg comes a shallow retracement, whatever the coin would say: sizes must not grow for ever.
LARGEST_IMPULSE: Final = 0.026

# --- dollars: of an impulse, of a shallow retracement, and of a deep one per impulse taken back ----------
IMPULSE_USD: Final = (560_000.0, 680_000.0)
DEEP_USD: Final = (720_000.0, 860_000.0)

# --- the signature ------------------------------------------------------------------------------------
SHOWN_BY_FAILING: Final = 0.85
SHOWN_BY_HOLDING: Final = 0.12
SHOWN_FROM: Final = 0.12  # of the impulse taken back
SHOWN_LEAN: Final = (0.55, 0.95)


@dataclass(frozen=True, slots=True)
class Legs:
    """The zigzag, one element per leg, shape (n,).

    Parameters
    ----------
    end_usd
        float64, dollars traded from the start of the tape to the end of the leg.
    start_price, end_price
        float64, its two ends.
    regime
        int64, TREND, RANGE or VOLATILE.
    toxic_usd
        float64, dollars traded from the start of the tape to where its orders turn one-sided; infinite for
        a leg that shows nothing.
    toxic_lean
        float64, how one-sided they are then, 0..1.
    is_failing
        bool, the leg is a retracement that runs through the origin of the leg before it.
    """

    end_usd: NDArray[np.float64]
    start_price: NDArray[np.float64]
    end_price: NDArray[np.float64]
    regime: NDArray[np.int64]
    toxic_usd: NDArray[np.float64]
    toxic_lean: NDArray[np.float64]
    is_failing: NDArray[np.bool_]


def make_legs(random: np.random.Generator, start_price: float, total_usd: float) -> Legs:
    """Draw legs until they cover `total_usd`.

    Parameters
    ----------
    random
        Source of seven uniforms per leg.
    start_price
        Home: where the tape begins and what it is drawn back to.
    total_usd
        Dollars to cover.
    """
    rows: list[tuple[float, float, float, int, float, float, bool]] = []
    usd, price, direction = 0.0, start_price, 1
    impulse = retraced = 0.0  # the newest of each, as fractions of the price
    is_impulse = True
    regime, legs_left = TREND, LEGS_PER_REGIME[0]
    while usd < total_usd:
        regime_draw, length_draw, coin, size_draw, usd_draw, sign, lean_draw = random.random(7)
        if legs_left == 0:
            regime = TREND if regime_draw < 0.6 else VOLATILE if regime_draw < 0.85 else RANGE
            legs_left = int(_within(LEGS_PER_REGIME, length_draw))
        legs_left -= 1
        toxic_usd, fails = np.inf, False
        if is_impulse:
            away = direction * (price / start_price - 1.0)
            overshoot = OVERSHOOT + HOME_PULL * min(max(-away / HOME, 0.0), 1.0)
            size = impulse = max(_within(IMPULSE[regime], size_draw), overshoot * retraced)
            leg_usd = _within(IMPULSE_USD, usd_draw)
        elif impulse > LARGEST_IMPULSE or coin < SHALLOW_SHARE:
            size = retraced = impulse * _within(SHALLOW_DEPTH, size_draw)
            leg_usd = _within(IMPULSE_USD, usd_draw)
        else:
            fails = coin < SHALLOW_SHARE + (1.0 - SHALLOW_SHARE) * FAIL_SHARE
            beyond = 1.0 + STOP_ROOM / impulse + _within(FAIL_BEYOND, size_draw)
            depth = beyond if fails else _within(HOLD_DEPTH[regime], size_draw)
            full_usd = _within(DEEP_USD, usd_draw)
            leg_usd = depth * full_usd
            if sign < (SHOWN_BY_FAILING if fails else SHOWN_BY_HOLDING):
                toxic_usd = usd + SHOWN_FROM * full_usd
            size = retraced = depth * impulse
            if fails:  # it is an impulse, and is retraced next
                impulse = size
        usd += leg_usd
        end = price * (1.0 + direction * size)
        rows.append((usd, price, end, regime, toxic_usd, _within(SHOWN_LEAN, lean_draw), fails))
        is_impulse = not (is_impulse or fails)
        price, direction = end, -direction
    return Legs(*(np.array(column) for column in zip(*rows, strict=True)))


def _within(bounds: tuple[float, float], uniform: float) -> float:
    return bounds[0] + (bounds[1] - bounds[0]) * uniform
