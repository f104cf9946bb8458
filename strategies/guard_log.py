"""Says once when a pause begins, gets longer and ends, so that journal, reports and screens can show it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from strategies.guards import EVERYTHING, Pause, TradeGuards

type PauseChangeKind = Literal["pause_began", "pause_extended", "pause_ended"]


@dataclass(frozen=True, slots=True)
class PauseChange:
    """What happened to a pause.

    Parameters
    ----------
    kind
        A kind of decision.
    pause
        As it is now; one that ended, as it was.
    """

    kind: PauseChangeKind
    pause: Pause

    def fields(self) -> dict[str, Any]:
        """Return the fields of the decision that tells of it."""
        pause = self.pause
        detail = {
            "scope": pause.scope,
            "since_ns": pause.since_ns,
            "until_ns": pause.until_ns,
            "text": pause.text,
        }
        return {"reason": pause.reason.value, "detail": detail}


class GuardLog:
    """Remembers which pauses were told.

    Parameters
    ----------
    guards
        Whose pauses; those of a restored state were told by the session before.
    symbol
        Tell only of those that hold for this symbol; None for all.
    """

    def __init__(self, guards: TradeGuards, symbol: str | None = None) -> None:
        self._guards = guards
        self._symbol = symbol
        self._told = {(one.reason, one.scope): one for one in guards.state.pauses if self._concerns(one)}

    def changes(self, ts_ns: int) -> Iterator[PauseChange]:
        """Yield what changed until now, ends before beginnings; each change once.

        Parameters
        ----------
        ts_ns
            UNIX nanoseconds, ascending. An end is noticed at the first call after it.
        """
        if not self._told and not self._guards.state.pauses:
            return
        held = {(one.reason, one.scope): one for one in self._guards.pauses(ts_ns) if self._concerns(one)}
        before, self._told = self._told, held
        for key, pause in before.items():
            if key not in held or held[key].since_ns != pause.since_ns:
                yield PauseChange("pause_ended", pause)
        for key, pause in held.items():
            told = before.get(key)
            if told is None or told.since_ns != pause.since_ns:
                yield PauseChange("pause_began", pause)
            elif told.until_ns != pause.until_ns:
                yield PauseChange("pause_extended", pause)

    def _concerns(self, pause: Pause) -> bool:
        return self._symbol is None or pause.scope in (EVERYTHING, self._symbol)


__all__ = ["GuardLog", "PauseChange", "PauseChangeKind"]
