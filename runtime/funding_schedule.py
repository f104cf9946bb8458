"""Which funding times a run has, at which rates, and which of them the catalog does not know."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from nautilus_trader.model.instruments import CryptoPerpetual, Instrument

from runtime.cli import NANOS_PER_SECOND
from runtime.funding import LONGEST_INTERVAL_NS, MINUTE_NS, read_funding
from runtime.settings import FundingSettings

HOUR_NS: Final = 3600 * NANOS_PER_SECOND
PERCENT: Final = Decimal(100)

type Rates = dict[int, Decimal]
"""Rates by funding time, UNIX nanoseconds, whole minutes."""


@dataclass(frozen=True, slots=True)
class FundingPlan:
    """Funding of one run.

    Parameters
    ----------
    times
        Number of funding times with a rate in the run's span, by instrument id.
    missing
        At least so many funding times in the span have none, by instrument id; only those with some.
    module
        Settings of `runtime.funding_venue`, None where nothing is settled.
    """

    times: Mapping[str, int] = field(default_factory=dict)
    missing: Mapping[str, int] = field(default_factory=dict)
    module: Mapping[str, Any] | None = None


def is_linear_perpetual(instrument: Instrument) -> bool:
    """Tell whether an instrument pays funding in its quote currency."""
    return isinstance(instrument, CryptoPerpetual) and not instrument.is_inverse


def plan_funding(
    settings: FundingSettings, catalog: Path, instruments: Sequence[Instrument], span_ns: tuple[int, int]
) -> FundingPlan:
    """Return the funding of a run.

    Parameters
    ----------
    settings
        Where rates come from.
    catalog
        Folder of the catalog with the rates.
    instruments
        What the run trades; only linear perpetuals have funding.
    span_ns
        First time at which a position can be open, and the last one, UNIX nanoseconds.

    Raises
    ------
    DataError
        When a file of rates is damaged.
    """
    names = [one.id.value for one in instruments if is_linear_perpetual(one)]
    if settings.source == "none" or not names:
        return FundingPlan()
    times, missing = {}, {}
    for name in names:
        rates = rates_of(settings, catalog, name, span_ns)
        times[name] = len(rates)
        unknown = missing_times(rates, span_ns) if settings.source == "catalog" else 0
        if unknown:
            missing[name] = unknown
    module = {
        "source": settings.source,
        "rate_pct": None if settings.rate_pct is None else str(settings.rate_pct),
        "interval_hours": settings.interval_hours,
        "catalog": str(catalog),
        "instruments": [name for name in names if times[name]],
        "span_ns": list(span_ns),
    }
    return FundingPlan(times, missing, module if any(times.values()) else None)


def rates_of(settings: FundingSettings, catalog: Path, name: str, span_ns: tuple[int, int]) -> Rates:
    """Return the rates of an instrument within a span, both ends included.

    A stamp that is some milliseconds off counts as its minute.

    Parameters
    ----------
    settings
        Where rates come from.
    catalog
        Folder of the catalog.
    name
        Instrument id.
    span_ns
        UNIX nanoseconds.
    """
    first_ns, last_ns = span_ns
    if settings.source == "constant" and settings.rate_pct is not None:
        step_ns = settings.interval_hours * HOUR_NS
        rate = settings.rate_pct / PERCENT
        return dict.fromkeys(range(-(-first_ns // step_ns) * step_ns, last_ns + 1, step_ns), rate)
    if settings.source != "catalog":
        return {}
    stored = read_funding(catalog, name, first_ns - MINUTE_NS, last_ns + MINUTE_NS)
    by_minute = {minute_of(one.ts_ns): one.rate for one in stored}
    return {ts_ns: rate for ts_ns, rate in by_minute.items() if first_ns <= ts_ns <= last_ns}


def missing_times(known: Iterable[int], span_ns: tuple[int, int]) -> int:
    """Return how many funding times at least have no rate: of 00:00, 08:00 and 16:00 UTC in the span.

    Every interval of the venues (1, 2, 4 or 8 hours) has these; which of the others a contract had at the
    time only its rates could tell.

    Parameters
    ----------
    known
        Funding times with a rate, UNIX nanoseconds, whole minutes.
    span_ns
        Both ends included, UNIX nanoseconds.

    Examples
    --------
    >>> eight_hours = 8 * 3600 * 10**9
    >>> missing_times([eight_hours], (1, 3 * eight_hours))
    2
    """
    first_ns, last_ns = span_ns
    step_ns = LONGEST_INTERVAL_NS
    expected = range(-(-first_ns // step_ns) * step_ns, last_ns + 1, step_ns)
    return len(set(expected) - set(known))


def minute_of(ts_ns: int) -> int:
    """Return the nearest whole minute, UNIX nanoseconds."""
    return (ts_ns + MINUTE_NS // 2) // MINUTE_NS * MINUTE_NS


def funding_text(settings: FundingSettings, *, on_bars: bool) -> str:
    """Return how funding was settled, in the words of the report."""
    price = "the last close" if on_bars else "the last trade"
    if settings.source == "none":
        return "not settled"
    if settings.source == "constant":
        return f"{settings.rate_pct:f} % every {settings.interval_hours} h, at {price}"
    return f"rates of the catalog, at {price}"
