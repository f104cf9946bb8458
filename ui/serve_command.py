"""``serve``: the terminal of a node that runs, or will."""

import argparse
import fcntl
import logging
import os
import queue
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final

from runtime.cli import add_command, say
from runtime.errors import EXIT_DONE, ConfigurationError, OperatorError
from runtime.journal.place import journal_url
from runtime.settings import Settings, load_settings
from ui.attached.opened import open_audit
from ui.server.accounts import Accounts
from ui.server.addresses import LOOPBACK, Network, network
from ui.server.settings import DEFAULT_HOST, DEFAULT_PORT, ServerSettings, persisted_secret, why_not_bind

log = logging.getLogger("smcbot.terminal")

FOLDER: Final = Path("var/terminal")
SECRET_FILE: Final = "secret"  # noqa: S105 - the name of a file
TOKEN_FILE: Final = "token"  # noqa: S105 - the name of a file
ENDED_FILE: Final = "ended.json"
JOBS: Final = "jobs"
# Of `live.folder`: which cores the jobs of all terminals have.
CORES: Final = "cores"
LOCK_FILE: Final = "lock"
RECORDINGS: Final = "recordings"
STRUCTURE: Final = "var/structure"
MODELS: Final = "var/models"
# A terminal whose node was killed ends within seconds; that of the next node waits for its folder. Where the
# database does not answer it takes half a minute: `live_node.py --terminal` starts the next one again.
PATIENCE_SECS: Final = 5.0
# Replays at a time that need not name a folder.
MAX_FOLDERS: Final = 10
STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class TakenError(OperatorError):
    """Another terminal has the folder and will let go: the exit code is not that of a misuse."""


def add(commands: "argparse._SubParsersAction[Any]") -> None:
    """Register ``serve``."""
    parser = add_command(
        commands,
        "serve",
        run,
        "Serve the terminal of a paper or live node to browsers.",
        "python -m ui serve --mode paper --port 8790",
    )
    parser.add_argument(
        "--mode", choices=("paper", "live"), default="paper", help="of which node, default: paper"
    )
    parser.add_argument(
        "--with-parent",
        type=int,
        metavar="PID",
        help="end when the process that started this one is gone; `live_node.py --terminal` says it",
    )
    add_options(parser)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that `serve` and `replay` share."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings, default: config.yaml")
    parser.add_argument("--host", default=DEFAULT_HOST, help=f"address to listen at, default: {DEFAULT_HOST}")
    parser.add_argument(
        "--port", type=int, default=DEFAULT_PORT, help=f"default: {DEFAULT_PORT}; 0 takes a free one"
    )
    parser.add_argument(
        "--folder",
        type=Path,
        metavar="DIR",
        help=f"of its secret and jobs, default: {FOLDER}/MODE, or {FOLDER}/replay",
    )
    parser.add_argument("--tls-cert", type=Path, metavar="FILE", help="certificate, PEM; speak TLS")
    parser.add_argument("--tls-key", type=Path, metavar="FILE", help="its key, PEM")
    parser.add_argument(
        "--behind-proxy",
        action="store_true",
        help="a proxy with TLS stands before it, whose X-Forwarded-For is believed; others are refused",
    )
    parser.add_argument(
        "--proxy",
        action="append",
        default=[],
        metavar="ADDR[/BITS]",
        help="where that proxy is, default: on this machine; may be given again",
    )
    parser.add_argument(
        "--name",
        action="append",
        default=[],
        metavar="HOST[:PORT]",
        help="a further name by which browsers call it, as in their address bar",
    )
    parser.add_argument(
        "--accept-plain-text",
        action="store_true",
        help="listen elsewhere than on loopback without TLS: passwords can be read on the way",
    )


def run(arguments: argparse.Namespace) -> int:
    """Serve until a signal."""
    from ui.attached.node import NodeSocket
    from ui.attached.reasons import NodeReasons
    from ui.attached.session_recorder import SessionRecorder
    from ui.endpoint import telemetry_path
    from ui.server.subscriber import Subscriber

    settings = load_settings(arguments.config)
    folder = Path(settings.live.folder)
    # Of its own, or a login at the terminal of a paper node would be one at that of a live node.
    arguments.folder = arguments.folder or FOLDER / arguments.mode

    def feed(hub: Any, parts: ExitStack) -> None:
        reasons = NodeReasons(_models(settings))
        reasons.start()
        recorder = SessionRecorder(hub, folder / arguments.mode / RECORDINGS)
        path = telemetry_path(folder, arguments.mode)
        subscriber = Subscriber(hub, path, reasons.explained, recorder.take)
        parts.callback(recorder.close)
        subscriber.start()
        parts.callback(subscriber.stop)

    node = NodeSocket(folder, arguments.mode)
    place = owned(arguments.folder, PATIENCE_SECS)
    return serve(arguments, settings, arguments.mode, place, feed, {"node": node})


