"""What became of every order: the outcome, when it filled, when it ended and what it earned.

No second backtester: the records of an ungated run are read, decisions, order events and closed trades as the
engine wrote them (``events.jsonl``, or the same from memory), and nothing is simulated here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

ENTRY_LEG: Final = "E"
NEVER_NS: Final = 0


class Outcome(IntEnum):
    """How an order ended."""

    NOT_FILLED = 0  # taken back, expired or refused
    TARGET = 1
    STOP = 2
    TIMED_OUT = 3  # filled, and closed for any other reason
    UNKNOWN = 4  # the records end before it did


@dataclass(slots=True)
class OrderLabel:
    """One entry order and what became of it.

    Parameters
    ----------
    client_order_id, setup_id, instrument_id
        Ids as in the records; a setup whose entry followed its range has several orders.
    direction
        +1 long, -1 short.
    entry, stop, target
        When it was sent, quote currency.
    placed_ns, placed_seq
        When it was sent, UNIX nanoseconds, and the last closed bucket then.
    resting_ns
        When the venue had acknowledged it; 0 for never.
    settled_ns
        From when on nothing could be decided about it any more: its first fill, or the request to take it
        back, whichever came first. 0 while it rests.
    ended_ns
        When the entry was final: filled completely, or confirmed gone. 0 if not known.
    fill_ns, exit_ns
        First fill, and last fill of the exit; 0 for never.
    net_r
        Profit after fees over the risk; NaN without a closed trade.
    outcome
        See `Outcome`.
    is_tainted
        Trades were missing in the data while it was in position.
    """

    client_order_id: str
    setup_id: str
    instrument_id: str
    direction: int
    entry: float
    stop: float
    target: float
    placed_ns: int
    placed_seq: int
    resting_ns: int = NEVER_NS
    settled_ns: int = NEVER_NS
    ended_ns: int = NEVER_NS
    fill_ns: int = NEVER_NS
    exit_ns: int = NEVER_NS
    net_r: float = np.nan
    outcome: Outcome = Outcome.UNKNOWN
    is_tainted: bool = False

    @property
    def known_ns(self) -> int:
        """Time at which the label is known, UNIX nanoseconds; 0 if it is not."""
        if self.outcome is Outcome.UNKNOWN:
            return NEVER_NS
        return self.ended_ns if self.outcome is Outcome.NOT_FILLED else self.exit_ns


def entry_order_setup(client_order_id: str) -> str | None:
    """Return the setup that an entry order belongs to, None for an exit or a foreign order.

    Examples
    --------
    >>> entry_order_setup("OTE-XRPUSDT-Lmmv7y0w014-E2")
    'Lmmv7y0w014'
    >>> entry_order_setup("OTE-XRPUSDT-Lmmv7y0w014-S1") is None
    True
    """
    parts = client_order_id.rsplit("-", 2)
    return parts[1] if len(parts) == 3 and parts[2].startswith(ENTRY_LEG) else None


class Labeller:
    """Reads the records of a run, in their order, and keeps one label per entry order.

    Records are plain mappings, ``{"record": "decision" | "order" | "trade", ...}`` as in ``events.jsonl``.
    """

    def __init__(self) -> None:
        self.orders: dict[tuple[str, str], OrderLabel] = {}
        self._sent: dict[tuple[str, str], str] = {}  # newest entry order of a setup
        self._refused_ns: dict[tuple[str, str], int] = {}  # before the strategy said that it sent it
        self._of_setup: dict[tuple[str, str], list[OrderLabel]] = {}

    def take(self, record: Mapping[str, Any]) -> None:
        """Take the next record."""
        match record["record"]:
            case "order":
                self._take_order(record)
            case "decision" if record["kind"] in ("entry_submitted", "entry_repriced"):
                self._take_entry(record)
            case "trade":
                self._take_trade(record)

    def labels(self, last_ns: int) -> list[OrderLabel]:
        """Return the label of every entry order so far, in the order in which they were sent.

        Parameters
        ----------
        last_ns
            Time of the last trade, UNIX nanoseconds: an entry that still rested then is not known to have
            missed, though a strategy that is stopped takes it back.
        """
        for label in self.orders.values():
            if label.outcome is Outcome.NOT_FILLED and label.settled_ns >= last_ns:
                label.outcome = Outcome.UNKNOWN
        return list(self.orders.values())

    def _take_entry(self, record: Mapping[str, Any]) -> None:
        name = record["instrument_id"]
        client_id = self._sent[name, record["setup_id"]]  # sent just before it was reported
        label = OrderLabel(
            client_order_id=client_id,
            setup_id=record["setup_id"],
            instrument_id=name,
            direction=1 if record["side"] == "long" else -1,
            entry=float(record["price"]),
            stop=float(record["stop"]),
            target=float(record["target"]),
            placed_ns=record["ts_ns"],
            placed_seq=record["bucket_seq"],
        )
        refused_ns = self._refused_ns.pop((name, client_id), NEVER_NS)
        if refused_ns:
            label.settled_ns = label.ended_ns = refused_ns
            label.outcome = Outcome.NOT_FILLED
        self.orders[name, client_id] = label
        self._of_setup.setdefault((name, label.setup_id), []).append(label)

    def _take_order(self, record: Mapping[str, Any]) -> None:
        client_id, name = record["client_order_id"], record["instrument_id"]
        setup = entry_order_setup(client_id)
        if setup is None:
            return
        if record["event"] == "OrderInitialized":
            self._sent[name, setup] = client_id
            return
        label = self.orders.get((name, client_id))
        ts_ns = record["ts_ns"]
        if label is None:
            if record["event"] in ("OrderDenied", "OrderRejected"):
                self._refused_ns[name, client_id] = ts_ns
            return
        match record["event"]:
            case "OrderAccepted":
                label.resting_ns = label.resting_ns or ts_ns
            case "OrderPendingCancel" | "OrderPendingUpdate":
                label.settled_ns = label.settled_ns or ts_ns
            case "OrderFilled":
                label.fill_ns = label.fill_ns or ts_ns
                label.settled_ns = label.settled_ns or ts_ns
                label.ended_ns = ts_ns
            case "OrderCanceled" | "OrderExpired" | "OrderRejected" | "OrderDenied":
                label.settled_ns = label.settled_ns or ts_ns
                label.ended_ns = ts_ns
                if not label.fill_ns:
                    label.outcome = Outcome.NOT_FILLED

    def _take_trade(self, record: Mapping[str, Any]) -> None:
        reasons = {"target": Outcome.TARGET, "stop": Outcome.STOP}
        for label in self._of_setup.get((record["instrument_id"], record["setup_id"]), []):
            # A setup whose withdrawn entry filled late has a second trade: the fill tells whose it is.
            if label.fill_ns and not label.exit_ns and record["entry_ts_ns"] <= label.fill_ns:
                label.exit_ns = record["exit_ts_ns"]
                label.net_r = float(record["r_multiple"])
                label.outcome = reasons.get(record["exit_reason"], Outcome.TIMED_OUT)
                label.is_tainted = bool(record["tainted"])


def label_orders(records: Iterable[Mapping[str, Any]], last_ns: int) -> list[OrderLabel]:
    """Return one label per entry order of a run; see `Labeller`."""
    labeller = Labeller()
    for record in records:
        labeller.take(record)
    return labeller.labels(last_ns)


def uniqueness(t0_ns: NDArray[np.int64], t1_ns: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return how much of each label's span it has for itself: the mean of 1 / (labels alive) over the span.

    Parameters
    ----------
    t0_ns, t1_ns
        First and last time of each label, shape (n,), UNIX nanoseconds; a span of no length counts as 1 ns.

    Returns
    -------
    NDArray[np.float64]
        Shape (n,), in (0, 1].

    Raises
    ------
    ValueError
        When a span ends before it begins.

    References
    ----------
    Lopez de Prado (2018), "Advances in Financial Machine Learning", section 4.4, in continuous time.
    """
    if np.any(t1_ns < t0_ns):
        raise ValueError("a label ends before it begins")
    if not len(t0_ns):
        return np.empty(0)
    ends_ns = np.maximum(t1_ns, t0_ns + 1)
    times_ns = np.unique(np.concatenate([t0_ns, ends_ns]))
    begins, ends = np.searchsorted(times_ns, t0_ns), np.searchsorted(times_ns, ends_ns)
    steps = np.zeros(len(times_ns), np.int64)
    np.add.at(steps, begins, 1)
    np.add.at(steps, ends, -1)
    alive = np.cumsum(steps)[:-1]
    lengths = np.diff(times_ns).astype(np.float64)
    shares = np.concatenate([[0.0], np.cumsum(lengths / np.maximum(alive, 1))])
    return np.asarray((shares[ends] - shares[begins]) / (ends_ns - t0_ns).astype(np.float64))


