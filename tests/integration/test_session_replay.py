"""A recorded session decides the same again; a difference that was planted is found where it is."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from nautilus_trader.config import ImportableStrategyConfig
from nautilus_trader.model.events import OrderFilled

import backtest_node
from runtime.errors import ConfigurationError, DataError
from runtime.live.paper_settings import PaperSettings
from runtime.live.recording import RecordingSettings, SessionRecorder
from runtime.live.recording_files import RowKind, read_rows
from runtime.live.replay import SessionReplay
from tests.integration.engine_harness import instrument_of
from tests.integration.paper_harness import Running, run_node
from tests.integration.test_paper_parity import random_walk

PAPER = PaperSettings(latency_ms=25, time="data", funding="none")
TINY = ImportableStrategyConfig(
    strategy_path="tests.integration.tiny_strategy:TinyStrategy",
    config_path="tests.integration.tiny_strategy:TinyConfig",
    config={"instrument_id": "XRPUSDT-PERP.BINANCE", "every": 50, "hold": 20, "qty": "100"},
)


def session_of(folder: Path, free_bytes: Any = None, rows: int = 500) -> tuple[Any, int]:
    """Run a session on paper and record it; return the recorder and the number of fills."""
    instrument = instrument_of("margin")
    kept: list[SessionRecorder] = []
    session = {
        "session_id": "s-1",
        "mode": "paper",
        "trader_id": "PAPER-001",
        "strategies": [
            {"strategy_path": TINY.strategy_path, "config_path": TINY.config_path, "config": TINY.config}
        ],
    }

    def recorder(node: Any) -> SessionRecorder:
        kept.append(
            SessionRecorder(
                folder,
                RecordingSettings(rotate_rows=rows, reserve_mb=1000),
                session,
                node.trader.strategies,
                warn=lambda _text: None,
                free_bytes=free_bytes,
            )
        )
        return kept[0]

    async def drive(running: Running) -> int:
        await running.push(random_walk(instrument, 2000))
        orders = running.node.cache.orders()
        return sum(isinstance(event, OrderFilled) for order in orders for event in order.events)

    return kept, run_node(instrument, [TINY], drive, paper=PAPER, recorder=recorder)


@pytest.fixture(scope="module", name="recorded")
def _recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recordings") / "s-1"
    _recorder, fills = session_of(folder)
    assert fills > 40
    return folder


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


def test_a_replay_decides_the_same(recorded: Path) -> None:
    """Equal hashes over all decisions and orders of the session."""
    found = SessionReplay(recorded).run()
    assert found.first is None
    assert found.decisions == 40
    assert found.orders == 79  # the last purchase is not sold any more
    assert found.recorded_sha256 == found.replayed_sha256


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


def test_the_command_prints_one_object(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`replay --json` says that all was equal and exits with 0."""
    assert backtest_node.main(["replay", str(recorded), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["equal"]


def test_a_missing_file_is_said(recorded: Path, tmp_path: Path) -> None:
    """A recording with a hole is damaged, and what is none is a wrong argument."""
    folder = tmp_path / "s-3"
    shutil.copytree(recorded, folder)
    (folder / "rows" / "000001.parquet").unlink()
    with pytest.raises(DataError, match="is missing"):
        SessionReplay(folder).run()
    with pytest.raises(ConfigurationError, match="not a recorded session"):
        SessionReplay(tmp_path)


def test_recording_ends_before_the_disk_is_full(tmp_path: Path) -> None:
    """Below the reserve nothing more is written, it is said, and trading goes on."""
    free = [5_000_000_000, 5_000_000_000, 900_000_000]
    (recorder,), fills = session_of(
        tmp_path / "s-4", free_bytes=lambda _folder: free.pop(0) if len(free) > 1 else free[0]
    )
    assert "900 MB are free" in recorder.stopped
    assert len(list((tmp_path / "s-4" / "rows").iterdir())) == 2
    assert fills > 40
