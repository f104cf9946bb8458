"""The terminal beside a node: started again when it dies, gone when the node is."""

import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.errors import EXIT_MISUSE
from runtime.live import kept_process
from runtime.live.kept_process import KeptProcess
from runtime.live.terminal_process import kept_terminal, terminal_command
from runtime.own_modules import module_command
from tests.ui_server import wait_for

ROOT = Path(__file__).resolve().parents[2]
SLEEPS = [sys.executable, "-c", "import time; time.sleep(60)"]
log = logging.getLogger("smcbot.tests")


def test_a_process_that_dies_is_started_again(caplog: pytest.LogCaptureFixture) -> None:
    """And ended at the end of the block."""
    with KeptProcess(SLEEPS, "the sleeper", log) as kept:
        first = kept.pid
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: kept.starts == 2 and kept.pid != first)
        second = kept.pid
    assert "the sleeper ended with -9; started again" in caplog.text
    with pytest.raises(ProcessLookupError):
        os.kill(second, 0)


def test_one_that_cannot_start_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    """A port that is taken does not become free by asking each second."""
    refused = [sys.executable, "-c", f"raise SystemExit({EXIT_MISUSE})"]
    with kept_terminal(refused) as kept:
        wait_for(lambda: "is not started again" in caplog.text)
        assert kept.starts == 1


@pytest.mark.parametrize("module", ["ui", "runtime.journal", "runtime.live.clean_stderr"])
def test_our_modules_are_found_from_any_folder(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, module: str
) -> None:
    """Also where the folder has a stranger's of the same name; or it would be started again for ever."""
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.chdir(tmp_path)
    for name in ("ui", "runtime"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit(7)")
    with KeptProcess([*module_command(module), "--help"], "the helper", log, hopeless=(0,)):
        wait_for(lambda: "the helper ended with" in caplog.text)
    assert "the helper ended with 0 and is not started again" in caplog.text


def test_one_that_does_not_end_is_killed(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A node that begins anew waits for nobody: its exits are gone until it is back."""
    monkeypatch.setattr(kept_process, "END_SECS", 0.1)
    ready = tmp_path / "ready"
    deaf = f"""
import pathlib, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path({str(ready)!r}).touch()
time.sleep(60)
"""
    with KeptProcess([sys.executable, "-c", deaf], "the deaf one", log) as kept:
        wait_for(ready.exists)
        pid = kept.pid
    assert "the deaf one did not end" in caplog.text
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_one_that_the_system_refuses_stops_nobody_and_is_tried_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither the node's start nor the thread that watches."""
    monkeypatch.setattr(kept_process, "BACKOFF_SECS", 0.1)
    program = tmp_path / "program"
    with KeptProcess([str(program)], "the late one", log) as kept:
        wait_for(lambda: caplog.text.count("the late one cannot be started") >= 2)
        assert (kept.starts, kept.pid) == (0, 0)
        program.symlink_to("/bin/cat")
        wait_for(lambda: kept.starts >= 1)


def test_the_terminal_gets_none_of_the_nodes_secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It serves browsers; its own passwords and the journal's database are what it needs."""
    secrets = {
        "BINANCE_API_KEY": "k" * 20,
        "BYBIT_TESTNET_API_SECRET": "s" * 20,
        "REDIS_PASSWORD": "r" * 20,
        "CACHE": "redis://anna:hunter2hunter2@localhost:6379",
        "TRADING_NOTIFY_URLS": "tgram://123456:abcdefgh/1",
    }
    own = {"SMCBOT_TERMINAL_TOKEN": "t" * 20, "SMCBOT_JOURNAL_URL": "postgresql://a:b@localhost/c"}
    for name, value in (secrets | own).items():
        monkeypatch.setenv(name, value)
    said = tmp_path / "said"
    tell = f"""
import json, os, pathlib, time
new = pathlib.Path({str(said)!r} + ".new")
new.write_text(json.dumps(dict(os.environ)))
new.rename({str(said)!r})
time.sleep(60)
"""
    with kept_terminal([sys.executable, "-c", tell]):
        wait_for(said.exists)
    has = json.loads(said.read_text())
    assert [name for name in secrets if name in has] == []
    assert own.items() <= has.items()
    assert has["PATH"] == os.environ["PATH"]


def test_a_terminal_whose_node_died_ends_by_itself(tmp_path: Path) -> None:
    """A node that is killed leaves no terminal behind."""
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    command = terminal_command("paper", 0, None, str(tmp_path))
    assert command[command.index("--with-parent") + 1] == str(os.getpid())
    command[command.index("--with-parent") + 1] = str(gone.pid)
    ended = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert "terminal at http://127.0.0.1:" in ended.stderr
