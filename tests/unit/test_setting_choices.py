"""A wrong word in the settings is answered with the right ones, wherever it stands."""

from typing import Any

import pytest
import yaml

from runtime.errors import ConfigurationError
from runtime.settings import parse_settings

VENUE: dict[str, Any] = {"venue": "binance", "market": "spot"}
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "in a list": (
        {"live": {"venues": [VENUE | {"market": "spott"}]}},
        r"'spott', did you mean spot\? \(linear, spot, usdm\) - at \$.live.venues\[0\].market",
    ),
    "in a section": (
        {"live": {"protection": {"unplanned": "ignore"}}},
        r"'ignore' \(protect, report\) - at \$.live.protection.unplanned",
    ),
    "numbers": (
        {"live": {"paper": {"funding": "constant", "funding_interval_hours": 3}}},
        r"Invalid enum value 3 \(.*8.*\)",
    ),
    "of a mapping": (
        {"notifications": {"events": {"fill": {"minimum": "loud"}}}},
        r"'loud' \(critical, info, warning\) - at \$.notifications.events",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_the_words_that_a_setting_takes_are_named(case: str) -> None:
    """In lists, sections and mappings; with the likeliest one first."""
    content, words = WRONG[case]
    with pytest.raises(ConfigurationError, match=words):
        parse_settings(yaml.safe_dump(content))


def test_other_mistakes_are_told_as_they_were() -> None:
    """A wrong type has no list of words."""
    with pytest.raises(ConfigurationError, match=r"Expected `?int`?, got `?str`? - at \$.live.max_rss_mb"):
        parse_settings("live: {max_rss_mb: much}")
