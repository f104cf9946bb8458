"""The journal's writer as a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

from runtime.live.writer_process import writer_command
from runtime.own_modules import module_environment


def test_a_writer_whose_node_died_before_it_began_ends_by_itself(tmp_path: Path) -> None:
    """A node that is killed while its writer starts leaves no process behind."""
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    command = writer_command(tmp_path / "spool", None, tmp_path)
    assert command[command.index("--with-parent") + 1] == str(os.getpid())
    command[command.index("--with-parent") + 1] = str(gone.pid)
    ended = subprocess.run(
        [*command, "--url", f"sqlite:///{tmp_path / 'journal.sqlite'}"],
        cwd=tmp_path,
        env=module_environment(),
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0
