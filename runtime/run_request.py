"""What the user asks of a run: the options of `run` and `lookahead`, merged over the settings file."""

import argparse
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import msgspec

from runtime.cli import iso_time, key_value
from runtime.errors import ConfigurationError
from runtime.settings import FeeSettings, FillSettings, Settings, load_settings


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What the command line and the settings file ask for together.

    Parameters
    ----------
    settings
        Settings with the command line's account and fill options merged in.
    source
        Name of the settings file, for errors.
    catalog
        Folder of the catalog.
    strategy
        Name of the strategy; None takes the first of the settings.
    instruments
        Instrument ids; empty takes the settings', else every instrument of the catalog with trades.
    start_ns, end_ns
        First entry allowed from `start_ns` on, data up to but not including `end_ns`; UNIX nanoseconds.
    command_line
        ``--set`` values as typed.
    started_s
        `time.perf_counter()` at the start of the command.
    """

    settings: Settings
    source: str
    catalog: Path
    strategy: str | None = None
    instruments: tuple[str, ...] = ()
    start_ns: int | None = None
    end_ns: int | None = None
    command_line: Mapping[str, str] = field(default_factory=dict)
    started_s: float = field(default_factory=time.perf_counter)


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that describe a run; `run` and `lookahead` share them."""
    add_replay_arguments(parser)
    parser.add_argument(
        "--model",
        metavar="DIR",
        help="folder of a trained model that decides whether a resting entry stays, or a signal is taken; "
        "same as --set model=DIR",
    )


def add_replay_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that describe a replay of data, whatever decides about its entries."""
    parser.set_defaults(model=None)
    add = parser.add_argument
    add("--config", metavar="FILE", help="settings file (default: config.yaml, if it is there)")
    add("--catalog", metavar="DIR", help="catalog with the trades (default: the settings', var/catalog)")
    add("--strategy", metavar="NAME", help="see `backtest_node.py strategies` (default: the settings' first)")
    add(
        "--instrument",
        metavar="ID",
        action="append",
        default=[],
        help="for example XRPUSDT.BINANCE; repeat for several (default: all of the catalog)",
    )
    add(
        "--start",
        type=iso_time,
        metavar="ISO",
        help="no entries before, UTC; the replay begins a whole UTC day earlier, as warm-up",
    )
    add("--end", type=iso_time, metavar="ISO", help="end of the data, UTC, not included")
    add(
        "--set",
        type=key_value,
        metavar="KEY=VALUE",
        action="append",
        default=[],
        dest="parameters",
        help="a parameter of the strategy, for example bucket_usd=10000; may be repeated",
    )
    add(
        "--universe",
        choices=("auto", "on", "off"),
        help="only coins that belonged to the universe of a day are entered: auto is on for more than 20",
    )
    add("--chunk-size", type=_chunk_size, metavar="N|all", help="trades in memory at a time (default 50000)")
    add("--balance", type=_decimal, metavar="AMOUNT", help="starting balance, quote currency (default 10000)")
    add("--maker-fee", type=_decimal, metavar="RATE", help="0.001 is 0.1 %% (default: the instrument's)")
    add("--taker-fee", type=_decimal, metavar="RATE", help="0.001 is 0.1 %% (default: the instrument's)")
    add(
        "--slippage",
        type=_slippage,
        metavar="N|Xbps",
        help="fill market and stop-market orders, not the stop-limit orders that protect spot, this much "
        "worse: 2 (price increments) or 1.5bps (default 0)",
    )
    add("--json", action="store_true", help="print one JSON object on stdout")


def request_from(arguments: argparse.Namespace) -> RunRequest:
    """Merge the command line over the settings file.

    Raises
    ------
    ConfigurationError
        When the settings file or an option is wrong.
    """
    settings = load_settings(arguments.config)
    old = settings.backtest
    replaced: dict[str, Any] = {}
    if arguments.chunk_size is not None:
        replaced["chunk_size"] = arguments.chunk_size
    if arguments.balance is not None:
        replaced["balance"] = arguments.balance
    try:
        replaced["fees"] = FeeSettings(
            maker=old.fees.maker if arguments.maker_fee is None else arguments.maker_fee,
            taker=old.fees.taker if arguments.taker_fee is None else arguments.taker_fee,
        )
        if arguments.slippage is not None:
            replaced["fills"] = _with_slippage(old.fills, arguments.slippage)
        backtest = msgspec.structs.replace(old, **replaced)
    except ValueError as error:
        raise ConfigurationError(f"command line: {error}") from error
    universe = settings.universe
    if arguments.universe is not None:
        universe = msgspec.structs.replace(universe, mode=arguments.universe)
    return RunRequest(
        settings=msgspec.structs.replace(settings, backtest=backtest, universe=universe),
        source=str(arguments.config or "config.yaml"),
        catalog=Path(arguments.catalog or settings.catalog),
        strategy=arguments.strategy,
        instruments=tuple(arguments.instrument),
        start_ns=arguments.start,
        end_ns=arguments.end,
        command_line=dict(arguments.parameters) | ({"model": arguments.model} if arguments.model else {}),
        started_s=arguments.started_s,
    )


def _with_slippage(fills: FillSettings, slippage: tuple[int, Decimal]) -> FillSettings:
    ticks, bps = slippage
    return msgspec.structs.replace(fills, slippage_ticks=ticks, slippage_bps=bps)


def _decimal(text: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not value.is_finite():
        raise argparse.ArgumentTypeError(f"{text!r} is not a finite number")
    return value


def _chunk_size(text: str) -> int | str:
    if text == "all":
        return text
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number above 0 nor `all`")
    return int(text)


def _slippage(text: str) -> tuple[int, Decimal]:
    """Return (ticks, bps) of `2` or `1.5bps`."""
    if text.endswith("bps"):
        return 0, _decimal(text.removesuffix("bps").strip())
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither whole price increments (2) nor a share (1.5bps)"
        )
    return int(text), Decimal(0)
