"""``replay``: a backtest or a recorded session in the terminal, with speed, pause and seek."""

import argparse
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from runtime.cli import add_command
from runtime.errors import ConfigurationError, DataError
from runtime.settings import Settings, load_settings
from ui.recording import RECORDING_FILE, Recording, RecordingError
from ui.serve_command import FOLDER, PATIENCE_SECS, RECORDINGS, add_options, free_folder, owned, serve


def add(commands: "argparse._SubParsersAction[Any]") -> None:
    """Register ``replay``."""
    parser = add_command(
        commands,
        "replay",
        run,
        "Play a backtest or a recorded session in the terminal, with speed, pause and seek.",
        "python -m ui replay 20260318T000000Z-ote --speed 60",
    )
    parser.add_argument("run_name", metavar="RUN", help="id of a run or session, its folder, a file, `last`")
    parser.add_argument(
        "--speed", type=float, default=60.0, metavar="X", help="seconds per second, default: 60"
    )
    parser.add_argument("--paused", action="store_true", help="begin with a pause")
    add_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Play until a signal."""
    from ui.server.replayer import MAX_SPEED, Replayer

    settings = load_settings(arguments.config)
    recording = open_recording(settings, arguments.run_name)
    if not 0 < arguments.speed <= MAX_SPEED:
        raise ConfigurationError(f"--speed {arguments.speed:g}: expected above 0, at most {MAX_SPEED:g}")
    playing: list[Replayer] = []

    def feed(hub: Any, parts: ExitStack) -> None:
        replayer = Replayer(hub, recording, arguments.speed, paused=arguments.paused)
        replayer.start()
        parts.callback(replayer.stop)
        playing.append(replayer)

    def steer(wanted: dict[str, Any]) -> None:
        if not playing:
            raise ValueError("it has not begun")
        playing[0].steer(wanted)

    # A replay that chooses its folder keeps it from then on: another one may choose at the same moment.
    place = owned(arguments.folder, PATIENCE_SECS) if arguments.folder else free_folder(FOLDER / "replay")
    return serve(arguments, settings, "backtest", place, feed, {"replay": steer})


def open_recording(settings: Settings, run_name: str) -> Recording:
    """Return the recording of a run.

    Parameters
    ----------
    settings
        Name the folders of runs and sessions.
    run_name
        Id of a run or a session, its folder, a file, or ``last``.

    Raises
    ------
    ConfigurationError
        When there is no such run, or it has no recording.
    DataError
        When it is damaged.
    """
    runs = Path(settings.backtest.runs)
    sessions = [Path(settings.live.folder) / mode / RECORDINGS for mode in ("paper", "live")]
    if run_name == "last":
        found = (file for one in (runs, *sessions) for file in one.glob(f"*/{RECORDING_FILE}"))
        known = sorted(found, key=lambda path: path.stat().st_mtime)
        if not known:
            raise ConfigurationError(f"{runs}: no run has a recording yet; run a backtest first")
        file = known[-1]
    else:
        given = Path(run_name)
        folders = (given, *(one / run_name for one in (*sessions, runs)))
        folder = next((one for one in folders if one.exists()), runs / run_name)
        file = folder if folder.is_file() else folder / RECORDING_FILE
        if not folder.exists():
            raise ConfigurationError(f"{folder}: no such run; `{runs}` has them, `last` is the newest")
        if not file.is_file():
            raise ConfigurationError(f"{folder}: has no {RECORDING_FILE}; run it again to record it")
    try:
        return Recording(file)
    except RecordingError as error:
        raise DataError(str(error)) from error
