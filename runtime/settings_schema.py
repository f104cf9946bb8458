"""JSON schema of `config.yaml`, so that an editor completes and checks settings while they are typed.

``python -m runtime.settings_schema`` prints it; `docs/config.schema.json` is that output.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from ml.train_settings import TrainSettings, TreeSettings
from runtime.live.settings import STRUCTS as LIVE_STRUCTS
from runtime.notify.settings import EventRule, EventRules, NotifySettings, QuietHours
from runtime.run_plan import describe_strategies
from runtime.settings import (
    CATEGORY,
    RESERVED_PARAMETERS,
    STRATEGY_KEYS,
    BacktestSettings,
    DownloadSettings,
    FeeSettings,
    FillSettings,
    FundingSettings,
    HostSettings,
    Settings,
    StrategySettings,
)
from runtime.universe_settings import UniverseSettings
from strategies.registry import documented_parameters

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
STRUCTS: Final[tuple[type[Any], ...]] = (
    Settings, HostSettings, DownloadSettings, BacktestSettings, FillSettings, FundingSettings, FeeSettings,
    StrategySettings, TrainSettings, TreeSettings, UniverseSettings, NotifySettings, QuietHours, EventRules,
    EventRule, *LIVE_STRUCTS,
)  # fmt: skip


def settings_schema(strategies: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the JSON schema of `config.yaml`.

    Parameters
    ----------
    strategies
        Each ``{name, parameters: [{name, type, default, doc}]}``, from :func:`describe_strategies`.

    Returns
    -------
    dict
        JSON schema, draft 2020-12. Unknown keys are errors in it, as in the program.
    """
    schema = msgspec.json.schema(Settings)
    definitions: dict[str, Any] = schema["$defs"]
    for struct in STRUCTS:
        _describe(definitions[struct.__name__], struct)
    entry = definitions["StrategySettings"]
    del entry["properties"]["parameters"]
    entry["properties"]["strategy"]["enum"] = [one["name"] for one in strategies]
    entry["allOf"] = [_parameters_of(one) for one in strategies]
    return {"$schema": DIALECT, "title": "config.yaml", **schema}


def _describe(schema: dict[str, Any], struct: type[Any]) -> None:
    documented = documented_parameters(struct.__doc__ or "")
    schema["description"] = (struct.__doc__ or "").partition("\n")[0]
    for name, field in schema["properties"].items():
        field["description"] = documented[name]
        for choice in (field, *field.get("anyOf", ())):
            # Decimals are numbers in the file; msgspec only knows them as text.
            if choice.pop("format", None) == "decimal":
                choice["type"] = ["number", "string"]


def _parameters_of(strategy: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an entry may hold if it names this strategy."""
    own = _properties(strategy["parameters"])
    of_symbols = _properties(strategy.get("symbol_parameters", ())) or own
    of_symbols.pop(CATEGORY, None)
    overrides = {"type": "object", "properties": of_symbols, "additionalProperties": False}
    allowed: dict[str, Any] = {key: {} for key in STRATEGY_KEYS}
    category = {"type": "string", "description": "Name of one of `categories`."}
    in_symbols = {**overrides, "properties": {CATEGORY: category, **of_symbols}}
    allowed["symbols"] = {"additionalProperties": in_symbols}
    allowed["categories"] = {"additionalProperties": overrides}
    return {
        "if": {"properties": {"strategy": {"const": strategy["name"]}}},
        "then": {"properties": {**allowed, **own}, "additionalProperties": False},
    }


def _properties(parameters: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        one["name"]: {"description": f"{one['doc']} ({one['type']})", "default": one["default"]}
        for one in parameters
        if one["name"] not in RESERVED_PARAMETERS
    }


def main() -> int:
    """Print the schema."""
    runnable = [one for one in describe_strategies() if one["error"] is None]
    schema = msgspec.json.encode(settings_schema(runnable))
    sys.stdout.write(msgspec.json.format(schema, indent=2).decode() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
