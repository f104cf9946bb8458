"""Finds the strategies: every module of this package with a constant ``SPEC`` is one.

A new strategy is one new file, see ``docs/how-to/write-a-strategy.md``. A file that is broken is named with
the reason and left out; the others work as if it were not there.
"""

import importlib
import inspect
import math
import pkgutil
import re
import traceback
import types
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from msgspec import NODEFAULT
from nautilus_trader.config import StrategyConfig
from nautilus_trader.trading.strategy import Strategy

import strategies
from strategies.config_checks import Ranges


@dataclass(frozen=True, slots=True)
class StrategySpec:
    """How a strategy is named and found.

    Parameters
    ----------
    name
        The word that ``--strategy`` takes.
    version
        Of the strategy's rules: raised when equal settings may give other decisions.
    summary
        One line.
    strategy_path, config_path
        ``module:Class``, as in Nautilus' importable configurations.
    """

    name: str
    version: str
    summary: str
    strategy_path: str
    config_path: str

    def strategy_class(self) -> type[Any]:
        """Import and return the strategy's class."""
        return _resolve(self.strategy_path)

    def config_class(self) -> type[Any]:
        """Import and return the class of the strategy's configuration."""
        return _resolve(self.config_path)


@dataclass(frozen=True, slots=True)
class BrokenStrategy:
    """A file that says it is a strategy, or cannot be read, and does not run.

    Parameters
    ----------
    name
        Of its ``SPEC``; the file's own where there is none.
    module
        Such as ``strategies.breakout``.
    reason
        One line: what is wrong and where.
    version, summary
        As in `StrategySpec`, empty where unknown.
    """

    name: str
    module: str
    reason: str
    version: str = ""
    summary: str = ""


def discover() -> dict[str, StrategySpec]:
    """Return every strategy that can run by name, sorted; `survey` tells of the others."""
    return survey()[0]


def survey() -> tuple[dict[str, StrategySpec], tuple[BrokenStrategy, ...]]:
    """Look at every module of the package.

    A name that several files claim belongs to the file of that name (``ote`` to ``ote.py``), and to none of
    them where there is no such file: which one trades must not hang on the order of a folder.

    Returns
    -------
    strategies, broken
        Those that can run by name, and those that cannot, each sorted by name.
    """
    importlib.invalidate_caches()  # a file that was written a moment ago counts
    claims: dict[str, list[tuple[str, StrategySpec]]] = {}
    broken: list[BrokenStrategy] = []
    for module_info in pkgutil.iter_modules(strategies.__path__):
        if module_info.ispkg:
            continue
        module_name = f"{strategies.__name__}.{module_info.name}"
        try:
            spec = getattr(importlib.import_module(module_name), "SPEC", None)
        except (Exception, SystemExit) as error:  # whatever a file of the user's own does when it is read
            broken.append(BrokenStrategy(module_info.name, module_name, _reason("cannot be imported", error)))
            continue
        if isinstance(spec, StrategySpec):
            claims.setdefault(spec.name, []).append((module_info.name, spec))
        elif spec is not None:
            reason = f"SPEC is of type {type(spec).__name__}, not a StrategySpec"
            broken.append(BrokenStrategy(module_info.name, module_name, reason))
    found: dict[str, StrategySpec] = {}
    for name, claimants in claims.items():
        files = [file for file, _spec in claimants]
        for file, spec in claimants:
            module_name = f"{strategies.__name__}.{file}"
            wrong = _taken(name, file, files) or _wrong_with(spec, module_name)
            if wrong is None:
                found[name] = spec
                continue
            broken.append(BrokenStrategy(name or file, module_name, wrong, spec.version, spec.summary))
    return dict(sorted(found.items())), tuple(sorted(broken, key=lambda one: (one.name, one.module)))


