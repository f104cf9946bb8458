"""What every detector object promises, whatever it detects: found by its methods, none can be forgotten."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import indicators
from indicators import state_bytes
from indicators.structure_config import StructureConfig
from tests.bars import Bar, random_ticks
from tests.confluence_checks import SMALL
from tests.structure_checks import SHORT

BARS = random_ticks(11, 220).bars()
PROMISED = ("update", "reset", "to_bytes", "from_bytes")


def detectors() -> dict[str, type]:
    """Return every public class of the package, kernels aside, that has an ``update``."""
    found = {}
    for module in pkgutil.walk_packages(indicators.__path__, "indicators."):
        if module.ispkg or module.name.startswith("indicators.kernels."):
            continue
        loaded = importlib.import_module(module.name)
        for name, member in inspect.getmembers(loaded, inspect.isclass):
            is_own = member.__module__ == loaded.__name__ and not name.startswith("_")
            if is_own and hasattr(member, "update"):
                found[name] = member
    return found


DETECTORS = detectors()


# Bars of the chart are hours.
CONFLUENCE = replace(SMALL, ltf_secs=3600, mtf_secs=7200, htf_secs=14_400)
CONFIGS = {"StructureConfig": SHORT, "ConfluenceConfig": CONFLUENCE}


def config_of(call: Any) -> Any:
    """Return the short parameters that a constructor or a ``from_bytes`` takes, None if it takes none."""
    wanted = inspect.signature(call).parameters.get("config")
    return None if wanted is None else CONFIGS[getattr(wanted.annotation, "__name__", wanted.annotation)]


def make(detector: type) -> Any:
    """Make a new detector with the short parameters."""
    config = config_of(detector)
    return detector() if config is None else detector(config)


def restore(detector: Any, data: bytes) -> Any:
    """Make a detector from saved bytes."""
    config = config_of(detector.from_bytes)
    return detector.from_bytes(data) if config is None else detector.from_bytes(data, config)


def feed(detector: Any, bars: Iterable[Bar]) -> list[Any]:
    """Give bars to a detector, each argument by its name; return what it answered."""
    names = list(inspect.signature(detector.update).parameters)
    return [detector.update(*(getattr(bar, name.rstrip("_")) for name in names)) for bar in bars]


def spelled(answer: Any) -> Any:
    """Return an answer in a form that compares by value, NaN equal to NaN."""
    if isinstance(answer, np.ndarray | np.void):
        return answer.tobytes()
    return repr(answer)


@pytest.fixture(params=sorted(DETECTORS))
def detector(request: pytest.FixtureRequest) -> type:
    """Give each detector class in turn."""
    return DETECTORS[request.param]


def test_the_engine_is_among_the_detectors() -> None:
    """The search finds classes at all."""
    assert {"StructureEngine", "ConfluenceEngine"} <= set(DETECTORS)


def test_it_has_the_promised_methods(detector: type) -> None:
    """Update, reset, to_bytes, from_bytes."""
    missing = [name for name in PROMISED if not callable(getattr(detector, name, None))]
    assert not missing


def test_it_finds_something_on_the_chart(detector: type) -> None:
    """The chart below makes it answer in more than one way, so that the contracts compare something."""
    answers = {spelled(answer) for answer in feed(make(detector), BARS)}
    assert len(answers) > 1


def test_two_of_them_agree_and_share_nothing(detector: type) -> None:
    """The same bars give the same answers, also while another one reads other bars in between."""
    one, other = make(detector), make(detector)
    alone = [spelled(answer) for answer in feed(make(detector), BARS)]
    together = []
    for bar, stranger in zip(BARS, random_ticks(12, len(BARS)).bars(), strict=True):
        together += [spelled(answer) for answer in feed(one, [bar])]
        feed(other, [stranger])
    assert together == alone


def test_reset_is_fresh(detector: type) -> None:
    """After reset it is a new one, in its answers and in its bytes."""
    used = make(detector)
    feed(used, BARS[:150])
    used.reset()
    fresh = make(detector)
    assert used.to_bytes() == fresh.to_bytes()
    assert [spelled(a) for a in feed(used, BARS)] == [spelled(a) for a in feed(fresh, BARS)]
    assert used.to_bytes() == fresh.to_bytes()


def test_the_future_cannot_change_the_past(detector: type) -> None:
    """Answers are the same whatever follows, and an answer already given is not edited."""
    full = make(detector)
    answers = feed(full, BARS[:120])
    at_once = [spelled(answer) for answer in answers]
    feed(full, BARS[120:])
    assert [spelled(answer) for answer in answers] == at_once

    other_future = make(detector)
    assert [spelled(a) for a in feed(other_future, BARS[:120])] == at_once


@pytest.mark.parametrize("cut", [0, 1, 5, 60, 219])
def test_it_survives_a_restart_in_mid_stream(detector: type, cut: int) -> None:
    """Saved after any bar and restored, it answers as if nothing had happened; bytes of bytes are equal."""
    straight = make(detector)
    feed(straight, BARS[:cut])
    data = straight.to_bytes()
    restarted = restore(detector, data)
    assert restarted.to_bytes() == data
    assert [spelled(a) for a in feed(restarted, BARS[cut:])] == [
        spelled(a) for a in feed(straight, BARS[cut:])
    ]
    assert restarted.to_bytes() == straight.to_bytes()


def test_saving_does_not_disturb_it(detector: type) -> None:
    """A detector that is saved after every bar answers like one that never was."""
    saved, expected = make(detector), [spelled(answer) for answer in feed(make(detector), BARS)]
    answers = []
    for bar in BARS:
        answers += [spelled(answer) for answer in feed(saved, [bar])]
        saved.to_bytes()
    assert answers == expected


def test_bytes_of_something_else_are_refused(detector: type) -> None:
    """Truncated, extended and foreign bytes are a ValueError, not a strange state."""
    data = make(detector).to_bytes()
    for wrong in (b"", b"nonsense", data[:-1], data + b"\0"):
        with pytest.raises(ValueError):
            restore(detector, wrong)


def test_a_flipped_byte_is_refused(detector: type) -> None:
    """One bit changed anywhere, in the head or in the state, is a ValueError that says so."""
    used = make(detector)
    feed(used, BARS[:100])
    data = used.to_bytes()
    head = range(0, state_bytes.HEAD_BYTES, 5)
    body = range(state_bytes.HEAD_BYTES, len(data), max(1, len(data) // 23))
    for position in (*head, *body, len(data) - 1):
        damaged = bytearray(data)
        damaged[position] ^= 1 << (position % 8)
        with pytest.raises(ValueError, match="saved state"):
            restore(detector, bytes(damaged))
    with pytest.raises(ValueError, match=r"is damaged.*warm up again"):
        restore(detector, data[:-1] + bytes([data[-1] ^ 1]))


def test_a_broken_bar_is_refused_and_leaves_it_alone(detector: type) -> None:
    """NaN in any price that it reads raises ValueError and changes nothing."""
    names = set(inspect.signature(detector.update).parameters)
    prices = [name for name in ("open_", "high", "low", "close") if name in names]
    used = make(detector)
    feed(used, BARS[:100])
    before = used.to_bytes()
    for name in prices:
        for value in (float("nan"), float("inf")):
            with pytest.raises(ValueError):
                feed(used, [BARS[100]._replace(**{name.rstrip("_"): value})])
            assert used.to_bytes() == before


def test_parameters_are_checked() -> None:
    """A setting out of range, or a word that is none of the choices, names itself and its value."""
    wrong: list[dict[str, Any]] = [
        {"tick_size": 0.0},
        {"tick_size": float("nan")},
        {"atr_length": 0},
        {"internal_right": 0},
        {"external_left": 200, "external_right": 200},
        {"fvg_valid_until": "never"},
        {"range_side": "up"},
        {"zone_cap": 513},
        {"ote_low": 0.8},
        {"equal_atr": -0.1},
    ]
    for changes in wrong:
        with pytest.raises(ValueError) as error:
            StructureConfig(**{"tick_size": 1.0, **changes})
        assert any(name.split("_")[0] in str(error.value) for name in changes)
