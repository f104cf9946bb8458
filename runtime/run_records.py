"""What a run left in its folder, read back: for comparisons, and for whoever asks afterwards."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from runtime.errors import ConfigurationError, DataError
from runtime.run_folder import EFFECTIVE_CONFIG, SUMMARY, read_trades
from strategies.trade_manager.record import ClosedTrade

NEEDED: Final = ("run_id", "start", "end")


@dataclass(frozen=True, slots=True)
class FolderRecords:
    """A run folder's contents, in the shape of `ui.reports.compare.RunRecords`.

    Parameters
    ----------
    name
        Name of the folder, the run id.
    summary, config
        `summary.json` and `config.effective.yaml`.
    trades
        Closed trades in order of exit.
    """

    name: str
    summary: Mapping[str, Any]
    config: Mapping[str, Any]
    trades: Sequence[ClosedTrade]


def find_run(word: str, runs: Path) -> Path:
    """Return the folder of a run, given as a path or by its id.

    Parameters
    ----------
    word
        Path of the folder, or its name below `runs`.
    runs
        Where runs are kept.

    Raises
    ------
    ConfigurationError
        When there is no such folder, or no finished run in it.
    """
    for folder in (Path(word), runs / word):
        if folder.is_dir():
            if not (folder / SUMMARY).is_file():
                raise ConfigurationError(f"{folder}: no {SUMMARY}: not a run, or one that did not finish")
            return folder
    raise ConfigurationError(f"{word}: no such run, neither as a folder nor in {runs}")


def read_run(folder: Path) -> FolderRecords:
    """Read a run back.

    Raises
    ------
    DataError
        When a file is missing or damaged.
    """
    try:
        summary = msgspec.json.decode((folder / SUMMARY).read_bytes(), type=dict[str, Any])
        config = yaml.safe_load((folder / EFFECTIVE_CONFIG).read_text(encoding="utf-8"))
        trades = read_trades(folder, ClosedTrade)
    except FileNotFoundError as error:
        raise DataError(f"{error.filename}: missing; the run is not complete, repeat it") from error
    except (msgspec.DecodeError, yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        raise DataError(f"{folder}: damaged, repeat the run: {error}") from error
    missing = [name for name in NEEDED if name not in summary]
    if missing:
        raise DataError(f"{folder / SUMMARY}: no {', '.join(missing)}: not the summary of a run")
    return FolderRecords(folder.resolve().name, summary, config or {}, trades)
