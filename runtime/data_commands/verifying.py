"""``verify`` and ``repair``: whether a catalog holds what was asked for, undamaged, and putting it right."""

import argparse
from datetime import UTC, datetime

from runtime.cli import add_command, print_json, say, warn
from runtime.data_commands.options import Commands, add_catalog, catalog_folder
from runtime.download.repair import repair
from runtime.download.verify import verify
from runtime.errors import EXIT_DONE, EXIT_FAILED
from runtime.settings import load_settings


def add(commands: Commands) -> None:
    """Register both commands."""
    for name, run, summary in (
        (
            "verify",
            run_verify,
            "Check files, ids, order, checksums and coverage of a catalog; nothing is changed.",
        ),
        ("repair", run_repair, "Fetch again what `verify` finds missing or damaged."),
    ):
        parser = add_command(
            commands, name, run, summary, f"download_data.py {name} --online --catalog var/catalog"
        )
        parser.add_argument(
            "--online",
            action="store_true",
            help="also compare every file's checksum with the venue's of today",
        )
        add_catalog(parser)


def run_verify(arguments: argparse.Namespace) -> int:
    """Print what is wrong; 1 where anything is."""
    settings, today = load_settings(arguments.config), datetime.now(UTC).date()
    findings = verify(catalog_folder(arguments), settings, today, online=arguments.online).values()
    is_sound = all(found.is_sound for found in findings)
    for found in findings:
        for note in found.notes:
            warn(f"{found.key}: {note}")
        for line in found.lines():
            say(f"error: {line}")
    if arguments.json:
        print_json({"series": [found.as_json() for found in findings], "sound": is_sound})
    else:
        sound = sum(found.is_sound for found in findings)
        rows, files = sum(found.rows for found in findings), sum(found.files for found in findings)
        say(f"{sound} of {len(findings)} series are sound: {rows:,} rows in {files:,} files")
    if not is_sound:
        say("error: `download_data.py repair` fetches again what is damaged or missing")
    return EXIT_DONE if is_sound else EXIT_FAILED


def run_repair(arguments: argparse.Namespace) -> int:
    """Repair and print what was done; 1 where something is still missing."""
    folder, settings = catalog_folder(arguments), load_settings(arguments.config)
    today = datetime.now(UTC).date()
    done = repair(folder, settings, verify(folder, settings, today, online=arguments.online), today)
    for path in done.forgotten_files:
        say(f"{path}: taken out and fetched again")
    for source in done.import_again:
        say(f"error: {source}: was imported from a local file; import it again")
    for words in done.by_hand:
        say(f"error: {words}")
    for report in done.downloads:
        for failure in report.failures:
            say(f"error: {failure}")
    if arguments.json:
        print_json(
            {
                "forgotten_files": done.forgotten_files,
                "import_again": done.import_again,
                "by_hand": done.by_hand,
                "series": [report.as_json() for report in done.downloads],
                "complete": done.is_complete,
            }
        )
    else:
        for report in done.downloads:
            say(report.line())
        if not (done.downloads or done.import_again or done.by_hand):
            say("nothing to repair")
    return EXIT_DONE if done.is_complete else EXIT_FAILED
