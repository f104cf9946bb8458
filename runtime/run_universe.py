"""The universe of a run: which source decides who belongs to a day, and what that table reaches.

A universe stored beside the catalog (``download_data.py universe``) decides where it has every month of the
run, for it knows coins that the catalog never held. Elsewhere the catalog's own klines do.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any, Final

import msgspec
import numpy as np
from nautilus_trader.config import ImportableStrategyConfig
from nautilus_trader.model.data import BarType
from nautilus_trader.model.instruments import Instrument
from numpy.typing import NDArray

from runtime.catalog import Catalog
from runtime.coin_settings import categories_by_name
from runtime.errors import ConfigurationError
from runtime.instruments import TERMS, instrument_id_text
from runtime.membership import (
    DAY_NS,
    DailyTurnover,
    MembershipRule,
    daily_turnover,
    earliest_klines,
    members_of_days,
)
from runtime.node_config import is_spot
from runtime.universe import (
    QUOTE,
    Universe,
    UniverseMonth,
    categories_of,
    choose,
    next_month,
    previous_month,
    read_universe,
)
from runtime.universe_settings import DEFAULT_TOP, UniverseSettings
from strategies.universe_rule import UniverseDays, days_table

FIELD: Final = "universe_days"
NAMED: Final = 20


@dataclass(frozen=True, slots=True)
class RunUniverse:
    """Who belongs to which day of a run, and what the report says about it.

    Parameters
    ----------
    days
        What the strategies are told.
    facts
        Plain values for the report: rule, source, members per day, and coins that began, ended, never
        belonged, or are missing in the catalog.
    """

    days: UniverseDays
    facts: Mapping[str, Any]


def run_universe(
    settings: UniverseSettings,
    catalog: Catalog,
    instruments: Sequence[Instrument],
    bar_catalogs: Mapping[str, Catalog],
    span_ns: tuple[int, int],
    strategies: Sequence[ImportableStrategyConfig],
) -> RunUniverse | None:
    """Return the universe of a run, None where there is none to speak of.

    Parameters
    ----------
    settings
        The rule.
    catalog
        Of the run; a stored universe lies in it.
    instruments
        What the run may trade.
    bar_catalogs
        Bar type -> where its bars are; a run in which a coin has none has no universe.
    span_ns
        First moment of trading and last moment of the data, UNIX nanoseconds.
    strategies
        Of the run; they must have a place for the table.

    Raises
    ------
    ConfigurationError
        When the rule is asked for and the strategy knows none.
    DataError
        When the stored universe or a file of bars is damaged.
    """
    names = sorted(one.id.value for one in instruments)
    if not settings.is_reported(len(names)):
        return None
    series = {
        str(BarType.from_str(one).instrument_id): (place, one) for one, place in sorted(bar_catalogs.items())
    }
    if set(series) != set(names) or any(FIELD not in one.config for one in strategies):
        if settings.mode == "on":
            raise ConfigurationError(
                "universe.mode is on, but this strategy knows no universe: it must live on klines and have a "
                f"setting {FIELD}, as confluence has; use mode auto or off"
            )
        return None
    start_day, last_day = span_ns[0] // DAY_NS, (span_ns[1] - 1) // DAY_NS
    earliest = earliest_klines(catalog)
    catalog_day = None if earliest is None else (earliest[0] - 1) // DAY_NS
    daily = daily_turnover(series, last_day + 1, catalog_day)
    stored = _stored(catalog, instruments[0])
    if stored is not None and _has_months(stored, start_day, last_day):
        top = settings.top or stored.top
        first_day, members = start_day, _by_months(stored, settings, top, daily.names, start_day, last_day)
        source = f"{stored.venue} {stored.market}, turnover of the month before"
        absent = _absent(stored, settings, top, catalog, start_day, last_day)
    else:
        top = settings.top or DEFAULT_TOP
        rule = MembershipRule(top, settings.min_turnover, settings.min_listed_days, settings.rank_days)
        first_day, members = daily.first_day, members_of_days(daily, rule)
        source, absent = f"klines of the catalog, turnover of {settings.rank_days} days before", None
    inside = members[:, start_day - first_day : last_day + 1 - first_day]
    enforced = settings.is_enforced(len(names))
    facts: dict[str, Any] = {
        **msgspec.to_builtins(settings),
        "top": top,
        "enforced": enforced,
        "source": source,
        "coins": len(names),
        "days": inside.shape[1],
        "members_mean": float(inside.sum(axis=0).mean()),
        **_lives(daily, start_day, last_day),
        "never_members": [name for name, row in zip(daily.names, inside, strict=True) if not row.any()],
        "absent_from_catalog": absent,
    }
    table = dict(zip(daily.names, members.tolist(), strict=True))
    return RunUniverse(days_table(_date(first_day), table, enforced=enforced), facts)


def with_universe(
    strategies: Sequence[ImportableStrategyConfig], universe: RunUniverse | None
) -> list[ImportableStrategyConfig]:
    """Return the configurations with the table of the universe in those that have a place for it."""
    if universe is None:
        return list(strategies)
    told = []
    for one in strategies:
        if FIELD not in one.config:
            told.append(one)
            continue
        own = one.config.get("instrument_id")
        days = universe.days if own is None else universe.days.only(str(own))
        config = {**one.config, FIELD: msgspec.to_builtins(days)}
        told.append(msgspec.structs.replace(one, config=config))
    return told


def known_categories(
    catalog: Catalog, instruments: Sequence[Instrument], described: Collection[str]
) -> dict[str, str]:
    """Return the described category of each instrument as its name tells it, by Nautilus id.

    A leveraged token is known by its base, which the stored universe may have where the run has not.
    """
    if not described:
        return {}
    stored = _stored(catalog, instruments[0])
    months = stored.months.values() if stored is not None else ()
    listed = {one.symbol.removesuffix(QUOTE) for month in months for one in month.symbols}
    base = {one.id.value: one.get_base_currency().code for one in instruments}
    bases = listed | set(base.values())
    found = {name: categories_of(code, bases) for name, code in base.items()}
    return categories_by_name(list(base), described, found)


def _lives(daily: DailyTurnover, start_day: int, last_day: int) -> dict[str, list[str]]:
    """Return the coins that began after the start, and those that ended before the end."""
    began, ended = [], []
    for name, row in zip(daily.names, daily.turnover > 0, strict=True):
        days = np.flatnonzero(row) + daily.first_day
        if not len(days) or days[0] > start_day:
            began.append(name)
        if not len(days) or days[-1] < last_day:
            ended.append(name)
    return {"began_after_start": began, "ended_before_end": ended}


# --- a stored universe -------------------------------------------------------------------------------------
def _stored(catalog: Catalog, instrument: Instrument) -> Universe | None:
    """Return the universe of an instrument's market that lies beside the catalog, if there is one."""
    venue = instrument.id.venue.value.lower()
    markets = ("spot",) if is_spot(instrument) else ("usdm", "linear")
    known = [market for market in markets if (venue, market) in TERMS]
    return read_universe(catalog.path, venue, known[0]) if known else None


