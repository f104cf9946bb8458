"""The model decisions of a finished run, explained: ``contributions.jsonl`` beside its other files.

Read from `events.jsonl` after the end, so that neither the run nor its `decision_sha256` knows of it.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

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
_ASKED: Final = b'"kind":"cancel_asked"'
_OUTCOME: Final = b'"kind":"cancel_outcome"'
_TRADE: Final = b'{"record":"trade"'


@dataclass(slots=True)
class _Asked:
    """A published decision of the model, and what became of its order."""

    record: dict[str, Any]
    outcome: str | None = None

    @property
    def is_cancel(self) -> bool:
        return bool(self.record["detail"]["action"] == "cancel")


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
    asked_of = _read(folder / EVENTS)
    found: dict[str, dict[str, Any]] = {}
    unfinished = folder / f".{CONTRIBUTIONS}.partial"
    with unfinished.open("wb") as file:
        for instrument_id, (model, sha256) in models.items():
            asked = asked_of.get(instrument_id, [])
            try:
                explainer = _explainer(model, sha256)
            except ModelRefused as error:
                found[instrument_id] = {"refused": str(error)}
                continue
            chosen = _chosen(asked)
            explained = _explain(explainer, chosen)
            pairs = list(zip(chosen, explained, strict=True))
            for one, why in pairs:
                file.write(msgspec.json.encode(_line(one, why), order="sorted") + b"\n")
            cancels = [why for one, why in pairs if why is not None and one.is_cancel]
            found[instrument_id] = {
                "file": CONTRIBUTIONS,
                "decisions": sum(why is not None for why in explained),
                "unscored": sum(why is None for why in explained),
                "left_out": len(asked) - len(chosen),
                "disagreeing": _disagreeing(chosen, explained),
                "lowered_most": most_lowering(cancels),
            }
    unfinished.replace(folder / CONTRIBUTIONS)
    return found


def _explainer(model: str, sha256: str) -> Explainer:
    explainer = Explainer.load(model)
    if explainer.passport.model_sha256 != sha256:
        raise ModelRefused(Refusal.MODEL_DAMAGED, f"{model} was replaced while the run went on")
    return explainer


def _read(path: Path) -> dict[str, list[_Asked]]:
    """Read decisions by instrument: of a cancel what the venue said, of a keep how its trade ended."""
    found: dict[str, list[_Asked]] = {}
    last_cancel: dict[str, _Asked] = {}
    keeps: dict[str, list[_Asked]] = {}
    for line in _lines(path):
        record = msgspec.json.decode(line)
        setup_id = record["setup_id"]
        if record["record"] == "trade":
            for one in keeps.pop(setup_id, ()):
                one.outcome = record["exit_reason"]
        elif record["kind"] == "cancel_outcome":
            if (cancel := last_cancel.pop(setup_id, None)) is not None:
                cancel.outcome = record["reason"]
        else:
            one = _Asked(record)
            found.setdefault(record["instrument_id"], []).append(one)
            if one.is_cancel:
                last_cancel[setup_id] = one
            else:
                keeps.setdefault(setup_id, []).append(one)
    return found


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        for line in file:
            if _ASKED in line or _OUTCOME in line or line.startswith(_TRADE):
                yield line


def _chosen(asked: list[_Asked]) -> list[_Asked]:
    if len(asked) <= MOST_ROWS:
        return asked
    is_cancel = np.array([one.is_cancel for one in asked])
    cancels, keeps = np.flatnonzero(is_cancel)[:MOST_ROWS], np.flatnonzero(~is_cancel)
    room = MOST_ROWS - len(cancels)
    spread = keeps[np.unique(np.linspace(0, len(keeps) - 1, room).astype(np.int64))] if room else keeps[:0]
    return [asked[at] for at in np.sort(np.concatenate((cancels, spread)))]


def _explain(explainer: Explainer, asked: list[_Asked]) -> list[Explained | None]:
    """Explain what was scored; None for rows that were not."""
    scored = [at for at, one in enumerate(asked) if one.record["probability"] is not None]
    rows = np.array([_row(explainer.names, asked[at].record["detail"]) for at in scored], np.float64)
    found: list[Explained | None] = [None] * len(asked)
    for at, why in zip(
        scored, explainer.explain(rows.reshape(len(scored), -1)) if scored else (), strict=True
    ):
        found[at] = why
    return found


def _disagreeing(asked: list[_Asked], explained: list[Explained | None]) -> int:
    return sum(
        why is not None and not math.isclose(why.probability, one.record["probability"], rel_tol=1e-9)
        for one, why in zip(asked, explained, strict=True)
    )


def _row(names: tuple[str, ...], detail: Mapping[str, Any]) -> NDArray[np.float64]:
    # What was not finite is not in the record; of a scored row that is a missing value.
    return np.array([detail.get(name, math.nan) for name in names], np.float64)


def _line(asked: _Asked, why: Explained | None) -> dict[str, Any]:
    record, detail = asked.record, asked.record["detail"]
    line = {name: record[name] for name in ("ts_ns", "instrument_id", "setup_id", "bucket_seq", "reason")}
    line |= {
        "action": detail["action"],
        "probability": record["probability"],
        "threshold": record["threshold"],
    }
    line["outcome"] = asked.outcome
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
