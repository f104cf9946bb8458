"""From the folder of a run to the history of its entries: nothing is replayed, everything is checked.

What the run said it did is held against what is there: settings, events, files of the catalog, version of the
kernels. A dataset made from anything else would be wrong without a sign of it.
"""

import copy
import hashlib
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from ml.labels import Labeller, OrderLabel
from runtime.cli import iso_time
from runtime.entry_watch import OrderHistory, histories_of
from runtime.errors import ConfigurationError, DataError
from runtime.run_entries import ENTRIES, Origin, keeps_all, origin_of, read_entries
from runtime.run_folder import EFFECTIVE_CONFIG, EVENTS, SUMMARY
from runtime.run_plan import RunPlan, plan_run
from runtime.run_request import RunRequest
from runtime.settings import RESERVED_PARAMETERS, load_settings, settings_hash

# What else a label needs to see; the first bytes of a line tell its kind.
WANTED_RECORDS: Final = (b'{"record":"order"', b'{"record":"trade"', b'{"record":"decision"')
# Fields of `Origin` and what it means for the user when they changed.
REPAIRS: Final[Mapping[str, tuple[str, type[ConfigurationError | DataError]]]] = {
    "kernel_sha256": ("was made by another version of buckets, structure or features", ConfigurationError),
    "strategy_version": ("was made by another version of the strategy", ConfigurationError),
    "files": ("was made from other trades: the catalog has changed since", DataError),
    "ticks": ("was made from other trades: the catalog has changed since", DataError),
    "first_ns": ("was made from other trades: the catalog has changed since", DataError),
    "last_ns": ("was made from other trades: the catalog has changed since", DataError),
    "fills": ("filled its orders by other rules or fees than its settings now mean", DataError),
    "config_sha256": ("has settings that were edited after it", DataError),
    "decision_sha256": ("has events that were edited or damaged after it", DataError),
}


def read_run(folder: Path, catalog: Path | None = None) -> tuple[RunPlan, dict[str, OrderHistory]]:
    """Return the plan of a finished, ungated run, and the entry orders of each of its instruments.

    Parameters
    ----------
    folder
        Of the run.
    catalog
        Where its catalog is now; None for where it was.

    Raises
    ------
    ConfigurationError
        When it is no run, a gate chose its orders, it was not finished, or was made by another version.
    DataError
        When its files are damaged, or its catalog has changed since.
    """
    content = effective_config(folder)
    _require_complete(folder, content)
    try:
        origin, wanted = read_entries(folder)
    except FileNotFoundError:
        raise ConfigurationError(
            f"{folder} has no {ENTRIES}: its strategy rests no entries, or an older version made it; "
            "make the run again"
        ) from None
    plan = plan_run(_request(copy.deepcopy(content), catalog))
    labels, decision_sha256 = _labels(folder / EVENTS, plan.last_ts_ns)
    _require_same(folder, origin, origin_of(plan, decision_sha256, content["config_sha256"]))
    return plan, histories_of(labels, wanted)


def effective_config(folder: Path) -> dict[str, Any]:
    """Return the settings of a run, after their hash was checked.

    Raises
    ------
    ConfigurationError
        When the folder is no run.
    DataError
        When they were edited.
    """
    path = folder / EFFECTIVE_CONFIG
    try:
        content: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
        _ = content["run"]["start"], content["run"]["end"], content["config_sha256"]
        _ = [one["symbols"].values() for one in content["strategies"]]
    except (OSError, yaml.YAMLError, LookupError, TypeError, AttributeError) as error:
        raise ConfigurationError(
            f"{folder} is no run: {EFFECTIVE_CONFIG} cannot be read ({error}); give a folder of var/runs"
        ) from error
    plain = {name: value for name, value in content.items() if name != "config_sha256"}
    if settings_hash(plain) != content["config_sha256"]:
        raise DataError(f"{path} was edited after the run: its hash differs; make the run again")
    return content


def _require_complete(folder: Path, content: Mapping[str, Any]) -> None:
    parameters = [one for entry in content["strategies"] for one in entry["symbols"].values()]
    if not (folder / SUMMARY).exists():
        raise ConfigurationError(
            f"{folder} was not finished: it has no {SUMMARY}; wait for it, or make the run again"
        )
    for one in parameters:
        if one.get("model") or not keeps_all({"cancel_policy": one.get("cancel_policy"), "model": ""}):
            gate = f"model {one['model']}" if one.get("model") else f"policy {one.get('cancel_policy')}"
            raise ConfigurationError(
                f"{folder} was gated by {gate}: what it left over is a selection, and nothing can be learnt "
                "of orders it took back; make the run without it, or give --catalog"
            )


def _request(content: dict[str, Any], catalog: Path | None) -> RunRequest:
    """Return the request of a run, from its effective settings."""
    plain = {name: value for name, value in content.items() if name not in ("run", "config_sha256")}
    for entry in plain["strategies"]:
        for parameters in entry["symbols"].values():
            for name in RESERVED_PARAMETERS:
                parameters.pop(name, None)
    # Through a file, so that it is checked as any settings are.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / EFFECTIVE_CONFIG
        path.write_text(yaml.safe_dump(plain, allow_unicode=True), encoding="utf-8")
        settings = load_settings(path)
    start, end = (content["run"][name] for name in ("start", "end"))
    return RunRequest(
        settings=settings,
        source=EFFECTIVE_CONFIG,
        catalog=Path(settings.catalog) if catalog is None else catalog,
        start_ns=None if start is None else iso_time(start),
        end_ns=None if end is None else iso_time(end),
    )


def _labels(path: Path, last_ns: int) -> tuple[list[OrderLabel], str]:
    """Return what became of every entry, and the SHA-256 of the events."""
    labeller, digest = Labeller(), hashlib.sha256()
    decode = msgspec.json.Decoder().decode
    try:
        file = path.open("rb")
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing: make the run again") from error
    with file:
        for number, line in enumerate(file, 1):
            digest.update(line)
            if line.startswith(WANTED_RECORDS):
                try:
                    labeller.take(decode(line))
                except (msgspec.DecodeError, LookupError, TypeError, ValueError) as error:
                    raise DataError(f"{path} line {number} is damaged: make the run again") from error
    return labeller.labels(last_ns), digest.hexdigest()


def _require_same(folder: Path, then: Origin, now: Origin) -> None:
    for name, (meaning, kind) in REPAIRS.items():
        if getattr(then, name) != getattr(now, name):
            raise kind(f"{folder} {meaning} ({name} differs): make the run again")
