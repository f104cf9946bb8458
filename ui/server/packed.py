"""Closed buckets in a fifth of the memory: a server keeps 20,000 of each instrument."""

import struct
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from math import isnan, nan
from typing import Any, Final, SupportsIndex

from ui.protocol import Bucket
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

    Examples
    --------
    >>> one = Bucket(ins="X", i=7, t0=1, t1=2, o=1, h=2, l=1, c=2, v=5, bv=3, sv=2, n=4, imb=0.2, vol=0.5)
    >>> PackedBuckets([one], 10)[0] == one
    True
    """

    def __init__(self, buckets: Iterable[Bucket], most: int) -> None:
        self.ins = ""
        self._packed: deque[bytes] = deque(maxlen=most)
        for one in buckets:
            self.append(one)

    def __len__(self) -> int:
        return len(self._packed)

    def __getitem__(self, place: SupportsIndex, /) -> Bucket:
        return self._unpacked(self._packed[place])

    def __iter__(self) -> Iterator[Bucket]:
        return map(self._unpacked, self._packed)

    def append(self, bucket: Bucket, /) -> None:
        """Put a bucket behind all others."""
        self.ins, b = bucket.ins, bucket
        vpin, vol, p = (nan if one is None else one for one in (b.vpin, b.vol, b.p))
        self._packed.append(_PLACES.pack(
            b.i, b.t0, b.t1, b.o, b.h, b.l, b.c, b.v, b.bv, b.sv, b.n, b.imb, vpin, vol, p, b.dir, b.tainted
        ))  # fmt: skip

    def newest(self, most: int) -> "PackedBuckets":
        """Return a ring of its own of the newest buckets."""
        found = PackedBuckets((), most)
        found.ins = self.ins
        found._packed.extend(islice(self._packed, max(0, len(self) - most), None))
        return found

    def pop(self) -> Bucket:
        """Take the last one out."""
        return self._unpacked(self._packed.pop())

    def page(self, first: int, last: int, limit: int) -> bytes:
        """Return the newest `limit` with numbers from `first` to `last`, both included, for `columns_of`."""
        end = bisect_right(self._packed, last, key=_number)
        begin = max(bisect_left(self._packed, first, key=_number), end - limit)
        return b"".join(islice(self._packed, begin, end))

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

    def follow(self, other: "PackedState") -> None:
        """Become what another one is, without unpacking its buckets: of each instrument the newest."""
        known, rings = other.snapshot(with_buckets=False), []
        for kind, ring in other.history():
            if kind == "bar":
                known.bar = [*known.bar, *ring]
            elif ring:
                rings.append(ring.newest(self._max_buckets))
        self.restore(known)
        self._buckets |= {ring.ins: ring for ring in rings}

    def _ring(self, buckets: Iterable[Bucket]) -> BucketRing:
        return PackedBuckets(buckets, self._max_buckets)
