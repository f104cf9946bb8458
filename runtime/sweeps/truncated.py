"""A catalog that ends at a cut, and the run planned anew over it.

Whatever is computed before a run (membership, funding, derived bars, scores) is computed from it again. Only
what the user wrote and what no day of trading made is taken over: settings, a trained model, and the
definitions of the instruments with their increments and fees.
"""

from dataclasses import replace
from datetime import date
from pathlib import Path

import msgspec

from runtime.arrow_schema import concatenate
from runtime.candles import CandleStore
from runtime.catalog import Catalog
from runtime.funding import FUNDING_FOLDER, read_funding, write_funding
from runtime.funding_schedule import minute_of
from runtime.instruments import TERMS
from runtime.intervals import bar_type_text, interval_of_bar_type
from runtime.membership import earliest_klines
from runtime.run_plan import RunPlan, plan_run
from runtime.universe import month_of, next_month, read_universe, write_universe


def truncated(plan: RunPlan, last_ns: int, folder: Path) -> RunPlan:
    """Return the run planned anew on a catalog, written to `folder`, that ends at `last_ns`.

    Parameters
    ----------
    plan
        The whole run. Its instruments are those of the new one, also where it names none.
    last_ns
        The last moment that is known, included, UNIX nanoseconds.
    folder
        Where the catalog is made.

    Raises
    ------
    ConfigurationError
        When an instrument has nothing before the cut.
    """
    copy = Catalog(folder, create=True)
    _copy_trades(plan, copy, last_ns)
    _copy_klines(plan, copy, last_ns)
    _copy_funding(plan, copy, last_ns)
    _copy_universe(plan, copy, last_ns)
    names = tuple(one.id.value for one in plan.instruments)
    old = str(plan.catalog.path)
    made = plan_run(replace(plan.request, catalog=folder, instruments=names, end_ns=last_ns + 1))
    strategies = []
    for one in made.strategies:
        config = {key: str(folder) if value == old else value for key, value in one.config.items()}
        strategies.append(msgspec.structs.replace(one, config=config))
    return replace(made, strategies=tuple(strategies))


def _copy_trades(plan: RunPlan, copy: Catalog, last_ns: int) -> None:
    for entry in () if plan.on_bars else plan.catalog.manifest.series.values():
        if entry.kind == "klines" or entry.instrument not in {one.id.value for one in plan.instruments}:
            continue
        trades = plan.catalog.read_trades_all(entry.instrument, plan.data_from_ns, last_ns)
        if len(trades.ts_ns):
            copy.write_trades(plan.catalog.instrument(entry.instrument), trades, kind=entry.kind)


def _copy_klines(plan: RunPlan, copy: Catalog, last_ns: int) -> None:
    """Copy stored klines; where the run's bars are derived, all that they may be derived from."""
    store = CandleStore(plan.catalog, max_bytes=0)
    wanted: set[tuple[str, str]] = set()
    for bar_type, place in plan.bar_catalogs.items():
        name = bar_type.rsplit("-", 4)[0]
        is_stored = place.path == plan.catalog.path
        intervals = (interval_of_bar_type(bar_type),) if is_stored else store.stored_intervals(name)
        wanted |= {(name, one) for one in intervals}
    for name, interval in sorted(wanted):
        _copy_series(plan.catalog, copy, name, interval, last_ns)
    # How old a coin must be taken to be hangs on the day on which the catalog itself begins.
    first = earliest_klines(plan.catalog)
    if plan.bar_catalogs and first is not None and (first[1], first[2]) not in wanted:
        _copy_series(plan.catalog, copy, first[1], first[2], min(first[0], last_ns))


def _copy_series(catalog: Catalog, copy: Catalog, name: str, interval: str, last_ns: int) -> None:
    parts = list(catalog.read_bars(bar_type_text(name, interval), None, last_ns))
    if parts:
        copy.write_bars(catalog.instrument(name), interval, concatenate(parts))


def _copy_funding(plan: RunPlan, copy: Catalog, last_ns: int) -> None:
    """Copy the rates of funding times up to the cut; venues stamp them some milliseconds late."""
    for one in plan.instruments:
        name = one.id.value
        if not (plan.catalog.path / FUNDING_FOLDER / name).exists():
            continue
        rates = [rate for rate in read_funding(plan.catalog.path, name) if minute_of(rate.ts_ns) <= last_ns]
        if rates:
            write_funding(copy.path, name, rates)


def _copy_universe(plan: RunPlan, copy: Catalog, last_ns: int) -> None:
    """Copy the months of stored universes that were over by the cut.

    None where the whole run has too few months and fell back on klines: that is no knowledge of a market.
    """
    if plan.universe is not None and plan.universe.facts["absent_from_catalog"] is None:
        return
    for venue, market in TERMS:
        stored = read_universe(plan.catalog.path, venue, market)
        if stored is None:
            continue
        over = {
            name: month
            for name, month in stored.months.items()
            if next_month(date.fromisoformat(f"{name}-01")) <= month_of(last_ns)
        }
        write_universe(copy.path, msgspec.structs.replace(stored, months=over))
