"""The command line of download_data.py, run as users run it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import download_data
from runtime import cli

ROOT = Path(__file__).resolve().parents[2]
ROWS = "\n".join(
    f"{number},1.52{number % 10},3.5,5.3,{1_773_792_000_000_000 + number},True,True"
    for number in range(1, 40)
)


def run(*arguments: str | Path) -> int:
    """Run the command in this process."""
    return download_data.main([str(argument) for argument in arguments])


def import_arguments(path: Path, catalog: Path, **changes: str) -> list[str]:
    """Write the arguments of an import of Binance spot trades."""
    options = {"venue": "binance", "market": "spot", "symbol": "XRPUSDT", "kind": "trades", **changes}
    return [
        "import",
        str(path),
        *(f"--{key}={value}" for key, value in options.items()),
        f"--catalog={catalog}",
    ]


@pytest.fixture
def day(tmp_path: Path) -> Path:
    """Write a small archive."""
    path = tmp_path / "XRPUSDT-trades-2026-03-18.csv"
    path.write_text(ROWS)
    return path


def test_import_then_list(day: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Import prints words on stderr and one JSON object on stdout; list has the agreed keys."""
    catalog = tmp_path / "catalog"
    assert run(*import_arguments(day, catalog), "--json") == 0
    captured = capsys.readouterr()
    report = json.loads(captured.out)
    assert (report["instrument"], report["rows_added"], report["inferred"]) == (
        "XRPUSDT.BINANCE", 39, ["tick_size", "lot_size"],
    )  # fmt: skip
    assert captured.err.count("warning: --") == 2
    assert run("list", "--catalog", catalog, "--json") == 0
    (series,) = json.loads(capsys.readouterr().out)["series"]
    assert series.pop("bytes") == sum(path.stat().st_size for path in catalog.glob("data/trade_tick/*/*"))
    assert series == {
        "instrument": "XRPUSDT.BINANCE", "kind": "trades", "interval": None, "rows": 39,
        "first": "2026-03-18T00:00:00.000001Z", "last": "2026-03-18T00:00:00.000039Z",
        "missing_ids": 0, "id_gaps": 0, "longest_gap_s": 0.0, "longest_gap_ids": 0, "files": 1,
    }  # fmt: skip
    assert run("list", "--catalog", catalog) == 0
    assert "XRPUSDT.BINANCE" in capsys.readouterr().out


