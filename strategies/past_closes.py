"""What is remembered of the close times before: returns, the market's moves, signals that are followed."""

from collections import deque
from collections.abc import Sequence

from strategies.close_bars import CloseBars, CoinBar
from strategies.confluence_config import ConfluenceConfig, portfolio_rules
from strategies.market_context import MarketContext
from strategies.portfolio import ReturnHistory
from strategies.signal_filter import Followed, SignalFilter


class PastCloses:
    """Everything that looks back upon the close times of all coins.

    Parameters
    ----------
    config
        Of the strategy.
    names
        All its instruments, sorted.
    context
        Id of the coin that stands for the market, empty for none.
    signal_filter
        Follows signals and measures them.
    """

    def __init__(
        self, config: ConfluenceConfig, names: Sequence[str], context: str, signal_filter: SignalFilter
    ) -> None:
        self._filter = signal_filter
        self._bar_secs = config.ltf_secs
        self._minds_correlation = portfolio_rules(config).correlation_sides != "off"
        self.returns = ReturnHistory(names, config.correlation_bars, config.correlation_min_bars)
        self._closed_at: deque[int] = deque(maxlen=config.correlation_bars)
        self._context = MarketContext(context, config.ltf_secs)

    def push(self, close_ns: int, bars: CloseBars) -> list[Followed]:
        """Take the bars of a close time (UNIX nanoseconds); return the signals that ended in it."""
        self._closed_at.append(close_ns)
        if self._minds_correlation:
            self.returns.push_closes(bars.closes)
        if self._context.name:
            self._context.push(close_ns, bars.get(self._context.name))
        return self._filter.push(close_ns, bars)

    def closes_since(self, close_ns: int) -> int:
        """Return how many close times later than this one (UNIX nanoseconds) are remembered."""
        return sum(one > close_ns for one in self._closed_at)

    def push_late(self, name: str, bar: CoinBar) -> list[Followed]:
        """Take a bar whose close time was decided; return the signals that ended in it.

        What is measured at later close times is then what history gives.
        """
        if self._minds_correlation and bar.close_ns in self._closed_at:
            self.returns.put_late(name, bar.close, self.closes_since(bar.close_ns))
        if name == self._context.name:
            self._context.push(bar.close_ns, bar)
        return self._filter.push_late(name, bar)

    def renew(self, name: str, last: Sequence[CoinBar]) -> None:
        """Let a coin's last bars, oldest first, take the place of what was seen of it."""
        closes = {one.close_ns: one.close for one in last}
        if self._minds_correlation:
            for closes_since, close_ns in enumerate(reversed(self._closed_at)):
                if close_ns in closes:
                    self.returns.put_late(name, closes[close_ns], closes_since)
        if name == self._context.name:
            self._context = MarketContext(name, self._bar_secs)
            for bar in last:
                self._context.push(bar.close_ns, bar)
        self._filter.renew(name, last)

    def metadata(self, name: str) -> dict[str, str | float | int]:
        """Return what a signal of a coin is put on record with of the market."""
        return self._context.metadata(self.returns, name)

    def perceived(self) -> bytes:
        """Return everything that later signals depend on as bytes."""
        closed_at = repr(list(self._closed_at)).encode()
        return b"".join((self.returns.perceived(), self._context.perceived(), closed_at))