def _months(start_day: int, last_day: int) -> list[date]:
    months = [_date(start_day).replace(day=1)]
    while next_month(months[-1]) <= _date(last_day):
        months.append(next_month(months[-1]))
    return months


def _based_on(stored: Universe, month: date) -> UniverseMonth | None:
    return stored.months.get(f"{previous_month(month):%Y-%m}")


def _has_months(stored: Universe, start_day: int, last_day: int) -> bool:
    return all(_based_on(stored, month) is not None for month in _months(start_day, last_day))


def _chosen(stored: Universe, settings: UniverseSettings, top: int, month: date) -> set[str]:
    """Return the instruments of a month: ranked by the month before, and by nothing later."""
    found = _based_on(stored, month)
    if found is None:  # only of the midnight at which the data end
        return set()
    age_days = max(stored.min_age_days, settings.min_listed_days)
    filters = replace(stored.filters, min_age_days=age_days)
    chosen = choose(found, stored.quote, filters, top, month)
    return {
        instrument_id_text(stored.venue, stored.market, one.symbol)
        for one in chosen
        if one.turnover >= settings.min_turnover * one.days
    }


def stored_of_month(
    catalog: Catalog, instrument: Instrument, settings: UniverseSettings, month: date
) -> set[str] | None:
    """Return the instruments of a month by the universe beside a catalog, None where it has not the month.

    Raises
    ------
    DataError
        When the stored universe is damaged.
    """
    stored = _stored(catalog, instrument)
    if stored is None or _based_on(stored, month) is None:
        return None
    return _chosen(stored, settings, settings.top or stored.top, month)


def _by_months(
    stored: Universe,
    settings: UniverseSettings,
    top: int,
    names: Sequence[str],
    start_day: int,
    last_day: int,
) -> NDArray[np.bool_]:
    """Return who belongs to which day, bool of shape (n, days + 1) as `members_of_days`."""
    members = np.zeros((len(names), last_day + 2 - start_day), dtype=np.bool_)
    for month in _months(start_day, last_day + 1):
        chosen = _chosen(stored, settings, top, month)
        begin, end = (max(_number(one) - start_day, 0) for one in (month, next_month(month)))
        members[:, begin:end] = np.array([[name in chosen] for name in names])
    return members


def _absent(
    stored: Universe, settings: UniverseSettings, top: int, catalog: Catalog, start_day: int, last_day: int
) -> dict[str, Any]:
    """Return which symbols of the archive's listing the catalog has no klines of."""
    held = {one["instrument"] for one in catalog.series() if one["kind"] == "klines"}
    listed: set[str] = set()
    members: set[str] = set()
    for month in _months(start_day, last_day):
        found = _based_on(stored, month)
        symbols = found.symbols if found is not None else ()
        listed |= {instrument_id_text(stored.venue, stored.market, one.symbol) for one in symbols}
        members |= _chosen(stored, settings, top, month)
    return {
        "listed": len(listed),
        "listed_absent": len(listed - held),
        "members": len(members),
        "members_absent": len(members - held),
        "names": sorted(members - held)[:NAMED],
    }


def _date(day: int) -> date:
    return date(1970, 1, 1) + timedelta(days=day)


def _number(day: date) -> int:
    return (day - date(1970, 1, 1)).days


__all__ = ["RunUniverse", "known_categories", "run_universe", "with_universe"]