def _models(settings: Settings) -> Iterator[str]:
    """Yield the folders of the models that strategies decide with."""
    for one in settings.strategies:
        for parameters in (one.parameters, *one.categories.values(), *one.symbols.values()):
            if folder := parameters.get("model"):
                yield str(folder)


def open_ports(arguments: argparse.Namespace, settings: Settings, parts: ExitStack) -> dict[str, Any]:
    """Return what the API asks; what must be stopped goes onto the stack."""
    from ui.attached.data import DataWorker
    from ui.attached.journal import JournalReader
    from ui.server.jobs import Jobs

    data, jobs = DataWorker(), Jobs(arguments.folder / JOBS, cores=Path(settings.live.folder) / CORES)
    jobs.start()
    parts.callback(data.close)
    parts.callback(jobs.stop)
    return {
        "journal": JournalReader(journal_url(settings.journal)),
        "data": data,
        "jobs": jobs,
        "config": None if arguments.config is None else str(arguments.config),
        "places": {
            "catalog": settings.catalog,
            "structure": STRUCTURE,
            "paper": f"{settings.live.folder}/paper",
            "runs": settings.backtest.runs,
            "models": MODELS,
        },
    }


def serve(
    arguments: argparse.Namespace,
    settings: Settings,
    mode: Any,
    place: AbstractContextManager[Path],
    feed: Any,
    app_options: dict[str, Any],
) -> int:
    """Serve an application until a signal.

    Parameters
    ----------
    arguments
        Of `add_options`.
    settings
        Of the program.
    mode
        Of the audit's session, and of what the API's figures are without a filter.
    place
        Gives the folder, and keeps others out of it until the end.
    feed
        ``(hub, parts)``: starts what the hub hears; what must be stopped goes onto the stack.
    app_options
        Of `ui.server.app.create_app`.
    """
    from ui.server.app import create_app
    from ui.server.hub import FrameThread, Hub
    from ui.server.listening import Listener
    from ui.server.memory import Trimmer, limit_arenas

    limit_arenas()
    accounts, certificate, proxies = _accounts(), _certificate(arguments), _proxies(arguments)
    is_encrypted = certificate is not None or arguments.behind_proxy
    _require_safe(arguments, accounts, is_encrypted=is_encrypted)
    with ExitStack() as parts:
        arguments.folder = parts.enter_context(place)
        secret = _secret(arguments.folder)
        listener = _listen(Listener, arguments, certificate, proxies if arguments.behind_proxy else ())
        parts.callback(listener.stop)
        server = ServerSettings(
            host=arguments.host,
            port=listener.port,
            secret=secret,
            names=tuple(arguments.name),
            is_encrypted=is_encrypted,
            is_proxied=arguments.behind_proxy,
            proxies=proxies,
        )
        audit = parts.enter_context(open_audit(settings, arguments.config, mode, arguments.folder))
        hub = Hub(max_clients=server.max_clients)
        made = create_app(
            server,
            accounts,
            audit,
            hub=hub,
            ended_file=arguments.folder / ENDED_FILE,
            ports={"mode": mode, **open_ports(arguments, settings, parts)},
            **app_options,
        )
        frames = FrameThread(hub, made.sockets)
        frames.start()
        parts.callback(frames.stop)
        feed(hub, parts)
        listener.start(made.app)
        _greet(server, accounts, arguments.folder)
        trimmer = Trimmer()
        _wait_for_signal(getattr(arguments, "with_parent", None), audit.look_again, trimmer.tick)
        say(f"stopped {datetime.now(UTC):%H:%M:%S}")
    return EXIT_DONE


def _accounts() -> Accounts:
    try:
        return Accounts.of(os.environ)
    except ValueError as error:
        raise ConfigurationError(str(error)) from error


def _certificate(arguments: argparse.Namespace) -> tuple[Path, Path] | None:
    files = (arguments.tls_cert, arguments.tls_key)
    if files == (None, None):
        return None
    for option, file in zip(("--tls-cert", "--tls-key"), files, strict=True):
        if file is None or not file.is_file():
            raise ConfigurationError(f"{option}: {file or 'is missing'}: expected a file in PEM")
    return files


