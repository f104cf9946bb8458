"""Charts that one can check with a pencil: rows of (open, high, low, close), and what is told about them."""

from collections.abc import Collection, Sequence

from indicators.events import EventKind, Scope
from indicators.structure_config import StructureConfig
from tests.bars import Columns, from_prices
from tests.structure_checks import Table, scan, vary

type Row = tuple[float, float, float, float]
"""Open, high, low, close in ticks."""

# One bar on either side confirms an internal swing; external swings are out of reach of a short chart.
PENCIL = vary(internal_left=1, internal_right=1, external_left=100, external_right=100)


def ranges(*highs_and_lows: tuple[float, float]) -> list[Row]:
    """Return bars of which only (high, low) matter: they open and close in the middle."""
    return [((high + low) / 2, high, low, (high + low) / 2) for high, low in highs_and_lows]


def told(
    chart: Sequence[Row] | Columns,
    kinds: Collection[EventKind],
    fields: Sequence[str],
    config: StructureConfig = PENCIL,
    scope: Scope | None = None,
) -> list[tuple[object, ...]]:
    """Return (bar at whose close it is known, kind, *fields) of the events of some kinds, in order."""
    bars = chart if isinstance(chart, Columns) else from_prices(chart)
    events, _ = scan(config, bars)
    return [
        (int(event["known_seq"]), EventKind(event["kind"]).name, *(event[name].item() for name in fields))
        for event in events
        if event["kind"] in kinds and (scope is None or event["scope"] == scope)
    ]


def snapshots(chart: Sequence[Row], config: StructureConfig = PENCIL) -> Table:
    """Return one snapshot row per bar."""
    return scan(config, from_prices(chart))[1]