def test_given_increments_need_no_warning(
    day: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--tick-size and --lot-size are taken at their word."""
    options = {"tick-size": "0.0001", "lot-size": "0.1"}
    assert run(*import_arguments(day, tmp_path / "catalog", **options)) == 0
    assert "warning" not in capsys.readouterr().err


ERRORS: dict[str, tuple[dict[str, Any], int, str]] = {
    "unknown venue": ({"venue": "binanze"}, 2, "did you mean binance?"),
    "unknown market": ({"market": "linear"}, 2, "binance has no such market"),
    "wrong kind": ({"kind": "aggtrades"}, 2, "looks like"),
    "klines without interval": ({"kind": "klines"}, 2, "needs --interval"),
    "bad increment": ({"tick-size": "-1"}, 2, "is not a number above 0"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_are_one_line_with_an_exit_code(
    day: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """2 for wrong usage; no traceback."""
    changes, code, message = ERRORS[name]
    assert run(*import_arguments(day, tmp_path / "catalog", **changes)) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert captured.err.count("\n") == 1


def test_damaged_file_exits_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Data that cannot be read is a failure, not misuse."""
    path = tmp_path / "day.parquet"
    path.write_bytes(b"PAR1 and then nothing")
    assert run(*import_arguments(path, tmp_path / "catalog")) == 1
    assert capsys.readouterr().err.startswith("download_data.py: error: day.parquet: damaged Parquet file")


def test_bad_rows_are_refused_or_skipped_with_words(
    day: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Never silently."""
    day.write_text(ROWS.replace("\n5,", "\nfive,"))
    assert run(*import_arguments(day, tmp_path / "catalog")) == 1
    assert f"{day.name}:5: trade id 'five' is not a number; nothing was imported" in capsys.readouterr().err
    assert run(*import_arguments(day, tmp_path / "catalog"), "--on-bad-rows", "skip") == 0
    assert f"warning: skipped {day.name}:5: trade id 'five' is not a number" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["list", "--catalog", "absent", "--json"], "absent: no such catalog"),
        (["list", "--config", "absent.yaml"], "absent.yaml: no such settings file"),
        (["lst", "--catalog", "x"], "did you mean list?"),
        (["list", "--catalog", "x", "--jsno"], "did you mean --json?"),
        ([], "required: COMMAND"),
    ],
)
def test_misuse_exits_with_2_and_a_suggestion(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line that says what to type."""
    assert run(*arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "command", ["trades", "klines", "funding", "verify", "repair", "import", "sample", "list", "scan"]
)
def test_help_has_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each command shows how it is called, and the example itself parses."""
    assert run(command, "--help") == 0
    example = capsys.readouterr().out.split("example:\n")[1].split()
    assert example[0] == "download_data.py"
    parsed = download_data.command_line().parse_args(example[1:])
    assert parsed.catalog == Path("var/catalog")


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """The overview prints, whatever signs the summaries contain."""
    assert run("--help") == 0
    shown = capsys.readouterr().out
    assert all(f"    {name} " in shown for name in ("trades", "klines", "verify", "repair", "list", "scan"))


def test_sample_and_list_as_a_process(tmp_path: Path) -> None:
    """The script runs from any folder, and its stdout is one JSON object."""
    command = [
        sys.executable,
        str(ROOT / "download_data.py"),
        "sample",
        "--days=1",
        "--catalog=made",
        "--json",
    ]
    made = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert json.loads(made.stdout)["synthetic"] is True
    command = [sys.executable, str(ROOT / "download_data.py"), "list", "--catalog=made"]
    listed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert listed.stdout.count("(synthetic)") == 2


def test_catalog_comes_from_the_settings(
    day: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without --catalog the `catalog` of config.yaml is meant, or that of --config."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text("catalog: from_default\n")
    (tmp_path / "other.yaml").write_text("catalog: from_other\n")
    arguments = [word for word in import_arguments(day, tmp_path) if not word.startswith("--catalog")]
    assert run(*arguments) == 0
    assert run(*arguments, "--config", "other.yaml") == 0
    assert Path("from_default/manifest.json").exists()
    assert Path("from_other/manifest.json").exists()
    capsys.readouterr()
    assert run("list", "--json") == 0
    assert len(json.loads(capsys.readouterr().out)["series"]) == 1


def test_times_are_utc_and_exact() -> None:
    """Dates, times and offsets become integers without passing through float seconds."""
    assert cli.iso_time("2026-03-18") == 1_773_792_000_000_000_000
    assert cli.iso_time("2026-03-18T01:00:00+01:00") == cli.iso_time("2026-03-18T00:00:00Z")
    assert cli.iso_time("2026-03-18T00:00:00.000001") == 1_773_792_000_000_001_000
    assert cli.format_ns(1_773_792_000_000_001_000) == "2026-03-18T00:00:00.000001Z"


def test_an_unexpected_error_is_one_line_too(
    day: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug shows its kind, and the traceback on demand."""

    def broken(*_: Any) -> None:
        raise KeyError("price")

    monkeypatch.setattr("runtime.data_commands.importing.import_files", broken)
    assert run(*import_arguments(day, tmp_path / "catalog")) == 1
    assert capsys.readouterr().err == "download_data.py: error: internal error: KeyError: 'price'\n"
    monkeypatch.setenv("SMCBOT_TRACEBACK", "1")
    run(*import_arguments(day, tmp_path / "catalog"))
    assert "Traceback" in capsys.readouterr().err


INTERRUPTED_IMPORT = """
import os, runpy, signal, sys

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "runtime.data_commands":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
runpy.run_path(sys.argv[1], run_name="__main__")
"""


def test_interrupt_while_it_loads_is_one_line() -> None:
    """Ctrl-C during the first seconds, which are imports, ends as it does later: one line, exit code 1."""
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_IMPORT, str(ROOT / "download_data.py")],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "download_data.py: error: interrupted\n"
