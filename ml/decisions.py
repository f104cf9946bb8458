"""From orders and the tape to decisions: when each resting entry would be looked at, and its features."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from ml.features import feature_matrix
from ml.kernels.features import ORDER_FIELDS
from ml.kernels.landmarks import first_in_band
from ml.labels import OrderLabel
from ml.market import Market, Tape

BAND_PCT: Final = 1.0
DENSE: Final = 32  # decisions of an order that are all kept; then 16 per doubling
NEVER_NS: Final = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Stretch:
    """An entry order between two bucket closes: what it wanted while `bucket_seq` was the last closed bucket.

    Parameters
    ----------
    bucket_seq
        Last closed bucket.
    order
        Index of its `OrderLabel`.
    entry, stop, target, range_low, range_high
        Quote currency. The target moves with the range while the entry may stay.
    bias
        Higher-timeframe bias when that bucket closed; NaN without one.
    """

    bucket_seq: int
    order: int
    entry: float
    stop: float
    target: float
    range_low: float
    range_high: float
    bias: float


@dataclass(frozen=True, slots=True)
class Decisions:
    """Moments at which an entry is looked at, in the order of the tape; all of shape (n,).

    Parameters
    ----------
    position
        Of the trade on which is decided, on the tape.
    last
        Newest bucket known.
    order
        Index of the `OrderLabel`.
    orders
        What the feature kernel takes, shape (n, 8).
    placed_ns, ts_ns
        UNIX nanoseconds.
    price
        Of the trade, quote currency.
    """

    position: NDArray[np.int64]
    last: NDArray[np.int64]
    order: NDArray[np.int64]
    orders: NDArray[np.float64]
    placed_ns: NDArray[np.int64]
    ts_ns: NDArray[np.int64]
    price: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.position)

    def rows(self, which: NDArray[np.bool_] | NDArray[np.int64]) -> Self:
        """Return some of them."""
        return type(self)(*(getattr(self, name)[which] for name in self.__slots__))

    def features(self, market: Market) -> NDArray[np.float64]:
        """Return their feature rows, shape (n, f)."""
        return feature_matrix(
            market.packets,
            market.snapshots,
            self.last,
            self.orders,
            self.placed_ns,
            self.ts_ns,
            self.price,
        )


def approach_distance(
    entry: float, direction: int, range_low: float, range_high: float, band_pct: float = BAND_PCT
) -> float:
    """Return how close price must be to a resting entry for the model to be asked, quote currency.

    The smaller of `band_pct` percent of the entry and half the way from the end of the range to it: a fixed
    band would be wider than a small range, and the model would be asked before price turned.

    Examples
    --------
    >>> approach_distance(100.0, 1, 99.0, 101.0)
    0.5
    """
    end = range_high if direction > 0 else range_low
    return min(band_pct / 100 * entry, max(direction * (end - entry), 0.0) / 2)


def find_decisions(
    tape: Tape,
    market: Market,
    labels: Sequence[OrderLabel],
    stretches: Sequence[Stretch],
    tick_size: Fraction,
    band_pct: float = BAND_PCT,
) -> Decisions:
    """Return the first trade within the approach band after each bucket close, for every resting order.

    Many looks at one order teach little more than a few: the first 32 are kept, then every second up to 64,
    every fourth up to 128 and so on, a rule that needs no knowledge of what is still to come.

    Parameters
    ----------
    tape, market
        Trades, and their buckets.
    labels, stretches
        The orders, and what each wanted from bucket to bucket, in the order of time.
    tick_size
        Price increment, exact.
    band_pct
        See `approach_distance`.
    """
    wanted = [one for one in stretches if labels[one.order].resting_ns]
    seq = np.array([one.bucket_seq for one in wanted], np.int64)
    order = np.array([one.order for one in wanted], np.int64)
    distance = np.array(
        [
            approach_distance(one.entry, labels[one.order].direction, one.range_low, one.range_high, band_pct)
            for one in wanted
        ]
    )
    entry = np.array([one.entry for one in wanted])
    begin = market.known_at[seq] + 1
    # The trade that closes the next bucket is still decided upon without it.
    end = np.append(market.known_at + 1, len(tape))[seq + 1]
    after_ns = np.array([labels[one].resting_ns for one in order], np.int64)
    before_ns = np.array([labels[one].settled_ns or NEVER_NS for one in order], np.int64)
    found = np.empty(len(wanted), np.int64)
    tick = float(tick_size)
    low_ticks = np.ceil((entry - distance) / tick - 1e-6).astype(np.int64)
    high_ticks = np.floor((entry + distance) / tick + 1e-6).astype(np.int64)
    first_in_band(tape.ts_ns, tape.price_ticks, begin, end, after_ns, before_ns, low_ticks, high_ticks, found)
    kept = np.flatnonzero(found >= 0)
    kept = kept[thinned(order[kept])]
    kept = kept[np.argsort(found[kept], kind="stable")]
    return _decisions(tape, market, labels, [wanted[at] for at in kept], found[kept], tick_size)


def thinned(order: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell which decisions are kept, given the order of each in their sequence; shape (n,).

    Examples
    --------
    >>> int(thinned(np.zeros(64, np.int64)).sum())
    48
    """
    seen: dict[int, int] = {}
    keep = np.zeros(len(order), np.bool_)
    for at, one in enumerate(order.tolist()):
        number = seen.get(one, 0)
        seen[one] = number + 1
        stride = 1 << (number // DENSE).bit_length()
        keep[at] = number % stride == 0
    return keep


def _decisions(
    tape: Tape,
    market: Market,
    labels: Sequence[OrderLabel],
    stretches: Sequence[Stretch],
    position: NDArray[np.int64],
    tick_size: Fraction,
) -> Decisions:
    orders = np.empty((len(stretches), ORDER_FIELDS))
    for at, one in enumerate(stretches):
        label = labels[one.order]
        orders[at] = (
            label.direction,
            one.entry,
            one.stop,
            one.target,
            one.range_low,
            one.range_high,
            label.placed_seq,
            one.bias,
        )
    # Rounded once, to the float nearest the decimal, as the engine's prices are.
    ticks = tape.price_ticks[position].astype(np.float64)
    price = ticks * float(tick_size.numerator) / float(tick_size.denominator)
    return Decisions(
        position=position,
        last=market.last_known(position),
        order=np.array([one.order for one in stretches], np.int64),
        orders=orders,
        placed_ns=np.array([labels[one.order].placed_ns for one in stretches], np.int64),
        ts_ns=tape.ts_ns[position],
        price=price,
    )


def mutated(tape: Tape, position: int, length: int = 20_000) -> tuple[Tape, Tape]:
    """Return the trades before a position as they were, and others in place of those from there on.

    Parameters
    ----------
    tape
        The real one.
    position
        First trade that is replaced.
    length
        How many of the replaced ones to keep.
    """
    rest = tape.within(position, position + length)
    price_ticks = rest.price_ticks + np.maximum(rest.price_ticks // 50, 1)
    replaced = Tape(rest.ts_ns, price_ticks, rest.size_lots * 3 + 1, ~rest.is_buyer)
    return tape.within(0, position), replaced


def leaking(
    tape: Tape,
    known_at: NDArray[np.int64],
    decisions: Decisions,
    x: NDArray[np.float64],
    perceive: Callable[..., Market],
    count: int = 8,
) -> list[int]:
    """Return decisions whose features depend on trades that had not happened: there must be none.

    Every trade from the decision on is replaced, the features are computed anew and compared byte for byte.
    All decisions are checked for the time of their last bucket, an even sample of `count` by mutation.

    Parameters
    ----------
    tape, known_at, decisions
        Trades, when each bucket was known (`Market.known_at`), and the decisions.
    x
        Features of the decisions as they are in the dataset, shape (n, f).
    perceive
        Makes buckets and structure of consecutive parts of a tape.
    count
        Size of the sample.

    Returns
    -------
    list of int
        Numbers of the decisions that leak, ascending.
    """
    found = set(np.flatnonzero(known_at[decisions.last] >= decisions.position).tolist())
    for at in np.unique(np.linspace(0, len(decisions) - 1, min(count, len(decisions))).astype(np.int64)):
        one = decisions.rows(np.array([at]))
        other = perceive(*mutated(tape, int(one.position[0])))
        is_there = one.last[0] < len(other.packets)
        if not is_there or one.features(other).tobytes() != x[at : at + 1].tobytes():
            found.add(int(at))
        del other  # before the next one is made: buckets of a long tape are large
    return sorted(found)
