"""Finds the strategies: every module of this package with a constant ``SPEC`` is one.

A new strategy is one new file, see ``docs/how-to/write-a-strategy.md``.
"""

import importlib
import inspect
import pkgutil
import re
import types
import typing
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import NODEFAULT

import strategies


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


def discover() -> dict[str, StrategySpec]:
    """Return every strategy by name, sorted.

    Raises
    ------
    ValueError
        When two modules claim one name.
    """
    found: dict[str, StrategySpec] = {}
    for module_info in pkgutil.iter_modules(strategies.__path__):
        if module_info.ispkg:
            continue
        module = importlib.import_module(f"{strategies.__name__}.{module_info.name}")
        spec = getattr(module, "SPEC", None)
        if not isinstance(spec, StrategySpec):
            continue
        if spec.name in found:
            raise ValueError(f"{module.__name__}: another strategy is named {spec.name!r} already")
        found[spec.name] = spec
    return dict(sorted(found.items()))


def parameters(spec: StrategySpec) -> list[dict[str, Any]]:
    """Return the strategy's own settings, in the order of its config class.

    Fields that every Nautilus strategy has are left out.

    Returns
    -------
    list of dict
        ``name``, ``type`` (as text), ``default`` (plain JSON value, None where it must be given) and
        ``doc`` (from the numpydoc "Parameters" section of the class).
    """
    config = spec.config_class()
    docs = documented_parameters(config.__doc__ or "")
    hints = typing.get_type_hints(config)
    own = {name for base in config.__mro__ if _is_ours(base) for name in inspect.get_annotations(base)}
    return [
        {
            "name": field.name,
            "type": type_name(hints[field.name]),
            "default": _plain(field),
            "doc": docs.get(field.name, ""),
        }
        for field in msgspec.structs.fields(config)
        if field.name in own
    ]


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
