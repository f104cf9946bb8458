"""The kernels are compiled before a node connects, whoever filled a part of the cache before."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runtime import kernel_cache, sample
from runtime.live import compiling
from runtime.live.compiling import compile_for, ensure_compiled, is_compiled, mark_of
from runtime.run_request import RunRequest


class Child:
    """A process that runs where it is started."""

    exitcode = 0
    started: list[tuple[str, ...]]

    def __init__(self, target: Any, args: tuple[tuple[str, ...]]) -> None:
        self._target, self._args = target, args

    def start(self) -> None:
        """Run it."""
        self.started.append(*self._args)
        try:
            self._target(*self._args)
        except SystemExit:
            self.exitcode = 1

    def join(self) -> None:
        """Wait for nothing: it is over."""


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[Child]:
    """Compile in this process, on a tape that is not made, into a cache of our own."""
    monkeypatch.setattr(compiling, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(sample, "make_sample", lambda *_words: None)
    monkeypatch.setattr(Child, "started", [], raising=False)
    monkeypatch.setattr(
        compiling.multiprocessing, "get_context", lambda _kind: SimpleNamespace(Process=Child)
    )
    return Child


def plan(*names: str) -> Any:
    """Return what of a plan is looked at."""
    return SimpleNamespace(strategies=[SimpleNamespace(spec=SimpleNamespace(name=name)) for name in names])


def test_kernels_of_others_in_the_cache_are_not_enough(
    child: type[Child], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A simulator that compiled its tape leaves kernels there; each strategy runs once all the same."""
    monkeypatch.setattr(kernel_cache, "trial_run", lambda _request: True)
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "sample_tape.nbi").touch()
    ensure_compiled(plan("ote"))
    ensure_compiled(plan("ote", "breakout"))
    ensure_compiled(plan("breakout", "ote"))
    assert child.started == [("ote",), ("breakout",)]


def test_a_trial_that_fails_is_told_and_tried_again(
    child: type[Child], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is marked, and a person hears that the node will be deaf."""
    ran: list[RunRequest] = []
    monkeypatch.setattr(kernel_cache, "trial_run", lambda request: bool(ran.append(request)))
    ensure_compiled(plan("ote"))
    assert "warning: the kernels could not be compiled" in capsys.readouterr().err
    assert [one.settings.strategies[0].strategy for one in ran] == ["ote"]
    assert not is_compiled("ote")


def test_a_cache_that_came_from_another_place_does_not_count(
    child: type[Child], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numba finds kernels by the path of their source: a copied folder has none that fit."""
    monkeypatch.setattr(kernel_cache, "trial_run", lambda _request: True)
    compile_for(("ote",))
    assert is_compiled("ote")
    mark_of("ote").write_text("elsewhere\n", encoding="utf-8")
    assert not is_compiled("ote")
