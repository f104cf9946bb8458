"""The state file of a node: what was stored is there after a kill, in order, as long as it matters."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from runtime.errors import DataError
from runtime.live.state import REMEMBERED, StateFile
from strategies.setup_keeper import DeskMemory
from strategies.trade_manager import setup_state
from strategies.trade_manager.setup import Setup
from strategies.trade_manager.setup_rules import ExitRules, Identity
from tests.unit.test_protection_of_setups import LONG, Desk, entered, market_of

NAMES = "S-1", "XYZUSDT.BINANCE"


def setup_named(name: str, *, is_closed: bool = False) -> Setup:
    """Return a setup of the desk `NAMES`, sent or already over."""
    identity = Identity("OTE", "XYZUSDT", *NAMES, name)
    setup = Setup(identity, LONG, market_of("margin", 5), Desk().row, ExitRules())
    setup.submit(0)
    if is_closed:
        setup.on_rejected(setup.entry_id, "no money", 1, due_post_only=False)
    return setup


def test_setups_come_back_in_the_order_in_which_they_began(tmp_path: Path) -> None:
    """Closed ones too, for their late reports; a state that is written again keeps its place."""
    path = tmp_path / "state.sqlite"
    file = StateFile(path)
    for name in ("b", "a", "c"):
        file.put_setup(setup_named(name), is_intent=True)
    file.put_setup(setup_named("b", is_closed=True), is_intent=False)
    file.close()
    again = StateFile(path)
    states = again.setups(*NAMES)
    assert [one.identity.setup_id for one in states] == ["b", "a", "c"]
    assert again.living() == [(*NAMES, "a"), (*NAMES, "c")]
    assert again.setups("S-2", NAMES[1]) == []


def test_a_setup_is_stored_to_the_last_field(tmp_path: Path) -> None:
    """Bytes in, bytes out."""
    file = StateFile(tmp_path / "state.sqlite")
    setup = entered().setup
    file.put_setup(setup, is_intent=False)
    (state,) = file.setups(setup.identity.strategy_id, setup.identity.instrument_id)
    back = setup_state.restored(state, market_of("margin", 5), setup._venue, setup._rules)
    assert setup_state.to_bytes(back) == setup_state.to_bytes(setup)


def test_old_closed_setups_are_forgotten_but_not_that_they_were_used(tmp_path: Path) -> None:
    """A zone of last week must not be entered again, its orders will not report any more."""
    path = tmp_path / "state.sqlite"
    file = StateFile(path)
    file.put_setup(setup_named("alive"), is_intent=True)
    for number in range(REMEMBERED + 20):
        file.put_setup(setup_named(f"n{number}", is_closed=True), is_intent=False)
    file.close()
    again = StateFile(path)
    names = [one.identity.setup_id for one in again.setups(*NAMES)]
    assert names == ["alive", *(f"n{number}" for number in range(20, REMEMBERED + 20))]
    assert again.was_used(*NAMES, "n0")
    assert not again.was_used(*NAMES, "n99")


def test_what_was_stored_survives_a_kill(tmp_path: Path) -> None:
    """The process dies right after the write, without closing anything."""
    path = tmp_path / "state.sqlite"
    code = (
        "import os, signal\n"
        "from pathlib import Path\n"
        "from runtime.live.state import StateFile\n"
        "from tests.unit.test_state_file import setup_named\n"
        f"StateFile(Path({str(path)!r})).put_setup(setup_named('x'), is_intent=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == -9
    assert StateFile(path).living() == [(*NAMES, "x")]


def test_what_was_written_over_survives_a_kill(tmp_path: Path) -> None:
    """The second write of a setup, one statement without words around it, as an exit's intent is."""
    path = tmp_path / "state.sqlite"
    code = (
        "import os, signal\n"
        "from pathlib import Path\n"
        "from runtime.live.state import StateFile\n"
        "from tests.unit.test_state_file import setup_named\n"
        f"file, setup = StateFile(Path({str(path)!r})), setup_named('x')\n"
        "file.put_setup(setup, is_intent=True)\n"
        "setup.last_price = 7.0\n"
        "file.put_setup(setup, is_intent=False)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == -9
    (state,) = StateFile(path).setups(*NAMES)
    assert state.last_price == 7.0


def test_a_setup_that_was_forgotten_is_stored_anew(tmp_path: Path) -> None:
    """There is nothing to write over any more: a late report of its orders brings it back."""
    path = tmp_path / "state.sqlite"
    file, late = StateFile(path), setup_named("late", is_closed=True)
    file.put_setup(late, is_intent=False)
    file._db.execute("DELETE FROM setups")
    late.last_price = 7.0
    file.put_setup(late, is_intent=False)
    file.close()
    assert [one.last_price for one in StateFile(path).setups(*NAMES)] == [7.0]


def test_a_disk_that_refuses_a_single_statement_is_an_os_error(tmp_path: Path) -> None:
    """And the next write, when it takes them again, is whole."""
    file, setup = StateFile(tmp_path / "state.sqlite"), setup_named("x")
    file.put_setup(setup, is_intent=True)
    setup.last_price = 7.0
    file._db.execute("ALTER TABLE setups RENAME TO away")
    with pytest.raises(OSError, match="setups"):
        file.put_setup(setup, is_intent=False)
    file._db.execute("ALTER TABLE away RENAME TO setups")
    file.put_setup(setup, is_intent=False)
    assert [one.last_price for one in file.setups(*NAMES)] == [7.0]


def test_only_one_process_has_it(tmp_path: Path) -> None:
    """A second node on the same state would undo what the first does."""
    path = tmp_path / "state.sqlite"
    first = StateFile(path)
    first.put_setup(setup_named("x"), is_intent=True)
    with pytest.raises(DataError, match="another node"):
        StateFile(path)
    first.close()


def test_a_damaged_state_stops_the_start(tmp_path: Path) -> None:
    """Half a memory of a position is worse than none: a person must look."""
    path = tmp_path / "state.sqlite"
    file = StateFile(path)
    file.put_setup(setup_named("x"), is_intent=True)
    file.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("UPDATE setups SET state = x'00'")
    with pytest.raises(DataError, match="setup x of XYZUSDT"):
        StateFile(path).setups(*NAMES)
    (tmp_path / "text").write_text("this is no database, it is a letter to the operator" * 50)
    with pytest.raises(DataError, match="cannot be read"):
        StateFile(tmp_path / "text")


def test_a_setup_and_what_its_desk_knows_are_stored_together(tmp_path: Path) -> None:
    """One without the other would lose the dust of a closed setup, or count it twice."""
    path = tmp_path / "state.sqlite"
    file = StateFile(path)
    file.put_setup(setup_named("L1"), is_intent=True)
    memory = DeskMemory(dust_qty="0.09", dust_value="9")
    file._db.execute("ALTER TABLE desks RENAME TO away")
    with pytest.raises(OSError, match="desks"):
        file.put_setup(setup_named("L1", is_closed=True), is_intent=False, memory=memory)
    assert [one[2] for one in file.living()] == ["L1"]
    file._db.execute("ALTER TABLE away RENAME TO desks")
    file.put_setup(setup_named("L1", is_closed=True), is_intent=False, memory=memory)
    assert (file.living(), file.desk(*NAMES)) == ([], memory)


def test_what_says_nothing_is_not_written() -> None:
    """Fields of a newer version, unless they are used: an older one refuses what it does not know."""
    assert msgspec.json.decode(msgspec.json.encode(DeskMemory(dust_qty="0.09"))) == {"dust_qty": "0.09"}
    assert setup_state.SetupState.__struct_config__.omit_defaults


def test_desks_and_strategies_keep_what_they_know(tmp_path: Path) -> None:
    """Dust, the rules of the living trade, and the pauses of the guards."""
    path = tmp_path / "state.sqlite"
    file = StateFile(path)
    memory = DeskMemory(dust_qty="0.09", dust_value="9", leverage=3, phase="TRAILING", best_close=101.5)
    file.put_setup(setup_named("L1"), is_intent=False, memory=memory)
    file.put_strategy("S-1", {"guards": b"paused"})
    file.close()
    again = StateFile(path)
    assert again.desk(*NAMES) == memory
    assert again.desk("S-2", NAMES[1]) is None
    assert again.strategy("S-1") == {"guards": b"paused"}
