"""Which bars of a backtest are written down: all of a short run, of a long one those around trades.

A terminal that watches a node sees each bar as it closes. A backtest of many coins closes millions of them,
more than a person looks at and a recording should hold. Bars are asked for when something else is written, so
that a run whose bars are columns does nothing for them.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, Protocol

from nautilus_trader.model.data import Bar as MarketBar

from ui.protocol import Bar, LogLine
from ui.telemetry import views

MS: Final = 1_000_000
NANOS: Final = 1_000_000_000
# 50 bytes of a recording each (docs/how-to/terminal.md); 35 days of ten coins by five minutes.
MOST_BARS: Final = 100_000
# Before the first and after the last thing that happens to a coin, where not all of its bars are written.
AROUND: Final = 300
# Written at once, of each coin: so many lie in memory together.
AT_ONCE: Final = 256
TRADED: Final = frozenset({"ord", "fill", "pos"})


class BarSource(Protocol):
    """Has the closed bars of a run."""

    step_ns: int
    """Length of a bar."""

    def names(self) -> Iterable[str]:
        """Return the instruments that have bars."""

    def closed(self, name: str, after_ns: int, until_ns: int) -> list[Bar]:
        """Return the bars of an instrument that closed after a time and until another one, oldest first.

        It is never asked again for earlier ones than `AROUND` before the last answer.
        """


class RunBars:
    """Tells the bars of a run, each before whatever happens after its close.

    Parameters
    ----------
    source
        Of the bars.
    publish
        Takes kind, payload and time.
    from_ns
        A close time before the first one that is told, UNIX nanoseconds.
    total
        How many bars the run has from then on.
    most
        Told of them; when there are more, those around trades are, up to this number.
    """

    def __init__(
        self,
        source: BarSource,
        publish: Callable[[str, Any, int], None],
        *,
        from_ns: int,
        total: int,
        most: int = MOST_BARS,
    ) -> None:
        self._source, self._publish = source, publish
        self._from_ns, self._left = from_ns, most
        self._is_whole = total <= most
        self._until_ns: dict[str, int] = {}
        self._told_ns: dict[str, int] = {}
        self._reached_ns = from_ns

    def before(self, kind: str, payload: Any, ts_ns: int) -> None:
        """Tell the bars that closed until a message, which is told next, and mark whom it is about."""
        self.until(ts_ns)
        if not self._is_whole and (kind in TRADED or (kind == "sig" and payload.taken)):
            self._follow(payload.ins, ts_ns)

    def arrived(self, ts_ns: int) -> None:
        """Tell them also where nothing else happens for long: a source that keeps bars keeps few."""
        step_ns = self._source.step_ns
        if ts_ns - self._reached_ns > AT_ONCE * step_ns:
            self.until(ts_ns - step_ns)  # others of this close are to come

    def until(self, ts_ns: int) -> None:
        """Tell the bars that closed until a time, UNIX nanoseconds."""
        step_ns = self._source.step_ns
        # In whole steps, so that the next bar is told with the first message after its close.
        while (steps := (ts_ns - self._reached_ns) // step_ns) > 0 and self._left > 0:
            end_ns = self._reached_ns + min(AT_ONCE, steps) * step_ns
            self._tell_until(end_ns)
            self._reached_ns = end_ns

    def end(self, ts_ns: int) -> None:
        """Tell the last ones, those too that came after something of their close was told."""
        self.until(ts_ns)
        self._tell_until(ts_ns)

    # -- inside ---------------------------------------------------------------------------------------------

    def _follow(self, name: str, ts_ns: int) -> None:
        step_ns = self._source.step_ns
        if self._left <= 0:
            return
        if name not in self._until_ns:
            earliest_ns = max(self._from_ns, self._reached_ns - AROUND * step_ns)
            self._told_ns[name] = max(self._told_ns.get(name, 0), earliest_ns)
            self._until_ns[name] = ts_ns
            self._tell(self._closed(name, self._reached_ns))
        self._until_ns[name] = ts_ns + AROUND * step_ns

    def _followed(self) -> list[str]:
        for name in [name for name, until_ns in self._until_ns.items() if until_ns <= self._reached_ns]:
            del self._until_ns[name]
        return list(self._until_ns)

    def _tell_until(self, end_ns: int) -> None:
        if self._left > 0:
            names = self._source.names() if self._is_whole else self._followed()
            self._tell(one for name in names for one in self._closed(name, end_ns))

    def _closed(self, name: str, until_ns: int) -> list[Bar]:
        found = self._source.closed(name, self._told_ns.get(name, self._from_ns), until_ns)
        if found:  # one that the engine brings later than others of its close is told with the next
            self._told_ns[name] = found[-1].t * MS + self._source.step_ns
        return found

    def _tell(self, bars: Iterable[Bar]) -> None:
        for bar in sorted(bars, key=_opened):
            close_ns = bar.t * MS + self._source.step_ns
            self._publish("bar", bar, close_ns)
            self._left -= 1
            if not self._left:
                text = "the recording has as many bars as it may hold: there are none from here on"
                line = LogLine(ts=close_ns // MS, level="warning", src="recording", text=text)
                self._publish("log", line, close_ns)
                return


class ArrivedRunBars:
    """The bars that the engine hands to strategies one by one; see `BarSource`.

    Parameters
    ----------
    strategies
        Of the run.
    names
        Their instruments.
    step_ns
        Length of a bar.
    """

    def __init__(self, strategies: Callable[[], Iterable[Any]], names: Iterable[str], step_ns: int) -> None:
        self._strategies, self.step_ns = strategies, step_ns
        # Those that are not told yet, and those before a trade that begins.
        self._bars: dict[str, deque[tuple[int, Bar]]] = {
            name: deque(maxlen=AT_ONCE + AROUND) for name in names
        }
        self._coins: dict[str, tuple[Any, int]] | None = None
        self._taken: dict[str, int] = {}

    def names(self) -> Iterable[str]:
        """Return the instruments of the run."""
        return self._bars

    def take(self, bar: MarketBar) -> None:
        """Take a bar of the engine: the strategy may see it before or after this."""
        name = bar.bar_type.instrument_id.value
        if name not in self._bars:
            return
        if name in self._scored():
            self._take_scored(name)
        elif bar.bar_type.spec.timedelta.total_seconds() * NANOS == self.step_ns:
            self._bars[name].append((bar.ts_event, views.market_bar_view(bar, self.step_ns // NANOS)))

    def closed(self, name: str, after_ns: int, until_ns: int) -> list[Bar]:
        """Return the bars of an instrument that closed after a time and until another one, oldest first."""
        if name in self._scored():
            self._take_scored(name)
        return [bar for close_ns, bar in self._bars[name] if after_ns < close_ns <= until_ns]

    def _scored(self) -> dict[str, tuple[Any, int]]:
        if self._coins is None:
            self._coins = dict(_coins(self._strategies()))
        return self._coins

    def _take_scored(self, name: str) -> None:
        coin, secs = self._scored()[name]
        last = coin.last
        if last is not None and self._taken.get(name) != last.close_ns:
            self._taken[name] = last.close_ns
            self._bars[name].append((last.close_ns, views.bar_view(name, secs, last, coin.score)))


def _coins(strategies: Iterable[Any]) -> Iterator[tuple[str, tuple[Any, int]]]:
    for strategy in strategies:
        coins = getattr(strategy, "coins", None)
        if isinstance(coins, dict):
            for name, coin in coins.items():
                yield name, (coin, strategy.config.ltf_secs)


def _opened(bar: Bar) -> int:
    return bar.t


__all__ = ["AROUND", "MOST_BARS", "ArrivedRunBars", "BarSource", "RunBars"]
