"""What a terminal shows, folded from the messages of a node.

Pure, and the same on all sides: the node folds what it publishes to answer newcomers, the server what it
receives, a replay what it reads.
"""

from bisect import bisect_left, bisect_right
from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final, Protocol, SupportsIndex

from ui.protocol import Bar, Bucket, Snapshot, key_of

NODE_BUCKETS: Final = 2_000
SERVER_BUCKETS: Final = 20_000
MAX_BARS: Final = 2_000
# Of those that have ended, the last so many of each kind are kept; of zones, of each instrument. The browser
# keeps the same (`ui/frontend/src/store/store.ts`): what is seen must not depend on when one came.
MAX_KEPT: Final = 500
MAX_ZONES: Final = 1_000
# Of those that live: far more than there ever are, so that nothing a node tells makes it grow without end.
MAX_LIVING: Final = 10_000
SINGLE: Final = ("st", "acct", "risk", "lat", "hb")
LISTED: Final = ("sig", "fill", "trade", "log")
KEYED: Final = ("dev", "zone", "mdl", "ord", "pos", "cancel")
ENDED_ZONES: Final = frozenset({"filled", "mitigated", "expired"})
ENDED_ORDERS: Final = frozenset({"FILLED", "CANCELED", "CANCELLED", "EXPIRED", "REJECTED", "DENIED"})


class BucketRing(Protocol):
    """The closed buckets of an instrument by number, up to so many: a deque, or what holds them tighter."""

    def __len__(self) -> int: ...
    def __getitem__(self, place: SupportsIndex, /) -> Bucket: ...
    def __iter__(self) -> Iterator[Bucket]: ...
    def append(self, bucket: Bucket, /) -> None:
        """Put a bucket behind all others; the first one makes room where there is none."""

    def pop(self) -> Bucket:
        """Take the last one out."""


