"""The model decisions of a finished run, explained: ``contributions.jsonl`` beside its other files.

Read from `events.jsonl` after the end, so that neither the run nor its `decision_sha256` knows of it. The log
is read twice: first for where the decisions are and what became of them, then the chosen ones, in batches.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import batched
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from ml.contributions import Explained, Explainer, most_lowering
from ml.model import ModelRefused, Refusal
from runtime.backtest import RunResult
from runtime.run_folder import EVENTS

CONTRIBUTIONS: Final = "contributions.jsonl"
MOST_ROWS: Final = 20_000
"""Decisions explained per instrument: all cancels come first, then keeps, evenly."""
BATCH: Final = 1_000
_ASKED: Final = b'"kind":"cancel_asked"'
_OUTCOME: Final = b'"kind":"cancel_outcome"'
_TRADE: Final = b'{"record":"trade"'


class _Detail(msgspec.Struct, frozen=True):
    action: str = ""


class _Head(msgspec.Struct, frozen=True):
    """What of a record says which decision it belongs to; the rest is not even decoded."""

    record: str
    instrument_id: str
    setup_id: str
    kind: str = ""
    reason: str = ""
    exit_reason: str = ""
    detail: _Detail = _Detail()


@dataclass(slots=True)
class _Asked:
    """Where a published decision stands in the log, and what became of its order."""

    offset: int
    is_cancel: bool
    outcome: str | None = None


def explain_result(result: RunResult) -> dict[str, dict[str, Any]]:
    """Explain the decisions of a run that a model gated, see `explain_run`; empty where none did."""
    folders = {str(one.config["instrument_id"]): one.config.get("model") for one in result.plan.strategies}
    models = {
        name: (str(folders[name]), str(report["model_sha256"]))
        for name, report in result.gates.items()
        if "model_sha256" in report
    }
    return explain_run(result.folder.path, models)


def explain_run(folder: Path, models: Mapping[str, tuple[str, str]]) -> dict[str, dict[str, Any]]:
    """Write ``contributions.jsonl`` of a run and return what its summary says about it.

    One line per published decision: every cancel, of the keeps the first per bucket.

    Parameters
    ----------
    folder
        Of the run, with a complete ``events.jsonl``.
    models
        Folder of the model and the hash of the model that decided, by instrument id.

    Returns
    -------
    dict
        By instrument id: ``file``, ``decisions`` explained, ``unscored`` ones, ``left_out`` beyond 20,000,
        ``disagreeing`` (the model gives another probability than was recorded: always 0), and
        ``lowered_most``, see `ml.contributions.most_lowering`; or ``refused`` with the reason.
    """
    if not models:
        return {}
    found: dict[str, dict[str, Any]] = {}
    unfinished = folder / f".{CONTRIBUTIONS}.partial"
    with (folder / EVENTS).open("rb") as log, unfinished.open("wb") as file:
        asked_of = _find(log)
        for instrument_id, (model, sha256) in models.items():
            try:
                explainer = _explainer(model, sha256)
            except ModelRefused as error:
                found[instrument_id] = {"refused": str(error)}
                continue
            found[instrument_id] = _write(explainer, asked_of.get(instrument_id, []), log, file)
    unfinished.replace(folder / CONTRIBUTIONS)
    return found


def _explainer(model: str, sha256: str) -> Explainer:
    explainer = Explainer.load(model)
    if explainer.passport.model_sha256 != sha256:
        raise ModelRefused(Refusal.MODEL_DAMAGED, f"{model} was replaced while the run went on")
    return explainer


def _find(log: BinaryIO) -> dict[str, list[_Asked]]:
    """Find decisions by instrument: of a cancel what the venue said, of a keep how its trade ended."""
    found: dict[str, list[_Asked]] = {}
    # A setup's id says direction, time and zone: two instruments can have the same.
    cancels: dict[tuple[str, str], _Asked] = {}
    keeps: dict[tuple[str, str], list[_Asked]] = {}
    decoder = msgspec.json.Decoder(_Head)
    for offset, line in _lines(log):
        head = decoder.decode(line)
        setup = head.instrument_id, head.setup_id
        if head.record == "trade":
            for one in keeps.pop(setup, ()):
                one.outcome = head.exit_reason
        elif head.kind == "cancel_outcome":
            if (cancel := cancels.get(setup)) is not None:
                cancel.outcome = head.reason  # a refused one may have another, and that is the last word
        else:
            one = _Asked(offset, head.detail.action == "cancel")
            found.setdefault(head.instrument_id, []).append(one)
            if one.is_cancel:
                cancels[setup] = one
            else:
                keeps.setdefault(setup, []).append(one)
    return found


def _lines(log: BinaryIO) -> Iterator[tuple[int, bytes]]:
    offset = 0
    for line in log:
        if _ASKED in line or _OUTCOME in line or line.startswith(_TRADE):
            yield offset, line
        offset += len(line)


def _write(explainer: Explainer, asked: Sequence[_Asked], log: BinaryIO, file: BinaryIO) -> dict[str, Any]:
    chosen = _chosen(asked)
    counts: Counter[str] = Counter()
    cancels: list[Explained] = []
    for batch in batched(chosen, BATCH):
        records = [_record(log, one) for one in batch]
        for one, record, why in zip(batch, records, _explain(explainer, records), strict=True):
            file.write(msgspec.json.encode(_line(one, record, why), order="sorted") + b"\n")
            counts["unscored" if why is None else "decisions"] += 1
            if why is not None:
                agrees = math.isclose(why.probability, record["probability"], rel_tol=1e-9)
                counts["disagreeing"] += not agrees
                if one.is_cancel:
                    cancels.append(why)
    return {
        "file": CONTRIBUTIONS,
        **{name: counts[name] for name in ("decisions", "unscored", "disagreeing")},
        "left_out": len(asked) - len(chosen),
        "lowered_most": most_lowering(cancels),
    }


def _record(log: BinaryIO, asked: _Asked) -> dict[str, Any]:
    log.seek(asked.offset)
    record: dict[str, Any] = msgspec.json.decode(log.readline())
    return record


def _chosen(asked: Sequence[_Asked]) -> Sequence[_Asked]:
    if len(asked) <= MOST_ROWS:
        return asked
    is_cancel = np.array([one.is_cancel for one in asked])
    cancels, keeps = np.flatnonzero(is_cancel)[:MOST_ROWS], np.flatnonzero(~is_cancel)
    room = MOST_ROWS - len(cancels)
    spread = keeps[np.unique(np.linspace(0, len(keeps) - 1, room).astype(np.int64))] if room else keeps[:0]
    return [asked[at] for at in np.sort(np.concatenate((cancels, spread)))]


def _explain(explainer: Explainer, records: Sequence[Mapping[str, Any]]) -> list[Explained | None]:
    """Explain what was scored; None for rows that were not."""
    scored = [at for at, record in enumerate(records) if record["probability"] is not None]
    rows = np.array([_row(explainer.names, records[at]["detail"]) for at in scored], np.float64)
    found: list[Explained | None] = [None] * len(records)
    for at, why in zip(scored, explainer.explain(rows) if scored else (), strict=True):
        found[at] = why
    return found


def _row(names: tuple[str, ...], detail: Mapping[str, Any]) -> NDArray[np.float64]:
    # What was not finite is not in the record; of a scored row that is a missing value.
    return np.array([detail.get(name, math.nan) for name in names], np.float64)


def _line(asked: _Asked, record: Mapping[str, Any], why: Explained | None) -> dict[str, Any]:
    detail = record["detail"]
    names = ("ts_ns", "instrument_id", "setup_id", "bucket_seq", "reason", "probability", "threshold")
    line = {name: record[name] for name in names} | {"action": detail["action"], "outcome": asked.outcome}
    if why is None:
        return line | {"missing": detail.get("missing", ""), "top": []}
    top = [
        {
            "feature": one.feature,
            "value": one.value if math.isfinite(one.value) else None,
            "contribution": one.contribution,
        }
        for one in why.top
    ]
    return line | {"base": why.base, "rest": why.rest, "top": top}


__all__ = ["CONTRIBUTIONS", "MOST_ROWS", "explain_result", "explain_run"]
