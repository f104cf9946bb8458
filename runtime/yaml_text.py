"""YAML as people mean it: no silent duplicate keys, no dates, and errors that say where."""

import re
from collections.abc import Hashable
from typing import Any, Final

import yaml

from runtime.errors import ConfigurationError

_PATH: Final = re.compile(r"\$[.\w\[\]-]*\w\]?")
_PART: Final = re.compile(r"[\w-]+")


class StrictLoader(yaml.SafeLoader):
    """YAML without the traps: no silent duplicate keys, no dates, `1e-3` is a number."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Return a mapping whose keys are texts, each there once."""
        seen: set[Any] = set()
        for key_node, _value in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.MarkedYAMLError(None, None, f"key {key!r} is not text", key_node.start_mark)
            if key in seen:
                raise yaml.MarkedYAMLError(None, None, f"{key} is set twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


StrictLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_FLOAT_WITHOUT_DOT = re.compile(r"^[-+]?[0-9]+[eE][-+]?[0-9]+$")
StrictLoader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT_WITHOUT_DOT, list("-+0123456789"))


def load_yaml(text: str, source: str) -> Any:
    """Return what a YAML text holds; `source` names it in errors (ConfigurationError)."""
    try:
        return yaml.load(text, Loader=StrictLoader)  # noqa: S506 - a SafeLoader with fewer types
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f" - at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigurationError(f"{source}: {error.problem}{where}") from error
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{source}: not YAML: {error}") from error


def with_line(words: str, text: str) -> str:
    r"""Return an error about a value of a YAML text with the line of the value, where it names a path.

    Parameters
    ----------
    words
        The error; a path looks like ``$.live.venues[0].market``.
    text
        What was read. A path that it does not have gets the line of the last part that it has.

    Examples
    --------
    >>> with_line("Expected float - at $.live.fee", "live:\n  fee: low")
    'Expected float - at $.live.fee (line 2)'
    """
    found = _PATH.search(words)
    if found is None:
        return words
    node = yaml.compose(text, Loader=StrictLoader)
    line = None
    for name in _PART.findall(found.group()):
        entry = _entry(node, name)
        if entry is None:
            break
        line, node = entry
    return words if line is None else f"{words} (line {line + 1})"


def _entry(node: Any, name: str) -> tuple[int, Any] | None:
    """Return the line (from 0) and the node of an entry of a mapping or list, None without it."""
    if isinstance(node, yaml.SequenceNode) and name.isdigit() and int(name) < len(node.value):
        return node.value[int(name)].start_mark.line, node.value[int(name)]
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == name:
                return key.start_mark.line, value
    return None


def scalar(text: str) -> Any:
    """Return a value as typed on the command line, the text itself where it is no YAML."""
    try:
        return yaml.load(text, Loader=StrictLoader)  # noqa: S506
    except yaml.YAMLError:
        return text
