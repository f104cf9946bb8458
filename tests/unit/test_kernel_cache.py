"""The trial run that compiles the kernels leaves nothing behind."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runtime import kernel_cache
from runtime.kernel_cache import trial_run
from runtime.run_request import RunRequest
from runtime.settings import parse_settings


def test_a_trial_run_is_not_journaled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every plan that is made for the trial has the journal off and a folder of its own."""
    settings = parse_settings(f"{{journal: {{backtests: true}}, backtest: {{runs: {tmp_path}}}}}")
    assert settings.journal.backtests
    ran: list[RunRequest] = []

    def plan(request: RunRequest) -> Any:
        return SimpleNamespace(request=request, on_bars=True, first_ts_ns=0)

    monkeypatch.setattr(kernel_cache, "plan_run", plan)
    monkeypatch.setattr(kernel_cache, "run_backtest", lambda planned: ran.append(planned.request))
    trial_run(RunRequest(settings=settings, source="config.yaml", catalog=tmp_path))
    (request,) = ran
    assert not request.settings.journal.backtests
    assert request.settings.backtest.runs != str(tmp_path)
