"""The journal of one backtest: the session, its actor, and the feeding of the database at the end."""

import hashlib
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ml.passport import MODEL_FILE
from runtime.cli import warn
from runtime.errors import OperatorError
from runtime.journal.actor import JournalActor, JournalActorConfig
from runtime.journal.place import journal_url
from runtime.journal.records import SessionEnd, SessionStart
from runtime.journal.session import SessionJournal, code_version
from runtime.node_config import fill_assumptions, settlement_currency
from runtime.run_plan import RunPlan
from strategies.market_context import BITCOIN


class BacktestJournal:
    """Hands the engine an actor and takes the result.

    Parameters
    ----------
    journal
        Open session.
    plan
        What is run.
    """

    def __init__(self, journal: SessionJournal, plan: RunPlan) -> None:
        self._journal, self._plan = journal, plan
        self.final_balance = ""
        self.counters: Mapping[str, int] = {}
        self.decision_sha256 = ""

    def listen(self, engine: Any) -> None:
        """Add the actor to a built engine; its strategies exist already."""
        names = (one.id.value for one in self._plan.instruments)
        config = JournalActorConfig(
            mark_from_ns=self._plan.trade_from_ns or self._plan.first_ts_ns,
            context_id=next((name for name in names if name.startswith(BITCOIN)), ""),
            timeframes={one.id.value: timeframe_of(one.config) for one in engine.trader.strategies()},
        )
        engine.add_actor(JournalActor(config, self._journal))


@contextmanager
def backtest_journal(
    plan: RunPlan, run_id: str, config: Mapping[str, Any]
) -> Iterator[BacktestJournal | None]:
    """Journal a run as the session `run_id`, feed the database when it is over; None with the journal off.

    A database that refuses loses nothing and does not fail the run: the records stay in the spool, with a
    warning, and the next run feeds them.

    Parameters
    ----------
    plan
        What is run.
    run_id
        Of the run folder.
    config
        Effective settings with their hash.

    Raises
    ------
    ConfigurationError
        When the URL is wrong.
    OSError
        When the spool cannot be written.
    """
    settings = plan.request.settings.journal
    url = journal_url(settings)
    if not (settings.backtests and url):
        yield None
        return
    from runtime.journal.database import binding_of  # brings SQLAlchemy: runs without a journal need not pay
    from runtime.journal.writer import Writer

    binding = binding_of(url)
    root = Path(settings.spool)
    journal = SessionJournal(root, run_id, _start(plan, config), binding=binding)
    run = BacktestJournal(journal, plan)
    reason, refused = "failed", None
    try:
        yield run
        reason = "finished"
    finally:
        refused = journal.refusal()
        journal.end(
            SessionEnd(
                ts_ns=time.time_ns(),
                reason=reason,
                final_balance=run.final_balance,
                telemetry_dropped=journal.telemetry_dropped,
                detail={"counters": dict(run.counters), "decision_sha256": run.decision_sha256},
            )
        )
        if refused is not None:
            warn(f"{refused.reason}: {refused.remedy}; this run's entries halted, do not trust its result")
        try:
            Writer(root, url).drain()
        except OperatorError as error:
            warn(str(error))


def timeframe_of(config: Any) -> str:
    """Return what a strategy trades on, as signals name it: `10000 USD` buckets or `5-MINUTE` bars."""
    if hasattr(config, "bucket_usd"):
        return f"{config.bucket_usd} USD"
    if hasattr(config, "bar_type"):
        words = str(config.bar_type).split("-")
        return "-".join(words[-4:-2])
    return f"{config.ltf_secs // 60}-MINUTE" if hasattr(config, "ltf_secs") else ""


def _start(plan: RunPlan, config: Mapping[str, Any]) -> SessionStart:
    return SessionStart(
        ts_ns=time.time_ns(),
        mode="backtest",
        strategy=plan.spec.name,
        strategy_version=plan.spec.version,
        config_sha256=str(config["config_sha256"]),
        model_sha256=model_sha256(plan.strategies),
        code_version=code_version(),
        instruments=[one.id.value for one in plan.instruments],
        detail=_detail(plan, config),
    )


def _detail(plan: RunPlan, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what makes a session comparable with others: see `runtime.journal.runs`."""
    backtest = plan.request.settings.backtest
    names = {one.id.value for one in plan.instruments}
    series = plan.catalog.manifest.series.values()
    return {
        "first_ts_ns": plan.first_ts_ns,
        "last_ts_ns": plan.last_ts_ns,
        "trade_from_ns": plan.trade_from_ns,
        "ticks": plan.ticks,
        "data": "bars" if plan.on_bars else "trades",
        "synthetic": any(one.synthetic for one in series if one.instrument in names),
        "currency": settlement_currency(plan.instruments[0]),
        "starting_balance": str(backtest.balance * len({one.id.venue.value for one in plan.instruments})),
        "fills": fill_assumptions(backtest, plan.instruments, on_bars=plan.on_bars),
        "config": dict(config),
    }


def model_sha256(strategies: Iterable[Any]) -> str:
    """Return the digest of the model that strategies' configurations name first, empty without one."""
    for strategy in strategies:
        if folder := strategy.config.get("model"):
            path = Path(str(folder)) / MODEL_FILE
            return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""
    return ""
