"""A recorded session decides the same again; a difference that was planted is found where it is."""

import asyncio
import json
import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from nautilus_trader.config import ImportableStrategyConfig
from nautilus_trader.model.data import MarkPriceUpdate
from nautilus_trader.model.events import OrderFilled
from nautilus_trader.model.objects import Price

import backtest_node
from runtime.errors import ConfigurationError, DataError
from runtime.live.limits import attach_limits
from runtime.live.paper_settings import PaperSettings
from runtime.live.recording import SessionRecorder
from runtime.live.recording_files import RowKind, read_rows
from runtime.live.recording_settings import RecordingSettings
from runtime.live.replay import SessionReplay
from strategies.entry_halt import HaltEntries, RearmEntries
from strategies.entry_limits import EntryLimits, LimitRules
from strategies.trade_manager.catch_up import VenueOrder
from strategies.trade_manager.orders import Fill
from tests.integration.engine_harness import instrument_of
from tests.integration.paper_harness import Running, run_node
from tests.integration.test_paper_parity import random_walk

PAPER = PaperSettings(latency_ms=25, time="data", funding="none")
TINY = ImportableStrategyConfig(
    strategy_path="tests.integration.tiny_strategy:TinyStrategy",
    config_path="tests.integration.tiny_strategy:TinyConfig",
    config={"instrument_id": "XRPUSDT-PERP.BINANCE", "every": 50, "hold": 20, "qty": "100"},
)


def recorded_with(
    folder: Path,
    config: ImportableStrategyConfig,
    drive: Any,
    rows: int = 500,
    free_bytes: Any = None,
    limits: Any = None,
) -> tuple[SessionRecorder, Any]:
    """Run a session on paper and record it; return the recorder and what ``drive`` gave."""
    kept: list[SessionRecorder] = []
    plain = {"strategy_path": config.strategy_path, "config_path": config.config_path}
    session = {
        "session_id": "s-1",
        "mode": "paper",
        "trader_id": "PAPER-001",
        "strategies": [{**plain, "config": config.config}],
    }

    def recorder(node: Any) -> SessionRecorder:
        loop = asyncio.get_running_loop()
        if limits is not None:
            attach_limits(node.trader.strategies(), limits)
        kept.append(
            SessionRecorder(
                folder,
                RecordingSettings(rotate_rows=rows, reserve_mb=1000),
                session,
                node.trader.strategies,
                call_soon=loop.call_soon_threadsafe,
                warn=lambda _text: None,
                free_bytes=free_bytes,
            )
        )
        return kept[0]

    found = run_node(instrument_of("margin"), [config], drive, paper=PAPER, recorder=recorder)
    return kept[0], found


def session_of(folder: Path, free_bytes: Any = None) -> tuple[SessionRecorder, int]:
    """Record a strategy that buys and sells; return the recorder and the number of fills."""

    async def drive(running: Running) -> int:
        await running.push(random_walk(instrument_of("margin"), 2000))
        orders = running.node.cache.orders()
        return sum(isinstance(event, OrderFilled) for order in orders for event in order.events)

    return recorded_with(folder, TINY, drive, free_bytes=free_bytes)


@pytest.fixture(scope="module", name="recorded")
def _recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recordings") / "s-1"
    _recorder, fills = session_of(folder)
    assert fills > 40
    return folder


@pytest.mark.node_starts(1)
def test_every_print_and_every_answer_is_a_row(recorded: Path) -> None:
    """The recording has all prints in their order, and the node's orders and answers between them."""
    rows = list(read_rows(recorded))
    prints = [row[5] for row in rows if row[2] == RowKind.TRADE]
    assert prints == random_walk(instrument_of("margin"), 2000)
    assert {row[2] for row in rows} >= {
        RowKind.ORDER_EVENT,
        RowKind.ACCOUNT,
        RowKind.DECISION,
        RowKind.ORDER_SENT,
    }
    assert len(list((recorded / "rows").iterdir())) > 3


@pytest.mark.node_starts(0)
def test_a_replay_decides_the_same(recorded: Path) -> None:
    """Equal hashes over all decisions and orders of the session."""
    found = SessionReplay(recorded).run()
    assert found.first is None
    assert found.decisions == 40
    assert found.orders == 79  # the last purchase is not sold any more
    assert found.recorded_sha256 == found.replayed_sha256


@pytest.mark.node_starts(0)
def test_a_planted_difference_is_located(recorded: Path, tmp_path: Path) -> None:
    """With another setting the first order that is different is named, with what came before it."""
    folder = tmp_path / "s-2"
    shutil.copytree(recorded, folder)
    session = json.loads((folder / "session.json").read_text())
    session["strategies"][0]["config"]["hold"] = 21
    (folder / "session.json").write_text(json.dumps(session))
    found = SessionReplay(folder).run()
    assert found.first is not None
    assert found.first.number == 3  # behind the first decision and its order: the sale of print 70
    assert found.first.recorded["side"] == "SELL"
    assert found.first.replayed is None
    assert "id 70" in found.first.recent[-1]
    assert found.recorded_sha256 != found.replayed_sha256