class TerminalState:
    """Folds messages into what a newcomer has to be told.

    Parameters
    ----------
    max_buckets
        Buckets kept per instrument.
    zones_of_all
        Keep `MAX_ZONES` ended zones of all instruments together: a node packs them in one turn of its loop.

    Examples
    --------
    >>> from ui.protocol import Heartbeat
    >>> state = TerminalState()
    >>> state.apply("hb", Heartbeat(loop_lag_ms=1.5))
    >>> state.snapshot().hb.loop_lag_ms
    1.5
    """

    def __init__(self, max_buckets: int = NODE_BUCKETS, *, zones_of_all: bool = False) -> None:
        self._max_buckets, self._zones_of_all = max_buckets, zones_of_all
        self._clear()

    def _clear(self) -> None:
        self._single: dict[str, Any] = {}
        self._listed: dict[str, deque[Any]] = {kind: deque(maxlen=MAX_KEPT) for kind in LISTED}
        self._keyed: dict[str, dict[tuple[str, ...], Any]] = {kind: {} for kind in KEYED}
        # Which of them have ended, in the order in which they did; of zones by instrument.
        self._ended: defaultdict[tuple[str, str], OrderedDict[tuple[str, ...], None]] = defaultdict(
            OrderedDict
        )
        self._buckets: dict[str, BucketRing] = {}
        self._bars: dict[tuple[str, str], deque[Bar]] = {}

    def apply(self, kind: str, payload: Any) -> None:
        """Take a message's payload, the struct of its kind (`ui.protocol.KINDS`)."""
        if kind == "bkt":
            self._append_bucket(payload)
        elif kind in SINGLE:
            self._single[kind] = payload
        elif (keyed := self._keyed.get(kind)) is not None:
            self._put(kind, keyed, payload)
        elif kind == "bar":
            key = (payload.ins, payload.tf)
            self._bars.setdefault(key, deque(maxlen=MAX_BARS)).append(payload)
        else:
            self._listed[kind].append(payload)

    def snapshot(self, ins: str | None = None, *, with_buckets: bool = True) -> Snapshot:
        """Return all that is known.

        Parameters
        ----------
        ins
            Zones, buckets and bars of this instrument alone; None for all. Orders, positions, signals, fills
            and logs are those of all instruments in any case.
        with_buckets
            Without them it is small; they are fetched by HTTP.
        """
        fields: dict[str, Any] = {kind: list(values) for kind, values in self._listed.items()}
        keyed = self._keyed
        fields |= {kind: list(keyed[kind].values()) for kind in ("mdl", "ord", "pos", "cancel")}
        fields |= {kind: _of(keyed[kind].values(), ins) for kind in ("dev", "zone")}
        if with_buckets:
            fields["bkt"] = [one for ring in self._rings(ins) for one in ring]
            fields["bar"] = [one for key, ring in self._bars.items() if ins in (None, key[0]) for one in ring]
        return Snapshot(**self._single, **fields)

    def history(self) -> list[tuple[str, Any]]:
        """Return kind and ring of each instrument's buckets and of each timeframe's bars."""
        buckets, bars = self._buckets.values(), self._bars.values()
        return [*(("bkt", one) for one in buckets), *(("bar", one) for one in bars)]

    def restore(self, snapshot: Snapshot, *, is_same_run: bool = False) -> None:
        """Become what a node said in a snapshot.

        Parameters
        ----------
        snapshot
            Of the node.
        is_same_run
            The node was not started anew in between: buckets that the snapshot's continue are kept. One that
            was counts anew.
        """
        older = self._buckets if is_same_run else {}
        self._clear()
        for kind in SINGLE:
            if (value := getattr(snapshot, kind)) is not None:
                self._single[kind] = value
        for kind in (*LISTED, *self._keyed, "bkt", "bar"):
            for payload in getattr(snapshot, kind):
                self.apply(kind, payload)
        for ins, ring in self._buckets.items():
            kept = _joining(older.get(ins, ()), ring[0])
            if kept:
                self._buckets[ins] = self._ring((*kept, *ring))

    @property
    def node(self) -> Any:
        """The last ``st``, None before there was one."""
        return self._single.get("st")

    def get(self, kind: str) -> Any:
        """Return the last message of ``acct``, ``risk``, ``lat``, ``hb`` or ``st``, None before the first."""
        return self._single.get(kind)

    def instruments(self) -> list[str]:
        """Return the ids of the node's instruments."""
        if self.node is None:
            return sorted(self._buckets)
        return [one.id for one in self.node.instruments]

    def span(self, ins: str) -> tuple[int, int] | None:
        """Return the numbers of the first and last bucket known of an instrument, None without any."""
        ring = self._buckets.get(ins)
        return (ring[0].i, ring[-1].i) if ring else None

    def buckets(self, ins: str, first: int, last: int, limit: int) -> list[Bucket]:
        """Return the newest `limit` buckets with numbers from `first` to `last`, both included, in order."""
        ring = self._buckets.get(ins)
        if not ring:
            return []
        end = bisect_right(ring, last, key=_number)
        begin = max(bisect_left(ring, first, key=_number), end - limit)
        return [ring[place] for place in range(begin, end)]

    def bars(self, ins: str, tf: str, first_ms: int, last_ms: int, limit: int) -> list[Bar]:
        """Return the newest `limit` bars that open from `first_ms` to `last_ms`, UNIX milliseconds."""
        ring = self._bars.get((ins, tf), ())
        newest = (one for one in reversed(ring) if first_ms <= one.t <= last_ms)
        return list(islice(newest, limit))[::-1]

    def timeframes(self, ins: str) -> list[str]:
        """Return which timeframes of an instrument have bars."""
        return sorted(tf for known, tf in self._bars if known == ins)

    # -- inside ---------------------------------------------------------------------------------------------

    def _append_bucket(self, bucket: Bucket) -> None:
        ring = self._buckets.get(bucket.ins)
        if ring is None:
            ring = self._buckets[bucket.ins] = self._ring(())
        self._place(ring, bucket)
        developing = self._keyed["dev"].get(("dev", bucket.ins))
        if developing is not None and developing.i <= bucket.i:
            del self._keyed["dev"][("dev", bucket.ins)]

    def _put(self, kind: str, keyed: dict[tuple[str, ...], Any], payload: Any) -> None:
        key = key_of(kind, payload)
        assert key is not None
        ended = self._ended[kind, payload.ins if kind == "zone" and not self._zones_of_all else ""]
        keyed.pop(key, None)  # what changed last stands last
        ended.pop(key, None)
        if kind == "pos" and payload.side == "flat":
            return
        keyed[key] = payload
        if _has_ended(kind, payload):
            ended[key] = None
            if len(ended) > (MAX_ZONES if kind == "zone" else MAX_KEPT):
                del keyed[ended.popitem(last=False)[0]]
        elif len(keyed) > MAX_LIVING and len(keyed) - self._count_ended(kind) > MAX_LIVING:
            del keyed[next(old for old, one in keyed.items() if not _has_ended(kind, one))]

    def _count_ended(self, kind: str) -> int:
        return sum(len(ended) for (known, _), ended in self._ended.items() if known == kind)

    def _place(self, ring: BucketRing, bucket: Bucket) -> None:
        """Put a bucket into its place: a warm-up counts anew from there."""
        while ring and ring[-1].i >= bucket.i:
            ring.pop()
        ring.append(bucket)

    def _ring(self, buckets: Iterable[Bucket]) -> BucketRing:
        """Return a ring that holds some buckets; who keeps many may keep them otherwise."""
        return deque(buckets, maxlen=self._max_buckets)

    def _rings(self, ins: str | None) -> Iterator[BucketRing]:
        return (ring for known, ring in self._buckets.items() if ins in (None, known))


def _number(bucket: Bucket) -> int:
    return bucket.i


def _of(values: Iterable[Any], ins: str | None) -> list[Any]:
    return [one for one in values if ins in (None, one.ins)]


def _joining(older: Iterable[Bucket], first: Bucket) -> list[Bucket]:
    kept = [one for one in older if one.i < first.i and one.t1 <= first.t0]
    return kept if kept and kept[-1].i == first.i - 1 else []


def _has_ended(kind: str, payload: Any) -> bool:
    """Tell whether nothing is to come of it; decisions and cancels are over when they are told."""
    if kind == "zone":
        return payload.state in ENDED_ZONES
    if kind == "ord":
        return payload.status in ENDED_ORDERS
    return kind in ("mdl", "cancel")
