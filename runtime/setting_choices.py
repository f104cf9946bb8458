"""Which words a setting takes, found by its path: msgspec says which one it does not."""

import re
import types
from collections.abc import Iterator, Mapping
from enum import EnumType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from runtime.cli import did_you_mean


def explained(struct: type[Any], message: str, path: str) -> str:
    """Return msgspec's words about a wrong value, with those that it takes where only some are allowed.

    Parameters
    ----------
    struct
        Of the whole content.
    message, path
        Of the error, such as ``Invalid enum value 'spott'`` and ``$.live.venues[0].market``.

    Examples
    --------
    >>> class Venue(msgspec.Struct):
    ...     market: Literal["spot", "usdm"] | None = None
    >>> class All(msgspec.Struct):
    ...     venues: tuple[Venue, ...] = ()
    >>> explained(All, "Invalid enum value 'spott'", "$.venues[0].market")
    "Invalid enum value 'spott', did you mean spot? (spot, usdm)"
    >>> explained(All, "Expected `int`, got `str`", "$.venues[0].market")
    'Expected `int`, got `str`'
    """
    wrong = re.fullmatch(r"Invalid enum value '?(.*?)'?", message)
    if wrong is None:
        return message
    kinds: list[Any] = [struct]
    for name in re.findall(r"\.([A-Za-z_]\w*)|\[", path):
        kinds = [inner for kind in kinds for inner in _inside(kind, name)]
    words = sorted({str(word) for kind in kinds for one in _parts(kind) for word in _words(one)})
    return f"{message}{did_you_mean(wrong[1], words)} ({', '.join(words)})" if words else message


def _inside(kind: Any, name: str) -> Iterator[Any]:
    """Give the types of a field, or with an empty name of the items of a list or mapping."""
    for part in _parts(kind):
        if name and isinstance(part, type) and issubclass(part, msgspec.Struct):
            hints = get_type_hints(part, include_extras=True)
            if name in hints:
                yield hints[name]
        elif not name:
            yield from (one for one in get_args(part) if one is not Ellipsis)


def _parts(kind: Any) -> Iterator[Any]:
    """Give the alternatives of a type."""
    if isinstance(kind, types.UnionType) or get_origin(kind) is Union:
        for one in get_args(kind):
            yield from _parts(one)
    elif get_origin(kind) is Annotated:
        yield from _parts(get_args(kind)[0])
    elif hasattr(kind, "__value__"):  # type X = ...
        yield from _parts(kind.__value__)
    else:
        yield kind


def _words(kind: Any) -> tuple[Any, ...]:
    if isinstance(kind, EnumType):
        members: Mapping[str, Any] = kind.__members__
        return tuple(one.value for one in members.values())
    return get_args(kind) if get_origin(kind) is Literal else ()


__all__ = ["explained"]
