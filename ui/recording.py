"""Telemetry on disk: the messages of a run in order, packed in blocks that can be found by time.

A file is a head, blocks, and an index. Each block begins with a snapshot of what was known before it, without
closed buckets and bars, so that a replay can begin anywhere; those are gathered from the blocks before. A
file whose writer was killed has no index and perhaps half a block at its end: the whole blocks are read.

All integers are little-endian. Head: magic, length, msgpack. Block: `_BLOCK`, then zlib over messages
(`ui.protocol.encode`), each behind its length. Index: msgpack, its length, magic.
"""

import struct
import zlib
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

import msgspec

from ui.protocol import READABLE, SNAP, VERSION, Message, decode, encode
from ui.terminal_state import SERVER_BUCKETS, TerminalState

RECORDING_FILE: Final = "telemetry.rec"
MAGIC: Final = b"SMCTEL1\n"
INDEX_MAGIC: Final = b"SMCTELX1"
BLOCK_BYTES: Final = 1 << 20
BLOCK_NS: Final = 86_400 * 1_000_000_000  # of the hour: a third more on the disk, and no faster to find
MAX_BLOCK: Final = 256 << 20
LEVEL: Final = 1
HISTORY: Final = frozenset({"bkt", "bar"})
_LENGTH: Final = struct.Struct("<I")
_BLOCK: Final = struct.Struct(
    "<4sIIIqqI"
)  # mark, packed and raw bytes, CRC-32, first and last time, messages
_MARK: Final = b"BLK1"
_HEAD: Final = msgspec.msgpack.Decoder(tuple[str, int, int, str, msgspec.Raw])


class RecordingError(Exception):
    """A file that is no recording, or is damaged: says which and where."""


class Block(NamedTuple):
    """Where a block is, the times of its first and last message (UNIX nanoseconds), and how many it has."""

    offset: int
    first_ns: int
    last_ns: int
    messages: int


class RecordingWriter:
    """Writes the messages of a run.

    Parameters
    ----------
    path
        Of the file; replaced if it exists.
    state
        What the messages are folded into: of nothing, or of what was known before. The caller applies each
        message before it writes it.
    meta
        Facts of the run by name.
    block_ns
        Longest time that a block holds; None for a day.

    Raises
    ------
    OSError
        When the disk refuses.
    """

    def __init__(
        self,
        path: Path,
        state: TerminalState,
        meta: dict[str, Any] | None = None,
        *,
        block_ns: int | None = None,
    ) -> None:
        self._state, self._block_ns = state, BLOCK_NS if block_ns is None else block_ns
        self._known = state.snapshot()
        self._file: BinaryIO = path.open("wb")
        head = msgspec.msgpack.encode({"protocol": VERSION, **(meta or {})})
        self._file.write(MAGIC + _LENGTH.pack(len(head)) + head)
        self._blocks: list[Block] = []
        self._raw = bytearray()
        self._end_bytes = self._count = 0
        self._first_ns = self._last_ns = 0

    def write(self, message: Message) -> None:
        """Append a message that `state` holds already."""
        if not self._raw:
            self._first_ns = message.ts_ns
            self._put(message._replace(seq=message.seq - 1, kind=SNAP, payload=self._known))
            # A snapshot of many symbols is larger than a block: without this each message would be one.
            self._end_bytes = len(self._raw) + max(BLOCK_BYTES, len(self._raw))
        self._put(message)
        self._last_ns = message.ts_ns
        if len(self._raw) >= self._end_bytes or message.ts_ns - self._first_ns >= self._block_ns:
            self._end()

    def go_on(self) -> None:
        """Begin another block, since `state` has changed by other means than messages."""
        if self._raw:
            self._end()
        self._known = self._state.snapshot(with_buckets=False)

    def close(self) -> None:
        """Write what is left and the index."""
        if self._file.closed:
            return
        if self._raw:
            self._end()
        index = msgspec.msgpack.encode(self._blocks)
        self._file.write(index + _LENGTH.pack(len(index)) + INDEX_MAGIC)
        self._file.close()

    def _put(self, message: Message) -> None:
        frame = encode(message)
        self._raw += _LENGTH.pack(len(frame)) + frame
        self._count += 1

    def _end(self) -> None:
        packed = zlib.compress(bytes(self._raw), LEVEL)
        block = Block(self._file.tell(), self._first_ns, self._last_ns, self._count)
        self._file.write(
            _BLOCK.pack(
                _MARK,
                len(packed),
                len(self._raw),
                zlib.crc32(packed),
                block.first_ns,
                block.last_ns,
                block.messages,
            )
        )
        self._file.write(packed)
        self._blocks.append(block)
        self._raw.clear()
        self._count = 0
        self._known = self._state.snapshot(with_buckets=False)


