"""What a backtest tells: that it is done; more only where the settings ask for it."""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from runtime.cli import warn
from runtime.errors import ConfigurationError
from runtime.notify.channels import URLS_VARIABLE
from runtime.notify.events import IN_BACKTESTS, Event, EventKind
from runtime.notify.notifier import open_notifier
from runtime.notify.routing import rule_of
from runtime.notify.settings import NotifySettings

type Actors = Callable[[Any], Sequence[Any]]


def finished_event(summary: Mapping[str, Any], ts_ns: int) -> Event:
    """Return the end of a run as an event, from its `summary.json`.

    Parameters
    ----------
    summary
        Of the run.
    ts_ns
        Now, UNIX nanoseconds.
    """
    win_rate = summary["win_rate"]
    text = (
        f"{summary['run_id']}: {summary['strategy']} on {', '.join(summary['instruments'][:3])}"
        f"{' …' if len(summary['instruments']) > 3 else ''}, {summary['positions_closed']} positions, "
        f"{'no' if win_rate is None else format(win_rate, '.0%')} wins, return "
        f"{summary['total_return_pct']:+.2f} %, drawdown {summary['max_drawdown_pct']:.2f} %, "
        f"{summary['wall_s']:.0f} s"
    )
    names = ("run_id", "strategy", "positions_closed", "pnl", "fees", "total_return_pct", "decision_sha256")
    data = {name: summary[name] for name in names}
    return Event(kind=EventKind.BACKTEST_FINISHED, ts_ns=ts_ns, text=text, data=data)


def tell_finished(settings: NotifySettings, summary: Mapping[str, Any]) -> None:
    """Tell the channels of the environment that a backtest is done; without any, do nothing.

    The run is finished and its folder written: what is wrong with a channel is a warning, no failure.
    """
    if not os.environ.get(URLS_VARIABLE, "").strip():
        return
    try:
        notifier = open_notifier(settings, "backtest", console=False)
    except ConfigurationError as error:
        warn(str(error))
        return
    notifier.post(finished_event(summary, time.time_ns()))
    notifier.close()
    for state in notifier.states():
        if state.last_error:
            warn(f"notification to {state.name} failed: {state.last_error}")


@contextmanager
def listening(settings: NotifySettings) -> Iterator[Actors]:
    """Give the actors of a run: none, unless a rule enables an event that backtests do not tell by default.

    Raises
    ------
    ConfigurationError
        When events are asked for and an address is not understood.
    """
    asked = [kind for kind in EventKind if rule_of(settings, kind).enabled and kind not in IN_BACKTESTS]
    if not asked:
        yield lambda _engine: ()
        return
    from runtime.notify.actor import NotifyActor, NotifyActorConfig

    notifier = open_notifier(settings, "backtest")
    try:
        yield lambda engine: [NotifyActor(NotifyActorConfig(poll_secs=0), notifier, engine.trader.strategies)]
    finally:
        notifier.close()
