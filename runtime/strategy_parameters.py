"""A strategy's parameters out of the settings: merged for one instrument, and checked by its config class.

Settings keep them as a plain dictionary: what exists is said by the config class alone, so that a new field
of a strategy needs no second definition.
"""

import re
import types
from collections.abc import Mapping
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from runtime.cli import did_you_mean
from runtime.errors import ConfigurationError
from runtime.settings import CATEGORY, RESERVED_PARAMETERS, StrategySettings
from runtime.yaml_text import scalar

COMMAND_LINE: Final = "command line"


def merged_parameters(
    entry: StrategySettings, instrument_id: str, command_line: Mapping[str, str]
) -> dict[str, tuple[Any, str]]:
    """Merge a strategy's parameters for one instrument: entry < category < symbols < ``--set``.

    Parameters
    ----------
    entry
        Strategy entry of the settings.
    instrument_id
        Whose overrides apply.
    command_line
        ``--set`` values as typed.

    Returns
    -------
    dict
        Parameter -> (value, where it comes from: `entry`, `categories.NAME`, `symbols` or `command line`).
    """
    merged = {key: (value, "entry") for key, value in entry.parameters.items()}
    own = entry.symbols.get(instrument_id, {})
    category = str(own.get(CATEGORY, ""))
    merged |= {
        key: (value, f"categories.{category}") for key, value in entry.categories.get(category, {}).items()
    }
    merged |= {key: (value, "symbols") for key, value in own.items() if key != CATEGORY}
    merged |= {key: (scalar(value), COMMAND_LINE) for key, value in command_line.items()}
    return merged


def check_parameters(
    config_class: type[Any],
    parameters: Mapping[str, tuple[Any, str]],
    instrument_id: str,
    entry_path: str,
    source: str,
    given: Mapping[str, Any] | None = None,
) -> Any:
    """Build the strategy's config from merged parameters.

    Parameters
    ----------
    config_class
        Frozen msgspec struct with a ``parse(bytes)`` class method (Nautilus' StrategyConfig).
    parameters
        As :func:`merged_parameters` returns them.
    instrument_id
        The instrument the config is for.
    entry_path, source
        Where the entry stands, for errors: ``$.strategies[0]`` of ``config.yaml``.
    given
        What the program sets itself; None for the instrument alone.

    Returns
    -------
    object
        The validated config.

    Raises
    ------
    ConfigurationError
        Unknown parameter (with a suggestion), wrong type, value out of range, impossible combination.
    """
    known = [name for name in config_class.__struct_fields__ if name not in RESERVED_PARAMETERS]
    for name, (_value, origin) in parameters.items():
        where = _parameter_path(name, origin, entry_path, instrument_id)
        if name in RESERVED_PARAMETERS:
            raise ConfigurationError(f"{where} is set by the program for each instrument: remove it")
        if name not in known:
            hint = did_you_mean(name, known) or f"; known: {', '.join(sorted(known))}"
            raise ConfigurationError(
                f"unknown setting {where}{hint}"
                if origin == COMMAND_LINE
                else f"{source}: unknown setting {where}{hint}"
            )
    hints = get_type_hints(config_class)
    values = {name: _as_word(value, hints[name]) for name, (value, _origin) in parameters.items()}
    try:
        return config_class.parse(
            msgspec.json.encode({**values, **(given or {"instrument_id": instrument_id})})
        )
    except (msgspec.ValidationError, ValueError, TypeError) as error:
        message, _, path = str(error).replace("`", "").partition(" - at ")
        name = path.removeprefix("$.").split("[")[0].split(".")[0] or _blamed(message, parameters)
        if name in parameters:
            origin = parameters[name][1]
            where = _parameter_path(name, origin, entry_path, instrument_id)
            prefix = "" if origin == COMMAND_LINE else f"{source}: "
            raise ConfigurationError(f"{prefix}{message} - at {where}") from error
        raise ConfigurationError(f"{source}: {message} - at {entry_path}") from error


def _as_word(value: Any, annotation: Any) -> Any:
    """Return a boolean as the word that was meant: YAML reads on, off, yes and no as booleans."""
    if not isinstance(value, bool):
        return value
    words = _words_of(annotation)
    if not words:
        return value
    meant = ("on", "yes", "true") if value else ("off", "no", "false")
    return next((one for one in meant if one in words), meant[0])


def _words_of(annotation: Any) -> tuple[str, ...]:
    """Return the words that a setting may be, empty where it may be something else as well."""
    annotation = getattr(annotation, "__value__", annotation)  # `type X = Literal[...]`
    choices = get_args(annotation)
    if get_origin(annotation) in (Union, types.UnionType):
        return tuple(word for one in choices if one is not types.NoneType for word in _words_of(one))
    if get_origin(annotation) is Literal and all(isinstance(one, str) for one in choices):
        return choices
    return ()


def _blamed(message: str, parameters: Mapping[str, tuple[Any, str]]) -> str:
    """Return the first setting that a message of the config class names, the command line's before others."""
    named = [one for one in re.findall(r"\w+", message) if one in parameters]
    typed = [one for one in named if parameters[one][1] == COMMAND_LINE]
    return next(iter(typed or named), "")


def _parameter_path(name: str, origin: str, entry_path: str, instrument_id: str) -> str:
    if origin == COMMAND_LINE:
        return f"--set {name}"
    if origin == "symbols":
        return f"{entry_path}.symbols.{instrument_id}.{name}"
    if origin != "entry":
        return f"{entry_path}.{origin}.{name}"
    return f"{entry_path}.{name}"