def _proxies(arguments: argparse.Namespace) -> tuple[Network, ...]:
    if arguments.proxy and not arguments.behind_proxy:
        raise ConfigurationError("--proxy: is for --behind-proxy; give both, or neither")
    found = []
    for text in arguments.proxy:
        try:
            found.append(network(text))
        except ValueError:
            raise ConfigurationError(
                f"--proxy {text}: expected an address, or a network such as 10.0.0.0/8"
            ) from None
    return tuple(found) or LOOPBACK


def _require_safe(arguments: argparse.Namespace, accounts: Accounts, *, is_encrypted: bool) -> None:
    reason = why_not_bind(
        arguments.host,
        has_accounts=not accounts.is_made_up,
        is_encrypted=is_encrypted,
        accepts_plain=arguments.accept_plain_text,
    )
    if reason is not None:
        raise ConfigurationError(f"--host {arguments.host}: not on loopback; {reason}")
    if not 0 <= arguments.port <= 65_535:
        raise ConfigurationError(f"--port {arguments.port}: expected 0 to 65535")


@contextmanager
def owned(folder: Path, patience_secs: float = 0.0) -> Iterator[Path]:
    """Keep other terminals out of a folder: two would start one job twice, and take each other's token.

    Raises
    ------
    TakenError
        When another one has it, and still has after `patience_secs`.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / LOCK_FILE).open("w") as file:
        if not _locked(file):
            _wait_for(file, folder, patience_secs)
        yield folder


def _wait_for(file: IO[str], folder: Path, patience_secs: float) -> None:
    if patience_secs:
        say(f"another terminal has {folder}: waits up to {patience_secs:g} s for its end")
    end_s = time.monotonic() + patience_secs
    while not _locked(file):
        if time.monotonic() >= end_s:
            raise TakenError(
                f"--folder {folder}: another terminal has it; end that one, or name another folder"
            )
        time.sleep(0.1)


def _locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


@contextmanager
def free_folder(folder: Path) -> Iterator[Path]:
    """Keep a folder that no other terminal has: this one, or the next of its name with a number."""
    with ExitStack() as parts:
        yield _first_free(folder, parts)


def _first_free(folder: Path, parts: ExitStack) -> Path:
    others = (folder.with_name(f"{folder.name}-{number}") for number in range(2, MAX_FOLDERS + 1))
    for one in (folder, *others):
        with suppress(TakenError):
            return parts.enter_context(owned(one))
    raise TakenError(f"{folder}: {MAX_FOLDERS} terminals run beside it; end one, or name a --folder")


def _secret(folder: Path) -> bytes:
    try:
        return persisted_secret(folder / SECRET_FILE)
    except (PermissionError, ValueError) as error:
        raise ConfigurationError(str(error)) from error


def _listen(
    kind: Any,
    arguments: argparse.Namespace,
    certificate: tuple[Path, Path] | None,
    proxies: tuple[Network, ...],
) -> Any:
    try:
        return kind(arguments.host, arguments.port, certificate, proxies)
    except OSError as error:
        raise ConfigurationError(
            f"{arguments.host}:{arguments.port} cannot be had: {error.strerror or error}; choose another "
            "--port (0 takes a free one) or end the program that has it"
        ) from error


def _greet(server: ServerSettings, accounts: Accounts, folder: Path) -> None:
    """Say where it is and how to log in; a service's words go into a log, where no secret belongs."""
    say(f"terminal at {server.address}")
    if not accounts.is_made_up:
        return
    token = accounts.tokens["operator"]
    if sys.stderr.isatty():
        say(f"nobody is configured; log in with this token, good until the end: {token}")
        return
    path = (folder / TOKEN_FILE).absolute()
    path.unlink(missing_ok=True)  # of an earlier start
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{token}\n")
    say(f"nobody is configured; log in with what {path} holds, good until the end")


def _has_come(ended: queue.SimpleQueue[None], secs: float) -> bool:
    with suppress(queue.Empty):
        ended.get(timeout=secs)
        return True
    return False


def _wait_for_signal(parent_pid: int | None, *meanwhile: Callable[[], object]) -> None:
    """Wait for a signal, or until the parent is gone where one is named; do some things twice a second."""
    # Not an event: a signal that comes while this thread holds the lock within one waits for it for ever.
    ended, said = queue.SimpleQueue[None](), ""
    for number in STOP_SIGNALS:
        signal.signal(number, lambda *_: ended.put(None))
    while not _has_come(ended, 0.5):  # a wait without end would not be woken by a signal everywhere
        if parent_pid is not None and os.getppid() != parent_pid:
            return
        try:
            for one in meanwhile:
                one()
        except Exception as error:  # a disk that refuses must not end what stops a node
            if str(error) != said:
                log.exception("what is done twice a second failed")
            said = str(error)
