"""What a command prints arrives whole."""

import io
import json
import sys

import pytest

from runtime.cli import print_json

PIPE_BYTES = 4096


class FullPipe(io.RawIOBase):
    """A pipe whose reader is slow: one write takes only so much, as after a signal."""

    def __init__(self) -> None:
        super().__init__()
        self.taken = b""

    def writable(self) -> bool:
        return True

    def write(self, data: "bytes | memoryview") -> int:  # type: ignore[override]
        part = bytes(data[:PIPE_BYTES])
        self.taken += part
        return len(part)


def test_json_is_whole_when_output_is_not_buffered(monkeypatch: pytest.MonkeyPatch) -> None:
    """With PYTHONUNBUFFERED a short write loses the rest of it."""
    pipe = FullPipe()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(pipe, write_through=True))  # type: ignore[type-var]
    value = {"numbers": list(range(30_000))}
    print_json(value)
    assert json.loads(pipe.taken) == value
