"""Checks that strategies' settings share; msgspec checks fields when it decodes only, these run always."""

from collections.abc import Collection, Mapping

from msgspec import Struct

type Ranges = Mapping[str, tuple[float, float]]
"""Least and greatest value of numbers, both included; a config class shows its own as ``RANGES``."""


def check_choices(config: Struct, choices: Mapping[str, Collection[str]]) -> None:
    """Raise ValueError when a field is none of the words that it may be."""
    for name, words in choices.items():
        if getattr(config, name) not in words:
            raise ValueError(f"{name} ({getattr(config, name)!r}) must be one of {', '.join(words)}")


def check_ranges(config: Struct, ranges: Ranges) -> None:
    """Raise ValueError when a field is not between its bounds, both included; NaN never is."""
    for name, (low, high) in ranges.items():
        value = getattr(config, name)
        if not low <= value <= high:
            raise ValueError(f"{name} ({value}) must be between {low:g} and {high:g}")
