"""The command line of backtest_node.py, run as users run it, with the real strategy."""

import csv
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import backtest_node
from runtime.catalog import Catalog
from runtime.instruments import make_instrument
from runtime.sample import SampleRequest, tape_of
from strategies.dynamic_cancel import load_policy
from tests.canary import CANARY, files_with_canary
from tests.integration.test_backtest_run import DAY, tape
from tests.webhook_server import webhook_server

ROOT = Path(__file__).resolve().parents[2]
ETH = "ETHUSDT.BINANCE"
TRADES = 60_000


@pytest.fixture(scope="module")
def catalog_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Store the beginning of the synthetic tape: a few hours, some entries."""
    path = tmp_path_factory.mktemp("cli") / "catalog"
    instrument = make_instrument("binance", "spot", "ETHUSDT", Decimal("0.01"), Decimal("0.0001"))
    Catalog(path, create=True).write_trades(instrument, tape_of(SampleRequest(days=1), "ETHUSDT")[:TRADES])
    return path


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run without a config.yaml and with our own var/."""
    monkeypatch.chdir(tmp_path)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str]:
    """Run in this process; return the exit code and the one line on stderr."""
    code = backtest_node.main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert "Traceback" not in captured.err
    return code, captured.err


def command(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run in a process of its own."""
    return subprocess.run(
        [sys.executable, str(ROOT / "backtest_node.py"), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


def test_two_processes_agree_to_the_last_bit(catalog_path: Path, tmp_path: Path) -> None:
    """Other hash seeds and chunk sizes, same hash; one JSON object on stdout and a full run folder."""
    summaries: list[dict[str, Any]] = []
    for seed, chunk in (("1", "10000"), ("2", "all")):
        done = command("run", "--catalog", catalog_path, "--chunk-size", chunk, "--json", PYTHONHASHSEED=seed)
        assert done.returncode == 0, done.stderr
        summaries.append(json.loads(done.stdout))
    first, second = summaries
    assert first["decision_sha256"] == second["decision_sha256"]
    assert first["ticks"] == TRADES
    assert first["zones"] > 5
    assert first["entries_submitted"] > 0
    folder = tmp_path / first["run_dir"]
    assert {path.name for path in folder.iterdir()} == {
        "summary.json",
        "telemetry.rec",
        "trades.csv",
        "signals.csv",
        "equity.csv",
        "events.jsonl",
        "entries.parquet",
        "tearsheet.html",
        "config.effective.yaml",
    }
    assert json.loads((folder / "summary.json").read_text()) == first
    assert hashlib.sha256((folder / "events.jsonl").read_bytes()).hexdigest() == first["decision_sha256"]
    html = (folder / "tearsheet.html").read_text()
    assert len(html) < 6_000_000
    assert html.count("<figure") == first["positions_closed"]


def test_run_is_the_default_command_and_prints_a_report(
    catalog_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Options alone mean `run`; words are for people; options arrive; the wall time includes the checks."""
    checked_s = 0.0

    def slow_check(*arguments: Any) -> Any:
        nonlocal checked_s
        begun_s = time.perf_counter()
        time.sleep(0.2)
        found = load_policy(*arguments)
        checked_s += time.perf_counter() - begun_s
        return found

    monkeypatch.setattr("runtime.run_plan.load_policy", slow_check)
    before_s = time.perf_counter()
    code = backtest_node.main(
        f"--catalog={catalog_path} --set bucket_usd=50000 --balance 5000 --slippage 1.5bps".split()
    )
    captured = capsys.readouterr()
    assert code == 0
    assert "slippage 1.5 bps (market orders, not the stop-limit orders that protect spot)" in captured.out
    assert "tearsheet.html" in captured.err
    (folder,) = (tmp_path / "var" / "runs").iterdir()
    config = (folder / "config.effective.yaml").read_text()
    assert "bucket_usd: '50000'" in config
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["starting_balance"] == 5000.0
    assert checked_s < summary["wall_s"] < time.perf_counter() - before_s


def test_strategies_are_listed_with_documented_parameters(capsys: pytest.CaptureFixture[str]) -> None:
    """Each has a name, version, summary, and parameters with type, default and text."""
    assert backtest_node.main(["strategies", "--json"]) == 0
    found = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
    assert found["ote"]["version"]
    assert found["ote"]["summary"]
    parameters = {one["name"]: one for one in found["ote"]["parameters"]}
    assert {"bucket_usd", "structure", "min_reward_risk"} <= set(parameters)
    assert "instrument_id" not in parameters
    bounds = {"min", "max"}
    assert all(set(one) - bounds == {"name", "type", "default", "doc"} for one in parameters.values())
    assert all(one["doc"] for one in parameters.values())
    assert bounds <= set(parameters["min_reward_risk"])


MISUSE = {
    "no catalog": (["--catalog", "nowhere"], "nowhere: no such catalog"),
    "unknown symbol": (
        ["--catalog", "CATALOG", "--instrument", "ETHUSD.BINANCE"],
        "no trades of ETHUSD.BINANCE, did you mean ETHUSDT.BINANCE? It holds ETHUSDT.BINANCE",
    ),
    "unknown strategy": (
        ["--catalog", "CATALOG", "--strategy", "otr"],
        "unknown strategy otr, did you mean ote?",
    ),
    "unknown parameter": (
        ["--catalog", "CATALOG", "--set", "bucket_us=5"],
        "unknown setting --set bucket_us, did you mean bucket_usd?",
    ),
    "parameter of the wrong type": (
        ["--catalog", "CATALOG", "--set", "range_expiry_buckets=many"],
        "at --set range_expiry_buckets",
    ),
    "empty range": (
        ["--catalog", "CATALOG", "--start", "2030-01-01"],
        "no trades of ETHUSDT.BINANCE in the chosen range",
    ),
    "range turned round": (
        ["--catalog", "CATALOG", "--start", "2026-01-06", "--end", "2026-01-05"],
        "is not before --end",
    ),
    "not a date": (["--start", "2026-13-01"], "'2026-13-01' is not a date or time"),
    "before 1970": (["--start", "1960-01-01"], "'1960-01-01' is not between 1970-01-01 and 2262-04-11"),
    "after 2262": (["--end", "9999-12-31"], "'9999-12-31' is not between 1970-01-01 and 2262-04-11"),
    "too rich": (["--catalog", "CATALOG", "--balance", "1e40"], "balance 1E+40 must be between 0.01 and"),
    "too poor": (["--catalog", "CATALOG", "--balance", "0.00000000001"], "balance 1E-11 must be between"),
    "odd balance": (["--catalog", "CATALOG", "--balance", "10.123456789"], "more than 8 decimals"),
    "bucket between increments": (
        ["--catalog", "CATALOG", "--set", "bucket_usd=0.0000015"],
        "bucket_usd 0.0000015 is not a multiple of tick_size x lot_size",
    ),
    "bucket beyond numbers": (["--catalog", "CATALOG", "--set", "bucket_usd=1e400"], "--set bucket_usd"),
    "bucket beyond counting": (["--catalog", "CATALOG", "--set", "bucket_usd=1e30"], "--set bucket_usd"),
    "no such policy": (["--catalog", "CATALOG", "--set", "cancel_policy=foo:Bar"], "--set cancel_policy"),
    "not a policy": (["--catalog", "CATALOG", "--set", "cancel_policy=os:getcwd"], "--set cancel_policy"),
    "not a size": (["--chunk-size", "0"], "neither a number above 0 nor `all`"),
    "not a fee": (["--catalog", "CATALOG", "--maker-fee", "10"], "maker 10 is a share of the notional"),
    "unknown option": (["--bucket-usd", "5"], "unrecognized arguments: --bucket-usd 5"),
    "no settings": (["--config", "no.yaml"], "no.yaml: no such settings file"),
    "missing bars": (
        ["--catalog", "CATALOG", "--set", f"htf_bar_type={ETH}-1-HOUR-LAST-EXTERNAL"],
        "has no bars ETHUSDT.BINANCE-1-HOUR-LAST-EXTERNAL",
    ),
}


@pytest.mark.parametrize(("arguments", "message"), MISUSE.values(), ids=MISUSE.keys())
def test_misuse_is_one_line_and_code_2(
    arguments: list[str], message: str, catalog_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the user can mend is said in one line before a run folder exists."""
    words = [str(catalog_path) if word == "CATALOG" else word for word in arguments]
    code, line = refused(capsys, "run", *words)
    assert code == 2
    assert message in line
    assert not (tmp_path / "var").exists()


def test_wrong_settings_file_names_the_path(
    catalog_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mistake in config.yaml is found without --config, with its place in the file."""
    (tmp_path / "config.yaml").write_text("strategies:\n  - {strategy: ote, min_reward_ris: 2}\n")
    code, line = refused(capsys, "run", "--catalog", catalog_path)
    assert code == 2
    assert (
        "config.yaml: unknown setting $.strategies[0].min_reward_ris, did you mean min_reward_risk?" in line
    )


def test_damaged_file_is_one_line_and_code_1(
    catalog_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A flipped page, and a file cut short, are named."""
    for name, damage in (("flipped", flip_a_page), ("short", cut_short)):
        shutil.copytree(catalog_path, tmp_path / name)
        (path,) = (tmp_path / name).rglob(f"trade_tick/{ETH}/*.parquet")
        damage(path)
        code, line = refused(capsys, "run", "--catalog", tmp_path / name)
        assert code == 1
        assert path.name in line
    assert not (tmp_path / "var").exists()


def test_damage_beside_the_range_is_found_before_the_engine(
    catalog_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nautilus reads the day's file whole and would end the process, so 30 minutes of it need all of it."""
    shutil.copytree(catalog_path, tmp_path / "flipped")
    (path,) = (tmp_path / "flipped").rglob(f"trade_tick/{ETH}/*.parquet")
    many_groups(path)
    flip_a_page(path, 4096)
    range_of_it = ("--start", "2026-01-05T00:00", "--end", "2026-01-05T00:30")
    for name in ("run", "lookahead"):
        code, line = refused(capsys, name, "--catalog", tmp_path / "flipped", *range_of_it)
        assert code == 1
        assert path.name in line
    assert not (tmp_path / "var").exists()


def many_groups(path: Path) -> None:
    """Rewrite a file in small row groups, so that a range touches only some of them."""
    table = pq.read_table(path)
    pq.write_table(table, path, row_group_size=5_000, compression="snappy")
    with pq.ParquetFile(path) as file:
        assert file.num_row_groups > 8


def test_panic_of_a_library_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rust's panics are no ordinary exceptions; others of that kind, such as GeneratorExit, pass."""
    panic = type("PanicException", (BaseException,), {})
    for kind, code in ((panic, 1), (GeneratorExit, None)):

        def describe(error: type[BaseException] = kind) -> None:
            raise error("called `Option::unwrap()` on a `None` value")

        monkeypatch.setattr("runtime.run_plan.describe_strategies", describe)
        if code is None:
            with pytest.raises(GeneratorExit):
                backtest_node.main(["strategies"])
        else:
            found, line = refused(capsys, "strategies")
            assert found == code
            assert "internal error: called `Option::unwrap()`" in line


def flip_a_page(path: Path, size: int = 64) -> None:
    """Overwrite some compressed bytes in the middle of a file."""
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + size] = bytes(byte ^ 0xFF for byte in content[middle : middle + size])
    path.write_bytes(content)


def cut_short(path: Path) -> None:
    """Drop the last third of a file."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])


def test_start_waits_and_warms_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--start loads the day's earlier trades, and the strategy enters nothing before it."""
    catalog = Catalog(tmp_path / "catalog", create=True)
    instrument = make_instrument("binance", "spot", "ETHUSDT", Decimal("0.01"), Decimal("0.0001"))
    day = tape_of(SampleRequest(days=1), "ETHUSDT")[:TRADES]
    catalog.write_trades(instrument, day)
    start_ns = int(day.ts_ns[TRADES // 2]) // 10**9 * 10**9
    start = f"2026-01-05T{(start_ns % DAY) // (3600 * 10**9):02d}:00"
    arguments = ["run", "--catalog", str(tmp_path / "catalog"), "--start", start, "--json"]
    assert backtest_node.main(arguments) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["ticks"] == TRADES
    assert summary["start"].startswith(start)
    events = (Path(summary["run_dir"]) / "events.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in events]
    entries = [one["ts_ns"] for one in records if one.get("kind") == "entry_submitted"]
    orders = [one["ts_ns"] for one in records if one["record"] == "order"]
    assert entries
    assert min(entries + orders) >= int(day.ts_ns[0]) // DAY * DAY + int(start[11:13]) * 3600 * 10**9


def test_two_symbols_share_one_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All instruments of the catalog run by default, each with its own overrides."""
    catalog = Catalog(tmp_path / "catalog", create=True)
    for symbol, seed in (("XRPUSDT", 1), ("ETHUSDT", 2)):
        instrument = make_instrument("binance", "spot", symbol, Decimal("0.0001"), Decimal("0.1"))
        catalog.write_trades(instrument, tape(2_000, seed))
    (tmp_path / "config.yaml").write_text(
        "strategies: [{strategy: ote, bucket_usd: 1000, symbols: {XRPUSDT.BINANCE: {bucket_usd: 500}}}]"
    )
    assert backtest_node.main(["--catalog", str(tmp_path / "catalog"), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["instruments"] == ["ETHUSDT.BINANCE", "XRPUSDT.BINANCE"]
    assert summary["ticks"] == 4_000
    config = (Path(summary["run_dir"]) / "config.effective.yaml").read_text()
    assert "bucket_usd: '500'" in config
    assert "bucket_usd: '1000'" in config


def test_a_run_tells_its_end_and_writes_no_secret(
    catalog_path: Path, tmp_path: Path, canary_environment: dict[str, str]
) -> None:
    """A working and a failing channel: one message, one warning, the run is a success, no secret anywhere."""
    with webhook_server() as good, webhook_server("fail") as bad:
        urls = f"{good.address} {bad.address.replace('//', f'//user:{CANARY}@')}"
        config = tmp_path / "config.yaml"
        config.write_text("notifications: {retries: 0, backoff_secs: 0.01}\n")
        environment = {**canary_environment, "TRADING_NOTIFY_URLS": urls, "SMCBOT_TRACEBACK": "1"}
        words = ("run", "--catalog", catalog_path, "--config", config, "--json")
        done = command(*words, **environment)
        assert done.returncode == 0, done.stderr
        (message,) = good.received
    assert message["title"] == "smcbot backtest: backtest finished"
    assert json.loads(done.stdout)["run_id"] in message["message"]
    assert "notification to 2:json failed" in done.stderr
    assert CANARY not in done.stdout + done.stderr
    assert files_with_canary(tmp_path) == []


def test_slippage_is_that_of_the_order_events(
    catalog_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Counted again from each order's own prices and fills, to the last unit; the summary is their sum."""
    assert backtest_node.main([f"--catalog={catalog_path}", "--slippage=3bps", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    folder = tmp_path / summary["run_dir"]
    orders: dict[str, dict[str, str]] = {}
    fills: dict[str, list[tuple[Decimal, Decimal]]] = {}
    for line in (folder / "events.jsonl").open():
        record = json.loads(line)
        if record["record"] == "order":
            name = record["client_order_id"]
            kept = ("price", "trigger_price", "side", "order_type")
            orders.setdefault(name, {}).update({key: record[key] for key in kept if record.get(key)})
            if record["event"] == "OrderFilled":
                fills.setdefault(name, []).append((Decimal(record["last_qty"]), Decimal(record["last_px"])))
    trades = list(csv.DictReader((folder / "trades.csv").open()))
    assert len(trades) == summary["positions_closed"] > 0
    for trade in trades:
        own = [name for name in fills if trade["setup_id"] in name]
        market = sum(
            qty * price
            for name in own
            if orders[name]["side"] == "SELL" and orders[name]["order_type"] != "LIMIT"
            for qty, price in fills[name]
        )
        assert Decimal(trade["market_exit_value"]) == market
        for side, sign, column in (("BUY", 1, "entry_slippage"), ("SELL", -1, "exit_slippage")):
            legs = [name for name in own if orders[name]["side"] == side]
            if any(orders[name]["order_type"] == "MARKET" for name in legs):
                continue  # its decision price is in no order
            wanted = {
                name: Decimal(orders[name].get("trigger_price") or orders[name]["price"]) for name in legs
            }
            cost = sum(sign * qty * (price - wanted[name]) for name in legs for qty, price in fills[name])
            assert Decimal(trade[column]) == cost
    exits = summary["execution"]["exit_slippage"]
    assert exits["quote"] == pytest.approx(sum(float(one["exit_slippage"]) for one in trades))
