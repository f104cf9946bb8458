"""What a session did and what its replay did, step by step: a step is everything behind one input."""

import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from runtime.live.recorded_answers import answer_text
from runtime.live.recording_files import Row, RowKind

RECENT: Final = 5
STALE: Final = "stale_data"
MILLI_NS: Final = 1_000_000
# What milliseconds as a float may have lost of a time.
ROUNDED_NS: Final = 1_000

type Output = tuple[str, str]
"""Kind and canonical text of a decision or of an order that was sent."""


@dataclass(frozen=True, slots=True)
class Divergence:
    """The first place where a replay did something else.

    Parameters
    ----------
    number
        Of the decision or order within the session, from 1.
    seq, now_ns
        Row of the input behind which it was made, and the node's time then, UNIX nanoseconds.
    recorded, replayed
        What was done, None for nothing.
    recent
        The inputs before it, newest last, in words.
    state
        Open orders, positions and counters of the replay at that moment.
    """

    number: int
    seq: int
    now_ns: int
    recorded: Any
    replayed: Any
    recent: tuple[str, ...]
    state: Mapping[str, Any]


@dataclass(slots=True)
class Comparison:
    """What a replay found.

    Parameters
    ----------
    inputs, decisions, orders, answers, states
        Numbers of rows: of inputs, and of recorded decisions and orders, of answers that limits and memory
        gave, and of digests of what a strategy perceives (after its warm-up, and at its stop).
    recorded_sha256, replayed_sha256
        Of all decisions and orders, in order; equal where nothing differs.
    is_cut
        The session was killed: its recording ends without the stop of its strategies.
    first
        The first difference, None without one.
    """

    session: Mapping[str, Any]
    inputs: int = 0
    decisions: int = 0
    orders: int = 0
    answers: int = 0
    states: int = 0
    is_cut: bool = False
    recorded_sha256: str = ""
    replayed_sha256: str = ""
    first: Divergence | None = None


@dataclass(slots=True)
class _Step:
    """What was done behind one input."""

    seq: int = 0
    now_ns: int = 0
    recorded: list[Output] = field(default_factory=list)
    replayed: list[Output] = field(default_factory=list)


class SteppedComparison:
    """Compares what was recorded behind each input with what the replay does there.

    Parameters
    ----------
    session
        What is known of the session, for the result.
    look
        Returns the state of the replay, for a difference.
    """

    def __init__(self, session: Mapping[str, Any], look: Callable[[], Mapping[str, Any]]) -> None:
        self.found = Comparison(session)
        self._look = look
        self._step = _Step()
        self._recent: deque[str] = deque(maxlen=RECENT)
        self._hashes = (hashlib.sha256(), hashlib.sha256())
        self._number = 0

    @property
    def now_ns(self) -> int:
        """Return the node's time at the present input, UNIX nanoseconds."""
        return self._step.now_ns

    def begin(self, row: Row) -> None:
        """Begin the step of an input."""
        self._step = _Step(row[0], row[1])
        self._recent.append(_in_words(row))

    def take_recorded(self, kind: RowKind, key: str, payload: bytes) -> None:
        """Take what the session did."""
        match kind:
            case RowKind.DECISION:
                self.found.decisions += 1
                text = canonical(payload, self._step.now_ns)
            case RowKind.ANSWER:
                self.found.answers += 1
                text = answer_text(key, payload)
            case RowKind.STATE:
                self.found.states += 1
                text = state_text(key, payload.decode())
            case _:
                self.found.orders += 1
                text = payload.decode()
        self._step.recorded.append((kind.name, text))

    def take_replayed(self, kind: RowKind, text: str) -> None:
        """Take what the replay does, as canonical text."""
        self._step.replayed.append((kind.name, text))

    def finish_last(self, *, is_cut: bool) -> None:
        """Compare the last step; of a killed session what it did in it may not be written any more."""
        self.found.is_cut = is_cut
        step = self._step
        if is_cut:
            del step.replayed[len(step.recorded) :]
        self.finish()

    def finish(self) -> bool:
        """Compare what was done behind the last input; tell whether it was the same."""
        step = self._step
        for index in range(max(len(step.recorded), len(step.replayed))):
            self._number += 1
            pair = [side[index] if index < len(side) else None for side in (step.recorded, step.replayed)]
            for digest, output in zip(self._hashes, pair, strict=True):
                digest.update(f"{step.seq} {output}\n".encode())
            if pair[0] != pair[1]:
                self.found.first = self._divergence(*pair)
                return False
        step.recorded.clear()
        step.replayed.clear()
        return True

    def result(self) -> Comparison:
        """Return what was found, with the digests of both sides up to here."""
        recorded, replayed = self._hashes
        self.found.recorded_sha256, self.found.replayed_sha256 = recorded.hexdigest(), replayed.hexdigest()
        return self.found

    def _divergence(self, recorded: Output | None, replayed: Output | None) -> Divergence:
        return Divergence(
            number=self._number,
            seq=self._step.seq,
            now_ns=self._step.now_ns,
            recorded=_plain(recorded),
            replayed=_plain(replayed),
            recent=tuple(self._recent),
            state=self._look(),
        )


