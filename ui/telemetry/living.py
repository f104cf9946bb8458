"""What of a market's structure is alive: told as the events that would have led there.

Events are told once, when they become known. Who comes later, after a restart, finds in the engine's state
what is still there, and gets it in the same words: each thing's creation, then the furthest that it has come.
"""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from indicators.engine import StructureEngine
from indicators.events import EVENT_DTYPE, EventKind, EventTable, RangeStage, Scope
from indicators.kernels import zone

_GAP: Final = (None, EventKind.FVG_TOUCHED, EventKind.FVG_CE)
_BLOCK: Final = (None, EventKind.OB_TOUCHED, EventKind.OB_MITIGATED)
_BREAKER: Final = (None, EventKind.BREAKER_TOUCHED, EventKind.BREAKER_MITIGATED)
_RANGE: Final = {
    RangeStage.RETRACING: EventKind.RANGE_RETRACING,
    RangeStage.OTE_ENTERED: EventKind.OTE_ENTERED,
    RangeStage.SWEET_TOUCHED: EventKind.OTE_SWEET_TOUCHED,
}
_TEMPLATE: Final = {
    "scope": Scope.NONE, "level": np.nan, "ref_id": -1, "displacement": np.nan, "depth": np.nan,
    "volume": np.nan, "buy_share": np.nan,
}  # fmt: skip


def living_events(engine: StructureEngine, newest: int) -> EventTable:
    """Return the creations of what is alive, each followed by the last event of its life, if it had one.

    Parameters
    ----------
    engine
        It is only read.
    newest
        Of gaps, blocks and levels of each side, so many of the youngest.

    Returns
    -------
    EventTable
        Shape (n,), by `event_id` of the creation. Columns that say what and where are known; what was
        measured at the time (``displacement``, ``depth``, ``volume``, ``buy_share``) is NaN, and things count
        as known since their origin.
    """
    # Not a method of the engine: a model refuses one whose sources are not those that it learned from.
    state = engine._states[0]  # noqa: SLF001
    found = [*_zones(state, newest), *_levels(state, newest), *_ranges(state)]
    found.sort(key=lambda one: one[0]["event_id"])
    events = np.zeros(sum(map(len, found)), EVENT_DTYPE)
    for row, facts in zip(events, (facts for one in found for facts in one), strict=True):
        for name, value in {**_TEMPLATE, **facts}.items():
            row[name] = value
    return events


def _zones(state: Any, newest: int) -> Iterator[list[dict[str, Any]]]:
    for stack in (*state["gaps"], *state["blocks"]):
        sign, is_gap = int(stack["sign"]), bool(stack["is_gap"])
        zones = stack["zones"][: stack["count"]]
        for one in zones[np.argsort(zones["id"])][-newest:]:
            stage, is_inverse = int(one["stage"]), bool(one["is_inverse"])
            if is_gap and stage >= zone.FULL:  # filled: waits to be closed through, and is shown no more
                continue
            kind = EventKind.FVG if is_gap else EventKind.BREAKER if is_inverse else EventKind.OB
            lives = _GAP if is_gap else _BREAKER if is_inverse else _BLOCK
            edges = sign * float(one["near"]), sign * float(one["far"])
            born = _born(kind, one["id"], sign, one["origin_seq"], one["origin_ts"], *sorted(edges))
            born["flag"] = int(is_gap and is_inverse)
            yield _with_life(born, lives[min(stage, len(lives) - 1)])


def _levels(state: Any, newest: int) -> Iterator[list[dict[str, Any]]]:
    for sign, book in zip((1, -1), state["books"], strict=True):
        levels = book["levels"][: book["count"]]
        for one in levels[np.argsort(levels["id"])][-newest:]:
            price = sign * float(one["price"])
            born = _born(EventKind.SWING, one["id"], sign, one["seq"], one["ts"], price, price)
            yield [{**born, "scope": Scope.INTERNAL, "level": price}]


def _ranges(state: Any) -> Iterator[list[dict[str, Any]]]:
    for scope in state["scopes"]:
        for sign, side in zip((1, -1), scope["sides"], strict=True):
            leg = side["range"]
            if leg["stage"] == RangeStage.NONE:
                continue
            ends = sorted((sign * float(leg["a"]), sign * float(leg["b"])))
            born = _born(EventKind.RANGE_FORMED, leg["id"], sign, leg["a_seq"], leg["a_ts"], *ends)
            born |= {"scope": int(scope["name"]), "level": sign * float(leg["sweet"])}
            yield _with_life(born, _RANGE.get(RangeStage(int(leg["stage"]))))


def _born(
    kind: EventKind, event_id: Any, sign: int, seq: Any, ts_ns: Any, low: float, high: float
) -> dict[str, Any]:
    return {
        "event_id": int(event_id), "kind": kind, "direction": sign, "low": low, "high": high,
        "known_seq": seq, "known_ts_ns": ts_ns, "origin_seq": seq, "origin_ts_ns": ts_ns,
    }  # fmt: skip


def _with_life(born: dict[str, Any], kind: EventKind | None) -> list[dict[str, Any]]:
    return [born] if kind is None else [born, {**born, "kind": kind, "ref_id": born["event_id"]}]


__all__ = ["living_events"]