def order_uniqueness(
    order_id: NDArray[np.int64], t0_ns: NDArray[np.int64], t1_ns: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the uniqueness of each row: that of its order, shared equally among the order's rows.

    Rows of one order have one outcome: however many there are, they are one observation at most.

    Parameters
    ----------
    order_id, t0_ns, t1_ns
        Shape (n,), times in UNIX nanoseconds.

    Returns
    -------
    NDArray[np.float64]
        Shape (n,), in (0, 1]; its sum is the effective sample size.
    """
    if not len(order_id):
        return np.empty(0)
    _, which, counts = np.unique(order_id, return_inverse=True, return_counts=True)
    first_ns = np.full(len(counts), np.iinfo(np.int64).max)
    last_ns = np.zeros(len(counts), np.int64)
    np.minimum.at(first_ns, which, t0_ns)
    np.maximum.at(last_ns, which, t1_ns)
    return np.asarray((uniqueness(first_ns, last_ns) / counts)[which])


def effective_sample_size(
    order_id: NDArray[np.int64], t0_ns: NDArray[np.int64], t1_ns: NDArray[np.int64]
) -> float:
    """Return how many independent observations the rows amount to: the sum of their uniqueness."""
    return float(order_uniqueness(order_id, t0_ns, t1_ns).sum())


def sample_weights(unique: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return weights in proportion to the uniqueness of each row, shape (n,), with mean 1."""
    return unique / unique.mean() if len(unique) else unique


def outcome_counts(labels: Sequence[OrderLabel]) -> dict[str, int]:
    """Return the number of orders per outcome, all outcomes named."""
    counts = {one.name.lower(): 0 for one in Outcome}
    for label in labels:
        counts[label.outcome.name.lower()] += 1
    return counts
