"""Finds coins that an account holds fewer of than the setups on it, whoever moved them.

Positions of a spot account are the node's own sums: a sale by hand comes as a report, but a withdrawal or a
transfer changes the balance alone. A contract that was closed elsewhere is found here too, should its report
be lost.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

type Place = tuple[str, str]
"""Venue and coin of a spot account."""


class HoldingsWatch:
    """Compares what setups hold with what the account does; call it at intervals.

    An account is told of our own fill before the setup is, so only what is short at two looks in a row, by
    the same quantity, is somebody else's doing.
    """

    def __init__(self) -> None:
        self._short: dict[tuple[str, ...], Decimal] = {}

    def look(self, desks: Iterable[Any]) -> tuple[list[Any], dict[Place, tuple[Decimal, list[Any]]]]:
        """Look at the desks of all strategies (`strategies.kept_desk.KeptDesk`).

        Returns
        -------
        tuple
            Desks whose own setup is larger than what the account holds; and by place, where several desks are
            only together: the quantity that is short, base currency, and the desks.
        """
        desks = list(desks)
        short: dict[tuple[str, ...], Decimal] = {("", *_key(one)): one.missing_qty() for one in desks}
        alone = [one for one in desks if self._is_again(("", *_key(one)), short)]
        shared: dict[Place, tuple[Decimal, list[Any]]] = {}
        for place, group in _groups(desks).items():
            if any(one.missing_qty() for one in group):
                continue  # that one is said by itself
            needed = sum((one.setup.position_qty for one in group), Decimal(0))
            missing = needed - group[0].held_qty(1)
            short[place] = missing if missing >= max(one.market.lot_size for one in group) else Decimal(0)
            if self._is_again(place, short):
                shared[place] = missing, group
        self._short = short
        return alone, shared

    def _is_again(self, key: tuple[str, ...], short: Mapping[tuple[str, ...], Decimal]) -> bool:
        return bool(short[key]) and self._short.get(key) == short[key]


def _groups(desks: Iterable[Any]) -> dict[Place, list[Any]]:
    """Return the desks in a position by the coins of the spot account that several of them share."""
    found: dict[Place, list[Any]] = {}
    for one in desks:
        setup = one.setup
        if setup is None or setup.is_closed or not setup.is_in_position or one.account_kind() != "cash":
            continue
        place = one.instrument_id.venue.value, one.instrument.base_currency.code
        found.setdefault(place, []).append(one)
    return {place: group for place, group in found.items() if len(group) > 1}


def _key(desk: Any) -> tuple[str, str]:
    return desk.strategy_id, desk.instrument_id.value


__all__ = ["HoldingsWatch"]
