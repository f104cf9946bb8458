"""Files of many symbols in one import command."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import download_data
from runtime.catalog import Catalog
from runtime.errors import ConfigurationError
from runtime.gaps import gaps_of
from runtime.importer.many import symbol_of_file

T_US = 1_773_792_000_000_000  # 2026-03-18
STEP_NS = 300_000_000_000

NAMES = {
    "XRPUSDT-trades-2026-03.zip": "XRPUSDT",
    "1000PEPEUSDT-5m-2024-01-31.zip": "1000PEPEUSDT",
    "BTCUSDT2024-01-01.csv.gz": "BTCUSDT",
    "BTCUSDT_2024-01-01.csv.gz": "BTCUSDT",
    "ETHUSDT-2024-01.csv.gz": "ETHUSDT",
    "binance-spot_XRPUSDT_2026-03-17.parquet": "XRPUSDT",
    "ADAUSDT.parquet": "ADAUSDT",
}


@pytest.mark.parametrize("name", NAMES)
def test_the_name_of_a_file_tells_its_symbol(name: str) -> None:
    """In the forms of both venues' archives, and where the symbol stands alone."""
    assert symbol_of_file(Path("XRPUSDT-other") / name) == NAMES[name]


@pytest.mark.parametrize("name", ["day.csv", "2024-01-01.zip", "ADAUSDT-XRPUSDT.csv", "adausdt.csv"])
def test_a_name_without_one_symbol_is_refused(name: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(ConfigurationError, match="name must hold one symbol, such as XRPUSDT"):
        symbol_of_file(Path(name))


def archive(folder: Path, symbol: str, rows: str | None = None) -> Path:
    """Write a day of a symbol's trades."""
    path = folder / f"{symbol}-trades-2026-03-18.csv"
    trades = (f"{number},1.52{number % 10},3.5,5.3,{T_US + number},True,True" for number in range(1, 40))
    path.write_text(rows or "\n".join(trades))
    return path


def import_all(catalog: Path, *files: Path, kind: str = "--kind=trades", more: tuple[str, ...] = ()) -> int:
    """Run the command with the symbol left to the names."""
    options = ["--venue=binance", "--market=spot", "--symbol=auto", kind, f"--catalog={catalog}", *more]
    return download_data.main(["import", *map(str, files), *options])


def test_many_symbols_in_one_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One that cannot be read is named and exits with its code; the others are there."""
    files = [archive(tmp_path, symbol) for symbol in ("XRPUSDT", "ADAUSDT")]
    broken = archive(tmp_path, "ETHUSDT", f"1,-1.5,1,1,{T_US},True,True")
    assert import_all(tmp_path / "catalog", *files, broken, more=("--json", "--workers=2")) == 1
    captured = capsys.readouterr()
    printed = json.loads(captured.out)
    assert [report["instrument"] for report in printed["imports"]] == ["ADAUSDT.BINANCE", "XRPUSDT.BINANCE"]
    assert [failure["symbol"] for failure in printed["failed"]] == ["ETHUSDT"]
    assert "error: ETHUSDT: 1 bad row in 1 file" in captured.err
    assert "increments of 2 symbols were inferred" in captured.err
    assert [row["rows"] for row in Catalog(tmp_path / "catalog").series()] == [39, 39]
    assert not list((tmp_path / "catalog").glob(".import-*"))


def test_misuse_is_one_message_before_anything_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Increments belong to one instrument; a kind needs its interval; a file must exist."""
    files = [archive(tmp_path, symbol) for symbol in ("XRPUSDT", "ADAUSDT")]
    for wrong, message in (
        ({"more": ("--tick-size=0.1",)}, "leave them out with --symbol auto"),
        ({"kind": "--kind=klines"}, "needs --interval"),
        ({"more": ("--workers=0",)}, "'0' is not a whole number above 0"),
    ):
        assert import_all(tmp_path / "catalog", *files, **wrong) == 2
        assert message in capsys.readouterr().err
    assert import_all(tmp_path / "catalog", tmp_path / "SOLUSDT.csv") == 2
    assert "no such file" in capsys.readouterr().err
    assert not (tmp_path / "catalog").exists()


def check_coverage(files: list[Path], catalog: Path) -> None:
    """Compare `list` with what numpy finds in the files themselves."""
    rows = {row["instrument"]: row for row in Catalog(catalog).series()}
    assert rows.keys() == {f"{path.stem}.BINANCE" for path in files}
    for path in files:
        opens = np.unique(pq.read_table(path, columns=["ts_open_ns"])["ts_open_ns"].to_numpy())
        steps = np.diff(opens)
        row = rows[f"{path.stem}.BINANCE"]
        first, last = (
            np.datetime64(int(ts) + STEP_NS, "ns").astype("datetime64[s]") for ts in opens[[0, -1]]
        )
        assert (row["first"], row["last"]) == (f"{first}Z", f"{last}Z")
        assert row["rows"] == len(opens)
        assert row["missing_ids"] == (opens[-1] - opens[0]) // STEP_NS + 1 - len(opens)
        assert row["id_gaps"] == (steps > STEP_NS).sum()
        assert row["longest_gap_s"] == steps[steps > STEP_NS].max(initial=0) / 1e9
        folder = catalog / "data" / "bar" / f"{path.stem}.BINANCE-5-MINUTE-LAST-EXTERNAL"
        assert row["bytes"] == sum(file.stat().st_size for file in folder.iterdir())


@pytest.mark.parametrize(
    "count", [3, pytest.param(100, marks=pytest.mark.slow)], ids=["a few symbols", "all symbols"]
)
def test_list_shows_the_coverage_of_real_klines(shared_data: Path, tmp_path: Path, count: int) -> None:
    """Rows, span, missing bars, gaps and bytes are those that numpy finds, symbol by symbol."""
    files = sorted((shared_data / "klines_5m").glob("*.parquet"))[:count]
    assert len(files) == count
    assert import_all(tmp_path / "catalog", *files, kind="--kind=klines", more=("--interval=5m",)) == 0
    check_coverage(files, tmp_path / "catalog")


def test_the_id_gaps_of_the_recording_are_reported_exactly(shared_data: Path, tmp_path: Path) -> None:
    """XRPUSDT 2026-03-17..24: count, missing ids and the longest, as numpy finds them in the files."""
    files = sorted((shared_data / "trades").glob("binance-spot_XRPUSDT_2026-03-*.parquet"))
    assert len(files) == 8
    assert import_all(tmp_path / "catalog", *files) == 0
    table = [pq.read_table(path, columns=["trade_id", "ts_ns"]) for path in files]
    ids = np.concatenate([part["trade_id"].to_numpy() for part in table])
    ts_ns = np.concatenate([part["ts_ns"].to_numpy() for part in table])
    order = np.argsort(ids)
    ids, ts_ns = ids[order], np.maximum.accumulate(ts_ns[order])
    steps, waits = np.diff(ids), np.diff(ts_ns)
    assert (steps > 0).all()
    (row,) = Catalog(tmp_path / "catalog").series()
    assert row["rows"] == len(ids)
    assert row["id_gaps"] == (steps > 1).sum() > 1_000
    assert row["missing_ids"] == (steps - 1).sum() == ids[-1] - ids[0] + 1 - len(ids)
    assert row["longest_gap_s"] == waits[steps > 1].max() / 1e9
    assert row["longest_gap_ids"] == steps.max() - 1
    found = list(gaps_of(Catalog(tmp_path / "catalog"), "XRPUSDT.BINANCE"))
    (at,) = np.nonzero(steps > 1)
    assert [(gap.first_id, gap.last_id) for gap in found] == list(
        zip((ids[at] + 1).tolist(), (ids[at + 1] - 1).tolist(), strict=True)
    )
    assert [(gap.before_ns, gap.after_ns) for gap in found] == list(
        zip(ts_ns[at].tolist(), ts_ns[at + 1].tolist(), strict=True)
    )
