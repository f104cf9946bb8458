"""What every resting entry wanted from bucket to bucket: no event says it, so someone has to look."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ml.decisions import Stretch
from ml.labels import OrderLabel
from strategies.trade_manager.orders import Leg

type Taker = Callable[[str, Stretch], None]
"""Called with a client order id and what that order wanted; its number is not known yet, -1."""


@dataclass(frozen=True, slots=True)
class OrderHistory:
    """The entry orders of one instrument.

    Parameters
    ----------
    labels
        What became of each, in the order in which they were sent.
    stretches
        What each wanted between two bucket closes, in the order of time.
    """

    labels: list[OrderLabel]
    stretches: list[Stretch]


class EntryWatch:
    """Tells, whenever a bucket closes, what the living entry wanted since the bucket before.

    A plan changes only after a bucket has closed, so what stands in it at the next close stood there all the
    time in between. No event says so: the target of a resting entry follows its range silently.

    Parameters
    ----------
    strategy
        An `OteStrategy`, or another one that has ``setup``, ``bias`` and ``observe``.
    take
        Told each stretch, in the order of time.
    """

    def __init__(self, strategy: Any, take: Taker) -> None:
        self._strategy = strategy
        self._take = take
        self._bias = float("nan")
        self._over: Any = None
        strategy.observe(self._on_bucket)

    def finish(self) -> None:
        """Tell the stretch after the last bucket, too; the run has ended."""
        self._note(self._strategy.bucket_seq)

    def _on_bucket(self, packet: Any, _events: Any) -> None:
        self._note(int(packet["seq"]) - 1)
        bias = self._strategy.bias
        self._bias = float("nan") if bias is None else float(bias)

    def _note(self, bucket_seq: int) -> None:
        setup = self._strategy.setup
        if setup is None or setup is self._over:
            return
        if setup.is_closed or setup.is_in_position:
            self._over = setup  # once more: it was an entry for a part of this bucket
        plan = setup.plan
        entries = [own.client_id for own in setup.orders.values() if own.leg is Leg.ENTRY]
        if entries:
            stretch = Stretch(
                bucket_seq=bucket_seq,
                order=-1,
                entry=float(plan.entry_price),
                stop=float(plan.stop_price),
                target=float(plan.target_price),
                range_low=plan.zone_low,
                range_high=plan.zone_high,
                bias=self._bias,
            )
            self._take(entries[-1], stretch)


def histories_of(
    labels: Iterable[OrderLabel], wanted: Mapping[str, Iterable[tuple[str, Stretch]]]
) -> dict[str, OrderHistory]:
    """Return the history of each instrument in `wanted`.

    Parameters
    ----------
    labels
        Of all entry orders, in the order in which they were sent.
    wanted
        Client order ids and what they wanted, by instrument id, in the order of time.
    """
    own: dict[str, list[OrderLabel]] = {name: [] for name in wanted}
    for label in labels:
        own[label.instrument_id].append(label)
    found = {}
    for name, rows in wanted.items():
        number = {one.client_order_id: at for at, one in enumerate(own[name])}
        stretches = [
            replace(stretch, order=number[client_id]) for client_id, stretch in rows if client_id in number
        ]
        found[name] = OrderHistory(own[name], stretches)
    return found
