"""What the commands share: datasets within a span, settings by ``--set``, and errors for the operator."""

import argparse
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import xgboost as xgb

from ml.cross_validation import TooFewEventsError
from ml.dataset import Dataset, DatasetError
from ml.dataset_check import require_sound
from ml.model import DAMAGED, ModelRefused, load_for_study
from ml.passport import Passport, PassportError
from ml.train_settings import TrainSettings, TreeSettings
from runtime.cli import did_you_mean, format_ns, iso_time, key_value
from runtime.errors import ConfigurationError, DataError
from runtime.settings import load_settings

TREE_FIELDS = TreeSettings.__struct_fields__
OWN_FIELDS = tuple(name for name in TrainSettings.__struct_fields__ if name not in ("trees", "monotone"))


def add_span(parser: argparse.ArgumentParser) -> None:
    """Add the dataset and which of its decisions are meant."""
    parser.add_argument("dataset", type=Path, metavar="DATASET", help="file that `dataset` wrote")
    parser.add_argument("--start", type=iso_time, metavar="ISO", help="first decision, UTC")
    parser.add_argument(
        "--end", type=iso_time, metavar="ISO", help="labels must be known before this time, UTC"
    )


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add ``--config``, ``--set`` and ``--json``."""
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="settings file whose section `training` is read (default: config.yaml, if there is one)",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        type=key_value,
        metavar="KEY=VALUE",
        help=f"one of {', '.join((*OWN_FIELDS, *TREE_FIELDS))}; repeatable",
    )
    parser.add_argument("--json", action="store_true", help="print exactly one JSON object on stdout")


def settings_of(arguments: argparse.Namespace, **fields: Any) -> TrainSettings:
    """Return the settings: those of the file, above them what other options give, above all ``--set``.

    Raises
    ------
    ConfigurationError
        For an unknown key or a value that does not fit, with what would.
    """
    plain: dict[str, Any] = msgspec.to_builtins(load_settings(arguments.config).training)
    fields["monotone"] = plain["monotone"] | fields.get("monotone", {})
    trees: dict[str, Any] = plain["trees"]
    for key, value in arguments.set:
        if key in TREE_FIELDS:
            trees[key] = value
        elif key in OWN_FIELDS:
            fields[key] = value
        else:
            known = (*OWN_FIELDS, *TREE_FIELDS)
            raise ConfigurationError(f"--set {key}: no such setting{did_you_mean(key, known)}")
    try:
        return msgspec.convert({**plain, **fields, "trees": trees}, TrainSettings, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"--set: {error}") from error


def dataset_of(arguments: argparse.Namespace) -> Dataset:
    """Return the dataset within ``--start`` and ``--end``.

    Raises
    ------
    ConfigurationError
        When it is missing, or the span holds none of it.
    DataError
        When it is damaged.
    """
    data = _load(arguments.dataset)
    inside = np.ones(len(data), dtype=np.bool_)
    if arguments.start is not None:
        inside &= data.t0_ns >= arguments.start
    if arguments.end is not None:
        inside &= data.t1_ns < arguments.end
    if not len(data):
        raise ConfigurationError(f"{arguments.dataset} holds no decision: nothing was looked at in that run")
    if not inside.any():
        span = (
            f"{format_ns(int(data.t0_ns[0]))} to {format_ns(int(data.t1_ns.max()))}" if len(data) else "empty"
        )
        raise ConfigurationError(
            f"{arguments.dataset}: no decision between --start and --end; the dataset is {span}"
        )
    return data.rows(inside)


def _load(path: Path) -> Dataset:
    if path.is_dir():
        raise ConfigurationError(f"{path} is a folder: name a dataset that `python -m ml dataset` wrote")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)  # a missing value where there must be one
            data = Dataset.load(path)
        require_sound(data)
    except DatasetError as error:
        kind = ConfigurationError if isinstance(error.__cause__, FileNotFoundError) else DataError
        text = str(error)
        raise kind(text if path.stem in text else f"{path}: {text}") from error
    except (pa.ArrowException, LookupError, TypeError, ValueError, RuntimeWarning) as error:
        # Hashes fit, so somebody wrote it like this: what it holds is no dataset.
        text = " ".join(str(error).split())
        raise DataError(f"{path} holds no dataset ({type(error).__name__}: {text}): make it again") from error
    return data


@contextmanager
def operator_errors(where: str) -> Iterator[None]:
    """Turn what the pure part raises into errors with an exit code, naming the file.

    `TooFewEventsError` is an answer rather than an error and passes.
    """
    try:
        yield
    except TooFewEventsError:
        raise
    except (DatasetError, PassportError) as error:
        raise DataError(f"{where}: {error}") from error
    except xgb.core.XGBoostError as error:
        raise DataError(f"{where}: XGBoost: {str(error).partition('Stack trace')[0].strip()}") from error
    except ValueError as error:
        raise ConfigurationError(f"{where}: {error}") from error


def model_of(folder: Path) -> tuple[Passport, xgb.Booster]:
    """Return the model of a folder for study, loaded as guardedly as one that decides.

    Raises
    ------
    ConfigurationError
        When there is none.
    DataError
        When a file is damaged, swapped, or answers otherwise than recorded.
    """
    if not folder.is_dir():
        raise ConfigurationError(f"{folder} is no folder of a model: train one with `python -m ml train`")
    try:
        return load_for_study(folder)
    except ModelRefused as error:
        kind = DataError if error.reason in DAMAGED else ConfigurationError
        raise kind(f"{folder}: {error}") from error
