"""`signals.csv` tells what each signal and entry became."""

import csv
from pathlib import Path

from runtime.run_folder import SIGNALS, RunFolder
from runtime.signal_results import OUTCOMES, add_results
from strategies.trade_manager.record import ClosedTrade, Decision
from tests.unit.test_metrics import closed


def decision(ts_ns: int, kind: str, **changes: object) -> Decision:
    """Make a decision about the setup of `closed`."""
    fields: dict[str, object] = {"strategy_id": "OteStrategy-1", "instrument_id": "XRPUSDT.BINANCE"}
    return Decision(ts_ns=ts_ns, kind=kind, **(fields | changes))  # type: ignore[arg-type]


def rows_after(path: Path, decisions: list[Decision], trades: list[ClosedTrade]) -> list[dict[str, str]]:
    """Write signals, add the outcomes, read them back."""
    folder = RunFolder(path / "run", ClosedTrade.__struct_fields__, Decision.__struct_fields__)
    for one in decisions:
        folder.decision(one)
    folder.close()
    add_results(folder.path / SIGNALS, trades)
    assert sorted(one.name for one in folder.path.iterdir() if one.name.startswith(".")) == []
    with (folder.path / SIGNALS).open(newline="") as file:
        return list(csv.DictReader(file))


def test_an_entry_carries_the_result_of_its_trade(tmp_path: Path) -> None:
    """R, excursions, fees, slippage and time in the trade stand in the row of the entry."""
    trade = closed("1.5", 0.75, entry_ts_ns=20, entry_slippage="0.1", exit_slippage="0.2", held_secs=3.5)
    decisions = [
        decision(5, "zone", zone_id=1),
        decision(10, "entry_submitted", setup_id="s", zone_id=1, detail={"a": 'quoted, "twice"'}),
        decision(15, "entry_repriced", setup_id="s", zone_id=1),
    ]
    zone, entry, repriced = rows_after(tmp_path, decisions, [trade])
    values = ("target", "0.75", "-0.5", "1.0", "1.5", "0.1", "0.3", "3.5")
    assert tuple(entry[name] for name in OUTCOMES) == values
    assert entry["detail"] == '{"a":"quoted, \\"twice\\""}'
    for row in (zone, repriced):
        assert [row[name] for name in OUTCOMES] == [""] * len(OUTCOMES)


def test_a_zone_entered_again_has_its_result_in_the_second_row(tmp_path: Path) -> None:
    """The first entry was taken back unfilled: nothing came of it."""
    decisions = [decision(ts_ns, "entry_submitted", setup_id="s") for ts_ns in (10, 30, 90)]
    rows = rows_after(tmp_path, decisions, [closed(entry_ts_ns=50)])
    assert [row["trade_r"] for row in rows] == ["", "1.0", ""]


def test_a_signal_is_found_by_its_number(tmp_path: Path) -> None:
    """Signals have no setup yet: strategy, instrument and number name them; skipped ones have no result."""
    decisions = [
        decision(10, "signal_taken", zone_id=1),
        decision(11, "signal_skipped", zone_id=2),
        decision(12, "signal_taken", zone_id=1, instrument_id="BTCUSDT.BINANCE"),
    ]
    rows = rows_after(tmp_path, decisions, [closed(entry_ts_ns=20)])
    assert [row["trade_r"] for row in rows] == ["1.0", "", ""]
    assert rows[0]["trade_slippage"] == ""
