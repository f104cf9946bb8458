"""The guards after losses hold for the strategy on zones as well."""

from pathlib import Path

from runtime.backtest import run_backtest
from runtime.catalog import Catalog
from runtime.run_folder import read_decisions
from runtime.run_plan import plan_run
from runtime.run_request import RunRequest
from runtime.settings import BacktestSettings, Settings
from strategies.trade_manager.record import Decision
from tests.integration.test_lookahead import PARAMETERS, catalog

__all__ = ["catalog"]
HOUR_NS = 3_600_000_000_000


def test_no_zone_is_entered_within_the_cooldown(catalog: Catalog, tmp_path: Path) -> None:
    """After a stop zones are skipped by name, an entry that waits is taken back, and later ones are sent."""
    request = RunRequest(
        settings=Settings(backtest=BacktestSettings(runs=str(tmp_path))),
        source="config.yaml",
        catalog=catalog.path,
        strategy="ote",
        command_line=PARAMETERS | {"stop_cooldown_mins": "60", "max_daily_loss_pct": "50"},
    )
    result = run_backtest(plan_run(request))
    stops_ns = [one.exit_ts_ns for one in result.trades if one.exit_reason == "stop"]
    entries = read_decisions(result.folder.path, Decision, "entry_submitted")
    assert stops_ns
    assert any(one.ts_ns > stops_ns[0] + HOUR_NS for one in entries)
    assert not [
        one.ts_ns for one in entries for stop_ns in stops_ns if stop_ns < one.ts_ns < stop_ns + HOUR_NS
    ]
    began = read_decisions(result.folder.path, Decision, "pause_began")
    assert {one.reason for one in began} == {"cooldown"}
    assert {one.ts_ns for one in began} <= set(stops_ns)
