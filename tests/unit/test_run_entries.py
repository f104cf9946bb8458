"""The file of what entries wanted: whole or not there, the same values back, memory that does not grow."""

from pathlib import Path

import numpy as np
import pytest

from ml.decisions import Stretch
from runtime.errors import DataError
from runtime.nodes import published_types
from runtime.run_entries import ENTRIES, FORMAT, EntryFile, FileHash, Origin, keeps_all, read_entries
from strategies.dynamic_cancel import KEEP

ORIGIN = Origin(
    format=FORMAT,
    decision_sha256="a" * 64,
    config_sha256="b" * 64,
    kernel_sha256="c" * 64,
    strategy_version="1",
    ticks=9,
    first_ns=1,
    last_ns=2,
    fills={"latency_ms": 50.0, "fees": {"X.Y": {"maker": "0.001"}}},
    files={"X.Y": (FileHash(name="x.parquet", sha256="d" * 64),), "Z.Y": ()},
)


def stretch(seq: int) -> Stretch:
    """Make one with values that a rounded number would not be."""
    bias = float("nan") if seq % 2 else -1.0
    return Stretch(seq, -1, 1.1, 0.1 + seq, 1 / 3, 0.7, float(np.nextafter(1.0, 2.0)), bias)


@pytest.mark.parametrize("rows_in_memory", [1, 3, 100])
def test_what_is_read_is_what_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows_in_memory: int
) -> None:
    """Bit for bit, in order, apart by instrument, however many rows are kept back."""
    monkeypatch.setattr("runtime.run_entries.ROWS_IN_MEMORY", rows_in_memory)
    with EntryFile(tmp_path) as file:
        takers = {name: file.taker(name) for name in ("X.Y", "Z.Y")}
        for seq in range(7):
            takers["Z.Y" if seq == 4 else "X.Y"](f"order-{seq // 3}", stretch(seq))
        assert not (tmp_path / ENTRIES).exists()
        file.finish(ORIGIN)
    origin, wanted = read_entries(tmp_path)
    assert origin == ORIGIN
    assert [(name, repr(one)) for name, one in wanted["Z.Y"]] == [("order-1", repr(stretch(4)))]
    assert [(name, repr(one)) for name, one in wanted["X.Y"]] == [
        (f"order-{seq // 3}", repr(stretch(seq))) for seq in (0, 1, 2, 3, 5, 6)
    ]
    assert [path.name for path in tmp_path.iterdir()] == [ENTRIES]


def test_a_run_without_entries_has_a_file_too(tmp_path: Path) -> None:
    """No order is an answer."""
    with EntryFile(tmp_path) as file:
        file.finish(ORIGIN)
    assert read_entries(tmp_path)[1] == {"X.Y": [], "Z.Y": []}


def test_a_run_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """Neither the file nor its beginnings."""

    def run() -> None:
        with EntryFile(tmp_path) as file:
            file.taker("X.Y")("order", stretch(1))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        run()
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    """Cut at any of 40 places, or written by another program."""
    with EntryFile(tmp_path) as file:
        file.taker("X.Y")("order", stretch(1))
        file.finish(ORIGIN)
    content = (tmp_path / ENTRIES).read_bytes()
    for length in np.linspace(0, len(content) - 1, 40).astype(int):
        (tmp_path / ENTRIES).write_bytes(content[:length])
        with pytest.raises(DataError, match="damaged"):
            read_entries(tmp_path)
    (tmp_path / ENTRIES).unlink()
    with pytest.raises(FileNotFoundError):
        read_entries(tmp_path)


def test_only_the_policy_that_keeps_is_ungated() -> None:
    """Another policy or a model chooses among the orders."""
    assert keeps_all({"cancel_policy": KEEP, "model": ""})
    assert not keeps_all({"cancel_policy": KEEP, "model": "var/models/x"})
    assert not keeps_all({"cancel_policy": "mine:Policy", "model": ""})
    assert not keeps_all({"instrument_id": "X.Y"})


def test_the_bus_of_a_backtest_publishes_nothing() -> None:
    """What the hot path of a run sends is among the types that are left out."""
    names = {one.__name__ for one in published_types()}
    assert names >= {
        "TradeTick", "Bar", "QuoteTick", "OrderInitialized", "OrderAccepted", "OrderCanceled", "OrderFilled",
        "PositionOpened", "PositionChanged", "PositionClosed", "AccountState", "CurrencyPair",
        "CryptoPerpetual", "SubmitOrder", "CancelOrder", "ComponentStateChanged", "FillReport", "str",
    }  # fmt: skip
