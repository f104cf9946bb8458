"""How records stand in a spool file: length, checksum, number, stream, body.

All integers are little-endian. The checksum (CRC-32) covers number, stream and body, so a frame that was cut
short, or a page of zeros that a crash left behind, is recognised.
"""

import struct
import time
import zlib
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import msgspec

from runtime.journal.records import CODES, STREAMS, RejectedRecord

HEAD: Final = struct.Struct("<IIQB")  # body length, CRC-32, number, stream
_COVERED: Final = struct.Struct("<QB")
_OPENING: Final = struct.Struct("<II")
MAX_BODY: Final = 1 << 20
MAX_TEXT: Final = 1 << 14  # of a record that cannot be encoded, bytes
_ENCODE: Final = msgspec.msgpack.Encoder(enc_hook=str).encode
_DECODERS: Final = {code: msgspec.msgpack.Decoder(struct) for code, struct in STREAMS.items()}


class Frame(NamedTuple):
    """One record as read back: its number within the spool, stream code, and encoded body."""

    seq: int
    code: int
    body: bytes

    def record(self) -> Any:
        """Return the struct.

        Raises
        ------
        msgspec.ValidationError
            When the body is no record of that stream.
        """
        return _DECODERS[self.code].decode(self.body)


class Damage(NamedTuple):
    """Bytes that are no frame: where they begin in the buffer, and how many they are."""

    start: int
    length: int


def frame_of(record: Any, seq: int) -> bytes:
    """Return a record as bytes for the spool.

    Raises
    ------
    KeyError
        When it is no struct of :data:`runtime.journal.records.STREAMS`.
    ValueError, UnicodeEncodeError
        When it cannot be encoded.
    """
    body = _ENCODE(record)
    covered = _COVERED.pack(seq, CODES[type(record)])
    length = len(body)
    if length > MAX_BODY:
        raise ValueError(f"{type(record).__name__} of {length:,} bytes: records have at most {MAX_BODY:,}")
    return _OPENING.pack(length, zlib.crc32(body, zlib.crc32(covered))) + covered + body


def stand_in(record: Any, seq: int, error: Exception) -> bytes:
    """Return the frame that stands for a record which :func:`frame_of` refuses: its text, mended and cut."""
    text = repr(record).encode("utf-8", "replace")[:MAX_TEXT]
    words = f"{type(record).__name__}: {error}".encode("ascii", "backslashreplace").decode()[:500]
    code = CODES.get(type(record), 0)
    return frame_of(RejectedRecord(ts_ns=time.time_ns(), stream=code, body_hex=text.hex(), error=words), seq)


def frames_in(buffer: bytes) -> Iterator[tuple[int, Frame | Damage]]:
    """Walk the frames of a buffer.

    Yields
    ------
    tuple
        Offset behind it, and the frame; or behind damaged bytes that a whole frame follows, and their extent.
        The walk ends before the first bytes that no whole frame follows: the caller knows whether more is to
        come or they are a torn tail.
    """
    offset = 0
    while (found := _frame_at(buffer, offset)) is not None or offset < len(buffer):
        if found is None:
            resumed = _next_frame(buffer, offset)
            if resumed is None:
                return
            yield resumed, Damage(offset, resumed - offset)
            offset = resumed
            continue
        offset += HEAD.size + len(found.body)
        yield offset, found


def _frame_at(buffer: bytes, offset: int) -> Frame | None:
    start = offset + HEAD.size
    if start > len(buffer):
        return None
    length, checksum, seq, code = HEAD.unpack_from(buffer, offset)
    end = start + length
    if length > MAX_BODY or code not in STREAMS or end > len(buffer):
        return None
    if zlib.crc32(buffer[offset + _OPENING.size : end]) != checksum:
        return None
    return Frame(seq, code, bytes(buffer[start:end]))


def _next_frame(buffer: bytes, offset: int) -> int | None:
    """Return where the next whole frame behind a damaged place begins."""
    return next(
        (start for start in range(offset + 1, len(buffer) - HEAD.size) if _frame_at(buffer, start)), None
    )
