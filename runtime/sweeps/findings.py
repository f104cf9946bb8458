"""What a proof of causality compared, and what differed."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.cli import format_ns
from runtime.run_columns import BarFeed


@dataclass(slots=True)
class Findings:
    """What was compared, and what differed.

    Parameters
    ----------
    compared
        Kind of record -> number of records compared, over all cuts.
    differences
        Number of records or columns that differed.
    first
        The first difference in words, None without one.
    cuts
        Number of prefixes.
    fresh_ns
        Ends of the prefixes that were planned and run from the start, UNIX nanoseconds.
    feed
        What the strategy lived on: ``columns`` or ``events``, see ``backtest.bar_feed``.
    """

    compared: dict[str, int] = field(default_factory=dict)
    differences: int = 0
    first: str | None = None
    cuts: int = 0
    fresh_ns: list[int] = field(default_factory=list)
    feed: BarFeed = "events"

    @property
    def checked(self) -> int:
        """Number of records compared."""
        return sum(self.compared.values())

    def add(self, kind: str, count: int) -> None:
        """Count records of a kind as compared."""
        self.compared[kind] = self.compared.get(kind, 0) + count

    def differ(self, text: str) -> None:
        """Note a difference."""
        self.differences += 1
        self.first = self.first or text

    def summary(self) -> dict[str, Any]:
        """Return the result as ``backtest_node.py lookahead --json`` prints it."""
        return {
            "checked": self.checked,
            "differences": self.differences,
            "first": self.first,
            "cuts": self.cuts,
            "fresh_runs_to": [format_ns(one) for one in self.fresh_ns],
            "feed": self.feed,
            "compared": self.compared,
        }

    def text(self) -> str:
        """Return the result in words."""
        compared = ", ".join(f"{count:,} {kind}s" for kind, count in self.compared.items())
        verdict = f"FAILED, {self.differences} differences, the first: {self.first}"
        fresh = ", ".join(format_ns(one) for one in self.fresh_ns)
        return (
            f"compared at {self.cuts} cuts: {compared}\n"
            f"run from the start, by {self.feed}, over catalogs that end at {fresh}\n"
            f"{verdict if self.differences else 'passed: nothing known at a cut depends on what came later'}"
        )


def compare_columns(
    what: str, prefix: NDArray[np.void], whole: NDArray[np.void], where: str, findings: Findings
) -> None:
    """Compare rows computed on a prefix with the first rows of the whole, column by column, bit by bit."""
    findings.add(what, len(prefix))
    if len(prefix) > len(whole):
        findings.differ(f"{where}: {len(prefix)} rows of {what}, only {len(whole)} with all data")
        return
    for name in prefix.dtype.names or ():
        mine = np.ascontiguousarray(prefix[name])
        theirs = np.ascontiguousarray(whole[name][: len(prefix)])
        width = f"V{mine.dtype.itemsize}"
        differing = np.flatnonzero(mine.view(width) != theirs.view(width))
        if len(differing):
            row = int(differing[0])
            findings.differ(
                f"{where}: {what} row {row}, column {name}: {mine[row]} with the data up to there, "
                f"{theirs[row]} with all data"
            )
