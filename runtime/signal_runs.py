"""From the folder of a run to a dataset of its signals: everything is in what the strategy put on record.

Taken or skipped makes no difference: each signal has its features as they were decided upon, and the outcome
of its own stop and target. A run that a model filtered will do as well, for no signal is missing from it.
"""

import hashlib
import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from nautilus_trader.model.identifiers import InstrumentId

from ml.dataset import Dataset
from ml.signal_features import MEASURED, schema_hash
from ml.signals import SignalOrigin, dataset_of_rows
from runtime.confluence_scan import interval_of
from runtime.errors import ConfigurationError, DataError
from runtime.run_folder import EVENTS, SUMMARY
from runtime.run_histories import effective_config
from runtime.run_plan import find_strategy
from strategies.confluence_config import signal_terms
from strategies.signal_filter import FEATURE, features_stamp

DECISION: Final = b'{"record":"decision"'
MARK: Final = b'"kind":"signal_'


def dataset_of_run(folder: Path) -> tuple[Dataset, int]:
    """Return the dataset of a finished run's signals, and how many had no outcome when it ended.

    Parameters
    ----------
    folder
        Of the run.

    Raises
    ------
    ConfigurationError
        When it is no finished run, its strategy records no such signals, or another version measured them.
    DataError
        When its files are damaged.
    DatasetError
        When its signals contradict themselves.
    """
    content = effective_config(folder)
    signals, outcomes, sha256 = _records(folder)
    _require_whole(folder, sha256)
    if not signals:
        raise ConfigurationError(
            f"{folder} has no signal with features: its strategy records none, or none reached record_from"
        )
    then, now = {str(one["detail"]["features"]) for one in signals}, features_stamp()
    if then != {now}:
        raise ConfigurationError(
            f"{folder}: its signals were measured by another version "
            f"({', '.join(sorted(then))}, this is {now}): make the run again"
        )
    ended = [(one, outcomes[one["zone_id"]]) for one in signals if one["zone_id"] in outcomes]
    if not ended:
        raise ConfigurationError(f"{folder}: no signal ended within the run: make a longer one")
    entry = content["strategies"][0]
    spec = find_strategy(entry["strategy"])
    config = spec.config_class().parse(msgspec.json.encode(entry["symbols"]["*"]))
    if not hasattr(importlib.import_module(spec.strategy_path.partition(":")[0]), "signal_model"):
        raise ConfigurationError(f"{folder}: {spec.name} has no model of signals")
    timeframe = interval_of(config.ltf_secs)
    fees = {signal["instrument_id"]: outcome["detail"] for signal, outcome in ended}
    origin = SignalOrigin(
        strategy=spec.name,
        strategy_version=str(content["run"]["strategy_version"]),
        parameters={name: signal_terms(config, InstrumentId.from_str(name)) for name in fees},
        fees={name: {"maker": one["target_fee"], "taker": one["entry_fee"]} for name, one in fees.items()},
    )
    rows = [_row(signal, outcome, timeframe) for signal, outcome in ended]
    return dataset_of_rows(rows, folder / EVENTS, sha256, origin), len(signals) - len(ended)


def _records(folder: Path) -> tuple[list[dict[str, Any]], dict[int, dict[str, Any]], str]:
    """Return the measured signals, outcomes by number of the signal, and the SHA-256 of the events."""
    path = folder / EVENTS
    signals: list[dict[str, Any]] = []
    outcomes: dict[int, dict[str, Any]] = {}
    digest, decode = hashlib.sha256(), msgspec.json.Decoder().decode
    try:
        file = path.open("rb")
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing: make the run again") from error
    with file:
        for number, line in enumerate(file, 1):
            digest.update(line)
            if not line.startswith(DECISION) or MARK not in line:
                continue
            try:
                record = decode(line)
                if record["kind"] == "signal_outcome":
                    outcomes[record["zone_id"]] = record
                elif "features" in record["detail"]:
                    signals.append(record)
            except (msgspec.DecodeError, LookupError, TypeError) as error:
                raise DataError(f"{path} line {number} is damaged: make the run again") from error
    return signals, outcomes, digest.hexdigest()


def _require_whole(folder: Path, sha256: str) -> None:
    path = folder / SUMMARY
    try:
        recorded = json.loads(path.read_bytes())["decision_sha256"]
    except FileNotFoundError as error:
        raise ConfigurationError(
            f"{folder} was not finished: it has no {SUMMARY}; wait for it, or make the run again"
        ) from error
    except (ValueError, LookupError, TypeError) as error:
        raise DataError(f"{path} is damaged: make the run again") from error
    if recorded != sha256:
        raise DataError(f"{folder / EVENTS} was edited or damaged after the run: make the run again")


def _row(signal: Mapping[str, Any], outcome: Mapping[str, Any], timeframe: str) -> dict[str, Any]:
    detail, after = signal["detail"], outcome["detail"]
    return {
        "signal_id": str(signal["zone_id"]),
        "instrument_id": signal["instrument_id"],
        "timeframe": timeframe,
        "side": signal["side"],
        "schema_hash": schema_hash(),  # the stamp of the run was checked
        "known_ns": signal["ts_ns"],
        "decided_ns": signal["ts_ns"],
        "closed_ns": outcome["ts_ns"],
        "entry": float(signal["price"]),
        "stop": float(signal["stop"]),
        "target": float(signal["target"]),
        **{name: after[name] for name in ("entry_fee", "stop_fee", "target_fee", "net_r")},
        **{name: detail.get(f"{FEATURE}{name}") for name in MEASURED},
    }


__all__ = ["dataset_of_run"]
