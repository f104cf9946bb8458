"""What the server says of itself when something is not there: its paths are for operators alone."""

from pathlib import Path
from typing import Any

import pytest

from tests.ui_server import OPERATOR_TOKEN, VIEWER_TOKEN, make_server
from ui.attached.data import DataWorker
from ui.attached.journal import JournalReader
from ui.server.jobs import Job
from ui.server.ports import Unavailable

COIN = "XRPUSDT.BINANCE"
DONE = "00000000-0000-4000-8000-000000000001"
FAILED = "00000000-0000-4000-8000-000000000002"


class Refusing:
    """A catalog that is damaged, in the words of the rest of the program."""

    def ask(self, name: str, *args: Any) -> Any:
        """Refuse."""
        raise Unavailable(f"{args[0]}: damaged: import it again", names_paths=True)


class TradesAlone:
    """A catalog that has trades of a coin, and no klines."""

    def ask(self, name: str, *_: Any) -> Any:
        """Answer."""
        if name == "pairs":
            return [{"instrument": COIN, "kind": "trades"}]
        raise Unavailable("it has no klines: import or download some", names_paths=True)


class Kept:
    """A job that failed with a path in its words, and one that is done."""

    def all(self, _: str) -> list[Job]:
        """Return both."""
        return [found for name in (DONE, FAILED) if (found := self.find(name)) is not None]

    def find(self, name: str) -> Job | None:
        """Return one."""
        plain = {"kind": "backtest", "progress": 1.0, "asked": {}, "by": "anna", "created": 1}
        if name == FAILED:
            return Job(id=name, state="failed", error="/srv/bot/catalog: no trades", **plain)  # type: ignore[arg-type]
        return Job(id=name, state="done", **plain)  # type: ignore[arg-type]

    def output(self, _: str) -> Any:
        """Return a result."""
        return {"pnl": 1.0, "run_dir": "/srv/bot/var/runs/r1"}


def told(ports: Any, path: str, status: int) -> tuple[str, str]:
    """Return what an operator and a viewer are answered."""
    server = make_server(ports=ports)
    answers = [server.browser(token)[0].get(f"/api/v1/{path}") for token in (OPERATOR_TOKEN, VIEWER_TOKEN)]
    assert [one.status_code for one in answers] == [status] * 2
    return answers[0].text, answers[1].text


@pytest.mark.parametrize("path", [f"candles?instrument={COIN}", f"structure?instrument={COIN}", "models"])
def test_why_data_cannot_be_read_is_told_in_full_to_operators(path: str, tmp_path: Path) -> None:
    """A viewer hears that it is so, and who knows more."""
    places = {name: str(tmp_path / name) for name in ("catalog", "structure", "models")}
    operator, viewer = told({"data": Refusing(), "places": places}, path, 404)
    assert str(tmp_path) in operator
    assert str(tmp_path) not in viewer
    assert "an operator sees why" in viewer


def test_words_of_the_server_itself_are_told_to_everybody() -> None:
    """They name nothing of it."""
    operator, viewer = told({"places": {"catalog": "/srv/bot"}}, f"candles?instrument={COIN}", 404)
    assert operator == viewer
    assert "this terminal reads no catalogs" in viewer


def test_words_of_the_rest_of_the_program_may_name_paths(tmp_path: Path) -> None:
    """Those of the journal and of the process that reads data."""
    (tmp_path / "journal.sqlite").write_bytes(b"no database at all, and long enough to be read as one" * 20)
    with pytest.raises(Unavailable) as of_journal:
        JournalReader(f"sqlite:///{tmp_path}/journal.sqlite").trade_stats({})
    assert of_journal.value.names_paths
    worker = DataWorker()
    worker._answer = lambda *_: (False, "/srv/bot: damaged")  # type: ignore[method-assign]
    with pytest.raises(Unavailable) as of_data:
        worker.ask("models", "/srv/bot")
    assert of_data.value.names_paths


@pytest.mark.parametrize("has_catalog", [True, False])
def test_a_catalog_without_klines_ranks_nothing(has_catalog: bool, tmp_path: Path) -> None:
    """It is no fault: the page would have an error in the console."""
    places = {"catalog": str(tmp_path if has_catalog else tmp_path / "none")}
    answers = told({"data": TradesAlone(), "places": places}, "scan/volatility?timeframe=5m", 200)
    assert answers == ('{"by":"atr_pct","bars":100,"timeframes":[]}',) * 2


def test_backtests_tell_viewers_no_paths() -> None:
    """Neither where one failed nor where its run is."""
    ports = {"jobs": Kept()}
    for path in ("backtests", f"backtests/{FAILED}"):
        operator, viewer = told(ports, path, 200)
        assert "/srv/bot/catalog: no trades" in operator
        assert "/srv" not in viewer
        assert "it failed; an operator sees why" in viewer
    operator, viewer = told(ports, f"backtests/{DONE}", 200)
    assert '"run_dir":"/srv/bot/var/runs/r1"' in operator
    assert '"run_dir":"r1"' in viewer
