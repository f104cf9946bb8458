"""What became of each signal, written beside it once the run is over: `signals.csv` with results."""

import csv
import sys
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from strategies.trade_manager.record import ClosedTrade

OUTCOMES: Final = (
    "trade_exit_reason",
    "trade_r",
    "trade_mae_r",
    "trade_mfe_r",
    "trade_pnl",
    "trade_fees",
    "trade_slippage",
    "trade_held_secs",
)


type Key = tuple[str, str, str, str]


def add_results(path: Path, trades: Sequence[ClosedTrade]) -> None:
    """Add to `signals.csv` the trade that each signal or entry became; empty where there was none.

    Parameters
    ----------
    path
        The file, complete; replaced in one step.
    trades
        Closed trades of the run. One belongs to the last row of its setup (of a signal: of its number) that
        stands before its first fill: a zone may be entered again after its entry was taken back.
    """
    found = _rows_of(path, trades)
    partial = path.with_name(f".{path.name}.partial")
    with (
        path.open(encoding="utf-8", newline="") as source,
        partial.open("w", encoding="utf-8", newline="") as target,
    ):
        rows = csv.DictReader(source)
        writer = csv.DictWriter(target, [*(rows.fieldnames or ()), *OUTCOMES], lineterminator="\n")
        writer.writeheader()
        for number, row in enumerate(rows):
            trade = found.get(number)
            writer.writerow(row if trade is None else {**row, **_outcome(trade)})
    partial.replace(path)


def _rows_of(path: Path, trades: Sequence[ClosedTrade]) -> dict[int, ClosedTrade]:
    """Return the number of the row that each trade came from."""
    keyed = [(key, trade) for trade in trades for key in _keys_of(trade)]
    sent: dict[Key, list[tuple[int, int]]] = {key: [] for key, _trade in keyed}
    with path.open(encoding="utf-8", newline="") as source:
        for number, row in enumerate(csv.DictReader(source)):
            key = _key_of(row)
            if key in sent:
                sent[key].append((int(row["ts_ns"]), number))
    found = {}
    for key, trade in keyed:
        place = bisect_right(sent[key], (trade.entry_ts_ns, sys.maxsize)) - 1
        if place >= 0:
            found[sent[key][place][1]] = trade
    return found


def _keys_of(trade: ClosedTrade) -> tuple[Key, Key]:
    place = trade.strategy_id, trade.instrument_id
    return ("entry_submitted", *place, trade.setup_id), ("signal_taken", *place, str(trade.zone_id))


def _key_of(row: Mapping[str, str]) -> Key:
    name = row["zone_id"] if row["kind"] == "signal_taken" else row["setup_id"]
    return row["kind"], row["strategy_id"], row["instrument_id"], name


def _outcome(trade: ClosedTrade) -> dict[str, Any]:
    return dict(
        zip(
            OUTCOMES,
            (
                trade.exit_reason,
                trade.r_multiple,
                trade.mae_r,
                trade.mfe_r,
                trade.pnl,
                trade.fees,
                _slippage(trade),
                trade.held_secs,
            ),
            strict=True,
        )
    )


def _slippage(trade: ClosedTrade) -> str:
    known = trade.entry_slippage, trade.exit_slippage
    return format(sum(map(Decimal, known), Decimal(0)), "f") if all(known) else ""
