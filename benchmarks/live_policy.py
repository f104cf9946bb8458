"""A policy that often takes entries back, so that a minute has enough cancels for a 99th percentile."""

from strategies.dynamic_cancel import Approach, Verdict

ONE_IN = 40


class OftenCancel:
    """Cancels on one in so many trades close to the entry, by their times: no chance, no state."""

    def decide(self, approach: Approach) -> Verdict:
        """Return the verdict."""
        return Verdict(cancel=approach.ts_ns // 1_000_000 % ONE_IN == 0, reason="often")
