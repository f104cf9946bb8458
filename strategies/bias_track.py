"""A higher timeframe's bias over restarts: bars of before, and bars that wait for trades of before them."""

from collections import deque
from collections.abc import Iterable
from typing import Final

import msgspec

from indicators.bias import HtfBias

NEVER: Final = -1
# Live bars that may come before the warm-up has asked the venue for the earlier ones.
HEARD: Final = 16

type PastBar = tuple[int, float]
"""Close time (UNIX nanoseconds) and close of a bar."""


class BiasState(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The bias as it was after a bar.

    Parameters
    ----------
    averages
        As `HtfBias.to_bytes` gave them; empty before the first bar.
    value
        +1, -1, or 0.
    close_ns
        Close of the last bar, UNIX nanoseconds.
    waiting
        Bars that closed after it and were not taken yet, oldest first.
    """

    averages: bytes = b""
    value: int = 0
    close_ns: int = NEVER
    waiting: tuple[PastBar, ...] = ()


class BiasTrack:
    """Takes closed bars in their order, each once.

    In a backtest a bar is taken when it closes. A live node makes up for trades of before its start: from
    `adopt` to `end_past` bars wait for the first trade after their close, so that each trade meets the bias
    that it would have met.
    """

    def __init__(self) -> None:
        self.value = 0
        self.close_ns = NEVER
        self.waiting: deque[PastBar] = deque()
        self._averages: HtfBias | None = None
        self._heard: deque[PastBar] = deque(maxlen=HEARD)
        self._is_past = False

    def take(self, close_ns: int, close: float) -> None:
        """Take a bar that has just closed; one that came before changes nothing.

        Parameters
        ----------
        close_ns
            When it closed, UNIX nanoseconds.
        close
            Quote currency.
        """
        self._heard.append((close_ns, close))
        if self._is_past:
            self._wait(((close_ns, close),))
        else:
            self._update(close_ns, close)

    def adopt(self, state: BiasState | None) -> None:
        """Go on from a state, None for a new beginning; bars heard since the start come after it.

        Parameters
        ----------
        state
            Of a checkpoint or of the warm-up's klines, with the bars that waited then.
        """
        state = state or BiasState()
        self.value, self.close_ns = state.value, state.close_ns
        self._averages = HtfBias.from_bytes(state.averages) if state.averages else None
        self.waiting.clear()
        self._is_past = True
        self._wait((*state.waiting, *self._heard))

    def until(self, ts_ns: int) -> int:
        """Take the bars that closed by the time of a trade (UNIX nanoseconds); return the bias then."""
        while self.waiting and self.waiting[0][0] <= ts_ns:
            self._update(*self.waiting.popleft())
        return self.value

    def end_past(self) -> int:
        """Take all bars that wait, and later ones as they come; return the bias."""
        self._is_past = False
        while self.waiting:
            self._update(*self.waiting.popleft())
        return self.value

    def state(self) -> BiasState:
        """Return where it stands."""
        averages = b"" if self._averages is None else self._averages.to_bytes()
        return BiasState(
            averages=averages, value=self.value, close_ns=self.close_ns, waiting=tuple(self.waiting)
        )

    def _wait(self, bars: Iterable[PastBar]) -> None:
        for close_ns, close in bars:
            if close_ns > (self.waiting[-1][0] if self.waiting else self.close_ns):
                self.waiting.append((close_ns, close))

    def _update(self, close_ns: int, close: float) -> None:
        if close_ns <= self.close_ns:
            return
        if self._averages is None:
            self._averages = HtfBias()
        self.close_ns = close_ns
        self.value = self._averages.update(close)


__all__ = ["BiasState", "BiasTrack", "PastBar"]
