"""How often somebody did something: moving windows in a memory that does not grow."""

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

from limits import parse_many

# Of each limit; who asks from more addresses than that is stopped by none that counts addresses.
MAX_KEYS: Final = 4_096

type Rule = tuple[int, int]


class Limits:
    """Counts what somebody did, in memory; an attempt that is refused is not counted.

    The package `limits` keeps every key for ever in its memory; here a key goes with its window, and the one
    that was counted longest ago where there are too many.

    Parameters
    ----------
    rules
        Name of the limit -> its words, as in ``10/10 seconds``; several with ``;``.
    clock
        Monotonic seconds.
    max_keys
        Of each limit.
    """

    def __init__(
        self, rules: dict[str, str], clock: Callable[[], float] = time.monotonic, max_keys: int = MAX_KEYS
    ) -> None:
        self._tables = {name: _Table(_rules(words), max_keys) for name, words in rules.items()}
        self._clock = clock
        self._lock = threading.Lock()

    def allows(self, name: str, who: str) -> bool:
        """Count one more, and tell whether it is within the limit."""
        with self._lock:
            return self._tables[name].take(who, self._clock())

    def is_exceeded(self, name: str, who: str) -> bool:
        """Tell whether one more would be too many, without counting it."""
        with self._lock:
            return not self._tables[name].has_room(who, self._clock())

    @property
    def keys(self) -> int:
        """Return how many are counted now."""
        with self._lock:
            return sum(len(table.times) for table in self._tables.values())


class _Table:
    """Of one limit: when each did it last, the one that is counted longest ago first."""

    def __init__(self, rules: list[Rule], max_keys: int) -> None:
        self.times: OrderedDict[str, deque[float]] = OrderedDict()
        self._rules, self._max_keys = rules, max_keys
        self._most = max(amount for amount, _secs in rules)
        self._longest_secs = max(secs for _amount, secs in rules)

    def has_room(self, who: str, now_s: float) -> bool:
        times = self.times.get(who, ())
        return all(len(times) < amount or times[-amount] <= now_s - secs for amount, secs in self._rules)

    def take(self, who: str, now_s: float) -> bool:
        self._forget(now_s)
        if not self.has_room(who, now_s):
            return False
        self.times.setdefault(who, deque(maxlen=self._most)).append(now_s)
        self.times.move_to_end(who)
        if len(self.times) > self._max_keys:
            self.times.popitem(last=False)
        return True

    def _forget(self, now_s: float) -> None:
        """Free whose window has passed; a few each time, so that none waits for many."""
        for _ in range(3):
            oldest = next(iter(self.times.values()), None)
            if oldest is None or oldest[-1] > now_s - self._longest_secs:
                return
            self.times.popitem(last=False)


def _rules(words: str) -> list[Rule]:
    return [(rule.amount, rule.get_expiry()) for rule in parse_many(words)]
