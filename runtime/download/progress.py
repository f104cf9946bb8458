"""The one progress line of a download: files, bytes, rate and remaining time, on a terminal only."""

import sys
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, MofNCompleteColumn, Progress, Task, TextColumn, TimeRemainingColumn
from rich.text import Text


class _RateColumn(TextColumn):
    """Bytes so far and bytes per second since the start."""

    def render(self, task: Task) -> Text:
        received = int(task.fields["received_bytes"])
        rate = received / task.elapsed if task.elapsed else 0.0
        return Text(f"{decimal(received)}, {decimal(int(rate))}/s")


class DownloadProgress:
    """Counts files and bytes; shows them while the block runs if stderr is a terminal.

    The remaining time is that of the files: their sizes are not known before they are opened.
    """

    def __init__(self, description: str) -> None:
        self.files_done = self.files_total = self.received_bytes = 0
        self._progress = Progress(
            TextColumn("[progress.description]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("files"),
            _RateColumn(""),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
            disable=not sys.stderr.isatty(),
        )
        self._task = self._progress.add_task(description, total=None, received_bytes=0)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def expect(self, files: int) -> None:
        """Add files to the total; a negative number takes them away."""
        self.files_total += files
        self._progress.update(self._task, total=self.files_total)

    def received(self, count: int) -> None:
        """Count bytes that came in."""
        self.received_bytes += count
        self._progress.update(self._task, received_bytes=self.received_bytes)

    def done(self, files: int = 1) -> None:
        """Count files that are in the catalog, absent or given up."""
        self.files_done += files
        self._progress.advance(self._task, files)
