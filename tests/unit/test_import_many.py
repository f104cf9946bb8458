"""Files of many symbols in one import command."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import download_data
from runtime.catalog import Catalog
from runtime.errors import ConfigurationError
from runtime.gaps import gaps_of
from runtime.importer.many import symbol_of_file

ROOT = Path(__file__).resolve().parents[2]
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


def living_of_group(group: int) -> list[str]:
    """Return the processes of a group that are no zombies."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _parent, process_group = status.read_text().rpartition(")")[2].split()[:3]
            if int(process_group) == group and state != "Z":
                found.append(status.parent.name)
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_ctrl_c_ends_the_workers_and_leaves_a_clean_catalog(tmp_path: Path) -> None:
    """Exit code 1 in one line; nothing half-done, and the same command completes the import."""
    symbols = [f"{letter}{other}USDT" for letter in "ABCDEF" for other in "AB"]
    trades = "\n".join(f"{n},1.5,3.5,5.3,{T_US + n},True,True" for n in range(1, 50_000))
    files = [archive(tmp_path, symbol, trades) for symbol in symbols]
    catalog = tmp_path / "catalog"
    options = ["--venue=binance", "--market=spot", "--symbol=auto", "--kind=trades", f"--catalog={catalog}"]
    command = [sys.executable, str(ROOT / "download_data.py"), "import", *map(str, files), *options]
    # A session of its own, so that the signal reaches the command and its workers, as from a terminal.
    process = subprocess.Popen(
        [*command, "--workers=2"], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    while not list(catalog.glob("manifest/*.json")) and process.poll() is None:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (1, "download_data.py: error: interrupted\n")
    deadline = time.monotonic() + 30
    while living_of_group(process.pid):  # helpers of multiprocessing end when they see their parent gone
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert not list(catalog.glob(".import-*"))
    rows = {row["instrument"]: row["rows"] for row in Catalog(catalog).series()}
    assert 0 < len(rows) < len(symbols)
    assert set(rows.values()) == {49_999}
    assert import_all(catalog, *files, more=("--workers=1",)) == 0
    assert [row["rows"] for row in Catalog(catalog).series()] == [49_999] * len(symbols)