def _taken(name: str, file: str, files: Sequence[str]) -> str | None:
    """Return why a file may not have the name that it claims."""
    others = [f"{other}.py" for other in files if other != file]
    if not others or file == name:
        return None
    if name in files:
        return f"duplicate name: {name} belongs to {name}.py, rename the one in {file}.py"
    return f"duplicate name: {name} is also claimed by {', '.join(others)}, rename one of them"


def _wrong_with(spec: StrategySpec, module_name: str) -> str | None:
    """Return why a strategy cannot run, None when nothing was found."""
    for word in ("name", "version", "summary", "strategy_path", "config_path"):
        value = getattr(spec, word)
        if not isinstance(value, str) or not value.strip():
            return f"SPEC.{word} is {value!r}, want a text"
    if spec.strategy_path.partition(":")[0] != module_name:  # copied and only renamed: another one would run
        return f"SPEC.strategy_path {spec.strategy_path} is not in {module_name}"
    try:
        strategy, config = spec.strategy_class(), spec.config_class()
        if not (isinstance(strategy, type) and issubclass(strategy, Strategy)):
            return f"SPEC.strategy_path {spec.strategy_path} is no Nautilus Strategy"
        if not (isinstance(config, type) and issubclass(config, StrategyConfig)):
            return f"SPEC.config_path {spec.config_path} is no Nautilus StrategyConfig"
        listed = parameters(spec)
        _try_defaults(config)
    except (Exception, SystemExit) as error:
        return _reason("broken config", error)
    undocumented = [one["name"] for one in listed if not one["doc"]]
    if undocumented:
        return f"missing docs: {config.__name__} says nothing under Parameters of {', '.join(undocumented)}"
    return None


def _try_defaults(config: type[Any]) -> None:
    """Build the configuration with its own defaults, if it has all of them."""
    required = {field.name for field in msgspec.structs.fields(config) if field.required}
    if required <= {"instrument_id"}:
        config.parse(msgspec.json.encode(dict.fromkeys(required, "XRPUSDT.BINANCE")))


def _reason(what: str, error: BaseException) -> str:
    """Return what was raised on one line, with the place if it is in a file of this package."""
    text = f"{what}: {type(error).__name__}: {' '.join(str(error).split())}"
    folders = {str(Path(folder).resolve()) for folder in strategies.__path__}
    frames = traceback.extract_tb(error.__traceback__)
    own = [
        one
        for one in frames
        if str(Path(one.filename).resolve().parent) in folders and Path(one.filename) != Path(__file__)
    ]
    return f"{text} ({Path(own[-1].filename).name} line {own[-1].lineno})" if own else text


def parameters(spec: StrategySpec) -> list[dict[str, Any]]:
    """Return the strategy's own settings, in the order of its config class.

    Fields that every Nautilus strategy has are left out.

    Returns
    -------
    list of dict
        ``name``, ``type`` (as text), ``default`` (plain JSON value, None where it must be given), ``doc``
        (from the numpydoc "Parameters" section of the class, or of the one that has the field), and
        ``min`` and ``max`` of numbers that have bounds, both included.
    """
    config = spec.config_class()
    docs, ranges = config_docs(config), config_ranges(config)
    hints = typing.get_type_hints(config)
    own = {name for base in config.__mro__ if _is_ours(base) for name in inspect.get_annotations(base)}
    return [
        {
            "name": field.name,
            "type": type_name(hints[field.name]),
            "default": _plain(field),
            "doc": docs.get(field.name, ""),
            **_bounds(ranges.get(field.name)),
        }
        for field in msgspec.structs.fields(config)
        if field.name in own
    ]


def symbol_parameters(spec: StrategySpec) -> list[dict[str, Any]]:
    """Return what single instruments may have of their own, as :func:`parameters` does.

    A strategy for many instruments has a struct for it in its ``coins``; any other one takes all its
    parameters, and the list is empty.
    """
    coins = typing.get_type_hints(spec.config_class()).get("coins")
    structs = [one for one in _flat(coins) if isinstance(one, type) and issubclass(one, msgspec.Struct)]
    return [
        {
            "name": field.name,
            "type": type_name(typing.get_type_hints(struct)[field.name]),
            "default": _plain(field),
            "doc": documented_parameters(struct.__doc__ or "").get(field.name, ""),
        }
        for struct in structs
        for field in msgspec.structs.fields(struct)
    ]


