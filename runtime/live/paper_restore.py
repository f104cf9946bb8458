"""A simulated venue goes on where it was: account, positions and open orders as they were kept."""

from nautilus_trader.model.enums import AccountType
from nautilus_trader.model.events import OrderFilled
from nautilus_trader.model.identifiers import ClientOrderId, InstrumentId
from nautilus_trader.model.objects import Currency, Money
from nautilus_trader.model.orders import Order
from nautilus_trader.model.position import Position

from runtime.funding_schedule import is_linear_perpetual
from runtime.live.paper_rows import SERIALIZER, restored_order
from runtime.live.paper_state import PaperStore
from runtime.live.paper_world import PaperWorld


class PaperRestore:
    """Puts what is kept of a venue into its world.

    Parameters
    ----------
    world
        Nothing happened in it yet.
    store
        Where it is kept.
    """

    def __init__(self, world: PaperWorld, store: PaperStore) -> None:
        self._world, self._store = world, store
        self._adopt: dict[InstrumentId, list[ClientOrderId]] = {}

    def run(self) -> dict[InstrumentId, list[ClientOrderId]]:
        """Restore; return the open orders, which the exchange takes up with the first print."""
        name = self._world.id.value
        kept = self._store.account(name)
        if kept is not None:
            self._world.account.apply(SERIALIZER.deserialize(kept))
        for order in self._store.orders(name, open_only=True):
            self._restore_order(restored_order(order))
        for row in self._store.positions(name):
            self._restore_position([SERIALIZER.deserialize(one) for one in row.fills])
        if self._world.account_type == AccountType.CASH:
            self._restore_locks()
        return self._adopt

    def contracts(self) -> set[InstrumentId]:
        """Return what is held and pays funding."""
        held = {one.instrument_id for one in self._world.cache.positions_open()}
        return {one for one in held if is_linear_perpetual(self._world.known(one))}

    def _restore_locks(self) -> None:
        """Let the account know for which instrument its coins are locked, or it never frees them again."""
        account = self._world.account
        for instrument_id in self._adopt:
            instrument = self._world.exchange.instruments[instrument_id]
            locks: dict[Currency, Money] = {}
            for order in self._world.cache.orders_open(instrument_id=instrument_id):
                price = order.price if order.has_price else order.trigger_price
                lock = account.calculate_balance_locked(instrument, order.side, order.quantity, price)
                locks[lock.currency] = lock + locks.get(lock.currency, Money(0, lock.currency))
            for lock in locks.values():
                account.update_balance_locked(instrument_id, lock)

    def _restore_position(self, fills: list[OrderFilled]) -> None:
        instrument = self._world.known(fills[0].instrument_id)
        position = Position(instrument, fill=fills[0])
        for fill in fills[1:]:
            position.apply(fill)
        # The venue asks its orders which position they belong to; those of it that are closed are not here.
        names = list(dict.fromkeys(fill.client_order_id for fill in fills))
        for name in names:
            row = self._store.order(name.value)
            if row is not None and not self._world.cache.order_exists(name):
                self._restore_order(restored_order(row))
        self._world.cache.add_position(position, self._world.oms_type)
        for name in names:
            self._world.cache.add_position_id(position.id, self._world.id, name, position.strategy_id)

    def _restore_order(self, order: Order) -> None:
        self._world.known(order.instrument_id)
        self._world.cache.add_order(order, None)
        self._world.cache.update_order(order)
        if not order.is_closed:
            # Behind the first print: its place in the queue of before is lost, and must not be the first.
            self._adopt.setdefault(order.instrument_id, []).append(order.client_order_id)


def remembered(store: PaperStore, venue: str) -> set[InstrumentId]:
    """Return the instruments that what is kept is about; they must be known before `PaperRestore.run`."""
    names = {row.instrument_id for row in store.orders(venue, open_only=True)}
    found = {InstrumentId.from_str(name) for name in names}
    for row in store.positions(venue):
        found.add(SERIALIZER.deserialize(row.fills[0]).instrument_id)
    return found
