"""Put finished runs side by side."""

from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from runtime.cli import add_command, positive_secs, print_json
from runtime.errors import EXIT_DONE, ConfigurationError
from runtime.journal.place import URL_VARIABLE

JOURNAL: Final = "journal:"

if TYPE_CHECKING:
    from runtime.journal.runs import SessionRecords
    from runtime.settings import Settings
    from ui.reports.compare import RunRecords


def add(commands: Any) -> None:
    """Describe the command."""
    summary, example = "put finished runs side by side", "backtest_node.py compare RUN journal:SESSION"
    comparison = add_command(commands, "compare", compare, summary, example)
    comparison.add_argument(
        "runs", nargs="+", metavar="RUN", help="id or folder, or journal:SESSION; the first is the measure"
    )
    comparison.add_argument("--url", help="journal's database (default: the settings')")
    comparison.add_argument("--config", metavar="FILE", help="settings file (default: config.yaml)")
    comparison.add_argument(
        "--tolerance-secs",
        type=positive_secs,
        default=60.0,
        metavar="SECS",
        help="largest distance of the entries of two trades that are the same (default 60)",
    )
    comparison.add_argument("--json", action="store_true", help="print one JSON object on stdout")


def compare(arguments: Namespace) -> int:
    """Print runs side by side, what differs in their settings, and their trades one to one."""
    from runtime.settings import load_settings
    from ui.reports.compare import compare as compared
    from ui.reports.compare_text import format_comparison

    if len(arguments.runs) < 2:
        raise ConfigurationError("one run given, a comparison needs two: backtest_node.py compare RUN RUN")
    settings = load_settings(arguments.config)
    runs = [records_of(word, settings, arguments.url) for word in arguments.runs]
    found = compared(runs, arguments.tolerance_secs)
    if arguments.json:
        print_json(found)
    else:
        print(format_comparison(found))
    return EXIT_DONE


def records_of(word: str, settings: "Settings", url: str | None = None) -> "RunRecords":
    """Return a run, given by its folder or id, or a session, given as ``journal:SESSION``.

    Parameters
    ----------
    word
        As the user gave it.
    settings
        Where runs are kept, and where the journal is.
    url
        Database instead of the settings' one.

    Raises
    ------
    ConfigurationError
        When there is no such run or session, or the journal is off.
    DataError
        When it is damaged or cannot be read.
    """
    from runtime.run_records import find_run, read_run

    if not word.startswith(JOURNAL):
        return read_run(find_run(word, Path(settings.backtest.runs)))
    from runtime.journal.database import open_engine
    from runtime.journal.place import journal_url
    from runtime.journal.runs import read_session

    place = url or journal_url(settings.journal)
    if not place:
        raise ConfigurationError(f"the journal is off ({URL_VARIABLE}=off): give --url")
    engine = open_engine(place, read_only=True)
    try:
        return with_figures(read_session(engine, word.removeprefix(JOURNAL)))
    finally:
        engine.dispose()


def with_figures(session: "SessionRecords") -> "RunRecords":
    """Return a session whose summary has the figures of a run, from its trades and equity."""
    from runtime.run_summary import json_values
    from ui.reports.run_figures import run_figures

    balance = session.starting_balance
    # A session that says nothing of its account has no return.
    marks = session.marks if balance else ()
    summary = {**session.summary, **run_figures(session.trades, marks, balance)}
    if marks:
        summary["total_return_pct"] = (session.summary["final_balance"] / balance - 1) * 100
    return replace(session, summary=json_values(summary))
