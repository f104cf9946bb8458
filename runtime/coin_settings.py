"""Settings of single coins: those of the strategy, then of the coin's category, its own, the command line's.

A coin's category comes from its entry in ``symbols``, else from what the stored universe knows of its name.
"""

from collections.abc import Collection, Mapping
from typing import Any, get_args, get_type_hints

import msgspec

from runtime.cli import did_you_mean
from runtime.errors import ConfigurationError
from runtime.settings import CATEGORY, StrategySettings


def coin_settings(
    config_class: type[Any],
    entry: StrategySettings,
    names: Collection[str],
    command_line: Mapping[str, str],
    *,
    entry_path: str,
    source: str,
    known: Mapping[str, str] | None = None,
) -> dict[str, dict[str, Any]]:
    """Return what each coin has of its own, for a strategy that trades many in one instance.

    Parameters
    ----------
    config_class
        The strategy's configuration; its field ``coins`` names the struct of a coin.
    entry
        Strategy entry of the settings.
    names
        Instruments of the run.
    command_line
        ``--set`` values; what they set, no coin and no category sets.
    entry_path, source
        Where the entry stands, for errors.
    known
        Category by instrument where `symbols` names none.

    Returns
    -------
    dict
        Instrument id -> settings; coins without any are left out.

    Raises
    ------
    ConfigurationError
        Unknown setting (with a suggestion) or wrong type, with its path.
    """
    struct = _struct_of(config_class)
    for part, given in (("categories", entry.categories), ("symbols", entry.symbols)):
        for name, own in given.items():
            _check(struct, own, f"{entry_path}.{part}.{name}", source)
    coins = {}
    for name in names:
        own = own_settings(entry, name, known)
        merged = {key: value for key, value in own.items() if key not in command_line}
        if merged:
            coins[name] = merged
    return coins


def own_settings(
    entry: StrategySettings, instrument_id: str, known: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return a coin's settings merged over those of its category; the category itself stays in them."""
    own = dict(entry.symbols.get(instrument_id, {}))
    category = own.get(CATEGORY) or (known or {}).get(instrument_id, "")
    return {**entry.categories.get(category, {}), **own, **({CATEGORY: category} if category else {})}


def categories_by_name(
    names: Collection[str], described: Collection[str], found: Mapping[str, Collection[str]]
) -> dict[str, str]:
    """Return the category of each instrument that is described in the settings, the first by name.

    Parameters
    ----------
    names
        Nautilus instrument ids.
    described
        Categories of the settings.
    found
        Instrument id -> categories that are known of it.
    """
    fits = {name: sorted(set(found.get(name, ())) & set(described)) for name in names}
    return {name: words[0] for name, words in fits.items() if words}


def unmatched_settings(
    entry: StrategySettings,
    names: Collection[str],
    known: Collection[str] = (),
    categories: Collection[str] = (),
) -> list[str]:
    """Return a line for each part of an entry that no instrument of the run takes: most likely misspelt.

    Parameters
    ----------
    entry
        Strategy entry of the settings.
    names
        Instruments of the run.
    known
        Others that exist and were left out on purpose.
    categories
        What names of coins tell by themselves, besides what `symbols` says.
    """
    found = []
    for name in entry.symbols:
        if name not in names and name not in known:
            hint = did_you_mean(name, list(names)) or "; its settings have no effect"
            found.append(f"symbols.{name}: this instrument is not in the run{hint}")
    said = {str(own[CATEGORY]) for own in entry.symbols.values() if own.get(CATEGORY)}
    usual = said | set(categories)
    for category in entry.categories:
        if category not in usual:
            hint = did_you_mean(category, sorted(usual)) or "; its settings have no effect"
            found.append(f"categories.{category}: no instrument has this category{hint}")
    return found


def _struct_of(config_class: type[Any]) -> type[msgspec.Struct]:
    """Return the struct of one coin: the values of the dictionary ``coins``."""
    for choice in get_args(get_type_hints(config_class)["coins"]):
        if get_args(choice):
            found: type[msgspec.Struct] = get_args(choice)[1]
            return found
    raise TypeError(f"{config_class.__name__}.coins is no dictionary of structs")


def _check(struct: type[msgspec.Struct], own: Mapping[str, Any], path: str, source: str) -> None:
    known = struct.__struct_fields__
    for key in own:
        if key not in known:
            hint = did_you_mean(key, known) or f"; a coin may have: {', '.join(sorted(known))}"
            raise ConfigurationError(f"{source}: unknown setting {path}.{key}{hint}")
    try:
        msgspec.convert(own, struct)
    except msgspec.ValidationError as error:
        message, _, inner = str(error).replace("`", "").partition(" - at ")
        raise ConfigurationError(f"{source}: {message} - at {path}{inner.removeprefix('$')}") from error


__all__ = ["categories_by_name", "coin_settings", "own_settings", "unmatched_settings"]
