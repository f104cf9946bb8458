"""Worker processes that parse and write, so that the process with the connections stays free."""

import multiprocessing
import os
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path

from runtime.importer import ImportRequest, import_files


@dataclass(frozen=True, slots=True)
class Imported:
    """What a worker says about the files that it imported."""

    rows_added: int
    duplicates: int
    replaced: int
    warnings: tuple[str, ...]


def import_batch(request: ImportRequest, catalog: Path) -> Imported:
    """Import files, all or none of them; raises as :func:`runtime.importer.import_files`."""
    report = import_files(request, catalog)
    warnings = [f"skipped {example}" for example in report.bad.examples]
    warnings += report.refined
    if report.inferred:
        instrument = report.instrument
        warnings.append(
            f"{instrument.id}: {' and '.join(report.inferred)} inferred from the decimals in the files: "
            f"{instrument.price_increment}, {instrument.size_increment}"
        )
    written = report.outcome.write
    return Imported(written.added, report.outcome.duplicates, written.replaced, tuple(warnings))


@contextmanager
def worker_pool(workers: int, preload: str = "runtime.download.worker_start") -> Iterator[Executor]:
    """Give a pool of processes; leaving the block waits for the write under way and drops the rest.

    `preload` names the module that the workers need; the first pool of a process decides.
    """
    # Not fork: this process has threads. The server imports once, each worker is a quick fork of it.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([preload])
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_prepare)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _prepare() -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this process when its parent is killed: nobody would take the results, and it holds locks."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
