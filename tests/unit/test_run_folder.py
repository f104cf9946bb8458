"""The run folder: what is written, when, and what the hash covers."""

import csv
import hashlib
import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from runtime.errors import OperatorError
from runtime.run_folder import RunFolder, new_run_id, read_trades
from strategies.trade_manager.record import ClosedTrade, Decision
from tests.unit.test_metrics import closed


def folder_at(path: Path) -> RunFolder:
    """Open a run folder for our structs."""
    return RunFolder(path, ClosedTrade.__struct_fields__, Decision.__struct_fields__)


def decided(kind: str = "zone", **changes: object) -> Decision:
    """Make a decision."""
    return Decision(ts_ns=5, strategy_id="s", instrument_id="X.Y", kind=kind, **changes)  # type: ignore[arg-type]


def test_hash_is_that_of_the_event_log(tmp_path: Path) -> None:
    """decision_sha256 can be checked with sha256sum."""
    with folder_at(tmp_path / "run") as folder:
        folder.decision(decided())
        folder.record("order", {"event": "OrderFilled", "ts_ns": 7})
        folder.trade(closed())
    content = (tmp_path / "run" / "events.jsonl").read_bytes()
    assert hashlib.sha256(content).hexdigest() == folder.decision_sha256
    assert [json.loads(line)["record"] for line in content.splitlines()] == ["decision", "order", "trade"]


def test_order_of_a_dictionary_does_not_matter(tmp_path: Path) -> None:
    """Equal details give equal hashes, however they were put together; equity marks do not count."""
    hashes = []
    for name, detail in (("a", {"x": 1, "y": 2.5}), ("b", {"y": 2.5, "x": 1})):
        with folder_at(tmp_path / name) as folder:
            folder.decision(decided(detail=detail))
            folder.equity(len(hashes), Decimal(len(hashes)))
        hashes.append(folder.decision_sha256)
    assert hashes[0] == hashes[1]


@pytest.mark.parametrize(
    "change", [{"price": "1.5"}, {"reason": "x"}, {"bucket_seq": 3}, {"detail": {"a": 1}}]
)
def test_every_field_of_a_decision_counts(tmp_path: Path, change: dict[str, object]) -> None:
    """Another price, reason, bucket or detail is another hash."""
    with folder_at(tmp_path / "a") as first, folder_at(tmp_path / "b") as second:
        first.decision(decided())
        second.decision(decided(**change))
    assert first.decision_sha256 != second.decision_sha256


def test_tables(tmp_path: Path) -> None:
    """Trades, setups and entries become CSV rows; other decisions are in the event log only."""
    with folder_at(tmp_path / "run") as folder:
        folder.trade(closed("2.50"))
        folder.decision(decided("zone", detail={"leg": 1}))
        folder.decision(decided("zone_skipped", reason="fees"))
        folder.decision(decided("entry_submitted", price="1.5", stop="1.4", target="1.8", qty="7"))
        folder.decision(decided("entry_repriced", price="1.6"))
        folder.decision(decided("entry_filled"))
        folder.equity(60, Decimal("100.50"))
    trades, signals, equity = (
        list(csv.DictReader((tmp_path / "run" / name).open()))
        for name in ("trades.csv", "signals.csv", "equity.csv")
    )
    assert [row["pnl"] for row in trades] == ["2.50"]
    assert [(row["kind"], row["reason"], row["detail"], row["price"], row["qty"]) for row in signals] == [
        ("zone", "", '{"leg":1}', "", ""),
        ("zone_skipped", "fees", "{}", "", ""),
        ("entry_submitted", "", "{}", "1.5", "7"),
        ("entry_repriced", "", "{}", "1.6", ""),
    ]
    assert equity == [{"ts_ns": "60", "equity": "100.50"}]


def test_trades_read_back(tmp_path: Path) -> None:
    """The event log gives the structs back; a torn line is named."""
    with folder_at(tmp_path / "run") as folder:
        folder.decision(decided())
        folder.trade(closed("1"))
        folder.trade(closed("-2", tainted=True))
    assert read_trades(tmp_path / "run", ClosedTrade) == [closed("1"), closed("-2", tainted=True)]
    with (tmp_path / "run" / "events.jsonl").open("ab") as file:
        file.write(b'{"record":"trade","pnl":')
    with pytest.raises(OperatorError, match="line 4"):
        read_trades(tmp_path / "run", ClosedTrade)


def test_a_run_never_writes_into_another(tmp_path: Path) -> None:
    """An existing folder is refused."""
    (tmp_path / "run").mkdir()
    with pytest.raises(FileExistsError):
        folder_at(tmp_path / "run")


def test_run_ids_sort_by_time() -> None:
    """Later runs come later in a listing, and two of one microsecond differ by process."""
    early, late = datetime(2026, 3, 9, tzinfo=UTC), datetime(2026, 3, 10, tzinfo=UTC)
    assert new_run_id("ote", early, 9) < new_run_id("ote", late, 1)
    assert new_run_id("ote", early, 1) != new_run_id("ote", early, 2)
