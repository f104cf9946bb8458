"""Whether a payload has the shape of a recorded one: every key, the same JSON types, numbers as numbers."""

import json
from collections.abc import Collection
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any


def recorded(folder: Path, name: str) -> Any:
    """Return a recorded payload of the shared data."""
    return json.loads((folder / f"{name}.json").read_text())


def differences(built: Any, sample: Any, absent: Collection[str] = (), path: str = "$") -> list[str]:
    """Return where a built payload departs from the recorded one; keys of `absent` may be missing.

    Additional keys are allowed: vendors add them. A recorded null says nothing about the type. A string that
    is a number in the record must be one (or "", which is how Bybit writes nothing) in the built payload.
    """
    if sample is None:
        return []
    if isinstance(sample, dict):
        if not isinstance(built, dict):
            return [f"{path}: {type(built).__name__} instead of an object"]
        found = []
        for key, value in sample.items():
            if key not in built:
                found += [] if key in absent else [f"{path}.{key} is missing"]
            else:
                found += differences(built[key], value, absent, f"{path}.{key}")
        return found
    if isinstance(sample, list):
        if not isinstance(built, list):
            return [f"{path}: {type(built).__name__} instead of an array"]
        return (
            [text for item in built for text in differences(item, sample[0], absent, f"{path}[]")]
            if sample
            else []
        )
    if type(built) is not type(sample):
        return [f"{path}: {built!r} instead of a {type(sample).__name__} like {sample!r}"]
    if isinstance(sample, str) and is_number(sample) and built and not is_number(built):
        return [f"{path}: {built!r} instead of a number like {sample!r}"]
    return []


def is_number(text: str) -> bool:
    """Return whether a string is a decimal number."""
    try:
        return Decimal(text).is_finite()
    except InvalidOperation:
        return False
