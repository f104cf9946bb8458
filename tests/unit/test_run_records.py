"""A run read back from its folder."""

import json
from pathlib import Path

import pytest

import backtest_node
from runtime.errors import ConfigurationError, DataError
from runtime.run_folder import RunFolder
from runtime.run_records import find_run, read_run
from strategies.trade_manager.record import ClosedTrade, Decision
from tests.unit.test_metrics import closed


def written(path: Path, *trades: ClosedTrade) -> Path:
    """Write a run as a backtest does."""
    with RunFolder(path, ClosedTrade.__struct_fields__, Decision.__struct_fields__) as folder:
        for trade in trades:
            folder.trade(trade)
        folder.write_config({"backtest": {"fills": {"latency_ms": 50.0}}})
        folder.write_summary(
            {"run_id": path.name, "start": "1970-01-01T00:00:00Z", "end": "1970-01-02T00:00:00Z"}
        )
    return path


def test_what_was_written_is_read(tmp_path: Path) -> None:
    """Trades, settings and summary come back as they were."""
    trade = closed("1.25", 0.5, entry_slippage="0.125", exit_slippage_bps=None, market_exit_value="16")
    records = read_run(written(tmp_path / "a", trade))
    assert records.trades == [trade]
    assert records.config == {"backtest": {"fills": {"latency_ms": 50.0}}}
    assert (records.name, records.summary["run_id"]) == ("a", "a")


def test_a_run_is_found_by_path_and_by_id(tmp_path: Path) -> None:
    """Both words a user has at hand."""
    path = written(tmp_path / "runs" / "a")
    assert find_run(str(path), tmp_path) == path
    assert find_run("a", tmp_path / "runs") == path


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    """No folder, a folder without a summary, and a damaged one, each in words."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigurationError, match="no such run"):
        find_run("missing", tmp_path)
    with pytest.raises(ConfigurationError, match="did not finish"):
        find_run("empty", tmp_path)
    path = written(tmp_path / "a")
    (path / "summary.json").write_text('{"run_id": ')
    with pytest.raises(DataError, match="damaged"):
        read_run(path)
    (path / "summary.json").write_text('{"run_id": "a"}')
    with pytest.raises(DataError, match=r"no start, end: not the summary of a run"):
        read_run(path)
    (path / "config.effective.yaml").unlink()
    with pytest.raises(DataError, match="missing"):
        read_run(path)


def test_command_prints_one_object_or_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`compare A B --json` is one JSON object; without it, a table."""
    config = tmp_path / "config.yaml"
    config.write_text(f"backtest: {{runs: {tmp_path}/runs}}\n")
    written(tmp_path / "runs" / "a", closed("1", 1.0))
    written(tmp_path / "runs" / "b", closed("2", 2.0))
    assert backtest_node.main(["compare", "a", "b", "--config", str(config), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["against_first"][0]["trades"]["matched"] == 1
    assert backtest_node.main(["compare", "a", "b", "--config", str(config)]) == 0
    assert "1 in both" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a"], "a comparison needs two"),
        (["a", "b", "--tolerance-secs", "0"], "is not a number of seconds above 0"),
        (["a", "b"], "no such run"),
    ],
)
def test_misuse_is_one_line(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2 and what to do."""
    assert backtest_node.main(["compare", *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