class Recording:
    """Reads the messages of a run.

    Parameters
    ----------
    path
        Of the file.

    Attributes
    ----------
    path
        Of the file.
    meta
        What the writer said of the run.
    blocks
        In order.

    Raises
    ------
    RecordingError
        When it is no recording, of another version, or without any message.
    OSError
        When it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._kept: dict[int, list[tuple[str, Any]]] = {}  # who scrubs comes back
        with path.open("rb") as file:
            self.meta = self._read_head(file)
            self.blocks = self._index(file) or list(self._scan(file))
        if not self.blocks:
            raise RecordingError(f"{path}: holds no messages")

    @property
    def first_ns(self) -> int:
        """Time of the first message, UNIX nanoseconds."""
        return self.blocks[0].first_ns

    @property
    def last_ns(self) -> int:
        """Time of the last message, UNIX nanoseconds."""
        return self.blocks[-1].last_ns

    def frames(self, number: int) -> Iterator[tuple[int, int, str, bytes]]:
        """Walk a block: sequence number, time, kind, and the whole message as msgpack.

        Raises
        ------
        RecordingError
            When the block is damaged.
        """
        raw = self._raw(number)
        view, end, offset = memoryview(raw), len(raw), 0
        while offset < end:
            (length,) = _LENGTH.unpack_from(raw, offset)
            offset += _LENGTH.size
            frame = bytes(view[offset : offset + length])
            _, seq, ts_ns, kind, _ = _HEAD.decode(frame)
            yield seq, ts_ns, kind, frame
            offset += length

    def state_at(self, ts_ns: int) -> tuple[TerminalState, int, int]:
        """Return what was known at a time.

        Returns
        -------
        tuple
            The state, the block to go on with, and the sequence number of the last message that it holds.
        """
        number = self.block_at(ts_ns)
        state, seq = TerminalState(SERVER_BUCKETS), -1
        history = list(self._history(number))
        for _, at_ns, kind, frame in self.frames(number):
            if kind != SNAP and at_ns > ts_ns:
                break
            message = decode(frame)
            if kind == SNAP:
                state.restore(message.payload)
                for old, payload in history:
                    state.apply(old, payload)
            else:
                state.apply(kind, message.payload)
            seq = message.seq
        return state, number, seq

    def block_at(self, ts_ns: int) -> int:
        """Return the number of the block that a time falls into."""
        return max(0, bisect_right([block.first_ns for block in self.blocks], ts_ns) - 1)

    # -- inside ---------------------------------------------------------------------------------------------

    def _history(self, number: int) -> Iterator[tuple[str, Any]]:
        """Walk the buckets and bars before a block."""
        for before in range(number):
            if before not in self._kept:
                self._kept[before] = list(self._history_of(before))
            yield from self._kept[before]

    def _history_of(self, number: int) -> Iterator[tuple[str, Any]]:
        for _, _, kind, frame in self.frames(number):
            if kind in HISTORY:
                yield kind, decode(frame).payload
            elif kind == SNAP and not number:
                known = decode(frame).payload
                yield from (("bkt", one) for one in known.bkt)
                yield from (("bar", one) for one in known.bar)

    def _raw(self, number: int) -> bytes:
        block = self.blocks[number]
        with self.path.open("rb") as file:
            file.seek(block.offset)
            _, packed_bytes, raw_bytes, crc, *_ = _BLOCK.unpack(file.read(_BLOCK.size))
            packed = file.read(packed_bytes)
        if zlib.crc32(packed) != crc:
            raise RecordingError(f"{self.path}: block {number} at byte {block.offset} is damaged")
        unpacker = zlib.decompressobj()
        return unpacker.decompress(packed, raw_bytes)

    def _read_head(self, file: BinaryIO) -> dict[str, Any]:
        if file.read(len(MAGIC)) != MAGIC:
            raise RecordingError(f"{self.path}: is no recording of telemetry")
        try:
            (length,) = _LENGTH.unpack(file.read(_LENGTH.size))
            meta = msgspec.msgpack.decode(file.read(min(length, 1 << 20)), type=dict[str, Any])
        except (struct.error, msgspec.DecodeError) as error:
            raise RecordingError(f"{self.path}: its head is damaged: {error}") from error
        if meta.get("protocol") not in READABLE:
            known = " or ".join(map(str, sorted(READABLE)))
            raise RecordingError(f"{self.path}: protocol {meta.get('protocol')}, expected {known}")
        return meta

    def _index(self, file: BinaryIO) -> list[Block] | None:
        tail = _LENGTH.size + len(INDEX_MAGIC)
        begun, end = file.tell(), file.seek(0, 2)
        try:
            if end - begun < tail:
                return None
            file.seek(end - tail)
            (length,) = _LENGTH.unpack(file.read(_LENGTH.size))
            if file.read(len(INDEX_MAGIC)) != INDEX_MAGIC or length > end - begun - tail:
                return None
            file.seek(end - tail - length)
            return msgspec.msgpack.decode(file.read(length), type=list[Block])
        except msgspec.DecodeError:
            return None
        finally:
            file.seek(begun)

    def _scan(self, file: BinaryIO) -> Iterator[Block]:
        """Find the whole blocks of a file without an index."""
        size = self.path.stat().st_size
        while len(head := file.read(_BLOCK.size)) == _BLOCK.size:
            mark, packed_bytes, raw_bytes, _, first_ns, last_ns, messages = _BLOCK.unpack(head)
            offset = file.tell() - _BLOCK.size
            if mark != _MARK or raw_bytes > MAX_BLOCK or file.tell() + packed_bytes > size:
                return
            yield Block(offset, first_ns, last_ns, messages)
            file.seek(packed_bytes, 1)
