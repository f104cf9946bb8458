"""The journal from the command line: `python -m runtime.journal --help`."""

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from runtime.cli import CommandParser, add_command, print_json, run_main, say
from runtime.errors import EXIT_DONE, EXIT_FAILED, ConfigurationError
from runtime.journal.place import URL_VARIABLE, journal_url
from runtime.settings import load_settings

PROGRAM: Final = "python -m runtime.journal"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return 0 done, 1 failed (also: something was found), 2 wrong usage."""
    return run_main(command_line(), argv)


def command_line() -> CommandParser:
    """Return the parser of all commands."""
    parser = CommandParser(prog=PROGRAM, description="What happened: check it, explain it, feed it to SQL.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    check = add_command(
        commands, "verify", verify, "find edited, missing or reordered rows and cut tails",
        f"{PROGRAM} verify --url sqlite:///var/journal.sqlite",
    )  # fmt: skip
    check.add_argument("--session", metavar="ID", help="check this session only")
    tell = add_command(
        commands, "explain", explain, "tell how a trade came about: zone, features, orders, fills, exit",
        f"{PROGRAM} explain Lmmv7y0w014",
    )  # fmt: skip
    tell.add_argument("trade", metavar="TRADE", help="setup id of a trade (column setup_id of trades.csv)")
    tell.add_argument("--session", metavar="ID", help="session of the trade, where several have one")
    lift = add_command(
        commands, "migrate", migrate, "make the schema, or bring it up to date, keeping every row",
        f"{PROGRAM} migrate --url postgresql://smcbot@localhost/smcbot",
    )  # fmt: skip
    write = add_command(
        commands, "write", write_spool, "feed the spool into the database for as long as it takes",
        f"{PROGRAM} write --spool var/spool --once",
    )  # fmt: skip
    write.add_argument("--spool", metavar="DIR", help="folder of the spool (default: the settings')")
    write.add_argument("--once", action="store_true", help="stop when everything is committed")
    write.add_argument(
        "--any-database",
        action="store_true",
        help="also feed sessions that were journaled for another database",
    )
    write.add_argument(
        "--with-parent",
        type=int,
        metavar="PID",
        help="stop when this process, which starts it, is gone and all is committed",
    )
    write.add_argument("--logs", type=Path, metavar="DIR", help="also write logs and crash files there")
    for command in (check, tell, lift, write):
        command.add_argument("--url", help="database (default: the settings')")
        command.add_argument("--config", metavar="FILE", help="settings file (default: config.yaml)")
    for command in (check, tell):
        command.add_argument("--json", action="store_true", help="print one JSON object on stdout")
    return parser


def verify(arguments: Namespace) -> int:
    """Check the hash chain; exit 1 when something was found."""
    from runtime.journal.database import open_engine
    from runtime.journal.heads import heads_file, read_heads
    from runtime.journal.verify import verify as check

    url = _url(arguments)
    engine = open_engine(url, read_only=True)
    spool = Path(load_settings(arguments.config).journal.spool)
    reports = check(engine, arguments.session, read_heads(heads_file(url, spool)))
    findings = [finding for report in reports for finding in report.findings]
    if arguments.json:
        print_json({
            "ok": not findings,
            "sessions": len(reports),
            "rows": sum(report.rows for report in reports),
            "findings": msgspec.to_builtins(findings),
            "reports": msgspec.to_builtins(reports),
        })  # fmt: skip
    else:
        for report in reports:
            state = "ended" if report.is_ended else "open or crashed"
            print(
                f"{report.session_id} {report.mode}: {report.rows:,} rows, {state}, hash {report.last_hash}"
            )
            for finding in report.findings:
                print(f"  {finding.kind}: {finding.text}")
        print(f"{len(reports)} sessions, {len(findings)} findings")
    return EXIT_FAILED if findings else EXIT_DONE


def explain(arguments: Namespace) -> int:
    """Tell how a trade came about."""
    from runtime.journal.database import open_engine
    from runtime.journal.explain import as_text
    from runtime.journal.explain import explain as tell

    story = tell(open_engine(_url(arguments), read_only=True), arguments.trade, arguments.session)
    if arguments.json:
        print_json(msgspec.to_builtins(story))
    else:
        print(as_text(story))
    return EXIT_DONE


def migrate(arguments: Namespace) -> int:
    """Make or update the schema."""
    from runtime.journal.database import masked, open_engine, schema_revision
    from runtime.journal.database import migrate as lift

    url = _url(arguments)
    engine = open_engine(url)
    lift(engine)
    say(f"journal {masked(url)}: schema {schema_revision(engine)}")
    return EXIT_DONE


def write_spool(arguments: Namespace) -> int:
    """Feed the spool."""
    from runtime.journal.writer import Writer
    from runtime.logs import service_logs

    root = Path(arguments.spool or load_settings(arguments.config).journal.spool)
    writer = Writer(root, _url(arguments), any_database=arguments.any_database)
    if arguments.once:
        say(f"{writer.drain():,} records committed")
        return EXIT_DONE
    with service_logs("journal-writer", arguments.logs):
        writer.run(parent_pid=arguments.with_parent)
    return EXIT_DONE


def _url(arguments: Namespace) -> str:
    url = arguments.url or journal_url(load_settings(arguments.config).journal)
    if not url:
        raise ConfigurationError(f"the journal is off ({URL_VARIABLE}=off): give --url")
    return str(url)


if __name__ == "__main__":
    sys.exit(main())