def _flat(hint: Any) -> list[Any]:
    """Return a type and all that it is made of."""
    return [hint, *(part for one in typing.get_args(hint) for part in _flat(one))]


def config_docs(config: type[Any]) -> dict[str, str]:
    """Return what a config class and the classes of ours it derives from say about each parameter."""
    docs: dict[str, str] = {}
    for base in reversed(config.__mro__):
        if _is_ours(base):
            docs |= documented_parameters(base.__doc__ or "")
    return docs


def config_ranges(config: type[Any]) -> Ranges:
    """Return least and greatest value of the numbers that a config class and its bases bound."""
    ranges: dict[str, tuple[float, float]] = {}
    for base in reversed(config.__mro__):
        ranges |= vars(base).get("RANGES", {})
    return ranges


def _bounds(found: tuple[float, float] | None) -> dict[str, float]:
    """Return ``min`` and ``max`` where there are any."""
    bounds = {} if found is None else dict(zip(("min", "max"), found, strict=True))
    return {name: bound for name, bound in bounds.items() if math.isfinite(bound)}


def documented_parameters(docstring: str) -> dict[str, str]:
    """Return what a numpydoc "Parameters" section says about each name, on one line.

    Examples
    --------
    >>> documented_parameters('''Summary.
    ...
    ... Parameters
    ... ----------
    ... a, b
    ...     Two
    ...     numbers.
    ... ''')
    {'a': 'Two numbers.', 'b': 'Two numbers.'}
    """
    lines = _dedent(docstring)
    try:
        start = lines.index("Parameters") + 2
    except ValueError:
        return {}
    docs: dict[str, str] = {}
    names: list[str] = []
    for number, line in enumerate(lines[start:], start):
        if set(line) == {"-"}:  # underline of the next section: its title was taken for a name
            for name in names:
                docs.pop(name, None)
            break
        if line and not line.startswith(" "):
            names = [name.strip() for name in line.split(" : ")[0].split(",")]
            docs |= dict.fromkeys(names, "")
        elif line.strip() and number < len(lines):
            for name in names:
                docs[name] = f"{docs[name]} {line.strip()}".strip()
    return docs


def type_name(hint: Any) -> str:
    """Return a type as a reader would write it.

    Examples
    --------
    >>> type_name(float | None)
    'float | None'
    """
    if isinstance(hint, typing.TypeAliasType):
        hint = hint.__value__
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return " | ".join(type_name(part) for part in typing.get_args(hint))
    if typing.get_origin(hint) is typing.Literal:
        return " | ".join(repr(choice) for choice in typing.get_args(hint))
    if hint is type(None):
        return "None"
    name: str = getattr(hint, "__name__", "") if typing.get_origin(hint) is None else ""
    return name or re.sub(r"\b[a-z_]\w*\.", "", str(hint))


def _resolve(path: str) -> type[Any]:
    module_name, _, class_name = path.partition(":")
    found: type[Any] = getattr(importlib.import_module(module_name), class_name)
    return found


def _is_ours(base: type[Any]) -> bool:
    return base.__module__.split(".")[0] not in ("nautilus_trader", "msgspec", "builtins")


def _plain(field: Any) -> Any:
    default = field.default
    if default is NODEFAULT:
        default = None if field.default_factory is NODEFAULT else field.default_factory()
    return msgspec.to_builtins(default, enc_hook=str)


def _dedent(docstring: str) -> list[str]:
    lines = docstring.expandtabs().splitlines()
    body = [line for line in lines[1:] if line.strip()]
    margin = min((len(line) - len(line.lstrip()) for line in body), default=0)
    return [line.rstrip() for line in lines[:1] + [line[margin:] for line in lines[1:]]]