@pytest.mark.node_starts(0)
def test_the_command_prints_one_object(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`replay --json` says that all was equal and exits with 0."""
    assert backtest_node.main(["replay", str(recorded), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["equal"]


@pytest.mark.node_starts(0)
def test_a_missing_file_is_said(recorded: Path, tmp_path: Path) -> None:
    """A recording with a hole is damaged, and what is none is a wrong argument."""
    folder = tmp_path / "s-3"
    shutil.copytree(recorded, folder)
    (folder / "rows" / "000001.parquet").unlink()
    with pytest.raises(DataError, match="is missing"):
        SessionReplay(folder).run()
    with pytest.raises(ConfigurationError, match="not a recorded session"):
        SessionReplay(tmp_path)


def test_another_start_is_refused(recorded: Path, tmp_path: Path) -> None:
    """What a session began with is part of it: a checkpoint that was edited does not replay."""
    folder = tmp_path / "s-6"
    shutil.copytree(recorded, folder)
    file = folder / "checkpoint.json"
    file.write_text(file.read_text().replace("XRPUSDT", "XRPUSDC", 1))
    with pytest.raises(DataError, match="changed since it was recorded"):
        SessionReplay(folder)


def test_a_killed_session_ends_where_its_rows_do(recorded: Path, tmp_path: Path) -> None:
    """Without its last file it has no stop; what is there decides the same."""
    folder = tmp_path / "s-7"
    shutil.copytree(recorded, folder)
    *_, last = sorted((folder / "rows").iterdir())
    last.unlink()
    found = SessionReplay(folder).run()
    assert found.first is None
    assert found.is_cut
    assert not SessionReplay(recorded).run().is_cut


@pytest.mark.slow
def test_recording_ends_before_the_disk_is_full(tmp_path: Path) -> None:
    """Below the reserve nothing more is written, it is said, and trading goes on."""
    free = [5_000_000_000, 5_000_000_000, 900_000_000]
    recorder, fills = session_of(
        tmp_path / "s-4", free_bytes=lambda _folder: free.pop(0) if len(free) > 1 else free[0]
    )
    assert "900 MB are free" in recorder.stopped
    assert len(list((tmp_path / "s-4" / "rows").iterdir())) == 2
    assert fills > 40


@pytest.mark.slow
def test_timers_messages_and_commands_come_back(tmp_path: Path) -> None:
    """What a strategy heard beside prints is between the same prints again, and said once."""
    folder = tmp_path / "s-5"
    nervous = ImportableStrategyConfig(
        strategy_path="tests.integration.replayed_strategy:Nervous",
        config_path="tests.integration.replayed_strategy:NervousConfig",
        config={"instrument_id": "XRPUSDT-PERP.BINANCE"},
    )

    limits = EntryLimits(LimitRules(max_entries_per_min=4))

    async def drive(running: Running) -> int:
        ticks = random_walk(instrument_of("margin"), 1000)
        bus, (strategy,) = running.node.kernel.msgbus, running.strategies
        await running.push(ticks[:250])
        bus.publish(topic="halt.entries", msg=HaltEntries(ts_ns=1, source="disk", reason="x", remedy="y"))
        await running.push(ticks[250:350])
        bus.publish(topic="rearm.entries", msg=RearmEntries(ts_ns=2, actor="someone"))
        strategy.close_by_hand("enough", "someone")
        strategy.close_unprotected(2.5)
        name = strategy.config.instrument_id
        await running.push([MarkPriceUpdate(name, Price.from_str("0.5000"), 1, 1)])
        strategy.settle_difference(Decimal("0.5"))
        strategy.settle_by_fills([Fill(1, "x", Decimal(2), Decimal("0.25"), Decimal("0.01"))])
        order = VenueOrder("A-1", is_open=False, qty=Decimal(3), filled_qty=Decimal(2))
        strategy.take_picture({"A-1": order}, is_complete=True)
        await asyncio.sleep(0.01)
        await running.push(ticks[350:])
        return int(strategy.count)

    _recorder, count = recorded_with(folder, nervous, drive, limits=limits)
    assert count == 1000
    rows = list(read_rows(folder))
    said = [json.loads(row[4])["reason"] for row in rows if row[2] == RowKind.DECISION]
    assert {"timer", "self", "disk", "someone", "someone: enough", "before", "after", "may"} < set(said)
    assert {
        "watchdog: 2.5",
        "marked: 0.5000",
        "settled: 1.0",
        "sold by others: 0.50",
        "picture: 2 True",
    } < set(said)
    assert said.count("4 entries within 60 s, limit 4") == 6
    found = SessionReplay(folder).run()
    assert found.first is None
    assert found.decisions == len(said)
    assert found.answers == 6
    assert found.recorded_sha256 == found.replayed_sha256
