"""How long decisions took: a histogram with bins that grow by a fifth, so quantiles are good to 20 %."""

import math
from collections.abc import Mapping
from typing import Final

BINS_PER_DOUBLING: Final = 4
_BINS: Final = 40 * BINS_PER_DOUBLING  # up to 2**40 ns, eighteen minutes


class LatencyHistogram:
    """Counts durations; adding one costs a logarithm and no memory.

    Examples
    --------
    >>> histogram = LatencyHistogram()
    >>> for duration_ns in (1_000, 2_000, 4_000_000):
    ...     histogram.add(duration_ns)
    >>> histogram.total, histogram.quantile_ns(0.5)
    (3, 2048)
    """

    def __init__(self) -> None:
        self.counts = [0] * _BINS
        self.total = 0
        self.largest_ns = 0
        self.last_ns = 0

    def add(self, duration_ns: int) -> None:
        """Count one duration, nanoseconds; those below one count as one."""
        index = int(BINS_PER_DOUBLING * math.log2(duration_ns)) if duration_ns > 1 else 0
        self.counts[min(index, _BINS - 1)] += 1
        self.total += 1
        self.last_ns = duration_ns
        self.largest_ns = max(self.largest_ns, duration_ns)

    def quantile_ns(self, share: float) -> int | None:
        """Return the upper end of the bin in which a share of all durations is reached, None when empty.

        Raises
        ------
        ValueError
            If the share is not in 0..1.
        """
        if not 0 <= share <= 1:
            raise ValueError(f"share {share} is not between 0 and 1")
        reached, wanted = 0, share * self.total
        for index, count in enumerate(self.counts):
            reached += count
            if count and reached >= wanted:
                return min(_upper_ns(index), self.largest_ns) if share == 1 else _upper_ns(index)
        return None

    def as_plain(self) -> Mapping[str, object]:
        """Return count, quantiles and the bins in use, microseconds: what a summary shows."""
        return {
            "count": self.total,
            **{
                f"p{name}_us": None if (value := self.quantile_ns(share)) is None else value / 1e3
                for name, share in (("50", 0.5), ("90", 0.9), ("99", 0.99), ("99_9", 0.999))
            },
            "max_us": self.largest_ns / 1e3 if self.total else None,
            "bins": [
                {"below_us": _upper_ns(index) / 1e3, "count": count}
                for index, count in enumerate(self.counts)
                if count
            ],
        }


def _upper_ns(index: int) -> int:
    return math.ceil(2 ** ((index + 1) / BINS_PER_DOUBLING))


__all__ = ["LatencyHistogram"]