def canonical(decision: bytes, now_ns: int) -> str:
    """Return a decision as text that is equal for equal decisions.

    Its time is that of the print or event that caused it, and is compared. Where it is a reading of the
    node's clock instead, it lies behind the time at which the input was noted, by the microseconds that the
    strategy took: such a time is left out. So is how late a bar was (``stale_data``), in milliseconds since
    its close.

    Examples
    --------
    >>> canonical(b'{"ts_ns":1700,"kind":"zone"}', 1500)
    '{"kind":"zone","ts_ns":0}'
    >>> canonical(b'{"ts_ns":1400,"kind":"zone"}', 1500)
    '{"kind":"zone","ts_ns":1400}'
    >>> late = b'{"ts_ns":1000000,"kind":"signal_skipped","reason":"stale_data","detail":{"figure":3.5}}'
    >>> canonical(late, 4_499_000), canonical(late, 9_000_000)  # doctest: +NORMALIZE_WHITESPACE
    ('{"detail":{"figure":0},"kind":"signal_skipped","reason":"stale_data","ts_ns":1000000}',
     '{"detail":{"figure":3.5},"kind":"signal_skipped","reason":"stale_data","ts_ns":1000000}')
    """
    plain = msgspec.json.decode(decision)
    detail = plain.get("detail") or {}
    if plain.get("reason") == STALE and "figure" in detail:
        read_ns = plain["ts_ns"] + detail["figure"] * MILLI_NS
        detail["figure"] = 0 if read_ns >= now_ns - ROUNDED_NS else detail["figure"]
    if plain["ts_ns"] >= now_ns:
        plain["ts_ns"] = 0
    return msgspec.json.encode(plain, order="sorted").decode()


def state_text(strategy: str, digest: str) -> str:
    """Return the digest of what a strategy perceives as text."""
    return json.dumps({"perceived_sha256": digest, "strategy": strategy}, sort_keys=True)


def _plain(output: Output | None) -> Any:
    return None if output is None else {"what": output[0].lower(), **json.loads(output[1])}


def _in_words(row: Row) -> str:
    seq, _now_ns, kind, key, _payload, tick = row
    said = "" if tick is None else f" {tick.price} x {tick.size} id {tick.trade_id}"
    return f"{seq} {kind.name.lower()} {key}{said}"


def divergence_text(found: Divergence, format_time: Callable[[int], str]) -> Iterable[str]:
    """Yield the lines that describe a difference: both decisions, the inputs before, the state."""
    yield f"first difference: number {found.number}, behind input {found.seq} at {format_time(found.now_ns)}"
    yield f"  recorded: {json.dumps(found.recorded, sort_keys=True)}"
    yield f"  replayed: {json.dumps(found.replayed, sort_keys=True)}"
    yield from (f"  input {one}" for one in found.recent)
    for name, value in found.state.items():
        yield f"  {name}: {json.dumps(value, default=str)}"
