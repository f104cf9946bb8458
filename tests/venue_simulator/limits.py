"""Request limits: fixed windows as the venues count them, and bans for those who do not listen."""

from dataclasses import dataclass, field

from tests.venue_simulator.core.terms import Clock


@dataclass(slots=True)
class Window:
    """At most `limit` units in each calendar interval of `secs` seconds (not a sliding one)."""

    limit: int
    secs: int
    used: int = 0
    most: int = 0  # in any one interval
    refused: int = 0
    _index: int = -1

    def spend(self, units: int, now_ns: int) -> bool:
        """Count units; return whether the limit still holds."""
        index = now_ns // (self.secs * 1_000_000_000)
        if index != self._index:
            self._index, self.used = index, 0
        self.used += units
        self.most = max(self.most, self.used)
        self.refused += self.used > self.limit
        return self.used <= self.limit

    def secs_left(self, now_ns: int) -> int:
        """Return the whole seconds until the next interval begins, at least 1."""
        span_ns = self.secs * 1_000_000_000
        return -(-(span_ns - now_ns % span_ns) // 1_000_000_000)


@dataclass(slots=True)
class Limiter:
    """The windows of one venue by name, and its ban.

    Parameters
    ----------
    clock
        The exchange's time.
    windows
        By the venue's own name of the window.
    patience
        Requests over the limit that are answered with 429 before the ban (418) comes.
    """

    clock: Clock
    windows: dict[str, Window] = field(default_factory=dict)
    patience: int = 10
    ban_secs: int = 120
    banned_until_ns: int = 0
    limited_until_ns: int = 0
    warnings: int = 0
    requests_while_banned: int = 0

    def ban(self, secs: float) -> None:
        """Refuse everything with 418 for so long."""
        self.banned_until_ns = self.clock.now_ns() + int(secs * 1e9)

    def limit(self, secs: float) -> None:
        """Refuse everything with 429 for so long."""
        self.limited_until_ns = self.clock.now_ns() + int(secs * 1e9)

    def refusal(self, weights: dict[str, int]) -> tuple[int, int] | None:
        """Count a request; return (status, seconds to wait) when it is refused, 429 or 418."""
        now_ns = self.clock.now_ns()
        if now_ns < self.banned_until_ns:
            self.requests_while_banned += 1
            return 418, _secs(self.banned_until_ns - now_ns)
        if now_ns < self.limited_until_ns:
            return self._warn(_secs(self.limited_until_ns - now_ns))
        waits = [
            self.windows[name].secs_left(now_ns)
            for name, units in weights.items()
            if not self.windows[name].spend(units, now_ns)
        ]
        if waits:
            return self._warn(max(waits))
        self.warnings = 0
        return None

    def _warn(self, wait_secs: int) -> tuple[int, int]:
        self.warnings += 1
        if self.warnings <= self.patience:
            return 429, wait_secs
        self.warnings = 0
        self.ban(self.ban_secs)
        return 418, self.ban_secs


def _secs(span_ns: int) -> int:
    return -(-span_ns // 1_000_000_000)
