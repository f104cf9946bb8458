"""Bar intervals: the venues' short names, their length, and Nautilus' bar types."""

from typing import Final

from runtime.errors import ConfigurationError

_SECOND: Final = 1_000_000_000
_UNITS: Final = {"s": (_SECOND, "SECOND"), "m": (60 * _SECOND, "MINUTE"), "h": (3600 * _SECOND, "HOUR"),
                 "d": (86_400 * _SECOND, "DAY"), "w": (7 * 86_400 * _SECOND, "WEEK")}  # fmt: skip
# A calendar month has no fixed length and is left out.
EPOCH_TO_MONDAY: Final = 4  # days
INTERVALS: Final = ("1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "1w")


def interval_nanos(interval: str) -> int:
    """Return the length of an interval in nanoseconds.

    Raises
    ------
    ConfigurationError
        When it is none of `INTERVALS`.

    Examples
    --------
    >>> interval_nanos("5m")
    300000000000
    """
    if interval not in INTERVALS:
        raise ConfigurationError(f"interval {interval}: use one of {', '.join(INTERVALS)}")
    return int(interval[:-1]) * _UNITS[interval[-1]][0]


def interval_phase_ns(interval: str) -> int:
    """Return by how much the boundaries of an interval lie behind multiples of its length since 1970.

    Weeks begin on Monday, and the epoch was a Thursday.

    Examples
    --------
    >>> interval_phase_ns("1w") // 86_400_000_000_000, interval_phase_ns("4h")
    (4, 0)
    """
    return EPOCH_TO_MONDAY * 86_400 * _SECOND if interval == "1w" else 0


def bar_type_text(instrument_id: str, interval: str) -> str:
    """Return Nautilus' bar type of closed bars that come from outside.

    Examples
    --------
    >>> bar_type_text("BTCUSDT.BINANCE", "5m")
    'BTCUSDT.BINANCE-5-MINUTE-LAST-EXTERNAL'
    """
    interval_nanos(interval)
    return f"{instrument_id}-{interval[:-1]}-{_UNITS[interval[-1]][1]}-LAST-EXTERNAL"


def interval_of_bar_type(bar_type: str) -> str:
    """Return the short name of a bar type's interval: ``5m`` for ``…-5-MINUTE-LAST-EXTERNAL``.

    Raises
    ------
    ConfigurationError
        When the bar type is not made of time intervals that we know.
    """
    parts = bar_type.rsplit("-", 4)
    unit = next((short for short, (_, name) in _UNITS.items() if len(parts) == 5 and name == parts[2]), None)
    if unit is None or f"{parts[1]}{unit}" not in INTERVALS:
        raise ConfigurationError(f"{bar_type}: not a bar type such as BTCUSDT.BINANCE-5-MINUTE-LAST-EXTERNAL")
    return f"{parts[1]}{unit}"
