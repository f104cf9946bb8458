"""Sessions of the journal beside run folders: `backtest_node.py compare RUN journal:SESSION`."""

import json
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

import backtest_node
from runtime.catalog import Catalog
from runtime.instruments import make_instrument
from runtime.journal.database import open_engine
from runtime.journal.records import EquityRecord, SessionEnd, SessionStart
from runtime.journal.runs import read_session
from runtime.journal.session import SessionJournal
from runtime.journal.writer import Writer
from runtime.run_records import read_run
from runtime.sample import SampleRequest, tape_of
from strategies.trade_manager.record import ClosedTrade
from tests.journal_records import COIN, START, trade
from ui.reports.compare import FIGURES

TRADES = 60_000


@dataclass
class Journaled:
    """A backtest with its journal, and the folder in which it ran."""

    home: Path
    url: str
    run_id: str
    trades: list[ClosedTrade]

    @property
    def folder(self) -> Path:
        """Folder of the run."""
        return self.home / "var" / "runs" / self.run_id


@pytest.fixture(scope="module")
def journaled(tmp_path_factory: pytest.TempPathFactory) -> Journaled:
    """Run the beginning of the sample tape with the journal on."""
    home = tmp_path_factory.mktemp("sessions")
    instrument = make_instrument("binance", "spot", "ETHUSDT", Decimal("0.01"), Decimal("0.0001"))
    tape = tape_of(SampleRequest(days=1), "ETHUSDT")[:TRADES]
    Catalog(home / "catalog", create=True).write_trades(instrument, tape)
    url = f"sqlite:///{home}/journal.sqlite"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.setenv("SMCBOT_JOURNAL_URL", url)
        assert backtest_node.main(["run", "--catalog", "catalog", "--json"]) == 0
    (folder,) = (home / "var" / "runs").iterdir()
    return Journaled(home, url, folder.name, list(read_run(folder).trades))


def compared(capsys: pytest.CaptureFixture[str], journaled: Journaled, *words: str) -> dict[str, Any]:
    """Run the command; return its JSON."""
    capsys.readouterr()
    code = backtest_node.main(["compare", *words, "--url", journaled.url, "--json"])
    answer = capsys.readouterr()
    assert code == 0, answer.err
    found: dict[str, Any] = json.loads(answer.out)
    return found


def test_a_backtest_equals_its_own_session(
    journaled: Journaled, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Folder and journal: no setting, no trade, no figure and no equity differs."""
    monkeypatch.chdir(journaled.home)
    assert len(journaled.trades) > 3
    found = compared(capsys, journaled, journaled.run_id, f"journal:{journaled.run_id}")
    first, second = found["runs"]
    assert first == second
    assert {first[name] for name in FIGURES} != {None}
    assert found["settings"] == {}
    (warning,) = found["warnings"]
    assert "same decisions" in warning
    (against,) = found["against_first"]
    trades = against["trades"]
    assert (trades["matched"], trades["only_first"], trades["only_second"]) == (len(journaled.trades), 0, 0)
    for one in trades["matches"]:
        assert (one["entry_delay_secs"], one["entry_bps"], one["exit_bps"]) == (0, 0, 0)
        assert one["first_r"] == one["second_r"]
    # To the last digit of every amount, in the order of exit.
    session = read_session(open_engine(journaled.url, read_only=True), journaled.run_id)
    assert list(session.trades) == journaled.trades


def test_a_paper_session_shows_where_its_fills_were_worse(
    journaled: Journaled, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Entries three seconds later and 10 bps higher, one trade missed, another risk: all of it is told."""
    monkeypatch.chdir(journaled.home)
    *taken, _missed = journaled.trades
    backtest = read_session(open_engine(journaled.url, read_only=True), journaled.run_id)
    config = msgspec.json.decode(msgspec.json.encode(backtest.config))
    config["backtest"]["fills"]["latency_ms"] = 123.0
    start = SessionStart(
        ts_ns=taken[0].entry_ts_ns - 10**9, mode="paper", strategy="ote", instruments=["ETHUSDT.BINANCE"],
        detail={"config": config, "starting_balance": "10000"},
    )  # fmt: skip
    journal = SessionJournal(journaled.home / "spool", "paper-1", start, reserve_bytes=0)
    for one in taken:
        worse = Decimal(one.entry_price) * Decimal("1.001")
        journal.append(
            msgspec.structs.replace(
                one, entry_price=str(worse), entry_ts_ns=one.entry_ts_ns + 3 * 10**9,
                r_multiple=one.r_multiple - 0.25,
            )
        )  # fmt: skip
    journal.append(EquityRecord(ts_ns=taken[-1].exit_ts_ns, equity="9990"))
    journal.end(SessionEnd(ts_ns=taken[-1].exit_ts_ns + 1, reason="stopped", final_balance="9980"))
    Writer(journaled.home / "spool", journaled.url).drain()

    found = compared(capsys, journaled, journaled.run_id, "journal:paper-1")
    assert found["settings"]["backtest.fills.latency_ms"] == [50.0, 123.0]
    (against,) = found["against_first"]
    trades = against["trades"]
    assert (trades["matched"], trades["only_first"], trades["only_second"]) == (len(taken), 1, 0)
    for one in trades["matches"]:
        assert one["entry_delay_secs"] == pytest.approx(3)
        assert one["entry_bps"] == pytest.approx(10)
        assert one["second_r"] - one["first_r"] == pytest.approx(-0.25)
    assert found["runs"][1]["total_return_pct"] == pytest.approx(-0.2)


def test_a_session_that_runs_still_is_read(tmp_path: Path, journal_url: str) -> None:
    """On both databases: amounts and absent numbers come back as they were, the span is what is known."""
    journal = SessionJournal(tmp_path, "s1", START, reserve_bytes=0)
    facts: dict[str, Any] = {
        "pnl": "0.10",
        "entry_slippage": "",
        "exit_slippage_bps": None,
        "exit_ts_ns": START.ts_ns + 10**9,
    }
    whole, lacking = trade(1, **facts), trade(2, **facts | {"r_multiple": float("nan")})
    for record in (whole, lacking, EquityRecord(ts_ns=START.ts_ns + 2 * 10**9, equity="10000.5")):
        journal.append(record)
    journal.abandon()
    Writer(tmp_path, journal_url).drain()
    session = read_session(open_engine(journal_url, read_only=True), "s1")
    assert session.trades[0] == whole
    assert session.trades[1].r_multiple != session.trades[1].r_multiple
    assert session.marks == [(START.ts_ns + 2 * 10**9, 10000.5)]
    assert session.summary["instruments"] == [COIN]
    assert (session.summary["start"], session.summary["end"]) == (
        "2026-03-18T00:00:00Z", "2026-03-18T00:00:02Z",
    )  # fmt: skip
    assert not session.summary["is_ended"]


def test_what_is_no_session_is_refused(journaled: Journaled, capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown id, no journal at all, and the journal off: one line each, exit code 2."""
    for words, said in (
        (["journal:none", "--url", journaled.url], "no session none"),
        (["journal:none", "--url", f"sqlite:///{journaled.home}/absent.sqlite"], "no such journal"),
        (["journal:none"], "the journal is off"),
    ):
        assert backtest_node.main(["compare", str(journaled.folder), *words]) == 2
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1
