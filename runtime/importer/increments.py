"""Which increments the rows of an import are counted in: given, the venue's, or as fine as the rows need.

Venues change increments over the years; today's may be coarser than an old archive. A catalog counts each
instrument in one tick and one lot, so it takes the finest that any of its rows needs.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from nautilus_trader.model.instruments import Instrument

from runtime.catalog import Catalog
from runtime.catalog_refine import refine
from runtime.catalog_slots import increments_lock
from runtime.download.increments import DecimalsSeen
from runtime.importer.request import ImportRequest
from runtime.importer.staging import PRICE_COLUMNS, Stage
from runtime.instruments import (
    common_step,
    increment_text,
    instrument_id_text,
    make_instrument,
    with_increments,
)

# The venues write at most 8; more is the noise of whoever computed the file.
MOST_VENUE_DECIMALS: Final = 8


@dataclass(frozen=True, slots=True)
class Settled:
    """The instrument of an import.

    `inferred` names the increments that only the files told, `refined` says in words which became finer.
    """

    instrument: Instrument
    inferred: tuple[str, ...] = ()
    refined: tuple[str, ...] = ()


@contextmanager
def settled_increments(request: ImportRequest, catalog: Catalog, stage: Stage) -> Iterator[Settled]:
    """Give the instrument whose increments hold every staged row, and let nobody change it meanwhile.

    An option wins; then the stored instrument, or the venue's own, made finer where the rows need it; else
    the decimals seen in the files. A stored instrument is refined in place.

    Raises
    ------
    ConfigurationError
        When the stored instrument has other increments than the options, or another command writes to it.
    DataError
        When what is stored does not fit the finer increments.
    """
    instrument_id = instrument_id_text(request.venue, request.market, request.symbol)
    with increments_lock(catalog.path, instrument_id, exclusive=True):
        stored = catalog.find_instrument(instrument_id)
        if stored is None:
            yield _settle(request, stage, request.definition)
            return
        settled = _settle(request, stage, stored)
        if settled.refined:
            refine(catalog.path, settled.instrument)
        else:
            catalog.require_increments(settled.instrument)
    with increments_lock(catalog.path, instrument_id, exclusive=False):
        # In between another import may have refined it further, never made it coarser.
        yield Settled(catalog.find_instrument(instrument_id) or settled.instrument, (), settled.refined)


def _settle(request: ImportRequest, stage: Stage, known: Instrument | None) -> Settled:
    prices = [name for name in stage.dtypes if name in PRICE_COLUMNS]
    # The volume of a kline is a sum that somebody computed: it is rounded, and tells nothing of the lot.
    sizes = ["qty"] if "qty" in stage.dtypes else []
    if known is None:
        inferred = [
            name
            for name, option in (("tick_size", request.tick_size), ("lot_size", request.lot_size))
            if option is None
        ]
        tick_size = request.tick_size or stage.price_decimals.increment
        lot_size = request.lot_size or stage.size_decimals.increment
        made = make_instrument(request.venue, request.market, request.symbol, tick_size, lot_size)
        return Settled(made, tuple(inferred))
    old = [Decimal(str(step)) for step in (known.price_increment, known.size_increment)]
    needed = [
        _needed(old[0], stage.price_decimals, prices, stage),
        _needed(old[1], stage.size_decimals, sizes, stage),
    ]
    given = (request.tick_size, request.lot_size)
    chosen = [option or step for option, step in zip(given, needed, strict=True)]
    if chosen == old:
        return Settled(known)
    if any(option is not None and option != step for option, step in zip(given, old, strict=True)):
        return Settled(make_instrument(request.venue, request.market, request.symbol, chosen[0], chosen[1]))
    refined = tuple(
        f"{known.id}: {name} {increment_text(new)}, not {increment_text(before)} as "
        f"{'today at the venue' if (known.info or {}).get('source') else 'before'}: the files are finer"
        for name, before, new in zip(("price_increment", "size_increment"), old, chosen, strict=True)
        if new != before
    )
    return Settled(with_increments(known, chosen[0], chosen[1]), (), refined)


def _needed(step: Decimal, seen: DecimalsSeen, names: list[str], stage: Stage) -> Decimal:
    """Return the step, or a finer one of which it is a multiple, if some value lies between two steps."""
    finer = common_step(step, seen.increment)
    if finer == step or seen.decimals > MOST_VENUE_DECIMALS:
        return step
    return step if all(stage.is_on_grid(name, step) for name in names) else finer
