"""JSON schema of `config.yaml`, so that an editor completes and checks settings while they are typed.

``python -m runtime.settings_schema`` prints it; `docs/config.schema.json` is that output.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from ml.train_settings import TrainSettings, TreeSettings
from runtime.notify.settings import EventRule, EventRules, NotifySettings, QuietHours
from runtime.run_plan import describe_strategies
from runtime.settings import (
    RESERVED_PARAMETERS,
    STRATEGY_KEYS,
    BacktestSettings,
    DownloadSettings,
    FeeSettings,
    FillSettings,
    HostSettings,
    Settings,
    StrategySettings,
)
from strategies.registry import documented_parameters

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
STRUCTS: Final = (
    Settings, HostSettings, DownloadSettings, BacktestSettings, FillSettings, FeeSettings, StrategySettings,
    TrainSettings, TreeSettings, NotifySettings, QuietHours, EventRules, EventRule,
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
    own = {
        one["name"]: {"description": f"{one['doc']} ({one['type']})", "default": one["default"]}
        for one in strategy["parameters"]
        if one["name"] not in RESERVED_PARAMETERS
    }
    overrides = {"type": "object", "properties": own, "additionalProperties": False}
    allowed: dict[str, Any] = {key: {} for key in STRATEGY_KEYS}
    allowed["symbols"] = {"additionalProperties": overrides}
    return {
        "if": {"properties": {"strategy": {"const": strategy["name"]}}},
        "then": {"properties": {**allowed, **own}, "additionalProperties": False},
    }


def main() -> int:
    """Print the schema."""
    runnable = [one for one in describe_strategies() if one["error"] is None]
    schema = msgspec.json.encode(settings_schema(runnable))
    sys.stdout.write(msgspec.json.format(schema, indent=2).decode() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
