"""The one progress line of a download: files, bytes, rate, remaining time, REST pages; on a terminal only."""

import sys
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)


class DownloadProgress:
    """Counts files and bytes; shows them while the block runs if stderr is a terminal.

    The size of a file is known when it is opened; one that is not open yet counts as the mean. Of what comes
    by REST nobody knows the length before its end: its pages and rows are counted.
    """

    def __init__(self, description: str) -> None:
        self.files_done = self.files_total = self.files_opened = 0
        self.received_bytes = self.opened_bytes = 0
        self.rest_pages = self.rest_rows = 0
        self._progress = Progress(
            TextColumn("[progress.description]{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[files]} files"),
            TextColumn("{task.fields[rest]}"),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
            disable=not sys.stderr.isatty(),
        )
        self._task = self._progress.add_task(description, total=None, files="0/0", rest="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    @property
    def expected_bytes(self) -> int | None:
        """Estimate of all bytes; None before the first file is open."""
        if not self.files_opened:
            return None
        unopened = max(0, self.files_total - max(self.files_opened, self.files_done))
        return self.opened_bytes + unopened * self.opened_bytes // self.files_opened

    def expect(self, files: int) -> None:
        """Add files to the total."""
        self.files_total += files
        self._show()

    def opened(self, size_bytes: int) -> None:
        """Count a file of which so many bytes will come."""
        self.files_opened += 1
        self.opened_bytes += size_bytes
        self._show()

    def received(self, count: int) -> None:
        """Count bytes that came in."""
        self.received_bytes += count
        self._show()

    def done(self, files: int = 1) -> None:
        """Count files that are in the catalog, absent or given up."""
        self.files_done += files
        self._show()

    def paged(self, rows: int) -> None:
        """Count a page of so many rows that came by REST and is on the disk."""
        self.rest_pages += 1
        self.rest_rows += rows
        self._show()

    @property
    def rest_words(self) -> str:
        """Pages and rows by REST in words, empty before the first."""
        return f"{self.rest_pages:,} REST pages, {self.rest_rows:,} rows" if self.rest_pages else ""

    def _show(self) -> None:
        self._progress.update(
            self._task,
            completed=self.received_bytes,
            total=self.expected_bytes,
            files=f"{self.files_done}/{self.files_total}",
            rest=self.rest_words,
        )
