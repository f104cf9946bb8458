"""Closed buckets in a fifth of the memory: a server keeps 20,000 of each instrument."""

import struct
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from math import isnan, nan
from typing import Any, Final, SupportsIndex

from ui.protocol import Bucket, Snapshot
from ui.terminal_state import SERVER_BUCKETS, BucketRing, TerminalState

# As `Bucket` has its fields: i, t0, t1; o to sv; n; imb, vpin, vol, p; dir, tainted. NaN stands for None.
_PLACES: Final = struct.Struct("<3q7dq4db?")
_NUMBER: Final = struct.Struct("<q")
COLUMNS: Final = tuple(name for name in Bucket.__struct_fields__ if name != "ins")


class PackedBuckets:
    """A ring of an instrument's buckets, each in 153 bytes, where structs have 730.

    Parameters
    ----------
    buckets
        That it begins with, all of one instrument.
    most
        Buckets kept, the newest.

    Attributes
    ----------
    ins
        The instrument, empty before the first bucket.
    packed
        The buckets as they are kept.

    Examples
    --------
    >>> one = Bucket(ins="X", i=7, t0=1, t1=2, o=1, h=2, l=1, c=2, v=5, bv=3, sv=2, n=4, imb=0.2, vol=0.5)
    >>> PackedBuckets([one], 10)[0] == one
    True
    """

    def __init__(self, buckets: Iterable[Bucket], most: int) -> None:
        self.ins = ""
        self.packed: deque[bytes] = deque(maxlen=most)
        for one in buckets:
            self.append(one)

    def __len__(self) -> int:
        return len(self.packed)

    def __getitem__(self, place: SupportsIndex, /) -> Bucket:
        return self._unpacked(self.packed[place])

    def __iter__(self) -> Iterator[Bucket]:
        return map(self._unpacked, self.packed)

    def append(self, bucket: Bucket, /) -> None:
        """Put a bucket behind all others."""
        self.ins, b = bucket.ins, bucket
        self.packed.append(_PLACES.pack(
            b.i, b.t0, b.t1, b.o, b.h, b.l, b.c, b.v, b.bv, b.sv, b.n, b.imb,
            nan if b.vpin is None else b.vpin, nan if b.vol is None else b.vol, nan if b.p is None else b.p,
            b.dir, b.tainted,
        ))  # fmt: skip

    def put(self, bucket: Bucket) -> None:
        """Put a bucket into its place: those that have its number and later ones are gone."""
        while self.packed and _number(self.packed[-1]) >= bucket.i:
            self.packed.pop()
        self.append(bucket)

    def continue_from(self, older: "PackedBuckets") -> None:
        """Put those in front that this ring continues, where it does: by number and by time."""
        if not (self and older):
            return
        first = self[0]
        end = bisect_left(older.packed, first.i, key=_number)
        if not end or older[end - 1].i != first.i - 1 or older[end - 1].t1 > first.t0:
            return
        kept = deque(islice(older.packed, end), maxlen=self.packed.maxlen)
        kept.extend(self.packed)
        self.packed = kept

    def newest(self, most: int) -> "PackedBuckets":
        """Return a ring of its own of the newest buckets."""
        found = PackedBuckets((), most)
        found.ins = self.ins
        found.packed.extend(islice(self.packed, max(0, len(self) - most), None))
        return found

    def pop(self) -> Bucket:
        """Take the last one out."""
        return self._unpacked(self.packed.pop())

    def page(self, first: int, last: int, limit: int) -> bytes:
        """Return the newest `limit` with numbers from `first` to `last`, both included, for `columns_of`."""
        end = bisect_right(self.packed, last, key=_number)
        begin = max(bisect_left(self.packed, first, key=_number), end - limit)
        return b"".join(islice(self.packed, begin, end))

    def _unpacked(self, packed: bytes) -> Bucket:
        i, t0, t1, o, h, low, c, v, bv, sv, n, imb, vpin, vol, p, way, tainted = _PLACES.unpack(packed)
        return Bucket(
            ins=self.ins, i=i, t0=t0, t1=t1, o=o, h=h, l=low, c=c, v=v, bv=bv, sv=sv, n=n, imb=imb,
            vpin=None if isnan(vpin) else vpin, vol=None if isnan(vol) else vol, p=None if isnan(p) else p,
            dir=way, tainted=tainted,
        )  # fmt: skip


def columns_of(page: bytes) -> dict[str, tuple[Any, ...]]:
    """Return the columns of a page by the names of `Bucket`; NaN is what JSON has null for.

    Examples
    --------
    >>> one = Bucket(ins="X", i=7, t0=1, t1=2, o=1, h=2, l=1, c=2, v=5, bv=3, sv=2, n=4, imb=0.2)
    >>> columns_of(PackedBuckets([one], 10).page(0, 9, 5))["i"]
    (7,)
    """
    columns = zip(*_PLACES.iter_unpack(page), strict=True) if page else ((),) * len(COLUMNS)
    return dict(zip(COLUMNS, columns, strict=True))


def _number(packed: bytes) -> int:
    number: int = _NUMBER.unpack_from(packed)[0]
    return number


class PackedState(TerminalState):
    """A state that keeps many buckets of many instruments.

    Parameters
    ----------
    max_buckets
        Kept per instrument.
    """

    def __init__(self, max_buckets: int = SERVER_BUCKETS) -> None:
        super().__init__(max_buckets)

    def page(self, ins: str, first: int, last: int, limit: int) -> bytes:
        """Return a page of an instrument's buckets, see `PackedBuckets.page`; it is made in no time."""
        ring = self._buckets.get(ins)
        return ring.page(first, last, limit) if isinstance(ring, PackedBuckets) else b""

    def restore(
        self, snapshot: Snapshot, *, is_same_run: bool = False, past: "PackedState | None" = None
    ) -> None:
        """Become what a node said, see `TerminalState.restore`; no bucket that is packed is unpacked.

        Parameters
        ----------
        snapshot, is_same_run
            See there.
        past
            Has closed buckets and bars that the snapshot has not.
        """
        older = self._buckets if is_same_run else {}
        rings = {}
        for kind, ring in () if past is None else past.history():
            if kind == "bar":
                snapshot.bar = [*snapshot.bar, *ring]
            elif ring:
                rings[ring.ins] = ring.newest(self._max_buckets)
        super().restore(snapshot)
        self._buckets |= rings
        for ins, found in self._buckets.items():
            if isinstance(found, PackedBuckets) and isinstance(before := older.get(ins), PackedBuckets):
                found.continue_from(before)

    def follow(self, other: "PackedState") -> None:
        """Become what another one is, with the newest buckets of each instrument."""
        self.restore(other.snapshot(with_buckets=False), past=other)

    def _place(self, ring: BucketRing, bucket: Bucket) -> None:
        assert isinstance(ring, PackedBuckets)
        ring.put(bucket)

    def _ring(self, buckets: Iterable[Bucket]) -> BucketRing:
        return PackedBuckets(buckets, self._max_buckets)
