"""Which coins may be entered on which day, and which coins are still there to be waited for.

Pure rules on what is handed in: who belongs to the universe of a day is decided elsewhere (in
`runtime.membership`, from what was known before that day), here it is only looked up.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Final

import msgspec

from strategies.trade_manager.skips import Skip, SkipReason

DAY_NS: Final = 86_400_000_000_000
MEMBER: Final = "1"
# Half a day of 5-minute bars would still be an outage; an hour of them is long enough not to be waited for.
PATIENCE_BARS: Final = 12


class UniverseDays(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who belongs to the universe of each UTC day, as plain configuration data.

    Parameters
    ----------
    first_day
        The first day of the table, ISO.
    coins
        Nautilus instrument id -> one character per day from `first_day` on, ``1`` for a member.
    enforced
        Whether signals of others are refused (``not_in_universe``) or only marked.
    """

    first_day: str
    coins: dict[str, str]
    enforced: bool = True

    def __post_init__(self) -> None:
        day_number(self.first_day)
        for name, days in self.coins.items():
            if set(days) - {"0", MEMBER}:
                raise ValueError(f"days of {name} must be written with 0 and 1, got {days!r}")

    def only(self, instrument_id: str) -> "UniverseDays":
        """Return the table of one instrument: what a strategy for one needs to know."""
        return msgspec.structs.replace(self, coins={instrument_id: self.coins.get(instrument_id, "")})


def days_table(
    first_day: date, members: Mapping[str, Iterable[bool]], *, enforced: bool = True
) -> UniverseDays:
    """Return a table from one truth value per day and instrument."""
    coins = {name: "".join(MEMBER if one else "0" for one in days) for name, days in members.items()}
    return UniverseDays(first_day=first_day.isoformat(), coins=coins, enforced=enforced)


class UniverseGate:
    """Looks up whether a coin may be entered at a moment.

    Parameters
    ----------
    days
        None lets everything through and marks nothing. A live node replaces it every day with `replace`.
    """

    def __init__(self, days: UniverseDays | None) -> None:
        self._first = 0
        self.replace(days)

    def replace(self, days: UniverseDays | None) -> None:
        """Take a new table; it holds from the next signal on."""
        self._days = days
        self._first = 0 if days is None else day_number(days.first_day)

    def holds(self, instrument_id: str, ts_ns: int) -> bool:
        """Tell whether an instrument is in the universe of a moment's UTC day.

        A day outside of the table has no members: nobody has decided about it.

        Parameters
        ----------
        instrument_id
            Nautilus id.
        ts_ns
            UNIX nanoseconds; at midnight the new day has begun.
        """
        if self._days is None:
            return True
        row, day = self._days.coins.get(instrument_id, ""), ts_ns // DAY_NS - self._first
        return 0 <= day < len(row) and row[day] == MEMBER

    def check(self, instrument_id: str, ts_ns: int) -> Skip | None:
        """Return why a coin must not be entered, None when nothing speaks against it here."""
        if self._days is None or not self._days.enforced or self.holds(instrument_id, ts_ns):
            return None
        return Skip(SkipReason.NOT_IN_UNIVERSE)

    def mark(self, instrument_id: str, ts_ns: int) -> dict[str, int]:
        """Return what the record of a signal says of it: ``in_universe``, nothing without a table."""
        return {} if self._days is None else {"in_universe": int(self.holds(instrument_id, ts_ns))}


class Attendance:
    """Who is still there: a coin that misses many close times in a row is not waited for any more.

    It knows nothing but the bars that came, so a coin that has ended is waited for a little while, and one
    that begins or comes back counts again from its first bar on.

    Parameters
    ----------
    instrument_ids
        Everybody who may come.
    patience_bars
        Close times in a row that a coin may miss, >= 1.
    """

    def __init__(self, instrument_ids: Collection[str], patience_bars: int = PATIENCE_BARS) -> None:
        if patience_bars < 1:
            raise ValueError(f"patience_bars ({patience_bars}) must be at least 1")
        self._patience_bars = patience_bars
        self._missed = dict.fromkeys(instrument_ids, 0)
        self._absent: set[str] = set()

    @property
    def absent(self) -> frozenset[str]:
        """Return those that are not waited for."""
        return frozenset(self._absent)

    def is_complete(self, arrived: Collection[str]) -> bool:
        """Tell whether all that are waited for are among those that came."""
        if len(arrived) < len(self._missed) - len(self._absent):
            return False
        return all(name in arrived for name in self._missed if name not in self._absent)

    def decided(self, missing: Collection[str]) -> frozenset[str]:
        """Take a close time that was decided; return who was missing though waited for.

        Parameters
        ----------
        missing
            Those whose bar did not come for it.
        """
        awaited = frozenset(missing) - self._absent
        if not missing and not self._absent:
            if any(self._missed.values()):
                self._missed = dict.fromkeys(self._missed, 0)
            return awaited
        for name in self._missed:
            self._missed[name] = self._missed[name] + 1 if name in missing else 0
        self._absent = {name for name, missed in self._missed.items() if missed >= self._patience_bars}
        return awaited


def day_number(day: str) -> int:
    """Return the days since 1970 of an ISO date."""
    return int(datetime.combine(date.fromisoformat(day), datetime.min.time(), UTC).timestamp()) // 86_400


__all__ = ["Attendance", "UniverseDays", "UniverseGate", "day_number", "days_table"]
